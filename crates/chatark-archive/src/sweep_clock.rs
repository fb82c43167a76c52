//! When sweeps of a scope came to their end: what says when the next full sweep is due, and where a rotation goes on.

use chatark_core::{Cursor, Error, ErrorKind, Result, Stream, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::run::{Run, SyncMode};
use crate::values::{database, timestamp};

/// A sweep that begins so long after another one has seen every change that the other one may have read too early.
const CONFIRMING_SECONDS: i64 = 600;

/// When the sweeps of a scope began that came to their end, whatever their verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepClock {
    /// The latest sweep that read everything in its scope.
    pub full: Option<Timestamp>,
    /// The latest sweep of any mode.
    pub any: Option<Timestamp>,
    /// The latest time of a change that the vendor showed, by the vendor's clock.
    pub newest_change: Option<Timestamp>,
    /// The latest such time up to which a later sweep has looked again.
    pub confirmed_change: Option<Timestamp>,
    /// How far the rotation through a list of rows has come.
    pub rotation: Option<Cursor>,
    /// When that was saved.
    pub rotated_at: Option<Timestamp>,
}

impl SweepClock {
    /// Returns the latest time of a change, if no later sweep has looked at it again.
    pub fn unconfirmed_change(&self) -> Option<Timestamp> {
        self.newest_change.filter(|newest| self.confirmed_change.is_none_or(|confirmed| confirmed < *newest))
    }
}

impl Archive {
    /// Returns when the sweeps of a scope began that came to their end.
    pub fn sweep_clock(&self, source: SourceKey, stream: Stream, scope: &str) -> Result<SweepClock> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT full_from, any_from, newest_change, rotation, rotated_at, confirmed_change
                 FROM sweep_clock WHERE source_key = ?1 AND stream = ?2 AND scope = ?3",
            )
            .and_then(|mut statement| {
                let read = |row: &rusqlite::Row<'_>| {
                    let rotation: Option<String> = row.get(3)?;
                    Ok(SweepClock {
                        full: timestamp(row.get(0)?),
                        any: timestamp(row.get(1)?),
                        newest_change: timestamp(row.get(2)?),
                        // A cursor in the form of another version is no loss: the rotation restarts.
                        rotation: rotation.and_then(|cursor| serde_json::from_str(&cursor).ok()),
                        rotated_at: timestamp(row.get(4)?),
                        confirmed_change: timestamp(row.get(5)?),
                    })
                };
                statement.query_row(params![source.0, stream.as_str(), scope], read).optional()
            })
            .map_err(database("read the run log"))?;
        Ok(found.unwrap_or_default())
    }
}

impl Archive {
    /// Returns how many seconds the latest sweep of a scope took that came to its end, in all of its runs.
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
            .map_err(database("read the run log"))?;
        Ok(microseconds.map_or(0, |taken| taken.max(0) / 1_000_000 + 1))
    }
}

/// Notes that the sweep of a run has come to its end. One that saw nothing has looked at no change again.
pub(crate) fn advance(transaction: &Transaction<'_>, run: &Run) -> Result<()> {
    let Some(swept_from) = run.swept_from.map(Timestamp::microseconds) else { return Ok(()) };
    let full_from = (run.mode == SyncMode::Full).then_some(swept_from);
    let newest_change = run.progress.page.newest_change.map(Timestamp::microseconds);
    transaction
        .prepare_cached(
            "INSERT INTO sweep_clock (source_key, stream, scope, full_from, any_from, newest_change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET full_from = coalesce(?4, full_from),
                 confirmed_change = CASE WHEN ?6 IS NOT NULL AND ?5 - any_from >= ?7 THEN newest_change
                     ELSE confirmed_change END,
                 any_from = ?5,
                 newest_change = coalesce(max(?6, coalesce(newest_change, ?6)), newest_change)",
        )
        .and_then(|mut statement| {
            let (source, stream) = (run.source.0, run.stream.as_str());
            let wait = CONFIRMING_SECONDS * 1_000_000;
            statement.execute(params![source, stream, run.scope, full_from, swept_from, newest_change, wait])
        })
        .map_err(database("end a sweep"))?;
    Ok(())
}

/// Saves how far the rotation through a list of rows has come.
pub(crate) fn rotate(transaction: &Transaction<'_>, run: &Run, place: &Cursor, now: Timestamp) -> Result<()> {
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
        .map_err(database("save the rotation"))?;
    Ok(())
}
