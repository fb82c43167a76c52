//! Which records a sweep has seen, over all of its runs, and which ones it no longer sees.

use std::collections::HashSet;

use chatark_core::{DocumentKind, Error, ErrorKind, RecordId, Result, Stream, Timestamp, UnseenRecord};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::archive::Archive;
use crate::document::DocumentTable;
use crate::keys::SourceKey;
use crate::run::Run;
use crate::values::{database_error, read_count, read_timestamp};

/// Without `--accept-missing`, none is marked as missing if more than one in this many records of a stream was not seen.
const MAX_MISSING_ONE_IN: u64 = 10;

/// Creates the temporary table of the ids that the sweep of a run has seen. It ends with the connection.
pub(crate) const CREATE_SEEN: &str = "CREATE TEMP TABLE IF NOT EXISTS seen (source_key INTEGER, stream TEXT, id TEXT, PRIMARY KEY (source_key, stream, id)) WITHOUT ROWID;";

/// Marks an id as seen, and returns whether it is new to the sweep.
pub(crate) fn mark_seen(transaction: &Transaction<'_>, run: &Run, id: &RecordId) -> Result<bool> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO temp.seen (source_key, stream, id) VALUES (?1, ?2, ?3)")
        .and_then(|mut statement| statement.execute(params![run.source.0, run.stream.as_str(), id.as_str()]))
        .map(|inserted| inserted == 1)
        .map_err(database_error("write a batch"))
}

/// Saves the ids that the sweep saw for the first time in a batch, for a run that resumes the sweep.
pub(crate) fn save_sightings(transaction: &Transaction<'_>, run: &Run, ids: &[RecordId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let list = serde_json::to_string(ids)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "write a batch", error))?;
    transaction
        .prepare_cached(
            "INSERT INTO sighting (source_key, stream, scope, batch, ids) VALUES (?1, ?2, ?3, 1 + coalesce(
                 (SELECT max(batch) FROM sighting WHERE source_key = ?1 AND stream = ?2 AND scope = ?3), 0), ?4)",
        )
        .and_then(|mut statement| {
            statement.execute(params![run.source.0, run.stream.as_str(), run.scope, list])
        })
        .map_err(database_error("write a batch"))?;
    Ok(())
}

/// Loads the ids that the sweep saw in earlier runs, and returns their number.
pub(crate) fn load_sightings(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<u64> {
    clear_seen(transaction, source, stream)?;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO temp.seen (source_key, stream, id)
             SELECT ?1, ?2, json.value FROM sighting, json_each(sighting.ids) json
             WHERE source_key = ?1 AND stream = ?2 AND scope = ?3",
        )
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str(), scope]))
        .map(|seen| seen as u64)
        .map_err(database_error("begin a run"))
}

/// Restarts the sweep of a run's scope: forgets the ids that it has seen.
pub(crate) fn restart(transaction: &Transaction<'_>, run: &Run) -> Result<()> {
    restart_scope(transaction, run.source, run.stream, &run.scope)
}

/// Restarts the sweep of a scope: forgets the ids that it has seen.
pub(crate) fn restart_scope(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<()> {
    clear_seen(transaction, source, stream)?;
    delete_sightings(transaction, source, stream, scope)
}

/// Deletes the saved ids of a sweep that has ended.
pub(crate) fn delete_sightings(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM sighting WHERE source_key = ?1 AND stream = ?2 AND scope = ?3")
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str(), scope]))
        .map_err(database_error("end a sweep"))?;
    Ok(())
}

fn clear_seen(transaction: &Transaction<'_>, source: SourceKey, stream: Stream) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM temp.seen WHERE source_key = ?1 AND stream = ?2")
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str()]))
        .map_err(database_error("begin a run"))?;
    Ok(())
}

/// What a sweep of everything did not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// The records that neither this sweep nor the one before it saw, those unseen for longest first. Records that only this
    /// sweep did not see are noted in the archive for the next one.
    Twice(Vec<UnseenRecord>),
    /// Nothing is known: the sweep left a gap, in this run or in an earlier one, or an older version of Chatark began it and
    /// saved no ids.
    Unknown,
    /// More records were not seen than may be marked without `--accept-missing`: none is to be marked.
    TooMany {
        /// Records that were not seen.
        unseen: u64,
        /// Archived records that are not marked as missing.
        held: u64,
    },
}

impl Archive {
    /// Clears the marks of records that the sweep of a run has seen: that they are missing, or that a sweep did not see them.
    /// Counts in the run how many were missing.
    pub fn unmark_returned(&mut self, run: &mut Run) -> Result<()> {
        let Some(table) = table_of(run) else { return Ok(()) };
        // Few records are marked: each of them is searched for among the ids that were seen.
        let is_seen = |table: &str| {
            format!(
                "EXISTS (SELECT 1 FROM temp.seen WHERE source_key = ?1 AND stream = ?2 AND seen.id = {table}.id)"
            )
        };
        let missing = format!(
            "UPDATE {name} SET missing_since = NULL WHERE missing_since IS NOT NULL AND {} AND {}",
            stream_condition(run.stream),
            is_seen(table.name),
            name = table.name
        );
        let unseen = format!(
            "UPDATE record SET unseen_since = NULL
             WHERE unseen_since IS NOT NULL AND +source_key = ?1 AND +stream = ?2 AND {}",
            is_seen("record")
        );
        let failed = || database_error("end a sweep");
        let stream = params![run.source.0, run.stream.as_str()];
        run.counts.returned += self.connection.execute(&missing, stream).map_err(failed())? as u64;
        self.connection.execute(&unseen, stream).map_err(failed())?;
        Ok(())
    }

    /// Notes what a sweep of everything did not see, and returns what the sweep of everything before it did not see either.
    ///
    /// To be called at the end of the sweep, after [`Archive::unmark_returned`]. A fault of the vendor looks the same as a
    /// customer who deletes conversations: without `accept`, more than a tenth of a stream is refused.
    pub fn note_unseen(&mut self, run: &Run, accept: bool, now: Timestamp) -> Result<Unseen> {
        let Some(table) = table_of(run) else { return Ok(Unseen::Unknown) };
        let held = self.count_not_missing(run.source, run.stream)?;
        let failed = || database_error("end a sweep");
        let stream = params![run.source.0, run.stream.as_str()];
        let seen: i64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM temp.seen WHERE source_key = ?1 AND stream = ?2",
                stream,
                |row| row.get(0),
            )
            .map_err(failed())?;
        if read_count(seen) != run.counts.seen || self.has_left_gaps(run)? {
            return Ok(Unseen::Unknown);
        }
        // Every id that was seen is archived: if the numbers are equal, all archived records were seen.
        if read_count(seen) == held {
            return Ok(Unseen::Twice(Vec::new()));
        }
        let unseen = format!(
            "FROM {name} JOIN record ON record.record_key = {name}.{key}
             WHERE missing_since IS NULL AND record.source_key = ?1 AND record.stream = ?2
                 AND record.id NOT IN (SELECT id FROM temp.seen WHERE source_key = ?1 AND stream = ?2)",
            name = table.name,
            key = table.key
        );
        let unseen_count: i64 = self
            .connection
            .query_row(&format!("SELECT count(*) {unseen}"), stream, |row| row.get(0))
            .map_err(failed())?;
        let unseen_count = read_count(unseen_count);
        if held - unseen_count != run.counts.seen {
            return Err(seen_but_not_archived(run, held - unseen_count));
        }
        let twice = self.unseen_twice(run, &unseen)?;
        // A time in the future comes from a clock that was ahead.
        let note = format!(
            "UPDATE record SET unseen_since = ?3 WHERE (unseen_since IS NULL OR unseen_since > ?3)
                 AND record_key IN (SELECT record.record_key {unseen})"
        );
        let stream_and_now = params![run.source.0, run.stream.as_str(), now.microseconds()];
        self.connection.execute(&note, stream_and_now).map_err(failed())?;
        if unseen_count * MAX_MISSING_ONE_IN > held && !accept {
            return Ok(Unseen::TooMany { unseen: unseen_count, held });
        }
        Ok(Unseen::Twice(twice))
    }

    /// Returns the records that neither this sweep nor an earlier one saw. `unseen` is the end of the query for those that this
    /// sweep did not see.
    fn unseen_twice(&self, run: &Run, unseen: &str) -> Result<Vec<UnseenRecord>> {
        let failed = || database_error("end a sweep");
        let Some(began) = run.sweep_began_at.map(Timestamp::microseconds) else { return Ok(Vec::new()) };
        let sql = format!("SELECT record.id, created_at {unseen} AND unseen_since < ?3");
        // Records that were not looked for after an earlier sweep come first.
        let sql = format!("{sql} ORDER BY unseen_since, record.record_key");
        let mut statement = self.connection.prepare(&sql).map_err(failed())?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(UnseenRecord {
                id: RecordId::new(row.get::<_, String>(0)?),
                created_at: read_timestamp(row.get(1)?),
            })
        };
        let wanted = params![run.source.0, run.stream.as_str(), began];
        let found = statement.query_map(wanted, read).map_err(failed())?;
        found.collect::<rusqlite::Result<_>>().map_err(failed())
    }

    /// Marks unseen records as missing, except those that the vendor still has, and counts them in the run. Deletes nothing.
    pub fn mark_missing(
        &mut self,
        run: &mut Run,
        unseen: &[UnseenRecord],
        still_there: &[RecordId],
        now: Timestamp,
    ) -> Result<()> {
        let Some(table) = table_of(run) else { return Ok(()) };
        let there: HashSet<_> = still_there.iter().collect();
        let failed = || database_error("end a sweep");
        let transaction = self.connection.transaction().map_err(failed())?;
        let find =
            "SELECT record_key FROM record WHERE source_key = ?1 AND stream = ?2 AND parent = '' AND id = ?3";
        let missing = format!(
            "UPDATE {name} SET missing_since = coalesce(
                 (SELECT unseen_since FROM record WHERE record_key = {key}), ?4)
             WHERE missing_since IS NULL AND {key} = ({find})",
            name = table.name,
            key = table.key
        );
        let seen = format!("UPDATE record SET unseen_since = NULL WHERE record_key = ({find})");
        for UnseenRecord { id, .. } in unseen {
            if there.contains(id) {
                let row = params![run.source.0, run.stream.as_str(), id.as_str()];
                transaction.execute(&seen, row).map_err(failed())?;
                continue;
            }
            let row = params![run.source.0, run.stream.as_str(), id.as_str(), now.microseconds()];
            run.counts.missing += transaction.execute(&missing, row).map_err(failed())? as u64;
        }
        transaction.commit().map_err(failed())
    }

    /// Counts the documents of a stream that are marked as missing.
    pub(crate) fn count_missing(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        self.count_of_stream(source, stream, "missing_since IS NOT NULL")
    }

    /// Counts the archived documents of a stream.
    ///
    /// Conversations are not counted one by one if all of a source are of one stream: the writer keeps their count, and
    /// `verify` checks it.
    pub(crate) fn count_documents(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        if stream.document() != Some(DocumentKind::Conversation) {
            return self.count_of_stream(source, stream, "TRUE");
        }
        let kept = format!(
            "SELECT conversations FROM source WHERE source_key = ?1 AND NOT EXISTS (
                 SELECT 1 FROM record WHERE source_key = ?1 AND stream IN ({}))",
            others(stream)
        );
        let kept = self
            .connection
            .prepare_cached(&kept)
            .and_then(|mut statement| statement.query_row([source.0], |row| row.get(0)).optional())
            .map_err(database_error("count the records"))?;
        kept.map_or_else(|| self.count_of_stream(source, stream, "TRUE"), |kept| Ok(read_count(kept)))
    }

    /// Counts the records of a stream that are parts of documents.
    pub(crate) fn count_parts(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        let sql = "SELECT count(*) FROM record WHERE source_key = ?1 AND stream = ?2 AND ordinal IS NOT NULL";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str()], |row| row.get(0))
            })
            .map(read_count)
            .map_err(database_error("count the records"))
    }

    fn count_not_missing(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        // An index is enough for each of these counts; a count of the difference would read the rows.
        Ok(self.count_documents(source, stream)?.saturating_sub(self.count_missing(source, stream)?))
    }

    fn count_of_stream(&self, source: SourceKey, stream: Stream, condition: &str) -> Result<u64> {
        let Some(kind) = stream.document() else { return Ok(0) };
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {condition} AND {}",
            DocumentTable::of(kind).name,
            stream_condition(stream)
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str()], |row| row.get(0))
            })
            .map(read_count)
            .map_err(database_error("count the records"))
    }
}

fn seen_but_not_archived(run: &Run, archived: u64) -> Error {
    let stream = run.stream.as_str();
    let message = format!("{} {stream} were seen and {archived} of them are archived", run.counts.seen);
    Error::new(ErrorKind::Unexpected, "end a sweep", message)
        .hint("please report this; run `chatark verify`, then pull with `--full`")
}

/// Returns the table of the documents of a run's stream.
fn table_of(run: &Run) -> Option<DocumentTable> {
    run.stream.document().map(DocumentTable::of)
}

/// Returns the SQL condition that a row is of the source `?1` and the stream `?2`.
fn stream_condition(stream: Stream) -> String {
    if stream.document() == Some(DocumentKind::Contact) {
        return "source_key = ?1 AND stream = ?2".to_owned();
    }
    // A conversation's stream is looked up only if the source has conversations of another one.
    format!(
        "source_key = ?1 AND (
             NOT EXISTS (SELECT 1 FROM record WHERE source_key = ?1 AND stream IN ({}))
             OR EXISTS (SELECT 1 FROM record WHERE record_key = conversation_key AND record.stream = ?2))",
        others(stream)
    )
}

/// Returns the other streams with documents of the same kind, as a list in SQL.
fn others(stream: Stream) -> String {
    let is_other = |other: &&Stream| **other != stream && other.document() == stream.document();
    let names = Stream::ALL.iter().filter(is_other).map(|other| format!("'{}'", other.as_str()));
    names.collect::<Vec<_>>().join(", ")
}
