//! What an error says about the place that was asked for.

use chatark_core::{Error, ErrorKind};

/// The statuses with which hosts refuse a page that they do not have, or a parameter that they do not know.
const REFUSING: [u16; 5] = [400, 404, 410, 416, 422];

/// Returns whether the vendor refused the page or its parameters, and answers other requests.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.status().is_some_and(|status| REFUSING.contains(&status))
}

/// Returns whether the fault may lie in the rows that were asked for: the vendor failed on them in every attempt, or
/// what it sent cannot be read.
pub(crate) fn may_be_local(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Network | ErrorKind::Malformed | ErrorKind::TooLarge
    )
}
