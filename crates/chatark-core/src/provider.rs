//! The seam between a vendor API and the rest of the house.
//!
//! A provider *pulls* raw bytes in batches and *normalizes* bytes into the model. Pulling is asynchronous and
//! touches the network through `chatark-http` alone; normalizing is pure, so it can run on every core, be
//! fuzzed, and run again years later over archived bytes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fields;
use crate::ids::ConversationId;
use crate::issue::Issue;
use crate::model::{Conversation, ListedContact};
use crate::settings::Setting;
use crate::time::Timestamp;
use crate::vocabulary::Channel;
use crate::{Error, ErrorKind, Result};

/// Batches as they arrive. Nothing is fetched until it is polled; dropping it ends all requests.
pub type BatchStream<'a> = Pin<Box<dyn Stream<Item = Result<Batch>> + Send + 'a>>;

/// People as they arrive. Nothing is fetched until it is polled; dropping it ends all requests.
///
/// An error ends the list that it comes from; whoever polls on is given the next list.
pub type ContactStream<'a> = Pin<Box<dyn Stream<Item = Result<ContactBatch>> + Send + 'a>>;

/// One vendor API, bound to one agent of one account.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Returns what this kind of provider is and can do.
    fn descriptor(&self) -> &'static Descriptor;

    /// Proves key, plan, region and agent id with one cheap request, never on a metered endpoint.
    async fn check(&self) -> Result<AgentInfo>;

    /// Says what a pull would take, with a few cheap requests that cost nothing of a metered quota.
    async fn estimate(&self, request: &PullRequest) -> Result<Estimate>;

    /// Streams raw conversations in batches.
    fn pull(&self, request: PullRequest) -> BatchStream<'_>;

    /// Turns the vendor's bytes of one conversation into the model, and says what was not understood.
    ///
    /// Pure: the same bytes give the same conversation. Fails only where the bytes are no JSON object.
    fn normalize(&self, raw: &[u8]) -> Result<(Conversation, Vec<Issue>)>;

    /// Streams the people whom the vendor lists apart from conversations, list by list, each from its beginning.
    ///
    /// Empty where [`Descriptor::lists_contacts`] is not set.
    fn contacts(&self) -> ContactStream<'_> {
        Box::pin(NoContacts)
    }

    /// Turns the vendor's bytes of one person of a list into the model, and says what was not understood.
    ///
    /// Pure: the same bytes give the same person. Fails only where the bytes are no JSON object.
    fn normalize_contact(&self, list: ContactList, _raw: &[u8]) -> Result<(ListedContact, Vec<Issue>)> {
        let message = format!("{} has no list of {}", self.descriptor().title, list.as_str());
        Err(Error::new(ErrorKind::Unexpected, "read a contact", message))
    }
}

/// The contacts of a vendor that lists none.
struct NoContacts;

impl Stream for NoContacts {
    type Item = Result<ContactBatch>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// What a kind of provider is and can do.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each of them is a thing that a vendor offers or does not")]
pub struct Descriptor {
    /// The name in the config and the archive, such as `chatbase-v2`.
    pub name: &'static str,
    /// The name for people, such as `Chatbase API v2`.
    pub title: &'static str,
    /// The settings of its section in the config.
    pub settings: &'static [Setting],
    /// Whether the vendor tells how many conversations there are, so that a pull can be proved complete.
    pub reports_total: bool,
    /// Whether one customer's conversations can be asked for by user id.
    pub selects_user: bool,
    /// Whether single conversations can be asked for by id.
    pub selects_conversations: bool,
    /// Whether people are listed apart from conversations, which a source may ask for with `contacts = true`.
    pub lists_contacts: bool,
    /// How a later pull finds what has changed.
    pub increments: Increments,
    /// After how many days a pull reads everything again by default, whatever seems unchanged.
    pub full_sweep_days: u32,
}

/// How a pull finds what has changed since the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Increments {
    /// The vendor lists every conversation in short, with the time of its last change: nothing older is missed.
    Summaries,
    /// The vendor tells no changes: what began lately is read again, and the rest at the next full sweep.
    LookBack,
}

/// What a vendor says of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentInfo {
    /// The agent's name.
    pub name: Option<String>,
    /// Whether the vendor confirmed that the agent exists.
    pub confirmed: bool,
    /// The seconds by which the vendor's clock is ahead of this machine's, where the answer was dated.
    pub clock_ahead_seconds: Option<i64>,
}

/// What to pull.
#[derive(Debug, Clone, Default)]
pub struct PullRequest {
    /// Conversations that began in this window.
    pub window: Window,
    /// Conversations of this channel alone. A provider may ignore it; the caller filters again.
    pub channel: Option<Channel>,
    /// Which conversations of the agent.
    pub selection: Selection,
    /// The place to go on from.
    pub cursor: Option<Cursor>,
    /// What the archive holds, where unchanged conversations may be passed over; `None` reads everything.
    pub known: Option<Arc<dyn Known>>,
}

/// What the archive holds already.
pub trait Known: fmt::Debug + Send + Sync {
    /// Returns what is held of each of these conversations, in their order; `None` where nothing is.
    fn held(&self, ids: &[ConversationId]) -> Vec<Option<Held>>;
}

/// What is held of one conversation, as the vendor's summary of it would show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// When something last happened in it.
    pub updated_at: Option<Timestamp>,
    /// Its title.
    pub title: Option<String>,
    /// Its status in the vendor's word.
    pub status_raw: Option<String>,
}

/// What a pull would take, as far as that can be told beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    /// How many conversations match, by the vendor's own count or by looking for the last one.
    pub conversations: Option<u64>,
    /// How many requests it takes to read all of them.
    pub requests: Option<u64>,
    /// How many requests it takes to find out what has changed, where that is fewer.
    pub requests_unchanged: Option<u64>,
    /// How fast the vendor allows requests.
    pub pace: Option<Pace>,
    /// How many units of a metered quota are left.
    pub quota_left: Option<u64>,
    /// How many requests it took to find this out.
    pub asked: u64,
    /// What the user should know, in one sentence each.
    pub notes: Vec<String>,
}

/// How fast a vendor allows requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many requests …
    pub requests: u64,
    /// … in so many seconds.
    pub seconds: u64,
}

/// Which conversations of an agent to pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those of one customer, by the vendor's user id.
    User(String),
    /// These alone.
    Conversations(Vec<ConversationId>),
}

/// A span of time: from `since`, inclusive, to `until`, exclusive; open where a bound is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// The first instant inside.
    pub since: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

/// One conversation as the vendor sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawConversation {
    /// The vendor's id; `None` where the record has none that can be read.
    pub id: Option<ConversationId>,
    /// The part of the vendor's API that it came from.
    pub surface: Surface,
    /// The vendor's JSON, byte for byte.
    pub bytes: Bytes,
}

/// A part of a vendor's API that shows a conversation in a form of its own.
///
/// The archive tells versions of a conversation apart by surface, so that reading it through another one is
/// not taken for a change that the customer made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The export of all conversations.
    Export,
    /// The conversations of one user, with the messages of each.
    User,
}

/// One person as a vendor lists them apart from conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawContact {
    /// The list that they are in.
    pub list: ContactList,
    /// The vendor's id, unique within the list; `None` where the record has none that can be read.
    pub id: Option<String>,
    /// The vendor's JSON, byte for byte.
    pub bytes: Bytes,
}

/// A vendor's list of people apart from conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContactList {
    /// The people whom the agent's owner keeps with the vendor.
    Contacts,
    /// The people who filled in a form of the agent.
    Leads,
}

/// People of one list, committed together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactBatch {
    /// The people, in the vendor's order.
    pub contacts: Vec<RawContact>,
    /// What the vendor said around them.
    pub facts: PageMetadata,
}

/// The unit of commit: conversations, and the place to go on from once they are durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The conversations, in the vendor's order.
    pub conversations: Vec<RawConversation>,
    /// Conversations that the vendor listed and that are [`Known`] to be held as they are.
    pub unchanged: Vec<ConversationId>,
    /// The place to go on from.
    pub checkpoint: Checkpoint,
    /// What the vendor said around them.
    pub facts: PageMetadata,
}

/// Where a pull stands after a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// In the middle of something that cannot be resumed: the previous checkpoint stays in force.
    #[default]
    None,
    /// A later pull can go on from here.
    At(Cursor),
    /// Everything asked for has been delivered.
    End,
}

/// What the vendor said around the conversations of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageMetadata {
    /// How many conversations match the request, by the vendor's own count.
    pub total: Option<u64>,
    /// How many responses the batch took.
    pub pages: u64,
    /// How many of them held no conversation although more followed.
    pub empty_pages: u64,
    /// How many conversations the vendor looked at and left out on its own account.
    pub skipped: u64,
    /// How many units of a metered quota the batch cost.
    pub quota_used: Option<u64>,
    /// How many units of that quota are left.
    pub quota_left: Option<u64>,
    /// Whether the walk began anew because the vendor no longer accepts the saved cursor.
    pub restarted: bool,
    /// Whether the vendor gave everything that the agent has, whatever window was asked for.
    pub everything: bool,
    /// What the user should know, in one sentence each.
    pub notes: Vec<String>,
}

/// A place in a provider's sequence of batches, sealed with the provider, its version and the scope.
///
/// Only the provider that made a cursor can open it, and only for the same scope: a cursor of another window
/// or of an older layout is refused, and the caller starts anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    provider: String,
    version: u32,
    scope: String,
    state: String,
}

impl PullRequest {
    /// Returns the text that tells one kind of pull from another, to seal cursors with.
    pub fn scope(&self) -> String {
        let bound = |bound: Option<Timestamp>| bound.map_or_else(|| "*".to_owned(), |at| at.to_string());
        let channel = self.channel.map_or("*", Channel::as_str);
        let selection = match &self.selection {
            Selection::All => "all".to_owned(),
            Selection::User(user) => format!("user:{user}"),
            Selection::Conversations(ids) => {
                let ids: Vec<_> = ids.iter().map(ConversationId::as_str).collect();
                format!("conversations:{}", ids.join(","))
            }
        };
        format!("{}..{} {channel} {selection}", bound(self.window.since), bound(self.window.until))
    }

    /// Returns whether the request asks for everything that the agent has.
    pub fn is_whole(&self) -> bool {
        self.window == Window::default() && self.channel.is_none() && self.selection == Selection::All
    }
}

impl Window {
    /// Returns whether an instant lies inside; an unknown one does, since nothing speaks against it.
    pub fn contains(&self, at: Option<Timestamp>) -> bool {
        let Some(at) = at else { return true };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// Returns a window, or an error where it is empty or reversed.
    pub fn new(since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Self> {
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Error::new(
                ErrorKind::Usage,
                "read the dates",
                format!("--since {since} is not before --until {until}"),
            )
            .hint("`--since` is inclusive, `--until` exclusive"));
        }
        Ok(Self { since, until })
    }
}

impl RawConversation {
    /// Takes a conversation whose id is the field `id` of its JSON object, a text or a number.
    pub fn with_top_level_id(bytes: Bytes, surface: Surface) -> Self {
        Self { id: top_level_id(&bytes), surface, bytes }
    }
}

impl RawContact {
    /// Takes a person whose id is the field `id` of their JSON object, a text or a number.
    pub fn with_top_level_id(list: ContactList, bytes: Bytes) -> Self {
        Self { list, id: top_level_id(&bytes).map(|id| id.as_str().to_owned()), bytes }
    }
}

/// Reads the field `id` of a JSON object.
fn top_level_id(bytes: &[u8]) -> Option<ConversationId> {
    #[derive(Deserialize)]
    struct Identified {
        id: serde_json::Value,
    }
    let found = fields::is_object(bytes).then(|| serde_json::from_slice::<Identified>(bytes).ok())?;
    ConversationId::from_json(&found?.id)
}

impl ContactList {
    /// Every list.
    pub const ALL: [Self; 2] = [Self::Contacts, Self::Leads];

    /// Returns the word that the archive holds.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Leads => "leads",
        }
    }

    /// Returns the list of a word that [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.as_str() == word)
    }
}

impl Surface {
    /// Returns the name under which the archive keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::User => "user",
        }
    }
}

impl Batch {
    /// Returns how many bytes the conversations of the batch hold.
    pub fn bytes(&self) -> usize {
        self.conversations.iter().map(|raw| raw.bytes.len()).sum()
    }
}

impl PageMetadata {
    /// Adds the facts of a later batch.
    pub fn add(&mut self, later: &Self) {
        self.total = later.total.or(self.total);
        self.pages += later.pages;
        self.empty_pages += later.empty_pages;
        self.skipped += later.skipped;
        self.quota_used = match (self.quota_used, later.quota_used) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0) + other.unwrap_or(0)),
        };
        self.quota_left = later.quota_left.or(self.quota_left);
        self.restarted |= later.restarted;
        self.everything |= later.everything;
        self.notes.extend(later.notes.iter().cloned());
    }
}

impl Cursor {
    /// Seals a provider's state.
    pub fn seal(provider: &str, version: u32, scope: String, state: &impl Serialize) -> Result<Self> {
        let state = serde_json::to_string(state)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "seal a cursor", error))?;
        Ok(Self { provider: provider.to_owned(), version, scope, state })
    }

    /// Opens the state again, or returns `None` for a cursor of another provider, version or scope.
    pub fn open<T: DeserializeOwned>(&self, provider: &str, version: u32, scope: &str) -> Option<T> {
        let ours = self.provider == provider && self.version == version && self.scope == scope;
        ours.then(|| serde_json::from_str(&self.state).ok())?
    }

    /// Returns the scope that the cursor was sealed with.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_for_its_maker_and_scope() {
        let request = PullRequest::default();
        let cursor = Cursor::seal("a-1", 1, request.scope(), &("next", 7)).unwrap();
        let stored = serde_json::to_string(&cursor).unwrap();
        let cursor: Cursor = serde_json::from_str(&stored).unwrap();
        assert_eq!(cursor.open("a-1", 1, &request.scope()), Some(("next".to_owned(), 7)));
        assert_eq!(cursor.open::<(String, u32)>("b-1", 1, &request.scope()), None);
        assert_eq!(cursor.open::<(String, u32)>("a-1", 2, &request.scope()), None);
        let since = Timestamp::from_epoch(1_733_049_000).ok();
        let other = PullRequest { window: Window { since, until: None }, ..PullRequest::default() };
        assert_eq!(cursor.open::<(String, u32)>("a-1", 1, &other.scope()), None);
        assert_eq!(cursor.open::<u32>("a-1", 1, &request.scope()), None);
    }

    #[test]
    fn an_id_is_a_text_or_a_number() {
        let id = |json: &'static str| {
            RawConversation::with_top_level_id(Bytes::from_static(json.as_bytes()), Surface::Export).id
        };
        assert_eq!(id(r#"{"x":{"id":1},"id":"a/b"}"#), Some(ConversationId::new("a/b")));
        assert_eq!(id(r#"{"id":7}"#), Some(ConversationId::new("7")));
        for none in [r#"{"id":""}"#, r#"{"id":null}"#, "{}", "[]", "[7]", "{"] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn the_words_of_lists_are_those_of_the_archive() {
        let words = [(ContactList::Contacts, "contacts"), (ContactList::Leads, "leads")];
        for (list, word) in words {
            assert_eq!((list.as_str(), ContactList::from_word(word)), (word, Some(list)));
        }
        assert_eq!(ContactList::from_word("people"), None);
        let found = RawContact::with_top_level_id(ContactList::Leads, Bytes::from_static(b"{\"id\":7}"));
        assert_eq!(found.id.as_deref(), Some("7"));
    }

    #[test]
    fn a_window_includes_its_beginning_and_not_its_end() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        let window = Window::new(at(1_000_000_000), at(1_000_000_010)).unwrap();
        assert!(window.contains(at(1_000_000_000)) && !window.contains(at(1_000_000_010)));
        assert!(window.contains(None) && !window.contains(at(999_999_999)));
        assert!(Window::new(at(1_000_000_000), at(1_000_000_000)).is_err());
    }
}
