//! What earlier sweeps of a scope leave for later ones: when they began, how recent a change they saw, and how far the
//! rotation has come.

use chatark_core::{Error, ErrorKind, Result, ResumeToken, Stream, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::run::{Run, SyncMode};
use crate::values::{database_error, read_timestamp};

/// How many seconds after another sweep a sweep begins that confirms its changes: by then, the vendor shows every change that
/// the other sweep may have read too early.
const CONFIRMING_SECONDS: i64 = 600;

/// The latest sweeps of a scope that reached their end, whatever their verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepHistory {
    /// When the latest sweep began that read everything in its scope.
    pub full_began_at: Option<Timestamp>,
    /// When the latest sweep of any mode began.
    pub any_began_at: Option<Timestamp>,
    /// The time of the latest change that the vendor showed, by the vendor's clock.
    pub newest_change: Option<Timestamp>,
    /// The time of the latest change that a later sweep has read again.
    pub confirmed_change: Option<Timestamp>,
    /// How far the rotation through a list of rows has come.
    pub rotation: Option<ResumeToken>,
    /// When the rotation was saved.
    pub rotated_at: Option<Timestamp>,
}

impl SweepHistory {
    /// Returns the time of the latest change, if no later sweep has read it again.
    pub fn unconfirmed_change(&self) -> Option<Timestamp> {
        self.newest_change.filter(|newest| self.confirmed_change.is_none_or(|confirmed| confirmed < *newest))
    }
}

impl Archive {
    /// Returns the history of a scope's sweeps; an empty one if none has reached its end.
    pub fn sweep_history(&self, source: SourceKey, stream: Stream, scope: &str) -> Result<SweepHistory> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT full_from, any_from, newest_change, rotation, rotated_at, confirmed_change
                 FROM sweep_clock WHERE source_key = ?1 AND stream = ?2 AND scope = ?3",
            )
            .and_then(|mut statement| {
                let read = |row: &rusqlite::Row<'_>| {
                    let rotation: Option<String> = row.get(3)?;
                    Ok(SweepHistory {
                        full_began_at: read_timestamp(row.get(0)?),
                        any_began_at: read_timestamp(row.get(1)?),
                        newest_change: read_timestamp(row.get(2)?),
                        // A resume token in the form of another version is no loss: the rotation restarts.
                        rotation: rotation.and_then(|cursor| serde_json::from_str(&cursor).ok()),
                        rotated_at: read_timestamp(row.get(4)?),
                        confirmed_change: read_timestamp(row.get(5)?),
                    })
                };
                statement.query_row(params![source.0, stream.as_str(), scope], read).optional()
            })
            .map_err(database_error("read the run log"))?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the duration, in seconds, of the latest sweep of a scope that reached its end, over all of its runs.
    pub fn latest_sweep_seconds(&self, source: SourceKey, stream: Stream, scope: &str) -> Result<i64> {
        let microseconds: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(run.ended_at) - any_from FROM sweep_clock JOIN run USING (source_key, stream, scope)
                 WHERE source_key = ?1 AND stream = ?2 AND scope = ?3 AND run.swept_from = any_from",
            )
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str(), scope], |row| row.get(0))
            })
            .map_err(database_error("read the run log"))?;
        Ok(microseconds.map_or(0, |taken| taken.max(0) / 1_000_000 + 1))
    }
}

/// Records that the sweep of a run has reached its end. A sweep that saw no change confirms none.
///
/// The newest change is confirmed if it was old already when the sweep began, by our clock and by the vendor's, or else by
/// a sweep that begins later.
pub(crate) fn record_end(transaction: &Transaction<'_>, run: &Run) -> Result<()> {
    let Some(any_from) = run.sweep_began_at.map(Timestamp::microseconds) else { return Ok(()) };
    let full_from = (run.mode == SyncMode::Full).then_some(any_from);
    let newest_change = run.counts.page.newest_change.map(Timestamp::microseconds);
    let known_time = run.counts.page.vendor_time.map(|at| at.microseconds().min(any_from));
    transaction
        .prepare_cached(
            "INSERT INTO sweep_clock (source_key, stream, scope, full_from, any_from, newest_change, confirmed_change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, CASE WHEN ?8 - ?6 >= ?7 THEN ?6 END)
             ON CONFLICT DO UPDATE SET full_from = coalesce(?4, full_from),
                 confirmed_change = CASE
                     WHEN ?8 - max(?6, coalesce(newest_change, ?6)) >= ?7 THEN max(?6, coalesce(newest_change, ?6))
                     WHEN ?6 IS NOT NULL AND ?5 - any_from >= ?7 THEN newest_change
                     ELSE confirmed_change END,
                 any_from = ?5,
                 newest_change = coalesce(max(?6, coalesce(newest_change, ?6)), newest_change)",
        )
        .and_then(|mut statement| {
            let (source, stream) = (run.source.0, run.stream.as_str());
            let wait = CONFIRMING_SECONDS * 1_000_000;
            statement.execute(params![
                source,
                stream,
                run.scope,
                full_from,
                any_from,
                newest_change,
                wait,
                known_time
            ])
        })
        .map_err(database_error("end a sweep"))?;
    Ok(())
}

/// Saves how far the rotation through a list of rows has come.
pub(crate) fn save_rotation(
    transaction: &Transaction<'_>,
    run: &Run,
    place: &ResumeToken,
    now: Timestamp,
) -> Result<()> {
    let place = serde_json::to_string(place)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "save the rotation", error))?;
    transaction
        .prepare_cached(
            "INSERT INTO sweep_clock (source_key, stream, scope, rotation, rotated_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET rotation = ?4, rotated_at = ?5",
        )
        .and_then(|mut statement| {
            let (source, stream) = (run.source.0, run.stream.as_str());
            statement.execute(params![source, stream, run.scope, place, now.microseconds()])
        })
        .map_err(database_error("save the rotation"))?;
    Ok(())
}
