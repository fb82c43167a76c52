//! Prepares batches on their way from a provider to the writer: fetched in order, mapped and compressed on other
//! threads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, EncodedDocument, HashedDocument, HashedRecord, SourceKey, WriteOp};
use chatark_core::{
    Batch, Channel, Checkpoint, Document, GapBounds, Mapper, PageMetadata, Provider, ReadRequest, Record,
    RecordId, Result, Stream, Window,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::environment::Workers;

/// How long a batch waits for the next ones, so that they are written in one transaction.
const JOIN_WAIT: Duration = Duration::from_millis(20);
/// The most batches of one source that are prepared at the same time.
const MAX_PREPARING: usize = 4;

/// Prepares the batches of one source.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) mapper: Arc<dyn Mapper>,
    pub(crate) workers: Workers,
    /// A second connection, to recognise unchanged records without the writer.
    pub(crate) reader: Option<Arc<Mutex<Archive>>>,
    pub(crate) key: SourceKey,
    /// Conversations that began outside this window are counted and not kept.
    pub(crate) window: Window,
    /// Conversations of other channels are counted and not kept; `None` keeps all.
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
    /// Joins the batches that arrive shortly after this one, up to `max_bytes`, and returns the first one that was not
    /// joined.
    ///
    /// A transaction costs about the same for one batch as for ten.
    pub(crate) async fn join_following(
        &mut self,
        following: &mut mpsc::Receiver<Self>,
        max_bytes: u64,
    ) -> Option<Self> {
        let deadline = Instant::now() + JOIN_WAIT;
        while self.bytes < max_bytes && self.checkpoint != Checkpoint::End {
            let next = timeout_at(deadline, following.recv()).await.ok().flatten()?;
            // A restarted sweep resets its run in the run log, which needs a commit of its own.
            if next.page.restarted || self.page.restarted || self.bytes + next.bytes > max_bytes {
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

/// Fetches batches, prepares them on other threads, and passes them on in the vendor's order.
pub(crate) async fn fetch(
    preparer: Arc<Preparer>,
    request: ReadRequest,
    sender: mpsc::Sender<ReadyBatch>,
    stop: CancellationToken,
) -> Result<()> {
    let provider = Arc::clone(&preparer.provider);
    // An error is passed on after the batches that arrived before it, so that these are kept. When the run is stopped,
    // batches that have arrived are prepared and passed on; nothing more is requested.
    let fetched = provider.read(request).take_until(Box::pin(stop.cancelled_owned()));
    let preparing = fetched.map(|batch| {
        let preparer = Arc::clone(&preparer);
        async move {
            let batch = batch?;
            let workers = preparer.workers;
            workers.run("map the records", move || preparer.prepare(batch)).await
        }
    });
    let mut ready = preparing.buffered(MAX_PREPARING);
    while let Some(batch) = ready.next().await.transpose()? {
        if sender.send(batch).await.is_err() {
            break;
        }
    }
    Ok(())
}

impl Preparer {
    /// Hashes every record, and maps and compresses those that the archive does not hold unchanged.
    pub(crate) fn prepare(&self, batch: Batch) -> Result<ReadyBatch> {
        let bytes = batch.bytes() as u64;
        let mut ops = Vec::with_capacity(batch.records.len() + batch.unchanged.len());
        let groups = groups(batch.records);
        let mut held = self.are_held(&groups).into_iter();
        for group in groups {
            match group {
                Group::Document(document) => {
                    let is_held = held.next().unwrap_or(false);
                    ops.extend(self.document(document, is_held)?);
                }
                Group::Part(part) => ops.push(self.part(part)?),
            }
        }
        ops.extend(batch.unchanged.into_iter().map(WriteOp::ListedUnchanged));
        // A list row is stored with its record, so the record comes first.
        ops.extend(batch.list_rows.into_iter().map(WriteOp::ListRow));
        ops.extend(batch.gaps.into_iter().map(WriteOp::Gap));
        ops.extend(batch.passed_over.into_iter().map(WriteOp::PassedOver));
        // A record outside the request is not archived, so its gap stays open for a wider request.
        let outside: HashSet<_> = ops.iter().filter_map(id_outside).collect();
        let is_archived =
            |bounds: &GapBounds| !matches!(bounds, GapBounds::Record { id } if outside.contains(id));
        let closed: Vec<_> = batch.closed_gaps.into_iter().filter(is_archived).collect();
        ops.extend(closed.into_iter().map(WriteOp::GapClosed));
        ops.extend(batch.rotation.into_iter().map(WriteOp::Rotation));
        Ok(ReadyBatch { ops, checkpoint: batch.checkpoint, page: batch.page, bytes })
    }

    fn document(&self, document: HashedDocument, is_held: bool) -> Result<Vec<WriteOp>> {
        let stream = document.own().stream();
        if self.provider.descriptor().lists_parts_of(stream) {
            return self.document_in_parts(&document, stream);
        }
        if is_held {
            return Ok(vec![WriteOp::SameBytes(document)]);
        }
        let encoded = document.encode(&*self.mapper)?;
        let is_inside = self.is_inside(&encoded);
        Ok(vec![if is_inside { WriteOp::Document(Box::new(encoded)) } else { WriteOp::Outside(document) }])
    }

    /// Prepares a document whose parts are listed separately: the writer combines it with its archived parts.
    fn document_in_parts(&self, document: &HashedDocument, stream: Stream) -> Result<Vec<WriteOp>> {
        if !self.is_inside(&document.encode(&*self.mapper)?) {
            return Ok(vec![WriteOp::Outside(document.clone())]);
        }
        let records = std::iter::once(document.own()).chain(document.parts());
        records
            .map(|hashed| Ok(WriteOp::SeparateRecord { record: hashed.clone().encode()?, document: stream }))
            .collect()
    }

    fn part(&self, part: HashedRecord) -> Result<WriteOp> {
        let descriptor = self.provider.descriptor();
        let parent = descriptor.stream(part.stream()).and_then(|descriptor| descriptor.parent);
        let document = parent.unwrap_or(descriptor.main_stream().stream);
        Ok(WriteOp::SeparateRecord { record: part.encode()?, document })
    }

    /// Returns for each document whether the archive holds it unchanged. Returns nothing on an error, because the
    /// writer checks again.
    fn are_held(&self, groups: &[Group]) -> Vec<bool> {
        let Some(reader) = &self.reader else { return Vec::new() };
        let documents = groups.iter().filter_map(|group| match group {
            Group::Document(document) => Some(document),
            Group::Part(_) => None,
        });
        let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.holds(self.key, documents).unwrap_or_default()
    }

    /// Returns whether a document is inside the window and of the channel, which apply only to conversations.
    fn is_inside(&self, encoded: &EncodedDocument) -> bool {
        let Document::Conversation(conversation) = encoded.document() else { return true };
        self.window.contains(conversation.created_at)
            && self.channel.is_none_or(|channel| conversation.channel == Some(channel))
    }
}

/// Returns the id of a document that is outside the request.
fn id_outside(op: &WriteOp) -> Option<RecordId> {
    if let WriteOp::Outside(document) = op { Some(document.own().id().clone()) } else { None }
}

/// Records that belong together.
enum Group {
    /// A document with the parts that follow it.
    Document(HashedDocument),
    /// A part of a document in another batch.
    Part(HashedRecord),
}

/// Groups documents with the parts that follow them.
fn groups(records: Vec<Record>) -> Vec<Group> {
    let mut groups = Vec::with_capacity(records.len());
    let mut own: Option<(HashedRecord, Vec<HashedRecord>)> = None;
    let document = |(own, parts)| Group::Document(HashedDocument::new(own, parts));
    for hashed in records.into_iter().map(HashedRecord::new) {
        if hashed.stream().document().is_some() {
            groups.extend(own.replace((hashed, Vec::new())).map(document));
            continue;
        }
        match &mut own {
            Some((own, parts)) if hashed.parent() == Some(own.id()) => parts.push(hashed),
            _ => groups.push(Group::Part(hashed)),
        }
    }
    groups.extend(own.map(document));
    groups
}
