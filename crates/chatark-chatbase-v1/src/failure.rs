//! What an error says about the page that was requested.

use chatark_core::Error;

/// The statuses with which deployments refuse a page that they do not have, or a parameter that they do not know.
const REFUSING: [u16; 5] = [400, 404, 410, 416, 422];

/// Returns whether the vendor refused the page or its parameters, and answers other requests.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.status().is_some_and(|status| REFUSING.contains(&status))
}
