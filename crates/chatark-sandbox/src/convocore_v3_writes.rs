//! What can be written to Convocore: conversations, their turns, and leads, with the published defects.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::call::AgentCall;
use crate::dataset::Dataset;
use crate::exchange::Reply;
use crate::time;
use crate::truth::{Channel, Contact, Content, Conversation, Message, Role};
use crate::world::{Agent, WriteBehaviour};

/// The largest body that the vendor's framework accepts.
const MAX_BYTES: usize = 100_000;

/// The maximum number of leads per request.
const MAX_LEADS: usize = 100;

/// The types of messages that can be written. `form` and `input` are read-only.
const TYPES: [&str; 41] = [
    "launch",
    "text",
    "choice",
    "MultiSelect",
    "cardV2",
    "carousel",
    "visual",
    "GetBrowserData",
    "Embed",
    "location",
    "iFrame",
    "FileUpload",
    "MultiFileUpload",
    "GoogleForm",
    "EmailForm",
    "SetConvoData",
    "VoiceNote",
    "SetRuntime",
    "no-reply",
    "VGVF_Channel",
    "VFVG_Channel",
    "VG_Response",
    "knowledgeBase",
    "jsx",
    "Flowise",
    "MultiDropdown",
    "Slider",
    "Attachment",
    "info:default",
    "info:success",
    "info:danger",
    "info:primary",
    "end",
    "debug",
    "stealth",
    "debug:success",
    "debug:error",
    "debug:tell",
    "context:form_submission",
    "file",
    "browser_capture",
];

/// What clients wrote to an agent of Convocore, apart from the contents of its conversations.
#[derive(Debug, Default)]
pub(crate) struct ConvocoreWrites {
    /// Conversations that a client created; they are listed even without messages.
    pub(crate) created: HashSet<String>,
    /// Conversations that are listed but answer 404 under their own id.
    unreachable: HashSet<String>,
    pub(crate) leads: Vec<Lead>,
    /// How many messages were delivered to real people.
    pub(crate) delivered: u64,
}

/// A lead that was written.
#[derive(Debug)]
pub(crate) struct Lead {
    /// The lead as it was sent.
    pub(crate) sent: Value,
    /// When it was written, in epoch seconds.
    pub(crate) ts: i64,
}

/// Answers a request that writes; `None` if there is no such route.
pub(crate) fn answer(
    call: &AgentCall<'_>,
    agent: &mut Agent,
    written: &mut ConvocoreWrites,
) -> Option<Reply> {
    if call.body.len() > MAX_BYTES {
        return Some(error_reply(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            "Request body too large",
        ));
    }
    // The framework reads bodies of this content type only; any other request counts as empty.
    let is_json = call.content_type == Some("application/json");
    let body: Value =
        if is_json { serde_json::from_slice(call.body).unwrap_or_default() } else { Value::Null };
    let is_unreachable = |id: &str| written.unreachable.contains(id) || agent.dataset.index_of(id).is_none();
    Some(match (call.method.as_str(), call.route) {
        ("POST", ["convos"]) => create(agent, written, &body["conversation"]),
        ("POST", ["leads", "bulk"]) => add_leads(written, &body["leads"]),
        ("GET" | "PATCH" | "POST", ["convos", id, ..]) if is_unreachable(id) => {
            error_reply(StatusCode::NOT_FOUND, "NOT_FOUND", "Conversation not found")
        }
        ("GET", ["convos", id]) => conversation_metadata(&agent.dataset, id),
        ("PATCH", ["convos", id]) => change(&mut agent.dataset, id, &body["conversation"]),
        ("PATCH", ["convos", id, "messages"]) => replace(agent, id, &body["turns"]),
        ("POST", ["convos", _, "send"]) => {
            written.delivered += 1;
            success("Message sent", &json!({}))
        }
        _ => return None,
    })
}

fn create(agent: &mut Agent, written: &mut ConvocoreWrites, metadata: &Value) -> Reply {
    let Some(began) = metadata["ts"].as_f64().and_then(|number| time::epoch(&number.to_string())) else {
        return invalid("conversation.ts");
    };
    let id = format!("{}_{:020}", agent.id, written.created.len() + 1);
    written.created.insert(id.clone());
    let mut conversation = Conversation {
        id: id.clone(),
        created_at: began,
        updated_at: began,
        channel: channel(metadata["origin"].as_str()),
        ..Conversation::default()
    };
    apply_metadata(&mut conversation, metadata);
    agent.dataset.insert(conversation);
    if agent.writes == WriteBehaviour::CreatedAnswers404 {
        written.unreachable.insert(id.clone());
    }
    success("Conversation created successfully", &json!({ "ID": id, "userID": id, "ts": began }))
}

/// Changes the metadata of a conversation; new tags are added to the existing ones.
fn change(dataset: &mut Dataset, id: &str, metadata: &Value) -> Reply {
    dataset.change(id, |conversation| apply_metadata(conversation, metadata));
    success("Conversation updated successfully", &json!({ "ID": id }))
}

fn apply_metadata(conversation: &mut Conversation, metadata: &Value) {
    let text = |name: &str| metadata[name].as_str().map(str::to_owned);
    let Contact { name, email, phone, company, address, website, .. } = &mut conversation.contact;
    for (held, field) in [
        (name, "userName"),
        (email, "userEmail"),
        (phone, "userPhone"),
        (company, "userCompany"),
        (address, "userAddress"),
        (website, "userWebsite"),
        (&mut conversation.notes, "notes"),
    ] {
        *held = text(field).or_else(|| held.take());
    }
    for tag in metadata["tags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !conversation.tags.iter().any(|held| held == tag) {
            conversation.tags.push(tag.to_owned());
        }
    }
}

fn channel(origin: Option<&str>) -> Channel {
    [
        Channel::WhatsApp,
        Channel::Messenger,
        Channel::Instagram,
        Channel::Email,
        Channel::Slack,
        Channel::Telegram,
    ]
    .into_iter()
    .find(|channel| channel.convocore_name() == origin)
    .unwrap_or_default()
}

fn conversation_metadata(dataset: &Dataset, id: &str) -> Reply {
    let index = dataset.index_of(id).unwrap_or_default();
    let conversation = dataset.at(index);
    let contact = &conversation.contact;
    success(
        "Conversation retrieved successfully",
        &json!({
            "ID": id, "userID": id, "ts": conversation.created_at, "tags": conversation.tags,
            "notes": conversation.notes, "userName": contact.name, "userEmail": contact.email,
            "userPhone": contact.phone, "messagesNum": conversation.messages.len(),
            "origin": conversation.channel.convocore_name(),
        }),
    )
}

/// Replaces all turns of a conversation. Nothing is delivered to the customer.
fn replace(agent: &mut Agent, id: &str, turns: &Value) -> Reply {
    let Some(turns) = turns.as_array() else { return invalid("turns") };
    let mut messages = Vec::new();
    for turn in turns {
        for message in turn["messages"].as_array().into_iter().flatten() {
            match message_of(turn, message) {
                Ok(message) => messages.push(message),
                Err(field) => return invalid(field),
            }
        }
    }
    let number = messages.len();
    let last = messages.iter().filter_map(|message| message.created_at).max();
    agent.dataset.change(id, |conversation| {
        conversation.updated_at = last.unwrap_or(conversation.created_at);
        conversation.past_sessions.clear();
        conversation.messages = messages;
    });
    let data = json!({ "agentId": agent.id, "convoId": id, "messagesNum": number, "turns": turns });
    success("Successfully updated conversation messages", &data)
}

fn message_of(turn: &Value, message: &Value) -> Result<Message, &'static str> {
    let role = match message["from"].as_str().or(turn["from"].as_str()) {
        Some("human") => Role::User,
        Some("bot") => Role::Assistant,
        Some("system") => Role::System,
        _ => return Err("turns.messages.from"),
    };
    let kind = message["type"].as_str().filter(|kind| TYPES.contains(kind)).ok_or("turns.messages.type")?;
    let ts = message["ts"].as_i64().or(turn["ts"].as_i64());
    let (item, payload) = (&message["item"], &message["item"]["payload"]);
    let content = match kind {
        "text" => Content::Text(
            payload["message"].as_str().ok_or("turns.messages.item.payload.message")?.to_owned(),
        ),
        "debug:tell" => Content::Debug { text: payload["message"].as_str().unwrap_or_default().to_owned() },
        "visual" => Content::Image { url: payload["image"].as_str().unwrap_or_default().to_owned() },
        _ => Content::Unknown { kind: kind.to_owned(), data: item.clone() },
    };
    Ok(Message {
        id: message["mid"].as_str().map(str::to_owned),
        role,
        created_at: ts,
        content: vec![content],
        ..Message::default()
    })
}

fn add_leads(written: &mut ConvocoreWrites, leads: &Value) -> Reply {
    let Some(leads) = leads.as_array().filter(|leads| leads.len() <= MAX_LEADS) else {
        return invalid("leads");
    };
    let ts = time::now_seconds();
    written.leads.extend(leads.iter().map(|sent| Lead { sent: sent.clone(), ts }));
    Reply::json(StatusCode::OK, &json!({ "success": true, "count": leads.len() }))
}

fn success(message: &str, data: &Value) -> Reply {
    Reply::json(StatusCode::OK, &json!({ "success": true, "message": message, "data": data }))
}

fn error_reply(status: StatusCode, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message, "code": code }))
}

fn invalid(field: &str) -> Reply {
    let issue = json!({ "code": "invalid_type", "path": field.split('.').collect::<Vec<_>>(), "message": "Invalid input" });
    let body = json!({ "message": "Input validation failed", "code": "BAD_REQUEST", "issues": [issue] });
    Reply::json(StatusCode::BAD_REQUEST, &body)
}
