//! Streams: what a source offers to be read, as data.

use crate::vocabulary::words;

words! {
    /// A kind of record that a vendor lists.
    Stream {
        /// Conversations, with their messages inside or as records of their own.
        Conversations = "conversations",
        /// The contacts that the agent's owner keeps with the vendor.
        Contacts = "contacts",
        /// The people who filled in a form of the agent.
        Leads = "leads",
        /// The messages of conversations, if the vendor lists them separately.
        Messages = "messages",
        /// The tickets of a help desk, each of which is read as a conversation. No provider lists them yet.
        Tickets = "tickets",
    }
}

impl Default for Stream {
    /// Returns conversations, the stream that every vendor has.
    fn default() -> Self {
        Self::Conversations
    }
}

/// The kind of document that the records of a stream are mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A conversation.
    Conversation,
    /// A person from one of the vendor's lists of contacts or leads.
    Contact,
}

/// What a provider offers of one stream, and how it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamDescriptor {
    /// The stream.
    pub stream: Stream,
    /// The stream of the documents that its records are parts of; `None` if each record is a document.
    ///
    /// Parts that come in one batch with their document need no descriptor. A descriptor means that they are listed
    /// separately, and that their document is mapped again whenever one of them changes.
    pub parent: Option<Stream>,
    /// Whether the vendor reports how many records there are, so that a pull can be proved complete.
    pub reports_total: bool,
    /// How a later pull finds what has changed.
    pub changes: ChangeDetection,
}

/// How a pull finds what has changed since the previous pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeDetection {
    /// The vendor lists a summary of every record with the time of its last change, so no change is missed.
    Summaries,
    /// The vendor can list the records that changed since an instant.
    UpdatedSince,
    /// The vendor has a separate list, whose rows show which records may have changed. Each pull reads its newest
    /// pages, and some of the others in turn, so that a change is found within the interval of full sweeps.
    ListRows,
    /// The vendor does not report changes: recent records are read again, the rest at the next full sweep.
    LookBack,
    /// The vendor reports neither changes nor dates: everything is read each time.
    Unsupported,
}

impl Stream {
    /// Returns the kind of document that its records are mapped to; `None` for a stream whose records are parts of
    /// other documents.
    pub const fn document(self) -> Option<DocumentKind> {
        match self {
            Self::Conversations | Self::Tickets => Some(DocumentKind::Conversation),
            Self::Contacts | Self::Leads => Some(DocumentKind::Contact),
            Self::Messages => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_archive() {
        let words = ["conversations", "contacts", "leads", "messages", "tickets"];
        assert_eq!(Stream::ALL.iter().map(|stream| stream.as_str()).collect::<Vec<_>>(), words);
        assert_eq!(Stream::from_word("people"), None);
    }
}
