//! What an HTTP status means, and what the user can do about it.

use chatark_core::ErrorKind;
use reqwest::StatusCode;

/// Returns what a status means if the vendor's error does not say.
pub(crate) fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        402 | 403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        408 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    }
}

/// Returns the hint for a kind of error if the vendor's error has none.
pub(crate) fn hint_of(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unauthorized => Some(
            "the key is wrong, expired or from another region: set the right one and run `chatark check`",
        ),
        ErrorKind::Forbidden => Some(
            "the vendor's plan or the key's scope does not allow this: change it with the vendor, then run `chatark check`",
        ),
        ErrorKind::NotFound => Some("check `agent_id`, `region` and `base_url`, then run `chatark check`"),
        ErrorKind::RateLimited | ErrorKind::Unavailable => {
            Some("completed work is saved: run the same command again later")
        }
        _ => None,
    }
}

/// Returns a status with its name, such as `404 Not Found`.
pub(crate) fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
