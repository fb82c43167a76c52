//! The query parameters of Chatbase's first API.

use axum::http::StatusCode;
use serde_json::json;

use crate::exchange::{ApiRequest, Reply};

/// Reads a number of at least 1, or the default if there is no such parameter. Returns `None` if it is invalid.
pub(crate) fn number(request: &ApiRequest, name: &str, default: usize) -> Option<usize> {
    match request.parameter(name) {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|&number| number > 0),
    }
}

/// Reads a date. Returns `None` if it is invalid, and `Some(None)` if there is no such parameter.
#[expect(clippy::option_option, reason = "the outer option is validity, the inner one is the optional date")]
pub(crate) fn date(
    request: &ApiRequest,
    name: &str,
    read: impl Fn(&str) -> Option<i64>,
) -> Option<Option<i64>> {
    match request.parameter(name) {
        None => Some(None),
        Some(text) => read(text).map(Some),
    }
}

/// Returns the error response to an invalid request.
pub(crate) fn invalid() -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "message": "Invalid request data" }))
}
