//! One rate limiter per account: requests are sent while the vendor's headers allow it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::dialect::RateLimitStatus;

/// How long to wait for a slot if it is not known when one becomes free.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Holds requests back before the vendor has to reject them.
///
/// If the vendor's limit and the length of its window are known, each request holds a slot until one window after its
/// response: by then the vendor no longer counts it, whether its window is fixed or sliding. The vendor's own count
/// shows what others use of the same key. If they are not known, requests wait once the vendor says that none remain.
///
/// All clients that use the same key on the same host share one rate limiter.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_flight: u64,
    /// Whether a request has ended, with or without a response. Until then the limit is unknown, and requests are sent
    /// one at a time.
    has_ended_request: bool,
    /// The requests that the vendor allows in a window, and its length.
    window: Option<(u64, Duration)>,
    /// When the responses of the last window arrived, the oldest first.
    completed: VecDeque<Instant>,
    /// How many requests of other programs with the same key the vendor counts.
    used_by_others: u64,
    remaining: Option<u64>,
    /// When the vendor's window resets.
    resets_at: Option<Instant>,
    /// Until when the vendor asks for no requests at all.
    paused_until: Option<Instant>,
}

/// Allows one request, until its response has arrived.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a RateLimiter);

impl RateLimiter {
    /// Acquires a permit, or returns how long to wait before the next try.
    pub(crate) fn try_acquire(&self) -> Result<Permit<'_>, Duration> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        let wait = match state.window {
            Some((limit, length)) => state.wait_for_slot(limit, length, now),
            None => state.wait_for_reset(now),
        };
        let wait =
            if state.has_ended_request { wait } else { (state.in_flight > 0).then_some(POLL_INTERVAL) };
        if let Some(wait) = wait {
            return Err(wait.max(Duration::from_millis(1)));
        }
        state.in_flight += 1;
        Ok(Permit(self))
    }

    /// Updates the limits from the headers of a response. A reset that is further away than `max_wait` is capped.
    pub(crate) fn update(&self, status: RateLimitStatus, max_wait: Duration) {
        let (Some(remaining), Some(resets_in)) = (status.remaining, status.resets_in) else {
            return;
        };
        let mut state = self.state();
        state.has_ended_request = true;
        // A limit of zero is a mistake of the vendor.
        state.window = status.limit.filter(|limit| *limit > 0).zip(status.window);
        state.remaining = Some(remaining);
        state.resets_at = Some(Instant::now() + resets_in.min(max_wait));
        if let Some(limit) = status.limit {
            let used_by_us = state.completed.len() as u64 + state.in_flight;
            state.used_by_others = limit.saturating_sub(remaining).saturating_sub(used_by_us);
        }
    }

    /// Holds all requests back for as long as the vendor asks.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        state.paused_until = state.paused_until.max(Some(until));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait_for_slot(&mut self, limit: u64, length: Duration, now: Instant) -> Option<Duration> {
        while self.completed.front().is_some_and(|at| *at + length <= now) {
            self.completed.pop_front();
        }
        if self.completed.len() as u64 + self.in_flight + self.used_by_others < limit {
            return None;
        }
        let ours = self.completed.front().map(|at| *at + length - now);
        let others = self.resets_at.filter(|_| self.used_by_others > 0);
        let others = others.map(|at| at.saturating_duration_since(now));
        match (ours, others) {
            // The vendor's window has reset: one request finds out how many others have been sent since.
            (_, Some(Duration::ZERO)) => (self.in_flight > 0).then_some(POLL_INTERVAL),
            (Some(ours), Some(others)) => Some(ours.min(others)),
            (ours, others) => Some(ours.or(others).unwrap_or(POLL_INTERVAL)),
        }
    }

    fn wait_for_reset(&mut self, now: Instant) -> Option<Duration> {
        let resets_at = self.resets_at?;
        if resets_at <= now {
            (self.resets_at, self.remaining) = (None, None);
            return None;
        }
        let is_exhausted = self.remaining.is_some_and(|remaining| remaining <= self.in_flight);
        is_exhausted.then(|| resets_at - now)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.has_ended_request = true;
        if state.window.is_some() {
            state.completed.push_back(Instant::now());
        }
    }
}

/// The rate limiters of all accounts of one run.
#[derive(Debug, Default)]
pub struct RateLimiters(Mutex<HashMap<u64, Arc<RateLimiter>>>);

impl RateLimiters {
    /// Returns the rate limiter of an account: one for each host and key.
    pub(crate) fn of_account(&self, base: &Url, key: &SecretString) -> Arc<RateLimiter> {
        let mut hasher = DefaultHasher::new();
        base.host_str().hash(&mut hasher);
        base.port_or_known_default().hash(&mut hasher);
        key.expose_secret().hash(&mut hasher);
        let mut limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry(hasher.finish()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(remaining: u64, milliseconds: u64) -> RateLimitStatus {
        let resets_in = Some(Duration::from_millis(milliseconds));
        RateLimitStatus { remaining: Some(remaining), resets_in, ..RateLimitStatus::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_the_reset_when_no_requests_remain() {
        let limiter = RateLimiter::default();
        let max_wait = Duration::from_mins(1);
        drop(limiter.try_acquire().unwrap());
        limiter.update(status(1, 5_000), max_wait);
        let permit = limiter.try_acquire().unwrap();
        let wait = limiter.try_acquire().unwrap_err();
        assert!(wait <= Duration::from_secs(5) && wait > Duration::from_secs(4));
        drop(permit);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(limiter.try_acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_beyond_the_max_wait_is_capped() {
        let limiter = RateLimiter::default();
        limiter.update(status(0, 86_400_000), Duration::from_mins(1));
        assert!(limiter.try_acquire().unwrap_err() <= Duration::from_mins(1));
    }

    /// A vendor that counts requests within a sliding window, as they arrive.
    #[derive(Default)]
    struct SlidingWindow {
        arrived: VecDeque<Instant>,
    }

    const LIMIT: usize = 1_000;
    const WINDOW: Duration = Duration::from_secs(10);

    impl SlidingWindow {
        fn request(&mut self) -> (RateLimitStatus, bool) {
            let now = Instant::now();
            while self.arrived.front().is_some_and(|at| now - *at >= WINDOW) {
                self.arrived.pop_front();
            }
            let is_rejected = self.arrived.len() >= LIMIT;
            if !is_rejected {
                self.arrived.push_back(now);
            }
            let reset = self.arrived.front().map(|at| *at + WINDOW - now);
            let status = RateLimitStatus {
                limit: Some(LIMIT as u64),
                window: Some(WINDOW),
                remaining: Some((LIMIT - self.arrived.len()) as u64),
                resets_in: reset,
            };
            (status, is_rejected)
        }
    }

    async fn acquire(limiter: &RateLimiter) -> Permit<'_> {
        loop {
            match limiter.try_acquire() {
                Ok(permit) => return permit,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Sends requests from several tasks at once, with various delays, until an instant. Returns how many were sent
    /// and how many of them were rejected.
    async fn send_until(limiter: &RateLimiter, vendor: &Mutex<SlidingWindow>, end: Instant) -> (u64, u64) {
        let tasks = (0..16_u64).map(|task| async move {
            let (mut sent, mut rejected) = (0, 0);
            loop {
                let permit = acquire(limiter).await;
                if Instant::now() >= end {
                    return (sent, rejected);
                }
                let (there, back) = ((task * 7 + sent * 3) % 40, (task * 11 + sent * 5) % 40);
                tokio::time::sleep(Duration::from_millis(there)).await;
                let (status, is_rejected) = vendor.lock().unwrap().request();
                tokio::time::sleep(Duration::from_millis(back)).await;
                limiter.update(status, WINDOW);
                if is_rejected {
                    // `Retry-After` is whole seconds.
                    limiter.pause(Duration::from_secs(1));
                    rejected += 1;
                }
                drop(permit);
                sent += 1;
            }
        });
        let counts = futures_util::future::join_all(tasks).await;
        counts.into_iter().fold((0, 0), |all: (u64, u64), one| (all.0 + one.0, all.1 + one.1))
    }

    #[tokio::test(start_paused = true)]
    async fn a_sliding_window_is_used_up_without_rejections() {
        let (limiter, vendor) = (RateLimiter::default(), Mutex::new(SlidingWindow::default()));
        let end = Instant::now() + 4 * WINDOW - Duration::from_secs(1);
        let (sent, rejected) = send_until(&limiter, &vendor, end).await;
        assert!((3_960..=4_000).contains(&sent) && rejected == 0, "{sent} of 4,000, {rejected} rejected");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_of_others_with_the_same_key_are_counted() {
        let (limiter, vendor) = (RateLimiter::default(), Mutex::new(SlidingWindow::default()));
        // Another program has just used up the window, and continues with fifty requests per second.
        for _ in 0..LIMIT {
            vendor.lock().unwrap().request();
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        let end = Instant::now() + 6 * WINDOW;
        let others = async {
            while Instant::now() < end {
                vendor.lock().unwrap().request();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ((sent, rejected), ()) = tokio::join!(send_until(&limiter, &vendor, end), others);
        assert!(sent >= 2_400 && rejected * 20 <= sent, "{sent} sent, {rejected} rejected");
    }

    #[test]
    fn clients_with_the_same_key_and_host_share_a_rate_limiter() {
        let limiters = RateLimiters::default();
        let base = |text: &str| Url::parse(text).unwrap();
        let one = limiters.of_account(&base("https://a.example/v1"), &"k".into());
        assert!(Arc::ptr_eq(&one, &limiters.of_account(&base("https://a.example/v2"), &"k".into())));
        assert!(!Arc::ptr_eq(&one, &limiters.of_account(&base("https://b.example/v1"), &"k".into())));
        assert!(!Arc::ptr_eq(&one, &limiters.of_account(&base("https://a.example/v1"), &"l".into())));
    }
}
