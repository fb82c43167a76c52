//! Reads around a page that fails in every attempt: what can be read of it, the gap, and whether the walk goes on.

use std::collections::HashSet;
use std::mem;

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Gap, GapBounds, OpenGap, Result};

use crate::ending::BEYOND_ANY_END;
use crate::failure::is_refusal;
use crate::list::{NumberedList, Rows, key};
use crate::sizes::{gives_one_row, row_at, rows_before};
use crate::span::{ListEnd, PageAddress, Span, SpanOutcome, SpanReader, answers, fails};

/// The size of a page if the request has none, by the vendor's documents.
const DEFAULT_SIZE: u64 = 10;
/// How many failures one page may take.
const MAX_FAILURES: u32 = 40;
/// How many failures all pages of a walk may take, beside one for every page that can be read.
const MAX_FAILURES_IN_ALL: u32 = 60;
/// After so many pages one after another of which nothing can be read, everything after them is one gap.
const MAX_UNREADABLE_PAGES: u32 = 3;

/// A page that fails, and what the walk knows around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailingPage<'a> {
    /// The number of the page, from 1.
    pub(crate) number: u64,
    /// The size that the walk asks for.
    pub(crate) size: u64,
    /// How many rows the deployment puts on a page, if the walk has seen one.
    pub(crate) rows_per_page: Option<u64>,
    /// A page that the walk could read.
    pub(crate) last_readable: Option<PageAddress>,
    /// The keys of the page before this one, if all of it was read.
    pub(crate) before: Option<&'a [u64]>,
}

/// The pages of one walk that fail.
#[derive(Debug, Default)]
pub(crate) struct FailingPages {
    consecutive: u32,
    /// Whether the deployment was seen to give as many rows as are asked for.
    is_exact: bool,
    /// The rows that were read of the pages before, if they failed and the deployment was not known yet.
    before: HashSet<u64>,
    /// How many failures are left to all pages together.
    failures_left: u32,
    /// The last pages before the rests that earlier pulls gave up, unless these are due to be tried again.
    given_up_after: Vec<u64>,
}

/// The outcome of reading around a page.
#[derive(Debug)]
pub(crate) struct PassedPage {
    pub(crate) found: SpanOutcome,
    /// How many rows the page holds, read or not.
    pub(crate) rows: u64,
    /// How many rows the deployment puts on a page, if that is sure.
    pub(crate) rows_per_page: Option<u64>,
    /// The keys of the rows that were read.
    pub(crate) keys: Vec<u64>,
    /// The page as a gap, which it is only if rows change places: it failed, and then it or each of its parts could be
    /// read.
    pub(crate) unproven: Option<Gap>,
    /// Whether it repeats the page before it, as the last page of a list does on some deployments.
    pub(crate) is_repeated: bool,
    /// Whether nothing follows it, or the rest is given up.
    pub(crate) is_last: bool,
}

impl PassedPage {
    fn of(found: SpanOutcome) -> Self {
        Self {
            found,
            rows: 0,
            rows_per_page: None,
            keys: Vec::new(),
            unproven: None,
            is_repeated: false,
            is_last: false,
        }
    }
}

impl FailingPages {
    /// Starts with the gaps of earlier pulls.
    pub(crate) fn new(gaps: &[OpenGap]) -> Self {
        let page = |gap: &OpenGap| match &gap.bounds {
            GapBounds::Rest { after } => after.as_deref().unwrap_or("0").parse().ok(),
            _ => None,
        };
        Self {
            consecutive: 0,
            is_exact: false,
            before: HashSet::new(),
            failures_left: MAX_FAILURES_IN_ALL,
            given_up_after: gaps.iter().filter(|gap| !gap.is_due).filter_map(page).collect(),
        }
    }

    /// Forgets everything but how many failures are left: all lists of a walk share them.
    pub(crate) fn for_another_list(self) -> Self {
        Self { failures_left: self.failures_left, ..Self::default() }
    }

    /// Notes a page that could be read.
    pub(crate) fn note_readable_page(&mut self) {
        self.consecutive = 0;
        self.failures_left = (self.failures_left + 1).min(MAX_FAILURES_IN_ALL);
    }

    /// Reads what can be read of a page that failed with `error`; fails with that error if the vendor does not respond to
    /// anything else.
    pub(crate) async fn read_around(
        &mut self,
        list: &NumberedList<'_>,
        page: FailingPage<'_>,
        error: Error,
    ) -> Result<PassedPage> {
        let next = next_page(list, page).await?;
        let (probe, mut requests) = (page.probe(), 1);
        if let NextPage::Failing = next {
            requests += 1;
            if !answers(list, probe).await? {
                return Err(error);
            }
            if self.given_up_after.contains(&(page.number - 1)) {
                return Ok(given_up(page, &error, requests));
            }
        }
        let layout = self.layout(list, &page, &next).await?;
        let span = Span::of_page(layout.rows_per_page.unwrap_or(page.size), page.number);
        let mut failures = MAX_FAILURES.min(self.failures_left);
        // Before a ceiling, the next page may be refused although the deployment sends its last page for it, too.
        if !matches!(next, NextPage::Rows(_)) {
            let (end, asked) = self.end_evidence(list, &page, span).await?;
            requests += asked;
            match end {
                EndEvidence::LastRow(row) => {
                    let bounds = GapBounds::Positions { first: span.first, last: span.last };
                    let unproven = Some(Gap::new(bounds, &error));
                    return Ok(PassedPage { unproven, ..last_again(row, requests + layout.requests) });
                }
                EndEvidence::Failing if answers(list, probe).await? => {
                    return Ok(given_up(page, &error, requests + layout.requests));
                }
                EndEvidence::Failing => return Err(error),
                EndEvidence::OnlyFailures => failures = 0,
                EndEvidence::Unknown => {}
            }
        }
        let is_full = next.len() > 0 && layout.rows_per_page.is_some();
        // A deployment that is not known yet puts at least as many rows on this page as on the next one.
        let rows_until = if next.len() > 0 { (page.number + 1) * next.len() } else { 0 };
        // Nor fewer than the vendor gives if the request has no size.
        let is_sure = is_full || next.len() == 0;
        let below = if is_sure { span.len() } else { next.len().max(DEFAULT_SIZE + 1).min(span.len()) };
        let reader = SpanReader::new(list, span, next.list_end(is_full), probe, failures)
            .with_rows_until(rows_until)
            .with_exact_sizes(layout.is_exact);
        let unproven = Gap::new(GapBounds::Positions { first: span.first, last: span.last }, &error);
        let mut found = reader.read(below, error).await?;
        found.requests += requests + layout.requests;
        self.failures_left = self.failures_left.saturating_sub(found.failures);
        let has_all_rows = found.gaps.is_empty();
        if has_all_rows {
            confirm(list, page, &mut found, span).await?;
        }
        let mut passed = self.finish(list, page, found, (span, layout.rows_per_page, has_all_rows)).await?;
        if passed.found.gaps.is_empty() {
            passed.unproven = Some(unproven);
            look_back(list, page, &mut passed.found, span).await?;
        }
        Ok(passed)
    }

    /// Finds out how many rows the deployment puts on a page, and whether it takes other sizes.
    async fn layout(
        &self,
        list: &NumberedList<'_>,
        page: &FailingPage<'_>,
        next: &NextPage,
    ) -> Result<PageLayout> {
        let mut layout =
            PageLayout { rows_per_page: page.rows_per_page, is_exact: self.is_exact, requests: 0 };
        if let (Some(rows), Some(before)) = (page.rows_per_page, page.before) {
            layout.requests += 1;
            layout.is_exact |= gives_one_row(list, (page.number - 2) * rows + 1, Some(before)).await?;
            return Ok(layout);
        }
        if layout.rows_per_page.is_none() && page.number > 1 {
            layout.requests += 1;
            layout.rows_per_page = rows_of_first_page(list, page.size).await?;
        }
        let NextPage::Rows(following) = next else { return Ok(layout) };
        let keys = following.keys();
        let Some(first) = keys.first() else { return Ok(layout) };
        layout.requests += 1;
        let position = page.number * layout.rows_per_page.unwrap_or(page.size) + 1;
        let mut begins_there = gives_one_row(list, position, Some(std::slice::from_ref(first))).await?;
        if begins_there && layout.rows_per_page.is_none() {
            // A deployment that sends its last row for every later position has it before this one too.
            layout.requests += 1;
            let before = row_at(list, position - 1).await?;
            begins_there = before.is_some_and(|row| !keys.contains(&row));
        }
        if begins_there {
            layout.is_exact = true;
            layout.rows_per_page = layout.rows_per_page.or(Some(page.size));
        } else if layout.rows_per_page.is_none() && page.number == 1 {
            let (rows, requests) = rows_before(list, &keys, page.size).await?;
            layout.requests += requests;
            layout.rows_per_page = rows;
        }
        Ok(layout)
    }

    /// Returns whether a page is past the end of the list, and how many requests that took.
    async fn end_evidence(
        &self,
        list: &NumberedList<'_>,
        page: &FailingPage<'_>,
        span: Span,
    ) -> Result<(EndEvidence, u64)> {
        // Nothing but an empty list ends before its first page.
        if page.number == 1 {
            return Ok((EndEvidence::Unknown, 0));
        }
        match list.probe_page(1, span.first).await {
            Ok(rows) if rows.len() == 1 && span.len() > 1 => {
                let (is_again, asked) = self.is_last_row_again(list, &rows, span).await?;
                let row = rows.elements.into_iter().next().filter(|_| is_again);
                Ok((row.map_or(EndEvidence::Unknown, EndEvidence::LastRow), 1 + asked))
            }
            Err(error) if error.may_be_local() => failing_end(list, page, span).await,
            Err(error) if !is_refusal(&error) => Err(error),
            _ => Ok((EndEvidence::Unknown, 1)),
        }
    }

    /// Returns whether the row at the beginning of a page is the last one of the list once more, and how many requests
    /// that took: the same row is at the end of the page. Where rows change places, it may be another one, but that and
    /// one far past the end are among those of the pages before.
    async fn is_last_row_again(
        &self,
        list: &NumberedList<'_>,
        first: &Rows,
        span: Span,
    ) -> Result<(bool, u64)> {
        let first = first.keys().first().copied();
        let at_end = row_at(list, span.last).await?;
        let is_known = |row: Option<u64>| row.is_some_and(|row| self.before.contains(&row));
        if at_end == first || !(is_known(first) && is_known(at_end)) {
            return Ok((at_end == first, 1));
        }
        Ok((is_known(row_at(list, BEYOND_ANY_END).await?), 2))
    }

    /// Requests a page once more if nothing of it could be read, and gives up after several such pages in a row.
    async fn finish(
        &mut self,
        list: &NumberedList<'_>,
        page: FailingPage<'_>,
        mut found: SpanOutcome,
        (span, mut rows_per_page, has_all_rows): (Span, Option<u64>, bool),
    ) -> Result<PassedPage> {
        let whole = GapBounds::Positions { first: span.first, last: span.last };
        let is_whole =
            |found: &SpanOutcome| !has_all_rows && found.gaps.iter().any(|gap| gap.bounds == whole);
        let mut is_recovered = false;
        if is_whole(&found) {
            found.requests += 1;
            match list.walk_page(page.size, page.number).await {
                Ok(rows) => {
                    is_recovered = true;
                    found.gaps.clear();
                    found.last_readable = Some((page.size, page.number));
                    rows_per_page = rows_per_page.max(Some(rows.len()).filter(|rows| *rows > 0));
                    found.is_moving = false;
                    // What was read before has its place on another page, or is read once more.
                    list.keep_extra(mem::replace(&mut found.elements, rows.elements));
                }
                Err(error) if error.may_be_local() || is_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let is_unreadable = is_whole(&found) && !found.is_moving;
        self.consecutive = if is_unreadable { self.consecutive + 1 } else { 0 };
        self.is_exact |= found.is_exact;
        let has_all_rows = has_all_rows || found.gaps.is_empty();
        let rows = if has_all_rows { found.elements.len() as u64 } else { span.len() };
        // Where a deployment sends other rows than are asked for, they say nothing about this page.
        let keys = match (is_recovered, is_whole(&found)) {
            (true, _) => found.elements.iter().map(|row| key(row)).collect(),
            (false, true) if !found.is_moving => Vec::new(),
            (false, _) => mem::take(&mut found.keys),
        };
        let is_repeated = self.is_repeated(&keys, rows_per_page.is_none());
        let is_last = self.consecutive >= MAX_UNREADABLE_PAGES;
        if is_last {
            let error = found.gaps.first().map(|gap| gap.error.clone()).unwrap_or_default();
            found.gaps.push(Gap { bounds: rest_after(page.number), error });
        }
        let passed = PassedPage { rows, rows_per_page, keys, is_repeated, is_last, ..PassedPage::of(found) };
        Ok(passed)
    }

    /// Returns whether the rows are all of the pages before, of a deployment whose pages are not known. One that sends its
    /// last page for every later number may do so in another order each time.
    fn is_repeated(&mut self, keys: &[u64], is_unknown: bool) -> bool {
        if !is_unknown {
            self.before.clear();
            return false;
        }
        let is_repeated = !keys.is_empty() && keys.iter().all(|key| self.before.contains(key));
        self.before.extend(keys);
        is_repeated
    }
}

/// How a deployment lays out its pages.
struct PageLayout {
    /// How many rows it puts on a page, if that is sure.
    rows_per_page: Option<u64>,
    /// Whether it gives as many rows as are asked for.
    is_exact: bool,
    requests: u64,
}

impl FailingPage<'_> {
    /// Returns a page that should be readable if the vendor answers at all.
    fn probe(self) -> PageAddress {
        match self.last_readable {
            Some(last_readable) => last_readable,
            None if self.number > 1 => (1, 1),
            None => (1, 2),
        }
    }
}

/// What follows a page.
enum NextPage {
    Rows(Rows),
    /// The vendor refuses the page.
    Refused,
    /// It fails as well.
    Failing,
}

impl NextPage {
    fn len(&self) -> u64 {
        if let Self::Rows(rows) = self { rows.len() } else { 0 }
    }

    fn list_end(&self, is_full: bool) -> ListEnd {
        match self {
            _ if is_full => ListEnd::AfterSpan,
            Self::Rows(rows) if rows.is_empty() => ListEnd::InSpanThenEmpty,
            _ => ListEnd::InSpan,
        }
    }
}

async fn next_page(list: &NumberedList<'_>, page: FailingPage<'_>) -> Result<NextPage> {
    match list.probe_page(page.size, page.number + 1).await {
        Ok(rows) => Ok(NextPage::Rows(rows)),
        Err(error) if is_refusal(&error) => Ok(NextPage::Refused),
        Err(error) if error.may_be_local() => Ok(NextPage::Failing),
        Err(error) if matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Refused) => {
            Ok(NextPage::Failing)
        }
        Err(error) => Err(error),
    }
}

/// Returns how many rows are on the first page, if it can be read.
async fn rows_of_first_page(list: &NumberedList<'_>, size: u64) -> Result<Option<u64>> {
    match list.probe_page(size, 1).await {
        Ok(rows) => Ok(Some(rows.len()).filter(|rows| *rows > 0)),
        Err(error) if error.may_be_local() || is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is known of a page that may be past the end of the list.
enum EndEvidence {
    /// The deployment sends its last row for every position of the page.
    LastRow(Bytes),
    /// The page fails as every page past the end does: a deployment that sends its last page for every later one fails
    /// there if that page fails.
    Failing,
    /// Its first three rows, the one in the middle and the last one fail. Where a deployment refuses pages far past the end,
    /// these may all be the last row once more.
    OnlyFailures,
    Unknown,
}

/// Returns what is known of a page that fails and whose first row does, and how many requests all that took.
async fn failing_end(
    list: &NumberedList<'_>,
    page: &FailingPage<'_>,
    span: Span,
) -> Result<(EndEvidence, u64)> {
    if !fails(list, 1, span.first + span.len() / 2).await? {
        return Ok((EndEvidence::Unknown, 2));
    }
    if fails(list, page.size, page.number + BEYOND_ANY_END).await?
        && fails(list, 1, span.last + BEYOND_ANY_END).await?
    {
        return Ok((EndEvidence::Failing, 4));
    }
    let mut is_unreadable = true;
    for position in [span.first + 1, span.first + 2, span.last] {
        is_unreadable = is_unreadable && fails(list, 1, position.min(span.last)).await?;
    }
    Ok((if is_unreadable { EndEvidence::OnlyFailures } else { EndEvidence::Unknown }, 7))
}

/// Requests a page once more after all its parts could be read. If it still fails, what fails has moved meanwhile from
/// a part that was not read yet to one that was, and the page is a gap.
async fn confirm(
    list: &NumberedList<'_>,
    page: FailingPage<'_>,
    found: &mut SpanOutcome,
    span: Span,
) -> Result<()> {
    found.requests += 1;
    found.gaps.extend(gap_if_failing(list, page.size, page.number, span).await?);
    Ok(())
}

/// Requests the page before once more, after this page could be read in the end, if that one could be read too: what
/// fails may have moved to it.
async fn look_back(
    list: &NumberedList<'_>,
    page: FailingPage<'_>,
    found: &mut SpanOutcome,
    span: Span,
) -> Result<()> {
    if page.before.is_none() {
        return Ok(());
    }
    found.requests += 1;
    let before = Span { first: span.first - span.len(), last: span.first - 1 };
    found.gaps.extend(gap_if_failing(list, page.size, page.number - 1, before).await?);
    Ok(())
}

/// Requests a page, and returns it as a gap if it fails.
pub(crate) async fn gap_if_failing(
    list: &NumberedList<'_>,
    size: u64,
    number: u64,
    span: Span,
) -> Result<Option<Gap>> {
    let bounds = GapBounds::Positions { first: span.first, last: span.last };
    match list.probe_page(size, number).await {
        Err(error) if error.may_be_local() => Ok(Some(Gap::new(bounds, &error))),
        Err(error) if !is_refusal(&error) => Err(error),
        _ => Ok(None),
    }
}

fn last_again(last: Bytes, requests: u64) -> PassedPage {
    let found = SpanOutcome { elements: vec![last], requests, ..SpanOutcome::default() };
    PassedPage { is_repeated: true, is_last: true, ..PassedPage::of(found) }
}

fn given_up(page: FailingPage<'_>, error: &Error, requests: u64) -> PassedPage {
    let gaps = vec![Gap::new(rest_after(page.number - 1), error)];
    let found = SpanOutcome { gaps, requests, ..SpanOutcome::default() };
    PassedPage { is_last: true, ..PassedPage::of(found) }
}

/// Returns the bounds of everything after a page. The vendor has no cursor: the page number stands for one.
pub(crate) fn rest_after(page: u64) -> GapBounds {
    GapBounds::Rest { after: Some(page.to_string()) }
}
