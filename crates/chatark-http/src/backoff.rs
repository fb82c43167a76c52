//! How long to wait between attempts if the vendor does not say.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The randomness of waits, which keeps clients from retrying in step.
///
/// The default is different in each process. With a seed, the same requests in the same order get the same waits.
#[derive(Debug)]
pub struct Jitter(Mutex<StdRng>);

impl Jitter {
    /// Creates a reproducible jitter.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Returns a factor from 0.5 to 1.
    fn factor(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..=1.0)
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::seeded(rand::random())
    }
}

/// Returns the wait before attempt `attempt + 1`: exponential, with jitter over its upper half.
pub(crate) fn exponential(attempt: u32, base: Duration, max_wait: Duration, jitter: &Jitter) -> Duration {
    let full = base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(max_wait);
    full.mul_f64(jitter.factor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_with_jitter_up_to_its_limit() {
        let (base, max_wait) = (Duration::from_millis(500), Duration::from_secs(30));
        for (attempt, full) in [(1, 500), (2, 1_000), (3, 2_000), (7, 30_000), (200, 30_000)] {
            let wait = exponential(attempt, base, max_wait, &Jitter::default());
            let full = Duration::from_millis(full);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let waits = |jitter: &Jitter| {
            let second = Duration::from_secs(1);
            (1..20).map(|attempt| exponential(attempt, second, 60 * second, jitter)).collect::<Vec<_>>()
        };
        assert_eq!(waits(&Jitter::seeded(7)), waits(&Jitter::seeded(7)));
        assert_ne!(waits(&Jitter::seeded(7)), waits(&Jitter::seeded(8)));
        assert_ne!(waits(&Jitter::default()), waits(&Jitter::default()));
    }
}
