//! Reading back: every conversation once, sorted, one at a time.

use std::sync::Arc;

use chatark_core::{
    ArchivedConversation, Author, Channel, Contact, Conversation, ConversationId, Error, ErrorKind, Feedback,
    Message, Origin, Part, Result, Role, SourceName, Status, Timestamp, Window,
};
use rusqlite::{CachedStatement, Row};

use crate::open::Archive;
use crate::values::{database, from_json, timestamp};

/// Which conversations to read. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// These sources alone; all where it is empty.
    pub sources: Vec<SourceName>,
    /// Conversations that began in this window; those without a date are always inside.
    pub window: Window,
    /// Conversations of this channel alone.
    pub channel: Option<Channel>,
}

/// A condition that the window and the channel hold, with SQL's own NULL rules spelled out.
const INSIDE: &str = "(?2 IS NULL OR created_at IS NULL OR created_at >= ?2)
    AND (?3 IS NULL OR created_at IS NULL OR created_at < ?3) AND (?4 IS NULL OR channel = ?4)";
pub(crate) const COLUMNS: &str =
    "conversation_key, id, title, channel, channel_raw, status, status_raw, created_at, updated_at,
    contact_id, contact_name, contact_email, contact_phone, contact_company, contact_address, contact_website,
    tags, notes, feedback, extra, derived, message_count";

pub(crate) const MESSAGES: &str = "SELECT id, role, role_raw, created_at, text, parts, feedback, score, extra
    FROM message WHERE conversation_key = ?1 ORDER BY position";

impl Archive {
    /// Gives every matching conversation to `take`, sorted by source, then beginning (undated last), then id.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one conversation at a time.
    pub fn each(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let failed = database("read the archive");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        for (key, origin) in self.origins(&filter.sources)? {
            for dated in ["created_at IS NOT NULL AND", "created_at IS NULL AND"] {
                self.each_of_source(key, &Arc::new(origin.clone()), dated, filter, &mut take)?;
            }
        }
        snapshot.finish().map_err(&failed)
    }

    /// Gives every matching conversation to `take`, as [`Archive::each`] does, but each in a state of its own.
    ///
    /// For a taker that is slow: between two conversations nothing is held, so that the log of a writer can be brought
    /// into the file. Takes eight bytes of memory for each conversation.
    pub fn each_by_itself(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        for (source_key, origin) in self.origins(&filter.sources)? {
            let origin = Arc::new(origin);
            for key in self.keys(source_key, filter)? {
                let conversation = self.conversation(key)?;
                take(&ArchivedConversation { origin: Arc::clone(&origin), conversation })?;
            }
        }
        Ok(())
    }

    /// Returns the keys of a source's matching conversations, sorted by beginning (undated last), then id.
    fn keys(&self, source_key: i64, filter: &Filter) -> Result<Vec<i64>> {
        let failed = database("read the archive");
        let sql = format!(
            "SELECT conversation_key FROM conversation WHERE source_key = ?1 AND {INSIDE}
             ORDER BY created_at IS NULL, created_at, id"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let rows = statement.query_map(bounds(source_key, filter), |row| row.get(0)).map_err(&failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&failed)
    }

    fn conversation(&self, key: i64) -> Result<Conversation> {
        let failed = database("read a conversation");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let sql = format!("SELECT {COLUMNS} FROM conversation WHERE conversation_key = ?1");
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let found = statement.query_row([key], |row| Ok(read_conversation(row)));
        let mut conversation = found.map_err(&failed)??;
        let mut messages = self.connection.prepare_cached(MESSAGES).map_err(&failed)?;
        read_messages(&mut messages, key, &mut conversation.messages)?;
        snapshot.finish().map_err(&failed)?;
        Ok(conversation)
    }

    /// Returns the sources that were asked for, sorted by name.
    pub(crate) fn origins(&self, names: &[SourceName]) -> Result<Vec<(i64, Origin)>> {
        let failed = database("read the sources");
        let mut statement = self
            .connection
            .prepare_cached("SELECT source_key, name, provider, agent_id FROM source ORDER BY name")
            .map_err(&failed)?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(&failed)?;
        let mut origins = Vec::new();
        for row in rows {
            let (key, name, provider, agent_id) = row.map_err(&failed)?;
            let source = SourceName::new(name)?;
            if names.is_empty() || names.contains(&source) {
                origins.push((key, Origin { source, provider, agent_id }));
            }
        }
        Ok(origins)
    }

    fn each_of_source(
        &self,
        source_key: i64,
        origin: &Arc<Origin>,
        dated: &str,
        filter: &Filter,
        take: &mut impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let failed = database("read the archive");
        let sql = format!(
            "SELECT {COLUMNS} FROM conversation WHERE source_key = ?1 AND {dated} {INSIDE} ORDER BY created_at, id"
        );
        let mut conversations = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut messages = self.connection.prepare_cached(MESSAGES).map_err(&failed)?;
        let mut rows = conversations.query(bounds(source_key, filter)).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let key: i64 = row.get(0).map_err(&failed)?;
            let mut conversation = read_conversation(row)?;
            read_messages(&mut messages, key, &mut conversation.messages)?;
            take(&ArchivedConversation { origin: Arc::clone(origin), conversation })?;
        }
        Ok(())
    }
}

/// Returns what [`INSIDE`] is asked with.
fn bounds(source_key: i64, filter: &Filter) -> (i64, Option<i64>, Option<i64>, Option<&'static str>) {
    let bound = |bound: Option<Timestamp>| bound.map(Timestamp::microseconds);
    let Filter { window, channel, .. } = filter;
    (source_key, bound(window.since), bound(window.until), channel.map(Channel::as_str))
}

pub(crate) fn read_conversation(row: &Row<'_>) -> Result<Conversation> {
    let failed = database("read a conversation");
    let text = |at: usize| row.get::<_, Option<String>>(at).map_err(&failed);
    let word = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&failed);
    let time = |at: usize| Ok::<_, Error>(timestamp(row.get(at).map_err(&failed)?));
    let message_count: u32 = row.get(21).map_err(&failed)?;
    Ok(Conversation {
        id: ConversationId::new(row.get::<_, String>(1).map_err(&failed)?),
        title: text(2)?,
        channel: word(3)?.map(|word| known(Channel::from_word(word))).transpose()?,
        channel_raw: text(4)?,
        status: word(5)?.map(|word| known(Status::from_word(word))).transpose()?,
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
        feedback: word(18)?.map(|word| known(Feedback::from_word(word))).transpose()?,
        messages: Vec::with_capacity(message_count.min(100_000) as usize),
        extra: from_json(word(19)?)?,
        derived: from_json(word(20)?)?,
        rating: None,
    })
}

pub(crate) fn read_messages(
    statement: &mut CachedStatement<'_>,
    key: i64,
    into: &mut Vec<Message>,
) -> Result<()> {
    let failed = database("read a message");
    let mut rows = statement.query([key]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        into.push(read_message(row)?);
    }
    Ok(())
}

fn read_message(row: &Row<'_>) -> Result<Message> {
    let failed = database("read a message");
    let word = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&failed);
    let parts = match word(5)? {
        None => vec![Part::text(word(4)?.unwrap_or_default())],
        some => from_json(some)?,
    };
    Ok(Message {
        id: row.get(0).map_err(&failed)?,
        role: known(Role::from_word(word(1)?.unwrap_or_default()))?,
        role_raw: row.get(2).map_err(&failed)?,
        created_at: timestamp(row.get(3).map_err(&failed)?),
        parts,
        feedback: word(6)?.map(|word| known(Feedback::from_word(word))).transpose()?,
        score: row.get(7).map_err(&failed)?,
        extra: from_json(word(8)?)?,
        author: Author::default(),
        internal: false,
    })
}

fn known<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        Error::new(ErrorKind::Damaged, "read the archive", "a stored word is not one that Chatark writes")
    })
}
