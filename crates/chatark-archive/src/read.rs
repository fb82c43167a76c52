//! Reads the archive: every conversation once, sorted, one at a time.

use std::sync::Arc;

use chatark_core::{
    ArchivedConversation, Channel, Conversation, ListedContact, Origin, Result, SourceName, StatsSummary,
    Stream, Timestamp, Window,
};

use crate::contact;
use crate::conversation::{self, COLUMNS, MESSAGES, read_conversation, read_messages};
use crate::open::Archive;
use crate::run_log::SourceKey;
use crate::stats::Summaries;
use crate::values::{database, known, read_count};

/// Which conversations to read. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these sources; all if it is empty.
    pub sources: Vec<SourceName>,
    /// Conversations that began in this window.
    pub window: Window,
    /// Whether conversations without a date are inside a window.
    pub undated: bool,
    /// Only conversations of this channel.
    pub channel: Option<Channel>,
}

impl Filter {
    /// Returns whether a conversation is inside the window and of the channel.
    pub(crate) fn is_inside(&self, created_at: Option<Timestamp>, channel: Option<Channel>) -> bool {
        let is_in_window = match created_at {
            Some(_) => self.window.contains(created_at),
            None => !self.leaves_out_undated(),
        };
        is_in_window && self.channel.is_none_or(|wanted| channel == Some(wanted))
    }

    /// Returns whether conversations without a date are left out.
    fn leaves_out_undated(&self) -> bool {
        self.window != Window::default() && !self.undated
    }
}

/// The condition of [`Filter::is_inside`] in SQL; a parameter that is `NULL` does not restrict.
const INSIDE: &str =
    "(created_at IS NULL OR (?2 IS NULL OR created_at >= ?2) AND (?3 IS NULL OR created_at < ?3))
    AND (?5 OR created_at IS NOT NULL) AND (?4 IS NULL OR channel = ?4)";

impl Archive {
    /// Counts the conversations that a filter leaves out only because they have no date.
    pub fn undated_left_out(&self, filter: &Filter) -> Result<u64> {
        let failed = || database("count the conversations without a date");
        if !filter.leaves_out_undated() {
            return Ok(0);
        }
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM conversation
                 WHERE source_key = ?1 AND created_at IS NULL AND (?2 IS NULL OR channel = ?2)",
            )
            .map_err(failed())?;
        let channel = filter.channel.map(Channel::as_str);
        let mut left_out = 0;
        for (source_key, _) in self.origins(&filter.sources)? {
            let of_source = statement.query_row((source_key, channel), |row| row.get(0)).map_err(failed())?;
            left_out += read_count(of_source);
        }
        Ok(left_out)
    }

    /// Gives every matching conversation to `take`, sorted by source, then beginning (undated last), then id.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one conversation at a time.
    pub fn each(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        self.each_with_key(filter, |_, archived| take(&archived))
    }

    /// Gives every matching conversation to `take` with its stored statistics, as [`Archive::each`] does.
    pub fn each_with_stats(
        &self,
        filter: &Filter,
        mut take: impl FnMut(ArchivedConversation, StatsSummary) -> Result<()>,
    ) -> Result<()> {
        let mut summaries = Summaries::new(&self.connection)?;
        self.each_with_key(filter, |key, archived| {
            let stats = summaries.read(key, &archived.conversation)?;
            take(archived, stats)
        })
    }

    fn each_with_key(
        &self,
        filter: &Filter,
        mut take: impl FnMut(i64, ArchivedConversation) -> Result<()>,
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

    /// Gives every matching conversation to `take`, as [`Archive::each`] does, but in a transaction for each.
    ///
    /// For a slow consumer: no read transaction is open between two conversations, so that a writer's log can be
    /// checkpointed. Takes eight bytes of memory for each conversation.
    pub fn each_in_short_transactions(
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
        let (conversation, _) = conversation::read(&self.connection, key)?;
        snapshot.finish().map_err(&failed)?;
        Ok(conversation)
    }

    /// Gives every listed contact to `take` with its stream, of these sources or of all if none is named, sorted by
    /// source, stream and id.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one person at a time.
    pub fn each_contact(
        &self,
        sources: &[SourceName],
        mut take: impl FnMut(&Origin, Stream, &ListedContact) -> Result<()>,
    ) -> Result<()> {
        let failed = database("read the contacts");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let sql = format!(
            "SELECT {}, stream FROM contact WHERE source_key = ?1 ORDER BY stream, id",
            contact::COLUMNS
        );
        for (key, origin) in self.origins(sources)? {
            let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
            let mut rows = statement.query([key]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let stream: String = row.get(11).map_err(&failed)?;
                take(&origin, known(Stream::from_word(&stream))?, &contact::read_contact(row)?)?;
            }
        }
        snapshot.finish().map_err(&failed)
    }

    /// Returns the archived sources of these names, or all if none is named, sorted by name.
    pub fn sources_named(&self, names: &[SourceName]) -> Result<Vec<(SourceKey, Origin)>> {
        let origins = self.origins(names)?;
        Ok(origins.into_iter().map(|(key, origin)| (SourceKey(key), origin)).collect())
    }

    /// Returns the requested sources, sorted by name.
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
        take: &mut impl FnMut(i64, ArchivedConversation) -> Result<()>,
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
            take(key, ArchivedConversation { origin: Arc::clone(origin), conversation })?;
        }
        Ok(())
    }
}

/// Returns the parameters of [`INSIDE`].
fn bounds(source_key: i64, filter: &Filter) -> (i64, Option<i64>, Option<i64>, Option<&'static str>, bool) {
    let bound = |bound: Option<Timestamp>| bound.map(Timestamp::microseconds);
    let Filter { window, channel, .. } = filter;
    let takes_undated = !filter.leaves_out_undated();
    (source_key, bound(window.since), bound(window.until), channel.map(Channel::as_str), takes_undated)
}
