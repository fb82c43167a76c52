//! Whether an error is a refusal of the request.

use chatark_core::{Error, ErrorKind};

/// Returns whether the vendor refused the request, for example because it no longer knows the cursor.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound)
}

/// Returns whether the vendor does not serve a route to this account.
pub(crate) fn is_route_refused(error: &Error) -> bool {
    is_refusal(error) || error.kind() == ErrorKind::Forbidden
}
