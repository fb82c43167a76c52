//! `conversations.csv`: one row per conversation.

use std::io;
use std::path::Path;

use chatark_core::{ArchivedConversation, Channel, Feedback, Result, Role, Status};

use crate::export::{FileWriter, Record};
use crate::manifest::CsvDialect;
use crate::output::Complete;
use crate::table::{Row, Table};

/// The columns, a contract: new ones only at the end.
const COLUMNS: &[&str] = &[
    "source",
    "provider",
    "agent_id",
    "conversation_id",
    "title",
    "channel",
    "channel_raw",
    "status",
    "created_at",
    "updated_at",
    "contact_id",
    "contact_name",
    "contact_email",
    "contact_phone",
    "contact_company",
    "tags",
    "notes",
    "feedback",
    "message_count",
    "user_message_count",
    "assistant_message_count",
    "tool_call_count",
    "first_response_seconds",
    "duration_seconds",
];

/// Writes one row per conversation.
pub(crate) struct ConversationsCsv(Table);

impl ConversationsCsv {
    pub(crate) fn begin(folder: &Path, dialect: CsvDialect) -> Result<Self> {
        Table::begin(folder, "conversations.csv", COLUMNS, dialect).map(Self)
    }
}

impl FileWriter for ConversationsCsv {
    fn write(&mut self, record: &Record<'_>) -> Result<()> {
        self.0.write(|row| fill(row, record.conversation))
    }

    fn finish(self: Box<Self>) -> Result<Complete> {
        self.0.finish()
    }
}

/// Gives the cells in the order of [`COLUMNS`].
fn fill(row: &mut Row, archived: &ArchivedConversation) -> io::Result<()> {
    let ArchivedConversation { origin, conversation } = archived;
    let contact = &conversation.contact;
    row.text(origin.source.as_str())?;
    row.text(origin.provider.as_str())?;
    row.text(origin.agent_id.as_str())?;
    row.text(conversation.id.as_str())?;
    row.text(conversation.title.as_deref())?;
    row.value(conversation.channel.map(Channel::as_str))?;
    row.text(conversation.channel_raw.as_deref())?;
    row.value(conversation.status.map(Status::as_str))?;
    row.value(conversation.created_at)?;
    row.value(conversation.updated_at)?;
    row.text(contact.id.as_deref())?;
    row.text(contact.name.as_deref())?;
    row.text(contact.email.as_deref())?;
    row.text(contact.phone.as_deref())?;
    row.text(contact.company.as_deref())?;
    row.list(conversation.tags.iter())?;
    row.text(conversation.notes.as_deref())?;
    row.value(conversation.feedback.map(Feedback::as_str))?;
    row.count(conversation.messages.len())?;
    row.count(conversation.count(Role::User))?;
    row.count(conversation.count(Role::Assistant))?;
    row.count(conversation.tool_call_count())?;
    row.number(conversation.first_response_seconds())?;
    row.number(conversation.duration_seconds())
}
