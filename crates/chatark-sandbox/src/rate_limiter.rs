//! The vendors' rate limiter: a sliding window of requests for each key.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A rate limiter that counts the requests of each key within a sliding window.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter {
    windows: HashMap<String, VecDeque<Instant>>,
}

/// The state of a key's window after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) is_allowed: bool,
    pub(crate) remaining: usize,
    /// The time until the oldest request leaves the window.
    pub(crate) reset_in: Duration,
}

impl RateLimiter {
    /// Counts a request, unless the window is full.
    pub(crate) fn admit(&mut self, key: &str, max: usize, window: Duration) -> Allowance {
        let now = Instant::now();
        let held = self.windows.entry(key.to_owned()).or_default();
        while held.front().is_some_and(|&at| now - at >= window) {
            held.pop_front();
        }
        let is_allowed = held.len() < max;
        if is_allowed {
            held.push_back(now);
        }
        Allowance {
            is_allowed,
            remaining: max.saturating_sub(held.len()),
            reset_in: held.front().map_or(window, |&oldest| window.saturating_sub(now - oldest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_refuses_only_its_own_key() {
        let mut limiter = RateLimiter::default();
        let window = Duration::from_hours(1);
        assert_eq!(limiter.admit("a", 2, window).remaining, 1);
        assert!(limiter.admit("a", 2, window).is_allowed);
        let refused = limiter.admit("a", 2, window);
        assert!(!refused.is_allowed && refused.remaining == 0);
        assert!(limiter.admit("b", 2, window).is_allowed);
        assert!(limiter.admit("a", 2, Duration::ZERO).is_allowed);
    }
}
