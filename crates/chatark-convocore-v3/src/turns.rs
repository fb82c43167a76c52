//! Reads the turns of a conversation and of its past sessions into messages.

use chatark_core::fields::{Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{Feedback, IssueKind, Issues, Message, Role, Timestamp, Zone};
use serde_json::{Map, Value};

use crate::feedback;
use crate::message_time::MessageTime;
use crate::parts;

/// Fields of turns that the model has no place for.
const TURN: &[&str] = &["langchainMessages", "modelId", "session_id", "sources"];

/// Fields of messages that the model has no place for.
const MESSAGE: &[&str] = &[
    "VGPayload",
    "action",
    "content",
    "delay",
    "isLoading",
    "item",
    "mask",
    "modelId",
    "placeholderImage",
    "rawItem",
    "replyTo",
    "sendError",
    "session_id",
    "sourceLabel",
];

/// Types of control messages, which nobody has written.
const CONTROL: &[&str] = &[
    "launch",
    "end",
    "no-reply",
    "stealth",
    "GetBrowserData",
    "SetConvoData",
    "SetRuntime",
    "VFVG_Channel",
    "VGVF_Channel",
    "VG_Response",
];

/// The keys under which a message may have its payload: as exported, as stored, and as stored in older rows.
const PAYLOADS: [&str; 4] = ["payload", "item", "rawItem", "content"];

/// Reads turns and their messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnReader<'a> {
    /// Where issues are collected.
    pub(crate) issues: &'a Issues,
    /// The zone of times that are written without one.
    pub(crate) zone: Zone,
    /// Whether a human agent took over the conversation at some time.
    pub(crate) is_handed_over: bool,
}

/// The messages of several turns.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// The messages in order.
    pub(crate) messages: Vec<Message>,
    /// The time of the first message that has one.
    pub(crate) first: Option<MessageTime>,
    /// The time of the latest message in order that has one.
    pub(crate) previous: Option<Timestamp>,
    /// Fields of turns that have no message to keep them.
    pub(crate) stray: Map<String, Value>,
}

/// The role, if the vendor's word for it is known, and the word.
type Speaker = (Option<Role>, String);

/// What a turn says about all of its messages.
#[derive(Debug)]
struct Turn {
    speaker: Option<Speaker>,
    time: Option<MessageTime>,
    is_generated: Option<bool>,
}

/// The content of a message, under whichever key, and the fields around it.
#[derive(Debug, Default)]
struct Item {
    kind: Option<String>,
    payload: Option<Value>,
    /// Whether the payload is under `payload` inside the item.
    is_nested: bool,
    time: Option<MessageTime>,
    is_generated: Option<bool>,
    feedback: Option<Feedback>,
    leftovers: Map<String, Value>,
}

impl TurnReader<'_> {
    /// Reads past sessions, oldest first. The first time is that of the first session, in which the conversation began.
    pub(crate) fn sessions(&self, sessions: Vec<Value>, path: &Path<'_>) -> Transcript {
        let mut transcript = Transcript::default();
        for (at, value) in sessions.into_iter().enumerate() {
            let first = transcript.first;
            self.session(value, Path::Index(path, at), &mut transcript);
            if at > 0 {
                transcript.first = first;
            }
        }
        transcript
    }

    /// Reads turns.
    pub(crate) fn turns(&self, turns: Vec<Value>, path: &Path<'_>, transcript: &mut Transcript) {
        for (at, value) in turns.into_iter().enumerate() {
            self.turn(value, Path::Index(path, at), transcript);
        }
    }

    /// Reads one past session: a list of turns, or an object with one.
    fn session(&self, value: Value, path: Path<'_>, transcript: &mut Transcript) {
        let has_turns = value.get("turns").is_some_and(Value::is_array);
        match value {
            Value::Array(turns) => self.turns(turns, &path, transcript),
            value @ Value::Object(_) if has_turns => {
                let Ok(mut fields) = Fields::open(value, path, self.issues) else { return };
                let turns = fields.list("turns").unwrap_or_default();
                self.turns(turns, &Path::Key(&path, "turns"), transcript);
                nest(&mut transcript.stray, &path.to_string(), fields.finish(&[]));
            }
            other => {
                self.issues.add(IssueKind::WrongType, &path);
                transcript.stray.insert(path.to_string(), other);
            }
        }
    }

    fn turn(&self, value: Value, path: Path<'_>, transcript: &mut Transcript) {
        let mut fields = match Fields::open(value, path, self.issues) {
            Ok(fields) => fields,
            Err(value) => return transcript.messages.push(Message::unreadable(value)),
        };
        let turn = Turn {
            speaker: fields.word("from", role),
            time: self.time(&mut fields, "ts"),
            is_generated: fields.flag("isAIGenerated"),
        };
        let begin = transcript.messages.len();
        match fields.list("messages") {
            Some(messages) => {
                let path = Path::Key(&path, "messages");
                for (at, value) in messages.into_iter().enumerate() {
                    self.message(value, Path::Index(&path, at), &turn, transcript);
                }
            }
            None if fields.has("messages") => {}
            None => fields.report(IssueKind::Missing, "messages"),
        }
        let leftovers = without_empty_lists(fields.finish(TURN));
        match transcript.messages.get_mut(begin) {
            Some(message) => nest(&mut message.extra, "turn", leftovers),
            None => nest(&mut transcript.stray, &path.to_string(), leftovers),
        }
    }

    fn message(&self, value: Value, path: Path<'_>, turn: &Turn, transcript: &mut Transcript) {
        let mut fields = match Fields::open(value, path, self.issues) {
            Ok(fields) => fields,
            Err(value) => return transcript.messages.push(Message::unreadable(value)),
        };
        let key = PAYLOADS.into_iter().find(|key| fields.has(key)).unwrap_or("payload");
        let outer = Path::Key(&path, key);
        let mut item = self.item(&mut fields, key, outer);
        let kind = kind(&mut fields, &mut item, key);
        let payload_path = if item.is_nested { Path::Key(&outer, "payload") } else { outer };
        if kind != parts::SUBMISSION {
            self.take_annotations(&mut item, payload_path);
        }
        let time = self.time(&mut fields, "ts").or(item.time).or(turn.time);
        let time = time.map(|time| transcript.previous.map_or(time, |previous| time.after(previous)));
        transcript.first = transcript.first.or(time);
        transcript.previous = time.map(|time| time.at).or(transcript.previous);
        let feedback = feedback::take(&mut fields, "feedback");
        let mut message = self.message_by(&mut fields, turn, &item, &kind);
        message.id = fields.id("mid");
        message.created_at = time.map(|time| time.at);
        message.feedback = item.feedback.or(feedback);
        if !parts::is_known(&kind) {
            fields.report(IssueKind::UnknownValue, "type");
        }
        let (parts, leftovers) = parts::read(&kind, item.payload, payload_path, self.issues);
        message.parts = parts;
        for leftovers in [fields.finish(MESSAGE), item.leftovers, leftovers] {
            message.extra.extend(leftovers);
        }
        transcript.messages.push(message);
    }

    /// Takes the content of a message. A stored item without a payload is the payload itself.
    fn item(&self, fields: &mut Fields<'_>, key: &str, path: Path<'_>) -> Item {
        let value = fields.take(key);
        let mut item = Item::default();
        let Some(Value::Object(mut head)) = value else {
            item.payload = value;
            return item;
        };
        if key == "payload" {
            item.payload = Some(Value::Object(head));
            return item;
        }
        item.payload = head.remove("payload").filter(|payload| !payload.is_null());
        item.is_nested = item.payload.is_some();
        if !item.is_nested {
            let without_payload =
                ["type", "time"].into_iter().filter_map(|key| head.remove_entry(key)).collect();
            let payload = std::mem::replace(&mut head, without_payload);
            item.payload = (!payload.is_empty()).then_some(Value::Object(payload));
        }
        if let Ok(mut head) = Fields::open(Value::Object(head), path, self.issues) {
            item.kind = head.text("type");
            if !fields.has("ts") {
                item.time = self.time(&mut head, "time");
            }
            nest(&mut item.leftovers, key, head.finish(&["time"]));
        }
        item
    }

    /// Takes what the export adds to a payload: the customer's feedback, and whether the bot wrote the message.
    fn take_annotations(&self, item: &mut Item, path: Path<'_>) {
        let Some(Value::Object(payload)) = &mut item.payload else { return };
        for key in ["aiGenerated", "isAIGenerated"] {
            match payload.remove(key) {
                Some(Value::Bool(flag)) => item.is_generated = item.is_generated.or(Some(flag)),
                Some(Value::Null) | None => {}
                Some(other) => {
                    self.issues.add(IssueKind::WrongType, &Path::Key(&path, key));
                    item.leftovers.insert(format!("payload.{key}"), other);
                }
            }
        }
        let Some(value) = payload.remove("feedback") else { return };
        match feedback::parse(&value) {
            Ok(feedback) => item.feedback = feedback,
            Err(kind) => {
                self.issues.add(kind, &Path::Key(&path, "feedback"));
                item.leftovers.insert("payload.feedback".to_owned(), value);
            }
        }
    }

    /// Returns a message with its author and nothing else.
    ///
    /// The vendor has no word for a human agent who answers in place of the bot. A message of the bot that was not
    /// generated, in a conversation that was handed over, is assumed to be written by one.
    fn message_by(&self, fields: &mut Fields<'_>, turn: &Turn, item: &Item, kind: &str) -> Message {
        let generated = ["isAIGenerated", "aiGenerated"].map(|key| fields.flag(key));
        let is_generated = item.is_generated.or(generated[0]).or(generated[1]).or(turn.is_generated);
        let speaker = fields.word("from", role).or_else(|| turn.speaker.clone());
        if speaker.is_none() {
            fields.report(IssueKind::Missing, "from");
        }
        let (known, word) = speaker.map_or((None, None), |(role, word)| (role, Some(word)));
        let is_written = known == Some(Role::Assistant) && is_generated == Some(false);
        let role = if kind == "debug" || kind.starts_with("debug:") {
            Role::Tool
        } else if CONTROL.contains(&kind) {
            Role::System
        } else if is_written && self.is_handed_over {
            Role::HumanAgent
        } else {
            known.unwrap_or(Role::Other)
        };
        let mut message = Message::empty(role);
        message.role_raw = word.filter(|_| known != Some(role));
        if is_written {
            message.extra.insert("aiGenerated".to_owned(), Value::Bool(false));
        }
        message
    }

    fn time(&self, fields: &mut Fields<'_>, key: &str) -> Option<MessageTime> {
        MessageTime::take(fields, key, self.zone)
    }
}

/// Takes the type of a message, which a stored item may repeat.
fn kind(fields: &mut Fields<'_>, item: &mut Item, key: &str) -> String {
    match (fields.text("type"), item.kind.take()) {
        (Some(kind), inner) => {
            if let Some(inner) = inner.filter(|inner| *inner != kind) {
                item.leftovers.insert(format!("{key}.type"), inner.into());
            }
            kind
        }
        (None, Some(inner)) => inner,
        (None, None) => {
            if !fields.has("type") {
                fields.report(IssueKind::Missing, "type");
            }
            // A message that a person wrote is a text.
            "text".to_owned()
        }
    }
}

fn role(word: &str) -> Option<Role> {
    match word {
        "human" | "user" => Some(Role::User),
        "bot" => Some(Role::Assistant),
        "system" => Some(Role::System),
        _ => None,
    }
}

/// Drops the known fields of a turn that are empty lists, which most turns have.
fn without_empty_lists(mut leftovers: Map<String, Value>) -> Map<String, Value> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    leftovers.retain(|key, value| !(TURN.contains(&key.as_str()) && is_empty(value)));
    leftovers
}
