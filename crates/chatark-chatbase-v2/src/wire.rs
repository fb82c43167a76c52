//! The envelopes of Chatbase v2. The records inside are read field by field in `map`.

use std::collections::BTreeMap;

use chatark_core::RecordId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The names of `source` in the vendor's specification, autumn 2026. The set is open.
pub(crate) const CHANNEL_NAMES: &[&str] = &[
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
    /// An empty cursor is none: with it, the list would begin again.
    #[serde(default, deserialize_with = "cursor")]
    pub(crate) cursor: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(crate) has_more: Option<bool>,
    /// A hint: anything but a whole number of at least 0 counts as missing.
    #[serde(default, deserialize_with = "count")]
    pub(crate) total: Option<u64>,
}

fn cursor<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::String(cursor) if !cursor.is_empty() => Some(cursor),
        Value::Number(cursor) => Some(cursor.to_string()),
        _ => None,
    })
}

fn flag<'de, D: Deserializer<'de>>(json: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(json)?.as_bool())
}

fn count<'de, D: Deserializer<'de>>(json: D) -> Result<Option<u64>, D::Error> {
    let number = match Value::deserialize(json)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.and_then(whole))
}

/// Returns a number that is whole and not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
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

/// The position of a sweep, as a resume token stores it: what is left of each segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepPosition {
    pub(crate) segments: Vec<SegmentPosition>,
    /// Whether the export was cut into several segments.
    pub(crate) was_cut: bool,
    /// The ids that came on the first page and while the export was cut, which the segments list again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) read_before: Vec<RecordId>,
    /// Whether whole conversations are read because single ones cannot be fetched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reads_whole: bool,
    /// The newest change that was seen, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest_change: Option<i64>,
    /// What was listed before the sweep restarted, and has not come since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<Unread>,
}

/// A conversation that was listed and not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unread {
    pub(crate) id: RecordId,
    /// When it began, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<i64>,
}

/// The position in a segment. Times are microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentPosition {
    /// The first time in it; open if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// The first time after it; open if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<i64>,
    /// `None` if nothing has been read of it.
    #[serde(default, rename = "place", skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<CursorPosition>,
}

/// The position in a list of pages: the export, a segment of it, or a user's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CursorPosition {
    /// The vendor's cursor of the next page, opaque.
    pub(crate) cursor: String,
    /// Whether the vendor gave the cursor with a page of summaries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_summaries: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pagination_is_read_whatever_its_types_are() {
        let read = |json: Value| {
            let Pagination { cursor, has_more, total } = serde_json::from_value(json).unwrap();
            (cursor, has_more, total)
        };
        for (total, expect) in [
            (json!(30), Some(30)),
            (json!(30.0), Some(30)),
            (json!("30"), Some(30)),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("many"), None),
            (Value::Null, None),
            (json!([]), None),
        ] {
            assert_eq!(read(json!({"total": total})), (None, None, expect), "{total}");
        }
        assert_eq!(read(json!({"cursor": "", "hasMore": true})), (None, Some(true), None));
        assert_eq!(read(json!({"cursor": 7, "hasMore": "yes"})), (Some("7".to_owned()), None, None));
    }
}
