//! How vendors differ in HTTP: their errors and their rate limit headers.

use std::fmt;
use std::time::Duration;

use chatark_core::{ErrorKind, Timestamp};
use reqwest::header::{HeaderMap, HeaderName};

use crate::headers;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How one vendor speaks HTTP.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Parses the body of a response without a success status. The default finds nothing.
    fn parse_error(&self, _status: u16, _body: &[u8]) -> ApiError {
        ApiError::default()
    }

    /// Returns the length of the window in which the vendor counts requests, if it is documented.
    fn rate_limit_window(&self) -> Option<Duration> {
        None
    }

    /// Reads the rate limit from the headers of any response; `now` is the vendor's time.
    ///
    /// The default knows `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    fn rate_limit(&self, headers: &HeaderMap, now: Timestamp) -> RateLimitStatus {
        let number = |name| headers::text(headers, name)?.parse().ok();
        RateLimitStatus {
            limit: number(&LIMIT),
            window: self.rate_limit_window(),
            remaining: number(&REMAINING),
            resets_in: headers::until_reset(headers, &RESET, now),
        }
    }
}

/// An error as the vendor reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiError {
    /// The vendor's error code.
    pub code: Option<String>,
    /// The vendor's message. It is shown shortened, without secrets and without texts of the request.
    pub message: Option<String>,
    /// The kind of error, if it does not follow from the status.
    pub kind: Option<ErrorKind>,
    /// The hint for the user, if it does not follow from the kind.
    pub hint: Option<String>,
}

/// How many requests the vendor still allows, and when its count resets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Requests that the vendor allows in a window.
    pub limit: Option<u64>,
    /// The length of the window.
    pub window: Option<Duration>,
    /// Requests left in the window.
    pub remaining: Option<u64>,
    /// The time until the window resets.
    pub resets_in: Option<Duration>,
}
