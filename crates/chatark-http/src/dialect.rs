//! What differs between vendors at the level of HTTP, and nothing else.

use std::fmt;
use std::time::{Duration, SystemTime};

use chatark_core::ErrorKind;
use reqwest::header::HeaderMap;

use crate::backoff;

/// How one vendor speaks HTTP.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Reads the body of an answer that is no success. The default finds nothing.
    fn refusal(&self, _status: u16, _body: &[u8]) -> ApiError {
        ApiError::default()
    }

    /// Returns the length of the window in which the vendor counts requests, where its documents tell it.
    fn window(&self) -> Option<Duration> {
        None
    }

    /// Reads the pace from the headers of any answer. The default knows `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    fn pacing(&self, headers: &HeaderMap, now: SystemTime) -> Pacing {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Pacing {
            limit: number("x-ratelimit-limit"),
            window: self.window(),
            remaining: number("x-ratelimit-remaining"),
            resets_in: backoff::until_reset(headers, "x-ratelimit-reset", now),
        }
    }
}

/// What a vendor says with an answer that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiError {
    /// The vendor's error code.
    pub code: Option<String>,
    /// The vendor's text for people, shown word for word.
    pub message: Option<String>,
    /// What it means, where that does not follow from the status.
    pub kind: Option<ErrorKind>,
    /// The next step that the user can take, where it does not follow from the kind.
    pub hint: Option<String>,
}

/// How many requests the vendor still allows, and when it starts to count anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Requests that the vendor allows in a window.
    pub limit: Option<u64>,
    /// The length of the window.
    pub window: Option<Duration>,
    /// Requests left in the window.
    pub remaining: Option<u64>,
    /// The time until the window resets.
    pub resets_in: Option<Duration>,
}
