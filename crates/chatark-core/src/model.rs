//! The one schema of all vendors: what a conversation, a message and a part are.
//!
//! `None` means that the vendor did not say. Nothing is invented. Serializing an [`ArchivedConversation`] gives
//! the document `chatark.conversation/1`, whose JSON Schema is `docs/schema/conversation.schema.json`.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ids::{ConversationId, SourceName};
use crate::time::Timestamp;
use crate::vocabulary::{Channel, Feedback, Role, Status};

/// The name and version of the document that a serialized [`ArchivedConversation`] is.
pub const SCHEMA: &str = "chatark.conversation/1";

/// Where a conversation comes from: the configured source, its vendor API and the vendor's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name of the source in the config.
    pub source: SourceName,
    /// The name of the provider, such as `chatbase-v2`.
    pub provider: String,
    /// The vendor's id of the agent.
    pub agent_id: String,
}

/// A conversation together with where it comes from, as the archive gives it back.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedConversation {
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// The conversation.
    pub conversation: Conversation,
}

/// One conversation of one agent with one customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// The vendor's id.
    pub id: ConversationId,
    /// The vendor's title.
    pub title: Option<String>,
    /// Where it took place.
    pub channel: Option<Channel>,
    /// The vendor's word for where it took place.
    pub channel_raw: Option<String>,
    /// Its state.
    pub status: Option<Status>,
    /// The vendor's word for its state.
    pub status_raw: Option<String>,
    /// When it began.
    pub created_at: Option<Timestamp>,
    /// When something last happened in it.
    pub updated_at: Option<Timestamp>,
    /// The customer, as far as the vendor tells.
    pub contact: Contact,
    /// Labels that people gave it.
    pub tags: Vec<String>,
    /// Notes that people wrote about it.
    pub notes: Option<String>,
    /// What the customer thought of it as a whole.
    pub feedback: Option<Feedback>,
    /// Its messages in the vendor's order.
    pub messages: Vec<Message>,
    /// What the vendor sent and the schema has no place for.
    pub extra: Map<String, Value>,
    /// The fields that the vendor did not give and that were taken from the messages or the API surface.
    pub derived: Vec<String>,
}

/// The customer of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// The vendor's id of the customer.
    pub id: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Their phone number, as the vendor writes it.
    pub phone: Option<String>,
    /// Their company.
    pub company: Option<String>,
    /// Their postal address.
    pub address: Option<String>,
    /// Their website.
    pub website: Option<String>,
}

/// A person whom a vendor lists apart from conversations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListedContact {
    /// The vendor's id of the entry, unique within its list.
    pub id: Option<String>,
    /// The id under which other systems know the person.
    pub external_id: Option<String>,
    /// What is known of them. Its id stays empty, since the entry has ids of its own.
    pub contact: Contact,
    /// When they were entered.
    pub created_at: Option<Timestamp>,
    /// When the entry was last changed.
    pub updated_at: Option<Timestamp>,
    /// What the vendor sent and the schema has no place for.
    pub extra: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The vendor's id.
    pub id: Option<String>,
    /// Who wrote it.
    pub role: Role,
    /// The vendor's word for who wrote it, where [`Message::role`] does not follow from it.
    pub role_raw: Option<String>,
    /// When it was written.
    pub created_at: Option<Timestamp>,
    /// What it consists of.
    pub parts: Vec<Part>,
    /// What the customer thought of it.
    pub feedback: Option<Feedback>,
    /// How sure the bot was, from 0 to 1.
    pub score: Option<f64>,
    /// What the vendor sent and the schema has no place for.
    pub extra: Map<String, Value>,
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// What a person wrote or read.
    Text {
        /// The text as the vendor sent it, Markdown included.
        text: String,
    },
    /// The bot called a tool.
    ToolCall {
        /// The vendor's id of the call.
        id: Option<String>,
        /// The name of the tool.
        name: Option<String>,
        /// What the tool was called with, where the API surface tells.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        input: Option<Value>,
    },
    /// What a tool answered.
    ToolResult {
        /// The vendor's id of the call.
        id: Option<String>,
        /// The name of the tool.
        name: Option<String>,
        /// The vendor's word for how it went, such as `success`.
        status: Option<String>,
        /// What the tool gave back.
        data: Option<Value>,
        /// What went wrong.
        error: Option<Value>,
    },
    /// Buttons to choose from.
    Choice {
        /// The buttons.
        options: Vec<ChoiceOption>,
    },
    /// A picture.
    Image {
        /// Where it lies.
        url: Option<String>,
    },
    /// A file.
    File {
        /// Where it lies.
        url: Option<String>,
        /// Its name.
        name: Option<String>,
    },
    /// A sound, such as a voice note.
    Audio {
        /// Where it lies.
        url: Option<String>,
        /// What is said in it, where the vendor tells.
        transcript: Option<String>,
    },
    /// A card with a title, a text, a picture and buttons.
    Card(Card),
    /// A form, with its answers where it was filled in.
    Form {
        /// Its title.
        title: Option<String>,
        /// Its fields.
        fields: Vec<FormField>,
        /// Whether it was filled in, where the vendor tells.
        submitted: Option<bool>,
    },
    /// Anything else, as the vendor sent it.
    Other {
        /// The vendor's word for it.
        kind: String,
        /// The vendor's data.
        data: Value,
    },
}

/// One button.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceOption {
    /// What is written on it.
    pub label: Option<String>,
    /// The message that it sends.
    pub value: Option<String>,
    /// The page that it opens.
    pub url: Option<String>,
}

/// A card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its title.
    pub title: Option<String>,
    /// Its text.
    pub text: Option<String>,
    /// Where its picture lies.
    pub image_url: Option<String>,
    /// Its buttons.
    pub options: Vec<ChoiceOption>,
}

/// One field of a form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FormField {
    /// The vendor's id of the field.
    pub id: Option<String>,
    /// What is written beside it.
    pub label: Option<String>,
    /// The vendor's word for what it takes, such as `email`.
    pub kind: Option<String>,
    /// What was filled in.
    pub value: Option<Value>,
}

impl Conversation {
    /// Creates a conversation of which nothing but its id is known.
    pub fn empty(id: ConversationId) -> Self {
        Self {
            id,
            title: None,
            channel: None,
            channel_raw: None,
            status: None,
            status_raw: None,
            created_at: None,
            updated_at: None,
            contact: Contact::default(),
            tags: Vec::new(),
            notes: None,
            feedback: None,
            messages: Vec::new(),
            extra: Map::new(),
            derived: Vec::new(),
        }
    }

    /// Dates a conversation that its vendor does not date by its earliest and latest message, and says so.
    pub fn date_by_messages(&mut self) {
        let times = || self.messages.iter().filter_map(|message| message.created_at);
        let (earliest, latest) = (times().min(), times().max());
        if self.created_at.is_none() && earliest.is_some() {
            self.created_at = earliest;
            self.derived.push("created_at".to_owned());
        }
        if self.updated_at.is_none() && latest.is_some() {
            self.updated_at = latest;
            self.derived.push("updated_at".to_owned());
        }
    }
}

impl Message {
    /// Creates a message of which nothing but the role is known.
    pub fn empty(role: Role) -> Self {
        Self {
            id: None,
            role,
            role_raw: None,
            created_at: None,
            parts: Vec::new(),
            feedback: None,
            score: None,
            extra: Map::new(),
        }
    }

    /// Keeps an element of a list of messages that is no object as a message of its own, so that positions hold.
    pub fn unreadable(data: Value) -> Self {
        let parts = vec![Part::Other { kind: "unreadable".to_owned(), data }];
        Self { parts, ..Self::empty(Role::Other) }
    }

    /// Returns the text parts joined by a newline, or an empty text where there are none.
    pub fn text(&self) -> String {
        let mut texts = self.parts.iter().filter_map(Part::as_text);
        let mut joined = texts.next().unwrap_or_default().to_owned();
        for text in texts {
            joined.push('\n');
            joined.push_str(text);
        }
        joined
    }
}

impl Part {
    /// Creates a text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// Returns the text of a text part.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            _ => None,
        }
    }
}

impl Serialize for ArchivedConversation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { origin, conversation } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        map.serialize_entry("source", &origin.source)?;
        map.serialize_entry("provider", &origin.provider)?;
        map.serialize_entry("agent_id", &origin.agent_id)?;
        map.serialize_entry("id", &conversation.id)?;
        map.serialize_entry("title", &conversation.title)?;
        map.serialize_entry("channel", &conversation.channel)?;
        map.serialize_entry("channel_raw", &conversation.channel_raw)?;
        map.serialize_entry("status", &conversation.status)?;
        map.serialize_entry("status_raw", &conversation.status_raw)?;
        map.serialize_entry("created_at", &conversation.created_at)?;
        map.serialize_entry("updated_at", &conversation.updated_at)?;
        map.serialize_entry("contact", &conversation.contact)?;
        map.serialize_entry("tags", &conversation.tags)?;
        map.serialize_entry("notes", &conversation.notes)?;
        map.serialize_entry("feedback", &conversation.feedback)?;
        map.serialize_entry("messages", &Positioned(&conversation.messages))?;
        map.serialize_entry("extra", &conversation.extra)?;
        if !conversation.derived.is_empty() {
            map.serialize_entry("derived", &conversation.derived)?;
        }
        map.end()
    }
}

/// Messages with their positions, which are their places in the list.
struct Positioned<'a>(&'a [Message]);

impl Serialize for Positioned<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().enumerate().map(|(position, message)| At { position, message }))
    }
}

struct At<'a> {
    position: usize,
    message: &'a Message,
}

impl Serialize for At<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.message;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("position", &self.position)?;
        map.serialize_entry("id", &message.id)?;
        map.serialize_entry("role", &message.role)?;
        if let Some(raw) = &message.role_raw {
            map.serialize_entry("role_raw", raw)?;
        }
        map.serialize_entry("created_at", &message.created_at)?;
        match message.parts.as_slice() {
            [Part::Text { text }] => map.serialize_entry("text", text)?,
            _ => map.serialize_entry("text", &message.text())?,
        }
        map.serialize_entry("parts", &message.parts)?;
        map.serialize_entry("feedback", &message.feedback)?;
        map.serialize_entry("score", &message.score)?;
        if !message.extra.is_empty() {
            map.serialize_entry("extra", &message.extra)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, seconds: Option<i64>) -> Message {
        let created_at = seconds.map(|seconds| Timestamp::from_epoch(seconds).unwrap());
        Message { created_at, parts: vec![Part::text("x")], ..Message::empty(role) }
    }

    fn conversation(messages: Vec<Message>) -> Conversation {
        Conversation { messages, ..Conversation::empty(ConversationId::new("c")) }
    }

    const NOON: i64 = 1_733_054_400;

    #[test]
    fn times_are_derived_only_where_the_vendor_gives_none() {
        let mut dated = conversation(vec![message(Role::User, None), message(Role::User, Some(NOON))]);
        dated.updated_at = Timestamp::from_epoch(NOON + 60).ok();
        dated.date_by_messages();
        assert_eq!(dated.derived, ["created_at"]);
        assert_eq!(dated.updated_at, Timestamp::from_epoch(NOON + 60).ok());
        let mut undated = conversation(vec![message(Role::User, None)]);
        undated.date_by_messages();
        assert!(undated.derived.is_empty() && undated.created_at.is_none());
    }

    #[test]
    fn text_is_the_text_parts_alone() {
        let mut several = message(Role::Assistant, None);
        several.parts.push(Part::Image { url: Some("https://example.com".into()) });
        several.parts.push(Part::text("y"));
        assert_eq!(several.text(), "x\ny");
        assert_eq!(Message::empty(Role::User).text(), "");
    }
}
