//! Chatbase v2's JSON to the shared model. Pure: no client, no clock, no order.
//!
//! The fields and their meaning are from the vendor's v2 specification and official CLI, autumn 2026; see
//! `docs/vendors/chatbase-v2.md`.

use std::fmt;
use std::result::Result as StdResult;

use chatark_core::fields::{self, Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{
    Channel, Conversation, ConversationId, Feedback, HeldSummary, Issue, IssueKind, Issues, Message, Part,
    RecordId, Result, Role, Status, Timestamp, Zone, time,
};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The key that marks an envelope, which earlier versions put around a conversation of a user's list and its messages.
const ENVELOPE_KEY: &str = "chatark_surface";
/// The statuses of a tool's result. An output with another word at `status` is data of the tool.
const RESULT_STATUSES: [&str; 4] = ["success", "error", "pending", "ignored"];

/// Maps one conversation of the export, or one in the envelope of earlier versions.
pub(crate) fn exported(raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
    let issues = Issues::default();
    let mut record = fields::parse(raw, &issues)?;
    let from_user = record.remove(ENVELOPE_KEY).is_some();
    if from_user {
        let messages = record.remove("messages").unwrap_or_default();
        if let Some(Value::Object(listed)) = record.remove("conversation") {
            record = listed;
        }
        record.insert("messages".to_owned(), messages);
    }
    Ok(mapped(record, from_user, issues))
}

/// Maps one conversation of a user's list with its messages, which the vendor lists separately.
pub(crate) fn of_user<'a>(
    listed: &[u8],
    messages: impl Iterator<Item = &'a [u8]>,
) -> Result<(Conversation, Vec<Issue>)> {
    let issues = Issues::default();
    let mut record = fields::parse(listed, &issues)?;
    if record.contains_key(ENVELOPE_KEY) {
        return exported(listed);
    }
    let message = |bytes: &[u8]| match fields::parse(bytes, &issues) {
        Ok(message) => Value::Object(message),
        // An element that is not an object is kept as a message, so that the positions of the others stay right.
        Err(_) => serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into()),
    };
    let messages = messages.map(message).collect();
    record.insert("messages".to_owned(), Value::Array(messages));
    Ok(mapped(record, true, issues))
}

fn mapped(record: Map<String, Value>, from_user: bool, issues: Issues) -> (Conversation, Vec<Issue>) {
    let mut conversation = conversation(Fields::of(record, &issues));
    if from_user && conversation.channel_raw.is_none() {
        // By the vendor's documents, this surface has only conversations that were created through its API.
        conversation.channel = Some(Channel::Api);
        conversation.derived.push("channel".to_owned());
    }
    conversation.derive_missing_times();
    (conversation, issues.into_vec())
}

/// What an element of the export says about a conversation, without its messages.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) id: Option<RecordId>,
    /// Whether the element has messages, and so is more than a summary.
    pub(crate) is_whole: bool,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) held: HeldSummary,
    /// The fields that the vendor's documents do not name, as JSON; `None` if there are none.
    pub(crate) unknown: Option<String>,
}

/// Reads the id of a conversation, when it began and when it last changed, and nothing else.
pub(crate) fn identity(raw: &[u8]) -> Summary {
    let [id, created_at, updated_at] = fields::peek(raw, ["id", "createdAt", "updatedAt"]);
    let instant = |value| time::read(&value, Zone::UTC).ok().map(|(at, _)| at);
    let held = HeldSummary { updated_at: instant(updated_at), ..HeldSummary::default() };
    Summary {
        id: RecordId::from_json(&id),
        is_whole: true,
        created_at: instant(created_at),
        held,
        unknown: None,
    }
}

/// Reads the fields by which a changed conversation is recognised, as the mapper reads them.
pub(crate) fn summary(raw: &[u8]) -> Summary {
    let issues = Issues::default();
    let Ok(mut record) = summary_fields(raw).map_or_else(|| fields::parse(raw, &issues), Ok) else {
        return Summary {
            id: None,
            is_whole: false,
            created_at: None,
            held: HeldSummary::default(),
            unknown: None,
        };
    };
    let is_whole = record.remove("messages").is_some_and(|messages| !messages.is_null());
    let id = record.get("id").and_then(RecordId::from_json);
    let mut conversation = conversation(Fields::of(record, &issues));
    let unknown = std::mem::take(&mut conversation.extra);
    let Conversation { created_at, updated_at, title, status_raw, channel_raw, contact, .. } = conversation;
    let held = HeldSummary {
        updated_at,
        title,
        status_raw,
        channel_raw,
        contact_id: contact.id,
        ..HeldSummary::default()
    };
    let unknown = (!unknown.is_empty()).then(|| Value::Object(unknown).to_string());
    Summary { id, is_whole, created_at, held, unknown }
}

/// Reads the fields of a summary without building the messages: an empty list stands for them.
fn summary_fields(raw: &[u8]) -> Option<Map<String, Value>> {
    struct Summaries;

    impl<'de> Visitor<'de> for Summaries {
        type Value = Map<String, Value>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> StdResult<Self::Value, A::Error> {
            let mut fields = Map::new();
            while let Some(key) = entries.next_key::<String>()? {
                let value = if key == "messages" {
                    let messages: Option<IgnoredAny> = entries.next_value()?;
                    messages.map_or(Value::Null, |_| Value::Array(Vec::new()))
                } else {
                    entries.next_value()?
                };
                fields.insert(key, value);
            }
            Ok(fields)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(raw);
    let fields = json.deserialize_map(Summaries).ok()?;
    json.end().ok().map(|()| fields)
}

fn conversation(mut fields: Fields<'_>) -> Conversation {
    let id = fields.id("id").unwrap_or_default();
    let mut conversation = Conversation::empty(ConversationId::new(id));
    conversation.title = fields.text("title");
    conversation.created_at = fields.time("createdAt", Zone::UTC);
    conversation.updated_at = fields.time("updatedAt", Zone::UTC);
    conversation.contact.id = fields.id("userId");
    (conversation.channel, conversation.channel_raw) = fields.channel("source");
    if let Some((status, raw)) = fields.word("status", Status::from_word) {
        conversation.status = Some(status.unwrap_or(Status::Other));
        conversation.status_raw = Some(raw);
    }
    match fields.list("messages") {
        Some(messages) => {
            let path = Path::Key(fields.path(), "messages");
            conversation.messages = messages
                .into_iter()
                .enumerate()
                .map(|(at, value)| message(value, Path::Index(&path, at), fields.issues()))
                .collect();
        }
        None if fields.has("messages") => {}
        None => fields.report(IssueKind::Missing, "messages"),
    }
    conversation.extra = fields.finish(&["embedOrigin"]);
    conversation
}

fn message(value: Value, path: Path<'_>, issues: &Issues) -> Message {
    let mut fields = match Fields::open(value, path, issues) {
        Ok(fields) => fields,
        Err(value) => return Message::unreadable(value),
    };
    let mut message = Message::empty(Role::Other);
    message.id = fields.id("id");
    match fields.word("role", role) {
        Some((Some(role), _)) => message.role = role,
        Some((None, raw)) => message.role_raw = Some(raw),
        None => fields.report(IssueKind::Missing, "role"),
    }
    message.created_at = fields.time("createdAt", Zone::UTC);
    if let Some((feedback, raw)) = fields.word("feedback", Feedback::from_word) {
        message.feedback = feedback;
        if feedback.is_none() {
            fields.keep("feedback", raw.into());
        }
    }
    let mut leftovers = Map::new();
    if let Some(list) = fields.list("parts") {
        let path = Path::Key(fields.path(), "parts");
        for (at, value) in list.into_iter().enumerate() {
            message.parts.push(part(value, Path::Index(&path, at), issues, at, &mut leftovers));
        }
    }
    if let Some(metadata) = fields.take("metadata") {
        match Fields::open(metadata, Path::Key(fields.path(), "metadata"), issues) {
            Ok(mut metadata) => {
                message.score = metadata.fraction("score");
                nest(&mut leftovers, "metadata", metadata.finish(&["score"]));
            }
            Err(value) => fields.keep("metadata", value),
        }
    }
    message.extra = fields.finish(&[]);
    message.extra.extend(leftovers);
    message
}

fn role(word: &str) -> Option<Role> {
    match word {
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        _ => None,
    }
}

fn part(
    value: Value,
    path: Path<'_>,
    issues: &Issues,
    at: usize,
    leftovers: &mut Map<String, Value>,
) -> Part {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let prefix = format!("parts[{at}]");
    let readable = match kind.as_str() {
        "text" => value.get("text").is_some_and(Value::is_string),
        "tool-call" | "tool-result" => true,
        _ => false,
    };
    if !readable {
        issues.add(IssueKind::UnknownValue, &Path::Key(&path, "type"));
        return Part::Other { kind, data: value };
    }
    let mut fields = match Fields::open(value, path, issues) {
        Ok(fields) => fields,
        Err(data) => return Part::Other { kind, data },
    };
    fields.take("type");
    let part = match kind.as_str() {
        "text" => Part::text(fields.text("text").unwrap_or_default()),
        "tool-call" => Part::ToolCall {
            id: fields.id("toolCallId"),
            name: fields.text("toolName"),
            input: fields.take("input"),
        },
        _ => tool_result(&mut fields, &prefix, leftovers),
    };
    nest(leftovers, &prefix, fields.finish(&[]));
    part
}

/// Reads the result of a tool: `{status, data?, error?}` in the export, any JSON from the messages endpoint.
fn tool_result(fields: &mut Fields<'_>, prefix: &str, leftovers: &mut Map<String, Value>) -> Part {
    let (id, name) = (fields.id("toolCallId"), fields.text("toolName"));
    let output = fields.take("output");
    let word = output.as_ref().and_then(|output| output.get("status")).and_then(Value::as_str);
    let status = word.filter(|word| RESULT_STATUSES.contains(word)).map(str::to_owned);
    let Some(Value::Object(mut union)) = output.clone().filter(|_| status.is_some()) else {
        return Part::ToolResult { id, name, status: None, data: output, error: None };
    };
    union.remove("status");
    let data = union.remove("data").filter(|data| !data.is_null());
    let error = union.remove("error").filter(|error| !error.is_null());
    nest(leftovers, &format!("{prefix}.output"), union);
    Part::ToolResult { id, name, status, data, error }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatark_core::{Author, AuthorKind};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sample(text: &str) -> Vec<Value> {
        let sample: Value = serde_json::from_str(text).unwrap();
        sample["response"]["body"]["data"].as_array().unwrap().clone()
    }

    fn read(value: &Value) -> (Conversation, Vec<Issue>) {
        exported(&serde_json::to_vec(value).unwrap()).unwrap()
    }

    fn times(conversation: &Conversation) -> Vec<Option<String>> {
        conversation.messages.iter().map(|message| message.created_at.map(|at| at.to_string())).collect()
    }

    #[test]
    fn maps_the_first_sample_page() {
        let page = sample(include_str!("../tests/fixtures/chatbase-v2-export-page1.json"));
        assert_eq!(page.len(), 4);

        let (order, issues) = read(&page[0]);
        assert_eq!(issues, []);
        assert_eq!(order.id.as_str(), "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d");
        assert_eq!(order.title.as_deref(), Some("Order 1042 not delivered"));
        assert_eq!(
            (order.channel, order.channel_raw.as_deref()),
            (Some(Channel::Website), Some("Widget or Iframe"))
        );
        assert_eq!((order.status, order.status_raw.as_deref()), (Some(Status::Ended), Some("ended")));
        assert_eq!(order.created_at.unwrap().to_string(), "2026-09-21T14:13:20Z");
        assert_eq!(order.updated_at.unwrap().to_string(), "2026-09-21T14:20:12Z");
        assert!(order.derived.is_empty() && order.extra.is_empty());
        let at = |time: &str| Some(format!("2026-09-21T14:{time}Z"));
        assert_eq!(times(&order), [None, at("13:51"), at("13:56"), at("20:00"), at("20:12")]);
        let roles: Vec<_> = order.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["assistant", "user", "assistant", "user", "assistant"]);
        // The vendor names no author, and has no word for a person who answers in place of the bot.
        let kinds: Vec<_> = order.messages.iter().map(Message::author_kind).collect();
        let (bot, customer) = (Some(AuthorKind::Bot), Some(AuthorKind::Customer));
        assert_eq!(kinds, [bot, customer, bot, customer, bot]);
        assert!(
            order.messages.iter().all(|message| message.author == Author::default() && !message.internal)
        );
        assert_eq!(order.messages[1].text(), "Wo bleibt meine Bestellung #1042? 📦");
        let answer = &order.messages[2];
        assert_eq!((answer.feedback, answer.score), (Some(Feedback::Positive), Some(0.82)));
        assert_eq!(answer.text(), "Your order is on its way.\nExpected: **24 Sept**.");
        assert_eq!(
            answer.parts[0],
            Part::ToolCall { id: Some("call_9x1".into()), name: Some("lookup_order".into()), input: None }
        );
        assert_eq!(
            answer.parts[1],
            Part::ToolResult {
                id: Some("call_9x1".into()),
                name: Some("lookup_order".into()),
                status: Some("success".into()),
                data: Some(json!({"orderId": "1042", "state": "in_transit", "eta": "2026-09-24"})),
                error: None,
            }
        );
        assert_eq!(order.messages[4].score, None);

        let (cancel, issues) = read(&page[1]);
        assert_eq!(issues, []);
        assert_eq!(cancel.contact.id.as_deref(), Some("user_abc123"));
        assert_eq!((cancel.status, cancel.channel), (Some(Status::TakenOver), Some(Channel::Api)));
        assert_eq!(cancel.messages[1].feedback, Some(Feedback::Negative));
        assert!(matches!(&cancel.messages[1].parts[1],
            Part::ToolResult { status: Some(status), error: Some(error), data: None, .. }
                if status == "error" && error == "subscription not found"));

        let (hours, issues) = read(&page[2]);
        assert_eq!((issues.len(), hours.status, hours.messages.len()), (0, Some(Status::Paused), 0));
        assert_eq!(hours.id.as_str(), "wa_15550100_1789980000");

        let (refund, issues) = read(&page[3]);
        assert_eq!((issues.len(), refund.channel, refund.channel_raw), (0, None, None));
        assert_eq!((refund.messages[0].parts.len(), refund.messages[0].text().as_str()), (0, ""));
        let statuses: Vec<_> = refund.messages[1]
            .parts
            .iter()
            .map(|part| if let Part::ToolResult { status, .. } = part { status.as_deref() } else { None })
            .collect();
        assert_eq!(statuses, [Some("pending"), Some("ignored")]);
    }

    #[test]
    fn the_last_sample_page_has_no_message_times() {
        let page = sample(include_str!("../tests/fixtures/chatbase-v2-export-last-page.json"));
        let (pricing, issues) = read(&page[0]);
        assert_eq!(issues, []);
        assert_eq!(
            (pricing.channel, pricing.created_at.unwrap().to_string().as_str()),
            (Some(Channel::Instagram), "2024-01-01T00:00:00Z")
        );
        assert_eq!(times(&pricing), [None, None]);
        assert_eq!(pricing.messages[1].score, Some(0.5));
    }

    #[test]
    fn reports_that_a_summary_has_no_messages() {
        let page = sample(include_str!("../tests/fixtures/chatbase-v2-export-summary.json"));
        let (summary, issues) = read(&page[0]);
        assert!(summary.messages.is_empty());
        assert_eq!(issues, [Issue::new(IssueKind::Missing, "messages")]);
    }

    #[test]
    fn maps_a_users_conversation_with_its_messages() {
        let list = sample(include_str!("../tests/fixtures/chatbase-v2-list-conversations.json"));
        let messages = sample(include_str!("../tests/fixtures/chatbase-v2-messages-page.json"));
        let messages: Vec<_> = messages.iter().map(|message| Bytes::from(message.to_string())).collect();
        let (found, issues) =
            of_user(list[0].to_string().as_bytes(), messages.iter().map(|message| &message[..])).unwrap();
        assert_eq!(issues, []);
        assert_eq!(found.title.as_deref(), Some("Quantum computing basics"));
        assert_eq!((found.channel, found.channel_raw.as_deref()), (Some(Channel::Api), None));
        assert_eq!(found.derived, ["channel"]);
        let Part::ToolCall { input, .. } = &found.messages[0].parts[0] else { panic!("no tool call") };
        assert_eq!(input, &Some(json!({"orderId": "1042"})));
        assert_eq!(found.messages[0].extra["parts[1].output.debug"], json!({"ms": 182}));
        assert_eq!(found.messages[1].text(), "thanks");
    }

    #[test]
    fn only_the_documented_words_are_the_status_of_a_tools_result() {
        let result = |output: &Value| {
            let part =
                json!({"type": "tool-result", "toolCallId": "t", "toolName": "track", "output": output});
            let (found, issues) =
                read(&json!({"id": "c", "messages": [{"role": "assistant", "parts": [part]}]}));
            assert_eq!(issues, []);
            let Part::ToolResult { status, data, error, .. } = found.messages[0].parts[0].clone() else {
                panic!("no tool result")
            };
            assert!(found.messages[0].extra.is_empty());
            (status, data, error)
        };
        for data in [
            json!({"status": "shipped", "eta": "2026-12-01", "data": 1, "error": null}),
            json!({"status": "Success", "data": 1}),
            json!({"status": "", "data": 1}),
            json!({"status": 200, "error": "x"}),
            json!("success"),
        ] {
            assert_eq!(result(&data), (None, Some(data), None));
        }
        for word in ["success", "error", "pending", "ignored"] {
            assert_eq!(
                result(&json!({"status": word, "data": 1, "error": "x"})),
                (Some(word.to_owned()), Some(json!(1)), Some(json!("x")))
            );
        }
    }

    #[test]
    fn a_users_conversation_as_archived_by_older_versions_maps_to_the_same_document() {
        let listed = json!({"id": "c", "title": "Order", "source": null});
        let messages = [
            json!({"id": "m1", "role": "user", "parts": [{"type": "text", "text": "one"}]}),
            json!({"id": "m2", "role": "wizard", "parts": []}),
        ];
        let form = json!({"chatark_surface": "user", "conversation": listed, "messages": messages});
        let separate: Vec<_> = messages.iter().map(ToString::to_string).collect();
        let now = of_user(listed.to_string().as_bytes(), separate.iter().map(String::as_bytes)).unwrap();
        assert_eq!(read(&form), now);
        // The same bytes give the same document if they are read as a conversation of a user's list.
        assert_eq!(of_user(form.to_string().as_bytes(), std::iter::empty()).unwrap(), now);
        assert_eq!((now.0.channel, now.0.messages.len(), now.1.len()), (Some(Channel::Api), 2, 1));
    }

    #[test]
    fn a_message_that_is_not_an_object_keeps_its_position() {
        let messages = [&b"17"[..], b"\xff", br#"{"id":"m","role":"user","parts":[]}"#];
        let (found, issues) = of_user(br#"{"id":"c"}"#, messages.into_iter()).unwrap();
        assert!(matches!(&found.messages[0].parts[0], Part::Other { data, .. } if data == 17));
        assert!(matches!(&found.messages[1].parts[0], Part::Other { data, .. } if data == "\u{fffd}"));
        assert_eq!(found.messages[2].id.as_deref(), Some("m"));
        let described: Vec<_> =
            issues.iter().map(|issue| format!("{} {}", issue.kind.as_str(), issue.path)).collect();
        assert_eq!(described, ["wrong-type messages[0]", "wrong-type messages[1]"]);
        assert!(of_user(b"[]", std::iter::empty()).is_err(), "a conversation must be an object");
    }

    #[test]
    fn a_search_result_keeps_unmapped_fields() {
        let page = sample(include_str!("../tests/fixtures/chatbase-v2-search.json"));
        let (found, issues) = read(&page[1]);
        assert_eq!(found.extra["embedOrigin"], "https://shop.example.com");
        assert_eq!(
            issues,
            [Issue::new(IssueKind::Missing, "messages"), Issue::new(IssueKind::UnknownField, "snippet")]
        );
    }

    #[test]
    fn unknown_fields_and_values_are_kept_and_reported() {
        let (found, issues) = read(&json!({
            "id": "c", "title": 5, "createdAt": 1_790_000_000_000_i64, "updatedAt": "soon", "source": "Pigeon",
            "status": "frozen", "mood": "good",
            "messages": [
                {"id": "m", "role": "robot", "parts": [{"type": "hologram", "shape": 1}], "feedback": "great", "lang": "en"},
                "not an object",
                {"id": 7, "role": "user", "parts": "text", "metadata": {"score": 7, "model": "x"}},
            ],
        }));
        assert_eq!(found.created_at.unwrap().to_string(), "2026-09-21T14:13:20Z");
        assert_eq!((found.status, found.channel), (Some(Status::Other), Some(Channel::Other)));
        assert_eq!(Value::Object(found.extra), json!({"title": 5, "updatedAt": "soon", "mood": "good"}));
        let [robot, scrap, user] = found.messages.as_slice() else { panic!("messages were lost") };
        assert_eq!((robot.role, robot.role_raw.as_deref()), (Role::Other, Some("robot")));
        assert!(
            matches!(&robot.parts[0], Part::Other { kind, data } if kind == "hologram" && data["shape"] == 1)
        );
        assert_eq!(Value::Object(robot.extra.clone()), json!({"feedback": "great", "lang": "en"}));
        assert!(matches!(&scrap.parts[0], Part::Other { data, .. } if data == "not an object"));
        assert_eq!(user.id.as_deref(), Some("7"));
        assert_eq!(
            Value::Object(user.extra.clone()),
            json!({"parts": "text", "metadata.score": 7.0, "metadata.model": "x"})
        );
        let found: Vec<_> =
            issues.iter().map(|issue| format!("{} {}", issue.kind.as_str(), issue.path)).collect();
        assert_eq!(
            found,
            [
                "wrong-type title",
                "time-unreadable updatedAt",
                "unknown-value source",
                "unknown-value status",
                "unknown-value messages[0].role",
                "unknown-value messages[0].feedback",
                "unknown-value messages[0].parts[0].type",
                "unknown-field messages[0].lang",
                "wrong-type messages[1]",
                "wrong-type messages[2].parts",
                "unknown-value messages[2].metadata.score",
                "unknown-field messages[2].metadata.model",
                "unknown-field mood",
            ]
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            "(text|tool-call|tool-result|user|assistant|positive|ended)".prop_map(Value::from),
        ];
        let key = "(id|title|createdAt|updatedAt|source|status|messages|role|parts|type|text|output|metadata|score|feedback|toolName|chatark_surface|conversation|x)";
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_panics(value in any_json()) {
            let raw = serde_json::to_vec(&value).unwrap();
            let _ = exported(&raw);
            let _ = of_user(&raw, [&raw[..], b"{}"].into_iter());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = exported(&bytes);
            let _ = of_user(&bytes, [&bytes[..]].into_iter());
            let _ = of_user(b"{}", [&bytes[..]].into_iter());
        }
    }
}
