//! Whether an error is a refusal of a route.

use chatark_core::{Error, ErrorKind};

/// Returns whether the vendor does not serve a route to this account, or no longer knows a cursor of it.
pub(crate) fn is_route_refused(error: &Error) -> bool {
    error.is_refusal() || error.kind() == ErrorKind::Forbidden
}
