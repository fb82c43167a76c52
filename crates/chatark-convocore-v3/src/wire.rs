//! The envelopes of Convocore. The records inside are read field by field in `map`.
//!
//! Only the fields that control paging are read strictly. Any other field counts as missing if its type is not the
//! documented one, because that is no reason to lose a page.

use chatark_core::{ConversationId, Timestamp, Zone, time};
use chatark_target::original_in;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pack;

/// Any response: the envelope of conversations or an agent, and the three forms in which the vendor reports an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(crate) struct Envelope<T> {
    #[serde(default, deserialize_with = "lenient")]
    success: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    issues: Option<Vec<Value>>,
    #[serde(default, deserialize_with = "lenient")]
    error: Option<ErrorBody>,
    #[serde(default = "none")]
    pub(crate) data: Option<T>,
    #[serde(default, deserialize_with = "lenient")]
    mode: Option<String>,
    #[serde(default)]
    pub(crate) has_more: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    next_cursor: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) scanned_convo_count: Option<u64>,
    /// How many leads were written.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) count: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) usage: Option<Usage>,
    #[serde(default, deserialize_with = "lenient")]
    #[expect(dead_code, reason = "a pull that continues must wait anyway when the next response is a 429")]
    rate_limit: Option<RateLimit>,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    #[serde(default, deserialize_with = "lenient")]
    code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
}

/// What the metered export says about the quota.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) billable_used_this_request: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) billable_used_this_period: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) billable_remaining_this_period: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) summary: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    #[serde(default, deserialize_with = "lenient")]
    #[expect(dead_code, reason = "as above")]
    remaining_hour: Option<u64>,
}

/// An agent. Its `SECRET_API_KEY` is never read.
#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    #[serde(default, rename = "ID", deserialize_with = "lenient")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) name: Option<String>,
}

/// A conversation that was just created.
#[derive(Debug, Deserialize)]
pub(crate) struct CreatedConversation {
    #[serde(default, rename = "ID", alias = "id", deserialize_with = "lenient")]
    pub(crate) id: Option<String>,
}

/// The response to a write of turns.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenTurns {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) messages_num: Option<u64>,
}

/// A conversation at the target, from the list or read by its id; only the latter has notes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedConversation {
    #[serde(default, rename = "ID", deserialize_with = "lenient")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) messages_num: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient")]
    notes: Option<String>,
}

/// A page of leads.
#[derive(Debug, Deserialize)]
pub(crate) struct LeadPage {
    pub(crate) leads: Vec<Lead>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) total: Option<u64>,
}

/// A lead. Its note is written beside the name, and returned in the metadata.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lead {
    #[serde(default, alias = "ID", deserialize_with = "lenient")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    notes: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    meta_data: Option<LeadMetadata>,
}

#[derive(Debug, Deserialize)]
struct LeadMetadata {
    #[serde(default, deserialize_with = "lenient")]
    notes: Option<String>,
}

/// What is read of a conversation's metadata before it is mapped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heading {
    /// Its id.
    pub(crate) id: Option<ConversationId>,
    /// When it began.
    pub(crate) start: Option<Timestamp>,
    /// When it last changed, if the metadata shows it.
    pub(crate) changed: Option<Timestamp>,
    /// How many sessions came before the latest one.
    pub(crate) sessions: u64,
}

/// The metadata that is needed before a conversation is mapped.
#[derive(Debug, Deserialize)]
struct HeadingMetadata {
    #[serde(default, deserialize_with = "lenient")]
    convo: Option<HeadingConversation>,
    #[serde(default, rename = "ID")]
    id: Option<Value>,
    #[serde(default)]
    ts: Option<Value>,
    #[serde(default, rename = "lastMessageTS")]
    last_message: Option<Value>,
    #[serde(default, rename = "lastModified")]
    last_modified: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    sessions: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
struct HeadingConversation {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default, rename = "ID")]
    old_id: Option<Value>,
    #[serde(default)]
    ts: Option<Value>,
    #[serde(default, rename = "lastMessageTS")]
    last_message: Option<Value>,
    #[serde(default, rename = "lastModified")]
    last_modified: Option<Value>,
}

/// The times of a record's messages as slices of its bytes, and nothing else: a long conversation is not held twice.
#[derive(Debug, Deserialize)]
pub(crate) struct RawTimes<'a> {
    #[serde(default, borrow)]
    turns: Vec<TimedTurn<'a>>,
}

#[derive(Debug, Deserialize)]
struct TimedTurn<'a> {
    #[serde(default, borrow)]
    ts: Option<&'a RawValue>,
    #[serde(default, borrow)]
    messages: Vec<TimedMessage<'a>>,
}

#[derive(Debug, Deserialize)]
struct TimedMessage<'a> {
    #[serde(default, borrow)]
    ts: Option<&'a RawValue>,
}

impl RawTimes<'_> {
    /// Returns the JSON of the times in the order of the messages, each turn's own time before those of its messages.
    pub(crate) fn times(&self) -> impl DoubleEndedIterator<Item = &RawValue> {
        self.turns
            .iter()
            .flat_map(|turn| turn.ts.into_iter().chain(turn.messages.iter().filter_map(|message| message.ts)))
    }
}

impl ListedConversation {
    /// Returns the external id of a conversation that a migration has created, if its note is shown.
    pub(crate) fn external_id(&self) -> Option<String> {
        self.notes.as_deref().and_then(original_in).map(str::to_owned)
    }

    /// Returns whether a migration has created it, by its tags.
    pub(crate) fn is_migrated(&self) -> bool {
        self.tags.iter().flatten().any(|tag| tag.starts_with(pack::TAG_PREFIX))
    }
}

impl Lead {
    /// Returns the external id of a lead that a migration has created.
    pub(crate) fn external_id(&self) -> Option<String> {
        let metadata = self.meta_data.as_ref().and_then(|metadata| metadata.notes.as_deref());
        [self.notes.as_deref(), metadata].into_iter().flatten().find_map(original_in).map(str::to_owned)
    }
}

impl<T> Envelope<T> {
    /// Returns whether the response reports an error, whatever its status.
    pub(crate) fn is_error(&self) -> bool {
        let is_failure = self.data.is_none() && self.code().is_some() && self.text().is_some();
        self.success == Some(false) || is_failure
    }

    /// Returns the vendor's code of an error.
    pub(crate) fn code(&self) -> Option<&str> {
        let inner = self.error.as_ref().and_then(|error| error.code.as_deref());
        self.code.as_deref().or(inner)
    }

    /// Returns the vendor's message, followed by its `issues` with the request.
    pub(crate) fn text(&self) -> Option<String> {
        let inner = self.error.as_ref().and_then(|error| error.message.as_deref());
        let message = self.message.as_deref().or(inner);
        let issues: Vec<_> = self.issues.iter().flatten().filter_map(issue_text).collect();
        match (message, issues.is_empty()) {
            (Some(message), true) => Some(message.to_owned()),
            (Some(message), false) => Some(format!("{message} ({})", issues.join("; "))),
            (None, true) => None,
            (None, false) => Some(issues.join("; ")),
        }
    }

    /// Returns whether the server uses pages; an older one returns everything in one array.
    pub(crate) fn is_paged(&self) -> bool {
        self.has_more.is_some() || self.next_cursor.is_some() || self.mode.is_some()
    }

    /// Returns the vendor's own text about a success.
    pub(crate) fn success_text(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns whether the response has a cursor key, even if it is `null`.
    pub(crate) fn has_cursor_key(&self) -> bool {
        self.next_cursor.is_some()
    }

    /// Returns the cursor of the next page: anything but a text that is not empty is the end of the list, whatever
    /// `hasMore` says.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.next_cursor.as_ref().and_then(Value::as_str).filter(|cursor| !cursor.is_empty())
    }
}

/// Reads the id and the times of a conversation from its metadata, each from the first place that has one.
pub(crate) fn heading(metadata: Value) -> Heading {
    let Ok(outer) = serde_json::from_value::<HeadingMetadata>(metadata) else {
        return Heading::default();
    };
    let inner = outer.convo.unwrap_or_default();
    let ids = [&inner.id, &outer.id, &inner.old_id];
    let starts = [&inner.ts, &outer.ts];
    let changes = [&inner.last_message, &inner.last_modified, &outer.last_message, &outer.last_modified];
    Heading {
        id: ids.into_iter().flatten().find_map(ConversationId::from_json),
        start: starts.into_iter().find_map(|value| instant(value.as_ref())),
        changed: changes.into_iter().filter_map(|value| instant(value.as_ref())).max(),
        sessions: outer.sessions.map_or(0, |past| past.len() as u64),
    }
}

/// Reads a time in any unit, or nothing.
pub(crate) fn instant(value: Option<&Value>) -> Option<Timestamp> {
    time::read(value?, Zone::UTC).ok().map(|(instant, _)| instant)
}

/// Returns the numbers of conversations that a text of the vendor names, such as 12 in `Exported 12 conversation(s)`.
pub(crate) fn conversation_counts(text: &str) -> Vec<u64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_named =
        |at: usize| words[at + 1..].iter().take(2).any(|word| word.get(..5).is_some_and(is_conversation));
    let numbers = words.iter().enumerate().filter(|(at, _)| is_named(*at));
    numbers.filter_map(|(_, word)| word.replace(',', "").parse().ok()).collect()
}

fn is_conversation(word: &str) -> bool {
    word.eq_ignore_ascii_case("conve") || word.eq_ignore_ascii_case("convo")
}

/// Writes one of the framework's `issues` as `path: message`.
fn issue_text(issue: &Value) -> Option<String> {
    let message = issue.get("message")?.as_str()?;
    let segment = |segment: &Value| segment.as_str().map_or_else(|| segment.to_string(), str::to_owned);
    let path: Vec<_> =
        issue.get("path").and_then(Value::as_array).into_iter().flatten().map(segment).collect();
    Some(if path.is_empty() { message.to_owned() } else { format!("{}: {message}", path.join(".")) })
}

fn none<T>() -> Option<T> {
    None
}

/// Reads a value; `None` if it has another type.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(json: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(json)?).ok())
}

/// Reads a value, so that `null` is distinguished from a missing value.
fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(json).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(mut conversation: Value, expect: Option<&str>) {
        let metadata = conversation.get_mut("metadata").map_or(Value::Null, Value::take);
        let found = heading(metadata).id;
        assert_eq!(found.as_ref().map(ConversationId::as_str), expect);
    }

    #[test]
    fn times_are_read_in_both_units_and_generations() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        let paged = heading(json!({"convo": {"ts": 1_733_049_000, "lastModified": 1_785_692_957_753_i64}}));
        assert_eq!((paged.start, paged.changed), (at(1_733_049_000), at(1_785_692_957_753)));
        let edge = heading(json!({"ID": "a", "ts": "1733049000", "lastMessageTS": 1_733_049_001}));
        assert_eq!((edge.start, edge.changed), (at(1_733_049_000), at(1_733_049_001)));
        assert_eq!(heading(json!({"convo": {"ts": "soon"}})), Heading::default());
    }

    #[test]
    fn numbers_of_conversations_are_found_in_a_text() {
        for (text, expect) in [
            ("Exported 12 conversation(s) (15 billable session(s)). Paginated.", vec![12]),
            ("Exported 200 of 1,010 conversations", vec![1_010]),
            ("210 total Convos", vec![210]),
            ("Conversations exported successfully", vec![]),
            ("12", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(conversation_counts(text), expect, "{text}");
        }
    }

    #[test]
    fn an_id_is_found_in_three_places() {
        check(json!({"metadata": {"convo": {"id": "a", "ID": "b"}, "ID": "c"}}), Some("a"));
        check(json!({"metadata": {"convo": {"id": "", "ID": "b"}, "ID": "c"}}), Some("c"));
        check(json!({"metadata": {"convo": {"id": null, "ID": "b"}}}), Some("b"));
        check(json!({"metadata": {"convo": "x", "ID": 42}}), Some("42"));
        check(json!({"metadata": {"convo": {}}}), None);
        check(json!({"id": "a"}), None);
        check(json!([]), None);
    }

    #[test]
    fn a_field_of_another_type_counts_as_missing() {
        let envelope: Envelope<Vec<Value>> = serde_json::from_value(json!({
            "success": "yes", "message": 1, "data": [], "mode": 2, "scannedConvoCount": -1,
            "usage": {"billableUsedThisRequest": "many", "summary": "s"}, "rateLimit": [], "nextCursor": 7,
        }))
        .unwrap();
        assert!(!envelope.is_error() && envelope.text().is_none() && envelope.scanned_convo_count.is_none());
        assert!(envelope.is_paged() && envelope.cursor().is_none());
        let usage = envelope.usage.unwrap();
        assert_eq!((usage.billable_used_this_request, usage.summary.as_deref()), (None, Some("s")));
        assert!(serde_json::from_value::<Envelope<Value>>(json!({"hasMore": "yes"})).is_err());
    }

    #[test]
    fn the_agents_secret_is_not_read() {
        let agent: Agent =
            serde_json::from_value(json!({"ID": "a", "title": "Shop", "SECRET_API_KEY": "vg_secret"}))
                .unwrap();
        assert!(!format!("{agent:?}").contains("secret"));
    }
}
