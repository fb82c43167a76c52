//! The walk through the export: one chain of cursors, or several at once, each in a window of time of its own.
//!
//! A chain is sequential, twenty conversations a round trip. So a walk that has much before it is split: the older
//! half of the window with the most to read becomes a chain of its own, until enough of them run side by side, and
//! again whenever one of them is through. The vendor's count of each window, which comes with its first page, says
//! how much there is; no request is made for it alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatark_core::{self as core, Batch, Checkpoint, Error, PageMetadata, ReadRequest, Result, Timestamp};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::chain::{Chain, Next, Reading, RestartReason, Step, Window};
use crate::source::{ChatbaseV2, EXPORT_LIMIT, open, seal};
use crate::wire::{AlonePlace, Envelope, Place, Places, WindowPlace};

/// So many chains run at once.
const CHAINS: usize = 16;
/// What a window must have left to be worth a chain of its own: every split reads a part of a page twice.
const SHARE: u64 = 5 * EXPORT_LIMIT as u64;
/// In microseconds.
const SECOND: i64 = 1_000_000;
/// So many bytes of pages may be under way; where conversations are large, fewer chains run.
const BYTES_UNDER_WAY: usize = 64 << 20;

/// Returns how many requests a walk through so many conversations takes at most, as long as nothing has changed.
///
/// Each window may end with a page that is not full, and the count of the whole is asked for at the end.
pub(crate) fn requests(total: u64) -> u64 {
    let windows =
        if total < 2 * SHARE + u64::from(EXPORT_LIMIT) { 0 } else { (total / SHARE).min(CHAINS as u64) + 1 };
    total.div_ceil(EXPORT_LIMIT.into()).max(1) + windows
}

/// A walk through the export, in the order in which the pages arrive.
pub(crate) struct Sweep<'a> {
    provider: &'a ChatbaseV2,
    request: ReadRequest,
    scope: String,
    /// What is not through yet, by the order of its creation.
    windows: BTreeMap<usize, Segment<'a>>,
    created: usize,
    steps: FuturesUnordered<BoxFuture<'a, (usize, Chain<'a>, Result<Step>)>>,
    chains: Chains,
    has_seen: bool,
    largest_page: usize,
    failed: Option<Error>,
    ended: bool,
    ignores_id: bool,
}

/// How many chains there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chains {
    /// One, until it is known how much there is to read.
    OneSoFar,
    /// There has been more than one window, so that no chain has heard the last count of the whole.
    Several,
    /// One, since windows of this deployment prove nothing.
    One,
}

/// A window, and how far its chain has come.
struct Segment<'a> {
    window: Arc<Window>,
    /// The beginning that the vendor is asked for.
    from: Option<Timestamp>,
    /// The chain, unless a page is under way.
    chain: Option<Chain<'a>>,
    /// Where an interrupted walk would go on.
    saved: Option<Place>,
    reading: Reading,
    /// How many conversations are left to read, as far as is known.
    left: u64,
    /// How many were read or left to other windows before an interruption.
    done_before: u64,
    shown: u64,
    /// How many were left to other windows.
    taken: u64,
    /// The window from which this one was taken, and how many were guessed to be in it.
    parent: Option<(usize, u64)>,
    newest: Option<Timestamp>,
    /// When the last conversation began that was read: what is left began earlier.
    reached: Option<Timestamp>,
    /// How far apart two conversations are on average, in microseconds.
    step: i64,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(provider: &'a ChatbaseV2, request: ReadRequest) -> Self {
        let scope = request.scope();
        let saved = open(request.cursor.as_ref(), &scope);
        let mut sweep = Self {
            provider,
            request,
            scope,
            windows: BTreeMap::new(),
            created: 0,
            steps: FuturesUnordered::new(),
            chains: Chains::OneSoFar,
            has_seen: saved.is_some(),
            largest_page: 0,
            failed: None,
            ended: false,
            ignores_id: false,
        };
        match saved {
            None => sweep.add(&WindowPlace::default()),
            Some(Places::One(place)) => {
                sweep.add(&WindowPlace { place: Some(place), ..WindowPlace::default() });
            }
            Some(Places::Several(places)) => {
                sweep.chains = Chains::Several;
                for place in &places {
                    sweep.add(place);
                }
            }
            Some(Places::Alone(AlonePlace { ignores_id, alone })) => {
                sweep.chains = Chains::One;
                sweep.has_seen = alone.is_some();
                if ignores_id {
                    sweep.ignore_ids();
                }
                sweep.add(&WindowPlace { place: alone, ..WindowPlace::default() });
            }
        }
        sweep
    }

    /// Adds a window that is to be read from a place.
    fn add(&mut self, place: &WindowPlace) {
        let instant = |at: Option<i64>| at.and_then(|at| Timestamp::from_microseconds(at).ok());
        let reading = if self.request.known.is_some() { Reading::Summaries } else { Reading::Whole };
        self.add_window(
            Window::new(instant(place.floor), instant(place.ceiling)),
            instant(place.from),
            reading,
            place.place.clone(),
        )
        .done_before = place.done;
    }

    /// Reads whole conversations from here on, since what has changed cannot be fetched by itself.
    fn ignore_ids(&mut self) {
        self.request.known = None;
        self.ignores_id = true;
    }

    fn add_window(
        &mut self,
        window: Window,
        from: Option<Timestamp>,
        reading: Reading,
        saved: Option<Place>,
    ) -> &mut Segment<'a> {
        let window = Arc::new(window);
        let asked = core::Window {
            since: from.or(self.request.window.since),
            until: self.request.window.until.filter(|_| window.ceiling.is_none()),
        };
        let call = self.provider.sweep_call(&self.request, asked).query("limit", EXPORT_LIMIT);
        let known = self.request.known.clone();
        let chain =
            Chain::new(self.provider, call, known, Arc::clone(&window), reading).resume(saved.clone());
        let reading = chain.reading;
        let share = Segment {
            reached: window.ceiling,
            newest: window.ceiling,
            window,
            from,
            chain: Some(chain),
            saved,
            reading,
            left: 0,
            done_before: 0,
            shown: 0,
            taken: 0,
            parent: None,
            step: 0,
        };
        self.created += 1;
        self.windows.entry(self.created).insert_entry(share).into_mut()
    }

    /// Returns the next page that has arrived, whichever window it is of; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>> {
        if self.ended {
            return Ok(None);
        }
        loop {
            if self.failed.is_none() {
                self.split();
                self.launch();
            }
            match self.steps.next().await {
                Some((at, chain, Ok(step))) => return self.take(at, chain, step).await.map(Some),
                // The pages that are under way are waited for, so that what was fetched before a fault is kept.
                Some((_, _, Err(error))) => {
                    self.failed.get_or_insert(error);
                }
                None => return self.end().await.map(Some),
            }
        }
    }

    /// Asks for the next page of every window that waits.
    fn launch(&mut self) {
        let width = self.width();
        for (at, share) in &mut self.windows {
            if self.steps.len() >= width {
                return;
            }
            if let Some(chain) = share.chain.take() {
                let at = *at;
                self.steps.push(Box::pin(async move {
                    let (chain, step) = chain.step().await;
                    (at, chain, step)
                }));
            }
        }
    }

    fn width(&self) -> usize {
        (BYTES_UNDER_WAY / self.largest_page.max(1)).clamp(1, CHAINS)
    }

    /// Gives the older half of the window with the most to read to a chain of its own, while fewer run than may.
    fn split(&mut self) {
        let width = self.width();
        while self.chains != Chains::One && self.windows.len() < width {
            let most = self.windows.iter().filter(|(_, share)| share.left >= 2 * SHARE);
            let Some((&at, _)) = most.max_by_key(|(_, share)| share.left) else { return };
            self.split_one(at);
        }
    }

    fn split_one(&mut self, at: usize) {
        let since = self.request.window.since;
        let Some(share) = self.windows.get_mut(&at) else { return };
        let floor = share.window.floor();
        let Some(boundary) = share.middle(floor.max(since)) else {
            // So much began at once that no instant parts it.
            share.left = 0;
            return;
        };
        let guess = share.left / 2;
        share.left -= guess;
        share.taken += guess;
        share.window.raise_floor(boundary);
        let (reading, step) = (share.reading, share.step);
        let older = self.add_window(Window::new(floor, Some(boundary)), floor, reading, None);
        older.left = guess;
        older.parent = Some((at, guess));
        older.step = step;
        self.chains = Chains::Several;
    }

    /// Takes a page in, and returns it with the places of all windows.
    async fn take(&mut self, at: usize, chain: Chain<'a>, step: Step) -> Result<Batch> {
        let Step { mut batch, total, shown, bytes, span, next } = step;
        if let Next::RestartReason(why) = next {
            // After a fault nothing begins anymore; the place before this page stays in force.
            if self.failed.is_some() {
                return Ok(Batch { page: batch.page, ..Batch::default() });
            }
            return self.begin_anew(why, batch.page);
        }
        self.has_seen |= shown > 0;
        self.largest_page = self.largest_page.max(bytes);
        if chain.is_of_the_whole() {
            batch.page.total = total;
        }
        self.count(at, total, shown, span);
        let Some(share) = self.windows.get_mut(&at) else { return Ok(batch) };
        match next {
            Next::Page => {
                share.saved.clone_from(&chain.place);
                share.reading = chain.reading;
                share.chain = Some(chain);
            }
            Next::End => {
                self.windows.remove(&at);
            }
            Next::Stuck(error) => {
                self.failed.get_or_insert(error);
            }
            Next::RestartReason(_) => unreachable!("it was handled above"),
        }
        batch.checkpoint = self.checkpoint()?;
        if batch.checkpoint == Checkpoint::End {
            self.ended = true;
            if !self.has_seen {
                batch.page.notes.push(self.provider.explain_emptiness().await?);
            }
        }
        Ok(batch)
    }

    /// Learns how much is left from what a page showed.
    fn count(&mut self, at: usize, total: Option<u64>, shown: u64, span: Option<(Timestamp, Timestamp)>) {
        let Some(share) = self.windows.get_mut(&at) else { return };
        share.shown += shown;
        if let Some((newest, oldest)) = span {
            let newest = *share.newest.get_or_insert(newest);
            share.reached = Some(oldest);
            let span = newest.microseconds() - oldest.microseconds();
            share.step = span.checked_div(i64::try_from(share.shown).unwrap_or(i64::MAX)).unwrap_or(0);
        }
        let Some(total) = total else { return };
        share.left = total.saturating_sub(share.done());
        if let Some((parent, guess)) = share.parent.take()
            && let Some(parent) = self.windows.get_mut(&parent)
        {
            parent.left = (parent.left + guess).saturating_sub(total);
            parent.taken = (parent.taken + total).saturating_sub(guess);
        }
    }

    /// Returns the places of all windows as one checkpoint.
    fn checkpoint(&self) -> Result<Checkpoint> {
        // Where there were several windows, the last count of the whole follows.
        if self.windows.is_empty() && self.chains != Chains::Several {
            return Ok(Checkpoint::End);
        }
        if self.chains == Chains::One {
            let alone = self.windows.values().next().and_then(|share| share.saved.clone());
            let place = Places::Alone(AlonePlace { ignores_id: self.ignores_id, alone });
            return Ok(Checkpoint::At(seal(&self.scope, &place)?));
        }
        let mut places: Vec<_> = self.windows.values().map(Segment::place).collect();
        let places = match places.as_mut_slice() {
            [only] if self.chains != Chains::Several => match only.place.take() {
                Some(place) => Places::One(place),
                None => return Ok(Checkpoint::None),
            },
            _ => Places::Several(places),
        };
        Ok(Checkpoint::At(seal(&self.scope, &places)?))
    }

    /// Ends a walk through several windows with the vendor's count of the whole, as a single chain ends with it.
    async fn end(&mut self) -> Result<Batch> {
        self.ended = true;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let call = self.provider.sweep_call(&self.request, self.request.window);
        let call = call.query("include", "summary").query("limit", 1);
        let envelope: Envelope = self.provider.client.json(&call).await?;
        let metadata = PageMetadata { total: envelope.pagination.total, pages: 1, ..PageMetadata::default() };
        Ok(Batch { page: metadata, checkpoint: Checkpoint::End, ..Batch::default() })
    }

    /// Goes back to the beginning, and reads in one chain from there.
    fn begin_anew(&mut self, why: RestartReason, mut metadata: PageMetadata) -> Result<Batch> {
        metadata.restarted = true;
        metadata.notes.push(why.note().to_owned());
        if why == RestartReason::IgnoresId {
            self.ignore_ids();
        }
        self.steps = FuturesUnordered::new();
        self.windows.clear();
        self.chains = Chains::One;
        self.add(&WindowPlace::default());
        // What was seen is forgotten together with the places of before.
        Ok(Batch { page: metadata, checkpoint: self.checkpoint()?, ..Batch::default() })
    }
}

impl Segment<'_> {
    fn place(&self) -> WindowPlace {
        let instant = |at: Option<Timestamp>| at.map(Timestamp::microseconds);
        WindowPlace {
            from: instant(self.from),
            floor: instant(self.window.floor()),
            ceiling: instant(self.window.ceiling),
            done: self.done(),
            place: self.saved.clone(),
        }
    }

    /// Returns how many of what the vendor counts are read or left to other windows.
    fn done(&self) -> u64 {
        self.done_before + self.shown + self.taken
    }

    /// Returns the instant, a whole second, that has about as much to read before it as after it.
    fn middle(&self, lower: Option<Timestamp>) -> Option<Timestamp> {
        let reached = self.reached?.microseconds();
        let half = i64::try_from(self.left / 2).unwrap_or(i64::MAX).saturating_mul(self.step);
        let lower = lower.map(Timestamp::microseconds);
        let half = lower.map_or(half, |lower| half.min((reached - lower) / 2)).max(SECOND);
        let middle = reached.saturating_sub(half).div_euclid(SECOND) * SECOND;
        let middle = Timestamp::from_microseconds(middle.max(Timestamp::EARLIEST.microseconds())).ok()?;
        lower.is_none_or(|lower| middle.microseconds() > lower).then_some(middle)
    }
}
