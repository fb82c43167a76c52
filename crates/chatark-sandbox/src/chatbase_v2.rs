//! Chatbase's second API: cursor pages, typed parts, epoch seconds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::api_error::{ApiError, chatbase_v2_error};
use crate::call::{Call, PagingFault};
use crate::cursor;
use crate::dataset::{Dataset, SortKey};
use crate::exchange::{ApiRequest, Reply, write_array, write_json};
use crate::time;
use crate::truth::{Channel, Content, Conversation, Feedback, Message, Role, Status, Vendor};
use crate::world::{Agent, Deployment};

/// The maximum and default page size of the export.
const EXPORT_LIMIT: usize = 20;

/// The default page size of the other lists.
pub(crate) const DEFAULT_LIST_LIMIT: usize = 20;

/// The maximum page size of the other lists.
pub(crate) const LIST_LIMIT: usize = 100;

/// Answers an authorized request.
pub(crate) fn answer(call: &Call<'_>) -> Reply {
    match call.request.segments()[..] {
        ["agents"] => agents(call),
        ["agents", _] => agent(call),
        ["agents", _, "conversations", "export"] => reply_of(export(call)),
        ["agents", _, "conversations", id, "messages"] => reply_of(messages(call, id)),
        ["agents", _, "users", user, "conversations"] => reply_of(user_conversations(call, user)),
        // Sources of agents that the key has access to are answered elsewhere.
        ["agents", _, "sources"] | ["agents", _, "sources", _] => agent_not_found(),
        _ => ApiError::UnknownRoute.reply(Vendor::ChatbaseV2),
    }
}

/// Answers the health check, which needs no key.
pub(crate) fn health() -> Reply {
    Reply::json(StatusCode::OK, &json!({ "data": { "status": "ok" } }))
}

fn reply_of(outcome: Result<Reply, Reply>) -> Reply {
    outcome.unwrap_or_else(|refused| refused)
}

fn agents(call: &Call<'_>) -> Reply {
    let data: Vec<Value> = call.account.iter().map(|held| agent_body(held)).collect();
    let pagination = json!({ "cursor": null, "hasMore": false, "total": data.len() });
    Reply::json(StatusCode::OK, &json!({ "data": data, "pagination": pagination }))
}

fn agent(call: &Call<'_>) -> Reply {
    match &call.agent {
        Some(agent) => Reply::json(StatusCode::OK, &json!({ "data": agent_body(agent) })),
        None => agent_not_found(),
    }
}

fn agent_not_found() -> Reply {
    let body = chatbase_v2_error("AGENT_NOT_FOUND", "The requested agent could not be found");
    Reply::json(StatusCode::NOT_FOUND, &body)
}

/// Returns the error response for something that the agent does not have.
pub(crate) fn resource_not_found() -> Reply {
    let body = chatbase_v2_error("RESOURCE_NOT_FOUND", "The requested item could not be found");
    Reply::json(StatusCode::NOT_FOUND, &body)
}

fn agent_body(agent: &Agent) -> Value {
    json!({
        "id": agent.id,
        "name": agent.name,
        "instructions": "You answer the customers of a small shop.",
        "model": "gpt-5-mini",
        "temp": 0,
        "visibility": "private",
        "createdAt": "2024-01-15T10:30:00.000Z",
        "lastMessageAt": null,
        "lastTrainedAt": null,
        "status": "trained",
        "size": 20_480,
    })
}

/// The parsed parameters of the export.
struct ExportQuery {
    limit: usize,
    after: Option<SortKey<'static>>,
    from: Option<i64>,
    to: Option<i64>,
    conversation_id: Option<String>,
    has_messages: bool,
    sources: Option<Vec<String>>,
}

impl ExportQuery {
    fn read(request: &ApiRequest, deployment: Deployment) -> Result<Self, Reply> {
        let mut query = Self {
            limit: limit(request, EXPORT_LIMIT, EXPORT_LIMIT)?,
            after: cursor_key(request)?,
            from: None,
            to: None,
            conversation_id: None,
            has_messages: true,
            sources: None,
        };
        if deployment == Deployment::Old {
            return Ok(query);
        }
        query.from = date(request, "startDate", time::earliest)?;
        query.to = date(request, "endDate", time::latest)?;
        if let (Some(from), Some(to)) = (query.from, query.to)
            && from > to
        {
            return Err(bad_request(&chatbase_v2_error(
                "VALIDATION_INVALID_DATE_RANGE",
                "startDate must not be after endDate",
            )));
        }
        if deployment != Deployment::IgnoresId {
            query.conversation_id = request.parameter("conversationId").map(str::to_owned);
        }
        query.has_messages = match request.parameter("include") {
            None | Some("messages") => true,
            Some("summary") => false,
            Some(_) => return Err(invalid("include", "Invalid enum value")),
        };
        if deployment == Deployment::StrictCursors
            && request
                .parameter("cursor")
                .is_some_and(|cursor| is_cursor_of_summaries(cursor) == query.has_messages)
        {
            return Err(invalid("cursor", "Invalid cursor"));
        }
        query.sources = request
            .parameter("source")
            .map(|list| list.split(',').map(|name| name.trim().to_owned()).collect());
        Ok(query)
    }

    fn passes(&self, channel: Channel) -> bool {
        self.sources.as_ref().is_none_or(|sources| {
            channel.chatbase_name().is_some_and(|name| sources.iter().any(|source| source == name))
        })
    }
}

fn export(call: &Call<'_>) -> Result<Reply, Reply> {
    let deployment = call.agent.as_ref().map_or(Deployment::default(), |agent| agent.deployment);
    let query = ExportQuery::read(call.request, deployment)?;
    // The vendor answers for an unknown agent as for an empty one.
    let nothing = Dataset::default();
    let dataset = call.agent.as_ref().map_or(&nothing, |agent| &agent.dataset);

    let window = match &query.conversation_id {
        Some(id) => dataset.index_of(id).map_or(0..0, |index| index..index + 1),
        None => dataset.window(query.from, query.to),
    };
    let total = dataset.count(window.clone(), |channel| query.passes(channel));
    let start = query
        .after
        .as_ref()
        .map_or(window.start, |key| dataset.first_older_than(key))
        .clamp(window.start, window.end);
    let mut indices = dataset.pick(start..window.end, query.limit + 1, |channel| query.passes(channel));
    let has_more = indices.len() > query.limit;
    indices.truncate(query.limit);
    let cursor = if query.has_messages { cursor_of } else { cursor_of_summaries };
    let next = indices.last().filter(|_| has_more).map(|&last| cursor(&dataset.key(last)));
    let pagination = pagination(call.request, call.paging_fault, &mut indices, next, total);

    let mut body = b"{\"data\":".to_vec();
    write_array(&mut body, indices, |out, index| {
        let conversation = dataset.at(index);
        match dataset.raw_override(&conversation.id) {
            Some(raw) if query.has_messages => out.extend_from_slice(raw),
            _ => write_json(out, &wire_conversation(&conversation, query.has_messages)),
        }
    });
    Ok(finish(body, &pagination))
}

fn user_conversations(call: &Call<'_>, user: &str) -> Result<Reply, Reply> {
    let limit = limit(call.request, DEFAULT_LIST_LIMIT, LIST_LIMIT)?;
    let after = cursor_key(call.request)?;
    let nothing = Dataset::default();
    let dataset = call.agent.as_ref().map_or(&nothing, |agent| &agent.dataset);

    let mut held: Vec<Cow<'_, Conversation>> =
        dataset.api_conversations_of(user).into_iter().map(|index| dataset.at(index)).collect();
    held.sort_by(|left, right| activity(right).cmp(&activity(left)));
    let start = after.map_or(0, |key| held.partition_point(|conversation| activity(conversation) >= key));
    let end = held.len().min(start.saturating_add(limit));
    let next = held[start..end].last().filter(|_| end < held.len()).map(|last| cursor_of(&activity(last)));
    let pagination = json!({
        "hasMore": next.is_some(),
        "cursor": next,
        "total": held.len(),
    });

    let mut body = b"{\"data\":".to_vec();
    write_array(&mut body, start..end, |out, index| {
        let mut wire = wire_conversation(&held[index], false);
        wire.source = OptionalKey::Absent;
        write_json(out, &wire);
    });
    Ok(finish(body, &pagination))
}

fn messages(call: &Call<'_>, id: &str) -> Result<Reply, Reply> {
    let limit = limit(call.request, LIST_LIMIT, LIST_LIMIT)?;
    let before = cursor_key(call.request)?;
    let conversation = call
        .agent
        .as_ref()
        .and_then(|agent| Some(agent.dataset.conversation(agent.dataset.index_of(id)?)))
        .filter(|conversation| conversation.channel == Channel::Api)
        .ok_or_else(resource_not_found)?;

    // Pages go from newest to oldest; messages within a page go from oldest to newest.
    let held = &conversation.messages;
    let id_at = |position: usize| held[position].chatbase_v2_id(position);
    let end = match before {
        None => held.len(),
        Some(key) => (0..held.len())
            .find(|&position| id_at(position) == key.id)
            .ok_or_else(|| invalid("cursor", "Invalid cursor"))?,
    };
    let start = end.saturating_sub(limit);
    let next = (start > 0).then(|| {
        cursor_of(&SortKey {
            created_at: held[start].created_at.unwrap_or(conversation.created_at),
            id: id_at(start),
        })
    });
    let pagination = json!({
        "hasMore": next.is_some(),
        "cursor": next,
        "total": held.len(),
    });

    let mut body = b"{\"data\":".to_vec();
    write_array(&mut body, start..end, |out, position| {
        let mut wire = wire_message(&held[position], position, conversation.varied);
        wire.parts.is_sanitised = false;
        write_json(out, &wire);
    });
    Ok(finish(body, &pagination))
}

fn finish(mut body: Vec<u8>, pagination: &Value) -> Reply {
    body.extend_from_slice(b",\"pagination\":");
    write_json(&mut body, pagination);
    body.push(b'}');
    Reply::bytes(StatusCode::OK, body)
}

/// Returns the pagination of the page, changed by a fault if there is one.
pub(crate) fn pagination(
    request: &ApiRequest,
    paging_fault: PagingFault,
    indices: &mut Vec<usize>,
    next: Option<String>,
    total: usize,
) -> Value {
    let requested = request.parameter("cursor").map(str::to_owned);
    let (cursor, has_more) = match paging_fault {
        PagingFault::None => {
            let has_more = next.is_some();
            (next, has_more)
        }
        PagingFault::RepeatCursor => (requested.or(next), true),
        PagingFault::HasMoreNullCursor => (None, true),
        PagingFault::EmptyPage => {
            indices.clear();
            (Some(equivalent_cursor(requested.as_deref())), true)
        }
    };
    json!({ "cursor": cursor, "hasMore": has_more, "total": total })
}

/// Returns a different cursor to the same position, so that an empty page leads to the full one.
fn equivalent_cursor(requested: Option<&str>) -> String {
    let mut value = requested
        .and_then(cursor::decode)
        .unwrap_or_else(|| json!({ "t": "9999-12-31T23:59:59.000Z", "id": "" }));
    let salt = value.get("salt").and_then(Value::as_u64).unwrap_or(0);
    value["salt"] = json!(salt + 1);
    cursor::encode_padded(&value)
}

fn cursor_of(key: &SortKey<'_>) -> String {
    cursor::encode_padded(&json!({ "t": time::iso_milliseconds(key.created_at), "id": key.id }))
}

fn cursor_of_summaries(key: &SortKey<'_>) -> String {
    let index = json!({ "t": time::iso_milliseconds(key.created_at), "id": key.id, "include": "summary" });
    cursor::encode_padded(&index)
}

fn is_cursor_of_summaries(text: &str) -> bool {
    cursor::decode(text).is_some_and(|value| value["include"] == "summary")
}

fn cursor_key(request: &ApiRequest) -> Result<Option<SortKey<'static>>, Reply> {
    let Some(text) = request.parameter("cursor") else {
        return Ok(None);
    };
    let key = cursor::decode(text).and_then(|value| {
        Some(SortKey {
            created_at: time::latest(value.get("t")?.as_str()?)?,
            id: Cow::Owned(value.get("id")?.as_str()?.to_owned()),
        })
    });
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(invalid("cursor", "Invalid cursor")),
    }
}

fn activity(conversation: &Conversation) -> SortKey<'_> {
    SortKey { created_at: conversation.updated_at, id: Cow::Borrowed(&conversation.id) }
}

/// Returns the page size of the request.
pub(crate) fn limit(request: &ApiRequest, default: usize, max: usize) -> Result<usize, Reply> {
    let Some(text) = request.parameter("limit") else {
        return Ok(default);
    };
    match text.parse::<usize>() {
        Ok(0) => Err(invalid("limit", "Number must be greater than or equal to 1")),
        Ok(limit) if limit > max => {
            Err(invalid("limit", &format!("Number must be less than or equal to {max}")))
        }
        Ok(limit) => Ok(limit),
        Err(_) => Err(invalid("limit", "Expected number, received string")),
    }
}

fn date(request: &ApiRequest, name: &str, read: impl Fn(&str) -> Option<i64>) -> Result<Option<i64>, Reply> {
    match request.parameter(name) {
        None => Ok(None),
        Some(text) => match read(text) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(invalid(name, "Invalid date")),
        },
    }
}

/// Returns the error response for an invalid field.
pub(crate) fn invalid(field: &str, problem: &str) -> Reply {
    let details = BTreeMap::from([(field, problem)]);
    let mut body = chatbase_v2_error("VALIDATION_INVALID_BODY", "Invalid request");
    body["error"]["details"] = json!(details);
    bad_request(&body)
}

fn bad_request(body: &Value) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, body)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireConversation<'a> {
    id: &'a str,
    title: Option<&'a str>,
    created_at: i64,
    updated_at: i64,
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "OptionalKey::is_absent")]
    source: OptionalKey,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<WireMessages<'a>>,
}

/// A key that may be absent, and whose value may be null.
#[derive(Serialize)]
#[serde(untagged)]
enum OptionalKey {
    Absent,
    Present(Option<&'static str>),
}

impl OptionalKey {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

struct WireMessages<'a>(&'a Conversation);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage<'a> {
    id: Cow<'a, str>,
    role: &'static str,
    parts: WireParts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "OptionalKey::is_absent")]
    feedback: OptionalKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<WireMetadata>,
}

#[derive(Serialize)]
struct WireMetadata {
    score: Option<f64>,
}

struct WireParts<'a> {
    content: &'a [Content],
    is_sanitised: bool,
}

struct WirePart<'a> {
    content: &'a Content,
    is_sanitised: bool,
}

fn wire_conversation(conversation: &Conversation, has_messages: bool) -> WireConversation<'_> {
    WireConversation {
        id: &conversation.id,
        title: conversation.title.as_deref(),
        created_at: conversation.created_at,
        updated_at: conversation.updated_at,
        user_id: conversation.contact.id.as_deref(),
        source: OptionalKey::Present(conversation.channel.chatbase_name()),
        status: conversation.status.map_or("ongoing", Status::word),
        messages: has_messages.then_some(WireMessages(conversation)),
    }
}

fn wire_message(message: &Message, position: usize, is_varied: bool) -> WireMessage<'_> {
    let is_answer = message.role == Role::Assistant;
    // A varied conversation omits keys instead of writing null.
    let has_feedback = is_answer && (message.feedback.is_some() || !is_varied);
    let has_score = is_answer && (message.score.is_some() || !is_varied);
    WireMessage {
        id: message.chatbase_v2_id(position),
        role: message.role.word(),
        parts: WireParts { content: &message.content, is_sanitised: true },
        created_at: message.created_at,
        feedback: if has_feedback {
            OptionalKey::Present(message.feedback.map(Feedback::word))
        } else {
            OptionalKey::Absent
        },
        metadata: has_score.then_some(WireMetadata { score: message.score }),
    }
}

impl Serialize for WireMessages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = self.0.messages.iter().enumerate();
        serializer.collect_seq(wire.map(|(position, message)| wire_message(message, position, self.0.varied)))
    }
}

impl Serialize for WireParts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.content.iter().filter(|content| is_shown(content));
        serializer.collect_seq(shown.map(|content| WirePart { content, is_sanitised: self.is_sanitised }))
    }
}

/// Returns whether this vendor shows the content: text, tools, and types that it has not documented.
fn is_shown(content: &Content) -> bool {
    matches!(
        content,
        Content::Text(_)
            | Content::Notice { .. }
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Unknown { .. }
    )
}

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.content {
            Content::Text(text) | Content::Notice { text, .. } => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
            Content::ToolCall { id, name, input } => {
                map.serialize_entry("type", "tool-call")?;
                map.serialize_entry("toolCallId", id)?;
                map.serialize_entry("toolName", name)?;
                if !self.is_sanitised {
                    map.serialize_entry("input", input)?;
                }
            }
            Content::ToolResult { id, name, .. } => {
                map.serialize_entry("type", "tool-result")?;
                map.serialize_entry("toolCallId", id)?;
                map.serialize_entry("toolName", name)?;
                map.serialize_entry("output", &tool_output(self.content, self.is_sanitised))?;
            }
            Content::Unknown { kind, data } => {
                map.serialize_entry("type", kind)?;
                for (key, value) in data.as_object().into_iter().flatten() {
                    map.serialize_entry(key, value)?;
                }
            }
            _ => {}
        }
        map.end()
    }
}

fn tool_output(content: &Content, is_sanitised: bool) -> Value {
    let Content::ToolResult { status, data, error, .. } = content else {
        return Value::Null;
    };
    let mut output = json!({ "status": status.word() });
    if let Some(data) = data {
        output["data"] = data.clone();
    }
    if let Some(error) = error {
        output["error"] = json!(error);
    }
    if !is_sanitised {
        output["debug"] = json!({ "ms": 182 });
    }
    output
}
