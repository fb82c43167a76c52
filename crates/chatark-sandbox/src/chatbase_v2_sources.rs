//! The sources of Chatbase's second API: the knowledge that an agent is trained on.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_error::chatbase_v2_error;
use crate::call::AgentCall;
use crate::chatbase_v2::{DEFAULT_LIST_LIMIT, LIST_LIMIT, invalid, limit, pagination, resource_not_found};
use crate::cursor;
use crate::exchange::Reply;

/// The largest body that is taken: 4.5 MB.
const MAX_BYTES: usize = 4_500_000;

const MAX_NAME_CHARACTERS: usize = 100;
const MAX_QUESTIONS: usize = 50;
const MAX_CONTENT_CHARACTERS: usize = 1_048_576;

/// The sources that were written to an agent.
#[derive(Debug, Default)]
pub(crate) struct WrittenSources {
    sent: Vec<Value>,
}

/// An invalid source: the field and the problem.
type Problem = (&'static str, String);

impl WrittenSources {
    /// Returns the sources as they were sent, in order.
    pub(crate) fn sent(&self) -> &[Value] {
        &self.sent
    }

    fn index_of(&self, id: &str) -> Option<usize> {
        (0..self.sent.len()).find(|&index| id_at(index) == id)
    }

    /// Returns a row of the list: once it is listed, a source is trained.
    fn row(&self, index: usize) -> Value {
        summary(&self.sent[index], index, "trained")
    }
}

/// Answers a request for sources; `None` if there is no such route.
pub(crate) fn answer(call: &AgentCall<'_>, sources: &mut WrittenSources) -> Option<Reply> {
    let outcome = match (call.method.as_str(), call.route) {
        ("POST", ["sources"]) => add(call, sources),
        ("GET", ["sources"]) => list(call, sources),
        ("GET", ["sources", id]) => single(sources, id),
        _ => return None,
    };
    Some(outcome.unwrap_or_else(|refused| refused))
}

fn add(call: &AgentCall<'_>, sources: &mut WrittenSources) -> Result<Reply, Reply> {
    if call.body.len() > MAX_BYTES {
        let body = chatbase_v2_error("PAYLOAD_TOO_LARGE", "The request body must not exceed 4.5 MB");
        return Err(Reply::json(StatusCode::PAYLOAD_TOO_LARGE, &body));
    }
    let sent: Value = serde_json::from_slice(call.body).map_err(|_| {
        let body = chatbase_v2_error("VALIDATION_INVALID_JSON", "The request body is not valid JSON");
        Reply::json(StatusCode::BAD_REQUEST, &body)
    })?;
    check(&sent).map_err(|(field, problem)| invalid(field, &problem))?;
    let data = summary(&sent, sources.sent.len(), "untrained");
    sources.sent.push(sent);
    Ok(Reply::json(StatusCode::CREATED, &json!({ "data": data })))
}

fn check(sent: &Value) -> Result<(), Problem> {
    check_text("name", &sent["name"], MAX_NAME_CHARACTERS)?;
    match sent["type"].as_str() {
        Some("text") => check_text("content", &sent["content"], MAX_CONTENT_CHARACTERS),
        Some("qna") => {
            check_questions(&sent["questions"])?;
            check_text("answer", &sent["answer"], usize::MAX)
        }
        _ => Err(("type", "Invalid discriminator value".to_owned())),
    }
}

fn check_text(field: &'static str, value: &Value, max: usize) -> Result<(), Problem> {
    match value.as_str().map(|text| text.chars().count()) {
        None => Err((field, "Expected string".to_owned())),
        Some(0) => Err((field, "String must contain at least 1 character(s)".to_owned())),
        Some(length) if length > max => {
            Err((field, format!("String must contain at most {max} character(s)")))
        }
        Some(_) => Ok(()),
    }
}

fn check_questions(value: &Value) -> Result<(), Problem> {
    let Some(questions) = value.as_array() else {
        return Err(("questions", "Expected array".to_owned()));
    };
    if !(1..=MAX_QUESTIONS).contains(&questions.len()) {
        return Err(("questions", format!("Array must contain 1 to {MAX_QUESTIONS} element(s)")));
    }
    questions.iter().try_for_each(|question| check_text("questions", question, usize::MAX))
}

fn list(call: &AgentCall<'_>, sources: &WrittenSources) -> Result<Reply, Reply> {
    let limit = limit(call.request, DEFAULT_LIST_LIMIT, LIST_LIMIT)?;
    let requested = call.request.parameter("cursor");
    let start = match requested {
        None => 0,
        Some(text) => index_after(sources, text).ok_or_else(|| invalid("cursor", "Invalid cursor"))?,
    };
    let total = sources.sent.len();
    let end = total.min(start.saturating_add(limit));
    let mut indices: Vec<usize> = (start..end).collect();
    let next = indices
        .last()
        .filter(|_| end < total)
        .map(|&last| cursor::encode_padded(&json!({ "id": id_at(last) })));
    let pagination = pagination(call.request, call.paging_fault, &mut indices, next, total);
    let rows: Vec<Value> = indices.into_iter().map(|index| sources.row(index)).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "data": rows, "pagination": pagination })))
}

/// Returns the index at which a list continues after a cursor; an empty id means the start.
fn index_after(sources: &WrittenSources, text: &str) -> Option<usize> {
    let value = cursor::decode(text)?;
    match value.get("id")?.as_str()? {
        "" => Some(0),
        id => sources.index_of(id).map(|index| index + 1),
    }
}

fn single(sources: &WrittenSources, id: &str) -> Result<Reply, Reply> {
    let index = sources.index_of(id).ok_or_else(resource_not_found)?;
    let mut data = sources.row(index);
    for field in ["questions", "answer", "content"] {
        if let Some(held) = sources.sent[index].get(field) {
            data[field] = held.clone();
        }
    }
    Ok(Reply::json(StatusCode::OK, &json!({ "data": data })))
}

fn summary(sent: &Value, index: usize, status: &str) -> Value {
    json!({ "id": id_at(index), "type": sent["type"], "name": sent["name"], "status": status })
}

fn id_at(index: usize) -> String {
    format!("src_{}", index + 1)
}
