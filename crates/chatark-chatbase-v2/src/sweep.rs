//! The walk through the export: one list of pages, or several at once, each in a segment of its own.
//!
//! A sweep tries the gaps of earlier pulls, reads a first page, cuts what follows into segments by the vendor's counts,
//! and reads these side by side. At the end it asks for the count once more, where pages alone do not show it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chatark_core::{
    Batch, Checkpoint, Error, ErrorKind, Features, Gap, GapBounds, PageMetadata, ReadRequest, Record,
    RecordId, Result, ResumeToken, Timestamp, Window,
};
use chatark_http::CursorGuard;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::agent;
use crate::chain::{Besides, Chain, Extent, Next, RestartReason, STALE, Shared, Step, second_of};
use crate::config::NAME;
use crate::export::{
    DATES, EXPORT_LIMIT, Export, ExportPage, Query, Reading, SINGLE_CONVERSATIONS, SUMMARIES, absent,
    changed_at, newest_of,
};
use crate::segment::{Counted, Cutter, MAX_LISTS, Piece, Segment};
use crate::wire::{Place, SegmentPlace, SweepPlace, Unread};

/// The most bytes of pages in flight: if conversations are large, fewer lists run.
const MAX_BYTES_IN_FLIGHT: usize = 64 << 20;
/// Up to so many lists that are not in the order of time are read in parts where something cannot be read, and one more for
/// each page that had something new: one such place takes up to thirty.
const MIN_PARTED: u64 = 40;
/// So many pages in a row without anything new are accepted, and two more for each that had something: one list that
/// never ends has shown everything once more by then, while in another one the rows have only moved on, since others
/// arrived.
const MAX_BARREN_PAGES: u64 = 40;
const BARREN_FOR_EACH_USEFUL: u64 = 2;
/// The most gaps that a sweep tries one by one before its walk, which reads the others with their pages where it meets them.
const MAX_TRIED_ALONE: usize = EXPORT_LIMIT as usize;
/// The version of the positions that this file seals.
const PLACE_VERSION: u32 = 2;

/// A walk through the export, in the order in which the pages arrive.
pub(crate) struct Sweep<'a> {
    export: Export<'a>,
    request: ReadRequest,
    scope: String,
    features: Features,
    query: Query,
    /// Conversations that earlier pulls could not fetch, and that are due.
    due: VecDeque<RecordId>,
    phase: Phase,
    /// Whether the vendor has answered while gaps were tried.
    was_alive: bool,
    was_cut: bool,
    /// What has come already, on the first page and while the export was cut.
    read_before: HashSet<RecordId>,
    /// Everything behind the first page, before it is cut.
    uncut: Option<Piece>,
    is_resumed: bool,
    chains: BTreeMap<usize, Slot<'a>>,
    created: usize,
    in_flight: FuturesUnordered<BoxFuture<'a, Arrived<'a>>>,
    /// The vendor's count that was asked for together with the last pages, or how far that has come.
    count: LastCount,
    seen: Seen,
    /// How many lists were read in parts, because of places that cannot be read.
    parted: u64,
    failed: Option<Error>,
    /// The error that follows what was put aside.
    ended_by: Option<Error>,
}

/// What a sweep does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    TryGaps,
    ReadFirstPage,
    Cut,
    ReadSegments,
    Ended,
}

/// What comes back from the vendor while segments are read.
enum Arrived<'a> {
    /// A page of a list, with what its list knows.
    Page(Box<(usize, Chain<'a>, Result<Step>)>),
    /// The latest count of everything.
    Count(Result<ExportPage>),
}

/// How far the count that is asked for together with the last pages has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastCount {
    NotAsked,
    Asked,
    Arrived(Option<u64>),
    /// It failed, or was asked for too early: it is asked for once more at the end.
    Useless,
}

/// A list of pages, or its last position while a page is in flight.
struct Slot<'a> {
    chain: Option<Chain<'a>>,
    position: SegmentPlace,
    /// About how many pages are left, by the vendor's count; where that is not known, fewer than none for each page read.
    pages_left: i64,
}

/// What a sweep has seen so far.
#[derive(Debug, Default)]
struct Seen {
    anything: bool,
    largest_page: usize,
    /// The pages that had something new.
    useful: u64,
    /// The pages since the latest of them.
    barren: u64,
    /// Whether the count of the latest page may be of what is left from a cursor on.
    may_count_rest: bool,
    /// The newest change, in all runs of this sweep.
    newest_change: Option<Timestamp>,
    /// What began near an edge of a segment, with a hash of its bytes: the lists of two segments may have it.
    at_edges: HashMap<RecordId, u64>,
    /// The gaps that were found or found again.
    gaps: Vec<GapBounds>,
    /// What was listed before the sweep restarted, and has not come since: in a list that changes, it may not come again.
    unread: Vec<Unread>,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(export: Export<'a>, request: ReadRequest) -> Self {
        let scope = request.scope();
        let saved = request.resume_from.as_ref().and_then(|cursor| open(cursor, &scope));
        let features = request.features.clone();
        let mut sweep = Self {
            query: Query::of(&request, &features),
            due: due(&request),
            phase: Phase::TryGaps,
            was_alive: false,
            was_cut: false,
            read_before: HashSet::new(),
            uncut: None,
            is_resumed: saved.is_some(),
            chains: BTreeMap::new(),
            created: 0,
            in_flight: FuturesUnordered::new(),
            count: LastCount::NotAsked,
            seen: Seen::default(),
            parted: 0,
            failed: None,
            ended_by: None,
            export,
            request,
            scope,
            features,
        };
        if let Some(saved) = saved {
            let SweepPlace { segments, was_cut, read_before, reads_whole, newest_change, unread } = saved;
            sweep.seen.newest_change = instant(newest_change);
            sweep.seen.unread = unread;
            sweep.read_before = read_before.into_iter().collect();
            (sweep.was_cut, sweep.seen.anything) = (was_cut, true);
            if reads_whole || sweep.features.lacks(SINGLE_CONVERSATIONS) {
                sweep.read_whole();
            }
            for place in segments {
                sweep.resume(place);
            }
        } else if sweep.features.lacks(SINGLE_CONVERSATIONS) {
            sweep.read_whole();
        }
        sweep
    }

    /// Reads whole conversations from here on, because changed ones cannot be fetched by id.
    fn read_whole(&mut self) {
        self.request.held = None;
        self.query.reading = Reading::Whole;
    }

    fn resume(&mut self, saved: SegmentPlace) {
        let segment = Segment { since: instant(saved.since), until: instant(saved.until) };
        let chain = self.chain(segment).resume(saved.place);
        self.add(chain, 0);
    }

    fn chain(&self, segment: Segment) -> Chain<'a> {
        let not_due = |gap: &&chatark_core::OpenGap| !gap.is_due;
        let passed_over = self.request.gaps.iter().filter(not_due).filter_map(|gap| record_of(&gap.bounds));
        let shared = Shared {
            known: self.request.held.clone(),
            reread_since: self.request.reread_since,
            plausible_until: self.request.plausible_until,
            read_before: Arc::new(self.read_before.clone()),
            passed_over: Arc::new(passed_over.collect()),
            has_summaries: true,
            has_singles: true,
            has_dates: true,
        };
        Chain::new(self.export, &self.query, segment, shared.with(&self.features))
    }

    fn add(&mut self, chain: Chain<'a>, conversations: u64) {
        self.created += 1;
        let pages_left = i64::try_from(conversations.div_ceil(EXPORT_LIMIT.into())).unwrap_or(i64::MAX);
        self.chains.insert(self.created, Slot { position: chain.position(), chain: Some(chain), pages_left });
    }

    /// Returns the next page that has arrived, whichever segment it is of, with what was put aside; `None` after the last
    /// one.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>> {
        if let Some(error) = self.ended_by.take() {
            return Err(error);
        }
        let next = self.step().await;
        let aside = self.export.aside.take();
        match next {
            Ok(Some(batch)) => self.complete(batch, aside).map(Some),
            Err(error) if !aside.is_empty() => {
                self.ended_by = Some(error);
                self.complete(Batch::default(), aside).map(Some)
            }
            next => next,
        }
    }

    /// Adds what was put aside to a batch, and notes what it has of what was missing so far: gaps, and what was listed
    /// before the sweep restarted.
    fn complete(&mut self, mut batch: Batch, aside: Vec<Record>) -> Result<Batch> {
        let newest = newest_of(aside.iter().map(changed_at), self.request.plausible_until);
        let is_newer = newest > self.seen.newest_change;
        if is_newer {
            self.seen.newest_change = newest;
            batch.page.newest_change = newest;
        }
        batch.records.splice(..0, aside);
        batch.closed_gaps.extend(self.closed_by(&batch));
        if self.seen.unread.is_empty() && !is_newer {
            return Ok(batch);
        }
        let records = batch.records.iter().filter_map(|record| record.id.as_ref());
        let has_come: HashSet<_> = records.chain(&batch.unchanged).collect();
        self.seen.unread.retain(|unread| !has_come.contains(&unread.id));
        match batch.checkpoint {
            Checkpoint::At(_) => batch.checkpoint = self.checkpoint()?,
            Checkpoint::End => self.leave_unread(&mut batch),
            Checkpoint::None => {}
        }
        Ok(batch)
    }

    /// Leaves what was listed and did not come as gaps: nothing says that it is gone.
    fn leave_unread(&mut self, batch: &mut Batch) {
        let message = "the conversation was listed before the sweep restarted, and not listed again";
        let call = self.export.call(&self.query, None);
        let error = self.export.client.error(&call, ErrorKind::Unavailable, message, None);
        for Unread { id, began } in std::mem::take(&mut self.seen.unread) {
            let bounds = instant(began).map_or_else(|| GapBounds::record(id), second_of);
            batch.closed_gaps.retain(|closed| *closed != bounds);
            batch.gaps.push(Gap::new(bounds, &error));
        }
    }

    async fn step(&mut self) -> Result<Option<Batch>> {
        loop {
            match self.phase {
                Phase::TryGaps => match self.due.pop_front() {
                    Some(id) => return self.try_gap(id).await.map(Some),
                    None if self.is_resumed => self.phase = Phase::ReadSegments,
                    None => self.phase = Phase::ReadFirstPage,
                },
                Phase::ReadFirstPage => {
                    self.phase = Phase::Cut;
                    return self.read_first_page().await.map(Some);
                }
                Phase::Cut => {
                    self.phase = Phase::ReadSegments;
                    match self.uncut.take() {
                        Some(whole) => return self.cut(whole).await.map(Some),
                        None => self.read_before.clear(),
                    }
                }
                Phase::ReadSegments => return self.read_segments().await.map(Some),
                Phase::Ended => return Ok(None),
            }
        }
    }

    /// Fetches a conversation that an earlier pull could not fetch.
    async fn try_gap(&mut self, id: RecordId) -> Result<Batch> {
        let mut batch =
            Batch { page: PageMetadata { pages: 1, ..PageMetadata::default() }, ..Batch::default() };
        let bounds = GapBounds::record(id.clone());
        match self.export.by_id(&id).await {
            Ok(Some(records)) => {
                if records.is_empty() {
                    batch.page.notes.push(absent(&id));
                }
                self.was_alive = true;
                batch.records = records;
                batch.closed_gaps.push(bounds);
            }
            Ok(None) => {}
            Err(error) if error.may_be_local() => {
                // A vendor that is down says nothing of the place: its gap stays as it was, and is due again.
                if error.is_transient() && !self.is_alive().await {
                    return Err(error);
                }
                self.seen.gaps.push(bounds.clone());
                batch.gaps.push(Gap::new(bounds, &error));
            }
            Err(error) => return Err(error),
        }
        Ok(batch)
    }

    /// Returns whether the vendor answers at all, which is asked once before its lists are read.
    async fn is_alive(&mut self) -> bool {
        if !self.was_alive {
            self.was_alive = self.chain(Segment::default()).is_alive().await;
        }
        self.was_alive
    }

    /// Reads the first page, which shows what the deployment supports, and cuts what follows into segments.
    async fn read_first_page(&mut self) -> Result<Batch> {
        let (before, mut guard) = (self.features.clone(), CursorGuard::default());
        let known = self.request.held.clone();
        let first =
            self.export.first_page(&mut self.query, &mut self.features, &mut guard, known.as_deref()).await;
        let page = match first {
            Ok(page) => page,
            // A place on the first page cannot be read: the list goes around it by itself.
            Err(error) if error.may_be_local() && error.kind() != ErrorKind::Malformed => {
                self.add(self.chain(Segment::default()), 0);
                return Ok(self.with_features(Batch::default(), &before));
            }
            Err(error) => return Err(error),
        };
        if self.query.reading == Reading::Whole {
            self.request.held = None;
        }
        let total = page.total;
        self.uncut = Piece::whole(&self.query, &page, &self.features);
        self.read_before = ids(&page);
        let mut chain = self.chain(Segment::default()).after_first_page(guard);
        // Whatever comes on the first page is taken.
        chain.skip(Arc::default());
        let batch = Batch { page: PageMetadata { pages: 1, ..PageMetadata::default() }, ..Batch::default() };
        let step = chain.take(page, self.query.reading, batch).await?;
        if chain.has_moving_rows() {
            // The segments would each find the same, and read their first page twice.
            self.query.reading = Reading::Whole;
        }
        self.add(chain, 0);
        let mut batch = self.take(self.created, None, step).await?;
        batch.page.total = total;
        Ok(self.with_features(batch, &before))
    }

    /// Cuts what follows the first page into segments. A list that cannot be cut is read as it is.
    async fn cut(&mut self, whole: Piece) -> Result<Batch> {
        let before = self.features.clone();
        let known = self.request.held.clone();
        // What the first page named and could not be fetched may come with another page.
        let failed: HashSet<_> = self.seen.gaps.iter().filter_map(record_of).collect();
        let read = &self.read_before - &failed;
        let (query, page_bytes) = (self.query.clone(), self.seen.largest_page);
        let mut cutter = Cutter::new(self.export, &query, known.as_deref(), page_bytes, read);
        let found = match cutter.cut(whole, &mut self.features).await {
            Ok(found) => found,
            Err(error) => {
                self.go_on_as_one_list(&cutter.read);
                self.ended_by = Some(error).filter(|error| !error.may_be_local());
                return Ok(Batch { checkpoint: self.checkpoint()?, ..Batch::default() });
            }
        };
        if found.ignores_dates {
            self.features.set(DATES, false);
        }
        let page = PageMetadata { pages: found.requests, ..PageMetadata::default() };
        let mut batch = self.with_features(Batch { page, ..Batch::default() }, &before);
        if found.counted.len() < 2 {
            self.go_on_as_one_list(&cutter.read);
        } else {
            self.was_cut = true;
            self.read_before.extend(cutter.read);
            self.chains.clear();
            for Counted { segment, conversations, first } in found.counted {
                self.add(self.chain(segment).begin_with(first), conversations);
            }
        }
        batch.checkpoint = self.checkpoint()?;
        Ok(batch)
    }

    /// Goes on with the list that has begun. It passes over what has come on pages with which no list begins.
    fn go_on_as_one_list(&mut self, read: &HashSet<RecordId>) {
        self.read_before = read - &self.read_before;
        let read_before = Arc::new(self.read_before.clone());
        let chains = self.chains.values_mut().filter_map(|slot| slot.chain.as_mut());
        for chain in chains {
            chain.learn(&self.features);
            chain.skip(read_before.clone());
        }
    }

    /// Adds what was found of the deployment since `before`.
    fn with_features(&self, mut batch: Batch, before: &Features) -> Batch {
        for (feature, is_supported) in self.features.iter() {
            if before.supports(feature) != Some(is_supported) {
                batch.page.features.set(feature, is_supported);
                if !is_supported {
                    batch.page.notes.push(refused(feature));
                }
            }
        }
        batch
    }

    async fn read_segments(&mut self) -> Result<Batch> {
        loop {
            if self.failed.is_none() {
                self.launch();
            }
            match self.in_flight.next().await {
                Some(Arrived::Page(page)) => match *page {
                    (at, chain, Ok(step)) => return self.take(at, Some(chain), step).await,
                    (_, _, Err(error)) if self.may_start_again(&error) => return self.start_again().await,
                    // Wait for the pages in flight, so that what was fetched before a fault is kept.
                    (_, _, Err(error)) => {
                        self.failed.get_or_insert(error);
                    }
                },
                Some(Arrived::Count(page)) => {
                    let count = page.map(|page| self.export.put_aside(page).total);
                    self.count = match count {
                        Ok(total) if self.count == LastCount::Asked => LastCount::Arrived(total),
                        _ => LastCount::Useless,
                    };
                }
                None => return self.end().await,
            }
        }
    }

    /// Requests the next page of as many lists as may run, first of those with the most pages left: so all of them end at
    /// about the same time.
    fn launch(&mut self) {
        let width = (MAX_BYTES_IN_FLIGHT / self.seen.largest_page.max(1)).clamp(1, MAX_LISTS);
        while self.in_flight.len() < width {
            let waiting = self.chains.iter_mut().filter(|(_, slot)| slot.chain.is_some());
            let longest = waiting.max_by_key(|(at, slot)| (slot.pages_left, Reverse(**at)));
            let Some((at, slot)) = longest else { return self.count_with_the_last_pages() };
            let (at, Some(chain)) = (*at, slot.chain.take()) else { return };
            // If a list was longer than it was counted, what was counted meanwhile is not the latest.
            if self.count != LastCount::NotAsked {
                self.count = LastCount::Useless;
            }
            self.in_flight.push(Box::pin(async move {
                let (chain, step) = chain.step().await;
                Arrived::Page(Box::new((at, chain, step)))
            }));
        }
    }

    /// Asks for the latest count as soon as only last pages are in flight, so that nobody waits for it alone.
    fn count_with_the_last_pages(&mut self) {
        let are_last = self.chains.values().all(|slot| slot.pages_left == 1);
        let knows_how =
            self.features.supports(DATES).is_some() && self.features.supports(SUMMARIES).is_some();
        if !(self.was_cut && are_last && knows_how && self.count == LastCount::NotAsked) {
            return;
        }
        self.count = LastCount::Asked;
        let (export, query) = (self.export, self.query.counting(&self.features));
        self.in_flight.push(Box::pin(async move {
            Arrived::Count(export.page(&query, None, &mut CursorGuard::default(), None).await)
        }));
    }

    /// Processes a page, and returns it with the positions of all segments. `chain` is `None` if its slot has it.
    async fn take(&mut self, at: usize, chain: Option<Chain<'a>>, step: Step) -> Result<Batch> {
        let Step { mut batch, total, may_count_rest, is_new, bytes, at_edges, besides, next } = step;
        self.seen.take_once(&mut batch.records, &at_edges);
        if let Next::Restart(why, unread) = next {
            // Nothing restarts after an error; the checkpoint before this page stays valid.
            if self.failed.is_some() {
                return Ok(Batch { records: batch.records, page: batch.page, ..Batch::default() });
            }
            self.seen.unread.extend(unread);
            return self.restart(why, batch).await;
        }
        if batch.page.features.lacks(DATES) {
            self.features.set(DATES, false);
            self.query.without_refused(&self.features);
        }
        if batch.page.restarted {
            self.read_before.clear();
        }
        self.seen.count(is_new, bytes, may_count_rest);
        self.seen.newest_change = self.seen.newest_change.max(batch.page.newest_change);
        batch.page.newest_change = self.seen.newest_change;
        if !self.was_cut && !may_count_rest {
            batch.page.total = total;
        }
        self.seen.gaps.extend(batch.gaps.iter().map(|gap| gap.bounds.clone()));
        let chain = match (chain, self.chains.get_mut(&at)) {
            (None, Some(slot)) => slot.chain.take(),
            (chain, _) => chain,
        };
        match next {
            Next::Page => {
                if let Some(chain) = chain {
                    let pages_left = self.chains.get(&at).map_or(0, |slot| slot.pages_left) - 1;
                    let position = chain.position();
                    self.chains.insert(at, Slot { position, chain: Some(chain), pages_left });
                }
            }
            Next::End => {
                self.chains.remove(&at);
            }
            Next::Stuck(error) => {
                self.failed.get_or_insert(error);
            }
            Next::Restart(..) => {}
        }
        self.add_besides(besides);
        if self.seen.is_endless() {
            self.failed.get_or_insert(self.endless());
        }
        batch.checkpoint = self.checkpoint()?;
        if batch.checkpoint == Checkpoint::End {
            self.close(&mut batch).await?;
        }
        Ok(batch)
    }

    fn add_besides(&mut self, besides: Besides) {
        match besides {
            Besides::Nothing => return,
            Besides::After(segment, extent) => {
                self.add(self.chain(segment).with_extent(extent).behind_a_gap(), 0);
            }
            Besides::Parts(segments) => {
                self.parted += 1;
                for segment in segments {
                    let is_last = self.parted >= MIN_PARTED + self.seen.useful;
                    let extent = if is_last { Extent::LastPart } else { Extent::Part };
                    self.add(self.chain(segment).with_extent(extent), 0);
                }
            }
        }
        self.was_cut = true;
    }

    /// Returns the gaps of single conversations that a batch has closed.
    fn closed_by(&self, batch: &Batch) -> Vec<GapBounds> {
        let records: HashSet<_> = batch.records.iter().filter_map(|record| record.id.as_ref()).collect();
        let is_read = |id: RecordId| records.contains(&id).then(|| GapBounds::record(id));
        let earlier = self.request.gaps.iter().map(|gap| &gap.bounds);
        earlier.chain(&self.seen.gaps).filter_map(|bounds| record_of(bounds).and_then(is_read)).collect()
    }

    /// Returns the positions of all segments as one checkpoint: the end, if nothing is left to ask for.
    fn checkpoint(&self) -> Result<Checkpoint> {
        if self.chains.is_empty() && !self.needs_count() {
            return Ok(Checkpoint::End);
        }
        let place = SweepPlace {
            segments: self.chains.values().map(|slot| slot.position.clone()).collect(),
            was_cut: self.was_cut,
            read_before: match self.phase {
                Phase::Cut => Vec::new(),
                _ => self.read_before.iter().cloned().collect(),
            },
            reads_whole: self.features.lacks(SINGLE_CONVERSATIONS),
            newest_change: self.seen.newest_change.map(Timestamp::microseconds),
            unread: self.seen.unread.clone(),
        };
        let sealed = ResumeToken::seal(NAME, PLACE_VERSION, self.scope.clone(), &place)?;
        Ok(Checkpoint::At(sealed))
    }

    /// Returns whether the latest count has to be asked for: a page behind a cursor may count what is left of the list,
    /// and one of a segment counts the segment.
    fn needs_count(&self) -> bool {
        self.was_cut || self.seen.may_count_rest
    }

    /// Ends a walk with the vendor's latest count.
    async fn end(&mut self) -> Result<Batch> {
        if let Some(error) = self.failed.take() {
            self.phase = Phase::Ended;
            return Err(error);
        }
        let before = self.features.clone();
        let total = match self.count {
            LastCount::Arrived(total) => total,
            LastCount::NotAsked | LastCount::Asked | LastCount::Useless => self.last_count().await?,
        };
        let newest_change = self.seen.newest_change;
        let page = PageMetadata { total, pages: 1, newest_change, ..PageMetadata::default() };
        let mut batch = Batch { page, checkpoint: Checkpoint::End, ..Batch::default() };
        self.close(&mut batch).await?;
        Ok(self.with_features(batch, &before))
    }

    async fn last_count(&mut self) -> Result<Option<u64>> {
        let (mut query, mut guard) = (self.query.counting(&self.features), CursorGuard::default());
        match self.export.first_page(&mut query, &mut self.features, &mut guard, None).await {
            Ok(last) => Ok(self.export.put_aside(last).total),
            // The newest conversation may be what cannot be read.
            Err(error) if error.may_be_local() && !self.seen.gaps.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes the gaps that the walk has passed, and explains an empty list.
    async fn close(&mut self, batch: &mut Batch) -> Result<()> {
        self.phase = Phase::Ended;
        // A resumed sweep has not passed what an earlier run of it could not read.
        let open = |bounds: &GapBounds| {
            !self.is_resumed && covers(&self.request, bounds) && !self.seen.gaps.contains(bounds)
        };
        let passed = self.request.gaps.iter().map(|gap| &gap.bounds).filter(|bounds| open(bounds));
        batch.closed_gaps.extend(passed.cloned());
        if !self.seen.anything {
            batch.page.notes.push(agent::explain_emptiness(self.export).await?);
        }
        Ok(())
    }

    /// Restarts from the beginning with a single list.
    async fn restart(&mut self, why: RestartReason, arrived: Batch) -> Result<Batch> {
        let Batch { records, unchanged, list_rows, page: mut metadata, .. } = arrived;
        metadata.notes.push(why.note().to_owned());
        let feature = match why {
            RestartReason::IgnoresId => SINGLE_CONVERSATIONS,
            RestartReason::IgnoresDates => DATES,
        };
        self.features.set(feature, false);
        metadata.features.set(feature, false);
        self.query = Query::of(&self.request, &self.features);
        if why == RestartReason::IgnoresId {
            self.read_whole();
        }
        let gaps = self.abandon_lists().await;
        self.was_cut = false;
        self.read_before.clear();
        self.add(self.chain(Segment::default()), 0);
        // What was seen so far counts, and what has arrived is kept: in a list that changes, it may not come again.
        let checkpoint = self.checkpoint()?;
        Ok(Batch { records, unchanged, list_rows, gaps, page: metadata, checkpoint, ..Batch::default() })
    }

    /// Returns whether a resumed sweep may start again: even without its cursor the request was refused, so that what the
    /// deployment supports has changed, or is not remembered any more.
    fn may_start_again(&self, error: &Error) -> bool {
        let may_refuse = self.was_cut || !self.query.optional().is_empty();
        self.is_resumed && may_refuse && self.failed.is_none() && error.kind() == ErrorKind::Refused
    }

    /// Starts again from the first page, which finds out once more what the deployment supports.
    async fn start_again(&mut self) -> Result<Batch> {
        let gaps = self.abandon_lists().await;
        (self.is_resumed, self.was_cut, self.phase) = (false, false, Phase::Cut);
        self.read_before.clear();
        let mut batch = self.read_first_page().await?;
        batch.gaps.extend(gaps);
        batch.page.restarted = true;
        batch.page.notes.push(STALE.to_owned());
        Ok(batch)
    }

    /// Gives all lists up. The pages in flight have been paid for: they are waited for, and kept. Returns their gaps.
    async fn abandon_lists(&mut self) -> Vec<Gap> {
        self.chains.clear();
        // Their run may be reset in the ledger: what comes again is to be seen again.
        self.seen.at_edges.clear();
        self.count = LastCount::NotAsked;
        let mut gaps = Vec::new();
        while let Some(arrived) = self.in_flight.next().await {
            let step = match arrived {
                Arrived::Page(page) => page.2,
                Arrived::Count(page) => {
                    let _ = page.map(|page| self.export.put_aside(page));
                    continue;
                }
            };
            let Ok(Step { batch, next, .. }) = step else { continue };
            self.export.aside.put(batch.records);
            gaps.extend(batch.gaps);
            if let Next::Restart(_, unread) = next {
                self.seen.unread.extend(unread);
            }
        }
        self.seen.gaps.extend(gaps.iter().map(|gap| gap.bounds.clone()));
        gaps
    }

    fn endless(&self) -> Error {
        let Seen { useful, barren, .. } = self.seen;
        let message = format!(
            "{barren} pages in a row held nothing new, after {useful} that did, so the list may never end"
        );
        let call = self.export.call(&self.query, None);
        self.export
            .client
            .error(&call, ErrorKind::Malformed, message, None)
            .hint("everything before is archived; run the same command again, and report it to the vendor if it repeats")
    }
}

impl Seen {
    fn count(&mut self, is_new: bool, bytes: usize, may_count_rest: bool) {
        self.anything |= bytes > 0;
        self.largest_page = self.largest_page.max(bytes);
        self.useful += u64::from(is_new);
        self.barren = if is_new { 0 } else { self.barren + 1 };
        self.may_count_rest = may_count_rest;
    }

    /// Takes out what the list of another segment has brought already, byte for byte.
    fn take_once(&mut self, records: &mut Vec<Record>, at_edges: &[RecordId]) {
        records.retain(|record| {
            let Some(id) = record.id.as_ref().filter(|id| at_edges.contains(id)) else { return true };
            let mut hasher = DefaultHasher::new();
            record.bytes.hash(&mut hasher);
            let hash = hasher.finish();
            self.at_edges.insert(id.clone(), hash) != Some(hash)
        });
    }

    /// Returns whether more pages in a row than a list that ends can have held nothing new.
    fn is_endless(&self) -> bool {
        self.barren > MAX_BARREN_PAGES + BARREN_FOR_EACH_USEFUL * self.useful
    }
}

/// Opens a saved position. One of version 1 is that of a single list.
fn open(cursor: &ResumeToken, scope: &str) -> Option<SweepPlace> {
    cursor.open(NAME, PLACE_VERSION, scope).or_else(|| {
        let place = cursor.open::<Place>(NAME, PLACE_VERSION - 1, scope)?;
        let segments = vec![SegmentPlace { place: Some(place), ..SegmentPlace::default() }];
        Some(SweepPlace { segments, ..SweepPlace::default() })
    })
}

/// Returns the conversations whose gaps are to be tried again.
fn due(request: &ReadRequest) -> VecDeque<RecordId> {
    let due = request.gaps.iter().filter(|gap| gap.is_due).filter_map(|gap| record_of(&gap.bounds));
    due.take(MAX_TRIED_ALONE).collect()
}

/// Returns whether a walk that has ended has read everything within the bounds of a gap that is not of one record.
fn covers(request: &ReadRequest, bounds: &GapBounds) -> bool {
    let Window { since, until } = request.window;
    match bounds {
        GapBounds::Record { .. } => false,
        GapBounds::Window { since: first, until: end } => {
            request.channel.is_none()
                && since.is_none_or(|since| instant(*first) >= Some(since))
                && until.is_none_or(|until| instant(*end).is_some_and(|end| end <= until))
        }
        _ => true,
    }
}

fn record_of(bounds: &GapBounds) -> Option<RecordId> {
    match bounds {
        GapBounds::Record { id } => Some(id.clone()),
        _ => None,
    }
}

fn instant(at: Option<i64>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_microseconds(at).ok())
}

fn ids(page: &ExportPage) -> HashSet<RecordId> {
    page.elements.iter().filter_map(|element| element.summary.id.clone()).collect()
}

/// Returns the note to the user about a parameter that the deployment does not accept.
fn refused(feature: &str) -> String {
    let what = match feature {
        DATES => "dates: the list is read one page after another, and filtered here",
        SUMMARIES => "summaries: everything is read each time",
        crate::export::CHANNEL_FILTER => "a filter by channel: the list is filtered here",
        _ => "single conversations by `conversationId`",
    };
    format!("this deployment does not support {what}")
}
