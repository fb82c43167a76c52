//! Records as a vendor sent them, the documents that they come to, and the batches in which they are committed.

use bytes::Bytes;
use serde::Deserialize;

use crate::cursor::Cursor;
use crate::fields;
use crate::ids::RecordId;
use crate::model::{Conversation, ListedContact};
use crate::stream::Stream;

/// One item of a stream as the vendor sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream that it belongs to.
    pub stream: Stream,
    /// The vendor's id; `None` where the record has none that can be read.
    pub id: Option<RecordId>,
    /// The id of the document that it is a part of, such as a message's conversation.
    pub parent: Option<RecordId>,
    /// The part of the vendor's API that it came from.
    pub surface: Surface,
    /// The vendor's JSON, byte for byte.
    pub bytes: Bytes,
}

/// A part of a vendor's API that shows a record in a form of its own.
///
/// The archive tells versions of a record apart by surface, so that reading it through another one is not taken for a
/// change that the customer made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The export of all records.
    Export,
    /// The conversations of one user, with the messages of each.
    User,
}

/// What a record and its parts come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A conversation.
    Conversation(Conversation),
    /// A person whom the vendor lists apart from conversations.
    Contact(ListedContact),
}

/// The unit of commit: records, and the place to go on from once they are durable.
///
/// The parts of a document follow it in the same batch, in their order, and are all of its parts; where a stream lists
/// parts by themselves, they come without it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The records, in the vendor's order.
    pub records: Vec<Record>,
    /// Records that the vendor listed and that are [known](crate::Known) to be held as they are.
    pub unchanged: Vec<RecordId>,
    /// The place to go on from.
    pub checkpoint: Checkpoint,
    /// What the vendor said around them.
    pub page: PageMetadata,
    /// Places that could not be read and that the walk went around.
    pub gaps: Vec<Gap>,
}

/// A place in a stream that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The bounds of the place as JSON: a window, a page, a cursor or ids.
    pub bounds: String,
    /// What the vendor said, without a key and without what people wrote.
    pub error: String,
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

/// What the vendor said around the records of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageMetadata {
    /// How many records match the request, by the vendor's own count.
    pub total: Option<u64>,
    /// How many responses the batch took.
    pub pages: u64,
    /// How many of them held no record although more followed.
    pub empty_pages: u64,
    /// How many records the vendor looked at and left out on its own account.
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

impl Record {
    /// Takes a document whose id is the field `id` of its JSON object, a text or a number.
    pub fn with_top_level_id(stream: Stream, surface: Surface, bytes: Bytes) -> Self {
        Self { stream, id: top_level_id(&bytes), parent: None, surface, bytes }
    }

    /// Takes a part of a document whose id is the field `id` of its JSON object, a text or a number.
    pub fn part(stream: Stream, parent: RecordId, surface: Surface, bytes: Bytes) -> Self {
        Self { parent: Some(parent), ..Self::with_top_level_id(stream, surface, bytes) }
    }
}

/// Reads the field `id` of a JSON object.
fn top_level_id(bytes: &[u8]) -> Option<RecordId> {
    #[derive(Deserialize)]
    struct Identified {
        id: serde_json::Value,
    }
    let found = fields::is_object(bytes).then(|| serde_json::from_slice::<Identified>(bytes).ok())?;
    RecordId::from_json(&found?.id)
}

impl Surface {
    /// Returns the name under which the archive keeps it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::User => "user",
        }
    }

    /// Returns the surface of a name that [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Export, Self::User].into_iter().find(|surface| surface.as_str() == word)
    }
}

impl Document {
    /// Returns the conversation, where it is one.
    pub fn into_conversation(self) -> Option<Conversation> {
        match self {
            Self::Conversation(conversation) => Some(conversation),
            Self::Contact(_) => None,
        }
    }

    /// Returns the contact, where it is one.
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
    /// Adds what was said around a later batch.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_text_or_a_number() {
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
