//! Between a provider and the writer: batches are fetched in order and made ready on other threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, EncodedRecord, HashedRecord, SourceKey, WriteOp};
use chatark_core::{
    Batch, Channel, Checkpoint, Error, ErrorKind, PageMetadata, Provider, PullRequest, Result, Window,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a batch waits for the next one, so that both are written in one transaction.
const SHORTLY: Duration = Duration::from_millis(20);
/// How many batches of one source are prepared at a time.
const PREPARED_AHEAD: usize = 4;

/// What it takes to make the batches of one source ready.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) provider: Arc<dyn Provider>,
    /// A second connection, by which conversations that have not changed are recognised without the writer.
    pub(crate) reader: Option<Arc<Mutex<Archive>>>,
    pub(crate) key: SourceKey,
    /// What began outside is counted and not kept.
    pub(crate) window: Window,
    /// What is of another channel is counted and not kept.
    pub(crate) channel: Option<Channel>,
}

/// A batch on its way from the vendor to the writer.
pub(crate) struct ReadyBatch {
    pub(crate) conversations: Vec<WriteOp>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) facts: PageMetadata,
    /// The size of the conversations, as the vendor sent them.
    pub(crate) bytes: u64,
}

impl ReadyBatch {
    /// Takes in the batches that follow shortly, up to so many bytes, and returns the one that is not to be joined.
    ///
    /// What one transaction costs is for the most part the same for one batch and for ten.
    pub(crate) async fn join_following(
        &mut self,
        following: &mut mpsc::Receiver<Self>,
        most: u64,
    ) -> Option<Self> {
        let deadline = Instant::now() + SHORTLY;
        while self.bytes < most && self.checkpoint != Checkpoint::End {
            let next = timeout_at(deadline, following.recv()).await.ok().flatten()?;
            // A walk that begins anew makes a new start in the ledger, which is a commit of its own.
            if next.facts.restarted || self.facts.restarted || self.bytes + next.bytes > most {
                return Some(next);
            }
            self.bytes += next.bytes;
            self.conversations.extend(next.conversations);
            self.facts.add(&next.facts);
            if next.checkpoint != Checkpoint::None {
                self.checkpoint = next.checkpoint;
            }
        }
        None
    }
}

/// Fetches batches, prepares them on other threads, and hands them on in the vendor's order.
pub(crate) async fn fetch(
    preparer: Arc<Preparer>,
    request: PullRequest,
    sender: mpsc::Sender<ReadyBatch>,
    stop: CancellationToken,
) -> Result<()> {
    let provider = Arc::clone(&preparer.provider);
    // An error takes its turn behind the batches before it, so that what was fetched before a fault is kept.
    // Batches that have arrived when the run is stopped are prepared and handed on; nothing more is asked for.
    let fetched = provider.pull(request).take_until(Box::pin(stop.cancelled_owned()));
    let preparing = fetched.map(|batch| {
        let preparer = Arc::clone(&preparer);
        async move {
            let batch = batch?;
            let done = task::spawn_blocking(move || preparer.prepare(batch)).await;
            done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "normalize", error)))
        }
    });
    let mut ready = preparing.buffered(PREPARED_AHEAD);
    while let Some(batch) = ready.next().await.transpose()? {
        if sender.send(batch).await.is_err() {
            break;
        }
    }
    Ok(())
}

impl Preparer {
    /// Hashes every conversation, and normalizes and compresses those that the archive does not hold as they are.
    fn prepare(&self, batch: Batch) -> Result<ReadyBatch> {
        let bytes = batch.bytes() as u64;
        let mut conversations = Vec::with_capacity(batch.conversations.len() + batch.unchanged.len());
        for raw in batch.conversations {
            let unprepared = HashedRecord::new(raw);
            if self.holds(&unprepared) {
                conversations.push(WriteOp::Held(unprepared));
                continue;
            }
            let spare = unprepared.clone();
            let prepared = unprepared.prepare(|bytes| self.provider.normalize(bytes))?;
            conversations.push(if self.is_inside(&prepared) {
                WriteOp::Write(Box::new(prepared))
            } else {
                WriteOp::Outside(spare)
            });
        }
        conversations.extend(batch.unchanged.into_iter().map(WriteOp::Unchanged));
        Ok(ReadyBatch { conversations, checkpoint: batch.checkpoint, facts: batch.facts, bytes })
    }

    /// A doubt counts as no: the writer looks again before it writes.
    fn holds(&self, conversation: &HashedRecord) -> bool {
        let Some(reader) = &self.reader else { return false };
        let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.holds(self.key, conversation).unwrap_or(false)
    }

    fn is_inside(&self, prepared: &EncodedRecord) -> bool {
        let conversation = prepared.conversation();
        self.window.contains(conversation.created_at)
            && self.channel.is_none_or(|channel| conversation.channel == Some(channel))
    }
}
