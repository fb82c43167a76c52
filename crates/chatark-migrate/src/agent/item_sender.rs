//! One pass over the selected items: packs all of them, and sends those that the pass includes.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use chatark_archive::Archive;
use chatark_core::{Error, Result};
use chatark_target::{KindLimits, LossReport, OutboundItem};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::{self, JoinHandle};

use super::ledger::{ItemState, digest};
use super::migration::{AgentMigration, MigrationObserver};
use super::packing::{SelectedCounts, pack_all};
use super::progress::{KindProgress, stopped};
use super::request::{RequestOutcome, Requests};

/// The maximum number of requests in flight, once a first one has succeeded.
const MAX_CONCURRENT_REQUESTS: usize = 8;
/// The maximum number of packed items that wait to be sent.
const QUEUE_LENGTH: usize = 16;
/// A chunk of this size is full; its last item may exceed it.
const CHUNK_BYTES: usize = 64 << 10;

/// A pass over the selected items, named for what it sends.
pub(super) enum Pass {
    /// Completes items that an earlier run created.
    CompleteCreated,
    /// Sends new items, and notes ambiguous and refused items for later passes.
    SendNew,
    /// Sends again the ambiguous items that were looked for and not found.
    SendNotFound(HashSet<String>),
    /// Retries items that the vendor refused in an earlier run.
    RetryRefused(HashSet<String>),
}

impl Pass {
    /// Returns whether the pass considers the item with this idempotency key.
    fn includes(&self, key: &str) -> bool {
        match self {
            Self::CompleteCreated | Self::SendNew => true,
            Self::SendNotFound(keys) | Self::RetryRefused(keys) => keys.contains(key),
        }
    }
}

/// Sends the selected items of one kind.
#[derive(Clone, Copy)]
pub(super) struct ItemSender<'a> {
    pub(super) requests: Requests<'a>,
    pub(super) limits: &'static KindLimits,
    pub(super) migration: &'a AgentMigration,
    pub(super) observer: &'a dyn MigrationObserver,
    /// The path of the archive, for a second connection that reads.
    pub(super) archive: &'a Path,
}

impl<'a> ItemSender<'a> {
    /// Packs all selected items, sends those that the pass includes, and adds the outcomes to the progress.
    pub(super) async fn run(self, pass: Pass, progress: &mut KindProgress) -> Result<()> {
        progress.failures_in_a_row = 0;
        let (items, packing) = self.pack();
        let sent = self.send(items, &pass, progress).await;
        let packed = packing.await;
        sent?;
        let (selected, loss_report) = packed.map_err(|_| Error::panicked("migrate"))??;
        (progress.selected, progress.loss_report) = (selected, loss_report.rows());
        Ok(())
    }

    /// Packs the items on a thread of its own, at the speed at which they are taken from the queue.
    fn pack(self) -> (mpsc::Receiver<OutboundItem>, JoinHandle<Result<(SelectedCounts, LossReport)>>) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let (path, kind) = (self.archive.to_owned(), self.requests.kind);
        let (options, target) = (self.migration.options.clone(), Arc::clone(&self.migration.target));
        let packing = task::spawn_blocking(move || {
            let archive = Archive::open_to_read(&path)?;
            let mut loss_report = LossReport::default();
            let selected = pack_all(&archive, &options, &*target, kind, &mut loss_report, |item| {
                sender.blocking_send(item).map_err(|_| stopped())
            })?;
            Ok((selected, loss_report))
        });
        (receiver, packing)
    }

    /// Sends items from the queue until it ends, an error ends the run, or the run is stopped.
    async fn send(
        self,
        mut items: mpsc::Receiver<OutboundItem>,
        pass: &Pass,
        progress: &mut KindProgress,
    ) -> Result<()> {
        let stop = self.requests.stop;
        let mut in_flight: FuturesUnordered<BoxFuture<'a, RequestOutcome>> = FuturesUnordered::new();
        let mut chunk = Chunk::default();
        let (mut has_more, mut has_succeeded, mut fatal) = (true, false, None);
        loop {
            if stop.is_cancelled() {
                fatal.get_or_insert_with(stopped);
            }
            has_more &= fatal.is_none();
            let max_requests = if has_succeeded { MAX_CONCURRENT_REQUESTS } else { 1 };
            tokio::select! {
                biased;
                Some(outcome) = in_flight.next(), if !in_flight.is_empty() => {
                    has_succeeded |= outcome.written > 0;
                    fatal = fatal.or(progress.add(outcome, self.requests.ledger.now()));
                    self.observer.on_progress(self.requests.kind, &progress.counts);
                }
                item = items.recv(), if has_more && in_flight.len() < max_requests => match item {
                    Some(item) if !pass.includes(&item.idempotency_key) => {}
                    Some(item) => match self.next_action(&item, pass, progress)? {
                        Action::Create => {
                            chunk.add(item);
                            // The first item is sent alone: an error that affects all items shows in the first one.
                            if !has_succeeded || chunk.is_full(self.limits) {
                                in_flight.push(self.requests.create(chunk.take()));
                            }
                        }
                        Action::Complete(id) => in_flight.push(self.requests.complete(item, id, true).boxed()),
                        Action::Nothing => {}
                    },
                    None => {
                        has_more = false;
                        if !chunk.is_empty() {
                            in_flight.push(self.requests.create(chunk.take()));
                        }
                    }
                },
                () = stop.cancelled(), if has_more => {}
                else => break,
            }
        }
        fatal.map_or(Ok(()), Err)
    }

    /// Returns what to do with an item. The pass that sends new items counts every item, and notes those of later
    /// passes.
    fn next_action(self, item: &OutboundItem, pass: &Pass, progress: &mut KindProgress) -> Result<Action> {
        let transfer = self.requests.ledger.find_and_rekey(item)?;
        let state = ItemState::of(transfer.as_ref());
        let has_changed = transfer.as_ref().is_some_and(|transfer| transfer.digest != digest(item));
        let changed_at = transfer.as_ref().and_then(|transfer| transfer.changed_at);
        let complete = || Action::Complete(transfer.and_then(|transfer| transfer.target_id));
        let is_send_new = matches!(pass, Pass::SendNew);
        if is_send_new {
            progress.counts.items += 1;
            progress.counts.already += u64::from(state == ItemState::Done);
            progress.counts.changed += u64::from(state == ItemState::Done && has_changed);
        }
        let exists = item.email.as_ref().is_some_and(|email| progress.existing_emails.contains(email));
        Ok(match state {
            ItemState::New | ItemState::Refused if is_send_new && exists => {
                progress.counts.existing += 1;
                Action::Nothing
            }
            ItemState::Created => complete(),
            ItemState::Done => Action::Nothing,
            _ if matches!(pass, Pass::CompleteCreated) => Action::Nothing,
            ItemState::Ambiguous if is_send_new => {
                progress.ambiguous.insert(item.idempotency_key.clone());
                progress.ambiguous_since = progress.ambiguous_since.max(changed_at);
                Action::Nothing
            }
            ItemState::Refused | ItemState::CompletionRefused if is_send_new => {
                progress.refused_before.push((changed_at, item.idempotency_key.clone()));
                Action::Nothing
            }
            ItemState::CompletionRefused => complete(),
            ItemState::New | ItemState::Ambiguous | ItemState::Refused => Action::Create,
        })
    }
}

/// What to do with an item.
enum Action {
    Create,
    /// Complete it under this id, if the vendor has returned one.
    Complete(Option<String>),
    Nothing,
}

/// Items for one request.
#[derive(Default)]
struct Chunk {
    items: Vec<OutboundItem>,
    bytes: usize,
}

impl Chunk {
    fn add(&mut self, item: OutboundItem) {
        self.bytes += item.create_body.len();
        self.items.push(item);
    }

    fn is_full(&self, limits: &KindLimits) -> bool {
        self.items.len() >= limits.items_per_request || self.bytes >= CHUNK_BYTES
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn take(&mut self) -> Vec<OutboundItem> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}
