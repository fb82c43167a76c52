//! `messages.csv`: one row per message.

use std::io;
use std::path::Path;

use chatark_core::{ArchivedConversation, AuthorKind, Feedback, Message, Part, Result};

use crate::export::{FileWriter, Record};
use crate::manifest::CsvDialect;
use crate::output::Complete;
use crate::package::{Column, Kind};
use crate::table::{Row, Table};

/// The columns, a fixed contract: new ones go to the end.
pub(crate) const COLUMNS: &[Column] = &[
    Column::new("source", Kind::Text, "Name of the source in the config"),
    Column::new("provider", Kind::Text, "The vendor's API that it came from"),
    Column::new("agent_id", Kind::Text, "The vendor's id of the agent"),
    Column::new("conversation_id", Kind::Text, "The conversation that it belongs to"),
    Column::new("position", Kind::Integer, "Its place in the whole conversation, from 0"),
    Column::new("message_id", Kind::Text, "The vendor's id"),
    Column::new("role", Kind::Text, "Its role"),
    Column::new("created_at", Kind::Time, "When it was written"),
    Column::new("text", Kind::Text, "Its text parts, joined by newlines"),
    Column::new("feedback", Kind::Text, "The customer's feedback on it"),
    Column::new("score", Kind::Number, "How confident the bot was, from 0 to 1"),
    Column::new("parts", Kind::Text, "Its parts that are not text, as a JSON array"),
    Column::new("author_kind", Kind::Text, "The kind of author"),
    Column::new("author_id", Kind::Text, "The vendor's id of the author"),
    Column::new("author_name", Kind::Text, "The author's name"),
    Column::new("internal", Kind::Boolean, "Whether it is an internal note, which the customer never saw"),
];

/// Writes one row per message.
pub(crate) struct MessagesCsv(Table);

impl MessagesCsv {
    pub(crate) fn begin(folder: &Path, dialect: CsvDialect) -> Result<Self> {
        Table::begin(folder, "messages.csv", COLUMNS, dialect).map(Self)
    }
}

impl FileWriter for MessagesCsv {
    fn write(&mut self, record: &Record<'_>) -> Result<()> {
        let archived = record.conversation;
        for (position, message) in archived.conversation.messages.iter().enumerate() {
            self.0.write(|row| fill(row, archived, position, message))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Complete> {
        self.0.finish()
    }
}

/// Writes the cells in the order of [`COLUMNS`].
fn fill(
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
    row.value(Some(message.role.as_str()))?;
    row.value(message.created_at)?;
    match message.parts.as_slice() {
        // Nearly every message is a single text, which is written without a copy.
        [Part::Text { text }] => row.text(text.as_str())?,
        _ => row.text(message.text().as_str())?,
    }
    row.value(message.feedback.map(Feedback::as_str))?;
    row.number(message.score)?;
    row.list(message.parts.iter().filter(|part| part.as_text().is_none()))?;
    row.value(message.author_kind().map(AuthorKind::as_str))?;
    row.text(message.author.id.as_deref())?;
    row.text(message.author.name.as_deref())?;
    row.value(Some(message.internal))
}
