//! Vendor to archive.

use std::path::Path;
use std::sync::{Arc, Mutex};

use chatark_archive::{Archive, Progress, Resume, Run, SourceKey, Start, SyncMode, Verdict};
use chatark_core::{
    Channel, Checkpoint, Error, ErrorKind, Known, Origin, Provider, PullRequest, Result, Selection,
    SourceName, Window,
};
use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task;
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::drift::DriftPolicy;
use crate::ending::Ending;
use crate::outcome::{Event, Observer, Outcome};
use crate::prepare::{Preparer, ReadyBatch, fetch};
use crate::sync_mode::{KnownInArchive, Refresh, SyncState};

/// How many sources are read at a time, however many there are.
const SIDE_BY_SIDE: usize = 16;
/// How many prepared batches of one source wait for the writer.
const WAITING: usize = 4;
/// So many bytes of conversations are written in one transaction, where more than one batch waits.
const TOGETHER_BYTES: u64 = 1 << 20;

/// A source that is connected.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where its conversations come from.
    pub origin: Arc<Origin>,
    /// Its vendor API.
    pub provider: Arc<dyn Provider>,
    /// How often everything is read again.
    pub refresh: Refresh,
    /// What happens where the vendor's API has moved on.
    pub drift: DriftPolicy,
    /// Whether the people are pulled too whom the vendor lists apart from conversations.
    pub contacts: bool,
}

impl Source {
    /// Decides how much to read, in which window, and from where.
    pub(crate) fn decide(
        &self,
        archive: &Archive,
        key: SourceKey,
        request: &PullRequest,
        full: bool,
    ) -> Result<(SyncMode, Window, Option<Resume>)> {
        if full {
            return Ok((SyncMode::Full, request.window, None));
        }
        let scope = request.scope();
        let resume = archive.resume(key, &scope)?;
        let standing = SyncState {
            increments: self.provider.descriptor().increments,
            refresh: self.refresh,
            swept: archive.swept(key, &scope)?,
            unfinished: resume.as_ref().map(|resume| resume.effort),
            now: now(),
        };
        let (effort, window) = standing.plan(request);
        // A sweep that reads less is not gone on with.
        Ok((effort, window, resume.filter(|resume| resume.effort == effort)))
    }
}

/// What to pull, the same for every source.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// Conversations that began in this window.
    pub window: Window,
    /// Conversations of this channel alone.
    pub channel: Option<Channel>,
    /// Which conversations.
    pub selection: Selection,
    /// Whether to read everything anew, whatever an earlier run has reached and whatever is held.
    pub full: bool,
    /// Whether more than a tenth of a source may be marked as missing.
    pub accept_missing: bool,
}

impl Pull {
    /// Returns the request of a source, without what depends on its archive.
    pub(crate) fn request(&self) -> PullRequest {
        PullRequest {
            window: self.window,
            channel: self.channel,
            selection: self.selection.clone(),
            ..PullRequest::default()
        }
    }
}

/// Pulls every source, side by side, and returns the archive with what each source came to.
///
/// An error of one source does not stop the others. When `stop` is cancelled, no further request is made, what
/// has been fetched is committed, and the runs end as interrupted.
pub async fn pull(
    archive: Archive,
    sources: Vec<Source>,
    pull: Pull,
    observer: Arc<dyn Observer>,
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
            stop: stop.clone(),
        };
        async move { (at, task::spawn(puller.run()).await) }
    });
    let mut ended: Vec<_> = stream::iter(runs).buffer_unordered(SIDE_BY_SIDE).collect().await;
    ended.sort_by_key(|(at, _)| *at);
    let mut outcomes = Vec::new();
    for (_, outcome) in ended {
        outcomes.push(outcome.map_err(|error| Error::new(ErrorKind::Unexpected, "pull", error))?);
    }
    let archive = Arc::into_inner(writer)
        .ok_or_else(|| Error::new(ErrorKind::Unexpected, "pull", "the archive is still in use"))?;
    Ok((archive.into_inner(), outcomes))
}

pub(crate) struct Puller {
    writer: Arc<AsyncMutex<Archive>>,
    /// Where the archive lies.
    path: Arc<Path>,
    pub(crate) source: Source,
    pull: Pull,
    observer: Arc<dyn Observer>,
    pub(crate) stop: CancellationToken,
}

/// A run that has begun, and what it is to read.
struct Begun {
    run: Run,
    request: PullRequest,
    preparer: Preparer,
    /// Whether everything that the agent has was asked for.
    is_whole: bool,
}

impl Puller {
    async fn run(self) -> Outcome {
        let name = self.source.origin.source.clone();
        let outcome = match self.begin().await {
            Ok(begun) => self.walk(begun).await,
            Err(error) => Outcome::failed(name.clone(), error),
        };
        let outcome = Outcome { error: outcome.error.map(|error| named(error, &name)), ..outcome };
        self.observer.event(&name, &Event::Ended(&outcome));
        outcome
    }

    /// Registers the source, decides how much to read and from where, and opens the run in the ledger.
    async fn begin(&self) -> Result<Begun> {
        let asked = self.pull.request();
        let (source, full, request) = (self.source.clone(), self.pull.full, asked.clone());
        let (key, run, window, resume, others) = self
            .write(move |archive| {
                let (key, scope) = (archive.source(&source.origin)?, request.scope());
                let (effort, window, resume) = source.decide(archive, key, &request, full)?;
                if resume.is_none() {
                    archive.forget_checkpoint(key, &scope)?;
                }
                let others = archive.unfinished(key)?.iter().filter(|other| **other != scope).count();
                let start = Start { kind: "pull", scope: &scope, effort, resume: resume.as_ref(), at: now() };
                let run = archive.begin_run(key, &start)?;
                Ok((key, run, window, resume, others))
            })
            .await?;
        let resumed_from = resume.as_ref().and_then(|resume| resume.saved_at);
        let effort = run.effort();
        let recent_since = window.since.filter(|_| effort == SyncMode::Recent);
        self.tell(&Event::Started { resumed_from, recent_since });
        if resume.is_none() && others > 0 {
            self.tell(&Event::Note(
                "an unfinished pull has other dates or another selection: this one begins anew",
            ));
        }
        let reader = self.reader();
        let known = reader.clone().filter(|_| effort == SyncMode::Changes);
        let known = known.map(|reader| Arc::new(KnownInArchive { reader, key }) as Arc<dyn Known>);
        // What a look back brings beyond its window is as good as the rest; what the user asked for is not widened.
        let provider = Arc::clone(&self.source.provider);
        let preparer = Preparer { provider, reader, key, window: asked.window, channel: asked.channel };
        let is_whole = asked.is_whole();
        let request = PullRequest { window, cursor: resume.map(|resume| resume.cursor), known, ..asked };
        Ok(Begun { run, request, preparer, is_whole })
    }

    async fn walk(&self, begun: Begun) -> Outcome {
        let (sender, receiver) = mpsc::channel(WAITING);
        let Begun { run, request, preparer, is_whole } = begun;
        let fetching = task::spawn(fetch(Arc::new(preparer), request, sender, self.stop.clone()));
        let (run, committed) = self.commit_all(run, receiver).await;
        let fetched =
            fetching.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "pull", error)));
        // Where the writer failed, the fetcher only saw its channel close.
        let ended = match (committed, fetched) {
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(reached_end), Ok(())) => Ok(reached_end),
        };
        let (key, reached_end) = (run.source(), matches!(ended, Ok(true)));
        let outcome = self.end(run, ended, is_whole).await;
        if reached_end && self.wants_contacts() && outcome.verdict != Verdict::Failed {
            return self.add_contacts(key, outcome).await;
        }
        outcome
    }

    /// Contacts belong to no conversation: who asks for single ones is not given the lists of all people.
    fn wants_contacts(&self) -> bool {
        self.source.contacts && self.pull.selection == Selection::All
    }

    /// Commits batches in order and returns whether the last one was the end.
    async fn commit_all(&self, mut run: Run, mut batches: mpsc::Receiver<ReadyBatch>) -> (Run, Result<bool>) {
        let mut reached_end = false;
        let mut next = batches.recv().await;
        while let Some(mut batch) = next {
            // The vendor's first count is that of the first batch alone.
            let is_counted =
                run.progress.total_first.is_some() || !self.source.provider.descriptor().reports_total;
            next = if is_counted { batch.join_following(&mut batches, TOGETHER_BYTES).await } else { None };
            reached_end = batch.checkpoint == Checkpoint::End;
            for note in &batch.facts.notes {
                self.tell(&Event::Note(note));
            }
            let mut written = run.clone();
            let commit = self.write(move |archive| {
                archive.commit(&mut written, batch.conversations, &batch.checkpoint, &batch.facts, now())?;
                Ok(written)
            });
            match commit.await {
                Ok(written) => run = written,
                Err(error) => return (run, Err(error)),
            }
            self.tell(&Event::Committed(&run.progress));
            if next.is_none() {
                next = batches.recv().await;
            }
        }
        (run, Ok(reached_end))
    }

    async fn end(&self, run: Run, ended: Result<bool>, is_whole: bool) -> Outcome {
        let (verdict, error) = match ended {
            Ok(true) => (self.verdict(&run.progress), None),
            Ok(false) => (Verdict::Interrupted, None),
            Err(error) if error.kind() == ErrorKind::Budget => (Verdict::Budget, Some(error)),
            Err(error) if run.progress.received == 0 => (Verdict::Failed, Some(error)),
            Err(error) => (Verdict::Partial, Some(error)),
        };
        let mut ending = Ending { run, verdict, error, resumable: false, note: None };
        let (source, accept_missing) = (self.source.clone(), self.pull.accept_missing);
        let written = self
            .write(move |archive| {
                let settled = ending.settle(archive, &source, is_whole, accept_missing);
                Ok((ending, settled))
            })
            .await;
        let source = self.source.origin.source.clone();
        match written {
            Ok((ending, settled)) => {
                if let Some(note) = &ending.note {
                    self.tell(&Event::Note(note));
                }
                Outcome {
                    source,
                    verdict: ending.verdict,
                    effort: ending.run.effort(),
                    progress: ending.run.progress,
                    error: ending.error.or(settled.err()),
                    resumable: ending.resumable,
                    contacts: None,
                }
            }
            Err(error) => Outcome::failed(source, error),
        }
    }

    /// Single conversations are held against the number that was asked for, everything else against the vendor's count.
    fn verdict(&self, progress: &Progress) -> Verdict {
        match &self.pull.selection {
            Selection::Conversations(ids) if progress.seen >= ids.len() as u64 => Verdict::Complete,
            Selection::Conversations(_) => Verdict::Short,
            Selection::All | Selection::User(_) => Verdict::of(progress),
        }
    }

    /// Opens a second connection, by which conversations that have not changed are recognised without the writer.
    fn reader(&self) -> Option<Arc<Mutex<Archive>>> {
        Archive::open_to_read(&self.path).ok().map(|reader| Arc::new(Mutex::new(reader)))
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Archive) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Who waits for the archive holds no thread.
        let mut archive = Arc::clone(&self.writer).lock_owned().await;
        let written = task::spawn_blocking(move || work(&mut archive));
        written.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "write", error)))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.observer.event(&self.source.origin.source, event);
    }
}

/// Names the source in an error that does not, such as one of the archive.
fn named(error: Error, source: &SourceName) -> Error {
    let is_named = error.facts().iter().any(|(name, _)| *name == "source");
    if is_named { error } else { error.with("source", source) }
}
