//! Reads one list of pages: the conversations of one segment, around places that cannot be read.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use chatark_core::{
    Batch, Error, ErrorKind, Gap, GapBounds, HeldRecords, HeldSummary, ListRow, PageMetadata, Record,
    RecordId, Result, Timestamp, Window,
};
use chatark_http::CursorGuard;

use crate::export::{
    DATES, EXPORT_LIMIT, Element, Export, ExportPage, MAX_EMPTY_PAGES, PageContent, Query,
    SINGLE_CONVERSATIONS, SUMMARIES, absent_note, changed_at, element_record, newest_of, whole_records,
};
use crate::map::Summary;
use crate::segment::{FirstPage, Segment};
use crate::wire::{CursorPosition, SegmentPosition, Unread};

/// Up to so many changed conversations of a page are fetched by their ids rather than with their page.
const MAX_SINGLE_FETCHES: usize = 1;
/// The page sizes around a place that cannot be read, each tried after the one before it.
const SMALLER_LIMITS: [u32; 2] = [5, 1];
/// After so many pages in a row that had to be read one conversation at a time, the next ones are read so immediately.
/// A whole page is tried again after as many more, and then each time after twice as many.
const MAX_PAGES_READ_SINGLY: u32 = 3;
/// After so many conversations in a row that had to be passed over, whole pages are passed over.
const MAX_PASSED_OVER: u32 = 10;
/// After so many conversations in a row that could not be fetched by their ids, only one of each page is tried, and the
/// others only if it comes.
const MAX_FAILED_SINGLES: u32 = 10;
/// How often a page is requested with other content while it is empty. What stays hidden is fetched one by one.
const MAX_TRIES: u32 = 2;
/// A part without an end of which nothing has come is split at these distances from its beginning, in seconds.
const DISTANCES: [i64; 6] = [1, 60, 3_600, 86_400, 30 * 86_400, 365 * 86_400];
/// So many conversations, each older than the one before it, show that a list begins with the newest.
const MIN_ORDERED: u32 = 8;
/// After so many places in a row that had to be stepped over by time, the rest of the list is left as a gap.
const MAX_STEPPED_OVER: u32 = 40;
/// The first readable time before a place that cannot be read is searched at distances of a second, a minute, an hour
/// and so on: a failing request is repeated, so it costs more than one that succeeds.
const DISTANCE_FACTOR: i64 = 60;
/// The most attempts of each request in that search. Many of them fail, and a wrong answer only moves the gap.
const SEARCH_ATTEMPTS: u32 = 2;
/// A window that includes a second ends so much after it, in microseconds, whether or not its end is exclusive.
const END_MARGIN: i64 = 1_000;
/// The last second that is accepted as a time: the end of 2099.
const LATEST_SECONDS: i64 = 4_102_444_799;
/// The note to the user if a list cannot resume from its saved position.
pub(crate) const STALE_CURSOR_NOTE: &str =
    "the vendor no longer accepts the saved cursor: starting from the newest";

/// What all lists of a sweep have in common.
#[derive(Debug, Clone)]
pub(crate) struct ListContext {
    pub(crate) held_records: Option<Arc<dyn HeldRecords>>,
    /// A conversation that changed at or after this time is read again, although it looks the same.
    pub(crate) reread_since: Option<Timestamp>,
    /// A change after this time comes from a wrong clock.
    pub(crate) plausible_until: Option<Timestamp>,
    /// The conversations that have come already, on the first page and while the export was cut.
    pub(crate) read_before: Arc<HashSet<RecordId>>,
    /// The conversations whose gaps are not due: they are not fetched by their ids.
    pub(crate) passed_over: Arc<HashSet<RecordId>>,
    pub(crate) has_summaries: bool,
    pub(crate) has_singles: bool,
    pub(crate) has_dates: bool,
}

/// A list of pages, with the position that it has reached.
///
/// With [`HeldRecords`], it begins with a page of summaries. If most of a page has changed, the next page is read
/// whole, so that a first pull costs only one request more than it has pages. If most of a whole page was held, the
/// next page is read as summaries again.
pub(crate) struct PageList<'a> {
    export: Export<'a>,
    context: ListContext,
    segment: Segment,
    query: Query,
    /// The query of the whole export.
    whole: Query,
    position: Option<CursorPosition>,
    /// How many conversations are still read in smaller pages than usual.
    smaller: u32,
    /// Whether a cursor of summaries is valid for whole pages and vice versa, as far as is known.
    may_switch: bool,
    on_refusal: OnRefusal,
    guard: CursorGuard,
    /// The first page, if it has been read already.
    first: Option<ExportPage>,
    /// How many pages in a row were empty although the list goes on.
    empty_pages: u32,
    /// How many pages in a row had to be read one conversation at a time.
    pages_read_singly: u32,
    /// How often the summaries of a page that cannot be read have failed as well.
    failed_summaries: u32,
    /// How many conversations in a row were passed over.
    passed_over: u32,
    /// How many places in a row were stepped over by time.
    stepped_over: u32,
    /// How many conversations in a row could not be fetched by their ids.
    failed_singles: u32,
    /// Hashes of the ids that this list has shown.
    listed: HashSet<u64>,
    /// When the last conversation of the latest page began.
    reached: Option<Timestamp>,
    /// When the oldest and the newest conversation of the segment began, of those that have come.
    span: Option<(Timestamp, Timestamp)>,
    /// Whether a conversation has come after an older one: the list is then not in the order of time.
    is_mixed: bool,
    /// How many conversations of the segment with a time have come.
    shown: u32,
    /// Whether a conversation older than the segment has come, since its query is wider.
    has_older: bool,
    split_level: SplitLevel,
}

/// A page of a list, and what follows it.
pub(crate) struct Step {
    /// The conversations, without a checkpoint.
    pub(crate) batch: Batch,
    /// How many conversations match, by the vendor's count with this page.
    pub(crate) total: Option<u64>,
    /// Whether that count may be of the rest of the list, from a cursor on.
    pub(crate) may_count_rest: bool,
    /// Whether it had a conversation that no earlier page of this list had.
    pub(crate) is_new: bool,
    /// Its size in bytes.
    pub(crate) bytes: usize,
    /// Conversations that began near a bound of the segment: the list of its neighbour may have them as well.
    pub(crate) at_edges: Vec<RecordId>,
    /// What has to be read as separate lists, because of a place that cannot be read.
    pub(crate) follow_ups: FollowUps,
    pub(crate) next: Next,
}

/// What follows a page.
pub(crate) enum Next {
    /// Another page.
    Page,
    /// The end of the list.
    End,
    /// The page is valid and is kept, but the list cannot continue.
    Stuck(Error),
    /// The whole sweep restarts without a parameter that the deployment ignores. The conversations were listed and have
    /// not been read.
    Restart(RestartReason, Vec<Unread>),
}

/// How far a list was split because of places that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplitLevel {
    /// Not at all: it has everything in its segment.
    Unsplit,
    /// It is a part by time, and is split again at a place that cannot be read.
    Piece,
    /// It is a part that is not split again.
    LastPiece,
}

/// What has to be read as separate lists, because of a place that cannot be read.
#[derive(Debug, Default)]
pub(crate) enum FollowUps {
    #[default]
    Nothing,
    /// What was stepped over together with the place.
    After(Segment, SplitLevel),
    /// The parts of the list, one of which has the place.
    Pieces(Vec<Segment>),
}

/// Why a sweep restarts from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartReason {
    /// The deployment does not return conversations by id.
    IgnoresId,
    /// The deployment returns conversations outside the requested dates.
    IgnoresDates,
}

/// What the archive holds of an element.
#[derive(Debug, Clone, Copy, Default)]
struct HeldState {
    /// Whether it is held as its summary shows it.
    is_same: bool,
    /// Whether its row was kept.
    has_row: bool,
}

/// Conversations of a page that could not be fetched by their ids, or were not tried any more, and the latest error.
#[derive(Default)]
struct FailedFetches {
    elements: Vec<(RecordId, Element)>,
    error: Option<Error>,
}

/// What happens to a list whose cursor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnRefusal {
    /// It restarts, and what earlier runs have seen is forgotten: the cursor comes from one of them.
    RestartSweep,
    /// It restarts.
    Restart,
    /// It ends: it has restarted before.
    End,
}

/// How a list gets past a place that cannot be read.
enum Detour {
    /// It requests smaller pages, or whole ones instead of summaries.
    RequestDifferently,
    /// It skips the place, with what could be read there.
    Skip(Box<Step>),
}

impl RestartReason {
    /// Returns the note to the user.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::IgnoresId => {
                "this deployment does not return single conversations by `conversationId`: reading everything"
            }
            Self::IgnoresDates => {
                "this deployment ignores the requested dates: reading one page after another"
            }
        }
    }
}

impl<'a> PageList<'a> {
    /// Creates a list of the conversations of a segment.
    pub(crate) fn new(export: Export<'a>, whole: &Query, segment: Segment, context: ListContext) -> Self {
        Self {
            export,
            context,
            segment,
            query: segment.query(whole),
            whole: whole.clone(),
            position: None,
            smaller: 0,
            may_switch: true,
            on_refusal: OnRefusal::Restart,
            guard: CursorGuard::default(),
            first: None,
            empty_pages: 0,
            pages_read_singly: 0,
            failed_summaries: 0,
            passed_over: 0,
            stepped_over: 0,
            failed_singles: 0,
            listed: HashSet::new(),
            reached: None,
            span: None,
            is_mixed: false,
            shown: 0,
            has_older: false,
            split_level: SplitLevel::Unsplit,
        }
    }

    /// Resumes from the position of an earlier run.
    pub(crate) fn resume(mut self, position: Option<CursorPosition>) -> Self {
        if let Some(position) = position {
            // Summaries are useless without anything to compare them with.
            let compares = self.context.held_records.is_some();
            self.query.content = if compares { position.content() } else { PageContent::Whole };
            (self.position, self.on_refusal) = (Some(position), OnRefusal::RestartSweep);
        }
        self
    }

    /// Notes what the deployment was found to support since the list was created.
    pub(crate) fn note_features(&mut self, features: &chatark_core::Features) {
        self.context = self.context.clone().with_features(features);
    }

    /// Skips the conversations that have come already.
    pub(crate) fn skip(&mut self, read_before: Arc<HashSet<RecordId>>) {
        self.context.read_before = read_before;
    }

    /// Returns whether the first page had other rows when it was read whole.
    pub(crate) fn has_moving_rows(&self) -> bool {
        self.context.held_records.is_some() && self.query.content == PageContent::Whole && !self.may_switch
    }

    /// Begins exactly at the beginning of the segment: what is before it cannot be read.
    pub(crate) fn without_lower_margin(mut self) -> Self {
        self.query.since = self.segment.since.and_then(shortly_after);
        self
    }

    /// Sets how far the list was split. The requests of a part have fewer attempts: if a part fails only now and then,
    /// it is split once more, which does no harm.
    pub(crate) fn with_split_level(mut self, split_level: SplitLevel) -> Self {
        if split_level != SplitLevel::Unsplit {
            self.export.attempts = Some(SEARCH_ATTEMPTS);
        }
        Self { split_level, ..self }
    }

    /// Takes over the cursor guard of a first page that was requested with the same query.
    pub(crate) fn with_cursor_guard(mut self, guard: CursorGuard) -> Self {
        self.guard = guard;
        self
    }

    /// Begins with a first page that was requested before with the same query, if there is one.
    pub(crate) fn with_first_page(self, first: Option<FirstPage>) -> Self {
        let Some(FirstPage { page, guard }) = first else { return self };
        Self { first: Some(page), guard, ..self }
    }

    /// Returns the position for a checkpoint.
    pub(crate) fn segment_position(&self) -> SegmentPosition {
        let microseconds = |at: Option<Timestamp>| at.map(Timestamp::microseconds);
        SegmentPosition {
            since: microseconds(self.segment.since),
            until: microseconds(self.segment.until),
            position: self.position.clone(),
        }
    }

    /// Reads the next page, and fetches what has changed.
    pub(crate) async fn step(mut self) -> (Self, Result<Step>) {
        let step = self.read().await;
        (self, step)
    }

    async fn read(&mut self) -> Result<Step> {
        let mut batch = Batch { page: one_page(), ..Batch::default() };
        if let Some(page) = self.first.take() {
            batch.page.pages = 0;
            return self.take(page, self.query.content, batch).await;
        }
        loop {
            match self.page_or_hidden_place(&mut batch.page).await {
                Ok(page) => return self.take(page, self.query.content, batch).await,
                Err(error) if error.may_be_local() || self.is_refused_later(&error) => {
                    match self.read_around(error, &mut batch).await? {
                        Detour::RequestDifferently => {}
                        Detour::Skip(step) => return Ok(*step),
                    }
                }
                Err(error) => return Err(error),
            }
            batch.page.pages += 1;
        }
    }

    /// Requests the current page. Where whole pages fail one after another, and after many empty ones in a row, which may
    /// hide something that cannot be read, returns an error without a request.
    async fn page_or_hidden_place(&mut self, metadata: &mut PageMetadata) -> Result<ExportPage> {
        let is_hidden = self.empty_pages >= MAX_EMPTY_PAGES;
        if self.query.content == PageContent::Summaries || !(is_hidden || self.fails_everywhere()) {
            return self.page(metadata).await;
        }
        self.empty_pages = 0;
        let message = if is_hidden {
            "several pages in a row were empty although the list goes on"
        } else {
            "the pages before could not be read either"
        };
        let call = self.export.call(&self.query, None);
        Err(self.export.client.error(&call, ErrorKind::Malformed, message, None))
    }

    /// Returns whether whole pages fail one after another, so that trying the next one only costs requests.
    fn fails_everywhere(&self) -> bool {
        let may_read_singly = self.context.has_summaries && self.context.has_singles;
        may_read_singly
            && self.smaller == 0
            && self.pages_read_singly >= MAX_PAGES_READ_SINGLY
            && !is_tried_again(self.pages_read_singly)
    }

    /// Returns whether a page after the first is refused, with a cursor that has come anew: the page itself is.
    fn is_refused_later(&self, error: &Error) -> bool {
        self.position.is_some() && error.is_refusal()
    }

    /// Requests the current page. A refused cursor may be too old, or from a page of the other content.
    async fn page(&mut self, metadata: &mut PageMetadata) -> Result<ExportPage> {
        loop {
            let error = match self.request(self.query.content, self.limit()).await {
                Err(error) if error.is_refusal() => error,
                other => return other,
            };
            match &self.position {
                Some(position)
                    if position.content() != self.query.content && self.may_read(position.content()) =>
                {
                    self.query.content = position.content();
                    self.may_switch = false;
                }
                Some(_) if self.on_refusal != OnRefusal::End => self.restart(metadata),
                // The cursor of a summary is not valid for whole pages: places that fail are passed without summaries.
                Some(position) if position.content() != self.query.content && self.context.has_summaries => {
                    self.context.has_summaries = false;
                    self.restart(metadata);
                }
                _ => return Err(error),
            }
        }
    }

    /// Starts again from the first page. Other lists continue. What this run has seen still counts: in a list that
    /// changes, it may not come again.
    fn restart(&mut self, metadata: &mut PageMetadata) {
        let is_of_earlier_run = self.on_refusal == OnRefusal::RestartSweep;
        metadata.restarted = self.segment == Segment::default() && is_of_earlier_run;
        if metadata.restarted {
            // The archive forgets what the earlier run has seen, so all of it counts when it comes again.
            self.skip(Arc::default());
        }
        metadata.notes.push(STALE_CURSOR_NOTE.to_owned());
        (self.position, self.on_refusal, self.reached) = (None, OnRefusal::End, None);
        self.guard = CursorGuard::default();
        self.listed.clear();
    }

    fn may_read(&self, content: PageContent) -> bool {
        content == PageContent::Whole || self.context.held_records.is_some()
    }

    fn limit(&self) -> u32 {
        if self.smaller > 0 { self.query.limit } else { EXPORT_LIMIT }
    }

    async fn request(&mut self, content: PageContent, limit: u32) -> Result<ExportPage> {
        let query = Query { content, limit, ..self.query.clone() };
        let cursor = self.position.as_ref().map(|position| position.cursor.as_str());
        let held_records = self.context.held_records.as_deref();
        self.export.page(&query, cursor, &mut self.guard, held_records).await
    }

    /// Processes a page, and fetches what has changed.
    pub(crate) async fn take(
        &mut self,
        page: ExportPage,
        read_as: PageContent,
        mut batch: Batch,
    ) -> Result<Step> {
        self.empty_pages = if page.is_empty_but_continues() { self.empty_pages + 1 } else { 0 };
        (self.pages_read_singly, self.failed_summaries) = (0, 0);
        if !page.elements.is_empty() {
            (self.passed_over, self.stepped_over) = (0, 0);
        }
        let ExportPage { elements, total, next, bytes } = page;
        let may_count_rest = self.may_count_rest(total, elements.len());
        let total = self.of_everything(total);
        let query = Query { content: read_as, ..self.query.clone() };
        let began = || elements.iter().map(|element| element.summary.created_at);
        let is_contradicted = self.context.has_dates && began().any(|began| query.is_contradicted(began));
        if is_contradicted && self.has_everything() {
            self.context.has_dates = false;
            batch.page.features.set(DATES, false);
            batch.page.notes.push(RestartReason::IgnoresDates.note().to_owned());
        } else if is_contradicted {
            let unread = self.unread(&elements);
            batch.records = whole_records(elements);
            let next = Next::Restart(RestartReason::IgnoresDates, unread);
            return Ok(Step::of_page(batch, total, may_count_rest, true, bytes, next));
        }
        if read_as == PageContent::Summaries && elements.iter().any(|element| element.summary.is_whole) {
            // An older deployment ignores `include`: where a page fails, its summaries fail, too.
            (self.context.has_summaries, self.query.content) = (false, PageContent::Whole);
        }
        let is_new = self.note_listed(&elements);
        batch.page.empty_pages += u64::from(elements.is_empty() && matches!(next, Ok(Some(_))));
        batch.page.newest_change = self.newest_change(&elements);
        let order: Vec<_> = self.reached.into_iter().chain(began().flatten()).collect();
        self.is_mixed |= !order.is_sorted_by(|one, next| one >= next);
        self.reached = order.last().copied();
        self.note_span(began().flatten());
        self.smaller = self.smaller.saturating_sub(u32::try_from(elements.len().max(1)).unwrap_or(1));
        let at_edges = self.at_edges(&elements);
        let unread = elements.into_iter().filter(|element| !self.was_read_before(element));
        let (elements, of_neighbours): (Vec<_>, Vec<_>) =
            unread.partition(|element| self.segment.owns(element.summary.created_at));
        // The neighbour's list has them as well, unless rows change places.
        batch.records.extend(whole_records(of_neighbours));
        let left = self.split_changed(elements, read_as, &mut batch).await?;
        if !left.is_empty() {
            let unread = left.iter().filter_map(|element| Unread::of(&element.summary)).collect();
            let next = Next::Restart(RestartReason::IgnoresId, unread);
            return Ok(Step { at_edges, ..Step::of_page(batch, total, may_count_rest, is_new, bytes, next) });
        }
        let next = self.follow(next, read_as);
        Ok(Step { at_edges, ..Step::of_page(batch, total, may_count_rest, is_new, bytes, next) })
    }

    /// Returns whether the count of a page after a cursor may be of the rest of the list, all of which is then on this
    /// page.
    fn may_count_rest(&self, total: Option<u64>, shown: usize) -> bool {
        self.position.is_some() && total.is_some_and(|total| total <= shown as u64)
    }

    /// Returns a count, unless it is of a segment only, such as the one before a place that cannot be read.
    fn of_everything(&self, total: Option<u64>) -> Option<u64> {
        total.filter(|_| self.segment == Segment::default())
    }

    fn follow(&mut self, next: Result<Option<String>>, read_as: PageContent) -> Next {
        match next {
            Ok(Some(cursor)) => {
                self.position =
                    Some(CursorPosition { cursor, of_summaries: read_as == PageContent::Summaries });
                if self.on_refusal == OnRefusal::RestartSweep {
                    self.on_refusal = OnRefusal::Restart;
                }
                Next::Page
            }
            Ok(None) => Next::End,
            Err(error) => Next::Stuck(error),
        }
    }

    /// Notes the conversations of a page, and returns whether no page of this list had one of them before.
    fn note_listed(&mut self, elements: &[Element]) -> bool {
        let known = self.listed.len();
        self.listed.extend(elements.iter().map(hash));
        self.listed.len() > known
    }

    fn note_span(&mut self, began: impl Iterator<Item = Timestamp>) {
        for at in began {
            self.has_older |= self.segment.since.is_some_and(|since| at < since);
            if self.segment.owns(Some(at)) {
                self.shown += 1;
                let (oldest, newest) = self.span.unwrap_or((at, at));
                self.span = Some((oldest.min(at), newest.max(at)));
            }
        }
    }

    fn newest_change(&self, elements: &[Element]) -> Option<Timestamp> {
        let changes = elements.iter().map(|element| element.summary.held.updated_at);
        newest_of(changes, self.context.plausible_until)
    }

    /// Notes the newest change of conversations that were read after their summaries: they may have changed in between.
    fn note_changes(&self, read: &[Record], batch: &mut Batch) {
        let newest = newest_of(read.iter().map(changed_at), self.context.plausible_until);
        batch.page.newest_change = batch.page.newest_change.max(newest);
    }

    fn is_mine(&self, element: &Element) -> bool {
        !self.was_read_before(element) && self.segment.owns(element.summary.created_at)
    }

    fn was_read_before(&self, element: &Element) -> bool {
        element.summary.id.as_ref().is_some_and(|id| self.context.read_before.contains(id))
    }

    /// Returns the conversations that the list of a neighbouring segment may have as well.
    fn at_edges(&self, elements: &[Element]) -> Vec<RecordId> {
        let is_near = |element: &&Element| self.segment.is_near_edge(element.summary.created_at);
        elements.iter().filter(is_near).filter_map(|element| element.summary.id.clone()).collect()
    }

    /// Returns whether a list that ignores its dates is complete all the same: it is the only one, and has one bound
    /// only, which it ignores.
    fn has_everything(&self) -> bool {
        let Query { since, until, .. } = &self.query;
        self.segment == Segment::default() && since.is_some() != until.is_some()
    }

    /// Returns the conversations that the archive does not hold as their summaries show them.
    fn unread(&self, elements: &[Element]) -> Vec<Unread> {
        let both = elements.iter().zip(self.held(elements));
        let unread = both.filter(|(element, held)| !(element.summary.is_whole || held.is_same));
        unread.filter_map(|(element, _)| Unread::of(&element.summary)).collect()
    }

    /// Splits a page into conversations that the archive holds and those that have changed, and fetches the latter.
    /// Returns those that are left where ids are ignored.
    ///
    /// An element with messages is a whole conversation even on a page of summaries: an older deployment ignores
    /// `include`.
    async fn split_changed(
        &mut self,
        elements: Vec<Element>,
        read_as: PageContent,
        batch: &mut Batch,
    ) -> Result<Vec<Element>> {
        let held = self.held(&elements);
        let changed = held.iter().filter(|held| !held.is_same).count();
        if self.context.held_records.is_some() {
            self.choose_content(changed, elements.len());
        }
        let mut changed_elements = Vec::new();
        for (element, held) in elements.into_iter().zip(held) {
            if element.summary.is_whole || read_as == PageContent::Whole {
                batch.records.push(element.record());
            } else {
                changed_elements.extend(self.unless_held(element, held, batch));
            }
        }
        self.fetch(changed_elements, batch).await
    }

    /// Notes a conversation that is held as its summary shows it, or whose gap is not due. Returns any other, to be
    /// fetched.
    fn unless_held(&self, element: Element, held: HeldState, batch: &mut Batch) -> Option<Element> {
        match &element.summary.id {
            Some(id) if held.is_same => {
                batch.unchanged.push(id.clone());
                if !held.has_row {
                    batch.list_rows.extend(list_row(&element));
                }
                None
            }
            Some(id) if self.context.passed_over.contains(id) => {
                batch.passed_over.push(id.clone());
                None
            }
            _ => Some(element),
        }
    }

    fn choose_content(&mut self, changed: usize, elements: usize) {
        if self.may_switch && self.context.has_summaries && elements > 0 {
            self.query.content =
                if changed * 2 > elements { PageContent::Whole } else { PageContent::Summaries };
        }
    }

    /// Returns for each element what the archive holds of it.
    fn held(&self, elements: &[Element]) -> Vec<HeldState> {
        let Some(held_records) = &self.context.held_records else {
            return vec![HeldState::default(); elements.len()];
        };
        let ids: Vec<_> = elements.iter().filter_map(|element| element.summary.id.clone()).collect();
        let mut found = held_records.summaries(&ids).into_iter();
        let mut held = |element: &Element| {
            let held = element.summary.id.as_ref().and_then(|_| found.next().flatten());
            held.map_or_else(HeldState::default, |held| HeldState {
                is_same: self.is_same(element, &held),
                has_row: held.list_row.is_some(),
            })
        };
        elements.iter().map(&mut held).collect()
    }

    /// Returns whether a summary shows the conversation as it is held. A change in the second in which it was read
    /// would not show.
    fn is_same(&self, element: &Element, held: &HeldSummary) -> bool {
        let shown = &element.summary.held;
        let is_recent = self.context.reread_since.is_some_and(|since| shown.updated_at >= Some(since));
        let is_shown = shown.updated_at.is_some()
            && (shown.updated_at, &shown.title, &shown.status_raw)
                == (held.updated_at, &held.title, &held.status_raw)
            && has_same_field(shown.channel_raw.as_ref(), held.channel_raw.as_ref())
            && has_same_field(shown.contact_id.as_ref(), held.contact_id.as_ref());
        let has_same_row = match &element.summary.unknown {
            // Fields that the documents do not name are compared as text, if they were kept.
            Some(unknown) => held.list_row.as_ref().is_none_or(|row| row == unknown),
            None => true,
        };
        is_shown && has_same_row && !is_recent
    }

    /// Fetches what has changed. What came before an error is kept as extra records: its requests have been made.
    ///
    /// Returns those that are left where ids are ignored.
    async fn fetch(&mut self, changed_elements: Vec<Element>, batch: &mut Batch) -> Result<Vec<Element>> {
        let fetched = self.fetch_all(changed_elements, batch).await;
        if fetched.is_err() {
            self.export.extra_records.add(std::mem::take(&mut batch.records));
        }
        fetched
    }

    /// Fetches what has changed, with its page or by id; where ids are ignored, only with its page.
    async fn fetch_all(
        &mut self,
        mut changed_elements: Vec<Element>,
        batch: &mut Batch,
    ) -> Result<Vec<Element>> {
        let are_many = changed_elements.len() > MAX_SINGLE_FETCHES
            || changed_elements.iter().any(|one| one.summary.id.is_none());
        let by_page = are_many || (!self.context.has_singles && !changed_elements.is_empty());
        if by_page {
            self.fetch_page(&mut changed_elements, batch).await?;
        }
        let mut left = self.fetch_each(changed_elements, batch).await?;
        if !left.is_empty() && !by_page {
            self.fetch_page(&mut left, batch).await?;
        }
        Ok(left)
    }

    /// Requests the current page whole, unless its cursor is valid only for summaries.
    async fn fetch_page(&mut self, changed_elements: &mut Vec<Element>, batch: &mut Batch) -> Result<()> {
        if !self.may_switch {
            return Ok(());
        }
        batch.page.pages += 1;
        match self.request_again(PageContent::Whole, self.limit(), MAX_TRIES).await {
            Ok(page) => {
                self.take_over_whole(page, changed_elements, batch);
                // Where rows change places from request to request, a page that is read twice costs more than it saves.
                if changed_elements.len() > MAX_SINGLE_FETCHES {
                    (self.query.content, self.may_switch) = (PageContent::Whole, false);
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound)
                    && self.position.is_some() =>
            {
                self.may_switch = false;
                self.query.content = PageContent::Summaries;
            }
            // One of them cannot be read: they are fetched by their ids.
            Err(error) if error.may_be_local() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Fetches conversations by their ids. Returns those that are left where ids are ignored.
    async fn fetch_each(
        &mut self,
        changed_elements: Vec<Element>,
        batch: &mut Batch,
    ) -> Result<Vec<Element>> {
        let (mut failed, mut left) = (FailedFetches::default(), Vec::new());
        let mut is_up = false;
        let mut was_answered = false;
        for element in changed_elements {
            let Some(id) = element.summary.id.clone() else {
                // The messages of a conversation without an id cannot be fetched: its summary is kept.
                batch.records.push(element_record(element.bytes));
                continue;
            };
            if !self.context.has_singles {
                left.push(element);
                continue;
            }
            if failed.error.is_some() && self.failed_singles >= MAX_FAILED_SINGLES {
                failed.elements.push((id, element));
                continue;
            }
            batch.page.pages += 1;
            match self.export.find_by_id(&id).await {
                Ok(Some(found)) => {
                    (is_up, was_answered) = (true, true);
                    self.failed_singles = 0;
                    if found.is_empty() {
                        batch.page.notes.push(absent_note(&id));
                    }
                    batch.list_rows.extend(list_row(&element));
                    self.note_changes(&found, batch);
                    batch.records.extend(found);
                }
                Ok(None) => {
                    self.context.has_singles = false;
                    left.push(element);
                }
                Err(error) if error.may_be_local() => {
                    // Earlier responses no longer show that the vendor is up, but one that is too large does.
                    is_up = error.kind() == ErrorKind::TooLarge;
                    self.failed_singles += 1;
                    failed.elements.push((id, element));
                    failed.error = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((id, _)) = failed.elements.last()
            && self.context.has_singles
            && !was_answered
        {
            self.context.has_singles = !self.ignores_ids(id).await;
        }
        if !self.context.has_singles {
            left.extend(failed.elements.into_iter().map(|(_, element)| element));
            return Ok(left);
        }
        self.leave_as_gaps(failed, is_up, batch).await?;
        Ok(left)
    }

    /// Returns whether ids are ignored. A request for any id then fails if the newest conversation does.
    async fn ignores_ids(&self, id: &RecordId) -> bool {
        self.context.has_summaries && self.export.ignores_ids(id).await.unwrap_or(false)
    }

    /// Requests the current page once more, with other content or another size.
    async fn request_again(&mut self, content: PageContent, limit: u32, tries: u32) -> Result<ExportPage> {
        let query = Query { content, limit, ..self.query.clone() };
        let cursor = self.position.as_ref().map(|position| position.cursor.as_str());
        self.export
            .page_retried_while_empty(&query, cursor, self.context.held_records.as_deref(), tries)
            .await
    }

    fn take_over_whole(&self, page: ExportPage, changed_elements: &mut Vec<Element>, batch: &mut Batch) {
        let mine = page.elements.into_iter().filter(|element| self.is_mine(element));
        let shown: Vec<_> = mine.map(Element::record).collect();
        let is_shown = |id: Option<&RecordId>| shown.iter().any(|record| record.id.as_ref() == id);
        batch.unchanged.retain(|id| !is_shown(Some(id)));
        let (found, left) = std::mem::take(changed_elements)
            .into_iter()
            .partition(|element| is_shown(element.summary.id.as_ref()));
        let found: Vec<Element> = found;
        batch.list_rows.extend(found.iter().filter_map(list_row));
        *changed_elements = left;
        self.note_changes(&shown, batch);
        batch.records.extend(shown);
    }

    /// Records conversations that cannot be fetched as gaps, if the vendor responds to anything else.
    async fn leave_as_gaps(&mut self, failed: FailedFetches, is_up: bool, batch: &mut Batch) -> Result<()> {
        let Some(error) = failed.error else { return Ok(()) };
        if !(is_up || self.is_up().await) {
            return Err(error);
        }
        for (id, element) in failed.elements {
            batch.list_rows.extend(list_row(&element));
            batch.gaps.push(Gap::new(GapBounds::record(id), &error));
        }
        Ok(())
    }

    /// Returns whether the vendor responds to another request: for the newest conversation of the whole export, for its
    /// summary, or for what began before the place that cannot be read, even if that is nothing.
    pub(crate) async fn is_up(&mut self) -> bool {
        let newest = Query { content: PageContent::Whole, limit: 1, ..self.whole.clone() };
        if self.responds(&newest).await {
            return true;
        }
        let summary = Query { content: PageContent::Summaries, ..newest.clone() };
        if self.context.has_summaries && self.responds(&summary).await {
            return true;
        }
        let until = self.reached.unwrap_or(Timestamp::EARLIEST);
        let oldest = Query { since: None, until: Some(until), ..newest };
        self.context.has_dates && self.responds(&oldest).await
    }

    /// Returns whether the newest conversation comes whole although its summary was requested. Where a page fails, its
    /// summaries then fail as well, and need not be requested again.
    async fn ignores_summaries(&self) -> bool {
        let newest = Query { content: PageContent::Summaries, limit: 1, ..self.whole.clone() };
        let Ok(page) = self.export.page_retried_while_empty(&newest, None, None, MAX_TRIES).await else {
            return false;
        };
        let is_ignored = page.elements.iter().any(|element| element.summary.is_whole);
        self.export.keep_extra_records(page);
        is_ignored
    }

    /// Returns whether the vendor responds. A refusal is a response: a vendor that is down does not even refuse.
    async fn responds(&self, query: &Query) -> bool {
        self.export.probe(query).await.map_or_else(|error| error.kind() == ErrorKind::Refused, |_| true)
    }

    /// Finds a way past a page that cannot be read: its summaries, smaller pages, or the time before it.
    async fn read_around(&mut self, error: Error, batch: &mut Batch) -> Result<Detour> {
        // While the vendor is down, nothing can be found out.
        if error.is_transient() && self.smaller == 0 && !self.is_up().await {
            return Err(error);
        }
        // A part is split if it can be: summaries have failed in the list from which it comes.
        let may_be_split = self.split_level == SplitLevel::Piece && !self.split_by_time().is_empty();
        if may_be_split && self.may_be_mixed() {
            return Ok(self.read_in_parts(&error, std::mem::take(batch)));
        }
        if self.query.content == PageContent::Summaries && self.may_switch {
            // It may be the summaries alone that fail.
            (self.query.content, self.may_switch) = (PageContent::Whole, false);
            return Ok(Detour::RequestDifferently);
        }
        let may_have_summaries = self.context.has_summaries && self.failed_summaries == 0 && !may_be_split;
        if self.query.content == PageContent::Whole && may_have_summaries && self.context.has_singles {
            match self.request_again(PageContent::Summaries, EXPORT_LIMIT, MAX_TRIES).await {
                Ok(page) if !page.is_empty_but_continues() => {
                    batch.page.pages += 1;
                    return self.one_by_one(page, std::mem::take(batch)).await;
                }
                Err(refusal) if refusal.kind() == ErrorKind::Refused && !error.is_refusal() => {
                    self.context.has_summaries = false;
                }
                Err(other) if !(other.may_be_local() || other.is_refusal()) => return Err(other),
                // An empty page would lead to the same place again.
                _ => {
                    self.failed_summaries += 1;
                    // The list of a part has found that out.
                    if self.split_level == SplitLevel::Unsplit {
                        self.context.has_summaries = !self.ignores_summaries().await;
                    }
                }
            }
        }
        let first_smaller = if may_be_split { SMALLER_LIMITS.len() - 1 } else { 0 };
        let smaller = SMALLER_LIMITS[first_smaller..].iter().copied().find(|limit| *limit < self.limit());
        if let Some(smaller) = smaller.filter(|_| self.passed_over < MAX_PASSED_OVER) {
            (self.query.limit, self.smaller) = (smaller, EXPORT_LIMIT);
            return Ok(Detour::RequestDifferently);
        }
        if let Some(step) = self.pass_over(&error, batch).await? {
            return Ok(Detour::Skip(Box::new(step)));
        }
        self.step_over(error, std::mem::take(batch)).await
    }

    /// Passes over the next conversation with the cursor of its summary, which says when it began. After several in a
    /// row, whole pages are passed over without being tried; later pulls try them again.
    async fn pass_over(&mut self, error: &Error, batch: &mut Batch) -> Result<Option<Step>> {
        if !self.context.has_summaries || self.query.content == PageContent::Summaries {
            return Ok(None);
        }
        let limit = if self.passed_over < MAX_PASSED_OVER { 1 } else { EXPORT_LIMIT };
        let page = match self.request_again(PageContent::Summaries, limit, MAX_EMPTY_PAGES).await {
            Ok(page) if !page.elements.is_empty() && page.next.is_ok() => page,
            Err(error) if !(error.may_be_local() || error.is_refusal()) => {
                return Err(error);
            }
            _ => return Ok(None),
        };
        let mut batch = std::mem::take(batch);
        batch.page.pages += 1;
        self.failed_summaries = 0;
        let ExportPage { elements, total, next, bytes } = page;
        let may_count_rest = self.may_count_rest(total, elements.len());
        let total = self.of_everything(total);
        batch.page.newest_change = self.newest_change(&elements);
        let shown = u32::try_from(elements.len()).unwrap_or(EXPORT_LIMIT);
        (self.passed_over, self.smaller) = (self.passed_over + shown, self.smaller.saturating_sub(shown));
        for element in elements.into_iter().filter(|element| self.is_mine(element)).collect::<Vec<_>>() {
            self.leave_or_note(element, error, &mut batch);
        }
        let next = self.follow(next, PageContent::Summaries);
        Ok(Some(Step::of_page(batch, total, may_count_rest, true, bytes, next)))
    }

    /// Records the second in which a conversation began as a gap, unless it is held as its summary shows it.
    ///
    /// A gap of its id could not be closed once the conversation is gone, since it cannot be requested by its id.
    fn leave_or_note(&self, element: Element, error: &Error, batch: &mut Batch) {
        if element.summary.is_whole {
            batch.records.push(element.record());
            return;
        }
        let held = self.held(std::slice::from_ref(&element)).pop().unwrap_or_default();
        let Some(Element { summary, .. }) = self.unless_held(element, held, batch) else { return };
        let bounds = match (summary.created_at, summary.id) {
            (Some(began), _) => second_of(began),
            (None, Some(id)) => GapBounds::record(id),
            (None, None) => self.rest_after_cursor(),
        };
        batch.gaps.push(Gap::new(bounds, error));
    }

    /// Fetches the conversations of a page by their ids, from its summaries.
    async fn one_by_one(&mut self, page: ExportPage, mut batch: Batch) -> Result<Detour> {
        let ExportPage { elements, total, next, bytes } = page;
        let may_count_rest = self.may_count_rest(total, elements.len());
        let total = self.of_everything(total);
        let is_new = self.note_listed(&elements);
        batch.page.newest_change = self.newest_change(&elements);
        let before = self.reached;
        self.reached = elements.iter().filter_map(|one| one.summary.created_at).next_back().or(before);
        let mine: Vec<_> = elements.into_iter().filter(|element| self.is_mine(element)).collect();
        let held = self.held(&mine);
        let mut changed_elements = Vec::new();
        for (element, held) in mine.into_iter().zip(held) {
            if element.summary.is_whole {
                batch.records.push(element.record());
            } else {
                changed_elements.extend(self.unless_held(element, held, &mut batch));
            }
        }
        let may_switch = std::mem::replace(&mut self.may_switch, false);
        let fetched = self.fetch(changed_elements, &mut batch).await;
        self.may_switch = may_switch;
        if !fetched?.is_empty() {
            self.export.extra_records.add(batch.records);
            // Single conversations cannot be fetched: only smaller pages are left, from where the list was before.
            (self.context.has_singles, self.reached) = (false, before);
            (self.query.limit, self.smaller) = (SMALLER_LIMITS[0], EXPORT_LIMIT);
            return Ok(Detour::RequestDifferently);
        }
        self.pages_read_singly += 1;
        self.failed_summaries = 0;
        let next = self.follow(next, PageContent::Summaries);
        let step = Step::of_page(batch, total, may_count_rest, is_new, bytes, next);
        Ok(Detour::Skip(Box::new(step)))
    }

    /// Steps over the next conversation of the list by the time at which it began.
    ///
    /// Where several cannot be read, the search may end at an older one: what is between them becomes a separate list.
    async fn step_over(&mut self, error: Error, mut batch: Batch) -> Result<Detour> {
        if self.may_be_mixed() && self.context.has_dates {
            return if self.is_up().await { Ok(self.read_in_parts(&error, batch)) } else { Err(error) };
        }
        // Where dates are ignored, the list may have reached a time after the end of the segment: the earlier one
        // counts.
        let upper = [self.reached, self.segment.until].into_iter().flatten().min();
        let upper = upper.or_else(|| Timestamp::from_epoch(LATEST_SECONDS).ok());
        self.stepped_over += 1;
        let bounds = if self.context.has_dates && self.stepped_over <= MAX_STEPPED_OVER {
            self.find_readable_second(upper, error.is_refusal(), &mut batch.page).await?
        } else {
            None
        };
        self.smaller = 0;
        let Some((readable, unreadable)) = bounds else {
            if !self.is_up().await {
                return Err(error);
            }
            batch.gaps.push(Gap::new(self.rest_bounds(upper), &error));
            return Ok(Detour::skip(batch, FollowUps::Nothing, Next::End));
        };
        batch.gaps.push(Gap::new(GapBounds::window(window_around(readable, unreadable)), &error));
        let between = Segment { since: Some(unreadable), until: upper.and_then(shortly_after) };
        let follow_ups = if upper > Some(unreadable) {
            FollowUps::After(between, self.split_level)
        } else {
            FollowUps::Nothing
        };
        // The segment now ends after the last readable second.
        self.segment.until = shortly_after(readable);
        self.query.until = self.segment.until;
        self.position = None;
        self.guard = CursorGuard::default();
        Ok(Detour::skip(batch, follow_ups, Next::Page))
    }

    /// Ends the list and goes on with parts of it: where it is not in the order of time, what follows the place may
    /// have begun at any time. The part with the place ends there as well and is split again, until it is one second
    /// long.
    fn read_in_parts(&mut self, error: &Error, mut batch: Batch) -> Detour {
        let parts = self.split_by_time();
        if !parts.is_empty() {
            return Detour::skip(batch, FollowUps::Pieces(parts), Next::End);
        }
        let bounds = match self.segment {
            Segment { since: Some(_), until: Some(_) } => GapBounds::window(self.segment.into()),
            _ => self.rest_after_cursor(),
        };
        batch.gaps.push(Gap::new(bounds, error));
        Detour::skip(batch, FollowUps::Nothing, Next::End)
    }

    /// Returns whether the list may not be in the order of time, newest first. Where nothing has come, a search by time
    /// finds what is older, and what is newer becomes a separate list.
    fn may_be_mixed(&self) -> bool {
        let is_ordered =
            !self.is_mixed && self.split_level == SplitLevel::Unsplit && self.shown >= MIN_ORDERED;
        if self.shown == 0 { self.has_older } else { !is_ordered }
    }

    /// Returns the parts of the list by time: the time of what has come, and before and after it; two halves, if it has
    /// both bounds. Returns none if it cannot be split.
    fn split_by_time(&self) -> Vec<Segment> {
        if !self.context.has_dates || self.split_level == SplitLevel::LastPiece {
            return Vec::new();
        }
        let Segment { since, until } = self.segment;
        let (oldest, newest) = self.span.unzip();
        let points = match (since, until) {
            (Some(since), Some(until)) => vec![middle(since, until)],
            (None, None) => vec![oldest.map(whole_second), newest.and_then(next_second)],
            (None, Some(_)) => vec![oldest.map(whole_second)],
            (Some(_), None) if newest.is_some() => vec![newest.and_then(next_second)],
            (Some(since), None) => DISTANCES.map(|seconds| since.shifted(seconds)).into(),
        };
        let is_inside =
            |at: &Timestamp| since.is_none_or(|since| *at > since) && until.is_none_or(|until| *at < until);
        let points: Vec<_> = points.into_iter().flatten().filter(is_inside).collect();
        if points.is_empty() { Vec::new() } else { self.segment.cut_at(&points) }
    }

    /// Returns the bounds of the rest of the list.
    fn rest_bounds(&self, upper: Option<Timestamp>) -> GapBounds {
        if self.context.has_dates && (self.segment.since.is_some() || self.reached.is_some()) {
            let until = upper.and_then(|upper| upper.shifted(1));
            return GapBounds::window(Window { since: self.segment.since.or(self.query.since), until });
        }
        self.rest_after_cursor()
    }

    /// Returns the bounds of the rest of the list by its cursor, where they cannot be given by time.
    fn rest_after_cursor(&self) -> GapBounds {
        GapBounds::Rest { after: self.position.as_ref().map(|position| position.cursor.clone()) }
    }

    /// Returns the latest second up to which the list can be read again, and the next one, up to which it cannot;
    /// `None` if nothing before `upper` can be read.
    async fn find_readable_second(
        &mut self,
        upper: Option<Timestamp>,
        is_refused: bool,
        metadata: &mut PageMetadata,
    ) -> Result<Option<(Timestamp, Timestamp)>> {
        let Some(upper) = upper else { return Ok(None) };
        let lowest = self.segment.since.max(self.query.since).unwrap_or(Timestamp::EARLIEST);
        let seconds = |at: Timestamp| at.microseconds().div_euclid(1_000_000);
        let (mut readable, mut unreadable) = (None, seconds(upper));
        let earliest = seconds(lowest) + 1;
        let mut distance: i64 = 1;
        while readable.is_none() {
            if unreadable <= earliest || !self.context.has_dates {
                return Ok(None);
            }
            let next = seconds(upper).saturating_sub(distance).max(earliest);
            metadata.pages += 1;
            if self.is_readable_up_to(next, is_refused).await? {
                readable = Some(next);
            } else {
                unreadable = next;
            }
            distance = distance.saturating_mul(DISTANCE_FACTOR);
        }
        let mut readable = readable.unwrap_or(unreadable);
        while unreadable - readable > 1 {
            let middle = readable + (unreadable - readable) / 2;
            metadata.pages += 1;
            if self.is_readable_up_to(middle, is_refused).await? {
                readable = middle;
            } else {
                unreadable = middle;
            }
        }
        let instant = |seconds| Timestamp::from_epoch(seconds).ok();
        Ok(instant(readable).zip(instant(unreadable)))
    }

    /// Returns whether the first page of what began up to a second can be read. `is_refused` says that the place which is
    /// searched is refused, so that a refusal says nothing of the dates.
    async fn is_readable_up_to(&mut self, seconds: i64, is_refused: bool) -> Result<bool> {
        let until = Timestamp::from_epoch(seconds).ok().and_then(shortly_after);
        let query = Query { until, limit: 1, ..self.query.clone() };
        let export = Export { attempts: Some(SEARCH_ATTEMPTS), ..self.export };
        match export.page_retried_while_empty(&query, None, None, MAX_EMPTY_PAGES).await {
            Ok(page) => {
                let is_readable = !page.is_empty_but_continues();
                self.export.keep_extra_records(page);
                Ok(is_readable)
            }
            Err(error) if error.may_be_local() || (is_refused && error.is_refusal()) => Ok(false),
            // Dates may be refused: what follows the place can then not be found.
            Err(error) if error.kind() == ErrorKind::Refused => {
                self.context.has_dates = false;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Step {
    /// Creates the step of a page of which nothing is near an edge and nothing is to be read apart.
    fn of_page(
        batch: Batch,
        total: Option<u64>,
        may_count_rest: bool,
        is_new: bool,
        bytes: usize,
        next: Next,
    ) -> Self {
        let (at_edges, follow_ups) = (Vec::new(), FollowUps::Nothing);
        Self { batch, total, may_count_rest, is_new, bytes, at_edges, follow_ups, next }
    }
}

impl Detour {
    /// Creates the step past a place of which nothing could be read.
    fn skip(batch: Batch, follow_ups: FollowUps, next: Next) -> Self {
        let step = Step { follow_ups, ..Step::of_page(batch, None, true, true, 0, next) };
        Self::Skip(Box::new(step))
    }
}

impl CursorPosition {
    fn content(&self) -> PageContent {
        if self.of_summaries { PageContent::Summaries } else { PageContent::Whole }
    }
}

impl Unread {
    /// Returns the conversation of a summary, if it has an id.
    fn of(summary: &Summary) -> Option<Self> {
        let began = summary.created_at.map(Timestamp::microseconds);
        summary.id.clone().map(|id| Self { id, began })
    }
}

impl ListContext {
    /// Takes over what the deployment was found to support.
    pub(crate) fn with_features(mut self, features: &chatark_core::Features) -> Self {
        self.has_summaries = !features.lacks(SUMMARIES);
        self.has_singles = !features.lacks(SINGLE_CONVERSATIONS);
        self.has_dates = !features.lacks(DATES);
        self
    }
}

/// Returns the window of a place between two seconds. At the beginning of a day in any time zone, the deployment may
/// have rounded both to days, so the window is a day wider on both sides.
fn window_around(readable: Timestamp, unreadable: Timestamp) -> Window {
    const QUARTER_OF_AN_HOUR: i64 = 900 * 1_000_000;
    const DAY_SECONDS: i64 = 86_400;
    let margin = if unreadable.microseconds().rem_euclid(QUARTER_OF_AN_HOUR) == 0 { DAY_SECONDS } else { 0 };
    Window { since: readable.shifted(-margin), until: unreadable.shifted(1 + margin) }
}

/// Returns the whole second in the middle of two times, unless there is none between them.
fn middle(since: Timestamp, until: Timestamp) -> Option<Timestamp> {
    let middle = since.microseconds() + (until.microseconds() - since.microseconds()) / 2;
    let middle = whole_second(Timestamp::from_microseconds(middle).ok()?);
    (middle > since).then_some(middle)
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_epoch(at.microseconds().div_euclid(1_000_000)).unwrap_or(at)
}

fn next_second(at: Timestamp) -> Option<Timestamp> {
    whole_second(at).shifted(1)
}

/// Returns the bounds of the second in which something began.
pub(crate) fn second_of(began: Timestamp) -> GapBounds {
    GapBounds::window(Window { since: Some(began), until: began.shifted(1) })
}

/// Returns whether a whole page is tried again after so many that were read one conversation at a time.
fn is_tried_again(pages_read_singly: u32) -> bool {
    let rounds = pages_read_singly / MAX_PAGES_READ_SINGLY;
    pages_read_singly.is_multiple_of(MAX_PAGES_READ_SINGLY) && rounds > 1 && rounds.is_power_of_two()
}

fn one_page() -> PageMetadata {
    PageMetadata { pages: 1, ..PageMetadata::default() }
}

fn shortly_after(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_microseconds(at.microseconds() + END_MARGIN).ok()
}

/// Returns the fields of an element that the documents do not name, to be kept and compared by the next pull.
fn list_row(element: &Element) -> Option<ListRow> {
    let (id, row) = (element.summary.id.clone()?, element.summary.unknown.as_ref()?);
    Some(ListRow { id, row: Bytes::copy_from_slice(row.as_bytes()) })
}

/// Returns whether a field of a summary is as it is held. What was read through the user's list lacks some fields.
fn has_same_field(shown: Option<&String>, held: Option<&String>) -> bool {
    held.is_none() || shown == held
}

/// Returns a hash of the id of an element, or of the element where it has none.
fn hash(element: &Element) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &element.summary.id {
        Some(id) => id.hash(&mut hasher),
        None => element.bytes.hash(&mut hasher),
    }
    hasher.finish()
}
