//! One gate per account: requests pass while the vendor's headers allow it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::dialect::Pacing;

/// Holds requests back once the vendor says that none are left, until its window resets.
///
/// Every client that uses the same key on the same host shares one gate.
#[derive(Debug, Default)]
pub struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    remaining: Option<u64>,
    in_flight: u64,
    opens_at: Option<Instant>,
}

/// A request that has passed the gate and has not been answered yet.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Takes a pass, or returns how long to wait before asking again.
    pub(crate) fn try_pass(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(opens_at) = state.opens_at {
            let exhausted = state.remaining.is_some_and(|remaining| remaining <= state.in_flight);
            if exhausted && opens_at > now {
                return Err(opens_at - now);
            }
            if opens_at <= now {
                state.opens_at = None;
                state.remaining = None;
            }
        }
        state.in_flight += 1;
        Ok(Pass(self))
    }

    /// Learns from the headers of an answer; `longest` bounds how far off a reset is believed to be.
    pub(crate) fn learn(&self, pacing: Pacing, longest: Duration) {
        let (Some(remaining), Some(resets_in)) = (pacing.remaining, pacing.resets_in) else {
            return;
        };
        let mut state = self.state();
        state.remaining = Some(remaining);
        state.opens_at = Some(Instant::now() + resets_in.min(longest));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

/// The gates of all accounts of one run.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<u64, Arc<Gate>>>);

impl Gates {
    /// Returns the gate of an account: one for each host and key.
    pub(crate) fn of(&self, base: &Url, key: &SecretString) -> Arc<Gate> {
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
        Pacing { remaining: Some(remaining), resets_in: Some(Duration::from_millis(milliseconds)) }
    }

    #[tokio::test(start_paused = true)]
    async fn closes_when_nothing_is_left_and_opens_at_the_reset() {
        let gate = Gate::default();
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
        let gate = Gate::default();
        gate.learn(pacing(0, 86_400_000), Duration::from_mins(1));
        assert!(gate.try_pass().unwrap_err() <= Duration::from_mins(1));
    }

    #[test]
    fn one_key_on_one_host_shares_a_gate() {
        let gates = Gates::default();
        let base = |text: &str| Url::parse(text).unwrap();
        let one = gates.of(&base("https://a.example/v1"), &"k".into());
        assert!(Arc::ptr_eq(&one, &gates.of(&base("https://a.example/v2"), &"k".into())));
        assert!(!Arc::ptr_eq(&one, &gates.of(&base("https://b.example/v1"), &"k".into())));
        assert!(!Arc::ptr_eq(&one, &gates.of(&base("https://a.example/v1"), &"l".into())));
    }
}
