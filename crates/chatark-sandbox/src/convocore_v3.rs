//! Convocore's third API: turns, sessions, English times, in two generations of the export.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::call::{Call, PagingFault};
use crate::convocore_v3_messages::ConvocoreMessage;
use crate::cursor;
use crate::dataset::{Dataset, SortKey};
use crate::exchange::{ApiRequest, Reply, ReplyBody, write_array, write_json};
use crate::time;
use crate::truth::{Conversation, Feedback, Message, Role, Status, Vendor};
use crate::world::{Agent, Generation, Zone};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 50;
const MAX_SELECTED: usize = 500;

/// The size of the chunks in which an array is streamed.
const CHUNK_LENGTH: usize = 64 * 1024;

/// Answers an authorized request.
pub(crate) fn answer(call: &Call<'_>) -> Reply {
    let segments = call.request.segments();
    if segments.first() != Some(&"agents") || segments.len() < 2 {
        return ApiError::UnknownRoute.reply(Vendor::ConvocoreV3);
    }
    let Some(agent) = &call.agent else {
        return not_found("Agent not found");
    };
    match segments[2..] {
        [] => agent_reply(agent),
        ["convos", "export"] => match agent.generation {
            Generation::OneArray => one_array(agent),
            Generation::Paged => match ExportQuery::read(call.request) {
                Ok(query) => paged(call, agent, &query),
                Err(refused) => refused,
            },
        },
        ["convos", id, "export"] => single(agent, id),
        _ => ApiError::UnknownRoute.reply(Vendor::ConvocoreV3),
    }
}

fn agent_reply(agent: &Agent) -> Reply {
    let data = json!({
        "ID": agent.id,
        "title": agent.name,
        // The vendor really sends this secret: clients must not log or keep it.
        "SECRET_API_KEY": "sandbox-agent-secret",
    });
    let message = "Agent retrieved successfully";
    Reply::json(StatusCode::OK, &json!({ "success": true, "message": message, "data": data }))
}

fn not_found(message: &str) -> Reply {
    Reply::json(StatusCode::NOT_FOUND, &json!({ "message": message, "code": "NOT_FOUND" }))
}

fn single(agent: &Agent, id: &str) -> Reply {
    let Some(index) = agent.dataset.index_of(id) else {
        return not_found("Conversation not found");
    };
    let mut body = envelope_start("Conversation exported successfully");
    write_conversation(&mut body, agent, &agent.dataset.at(index));
    body.push(b'}');
    Reply::bytes(StatusCode::OK, body)
}

/// Streams all conversations without holding them in memory.
fn one_array(agent: &Arc<Agent>) -> Reply {
    let chunks = ArrayChunks { agent: Arc::clone(agent), index: 0, has_ended: false };
    Reply { body: ReplyBody::Chunks(Box::new(chunks)), ..Reply::bytes(StatusCode::OK, "") }
}

struct ArrayChunks {
    agent: Arc<Agent>,
    index: usize,
    has_ended: bool,
}

impl Iterator for ArrayChunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK_LENGTH + CHUNK_LENGTH / 8);
        if self.index == 0 {
            chunk = envelope_start("Conversations exported successfully");
            chunk.push(b'[');
        }
        let dataset = &self.agent.dataset;
        while self.index < dataset.len() && chunk.len() < CHUNK_LENGTH {
            if self.index > 0 {
                chunk.push(b',');
            }
            write_conversation(&mut chunk, &self.agent, &dataset.at(self.index));
            self.index += 1;
        }
        if self.index == dataset.len() {
            chunk.extend_from_slice(b"]}");
            self.has_ended = true;
        }
        Some(chunk.into())
    }
}

fn envelope_start(message: &str) -> Vec<u8> {
    format!("{{\"success\":true,\"message\":\"{message}\",\"data\":").into_bytes()
}

/// The parsed parameters of the paged export.
struct ExportQuery {
    limit: usize,
    is_ascending: bool,
    from: Option<i64>,
    to: Option<i64>,
    after: Option<SortKey<'static>>,
    selected: Option<Vec<String>>,
}

impl ExportQuery {
    fn read(request: &ApiRequest) -> Result<Self, Reply> {
        let query = Self {
            limit: parameter(request, "limit", |text| text.parse().ok())?.unwrap_or(DEFAULT_LIMIT),
            is_ascending: parameter(request, "sort", |text| match text {
                "asc" => Some(true),
                "desc" => Some(false),
                _ => None,
            })?
            .unwrap_or(false),
            from: parameter(request, "fromTs", time::epoch)?,
            to: parameter(request, "toTs", time::epoch)?,
            after: parameter(request, "cursor", read_cursor)?,
            selected: request.parameter("convoIds").map(|ids| ids.split(',').map(str::to_owned).collect()),
        };
        if query.limit == 0 || query.limit > MAX_LIMIT {
            return Err(invalid("limit"));
        }
        if query.selected.as_ref().is_some_and(|ids| ids.len() > MAX_SELECTED) {
            return Err(invalid("convoIds"));
        }
        Ok(query)
    }

    fn sort(&self) -> &'static str {
        sort_word(self.is_ascending)
    }
}

fn sort_word(is_ascending: bool) -> &'static str {
    if is_ascending { "asc" } else { "desc" }
}

/// Parses a parameter if there is one.
pub(crate) fn parameter<T>(
    request: &ApiRequest,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Reply> {
    match request.parameter(name) {
        None => Ok(None),
        Some(text) => match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(invalid(name)),
        },
    }
}

/// Returns the error response for an invalid parameter.
pub(crate) fn invalid(name: &str) -> Reply {
    let issue = json!({ "code": "invalid_type", "path": [name], "message": "Invalid input" });
    Reply::json(
        StatusCode::BAD_REQUEST,
        &json!({
            "message": "Input validation failed",
            "code": "BAD_REQUEST",
            "issues": [issue],
        }),
    )
}

/// Reads the position after which a list continues.
pub(crate) fn read_cursor(text: &str) -> Option<SortKey<'static>> {
    let value = cursor::decode(text)?;
    Some(SortKey {
        created_at: value.get("ts")?.as_i64()?,
        id: Cow::Owned(value.get("uniqueId")?.as_str()?.to_owned()),
    })
}

/// Returns the cursor for the position after which a list continues.
pub(crate) fn cursor_of(key: &SortKey<'_>, is_ascending: bool) -> String {
    let sort = sort_word(is_ascending);
    let value = json!({ "v": 1, "sort": sort, "uniqueId": key.id, "ts": key.created_at });
    cursor::encode_url_safe(&value)
}

/// A page of the export: the conversations scanned, and where the next page starts.
struct Page {
    scanned: Vec<usize>,
    next: Option<String>,
    has_more: bool,
}

fn page_of(call: &Call<'_>, dataset: &Dataset, query: &ExportQuery) -> Page {
    if let Some(ids) = &query.selected {
        return Page {
            scanned: ids.iter().filter_map(|id| dataset.index_of(id)).collect(),
            next: None,
            has_more: false,
        };
    }
    let window = dataset.window(query.from, query.to);
    let (start, end) = match (&query.after, query.is_ascending) {
        (None, _) => (window.start, window.end),
        (Some(key), false) => (dataset.first_older_than(key).max(window.start), window.end),
        (Some(key), true) => (window.start, dataset.first_not_newer_than(key).min(window.end)),
    };
    let left = end.saturating_sub(start);
    let count = left.min(query.limit);
    let mut scanned: Vec<usize> = if query.is_ascending {
        (end - count..end).rev().collect()
    } else {
        (start..start + count).collect()
    };
    let next = scanned
        .last()
        .filter(|_| left > count)
        .map(|&last| cursor_of(&dataset.key(last), query.is_ascending));
    let requested = call.request.parameter("cursor");
    let (next, has_more) = pagination(call.paging_fault, requested, query.is_ascending, &mut scanned, next);
    Page { scanned, next, has_more }
}

/// Returns the next cursor and whether there is more, changed by a fault if there is one.
pub(crate) fn pagination(
    paging_fault: PagingFault,
    requested: Option<&str>,
    is_ascending: bool,
    indices: &mut Vec<usize>,
    next: Option<String>,
) -> (Option<String>, bool) {
    match paging_fault {
        PagingFault::None => {
            let has_more = next.is_some();
            (next, has_more)
        }
        PagingFault::RepeatCursor => (requested.map(str::to_owned).or(next), true),
        PagingFault::HasMoreNullCursor => (None, true),
        PagingFault::EmptyPage => {
            indices.clear();
            (Some(equivalent_cursor(requested, is_ascending)), true)
        }
    }
}

/// Returns a different cursor to the same position, so that an empty page leads to the full one.
fn equivalent_cursor(requested: Option<&str>, is_ascending: bool) -> String {
    let beginning = if is_ascending { i64::MIN } else { i64::MAX };
    let mut value = requested.and_then(cursor::decode).unwrap_or_else(
        || json!({ "v": 1, "sort": sort_word(is_ascending), "uniqueId": "", "ts": beginning }),
    );
    let salt = value.get("salt").and_then(Value::as_u64).unwrap_or(0);
    value["salt"] = json!(salt + 1);
    cursor::encode_url_safe(&value)
}

fn paged(call: &Call<'_>, agent: &Agent, query: &ExportQuery) -> Reply {
    let page = page_of(call, &agent.dataset, query);
    let scanned_count = page.scanned.len();
    let exported: Vec<Cow<'_, Conversation>> = page
        .scanned
        .iter()
        .map(|&index| agent.dataset.at(index))
        .filter(|conversation| conversation.has_user_message())
        .collect();
    let sessions = exported.iter().map(|conversation| billable_sessions(conversation)).sum();
    let is_selected = query.selected.is_some();
    let message = format!(
        "Exported {} conversation(s) ({sessions} billable session(s)). Paginated {}-first (supabase).",
        exported.len(),
        if query.is_ascending { "oldest" } else { "newest" },
    );
    let mut head = json!({
        "success": true,
        "message": message,
        "mode": if is_selected { "selected" } else { "paginated" },
        "source": "supabase",
        "limit": query.limit,
        "hasMore": page.has_more,
        "nextCursor": page.next,
        "scannedConvoCount": scanned_count,
        "query": { "sort": query.sort(), "fromTs": query.from, "toTs": query.to },
        "usage": usage(call, sessions),
        "rateLimit": { "remainingHour": call.meter.remaining_hour },
    });
    // The last page of a selection has no cursor key; the last page of a list has null.
    if let (true, Some(head)) = (is_selected, head.as_object_mut()) {
        head.remove("nextCursor");
    }
    let mut body = head.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"data\":");
    write_array(&mut body, 0..exported.len(), |out, at| {
        write_conversation(out, agent, &exported[at]);
    });
    body.push(b'}');
    Reply::bytes(StatusCode::OK, body)
}

fn usage(call: &Call<'_>, sessions: u64) -> Value {
    let used = call.meter.bill(sessions);
    let quota = call.meter.included_quota;
    json!({
        "periodKey": "billing_2026-11",
        "billableUsedThisRequest": sessions,
        "billableUsedThisPeriod": used,
        "includedQuota": quota,
        "billableRemainingThisPeriod": quota.saturating_sub(used),
        "summary": format!("Used {used} / {quota} billable session exports this billing cycle."),
    })
}

/// Returns how many sessions contain a message from the customer.
fn billable_sessions(conversation: &Conversation) -> u64 {
    let (past, current) = sessions(conversation);
    let all = past.iter().chain([&current]);
    let billable = all.filter(|messages| messages.iter().any(Message::is_human));
    billable.fold(0, |count, _| count + 1)
}

/// Splits the messages into past sessions and the current one.
fn sessions(conversation: &Conversation) -> (Vec<&[Message]>, &[Message]) {
    let mut rest = &conversation.messages[..];
    let mut past = Vec::with_capacity(conversation.past_sessions.len());
    for &count in &conversation.past_sessions {
        let (session, later) = rest.split_at(count.min(rest.len()));
        past.push(session);
        rest = later;
    }
    (past, rest)
}

fn write_conversation(out: &mut Vec<u8>, agent: &Agent, conversation: &Conversation) {
    if let Some(raw) = agent.dataset.raw_override(&conversation.id) {
        out.extend_from_slice(raw);
        return;
    }
    let (past, current) = sessions(conversation);
    let mut writer = TurnWriter { out, zone: agent.zone, is_varied: conversation.varied, position: 0 };
    writer.raw("{\"metadata\":{\"feedback\":");
    writer.json(feedback_word(conversation.feedback));
    writer.raw(",\"convo\":");
    writer.json(&conversation_metadata(conversation));
    writer.raw(",\"sessions\":[");
    for (at, session) in past.into_iter().enumerate() {
        writer.raw(if at > 0 { "," } else { "" });
        writer.write_turns(session, true);
    }
    writer.raw("]},\"turns\":");
    writer.write_turns(current, false);
    writer.raw("}");
}

/// The metadata of a conversation: everything but its turns.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConversationMetadata<'a> {
    id: &'a str,
    ts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_company: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_website: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(rename = "lastMessageTS", skip_serializing_if = "Option::is_none")]
    last_message_at: Option<i64>,
    #[serde(rename = "ratingFrom5", skip_serializing_if = "Option::is_none")]
    stars: Option<u8>,
}

fn conversation_metadata(conversation: &Conversation) -> ConversationMetadata<'_> {
    let contact = &conversation.contact;
    let has_tags = !conversation.tags.is_empty() || conversation.varied;
    ConversationMetadata {
        id: &conversation.id,
        ts: conversation.created_at,
        user_name: contact.name.as_deref(),
        user_email: contact.email.as_deref(),
        user_phone: contact.phone.as_deref(),
        user_company: contact.company.as_deref(),
        user_address: contact.address.as_deref(),
        user_website: contact.website.as_deref(),
        notes: conversation.notes.as_deref(),
        // Tags are absent, empty or full.
        tags: has_tags.then_some(&conversation.tags[..]),
        origin: conversation.channel.convocore_name(),
        state: conversation.status.map(state),
        last_message_at: conversation.has_last_message_time().then_some(conversation.updated_at),
        stars: conversation.stars,
    }
}

fn state(status: Status) -> &'static str {
    match status {
        Status::Ongoing => "ai-chatting",
        Status::Ended => "ended_chat",
        Status::TakenOver => "human-chatting",
        Status::Paused => "requested_chat",
    }
}

fn feedback_word(feedback: Option<Feedback>) -> &'static str {
    match feedback {
        Some(Feedback::Positive) => "Positive",
        Some(Feedback::Negative) => "Negative",
        None => "Unset",
    }
}

/// Writes the turns of a conversation; `position` counts its messages.
struct TurnWriter<'a> {
    out: &'a mut Vec<u8>,
    zone: Zone,
    is_varied: bool,
    position: usize,
}

/// The payload of a text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextPayload<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ai_generated: Option<bool>,
}

impl TurnWriter<'_> {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        write_json(self.out, value);
    }

    fn write_entry(&mut self, key: &str, value: &(impl Serialize + ?Sized)) {
        self.raw(",\"");
        self.raw(key);
        self.raw("\":");
        self.json(value);
    }

    /// Writes messages as turns: consecutive messages of one speaker are one turn.
    fn write_turns(&mut self, messages: &[Message], is_past: bool) {
        let mut speaker = None;
        self.raw("[");
        for message in messages {
            for (at, wire) in ConvocoreMessage::of(message).into_iter().enumerate() {
                let role = wire.speaker(message.role);
                let from = self.from(role, is_past);
                if speaker == Some(role) {
                    self.raw(",");
                } else {
                    self.raw(if speaker.is_some() { "]},{" } else { "{" });
                    self.raw("\"from\":");
                    self.json(from);
                    self.raw(",\"messages\":[");
                    speaker = Some(role);
                }
                self.raw("{\"type\":");
                self.json(&wire.kind());
                if let (0, Some(id)) = (at, &message.id) {
                    self.write_entry("mid", id);
                }
                if is_past {
                    self.write_stored(message, &wire, from);
                } else {
                    self.write_exported(message, &wire);
                }
                self.raw("}");
                self.position += 1;
            }
        }
        self.raw(if speaker.is_some() { "]}]" } else { "]" });
    }

    /// Stored turns have `human`, exported ones `user`; varied conversations have both.
    fn from(&self, role: Role, is_past: bool) -> &'static str {
        match role {
            Role::User if is_past || (self.is_varied && self.position % 2 == 1) => "human",
            Role::User => "user",
            Role::Assistant | Role::Tool => "bot",
            Role::System => "system",
        }
    }

    /// Writes a message of a past session, which has the stored shape.
    fn write_stored(&mut self, message: &Message, wire: &ConvocoreMessage<'_>, from: &str) {
        self.write_entry("from", from);
        if let Some(seconds) = message.created_at {
            self.write_entry("ts", &seconds);
        }
        if let (Some(feedback), ConvocoreMessage::Text(_)) = (message.feedback, wire) {
            self.write_entry("feedback", &(feedback == Feedback::Positive));
        }
        if let Some(payload) = wire.payload() {
            let item = json!({ "type": wire.kind(), "payload": payload });
            self.write_entry("item", &item);
        }
    }

    fn write_exported(&mut self, message: &Message, wire: &ConvocoreMessage<'_>) {
        if let Some(seconds) = message.created_at {
            let time = self.time(seconds);
            self.write_entry("ts", &time);
        }
        if let ConvocoreMessage::Text(text) = wire {
            let has_feedback_field = wire.has_feedback(false, self.is_varied);
            let payload = TextPayload {
                message: text,
                feedback: has_feedback_field.then(|| feedback_word(message.feedback)),
                ai_generated: has_feedback_field.then_some(message.role == Role::Assistant),
            };
            self.write_entry("payload", &payload);
        } else if let Some(payload) = wire.payload() {
            self.write_entry("payload", &payload);
        }
    }

    fn time(&self, seconds: i64) -> Value {
        match self.position % 5 {
            1 if self.is_varied => json!(seconds),
            2 if self.is_varied => json!(seconds.saturating_mul(1_000)),
            3 if self.is_varied => json!(seconds.to_string()),
            4 if self.is_varied => json!(time::iso_milliseconds(seconds)),
            _ => json!(time::english(seconds, self.zone)),
        }
    }
}
