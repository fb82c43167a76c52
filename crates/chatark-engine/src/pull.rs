//! Vendor to archive.

use std::sync::{Arc, Mutex, PoisonError};

use chatark_archive::{Archive, Committed, Prepared, Progress, Run, RunEnd, SourceKey, Unprepared, Verdict};
use chatark_core::{
    Batch, Channel, Checkpoint, Error, ErrorKind, Facts, Origin, Provider, PullRequest, Result, Selection,
    SourceName, Window,
};
use futures_util::{StreamExt, future};
use tokio::sync::mpsc;
use tokio::task;
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::outcome::{Event, Observer, Outcome};

/// How many batches of one source are prepared at a time.
const PREPARED_AHEAD: usize = 2;
/// How many prepared batches of one source wait for the writer.
const WAITING: usize = 1;

/// A source that is connected.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where its conversations come from.
    pub origin: Arc<Origin>,
    /// Its vendor API.
    pub provider: Arc<dyn Provider>,
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
    /// Whether to begin anew in place of going on from a checkpoint.
    pub full: bool,
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
    let writer = Arc::new(Mutex::new(archive));
    let runs = sources.into_iter().map(|source| {
        let puller = Puller {
            writer: Arc::clone(&writer),
            source,
            pull: pull.clone(),
            observer: Arc::clone(&observer),
            stop: stop.clone(),
        };
        task::spawn(puller.run())
    });
    let mut outcomes = Vec::new();
    for outcome in future::join_all(runs).await {
        outcomes.push(outcome.map_err(|error| Error::new(ErrorKind::Unexpected, "pull", error))?);
    }
    let archive = Arc::into_inner(writer)
        .ok_or_else(|| Error::new(ErrorKind::Unexpected, "pull", "the archive is still in use"))?;
    Ok((archive.into_inner().unwrap_or_else(PoisonError::into_inner), outcomes))
}

struct Puller {
    writer: Arc<Mutex<Archive>>,
    source: Source,
    pull: Pull,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
}

/// A batch on its way from the vendor to the writer.
struct ReadyBatch {
    conversations: Vec<Committed>,
    checkpoint: Checkpoint,
    facts: Facts,
}

impl Puller {
    async fn run(self) -> Outcome {
        let name = self.source.origin.source.clone();
        let outcome = match self.begin().await {
            Ok((key, run, request)) => self.walk(key, run, request).await,
            Err(error) => Outcome {
                source: name.clone(),
                verdict: Verdict::Failed,
                progress: Progress::default(),
                error: Some(error),
                resumable: false,
            },
        };
        let outcome = Outcome { error: outcome.error.map(|error| named(error, &name)), ..outcome };
        self.observer.event(&name, &Event::Ended(&outcome));
        outcome
    }

    /// Registers the source, finds the place to go on from, and opens the run in the ledger.
    async fn begin(&self) -> Result<(SourceKey, Run, PullRequest)> {
        let mut request = PullRequest {
            window: self.pull.window,
            channel: self.pull.channel,
            selection: self.pull.selection.clone(),
            ..PullRequest::default()
        };
        let scope = request.scope();
        let (origin, full) = (Arc::clone(&self.source.origin), self.pull.full);
        let (key, run, resume, others) = self
            .write(move |archive| {
                let key = archive.source(&origin)?;
                if full {
                    archive.forget_checkpoint(key, &scope)?;
                }
                let resume = archive.resume(key, &scope)?;
                let others = archive.unfinished(key)?.iter().filter(|other| **other != scope).count();
                let run = archive.begin_run(key, "pull", &scope, resume.as_ref(), now())?;
                Ok((key, run, resume, others))
            })
            .await?;
        let resumed_from = resume.as_ref().and_then(|resume| resume.saved_at);
        self.tell(&Event::Started { resumed_from });
        if resume.is_none() && others > 0 {
            self.tell(&Event::Note(
                "an unfinished pull has other dates or another selection: this one begins anew",
            ));
        }
        request.cursor = resume.map(|resume| resume.cursor);
        Ok((key, run, request))
    }

    async fn walk(&self, key: SourceKey, run: Run, request: PullRequest) -> Outcome {
        let (sender, receiver) = mpsc::channel(WAITING);
        let fetching =
            task::spawn(fetch(self.source.clone(), self.reader(), key, request, sender, self.stop.clone()));
        let (run, committed) = self.commit_all(run, receiver).await;
        let fetched =
            fetching.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "pull", error)));
        // Where the writer failed, the fetcher only saw its channel close.
        let ended = match (committed, fetched) {
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(reached_end), Ok(())) => Ok(reached_end),
        };
        self.end(run, ended).await
    }

    /// Commits batches in order and returns whether the last one was the end.
    async fn commit_all(&self, mut run: Run, mut batches: mpsc::Receiver<ReadyBatch>) -> (Run, Result<bool>) {
        let mut reached_end = false;
        while let Some(batch) = batches.recv().await {
            reached_end = batch.checkpoint == Checkpoint::End;
            for note in &batch.facts.notes {
                self.tell(&Event::Note(note));
            }
            let mut next = run.clone();
            let written = self
                .write(move |archive| {
                    archive.commit(&mut next, batch.conversations, &batch.checkpoint, &batch.facts, now())?;
                    Ok(next)
                })
                .await;
            match written {
                Ok(next) => run = next,
                Err(error) => return (run, Err(error)),
            }
            self.tell(&Event::Committed(&run.progress));
        }
        (run, Ok(reached_end))
    }

    async fn end(&self, run: Run, ended: Result<bool>) -> Outcome {
        let progress = run.progress.clone();
        let (verdict, error) = match ended {
            Ok(true) => (self.verdict(&progress), None),
            Ok(false) => (Verdict::Interrupted, None),
            Err(error) if progress.received == 0 => (Verdict::Failed, Some(error)),
            Err(error) => (Verdict::Partial, Some(error)),
        };
        let end = RunEnd { verdict, error: error.as_ref().map(ToString::to_string), at: now() };
        let ledger = self
            .write(move |archive| {
                archive.end_run(&run, &end)?;
                Ok(archive.resume(run.source(), run.scope())?.is_some())
            })
            .await;
        let (resumable, error) = match ledger {
            Ok(resumable) => (resumable, error),
            Err(ledger) => (false, error.or(Some(ledger))),
        };
        let source = self.source.origin.source.clone();
        Outcome { source, verdict, progress, error, resumable }
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
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Archive::open_to_read(writer.path()).ok().map(|reader| Arc::new(Mutex::new(reader)))
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Archive) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writer = Arc::clone(&self.writer);
        let written = task::spawn_blocking(move || {
            let mut archive = writer.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut archive)
        });
        written.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "write", error)))
    }

    fn tell(&self, event: &Event<'_>) {
        self.observer.event(&self.source.origin.source, event);
    }
}

/// Names the source in an error that does not, such as one of the archive.
fn named(error: Error, source: &SourceName) -> Error {
    let is_named = error.facts().iter().any(|(name, _)| *name == "source");
    if is_named { error } else { error.with("source", source) }
}

/// Fetches batches, prepares them on other threads, and hands them on in the vendor's order.
async fn fetch(
    source: Source,
    reader: Option<Arc<Mutex<Archive>>>,
    key: SourceKey,
    request: PullRequest,
    sender: mpsc::Sender<ReadyBatch>,
    stop: CancellationToken,
) -> Result<()> {
    let (window, channel) = (request.window, request.channel);
    let provider = Arc::clone(&source.provider);
    // An error takes its turn behind the batches before it, so that what was fetched before a fault is kept.
    let preparing = provider.pull(request).map(|batch| {
        let (provider, reader) = (Arc::clone(&source.provider), reader.clone());
        async move {
            let batch = batch?;
            let work = move || prepare(provider.as_ref(), reader.as_deref(), key, batch, window, channel);
            let done = task::spawn_blocking(work).await;
            done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "normalize", error)))
        }
    });
    let mut ready = preparing.buffered(PREPARED_AHEAD);
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            next = ready.next() => next,
        };
        let Some(batch) = next.transpose()? else { return Ok(()) };
        if sender.send(batch).await.is_err() {
            return Ok(());
        }
    }
}

/// Hashes every conversation, and normalizes and compresses those that the archive does not hold as they are.
fn prepare(
    provider: &dyn Provider,
    reader: Option<&Mutex<Archive>>,
    key: SourceKey,
    batch: Batch,
    window: Window,
    channel: Option<Channel>,
) -> Result<ReadyBatch> {
    let mut conversations = Vec::with_capacity(batch.conversations.len());
    for raw in batch.conversations {
        let unprepared = Unprepared::new(raw);
        if holds(reader, key, &unprepared) {
            conversations.push(Committed::Held(unprepared));
            continue;
        }
        let spare = unprepared.clone();
        let prepared = unprepared.prepare(|bytes| provider.normalize(bytes))?;
        let inside = is_inside(&prepared, window, channel);
        conversations.push(if inside {
            Committed::Write(Box::new(prepared))
        } else {
            Committed::Outside(spare)
        });
    }
    Ok(ReadyBatch { conversations, checkpoint: batch.checkpoint, facts: batch.facts })
}

/// A doubt counts as no: the writer looks again before it writes.
fn holds(reader: Option<&Mutex<Archive>>, key: SourceKey, conversation: &Unprepared) -> bool {
    let Some(reader) = reader else { return false };
    let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    reader.holds(key, conversation).unwrap_or(false)
}

fn is_inside(prepared: &Prepared, window: Window, channel: Option<Channel>) -> bool {
    let conversation = prepared.conversation();
    window.contains(conversation.created_at)
        && channel.is_none_or(|channel| conversation.channel == Some(channel))
}
