//! Issues and schema drift: what was not understood, over all runs, as places and counts, never as values.

use chatark_core::{IssueKind, Result, Timestamp};
use rusqlite::{Row, params};
use serde::Serialize;

use crate::archive::Archive;
use crate::run::Run;
use crate::values::{database_error, read_count, read_timestamp};

/// One place in a vendor's records that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssueRecord {
    /// The name of the source.
    pub source: String,
    /// What is odd about it.
    pub kind: String,
    /// The JSON path without indices.
    pub place: String,
    /// How often the latest run that found it did so, in the documents that it wrote.
    pub count: u64,
    /// How many runs found it.
    pub runs: u64,
    /// When the first run that found it began.
    pub first_seen: Option<Timestamp>,
    /// When the latest run that found it began.
    pub last_seen: Option<Timestamp>,
    /// The id of a document of the latest run that has it.
    pub sample_conversation: String,
    /// The JSON path in that document.
    pub sample_path: String,
}

/// Something in a vendor's records that the mapper did not know, as one run found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What is odd about it.
    pub kind: IssueKind,
    /// The JSON path without indices.
    pub place: String,
    /// How often the run found it.
    pub count: u64,
    /// Whether no earlier run of the source found it.
    pub is_new: bool,
}

impl IssueRecord {
    /// Returns whether it shows a change of the vendor's API.
    pub fn is_drift(&self) -> bool {
        IssueKind::from_word(&self.kind).is_some_and(IssueKind::is_drift)
    }
}

impl Archive {
    /// Returns every place that was not understood, sorted by source, then by the latest run (newest first), then by place.
    pub fn issues(&self) -> Result<Vec<IssueRecord>> {
        let failed = || database_error("read the issues");
        let mut statement = self
            .connection
            .prepare_cached(
                "WITH met AS (
                     SELECT source_key, issue.kind, place, max(run_key) AS latest, count(*) AS runs, min(started_at) AS first
                     FROM issue JOIN run USING (run_key) JOIN source USING (source_key)
                     GROUP BY source_key, issue.kind, place
                 )
                 SELECT source.name, met.kind, met.place, issue.count, runs, first, run.started_at,
                        sample_conversation, sample_path
                 FROM met JOIN issue ON issue.run_key = latest AND issue.kind = met.kind AND issue.place = met.place
                     JOIN run ON run.run_key = latest JOIN source ON source.source_key = met.source_key
                 ORDER BY source.name, latest DESC, met.place, met.kind",
            )
            .map_err(failed())?;
        let records = statement.query_map([], issue_record).map_err(failed())?;
        records.collect::<rusqlite::Result<_>>().map_err(failed())
    }

    /// Returns the drift that a run found, new drift first.
    pub fn drift_of(&self, run: &Run) -> Result<Vec<Drift>> {
        let failed = || database_error("read the issues");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT kind, place, count, NOT EXISTS (
                     SELECT 1 FROM run JOIN issue earlier ON earlier.run_key = run.run_key
                     WHERE run.source_key = ?2 AND run.run_key < ?1
                         AND earlier.kind = issue.kind AND earlier.place = issue.place
                 ) AS is_new
                 FROM issue WHERE run_key = ?1 ORDER BY is_new DESC, place, kind",
            )
            .map_err(failed())?;
        let found = statement
            .query_map(params![run.key, run.source.0], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, read_count(row.get(2)?), row.get(3)?))
            })
            .map_err(failed())?;
        let mut drift = Vec::new();
        for row in found {
            let (kind, place, count, is_new) = row.map_err(failed())?;
            if let Some(kind) = IssueKind::from_word(&kind).filter(|kind| kind.is_drift()) {
                drift.push(Drift { kind, place, count, is_new });
            }
        }
        Ok(drift)
    }
}

fn issue_record(row: &Row<'_>) -> rusqlite::Result<IssueRecord> {
    Ok(IssueRecord {
        source: row.get(0)?,
        kind: row.get(1)?,
        place: row.get(2)?,
        count: read_count(row.get(3)?),
        runs: read_count(row.get(4)?),
        first_seen: read_timestamp(row.get(5)?),
        last_seen: read_timestamp(row.get(6)?),
        sample_conversation: row.get(7)?,
        sample_path: row.get(8)?,
    })
}
