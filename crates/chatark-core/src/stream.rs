//! What a source offers to be read, as data.

use crate::vocabulary::words;

words! {
    /// A kind of record that a vendor lists.
    Stream {
        /// Conversations, with their messages inside or as records of their own.
        Conversations = "conversations",
        /// The people whom the agent's owner keeps with the vendor.
        Contacts = "contacts",
        /// The people who filled in a form of the agent.
        Leads = "leads",
        /// The messages of conversations, where the vendor gives them apart.
        Messages = "messages",
        /// The tickets of a help desk, each of which is read as a conversation.
        Tickets = "tickets",
    }
}

impl Default for Stream {
    /// Returns the stream that every vendor has.
    fn default() -> Self {
        Self::Conversations
    }
}

/// What the records of a stream come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A conversation.
    Conversation,
    /// A person whom the vendor lists apart from conversations.
    Contact,
}

/// What a provider offers of one stream, and how it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamDescriptor {
    /// The stream.
    pub stream: Stream,
    /// The stream of the documents that its records are parts of; `None` where each record is a document.
    ///
    /// Parts that come together with their document in one batch need no descriptor: a descriptor says that they are
    /// listed by themselves, and that a document is made anew whenever one of its parts changes.
    pub parent: Option<Stream>,
    /// Whether the vendor tells how many records there are, so that a pull can be proved complete.
    pub reports_total: bool,
    /// How a later pull finds what has changed.
    pub changes: ChangeDetection,
}

/// How a pull finds what has changed since the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeDetection {
    /// The vendor lists every record in short, with the time of its last change: nothing older is missed.
    Summaries,
    /// The vendor lists what changed since an instant, by the time of the last change.
    UpdatedSince,
    /// The vendor tells no changes: what began lately is read again, and the rest at the next full sweep.
    LookBack,
    /// The vendor tells no changes and no dates: everything is read each time.
    Unsupported,
}

impl Stream {
    /// Returns what its records come to; `None` for a stream whose records are parts of other documents.
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
