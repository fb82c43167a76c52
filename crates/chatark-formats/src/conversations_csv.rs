//! `conversations.csv`: one row per conversation.

use std::io;
use std::path::Path;

use chatark_core::{ArchivedConversation, Channel, Feedback, Result, Status};

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
    Column::new("conversation_id", ColumnType::Text, "The vendor's id, unique within its agent"),
    Column::new("title", ColumnType::Text, "The vendor's title"),
    Column::new("channel", ColumnType::Text, "Where it took place"),
    Column::new("channel_raw", ColumnType::Text, "The vendor's word for the channel"),
    Column::new("status", ColumnType::Text, "Its status"),
    Column::new("created_at", ColumnType::Time, "When it began"),
    Column::new("updated_at", ColumnType::Time, "When something last happened in it"),
    Column::new("contact_id", ColumnType::Text, "The vendor's id of the customer"),
    Column::new("contact_name", ColumnType::Text, "The customer's name"),
    Column::new("contact_email", ColumnType::Text, "The customer's e-mail address"),
    Column::new("contact_phone", ColumnType::Text, "The customer's phone number, as the vendor writes it"),
    Column::new("contact_company", ColumnType::Text, "The customer's company"),
    Column::new("tags", ColumnType::Text, "Its tags, as a JSON array"),
    Column::new("notes", ColumnType::Text, "The team's notes about it"),
    Column::new("feedback", ColumnType::Text, "The customer's feedback on the whole conversation"),
    Column::new("message_count", ColumnType::Integer, "Number of messages"),
    Column::new("user_message_count", ColumnType::Integer, "Number of messages with the role user"),
    Column::new("assistant_message_count", ColumnType::Integer, "Number of messages with the role assistant"),
    Column::new(
        "tool_call_count",
        ColumnType::Integer,
        "Number of tool calls, and of results whose call the vendor does not show",
    ),
    Column::new(
        "first_response_seconds",
        ColumnType::Number,
        "From the customer's first message to the first answer by the bot or a person",
    ),
    Column::new("duration_seconds", ColumnType::Number, "From created_at to updated_at"),
    Column::new("rating_value", ColumnType::Number, "The customer's rating of the whole conversation"),
    Column::new("rating_scale", ColumnType::Number, "The best possible rating, such as 5 for five stars"),
];

/// Writes one row per conversation.
pub(crate) struct ConversationsCsv(Table);

impl ConversationsCsv {
    pub(crate) fn begin(folder: &Path, dialect: CsvDialect) -> Result<Self> {
        Table::begin(folder, "conversations.csv", COLUMNS, dialect).map(Self)
    }
}

impl FileWriter for ConversationsCsv {
    fn write(&mut self, exported: &ExportedConversation<'_>) -> Result<()> {
        self.0.write(|row| write_cells(row, exported))
    }

    fn finish(self: Box<Self>) -> Result<CompleteFile> {
        self.0.finish()
    }
}

/// Writes the cells in the order of [`COLUMNS`].
fn write_cells(row: &mut Row, exported: &ExportedConversation<'_>) -> io::Result<()> {
    let ExportedConversation { conversation: ArchivedConversation { origin, conversation }, stats, .. } =
        exported;
    let contact = &conversation.contact;
    row.text(origin.source.as_str())?;
    row.text(origin.provider.as_str())?;
    row.text(origin.agent_id.as_str())?;
    row.text(conversation.id.as_str())?;
    row.text(conversation.title.as_deref())?;
    row.word(conversation.channel.map(Channel::as_str))?;
    row.text(conversation.channel_raw.as_deref())?;
    row.word(conversation.status.map(Status::as_str))?;
    row.value(conversation.created_at)?;
    row.value(conversation.updated_at)?;
    row.text(contact.id.as_deref())?;
    row.text(contact.name.as_deref())?;
    row.text(contact.email.as_deref())?;
    row.text(contact.phone.as_deref())?;
    row.text(contact.company.as_deref())?;
    row.list(conversation.tags.iter())?;
    row.text(conversation.notes.as_deref())?;
    row.word(conversation.feedback.map(Feedback::as_str))?;
    row.count(conversation.messages.len())?;
    row.count(stats.user_messages as usize)?;
    row.count(stats.assistant_messages as usize)?;
    row.count(stats.tool_calls as usize)?;
    row.number(stats.first_response_seconds)?;
    row.number(stats.duration_seconds)?;
    row.number(conversation.rating.map(|rating| rating.value))?;
    row.number(conversation.rating.map(|rating| rating.scale))
}
