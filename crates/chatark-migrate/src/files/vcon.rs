//! Conversations in the form of the IETF's vCon, one file each: the core of draft-ietf-vcon-vcon-core of July 2026,
//! which has deprecated the parameter `vcon`.
//!
//! A message is a text dialog, its other parts are attachments, and feedback and scores are analyses. The `uuid` is
//! derived from provider, agent and id, so that it is the same each time a conversation is written.

use std::collections::BTreeMap;

use chatark_core::{ArchivedConversation, Contact, Message, Part, Result, Role, Timestamp};
use chatark_target::{FieldOutcome, FieldRule, LossReport};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::converter::{Converter, FileItem};
use crate::hex;

pub(super) struct Vcon;

const CONVERSATION_START: &str = "as the start of the conversation: the message has no time";
const RULES: &[FieldRule] = &[
    ("conversation.id", FieldOutcome::Kept, "in an analysis of the origin, and as bits of the `uuid`"),
    ("conversation.title", FieldOutcome::Kept, "as `subject`"),
    ("conversation.channel", FieldOutcome::Kept, "as `application`, and in an analysis of the origin"),
    ("conversation.created_at", FieldOutcome::Kept, "as `created_at`"),
    ("conversation.updated_at", FieldOutcome::Kept, "as `updated_at`"),
    ("conversation.feedback", FieldOutcome::Kept, "as an analysis"),
    ("contact.name", FieldOutcome::Kept, "of the party"),
    ("contact.email", FieldOutcome::Kept, "as `mailto` of the party"),
    ("contact.phone", FieldOutcome::Kept, "as `tel` of the party"),
    ("contact.company", FieldOutcome::Kept, "as `org` of the party"),
    ("message.id", FieldOutcome::Kept, "as `message_id`"),
    ("message.created_at", FieldOutcome::Kept, "as `start`"),
    ("message.feedback", FieldOutcome::Kept, "as an analysis"),
    ("message.score", FieldOutcome::Kept, "as an analysis"),
    ("message.role.user", FieldOutcome::Kept, "as a party of type `person`"),
    ("message.role.assistant", FieldOutcome::Kept, "as a party of type `bot`"),
    ("message.role.human_agent", FieldOutcome::Kept, "as a party of type `person`"),
    ("message.role.*", FieldOutcome::Approximated, "as a party of type `bot` with the name of the role"),
    ("part.text", FieldOutcome::Kept, "as a dialog of type `text`"),
    ("part.*", FieldOutcome::Kept, "as an attachment in JSON"),
];

impl Converter for Vcon {
    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>> {
        let conversation = &archived.conversation;
        let first = conversation.messages.iter().find_map(|message| message.created_at);
        let Some(began) = conversation.created_at.or(first) else {
            loss_report.add_left_out("it has no time, and the format requires one", archived);
            return Ok(Vec::new());
        };
        loss_report.add_fields(RULES, archived);
        let undated = conversation.messages.iter().filter(|message| message.created_at.is_none()).count();
        loss_report.add(
            "message.created_at",
            FieldOutcome::Approximated,
            CONVERSATION_START,
            undated,
            archived,
        );
        let uuid = uuid(archived, began);
        let name = format!("{uuid}.vcon");
        Ok(vec![FileItem::Document { name, value: document(archived, &uuid, began) }])
    }
}

fn document(archived: &ArchivedConversation, uuid: &str, began: Timestamp) -> Value {
    let conversation = &archived.conversation;
    let mut parties = Parties::default();
    if conversation.contact != Contact::default() {
        parties.index_of(Role::User, archived);
    }
    let (mut dialog, mut attachments, mut analysis) = (Vec::new(), Vec::new(), Vec::new());
    for message in &conversation.messages {
        let party = parties.index_of(message.role, archived);
        let start = message.created_at.unwrap_or(began).to_string();
        let at = dialog.len();
        dialog.push(dialog_of(archived, message, party, &start));
        for part in message.parts.iter().filter(|part| part.as_text().is_none()) {
            attachments.push(json!({
                "start": start, "party": party, "dialog": at, "mediatype": "application/json",
                "purpose": "message part", "body": json_text(part), "encoding": "json",
            }));
        }
        let ratings = [
            ("feedback", message.feedback.map(|feedback| json!(feedback.as_str()))),
            ("score", message.score.map(|score| json!(score))),
        ];
        for (what, value) in ratings {
            analysis.extend(value.map(|value| analysis_of(Some(at), what, &value)));
        }
    }
    analysis.push(analysis_of(None, "origin", &origin(archived)));
    analysis.extend(
        conversation.feedback.map(|feedback| analysis_of(None, "feedback", &json!(feedback.as_str()))),
    );
    let mut document = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
            document.insert(name.to_owned(), value);
        }
    };
    set("uuid", Some(json!(uuid)));
    set("created_at", Some(json!(began.to_string())));
    set("updated_at", conversation.updated_at.map(|at| json!(at.to_string())));
    set("subject", conversation.title.as_ref().map(|title| json!(title)));
    set("parties", Some(Value::Array(parties.list)));
    set("dialog", Some(Value::Array(dialog)));
    set("attachments", Some(Value::Array(attachments)));
    set("analysis", Some(Value::Array(analysis)));
    document.entry("parties").or_insert_with(|| json!([]));
    Value::Object(document)
}

fn dialog_of(archived: &ArchivedConversation, message: &Message, party: usize, start: &str) -> Value {
    let conversation = &archived.conversation;
    let mut dialog = json!({
        "type": "text", "start": start, "parties": [party], "mediatype": "text/plain",
        "body": message.text(), "encoding": "none",
    });
    if let Some(channel) = conversation.channel {
        dialog["application"] = json!(channel.as_str());
    }
    if let Some(id) = &message.id {
        dialog["message_id"] = json!(id);
    }
    dialog
}

/// Returns the origin of a conversation, for which the format has no field, as the body of an analysis.
fn origin(archived: &ArchivedConversation) -> Value {
    let origin = &archived.origin;
    json!({
        "source": origin.source.as_str(), "provider": origin.provider, "agent_id": origin.agent_id,
        "conversation_id": archived.conversation.id.as_str(),
        "channel": archived.conversation.channel.map(chatark_core::Channel::as_str),
    })
}

/// Returns an analysis of a message, or of the whole conversation.
fn analysis_of(dialog: Option<usize>, what: &str, value: &Value) -> Value {
    let mut analysis = json!({
        "type": "report", "vendor": "chatark", "product": what, "mediatype": "application/json",
        "schema": "chatark.conversation/1", "body": json!({ what: value }).to_string(), "encoding": "json",
    });
    if let Some(dialog) = dialog {
        analysis["dialog"] = json!(dialog);
    }
    analysis
}

fn json_text(part: &Part) -> String {
    serde_json::to_string(part).unwrap_or_default()
}

/// The participants, in the order of their first messages.
#[derive(Default)]
struct Parties {
    list: Vec<Value>,
    indices: BTreeMap<&'static str, usize>,
}

impl Parties {
    /// Returns the index of the party with a role, and adds it if it is new.
    fn index_of(&mut self, role: Role, archived: &ArchivedConversation) -> usize {
        if let Some(index) = self.indices.get(role.as_str()) {
            return *index;
        }
        self.indices.insert(role.as_str(), self.list.len());
        self.list.push(party(role, archived));
        self.list.len() - 1
    }
}

fn party(role: Role, archived: &ArchivedConversation) -> Value {
    let contact = &archived.conversation.contact;
    let mut party = Map::new();
    let kind = if matches!(role, Role::User | Role::HumanAgent) { "person" } else { "bot" };
    party.insert("type".to_owned(), kind.into());
    if role != Role::User {
        let name = if role == Role::Assistant { archived.origin.source.as_str() } else { role.as_str() };
        party.insert("name".to_owned(), name.into());
        party.insert("validation".to_owned(), "none".into());
        return Value::Object(party);
    }
    let name = contact.name.clone().unwrap_or_else(|| "anonymous".to_owned());
    party.insert("name".to_owned(), name.into());
    party.insert("validation".to_owned(), "none".into());
    for (field, value) in [("mailto", &contact.email), ("tel", &contact.phone), ("org", &contact.company)] {
        if let Some(value) = value {
            party.insert(field.to_owned(), value.as_str().into());
        }
    }
    Value::Object(party)
}

/// Returns a UUID of version 8: the start in milliseconds, then a hash of provider, agent and id.
fn uuid(archived: &ArchivedConversation, began: Timestamp) -> String {
    let named = [&archived.origin.provider, &archived.origin.agent_id, archived.conversation.id.as_str()]
        .join("\u{0}");
    let hash = Sha256::digest(named.as_bytes());
    let milliseconds = u64::try_from(began.microseconds() / 1_000).unwrap_or(0).to_be_bytes();
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&milliseconds[2..]);
    bytes[6..].copy_from_slice(&hash[..10]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]].map(hex).join("-")
}
