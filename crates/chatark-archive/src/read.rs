//! Reads the archive: every conversation once, sorted, one at a time.

use std::sync::Arc;

use chatark_core::{
    ArchivedConversation, Channel, Conversation, ListedContact, Origin, Result, SourceName, StatsSummary,
    Stream,
};

use crate::archive::Archive;
use crate::contact;
use crate::conversation::{self, COLUMNS, MESSAGES, read_conversation, read_messages};
use crate::filter::{Filter, INSIDE_SQL, inside_parameters};
use crate::keys::SourceKey;
use crate::stats::Summaries;
use crate::values::{database_error, known_word, read_count};

impl Archive {
    /// Counts the conversations that a filter leaves out only because they have no date.
    pub fn count_undated_left_out(&self, filter: &Filter) -> Result<u64> {
        let failed = || database_error("count the conversations without a date");
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
        for (source, _) in self.sources(&filter.sources)? {
            let of_source = statement.query_row((source.0, channel), |row| row.get(0)).map_err(failed())?;
            left_out += read_count(of_source);
        }
        Ok(left_out)
    }

    /// Passes every matching conversation to `take`, sorted by source, then creation time (undated last), then id.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one conversation at a time.
    pub fn each_conversation(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        self.each_conversation_with_key(filter, |_, archived| take(&archived))
    }

    /// Passes every matching conversation to `take` with its stored statistics, as [`Archive::each_conversation`] does.
    pub fn each_conversation_with_stats(
        &self,
        filter: &Filter,
        mut take: impl FnMut(ArchivedConversation, StatsSummary) -> Result<()>,
    ) -> Result<()> {
        let mut summaries = Summaries::new(&self.connection)?;
        self.each_conversation_with_key(filter, |key, archived| {
            let stats = summaries.read(key, &archived.conversation)?;
            take(archived, stats)
        })
    }

    fn each_conversation_with_key(
        &self,
        filter: &Filter,
        mut take: impl FnMut(i64, ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let failed = database_error("read the archive");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        for (source, origin) in self.sources(&filter.sources)? {
            for dated in ["created_at IS NOT NULL AND", "created_at IS NULL AND"] {
                self.each_conversation_of_source(
                    source,
                    &Arc::new(origin.clone()),
                    dated,
                    filter,
                    &mut take,
                )?;
            }
        }
        snapshot.finish().map_err(&failed)
    }

    /// Passes every matching conversation to `take`, as [`Archive::each_conversation`] does, but each in its own transaction.
    ///
    /// For a slow `take`: no read transaction is open while it runs, so that a writer can empty the write-ahead log. Needs
    /// eight bytes of memory for each conversation.
    pub fn each_conversation_in_short_transactions(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        for (source, origin) in self.sources(&filter.sources)? {
            let origin = Arc::new(origin);
            for key in self.conversation_keys(source, filter)? {
                let conversation = self.conversation(key)?;
                take(&ArchivedConversation { origin: Arc::clone(&origin), conversation })?;
            }
        }
        Ok(())
    }

    /// Returns the keys of a source's matching conversations, sorted by creation time (undated last), then id.
    fn conversation_keys(&self, source: SourceKey, filter: &Filter) -> Result<Vec<i64>> {
        let failed = database_error("read the archive");
        let sql = format!(
            "SELECT conversation_key FROM conversation WHERE source_key = ?1 AND {INSIDE_SQL}
             ORDER BY created_at IS NULL, created_at, id"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let rows =
            statement.query_map(inside_parameters(source, filter), |row| row.get(0)).map_err(&failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&failed)
    }

    fn conversation(&self, key: i64) -> Result<Conversation> {
        let failed = database_error("read a conversation");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let (conversation, _) = conversation::read(&self.connection, key)?;
        snapshot.finish().map_err(&failed)?;
        Ok(conversation)
    }

    /// Passes every listed contact to `take` with its stream, of these sources or of all if none is named, sorted by
    /// source, stream and id.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one contact at a time.
    pub fn each_contact(
        &self,
        sources: &[SourceName],
        mut take: impl FnMut(&Origin, Stream, &ListedContact) -> Result<()>,
    ) -> Result<()> {
        let failed = database_error("read the contacts");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let sql = format!(
            "SELECT {}, stream FROM contact WHERE source_key = ?1 ORDER BY stream, id",
            contact::COLUMNS
        );
        for (source, origin) in self.sources(sources)? {
            let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
            let mut rows = statement.query([source.0]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let stream: String = row.get(11).map_err(&failed)?;
                take(&origin, known_word(Stream::from_word(&stream))?, &contact::read_contact(row)?)?;
            }
        }
        snapshot.finish().map_err(&failed)
    }

    fn each_conversation_of_source(
        &self,
        source: SourceKey,
        origin: &Arc<Origin>,
        dated: &str,
        filter: &Filter,
        take: &mut impl FnMut(i64, ArchivedConversation) -> Result<()>,
    ) -> Result<()> {
        let failed = database_error("read the archive");
        let sql = format!(
            "SELECT {COLUMNS} FROM conversation WHERE source_key = ?1 AND {dated} {INSIDE_SQL} ORDER BY created_at, id"
        );
        let mut conversations = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut messages = self.connection.prepare_cached(MESSAGES).map_err(&failed)?;
        let mut rows = conversations.query(inside_parameters(source, filter)).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let key: i64 = row.get(0).map_err(&failed)?;
            let mut conversation = read_conversation(row)?;
            read_messages(&mut messages, key, &mut conversation.messages)?;
            take(key, ArchivedConversation { origin: Arc::clone(origin), conversation })?;
        }
        Ok(())
    }
}
