//! What a sweep has seen, over all runs that it takes, and what a whole one no longer sees.

use chatark_core::{DocumentKind, Error, ErrorKind, RecordId, Result, Stream, Timestamp};
use rusqlite::{Transaction, params};

use crate::document::DocumentTable;
use crate::ledger::{Run, SourceKey};
use crate::open::Archive;
use crate::values::{database, uncount};

/// A sweep of everything may mark one in so many records of a stream as missing without `--accept-missing`.
const SHARE: u64 = 10;

/// Creates the table in which a run keeps what it has seen; it goes with the connection.
pub(crate) const TABLE: &str = "CREATE TEMP TABLE IF NOT EXISTS seen (source_key INTEGER, stream TEXT, id TEXT, PRIMARY KEY (source_key, stream, id)) WITHOUT ROWID;";

/// Notes an id, and returns whether the sweep had not seen it.
pub(crate) fn see(transaction: &Transaction<'_>, run: &Run, id: &RecordId) -> Result<bool> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO temp.seen (source_key, stream, id) VALUES (?1, ?2, ?3)")
        .and_then(|mut statement| statement.execute(params![run.source.0, run.stream.as_str(), id.as_str()]))
        .map(|inserted| inserted == 1)
        .map_err(database("write a batch"))
}

/// Saves the ids of a batch, for a run that resumes the sweep.
pub(crate) fn note(transaction: &Transaction<'_>, run: &Run, ids: &[RecordId]) -> Result<()> {
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
        .map_err(database("write a batch"))?;
    Ok(())
}

/// Reads back what the sweep saw in earlier runs, and returns how many records that are.
pub(crate) fn recall(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<u64> {
    clear(transaction, source, stream)?;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO temp.seen (source_key, stream, id)
             SELECT ?1, ?2, json.value FROM sighting, json_each(sighting.ids) json
             WHERE source_key = ?1 AND stream = ?2 AND scope = ?3",
        )
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str(), scope]))
        .map(|seen| seen as u64)
        .map_err(database("begin a run"))
}

/// Restarts the sweep of a run's scope.
pub(crate) fn forget(transaction: &Transaction<'_>, run: &Run) -> Result<()> {
    forget_scope(transaction, run.source, run.stream, &run.scope)
}

/// Restarts the sweep of a scope.
pub(crate) fn forget_scope(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<()> {
    clear(transaction, source, stream)?;
    forget_saved(transaction, source, stream, scope)
}

/// Drops the saved ids of a sweep that has ended.
pub(crate) fn forget_saved(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM sighting WHERE source_key = ?1 AND stream = ?2 AND scope = ?3")
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str(), scope]))
        .map_err(database("end a sweep"))?;
    Ok(())
}

fn clear(transaction: &Transaction<'_>, source: SourceKey, stream: Stream) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM temp.seen WHERE source_key = ?1 AND stream = ?2")
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str()]))
        .map_err(database("begin a run"))?;
    Ok(())
}

/// What a sweep of everything found gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// So many records were marked as missing; 0 where all were seen. What is left is what was seen.
    Marked(u64),
    /// An older version began the sweep and noted no ids: nothing can be said of what it did not see.
    Unknown,
    /// So many of so many would have to be marked, more than is allowed without `--accept-missing`: none was.
    Refused {
        /// Records that were not seen.
        gone: u64,
        /// Records that were held until now.
        held: u64,
    },
}

impl Archive {
    /// Clears the mark of missing records that a run has seen, and counts them in the run.
    pub fn unmark_returned(&mut self, run: &mut Run) -> Result<()> {
        let Some(table) = run.table() else { return Ok(()) };
        let sql = format!(
            "UPDATE {} SET missing_since = NULL WHERE missing_since IS NOT NULL AND {}
                 AND id IN (SELECT id FROM temp.seen WHERE source_key = ?1 AND stream = ?2)",
            table.name,
            of_stream(run.stream)
        );
        let stream = params![run.source.0, run.stream.as_str()];
        let failed = database("end a sweep");
        run.progress.returned = self.connection.execute(&sql, stream).map_err(failed)? as u64;
        Ok(())
    }

    /// Marks what a sweep of everything did not see as missing, and counts it in the run. Nothing is ever deleted.
    ///
    /// To be called after [`Archive::unmark_returned`], when the sweep has ended. More than a tenth of a
    /// stream is marked only with `accept`, since a vendor's fault looks the same as a customer's clean-up.
    pub fn mark_missing(&mut self, run: &mut Run, accept: bool, now: Timestamp) -> Result<Gone> {
        let Some(table) = run.table() else { return Ok(Gone::Unknown) };
        let held = self.not_missing(run.source, run.stream)?;
        let failed = || database("end a sweep");
        let stream = params![run.source.0, run.stream.as_str()];
        let noted: i64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM temp.seen WHERE source_key = ?1 AND stream = ?2",
                stream,
                |row| row.get(0),
            )
            .map_err(failed())?;
        if uncount(noted) != run.progress.seen {
            return Ok(Gone::Unknown);
        }
        // As many different ids were seen as are held, and what is seen is held: no need to look at each.
        if uncount(noted) == held {
            return Ok(Gone::Marked(0));
        }
        let unseen = format!(
            "FROM {} WHERE missing_since IS NULL AND {}
                 AND id NOT IN (SELECT id FROM temp.seen WHERE source_key = ?1 AND stream = ?2)",
            table.name,
            of_stream(run.stream)
        );
        let gone: i64 = self
            .connection
            .query_row(&format!("SELECT count(*) {unseen}"), stream, |row| row.get(0))
            .map_err(failed())?;
        let gone = uncount(gone);
        if gone * SHARE > held && !accept {
            return Ok(Gone::Refused { gone, held });
        }
        let sql = format!(
            "UPDATE {} SET missing_since = ?3 WHERE {key} IN (SELECT {key} {unseen})",
            table.name,
            key = table.key
        );
        let marked = params![run.source.0, run.stream.as_str(), now.microseconds()];
        self.connection.execute(&sql, marked).map_err(failed())?;
        run.progress.missing = gone;
        let left = self.not_missing(run.source, run.stream)?;
        if left == run.progress.seen {
            return Ok(Gone::Marked(gone));
        }
        let stream = run.stream.as_str();
        let message = format!("{} {stream} were seen and {left} of them are archived", run.progress.seen);
        Err(Error::new(ErrorKind::Unexpected, "end a sweep", message)
            .hint("please report this; run `chatark verify`, then pull with `--full`"))
    }

    /// Returns how many documents of a stream are marked as missing.
    pub(crate) fn missing(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        self.count_of_stream(source, stream, "missing_since IS NOT NULL")
    }

    /// Returns how many documents of a stream are archived.
    pub(crate) fn documents(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        self.count_of_stream(source, stream, "TRUE")
    }

    /// Returns how many records of a stream are parts of documents.
    pub(crate) fn parts(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        let sql = "SELECT count(*) FROM record WHERE source_key = ?1 AND stream = ?2 AND ordinal IS NOT NULL";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str()], |row| row.get(0))
            })
            .map(uncount)
            .map_err(database("count the records"))
    }

    fn not_missing(&self, source: SourceKey, stream: Stream) -> Result<u64> {
        self.count_of_stream(source, stream, "missing_since IS NULL")
    }

    fn count_of_stream(&self, source: SourceKey, stream: Stream, condition: &str) -> Result<u64> {
        let Some(kind) = stream.document() else { return Ok(0) };
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {condition} AND {}",
            DocumentTable::of(kind).name,
            of_stream(stream)
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str()], |row| row.get(0))
            })
            .map(uncount)
            .map_err(database("count the records"))
    }
}

/// Returns the condition that a row is of the source `?1` and the stream `?2`.
fn of_stream(stream: Stream) -> &'static str {
    match stream.document() {
        Some(DocumentKind::Contact) => "source_key = ?1 AND stream = ?2",
        _ => {
            "source_key = ?1 AND EXISTS
                 (SELECT 1 FROM record WHERE record_key = conversation_key AND record.stream = ?2)"
        }
    }
}
