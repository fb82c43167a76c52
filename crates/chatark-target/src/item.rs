//! What is migrated, and what is sent for it.

use bytes::Bytes;
use chatark_core::{ArchivedConversation, Contact, ConversationId, SourceName, Timestamp};
use serde::Serialize;

/// A kind of data that can be migrated to another platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// Conversations with their messages.
    History,
    /// People: the customers of conversations, and contacts and leads that are listed.
    Contacts,
    /// What another bot can learn from conversations: questions and their answers.
    Knowledge,
}

/// An item of the archive that a target may take.
#[derive(Debug, Clone, Copy)]
pub enum MigrationItem<'a> {
    /// A conversation.
    Conversation(&'a ArchivedConversation),
    /// A person.
    Person(&'a Person),
    /// An answer with its questions.
    QuestionAnswer(&'a QuestionAnswer),
    /// A text to learn from.
    Text(&'a Text),
}

/// A person, merged from all conversations and lists in which they appear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The idempotency key, the same in every run.
    pub key: String,
    /// The keys that earlier runs used, before more was known about the person.
    pub previous_keys: Vec<String>,
    /// The id under which other systems know the person, unique among all persons: the external id of a listed contact,
    /// or else the vendor's id of the customer. If neither is known, or another person has it, it is the key.
    pub external_id: String,
    /// The newest known values.
    pub contact: Contact,
    /// The names of the sources in which the person appears.
    pub sources: Vec<String>,
    /// The tags of all their conversations.
    pub tags: Vec<String>,
    /// When the person first appeared.
    pub first_seen: Option<Timestamp>,
    /// When the person last appeared.
    pub last_seen: Option<Timestamp>,
    /// The number of their conversations.
    pub conversations: u64,
}

/// An answer to teach a bot, with the questions that it answers. The question with the best answer comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuestionAnswer {
    /// The idempotency key, the same in every run.
    pub key: String,
    /// The questions.
    pub questions: Vec<String>,
    /// The answer.
    pub answer: String,
}

/// A text to teach a bot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The idempotency key, the same in every run.
    pub key: String,
    /// Its title.
    pub title: String,
    /// The text.
    pub text: String,
}

/// What is sent for one [`MigrationItem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundItem {
    /// The idempotency key: unique within its kind, the same in every run.
    pub idempotency_key: String,
    /// The idempotency keys that earlier runs used.
    pub previous_keys: Vec<String>,
    /// The text that is sent with the item, and by which it is found again at the target.
    pub external_id: String,
    /// The e-mail address of a person, in lower case.
    pub email: Option<String>,
    /// The conversation from which it was made, if it was made from one.
    pub origin: Option<(SourceName, ConversationId)>,
    /// The number of messages in it.
    pub messages: u64,
    /// The JSON that creates it.
    pub create_body: Bytes,
    /// The JSON that completes it; empty if nothing follows its creation.
    pub complete_body: Bytes,
}

impl DataKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::History, Self::Contacts, Self::Knowledge];

    /// Returns the word used on the command line and in the archive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Contacts => "contacts",
            Self::Knowledge => "knowledge",
        }
    }

    /// Returns the kind with a word from [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Returns the body of a request that creates several items: an object with an array of their `create_body` under a
/// key.
pub fn array_body(key: &str, items: &[OutboundItem]) -> Bytes {
    let bodies: Vec<_> = items.iter().map(|item| item.create_body.as_ref()).collect();
    [format!("{{\"{key}\":[").as_bytes(), &bodies.join(b",".as_slice()), b"]}"].concat().into()
}
