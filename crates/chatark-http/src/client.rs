//! A client for one account of one vendor, and the errors that all of its requests share.
//!
//! Other files add the methods that send requests: `request` builds one, `attempt` sends it once, `retry` repeats it,
//! `json` and `array` read the response.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use chatark_core::{Clock, Error, ErrorKind, Timestamp, identifier};
use reqwest::header::HeaderMap;
use url::Url;

use crate::authentication::Credentials;
use crate::backoff::Jitter;
use crate::budget::Budget;
use crate::call::Call;
use crate::classify;
use crate::dialect::{ApiError, Dialect};
use crate::observer::{HttpEvent, HttpObserver};
use crate::policy::Policy;
use crate::rate_limiter::RateLimiter;
use crate::redact::{self, Redactor};
use crate::transport::Transport;

/// A client for one account, which authenticates, respects the rate limit and retries. `Connector::client` creates it.
#[derive(Debug)]
pub struct ApiClient {
    pub(crate) source: String,
    pub(crate) base: Url,
    pub(crate) dialect: Box<dyn Dialect>,
    pub(crate) credentials: Credentials,
    pub(crate) headers: HeaderMap,
    pub(crate) redactor: Redactor,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) policy: Policy,
    pub(crate) observer: Arc<dyn HttpObserver>,
    pub(crate) clock: Clock,
    pub(crate) jitter: Arc<Jitter>,
    /// The seconds by which the vendor's clock is ahead of ours, as the latest response with a `Date` has told.
    pub(crate) clock_skew_seconds: Arc<Mutex<Option<i64>>>,
}

impl ApiClient {
    /// Returns the vendor's present time by its latest response that told it.
    pub fn vendor_time(&self) -> Option<Timestamp> {
        let skew = *self.clock_skew_seconds.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.now().shifted(skew?)
    }

    /// Counts the units of the vendor's metered quota that a response cost, so that the run ends when its budget is
    /// spent.
    pub fn spend_quota(&self, units: u64) {
        self.budget.spend_quota(units);
    }

    /// Returns a vendor's text as it may be shown outside an error: on one line, without secrets, and not too long.
    pub fn vendor_text(&self, text: &str) -> String {
        let clean = self.redactor.clean(text);
        clean.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
    }

    /// Returns an error about a call, with the source and the vendor's id of the request.
    pub fn error(
        &self,
        call: &Call,
        kind: ErrorKind,
        message: impl Display,
        request_id: Option<&str>,
    ) -> Error {
        let message = self.redactor.clean(&message.to_string());
        let error = Error::new(kind, call.operation.clone(), message).with("source", &self.source);
        match request_id {
            Some(id) => error.with("request_id", self.redactor.clean(id)),
            None => error,
        }
    }

    /// Returns the error of a response that reports a failure with a success status, such as `{"success": false}`.
    pub fn api_error(&self, call: &Call, api_error: ApiError, request_id: Option<&str>) -> Error {
        let api_error = without_sent_strings(call, api_error);
        let kind = api_error.kind.unwrap_or(ErrorKind::Refused);
        let message = api_error.message.as_deref().unwrap_or("no reason given");
        let message = format!("the vendor refused: {message}");
        self.error_from_api(call, kind, message, api_error, request_id)
    }

    /// Returns an error with the vendor's code, the id of the request, and the hint of the API error or else of the
    /// kind.
    pub(crate) fn error_from_api(
        &self,
        call: &Call,
        kind: ErrorKind,
        message: String,
        api_error: ApiError,
        request_id: Option<&str>,
    ) -> Error {
        let mut error = self.error(call, kind, message, None);
        if let Some(code) = api_error.code {
            error = error.with("code", self.redactor.clean(&code));
        }
        if let Some(id) = request_id {
            error = error.with("request_id", self.redactor.clean(id));
        }
        let hint = api_error.hint.map(|hint| self.redactor.clean(&hint));
        match hint.or_else(|| classify::hint_of(kind).map(str::to_owned)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    pub(crate) fn network_error(
        &self,
        call: &Call,
        message: impl Display,
        request_id: Option<&str>,
    ) -> Error {
        self.error(call, ErrorKind::Network, message, request_id).hint(
            "check the network and `base_url`, then run the same command again: completed work is saved",
        )
    }

    pub(crate) fn out_of_time(&self, call: &Call) -> Error {
        self.out_of_budget(call, self.budget.out_of_time_message())
    }

    pub(crate) fn out_of_budget(&self, call: &Call, message: String) -> Error {
        self.error(call, ErrorKind::Budget, message, None)
            .hint("completed work is saved: run the same command again to continue")
    }

    pub(crate) fn notify(&self, event: &HttpEvent) {
        self.observer.on_event(&self.source, event);
    }
}

/// Removes the strings of the request from the vendor's message: vendors repeat values that they reject, and these may
/// be what people wrote. Of the ids in the URL, only telephone numbers and addresses are masked.
pub(crate) fn without_sent_strings(call: &Call, api_error: ApiError) -> ApiError {
    let Some(message) = &api_error.message else { return api_error };
    let body = call.body.as_deref().map(redact::strings).unwrap_or_default();
    let mut message = redact::without_strings(message, &body);
    for sent in call.path.iter().chain(call.query.iter().map(|(_, value)| value)) {
        // One value may be a list of ids.
        for id in sent.split(',') {
            let masked = identifier::masked(id);
            if masked != id {
                message = message.replace(id, &masked);
            }
        }
    }
    ApiError { message: Some(message), ..api_error }
}
