//! The work of a migration into an agent: what an earlier run left, what is new, what is doubtful, what was refused,
//! and in the end the reading back.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatark_archive::{Archive, Transfer, TransferState};
use chatark_core::{
    DataKind, Error, ErrorKind, Found, KindLimits, Loss, LossReport, OutboundItem, Result, Timestamp,
};
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
/// How many parcels wait to be sent.
const WAITING: usize = 16;
/// A request with several parcels carries about so many bytes at most.
const TOGETHER_BYTES: usize = 64 << 10;
/// How often what is doubtful is looked for and tried again.
const ROUNDS: usize = 3;
/// So many of those that are missing are named.
const MOST_MISSING: usize = 20;
/// A run ends where so many parcels in a row are refused.
const MOST_IN_A_ROW: u64 = 50;
/// So many of those that were refused before are tried again in one run.
const MOST_TRIED_AGAIN: usize = 100;
/// A request without an answer counts as so many refusals: a vendor that is down is left alone sooner.
const DOUBT_COUNTS: u64 = 5;

/// Carries the parcels of a job, and writes into the ledger how far each of them comes.
pub(crate) struct Migrator {
    ledger: Mutex<Archive>,
    /// Where the archive lies, for a second connection that reads.
    path: PathBuf,
    job: Job,
    progress: Arc<dyn Progress>,
    stop: CancellationToken,
}

/// Which parcels a walk through the archive is for.
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
    fn is_for(&self, mark: &str) -> bool {
        match self {
            Self::Left | Self::First => true,
            Self::LookedFor(marks) | Self::Again(marks) => marks.contains(mark),
        }
    }
}

/// What is known of one kind so far.
#[derive(Default)]
struct KindProgress {
    tally: Tally,
    chosen: Chosen,
    losses: Vec<Loss>,
    refusal: Option<Error>,
    /// Why something is doubtful.
    doubt: Option<Error>,
    /// The marks of parcels of which it is not known whether they are there.
    doubtful: HashSet<String>,
    /// When the latest of them was sent.
    doubtful_since: Option<Timestamp>,
    /// The marks of parcels that an earlier run was refused, with the time of that.
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
    /// The marks of parcels of which it is not known whether they are there.
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

    fn doubtful(parcels: &[OutboundItem], error: Error) -> Self {
        let doubtful = parcels.iter().map(|parcel| parcel.mark.clone()).collect();
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
    fn add(&mut self, trip: RequestOutcome) -> Option<Error> {
        let is_doubtful = !trip.doubtful.is_empty();
        let wrong = trip.refused + DOUBT_COUNTS * u64::from(is_doubtful);
        self.tally.written += trip.written;
        self.tally.refused += trip.refused;
        self.in_a_row = if trip.written > 0 { 0 } else { self.in_a_row + wrong };
        self.refusal = trip.refusal.or(self.refusal.take());
        self.doubt = trip.doubt.or(self.doubt.take());
        self.doubtful.extend(trip.doubtful);
        if trip.ended.is_some() || self.in_a_row < MOST_IN_A_ROW {
            return trip.ended;
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
    pub(crate) async fn carry(&self, cargo: DataKind) -> Carried {
        let mut voyage = KindProgress::default();
        let (read_back, error) = match self.rounds(cargo, &mut voyage).await {
            Ok(read_back) => (Some(read_back), None),
            Err(error) => (None, Some(error)),
        };
        let KindProgress { tally, chosen, losses, refusal, .. } = voyage;
        let Chosen { conversations, messages } = chosen;
        let unfinished = self.ledger().count_begun(&self.job.name, cargo).unwrap_or(0);
        Carried {
            cargo,
            conversations,
            messages,
            tally,
            left: 0,
            unfinished,
            read_back,
            losses,
            error,
            refusal,
        }
    }

    /// Sends what is not there, looks for what is doubtful as often as it takes, and reads everything back.
    async fn rounds(&self, cargo: DataKind, voyage: &mut KindProgress) -> Result<ReadBack> {
        self.complete_what_was_left(cargo, voyage).await?;
        let completed = voyage.tally.written;
        if self.taking(cargo)?.unique_email {
            voyage.theirs = self.unless_stopped(self.addresses_there(cargo)).await?;
        }
        self.pass(cargo, Pass::First, voyage).await?;
        voyage.tally.already -= completed.min(voyage.tally.already);
        for _ in 0..ROUNDS {
            if voyage.doubtful.is_empty() {
                break;
            }
            self.unless_stopped(self.settle(voyage)).await?;
            voyage.tally.recovered += self.unless_stopped(self.look_for(cargo)).await?;
            let doubtful = std::mem::take(&mut voyage.doubtful);
            voyage.doubt = None;
            self.pass(cargo, Pass::LookedFor(doubtful), voyage).await?;
        }
        if !voyage.doubtful.is_empty() {
            return Err(voyage.doubt.take().unwrap_or_else(stopped));
        }
        self.try_again(cargo, voyage).await?;
        self.unless_stopped(self.read_back(cargo)).await
    }

    /// Completes what an earlier run created, before anything new is. What is no longer there under its id is looked
    /// for: somebody may have deleted it, or the vendor cannot find what its own API has created.
    async fn complete_what_was_left(&self, cargo: DataKind, voyage: &mut KindProgress) -> Result<()> {
        if self.ledger().count_transfers(&self.job.name, cargo, TransferState::Created)? == 0 {
            return Ok(());
        }
        self.pass(cargo, Pass::Left, voyage).await?;
        if !voyage.doubtful.is_empty() {
            voyage.tally.recovered += self.unless_stopped(self.look_for(cargo)).await?;
            voyage.doubtful.clear();
            voyage.doubt = None;
        }
        // What was refused stays begun, and is tried again at the end.
        voyage.tally.refused = 0;
        Ok(())
    }

    /// Tries what an earlier run was refused, the oldest refusals first, and gives up where the vendor goes on refusing.
    async fn try_again(&self, cargo: DataKind, voyage: &mut KindProgress) -> Result<()> {
        let mut before = std::mem::take(&mut voyage.refused_before);
        if before.is_empty() {
            return Ok(());
        }
        let (written, refused) = (voyage.tally.written, voyage.tally.refused);
        let all = before.len() as u64;
        before.sort();
        before.truncate(MOST_TRIED_AGAIN);
        let marks = before.into_iter().map(|(_, mark)| mark).collect();
        let ended = self.pass(cargo, Pass::Again(marks), voyage).await;
        voyage.tally.refused = refused + all - (voyage.tally.written - written).min(all);
        match ended {
            Err(error) if is_of_parcels(&error) && !error.is_doubtful() => voyage.refusal = Some(error),
            ended => ended?,
        }
        if voyage.doubtful.is_empty() { Ok(()) } else { Err(voyage.doubt.take().unwrap_or_else(stopped)) }
    }

    /// Waits until the latest request without an answer must have had its effect.
    async fn settle(&self, voyage: &KindProgress) -> Result<()> {
        let seconds = voyage.doubtful_since.map_or(0.0, |since| (self.job.clock)().seconds_since(since));
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
    async fn pass(&self, cargo: DataKind, pass: Pass, voyage: &mut KindProgress) -> Result<()> {
        voyage.in_a_row = 0;
        let (mut parcels, packing) = self.supply(cargo);
        let sent = self.send(cargo, &mut parcels, &pass, voyage).await;
        drop(parcels);
        let packed = packing.await;
        sent?;
        let (chosen, losses) =
            packed.map_err(|error| Error::new(ErrorKind::Unexpected, MIGRATE, error))??;
        (voyage.chosen, voyage.losses) = (chosen, losses.rows());
        Ok(())
    }

    /// Packs in a thread of its own, as fast as parcels are taken.
    fn supply(
        &self,
        cargo: DataKind,
    ) -> (mpsc::Receiver<OutboundItem>, JoinHandle<Result<(Chosen, LossReport)>>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (path, order, target) = (self.path.clone(), self.job.order.clone(), Arc::clone(&self.job.target));
        let packing = task::spawn_blocking(move || {
            let archive = Archive::open_to_read(&path)?;
            let mut losses = LossReport::default();
            let chosen = supply(&archive, &order, &*target, cargo, &mut losses, |parcel| {
                sender.blocking_send(parcel).map_err(|_| stopped())
            })?;
            Ok((chosen, losses))
        });
        (receiver, packing)
    }

    async fn send(
        &self,
        cargo: DataKind,
        parcels: &mut mpsc::Receiver<OutboundItem>,
        pass: &Pass,
        voyage: &mut KindProgress,
    ) -> Result<()> {
        let taking = self.taking(cargo)?;
        let mut under_way: FuturesUnordered<BoxFuture<'_, RequestOutcome>> = FuturesUnordered::new();
        let mut lot = Chunk::default();
        let (mut is_more, mut has_worked, mut ended) = (true, false, None);
        loop {
            if self.stop.is_cancelled() {
                ended.get_or_insert_with(stopped);
            }
            is_more &= ended.is_none();
            let room = if has_worked { SIDE_BY_SIDE } else { 1 };
            tokio::select! {
                biased;
                Some(trip) = under_way.next(), if !under_way.is_empty() => {
                    has_worked |= trip.written > 0;
                    if !trip.doubtful.is_empty() {
                        voyage.doubtful_since = Some((self.job.clock)());
                    }
                    ended = ended.or(voyage.add(trip));
                    self.progress.advance(cargo, &voyage.tally);
                }
                parcel = parcels.recv(), if is_more && under_way.len() < room => match parcel {
                    Some(parcel) if !pass.is_for(&parcel.mark) => {}
                    Some(parcel) => match self.next_step(cargo, &parcel, pass, voyage)? {
                        Step::Create => {
                            lot.add(parcel);
                            // The first one goes by itself: what is wrong with all of them shows in it.
                            if !has_worked || lot.is_full(taking) {
                                under_way.push(self.create(cargo, lot.take()));
                            }
                        }
                        Step::Complete(id) => under_way.push(self.complete(cargo, parcel, id, true).boxed()),
                        Step::Nothing => {}
                    },
                    None => {
                        is_more = false;
                        if !lot.is_empty() {
                            under_way.push(self.create(cargo, lot.take()));
                        }
                    }
                },
                () = self.stop.cancelled(), if is_more => {}
                else => break,
            }
        }
        ended.map_or(Ok(()), Err)
    }

    /// Says what is to be done with a parcel, counts it where it comes for the first time, and puts it aside where
    /// its turn comes later.
    fn next_step(
        &self,
        cargo: DataKind,
        parcel: &OutboundItem,
        pass: &Pass,
        voyage: &mut KindProgress,
    ) -> Result<Step> {
        let held = self.known(cargo, parcel)?;
        let standing = LedgerState::of(held.as_ref());
        if let Pass::First = pass {
            let is_there = standing == LedgerState::There;
            let has_changed = held.as_ref().is_some_and(|held| held.digest != digest(parcel));
            voyage.tally.items += 1;
            voyage.tally.already += u64::from(is_there);
            voyage.tally.changed += u64::from(is_there && has_changed);
        }
        let is_theirs = parcel.email.as_ref().is_some_and(|email| voyage.theirs.contains(email));
        Ok(match (standing, pass) {
            (LedgerState::New | LedgerState::Refused, Pass::First) if is_theirs => {
                voyage.tally.theirs += 1;
                Step::Nothing
            }
            (LedgerState::Created, _) => Step::Complete(held.and_then(|held| held.target_id)),
            (LedgerState::There, _) | (_, Pass::Left) => Step::Nothing,
            (LedgerState::Doubtful, Pass::First) => {
                voyage.doubtful.insert(parcel.mark.clone());
                voyage.doubtful_since = voyage.doubtful_since.max(held.and_then(|held| held.changed_at));
                Step::Nothing
            }
            (LedgerState::Refused | LedgerState::Stuck, Pass::First) => {
                let refused_at = held.and_then(|held| held.changed_at);
                voyage.refused_before.push((refused_at, parcel.mark.clone()));
                Step::Nothing
            }
            (LedgerState::Stuck, _) => Step::Complete(held.and_then(|held| held.target_id)),
            (LedgerState::New | LedgerState::Doubtful | LedgerState::Refused, _) => Step::Create,
        })
    }

    /// Returns what the ledger knows of a parcel, and gives it its present mark there.
    fn known(&self, cargo: DataKind, parcel: &OutboundItem) -> Result<Option<Transfer>> {
        let (mut ledger, name) = (self.ledger(), &self.job.name);
        let Some(held) = known(&ledger, name, cargo, parcel)? else { return Ok(None) };
        if held.mark != parcel.mark {
            ledger.rename_transfer(name, cargo, &held.mark, &parcel.mark)?;
        }
        Ok(Some(Transfer { mark: parcel.mark.clone(), ..held }))
    }

    /// Creates parcels with one request. Where it is refused, its halves are sent by themselves, down to the parcel
    /// that is to blame.
    fn create(&self, cargo: DataKind, mut lot: Vec<OutboundItem>) -> BoxFuture<'_, RequestOutcome> {
        async move {
            if let Err(error) = self.keep(cargo, &lot, TransferState::Intended, &[], None) {
                return RequestOutcome::ended(error);
            }
            let error = match self.job.target.create(cargo, &lot).await {
                Ok(ids) => return self.created(cargo, lot, ids).await,
                Err(error) => error,
            };
            match (error, lot.len()) {
                (error, _) if error.is_doubtful() => RequestOutcome::doubtful(&lot, error),
                (error, 2..) if is_of_parcels(&error) => {
                    let rest = lot.split_off(lot.len() / 2);
                    let mut trip = self.create(cargo, lot).await;
                    if trip.written == 0 && trip.refused >= MOST_IN_A_ROW && trip.ended.is_none() {
                        trip.ended = trip.refusal.take();
                    }
                    if trip.ended.is_some() || self.stop.is_cancelled() {
                        return trip.and(self.forget(cargo, &rest));
                    }
                    trip.and(self.create(cargo, rest).await)
                }
                (error, _) if is_of_parcels(&error) => {
                    let kept = self.keep(cargo, &lot, TransferState::Refused, &[], Some(&error));
                    kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome::refused(error))
                }
                (error, _) => RequestOutcome::ended(error).and(self.forget(cargo, &lot)),
            }
        }
        .boxed()
    }

    async fn created(
        &self,
        cargo: DataKind,
        lot: Vec<OutboundItem>,
        ids: Vec<Option<String>>,
    ) -> RequestOutcome {
        let has_all = ids.len() == lot.len()
            && lot.iter().zip(&ids).all(|(parcel, id)| id.is_some() || parcel.completion.is_empty());
        if !has_all {
            let message = "the vendor does not say under which id it has what it was sent";
            return RequestOutcome::doubtful(
                &lot,
                Error::new(ErrorKind::Malformed, MIGRATE, message).doubtful(),
            );
        }
        if let Err(error) = self.keep(cargo, &lot, TransferState::Created, &ids, None) {
            return RequestOutcome::ended(error);
        }
        let mut trip = RequestOutcome::default();
        for (parcel, id) in lot.into_iter().zip(ids) {
            trip = trip.and(self.complete(cargo, parcel, id, false).await);
        }
        trip
    }

    /// Completes what was created, by this run or an earlier one.
    async fn complete(
        &self,
        cargo: DataKind,
        parcel: OutboundItem,
        id: Option<String>,
        is_old: bool,
    ) -> RequestOutcome {
        let completed = match &id {
            Some(id) => self.job.target.complete(&parcel, id).await,
            None => Ok(()),
        };
        let parcels = std::slice::from_ref(&parcel);
        match completed {
            Ok(()) => {
                let kept = self.keep(cargo, parcels, TransferState::Done, &[id], None);
                kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome {
                    written: 1,
                    ..RequestOutcome::default()
                })
            }
            Err(error) if matches!(error.kind(), ErrorKind::Network | ErrorKind::Unavailable) => {
                RequestOutcome::doubtful(parcels, error)
            }
            Err(error) if is_old && error.kind() == ErrorKind::NotFound => {
                let kept = self.keep(cargo, parcels, TransferState::Intended, &[], None);
                kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome::doubtful(parcels, error))
            }
            Err(error) if is_of_parcels(&error) => {
                let kept = self.keep(cargo, parcels, TransferState::Created, &[id], Some(&error));
                kept.map_or_else(RequestOutcome::ended, |()| RequestOutcome::refused(error))
            }
            Err(error) => RequestOutcome::ended(error),
        }
    }

    /// Returns the e-mail addresses of people at the target whom the ledger does not know.
    async fn addresses_there(&self, cargo: DataKind) -> Result<HashSet<String>> {
        let mut addresses = HashSet::new();
        let mut look = |found: &Found| {
            let held = self.held(cargo, found)?;
            if held.is_none_or(|held| held.state == TransferState::Refused) {
                addresses.extend(found.email.clone());
            }
            Ok(false)
        };
        self.job.target.each_held(cargo, &mut look).await?;
        Ok(addresses)
    }

    /// Looks at the target for what the ledger only knows as intended, and returns how many were found.
    async fn look_for(&self, cargo: DataKind) -> Result<u64> {
        let mut recovered = 0;
        let mut look = |found: &Found| {
            let held = self.held(cargo, found)?;
            let Some(held) = held else { return Ok(found.sign.is_none()) };
            if held.state == TransferState::Intended {
                let target_id = found.id.clone();
                let created = Transfer { state: TransferState::Created, target_id, ..held };
                self.ledger().keep_transfers(&self.job.name, cargo, &[created])?;
                recovered += 1;
            }
            Ok(false)
        };
        self.job.target.each_held(cargo, &mut look).await?;
        Ok(recovered)
    }

    /// Counts what the target shows of what the ledger says is there.
    async fn read_back(&self, cargo: DataKind) -> Result<ReadBack> {
        let mut marks = HashSet::new();
        let expected = self.ledger().count_transfers(&self.job.name, cargo, TransferState::Done)?;
        let mut read_back = ReadBack { expected, ..ReadBack::default() };
        let mut look = |found: &Found| {
            let held = self.held(cargo, found)?.filter(|held| held.state == TransferState::Done);
            let Some(held) = held.filter(|held| marks.insert(short(&held.mark))) else { return Ok(false) };
            read_back.found += 1;
            read_back.differing +=
                u64::from(found.messages.is_some_and(|messages| messages != held.messages));
            if held.target_id.is_none() && found.id.is_some() {
                let known = Transfer { target_id: found.id.clone(), ..held };
                self.ledger().keep_transfers(&self.job.name, cargo, &[known])?;
            }
            Ok(false)
        };
        self.job.target.each_held(cargo, &mut look).await?;
        if read_back.found < read_back.expected {
            read_back.missing = self.missing(cargo, &marks)?;
        }
        Ok(read_back)
    }

    /// Returns the marks of some that should be there and were not shown.
    fn missing(&self, cargo: DataKind, shown: &HashSet<[u8; 16]>) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        self.ledger().each_transfer(|target, kind, transfer| {
            let should_be_there =
                target == self.job.name && kind == cargo && transfer.state == TransferState::Done;
            if should_be_there && missing.len() < MOST_MISSING && !shown.contains(&short(&transfer.mark)) {
                missing.push(transfer.mark.clone());
            }
            Ok(())
        })?;
        Ok(missing)
    }

    /// Returns what the ledger knows of something that the target shows.
    fn held(&self, cargo: DataKind, found: &Found) -> Result<Option<Transfer>> {
        let (ledger, name) = (self.ledger(), &self.job.name);
        let by_id = found.id.as_ref().map(|id| ledger.transfer_by_id(name, cargo, id));
        if let Some(held) = by_id.transpose()?.flatten() {
            return Ok(Some(held));
        }
        let by_sign = found.sign.as_ref().map(|sign| ledger.transfer_by_sign(name, cargo, sign));
        Ok(by_sign.transpose()?.flatten())
    }

    /// Writes how far parcels have come, each with its id at the target where there is one.
    fn keep(
        &self,
        cargo: DataKind,
        parcels: &[OutboundItem],
        state: TransferState,
        ids: &[Option<String>],
        error: Option<&Error>,
    ) -> Result<()> {
        let now = (self.job.clock)();
        let row = |(at, parcel): (usize, &OutboundItem)| Transfer {
            error: error.map(ToString::to_string),
            ..transfer(parcel, state, ids.get(at).cloned().flatten(), now)
        };
        let rows: Vec<_> = parcels.iter().enumerate().map(row).collect();
        self.ledger().keep_transfers(&self.job.name, cargo, &rows)
    }

    /// Takes back that parcels were about to be sent, since they certainly were not.
    fn forget(&self, cargo: DataKind, parcels: &[OutboundItem]) -> RequestOutcome {
        let marks: Vec<_> = parcels.iter().map(|parcel| parcel.mark.as_str()).collect();
        let forgotten = self.ledger().forget_transfers(&self.job.name, cargo, &marks);
        forgotten.map_or_else(RequestOutcome::ended, |()| RequestOutcome::default())
    }

    fn taking(&self, cargo: DataKind) -> Result<&'static KindLimits> {
        let taking = self.job.target.terms().taking(cargo);
        taking.ok_or_else(|| Error::new(ErrorKind::Usage, MIGRATE, "the target does not take this"))
    }

    fn ledger(&self) -> MutexGuard<'_, Archive> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be done with a parcel.
enum Step {
    Create,
    /// It is there under this id, where the vendor told one.
    Complete(Option<String>),
    Nothing,
}

/// Parcels that go with one request.
#[derive(Default)]
struct Chunk {
    parcels: Vec<OutboundItem>,
    bytes: usize,
}

impl Chunk {
    fn add(&mut self, parcel: OutboundItem) {
        self.bytes += parcel.creation.len();
        self.parcels.push(parcel);
    }

    fn is_full(&self, taking: &KindLimits) -> bool {
        self.parcels.len() >= taking.at_once || self.bytes >= TOGETHER_BYTES
    }

    fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    fn take(&mut self) -> Vec<OutboundItem> {
        self.bytes = 0;
        std::mem::take(&mut self.parcels)
    }
}

const MIGRATE: &str = "migrate";

/// Returns whether the vendor found fault with what was sent, and not with who sent it or where to.
fn is_of_parcels(error: &Error) -> bool {
    use ErrorKind::{Incomplete, Malformed, Refused, TooLarge};
    matches!(error.kind(), Refused | TooLarge | Malformed | Incomplete)
}

fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, MIGRATE, "stopped before everything was written")
        .hint("what was written is in the ledger: run the same command again to go on")
}
