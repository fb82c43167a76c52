//! What the archive holds and what its runs came to. Reads counts that the writer keeps; scans nothing.

use chatark_core::{Result, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use crate::ledger::SourceKey;
use crate::open::Archive;
use crate::values::{database, timestamp, uncount};

/// What the archive holds of one source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// The name of the source.
    pub source: String,
    /// The name of the provider.
    pub provider: String,
    /// The vendor's id of the agent.
    pub agent_id: String,
    /// How many conversations are archived.
    pub conversations: u64,
    /// How many messages they have.
    pub messages: u64,
    /// How many of them the vendor no longer shows.
    pub missing: u64,
    /// The latest pull.
    pub last_pull: Option<RunRecord>,
    /// The scopes of pulls that did not reach their end and go on where they stopped.
    pub unfinished: Vec<String>,
    /// How many people are archived whom the vendor lists apart from conversations.
    pub contacts: u64,
    /// The latest pull of these.
    pub last_contacts: Option<RunRecord>,
}

/// One run, as the ledger has it. The columns are described in the files under `migrations`.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are the columns of the ledger, described there")]
pub struct RunRecord {
    pub scope: String,
    pub effort: String,
    pub resumed: bool,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub verdict: Option<String>,
    pub error: Option<String>,
    pub total_first: Option<u64>,
    pub total_last: Option<u64>,
    pub seen: u64,
    pub received: u64,
    pub repeated: u64,
    pub outside: u64,
    pub added: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub unreadable: u64,
    pub archived: Option<u64>,
    pub missing: u64,
    pub returned: u64,
    pub pages: u64,
    pub empty_pages: u64,
    pub skipped: u64,
    pub bytes: u64,
    pub quota_used: Option<u64>,
    pub quota_left: Option<u64>,
    pub issues: u64,
}

impl Archive {
    /// Returns the state of every source, sorted by name.
    pub fn status(&self) -> Result<Vec<SourceStatus>> {
        let failed = database("read the status");
        let mut statement = self
            .connection
            .prepare_cached("SELECT source_key, name, provider, agent_id, conversations, messages FROM source ORDER BY name")
            .map_err(&failed)?;
        let rows = statement
            .query_map([], |row| {
                let status = SourceStatus {
                    source: row.get(1)?,
                    provider: row.get(2)?,
                    agent_id: row.get(3)?,
                    conversations: uncount(row.get(4)?),
                    messages: uncount(row.get(5)?),
                    missing: 0,
                    last_pull: None,
                    unfinished: Vec::new(),
                    contacts: 0,
                    last_contacts: None,
                };
                Ok((SourceKey(row.get(0)?), status))
            })
            .map_err(&failed)?;
        let mut sources = Vec::new();
        for row in rows {
            let (key, mut status) = row.map_err(&failed)?;
            status.missing = self.missing(key)?;
            status.last_pull = self.last_run(key, "pull")?;
            status.unfinished = self.unfinished(key)?;
            status.contacts = self.held_contacts(key)?;
            status.last_contacts = self.last_run(key, "contacts")?;
            sources.push(status);
        }
        Ok(sources)
    }

    fn last_run(&self, source: SourceKey, kind: &str) -> Result<Option<RunRecord>> {
        let failed = database("read the ledger");
        self.connection
            .prepare_cached(
                "SELECT scope, resumed, started_at, ended_at, verdict, error, total_first, total_last, seen, received,
                        repeated, outside, added, changed, unchanged, unreadable, pages, empty_pages, skipped, bytes,
                        quota_used, quota_left, issues, effort, missing, returned, archived
                 FROM run WHERE source_key = ?1 AND kind = ?2 ORDER BY run_key DESC LIMIT 1",
            )
            .and_then(|mut statement| statement.query_row(params![source.0, kind], run_record).optional())
            .map_err(failed)
    }
}

fn run_record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let number = |at: usize| row.get(at).map(uncount);
    let maybe = |at: usize| row.get::<_, Option<i64>>(at).map(|number| number.map(uncount));
    Ok(RunRecord {
        scope: row.get(0)?,
        resumed: row.get(1)?,
        started_at: timestamp(row.get(2)?),
        ended_at: timestamp(row.get(3)?),
        verdict: row.get(4)?,
        error: row.get(5)?,
        total_first: maybe(6)?,
        total_last: maybe(7)?,
        seen: number(8)?,
        received: number(9)?,
        repeated: number(10)?,
        outside: number(11)?,
        added: number(12)?,
        changed: number(13)?,
        unchanged: number(14)?,
        unreadable: number(15)?,
        pages: number(16)?,
        empty_pages: number(17)?,
        skipped: number(18)?,
        bytes: number(19)?,
        quota_used: maybe(20)?,
        quota_left: maybe(21)?,
        issues: number(22)?,
        effort: row.get(23)?,
        missing: number(24)?,
        returned: number(25)?,
        archived: maybe(26)?,
    })
}
