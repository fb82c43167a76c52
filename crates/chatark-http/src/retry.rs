//! The only place that repeats requests: while the failure is transient, repeating is safe, and attempts remain.

use std::time::Duration;

use chatark_core::{ErrorKind, Result};

use crate::attempt::AttemptError;
use crate::backoff;
use crate::call::Call;
use crate::client::ApiClient;

impl ApiClient {
    /// Makes attempts until one succeeds or no further one is allowed.
    pub(crate) async fn retry<T, A>(&self, call: &Call, attempt: impl Fn() -> A) -> Result<T>
    where
        A: Future<Output = Result<T, AttemptError>>,
    {
        let mut attempts = 1;
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failed) => self.wait_to_retry(call, failed, attempts).await?,
            }
            attempts += 1;
        }
    }

    /// Waits until the next attempt, or returns the error if no further one is allowed. `attempts` have been made.
    pub(crate) async fn wait_to_retry(&self, call: &Call, failed: AttemptError, attempts: u32) -> Result<()> {
        let AttemptError { error, retry_after, had_no_effect } = failed;
        if !call.effect.is_repeatable() && !had_no_effect {
            return Err(error.ambiguous());
        }
        if !error.is_transient() {
            return Err(error);
        }
        // After a 429, the vendor has not tried the request, so the call's own limit does not apply.
        let of_call = call.max_attempts.filter(|_| error.kind() != ErrorKind::RateLimited);
        if attempts >= of_call.unwrap_or(u32::MAX).min(self.policy.max_attempts) {
            return Err(error.with("attempts", attempts));
        }
        if let Some(asked) = retry_after.filter(|asked| *asked > self.policy.max_wait) {
            let seconds = asked.as_secs();
            return Err(error.with("attempts", attempts).with("wait", format_args!("{seconds} s")).hint(format!(
                "the vendor asks to wait {seconds} s, longer than `max_wait_seconds`; completed work is saved: run the same command again later"
            )));
        }
        let wait = self.retry_delay(retry_after, attempts);
        tracing::warn!(
            operation = &*call.operation,
            attempts,
            wait_ms = wait.as_millis(),
            kind = ?error.kind(),
            "retrying"
        );
        self.wait(call, error.message(), wait).await
    }

    /// Returns the wait that the vendor asks for, with a little jitter so that clients do not all come back at once, or
    /// else the backoff.
    fn retry_delay(&self, retry_after: Option<Duration>, attempts: u32) -> Duration {
        let policy = &self.policy;
        let backoff = backoff::exponential(attempts, policy.backoff, policy.max_backoff, &self.jitter);
        retry_after.map_or(backoff, |asked| asked + backoff.min(policy.backoff) / 4)
    }

    /// Waits until a request that was sent `ago` and got no response can no longer take effect at the vendor.
    pub async fn wait_for_late_effects(&self, operation: &'static str, ago: Duration) -> Result<()> {
        let wait = self.policy.late_effect_wait.saturating_sub(ago);
        if wait.is_zero() {
            return Ok(());
        }
        let reason = "a request without a response may still take effect";
        self.wait(&Call::new(operation, []), reason, wait).await
    }
}
