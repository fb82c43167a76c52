//! What a sweep has seen, over all runs that it takes, and what a whole one no longer sees.

use chatark_core::{ConversationId, Error, ErrorKind, Result, Timestamp};
use rusqlite::{Transaction, params};

use crate::ledger::{Run, SourceKey};
use crate::open::Archive;
use crate::values::{count, database, uncount};

/// A sweep of everything may mark one in so many of a source's conversations as missing without being told to.
const SHARE: u64 = 10;

/// Creates the table in which a run keeps what it has seen; it goes with the connection.
pub(crate) const TABLE: &str = "CREATE TEMP TABLE IF NOT EXISTS seen (source_key INTEGER, id TEXT, PRIMARY KEY (source_key, id)) WITHOUT ROWID;";

/// Notes an id, and returns whether the sweep had not seen it.
pub(crate) fn see(transaction: &Transaction<'_>, source: SourceKey, id: &str) -> Result<bool> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO temp.seen (source_key, id) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute(params![source.0, id]))
        .map(|inserted| inserted == 1)
        .map_err(database("write a batch"))
}

/// Saves the ids that a batch brought, for a run that goes on with the sweep.
pub(crate) fn note(
    transaction: &Transaction<'_>,
    source: SourceKey,
    scope: &str,
    ids: &[ConversationId],
) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let list = serde_json::to_string(ids)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "write a batch", error))?;
    transaction
        .prepare_cached(
            "INSERT INTO sighting (source_key, scope, batch, ids) VALUES (?1, ?2, 1 + coalesce(
                 (SELECT max(batch) FROM sighting WHERE source_key = ?1 AND scope = ?2), 0), ?3)",
        )
        .and_then(|mut statement| statement.execute(params![source.0, scope, list]))
        .map_err(database("write a batch"))?;
    Ok(())
}

/// Reads back what the sweep saw in earlier runs, and returns how many conversations that are.
pub(crate) fn recall(transaction: &Transaction<'_>, source: SourceKey, scope: &str) -> Result<u64> {
    let failed = || database("begin a run");
    clear(transaction, source)?;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO temp.seen (source_key, id)
             SELECT ?1, json.value FROM sighting, json_each(sighting.ids) json
             WHERE source_key = ?1 AND scope = ?2",
        )
        .and_then(|mut statement| statement.execute(params![source.0, scope]))
        .map(|seen| seen as u64)
        .map_err(failed())
}

/// Lets the sweep of a scope begin anew.
pub(crate) fn forget(transaction: &Transaction<'_>, source: SourceKey, scope: &str) -> Result<()> {
    clear(transaction, source)?;
    forget_saved(transaction, source, scope)
}

/// Drops the saved ids of a sweep that has come to its end.
pub(crate) fn forget_saved(transaction: &Transaction<'_>, source: SourceKey, scope: &str) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM sighting WHERE source_key = ?1 AND scope = ?2")
        .and_then(|mut statement| statement.execute(params![source.0, scope]))
        .map_err(database("end a sweep"))?;
    Ok(())
}

fn clear(transaction: &Transaction<'_>, source: SourceKey) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM temp.seen WHERE source_key = ?1")
        .and_then(|mut statement| statement.execute([source.0]))
        .map_err(database("begin a run"))?;
    Ok(())
}

/// What a sweep of everything found gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// So many conversations were marked as missing; 0 where all were seen. What is left is what was seen.
    Marked(u64),
    /// An older version began the sweep and noted no ids: nothing can be said of what it did not see.
    Unknown,
    /// So many of so many would have to be marked, more than may be without being told to: none was.
    Refused {
        /// Conversations that were not seen.
        gone: u64,
        /// Conversations that were held until now.
        held: u64,
    },
}

impl Archive {
    /// Clears the mark of missing conversations that a run has seen, and counts them in the run.
    pub fn welcome_back(&mut self, run: &mut Run) -> Result<()> {
        run.progress.returned = self
            .connection
            .prepare_cached(
                "UPDATE conversation SET missing_since = NULL
                 WHERE source_key = ?1 AND missing_since IS NOT NULL
                     AND id IN (SELECT id FROM temp.seen WHERE source_key = ?1)",
            )
            .and_then(|mut statement| statement.execute([run.source.0]))
            .map_err(database("end a sweep"))? as u64;
        Ok(())
    }

    /// Marks what a sweep of everything did not see as missing, and counts it in the run. Nothing is ever deleted.
    ///
    /// To be called after [`Archive::welcome_back`], when the sweep has come to its end. More than a tenth of a
    /// source is marked only with `accept`, since a vendor's fault looks the same as a customer's clean-up.
    pub fn mark_missing(&mut self, run: &mut Run, accept: bool, now: Timestamp) -> Result<Gone> {
        let held = self.not_missing(run.source)?;
        let failed = || database("end a sweep");
        let noted: i64 = self
            .connection
            .query_row("SELECT count(*) FROM temp.seen WHERE source_key = ?1", [run.source.0], |row| {
                row.get(0)
            })
            .map_err(failed())?;
        if uncount(noted) != run.progress.seen {
            return Ok(Gone::Unknown);
        }
        // As many different ids were seen as are held, and what is seen is held: no need to look at each.
        if uncount(noted) == held {
            return Ok(Gone::Marked(0));
        }
        let unseen = "FROM conversation WHERE source_key = ?1 AND missing_since IS NULL
                      AND id NOT IN (SELECT id FROM temp.seen WHERE source_key = ?1)";
        let gone: i64 = self
            .connection
            .query_row(&format!("SELECT count(*) {unseen}"), [run.source.0], |row| row.get(0))
            .map_err(failed())?;
        let gone = uncount(gone);
        if gone * SHARE > held && !accept {
            return Ok(Gone::Refused { gone, held });
        }
        let sql = format!(
            "UPDATE conversation SET missing_since = ?2 WHERE conversation_key IN (SELECT conversation_key {unseen})"
        );
        self.connection.execute(&sql, params![run.source.0, now.microseconds()]).map_err(failed())?;
        run.progress.missing = gone;
        let left = self.not_missing(run.source)?;
        if left == run.progress.seen {
            return Ok(Gone::Marked(gone));
        }
        let message =
            format!("{} conversations were seen and {left} of them are archived", run.progress.seen);
        Err(Error::new(ErrorKind::Unexpected, "end a sweep", message)
            .hint("please report this; run `chatark verify`, then pull with `--full`"))
    }

    /// Returns how many conversations of a source are marked as missing.
    pub(crate) fn missing(&self, source: SourceKey) -> Result<u64> {
        self.connection
            .prepare_cached(
                "SELECT count(*) FROM conversation WHERE source_key = ?1 AND missing_since IS NOT NULL",
            )
            .and_then(|mut statement| statement.query_row([source.0], |row| row.get(0)))
            .map(uncount)
            .map_err(database("read the status"))
    }

    fn not_missing(&self, source: SourceKey) -> Result<u64> {
        let held: i64 = self
            .connection
            .query_row("SELECT conversations FROM source WHERE source_key = ?1", [source.0], |row| row.get(0))
            .map_err(database("end a sweep"))?;
        Ok(uncount(held - count(self.missing(source)?)))
    }
}
