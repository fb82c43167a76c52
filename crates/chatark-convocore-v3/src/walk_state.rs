//! Where a walk through the export is.

use chatark_core::{Result, ResumeToken};
use serde::{Deserialize, Serialize};

use crate::descriptor::DESCRIPTOR;

/// The version of the sealed states.
const TOKEN_VERSION: u32 = 1;

/// The state of a walk through the export, which is sealed in a resume token. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalkState {
    /// The vendor's cursor of the next page, opaque; `None` for the first page of the window below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// The first second that is requested, if that is not the beginning of the request's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<i64>,
    /// The last second that is requested, if that is not the end of the request's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<i64>,
    /// When the latest conversation that was read began, if they come oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<i64>,
}

impl WalkState {
    /// Seals the state for the scope of a request.
    pub(crate) fn seal(&self, scope: &str) -> Result<ResumeToken> {
        ResumeToken::seal(DESCRIPTOR.name, TOKEN_VERSION, scope.to_owned(), self)
    }

    /// Opens a resume token of the same scope.
    pub(crate) fn open(token: Option<&ResumeToken>, scope: &str) -> Option<Self> {
        token?.open(DESCRIPTOR.name, TOKEN_VERSION, scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_an_earlier_version_opens() {
        let earlier = serde_json::json!({"cursor": "c1"});
        let state: WalkState = serde_json::from_value(earlier.clone()).unwrap();
        assert_eq!(state, WalkState { cursor: Some("c1".to_owned()), ..WalkState::default() });
        assert_eq!(serde_json::to_value(&state).unwrap(), earlier);
    }
}
