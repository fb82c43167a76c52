//! Convocore's JSON to the shared model. Pure: no client, no clock, no order.
//!
//! Fields and their meaning: the vendor's documents, its own public code and captured answers up to August 2026,
//! as told in `docs/vendors/convocore-v3.md`. What a message holds is read in `parts`.

use chatark_core::fields::{self, Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{
    Contact, Conversation, ConversationId, Feedback, Issue, IssueKind, Issues, Message, Result, Role, Status,
    Timestamp, Zone,
};
use serde_json::{Map, Value};

use crate::parts;

/// Fields of the light document that the model has no place for.
const LIGHT: &[&str] = &[
    "ID",
    "averageLatency",
    "campaignCalls",
    "campaignId",
    "capturedVariables",
    "chatAssignedTo",
    "contactIdentityId",
    "convoTimeSeconds",
    "delegatedAt",
    "delegatedBy",
    "detailedCost",
    "endReason",
    "feedback",
    "firstMessageTS",
    "interactionsNum",
    "isBlocked",
    "isFollowingBusiness",
    "isTest",
    "lang",
    "lastMessage",
    "lastModified",
    "lastViewed",
    "messagesNum",
    "metrics",
    "nodesInfo",
    "note",
    "notifyToUserId",
    "ratingFrom5",
    "requestedTeamKey",
    "sessions",
    "sessionsNum",
    "socialHandle",
    "socialVerified",
    "summary",
    "tokenUsage",
    "totalUserInteractions",
    "user",
    "userBrowser",
    "userImage",
    "userOs",
    "userPlatform",
    "userProfilePic",
    "vapi",
    "voice",
];

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

/// Types of messages in which nobody says anything.
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

/// Where a message holds its payload: as exported, as stored, and as stored in older rows.
const PAYLOADS: [&str; 4] = ["payload", "item", "rawItem", "content"];

const METADATA: Path<'static> = Path::Key(&Path::Root, "metadata");

/// Maps one conversation, as the export sends it. Times without a zone are taken to be in `zone`.
pub(crate) fn normalize(raw: &[u8], zone: Zone) -> Result<(Conversation, Vec<Issue>)> {
    let issues = Issues::default();
    let record = fields::parse(raw, &issues)?;
    let mut conversation = conversation(Fields::of(record, &issues), zone);
    conversation.date_by_messages();
    Ok((conversation, issues.into_vec()))
}

/// What the metadata says that steers the reading of the turns.
#[derive(Debug, Default)]
struct Head {
    /// Past sessions, oldest first.
    sessions: Vec<Value>,
    /// Whether a person took over at some time.
    is_handed_over: bool,
    /// When the conversation began, by its own `ts`.
    began: Option<Timestamp>,
    /// Whether the light document stands under `convo`; the v2 edge has it in place of the metadata.
    is_wrapped: bool,
}

fn conversation(mut fields: Fields<'_>, zone: Zone) -> Conversation {
    let issues = fields.issues();
    let mut conversation = Conversation::empty(ConversationId::new(""));
    let mut head = Head::default();
    match fields.take("metadata").map(|value| Fields::open(value, METADATA, issues)) {
        Some(Ok(metadata)) => head = read_metadata(metadata, zone, &mut conversation),
        Some(Err(value)) => fields.keep("metadata", value),
        None => fields.report(IssueKind::Missing, "metadata"),
    }
    let reader = Reader { issues, zone, is_handed_over: head.is_handed_over };
    let past = reader.sessions(head.sessions);
    let mut current = Talk::default();
    match fields.list("turns") {
        Some(turns) => reader.turns(turns, &Path::Key(&Path::Root, "turns"), &mut current),
        None if fields.has("turns") => {}
        None => fields.report(IssueKind::Missing, "turns"),
    }
    if is_zone_doubtful(head.began, [past.first, current.first]) {
        let convo = Path::Key(&METADATA, "convo");
        let light = if head.is_wrapped { convo } else { METADATA };
        issues.add(IssueKind::TimeZoneDoubtful, &Path::Key(&light, "ts"));
    }
    for talk in [past, current] {
        conversation.messages.extend(talk.messages);
        conversation.extra.extend(talk.stray);
    }
    for (key, value) in fields.finish(&[]) {
        let is_taken = conversation.extra.contains_key(&key);
        conversation.extra.insert(if is_taken { format!("record.{key}") } else { key }, value);
    }
    conversation
}

fn read_metadata(mut metadata: Fields<'_>, zone: Zone, conversation: &mut Conversation) -> Head {
    conversation.feedback = feedback(&mut metadata, "feedback");
    let sessions = metadata.list("sessions").unwrap_or_default();
    let (path, issues) = (*metadata.path(), metadata.issues());
    let convo = metadata.take("convo").map(|value| Fields::open(value, Path::Key(&path, "convo"), issues));
    let mut head = match convo {
        Some(Ok(mut light)) => {
            let id = light.id("id").or_else(|| metadata.id("ID")).or_else(|| light.id("ID"));
            let head = read_light(light, id, zone, conversation);
            nest(&mut conversation.extra, "metadata", metadata.finish(&["ID"]));
            Head { is_wrapped: true, ..head }
        }
        Some(Err(value)) => {
            metadata.keep("convo", value);
            let id = metadata.id("ID");
            read_light(metadata, id, zone, conversation)
        }
        None => {
            let id = metadata.id("ID");
            read_light(metadata, id, zone, conversation)
        }
    };
    head.sessions = sessions;
    head
}

/// Reads the light document: everything that the vendor knows of a conversation but its turns.
fn read_light(
    mut light: Fields<'_>,
    id: Option<String>,
    zone: Zone,
    conversation: &mut Conversation,
) -> Head {
    if id.is_none() {
        light.report(IssueKind::Missing, "id");
    }
    conversation.id = ConversationId::new(id.unwrap_or_default());
    conversation.title = light.text("title");
    let began = light.time("ts", zone);
    conversation.created_at = began.or_else(|| light.time("firstMessageTS", zone));
    conversation.updated_at = light.time("lastMessageTS", zone);
    conversation.contact = contact(&mut light);
    (conversation.channel, conversation.channel_raw) = light.channel("origin");
    conversation.tags = light.texts("tags").unwrap_or_default();
    conversation.notes = light.text("notes").filter(|notes| !notes.is_empty()).or_else(|| light.text("note"));
    if conversation.feedback.is_none() {
        conversation.feedback = feedback(&mut light, "feedback");
    }
    let mut is_handed_over = is_told(&light, "chatAssignedTo") || is_told(&light, "delegatedBy");
    if let Some((status, raw)) = light.word("state", status) {
        is_handed_over |= raw == "human-chatting";
        conversation.status = Some(status.unwrap_or(Status::Other));
        conversation.status_raw = Some(raw);
    }
    conversation.extra.extend(light.finish(LIGHT));
    Head { is_handed_over, began, ..Head::default() }
}

fn contact(light: &mut Fields<'_>) -> Contact {
    Contact {
        id: light.id("userID"),
        name: light.answer("userName"),
        email: light.answer("userEmail"),
        phone: light.answer("userPhone"),
        company: light.answer("userCompany"),
        address: light.answer("userAddress"),
        website: light.answer("userWebsite"),
    }
}

fn status(word: &str) -> Option<Status> {
    match word {
        "ai-chatting" | "open" => Some(Status::Ongoing),
        "ended_chat" | "completed" => Some(Status::Ended),
        "human-chatting" | "requested_chat" => Some(Status::TakenOver),
        _ => None,
    }
}

/// Returns whether a field says something, and leaves it where it is.
fn is_told(fields: &Fields<'_>, key: &str) -> bool {
    fields.peek(key).is_some_and(|value| *value != false && *value != "")
}

/// Takes what somebody thought: a word, or a truth value as the vendor stores it.
fn feedback(fields: &mut Fields<'_>, key: &str) -> Option<Feedback> {
    let value = fields.take(key)?;
    match opinion(&value) {
        Ok(feedback) => feedback,
        Err(kind) => {
            fields.report(kind, key);
            fields.keep(key, value);
            None
        }
    }
}

fn opinion(value: &Value) -> Result<Option<Feedback>, IssueKind> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(is_positive) if *is_positive => Ok(Some(Feedback::Positive)),
        Value::Bool(_) => Ok(Some(Feedback::Negative)),
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "unset" | "" => Ok(None),
            word => Feedback::from_word(word).map(Some).ok_or(IssueKind::UnknownValue),
        },
        _ => Err(IssueKind::WrongType),
    }
}

/// Reads turns and messages.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    issues: &'a Issues,
    zone: Zone,
    is_handed_over: bool,
}

/// The messages of some turns.
#[derive(Debug, Default)]
struct Talk {
    messages: Vec<Message>,
    /// The time of the first message that has one.
    first: Option<Moment>,
    /// What stood around turns that have no message to carry it.
    stray: Map<String, Value>,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Timestamp,
    /// Whether the vendor wrote it without a zone.
    is_local: bool,
}

/// A role, where its word is known, and the word.
type Speaker = (Option<Role>, String);

/// What a turn says of its messages.
#[derive(Debug)]
struct Turn {
    speaker: Option<Speaker>,
    moment: Option<Moment>,
    is_generated: Option<bool>,
}

/// What a message holds, wherever it stands, and what stands around it.
#[derive(Debug, Default)]
struct Item {
    kind: Option<String>,
    payload: Option<Value>,
    /// Whether the payload stands under `payload` inside the item.
    is_nested: bool,
    moment: Option<Moment>,
    is_generated: Option<bool>,
    feedback: Option<Feedback>,
    leftovers: Map<String, Value>,
}

impl Reader<'_> {
    /// Reads past sessions; the zone shows in the first of them, in which the conversation began.
    fn sessions(&self, sessions: Vec<Value>) -> Talk {
        let path = Path::Key(&METADATA, "sessions");
        let mut talk = Talk::default();
        for (at, value) in sessions.into_iter().enumerate() {
            let first = talk.first;
            self.session(value, Path::Index(&path, at), &mut talk);
            if at > 0 {
                talk.first = first;
            }
        }
        talk
    }

    /// Reads one past session: a list of turns, or an object that holds one.
    fn session(&self, value: Value, path: Path<'_>, talk: &mut Talk) {
        let holds_turns = value.get("turns").is_some_and(Value::is_array);
        match value {
            Value::Array(turns) => self.turns(turns, &path, talk),
            value @ Value::Object(_) if holds_turns => {
                let Ok(mut fields) = Fields::open(value, path, self.issues) else { return };
                let turns = fields.list("turns").unwrap_or_default();
                self.turns(turns, &Path::Key(&path, "turns"), talk);
                nest(&mut talk.stray, &path.to_string(), fields.finish(&[]));
            }
            other => {
                self.issues.add(IssueKind::WrongType, &path);
                talk.stray.insert(path.to_string(), other);
            }
        }
    }

    fn turns(&self, turns: Vec<Value>, path: &Path<'_>, talk: &mut Talk) {
        for (at, value) in turns.into_iter().enumerate() {
            self.turn(value, Path::Index(path, at), talk);
        }
    }

    fn turn(&self, value: Value, path: Path<'_>, talk: &mut Talk) {
        let mut fields = match Fields::open(value, path, self.issues) {
            Ok(fields) => fields,
            Err(value) => return talk.messages.push(Message::unreadable(value)),
        };
        let turn = Turn {
            speaker: fields.word("from", role),
            moment: self.moment(&mut fields, "ts"),
            is_generated: fields.flag("isAIGenerated"),
        };
        let begin = talk.messages.len();
        match fields.list("messages") {
            Some(messages) => {
                let path = Path::Key(&path, "messages");
                for (at, value) in messages.into_iter().enumerate() {
                    self.message(value, Path::Index(&path, at), &turn, talk);
                }
            }
            None if fields.has("messages") => {}
            None => fields.report(IssueKind::Missing, "messages"),
        }
        let mut leftovers = fields.finish(TURN);
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        leftovers.retain(|key, value| !(TURN.contains(&key.as_str()) && is_empty(value)));
        match talk.messages.get_mut(begin) {
            Some(message) => nest(&mut message.extra, "turn", leftovers),
            None => nest(&mut talk.stray, &path.to_string(), leftovers),
        }
    }

    fn message(&self, value: Value, path: Path<'_>, turn: &Turn, talk: &mut Talk) {
        let mut fields = match Fields::open(value, path, self.issues) {
            Ok(fields) => fields,
            Err(value) => return talk.messages.push(Message::unreadable(value)),
        };
        let key = PAYLOADS.into_iter().find(|key| fields.has(key)).unwrap_or("payload");
        let outer = Path::Key(&path, key);
        let mut item = self.item(&mut fields, key, outer);
        let kind = kind(&mut fields, &mut item, key);
        let payload_path = if item.is_nested { Path::Key(&outer, "payload") } else { outer };
        if kind != parts::SUBMISSION {
            self.read_ratings(&mut item, payload_path);
        }
        let moment = self.moment(&mut fields, "ts").or(item.moment).or(turn.moment);
        talk.first = talk.first.or(moment);
        let feedback = feedback(&mut fields, "feedback");
        let generated = ["isAIGenerated", "aiGenerated"].map(|key| fields.flag(key));
        let is_generated = item.is_generated.or(generated[0]).or(generated[1]).or(turn.is_generated);
        let speaker = fields.word("from", role).or_else(|| turn.speaker.clone());
        if speaker.is_none() {
            fields.report(IssueKind::Missing, "from");
        }
        let mut message = self.speak(speaker, &kind, is_generated);
        message.id = fields.id("mid");
        message.created_at = moment.map(|moment| moment.at);
        message.feedback = item.feedback.or(feedback);
        if !parts::is_known(&kind) {
            fields.report(IssueKind::UnknownValue, "type");
        }
        let (parts, leftovers) = parts::read(&kind, item.payload, payload_path, self.issues);
        message.parts = parts;
        for leftovers in [fields.finish(MESSAGE), item.leftovers, leftovers] {
            message.extra.extend(leftovers);
        }
        talk.messages.push(message);
    }

    /// Takes what a message holds. A stored item is the payload itself where it has none.
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
            let around = ["type", "time"].into_iter().filter_map(|key| head.remove_entry(key)).collect();
            let payload = std::mem::replace(&mut head, around);
            item.payload = (!payload.is_empty()).then_some(Value::Object(payload));
        }
        if let Ok(mut head) = Fields::open(Value::Object(head), path, self.issues) {
            item.kind = head.text("type");
            if !fields.has("ts") {
                item.moment = self.moment(&mut head, "time");
            }
            nest(&mut item.leftovers, key, head.finish(&["time"]));
        }
        item
    }

    /// Takes out of the payload what the export writes into it: what the customer thought, and who wrote.
    fn read_ratings(&self, item: &mut Item, path: Path<'_>) {
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
        match opinion(&value) {
            Ok(feedback) => item.feedback = feedback,
            Err(kind) => {
                self.issues.add(kind, &Path::Key(&path, "feedback"));
                item.leftovers.insert("payload.feedback".to_owned(), value);
            }
        }
    }

    /// Returns a message of which nothing but the speaker is known.
    ///
    /// No word of the vendor names a person who answers in place of the bot. That a message of the bot was not
    /// generated, in a conversation that was handed over, is taken for one; this is an assumption.
    fn speak(&self, speaker: Option<Speaker>, kind: &str, is_generated: Option<bool>) -> Message {
        let (known, word) = match speaker {
            Some((role, word)) => (role, Some(word)),
            None => (None, None),
        };
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

    fn moment(&self, fields: &mut Fields<'_>, key: &str) -> Option<Moment> {
        let is_local = is_local(fields.peek(key)?);
        fields.time(key, self.zone).map(|at| Moment { at, is_local })
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
            // Whatever a person wrote would be a text.
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

/// Returns whether a time is text without a zone, such as `December 1st 2024, 10:30:00 am`.
fn is_local(value: &Value) -> bool {
    let Some(text) = value.as_str().map(str::trim) else {
        return false;
    };
    let has_offset = text.get(10..).is_some_and(|clock| clock.contains(['+', '-', 'Z', 'z']));
    !has_offset && text.parse::<f64>().is_err()
}

/// Returns whether the text times of messages are off from the conversation's own by whole quarters of an hour.
fn is_zone_doubtful(began: Option<Timestamp>, firsts: [Option<Moment>; 2]) -> bool {
    let Some(began) = began else {
        return false;
    };
    let mut firsts = firsts.into_iter().flatten().peekable();
    let is_off = |moment: Moment| is_zone_offset(moment.at.microseconds() - began.microseconds());
    firsts.peek().is_some() && firsts.all(|moment| moment.is_local && is_off(moment))
}

/// Returns whether a difference is within a minute of an offset between two zones, up to 14 hours.
fn is_zone_offset(microseconds: i64) -> bool {
    const MINUTE: u64 = 60_000_000;
    const QUARTER: u64 = 15 * MINUTE;
    let size = microseconds.unsigned_abs();
    let quarters = (size + QUARTER / 2) / QUARTER;
    size >= QUARTER && quarters <= 14 * 4 && size.abs_diff(quarters * QUARTER) <= MINUTE
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn offsets_between_zones_are_told_from_other_differences() {
        let minutes = |minutes: i64| minutes * 60_000_000;
        for (difference, expect) in [
            (minutes(60), true),
            (minutes(-330) + 59_000_000, true),
            (minutes(60) + 61_000_000, false),
            (minutes(14 * 60) + 60_000_000, true),
            (minutes(14 * 60 + 15), false),
            (minutes(15) - 1, false),
            (minutes(0), false),
            (minutes(67), false),
        ] {
            assert_eq!(is_zone_offset(difference), expect, "{difference}");
        }
    }

    #[test]
    fn only_text_without_a_zone_is_local() {
        for (value, expect) in [
            (json!("December 1st 2024, 10:30:00 am"), true),
            (json!("2026-01-08 18:42:21"), true),
            (json!("2026-01-08T18:42:21Z"), false),
            (json!("2026-01-08T18:42:21+01:00"), false),
            (json!("1733049000"), false),
            (json!(1_733_049_000), false),
            (json!("éé\u{e9}é"), true),
        ] {
            assert_eq!(is_local(&value), expect, "{value}");
        }
    }
}
