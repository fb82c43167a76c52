//! The run log: where runs begin and end, and the checkpoints from which unfinished runs resume.

use chatark_core::{Checkpoint, Error, ErrorKind, Result, Stream, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::run::{ResumePoint, Run, RunCounts, RunEnd, RunStart, SyncMode};
use crate::sweep;
use crate::sweep_history;
use crate::values::{database_error, read_count, read_timestamp, stored_count};

impl Archive {
    /// Returns where an unfinished run of the same scope stopped.
    pub fn resume_point(
        &self,
        source: SourceKey,
        stream: Stream,
        scope: &str,
    ) -> Result<Option<ResumePoint>> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT cursor, saved_at, seen, total_first, effort, swept_from
                 FROM checkpoint WHERE source_key = ?1 AND stream = ?2 AND scope = ?3",
            )
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str(), scope], read_resume_point).optional()
            })
            .map_err(database_error("read the checkpoint"))?;
        // A resume token in an older version's format is ignored: the sweep restarts.
        Ok(found.flatten())
    }

    /// Returns the scopes of a stream that have a checkpoint, because a run of them is unfinished.
    pub fn unfinished_scopes(&self, source: SourceKey, stream: Stream) -> Result<Vec<String>> {
        let failed = database_error("read the checkpoints");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT scope FROM checkpoint WHERE source_key = ?1 AND stream = ?2 ORDER BY scope",
            )
            .map_err(&failed)?;
        let wanted = params![source.0, stream.as_str()];
        let scopes = statement.query_map(wanted, |row| row.get(0)).map_err(&failed)?;
        scopes.collect::<rusqlite::Result<_>>().map_err(&failed)
    }

    /// Begins a run and enters it into the run log.
    pub fn begin_run(&mut self, source: SourceKey, start: &RunStart<'_>) -> Result<Run> {
        let failed = || database_error("begin a run");
        let resume = start.resume;
        let sweep_began_at = resume.map_or(Some(start.at), |resume| resume.sweep_began_at);
        let mut counts = RunCounts::default();
        let transaction = self.connection.transaction().map_err(failed())?;
        if let Some(resume) = resume {
            // If an older version of Chatark began the sweep, it saved no ids, only their number.
            let seen = sweep::load_sightings(&transaction, source, start.stream, start.scope)?;
            counts.seen = seen.max(resume.seen);
            counts.total_first = resume.total_first;
        } else {
            sweep::restart_scope(&transaction, source, start.stream, start.scope)?;
        }
        transaction
            .prepare_cached(
                "INSERT INTO run (source_key, kind, scope, resumed, started_at, effort, swept_from, stream)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    source.0,
                    start.kind,
                    start.scope,
                    resume.is_some(),
                    start.at.microseconds(),
                    start.mode.as_str(),
                    sweep_began_at.map(Timestamp::microseconds),
                    start.stream.as_str(),
                ])
            })
            .map_err(failed())?;
        let key = transaction.last_insert_rowid();
        transaction.commit().map_err(failed())?;
        let (stream, scope, mode) = (start.stream, start.scope.to_owned(), start.mode);
        Ok(Run { key, source, stream, scope, mode, sweep_began_at, written_until: None, counts })
    }

    /// Ends a run: writes its conclusion into the run log, and records in the sweep history that its sweep reached the end.
    pub fn end_run(&mut self, run: &Run, end: &RunEnd) -> Result<()> {
        let (counts, key) = (&run.counts, run.key);
        let row = params![
            key,
            end.at.microseconds(),
            end.verdict.as_str(),
            end.error,
            run.mode.as_str(),
            stored_count(counts.missing),
            stored_count(counts.returned),
        ];
        let sql =
            "UPDATE run SET ended_at = ?2, verdict = ?3, error = ?4, effort = ?5, missing = ?6, returned = ?7,
                       archived = (SELECT conversations FROM source WHERE source.source_key = run.source_key)
                   WHERE run_key = ?1";
        let failed = || database_error("end a run");
        let transaction = self.connection.transaction().map_err(failed())?;
        transaction.execute(sql, row).map_err(failed())?;
        if end.reached_end {
            sweep_history::record_end(&transaction, run)?;
        }
        transaction.commit().map_err(failed())
    }

    /// Deletes the checkpoint of a scope, so that its next pull starts from the beginning.
    pub fn delete_checkpoint(&mut self, source: SourceKey, stream: Stream, scope: &str) -> Result<()> {
        let failed = || database_error("drop a checkpoint");
        let transaction = self.connection.transaction().map_err(failed())?;
        delete_checkpoint_row(&transaction, source, stream, scope)?;
        sweep::restart_scope(&transaction, source, stream, scope)?;
        transaction.commit().map_err(failed())
    }
}

fn read_resume_point(row: &Row<'_>) -> rusqlite::Result<Option<ResumePoint>> {
    let Ok(cursor) = serde_json::from_str(&row.get::<_, String>(0)?) else { return Ok(None) };
    Ok(Some(ResumePoint {
        resume_token: cursor,
        saved_at: read_timestamp(row.get(1)?),
        mode: SyncMode::from_word(&row.get::<_, String>(4)?),
        sweep_began_at: read_timestamp(row.get(5)?),
        seen: read_count(row.get(2)?),
        total_first: row.get::<_, Option<i64>>(3)?.map(read_count),
    }))
}

/// Saves the checkpoint after a batch, or removes it at the end of the sweep.
pub(crate) fn save_checkpoint(
    transaction: &Transaction<'_>,
    run: &Run,
    checkpoint: &Checkpoint,
    counts: &RunCounts,
    now: Timestamp,
) -> Result<()> {
    let failed = || database_error("save the checkpoint");
    match checkpoint {
        Checkpoint::None => {}
        Checkpoint::At(cursor) => {
            let cursor = serde_json::to_string(cursor)
                .map_err(|error| Error::new(ErrorKind::Unexpected, "save the checkpoint", error))?;
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO checkpoint
                         (source_key, stream, scope, cursor, seen, total_first, saved_at, effort, swept_from)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        run.source.0,
                        run.stream.as_str(),
                        run.scope,
                        cursor,
                        stored_count(counts.seen),
                        counts.total_first.map(stored_count),
                        now.microseconds(),
                        run.mode.as_str(),
                        run.sweep_began_at.map(Timestamp::microseconds),
                    ])
                })
                .map_err(failed())?;
        }
        Checkpoint::End => {
            delete_checkpoint_row(transaction, run.source, run.stream, &run.scope)?;
            sweep::delete_sightings(transaction, run.source, run.stream, &run.scope)?;
        }
    }
    Ok(())
}

fn delete_checkpoint_row(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM checkpoint WHERE source_key = ?1 AND stream = ?2 AND scope = ?3")
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str(), scope]))
        .map_err(database_error("drop a checkpoint"))?;
    Ok(())
}

/// Writes the counts of a run into the run log.
pub(crate) fn save_counts(transaction: &Transaction<'_>, run_key: i64, counts: &RunCounts) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE run SET total_first = ?2, total_last = ?3, seen = ?4, received = ?5, repeated = ?6,
                 outside = ?7, added = ?8, changed = ?9, unchanged = ?10, unreadable = ?11, pages = ?12,
                 empty_pages = ?13, skipped = ?14, bytes = ?15, quota_used = ?16, quota_left = ?17, issues = ?18
             WHERE run_key = ?1",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                run_key,
                counts.total_first.map(stored_count),
                counts.total_last.map(stored_count),
                stored_count(counts.seen),
                stored_count(counts.received),
                stored_count(counts.repeated),
                stored_count(counts.outside),
                stored_count(counts.added),
                stored_count(counts.changed),
                stored_count(counts.unchanged),
                stored_count(counts.unreadable),
                stored_count(counts.page.pages),
                stored_count(counts.page.empty_pages),
                stored_count(counts.page.skipped),
                stored_count(counts.bytes),
                counts.page.quota_used.map(stored_count),
                counts.page.quota_left.map(stored_count),
                stored_count(counts.issues),
            ])
        })
        .map_err(database_error("write the run log"))?;
    Ok(())
}
