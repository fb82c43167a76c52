//! Chatbase's first API: offset pages, plain contents, ISO times.

use axum::http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::call::{Call, PagingFault};
use crate::chatbase_v1_parameters::{date, invalid, number};
use crate::chatbase_v1_people;
use crate::dataset::Dataset;
use crate::exchange::{ApiRequest, Reply, write_array, write_json};
use crate::time;
use crate::truth::{Channel, Contact, Content, Conversation, Message, Role, Vendor};

const DEFAULT_SIZE: usize = 10;
const MAX_SIZE: usize = 100;

/// Answers an authorized request.
pub(crate) fn answer(call: &Call<'_>) -> Reply {
    match call.request.segments()[..] {
        ["get-conversations"] => match ListQuery::read(call.request) {
            Some(query) => conversations(call, &query),
            None => invalid(),
        },
        ["get-leads"] => chatbase_v1_people::leads(call),
        // Contacts of agents that the key has access to are answered elsewhere.
        ["chatbots", _, "contacts"] => chatbot_not_found(),
        _ => ApiError::UnknownRoute.reply(Vendor::ChatbaseV1),
    }
}

/// The parsed parameters of the list.
struct ListQuery {
    page: usize,
    size: usize,
    from: Option<i64>,
    to: Option<i64>,
    sources: Option<Vec<String>>,
}

impl ListQuery {
    fn read(request: &ApiRequest) -> Option<Self> {
        request.parameter("chatbotId")?;
        let query = Self {
            page: number(request, "page", 1)?,
            size: number(request, "size", DEFAULT_SIZE)?,
            from: date(request, "startDate", time::first_second)?,
            to: date(request, "endDate", time::last_second)?,
            sources: request
                .parameter("filteredSources")
                .map(|list| list.split(',').map(|name| name.trim().to_owned()).collect()),
        };
        (query.size <= MAX_SIZE).then_some(query)
    }

    fn passes(&self, channel: Channel) -> bool {
        self.sources.as_ref().is_none_or(|sources| {
            let name = channel.chatbase_name().unwrap_or("Unspecified");
            sources.iter().any(|source| source == name)
        })
    }
}

fn conversations(call: &Call<'_>, query: &ListQuery) -> Reply {
    // An unknown agent is answered like an empty one, whatever the documentation says.
    let nothing = Dataset::default();
    let dataset = call.agent.as_ref().map_or(&nothing, |agent| &agent.dataset);
    let page = call.paging_fault.page(query.page);
    let indices =
        if call.paging_fault == PagingFault::EmptyPage { Vec::new() } else { page_of(dataset, query, page) };

    let agent_id = call.request.parameter("chatbotId").unwrap_or_default();
    let mut body = b"{\"data\":".to_vec();
    write_array(&mut body, indices, |out, index| {
        let conversation = dataset.at(index);
        match dataset.raw_override(&conversation.id) {
            Some(raw) => out.extend_from_slice(raw),
            None => write_json(out, &WireConversation { agent_id, truth: &conversation }),
        }
    });
    body.push(b'}');
    Reply::bytes(StatusCode::OK, body)
}

fn page_of(dataset: &Dataset, query: &ListQuery, page: usize) -> Vec<usize> {
    let window = dataset.window(query.from, query.to);
    let skipped = (page - 1).saturating_mul(query.size);
    if query.sources.is_none() {
        let start = window.start.saturating_add(skipped).min(window.end);
        let end = start.saturating_add(query.size).min(window.end);
        return (start..end).collect();
    }
    let max = skipped.saturating_add(query.size);
    let picked = dataset.pick(window, max, |channel| query.passes(channel));
    picked.into_iter().skip(skipped).collect()
}

fn chatbot_not_found() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, &json!({ "message": "Chatbot not found" }))
}

/// Returns the word that the specification's enumeration uses instead of the display name.
fn lower_case_source(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Api => Some("api"),
        Channel::Website => Some("website"),
        Channel::WhatsApp => Some("whatsapp"),
        Channel::Slack => Some("slack"),
        _ => None,
    }
}

struct WireConversation<'a> {
    agent_id: &'a str,
    truth: &'a Conversation,
}

impl WireConversation<'_> {
    fn source(&self) -> &'static str {
        let channel = self.truth.channel;
        let display_name = channel.chatbase_name().unwrap_or("Unspecified");
        if self.truth.varied { lower_case_source(channel).unwrap_or(display_name) } else { display_name }
    }

    fn time(&self, seconds: i64) -> String {
        if self.truth.varied { time::iso_microseconds(seconds) } else { time::iso_milliseconds(seconds) }
    }
}

impl Serialize for WireConversation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let truth = self.truth;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &truth.id)?;
        map.serialize_entry("chatbot_id", self.agent_id)?;
        map.serialize_entry("created_at", &self.time(truth.created_at))?;
        // The documentation and the real clients disagree on the name: some have one, some both.
        let updated_at = self.time(truth.updated_at);
        let (has_documented, has_observed) = match (truth.varied, truth.id.len() % 2) {
            (false, _) => (false, true),
            (true, 0) => (true, false),
            (true, _) => (true, true),
        };
        if has_documented {
            map.serialize_entry("updated_at", &updated_at)?;
        }
        if has_observed {
            map.serialize_entry("last_message_at", &updated_at)?;
        }
        map.serialize_entry("source", self.source())?;
        map.serialize_entry("country", &truth.country)?;
        map.serialize_entry("customer", &customer(&truth.contact))?;
        map.serialize_entry("min_score", &truth.min_score())?;
        map.serialize_entry("form_submission", &form_submission(&truth.contact))?;
        map.serialize_entry("messages", &WireMessages(truth))?;
        map.end()
    }
}

/// The customer is an id if there is one, or an object if there are only name and e-mail.
fn customer(contact: &Contact) -> Value {
    match contact {
        Contact { id: Some(id), .. } => json!(id),
        Contact { phone: None, name, email: Some(email), .. } => json!({ "email": email, "name": name }),
        _ => Value::Null,
    }
}

/// The form has the fields that `customer` lacks.
fn form_submission(contact: &Contact) -> Value {
    let Contact { id, name, email, phone, .. } = contact;
    let is_shown_as_customer = id.is_none() && phone.is_none() && email.is_some();
    let is_empty = name.is_none() && email.is_none() && phone.is_none();
    if is_shown_as_customer || is_empty {
        return Value::Null;
    }
    json!({ "name": name, "email": email, "phone": phone })
}

struct WireMessages<'a>(&'a Conversation);

impl Serialize for WireMessages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.0.messages.iter();
        let shown = shown.filter(|message| message.is_shown_by_chatbase_v1());
        serializer.collect_seq(shown.map(WireMessage))
    }
}

struct WireMessage<'a>(&'a Message);

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &message.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("role", message.role.word())?;
        map.serialize_entry("content", &WireContent(&message.content))?;
        if message.id.is_some() {
            map.serialize_entry("type", "text")?;
        }
        if let (Role::Assistant, Some(score)) = (message.role, message.score) {
            map.serialize_entry("score", &score)?;
        }
        map.end()
    }
}

/// A string; or blocks for several texts; or unknown content as it is.
struct WireContent<'a>(&'a [Content]);

impl Serialize for WireContent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut contents = self.0.iter();
        let unknown = contents.find_map(|content| match content {
            Content::Unknown { data, .. } => Some(data),
            _ => None,
        });
        if let Some(data) = unknown {
            return data.serialize(serializer);
        }
        let texts: Vec<&str> = self
            .0
            .iter()
            .filter_map(|content| match content {
                Content::Text(text) | Content::Notice { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        if let [text] = texts[..] {
            return serializer.serialize_str(text);
        }
        let mut blocks = serializer.serialize_seq(Some(texts.len()))?;
        for text in texts {
            blocks.serialize_element(&json!({ "type": "text", "text": text }))?;
        }
        blocks.end()
    }
}
