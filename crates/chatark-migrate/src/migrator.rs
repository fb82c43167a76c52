//! The work of a migration into an agent: what an earlier run left, what is new, what is doubtful, what was refused,
//! and in the end the reading back.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, Transfer, TransferState};
use chatark_core::{Error, ErrorKind, Result, Timestamp};
use chatark_target::{DataKind, HeldItem, KindLimits, LossReport, LossRow, OutboundItem, Visit};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::{self, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::carry::{Carried, Job, Progress, ReadBack, Tally};
use crate::ledger::{LedgerState, digest, known, transfer};
use crate::supply::{Chosen, short, supply};

/// How many requests are under way at a time, once the first one has gone well.
const SIDE_BY_SIDE: usize = 8;
/// How many items wait to be sent.
const WAITING: usize = 16;
/// A request with several items carries about so many bytes at most.
const TOGETHER_BYTES: usize = 64 << 10;
/// How often what is doubtful is looked for and tried again.
const ROUNDS: usize = 3;
/// So many of those that are missing are named.
const MOST_MISSING: usize = 20;
/// A run ends where so many items in a row are refused.
const MOST_IN_A_ROW: u64 = 50;
/// So many of those that were refused before are tried again in one run.
const MOST_TRIED_AGAIN: usize = 100;
/// A request without an answer counts as so many refusals: a vendor that is down is left alone sooner.
const DOUBT_COUNTS: u64 = 5;

/// Carries the items of a job, and writes into the ledger how far each of them comes.
pub(crate) struct Migrator {
    ledger: Mutex<Archive>,
    /// Where the archive lies, for a second connection that reads.
    path: PathBuf,
    job: Job,
    progress: Arc<dyn Progress>,
    stop: CancellationToken,
}

/// Which items a walk through the archive is for.
enum Pass {
    /// Those that an earlier run created and did not complete.
    Left,
    /// All of them; what is doubtful or was refused is put aside.
    First,
    /// Doubtful ones that were looked for: what is not known by now is not there.
    LookedFor(HashSet<String>),
    /// Those that an earlier run was refused.
    Again(HashSet<String>),
}

impl Pass {
    fn is_for(&self, idempotency_key: &str) -> bool {
        match self {
            Self::Left | Self::First => true,
            Self::LookedFor(keys) | Self::Again(keys) => keys.contains(idempotency_key),
        }
    }
}

/// What is known of one kind so far.
#[derive(Default)]
struct KindProgress {
    tally: Tally,
    chosen: Chosen,
    loss_report: Vec<LossRow>,
    refusal: Option<Error>,
    /// Why something is doubtful.
    doubt: Option<Error>,
    /// The keys of items of which it is not known whether they are there.
    doubtful: HashSet<String>,
    /// When the latest of them was sent.
    doubtful_since: Option<Timestamp>,
    /// The keys of items that an earlier run was refused, with the time of that.
    refused_before: Vec<(Option<Timestamp>, String)>,
    /// The e-mail addresses of people who are there without Chatark.
    theirs: HashSet<String>,
    /// How much went wrong in a row.
    in_a_row: u64,
}

/// What came of one request, and of those that complete what it created.
#[derive(Default)]
struct RequestOutcome {
    written: u64,
    refused: u64,
    refusal: Option<Error>,
    /// The keys of items of which it is not known whether they are there.
    doubtful: Vec<String>,
    doubt: Option<Error>,
    /// What ends the run.
    ended: Option<Error>,
}

impl RequestOutcome {
    fn ended(error: Error) -> Self {
        Self { ended: Some(error), ..Self::default() }
    }

    fn refused(error: Error) -> Self {
        Self { refused: 1, refusal: Some(error), ..Self::default() }
    }

    fn doubtful(items: &[OutboundItem], error: Error) -> Self {
        let doubtful = items.iter().map(|item| item.idempotency_key.clone()).collect();
        Self { doubtful, doubt: Some(error), ..Self::default() }
    }

    fn and(mut self, later: Self) -> Self {
        self.doubtful.extend(later.doubtful);
        Self {
            written: self.written + later.written,
            refused: self.refused + later.refused,
            refusal: later.refusal.or(self.refusal),
            doubtful: self.doubtful,
            doubt: later.doubt.or(self.doubt),
            ended: self.ended.or(later.ended),
        }
    }
}

impl KindProgress {
    /// Adds what came of a request, and returns what ends the run.
    fn add(&mut self, outcome: RequestOutcome) -> Option<Error> {
        let is_doubtful = !outcome.doubtful.is_empty();
        let wrong = outcome.refused + DOUBT_COUNTS * u64::from(is_doubtful);
        self.tally.written += outcome.written;
        self.tally.refused += outcome.refused;
        self.in_a_row = if outcome.written > 0 { 0 } else { self.in_a_row + wrong };
        self.refusal = outcome.refusal.or(self.refusal.take());
        self.doubt = outcome.doubt.or(self.doubt.take());
        self.doubtful.extend(outcome.doubtful);
        if outcome.ended.is_some() || self.in_a_row < MOST_IN_A_ROW {
            return outcome.ended;
        }
        if is_doubtful { self.doubt.take() } else { self.refusal.take() }
    }
}

impl Migrator {
    pub(crate) fn new(
        archive: Archive,
        job: Job,
        progress: Arc<dyn Progress>,
        stop: CancellationToken,
    ) -> Self {
        let path = archive.path().to_owned();
        Self { ledger: Mutex::new(archive), path, job, progress, stop }
    }

    pub(crate) fn into_archive(self) -> Archive {
        self.ledger.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries everything of a kind.
    pub(crate) async fn carry(&self, kind: DataKind) -> Carried {
        let mut progress = KindProgress::default();
        let (read_back, error) = match self.rounds(kind, &mut progress).await {
            Ok(read_back) => (Some(read_back), None),
            Err(error) => (None, Some(error)),
        };
        let KindProgress { tally, chosen, loss_report, refusal, .. } = progress;
        let Chosen { conversations, messages } = chosen;
        let unfinished = self.ledger().count_unfinished_transfers(&self.job.name, kind.as_str()).unwrap_or(0);
        Carried {
            kind,
            conversations,
            messages,
            tally,
            left: 0,
            unfinished,
            read_back,
            loss_report,
            error,
            refusal,
        }
    }

    /// Sends what is not there, looks for what is doubtful as often as it takes, and reads everything back.
    async fn rounds(&self, kind: DataKind, progress: &mut KindProgress) -> Result<ReadBack> {
        self.complete_what_was_left(kind, progress).await?;
        let completed = progress.tally.written;
        if self.limits(kind)?.unique_email {
            progress.theirs = self.unless_stopped(self.addresses_there(kind)).await?;
        }
        self.pass(kind, Pass::First, progress).await?;
        progress.tally.already -= completed.min(progress.tally.already);
        for _ in 0..ROUNDS {
            if progress.doubtful.is_empty() {
                break;
            }
            self.unless_stopped(self.settle(progress)).await?;
            progress.tally.recovered += self.unless_stopped(self.look_for(kind)).await?;
            let doubtful = std::mem::take(&mut progress.doubtful);
            progress.doubt = None;
            self.pass(kind, Pass::LookedFor(doubtful), progress).await?;
        }
        if !progress.doubtful.is_empty() {
            return Err(progress.doubt.take().unwrap_or_else(stopped));
        }
        self.try_again(kind, progress).await?;
        self.unless_stopped(self.read_back(kind)).await
    }

    /// Completes what an earlier run created, before anything new is. What is no longer there under its id is looked
    /// for: somebody may have deleted it, or the vendor cannot find what its own API has created.
    async fn complete_what_was_left(&self, kind: DataKind, progress: &mut KindProgress) -> Result<()> {
        if self.ledger().count_transfers(&self.job.name, kind.as_str(), TransferState::Created)? == 0 {
            return Ok(());
        }
        self.pass(kind, Pass::Left, progress).await?;
        if !progress.doubtful.is_empty() {
            progress.tally.recovered += self.unless_stopped(self.look_for(kind)).await?;
            progress.doubtful.clear();
            progress.doubt = None;
        }
        // What was refused stays begun, and is tried again at the end.
        progress.tally.refused = 0;
        Ok(())
    }

    /// Tries what an earlier run was refused, the oldest refusals first, and gives up where the vendor goes on refusing.
    async fn try_again(&self, kind: DataKind, progress: &mut KindProgress) -> Result<()> {
        let mut before = std::mem::take(&mut progress.refused_before);
        if before.is_empty() {
            return Ok(());
        }
        let (written, refused) = (progress.tally.written, progress.tally.refused);
        let all = before.len() as u64;
        before.sort();
        before.truncate(MOST_TRIED_AGAIN);
        let keys = before.into_iter().map(|(_, idempotency_key)| idempotency_key).collect();
        let ended = self.pass(kind, Pass::Again(keys), progress).await;
        progress.tally.refused = refused + all - (progress.tally.written - written).min(all);
        match ended {
            Err(error) if is_of_parcels(&error) && !error.is_ambiguous() => progress.refusal = Some(error),
            ended => ended?,
        }
        if progress.doubtful.is_empty() { Ok(()) } else { Err(progress.doubt.take().unwrap_or_else(stopped)) }
    }

    /// Waits until the latest request without an answer must have had its effect.
    async fn settle(&self, progress: &KindProgress) -> Result<()> {
        let seconds = progress.doubtful_since.map_or(0.0, |since| self.job.clock.now().seconds_since(since));
        self.job.target.settle(Duration::try_from_secs_f64(seconds).unwrap_or_default()).await
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(stopped()),
            done = work => done,
        }
    }

    /// Goes through the archive once, and sends what is to be sent.
    async fn pass(&self, kind: DataKind, pass: Pass, progress: &mut KindProgress) -> Result<()> {
        progress.in_a_row = 0;
        let (mut items, packing) = self.supply(kind);
        let sent = self.send(kind, &mut items, &pass, progress).await;
        drop(items);
        let packed = packing.await;
        sent?;
        let (chosen, loss_report) =
            packed.map_err(|error| Error::new(ErrorKind::Unexpected, MIGRATE, error))??;
        (progress.chosen, progress.loss_report) = (chosen, loss_report.rows());
        Ok(())
    }

    /// Packs in a thread of its own, as fast as items are taken.
    fn supply(
        &self,
        kind: DataKind,
    ) -> (mpsc::Receiver<OutboundItem>, JoinHandle<Result<(Chosen, LossReport)>>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (path, order, target) = (self.path.clone(), self.job.order.clone(), Arc::clone(&self.job.target));
        let packing = task::spawn_blocking(move || {
            let archive = Archive::open_to_read(&path)?;
            let mut loss_report = LossReport::default();
            let chosen = supply(&archive, &order, &*target, kind, &mut loss_report, |item| {
                sender.blocking_send(item).map_err(|_| stopped())
            })?;
            Ok((chosen, loss_report))
        });
        (receiver, packing)
    }

    async fn send(
        &self,
        kind: DataKind,
        items: &mut mpsc::Receiver<OutboundItem>,
        pass: &Pass,
        progress: &mut KindProgress,
    ) -> Result<()> {
        let limits = self.limits(kind)?;
        let mut under_way: FuturesUnordered<BoxFuture<'_, RequestOutcome>> = FuturesUnordered::new();
        let mut chunk = Chunk::default();
        let (mut is_more, mut has_worked, mut ended) = (true, false, None);
        loop {
            if self.stop.is_cancelled() {
                ended.get_or_insert_with(stopped);
            }
            is_more &= ended.is_none();
            let room = if has_worked { SIDE_BY_SIDE } else { 1 };
            tokio::select! {
                biased;
                Some(outcome) = under_way.next(), if !under_way.is_empty() => {
                    has_worked |= outcome.written > 0;
                    if !outcome.doubtful.is_empty() {
                        progress.doubtful_since = Some(self.job.clock.now());
                    }
                    ended = ended.or(progress.add(outcome));
                    self.progress.advance(kind, &progress.tally);
                }
                item = items.recv(), if is_more && under_way.len() < room => match item {
                    Some(item) if !pass.is_for(&item.idempotency_key) => {}
                    Some(item) => match self.next_step(kind, &item, pass, progress)? {
                        Step::Create => {
                            chunk.add(item);
                            // The first one goes by itself: what is wrong with all of them shows in it.
                            if !has_worked || chunk.is_full(limits) {
                                under_way.push(self.create(kind, chunk.take()));
                            }
                        }
                        Step::Complete(id) => under_way.push(self.complete(kind, item, id, true).boxed()),
                        Step::Nothing => {}
                    },
                    None => {
                        is_more = false;
                        if !chunk.is_empty() {
                            under_way.push(self.create(kind, chunk.take()));
                        }
                    }
                },
                () = self.stop.cancelled(), if is_more => {}
                else => break,
            }
        }
        ended.map_or(Ok(()), Err)
    }

    /// Says what is to be done with an item, counts it where it comes for the first time, and puts it aside where
    /// its turn comes later.
    fn next_step(
        &self,
        kind: DataKind,
        item: &OutboundItem,
        pass: &Pass,
        progress: &mut KindProgress,
    ) -> Result<Step> {
        let held = self.known(kind, item)?;
        let standing = LedgerState::of(held.as_ref());
        if let Pass::First = pass {
            let is_there = standing == LedgerState::There;
            let has_changed = held.as_ref().is_some_and(|held| held.digest != digest(item));
            progress.tally.items += 1;
            progress.tally.already += u64::from(is_there);
            progress.tally.changed += u64::from(is_there && has_changed);
        }
        let is_theirs = item.email.as_ref().is_some_and(|email| progress.theirs.contains(email));
        Ok(match (standing, pass) {
            (LedgerState::New | LedgerState::Refused, Pass::First) if is_theirs => {
                progress.tally.theirs += 1;
                Step::Nothing
            }
            (LedgerState::Created, _) => Step::Complete(held.and_then(|held| held.target_id)),
            (LedgerState::There, _) | (_, Pass::Left) => Step::Nothing,
            (LedgerState::Doubtful, Pass::First) => {
                progress.doubtful.insert(item.idempotency_key.clone());
                progress.doubtful_since = progress.doubtful_since.max(held.and_then(|held| held.updated_at));
                Step::Nothing
            }
            (LedgerState::Refused | LedgerState::Stuck, Pass::First) => {
                let refused_at = held.and_then(|held| held.updated_at);
                progress.refused_before.push((refused_at, item.idempotency_key.clone()));
                Step::Nothing
            }
            (LedgerState::Stuck, _) => Step::Complete(held.and_then(|held| held.target_id)),
            (LedgerState::New | LedgerState::Doubtful | LedgerState::Refused, _) => Step::Create,
        })
    }

    /// Returns what the ledger knows of an item, and gives it its present key there.
    fn known(&self, kind: DataKind, item: &OutboundItem) -> Result<Option<Transfer>> {
        let (mut ledger, name) = (self.ledger(), &self.job.name);
        let Some(held) = known(&ledger, name, kind, item)? else { return Ok(None) };
        if held.idempotency_key != item.idempotency_key {
            ledger.rekey_transfer(name, kind.as_str(), &held.idempotency_key, &item.idempotency_key)?;
        }
        Ok(Some(Transfer { idempotency_key: item.idempotency_key.clone(), ..held }))
    }

    /// Creates items with one request. Where it is refused, its halves are sent by themselves, down to the item
    /// that is to blame.
    fn create(&self, kind: DataKind, mut chunk: Vec<OutboundItem>) -> BoxFuture<'_, RequestOutcome> {
        async move {
            if let Err(error) = self.keep(kind, &chunk, TransferState::Intended, &[], None) {
                return RequestOutcome::ended(error);
            }
            let error = match self.job.target.create(kind, &chunk).await {
                Ok(ids) => return self.created(kind, chunk, ids).await,
                Err(error) => error,
            };
            match (error, chunk.len()) {
                (error, _) if error.is_ambiguous() => RequestOutcome::doubtful(&chunk, error),
                (error, 2..) if is_of_parcels(&error) => {
                    let rest = chunk.split_off(chunk.len() / 2);
                    let mut outcome = self.create(kind, chunk).await;
                    if outcome.written == 0 && outcome.refused >= MOST_IN_A_ROW && outcome.ended.is_none() {
                        outcome.ended = outcome.refusal.take();
                    }
                    if outcome.ended.is_some() || self.stop.is_cancelled() {
                        return outcome.and(self.forget(kind, &rest));
                    }
                    outcome.and(self.create(kind, rest).await)
                }
                (error, _) if is_of_parcels(&error) => {
                    let kept = self.keep(kind, &chunk, TransferState::Refused, &[], Some(&error));
                    kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome::refused(error))
                }
                (error, _) => RequestOutcome::ended(error).and(self.forget(kind, &chunk)),
            }
        }
        .boxed()
    }

    async fn created(
        &self,
        kind: DataKind,
        chunk: Vec<OutboundItem>,
        ids: Vec<Option<String>>,
    ) -> RequestOutcome {
        let has_all = ids.len() == chunk.len()
            && chunk.iter().zip(&ids).all(|(item, id)| id.is_some() || item.complete_body.is_empty());
        if !has_all {
            let message = "the vendor does not say under which id it has what it was sent";
            return RequestOutcome::doubtful(
                &chunk,
                Error::new(ErrorKind::Malformed, MIGRATE, message).ambiguous(),
            );
        }
        if let Err(error) = self.keep(kind, &chunk, TransferState::Created, &ids, None) {
            return RequestOutcome::ended(error);
        }
        let mut outcome = RequestOutcome::default();
        for (item, id) in chunk.into_iter().zip(ids) {
            outcome = outcome.and(self.complete(kind, item, id, false).await);
        }
        outcome
    }

    /// Completes what was created, by this run or an earlier one.
    async fn complete(
        &self,
        kind: DataKind,
        item: OutboundItem,
        id: Option<String>,
        is_old: bool,
    ) -> RequestOutcome {
        let completed = match &id {
            Some(id) => self.job.target.complete(&item, id).await,
            None => Ok(()),
        };
        let items = std::slice::from_ref(&item);
        match completed {
            Ok(()) => {
                let kept = self.keep(kind, items, TransferState::Done, &[id], None);
                kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome {
                    written: 1,
                    ..RequestOutcome::default()
                })
            }
            Err(error) if matches!(error.kind(), ErrorKind::Network | ErrorKind::Unavailable) => {
                RequestOutcome::doubtful(items, error)
            }
            Err(error) if is_old && error.kind() == ErrorKind::NotFound => {
                let kept = self.keep(kind, items, TransferState::Intended, &[], None);
                kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome::doubtful(items, error))
            }
            Err(error) if is_of_parcels(&error) => {
                let kept = self.keep(kind, items, TransferState::Created, &[id], Some(&error));
                kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome::refused(error))
            }
            Err(error) => RequestOutcome::ended(error),
        }
    }

    /// Returns the e-mail addresses of people at the target whom the ledger does not know.
    async fn addresses_there(&self, kind: DataKind) -> Result<HashSet<String>> {
        let mut addresses = HashSet::new();
        let mut look = |archived: &HeldItem| {
            let held = self.held(kind, archived)?;
            if held.is_none_or(|held| held.state == TransferState::Refused) {
                addresses.extend(archived.email.clone());
            }
            Ok(Visit::Done)
        };
        self.job.target.each_held(kind, &mut look).await?;
        Ok(addresses)
    }

    /// Looks at the target for what the ledger only knows as intended, and returns how many were archived.
    async fn look_for(&self, kind: DataKind) -> Result<u64> {
        let mut recovered = 0;
        let mut look = |archived: &HeldItem| {
            let held = self.held(kind, archived)?;
            let Some(held) = held else {
                let is_unknown = archived.external_id.is_none();
                return Ok(if is_unknown { Visit::NeedsExternalId } else { Visit::Done });
            };
            if held.state == TransferState::Intended {
                let target_id = archived.id.clone();
                let created = Transfer { state: TransferState::Created, target_id, ..held };
                self.ledger().save_transfers(&self.job.name, kind.as_str(), &[created])?;
                recovered += 1;
            }
            Ok(Visit::Done)
        };
        self.job.target.each_held(kind, &mut look).await?;
        Ok(recovered)
    }

    /// Counts what the target shows of what the ledger says is there.
    async fn read_back(&self, kind: DataKind) -> Result<ReadBack> {
        let mut keys = HashSet::new();
        let expected = self.ledger().count_transfers(&self.job.name, kind.as_str(), TransferState::Done)?;
        let mut read_back = ReadBack { expected, ..ReadBack::default() };
        let mut look = |archived: &HeldItem| {
            let held = self.held(kind, archived)?.filter(|held| held.state == TransferState::Done);
            let Some(held) = held.filter(|held| keys.insert(short(&held.idempotency_key))) else {
                return Ok(Visit::Done);
            };
            read_back.found += 1;
            read_back.differing +=
                u64::from(archived.messages.is_some_and(|messages| messages != held.messages));
            if held.target_id.is_none() && archived.id.is_some() {
                let known = Transfer { target_id: archived.id.clone(), ..held };
                self.ledger().save_transfers(&self.job.name, kind.as_str(), &[known])?;
            }
            Ok(Visit::Done)
        };
        self.job.target.each_held(kind, &mut look).await?;
        if read_back.found < read_back.expected {
            read_back.missing = self.missing(kind, &keys)?;
        }
        Ok(read_back)
    }

    /// Returns the keys of some that should be there and were not shown.
    fn missing(&self, kind: DataKind, shown: &HashSet<[u8; 16]>) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        self.ledger().each_transfer(|target, held, transfer| {
            let should_be_there =
                target == self.job.name && held == kind.as_str() && transfer.state == TransferState::Done;
            if should_be_there
                && missing.len() < MOST_MISSING
                && !shown.contains(&short(&transfer.idempotency_key))
            {
                missing.push(transfer.idempotency_key.clone());
            }
            Ok(())
        })?;
        Ok(missing)
    }

    /// Returns what the ledger knows of something that the target shows.
    fn held(&self, kind: DataKind, archived: &HeldItem) -> Result<Option<Transfer>> {
        let (ledger, name) = (self.ledger(), &self.job.name);
        let by_id = archived.id.as_ref().map(|id| ledger.transfer_by_target_id(name, kind.as_str(), id));
        if let Some(held) = by_id.transpose()?.flatten() {
            return Ok(Some(held));
        }
        let by_sign = archived
            .external_id
            .as_ref()
            .map(|external_id| ledger.transfer_by_external_id(name, kind.as_str(), external_id));
        Ok(by_sign.transpose()?.flatten())
    }

    /// Writes how far items have come, each with its id at the target where there is one.
    fn keep(
        &self,
        kind: DataKind,
        items: &[OutboundItem],
        state: TransferState,
        ids: &[Option<String>],
        error: Option<&Error>,
    ) -> Result<()> {
        let now = self.job.clock.now();
        let row = |(at, item): (usize, &OutboundItem)| Transfer {
            error: error.map(ToString::to_string),
            ..transfer(item, state, ids.get(at).cloned().flatten(), now)
        };
        let rows: Vec<_> = items.iter().enumerate().map(row).collect();
        self.ledger().save_transfers(&self.job.name, kind.as_str(), &rows)
    }

    /// Takes back that items were about to be sent, since they certainly were not.
    fn forget(&self, kind: DataKind, items: &[OutboundItem]) -> RequestOutcome {
        let keys: Vec<_> = items.iter().map(|item| item.idempotency_key.as_str()).collect();
        let forgotten = self.ledger().delete_transfers(&self.job.name, kind.as_str(), &keys);
        forgotten.map_or_else(RequestOutcome::ended, |()| RequestOutcome::default())
    }

    fn limits(&self, kind: DataKind) -> Result<&'static KindLimits> {
        let limits = self.job.target.capabilities().limits(kind);
        limits.ok_or_else(|| Error::new(ErrorKind::Usage, MIGRATE, "the target does not take this"))
    }

    fn ledger(&self) -> MutexGuard<'_, Archive> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be done with an item.
enum Step {
    Create,
    /// It is there under this id, where the vendor told one.
    Complete(Option<String>),
    Nothing,
}

/// Parcels that go with one request.
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
        self.items.len() >= limits.items_per_request || self.bytes >= TOGETHER_BYTES
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn take(&mut self) -> Vec<OutboundItem> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}

const MIGRATE: &str = "migrate";

/// Returns whether the vendor archived fault with what was sent, and not with who sent it or where to.
fn is_of_parcels(error: &Error) -> bool {
    use ErrorKind::{Incomplete, Malformed, Refused, TooLarge};
    matches!(error.kind(), Refused | TooLarge | Malformed | Incomplete)
}

fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, MIGRATE, "stopped before everything was written")
        .hint("what was written is in the ledger: run the same command again to go on")
}
