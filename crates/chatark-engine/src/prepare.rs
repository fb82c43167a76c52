//! Between a provider and the writer: batches are fetched in order and made ready on other threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, EncodedDocument, HashedDocument, HashedRecord, SourceKey, WriteOp};
use chatark_core::{
    Batch, Channel, Checkpoint, Document, Mapper, PageMetadata, Provider, ReadRequest, Record, Result,
    Stream, Window,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::environment::Workers;

/// How long a batch waits for the next one, so that both are written in one transaction.
const SHORTLY: Duration = Duration::from_millis(20);
/// How many batches of one source are prepared at a time.
const PREPARED_AHEAD: usize = 4;

/// What it takes to make the batches of one source ready.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) mapper: Arc<dyn Mapper>,
    pub(crate) workers: Workers,
    /// A second connection, by which records that have not changed are recognised without the writer.
    pub(crate) reader: Option<Arc<Mutex<Archive>>>,
    pub(crate) key: SourceKey,
    /// What began outside is counted and not kept.
    pub(crate) window: Window,
    /// What is of another channel is counted and not kept.
    pub(crate) channel: Option<Channel>,
}

/// A batch on its way from the vendor to the writer.
pub(crate) struct ReadyBatch {
    pub(crate) ops: Vec<WriteOp>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) page: PageMetadata,
    /// The size of the records, as the vendor sent them.
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
            if next.page.restarted || self.page.restarted || self.bytes + next.bytes > most {
                return Some(next);
            }
            self.bytes += next.bytes;
            self.ops.extend(next.ops);
            self.page.add(&next.page);
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
    request: ReadRequest,
    sender: mpsc::Sender<ReadyBatch>,
    stop: CancellationToken,
) -> Result<()> {
    let provider = Arc::clone(&preparer.provider);
    // An error takes its turn behind the batches before it, so that what was fetched before a fault is kept.
    // Batches that have arrived when the run is stopped are prepared and handed on; nothing more is asked for.
    let fetched = provider.read(request).take_until(Box::pin(stop.cancelled_owned()));
    let preparing = fetched.map(|batch| {
        let preparer = Arc::clone(&preparer);
        async move {
            let batch = batch?;
            let workers = preparer.workers;
            workers.run("map the records", move || preparer.prepare(batch)).await
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
    /// Hashes every record, and maps and compresses those that the archive does not hold as they are.
    fn prepare(&self, batch: Batch) -> Result<ReadyBatch> {
        let bytes = batch.bytes() as u64;
        let mut ops = Vec::with_capacity(batch.records.len() + batch.unchanged.len());
        for group in groups(batch.records) {
            match group {
                Group::Document(document) => ops.extend(self.document(document)?),
                Group::Part(part) => ops.push(self.part(part)?),
            }
        }
        ops.extend(batch.unchanged.into_iter().map(WriteOp::Unchanged));
        Ok(ReadyBatch { ops, checkpoint: batch.checkpoint, page: batch.page, bytes })
    }

    fn document(&self, document: HashedDocument) -> Result<Vec<WriteOp>> {
        let stream = document.own().stream();
        if self.provider.descriptor().lists_parts_of(stream) {
            return self.document_in_parts(&document, stream);
        }
        if self.holds(&document) {
            return Ok(vec![WriteOp::Held(document)]);
        }
        let encoded = document.encode(&*self.mapper)?;
        let is_inside = self.is_inside(&encoded);
        Ok(vec![if is_inside { WriteOp::Write(Box::new(encoded)) } else { WriteOp::Outside(document) }])
    }

    /// Makes ready a document whose parts are listed by themselves: the writer puts together all that is held of it.
    fn document_in_parts(&self, document: &HashedDocument, stream: Stream) -> Result<Vec<WriteOp>> {
        if !self.is_inside(&document.encode(&*self.mapper)?) {
            return Ok(vec![WriteOp::Outside(document.clone())]);
        }
        let records = std::iter::once(document.own()).chain(document.parts());
        records
            .map(|hashed| Ok(WriteOp::Part { record: hashed.clone().encode()?, document: stream }))
            .collect()
    }

    fn part(&self, part: HashedRecord) -> Result<WriteOp> {
        let descriptor = self.provider.descriptor();
        let parent = descriptor.stream(part.stream()).and_then(|descriptor| descriptor.parent);
        let document = parent.unwrap_or(descriptor.main_stream().stream);
        Ok(WriteOp::Part { record: part.encode()?, document })
    }

    /// A doubt counts as no: the writer looks again before it writes.
    fn holds(&self, document: &HashedDocument) -> bool {
        let Some(reader) = &self.reader else { return false };
        let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.holds(self.key, document).unwrap_or(false)
    }

    /// A window and a channel are those of conversations.
    fn is_inside(&self, encoded: &EncodedDocument) -> bool {
        let Document::Conversation(conversation) = encoded.document() else { return true };
        self.window.contains(conversation.created_at)
            && self.channel.is_none_or(|channel| conversation.channel == Some(channel))
    }
}

/// Records that belong together.
enum Group {
    /// A document with the parts that follow it.
    Document(HashedDocument),
    /// A part of a document that came before, or comes later.
    Part(HashedRecord),
}

/// Puts documents and the parts that follow them together.
fn groups(records: Vec<Record>) -> Vec<Group> {
    let mut groups = Vec::with_capacity(records.len());
    let mut own: Option<(HashedRecord, Vec<HashedRecord>)> = None;
    let whole = |(own, parts)| Group::Document(HashedDocument::new(own, parts));
    for hashed in records.into_iter().map(HashedRecord::new) {
        if hashed.stream().document().is_some() {
            groups.extend(own.replace((hashed, Vec::new())).map(whole));
            continue;
        }
        match &mut own {
            Some((document, parts)) if hashed.parent() == Some(document.id()) => parts.push(hashed),
            _ => groups.push(Group::Part(hashed)),
        }
    }
    groups.extend(own.map(whole));
    groups
}
