//! One HTTP client for all vendors: auth, pacing, retries, limits and the streaming of one huge array.
//!
//! The order of work for each request is fixed, outside in:
//!
//! | step | does |
//! |---|---|
//! | retry | loops while a failure is transient and attempts remain, and for what adds only while nothing can have been done; `Retry-After` first, else the reset header, else backoff |
//! | gate | waits for this account's turn; shared by every source that uses the same key |
//! | budget | takes one request of what the run may spend; no wait goes past its end, and nothing in flight does |
//! | build | percent-encodes path segments, adds the query and the bearer key; redirects are never followed |
//! | send | connects and reads under time limits; `reqwest`'s own retries are off |
//! | learn | lets the rate-limit headers set the pace |
//! | classify | lets the vendor's [`Dialect`] say what a refusal means |
//! | read | counts the body after decompression, under a limit; a cut body is a transient failure |
//! | decode | names the JSON path of what could not be read |
//!
//! **This crate knows no vendor**, and it is the only one that retries or sleeps. Keys are never logged, never
//! part of an error, and go to the configured host alone.

mod backoff;
mod budget;
mod client;
mod dialect;
mod framer;
mod guard;
mod page;
mod rate_limiter;
mod sent;

pub use budget::{Budget, BudgetLimits};
pub use client::{ApiClient, Call, Connector, HttpEvent, HttpObserver, Policy};
pub use dialect::{ApiError, Dialect, Pacing};
pub use framer::{ArrayFramer, FrameError, Limits};
pub use guard::{CursorGuard, PageGuard};
pub use page::{Elements, Event, Page};
pub use rate_limiter::{RateLimiter, RateLimiters};

pub use reqwest::header::HeaderMap;
pub use secrecy::SecretString;
pub use url::Url;
