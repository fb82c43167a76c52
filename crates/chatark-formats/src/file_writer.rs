//! The interface of the writers of the files of an export.

use chatark_core::{ArchivedConversation, Result, StatsSummary};

use crate::output::CompleteFile;

/// One conversation with what the writers need.
pub(crate) struct ExportedConversation<'a> {
    /// The conversation.
    pub(crate) conversation: &'a ArchivedConversation,
    /// Its statistics.
    pub(crate) stats: &'a StatsSummary,
    /// The conversation as a compact JSON document; empty if no file needs it.
    pub(crate) document: &'a [u8],
}

/// The writer of one file of an export.
pub(crate) trait FileWriter {
    /// Adds one conversation.
    fn write(&mut self, exported: &ExportedConversation<'_>) -> Result<()>;

    /// Completes the file and syncs it to disk.
    fn finish(self: Box<Self>) -> Result<CompleteFile>;
}
