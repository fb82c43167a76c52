//! A walk through the pages of conversations: to the end, past pages that fail, within a bound of requests.

use std::collections::{HashSet, VecDeque};
use std::mem;

use bytes::Bytes;
use chatark_core::{
    Batch, Checkpoint, Error, ErrorKind, Gap, GapBounds, OpenGap, PageMetadata, ReadRequest, Record, Result,
    Stream,
};
use futures_util::future::join_all;

use crate::account::{ChatbaseV1, resumed_page, seal};
use crate::budget::RequestBudget;
use crate::ending::{
    AfterRefusal, Repetition, after_refused_page, is_full, is_last_page_again, repeats_its_last_page,
    repetition_of_first,
};
use crate::failing_pages::{FailingPage, FailingPages, PassedPage, gap_if_failing};
use crate::failure::is_refusal;
use crate::gaps::retry_gaps;
use crate::list::{NumberedList, PAGE_SIZE, Rows, key};
use crate::newest::newest_change;
use crate::parameters::{CHANNEL_FILTER, DATES, Parameters};
use crate::refused::{find_refused_parameters, refused_by_a_row};
use crate::span::{PageAddress, Span};
use crate::step::{FirstRefused, Step, Walk};
use crate::windows::Windows;

/// How many pages in a row without a new row end a walk. A list that grows by exactly one page gives one such page, and
/// a page that is sent twice by mistake another.
const MAX_REPEATED_PAGES: u32 = 3;
/// The same among pages that fail: a deployment may then send its last page for every later number.
const MAX_REPEATED_FAILING_PAGES: u32 = 2;
/// How many such pages end a walk in all, plus one for every sixteen pages: where rows change places, the last page may
/// show a new row now and then.
const MAX_REPEATED_PAGES_IN_ALL: u64 = 12;
/// The number of pages that are requested at the same time.
const CONCURRENT_PAGES: u64 = 8;
/// The number of pages that are read one after another first: a short list gains little from more at a time.
const FIRST_SEQUENTIAL: u64 = 4;
/// The requests of a group of pages that is in vain because the list has moved: its pages, and the first conversation
/// twice.
const REQUESTS_PER_GROUP: u64 = CONCURRENT_PAGES + 2;
/// How many requests may be in vain, plus one for every sixteen pages.
const MAX_WASTED_REQUESTS: u64 = 20;

/// Returns how many requests a walk through so many conversations takes, including the empty page at the end.
pub(crate) fn requests(count: u64) -> u64 {
    let empty = count.div_ceil(PAGE_SIZE) + 1;
    let (mut page, mut requests) = (1, 0);
    while page <= empty {
        let is_after_full_page = (page - 1) * PAGE_SIZE <= count;
        let (pages, first_rows) =
            if page > FIRST_SEQUENTIAL && is_after_full_page { (CONCURRENT_PAGES, 1) } else { (1, 0) };
        page += pages;
        requests += pages + first_rows;
    }
    requests
}

/// Returns where earlier pulls gave up the rest of the list.
fn rest_gaps(gaps: &[OpenGap]) -> Vec<GapBounds> {
    let bounds = gaps.iter().map(|gap| gap.bounds.clone());
    bounds.filter(|bounds| matches!(bounds, GapBounds::Rest { .. })).collect()
}

fn is_positions(bounds: &GapBounds) -> bool {
    matches!(bounds, GapBounds::Positions { .. })
}

/// A walk from page 1 to the end, several pages at once while they are full.
///
/// Pages that are requested together may be answered in any order. A conversation that is added in the meantime moves
/// the others to later positions, so one could be missed between two pages. After each group, the first conversation of
/// the list is therefore checked again: if it has changed, the group is read once more, one page after another.
pub(crate) struct PageWalk<'a> {
    list: NumberedList<'a>,
    scope: String,
    /// Gaps of earlier pulls, until those that are due have been tried.
    gaps: Vec<OpenGap>,
    page: u64,
    /// Whether the page comes from a resume token and has not arrived yet.
    is_resuming: bool,
    has_seen_rows: bool,
    /// Pages from the current one on that were read at once.
    read_ahead: VecDeque<Rows>,
    /// The requests for the pages that were read at once and are not used yet.
    unused_requests: u64,
    /// The error of the first page that failed.
    read_ahead_error: Option<Error>,
    /// The first conversation of the whole list, byte for byte, if it is known; empty if the list is empty.
    first_row: Option<Bytes>,
    /// How many pages are still read one after another.
    sequential_pages: u64,
    wasted_requests: u64,
    /// The keys of the previous page, to recognise rows that moved.
    previous_keys: Vec<u64>,
    /// The keys of page 1, if it was read.
    first_page_keys: Option<Vec<u64>>,
    /// The keys of all rows that were on the pages so far.
    listed_keys: HashSet<u64>,
    /// The keys of extra records that have been returned.
    extra_keys: HashSet<u64>,
    /// How many pages in a row had no new row.
    repeated_pages: u32,
    /// How many pages in all had no new row.
    repeated_pages_in_all: u64,
    /// Pages that failed although each of their parts could be read. If rows change places, something was skipped.
    suspects: Vec<Gap>,
    /// How many gaps by position earlier pulls left; none once this pull has found one of its own.
    unfound_gaps: usize,
    /// Where earlier pulls gave up the rest of the list. A walk that comes to its end has read it.
    rest_gaps: Vec<GapBounds>,
    /// The windows in which what is past a ceiling of the list is read.
    windows: Windows,
    /// Whether the current page repeated the one before it and is requested a second time.
    is_requested_again: bool,
    failing_pages: FailingPages,
    /// The last page that could be read.
    last_readable: Option<PageAddress>,
    /// After a page that failed: the last position with a row, and the keys of the rows that were read of the page.
    rows_until: Option<(u64, Vec<u64>)>,
    budget: RequestBudget,
}

impl<'a> PageWalk<'a> {
    pub(crate) fn new(account: &'a ChatbaseV1, request: &ReadRequest) -> Self {
        let scope = request.scope();
        let resumed = resumed_page(request.resume_from.as_ref(), &scope);
        let list = NumberedList::new(account, Stream::Conversations).with(Parameters::of(request));
        Self {
            list: list.keeping_extra_records(),
            scope,
            gaps: request.gaps.clone(),
            page: resumed.unwrap_or(1),
            is_resuming: resumed.is_some_and(|page| page > 1),
            has_seen_rows: resumed.is_some(),
            read_ahead: VecDeque::new(),
            unused_requests: 0,
            read_ahead_error: None,
            first_row: None,
            sequential_pages: FIRST_SEQUENTIAL,
            wasted_requests: 0,
            previous_keys: Vec::new(),
            first_page_keys: None,
            listed_keys: HashSet::new(),
            extra_keys: HashSet::new(),
            repeated_pages: 0,
            repeated_pages_in_all: 0,
            suspects: Vec::new(),
            unfound_gaps: request.gaps.iter().filter(|gap| is_positions(&gap.bounds)).count(),
            rest_gaps: rest_gaps(&request.gaps),
            windows: Windows::default(),
            is_requested_again: false,
            failing_pages: FailingPages::new(&request.gaps),
            last_readable: None,
            rows_until: None,
            budget: RequestBudget::default(),
        }
    }

    /// Begins at page 1 of another list, narrowed by the days of a window.
    fn begin_window(&mut self, days: (Option<String>, Option<String>)) {
        self.list = self.list.with(Parameters { days, ..self.list.parameters.clone() });
        self.page = 1;
        self.discard_read_ahead();
        self.sequential_pages = FIRST_SEQUENTIAL;
        (self.first_row, self.first_page_keys, self.last_readable, self.rows_until) =
            (None, None, None, None);
        (self.repeated_pages, self.repeated_pages_in_all, self.is_requested_again) = (0, 0, false);
        self.previous_keys.clear();
        self.listed_keys.clear();
        self.failing_pages = mem::take(&mut self.failing_pages).for_another_list();
        self.budget.begin_list();
    }

    /// Seals the page at which a later run resumes. Windows are then read again.
    fn checkpoint(&self) -> Result<Checkpoint> {
        let page = self.windows.ceiling().unwrap_or(self.page);
        Ok(Checkpoint::At(seal(&self.scope, page)?))
    }

    /// Drops the parameters that the deployment refuses. Returns whether it accepts all of them, so that nothing
    /// matches.
    async fn fall_back(&mut self, error: Error, metadata: &mut PageMetadata) -> Result<bool> {
        let found = find_refused_parameters(&self.list, error).await?;
        self.spend(found.requests, metadata)?;
        self.has_seen_rows |= found.has_rows;
        if found.is_empty() {
            return Ok(true);
        }
        for (feature, parameter) in
            [(DATES, "`startDate` and `endDate`"), (CHANNEL_FILTER, "`filteredSources`")]
        {
            if found.features.lacks(feature) {
                metadata.notes.push(format!(
                    "this deployment refuses {parameter}: everything is read and filtered here"
                ));
            }
        }
        metadata.features.add(&found.features);
        self.list = self.list.with(found.parameters);
        Ok(false)
    }

    /// Returns the extra records that are on no page of the walk so far.
    fn extra_records(&mut self) -> Vec<Record> {
        let mut extra_records = self.list.take_extra_records();
        extra_records.retain(|row| {
            let key = key(row);
            !self.listed_keys.contains(&key) && self.extra_keys.insert(key)
        });
        self.list.records(extra_records)
    }

    /// Returns the pages that failed although their parts could be read, if rows change places: the failing row was
    /// then elsewhere whenever a part was requested.
    fn gaps_of_suspects(&mut self) -> Vec<Gap> {
        let suspects = mem::take(&mut self.suspects);
        if self.budget.is_moving { suspects } else { Vec::new() }
    }

    /// Forgets the gaps of earlier pulls once this pull has found some.
    fn clear_unfound_gaps_if_any(&mut self, found: &[Gap]) {
        self.unfound_gaps = if found.is_empty() { self.unfound_gaps } else { 0 };
    }

    /// Reads page 1 once more if no page had what earlier pulls could not read: in a list by activity, a conversation
    /// moves there if somebody writes in it before its page is read.
    async fn gap_on_first_page(&mut self, metadata: &mut PageMetadata) -> Result<Option<Gap>> {
        if mem::take(&mut self.unfound_gaps) == 0 || self.page <= 2 {
            return Ok(None);
        }
        metadata.pages += 1;
        let span = Span::of_page(self.budget.rows_per_page.max(1), 1);
        gap_if_failing(&self.list, PAGE_SIZE, 1, span).await
    }

    fn advance(&mut self, keys: Vec<u64>) {
        self.page += 1;
        self.previous_keys = keys;
    }

    /// Notes the rows of a page, and returns how many of them are new.
    fn note_listed(&mut self, keys: &[u64]) -> u64 {
        let new = keys.iter().filter(|key| self.listed_keys.insert(**key)).count();
        // A page without any new row may be the last one once more.
        self.budget.is_moving |= 0 < new && new < keys.len();
        new as u64
    }

    /// Returns whether the current page is the last one once more, where rows change places.
    async fn is_last_again(&self, keys: &[u64], metadata: &mut PageMetadata) -> Result<bool> {
        if !(self.budget.is_moving || keys.iter().any(|key| self.listed_keys.contains(key))) {
            return Ok(false);
        }
        let rows_per_page = self.budget.rows_per_page;
        let (is_last_again, asked) =
            is_last_page_again(&self.list, (self.page, keys), &self.previous_keys, rows_per_page).await?;
        metadata.pages += asked;
        Ok(is_last_again)
    }

    /// Returns whether a walk that is about to exceed its budget is past the end, on a deployment that sends its last page
    /// for every later number: one that grows, or whose rows change places, may have a new row on it each time.
    async fn is_past_the_end(&mut self, metadata: &mut PageMetadata) -> Result<bool> {
        let positions = (self.page - 1) * self.budget.rows_per_page;
        if !self.budget.would_be_exceeded_by(REQUESTS_PER_GROUP) {
            return Ok(false);
        }
        if self.listed_keys.len() as u64 * 2 > positions {
            self.budget.count_positions_until(positions);
            return Ok(false);
        }
        let (is_past_end, asked) = repeats_its_last_page(&self.list).await?;
        metadata.pages += asked;
        Ok(is_past_end)
    }

    /// Returns the records that were not on the page before. One without an id counts as new.
    fn new_records(&self, elements: Vec<Bytes>) -> Vec<Record> {
        let records = self.list.records(elements).into_iter();
        records
            .filter(|record| record.id.is_none() || !self.previous_keys.contains(&key(&record.bytes)))
            .collect()
    }

    /// Ends the walk after pages without a new row, unless the deployment ignores `page` and there may be more.
    async fn end_of_repetition(
        mut self,
        keys: &[u64],
        request_id: Option<&str>,
        mut metadata: PageMetadata,
    ) -> Step<Self> {
        let first = self.first_page(&mut metadata).await?;
        // A last page with fewer rows than the first one may hold some of them, if the list has grown.
        if keys.len() * 2 > first.len() && keys.iter().all(|key| first.contains(key)) {
            let (repetition, asked) = repetition_of_first(&self.list, &first).await?;
            metadata.pages += asked;
            match repetition {
                Repetition::NumberIgnored => return Err(self.endless(request_id)),
                Repetition::Doubtful => metadata.notes.push(
                    "this host sends the same page for every page number: there may be more conversations"
                        .to_owned(),
                ),
                Repetition::OnePage => {}
            }
        }
        self.end(metadata).await
    }

    /// Returns the keys of page 1, or nothing if it cannot be read.
    async fn first_page(&mut self, metadata: &mut PageMetadata) -> Result<Vec<u64>> {
        if let Some(first) = self.first_page_keys.take() {
            return Ok(first);
        }
        metadata.pages += 1;
        match self.list.probe_page(PAGE_SIZE, 1).await {
            Ok(rows) => Ok(rows.keys()),
            Err(error) if is_refusal(&error) || error.may_be_local() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn endless(&self, request_id: Option<&str>) -> Error {
        let message = format!("the vendor sends the same page again and again, up to page {}", self.page);
        let call = self.list.call(PAGE_SIZE, self.page);
        let error = self.list.account.client.error(&call, ErrorKind::Malformed, message, request_id);
        error.hint("this host may not support `page`; report it to the vendor")
    }

    /// Forgets the pages that were read at once, because the list may have moved since.
    fn discard_read_ahead(&mut self) {
        self.keep_read_ahead(0);
        self.read_ahead_error = None;
        self.budget.give_back(self.unused_requests);
        self.unused_requests = 0;
    }

    /// Keeps the first `pages` of the pages that were read at once, and the rows of the others as extra records.
    fn keep_read_ahead(&mut self, pages: usize) {
        let rest = self.read_ahead.split_off(pages.min(self.read_ahead.len()));
        self.list.keep_extra(rest.into_iter().flat_map(|page| page.elements));
    }

    /// Counts requests, and fails if the walk has exceeded its budget.
    fn spend(&mut self, requests: u64, metadata: &mut PageMetadata) -> Result<()> {
        metadata.pages += requests;
        self.budget.spend(&self.list, self.page, requests)
    }

    /// Returns whether reading several pages at once has been in vain too often.
    fn has_wasted_much(&self) -> bool {
        self.wasted_requests + REQUESTS_PER_GROUP > MAX_WASTED_REQUESTS + self.budget.pages() / 16
    }

    async fn read_group(&mut self, head: &Bytes, metadata: &mut PageMetadata) -> Result<Rows> {
        self.spend(CONCURRENT_PAGES, metadata)?;
        let pages = self.page..self.page + CONCURRENT_PAGES;
        let group = join_all(pages.map(|page| self.list.walk_page(PAGE_SIZE, page))).await;
        let found = self.read_first_row(metadata).await;
        for page in group {
            match page {
                Ok(page) if self.read_ahead_error.is_none() => self.read_ahead.push_back(page),
                Ok(page) => self.list.keep_extra(page.elements),
                Err(error) => {
                    self.read_ahead_error.get_or_insert(error);
                }
            }
        }
        match found {
            Ok(Some(found)) if found == *head => self.first_row = Some(found),
            Ok(_) => {
                self.wasted_requests += REQUESTS_PER_GROUP;
                self.sequential_pages = self.sequential_pages.max(CONCURRENT_PAGES);
                self.keep_read_ahead(1);
                self.read_ahead_error = self.read_ahead_error.take().filter(|_| self.read_ahead.is_empty());
            }
            Err(error) => {
                self.keep_read_ahead(1);
                self.read_ahead_error = self.read_ahead_error.take().or(Some(error));
            }
        }
        self.unused_requests = CONCURRENT_PAGES - 1;
        // Each page was read after the last one that was returned, so the first of them is valid even if rows have
        // moved.
        match (self.read_ahead.pop_front(), self.read_ahead_error.take()) {
            (Some(page), failed) => {
                self.read_ahead_error = failed;
                Ok(page)
            }
            (None, Some(error)) => Err(error),
            (None, None) => self.read(metadata).await,
        }
    }

    async fn read(&mut self, metadata: &mut PageMetadata) -> Result<Rows> {
        self.spend(1, metadata)?;
        self.list.walk_page(PAGE_SIZE, self.page).await
    }

    /// Returns the first conversation of the list. If it cannot be read alone, all pages are read one after another.
    async fn read_first_row(&mut self, metadata: &mut PageMetadata) -> Result<Option<Bytes>> {
        self.spend(1, metadata)?;
        match self.list.probe_page(1, 1).await {
            Ok(page) => Ok(Some(page.elements.into_iter().next().unwrap_or_default())),
            Err(error) if is_refusal(&error) || error.may_be_local() => {
                self.sequential_pages = u64::MAX;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Walk for PageWalk<'_> {
    fn has_due_gaps(&self) -> bool {
        self.gaps.iter().any(|gap| gap.is_due)
    }

    async fn try_gaps(mut self) -> Step<Self> {
        let tried = retry_gaps(&self.list, &self.gaps).await?;
        self.gaps.clear();
        self.clear_unfound_gaps_if_any(&tried.gaps);
        self.rest_gaps.retain(|rest| !tried.closed.contains(rest));
        let page = PageMetadata {
            pages: tried.requests,
            newest_change: newest_change(&tried.elements),
            ..PageMetadata::default()
        };
        self.list.keep_extra(tried.elements);
        let records = self.extra_records();
        let batch = Batch { records, page, gaps: tried.gaps, closed_gaps: tried.closed, ..Batch::default() };
        Ok((batch, Some(self)))
    }

    fn page(&self) -> u64 {
        self.page
    }

    fn is_resuming(&self) -> bool {
        self.is_resuming
    }

    fn restart(&mut self, metadata: &mut PageMetadata) {
        metadata.restarted = true;
        metadata.notes.push(format!(
            "the vendor no longer has page {}, where the previous run stopped: the list is read from its beginning",
            self.page
        ));
        self.page = 1;
        self.is_resuming = false;
    }

    /// Returns the current page, and requests several at once if the list is probably long.
    async fn current(&mut self, metadata: &mut PageMetadata) -> Result<Rows> {
        if self.is_past_the_end(metadata).await? {
            return Ok(Rows::none());
        }
        if let Some(page) = self.read_ahead.pop_front() {
            self.unused_requests = self.unused_requests.saturating_sub(1);
            return Ok(page);
        }
        if let Some(error) = self.read_ahead_error.take() {
            return Err(error);
        }
        self.unused_requests = 0;
        let is_after_short_page = (self.previous_keys.len() as u64) < self.budget.rows_per_page.max(1);
        let is_alone = self.sequential_pages > 0
            || self.repeated_pages > 0
            || is_after_short_page
            || self.has_wasted_much();
        self.sequential_pages = self.sequential_pages.saturating_sub(1);
        if is_alone {
            return self.read(metadata).await;
        }
        let head = match self.first_row.take() {
            Some(head) => head,
            None => match self.read_first_row(metadata).await? {
                Some(head) => head,
                None => return self.read(metadata).await,
            },
        };
        self.read_group(&head, metadata).await
    }

    async fn deliver(mut self, rows: Rows, mut metadata: PageMetadata) -> Step<Self> {
        self.is_resuming = false;
        self.has_seen_rows = true;
        self.rows_until = None;
        self.windows.note(&rows.elements);
        self.last_readable = Some((PAGE_SIZE, self.page));
        self.failing_pages.note_readable_page();
        let keys = rows.keys();
        if self.is_last_again(&keys, &mut metadata).await? {
            metadata.newest_change = newest_change(&rows.elements);
            self.list.keep_extra(rows.elements);
            return self.end(metadata).await;
        }
        let new_rows = self.note_listed(&keys);
        self.budget.count_page(&keys, new_rows);
        if self.page == 1 {
            self.first_row = rows.elements.first().cloned();
            self.first_page_keys = Some(keys.clone());
        }
        self.repeated_pages = if new_rows == 0 { self.repeated_pages + 1 } else { 0 };
        self.repeated_pages_in_all += u64::from(new_rows == 0);
        if self.repeated_pages >= MAX_REPEATED_PAGES
            || self.repeated_pages_in_all > MAX_REPEATED_PAGES_IN_ALL + self.budget.pages() / 16
        {
            return self.end_of_repetition(&keys, rows.request_id.as_deref(), metadata).await;
        }
        metadata.newest_change = newest_change(&rows.elements);
        let mut records = self.new_records(rows.elements);
        records.extend(self.extra_records());
        // A repeated page was either moved by a growing list or sent by mistake, in which case the real page would be
        // lost. A second request shows which.
        self.is_requested_again = keys == self.previous_keys && !self.is_requested_again;
        if self.is_requested_again {
            self.discard_read_ahead();
        } else {
            self.advance(keys);
        }
        let checkpoint = self.checkpoint()?;
        Ok((Batch { records, checkpoint, page: metadata, ..Batch::default() }, Some(self)))
    }

    async fn first_refused(&mut self, error: Error, metadata: &mut PageMetadata) -> Result<FirstRefused> {
        if self.windows.is_reading() {
            self.windows.note_loss(error.to_string());
            return Ok(FirstRefused::Empty);
        }
        if self.list.parameters.is_empty() {
            let mut asked = 0;
            let error = refused_by_a_row(&self.list, &mut asked, error).await?;
            self.spend(asked, metadata)?;
            return Ok(FirstRefused::Failing(error));
        }
        let is_empty = self.fall_back(error, metadata).await?;
        Ok(if is_empty { FirstRefused::Empty } else { FirstRefused::Parameter })
    }

    async fn after_refusal(&mut self, metadata: &mut PageMetadata) -> Result<AfterRefusal> {
        // A walk that resumed at the last page has not seen a full one.
        if self.first_page_keys.is_none() && self.budget.rows_per_page < PAGE_SIZE {
            let first = self.first_page(metadata).await?;
            self.budget.note_page_size(Some(first.len() as u64));
        }
        let rows_per_page = self.budget.rows_per_page;
        let (rows_until, before) = match &self.rows_until {
            Some((rows_until, keys)) => (*rows_until, keys),
            None if is_full(&self.previous_keys, rows_per_page) => {
                ((self.page - 1) * rows_per_page, &self.previous_keys)
            }
            None => return Ok(AfterRefusal::Nothing),
        };
        let (after, asked) = after_refused_page(&self.list, self.page, rows_until, before).await?;
        self.spend(asked, metadata)?;
        Ok(after)
    }

    async fn read_around(mut self, error: Error, mut metadata: PageMetadata) -> Step<Self> {
        let rows_per_page = Some(self.budget.rows_per_page).filter(|rows| *rows > 0);
        let is_after_good = self.page > 1 && self.last_readable == Some((PAGE_SIZE, self.page - 1));
        let failing = FailingPage {
            number: self.page,
            size: PAGE_SIZE,
            rows_per_page,
            last_readable: self.last_readable,
            before: is_after_good.then_some(&self.previous_keys),
        };
        let PassedPage { mut found, rows, rows_per_page, keys, unproven, is_repeated, is_last, .. } =
            self.failing_pages.read_around(&self.list, failing, error).await?;
        metadata.pages += found.requests;
        self.is_resuming = false;
        self.has_seen_rows = true;
        self.last_readable = found.last_readable.or(self.last_readable);
        self.budget.note_page_size(rows_per_page);
        self.discard_read_ahead();
        // Of a deployment that is not known yet, rows of later pages were read too. They do not show a repeated page.
        let is_known = !keys.is_empty()
            && match rows_per_page {
                Some(_) => self.note_listed(&keys) == 0,
                None => keys.iter().all(|key| self.listed_keys.contains(key)),
            };
        if is_repeated || is_known {
            self.repeated_pages += 1;
            // Its gaps are those of the page before it.
            found.gaps.clear();
        } else {
            self.repeated_pages = 0;
            self.budget.count_failing_page(&keys, rows);
        }
        self.suspects.extend(unproven);
        self.clear_unfound_gaps_if_any(&found.gaps);
        if self.windows.is_reading() {
            // Positions in a window are not those of the list.
            found.gaps.drain(..).for_each(|gap| self.windows.note_loss(gap.error));
        }
        self.windows.note(&found.elements);
        // Where few rows were at many positions, most of these are past the end, and the deployment sends its last page for
        // them.
        let is_past_end = found.is_moving && keys.len() as u64 * 2 <= rows;
        self.rows_until = (found.is_exact && !is_past_end).then(|| (found.rows_until, keys.clone()));
        metadata.newest_change = newest_change(&found.elements);
        let mut records = self.new_records(found.elements);
        self.advance(if rows_per_page.is_some() { keys } else { Vec::new() });
        if is_last || self.repeated_pages >= MAX_REPEATED_FAILING_PAGES {
            let (mut batch, rest) = self.end(metadata).await?;
            records.append(&mut batch.records);
            batch.closed_gaps.retain(|closed| found.gaps.iter().all(|gap| gap.bounds != *closed));
            found.gaps.append(&mut batch.gaps);
            return Ok((Batch { records, gaps: found.gaps, ..batch }, rest));
        }
        records.extend(self.extra_records());
        let checkpoint = self.checkpoint()?;
        let batch = Batch { records, checkpoint, page: metadata, gaps: found.gaps, ..Batch::default() };
        Ok((batch, Some(self)))
    }

    fn note_ceiling(&mut self, refusal: &Error) {
        self.windows.note_ceiling(self.page - 1, refusal, &self.list.parameters);
    }

    /// Ends the present list: goes on with the next window, or ends the walk.
    async fn end(mut self, mut metadata: PageMetadata) -> Step<Self> {
        self.keep_read_ahead(0);
        let mut gaps = self.gaps_of_suspects();
        gaps.extend(self.gap_on_first_page(&mut metadata).await?);
        if self.windows.is_reading() {
            // Positions in a window are not those of the list.
            gaps.drain(..).for_each(|gap| self.windows.note_loss(gap.error));
        }
        let records = self.extra_records();
        if let Some(days) = self.windows.next_window() {
            self.begin_window(days);
            let checkpoint = self.checkpoint()?;
            let batch = Batch { records, checkpoint, page: metadata, gaps, ..Batch::default() };
            return Ok((batch, Some(self)));
        }
        if !self.has_seen_rows {
            metadata.notes.push(
                "the vendor has no conversation that matches; API v1 gives the same answer for an unknown agent: check `agent_id`"
                    .to_owned(),
            );
        }
        if let Some(gap) = self.windows.gap() {
            metadata.notes.push(
                "the vendor refuses all pages from some number on, although the list goes on: later conversations were read in windows of days; those without a date, or among too many within three days, may be missing"
                    .to_owned(),
            );
            gaps.push(gap);
        }
        let closed_gaps = mem::take(&mut self.rest_gaps);
        let closed_gaps = closed_gaps.into_iter().filter(|rest| gaps.iter().all(|gap| gap.bounds != *rest));
        let closed_gaps = closed_gaps.collect();
        let checkpoint = Checkpoint::End;
        Ok((Batch { records, checkpoint, page: metadata, gaps, closed_gaps, ..Batch::default() }, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimated_requests_match_a_count_by_hand() {
        // Four pages, then eight at once and the first conversation each time.
        for (count, expect) in
            [(0, 1), (99, 2), (300, 4), (400, 13), (730, 13), (1_150, 14), (1_250, 22), (10_000, 121)]
        {
            assert_eq!(requests(count), expect, "{count}");
        }
    }
}
