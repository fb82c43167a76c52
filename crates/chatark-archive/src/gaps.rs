//! Gaps: stretches of a stream that a vendor could not give. They are found, tried again, accepted and closed.

use chatark_core::{Gap, GapBounds, OpenGap, Result, Stream, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::run::{Run, SyncMode};
use crate::values::{database_error, read_count, read_timestamp};

/// How long a gap waits after its second attempt; the first pull after it was found tries it at once. Each later wait is twice
/// as long.
const FIRST_WAIT_SECONDS: i64 = 3_600;
/// The longest time between two attempts.
const LONGEST_WAIT_SECONDS: i64 = 30 * 86_400;

/// A gap as the archive has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapRecord {
    /// The stream that it is in.
    pub stream: Stream,
    /// Window, channel and selection of the pull that found it.
    pub scope: String,
    /// Where it is.
    pub bounds: GapBounds,
    /// The vendor's error of the latest attempt.
    pub error: String,
    /// When it was found.
    pub found_at: Option<Timestamp>,
    /// When the latest attempt was.
    pub tried_at: Option<Timestamp>,
    /// How many attempts there were, the one that found it included.
    pub attempts: u64,
    /// When the user accepted it. An accepted gap no longer affects a verdict.
    pub accepted_at: Option<Timestamp>,
}

impl GapRecord {
    /// Returns the gap as a provider gets it: with whether it is due to be tried again.
    pub fn to_open_gap(&self, now: Timestamp) -> OpenGap {
        let doublings = u32::try_from(self.attempts.saturating_sub(2)).unwrap_or(u32::MAX).min(20);
        let wait = if self.attempts < 2 { 0 } else { FIRST_WAIT_SECONDS << doublings };
        let wait = wait.min(LONGEST_WAIT_SECONDS);
        // A time in the future comes from a clock that was ahead.
        let is_waiting = |tried: Timestamp| tried <= now && tried.shifted(wait).is_some_and(|due| now < due);
        OpenGap { bounds: self.bounds.clone(), is_due: !self.tried_at.is_some_and(is_waiting) }
    }
}

impl Archive {
    /// Returns the gaps of a source that are still open, the accepted ones included, in the order in which they were
    /// found.
    pub fn open_gaps(&self, source: SourceKey) -> Result<Vec<GapRecord>> {
        let failed = || database_error("read the gaps");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT stream, scope, bounds, error, found_at, tried_at, attempts, accepted_at
                 FROM gap WHERE source_key = ?1 AND closed_at IS NULL ORDER BY gap_key",
            )
            .map_err(failed())?;
        let read = |row: &rusqlite::Row<'_>| {
            let (stream, bounds): (String, String) = (row.get(0)?, row.get(2)?);
            Ok(GapRecord {
                stream: Stream::from_word(&stream).unwrap_or_default(),
                scope: row.get(1)?,
                // Bounds in the form of another version are tried again with the whole list.
                bounds: serde_json::from_str(&bounds).unwrap_or(GapBounds::Rest { after: None }),
                error: row.get(3)?,
                found_at: read_timestamp(row.get(4)?),
                tried_at: read_timestamp(row.get(5)?),
                attempts: read_count(row.get(6)?),
                accepted_at: read_timestamp(row.get(7)?),
            })
        };
        let found = statement.query_map([source.0], read).map_err(failed())?;
        found.collect::<rusqlite::Result<_>>().map_err(failed())
    }

    /// Closes the gaps of a scope that the sweep of a run did not find again, although it read everything.
    ///
    /// If the sweep left gaps of its own, closes only positions, and the gaps that pulls of recent records found: the sweep
    /// came past these places, and what it could not read there is among its own gaps. Otherwise, and if `is_whole` says
    /// that the scope is the whole stream, closes the gaps of all other scopes too.
    ///
    /// A gap with a time in the future comes from a clock that was ahead, and is closed, unless this run noted it before its
    /// clock was set back. If the sweep took several runs, such gaps and gaps of records stay open: an earlier run may have
    /// noted them, or passed over a record whose gap was not due.
    pub fn close_passed_gaps(&mut self, run: &Run, is_whole: bool, now: Timestamp) -> Result<()> {
        let Some(began) = run.sweep_began_at.map(Timestamp::microseconds) else { return Ok(()) };
        let sql = "UPDATE gap SET closed_at = ?4 WHERE source_key = ?1 AND stream = ?2 AND closed_at IS NULL
                       AND (tried_at < ?5 AND NOT (json_extract(bounds, '$.kind') = 'record'
                                                   AND (SELECT resumed FROM run WHERE run_key = ?9))
                            OR tried_at > ?10 AND NOT (SELECT resumed FROM run WHERE run_key = ?9))
                       AND (scope = ?6 OR scope = ?3 AND (?7 = 0 OR json_extract(bounds, '$.kind') = 'positions')
                            OR ?8 AND ?7 = 0)";
        let (source, stream) = (run.source.0, run.stream.as_str());
        let latest = run.written_until.map_or(now, |written| now.max(written)).microseconds().max(began);
        let (now, recent) = (now.microseconds(), recent_scope(&run.scope));
        let gaps = i64::from(run.counts.gaps > 0);
        self.connection
            .execute(
                sql,
                params![source, stream, run.scope, now, began, recent, gaps, is_whole, run.key, latest],
            )
            .map_err(database_error("end a sweep"))?;
        Ok(())
    }

    /// Returns whether a sweep has left a gap, in this run or in one that it resumes. A closed gap counts too if the sweep saw its
    /// record and nothing of it is archived: the vendor no longer shows it.
    pub(crate) fn has_left_gaps(&self, run: &Run) -> Result<bool> {
        let began = run.sweep_began_at.map_or(i64::MIN, Timestamp::microseconds);
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM gap WHERE source_key = ?1 AND stream = ?2
                     AND (closed_at IS NULL AND tried_at >= ?3 OR json_extract(bounds, '$.id') IN
                         (SELECT id FROM temp.seen WHERE source_key = ?1 AND stream = ?2)
                         AND (closed_at IS NULL OR json_extract(bounds, '$.id') NOT IN
                             (SELECT id FROM record WHERE source_key = ?1 AND stream = ?2 AND parent = ''))))",
            )
            .and_then(|mut statement| {
                statement.query_row(params![run.source.0, run.stream.as_str(), began], |row| row.get(0))
            })
            .map_err(database_error("read the gaps"))
    }

    /// Counts the gaps of a run's stream that are open and not accepted.
    pub fn count_open_gaps(&self, run: &Run) -> Result<u64> {
        self.connection
            .prepare_cached(
                "SELECT count(*) FROM gap WHERE source_key = ?1 AND stream = ?2 AND closed_at IS NULL
                     AND accepted_at IS NULL",
            )
            .and_then(|mut statement| {
                statement.query_row(params![run.source.0, run.stream.as_str()], |row| row.get(0))
            })
            .map(read_count)
            .map_err(database_error("read the gaps"))
    }

    /// Returns whether an accepted gap of a run's stream may hide any number of records: every gap may, except that of a single
    /// record.
    pub fn has_accepted_ranges(&self, run: &Run) -> Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM gap WHERE source_key = ?1 AND stream = ?2 AND closed_at IS NULL
                     AND accepted_at IS NOT NULL AND json_extract(bounds, '$.kind') <> 'record')",
            )
            .and_then(|mut statement| {
                statement.query_row(params![run.source.0, run.stream.as_str()], |row| row.get(0))
            })
            .map_err(database_error("read the gaps"))
    }

    /// Accepts the open gaps of a source: they stay open and no longer affect a verdict. Returns how many it accepted.
    pub fn accept_gaps(&mut self, source: SourceKey, now: Timestamp) -> Result<u64> {
        let sql = "UPDATE gap SET accepted_at = ?2
                   WHERE source_key = ?1 AND closed_at IS NULL AND accepted_at IS NULL";
        self.connection
            .execute(sql, params![source.0, now.microseconds()])
            .map(|accepted| accepted as u64)
            .map_err(database_error("accept the gaps"))
    }
}

/// Notes a gap that a run found, or tried again without success. Returns whether it is the first time in this sweep.
pub(crate) fn note(transaction: &Transaction<'_>, run: &Run, gap: &Gap, now: Timestamp) -> Result<bool> {
    let failed = || database_error("write a gap");
    // Even if the clock was set back, the attempt is not earlier than the beginning of its sweep.
    let now = run.sweep_began_at.map_or(now, |began| now.max(began)).microseconds();
    let scope = scope_of(run);
    if let Some((key, tried_at)) = find(transaction, run, &gap.bounds)? {
        let is_first = run.sweep_began_at.is_none_or(|began| tried_at < began.microseconds());
        transaction
            .prepare_cached(
                "UPDATE gap SET error = ?2, tried_at = ?3, attempts = attempts + ?4 WHERE gap_key = ?1",
            )
            .and_then(|mut statement| statement.execute(params![key, gap.error, now, is_first]))
            .map_err(failed())?;
        return Ok(is_first);
    }
    let earlier_attempts = match gap.bounds {
        GapBounds::Positions { .. } => attempts_at_other_positions(transaction, run, &scope)?,
        _ => 0,
    };
    transaction
        .prepare_cached(
            "INSERT INTO gap (source_key, stream, scope, bounds, error, found_at, tried_at, attempts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1 + ?7)",
        )
        .and_then(|mut statement| {
            let (source, stream) = (run.source.0, run.stream.as_str());
            statement.execute(params![
                source,
                stream,
                scope,
                bounds_json(&gap.bounds),
                gap.error,
                now,
                earlier_attempts
            ])
        })
        .map_err(failed())?;
    Ok(true)
}

/// Returns the most attempts at positions of a scope that earlier sweeps found, if they are open or this sweep closed them.
///
/// A record that cannot be read moves to other positions when new records arrive. Its attempts are counted on, so that it is
/// tried at the same falling rate.
fn attempts_at_other_positions(transaction: &Transaction<'_>, run: &Run, scope: &str) -> Result<i64> {
    let began = run.sweep_began_at.map_or(i64::MAX, Timestamp::microseconds);
    transaction
        .prepare_cached(
            "SELECT coalesce(max(attempts), 0) FROM gap WHERE source_key = ?1 AND stream = ?2 AND scope = ?3
                 AND json_extract(bounds, '$.kind') = 'positions' AND (closed_at IS NULL OR closed_at >= ?4)
                 AND found_at < ?4",
        )
        .and_then(|mut statement| {
            statement.query_row(params![run.source.0, run.stream.as_str(), scope, began], |row| row.get(0))
        })
        .map_err(database_error("look up a gap"))
}

/// Returns the scope of the gaps that a run finds. A pull of recent records has its own: positions in the list that it reads
/// differ from those in the list of everything.
fn scope_of(run: &Run) -> String {
    if run.mode == SyncMode::Recent { recent_scope(&run.scope) } else { run.scope.clone() }
}

/// Returns the scope of the gaps that pulls of recent records find in a scope.
pub fn recent_scope(scope: &str) -> String {
    format!("{scope} recent")
}

/// Closes a gap that was read.
pub(crate) fn close(
    transaction: &Transaction<'_>,
    run: &Run,
    bounds: &GapBounds,
    now: Timestamp,
) -> Result<()> {
    let Some((key, _)) = find(transaction, run, bounds)? else { return Ok(()) };
    transaction
        .prepare_cached("UPDATE gap SET closed_at = ?2 WHERE gap_key = ?1")
        .and_then(|mut statement| statement.execute([key, now.microseconds()]))
        .map_err(database_error("write a gap"))?;
    Ok(())
}

/// Returns the key of an open gap and the time of its latest attempt, in microseconds.
fn find(transaction: &Transaction<'_>, run: &Run, bounds: &GapBounds) -> Result<Option<(i64, i64)>> {
    transaction
        .prepare_cached(
            "SELECT gap_key, tried_at FROM gap
             WHERE source_key = ?1 AND stream = ?2 AND bounds = ?3 AND closed_at IS NULL
                 AND (?4 = 0 OR scope = ?5)",
        )
        .and_then(|mut statement| {
            // A record or a time is the same in every scope.
            let is_of_list = matches!(bounds, GapBounds::Positions { .. } | GapBounds::Rest { .. });
            let scope = scope_of(run);
            let wanted = params![run.source.0, run.stream.as_str(), bounds_json(bounds), is_of_list, scope];
            statement.query_row(wanted, |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(database_error("look up a gap"))
}

fn bounds_json(bounds: &GapBounds) -> String {
    serde_json::to_string(bounds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_tried_again_at_a_falling_rate() {
        let at = |hours: i64| Timestamp::from_epoch(1_790_000_000 + hours * 3_600).unwrap();
        let gap = |attempts, tried_at| GapRecord {
            stream: Stream::Conversations,
            scope: "all".to_owned(),
            bounds: GapBounds::Rest { after: None },
            error: String::new(),
            found_at: None,
            tried_at,
            attempts,
            accepted_at: None,
        };
        assert!(gap(1, Some(at(0))).to_open_gap(at(0)).is_due, "the next pull tries it again");
        for (attempts, hours) in [(2, 1), (3, 2), (4, 4), (7, 32), (30, 720)] {
            let gap = gap(attempts, Some(at(0)));
            assert!(!gap.to_open_gap(at(hours - 1)).is_due, "{attempts}");
            assert!(gap.to_open_gap(at(hours)).is_due, "{attempts}");
        }
        assert!(gap(9, Some(at(100_000))).to_open_gap(at(0)).is_due, "a clock that was ahead hides no gap");
        assert!(gap(9, None).to_open_gap(at(0)).is_due);
    }
}
