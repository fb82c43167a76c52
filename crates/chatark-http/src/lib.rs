//! One HTTP client for all vendors: authentication, rate limits, retries, size limits, and the streaming of one huge
//! array.
//!
//! Each request passes these steps, from the outside in:
//!
//! | step | file | does |
//! |---|---|---|
//! | retry | `retry` | repeats while the failure is transient, attempts remain, and repeating is safe: a call that creates is repeated only if it certainly had no effect; waits for `Retry-After`, else the rate limit's reset, else with backoff |
//! | build | `request` | percent-encodes path and query, adds headers and the key |
//! | permit | `rate_limiter` | waits until the account's rate limit allows a request; shared by all sources with the same key |
//! | budget | `budget` | takes one request from what the command may spend; no wait and no successful response outlasts its time |
//! | send | `transport` | carries the request, over the network or to a simulation in this process |
//! | learn | `dialect` | reads the rate limit from the headers |
//! | classify | `attempt`, `classify` | lets the vendor's [`Dialect`] parse an error |
//! | read | `response`, `array` | limits the body after decompression; a body that was cut off is a transient failure |
//! | decode | `json` | decodes JSON; an error names the JSON path of what could not be read |
//!
//! **This crate knows no vendor**, and it is the only one that retries or sleeps. Keys are never logged, never part
//! of an error, and go only to the configured host: redirects are not followed. Waits use the clock of the runtime;
//! the wall clock and the randomness come from the [`Connector`], so that a simulation is reproducible.

mod array;
mod attempt;
mod authentication;
mod backoff;
mod budget;
mod call;
mod classify;
mod client;
mod connector;
mod dialect;
mod framer;
mod headers;
mod json;
mod network;
mod observer;
mod pagination;
mod policy;
mod rate_limiter;
mod redact;
mod request;
mod response;
mod retry;
mod transport;

pub use array::{ArrayEvent, ArrayReader, Page};
pub use authentication::Authentication;
pub use backoff::Jitter;
pub use budget::{Budget, BudgetLimits};
pub use call::{Call, Effect};
pub use client::ApiClient;
pub use connector::Connector;
pub use dialect::{ApiError, Dialect, RateLimitStatus};
pub use framer::{ArrayFramer, FrameError, SizeLimits};
pub use observer::{HttpEvent, HttpObserver};
pub use pagination::{CursorGuard, PageGuard};
pub use policy::Policy;
pub use rate_limiter::RateLimiters;
pub use transport::{Transport, TransportError, TransportRequest, TransportResponse};

pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};
pub use secrecy::SecretString;
pub use url::Url;
