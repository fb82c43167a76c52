//! The steps of a migration, in order: complete items that an earlier run created, send new items, resolve ambiguous
//! items, retry refused items, and read everything back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, TransferState};
use chatark_core::Result;
use chatark_target::{DataKind, Target};
use tokio_util::sync::CancellationToken;

use super::item_sender::{ItemSender, Pass};
use super::ledger::Ledger;
use super::migration::{AgentMigration, MigrationObserver};
use super::outcome::{KindResult, ReadBack};
use super::packing::limits_of;
use super::progress::{KindProgress, stopped};
use super::reconcile;
use super::request::{Requests, is_refusal};

/// The maximum number of times that ambiguous items are looked for and sent again.
const MAX_RECOVERIES: usize = 3;
/// The maximum number of earlier refusals that one run retries.
const MAX_RETRIES: usize = 100;

/// Migrates everything to the target, kind after kind, and returns the archive with the result of each kind.
///
/// An error ends the run, and is in the result of its kind. When `stop` is cancelled, nothing more is sent, and
/// requests in flight are completed.
pub async fn migrate(
    archive: Archive,
    migration: AgentMigration,
    observer: Arc<dyn MigrationObserver>,
    stop: CancellationToken,
) -> Result<(Archive, Vec<KindResult>)> {
    let path = archive.path().to_owned();
    let migrator = Migrator { archive: Mutex::new(archive), path, migration, observer, stop };
    let mut results = Vec::new();
    for kind in &migrator.migration.kinds {
        let result = migrator.migrate(*kind).await;
        let has_failed = result.error.is_some();
        results.push(result);
        if has_failed {
            break;
        }
    }
    Ok((migrator.archive.into_inner().unwrap_or_else(PoisonError::into_inner), results))
}

struct Migrator {
    archive: Mutex<Archive>,
    /// The path of the archive, for a second connection that reads.
    path: PathBuf,
    migration: AgentMigration,
    observer: Arc<dyn MigrationObserver>,
    stop: CancellationToken,
}

impl Migrator {
    async fn migrate(&self, kind: DataKind) -> KindResult {
        let mut progress = KindProgress::default();
        let ledger = Ledger::new(&self.archive, &self.migration.name, kind, &self.migration.clock);
        let (read_back, error) = match self.migrate_kind(kind, ledger, &mut progress).await {
            Ok(read_back) => (Some(read_back), None),
            Err(error) => (None, Some(error)),
        };
        KindResult {
            kind,
            conversations: progress.selected.conversations,
            messages: progress.selected.messages,
            counts: progress.counts,
            remaining: 0,
            unfinished: ledger.count_unfinished().unwrap_or(0),
            read_back,
            loss_report: progress.loss_report,
            error,
            refusal: progress.refusal,
        }
    }

    async fn migrate_kind(
        &self,
        kind: DataKind,
        ledger: Ledger<'_>,
        progress: &mut KindProgress,
    ) -> Result<ReadBack> {
        let target = &*self.migration.target;
        let limits = limits_of(target, kind)?;
        let item_sender = ItemSender {
            requests: Requests { target, ledger, kind, stop: &self.stop },
            limits,
            migration: &self.migration,
            observer: &*self.observer,
            archive: &self.path,
        };
        let steps = KindSteps { item_sender, target, kind, ledger, stop: &self.stop };
        steps.complete_created(progress).await?;
        if limits.unique_email {
            let emails = reconcile::existing_emails(target, kind, ledger);
            progress.existing_emails = steps.unless_stopped(emails).await?;
        }
        steps.send_new(progress).await?;
        steps.resolve_ambiguous(progress).await?;
        steps.retry_refused(progress).await?;
        steps.unless_stopped(reconcile::read_back(target, kind, ledger)).await
    }
}

/// The steps of a migration of one kind.
struct KindSteps<'a> {
    item_sender: ItemSender<'a>,
    target: &'a dyn Target,
    kind: DataKind,
    ledger: Ledger<'a>,
    stop: &'a CancellationToken,
}

impl KindSteps<'_> {
    /// Completes items that an earlier run created, before anything new is sent. Items that the vendor no longer
    /// finds by their id are looked for in its list: somebody may have deleted them, or the vendor does not find what
    /// its own API has created.
    async fn complete_created(&self, progress: &mut KindProgress) -> Result<()> {
        if self.ledger.count(TransferState::Created)? == 0 {
            return Ok(());
        }
        self.item_sender.run(Pass::CompleteCreated, progress).await?;
        if !progress.take_ambiguous().is_empty() {
            progress.counts.recovered += self.recover().await?;
        }
        // Refused items stay `created` in the ledger, and are retried at the end.
        progress.counts.refused = 0;
        Ok(())
    }

    async fn send_new(&self, progress: &mut KindProgress) -> Result<()> {
        let completed = progress.counts.written;
        self.item_sender.run(Pass::SendNew, progress).await?;
        // Items that this run has completed count as written, and not as already at the target.
        progress.counts.already = progress.counts.already.saturating_sub(completed);
        Ok(())
    }

    /// Looks for ambiguous items at the target, and sends those that it does not find again.
    async fn resolve_ambiguous(&self, progress: &mut KindProgress) -> Result<()> {
        for _ in 0..MAX_RECOVERIES {
            if progress.ambiguous.is_empty() {
                return Ok(());
            }
            self.settle(progress).await?;
            progress.counts.recovered += self.recover().await?;
            let ambiguous = progress.take_ambiguous();
            self.item_sender.run(Pass::SendNotFound(ambiguous), progress).await?;
        }
        progress.require_certainty()
    }

    /// Retries items that the vendor refused in earlier runs, the oldest refusals first. Stops if the vendor keeps
    /// refusing them.
    async fn retry_refused(&self, progress: &mut KindProgress) -> Result<()> {
        let mut refused_before = std::mem::take(&mut progress.refused_before);
        if refused_before.is_empty() {
            return Ok(());
        }
        let (written, refused) = (progress.counts.written, progress.counts.refused);
        let all = refused_before.len() as u64;
        refused_before.sort();
        refused_before.truncate(MAX_RETRIES);
        let keys = refused_before.into_iter().map(|(_, key)| key).collect();
        let result = self.item_sender.run(Pass::RetryRefused(keys), progress).await;
        progress.counts.refused = refused + all - (progress.counts.written - written).min(all);
        match result {
            Err(error) if is_refusal(&error) && !error.is_ambiguous() => progress.refusal = Some(error),
            result => result?,
        }
        progress.require_certainty()
    }

    /// Records ambiguous items that are at the target as created, and returns their number.
    async fn recover(&self) -> Result<u64> {
        self.unless_stopped(reconcile::recover(self.target, self.kind, self.ledger)).await
    }

    /// Waits until the last ambiguous request must have taken effect, if it ever does.
    async fn settle(&self, progress: &KindProgress) -> Result<()> {
        let now = self.ledger.now();
        let seconds = progress.ambiguous_since.map_or(0.0, |since| now.seconds_since(since));
        let ago = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.unless_stopped(self.target.wait_for_late_effects(ago)).await
    }

    /// Returns the result of some work, or an error as soon as the run is stopped.
    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(stopped()),
            result = work => result,
        }
    }
}
