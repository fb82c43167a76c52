//! The traits by which Chatark reads a vendor API: [`Provider`] and [`Mapper`].
//!
//! A provider *reads* raw records in batches; a mapper turns their bytes into *documents*. Reading is asynchronous and
//! touches the network through `chatark-http` alone. Mapping is pure and needs no connection, so it can run on every
//! core, be fuzzed, and run again years later over archived bytes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream as FuturesStream;

use crate::Result;
use crate::features::Features;
use crate::gap::OpenGap;
use crate::ids::{ConversationId, RecordId};
use crate::issue::Issue;
use crate::record::{Batch, Document, Record};
use crate::resume_token::ResumeToken;
use crate::settings::Setting;
use crate::stream::{DocumentKind, Stream, StreamDescriptor};
use crate::time::Timestamp;
use crate::vocabulary::Channel;
use crate::window::Window;

/// Batches as they arrive. Nothing is requested until the stream is polled; dropping it cancels all requests.
pub type BatchStream<'a> = Pin<Box<dyn FuturesStream<Item = Result<Batch>> + Send + 'a>>;

/// One vendor API, bound to one agent of one account.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Returns what this kind of provider is and can do.
    fn descriptor(&self) -> &'static Descriptor;

    /// Checks the key, the plan, the region and the agent id with one or two cheap requests. As far as the vendor documents, they cost no metered quota.
    async fn check(&self) -> Result<AgentInfo>;

    /// Estimates the cost of a pull of conversations with some cheap requests. As far as the vendor documents, they cost no metered quota.
    async fn estimate(&self, request: &ReadRequest) -> Result<Estimate>;

    /// Streams raw records in batches.
    fn read(&self, request: ReadRequest) -> BatchStream<'_>;

    /// Looks for records that two sweeps of everything did not list.
    ///
    /// A provider whose list can skip a record, for example while others are deleted, requests each record in another
    /// way. The batch holds the records that the vendor still has. It may hold others that came in the same responses.
    /// Its `unchanged` are the ids of records that the vendor only confirms, or that cannot be requested.
    ///
    /// The default finds none, for a list that shows every record that existed while it was read.
    async fn find_unseen(&self, _unseen: &[UnseenRecord]) -> Result<Batch> {
        Ok(Batch::default())
    }

    /// Returns how many unseen records [`Self::find_unseen`] is given at most after one sweep. The rest stay unseen, and
    /// come first after the next sweep.
    fn max_unseen(&self) -> usize {
        usize::MAX
    }
}

/// An archived record that two sweeps of everything did not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnseenRecord {
    /// Its id.
    pub id: RecordId,
    /// When it began, if that is known.
    pub created_at: Option<Timestamp>,
}

/// Turns a vendor's bytes into the model. Needs neither a key nor a connection.
pub trait Mapper: fmt::Debug + Send + Sync {
    /// Maps a document's own record and its parts, in their order, and returns the document with its issues.
    ///
    /// Pure: the same records give the same document. Fails only if the bytes are not a JSON object. `records` holds at
    /// least the document's own record, which comes first.
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)>;
}

/// What a kind of provider is and can do.
#[derive(Debug)]
pub struct Descriptor {
    /// The name in the config and the archive, such as `chatbase-v2`: the vendor, then the version of its API.
    pub name: &'static str,
    /// The name for people, such as `Chatbase API v2`.
    pub title: &'static str,
    /// The settings of its section in the config.
    pub settings: &'static [Setting],
    /// The streams that it lists, the default stream first.
    pub streams: &'static [StreamDescriptor],
    /// Whether the conversations of one customer can be selected by user id.
    pub selects_user: bool,
    /// Whether single conversations can be selected by id.
    pub selects_conversations: bool,
    /// After how many days a pull reads everything again by default, including what seems unchanged.
    pub full_sweep_days: u32,
    /// Whether the vendor may write times without a zone, so that a window may take in the wrong conversations.
    pub dates_are_zoneless: bool,
}

/// What a vendor says about an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentInfo {
    /// The agent's name.
    pub name: Option<String>,
    /// Whether the vendor confirmed that the agent exists.
    pub confirmed: bool,
    /// The seconds by which the vendor's clock is ahead of this machine's, if the response has a date.
    pub clock_skew_seconds: Option<i64>,
}

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct ReadRequest {
    /// The stream.
    pub stream: Stream,
    /// Records that began in this window.
    pub window: Window,
    /// Only records that changed at or after this instant, if the vendor supports the filter; `None` for all.
    pub updated_since: Option<Timestamp>,
    /// Only conversations of this channel. A provider may ignore it; the caller filters again.
    pub channel: Option<Channel>,
    /// Which conversations of the agent.
    pub selection: Selection,
    /// Where an earlier pull stopped; `None` reads from the beginning.
    pub resume_from: Option<ResumeToken>,
    /// What the archive holds, if unchanged records may be skipped; `None` reads everything.
    pub held: Option<Arc<dyn HeldRecords>>,
    /// Records that changed at or after this instant, by the vendor's clock, are read again even if their summary is
    /// the same: they may have changed once more in the second in which they were read.
    pub reread_since: Option<Timestamp>,
    /// A time of change after this instant comes from a wrong clock, and is not taken as the latest change.
    pub plausible_until: Option<Timestamp>,
    /// For [`ChangeDetection::ListRows`](crate::ChangeDetection::ListRows): if the vendor refuses the list, what began
    /// at or after this instant is read instead.
    pub recent_since: Option<Timestamp>,
    /// The part of a list that this pull reads in turn, beside its newest pages; `None` if there is no such list.
    pub rotation: Option<Rotation>,
    /// What the deployment supports, as far as earlier pulls found out.
    pub features: Features,
    /// Gaps of earlier pulls. Those that are due are tried first.
    pub gaps: Vec<OpenGap>,
}

/// The part of a long list that one pull reads, so that all of it is read within the interval of full sweeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Where the previous pull stopped; `None` at the beginning of the list.
    pub resume_from: Option<ResumeToken>,
    /// The least number of rows that this pull reads.
    pub rows: u64,
}

/// The records that the archive already holds.
pub trait HeldRecords: fmt::Debug + Send + Sync {
    /// Returns a summary of each of these records, in their order; `None` for a record that the archive does not hold.
    fn summaries(&self, ids: &[RecordId]) -> Vec<Option<HeldSummary>>;
}

/// The fields of a held record that the vendor's list shows as well: if they differ, the record has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldSummary {
    /// When something last happened in it.
    pub updated_at: Option<Timestamp>,
    /// Its title.
    pub title: Option<String>,
    /// The vendor's word for its status.
    pub status_raw: Option<String>,
    /// The vendor's word for its channel.
    pub channel_raw: Option<String>,
    /// The vendor's id of the customer.
    pub contact_id: Option<String>,
    /// When it began.
    pub created_at: Option<Timestamp>,
    /// The record's row in the vendor's list, as it was when the record was last read; `None` if none was kept.
    pub list_row: Option<String>,
}

/// The estimated cost of a pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    /// How many conversations match, from the vendor's own count or from a search for the last one.
    pub conversations: Option<u64>,
    /// How many requests it takes to read all of them.
    pub requests: Option<u64>,
    /// How many requests it takes to find out what has changed, if that takes fewer.
    pub requests_for_changes: Option<u64>,
    /// The vendor's rate limit.
    pub rate_limit: Option<RateLimit>,
    /// How many units of a metered quota are left.
    pub quota_left: Option<u64>,
    /// How many requests the estimate itself took.
    pub requests_sent: u64,
    /// What the user should know, in one sentence each.
    pub notes: Vec<String>,
}

/// The documented rate limit of a vendor: the requests that it allows in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The requests that the vendor allows in one window.
    pub requests: u64,
    /// The length of the window in seconds.
    pub seconds: u64,
}

/// Which conversations of an agent to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those of one customer, by the vendor's user id.
    User(String),
    /// Only these.
    Conversations(Vec<ConversationId>),
}

impl Descriptor {
    /// Returns the descriptor of a stream, or `None` if the vendor does not list it.
    pub fn stream(&self, stream: Stream) -> Option<StreamDescriptor> {
        self.streams.iter().copied().find(|descriptor| descriptor.stream == stream)
    }

    /// Returns the stream that is read by default.
    pub fn main_stream(&self) -> StreamDescriptor {
        self.streams[0]
    }

    /// Returns the vendor's separate lists of contacts and leads.
    pub fn contact_streams(&self) -> impl Iterator<Item = StreamDescriptor> {
        let lists_contacts =
            |descriptor: &StreamDescriptor| descriptor.stream.document() == Some(DocumentKind::Contact);
        self.streams.iter().copied().filter(lists_contacts)
    }

    /// Returns whether the vendor lists the parts of a stream's documents separately.
    pub fn lists_parts_of(&self, stream: Stream) -> bool {
        self.streams.iter().any(|descriptor| descriptor.parent == Some(stream))
    }
}

impl ReadRequest {
    /// Creates a request for everything that a stream has.
    pub fn whole(stream: Stream) -> Self {
        Self { stream, ..Self::default() }
    }

    /// Returns the scope of the request as text. A resume token is valid only for the scope for which it was sealed.
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
        let scope =
            format!("{}..{} {channel} {selection}", bound(self.window.since), bound(self.window.until));
        match self.stream {
            Stream::Conversations => scope,
            stream => format!("{} {scope}", stream.as_str()),
        }
    }

    /// Returns whether the request selects everything that the stream has.
    pub fn is_whole(&self) -> bool {
        self.window == Window::default() && self.channel.is_none() && self.selection == Selection::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_distinguishes_streams_and_windows() {
        let whole = ReadRequest::default();
        assert_eq!(whole.scope(), "*..* * all");
        let leads = ReadRequest { stream: Stream::Leads, ..ReadRequest::default() };
        assert_eq!(leads.scope(), "leads *..* * all");
        let since = Timestamp::from_epoch(1_733_049_000).ok();
        let windowed = ReadRequest { window: Window { since, until: None }, ..ReadRequest::default() };
        assert!(whole.is_whole() && leads.is_whole() && !windowed.is_whole());
        assert_ne!(windowed.scope(), whole.scope());
    }
}
