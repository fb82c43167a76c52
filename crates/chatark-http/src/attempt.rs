//! One attempt of a call: permit, budget, request and response, and what the status means.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Result, Timestamp};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use humantime::format_duration;
use reqwest::header::{HeaderMap, HeaderName, LOCATION};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::call::Call;
use crate::classify::{kind_of, status_text};
use crate::client::{ApiClient, without_sent_strings};
use crate::headers;
use crate::observer::HttpEvent;
use crate::rate_limiter::Permit;
use crate::response::Response;
use crate::transport::{TransportError, TransportRequest, TransportResponse};

/// The most bytes of an error's body that are read.
const ERROR_BODY_BYTES: usize = 16 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct AttemptError {
    pub(crate) error: Error,
    /// How long the vendor asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the request certainly had no effect at the vendor.
    pub(crate) had_no_effect: bool,
}

impl AttemptError {
    fn without_effect(error: Error) -> Self {
        Self { error, retry_after: None, had_no_effect: true }
    }
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, had_no_effect: false }
    }
}

impl ApiClient {
    /// Sends a call once and returns the response if its status is a success.
    pub(crate) async fn attempt(&self, call: &Call) -> Result<Response, AttemptError> {
        let request = self.request(call).map_err(AttemptError::without_effect)?;
        let permit = self.permit(call).await.map_err(AttemptError::without_effect)?;
        if let Err(spent) = self.budget.take_request() {
            return Err(AttemptError::without_effect(self.out_of_budget(call, spent)));
        }
        let started = Instant::now();
        let response = self.exchange(call, request, started).await?;
        let now = headers::vendor_time(&response.headers, self.clock.now());
        let status = self.dialect.rate_limit(&response.headers, now);
        self.rate_limiter.update(status, self.policy.max_wait);
        drop(permit);
        let request_id = headers::text(&response.headers, &REQUEST_ID).map(|id| self.redactor.clean(id));
        tracing::debug!(
            operation = &*call.operation,
            status = response.status.as_u16(),
            request_id,
            elapsed_ms = started.elapsed().as_millis(),
            "answered"
        );
        if response.status.is_success() {
            let clock_skew_seconds = headers::clock_skew_seconds(&response.headers, self.clock.now());
            if clock_skew_seconds.is_some() {
                *self.clock_skew_seconds.lock().unwrap_or_else(PoisonError::into_inner) = clock_skew_seconds;
            }
            return Ok(Response::new(self, response.body, request_id, clock_skew_seconds));
        }
        Err(self.failure(call, response, request_id, now).await)
    }

    async fn permit(&self, call: &Call) -> Result<Permit<'_>> {
        loop {
            match self.rate_limiter.try_acquire() {
                Ok(permit) => return Ok(permit),
                Err(wait) => self.wait(call, "the rate limit is used up", wait).await?,
            }
        }
    }

    /// Waits, or returns an error at once if the budget's time ends before the wait does.
    pub(crate) async fn wait(&self, call: &Call, reason: &str, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait;
        if self.budget.is_over(until) {
            return Err(self.out_of_time(call));
        }
        self.notify(&HttpEvent::Waiting { reason: reason.to_owned(), wait });
        sleep_until(until).await;
        Ok(())
    }

    async fn exchange(
        &self,
        call: &Call,
        request: TransportRequest,
        started: Instant,
    ) -> Result<TransportResponse, AttemptError> {
        let deadline = self.budget.cap_deadline(started + self.policy.timeout);
        match timeout_at(deadline, self.transport.send(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error @ TransportError::Connect(_))) => {
                Err(AttemptError::without_effect(self.network_error(call, error, None)))
            }
            Ok(Err(error)) => Err(self.network_error(call, error, None).into()),
            Err(_) if self.budget.is_over(deadline) => Err(self.out_of_time(call).into()),
            Err(_) => {
                let message = format!("no response within {}", format_duration(self.policy.timeout));
                Err(self.network_error(call, message, None).into())
            }
        }
    }

    /// Returns what a response without a success status means, and pauses the account if it is over its rate limit.
    async fn failure(
        &self,
        call: &Call,
        response: TransportResponse,
        request_id: Option<String>,
        now: Timestamp,
    ) -> AttemptError {
        let TransportResponse { status, headers, body } = response;
        let body = self.error_body(body).await;
        let api_error = without_sent_strings(call, self.dialect.parse_error(status.as_u16(), &body));
        let kind = api_error.kind.unwrap_or_else(|| kind_of(status));
        let mut message = format!("the vendor answered {}", status_text(status));
        if let Some(text) = &api_error.message {
            message = format!("{message}: {text}");
        }
        if status.is_redirection() {
            let target = self.redirect_target(&headers);
            message = format!(
                "{message}, a redirect to {target}, which is not followed so that no other host gets the key"
            );
        }
        let is_limited = kind == ErrorKind::RateLimited;
        let until_reset = || is_limited.then(|| self.dialect.rate_limit(&headers, now).resets_in).flatten();
        let retry_after = headers::retry_after(&headers, now).or_else(until_reset);
        if let Some(wait) = retry_after.filter(|wait| is_limited && *wait <= self.policy.max_wait) {
            self.rate_limiter.pause(wait);
        }
        let error = self
            .error_from_api(call, kind, message, api_error, request_id.as_deref())
            .with_status(status.as_u16());
        // A rejected request has no effect. If the vendor itself failed, it may have failed after the effect.
        AttemptError { error, retry_after, had_no_effect: kind != ErrorKind::Unavailable }
    }

    /// Reads the beginning of an error's body, as far as it arrives within the time limit.
    async fn error_body(&self, mut chunks: BoxStream<'static, Result<Bytes, TransportError>>) -> Vec<u8> {
        let mut body = Vec::new();
        let read = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_BYTES - body.len())]);
                if body.len() >= ERROR_BODY_BYTES {
                    break;
                }
            }
        };
        let _ = timeout(self.policy.timeout, read).await;
        body
    }

    fn redirect_target(&self, headers: &HeaderMap) -> String {
        let location = headers::text(headers, &LOCATION);
        // Cleaned before it is parsed: the parser turns a host into lower case, in which a key would not be recognised.
        let location = location.map(|location| self.redactor.clean(location));
        let target = location.and_then(|location| self.base.join(&location).ok());
        target
            .and_then(|target| target.host_str().map(str::to_owned))
            .unwrap_or_else(|| "another host".to_owned())
    }
}
