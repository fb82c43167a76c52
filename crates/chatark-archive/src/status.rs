//! The status of each source: what the archive holds, and how the latest pulls ended.

use chatark_core::{DocumentKind, Result, Stream, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use crate::archive::Archive;
use crate::gaps::GapRecord;
use crate::keys::SourceKey;
use crate::run::Verdict;
use crate::values::{database_error, read_count, read_timestamp};

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
    /// How many conversations the vendor no longer shows.
    pub missing: u64,
    /// The latest pull.
    pub last_pull: Option<RunRecord>,
    /// The scopes of unfinished pulls, which can be resumed.
    pub unfinished: Vec<String>,
    /// How many listed contacts are archived.
    pub contacts: u64,
    /// The latest pull of contacts and leads, added up over these streams.
    pub last_contacts: Option<RunRecord>,
    /// Every stream of which something is archived or was pulled.
    pub streams: Vec<StreamStatus>,
    /// The open gaps, the accepted ones included.
    pub gaps: Vec<GapRecord>,
}

/// What the archive holds of one stream of a source.
#[derive(Debug, Clone, Serialize)]
pub struct StreamStatus {
    /// The stream.
    pub stream: Stream,
    /// How many documents are archived; of a stream of parts, how many parts.
    pub records: u64,
    /// How many of them the vendor no longer shows.
    pub missing: u64,
    /// The latest pull.
    pub last_pull: Option<RunRecord>,
}

/// One run, as the run log has it. The columns are described in the files under `layout`.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are the columns of the run log, described there")]
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
    /// Returns the status of every source, sorted by name.
    pub fn status(&self) -> Result<Vec<SourceStatus>> {
        let failed = database_error("read the status");
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
                    conversations: read_count(row.get(4)?),
                    messages: read_count(row.get(5)?),
                    missing: 0,
                    last_pull: None,
                    unfinished: Vec::new(),
                    contacts: 0,
                    last_contacts: None,
                    streams: Vec::new(),
                    gaps: Vec::new(),
                };
                Ok((SourceKey(row.get(0)?), status))
            })
            .map_err(&failed)?;
        let mut sources = Vec::new();
        for row in rows {
            let (key, mut status) = row.map_err(&failed)?;
            for stream in Stream::ALL.iter().copied() {
                self.add_stream(&mut status, key, stream)?;
            }
            status.gaps = self.open_gaps(key)?;
            sources.push(status);
        }
        Ok(sources)
    }

    /// Adds the status of a stream, if anything of it is archived or was pulled.
    fn add_stream(&self, status: &mut SourceStatus, key: SourceKey, stream: Stream) -> Result<()> {
        let last_pull = self.last_pull(key, stream)?;
        status.unfinished.extend(self.unfinished_scopes(key, stream)?);
        let (records, missing) = (self.count_documents(key, stream)?, self.count_missing(key, stream)?);
        if last_pull.is_none() && records == 0 {
            return Ok(());
        }
        let records = if stream.document().is_some() { records } else { self.count_parts(key, stream)? };
        match stream.document() {
            Some(DocumentKind::Contact) => {
                status.contacts += records;
                status.last_contacts = match (status.last_contacts.take(), &last_pull) {
                    (Some(before), Some(last)) => Some(before.joined_with(last)),
                    (before, last) => before.or_else(|| last.clone()),
                };
            }
            Some(DocumentKind::Conversation) => {
                status.missing += missing;
                status.last_pull = status.last_pull.take().or_else(|| last_pull.clone());
            }
            None => {}
        }
        status.streams.push(StreamStatus { stream, records, missing, last_pull });
        Ok(())
    }

    fn last_pull(&self, source: SourceKey, stream: Stream) -> Result<Option<RunRecord>> {
        let failed = database_error("read the run log");
        self.connection
            .prepare_cached(
                "SELECT scope, resumed, started_at, ended_at, verdict, error, total_first, total_last, seen, received,
                        repeated, outside, added, changed, unchanged, unreadable, pages, empty_pages, skipped, bytes,
                        quota_used, quota_left, issues, effort, missing, returned, archived
                 FROM run WHERE source_key = ?1 AND kind = 'pull' AND stream = ?2 ORDER BY run_key DESC LIMIT 1",
            )
            .and_then(|mut statement| {
                statement.query_row(params![source.0, stream.as_str()], run_record).optional()
            })
            .map_err(failed)
    }
}

impl RunRecord {
    /// Adds the run of another stream of the same pull: the counts of both, and the worse verdict.
    fn joined_with(mut self, other: &Self) -> Self {
        for (own, theirs) in [
            (&mut self.seen, other.seen),
            (&mut self.received, other.received),
            (&mut self.repeated, other.repeated),
            (&mut self.outside, other.outside),
            (&mut self.added, other.added),
            (&mut self.changed, other.changed),
            (&mut self.unchanged, other.unchanged),
            (&mut self.unreadable, other.unreadable),
            (&mut self.missing, other.missing),
            (&mut self.returned, other.returned),
            (&mut self.pages, other.pages),
            (&mut self.empty_pages, other.empty_pages),
            (&mut self.skipped, other.skipped),
            (&mut self.bytes, other.bytes),
            (&mut self.issues, other.issues),
        ] {
            *own += theirs;
        }
        let is_good =
            |run: &Self| run.verdict.as_deref().and_then(Verdict::from_word).is_some_and(Verdict::is_good);
        if is_good(&self) && !is_good(other) {
            self.verdict.clone_from(&other.verdict);
        }
        self.total_first = self.total_first.zip(other.total_first).map(|(one, other)| one + other);
        self.total_last = self.total_last.zip(other.total_last).map(|(one, other)| one + other);
        self.ended_at = self.ended_at.zip(other.ended_at).map(|(one, other)| one.max(other));
        self.error = self.error.or_else(|| other.error.clone());
        self
    }
}

fn run_record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let number = |at: usize| row.get(at).map(read_count);
    let maybe = |at: usize| row.get::<_, Option<i64>>(at).map(|number| number.map(read_count));
    Ok(RunRecord {
        scope: row.get(0)?,
        resumed: row.get(1)?,
        started_at: read_timestamp(row.get(2)?),
        ended_at: read_timestamp(row.get(3)?),
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
