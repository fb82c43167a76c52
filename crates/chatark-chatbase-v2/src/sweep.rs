//! The walk through the export: one list of pages, or several at once, each of its own segment.
//!
//! A sweep tries the gaps of earlier pulls, reads a first page, cuts the rest into segments by the vendor's counts, and
//! reads these side by side. At the end, it requests the count once more if the pages do not show it.

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
use crate::config::NAME;
use crate::export::{
    DATES, EXPORT_LIMIT, Export, ExportPage, PageContent, Query, SINGLE_CONVERSATIONS, SUMMARIES,
    absent_note, changed_at, newest_of,
};
use crate::page_list::{
    FollowUps, ListContext, Next, PageList, RestartReason, STALE_CURSOR_NOTE, SplitLevel, Step, second_of,
};
use crate::segment::{CandidateSegment, CountedSegment, MAX_LISTS, Segment, SegmentPlanner};
use crate::wire::{CursorPosition, SegmentPosition, SweepPosition, Unread};

/// The most bytes of pages in flight: if conversations are large, fewer lists are read at once.
const MAX_BYTES_IN_FLIGHT: usize = 64 << 20;
/// Up to so many lists are split into parts because they are not in the order of time and have a place that cannot be read,
/// and one more for each page that had something new: one such place takes up to thirty.
const MIN_SPLIT_LISTS: u64 = 40;
/// So many pages in a row without anything new are accepted, and two more for each page that had something new. A list
/// that never ends has then repeated everything; in a list that ends, rows have only moved because others arrived.
const MAX_STALE_PAGES: u64 = 40;
const STALE_FOR_EACH_NEW: u64 = 2;
/// The most gaps that a sweep tries by id before its walk, which comes past the others anyway.
const MAX_TRIED_ALONE: usize = EXPORT_LIMIT as usize;
/// The version of the resume tokens that this file seals.
const TOKEN_VERSION: u32 = 2;

/// A walk through the export, in the order in which the pages arrive.
pub(crate) struct ExportWalk<'a> {
    export: Export<'a>,
    request: ReadRequest,
    scope: String,
    features: Features,
    query: Query,
    /// Conversations that earlier pulls could not fetch and that are due to be tried again.
    due: VecDeque<RecordId>,
    phase: Phase,
    /// Whether the vendor has responded while gaps were tried.
    was_up: bool,
    was_cut: bool,
    /// The conversations that have come already, on the first page and while the export was cut.
    read_before: HashSet<RecordId>,
    /// The whole export as one candidate, after the first page and before it is cut.
    uncut: Option<CandidateSegment>,
    is_resumed: bool,
    lists: BTreeMap<usize, ListSlot<'a>>,
    created: usize,
    in_flight: FuturesUnordered<BoxFuture<'a, Arrived<'a>>>,
    /// The vendor's count, requested together with the last pages.
    count: LastCount,
    seen: Seen,
    /// How many lists were split into parts because of places that cannot be read.
    split_lists: u64,
    failed: Option<Error>,
    /// The error to be returned after the extra records.
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

/// What has arrived from the vendor while segments are read.
enum Arrived<'a> {
    /// A page, with its list.
    Page(Box<(usize, PageList<'a>, Result<Step>)>),
    /// The latest count of everything.
    Count(Result<ExportPage>),
}

/// The state of the count that is requested together with the last pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastCount {
    NotRequested,
    Requested,
    Arrived(Option<u64>),
    /// It failed, or was requested too early: it is requested once more at the end.
    Outdated,
}

/// A list of pages with its last position; without the list while one of its pages is in flight.
struct ListSlot<'a> {
    list: Option<PageList<'a>>,
    position: SegmentPosition,
    /// About how many pages are left, by the vendor's count; if that is not known, minus the number of pages read.
    pages_left: i64,
}

/// What a sweep has seen so far.
#[derive(Debug, Default)]
struct Seen {
    anything: bool,
    largest_page: usize,
    /// How many pages had something new.
    new_pages: u64,
    /// How many pages came since the latest of them.
    stale_pages: u64,
    /// Whether the count of the latest page may be of the rest of its list, from a cursor on.
    may_count_rest: bool,
    /// The newest change, in all runs of this sweep.
    newest_change: Option<Timestamp>,
    /// Conversations that began near a bound of a segment, each with a hash of its bytes: two lists may have them.
    at_edges: HashMap<RecordId, u64>,
    /// The gaps of this sweep, new and old.
    gaps: Vec<GapBounds>,
    /// Conversations that were listed before the sweep restarted and have not come since: in a list that changes, they
    /// may not come again.
    unread: Vec<Unread>,
}

impl<'a> ExportWalk<'a> {
    pub(crate) fn new(export: Export<'a>, request: ReadRequest) -> Self {
        let scope = request.scope();
        let saved = request.resume_from.as_ref().and_then(|cursor| open(cursor, &scope));
        let features = request.features.clone();
        let mut sweep = Self {
            query: Query::of(&request, &features),
            due: due(&request),
            phase: Phase::TryGaps,
            was_up: false,
            was_cut: false,
            read_before: HashSet::new(),
            uncut: None,
            is_resumed: saved.is_some(),
            lists: BTreeMap::new(),
            created: 0,
            in_flight: FuturesUnordered::new(),
            count: LastCount::NotRequested,
            seen: Seen::default(),
            split_lists: 0,
            failed: None,
            ended_by: None,
            export,
            request,
            scope,
            features,
        };
        if let Some(saved) = saved {
            let SweepPosition { segments, was_cut, read_before, reads_whole, newest_change, unread } = saved;
            sweep.seen.newest_change = instant(newest_change);
            sweep.seen.unread = unread;
            sweep.read_before = read_before.into_iter().collect();
            (sweep.was_cut, sweep.seen.anything) = (was_cut, true);
            if reads_whole || sweep.features.lacks(SINGLE_CONVERSATIONS) {
                sweep.read_whole();
            }
            for segment in segments {
                sweep.resume(segment);
            }
        } else if sweep.features.lacks(SINGLE_CONVERSATIONS) {
            sweep.read_whole();
        }
        sweep
    }

    /// Reads whole conversations from now on, because changed ones cannot be fetched by id.
    fn read_whole(&mut self) {
        self.request.held = None;
        self.query.content = PageContent::Whole;
    }

    fn resume(&mut self, saved: SegmentPosition) {
        let segment = Segment { since: instant(saved.since), until: instant(saved.until) };
        let list = self.new_list(segment).resume(saved.position);
        self.add_list(list, 0);
    }

    fn new_list(&self, segment: Segment) -> PageList<'a> {
        let not_due = |gap: &&chatark_core::OpenGap| !gap.is_due;
        let passed_over = self.request.gaps.iter().filter(not_due).filter_map(|gap| record_of(&gap.bounds));
        let context = ListContext {
            held_records: self.request.held.clone(),
            reread_since: self.request.reread_since,
            plausible_until: self.request.plausible_until,
            read_before: Arc::new(self.read_before.clone()),
            passed_over: Arc::new(passed_over.collect()),
            has_summaries: true,
            has_singles: true,
            has_dates: true,
        };
        PageList::new(self.export, &self.query, segment, context.with_features(&self.features))
    }

    fn add_list(&mut self, list: PageList<'a>, conversations: u64) {
        self.created += 1;
        let pages_left = i64::try_from(conversations.div_ceil(EXPORT_LIMIT.into())).unwrap_or(i64::MAX);
        self.lists.insert(
            self.created,
            ListSlot { position: list.segment_position(), list: Some(list), pages_left },
        );
    }

    /// Returns the next page that has arrived, whatever its segment, with the extra records; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>> {
        if let Some(error) = self.ended_by.take() {
            return Err(error);
        }
        let next = self.step().await;
        let extra_records = self.export.extra_records.take();
        match next {
            Ok(Some(batch)) => self.complete(batch, extra_records).map(Some),
            Err(error) if !extra_records.is_empty() => {
                self.ended_by = Some(error);
                self.complete(Batch::default(), extra_records).map(Some)
            }
            next => next,
        }
    }

    /// Adds the extra records to a batch, closes the gaps that it fills, and notes which conversations listed before a
    /// restart it has.
    fn complete(&mut self, mut batch: Batch, extra_records: Vec<Record>) -> Result<Batch> {
        let newest = newest_of(extra_records.iter().map(changed_at), self.request.plausible_until);
        let is_newer = newest > self.seen.newest_change;
        if is_newer {
            self.seen.newest_change = newest;
            batch.page.newest_change = newest;
        }
        batch.records.splice(..0, extra_records);
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

    /// Records conversations that were listed and did not come as gaps: nothing says that they are gone.
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
        match self.export.find_by_id(&id).await {
            Ok(Some(records)) => {
                if records.is_empty() {
                    batch.page.notes.push(absent_note(&id));
                }
                self.was_up = true;
                batch.records = records;
                batch.closed_gaps.push(bounds);
            }
            Ok(None) => {}
            Err(error) if error.may_be_local() => {
                // If the vendor is down, the gap stays as it was, and is due again.
                if error.is_transient() && !self.is_up().await {
                    return Err(error);
                }
                self.seen.gaps.push(bounds.clone());
                batch.gaps.push(Gap::new(bounds, &error));
            }
            Err(error) => return Err(error),
        }
        Ok(batch)
    }

    /// Returns whether the vendor responds. Once it has, it is not asked again.
    async fn is_up(&mut self) -> bool {
        if !self.was_up {
            self.was_up = self.new_list(Segment::default()).is_up().await;
        }
        self.was_up
    }

    /// Reads the first page, which shows what the deployment supports, and cuts what follows into segments.
    async fn read_first_page(&mut self) -> Result<Batch> {
        let (before, mut guard) = (self.features.clone(), CursorGuard::default());
        let held_records = self.request.held.clone();
        let first = self
            .export
            .first_page(&mut self.query, &mut self.features, &mut guard, held_records.as_deref())
            .await;
        let page = match first {
            Ok(page) => page,
            // A place on the first page cannot be read: the list finds a way past it.
            Err(error) if error.may_be_local() && error.kind() != ErrorKind::Malformed => {
                self.add_list(self.new_list(Segment::default()), 0);
                return Ok(self.with_features(Batch::default(), &before));
            }
            Err(error) => return Err(error),
        };
        if self.query.content == PageContent::Whole {
            self.request.held = None;
        }
        let total = page.total;
        self.uncut = CandidateSegment::whole(&self.query, &page, &self.features);
        self.read_before = ids(&page);
        let mut list = self.new_list(Segment::default()).with_cursor_guard(guard);
        // The conversations of the first page itself are new.
        list.skip(Arc::default());
        let batch = Batch { page: PageMetadata { pages: 1, ..PageMetadata::default() }, ..Batch::default() };
        let step = list.take(page, self.query.content, batch).await?;
        if list.has_moving_rows() {
            // The segments would each find the same, and read their first page twice.
            self.query.content = PageContent::Whole;
        }
        self.add_list(list, 0);
        let mut batch = self.take(self.created, None, step).await?;
        batch.page.total = total;
        Ok(self.with_features(batch, &before))
    }

    /// Cuts the export into segments after the first page. A list that cannot be cut is read as it is.
    async fn cut(&mut self, whole: CandidateSegment) -> Result<Batch> {
        let before = self.features.clone();
        let held_records = self.request.held.clone();
        // Conversations of the first page that could not be fetched may come with another page.
        let failed: HashSet<_> = self.seen.gaps.iter().filter_map(record_of).collect();
        let read = &self.read_before - &failed;
        let (query, page_bytes) = (self.query.clone(), self.seen.largest_page);
        let mut planner = SegmentPlanner::new(self.export, &query, held_records.as_deref(), page_bytes, read);
        let found = match planner.plan(whole, &mut self.features).await {
            Ok(found) => found,
            Err(error) => {
                self.go_on_as_one_list(&planner.read);
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
            self.go_on_as_one_list(&planner.read);
        } else {
            self.was_cut = true;
            self.read_before.extend(planner.read);
            self.lists.clear();
            for CountedSegment { segment, conversations, first } in found.counted {
                self.add_list(self.new_list(segment).with_first_page(first), conversations);
            }
        }
        batch.checkpoint = self.checkpoint()?;
        Ok(batch)
    }

    /// Goes on with the list that has begun. It skips what has come on pages with which no list begins.
    fn go_on_as_one_list(&mut self, read: &HashSet<RecordId>) {
        self.read_before = read - &self.read_before;
        let read_before = Arc::new(self.read_before.clone());
        let lists = self.lists.values_mut().filter_map(|slot| slot.list.as_mut());
        for list in lists {
            list.note_features(&self.features);
            list.skip(read_before.clone());
        }
    }

    /// Adds the features of the deployment that were found since `before`.
    fn with_features(&self, mut batch: Batch, before: &Features) -> Batch {
        for (feature, is_supported) in self.features.iter() {
            if before.supports(feature) != Some(is_supported) {
                batch.page.features.set(feature, is_supported);
                if !is_supported {
                    batch.page.notes.push(refusal_note(feature));
                }
            }
        }
        batch
    }

    async fn read_segments(&mut self) -> Result<Batch> {
        loop {
            if self.failed.is_none() {
                self.request_next_pages();
            }
            match self.in_flight.next().await {
                Some(Arrived::Page(page)) => match *page {
                    (at, list, Ok(step)) => return self.take(at, Some(list), step).await,
                    (_, _, Err(error)) if self.may_start_again(&error) => {
                        return self.restart_from_first_page().await;
                    }
                    // Wait for the pages in flight, so that what was fetched before a fault is kept.
                    (_, _, Err(error)) => {
                        self.failed.get_or_insert(error);
                    }
                },
                Some(Arrived::Count(page)) => {
                    let count = page.map(|page| self.export.keep_extra_records(page).total);
                    self.count = match count {
                        Ok(total) if self.count == LastCount::Requested => LastCount::Arrived(total),
                        _ => LastCount::Outdated,
                    };
                }
                None => return self.end().await,
            }
        }
    }

    /// Requests the next page of as many lists as may be read at once. Those with the most pages left come first, so
    /// that all of them end at about the same time.
    fn request_next_pages(&mut self) {
        let width = (MAX_BYTES_IN_FLIGHT / self.seen.largest_page.max(1)).clamp(1, MAX_LISTS);
        while self.in_flight.len() < width {
            let waiting = self.lists.iter_mut().filter(|(_, slot)| slot.list.is_some());
            let longest = waiting.max_by_key(|(at, slot)| (slot.pages_left, Reverse(**at)));
            let Some((at, slot)) = longest else { return self.count_with_the_last_pages() };
            let (at, Some(list)) = (*at, slot.list.take()) else { return };
            // A list is longer than its count, so the count that was requested with the last pages is outdated.
            if self.count != LastCount::NotRequested {
                self.count = LastCount::Outdated;
            }
            self.in_flight.push(Box::pin(async move {
                let (list, step) = list.step().await;
                Arrived::Page(Box::new((at, list, step)))
            }));
        }
    }

    /// Requests the latest count as soon as only last pages are in flight, so that it takes no extra time.
    fn count_with_the_last_pages(&mut self) {
        let are_last = self.lists.values().all(|slot| slot.pages_left == 1);
        let knows_how =
            self.features.supports(DATES).is_some() && self.features.supports(SUMMARIES).is_some();
        if !(self.was_cut && are_last && knows_how && self.count == LastCount::NotRequested) {
            return;
        }
        self.count = LastCount::Requested;
        let (export, query) = (self.export, self.query.counting(&self.features));
        self.in_flight.push(Box::pin(async move {
            Arrived::Count(export.page(&query, None, &mut CursorGuard::default(), None).await)
        }));
    }

    /// Processes a page, and returns it with the positions of all segments. `list` is `None` if it is still in its
    /// slot.
    async fn take(&mut self, at: usize, list: Option<PageList<'a>>, step: Step) -> Result<Batch> {
        let Step { mut batch, total, may_count_rest, is_new, bytes, at_edges, follow_ups, next } = step;
        self.seen.remove_duplicates(&mut batch.records, &at_edges);
        if let Next::Restart(why, unread) = next {
            // Nothing restarts after an error; the checkpoint before this page stays valid.
            if self.failed.is_some() {
                return Ok(Batch { records: batch.records, page: batch.page, ..Batch::default() });
            }
            self.seen.unread.extend(unread);
            return self.restart_without(why, batch).await;
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
        let list = match (list, self.lists.get_mut(&at)) {
            (None, Some(slot)) => slot.list.take(),
            (list, _) => list,
        };
        match next {
            Next::Page => {
                if let Some(list) = list {
                    let pages_left = self.lists.get(&at).map_or(0, |slot| slot.pages_left) - 1;
                    let position = list.segment_position();
                    self.lists.insert(at, ListSlot { position, list: Some(list), pages_left });
                }
            }
            Next::End => {
                self.lists.remove(&at);
            }
            Next::Stuck(error) => {
                self.failed.get_or_insert(error);
            }
            Next::Restart(..) => {}
        }
        self.add_follow_ups(follow_ups);
        if self.seen.is_endless() {
            self.failed.get_or_insert(self.endless());
        }
        batch.checkpoint = self.checkpoint()?;
        if batch.checkpoint == Checkpoint::End {
            self.close(&mut batch).await?;
        }
        Ok(batch)
    }

    fn add_follow_ups(&mut self, follow_ups: FollowUps) {
        match follow_ups {
            FollowUps::Nothing => return,
            FollowUps::After(segment, split_level) => {
                self.add_list(self.new_list(segment).with_split_level(split_level).without_lower_margin(), 0);
            }
            FollowUps::Pieces(segments) => {
                self.split_lists += 1;
                for segment in segments {
                    let is_last = self.split_lists >= MIN_SPLIT_LISTS + self.seen.new_pages;
                    let split_level = if is_last { SplitLevel::LastPiece } else { SplitLevel::Piece };
                    self.add_list(self.new_list(segment).with_split_level(split_level), 0);
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

    /// Returns the positions of all segments as one checkpoint: the end, if nothing is left to be requested.
    fn checkpoint(&self) -> Result<Checkpoint> {
        if self.lists.is_empty() && !self.needs_count() {
            return Ok(Checkpoint::End);
        }
        let position = SweepPosition {
            segments: self.lists.values().map(|slot| slot.position.clone()).collect(),
            was_cut: self.was_cut,
            read_before: match self.phase {
                Phase::Cut => Vec::new(),
                _ => self.read_before.iter().cloned().collect(),
            },
            reads_whole: self.features.lacks(SINGLE_CONVERSATIONS),
            newest_change: self.seen.newest_change.map(Timestamp::microseconds),
            unread: self.seen.unread.clone(),
        };
        let sealed = ResumeToken::seal(NAME, TOKEN_VERSION, self.scope.clone(), &position)?;
        Ok(Checkpoint::At(sealed))
    }

    /// Returns whether the latest count has to be requested: a page after a cursor may count the rest of the list, and
    /// a page of a segment counts the segment.
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
            LastCount::NotRequested | LastCount::Requested | LastCount::Outdated => self.last_count().await?,
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
            Ok(last) => Ok(self.export.keep_extra_records(last).total),
            // The newest conversation may be the one that cannot be read.
            Err(error) if error.may_be_local() && !self.seen.gaps.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes the gaps that the walk has passed, and explains an empty list.
    async fn close(&mut self, batch: &mut Batch) -> Result<()> {
        self.phase = Phase::Ended;
        // A resumed sweep has not come past what an earlier run of it could not read.
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

    /// Restarts from the beginning with a single list, without what the deployment ignores.
    async fn restart_without(&mut self, why: RestartReason, arrived: Batch) -> Result<Batch> {
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
        self.add_list(self.new_list(Segment::default()), 0);
        // What was seen so far counts, and what has arrived is kept: in a list that changes, it may not come again.
        let checkpoint = self.checkpoint()?;
        Ok(Batch { records, unchanged, list_rows, gaps, page: metadata, checkpoint, ..Batch::default() })
    }

    /// Returns whether a resumed sweep may start again: the request was refused even without its cursor, so what the
    /// deployment supports has changed or is no longer known.
    fn may_start_again(&self, error: &Error) -> bool {
        let may_refuse = self.was_cut || !self.query.optional().is_empty();
        self.is_resumed && may_refuse && self.failed.is_none() && error.kind() == ErrorKind::Refused
    }

    /// Starts again from the first page, which finds out once more what the deployment supports.
    async fn restart_from_first_page(&mut self) -> Result<Batch> {
        let gaps = self.abandon_lists().await;
        (self.is_resumed, self.was_cut, self.phase) = (false, false, Phase::Cut);
        self.read_before.clear();
        let mut batch = self.read_first_page().await?;
        batch.gaps.extend(gaps);
        batch.page.restarted = true;
        batch.page.notes.push(STALE_CURSOR_NOTE.to_owned());
        Ok(batch)
    }

    /// Abandons all lists. The pages in flight are awaited and kept. Returns their gaps.
    async fn abandon_lists(&mut self) -> Vec<Gap> {
        self.lists.clear();
        // The archive may reset the run: what comes again then counts as seen again.
        self.seen.at_edges.clear();
        self.count = LastCount::NotRequested;
        let mut gaps = Vec::new();
        while let Some(arrived) = self.in_flight.next().await {
            let step = match arrived {
                Arrived::Page(page) => page.2,
                Arrived::Count(page) => {
                    let _ = page.map(|page| self.export.keep_extra_records(page));
                    continue;
                }
            };
            let Ok(Step { batch, next, .. }) = step else { continue };
            self.export.extra_records.add(batch.records);
            gaps.extend(batch.gaps);
            if let Next::Restart(_, unread) = next {
                self.seen.unread.extend(unread);
            }
        }
        self.seen.gaps.extend(gaps.iter().map(|gap| gap.bounds.clone()));
        gaps
    }

    fn endless(&self) -> Error {
        let Seen { new_pages, stale_pages, .. } = self.seen;
        let message = format!(
            "{stale_pages} pages in a row held nothing new, after {new_pages} that did, so the list may never end"
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
        self.new_pages += u64::from(is_new);
        self.stale_pages = if is_new { 0 } else { self.stale_pages + 1 };
        self.may_count_rest = may_count_rest;
    }

    /// Removes conversations that the list of another segment has had already, byte for byte.
    fn remove_duplicates(&mut self, records: &mut Vec<Record>, at_edges: &[RecordId]) {
        records.retain(|record| {
            let Some(id) = record.id.as_ref().filter(|id| at_edges.contains(id)) else { return true };
            let mut hasher = DefaultHasher::new();
            record.bytes.hash(&mut hasher);
            let hash = hasher.finish();
            self.at_edges.insert(id.clone(), hash) != Some(hash)
        });
    }

    /// Returns whether too many pages in a row had nothing new for a list that ends.
    fn is_endless(&self) -> bool {
        self.stale_pages > MAX_STALE_PAGES + STALE_FOR_EACH_NEW * self.new_pages
    }
}

/// Opens a resume token. One of version 1 holds the position of a single list.
fn open(cursor: &ResumeToken, scope: &str) -> Option<SweepPosition> {
    cursor.open(NAME, TOKEN_VERSION, scope).or_else(|| {
        let position = cursor.open::<CursorPosition>(NAME, TOKEN_VERSION - 1, scope)?;
        let segments = vec![SegmentPosition { position: Some(position), ..SegmentPosition::default() }];
        Some(SweepPosition { segments, ..SweepPosition::default() })
    })
}

/// Returns the conversations whose gaps are to be tried again.
fn due(request: &ReadRequest) -> VecDeque<RecordId> {
    let due = request.gaps.iter().filter(|gap| gap.is_due).filter_map(|gap| record_of(&gap.bounds));
    due.take(MAX_TRIED_ALONE).collect()
}

/// Returns whether a walk that has ended has read everything within the bounds of a gap. A gap of one record is closed
/// only by that record.
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
fn refusal_note(feature: &str) -> String {
    let what = match feature {
        DATES => "dates: the list is read one page after another, and filtered here",
        SUMMARIES => "summaries: everything is read each time",
        crate::export::CHANNEL_FILTER => "a filter by channel: the list is filtered here",
        _ => "single conversations by `conversationId`",
    };
    format!("this deployment does not support {what}")
}
