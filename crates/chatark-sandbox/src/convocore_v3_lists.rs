//! Convocore's lists: conversations without their turns, which are not metered, and leads.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::call::AgentCall;
use crate::convocore_v3::{cursor_of, invalid, pagination, parameter, read_cursor};
use crate::convocore_v3_writes::{ConvocoreWrites, Lead};
use crate::exchange::{ApiRequest, Reply};
use crate::truth::Conversation;
use crate::world::Agent;

/// The maximum and default page size.
const MAX_CONVERSATIONS: usize = 20;

const DEFAULT_LEADS: usize = 20;
const MAX_LEADS: usize = 100;

/// Answers a request for a list; `None` for other requests.
pub(crate) fn answer(call: &AgentCall<'_>, agent: &Agent, written: &ConvocoreWrites) -> Option<Reply> {
    let outcome = match (call.method.as_str(), call.route) {
        ("GET", ["convos"]) => conversations(call, agent, written),
        ("GET", ["leads"]) => leads(call, agent, &written.leads),
        _ => return None,
    };
    Some(outcome.unwrap_or_else(|refused| refused))
}

fn conversations(call: &AgentCall<'_>, agent: &Agent, written: &ConvocoreWrites) -> Result<Reply, Reply> {
    let limit = number(call.request, "limit", MAX_CONVERSATIONS)?.min(MAX_CONVERSATIONS);
    let page = number(call.request, "page", 1)?;
    let after = parameter(call.request, "cursor", read_cursor)?;
    // Page numbers are not supported: only a cursor leads to the next page.
    if page > 1 && after.is_none() {
        return Err(invalid("page"));
    }
    let dataset = &agent.dataset;
    let start = after.map_or(0, |key| dataset.first_older_than(&key));
    let listed = (start..dataset.len()).filter(|&index| is_listed(&dataset.at(index), written));
    let mut indices: Vec<usize> = listed.take(limit + 1).collect();
    let has_more = indices.len() > limit;
    indices.truncate(limit);
    let next = indices.last().filter(|_| has_more).map(|&last| cursor_of(&dataset.key(last), false));
    let requested = call.request.parameter("cursor");
    let (next, has_more) = pagination(call.paging_fault, requested, false, &mut indices, next);

    let rows: Vec<Value> = indices.into_iter().map(|index| thin_row(&dataset.at(index))).collect();
    let mut body = json!({
        "success": true,
        "message": "Conversations retrieved successfully",
        "limit": limit,
        "hasMore": has_more,
        "data": rows,
    });
    add_known(&mut body, [("nextCursor", json!(next))]);
    Ok(Reply::json(StatusCode::OK, &body))
}

/// Conversations without messages are listed only if a client created them.
fn is_listed(conversation: &Conversation, written: &ConvocoreWrites) -> bool {
    !conversation.messages.is_empty() || written.created.contains(&conversation.id)
}

/// Returns the row of a conversation, which lacks the notes.
fn thin_row(conversation: &Conversation) -> Value {
    let contact = &conversation.contact;
    let mut row = json!({
        "ID": conversation.id,
        "userID": conversation.id,
        "ts": conversation.created_at,
        "tags": conversation.tags,
    });
    add_known(
        &mut row,
        [
            ("origin", json!(conversation.channel.convocore_name())),
            ("userName", json!(contact.name)),
            ("userEmail", json!(contact.email)),
        ],
    );
    if !conversation.messages.is_empty() {
        let times = || conversation.messages.iter().filter_map(|message| message.created_at);
        row["messagesNum"] = json!(conversation.messages.len());
        row["firstMessageTS"] = json!(times().min().unwrap_or(conversation.created_at));
        row["lastMessageTS"] = json!(times().max().unwrap_or(conversation.updated_at));
    }
    row
}

/// Adds the known fields, and omits the keys of the others.
fn add_known<const N: usize>(object: &mut Value, fields: [(&str, Value); N]) {
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
        object[name] = value;
    }
}

fn leads(call: &AgentCall<'_>, agent: &Agent, held: &[Lead]) -> Result<Reply, Reply> {
    let page = number(call.request, "page", 1)?;
    let limit = number(call.request, "limit", DEFAULT_LEADS)?;
    if limit > MAX_LEADS {
        return Err(invalid("limit"));
    }
    let skipped = (call.paging_fault.page(page) - 1).saturating_mul(limit);
    let max = if call.paging_fault.is_empty_page() { 0 } else { limit };
    let shown = held.iter().enumerate().skip(skipped).take(max);
    let rows: Vec<Value> = shown.map(|(index, lead)| lead_row(agent, index, lead)).collect();
    let body = json!({ "leads": rows, "total": held.len(), "page": page, "limit": limit });
    Ok(Reply::json(StatusCode::OK, &body))
}

fn lead_row(agent: &Agent, index: usize, lead: &Lead) -> Value {
    let sent = &lead.sent;
    json!({
        "id": format!("lead_{}", index + 1),
        "agentId": agent.id,
        "name": sent["userName"],
        "email": sent["userEmail"],
        "phone": sent["userPhone"],
        "metaData": {
            "address": sent["userAddress"],
            "company": sent["userCompany"],
            "notes": sent["notes"],
            "website": sent["userWebsite"],
        },
        "ts": lead.ts,
    })
}

/// Returns a number of at least 1.
fn number(request: &ApiRequest, name: &str, default: usize) -> Result<usize, Reply> {
    let read = parameter(request, name, |text| text.parse().ok().filter(|&number: &usize| number > 0))?;
    Ok(read.unwrap_or(default))
}
