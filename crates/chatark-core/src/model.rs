//! The one schema for all vendors: conversations, messages and their parts.
//!
//! `None` means that the vendor did not say; nothing is made up. A serialized [`ArchivedConversation`] is the
//! document `chatark.conversation/1`, whose JSON Schema is `docs/schema/conversation.schema.json`.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ids::{ConversationId, SourceName};
use crate::time::Timestamp;
use crate::vocabulary::{AuthorKind, Channel, Feedback, Role, Status};

/// The name and version of the document that an [`ArchivedConversation`] serializes to.
pub const SCHEMA: &str = "chatark.conversation/1";

/// The version of the rules by which mappers turn records into documents.
///
/// Increase it when a mapper produces a different document from the same bytes. The archive stores the version with
/// each row, so that a row of an earlier version is not mistaken for a damaged one; `chatark rebuild` updates it.
pub const MAPPING_VERSION: u32 = 3;

/// Where a conversation comes from: the configured source, the vendor's API and the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name of the source in the config.
    pub source: SourceName,
    /// The name of the provider, such as `chatbase-v2`.
    pub provider: String,
    /// The vendor's id of the agent.
    pub agent_id: String,
}

/// A conversation and its origin, as the archive returns it.
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
    /// The vendor's word for the channel.
    pub channel_raw: Option<String>,
    /// Its status.
    pub status: Option<Status>,
    /// The vendor's word for the status.
    pub status_raw: Option<String>,
    /// When it began.
    pub created_at: Option<Timestamp>,
    /// When something last happened in it.
    pub updated_at: Option<Timestamp>,
    /// What the vendor says about the customer.
    pub contact: Contact,
    /// Its tags.
    pub tags: Vec<String>,
    /// The team's notes about it.
    pub notes: Option<String>,
    /// The customer's feedback on the whole conversation.
    pub feedback: Option<Feedback>,
    /// Its messages, in the vendor's order.
    pub messages: Vec<Message>,
    /// Fields of the vendor that the schema does not have.
    pub extra: Map<String, Value>,
    /// Names of fields whose values the vendor did not send: they were taken from the messages or from the API surface.
    pub derived: Vec<String>,
    /// The customer's rating of the whole conversation.
    pub rating: Option<Rating>,
}

/// A rating and the scale it was given on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rating {
    /// The rating, from 0 to `scale`.
    pub value: f64,
    /// The best possible rating: 5 for five stars.
    pub scale: f64,
}

/// The customer of a conversation, or a person in a vendor's list of contacts.
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

/// A person from a vendor's list of contacts or leads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListedContact {
    /// The vendor's id of the list entry, unique within its list.
    pub id: Option<String>,
    /// The id under which other systems know the person.
    pub external_id: Option<String>,
    /// The person. `contact.id` stays empty, because the list entry has its own ids.
    pub contact: Contact,
    /// When the entry was created.
    pub created_at: Option<Timestamp>,
    /// When the entry last changed.
    pub updated_at: Option<Timestamp>,
    /// Fields of the vendor that the schema does not have.
    pub extra: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The vendor's id.
    pub id: Option<String>,
    /// Its role in the conversation.
    pub role: Role,
    /// The vendor's word for the role, where [`Message::role`] does not follow from it.
    pub role_raw: Option<String>,
    /// When it was written.
    pub created_at: Option<Timestamp>,
    /// Its parts: texts, tool calls, pictures and so on.
    pub parts: Vec<Part>,
    /// The customer's feedback on it.
    pub feedback: Option<Feedback>,
    /// How confident the bot was, from 0 to 1.
    pub score: Option<f64>,
    /// Fields of the vendor that the schema does not have.
    pub extra: Map<String, Value>,
    /// Who wrote it, beyond what follows from its role; see [`Message::author_kind`].
    pub author: Author,
    /// Whether it is an internal note, which the customer never saw.
    pub internal: bool,
}

/// What the vendor says about the author of a message, beyond the message's role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// The kind of author, if it does not follow from the role.
    pub kind: Option<AuthorKind>,
    /// The vendor's id of the author.
    pub id: Option<String>,
    /// The author's name.
    pub name: Option<String>,
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Text that somebody wrote.
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
        /// The arguments of the call, where the API surface shows them.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        input: Option<Value>,
    },
    /// The result of a tool call.
    ToolResult {
        /// The vendor's id of the call.
        id: Option<String>,
        /// The name of the tool.
        name: Option<String>,
        /// The vendor's word for the outcome, such as `success`.
        status: Option<String>,
        /// What the tool returned.
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
        /// Its URL.
        url: Option<String>,
    },
    /// A file.
    File {
        /// Its URL.
        url: Option<String>,
        /// Its file name.
        name: Option<String>,
    },
    /// A sound recording, such as a voice note.
    Audio {
        /// Its URL.
        url: Option<String>,
        /// The words spoken in it, where the vendor sends them.
        transcript: Option<String>,
    },
    /// A card with a title, a text, a picture and buttons.
    Card(Card),
    /// A form, with the answers if it was submitted.
    Form {
        /// Its title.
        title: Option<String>,
        /// Its fields.
        fields: Vec<FormField>,
        /// Whether it was submitted, where the vendor says.
        submitted: Option<bool>,
    },
    /// Anything else, as the vendor sent it.
    Other {
        /// The vendor's word for its type.
        kind: String,
        /// The vendor's data.
        data: Value,
    },
}

/// One button.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceOption {
    /// Its label.
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
    /// The URL of its picture.
    pub image_url: Option<String>,
    /// Its buttons.
    pub options: Vec<ChoiceOption>,
}

/// One field of a form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FormField {
    /// The vendor's id of the field.
    pub id: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// The vendor's word for its type, such as `email`.
    pub kind: Option<String>,
    /// The answer.
    pub value: Option<Value>,
}

impl Conversation {
    /// Creates a conversation with an id and nothing else.
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
            rating: None,
        }
    }

    /// Fills missing times from the earliest and the latest message, and names them in [`Conversation::derived`].
    pub fn derive_missing_times(&mut self) {
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
    /// Creates a message with a role and nothing else.
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
            author: Author::default(),
            internal: false,
        }
    }

    /// Keeps an element that is not a JSON object as a message, so that the positions of the others stay right.
    pub fn unreadable(data: Value) -> Self {
        let parts = vec![Part::Other { kind: "unreadable".to_owned(), data }];
        Self { parts, ..Self::empty(Role::Other) }
    }

    /// Returns the kind of author: the vendor's statement, or else the kind that follows from the role.
    pub fn author_kind(&self) -> Option<AuthorKind> {
        self.author.kind.or_else(|| self.role.author_kind())
    }

    /// Returns the text parts joined by newlines, or an empty string if there are none.
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
        map.serialize_entry("messages", &PositionedMessages(&conversation.messages))?;
        map.serialize_entry("extra", &conversation.extra)?;
        if !conversation.derived.is_empty() {
            map.serialize_entry("derived", &conversation.derived)?;
        }
        map.serialize_entry("rating", &conversation.rating)?;
        map.end()
    }
}

/// Messages, each with its position in the conversation.
struct PositionedMessages<'a>(&'a [Message]);

impl Serialize for PositionedMessages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let messages = self.0.iter().enumerate();
        serializer.collect_seq(messages.map(|(position, message)| PositionedMessage { position, message }))
    }
}

struct PositionedMessage<'a> {
    position: usize,
    message: &'a Message,
}

impl Serialize for PositionedMessage<'_> {
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
        map.serialize_entry("author", &AuthorOf(message))?;
        map.serialize_entry("internal", &message.internal)?;
        map.end()
    }
}

/// The author of a message, with the kind that follows from its role.
struct AuthorOf<'a>(&'a Message);

impl Serialize for AuthorOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(message) = self;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("kind", &message.author_kind())?;
        map.serialize_entry("id", &message.author.id)?;
        map.serialize_entry("name", &message.author.name)?;
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
    fn only_missing_times_are_derived() {
        let mut dated = conversation(vec![message(Role::User, None), message(Role::User, Some(NOON))]);
        dated.updated_at = Timestamp::from_epoch(NOON + 60).ok();
        dated.derive_missing_times();
        assert_eq!(dated.derived, ["created_at"]);
        assert_eq!(dated.updated_at, Timestamp::from_epoch(NOON + 60).ok());
        let mut undated = conversation(vec![message(Role::User, None)]);
        undated.derive_missing_times();
        assert!(undated.derived.is_empty() && undated.created_at.is_none());
    }

    #[test]
    fn the_kind_of_author_follows_from_the_role_unless_the_vendor_says_otherwise() {
        let kinds = Role::ALL.iter().map(|role| Message::empty(*role).author_kind());
        let words: Vec<_> = kinds.map(|kind| kind.map(AuthorKind::as_str)).collect();
        assert_eq!(words, [Some("customer"), Some("bot"), Some("agent"), Some("system"), Some("tool"), None]);
        let mut written_by_a_person = message(Role::Assistant, None);
        written_by_a_person.author.kind = Some(AuthorKind::Agent);
        assert_eq!(written_by_a_person.author_kind(), Some(AuthorKind::Agent));
    }

    #[test]
    fn the_text_consists_of_the_text_parts_only() {
        let mut several = message(Role::Assistant, None);
        several.parts.push(Part::Image { url: Some("https://example.com".into()) });
        several.parts.push(Part::text("y"));
        assert_eq!(several.text(), "x\ny");
        assert_eq!(Message::empty(Role::User).text(), "");
    }
}
