//! The seam to a vendor API that is written into: what can go there, in which form, and how it is found again.
//!
//! A target *packs* what the archive holds, which is pure, and *creates* what was packed. Whoever calls it keeps
//! the ledger: what was intended, what was created under which id, and what is done.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::Result;
use crate::ids::{ConversationId, SourceName};
use crate::loss::{LossReport, Rule};
use crate::model::{ArchivedConversation, Contact, Origin};
use crate::provider::Pace;
use crate::time::Timestamp;

/// A kind of thing that is carried to another platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// Conversations with their messages.
    History,
    /// The people who wrote them.
    Contacts,
    /// What another bot can learn from them: questions and their answers.
    Knowledge,
}

/// One vendor API that can be written into, bound to one agent of one account.
///
/// Nothing that it does may reach a customer.
#[async_trait]
pub trait Target: fmt::Debug + Send + Sync {
    /// Returns what it takes, and on which terms.
    fn terms(&self) -> &'static Capabilities;

    /// Turns a load into what is sent for it, and notes what of it does not arrive; `None` where nothing is sent.
    ///
    /// Pure: the same load gives the same parcel.
    fn pack(&self, load: MigrationItem<'_>, losses: &mut LossReport) -> Result<Option<OutboundItem>>;

    /// Creates parcels of one kind with one request, at most as many as [`KindLimits::at_once`], and returns the vendor's
    /// ids in their order, where it tells them.
    ///
    /// Never asked for twice where the error is doubtful, before [`Target::each_held`] has been looked through.
    async fn create(&self, cargo: DataKind, parcels: &[OutboundItem]) -> Result<Vec<Option<String>>>;

    /// Brings what was created to its final state. Doing it again changes nothing.
    async fn complete(&self, _parcel: &OutboundItem, _id: &str) -> Result<()> {
        Ok(())
    }

    /// Waits until what was sent without an answer, so long `ago`, can be seen where it was done.
    async fn settle(&self, ago: Duration) -> Result<()>;

    /// Shows `look` everything of a kind that the agent holds, as far as the vendor tells.
    ///
    /// Fails where the vendor does not show all of it: what is not shown must not be taken for not being there.
    /// Where `look` returns `true` for something that came without its sign, it is shown again with it, as far as it
    /// was ever carried there.
    async fn each_held(&self, cargo: DataKind, look: Visitor<'_>) -> Result<()>;
}

/// Is shown what a target holds, and returns whether it has to see the sign.
pub type Visitor<'a> = &'a mut (dyn FnMut(&Found) -> Result<bool> + Send);

/// What a vendor API takes, and on which terms.
#[derive(Debug)]
pub struct Capabilities {
    /// The name for people, such as `Convocore API v3`.
    pub title: &'static str,
    /// The kinds that it takes, in the order in which they go.
    pub takings: &'static [KindLimits],
    /// How fast the vendor allows requests, where its documents tell.
    pub pace: Option<Pace>,
    /// What is to be known beforehand, in one sentence each.
    pub notes: &'static [&'static str],
}

/// How one kind of thing is taken.
#[derive(Debug)]
pub struct KindLimits {
    /// The kind.
    pub cargo: DataKind,
    /// How many go with one request.
    pub at_once: usize,
    /// How many further requests each of them takes.
    pub requests_each: u64,
    /// How many of them the vendor lists with one request, for reading back.
    pub listed_at_once: u64,
    /// Whether an e-mail address can be there once, so that who has it there already is left alone.
    pub unique_email: bool,
    /// The most characters of a text; nothing where texts are not taken.
    pub text_characters: Option<usize>,
    /// What becomes of the fields of conversations from which people or knowledge are drawn.
    pub rules: &'static [Rule],
}

/// What is to be carried.
#[derive(Debug, Clone, Copy)]
pub enum MigrationItem<'a> {
    /// A conversation.
    Conversation(&'a ArchivedConversation),
    /// A person.
    Person(&'a Person),
    /// An answer and the questions to it.
    Answer(&'a Answer),
    /// A text to learn from.
    Text(&'a Text),
}

/// A person, whichever conversations and lists they are known from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// What tells them from others; the same in every run.
    pub key: String,
    /// Keys under which they were known as long as less was known of them.
    pub former_keys: Vec<String>,
    /// The id under which other systems know them, unique among all: the vendor's, or else the key.
    pub external_id: String,
    /// What is known of them: the newest values.
    pub contact: Contact,
    /// The sources in which they were met.
    pub sources: Vec<String>,
    /// The tags of all their conversations.
    pub tags: Vec<String>,
    /// When they were first met.
    pub first_seen: Option<Timestamp>,
    /// When they were last met.
    pub last_seen: Option<Timestamp>,
    /// How many conversations they had.
    pub conversations: u64,
}

/// An answer that is worth teaching, and the questions that it answers, the one that is asked most first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What tells it from others; the same in every run.
    pub key: String,
    /// The questions.
    pub questions: Vec<String>,
    /// The answer.
    pub answer: String,
}

/// A text that is worth teaching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// What tells it from others; the same in every run.
    pub key: String,
    /// Its title.
    pub title: String,
    /// The text.
    pub text: String,
}

/// What is sent for one load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundItem {
    /// What tells it from every other one of its kind; the same in every run.
    pub mark: String,
    /// Marks that it may have had in earlier runs.
    pub former_marks: Vec<String>,
    /// The text by which it is found again at the target.
    pub sign: String,
    /// The e-mail address of a person, in lower case.
    pub email: Option<String>,
    /// The conversation that it was made of, where it was made of one.
    pub origin: Option<(SourceName, ConversationId)>,
    /// How many messages it carries.
    pub messages: u64,
    /// The JSON that creates it.
    pub creation: Bytes,
    /// The JSON that completes it; empty where nothing does.
    pub completion: Bytes,
}

/// Something that a target holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The vendor's id.
    pub id: Option<String>,
    /// The text by which it is found again, where it was carried there and the vendor shows it.
    pub sign: Option<String>,
    /// How many messages it has, where the vendor tells.
    pub messages: Option<u64>,
    /// The e-mail address of a person, in lower case, where an address can be there once.
    pub email: Option<String>,
}

/// How the line begins, in a note at a target, that names the origin of what was carried there.
pub const ORIGIN: &str = "Migrated by Chatark: ";

/// Finds the origin in the note of something that was carried, whatever people have added to the note since.
pub fn origin_in(note: &str) -> Option<&str> {
    note.lines().rev().find_map(|line| line.strip_prefix(ORIGIN))
}

impl ArchivedConversation {
    /// Returns provider, agent and id of a conversation, on one line; of a copy that was carried to where it comes
    /// from, those of its original.
    pub fn first_origin(&self) -> String {
        let Origin { provider, agent_id, .. } = &*self.origin;
        let own = || format!("{provider} / {agent_id} / {}", self.conversation.id);
        self.carried_from().map_or_else(own, str::to_owned).replace(char::is_control, " ")
    }

    /// Returns the agent and the id of [`Self::first_origin`]: one agent that is read through two of its vendor's APIs
    /// is one agent.
    pub fn first_place(&self) -> String {
        let origin = self.first_origin();
        origin.split_once(" / ").map_or(origin.as_str(), |(_, place)| place).to_owned()
    }

    /// Returns whether it was carried to where it comes from.
    pub fn is_copy(&self) -> bool {
        self.carried_from().is_some()
    }

    /// Returns whether it is a copy of a conversation of this agent.
    pub fn is_copy_from(&self, agent_id: &str) -> bool {
        let agent = self.carried_from().and_then(|origin| origin.split(" / ").nth(1));
        agent.is_some_and(|agent| agent == agent_id)
    }

    /// Returns the origin that the note of a copy names.
    fn carried_from(&self) -> Option<&str> {
        self.conversation.notes.as_deref().and_then(origin_in)
    }
}

/// Returns the body of a request that creates several parcels: what creates each of them, as a list under a key.
pub fn list_under(key: &str, parcels: &[OutboundItem]) -> Bytes {
    let parcels: Vec<_> = parcels.iter().map(|parcel| parcel.creation.as_ref()).collect();
    [format!("{{\"{key}\":[").as_bytes(), &parcels.join(b",".as_slice()), b"]}"].concat().into()
}

impl DataKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::History, Self::Contacts, Self::Knowledge];

    /// Returns the word on the command line and in the archive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Contacts => "contacts",
            Self::Knowledge => "knowledge",
        }
    }

    /// Returns the kind of a word that [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cargo| cargo.as_str() == word)
    }
}

impl Capabilities {
    /// Returns how a kind is taken, where it is.
    pub fn taking(&self, cargo: DataKind) -> Option<&'static KindLimits> {
        self.takings.iter().find(|taking| taking.cargo == cargo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_found_in_a_note_that_people_went_on_with() {
        assert_eq!(origin_in("x\nMigrated by Chatark: a / b / c\nand more"), Some("a / b / c"));
        assert_eq!(origin_in("Migrated by Chatark: old\nMigrated by Chatark: new"), Some("new"));
        assert_eq!(origin_in("see Migrated by Chatark: a"), None);
    }
}
