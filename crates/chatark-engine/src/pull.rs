//! Pulls: from a vendor's API into the archive.

use std::path::Path;
use std::sync::{Arc, Mutex};

use chatark_archive::{
    Archive, GapRecord, ResumePoint, Run, RunCounts, RunStart, SourceKey, SyncMode, Verdict, recent_scope,
};
use chatark_core::{
    ChangeDetection, Channel, Checkpoint, Error, ErrorKind, GapBounds, HeldRecords, Mapper, OpenGap, Origin,
    Provider, ReadRequest, Result, Rotation, Selection, SourceName, Stream, StreamDescriptor, Timestamp,
    UnseenRecord, Window,
};
use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task;
use tokio_util::sync::CancellationToken;

use crate::drift::DriftPolicy;
use crate::ending::{EndPolicy, EndedRun, FoundRecords, UnseenLookup, zone_note};
use crate::environment::{Environment, Workers};
use crate::outcome::{Event, Observer, Outcome, StreamOutcome};
use crate::prepare::{Preparer, ReadyBatch, fetch};
use crate::sync_mode::{ArchivedRecords, LastSweeps, RefreshPolicy, SyncState, reread_since};

/// How far the vendor's clock may be ahead of this machine's, a wrong time zone included.
const MAX_VENDOR_CLOCK_LEAD_SECONDS: i64 = 25 * 3_600;
/// The most sources that are read at the same time.
const MAX_CONCURRENT_SOURCES: usize = 16;
/// The most prepared batches of one source that wait for the writer.
const QUEUE_LENGTH: usize = 3;
/// The most bytes of records that are written in one transaction, unless one batch is larger.
const TRANSACTION_BYTES: u64 = 1 << 20;

/// A source that is connected.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where its records come from.
    pub origin: Arc<Origin>,
    /// Its vendor API.
    pub provider: Arc<dyn Provider>,
    /// What maps its records.
    pub mapper: Arc<dyn Mapper>,
    /// How often everything is read again.
    pub refresh: RefreshPolicy,
    /// How schema drift is handled.
    pub drift: DriftPolicy,
    /// Whether the vendor's separate lists of contacts and leads are pulled too.
    pub contacts: bool,
}

/// How much of a stream a pull reads, and from where.
pub(crate) struct SyncPlan {
    pub(crate) mode: SyncMode,
    pub(crate) resume: Option<ResumePoint>,
    /// The request, without the resume token and without what the archive holds.
    pub(crate) request: ReadRequest,
}

impl SyncPlan {
    /// Returns the plan that reads everything requested, from the beginning.
    pub(crate) fn everything(request: ReadRequest) -> Self {
        Self { mode: SyncMode::Full, resume: None, request }
    }
}

impl Source {
    /// Decides how much of a stream to read, in which window, and from where.
    pub(crate) fn sync_plan(
        &self,
        archive: &Archive,
        key: SourceKey,
        requested: &ReadRequest,
        full: bool,
        now: Timestamp,
    ) -> Result<SyncPlan> {
        let stream = requested.stream;
        // A position belongs to the list of one scope; a record or a span of time is the same in every scope.
        let scope = requested.scope();
        let is_in_scope = |gap: &GapRecord| is_valid_in_any_list(&gap.bounds) || gap.scope == scope;
        let gaps: Vec<_> = archive.open_gaps(key)?.into_iter().filter(|gap| gap.stream == stream).collect();
        let is_gap_due = is_full_due_for_gaps(&gaps, &scope, now);
        let gaps = gaps.into_iter().filter(is_in_scope);
        let open = |gap: GapRecord| {
            let OpenGap { bounds, is_due } = gap.to_open_gap(now);
            OpenGap { bounds, is_due: is_due || full }
        };
        let request = ReadRequest {
            plausible_until: now.shifted(MAX_VENDOR_CLOCK_LEAD_SECONDS),
            features: archive.features(key, now)?,
            gaps: gaps.map(open).collect(),
            ..requested.clone()
        };
        let Some(descriptor) = self.provider.descriptor().stream(stream).filter(|_| !full) else {
            return Ok(SyncPlan::everything(request));
        };
        let history = archive.sweep_history(key, stream, &scope)?;
        let whole_scope = ReadRequest::whole(stream).scope();
        let whole = archive.sweep_history(key, stream, &whole_scope)?;
        let resume = archive.resume_point(key, stream, &scope)?;
        let state = SyncState {
            changes: descriptor.changes,
            refresh: self.refresh,
            last_sweeps: LastSweeps::of(&history, &whole, now),
            unfinished: resume.as_ref().map(|resume| resume.mode),
            is_gap_due,
            now,
        };
        let (mode, window) = state.mode_and_window(requested);
        // An unfinished sweep of another mode is not resumed.
        let resume = resume.filter(|resume| resume.mode == mode);
        let mut request = ReadRequest { window, updated_since: state.updated_since(mode), ..request };
        if mode == SyncMode::Recent {
            // Positions in the whole list differ from those in the list of recent records.
            request.gaps.retain(|gap| is_valid_in_any_list(&gap.bounds));
        }
        if mode != SyncMode::Changes {
            return Ok(SyncPlan { mode, resume, request });
        }
        let unconfirmed = history.unconfirmed_change().max(whole.unconfirmed_change());
        let sweep_seconds = |scope| archive.latest_sweep_seconds(key, stream, scope);
        let seconds = sweep_seconds(&scope)?.max(sweep_seconds(&whole_scope)?);
        let rotates = descriptor.changes == ChangeDetection::ListRows;
        let rotation = if rotates {
            let rows = state.rotated_rows(history.rotated_at, archive.count_held_before(key, None)?);
            Some(Rotation { resume_from: history.rotation, rows })
        } else {
            None
        };
        let request = ReadRequest {
            reread_since: reread_since(unconfirmed, seconds),
            recent_since: state.recent_since().filter(|_| rotates),
            rotation,
            ..request
        };
        Ok(SyncPlan { mode, resume, request })
    }

    /// Returns the streams that a pull reads after the main one: parts that are listed separately, and contacts if they
    /// are enabled.
    fn other_streams(&self, with_contacts: bool) -> Vec<StreamDescriptor> {
        let descriptor = self.provider.descriptor();
        let parts = descriptor.streams.iter().copied().filter(|other| other.parent.is_some());
        parts.chain(descriptor.contact_streams().filter(|_| with_contacts)).collect()
    }
}

/// What to pull. It is the same for every source.
#[derive(Debug, Clone, Default)]
pub struct PullParameters {
    /// Conversations that began in this window.
    pub window: Window,
    /// Only conversations of this channel.
    pub channel: Option<Channel>,
    /// Which conversations.
    pub selection: Selection,
    /// Whether to read everything again, without resuming an earlier run and without skipping held records.
    pub full: bool,
    /// Whether more than a tenth of a stream may be marked as missing.
    pub accept_missing: bool,
    /// Whether gaps are accepted: a verdict is then not `short`, but `unprovable` if a gap may hide any number of
    /// records.
    pub accept_gaps: bool,
}

impl PullParameters {
    /// Returns the request of a stream, without what depends on its archive. Window, channel and selection apply only
    /// to conversations; other streams are read completely.
    pub(crate) fn request(&self, stream: Stream) -> ReadRequest {
        let whole = ReadRequest::whole(stream);
        match stream {
            Stream::Conversations | Stream::Tickets => ReadRequest {
                window: self.window,
                channel: self.channel,
                selection: self.selection.clone(),
                ..whole
            },
            _ => whole,
        }
    }
}

/// Pulls every source, side by side, and returns the archive with the outcome of each source.
///
/// An error of one source does not stop the others. When `stop` is cancelled, no further request is made, what
/// has been fetched is committed, and the runs end as interrupted.
pub async fn pull(
    archive: Archive,
    sources: Vec<Source>,
    pull: PullParameters,
    observer: Arc<dyn Observer>,
    environment: Environment,
    stop: CancellationToken,
) -> Result<(Archive, Vec<Outcome>)> {
    let path: Arc<Path> = archive.path().into();
    let writer = Arc::new(AsyncMutex::new(archive));
    let runs = sources.into_iter().enumerate().map(|(at, source)| {
        let puller = Puller {
            writer: Arc::clone(&writer),
            path: Arc::clone(&path),
            source,
            pull: pull.clone(),
            observer: Arc::clone(&observer),
            environment: environment.clone(),
            stop: stop.clone(),
        };
        async move { (at, task::spawn(puller.run()).await) }
    });
    let mut ended: Vec<_> = stream::iter(runs).buffer_unordered(MAX_CONCURRENT_SOURCES).collect().await;
    ended.sort_by_key(|(at, _)| *at);
    let mut outcomes = Vec::new();
    for (_, outcome) in ended {
        outcomes.push(outcome.map_err(|_| Error::panicked("pull"))?);
    }
    let archive = Arc::into_inner(writer)
        .ok_or_else(|| Error::new(ErrorKind::Unexpected, "pull", "the archive is still in use"))?;
    let archive = resolve_persons(archive.into_inner(), environment.workers).await?;
    Ok((archive, outcomes))
}

/// Resolves persons once the memory of the batches is free again. If that fails, closing the archive tries again and
/// reports the error.
async fn resolve_persons(mut archive: Archive, workers: Workers) -> Result<Archive> {
    let resolve = move || {
        let _ = archive.resolve_persons();
        Ok(archive)
    };
    workers.run("resolve persons", resolve).await
}

pub(crate) struct Puller {
    writer: Arc<AsyncMutex<Archive>>,
    /// The path of the archive.
    path: Arc<Path>,
    pub(crate) source: Source,
    pull: PullParameters,
    observer: Arc<dyn Observer>,
    environment: Environment,
    stop: CancellationToken,
}

/// A run that has started, with what it needs to read.
struct StartedRun {
    run: Run,
    request: ReadRequest,
    preparer: Preparer,
    end_policy: EndPolicy,
}

impl Puller {
    /// Pulls the main stream, and then the other streams if the end of the main stream was reached.
    ///
    /// Each stream has a run of its own, so that a later one does not affect the verdict of the first.
    async fn run(self) -> Outcome {
        let name = self.source.origin.source.clone();
        let (main, reached_end) = self.pull_stream(self.source.provider.descriptor().main_stream()).await;
        let reads_others =
            reached_end && main.verdict != Verdict::Failed && self.pull.selection == Selection::All;
        let mut outcome = Outcome::of(name.clone(), main);
        // A pull of selected conversations does not read the lists of contacts.
        let other_streams =
            if reads_others { self.source.other_streams(self.source.contacts) } else { Vec::new() };
        for descriptor in other_streams {
            let (mut other, reached_end) = self.pull_stream(descriptor).await;
            let ends_all = !reached_end && other.error.as_ref().is_none_or(ends_all_streams);
            other.error = other.error.map(with_plan_hint);
            if let (Some(_), Some(error)) = (&outcome.error, &other.error) {
                self.notify(&Event::Note(&error.to_string()));
            }
            outcome.add(other);
            if ends_all {
                break;
            }
        }
        let outcome = Outcome { error: outcome.error.map(|error| with_source(error, &name)), ..outcome };
        self.observer.on_event(&name, &Event::Ended(&outcome));
        outcome
    }

    /// Pulls one stream, and returns its outcome and whether its end was reached.
    async fn pull_stream(&self, descriptor: StreamDescriptor) -> (StreamOutcome, bool) {
        match self.begin(descriptor).await {
            Ok(started) => self.fetch_and_commit(started, descriptor).await,
            Err(error) => (StreamOutcome::failed(descriptor.stream, error), false),
        }
    }

    /// Registers the source, decides how much to read and from where, and opens the run in the run log.
    async fn begin(&self, descriptor: StreamDescriptor) -> Result<StartedRun> {
        let stream = descriptor.stream;
        let requested = self.pull.request(stream);
        let (source, full, request) = (self.source.clone(), self.pull.full, requested.clone());
        let now = self.environment.clock.now();
        let (key, run, sync_plan, other_scopes, has_records) = self
            .write(move |archive| {
                let (key, scope) = (archive.register_source(&source.origin)?, request.scope());
                let sync_plan = source.sync_plan(archive, key, &request, full, now)?;
                if sync_plan.resume.is_none() {
                    archive.delete_checkpoint(key, stream, &scope)?;
                }
                let other_scopes =
                    archive.unfinished_scopes(key, stream)?.iter().filter(|other| **other != scope).count();
                let has_records = archive.has_records(key, stream)?;
                let (mode, resume) = (sync_plan.mode, sync_plan.resume.as_ref());
                let run = archive.begin_run(
                    key,
                    &RunStart { kind: "pull", stream, scope: &scope, mode, resume, at: now },
                )?;
                Ok((key, run, sync_plan, other_scopes, has_records))
            })
            .await?;
        let SyncPlan { mode, resume, request } = sync_plan;
        if stream == self.source.provider.descriptor().main_stream().stream {
            let resumed_from = resume.as_ref().and_then(|resume| resume.saved_at);
            let recent_since = request.window.since.filter(|_| mode == SyncMode::Recent);
            self.notify(&Event::Started { resumed_from, recent_since });
        }
        if resume.is_none() && other_scopes > 0 {
            self.notify(&Event::Note(
                "an unfinished pull has other dates or another selection: this one starts from the beginning",
            ));
        }
        let reader = if has_records { self.reader() } else { None };
        let held = reader.clone().filter(|_| mode == SyncMode::Changes);
        let held =
            held.map(|reader| Arc::new(ArchivedRecords { reader, key, stream }) as Arc<dyn HeldRecords>);
        // Only the window that the user requested is enforced: what a look-back returns outside its own window is kept.
        let preparer = Preparer {
            provider: Arc::clone(&self.source.provider),
            mapper: Arc::clone(&self.source.mapper),
            workers: self.environment.workers,
            reader,
            key,
            window: requested.window,
            channel: requested.channel,
        };
        let end_policy = EndPolicy {
            is_whole: requested.is_whole(),
            changes: descriptor.changes,
            accept_missing: self.pull.accept_missing,
            accept_gaps: self.pull.accept_gaps,
        };
        let resume_from = resume.map(|resume| resume.resume_token);
        let request = ReadRequest { resume_from, held, ..request };
        Ok(StartedRun { run, request, preparer, end_policy })
    }

    /// Fetches the records of a started run and commits them, and returns its outcome and whether its end was reached.
    async fn fetch_and_commit(
        &self,
        started: StartedRun,
        descriptor: StreamDescriptor,
    ) -> (StreamOutcome, bool) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let StartedRun { run, request, preparer, end_policy } = started;
        let preparer = Arc::new(preparer);
        let fetching = task::spawn(fetch(Arc::clone(&preparer), request, sender, self.stop.clone()));
        let (run, committed) = self.commit_all(run, receiver, descriptor).await;
        let fetched = fetching.await.unwrap_or_else(|_| Err(Error::panicked("pull")));
        // If the writer failed, that is the error: the fetcher only saw its channel close.
        let ended = match (committed, fetched) {
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(reached_end), Ok(())) => Ok(reached_end),
        };
        let reached_end = matches!(ended, Ok(true));
        (self.end(run, ended, end_policy, &preparer).await, reached_end)
    }

    /// Commits batches in order and returns whether the last one was the end.
    async fn commit_all(
        &self,
        mut run: Run,
        mut batches: mpsc::Receiver<ReadyBatch>,
        descriptor: StreamDescriptor,
    ) -> (Run, Result<bool>) {
        let is_main = descriptor.stream == self.source.provider.descriptor().main_stream().stream;
        let mut reached_end = false;
        let mut next = batches.recv().await;
        while let Some(mut batch) = next {
            // The batch with the vendor's first count is written alone.
            let is_counted = run.counts.total_first.is_some() || !descriptor.reports_total;
            next =
                if is_counted { batch.join_following(&mut batches, TRANSACTION_BYTES).await } else { None };
            reached_end = batch.checkpoint == Checkpoint::End;
            for note in &batch.page.notes {
                self.notify(&Event::Note(note));
            }
            let mut written = run.clone();
            let (mapper, now) = (Arc::clone(&self.source.mapper), self.environment.clock.now());
            let commit = self.write(move |archive| {
                let ReadyBatch { ops, checkpoint, page, .. } = batch;
                archive.commit(&mut written, ops, &checkpoint, &page, &*mapper, now)?;
                Ok(written)
            });
            match commit.await {
                Ok(written) => run = written,
                Err(error) => return (run, Err(error)),
            }
            if is_main {
                self.notify(&Event::Committed(&run.counts));
            }
            if next.is_none() {
                next = batches.recv().await;
            }
        }
        (run, Ok(reached_end))
    }

    async fn end(
        &self,
        run: Run,
        ended: Result<bool>,
        end_policy: EndPolicy,
        preparer: &Arc<Preparer>,
    ) -> StreamOutcome {
        let stream = run.stream();
        let reached_end = matches!(ended, Ok(true));
        let (verdict, error) = match ended {
            Ok(true) => (self.verdict(&run), None),
            Ok(false) => (Verdict::Interrupted, None),
            Err(error) if error.kind() == ErrorKind::Budget => (Verdict::Budget, Some(error)),
            Err(error) if run.counts.received == 0 => (Verdict::Failed, Some(error)),
            Err(error) => (Verdict::Partial, Some(error)),
        };
        let ended = EndedRun { run, verdict, error, reached_end, resumable: false, notes: Vec::new() };
        match self.close(ended, end_policy, preparer).await {
            Ok((ended, closed)) => {
                let window = self.pull.request(stream).window;
                let outside = ended.run.counts.outside;
                let zone_note = zone_note(self.source.provider.descriptor(), window, outside);
                for note in ended.notes.iter().chain(&zone_note) {
                    self.notify(&Event::Note(note));
                }
                StreamOutcome {
                    stream,
                    verdict: ended.verdict,
                    mode: ended.run.mode(),
                    progress: ended.run.counts,
                    error: ended.error.or(closed.err()),
                    resumable: ended.resumable,
                }
            }
            Err(error) => StreamOutcome::failed(stream, error),
        }
    }

    /// Marks what is missing at the vendor, and closes the run in the run log.
    ///
    /// If the archive fails in between, the run is closed with that error.
    async fn close(
        &self,
        mut ended: EndedRun,
        end_policy: EndPolicy,
        preparer: &Arc<Preparer>,
    ) -> Result<(EndedRun, Result<()>)> {
        let clock = self.environment.clock.clone();
        let found = self
            .write(move |archive| {
                let unseen = ended.note_and_list_unseen(archive, end_policy, &clock);
                Ok((ended, unseen))
            })
            .await?;
        ended = found.0;
        let unseen = match found.1 {
            Ok(mut unseen) => {
                unseen.truncate(self.source.provider.max_unseen());
                unseen
            }
            Err(error) => {
                ended.error.get_or_insert(error);
                Vec::new()
            }
        };
        let found = match self.look_for(&unseen, preparer).await {
            Ok(found) => found,
            Err(error) => {
                ended.notes.push(format!("what the vendor no longer lists could not be looked for: {error}"));
                None
            }
        };
        let (source, clock) = (self.source.clone(), self.environment.clock.clone());
        self.write(move |archive| {
            let missing = found.map(|found| UnseenLookup { unseen, found });
            let closed = ended.close(archive, &source, end_policy, missing, &clock);
            Ok((ended, closed))
        })
        .await
    }

    /// Asks the vendor for records that two sweeps did not list, and returns those that it still has; `None` if there
    /// are no such records.
    async fn look_for(
        &self,
        unseen: &[UnseenRecord],
        preparer: &Arc<Preparer>,
    ) -> Result<Option<FoundRecords>> {
        if unseen.is_empty() {
            return Ok(None);
        }
        let batch = self.source.provider.find_unseen(unseen).await?;
        let ids = batch.records.iter().filter_map(|record| record.id.clone());
        let still_there = ids.chain(batch.unchanged.iter().cloned()).collect();
        let preparer = Arc::clone(preparer);
        let prepare = move || preparer.prepare(batch);
        let ready = self.environment.workers.run("map the records", prepare).await?;
        Ok(Some(FoundRecords { ready, still_there }))
    }

    /// Compares what was seen with the number of requested ids, or else with the vendor's count.
    fn verdict(&self, run: &Run) -> Verdict {
        let progress: &RunCounts = &run.counts;
        match &self.pull.selection {
            Selection::Conversations(ids) if progress.seen >= ids.len() as u64 => Verdict::Complete,
            Selection::Conversations(_) => Verdict::Short,
            Selection::All | Selection::User(_) => Verdict::of(progress),
        }
    }

    /// Opens a second connection, so that unchanged records are recognised without the writer.
    fn reader(&self) -> Option<Arc<Mutex<Archive>>> {
        Archive::open_to_read(&self.path).ok().map(|reader| Arc::new(Mutex::new(reader)))
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Archive) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Waiting for the archive blocks no thread.
        let mut archive = Arc::clone(&self.writer).lock_owned().await;
        self.environment.workers.run("write to the archive", move || work(&mut archive)).await
    }

    pub(crate) fn notify(&self, event: &Event<'_>) {
        self.observer.on_event(&self.source.origin.source, event);
    }
}

/// Returns whether the bounds of a gap mean the same in every list of the stream, as positions do not.
fn is_valid_in_any_list(bounds: &GapBounds) -> bool {
    matches!(bounds, GapBounds::Record { .. } | GapBounds::Window { .. })
}

/// Returns whether a full sweep is due, because positions of the list that could not be read are due to be tried again.
///
/// If a pull of recent records leaves a gap, its position in the whole list is unknown, so a full sweep is due. Once a
/// full sweep has found the position, only the gap in the whole list decides.
fn is_full_due_for_gaps(gaps: &[GapRecord], scope: &str, now: Timestamp) -> bool {
    let is_open = |gap: &&GapRecord, scope: &str| {
        !is_valid_in_any_list(&gap.bounds) && gap.accepted_at.is_none() && gap.scope == scope
    };
    let mut own = gaps.iter().filter(|gap| is_open(gap, scope)).peekable();
    if own.peek().is_some() {
        return own.any(|gap| gap.to_open_gap(now).is_due);
    }
    gaps.iter().any(|gap| is_open(&gap, &recent_scope(scope)))
}

/// Adds the source to an error that does not name it, such as an error of the archive.
pub(crate) fn with_source(error: Error, source: &SourceName) -> Error {
    let is_named = error.facts().iter().any(|(name, _)| *name == "source");
    if is_named { error } else { error.with("source", source) }
}

/// Returns whether the other streams are not read after an error of one stream. They are read after a permanent error.
fn ends_all_streams(error: &Error) -> bool {
    error.is_transient() || matches!(error.kind(), ErrorKind::Budget | ErrorKind::Interrupted)
}

/// Adds a hint to a permanent error. The key itself is valid: it has just read the conversations.
fn with_plan_hint(error: Error) -> Error {
    if !error.is_permanent() {
        return error;
    }
    error.hint(
        "the conversations are archived; if your plan with the vendor does not include this list, take `contacts = true` out of the source",
    )
}

#[cfg(test)]
mod tests {
    use chatark_core::RecordId;

    use super::*;

    #[test]
    fn everything_is_read_when_a_position_of_the_list_is_due() {
        let now = Timestamp::from_epoch(1_790_000_000).ok();
        let gap = |scope: &str, attempts, accepted_at| GapRecord {
            stream: Stream::Conversations,
            scope: scope.to_owned(),
            bounds: GapBounds::Positions { first: 7, last: 7 },
            error: String::new(),
            found_at: now,
            tried_at: now,
            attempts,
            accepted_at,
        };
        let record = GapRecord { bounds: GapBounds::Record { id: RecordId::new("c1") }, ..gap("s", 1, None) };
        let recent = recent_scope("s");
        for (gaps, is_due) in [
            (vec![], false),
            (vec![gap("s", 1, None)], true),
            (vec![gap("s", 5, None)], false),
            (vec![gap("s", 1, now)], false),
            (vec![gap("other", 1, None)], false),
            (vec![record], false),
            (vec![gap(&recent, 1, None)], true),
            // The position in the whole list is known, and not due.
            (vec![gap("s", 5, None), gap(&recent, 1, None)], false),
        ] {
            let found = is_full_due_for_gaps(&gaps, "s", now.unwrap());
            assert_eq!(found, is_due, "{gaps:?}");
        }
    }
}
