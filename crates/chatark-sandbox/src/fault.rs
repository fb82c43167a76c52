//! Faults that tests and demos can inject.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::call::PagingFault;
use crate::exchange::{Reply, ReplyBody};
use crate::time;
use crate::truth::{Conversation, Message, Role, Vendor};

/// A fault that affects some of the requests to one agent.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The first affected request, counted from 0 since the server started.
    pub first: u64,
    /// The number of consecutive affected requests.
    pub times: u64,
    /// Which requests count.
    pub routes: Routes,
    /// The kind of fault.
    pub kind: FaultKind,
}

/// Which requests to an agent a fault counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Routes {
    /// Requests that export or list all conversations.
    #[default]
    Export,
    /// All requests that name the agent.
    Any,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The vendor's error for too many requests, status 429.
    TooManyRequests {
        /// What `Retry-After` says.
        retry_after: RetryAfter,
        /// What `X-RateLimit-Reset` says.
        reset: RateLimitReset,
    },
    /// Any status with any body.
    Status {
        /// The HTTP status.
        code: u16,
        /// The body.
        body: String,
        /// The body's media type.
        content_type: String,
    },
    /// The vendor's server error, status 500.
    ServerError,
    /// The vendor's maintenance notice, status 503.
    Maintenance,
    /// Half of the body under the full content length; then the connection closes.
    CutBody,
    /// The body in small chunks with pauses.
    SlowBody {
        /// The size of a chunk in bytes.
        chunk: usize,
        /// The pause before each chunk.
        delay: Duration,
    },
    /// No response until the server stops.
    NoResponse,
    /// The vendor completes the request, but a gateway answers 502: a client that retries without checking writes twice.
    BadGatewayAfterSuccess,
    /// A web page under status 200 instead of JSON.
    HtmlWithStatus200,
    /// A redirect, status 302.
    Redirect {
        /// The target.
        location: String,
    },
    /// A page whose cursor leads to itself; Chatbase's first API, which has no cursor, repeats the
    /// previous page.
    RepeatCursor,
    /// A page with `hasMore` but without a cursor; no effect on APIs without cursors.
    HasMoreNullCursor,
    /// An empty page before the real one.
    ///
    /// Chatbase's first API cannot announce more pages: the real page is lost.
    EmptyPage,
    /// The account's plan does not include the API.
    PlanGate,
    /// The key lacks the scope for the export.
    InsufficientScope,
    /// The key has expired.
    ExpiredKey,
    /// An error under status 200: `success` is false in Convocore's envelope.
    ErrorWithStatus200 {
        /// The vendor's message.
        message: String,
    },
    /// A gateway's error, status 502, instead of each response that contains a conversation, as if the vendor could not
    /// read its record. No effect on a response that is streamed as one array.
    UnreadableConversation {
        /// The id of the conversation.
        id: String,
    },
    /// Truncated JSON in a complete response.
    MalformedJson,
    /// Times in milliseconds instead of the usual unit.
    MillisecondTimes,
    /// Unknown fields, roles, part types and values.
    SchemaDrift,
    /// Adds conversations before the response is made. They are newer than all others.
    AddNewest {
        /// How many.
        conversations: usize,
    },
    /// Deletes the newest conversations before the response is made.
    RemoveNewest {
        /// How many.
        conversations: usize,
    },
}

/// What `Retry-After` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// The header is absent.
    None,
    /// A number of seconds.
    Seconds(u64),
    /// The date that many seconds from now.
    HttpDate(u64),
}

/// What `X-RateLimit-Reset` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitReset {
    /// The header is absent.
    None,
    /// Epoch seconds, that many seconds from now.
    Seconds(u64),
    /// Epoch milliseconds, that many seconds from now.
    Milliseconds(u64),
}

/// How a response is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As it is.
    #[default]
    Normal,
    /// The first half; then the connection closes.
    Cut,
    /// In small chunks, with a pause before each.
    Slow { chunk: usize, delay: Duration },
    /// Not at all.
    Never,
}

impl Fault {
    /// Affects one request; the first request is 0.
    pub fn at(request: u64, kind: FaultKind) -> Self {
        Self::times(request, 1, kind)
    }

    /// Affects one request and all later ones.
    pub fn from(request: u64, kind: FaultKind) -> Self {
        Self::times(request, u64::MAX, kind)
    }

    /// Affects a number of consecutive requests.
    pub fn times(first: u64, times: u64, kind: FaultKind) -> Self {
        Self { first, times, routes: Routes::Export, kind }
    }

    /// Counts all requests that name the agent, not just exports.
    #[must_use]
    pub fn on_any_route(mut self) -> Self {
        self.routes = Routes::Any;
        self
    }

    /// Returns whether it affects a request, given the number of earlier requests.
    pub(crate) fn affects(&self, nth_request: u64, nth_export: Option<u64>) -> bool {
        let nth = match self.routes {
            Routes::Export => nth_export,
            Routes::Any => Some(nth_request),
        };
        nth.and_then(|nth| nth.checked_sub(self.first)).is_some_and(|past| past < self.times)
    }
}

impl FaultKind {
    /// Returns the response that replaces the real one.
    pub(crate) fn replacement(&self, vendor: Vendor) -> Option<Reply> {
        Some(match self {
            Self::TooManyRequests { retry_after, reset } => too_many_requests(vendor, *retry_after, *reset),
            Self::Status { code, body, content_type } => Reply {
                content_type: content_type.clone(),
                ..Reply::bytes(
                    StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    body.clone(),
                )
            },
            Self::ServerError => ApiError::ServerError.reply(vendor),
            Self::Maintenance => ApiError::Maintenance.reply(vendor),
            Self::PlanGate => ApiError::PlanGate.reply(vendor),
            Self::InsufficientScope => ApiError::InsufficientScope.reply(vendor),
            Self::ExpiredKey => ApiError::ExpiredKey.reply(vendor),
            Self::HtmlWithStatus200 => Reply {
                content_type: "text/html; charset=utf-8".to_owned(),
                ..Reply::bytes(StatusCode::OK, WEB_PAGE)
            },
            Self::Redirect { location } => {
                Reply { headers: vec![("location", location.clone())], ..Reply::bytes(StatusCode::FOUND, "") }
            }
            Self::ErrorWithStatus200 { message } => {
                Reply::json(StatusCode::OK, &json!({ "success": false, "message": message }))
            }
            _ => return None,
        })
    }

    /// Returns how it changes the paging.
    pub(crate) fn paging_fault(&self) -> PagingFault {
        match self {
            Self::RepeatCursor => PagingFault::RepeatCursor,
            Self::HasMoreNullCursor => PagingFault::HasMoreNullCursor,
            Self::EmptyPage => PagingFault::EmptyPage,
            _ => PagingFault::None,
        }
    }

    /// Returns how the response is sent.
    pub(crate) fn delivery(&self) -> Delivery {
        match self {
            Self::CutBody => Delivery::Cut,
            Self::SlowBody { chunk, delay } => Delivery::Slow { chunk: (*chunk).max(1), delay: *delay },
            Self::NoResponse => Delivery::Never,
            _ => Delivery::Normal,
        }
    }

    /// Returns the finished response with the fault applied.
    pub(crate) fn apply_to(&self, reply: Reply) -> Reply {
        match self {
            Self::MalformedJson => truncated(reply),
            Self::MillisecondTimes => with_changed_json(reply, to_milliseconds),
            Self::SchemaDrift => with_changed_json(reply, add_drift),
            Self::BadGatewayAfterSuccess => bad_gateway(),
            Self::UnreadableConversation { id } if contains(&reply, id) => bad_gateway(),
            _ => reply,
        }
    }
}

/// Returns a conversation that arrives while an export is running.
pub(crate) fn arriving_conversation(number: u64, created_at: i64) -> Conversation {
    let greeting = Message {
        id: Some(format!("msg_arrived_{number}")),
        created_at: Some(created_at),
        ..Message::text(Role::User, "Hello, is anybody there?")
    };
    Conversation {
        id: format!("arrived-{number:06}"),
        title: Some("Just arrived".to_owned()),
        created_at,
        updated_at: created_at,
        messages: vec![greeting],
        ..Conversation::default()
    }
}

fn too_many_requests(vendor: Vendor, retry_after: RetryAfter, reset: RateLimitReset) -> Reply {
    let now = time::now_milliseconds();
    let in_milliseconds =
        |seconds: u64| now.saturating_add(i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(0));
    let mut reply = ApiError::TooManyRequests.reply(vendor);
    if vendor != Vendor::ConvocoreV3 {
        reply
            .headers
            .extend([("x-request-id", "req_too_many".to_owned()), ("x-ratelimit-remaining", "0".to_owned())]);
    }
    match retry_after {
        RetryAfter::None => {}
        RetryAfter::Seconds(seconds) => reply.headers.push(("retry-after", seconds.to_string())),
        RetryAfter::HttpDate(seconds) => {
            let date = time::http_date(in_milliseconds(seconds) / 1_000);
            reply.headers.push(("retry-after", date));
        }
    }
    let reset = match reset {
        RateLimitReset::None => return reply,
        RateLimitReset::Seconds(seconds) => in_milliseconds(seconds) / 1_000,
        RateLimitReset::Milliseconds(seconds) => in_milliseconds(seconds),
    };
    reply.headers.push(("x-ratelimit-reset", reset.to_string()));
    reply
}

/// Returns whether a response contains a conversation's id as a JSON string.
fn contains(reply: &Reply, conversation: &str) -> bool {
    let id = format!("\"{conversation}\"");
    reply.whole_body().windows(id.len()).any(|found| found == id.as_bytes())
}

/// A gateway does not send the vendor's headers.
fn bad_gateway() -> Reply {
    Reply {
        content_type: "text/html; charset=utf-8".to_owned(),
        ..Reply::bytes(StatusCode::BAD_GATEWAY, GATEWAY_PAGE)
    }
}

fn truncated(reply: Reply) -> Reply {
    let whole = reply.into_whole();
    let body = whole.whole_body();
    Reply { body: ReplyBody::Whole(body.slice(..body.len() / 2)), ..whole }
}

fn with_changed_json(reply: Reply, change: impl Fn(&mut Value)) -> Reply {
    let whole = reply.into_whole();
    match serde_json::from_slice(&whole.whole_body()) {
        Ok(mut value) => {
            change(&mut value);
            Reply { body: ReplyBody::Whole(value.to_string().into()), ..whole }
        }
        // Bytes that a test has set need not be JSON.
        Err(_) => whole,
    }
}

/// Turns every epoch time, and every ISO time of a conversation, into epoch milliseconds.
fn to_milliseconds(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, held) in map.iter_mut() {
                match (is_time(key), as_seconds(held)) {
                    (true, Some(seconds)) => *held = json!(seconds * 1_000),
                    _ => to_milliseconds(held),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(to_milliseconds),
        _ => {}
    }
}

fn is_time(key: &str) -> bool {
    const NAMES: [&str; 7] =
        ["createdAt", "updatedAt", "created_at", "updated_at", "last_message_at", "ts", "lastMessageTS"];
    NAMES.contains(&key)
}

fn as_seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().filter(|&number| number < 100_000_000_000),
        Value::String(text) => time::latest(text),
        _ => None,
    }
}

/// Adds unknown fields and values to every item of the response.
fn add_drift(value: &mut Value) {
    const LISTS: [&str; 4] = ["/data", "/leads", "/collectedCustomers", "/collectedCustomers/data"];
    value["futureEnvelope"] = json!({ "region": "eu" });
    for list in LISTS {
        match value.pointer_mut(list) {
            Some(Value::Array(items)) => items.iter_mut().for_each(add_drift_to_item),
            Some(single @ Value::Object(_)) => add_drift_to_item(single),
            _ => {}
        }
    }
}

fn add_drift_to_item(item: &mut Value) {
    item["futureField"] = json!({ "nested": [1, "two", null] });
    if let Some(metadata) = item.pointer_mut("/metadata/convo") {
        metadata["origin"] = json!("carrier-pigeon");
        metadata["state"] = json!("on_hold");
    }
    for (key, word) in [("source", "Carrier pigeon"), ("status", "on_hold")] {
        if let Some(held) = item.get_mut(key) {
            *held = json!(word);
        }
    }
    let strange = json!({ "type": "hologram", "depth": 3 });
    if let Some(message) = item.pointer_mut("/messages/0") {
        message["role"] = json!("supervisor");
        if let Some(parts) = message.get_mut("parts").and_then(Value::as_array_mut) {
            parts.push(strange.clone());
        }
    }
    if let Some(turn) = item.pointer_mut("/turns/0") {
        turn["from"] = json!("supervisor");
        if let Some(messages) = turn.get_mut("messages").and_then(Value::as_array_mut) {
            messages.push(json!({ "type": "hologram", "payload": strange }));
        }
    }
}

const WEB_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>";

const GATEWAY_PAGE: &str =
    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_affect_the_requests_that_they_name() {
        let fault = Fault::times(2, 2, FaultKind::ServerError);
        let affected: Vec<u64> = (0..6).filter(|&nth| fault.affects(9, Some(nth))).collect();
        assert_eq!(affected, [2, 3]);
        assert!(!fault.affects(2, None));
        assert!(fault.clone().on_any_route().affects(2, None));
        assert!(Fault::from(3, FaultKind::NoResponse).affects(0, Some(u64::MAX - 1)));
    }

    #[test]
    fn times_become_milliseconds_at_every_depth() {
        let mut value = json!({ "data": [{ "createdAt": 1_790_000_000, "messages": [
            { "ts": 1_790_000_001, "score": 1, "created_at": "2026-09-21T14:13:20.000Z" },
        ] }] });
        to_milliseconds(&mut value);
        let expected = json!({ "data": [{ "createdAt": 1_790_000_000_000_i64, "messages": [
            { "ts": 1_790_000_001_000_i64, "score": 1, "created_at": 1_790_000_000_000_i64 },
        ] }] });
        assert_eq!(value, expected);
    }
}
