//! The interface of a format: a converter turns conversations into the items of its files.

use chatark_core::{ArchivedConversation, ListedContact, Origin, Result, Stream};
use chatark_target::LossReport;
use serde_json::Value;

/// An item that is written to a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FileItem {
    /// A line of JSON.
    Line(Value),
    /// A row of a table, in the order of its columns.
    Row(Vec<String>),
    /// A file of its own.
    Document {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
    },
    /// Elements of a JSON array, which is one file in a ZIP archive. The elements of a file come one after another.
    Elements {
        /// The path of the file.
        path: String,
        /// The elements.
        values: Vec<Value>,
    },
}

impl FileItem {
    /// Returns whether it has content of conversations. The lists of users and channels of Slack have none.
    pub(super) fn is_content(&self) -> bool {
        !matches!(self, Self::Elements { path, .. } if !path.contains('/'))
    }
}

/// Turns conversations into items of one format.
pub(super) trait Converter {
    /// Adds a contact of a vendor's list. All contacts come before the first conversation.
    fn add_listed(&mut self, _: &Origin, _: Stream, _: &ListedContact, _: &mut LossReport) -> Result<()> {
        Ok(())
    }

    /// Returns the items of a conversation, and counts what becomes of its fields.
    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>>;

    /// Returns the items that are complete only after the last conversation.
    fn finish(self: Box<Self>, _: &mut LossReport) -> Vec<FileItem> {
        Vec::new()
    }
}
