//! The run log: sources, runs, their verdicts, and the checkpoints from which unfinished runs resume.

use chatark_core::{
    Checkpoint, Error, ErrorKind, Origin, PageMetadata, Result, ResumeToken, Stream, Timestamp,
};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::document::DocumentTable;
use crate::open::Archive;
use crate::sweep;
use crate::sweep_clock;
use crate::values::{count, database, read_count, timestamp};

/// The archive's own number of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey(pub(crate) i64);

impl SourceKey {
    /// Returns the number.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// A run that has begun.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) key: i64,
    pub(crate) source: SourceKey,
    pub(crate) stream: Stream,
    pub(crate) scope: String,
    pub(crate) mode: SyncMode,
    /// When the sweep began that this run finishes or continues; `None` if that is not known.
    pub(crate) swept_from: Option<Timestamp>,
    /// The latest time at which this run has written, by a clock that may have been set back since.
    pub(crate) written_until: Option<Timestamp>,
    /// The sweep so far, over this run and those that it resumes.
    pub progress: Progress,
}

/// How much of a source a run reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Everything in its scope.
    #[default]
    Full,
    /// What the vendor shows as changed, in the way that [`ChangeDetection`](chatark_core::ChangeDetection) names.
    Changes,
    /// What began recently.
    Recent,
}

/// How a run starts.
#[derive(Debug, Clone, Copy)]
pub struct RunStart<'a> {
    /// `pull` or `rebuild`.
    pub kind: &'a str,
    /// The stream that is read.
    pub stream: Stream,
    /// Window, channel and selection: each combination has checkpoints of its own.
    pub scope: &'a str,
    /// How much it reads.
    pub mode: SyncMode,
    /// The position that it resumes from.
    pub resume: Option<&'a ResumePoint>,
    /// When it begins.
    pub at: Timestamp,
}

/// The place that an earlier run of the same scope reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    /// The position to resume from.
    pub cursor: ResumeToken,
    /// When it was saved.
    pub saved_at: Option<Timestamp>,
    /// How much the sweep reads.
    pub mode: SyncMode,
    swept_from: Option<Timestamp>,
    seen: u64,
    total_first: Option<u64>,
}

/// The counts of a run. `seen` and `total_first` reach back over the runs that this one resumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The vendor's own count at the beginning of the sweep.
    pub total_first: Option<u64>,
    /// The vendor's own count in its latest answer.
    pub total_last: Option<u64>,
    /// Different records in the vendor's answers.
    pub seen: u64,
    /// Records in the vendor's answers.
    pub received: u64,
    /// Of these, sent more than once in this run.
    pub repeated: u64,
    /// Of these, outside the requested window or channel.
    pub outside: u64,
    /// Records that the archive did not have.
    pub added: u64,
    /// Records of which the archive had other bytes.
    pub changed: u64,
    /// Records of which the archive had the same bytes.
    pub unchanged: u64,
    /// Records whose bytes could not be read.
    pub unreadable: u64,
    /// Records that the vendor no longer showed, marked as missing by this run.
    pub missing: u64,
    /// Missing conversations that the vendor showed again.
    pub returned: u64,
    /// Issues, each occurrence counted.
    pub issues: u64,
    /// Places that this run could not read, or passed over because an earlier one could not.
    pub gaps: u64,
    /// Bytes of the records, as sent.
    pub bytes: u64,
    /// The page metadata around them.
    pub page: PageMetadata,
}

/// The conclusion of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At least as many records were seen as the vendor counts.
    Complete,
    /// All that were there at the beginning were seen; more came while reading.
    GrewDuringRun,
    /// Fewer records were seen than the vendor counts, or far fewer than are archived, or a gap is open.
    Short,
    /// The stream was read to its end, but the vendor gives no count to compare with.
    Unprovable,
    /// The run ended with an error after something was archived.
    Partial,
    /// The run used up its budget.
    Budget,
    /// The user or the system ended the run.
    Interrupted,
    /// The run ended with an error before anything was archived.
    Failed,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Its conclusion.
    pub verdict: Verdict,
    /// Whether it was a sweep that came to the end of what was requested, whatever its verdict.
    pub reached_end: bool,
    /// The error that ended it.
    pub error: Option<String>,
    /// When it ended.
    pub at: Timestamp,
}

impl Run {
    /// Returns the source of the run.
    pub fn source(&self) -> SourceKey {
        self.source
    }

    /// Returns the scope that was requested.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the stream that the run reads.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Returns how much the run reads.
    pub fn mode(&self) -> SyncMode {
        self.mode
    }

    /// Records that the vendor returned everything, although less was requested.
    pub fn record_full_read(&mut self) {
        self.mode = SyncMode::Full;
    }

    /// Returns where the documents of its stream are.
    pub(crate) fn table(&self) -> Option<DocumentTable> {
        self.stream.document().map(DocumentTable::of)
    }
}

impl SyncMode {
    /// Returns the word in the run log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Changes => "changes",
            Self::Recent => "recent",
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            "changes" => Self::Changes,
            "recent" => Self::Recent,
            _ => Self::Full,
        }
    }
}

impl Progress {
    /// Returns the counts with the metadata of another page.
    pub(crate) fn with_page(&self, page: &PageMetadata) -> Self {
        let mut progress = self.clone();
        if page.restarted {
            // What was seen so far comes again and must not be counted twice.
            (progress.seen, progress.total_first) = (0, None);
        }
        progress.page.add(page);
        progress.total_first = progress.total_first.or(page.total);
        progress.total_last = page.total.or(progress.total_last);
        progress
    }
}

impl Verdict {
    /// Returns the word in the run log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::GrewDuringRun => "grew-during-run",
            Self::Short => "short",
            Self::Unprovable => "unprovable",
            Self::Partial => "partial",
            Self::Budget => "budget",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// Returns the verdict of a word that [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        use Verdict::{Budget, Complete, Failed, GrewDuringRun, Interrupted, Partial, Short, Unprovable};
        [Complete, GrewDuringRun, Short, Unprovable, Partial, Budget, Interrupted, Failed]
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
    }

    /// Returns whether the stream was read to its end, apart from accepted gaps.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Complete | Self::GrewDuringRun | Self::Unprovable)
    }

    /// Compares what was seen with the vendor's count, at the end of a sweep.
    pub fn of(progress: &Progress) -> Self {
        let Some(last) = progress.total_last else { return Self::Unprovable };
        let first = progress.total_first.unwrap_or(last);
        match progress.seen {
            seen if seen >= last => Self::Complete,
            seen if seen >= first => Self::GrewDuringRun,
            _ => Self::Short,
        }
    }
}

impl Archive {
    /// Registers a source, or refuses one whose name belongs to another agent.
    pub fn source(&mut self, origin: &Origin) -> Result<SourceKey> {
        if let Some(key) = self.find(origin)? {
            return Ok(key);
        }
        let row = params![origin.source.as_str(), origin.provider, origin.agent_id];
        self.connection
            .execute("INSERT INTO source (name, provider, agent_id) VALUES (?1, ?2, ?3)", row)
            .map_err(database("register a source"))?;
        Ok(SourceKey(self.connection.last_insert_rowid()))
    }

    /// Returns a source that is registered, or refuses one whose name belongs to another agent.
    pub fn find(&self, origin: &Origin) -> Result<Option<SourceKey>> {
        let failed = database("look up a source");
        let name = origin.source.as_str();
        let found: Option<(i64, String, String)> = self
            .connection
            .query_row("SELECT source_key, provider, agent_id FROM source WHERE name = ?1", [name], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
            .map_err(&failed)?;
        match found {
            Some((key, provider, agent)) if provider == origin.provider && agent == origin.agent_id => {
                Ok(Some(SourceKey(key)))
            }
            Some((_, provider, agent)) => Err(Error::new(
                ErrorKind::Usage,
                "register a source",
                format!("the archive holds another agent under this name: {agent} of {provider}"),
            )
            .with("source", name)
            .hint("give the source a new name in the config, or use another archive")),
            None => Ok(None),
        }
    }

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
            .map_err(database("read the checkpoint"))?;
        // A cursor in an older version's format is ignored: the sweep restarts.
        Ok(found.flatten())
    }

    /// Returns the scopes of a stream's unfinished runs.
    pub fn unfinished_scopes(&self, source: SourceKey, stream: Stream) -> Result<Vec<String>> {
        let failed = database("read the checkpoints");
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

    /// Opens a run in the run log.
    pub fn begin_run(&mut self, source: SourceKey, start: &RunStart<'_>) -> Result<Run> {
        let failed = || database("begin a run");
        let resume = start.resume;
        let swept_from = resume.map_or(Some(start.at), |resume| resume.swept_from);
        let mut progress = Progress::default();
        let transaction = self.connection.transaction().map_err(failed())?;
        if let Some(resume) = resume {
            // If an older version began the sweep, there are no saved ids, only its count.
            let seen = sweep::load_sightings(&transaction, source, start.stream, start.scope)?;
            progress.seen = seen.max(resume.seen);
            progress.total_first = resume.total_first;
        } else {
            sweep::reset_scope(&transaction, source, start.stream, start.scope)?;
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
                    swept_from.map(Timestamp::microseconds),
                    start.stream.as_str(),
                ])
            })
            .map_err(failed())?;
        let key = transaction.last_insert_rowid();
        transaction.commit().map_err(failed())?;
        let (stream, scope, mode) = (start.stream, start.scope.to_owned(), start.mode);
        Ok(Run { key, source, stream, scope, mode, swept_from, written_until: None, progress })
    }

    /// Closes a run in the run log.
    pub fn end_run(&mut self, run: &Run, end: &RunEnd) -> Result<()> {
        let (progress, key) = (&run.progress, run.key);
        let row = params![
            key,
            end.at.microseconds(),
            end.verdict.as_str(),
            end.error,
            run.mode.as_str(),
            count(progress.missing),
            count(progress.returned),
        ];
        let sql =
            "UPDATE run SET ended_at = ?2, verdict = ?3, error = ?4, effort = ?5, missing = ?6, returned = ?7,
                       archived = (SELECT conversations FROM source WHERE source.source_key = run.source_key)
                   WHERE run_key = ?1";
        let failed = || database("end a run");
        let transaction = self.connection.transaction().map_err(failed())?;
        transaction.execute(sql, row).map_err(failed())?;
        if end.reached_end {
            sweep_clock::advance(&transaction, run)?;
        }
        transaction.commit().map_err(failed())
    }

    /// Drops the checkpoint of a scope, so that its next pull starts from the beginning.
    pub fn forget_checkpoint(&mut self, source: SourceKey, stream: Stream, scope: &str) -> Result<()> {
        let failed = || database("drop a checkpoint");
        let transaction = self.connection.transaction().map_err(failed())?;
        drop_checkpoint(&transaction, source, stream, scope)?;
        sweep::reset_scope(&transaction, source, stream, scope)?;
        transaction.commit().map_err(failed())
    }
}

fn read_resume_point(row: &Row<'_>) -> rusqlite::Result<Option<ResumePoint>> {
    let Ok(cursor) = serde_json::from_str(&row.get::<_, String>(0)?) else { return Ok(None) };
    Ok(Some(ResumePoint {
        cursor,
        saved_at: timestamp(row.get(1)?),
        mode: SyncMode::from_word(&row.get::<_, String>(4)?),
        swept_from: timestamp(row.get(5)?),
        seen: read_count(row.get(2)?),
        total_first: row.get::<_, Option<i64>>(3)?.map(read_count),
    }))
}

/// Saves the checkpoint after a batch, or removes it at the end of the sweep.
pub(crate) fn save_checkpoint(
    transaction: &Transaction<'_>,
    run: &Run,
    checkpoint: &Checkpoint,
    progress: &Progress,
    now: Timestamp,
) -> Result<()> {
    let failed = || database("save the checkpoint");
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
                        count(progress.seen),
                        progress.total_first.map(count),
                        now.microseconds(),
                        run.mode.as_str(),
                        run.swept_from.map(Timestamp::microseconds),
                    ])
                })
                .map_err(failed())?;
        }
        Checkpoint::End => {
            drop_checkpoint(transaction, run.source, run.stream, &run.scope)?;
            sweep::delete_sightings(transaction, run.source, run.stream, &run.scope)?;
        }
    }
    Ok(())
}

fn drop_checkpoint(
    transaction: &Transaction<'_>,
    source: SourceKey,
    stream: Stream,
    scope: &str,
) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM checkpoint WHERE source_key = ?1 AND stream = ?2 AND scope = ?3")
        .and_then(|mut statement| statement.execute(params![source.0, stream.as_str(), scope]))
        .map_err(database("drop a checkpoint"))?;
    Ok(())
}

/// Writes the counts of a run into the run log.
pub(crate) fn save_progress(transaction: &Transaction<'_>, run_key: i64, progress: &Progress) -> Result<()> {
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
                progress.total_first.map(count),
                progress.total_last.map(count),
                count(progress.seen),
                count(progress.received),
                count(progress.repeated),
                count(progress.outside),
                count(progress.added),
                count(progress.changed),
                count(progress.unchanged),
                count(progress.unreadable),
                count(progress.page.pages),
                count(progress.page.empty_pages),
                count(progress.page.skipped),
                count(progress.bytes),
                progress.page.quota_used.map(count),
                progress.page.quota_left.map(count),
                count(progress.issues),
            ])
        })
        .map_err(database("write the run log"))?;
    Ok(())
}
