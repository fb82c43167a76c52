//! The steps of a migration, in order: complete what an earlier run began, send what is new, resolve what is ambiguous,
//! retry what was refused, and read everything back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, TransferState};
use chatark_core::Result;
use chatark_target::{DataKind, Target};
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::migration::{AgentMigration, MigrationObserver};
use super::outcome::{KindResult, ReadBack};
use super::packing::limits_of;
use super::progress::{KindProgress, stopped};
use super::reconcile;
use super::request::{Requests, is_refusal};
use super::walk::{Purpose, Walker};

/// The maximum number of times that ambiguous items are looked for and sent again.
const MAX_RECOVERIES: usize = 3;
/// The maximum number of earlier refusals that one run retries.
const MAX_RETRIES: usize = 100;

/// Migrates everything to the target, kind after kind, and returns the archive with the result of each kind.
///
/// An error ends the run; what was done is kept. When `stop` is cancelled, nothing more is sent, and requests in flight
/// are completed.
pub async fn migrate(
    archive: Archive,
    migration: AgentMigration,
    observer: Arc<dyn MigrationObserver>,
    stop: CancellationToken,
) -> Result<(Archive, Vec<KindResult>)> {
    let path = archive.path().to_owned();
    let migrator = Migrator { ledger: Mutex::new(archive), path, migration, observer, stop };
    let mut results = Vec::new();
    for kind in &migrator.migration.kinds {
        let result = migrator.migrate(*kind).await;
        let has_failed = result.error.is_some();
        results.push(result);
        if has_failed {
            break;
        }
    }
    Ok((migrator.ledger.into_inner().unwrap_or_else(PoisonError::into_inner), results))
}

struct Migrator {
    ledger: Mutex<Archive>,
    /// The path of the archive, for a second connection that reads.
    path: PathBuf,
    migration: AgentMigration,
    observer: Arc<dyn MigrationObserver>,
    stop: CancellationToken,
}

impl Migrator {
    async fn migrate(&self, kind: DataKind) -> KindResult {
        let mut progress = KindProgress::default();
        let ledger = Ledger::new(&self.ledger, &self.migration.name, kind, &self.migration.clock);
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
        let walker = Walker {
            requests: Requests { target, ledger, kind, stop: &self.stop },
            limits,
            migration: &self.migration,
            observer: &*self.observer,
            archive: &self.path,
        };
        let kind_migrator = KindMigrator { walker, target, kind, ledger, stop: &self.stop };
        kind_migrator.complete_created(progress).await?;
        if limits.unique_email {
            let emails = reconcile::existing_emails(target, kind, ledger);
            progress.existing_emails = kind_migrator.unless_stopped(emails).await?;
        }
        kind_migrator.send_new(progress).await?;
        kind_migrator.resolve_ambiguous(progress).await?;
        kind_migrator.retry_refused(progress).await?;
        kind_migrator.unless_stopped(reconcile::read_back(target, kind, ledger)).await
    }
}

/// The steps of a migration of one kind.
struct KindMigrator<'a> {
    walker: Walker<'a>,
    target: &'a dyn Target,
    kind: DataKind,
    ledger: Ledger<'a>,
    stop: &'a CancellationToken,
}

impl KindMigrator<'_> {
    /// Completes what an earlier run created, before anything new is sent. Items that are no longer found under their
    /// id are searched for: somebody may have deleted them, or the vendor does not find what its own API has created.
    async fn complete_created(&self, progress: &mut KindProgress) -> Result<()> {
        if self.ledger.count(TransferState::Created)? == 0 {
            return Ok(());
        }
        self.walker.walk(Purpose::CompleteCreated, progress).await?;
        if !progress.take_ambiguous().is_empty() {
            progress.counts.recovered += self.recover().await?;
        }
        // Refused items stay created in the ledger, and are tried again at the end.
        progress.counts.refused = 0;
        Ok(())
    }

    async fn send_new(&self, progress: &mut KindProgress) -> Result<()> {
        let completed = progress.counts.written;
        self.walker.walk(Purpose::SendNew, progress).await?;
        // What this run has completed counts as written, and not as already there.
        progress.counts.already = progress.counts.already.saturating_sub(completed);
        Ok(())
    }

    /// Looks for ambiguous items at the target, and sends those that are not there again.
    async fn resolve_ambiguous(&self, progress: &mut KindProgress) -> Result<()> {
        for _ in 0..MAX_RECOVERIES {
            if progress.ambiguous.is_empty() {
                return Ok(());
            }
            self.settle(progress).await?;
            progress.counts.recovered += self.recover().await?;
            let ambiguous = progress.take_ambiguous();
            self.walker.walk(Purpose::SendNotFound(ambiguous), progress).await?;
        }
        progress.require_certainty()
    }

    /// Retries items that the vendor refused in earlier runs, the oldest refusals first, and stops if the vendor keeps
    /// refusing them.
    async fn retry_refused(&self, progress: &mut KindProgress) -> Result<()> {
        let mut before = std::mem::take(&mut progress.refused_before);
        if before.is_empty() {
            return Ok(());
        }
        let (written, refused) = (progress.counts.written, progress.counts.refused);
        let all = before.len() as u64;
        before.sort();
        before.truncate(MAX_RETRIES);
        let keys = before.into_iter().map(|(_, key)| key).collect();
        let result = self.walker.walk(Purpose::RetryRefused(keys), progress).await;
        progress.counts.refused = refused + all - (progress.counts.written - written).min(all);
        match result {
            Err(error) if is_refusal(&error) && !error.is_ambiguous() => progress.refusal = Some(error),
            result => result?,
        }
        progress.require_certainty()
    }

    async fn recover(&self) -> Result<u64> {
        self.unless_stopped(reconcile::recover(self.target, self.kind, self.ledger)).await
    }

    /// Waits until the last request without a response must have taken effect.
    async fn settle(&self, progress: &KindProgress) -> Result<()> {
        let now = self.ledger.now();
        let seconds = progress.ambiguous_since.map_or(0.0, |since| now.seconds_since(since));
        let ago = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.unless_stopped(self.target.wait_for_late_effects(ago)).await
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(stopped()),
            result = work => result,
        }
    }
}
