//! What Chatbase v1 puts around conversations. The conversations themselves are read field by field in `map`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The names that `filteredSources` takes in the vendor's documents. The set is open.
pub(crate) const SOURCES: &[&str] = &[
    "API",
    "Chatbase site",
    "Instagram",
    "Messenger",
    "Slack",
    "Unspecified",
    "WhatsApp",
    "Widget or Iframe",
    "Playground",
    "Action preview",
];

/// What surrounds a page of conversations: nothing that says how many there are or whether more follow.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    /// Present, and emptied, where the vendor sent an array.
    pub(crate) data: Option<Vec<Value>>,
}

/// A refusal.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<FailureBody>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FailureBody {
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// The place of a walk through the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The next page, counted from 1.
    pub(crate) page: u64,
}
