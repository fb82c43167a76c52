//! `messages.csv`: one row per message.

use std::io;
use std::path::Path;

use chatark_core::{ArchivedConversation, AuthorKind, Feedback, Message, Part, Result};

use crate::data_package::{Column, ColumnType};
use crate::file_writer::{ExportedConversation, FileWriter};
use crate::manifest::CsvDialect;
use crate::output::CompleteFile;
use crate::table::{Row, Table};

/// The columns, a fixed contract: new ones go to the end.
pub(crate) const COLUMNS: &[Column] = &[
    Column::new("source", ColumnType::Text, "Name of the source in the config"),
    Column::new("provider", ColumnType::Text, "The vendor's API that it came from"),
    Column::new("agent_id", ColumnType::Text, "The vendor's id of the agent"),
    Column::new("conversation_id", ColumnType::Text, "The conversation that it belongs to"),
    Column::new("position", ColumnType::Integer, "Its place in the whole conversation, from 0"),
    Column::new("message_id", ColumnType::Text, "The vendor's id"),
    Column::new("role", ColumnType::Text, "Its role"),
    Column::new("created_at", ColumnType::Time, "When it was written"),
    Column::new("text", ColumnType::Text, "Its text parts, joined by newlines"),
    Column::new("feedback", ColumnType::Text, "The customer's feedback on it"),
    Column::new("score", ColumnType::Number, "How confident the bot was, from 0 to 1"),
    Column::new("parts", ColumnType::Text, "Its parts that are not text, as a JSON array"),
    Column::new("author_kind", ColumnType::Text, "The kind of author"),
    Column::new("author_id", ColumnType::Text, "The vendor's id of the author"),
    Column::new("author_name", ColumnType::Text, "The author's name"),
    Column::new(
        "internal",
        ColumnType::Boolean,
        "Whether it is an internal note, which the customer never saw",
    ),
];

/// Writes one row per message.
pub(crate) struct MessagesCsv(Table);

impl MessagesCsv {
    pub(crate) fn begin(folder: &Path, dialect: CsvDialect) -> Result<Self> {
        Table::begin(folder, "messages.csv", COLUMNS, dialect).map(Self)
    }
}

impl FileWriter for MessagesCsv {
    fn write(&mut self, exported: &ExportedConversation<'_>) -> Result<()> {
        let archived = exported.conversation;
        for (position, message) in archived.conversation.messages.iter().enumerate() {
            self.0.write(|row| write_cells(row, archived, position, message))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<CompleteFile> {
        self.0.finish()
    }
}

/// Writes the cells in the order of [`COLUMNS`].
fn write_cells(
    row: &mut Row,
    archived: &ArchivedConversation,
    position: usize,
    message: &Message,
) -> io::Result<()> {
    let ArchivedConversation { origin, conversation } = archived;
    row.text(origin.source.as_str())?;
    row.text(origin.provider.as_str())?;
    row.text(origin.agent_id.as_str())?;
    row.text(conversation.id.as_str())?;
    row.count(position)?;
    row.text(message.id.as_deref())?;
    row.word(Some(message.role.as_str()))?;
    row.value(message.created_at)?;
    match message.parts.as_slice() {
        // Nearly every message is a single text, which is written without a copy.
        [Part::Text { text }] => row.text(text.as_str())?,
        _ => row.text(message.text().as_str())?,
    }
    row.word(message.feedback.map(Feedback::as_str))?;
    row.number(message.score)?;
    row.list(message.parts.iter().filter(|part| part.as_text().is_none()))?;
    row.word(message.author_kind().map(AuthorKind::as_str))?;
    row.text(message.author.id.as_deref())?;
    row.text(message.author.name.as_deref())?;
    row.word(Some(if message.internal { "true" } else { "false" }))
}
