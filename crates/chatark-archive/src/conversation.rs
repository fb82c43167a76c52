//! Writes and reads the rows of conversations and their messages.

use std::borrow::Cow;
use std::sync::LazyLock;

use chatark_core::{
    Author, AuthorKind, Channel, Contact, Conversation, ConversationId, Error, Feedback, MAPPING_VERSION,
    Message, Part, Rating, Result, Role, Status, Timestamp,
};
use rusqlite::{CachedStatement, Connection, Row, Transaction, params};

use crate::keys::RowKey;
use crate::statement::upsert;
use crate::values::{database_error, from_json, known_word, read_timestamp, stored_count, to_json};

/// The columns that a conversation is read from.
pub(crate) const COLUMNS: &str =
    "conversation_key, id, title, channel, channel_raw, status, status_raw, created_at, updated_at,
    contact_id, contact_name, contact_email, contact_phone, contact_company, contact_address, contact_website,
    tags, notes, feedback, extra, derived, message_count, rating_value, rating_scale, mapping";

pub(crate) const MESSAGES: &str =
    "SELECT id, role, role_raw, created_at, text, parts, feedback, score, extra,
    author_kind, author_id, author_name, internal FROM message WHERE conversation_key = ?1 ORDER BY position";

/// The columns that a new version or mapping changes.
const MAPPED: &str = "raw_version, readable, title, channel, channel_raw, status, status_raw, created_at, updated_at, contact_id, contact_name, contact_email, contact_phone, contact_company, contact_address, contact_website, tags, notes, feedback, extra, derived, message_count, rating_value, rating_scale, mapping";

/// Writes or replaces the row of a conversation and its messages.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    row: RowKey<'_>,
    conversation: &Conversation,
) -> Result<()> {
    static UPSERT: LazyLock<String> =
        LazyLock::new(|| upsert("conversation", "conversation_key", "source_key, id", MAPPED));
    let contact = &conversation.contact;
    transaction
        .prepare_cached(&UPSERT)
        .and_then(|mut statement| {
            statement.execute(params![
                row.record_key,
                row.source.0,
                row.id,
                row.version,
                row.readable,
                conversation.title,
                conversation.channel.map(Channel::as_str),
                conversation.channel_raw,
                conversation.status.map(Status::as_str),
                conversation.status_raw,
                conversation.created_at.map(Timestamp::microseconds),
                conversation.updated_at.map(Timestamp::microseconds),
                contact.id,
                contact.name,
                contact.email,
                contact.phone,
                contact.company,
                contact.address,
                contact.website,
                to_json(&conversation.tags, conversation.tags.is_empty()),
                conversation.notes,
                conversation.feedback.map(Feedback::as_str),
                to_json(&conversation.extra, conversation.extra.is_empty()),
                to_json(&conversation.derived, conversation.derived.is_empty()),
                stored_count(conversation.messages.len() as u64),
                conversation.rating.map(|rating| rating.value),
                conversation.rating.map(|rating| rating.scale),
                MAPPING_VERSION,
            ])
        })
        .map_err(database_error("write a conversation"))?;
    if !row.is_new {
        transaction
            .prepare_cached("DELETE FROM message WHERE conversation_key = ?1")
            .and_then(|mut statement| statement.execute([row.record_key]))
            .map_err(database_error("write a conversation"))?;
    }
    insert_messages(transaction, row.record_key, &conversation.messages)
}

/// The columns of a message, first those that every message has, then those that few have.
const MESSAGE_COLUMNS: [&str; 15] = [
    "conversation_key",
    "position",
    "id",
    "role",
    "created_at",
    "text",
    "role_raw",
    "parts",
    "feedback",
    "score",
    "extra",
    "author_kind",
    "author_id",
    "author_name",
    "internal",
];
/// How many of these columns a message needs: the common ones, all but those of its author, or all.
const WIDTHS: [usize; 3] = [6, 11, MESSAGE_COLUMNS.len()];
/// The most messages that one statement inserts: a power of two.
const MOST_ROWS: usize = 16;

/// A message, ready to be inserted.
struct MessageRow<'m> {
    message: &'m Message,
    position: i64,
    text: Cow<'m, str>,
    parts: Option<String>,
    extra: Option<String>,
    /// The index in [`WIDTHS`] of the number of columns that it needs.
    width: usize,
}

impl<'m> MessageRow<'m> {
    fn of(position: i64, message: &'m Message) -> Self {
        let (text, parts) = match message.parts.as_slice() {
            [Part::Text { text }] => (Cow::Borrowed(text.as_str()), None),
            parts => (Cow::Owned(message.text()), to_json(&parts, false)),
        };
        let extra = to_json(&message.extra, message.extra.is_empty());
        let has_author = message.author != Author::default() || message.internal;
        let is_plain = message.role_raw.is_none()
            && parts.is_none()
            && message.feedback.is_none()
            && message.score.is_none()
            && extra.is_none();
        let width = match (has_author, is_plain) {
            (false, true) => 0,
            (false, false) => 1,
            (true, _) => 2,
        };
        Self { message, position, text, parts, extra, width }
    }

    /// Binds the values of the first `width` columns, from the parameter `first` on.
    fn bind(
        &self,
        key: i64,
        width: usize,
        statement: &mut CachedStatement<'_>,
        first: usize,
    ) -> rusqlite::Result<()> {
        let message = self.message;
        let values = params![
            key,
            self.position,
            message.id,
            message.role.as_str(),
            message.created_at.map(Timestamp::microseconds),
            self.text,
            message.role_raw,
            self.parts,
            message.feedback.map(Feedback::as_str),
            message.score,
            self.extra,
            message.author.kind.map(AuthorKind::as_str),
            message.author.id,
            message.author.name,
            message.internal.then_some(true),
        ];
        for (place, value) in values[..width].iter().enumerate() {
            statement.raw_bind_parameter(first + place, value)?;
        }
        Ok(())
    }
}

/// Inserts messages in their order, several with one statement: SQLite then appends each after the one before, and does
/// not search for its place. A column that is not named costs nothing.
fn insert_messages(transaction: &Transaction<'_>, key: i64, messages: &[Message]) -> Result<()> {
    for (block, messages) in messages.chunks(MOST_ROWS).enumerate() {
        let positions = block * MOST_ROWS..;
        let rows: Vec<_> = positions
            .zip(messages)
            .map(|(position, message)| MessageRow::of(stored_count(position as u64), message))
            .collect();
        insert_block(transaction, key, &rows).map_err(database_error("write a message"))?;
    }
    Ok(())
}

/// Inserts messages, as many at once as there is a statement for.
fn insert_block(transaction: &Transaction<'_>, key: i64, rows: &[MessageRow<'_>]) -> rusqlite::Result<()> {
    const SIZES: usize = MOST_ROWS.ilog2() as usize + 1;
    static SQL: LazyLock<[[String; SIZES]; WIDTHS.len()]> =
        LazyLock::new(|| WIDTHS.map(|width| std::array::from_fn(|size| insert_sql(width, 1 << size))));
    let widest = rows.iter().map(|row| row.width).max().unwrap_or_default();
    let mut rest = rows;
    while !rest.is_empty() {
        let size = rest.len().ilog2() as usize;
        let (now, later) = rest.split_at(1 << size);
        let mut statement = transaction.prepare_cached(&SQL[widest][size])?;
        for (place, row) in now.iter().enumerate() {
            row.bind(key, WIDTHS[widest], &mut statement, 1 + place * WIDTHS[widest])?;
        }
        statement.raw_execute()?;
        rest = later;
    }
    Ok(())
}

/// Returns the statement that inserts this number of messages with their first `width` columns.
///
/// `OR FAIL`: an error rolls back the whole batch, so that SQLite need not be able to roll back this statement alone.
fn insert_sql(width: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(", "));
    format!(
        "INSERT OR FAIL INTO message ({}) VALUES {}",
        MESSAGE_COLUMNS[..width].join(", "),
        vec![row; rows].join(", ")
    )
}

/// Reads a conversation with its messages, and the version of the mapping rules that made its row.
pub(crate) fn read(connection: &Connection, key: i64) -> Result<(Conversation, u32)> {
    static SELECT: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {COLUMNS} FROM conversation WHERE conversation_key = ?1"));
    let failed = || database_error("read a conversation");
    let mut statement = connection.prepare_cached(&SELECT).map_err(failed())?;
    let found = statement.query_row([key], |row| Ok((read_conversation(row), row.get(24)?)));
    let (conversation, mapping) = found.map_err(failed())?;
    let mut conversation = conversation?;
    let mut messages = connection.prepare_cached(MESSAGES).map_err(failed())?;
    read_messages(&mut messages, key, &mut conversation.messages)?;
    Ok((conversation, mapping))
}

pub(crate) fn read_conversation(row: &Row<'_>) -> Result<Conversation> {
    let failed = database_error("read a conversation");
    let text = |at: usize| row.get::<_, Option<String>>(at).map_err(&failed);
    let word = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&failed);
    let time = |at: usize| Ok::<_, Error>(read_timestamp(row.get(at).map_err(&failed)?));
    let message_count: u32 = row.get(21).map_err(&failed)?;
    Ok(Conversation {
        id: ConversationId::new(row.get::<_, String>(1).map_err(&failed)?),
        title: text(2)?,
        channel: word(3)?.map(|word| known_word(Channel::from_word(word))).transpose()?,
        channel_raw: text(4)?,
        status: word(5)?.map(|word| known_word(Status::from_word(word))).transpose()?,
        status_raw: text(6)?,
        created_at: time(7)?,
        updated_at: time(8)?,
        contact: Contact {
            id: text(9)?,
            name: text(10)?,
            email: text(11)?,
            phone: text(12)?,
            company: text(13)?,
            address: text(14)?,
            website: text(15)?,
        },
        tags: from_json(word(16)?)?,
        notes: text(17)?,
        feedback: word(18)?.map(|word| known_word(Feedback::from_word(word))).transpose()?,
        messages: Vec::with_capacity(message_count.min(100_000) as usize),
        extra: from_json(word(19)?)?,
        derived: from_json(word(20)?)?,
        rating: rating(row).map_err(&failed)?,
    })
}

fn rating(row: &Row<'_>) -> rusqlite::Result<Option<Rating>> {
    let (value, scale): (Option<f64>, Option<f64>) = (row.get(22)?, row.get(23)?);
    Ok(value.zip(scale).map(|(value, scale)| Rating { value, scale }))
}

pub(crate) fn read_messages(
    statement: &mut CachedStatement<'_>,
    key: i64,
    into: &mut Vec<Message>,
) -> Result<()> {
    let failed = database_error("read a message");
    let mut rows = statement.query([key]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        into.push(read_message(row)?);
    }
    Ok(())
}

fn read_message(row: &Row<'_>) -> Result<Message> {
    let failed = database_error("read a message");
    let word = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&failed);
    let parts = match word(5)? {
        None => vec![Part::text(word(4)?.unwrap_or_default())],
        some => from_json(some)?,
    };
    Ok(Message {
        id: row.get(0).map_err(&failed)?,
        role: known_word(Role::from_word(word(1)?.unwrap_or_default()))?,
        role_raw: row.get(2).map_err(&failed)?,
        created_at: read_timestamp(row.get(3).map_err(&failed)?),
        parts,
        feedback: word(6)?.map(|word| known_word(Feedback::from_word(word))).transpose()?,
        score: row.get(7).map_err(&failed)?,
        extra: from_json(word(8)?)?,
        author: Author {
            kind: word(9)?.map(|word| known_word(AuthorKind::from_word(word))).transpose()?,
            id: row.get(10).map_err(&failed)?,
            name: row.get(11).map_err(&failed)?,
        },
        internal: row.get::<_, Option<bool>>(12).map_err(&failed)?.unwrap_or_default(),
    })
}
