//! Records as a vendor sent them, the documents that they are mapped to, and the batches in which they are committed.

use bytes::Bytes;

use crate::features::Features;
use crate::fields;
use crate::gap::{Gap, GapBounds};
use crate::ids::RecordId;
use crate::model::{Conversation, ListedContact};
use crate::resume_token::ResumeToken;
use crate::stream::Stream;
use crate::time::Timestamp;

/// One item of a stream as the vendor sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream that it belongs to.
    pub stream: Stream,
    /// The vendor's id; `None` if no id can be read.
    pub id: Option<RecordId>,
    /// The id of the document that it is a part of, such as a message's conversation.
    pub parent: Option<RecordId>,
    /// The part of the vendor's API that it came from.
    pub surface: Surface,
    /// The vendor's JSON, byte for byte.
    pub bytes: Bytes,
}

/// A part of a vendor's API that shows a record in its own form.
///
/// The archive keeps the versions of each surface separately, so that reading a record through another surface does not
/// look like a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The export of all records.
    Export,
    /// The conversations of one user, with the messages of each.
    User,
}

/// What a record and its parts are mapped to.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A conversation.
    Conversation(Conversation),
    /// A person from one of the vendor's lists of contacts or leads.
    Contact(ListedContact),
}

/// Records, and the checkpoint that is saved in the same transaction, never before them.
///
/// All parts of a document follow it in the same batch, in their order. If the vendor lists the parts as a separate
/// stream, they come without the document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The records, in the vendor's order.
    pub records: Vec<Record>,
    /// Records that the vendor listed and that the archive already [holds](crate::HeldRecords) unchanged.
    pub unchanged: Vec<RecordId>,
    /// Where a later pull can resume.
    pub checkpoint: Checkpoint,
    /// What the envelopes around the records said.
    pub page: PageMetadata,
    /// Gaps that were skipped, including those of earlier pulls that still cannot be read.
    pub gaps: Vec<Gap>,
    /// Gaps of earlier pulls that could be read after all.
    pub closed_gaps: Vec<GapBounds>,
    /// Records that the vendor lists, and that were not requested because they lie in a gap that is not due.
    pub passed_over: Vec<RecordId>,
    /// Rows of the vendor's list, kept so that the next pull can [compare](crate::HeldSummary::list_row) them.
    pub list_rows: Vec<ListRow>,
    /// Where the next pull goes on with the [rotation](crate::Rotation); `None` if it has not moved.
    pub rotation: Option<ResumeToken>,
}

/// The row of a record in a list that shows less than the record itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    /// The id of the record.
    pub id: RecordId,
    /// The vendor's JSON.
    pub row: Bytes,
}

/// Where a pull can be resumed after a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// Not here: the previous checkpoint stays valid.
    #[default]
    None,
    /// A later pull can resume here.
    At(ResumeToken),
    /// Everything requested has been delivered.
    End,
}

/// What is known of a batch beside its records: from the envelopes around them, and from how they were read.
///
/// The metadata of a run is that of all its batches, [added up](Self::add).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageMetadata {
    /// How many records match the request, by the vendor's own count.
    pub total: Option<u64>,
    /// How many responses the batch took.
    pub pages: u64,
    /// How many of these had no records, although more pages followed.
    pub empty_pages: u64,
    /// How many records the vendor scanned but did not return.
    pub skipped: u64,
    /// How many units of a metered quota the batch cost.
    pub quota_used: Option<u64>,
    /// How many units of that quota are left.
    pub quota_left: Option<u64>,
    /// Whether reading restarted from the beginning, because the vendor no longer accepts the saved cursor.
    pub restarted: bool,
    /// Whether the vendor returned everything that the agent has, whatever window was requested.
    pub covers_everything: bool,
    /// What the user should know, in one sentence each.
    pub notes: Vec<String>,
    /// What the deployment was found to support.
    pub features: Features,
    /// The latest time of a change that the vendor showed, by its own clock.
    pub newest_change: Option<Timestamp>,
    /// The vendor's time when the first response came, as far as it tells that.
    pub vendor_time: Option<Timestamp>,
}

impl Record {
    /// Creates the record of a document whose id is the field `id` of its JSON object, a string or a number.
    pub fn with_top_level_id(stream: Stream, surface: Surface, bytes: Bytes) -> Self {
        Self { stream, id: top_level_id(&bytes), parent: None, surface, bytes }
    }

    /// Creates the record of a part whose id is the field `id` of its JSON object, a string or a number.
    pub fn part(stream: Stream, parent: RecordId, surface: Surface, bytes: Bytes) -> Self {
        Self { parent: Some(parent), ..Self::with_top_level_id(stream, surface, bytes) }
    }
}

/// Reads the field `id` of a JSON object.
fn top_level_id(bytes: &[u8]) -> Option<RecordId> {
    let [id] = fields::peek(bytes, ["id"]);
    RecordId::from_json(&id)
}

impl Surface {
    /// Returns its name in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::User => "user",
        }
    }

    /// Returns the surface with a name from [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Export, Self::User].into_iter().find(|surface| surface.as_str() == word)
    }
}

impl Document {
    /// Returns the conversation, if it is one.
    pub fn into_conversation(self) -> Option<Conversation> {
        match self {
            Self::Conversation(conversation) => Some(conversation),
            Self::Contact(_) => None,
        }
    }

    /// Returns the contact, if it is one.
    pub fn into_contact(self) -> Option<ListedContact> {
        match self {
            Self::Contact(contact) => Some(contact),
            Self::Conversation(_) => None,
        }
    }
}

impl Batch {
    /// Returns how many bytes the records of the batch hold.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.bytes.len()).sum()
    }
}

impl PageMetadata {
    /// Adds the metadata of a later batch.
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
        self.covers_everything |= later.covers_everything;
        self.notes.extend(later.notes.iter().cloned());
        self.features.add(&later.features);
        self.newest_change = self.newest_change.max(later.newest_change);
        self.vendor_time = self.vendor_time.or(later.vendor_time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_string_or_a_number() {
        let id = |json: &'static str| {
            let bytes = Bytes::from_static(json.as_bytes());
            Record::with_top_level_id(Stream::Leads, Surface::Export, bytes).id
        };
        assert_eq!(id(r#"{"x":{"id":1},"id":"a/b"}"#), Some(RecordId::new("a/b")));
        assert_eq!(id(r#"{"id":7}"#), Some(RecordId::new("7")));
        for none in [r#"{"id":""}"#, r#"{"id":null}"#, "{}", "[]", "[7]", "{"] {
            assert_eq!(id(none), None, "{none}");
        }
    }
}
