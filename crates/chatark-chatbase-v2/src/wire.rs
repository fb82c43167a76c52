//! The envelopes of Chatbase v2. The records inside are read field by field in `map`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The names of `source` in the vendor's specification, autumn 2026. The set is open.
pub(crate) const SOURCES: &[&str] = &[
    "API",
    "WhatsApp",
    "Messenger",
    "Instagram",
    "Slack",
    "Salesforce",
    "Zendesk",
    "Zendesk Messaging",
    "Chatbase site",
    "Playground",
    "Action preview",
    "Qna preview",
    "Widget or Iframe",
    "Iframe",
    "Email",
    "Agent page",
    "Phone",
    "Android SDK",
    "iOS SDK",
    "Center stage",
    "Search",
];

/// The envelope of a page of conversations or messages.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    /// Present, and emptied, if the vendor sent an array.
    pub(crate) data: Option<Vec<Value>>,
    #[serde(default)]
    pub(crate) pagination: Pagination,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pagination {
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) has_more: Option<bool>,
    #[serde(default)]
    pub(crate) total: Option<u64>,
}

/// An agent, bare or under `data`.
#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) data: Option<NamedAgent>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NamedAgent {
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// A page of sources of knowledge.
#[derive(Debug, Deserialize)]
pub(crate) struct Sources {
    pub(crate) data: Vec<NamedSource>,
    #[serde(default)]
    pub(crate) pagination: Pagination,
}

/// A source of knowledge.
#[derive(Debug, Deserialize)]
pub(crate) struct NamedSource {
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// A source of knowledge that was just created, bare or under `data`.
#[derive(Debug, Deserialize)]
pub(crate) struct NewSource {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    data: Option<NamedSource>,
}

impl NewSource {
    /// Returns the vendor's id.
    pub(crate) fn id(self) -> Option<String> {
        self.id.or_else(|| self.data?.id)
    }
}

/// An error response.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    pub(crate) error: FailureBody,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FailureBody {
    pub(crate) code: Option<String>,
    message: Option<String>,
    details: Option<BTreeMap<String, Value>>,
}

impl FailureBody {
    /// Returns the vendor's message, followed by the fields that it rejects.
    pub(crate) fn text(&self) -> Option<String> {
        let details: Vec<_> = self
            .details
            .iter()
            .flatten()
            .map(|(field, text)| {
                format!("{field}: {}", text.as_str().map_or_else(|| text.to_string(), str::to_owned))
            })
            .collect();
        match (&self.message, details.is_empty()) {
            (Some(message), true) => Some(message.clone()),
            (Some(message), false) => Some(format!("{message} ({})", details.join("; "))),
            (None, true) => None,
            (None, false) => Some(details.join("; ")),
        }
    }
}

/// The position of a sweep: of one chain, or of each window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Places {
    One(Place),
    Several(Vec<WindowPlace>),
    SingleChain(SingleChainPlace),
}

/// The position of a sweep that restarted with a single chain, because windows or ids of this deployment are not
/// reliable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SingleChainPlace {
    /// Whether the deployment does not return single conversations by id.
    pub(crate) ignores_id: bool,
    /// `None` at the beginning.
    pub(crate) alone: Option<Place>,
}

/// The position of a chain in its window. Instants are microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowPlace {
    /// The start date that is requested, if it is not the request's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<i64>,
    /// Conversations that began then or earlier belong to another window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<i64>,
    /// Conversations that began later belong to another window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ceiling: Option<i64>,
    /// How many of the counted conversations were read or left to other windows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) done: u64,
    /// `None` if nothing has been read of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The position in the export or in a user's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The vendor's cursor of the next page, opaque.
    pub(crate) cursor: String,
    /// Whether the vendor gave the cursor with a page of summaries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_summaries: bool,
}
