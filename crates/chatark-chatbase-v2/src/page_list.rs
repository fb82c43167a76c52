//! One list of pages: reads the conversations of one segment, and around places that cannot be read.

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
    DATES, EXPORT_LIMIT, Element, Export, ExportPage, MAX_EMPTY_PAGES, Query, Reading, SINGLE_CONVERSATIONS,
    SUMMARIES, absent, changed_at, newest_of, raw, whole,
};
use crate::map::Summary;
use crate::segment::{FirstPage, Segment};
use crate::wire::{Place, SegmentPlace, Unread};

/// Up to so many changed conversations of a page are fetched one by one rather than with their page.
const MAX_SINGLE_FETCHES: usize = 1;
/// The limits of pages around a place that cannot be read, each tried after the one before it.
const SMALLER_LIMITS: [u32; 2] = [5, 1];
/// After so many pages in a row that had to be read one conversation after another, the next ones are read so at once; a
/// whole page is tried again after as many more, and then each time after twice as many.
const MAX_GONE_AROUND: u32 = 3;
/// After so many conversations in a row that had to be passed over, whole pages are.
const MAX_PASSED_OVER: u32 = 10;
/// After so many conversations in a row that could not be fetched by their ids, one of each page is tried, and the others
/// with it only if that comes.
const MAX_FAILED_SINGLES: u32 = 10;
/// How often a page is requested as something else while it is empty: what stays hidden is fetched one by one.
const MAX_TRIES: u32 = 2;
/// Where nothing of a part without an end has come, it is parted at these distances from its beginning, in seconds.
const DISTANCES: [i64; 6] = [1, 60, 3_600, 86_400, 30 * 86_400, 365 * 86_400];
/// So many conversations show that a list begins with the newest, if each began before the one that came before it.
const MIN_ORDERED: u32 = 8;
/// A place behind one that cannot be read is looked for at distances of a second, a minute, an hour and so on: each
/// attempt at what cannot be read is repeated, and so costs more than one at what can.
const FURTHER_EACH_TIME: i64 = 60;
/// The most attempts of each request in that search. Many of them fail, and a wrong answer only moves the gap.
const SEARCH_ATTEMPTS: u32 = 2;
/// A window that includes a second ends so much behind it, in microseconds, whether or not its end is exclusive.
const SHORTLY: i64 = 1_000;
/// The last second that counts as a time.
const LATEST_SECONDS: i64 = 4_102_444_799;
/// The note to the user if a list cannot resume from its saved position.
pub(crate) const STALE: &str = "the vendor no longer accepts the saved cursor: starting from the newest";

/// What all lists of a sweep have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) known: Option<Arc<dyn HeldRecords>>,
    /// A change at or after this instant counts, although it looks the same.
    pub(crate) reread_since: Option<Timestamp>,
    /// A later change was told by a wrong clock.
    pub(crate) plausible_until: Option<Timestamp>,
    /// What has come already, on the first page and while the export was cut.
    pub(crate) read_before: Arc<HashSet<RecordId>>,
    /// Gaps that are not due: these conversations are not fetched one by one.
    pub(crate) passed_over: Arc<HashSet<RecordId>>,
    pub(crate) has_summaries: bool,
    pub(crate) has_singles: bool,
    pub(crate) has_dates: bool,
}

/// One list of pages, with the position that it has reached.
///
/// With [`HeldRecords`], it begins with a page of summaries. If most of a page has changed, the next page is read whole, so
/// that a first pull costs only one request more than it has pages. If most of a whole page was held, the next page is
/// read as summaries again.
pub(crate) struct Chain<'a> {
    export: Export<'a>,
    shared: Shared,
    segment: Segment,
    query: Query,
    /// The query of the whole sweep.
    whole: Query,
    place: Option<Place>,
    /// How many conversations are still read in pages that are smaller than usual.
    smaller: u32,
    /// Whether a cursor of summaries is valid for whole pages and the other way round, as far as is known.
    may_switch: bool,
    on_refusal: OnRefusal,
    guard: CursorGuard,
    /// The first page, if it has been read already.
    first: Option<ExportPage>,
    /// How many pages in a row were empty although the list goes on.
    empty_pages: u32,
    /// How many pages in a row had to be read one conversation after another.
    gone_around: u32,
    /// How often summaries have failed in the place of a page that cannot be read.
    failed_summaries: u32,
    /// How many conversations in a row were passed over.
    passed_over: u32,
    /// How many conversations in a row could not be fetched by their ids.
    failed_singles: u32,
    pages: HashSet<u64>,
    /// When the last conversation of the latest page began.
    reached: Option<Timestamp>,
    /// When the oldest and the newest conversation of the segment began that have come.
    span: Option<(Timestamp, Timestamp)>,
    /// Whether a conversation has come behind one that began before it: then time says nothing of what is left.
    is_mixed: bool,
    /// How many of it have come, by time.
    shown: u32,
    /// Whether something older than the segment has come, as its query is wider.
    has_older: bool,
    extent: Extent,
}

/// A page of a list, and what follows it.
pub(crate) struct Step {
    /// The conversations, without a checkpoint.
    pub(crate) batch: Batch,
    /// How many conversations match, by the vendor's count with this page.
    pub(crate) total: Option<u64>,
    /// Whether that count may be of what is left from a cursor on.
    pub(crate) may_count_rest: bool,
    /// Whether the page had a conversation that no page of this list had before.
    pub(crate) is_new: bool,
    /// Its size in bytes.
    pub(crate) bytes: usize,
    /// Conversations that began near an edge of the segment, so that its neighbour's list may have them as well.
    pub(crate) at_edges: Vec<RecordId>,
    /// What is to be read as lists of their own, because of a place that cannot be read.
    pub(crate) besides: Besides,
    pub(crate) next: Next,
}

/// What follows a page.
pub(crate) enum Next {
    /// Another page.
    Page,
    /// Nothing: the list has ended.
    End,
    /// The page is valid and is kept, but the list cannot continue.
    Stuck(Error),
    /// The whole sweep restarts, with fewer demands on the deployment. These were listed, and have not been read.
    Restart(RestartReason, Vec<Unread>),
}

/// How much of a list is read in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All that is in its segment.
    List,
    /// A part by time: a place in it that cannot be read parts it again.
    Part,
    /// A part that is not parted again.
    LastPart,
}

/// What is read as lists of their own, because of a place that cannot be read.
#[derive(Debug, Default)]
pub(crate) enum Besides {
    #[default]
    Nothing,
    /// What was stepped over together with it.
    After(Segment, Extent),
    /// The parts of its list, one of which has it.
    Parts(Vec<Segment>),
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
struct Held {
    /// Whether it is held as its summary shows it.
    is_same: bool,
    /// Whether its row was kept.
    has_row: bool,
}

/// Conversations of a page that could not be fetched by their ids, or were not tried any more, and the latest error.
#[derive(Default)]
struct Failed {
    elements: Vec<(RecordId, Element)>,
    error: Option<Error>,
}

/// What becomes of a list whose cursor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnRefusal {
    /// It restarts, and what earlier runs have seen is forgotten: the cursor is of one of them.
    RestartSweep,
    /// It restarts.
    Restart,
    /// It ends: it has restarted before.
    End,
}

/// How a list goes around a place that cannot be read.
enum Detour {
    /// In smaller pages, or in whole ones instead of summaries.
    Otherwise,
    /// Over the place, with what could be read there.
    Over(Box<Step>),
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

impl<'a> Chain<'a> {
    /// Creates a list of the conversations of a segment.
    pub(crate) fn new(export: Export<'a>, whole: &Query, segment: Segment, shared: Shared) -> Self {
        Self {
            export,
            shared,
            segment,
            query: segment.query(whole),
            whole: whole.clone(),
            place: None,
            smaller: 0,
            may_switch: true,
            on_refusal: OnRefusal::Restart,
            guard: CursorGuard::default(),
            first: None,
            empty_pages: 0,
            gone_around: 0,
            failed_summaries: 0,
            passed_over: 0,
            failed_singles: 0,
            pages: HashSet::new(),
            reached: None,
            span: None,
            is_mixed: false,
            shown: 0,
            has_older: false,
            extent: Extent::List,
        }
    }

    /// Resumes from the position of an earlier run.
    pub(crate) fn resume(mut self, place: Option<Place>) -> Self {
        if let Some(place) = place {
            // Summaries are useless without anything to compare them with.
            let compares = self.shared.known.is_some();
            self.query.reading = if compares { place.reading() } else { Reading::Whole };
            (self.place, self.on_refusal) = (Some(place), OnRefusal::RestartSweep);
        }
        self
    }

    /// Passes over what has come already.
    pub(crate) fn skip(&mut self, read_before: Arc<HashSet<RecordId>>) {
        self.shared.read_before = read_before;
    }

    /// Returns whether the rows of its first page were others when it was read whole.
    pub(crate) fn has_moving_rows(&self) -> bool {
        self.shared.known.is_some() && self.query.reading == Reading::Whole && !self.may_switch
    }

    /// Begins where its segment does and no earlier: what comes before cannot be read.
    pub(crate) fn behind_a_gap(mut self) -> Self {
        self.query.since = self.segment.since.and_then(shortly_after);
        self
    }

    /// Sets how much of a list it is. A part that fails now and then is parted once more, which is no harm.
    pub(crate) fn with_extent(mut self, extent: Extent) -> Self {
        if extent != Extent::List {
            self.export.attempts = Some(SEARCH_ATTEMPTS);
        }
        Self { extent, ..self }
    }

    /// Continues after a first page that was requested with the same query.
    pub(crate) fn after_first_page(mut self, guard: CursorGuard) -> Self {
        self.guard = guard;
        self
    }

    /// Begins with a first page that was requested with the same query, if there is one.
    pub(crate) fn begin_with(self, first: Option<FirstPage>) -> Self {
        let Some(FirstPage { page, guard }) = first else { return self };
        Self { first: Some(page), guard, ..self }
    }

    /// Returns the position for a checkpoint.
    pub(crate) fn position(&self) -> SegmentPlace {
        let microseconds = |at: Option<Timestamp>| at.map(Timestamp::microseconds);
        SegmentPlace {
            since: microseconds(self.segment.since),
            until: microseconds(self.segment.until),
            place: self.place.clone(),
        }
    }

    /// Reads a page, and fetches what has changed.
    pub(crate) async fn step(mut self) -> (Self, Result<Step>) {
        let step = self.read().await;
        (self, step)
    }

    async fn read(&mut self) -> Result<Step> {
        let mut batch = Batch { page: one_page(), ..Batch::default() };
        if let Some(page) = self.first.take() {
            batch.page.pages = 0;
            return self.take(page, self.query.reading, batch).await;
        }
        loop {
            match self.page_or_hidden_place(&mut batch.page).await {
                Ok(page) => return self.take(page, self.query.reading, batch).await,
                Err(error) if error.may_be_local() => match self.go_around(error, &mut batch).await? {
                    Detour::Otherwise => {}
                    Detour::Over(step) => return Ok(*step),
                },
                Err(error) => return Err(error),
            }
            batch.page.pages += 1;
        }
    }

    /// Requests the current page. Where whole pages are empty again and again, something that cannot be read may be hidden
    /// behind them: a vendor that fails now and then has an empty page when it is asked once more.
    async fn page_or_hidden_place(&mut self, metadata: &mut PageMetadata) -> Result<ExportPage> {
        let is_hidden = self.empty_pages >= MAX_EMPTY_PAGES;
        if self.query.reading == Reading::Summaries || !(is_hidden || self.fails_everywhere()) {
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

    /// Returns whether whole pages fail one after another, so that each attempt at the next one only costs requests.
    fn fails_everywhere(&self) -> bool {
        let may_go_around = self.shared.has_summaries && self.shared.has_singles;
        may_go_around
            && self.smaller == 0
            && self.gone_around >= MAX_GONE_AROUND
            && !is_tried_again(self.gone_around)
    }

    /// Requests the current page. A rejected cursor may be too old, or from a page of the other kind.
    async fn page(&mut self, metadata: &mut PageMetadata) -> Result<ExportPage> {
        loop {
            let error = match self.request(self.query.reading, self.limit()).await {
                Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound) => error,
                other => return other,
            };
            match &self.place {
                Some(place) if place.reading() != self.query.reading && self.may_read(place.reading()) => {
                    self.query.reading = place.reading();
                    self.may_switch = false;
                }
                Some(_) if self.on_refusal != OnRefusal::End => self.restart(metadata),
                // The cursor of a summary leads to no whole page: what fails is gone around without one.
                Some(place) if place.reading() != self.query.reading && self.shared.has_summaries => {
                    self.shared.has_summaries = false;
                    self.restart(metadata);
                }
                _ => return Err(error),
            }
        }
    }

    /// Starts again from the first page. If there are other lists, they continue, and what this one lists again is known
    /// to have been seen. What this run has seen counts all the same: in a list that changes, it may not come again.
    fn restart(&mut self, metadata: &mut PageMetadata) {
        let is_of_earlier_run = self.on_refusal == OnRefusal::RestartSweep;
        metadata.restarted = self.segment == Segment::default() && is_of_earlier_run;
        if metadata.restarted {
            // The ledger forgets what the earlier run has seen, so all of it counts when it comes again.
            self.skip(Arc::default());
        }
        metadata.notes.push(STALE.to_owned());
        (self.place, self.on_refusal, self.reached) = (None, OnRefusal::End, None);
        self.guard = CursorGuard::default();
        self.pages.clear();
    }

    fn may_read(&self, reading: Reading) -> bool {
        reading == Reading::Whole || self.shared.known.is_some()
    }

    fn limit(&self) -> u32 {
        if self.smaller > 0 { self.query.limit } else { EXPORT_LIMIT }
    }

    async fn request(&mut self, reading: Reading, limit: u32) -> Result<ExportPage> {
        let query = Query { reading, limit, ..self.query.clone() };
        let cursor = self.place.as_ref().map(|place| place.cursor.as_str());
        let known = self.shared.known.as_deref();
        self.export.page(&query, cursor, &mut self.guard, known).await
    }

    /// Takes over what a page has.
    pub(crate) async fn take(
        &mut self,
        page: ExportPage,
        read_as: Reading,
        mut batch: Batch,
    ) -> Result<Step> {
        self.empty_pages = if page.says_nothing() { self.empty_pages + 1 } else { 0 };
        (self.gone_around, self.failed_summaries) = (0, 0);
        if !page.elements.is_empty() {
            self.passed_over = 0;
        }
        let ExportPage { elements, total, next, bytes } = page;
        let may_count_rest = self.may_count_rest(total, elements.len());
        let total = self.of_everything(total);
        let query = Query { reading: read_as, ..self.query.clone() };
        let began = || elements.iter().map(|element| element.summary.created_at);
        let is_contradicted = self.shared.has_dates && began().any(|began| query.is_contradicted(began));
        if is_contradicted && self.has_everything() {
            self.shared.has_dates = false;
            batch.page.features.set(DATES, false);
            batch.page.notes.push(RestartReason::IgnoresDates.note().to_owned());
        } else if is_contradicted {
            let unread = self.unread(&elements);
            batch.records = whole(elements);
            let next = Next::Restart(RestartReason::IgnoresDates, unread);
            let (is_new, at_edges) = (true, Vec::new());
            return Ok(Step {
                batch,
                total,
                may_count_rest,
                is_new,
                bytes,
                at_edges,
                besides: Besides::Nothing,
                next,
            });
        }
        if read_as == Reading::Summaries && elements.iter().any(|element| element.summary.is_whole) {
            // An older deployment ignores `include`: what fails as a page fails as its summaries, too.
            (self.shared.has_summaries, self.query.reading) = (false, Reading::Whole);
        }
        let is_new = !elements.is_empty() && self.pages.insert(hash(&elements));
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
        // The neighbour's list has them as well, unless its rows change places.
        batch.records.extend(whole(of_neighbours));
        let left = self.split_changed(elements, read_as, &mut batch).await?;
        if !left.is_empty() {
            let unread = left.iter().filter_map(|element| Unread::of(&element.summary)).collect();
            let next = Next::Restart(RestartReason::IgnoresId, unread);
            return Ok(Step {
                batch,
                total,
                may_count_rest,
                is_new,
                bytes,
                at_edges,
                besides: Besides::Nothing,
                next,
            });
        }
        let next = self.follow(next, read_as);
        Ok(Step { batch, total, may_count_rest, is_new, bytes, at_edges, besides: Besides::Nothing, next })
    }

    /// Returns whether the count of a page behind a cursor may be of what is left: then the last page shows all of it.
    fn may_count_rest(&self, total: Option<u64>, shown: usize) -> bool {
        self.place.is_some() && total.is_some_and(|total| total <= shown as u64)
    }

    /// Returns a count, unless it is of a window of the list alone, such as that behind a place that cannot be read.
    fn of_everything(&self, total: Option<u64>) -> Option<u64> {
        total.filter(|_| self.segment == Segment::default())
    }

    fn follow(&mut self, next: Result<Option<String>>, read_as: Reading) -> Next {
        match next {
            Ok(Some(cursor)) => {
                self.place = Some(Place { cursor, of_summaries: read_as == Reading::Summaries });
                if self.on_refusal == OnRefusal::RestartSweep {
                    self.on_refusal = OnRefusal::Restart;
                }
                Next::Page
            }
            Ok(None) => Next::End,
            Err(error) => Next::Stuck(error),
        }
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
        newest_of(changes, self.shared.plausible_until)
    }

    /// Counts the changes of what was read after its summary: it may have changed once more in between.
    fn note_changes(&self, read: &[Record], batch: &mut Batch) {
        let newest = newest_of(read.iter().map(changed_at), self.shared.plausible_until);
        batch.page.newest_change = batch.page.newest_change.max(newest);
    }

    fn is_mine(&self, element: &Element) -> bool {
        !self.was_read_before(element) && self.segment.owns(element.summary.created_at)
    }

    fn was_read_before(&self, element: &Element) -> bool {
        element.summary.id.as_ref().is_some_and(|id| self.shared.read_before.contains(id))
    }

    /// Returns the conversations that the list of a neighbour may have as well.
    fn at_edges(&self, elements: &[Element]) -> Vec<RecordId> {
        let is_near = |element: &&Element| self.segment.is_near_edge(element.summary.created_at);
        elements.iter().filter(is_near).filter_map(|element| element.summary.id.clone()).collect()
    }

    /// Returns whether a list that goes beyond its dates has everything inside them: it is the only one, and what its only
    /// bound should have left out has come.
    fn has_everything(&self) -> bool {
        let Query { since, until, .. } = &self.query;
        self.segment == Segment::default() && since.is_some() != until.is_some()
    }

    /// Returns the conversations of summaries that are not held as these show them.
    fn unread(&self, elements: &[Element]) -> Vec<Unread> {
        let both = elements.iter().zip(self.held(elements));
        let unread = both.filter(|(element, held)| !(element.summary.is_whole || held.is_same));
        unread.filter_map(|(element, _)| Unread::of(&element.summary)).collect()
    }

    /// Splits a page into what is held and what has changed, and fetches the latter. Returns what cannot be fetched.
    ///
    /// An element with messages is a whole conversation even on a page of summaries: an older deployment ignores
    /// `include`.
    async fn split_changed(
        &mut self,
        elements: Vec<Element>,
        read_as: Reading,
        batch: &mut Batch,
    ) -> Result<Vec<Element>> {
        let held = self.held(&elements);
        let changed = held.iter().filter(|held| !held.is_same).count();
        if self.shared.known.is_some() {
            self.choose_reading(changed, elements.len());
        }
        let mut stale = Vec::new();
        for (element, held) in elements.into_iter().zip(held) {
            if element.summary.is_whole || read_as == Reading::Whole {
                batch.records.push(element.record());
            } else {
                stale.extend(self.unless_held(element, held, batch));
            }
        }
        self.fetch(stale, batch).await
    }

    /// Notes a conversation that is held as its summary shows it, and returns any other that is to be fetched.
    fn unless_held(&self, element: Element, held: Held, batch: &mut Batch) -> Option<Element> {
        match &element.summary.id {
            Some(id) if held.is_same => {
                batch.unchanged.push(id.clone());
                if !held.has_row {
                    batch.list_rows.extend(list_row(&element));
                }
                None
            }
            Some(id) if self.shared.passed_over.contains(id) => {
                batch.passed_over.push(id.clone());
                None
            }
            _ => Some(element),
        }
    }

    fn choose_reading(&mut self, changed: usize, elements: usize) {
        if self.may_switch && self.shared.has_summaries && elements > 0 {
            self.query.reading = if changed * 2 > elements { Reading::Whole } else { Reading::Summaries };
        }
    }

    /// Returns for each element whether the archive holds it in the same state.
    fn held(&self, elements: &[Element]) -> Vec<Held> {
        let Some(known) = &self.shared.known else { return vec![Held::default(); elements.len()] };
        let ids: Vec<_> = elements.iter().filter_map(|element| element.summary.id.clone()).collect();
        let mut found = known.summaries(&ids).into_iter();
        let mut held = |element: &Element| {
            let held = element.summary.id.as_ref().and_then(|_| found.next().flatten());
            held.map_or_else(Held::default, |held| Held {
                is_same: self.is_same(element, &held),
                has_row: held.list_row.is_some(),
            })
        };
        elements.iter().map(&mut held).collect()
    }

    /// Returns whether a summary shows what is held. A change in the second in which it was read is not visible.
    fn is_same(&self, element: &Element, held: &HeldSummary) -> bool {
        let shown = &element.summary.held;
        let is_recent = self.shared.reread_since.is_some_and(|since| shown.updated_at >= Some(since));
        let is_shown = shown.updated_at.is_some()
            && (shown.updated_at, &shown.title, &shown.status_raw)
                == (held.updated_at, &held.title, &held.status_raw)
            && agrees(shown.channel_raw.as_ref(), held.channel_raw.as_ref())
            && agrees(shown.contact_id.as_ref(), held.contact_id.as_ref());
        let has_same_row = match &element.summary.unknown {
            // What the documents do not name is compared as text, where it was kept.
            Some(unknown) => held.list_row.as_ref().is_none_or(|row| row == unknown),
            None => true,
        };
        is_shown && has_same_row && !is_recent
    }

    /// Fetches what has changed. What came before an error is put aside: it has been paid for.
    ///
    /// Returns what is left where ids are ignored.
    async fn fetch(&mut self, stale: Vec<Element>, batch: &mut Batch) -> Result<Vec<Element>> {
        let fetched = self.fetch_all(stale, batch).await;
        if fetched.is_err() {
            self.export.aside.put(std::mem::take(&mut batch.records));
        }
        fetched
    }

    /// Fetches what has changed, by the page or one by one: where ids are ignored, by the page alone.
    async fn fetch_all(&mut self, mut stale: Vec<Element>, batch: &mut Batch) -> Result<Vec<Element>> {
        let are_many = stale.len() > MAX_SINGLE_FETCHES || stale.iter().any(|one| one.summary.id.is_none());
        let by_page = are_many || (!self.shared.has_singles && !stale.is_empty());
        if by_page {
            self.fetch_page(&mut stale, batch).await?;
        }
        let mut left = self.fetch_each(stale, batch).await?;
        if !left.is_empty() && !by_page {
            self.fetch_page(&mut left, batch).await?;
        }
        Ok(left)
    }

    /// Requests the current page whole, unless its cursor is valid for summaries alone.
    async fn fetch_page(&mut self, stale: &mut Vec<Element>, batch: &mut Batch) -> Result<()> {
        if !self.may_switch {
            return Ok(());
        }
        batch.page.pages += 1;
        match self.request_again(Reading::Whole, self.limit(), MAX_TRIES).await {
            Ok(page) => {
                self.replace_stale(page, stale, batch);
                // Where rows change places from request to request, a page that is read twice costs more than it saves.
                if stale.len() > MAX_SINGLE_FETCHES {
                    (self.query.reading, self.may_switch) = (Reading::Whole, false);
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound)
                    && self.place.is_some() =>
            {
                self.may_switch = false;
                self.query.reading = Reading::Summaries;
            }
            // One of them cannot be read: they are fetched one by one.
            Err(error) if error.may_be_local() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Fetches conversations by their ids. Returns those that are left where ids are ignored.
    async fn fetch_each(&mut self, stale: Vec<Element>, batch: &mut Batch) -> Result<Vec<Element>> {
        let (mut failed, mut left) = (Failed::default(), Vec::new());
        let mut is_alive = false;
        let mut was_answered = false;
        for element in stale {
            let Some(id) = element.summary.id.clone() else {
                // The messages of a conversation without an id cannot be fetched: its summary is kept.
                batch.records.push(raw(element.bytes));
                continue;
            };
            if !self.shared.has_singles {
                left.push(element);
                continue;
            }
            if failed.error.is_some() && self.failed_singles >= MAX_FAILED_SINGLES {
                failed.elements.push((id, element));
                continue;
            }
            batch.page.pages += 1;
            match self.export.by_id(&id).await {
                Ok(Some(found)) => {
                    (is_alive, was_answered) = (true, true);
                    self.failed_singles = 0;
                    if found.is_empty() {
                        batch.page.notes.push(absent(&id));
                    }
                    batch.list_rows.extend(list_row(&element));
                    self.note_changes(&found, batch);
                    batch.records.extend(found);
                }
                Ok(None) => {
                    self.shared.has_singles = false;
                    left.push(element);
                }
                Err(error) if error.may_be_local() => {
                    // What came before says nothing of the vendor any more, unless the answer itself is too large.
                    is_alive = error.kind() == ErrorKind::TooLarge;
                    self.failed_singles += 1;
                    failed.elements.push((id, element));
                    failed.error = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((id, _)) = failed.elements.last()
            && self.shared.has_singles
            && !was_answered
        {
            self.shared.has_singles = !self.ignores_ids(id).await;
        }
        if !self.shared.has_singles {
            left.extend(failed.elements.into_iter().map(|(_, element)| element));
            return Ok(left);
        }
        self.leave(failed, is_alive, batch).await?;
        Ok(left)
    }

    /// Returns whether ids are ignored, so that a request for any of them fails with the newest conversation.
    async fn ignores_ids(&self, id: &RecordId) -> bool {
        self.shared.has_summaries && self.export.ignores_ids(id).await.unwrap_or(false)
    }

    /// Requests the current page as something else than it was read.
    async fn request_again(&mut self, reading: Reading, limit: u32, tries: u32) -> Result<ExportPage> {
        let query = Query { reading, limit, ..self.query.clone() };
        let cursor = self.place.as_ref().map(|place| place.cursor.as_str());
        self.export.page_that_says(&query, cursor, self.shared.known.as_deref(), tries).await
    }

    fn replace_stale(&self, page: ExportPage, stale: &mut Vec<Element>, batch: &mut Batch) {
        let mine = page.elements.into_iter().filter(|element| self.is_mine(element));
        let shown: Vec<_> = mine.map(Element::record).collect();
        let is_shown = |id: Option<&RecordId>| shown.iter().any(|record| record.id.as_ref() == id);
        batch.unchanged.retain(|id| !is_shown(Some(id)));
        let (found, left) =
            std::mem::take(stale).into_iter().partition(|element| is_shown(element.summary.id.as_ref()));
        let found: Vec<Element> = found;
        batch.list_rows.extend(found.iter().filter_map(list_row));
        *stale = left;
        self.note_changes(&shown, batch);
        batch.records.extend(shown);
    }

    /// Leaves conversations that cannot be fetched as gaps, if the vendor answers anything else.
    async fn leave(&mut self, failed: Failed, is_alive: bool, batch: &mut Batch) -> Result<()> {
        let Some(error) = failed.error else { return Ok(()) };
        if !(is_alive || self.is_alive().await) {
            return Err(error);
        }
        for (id, element) in failed.elements {
            batch.list_rows.extend(list_row(&element));
            batch.gaps.push(Gap::new(GapBounds::record(id), &error));
        }
        Ok(())
    }

    /// Returns whether the vendor answers a request for something else: the newest conversation of the whole sweep, its
    /// summary, or what began before the place that cannot be read, be it nothing.
    pub(crate) async fn is_alive(&mut self) -> bool {
        let newest = Query { reading: Reading::Whole, limit: 1, ..self.whole.clone() };
        if self.answers(&newest).await {
            return true;
        }
        let summary = Query { reading: Reading::Summaries, ..newest.clone() };
        if self.shared.has_summaries && self.answers(&summary).await {
            return true;
        }
        let until = self.reached.unwrap_or(Timestamp::EARLIEST);
        let oldest = Query { since: None, until: Some(until), ..newest };
        self.shared.has_dates && self.answers(&oldest).await
    }

    /// Returns whether the newest conversation comes whole although its summary was requested: then a page fails as
    /// summaries, too, and need not be requested as such again.
    async fn ignores_summaries(&self) -> bool {
        let newest = Query { reading: Reading::Summaries, limit: 1, ..self.whole.clone() };
        let Ok(page) = self.export.page_that_says(&newest, None, None, MAX_TRIES).await else { return false };
        let is_ignored = page.elements.iter().any(|element| element.summary.is_whole);
        self.export.put_aside(page);
        is_ignored
    }

    /// A refusal is an answer, too: a vendor that is down does not even refuse.
    async fn answers(&self, query: &Query) -> bool {
        self.export.probe(query).await.map_or_else(|error| error.kind() == ErrorKind::Refused, |_| true)
    }

    /// Finds a way around a page that cannot be read: its summaries, smaller pages, or the time behind it.
    async fn go_around(&mut self, error: Error, batch: &mut Batch) -> Result<Detour> {
        // Nothing is looked for while the vendor is down.
        if error.is_transient() && self.smaller == 0 && !self.is_alive().await {
            return Err(error);
        }
        // What can be parted is parted: summaries have failed in the list of which it is a part.
        let may_be_parted = self.extent == Extent::Part && !self.parts().is_empty();
        if may_be_parted && self.may_be_mixed() {
            return Ok(self.read_in_parts(&error, std::mem::take(batch)));
        }
        if self.query.reading == Reading::Summaries && self.may_switch {
            // It may be the summaries alone that fail.
            (self.query.reading, self.may_switch) = (Reading::Whole, false);
            return Ok(Detour::Otherwise);
        }
        let may_have_summaries = self.shared.has_summaries && self.failed_summaries == 0 && !may_be_parted;
        if self.query.reading == Reading::Whole && may_have_summaries && self.shared.has_singles {
            match self.request_again(Reading::Summaries, EXPORT_LIMIT, MAX_TRIES).await {
                Ok(page) if !page.says_nothing() => {
                    batch.page.pages += 1;
                    return self.one_by_one(page, std::mem::take(batch)).await;
                }
                Err(error) if error.kind() == ErrorKind::Refused => self.shared.has_summaries = false,
                Err(error) if !error.may_be_local() => return Err(error),
                // An empty page leads to the same place again.
                _ => {
                    self.failed_summaries += 1;
                    self.shared.has_summaries = !self.ignores_summaries().await;
                }
            }
        }
        let first_smaller = if may_be_parted { SMALLER_LIMITS.len() - 1 } else { 0 };
        let smaller = SMALLER_LIMITS[first_smaller..].iter().copied().find(|limit| *limit < self.limit());
        if let Some(smaller) = smaller.filter(|_| self.passed_over < MAX_PASSED_OVER) {
            (self.query.limit, self.smaller) = (smaller, EXPORT_LIMIT);
            return Ok(Detour::Otherwise);
        }
        if let Some(step) = self.pass_over(&error, batch).await? {
            return Ok(Detour::Over(Box::new(step)));
        }
        self.step_over(error, std::mem::take(batch)).await
    }

    /// Passes over the next conversation with the cursor of its summary, which says when it began. Where one after another
    /// fails, nothing tells whether the next ones would: whole pages are passed over, and later pulls try them again.
    async fn pass_over(&mut self, error: &Error, batch: &mut Batch) -> Result<Option<Step>> {
        if !self.shared.has_summaries || self.query.reading == Reading::Summaries {
            return Ok(None);
        }
        let limit = if self.passed_over < MAX_PASSED_OVER { 1 } else { EXPORT_LIMIT };
        let page = match self.request_again(Reading::Summaries, limit, MAX_EMPTY_PAGES).await {
            Ok(page) if !page.elements.is_empty() && page.next.is_ok() => page,
            Err(error) if !error.may_be_local() && error.kind() != ErrorKind::Refused => {
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
        let next = self.follow(next, Reading::Summaries);
        let (is_new, at_edges) = (true, Vec::new());
        Ok(Some(Step {
            batch,
            total,
            may_count_rest,
            is_new,
            bytes,
            at_edges,
            besides: Besides::Nothing,
            next,
        }))
    }

    /// Leaves the second in which a conversation began as a gap, unless it is held as its summary shows it.
    ///
    /// A gap of its id could not be closed once it is gone, since it cannot be asked for by its id.
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
            (None, None) => self.rest_behind(),
        };
        batch.gaps.push(Gap::new(bounds, error));
    }

    /// Fetches the conversations of a page one by one, from its summaries.
    async fn one_by_one(&mut self, page: ExportPage, mut batch: Batch) -> Result<Detour> {
        let ExportPage { elements, total, next, bytes } = page;
        let may_count_rest = self.may_count_rest(total, elements.len());
        let total = self.of_everything(total);
        let is_new = !elements.is_empty() && self.pages.insert(hash(&elements));
        batch.page.newest_change = self.newest_change(&elements);
        let before = self.reached;
        self.reached = elements.iter().filter_map(|one| one.summary.created_at).next_back().or(before);
        let mine: Vec<_> = elements.into_iter().filter(|element| self.is_mine(element)).collect();
        let held = self.held(&mine);
        let mut stale = Vec::new();
        for (element, held) in mine.into_iter().zip(held) {
            if element.summary.is_whole {
                batch.records.push(element.record());
            } else {
                stale.extend(self.unless_held(element, held, &mut batch));
            }
        }
        let may_switch = std::mem::replace(&mut self.may_switch, false);
        let fetched = self.fetch(stale, &mut batch).await;
        self.may_switch = may_switch;
        if !fetched?.is_empty() {
            // Single conversations cannot be fetched: only smaller pages are left, from where the list was before.
            (self.shared.has_singles, self.reached) = (false, before);
            (self.query.limit, self.smaller) = (SMALLER_LIMITS[0], EXPORT_LIMIT);
            return Ok(Detour::Otherwise);
        }
        self.gone_around += 1;
        self.failed_summaries = 0;
        let next = self.follow(next, Reading::Summaries);
        let at_edges = Vec::new();
        let step =
            Step { batch, total, may_count_rest, is_new, bytes, at_edges, besides: Besides::Nothing, next };
        Ok(Detour::Over(Box::new(step)))
    }

    /// Steps over the next conversation of the list by the time at which it began.
    ///
    /// Where several cannot be read, the search may end at an older one: what is between them is a list of its own.
    async fn step_over(&mut self, error: Error, mut batch: Batch) -> Result<Detour> {
        if self.may_be_mixed() && self.shared.has_dates {
            return if self.is_alive().await { Ok(self.read_in_parts(&error, batch)) } else { Err(error) };
        }
        // Where dates are ignored, what was reached may be behind the end of the segment: each step goes back from both.
        let upper = [self.reached, self.segment.until].into_iter().flatten().min();
        let upper = upper.or_else(|| Timestamp::from_epoch(LATEST_SECONDS).ok());
        let behind = if self.shared.has_dates { self.behind(upper, &mut batch.page).await? } else { None };
        self.smaller = 0;
        let Some((readable, unreadable)) = behind else {
            if !self.is_alive().await {
                return Err(error);
            }
            batch.gaps.push(Gap::new(self.rest(upper), &error));
            return Ok(Detour::over(batch, Besides::Nothing, Next::End));
        };
        batch.gaps.push(Gap::new(GapBounds::window(around(readable, unreadable)), &error));
        let between = Segment { since: Some(unreadable), until: upper.and_then(shortly_after) };
        let besides =
            if upper > Some(unreadable) { Besides::After(between, self.extent) } else { Besides::Nothing };
        // What began in the last readable second still belongs to the segment, and nothing after it.
        self.segment.until = shortly_after(readable);
        self.query.until = self.segment.until;
        self.place = None;
        self.guard = CursorGuard::default();
        Ok(Detour::over(batch, besides, Next::Page))
    }

    /// Ends the list and goes on with parts of it: where it is not in the order of time, what follows a place may have begun
    /// whenever. A part with the place ends there as well and is parted again, until it is a second.
    fn read_in_parts(&mut self, error: &Error, mut batch: Batch) -> Detour {
        let parts = self.parts();
        if !parts.is_empty() {
            return Detour::over(batch, Besides::Parts(parts), Next::End);
        }
        let bounds = match self.segment {
            Segment { since: Some(_), until: Some(_) } => GapBounds::window(self.segment.into()),
            _ => self.rest_behind(),
        };
        batch.gaps.push(Gap::new(bounds, error));
        Detour::over(batch, Besides::Nothing, Next::End)
    }

    /// Returns whether it is not shown that what follows in the list is older. Where nothing has come at all, a search by
    /// time finds what is older, and what is newer is a list of its own.
    fn may_be_mixed(&self) -> bool {
        let is_ordered = !self.is_mixed && self.extent == Extent::List && self.shown >= MIN_ORDERED;
        if self.shown == 0 { self.has_older } else { !is_ordered }
    }

    /// Returns the parts of the list by time: what has come of it, and what is older and newer; two halves, if it has both
    /// bounds.
    fn parts(&self) -> Vec<Segment> {
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
        if points.is_empty() || self.extent == Extent::LastPart {
            Vec::new()
        } else {
            self.segment.cut_at(&points)
        }
    }

    /// Returns the bounds of what is left of the list.
    fn rest(&self, upper: Option<Timestamp>) -> GapBounds {
        if self.shared.has_dates && (self.segment.since.is_some() || self.reached.is_some()) {
            let until = upper.and_then(|upper| upper.shifted(1));
            return GapBounds::window(Window { since: self.segment.since.or(self.query.since), until });
        }
        self.rest_behind()
    }

    /// Returns the same where time says nothing of it.
    fn rest_behind(&self) -> GapBounds {
        GapBounds::Rest { after: self.place.as_ref().map(|place| place.cursor.clone()) }
    }

    /// Returns the latest second up to which the list can be read again, and the second after it up to which it cannot;
    /// `None` if nothing before `upper` can be read.
    async fn behind(
        &mut self,
        upper: Option<Timestamp>,
        metadata: &mut PageMetadata,
    ) -> Result<Option<(Timestamp, Timestamp)>> {
        let Some(upper) = upper else { return Ok(None) };
        let lowest = self.segment.since.max(self.query.since).unwrap_or(Timestamp::EARLIEST);
        let seconds = |at: Timestamp| at.microseconds().div_euclid(1_000_000);
        let (mut readable, mut unreadable) = (None, seconds(upper));
        let earliest = seconds(lowest) + 1;
        let mut distance: i64 = 1;
        while readable.is_none() {
            if unreadable <= earliest || !self.shared.has_dates {
                return Ok(None);
            }
            let next = seconds(upper).saturating_sub(distance).max(earliest);
            metadata.pages += 1;
            if self.is_readable_up_to(next).await? {
                readable = Some(next);
            } else {
                unreadable = next;
            }
            distance = distance.saturating_mul(FURTHER_EACH_TIME);
        }
        let mut readable = readable.unwrap_or(unreadable);
        while unreadable - readable > 1 {
            let middle = readable + (unreadable - readable) / 2;
            metadata.pages += 1;
            if self.is_readable_up_to(middle).await? { readable = middle } else { unreadable = middle }
        }
        let instant = |seconds| Timestamp::from_epoch(seconds).ok();
        Ok(instant(readable).zip(instant(unreadable)))
    }

    async fn is_readable_up_to(&mut self, seconds: i64) -> Result<bool> {
        let until = Timestamp::from_epoch(seconds).ok().and_then(shortly_after);
        let query = Query { until, limit: 1, ..self.query.clone() };
        let export = Export { attempts: Some(SEARCH_ATTEMPTS), ..self.export };
        match export.page_that_says(&query, None, None, MAX_EMPTY_PAGES).await {
            Ok(page) => {
                let is_readable = !page.says_nothing();
                self.export.put_aside(page);
                Ok(is_readable)
            }
            Err(error) if error.may_be_local() => Ok(false),
            // Dates may be refused: nothing tells what is behind the place.
            Err(error) if error.kind() == ErrorKind::Refused => {
                self.shared.has_dates = false;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Detour {
    /// Creates the step over a place of which nothing could be read.
    fn over(batch: Batch, besides: Besides, next: Next) -> Self {
        let (is_new, at_edges) = (true, Vec::new());
        let step =
            Step { batch, total: None, may_count_rest: true, is_new, bytes: 0, at_edges, besides, next };
        Self::Over(Box::new(step))
    }
}

impl Place {
    fn reading(&self) -> Reading {
        if self.of_summaries { Reading::Summaries } else { Reading::Whole }
    }
}

impl Unread {
    /// Returns the conversation of a summary, if that has an id.
    fn of(summary: &Summary) -> Option<Self> {
        let began = summary.created_at.map(Timestamp::microseconds);
        summary.id.clone().map(|id| Self { id, began })
    }
}

impl Shared {
    /// Notes what the deployment was found to support.
    pub(crate) fn with(mut self, features: &chatark_core::Features) -> Self {
        self.has_summaries = !features.lacks(SUMMARIES);
        self.has_singles = !features.lacks(SINGLE_CONVERSATIONS);
        self.has_dates = !features.lacks(DATES);
        self
    }
}

/// Returns the bounds of a place between two seconds. Where it seems to be the beginning of a day in any zone, the deployment
/// has perhaps cut both to their days, so that it is on this day or on the one before.
fn around(readable: Timestamp, unreadable: Timestamp) -> Window {
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

/// Returns whether a whole page is tried again after so many that were gone around.
fn is_tried_again(gone_around: u32) -> bool {
    let rounds = gone_around / MAX_GONE_AROUND;
    gone_around.is_multiple_of(MAX_GONE_AROUND) && rounds > 1 && rounds.is_power_of_two()
}

fn one_page() -> PageMetadata {
    PageMetadata { pages: 1, ..PageMetadata::default() }
}

fn shortly_after(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_microseconds(at.microseconds() + SHORTLY).ok()
}

/// Returns what the documents do not name of an element, to be kept and compared with by the next pull.
fn list_row(element: &Element) -> Option<ListRow> {
    let (id, row) = (element.summary.id.clone()?, element.summary.unknown.as_ref()?);
    Some(ListRow { id, row: Bytes::copy_from_slice(row.as_bytes()) })
}

/// Returns whether a summary shows what is held. What was read through the user's list does not say everything.
fn agrees(shown: Option<&String>, held: Option<&String>) -> bool {
    held.is_none() || shown == held
}

fn hash(elements: &[Element]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for element in elements {
        element.summary.id.hash(&mut hasher);
    }
    hasher.finish()
}
