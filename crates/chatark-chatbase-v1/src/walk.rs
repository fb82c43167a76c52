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
use crate::again::try_again;
use crate::dead::{DeadPages, Passed, Place, gap_at};
use crate::ending::{
    Behind, Repetition, behind_refused, is_full, is_last_page_again, repeats_its_last_page,
    repetition_of_first,
};
use crate::failure::is_refusal;
use crate::list::{NumberedList, PAGE_SIZE, Rows, key};
use crate::narrow::{Probe, Span};
use crate::newest::newest_change;
use crate::parameters::{DATES, Parameters, SOURCES};
use crate::progress::Progress;
use crate::refused::{examine, refused_by_a_row};
use crate::step::{FirstRefused, Step, Walk};
use crate::windows::Windows;

/// How many answers without a new row end a walk. A list that grows by exactly one page gives one such page, and a page
/// that is sent twice by mistake another.
const MAX_STALE: u32 = 3;
/// The same among pages that fail: the last page is then answered in place of every later one.
const MAX_STALE_DEAD: u32 = 2;
/// How many such answers end a walk in all, beside one for every sixteen pages: where rows change places, the last page
/// may show a new one now and then.
const MAX_STALE_IN_ALL: u64 = 12;
/// The number of pages that are requested at the same time.
const CONCURRENT_PAGES: u64 = 8;
/// The number of pages that are read one after another first: a short list gains little from more at a time.
const FIRST_SEQUENTIAL: u64 = 4;
/// What a group of pages costs if the list has moved meanwhile: its pages, and two looks at the first conversation.
const WASTED_BY_GROUP: u64 = CONCURRENT_PAGES + 2;
/// How many requests may be wasted so, beside one for every sixteen pages.
const MAX_WASTED: u64 = 20;

/// Returns how many requests a walk through so many conversations takes: including the empty page at the end.
pub(crate) fn requests(count: u64) -> u64 {
    let empty = count.div_ceil(PAGE_SIZE) + 1;
    let (mut page, mut requests) = (1, 0);
    while page <= empty {
        let is_after_full_page = (page - 1) * PAGE_SIZE <= count;
        let (pages, heads) =
            if page > FIRST_SEQUENTIAL && is_after_full_page { (CONCURRENT_PAGES, 1) } else { (1, 0) };
        page += pages;
        requests += pages + heads;
    }
    requests
}

/// Returns where earlier pulls gave up the rest of the list.
fn rests(gaps: &[OpenGap]) -> Vec<GapBounds> {
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
    /// Whether the page comes from a saved cursor and has not been answered yet.
    is_resuming: bool,
    seen: bool,
    /// Pages from the current one on, read at once.
    ahead: VecDeque<Rows>,
    /// The requests for the pages that were read at once and are not used yet.
    unused: u64,
    /// The error of the first page that failed.
    failed: Option<Error>,
    /// The first conversation of the whole list, byte for byte, if it is known; empty if the list is empty.
    head: Option<Bytes>,
    /// How many pages are still read one after another.
    alone: u64,
    wasted: u64,
    /// The keys of the previous page, to recognise rows that moved.
    before: Vec<u64>,
    /// The keys of page 1, if it was read.
    first: Option<Vec<u64>>,
    /// The keys of all rows that were on the pages so far.
    walked: HashSet<u64>,
    /// The keys of rows that were on none of them and have been returned.
    strayed: HashSet<u64>,
    /// How many answers one after another had no new row.
    stale: u32,
    /// How many answers in all had no new row.
    stale_in_all: u64,
    /// Pages that failed although each of their parts could be read. If rows change places, something was skipped.
    suspects: Vec<Gap>,
    /// How many stretches earlier pulls could not read; none once something was found that cannot be read now.
    lost_gaps: usize,
    /// Where earlier pulls gave up the rest of the list. Once this one has come to its end, it has read that.
    rests: Vec<GapBounds>,
    /// What is behind a ceiling of the list.
    windows: Windows,
    /// Whether the current page repeated the one before it and is requested a second time.
    asks_again: bool,
    dead: DeadPages,
    /// The last page that could be read.
    good: Option<Probe>,
    /// Up to which position there are rows, after a page that failed, and the keys of those of the page.
    rows_until: Option<(u64, Vec<u64>)>,
    progress: Progress,
}

impl<'a> PageWalk<'a> {
    pub(crate) fn new(account: &'a ChatbaseV1, request: &ReadRequest) -> Self {
        let scope = request.scope();
        let resumed = resumed_page(request.resume_from.as_ref(), &scope);
        let list = NumberedList::new(account, Stream::Conversations).with(Parameters::of(request));
        Self {
            list: list.keeping_strays(),
            scope,
            gaps: request.gaps.clone(),
            page: resumed.unwrap_or(1),
            is_resuming: resumed.is_some_and(|page| page > 1),
            seen: resumed.is_some(),
            ahead: VecDeque::new(),
            unused: 0,
            failed: None,
            head: None,
            alone: FIRST_SEQUENTIAL,
            wasted: 0,
            before: Vec::new(),
            first: None,
            walked: HashSet::new(),
            strayed: HashSet::new(),
            stale: 0,
            stale_in_all: 0,
            suspects: Vec::new(),
            lost_gaps: request.gaps.iter().filter(|gap| is_positions(&gap.bounds)).count(),
            rests: rests(&request.gaps),
            windows: Windows::default(),
            asks_again: false,
            dead: DeadPages::new(&request.gaps),
            good: None,
            rows_until: None,
            progress: Progress::default(),
        }
    }

    /// Begins at page 1 of another list, narrowed by the days of a window.
    fn begin_window(&mut self, days: (Option<String>, Option<String>)) {
        self.list = self.list.with(Parameters { days, ..self.list.parameters.clone() });
        self.page = 1;
        self.discard_ahead();
        self.alone = FIRST_SEQUENTIAL;
        (self.head, self.first, self.good, self.rows_until) = (None, None, None, None);
        (self.stale, self.stale_in_all, self.asks_again) = (0, 0, false);
        self.before.clear();
        self.walked.clear();
        self.dead = mem::take(&mut self.dead).for_another_list();
        self.progress.begin_list();
    }

    /// Seals the page at which a later run goes on: windows are read again.
    fn checkpoint(&self) -> Result<Checkpoint> {
        let page = self.windows.ceiling().unwrap_or(self.page);
        Ok(Checkpoint::At(seal(&self.scope, page)?))
    }

    /// Does without the parameters that the deployment refuses. Returns whether it takes all of them, so that nothing
    /// matches.
    async fn fall_back(&mut self, error: Error, metadata: &mut PageMetadata) -> Result<bool> {
        let found = examine(&self.list, error).await?;
        self.take(found.requests, metadata)?;
        self.seen |= found.has_rows;
        if found.is_empty() {
            return Ok(true);
        }
        for (feature, parameter) in [(DATES, "`startDate` and `endDate`"), (SOURCES, "`filteredSources`")] {
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

    /// Returns the records that were answered beside the pages of the walk and that are on none of these.
    fn strays(&mut self) -> Vec<Record> {
        let mut strays = self.list.take_strays();
        strays.retain(|row| {
            let key = key(row);
            !self.walked.contains(&key) && self.strayed.insert(key)
        });
        self.list.records(strays)
    }

    /// Returns the pages that failed although their parts could be read, if rows change places: what cannot be read was
    /// then elsewhere whenever a part was asked for, and would be again if the page were.
    fn gaps_of_suspects(&mut self) -> Vec<Gap> {
        let suspects = mem::take(&mut self.suspects);
        if self.progress.is_moving { suspects } else { Vec::new() }
    }

    /// Forgets the gaps of earlier pulls once some were found.
    fn clear_lost_gaps_if_found(&mut self, found: &[Gap]) {
        self.lost_gaps = if found.is_empty() { self.lost_gaps } else { 0 };
    }

    /// Looks at page 1 once more if what could not be read before was on no page: in a list by activity, it is there if
    /// somebody wrote in it before its page was read.
    async fn look_at_first_page(&mut self, metadata: &mut PageMetadata) -> Result<Option<Gap>> {
        if mem::take(&mut self.lost_gaps) == 0 || self.page <= 2 {
            return Ok(None);
        }
        metadata.pages += 1;
        let span = Span::of_page(self.progress.rows_per_page.max(1), 1);
        gap_at(&self.list, PAGE_SIZE, 1, span).await
    }

    fn advance(&mut self, keys: Vec<u64>) {
        self.page += 1;
        self.before = keys;
    }

    /// Notes the rows of a page, and returns how many of them are new.
    fn walk_over(&mut self, keys: &[u64]) -> u64 {
        let new = keys.iter().filter(|key| self.walked.insert(**key)).count();
        // A page without any new row may be the last one once more.
        self.progress.is_moving |= 0 < new && new < keys.len();
        new as u64
    }

    /// Returns whether the current page is the last one once more, where rows change places.
    async fn is_last_again(&self, keys: &[u64], metadata: &mut PageMetadata) -> Result<bool> {
        if !(self.progress.is_moving || keys.iter().any(|key| self.walked.contains(key))) {
            return Ok(false);
        }
        let rows_per_page = self.progress.rows_per_page;
        let (is_last_again, asked) =
            is_last_page_again(&self.list, (self.page, keys), &self.before, rows_per_page).await?;
        metadata.pages += asked;
        Ok(is_last_again)
    }

    /// Returns whether a walk that is about to pass its bound is behind the end, on a host that answers its last page for
    /// every later number: one that grows, or whose rows change places, may have a new row on it each time.
    async fn is_behind_the_end(&mut self, metadata: &mut PageMetadata) -> Result<bool> {
        let positions = (self.page - 1) * self.progress.rows_per_page;
        if !self.progress.is_spent_by(WASTED_BY_GROUP) {
            return Ok(false);
        }
        if self.walked.len() as u64 * 2 > positions {
            self.progress.reach(positions);
            return Ok(false);
        }
        let (is_behind, asked) = repeats_its_last_page(&self.list).await?;
        metadata.pages += asked;
        Ok(is_behind)
    }

    /// Returns the records that were not on the page before. One without an id counts as new.
    fn new_records(&self, elements: Vec<Bytes>) -> Vec<Record> {
        let records = self.list.records(elements).into_iter();
        records.filter(|record| record.id.is_none() || !self.before.contains(&key(&record.bytes))).collect()
    }

    /// Ends the walk after answers without a new row, unless the host ignores `page` and there may be more.
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
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        metadata.pages += 1;
        match self.list.page(PAGE_SIZE, 1).await {
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
    fn discard_ahead(&mut self) {
        self.keep_ahead(0);
        self.failed = None;
        self.progress.give_back(self.unused);
        self.unused = 0;
    }

    /// Keeps so many of the pages that were read at once as pages, and the rows of the others as what they are.
    fn keep_ahead(&mut self, pages: usize) {
        let rest = self.ahead.split_off(pages.min(self.ahead.len()));
        self.list.keep(rest.into_iter().flat_map(|page| page.elements));
    }

    /// Counts requests, and fails if the walk has passed its bound.
    fn take(&mut self, requests: u64, metadata: &mut PageMetadata) -> Result<()> {
        metadata.pages += requests;
        self.progress.take(&self.list, self.page, requests)
    }

    /// Returns whether reading several pages at once has been in vain too often.
    fn has_wasted_much(&self) -> bool {
        self.wasted + WASTED_BY_GROUP > MAX_WASTED + self.progress.pages() / 16
    }

    async fn read_group(&mut self, head: &Bytes, metadata: &mut PageMetadata) -> Result<Rows> {
        self.take(CONCURRENT_PAGES, metadata)?;
        let pages = self.page..self.page + CONCURRENT_PAGES;
        let group = join_all(pages.map(|page| self.list.read(PAGE_SIZE, page))).await;
        let found = self.read_head(metadata).await;
        for page in group {
            match page {
                Ok(page) if self.failed.is_none() => self.ahead.push_back(page),
                Ok(page) => self.list.keep(page.elements),
                Err(error) => {
                    self.failed.get_or_insert(error);
                }
            }
        }
        match found {
            Ok(Some(found)) if found == *head => self.head = Some(found),
            Ok(_) => {
                self.wasted += WASTED_BY_GROUP;
                self.alone = self.alone.max(CONCURRENT_PAGES);
                self.keep_ahead(1);
                self.failed = self.failed.take().filter(|_| self.ahead.is_empty());
            }
            Err(error) => {
                self.keep_ahead(1);
                self.failed = self.failed.take().or(Some(error));
            }
        }
        self.unused = CONCURRENT_PAGES - 1;
        // Each page was read after the last one that was returned, so the first of them is valid even if rows have
        // moved.
        match (self.ahead.pop_front(), self.failed.take()) {
            (Some(page), failed) => {
                self.failed = failed;
                Ok(page)
            }
            (None, Some(error)) => Err(error),
            (None, None) => self.read(metadata).await,
        }
    }

    async fn read(&mut self, metadata: &mut PageMetadata) -> Result<Rows> {
        self.take(1, metadata)?;
        self.list.read(PAGE_SIZE, self.page).await
    }

    /// Returns the first conversation of the list. If it cannot be read alone, all pages are read one after another.
    async fn read_head(&mut self, metadata: &mut PageMetadata) -> Result<Option<Bytes>> {
        self.take(1, metadata)?;
        match self.list.page(1, 1).await {
            Ok(page) => Ok(Some(page.elements.into_iter().next().unwrap_or_default())),
            Err(error) if is_refusal(&error) || error.may_be_local() => {
                self.alone = u64::MAX;
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
        let tried = try_again(&self.list, &self.gaps).await?;
        self.gaps.clear();
        self.clear_lost_gaps_if_found(&tried.gaps);
        self.rests.retain(|rest| !tried.closed.contains(rest));
        let page = PageMetadata {
            pages: tried.requests,
            newest_change: newest_change(&tried.elements),
            ..PageMetadata::default()
        };
        self.list.keep(tried.elements);
        let records = self.strays();
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
        if self.is_behind_the_end(metadata).await? {
            return Ok(Rows::none());
        }
        if let Some(page) = self.ahead.pop_front() {
            self.unused = self.unused.saturating_sub(1);
            return Ok(page);
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.unused = 0;
        let is_after_short_page = (self.before.len() as u64) < self.progress.rows_per_page.max(1);
        let is_alone = self.alone > 0 || self.stale > 0 || is_after_short_page || self.has_wasted_much();
        self.alone = self.alone.saturating_sub(1);
        if is_alone {
            return self.read(metadata).await;
        }
        let head = match self.head.take() {
            Some(head) => head,
            None => match self.read_head(metadata).await? {
                Some(head) => head,
                None => return self.read(metadata).await,
            },
        };
        self.read_group(&head, metadata).await
    }

    async fn deliver(mut self, rows: Rows, mut metadata: PageMetadata) -> Step<Self> {
        self.is_resuming = false;
        self.seen = true;
        self.rows_until = None;
        self.windows.note(&rows.elements);
        self.good = Some((PAGE_SIZE, self.page));
        self.dead.note_readable_page();
        let keys = rows.keys();
        if self.is_last_again(&keys, &mut metadata).await? {
            metadata.newest_change = newest_change(&rows.elements);
            self.list.keep(rows.elements);
            return self.end(metadata).await;
        }
        let new_rows = self.walk_over(&keys);
        self.progress.found(&keys, new_rows);
        if self.page == 1 {
            self.head = rows.elements.first().cloned();
            self.first = Some(keys.clone());
        }
        self.stale = if new_rows == 0 { self.stale + 1 } else { 0 };
        self.stale_in_all += u64::from(new_rows == 0);
        if self.stale >= MAX_STALE || self.stale_in_all > MAX_STALE_IN_ALL + self.progress.pages() / 16 {
            return self.end_of_repetition(&keys, rows.request_id.as_deref(), metadata).await;
        }
        metadata.newest_change = newest_change(&rows.elements);
        let mut records = self.new_records(rows.elements);
        records.extend(self.strays());
        // A repeated page was either moved by a growing list or sent by mistake, in which case the real page would be
        // lost. A second request shows which.
        self.asks_again = keys == self.before && !self.asks_again;
        if self.asks_again {
            self.discard_ahead();
        } else {
            self.advance(keys);
        }
        let checkpoint = self.checkpoint()?;
        Ok((Batch { records, checkpoint, page: metadata, ..Batch::default() }, Some(self)))
    }

    async fn first_refused(&mut self, error: Error, metadata: &mut PageMetadata) -> Result<FirstRefused> {
        if self.windows.is_reading() {
            self.windows.lose(error.to_string());
            return Ok(FirstRefused::Empty);
        }
        if self.list.parameters.is_empty() {
            let mut asked = 0;
            let error = refused_by_a_row(&self.list, &mut asked, error).await?;
            self.take(asked, metadata)?;
            return Ok(FirstRefused::Failing(error));
        }
        let is_empty = self.fall_back(error, metadata).await?;
        Ok(if is_empty { FirstRefused::Empty } else { FirstRefused::Parameter })
    }

    async fn behind(&mut self, metadata: &mut PageMetadata) -> Result<Behind> {
        // A walk that resumed at the last page has seen no full one.
        if self.first.is_none() && self.progress.rows_per_page < PAGE_SIZE {
            let first = self.first_page(metadata).await?;
            self.progress.learn(Some(first.len() as u64));
        }
        let rows_per_page = self.progress.rows_per_page;
        let (rows_until, before) = match &self.rows_until {
            Some((rows_until, keys)) => (*rows_until, keys),
            None if is_full(&self.before, rows_per_page) => ((self.page - 1) * rows_per_page, &self.before),
            None => return Ok(Behind::Nothing),
        };
        let (behind, asked) = behind_refused(&self.list, self.page, rows_until, before).await?;
        self.take(asked, metadata)?;
        Ok(behind)
    }

    async fn pass(mut self, error: Error, mut metadata: PageMetadata) -> Step<Self> {
        let rows_per_page = Some(self.progress.rows_per_page).filter(|rows| *rows > 0);
        let is_after_good = self.page > 1 && self.good == Some((PAGE_SIZE, self.page - 1));
        let place = Place {
            number: self.page,
            size: PAGE_SIZE,
            rows_per_page,
            good: self.good,
            before: is_after_good.then_some(&self.before),
        };
        let Passed { mut found, rows, rows_per_page, keys, unproven, is_repeated, is_last, .. } =
            self.dead.pass(&self.list, place, error).await?;
        metadata.pages += found.requests;
        self.is_resuming = false;
        self.seen = true;
        self.good = found.good.or(self.good);
        self.progress.learn(rows_per_page);
        self.discard_ahead();
        // Of a host that is not known yet, rows of later pages were read too. They are no sign of a repeated page.
        let is_known = !keys.is_empty()
            && match rows_per_page {
                Some(_) => self.walk_over(&keys) == 0,
                None => keys.iter().all(|key| self.walked.contains(key)),
            };
        if is_repeated || is_known {
            self.stale += 1;
            // The gaps of the page before it are these.
            found.gaps.clear();
        } else {
            self.stale = 0;
            self.progress.passed(&keys, rows);
        }
        self.suspects.extend(unproven);
        self.clear_lost_gaps_if_found(&found.gaps);
        if self.windows.is_reading() {
            // Positions in a window are not those of the list.
            found.gaps.drain(..).for_each(|gap| self.windows.lose(gap.error));
        }
        self.windows.note(&found.elements);
        // Where few rows were at many positions, most of these are behind the end, and the last page answers for them.
        let is_behind = found.is_moving && keys.len() as u64 * 2 <= rows;
        self.rows_until = (found.is_exact && !is_behind).then(|| (found.rows_until, keys.clone()));
        metadata.newest_change = newest_change(&found.elements);
        let mut records = self.new_records(found.elements);
        self.advance(if rows_per_page.is_some() { keys } else { Vec::new() });
        if is_last || self.stale >= MAX_STALE_DEAD {
            let (mut batch, rest) = self.end(metadata).await?;
            records.append(&mut batch.records);
            batch.closed_gaps.retain(|closed| found.gaps.iter().all(|gap| gap.bounds != *closed));
            found.gaps.append(&mut batch.gaps);
            return Ok((Batch { records, gaps: found.gaps, ..batch }, rest));
        }
        records.extend(self.strays());
        let checkpoint = self.checkpoint()?;
        let batch = Batch { records, checkpoint, page: metadata, gaps: found.gaps, ..Batch::default() };
        Ok((batch, Some(self)))
    }

    fn meet_ceiling(&mut self, refusal: &Error) {
        self.windows.meet(self.page - 1, refusal, &self.list.parameters);
    }

    /// Ends the present list: goes on with the next window, or ends the walk.
    async fn end(mut self, mut metadata: PageMetadata) -> Step<Self> {
        self.keep_ahead(0);
        let mut gaps = self.gaps_of_suspects();
        gaps.extend(self.look_at_first_page(&mut metadata).await?);
        if self.windows.is_reading() {
            // Positions in a window are not those of the list.
            gaps.drain(..).for_each(|gap| self.windows.lose(gap.error));
        }
        let records = self.strays();
        if let Some(days) = self.windows.begin() {
            self.begin_window(days);
            let checkpoint = self.checkpoint()?;
            let batch = Batch { records, checkpoint, page: metadata, gaps, ..Batch::default() };
            return Ok((batch, Some(self)));
        }
        if !self.seen {
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
        let closed_gaps = mem::take(&mut self.rests);
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
        // Four pages, then eight at once and a look at the head each time.
        for (count, expect) in
            [(0, 1), (99, 2), (300, 4), (400, 13), (730, 13), (1_150, 14), (1_250, 22), (10_000, 121)]
        {
            assert_eq!(requests(count), expect, "{count}");
        }
    }
}
