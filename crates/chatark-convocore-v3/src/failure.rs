//! What an error says about the place that was asked for.

use chatark_core::{Error, ErrorKind};

/// Returns whether the vendor refused what was asked for, such as a cursor that it no longer knows.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound)
}

/// Returns whether the vendor does not serve a route to this account.
pub(crate) fn is_route_refused(error: &Error) -> bool {
    is_refusal(error) || error.kind() == ErrorKind::Forbidden
}
