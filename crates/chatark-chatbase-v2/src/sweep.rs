//! The walk through the export: one chain of cursors, or several at once, each in its own time window.
//!
//! A chain is sequential, with twenty conversations per round trip. So a long walk is split: the older half of the
//! window with the most left to read becomes a chain of its own, until enough chains run side by side, and again
//! whenever one of them ends. The vendor's count for each window comes with its first page and needs no extra request.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatark_core::{self as core, Batch, Checkpoint, Error, PageMetadata, ReadRequest, Result, Timestamp};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::chain::{Chain, Next, Reading, RestartReason, Step, Window};
use crate::source::{ChatbaseV2, EXPORT_LIMIT, open, seal};
use crate::wire::{Envelope, Place, Places, SingleChainPlace, WindowPlace};

/// The most chains that run at the same time.
const MAX_CHAINS: usize = 16;
/// The fewest conversations that are worth a chain of their own: every split reads a part of a page twice.
const MIN_SEGMENT: u64 = 5 * EXPORT_LIMIT as u64;
/// One second in microseconds.
const SECOND: i64 = 1_000_000;
/// The most bytes of pages in flight: if conversations are large, fewer chains run.
const MAX_BYTES_IN_FLIGHT: usize = 64 << 20;

/// Returns how many requests a walk through so many conversations takes at most, if nothing has changed.
///
/// Each window may end with a page that is not full, and the total count is requested at the end.
pub(crate) fn requests(total: u64) -> u64 {
    let windows = if total < 2 * MIN_SEGMENT + u64::from(EXPORT_LIMIT) {
        0
    } else {
        (total / MIN_SEGMENT).min(MAX_CHAINS as u64) + 1
    };
    total.div_ceil(EXPORT_LIMIT.into()).max(1) + windows
}

/// A walk through the export, in the order in which the pages arrive.
pub(crate) struct Sweep<'a> {
    provider: &'a ChatbaseV2,
    request: ReadRequest,
    scope: String,
    /// Unfinished segments, in creation order.
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
    /// There has been more than one window, so no chain knows the latest total count.
    Several,
    /// One, because windows of this deployment are not reliable.
    One,
}

/// A window, and the progress of its chain.
struct Segment<'a> {
    window: Arc<Window>,
    /// The start date that is requested.
    from: Option<Timestamp>,
    /// The chain, unless a page is in flight.
    chain: Option<Chain<'a>>,
    /// Where an interrupted walk would resume.
    saved: Option<Place>,
    reading: Reading,
    /// How many conversations are left to read, as far as is known.
    left: u64,
    /// How many were read or left to other windows before an interruption.
    done_before: u64,
    shown: u64,
    /// How many were left to other windows.
    taken: u64,
    /// The window from which this one was taken, and the estimated number of its conversations.
    parent: Option<(usize, u64)>,
    newest: Option<Timestamp>,
    /// When the last conversation that was read began: what is left began earlier.
    reached: Option<Timestamp>,
    /// The average time between two conversations, in microseconds.
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
            Some(Places::SingleChain(SingleChainPlace { ignores_id, alone })) => {
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

    /// Adds a window that is read from a position.
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

    /// Reads whole conversations from here on, because changed conversations cannot be fetched by id.
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
        let segment = Segment {
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
        self.windows.entry(self.created).insert_entry(segment).into_mut()
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
                // Wait for the pages in flight, so that what was fetched before a fault is kept.
                Some((_, _, Err(error))) => {
                    self.failed.get_or_insert(error);
                }
                None => return self.end().await.map(Some),
            }
        }
    }

    /// Requests the next page of every window that waits.
    fn launch(&mut self) {
        let width = self.width();
        for (at, segment) in &mut self.windows {
            if self.steps.len() >= width {
                return;
            }
            if let Some(chain) = segment.chain.take() {
                let at = *at;
                self.steps.push(Box::pin(async move {
                    let (chain, step) = chain.step().await;
                    (at, chain, step)
                }));
            }
        }
    }

    fn width(&self) -> usize {
        (MAX_BYTES_IN_FLIGHT / self.largest_page.max(1)).clamp(1, MAX_CHAINS)
    }

    /// Gives the older half of the window with the most left to read its own chain, while more chains may run.
    fn split(&mut self) {
        let width = self.width();
        while self.chains != Chains::One && self.windows.len() < width {
            let most = self.windows.iter().filter(|(_, segment)| segment.left >= 2 * MIN_SEGMENT);
            let Some((&at, _)) = most.max_by_key(|(_, segment)| segment.left) else { return };
            self.split_one(at);
        }
    }

    fn split_one(&mut self, at: usize) {
        let since = self.request.window.since;
        let Some(segment) = self.windows.get_mut(&at) else { return };
        let floor = segment.window.floor();
        let Some(boundary) = segment.middle(floor.max(since)) else {
            // Too many conversations began in the same second to split them.
            segment.left = 0;
            return;
        };
        let guess = segment.left / 2;
        segment.left -= guess;
        segment.taken += guess;
        segment.window.raise_floor(boundary);
        let (reading, step) = (segment.reading, segment.step);
        let older = self.add_window(Window::new(floor, Some(boundary)), floor, reading, None);
        older.left = guess;
        older.parent = Some((at, guess));
        older.step = step;
        self.chains = Chains::Several;
    }

    /// Processes a page, and returns it with the positions of all windows.
    async fn take(&mut self, at: usize, chain: Chain<'a>, step: Step) -> Result<Batch> {
        let Step { mut batch, total, shown, bytes, span, next } = step;
        if let Next::Restart(why) = next {
            // Nothing restarts after an error; the checkpoint before this page stays valid.
            if self.failed.is_some() {
                return Ok(Batch { page: batch.page, ..Batch::default() });
            }
            return self.restart(why, batch.page);
        }
        self.has_seen |= shown > 0;
        self.largest_page = self.largest_page.max(bytes);
        if chain.counts_whole_request() {
            batch.page.total = total;
        }
        self.count(at, total, shown, span);
        let Some(segment) = self.windows.get_mut(&at) else { return Ok(batch) };
        match next {
            Next::Page => {
                segment.saved.clone_from(&chain.place);
                segment.reading = chain.reading;
                segment.chain = Some(chain);
            }
            Next::End => {
                self.windows.remove(&at);
            }
            Next::Stuck(error) => {
                self.failed.get_or_insert(error);
            }
            Next::Restart(_) => unreachable!("it was handled above"),
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

    /// Updates the estimate of how much is left from a page.
    fn count(&mut self, at: usize, total: Option<u64>, shown: u64, span: Option<(Timestamp, Timestamp)>) {
        let Some(segment) = self.windows.get_mut(&at) else { return };
        segment.shown += shown;
        if let Some((newest, oldest)) = span {
            let newest = *segment.newest.get_or_insert(newest);
            segment.reached = Some(oldest);
            let span = newest.microseconds() - oldest.microseconds();
            segment.step = span.checked_div(i64::try_from(segment.shown).unwrap_or(i64::MAX)).unwrap_or(0);
        }
        let Some(total) = total else { return };
        segment.left = total.saturating_sub(segment.done());
        if let Some((parent, guess)) = segment.parent.take()
            && let Some(parent) = self.windows.get_mut(&parent)
        {
            parent.left = (parent.left + guess).saturating_sub(total);
            parent.taken = (parent.taken + total).saturating_sub(guess);
        }
    }

    /// Returns the positions of all windows as one checkpoint.
    fn checkpoint(&self) -> Result<Checkpoint> {
        // After several windows, the latest total count follows.
        if self.windows.is_empty() && self.chains != Chains::Several {
            return Ok(Checkpoint::End);
        }
        if self.chains == Chains::One {
            let place = self.windows.values().next().and_then(|segment| segment.saved.clone());
            let place = Places::SingleChain(SingleChainPlace { ignores_id: self.ignores_id, alone: place });
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

    /// Ends a walk through several windows with the vendor's total count, which a single chain has from its last page.
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

    /// Restarts from the beginning with a single chain.
    fn restart(&mut self, why: RestartReason, mut metadata: PageMetadata) -> Result<Batch> {
        metadata.restarted = true;
        metadata.notes.push(why.note().to_owned());
        if why == RestartReason::IgnoresId {
            self.ignore_ids();
        }
        self.steps = FuturesUnordered::new();
        self.windows.clear();
        self.chains = Chains::One;
        self.add(&WindowPlace::default());
        // The earlier sightings are dropped together with the earlier checkpoint.
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

    /// Returns how many of the counted conversations were read or left to other windows.
    fn done(&self) -> u64 {
        self.done_before + self.shown + self.taken
    }

    /// Returns the whole second that splits what is left about in half.
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
