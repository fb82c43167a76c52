//! One gate per account: requests pass while the vendor's headers allow it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::dialect::Pacing;

/// Holds requests back so that the vendor has none to refuse.
///
/// Where the vendor's limit and the length of its window are known, every request takes one place of the window from
/// the moment it is sent until one window after its answer, when the vendor has surely forgotten it: so none is
/// refused, whether the window slides or not. What others use of the same key shows in the vendor's count. Where they
/// are not known, requests are held back once the vendor says that none are left.
///
/// Every client that uses the same key on the same host shares one gate.
#[derive(Debug, Default)]
pub struct RateLimiter(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_flight: u64,
    /// Whether an answer has come: until then nothing is known of the limit, and one request goes alone.
    has_heard: bool,
    /// The requests that the vendor allows in a window, and its length.
    window: Option<(u64, Duration)>,
    /// When the answers of the last window came, the oldest first.
    answered: VecDeque<Instant>,
    /// How many requests of others the vendor counts.
    foreign: u64,
    remaining: Option<u64>,
    /// When the vendor's window resets.
    opens_at: Option<Instant>,
    /// Until when the vendor wants no request at all.
    closed_until: Option<Instant>,
}

/// How long to wait for a place where it is not known when one comes free.
const SHORTLY: Duration = Duration::from_millis(5);

/// A request that has passed the gate and has not been answered yet.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a RateLimiter);

impl RateLimiter {
    /// Takes a pass, or returns how long to wait before asking again.
    pub(crate) fn try_pass(&self) -> Result<Permit<'_>, Duration> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(until) = state.closed_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        let held_back = match state.window {
            Some((limit, length)) => state.wait_for_place(limit, length, now),
            None => state.wait_for_reset(now),
        };
        let held_back = if state.has_heard { held_back } else { (state.in_flight > 0).then_some(SHORTLY) };
        if let Some(wait) = held_back {
            return Err(wait.max(Duration::from_millis(1)));
        }
        state.in_flight += 1;
        Ok(Permit(self))
    }

    /// Learns from the headers of an answer; `longest` bounds how far off a reset is believed to be.
    pub(crate) fn learn(&self, pacing: Pacing, longest: Duration) {
        let (Some(remaining), Some(resets_in)) = (pacing.remaining, pacing.resets_in) else {
            return;
        };
        let mut state = self.state();
        state.has_heard = true;
        // A limit of nothing is none.
        state.window = pacing.limit.filter(|limit| *limit > 0).zip(pacing.window);
        state.remaining = Some(remaining);
        state.opens_at = Some(Instant::now() + resets_in.min(longest));
        if let Some(limit) = pacing.limit {
            let ours = state.answered.len() as u64 + state.in_flight;
            state.foreign = limit.saturating_sub(remaining).saturating_sub(ours);
        }
    }

    /// Lets nobody pass for as long as the vendor asks in a refusal.
    pub(crate) fn close(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        state.closed_until = state.closed_until.max(Some(until));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait_for_place(&mut self, limit: u64, length: Duration, now: Instant) -> Option<Duration> {
        while self.answered.front().is_some_and(|at| *at + length <= now) {
            self.answered.pop_front();
        }
        if self.answered.len() as u64 + self.in_flight + self.foreign < limit {
            return None;
        }
        let ours = self.answered.front().map(|at| *at + length - now);
        let theirs = self.opens_at.filter(|_| self.foreign > 0).map(|at| at.saturating_duration_since(now));
        match (ours, theirs) {
            // How much room others have left since, one request finds out.
            (_, Some(Duration::ZERO)) => (self.in_flight > 0).then_some(SHORTLY),
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => Some(one.or(other).unwrap_or(SHORTLY)),
        }
    }

    fn wait_for_reset(&mut self, now: Instant) -> Option<Duration> {
        let opens_at = self.opens_at?;
        if opens_at <= now {
            (self.opens_at, self.remaining) = (None, None);
            return None;
        }
        let is_exhausted = self.remaining.is_some_and(|remaining| remaining <= self.in_flight);
        is_exhausted.then(|| opens_at - now)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.has_heard = true;
        if state.window.is_some() {
            state.answered.push_back(Instant::now());
        }
    }
}

/// The gates of all accounts of one run.
#[derive(Debug, Default)]
pub struct RateLimiters(Mutex<HashMap<u64, Arc<RateLimiter>>>);

impl RateLimiters {
    /// Returns the gate of an account: one for each host and key.
    pub(crate) fn of(&self, base: &Url, key: &SecretString) -> Arc<RateLimiter> {
        let mut hasher = DefaultHasher::new();
        base.host_str().hash(&mut hasher);
        base.port_or_known_default().hash(&mut hasher);
        key.expose_secret().hash(&mut hasher);
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(hasher.finish()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacing(remaining: u64, milliseconds: u64) -> Pacing {
        let resets_in = Some(Duration::from_millis(milliseconds));
        Pacing { remaining: Some(remaining), resets_in, ..Pacing::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn closes_when_nothing_is_left_and_opens_at_the_reset() {
        let gate = RateLimiter::default();
        let longest = Duration::from_mins(1);
        drop(gate.try_pass().unwrap());
        gate.learn(pacing(1, 5_000), longest);
        let pass = gate.try_pass().unwrap();
        let wait = gate.try_pass().unwrap_err();
        assert!(wait <= Duration::from_secs(5) && wait > Duration::from_secs(4));
        drop(pass);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(gate.try_pass().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_far_off_is_not_believed() {
        let gate = RateLimiter::default();
        gate.learn(pacing(0, 86_400_000), Duration::from_mins(1));
        assert!(gate.try_pass().unwrap_err() <= Duration::from_mins(1));
    }

    /// A vendor that counts requests within a sliding window, as they arrive.
    #[derive(Default)]
    struct Sliding {
        arrived: VecDeque<Instant>,
    }

    const LIMIT: usize = 1_000;
    const WINDOW: Duration = Duration::from_secs(10);

    impl Sliding {
        fn ask(&mut self) -> (Pacing, bool) {
            let now = Instant::now();
            while self.arrived.front().is_some_and(|at| now - *at >= WINDOW) {
                self.arrived.pop_front();
            }
            let is_refused = self.arrived.len() >= LIMIT;
            if !is_refused {
                self.arrived.push_back(now);
            }
            let reset = self.arrived.front().map(|at| *at + WINDOW - now);
            let pacing = Pacing {
                limit: Some(LIMIT as u64),
                window: Some(WINDOW),
                remaining: Some((LIMIT - self.arrived.len()) as u64),
                resets_in: reset,
            };
            (pacing, is_refused)
        }
    }

    async fn pass(gate: &RateLimiter) -> Permit<'_> {
        loop {
            match gate.try_pass() {
                Ok(pass) => return pass,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Asks from several places at once, each answer taking its time, until an instant; returns how often, and how
    /// often in vain.
    async fn ask_until(gate: &RateLimiter, vendor: &Mutex<Sliding>, end: Instant) -> (u64, u64) {
        let asking = (0..16_u64).map(|at| async move {
            let (mut asked, mut refused) = (0, 0);
            loop {
                let pass = pass(gate).await;
                if Instant::now() >= end {
                    return (asked, refused);
                }
                let (there, back) = ((at * 7 + asked * 3) % 40, (at * 11 + asked * 5) % 40);
                tokio::time::sleep(Duration::from_millis(there)).await;
                let (pacing, is_refused) = vendor.lock().unwrap().ask();
                tokio::time::sleep(Duration::from_millis(back)).await;
                gate.learn(pacing, WINDOW);
                if is_refused {
                    // `Retry-After` is whole seconds.
                    gate.close(Duration::from_secs(1));
                    refused += 1;
                }
                drop(pass);
                asked += 1;
            }
        });
        let asked = futures_util::future::join_all(asking).await;
        asked.into_iter().fold((0, 0), |(all, vain), (asked, refused)| (all + asked, vain + refused))
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_is_used_and_not_hit() {
        let (gate, vendor) = (RateLimiter::default(), Mutex::new(Sliding::default()));
        let end = Instant::now() + 4 * WINDOW - Duration::from_secs(1);
        let (asked, refused) = ask_until(&gate, &vendor, end).await;
        assert!((3_960..=4_000).contains(&asked) && refused == 0, "{asked} of 4,000, {refused} in vain");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_use_of_the_key_is_left_to_them() {
        let (gate, vendor) = (RateLimiter::default(), Mutex::new(Sliding::default()));
        // Another program has just used the window up, and goes on to ask fifty times a second.
        for _ in 0..LIMIT {
            vendor.lock().unwrap().ask();
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        let end = Instant::now() + 6 * WINDOW;
        let others = async {
            while Instant::now() < end {
                vendor.lock().unwrap().ask();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ((asked, refused), ()) = tokio::join!(ask_until(&gate, &vendor, end), others);
        assert!(asked >= 2_400 && refused * 20 <= asked, "{asked} asked, {refused} in vain");
    }

    #[test]
    fn one_key_on_one_host_shares_a_gate() {
        let gates = RateLimiters::default();
        let base = |text: &str| Url::parse(text).unwrap();
        let one = gates.of(&base("https://a.example/v1"), &"k".into());
        assert!(Arc::ptr_eq(&one, &gates.of(&base("https://a.example/v2"), &"k".into())));
        assert!(!Arc::ptr_eq(&one, &gates.of(&base("https://b.example/v1"), &"k".into())));
        assert!(!Arc::ptr_eq(&one, &gates.of(&base("https://a.example/v1"), &"l".into())));
    }
}
