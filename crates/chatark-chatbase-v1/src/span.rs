//! Reads a span of a list in smaller and smaller pages, around the rows that cannot be read.

use std::collections::HashSet;
use std::mem;

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Gap, GapBounds, Result, Stream};

use crate::failure::is_refusal;
use crate::list::{NumberedList, Rows};
use crate::parameters::Parameters;
use crate::sizes::{SizeEvidence, gives_single_rows};

/// The page sizes that are tried, the largest first.
const SIZES: [u64; 6] = [500, 100, 50, 10, 5, 1];
/// After so many refusals and nothing else, a size counts as refused.
const MAX_REFUSALS: usize = 3;
/// After so many failures one after another, the vendor is asked for something else.
const MAX_FAILURES_IN_ROW: u32 = 3;

/// Positions of a list, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What was found in a span.
#[derive(Debug, Default)]
pub(crate) struct SpanOutcome {
    /// The rows that can be read, and perhaps their neighbours.
    pub(crate) elements: Vec<Bytes>,
    /// The keys of those that are in the span.
    pub(crate) keys: Vec<u64>,
    /// The positions that cannot be read.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) requests: u64,
    pub(crate) failures: u32,
    /// Whether the vendor has answered anything after its last failure.
    pub(crate) is_answered: bool,
    /// Whether the deployment gives as many rows as are asked for, so that their positions are known.
    pub(crate) is_exact: bool,
    /// A page with rows that could be read.
    pub(crate) last_readable: Option<PageAddress>,
    /// Whether rows were at several of the positions, so that others may have been at none.
    pub(crate) is_moving: bool,
    /// The last position that is known to hold a row.
    pub(crate) rows_until: u64,
}

/// Where the list may end, which decides what a page that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListEnd {
    /// After the span: each of its rows exists.
    AfterSpan,
    /// Within the span, on a deployment that answers later pages without rows.
    InSpanThenEmpty,
    /// Within the span.
    InSpan,
    /// Even before the span.
    BeforeSpan,
}

/// The address of a page: its size and number.
pub(crate) type PageAddress = (u64, u64);

/// Reads one span.
pub(crate) struct SpanReader<'a> {
    list: &'a NumberedList<'a>,
    span: Span,
    list_end: ListEnd,
    probe: PageAddress,
    /// Whether the whole span has failed before.
    has_failed: bool,
    failures_left: u32,
    consecutive_failures: u32,
    sizes: SizeEvidence,
    /// The last position that is known to hold a row.
    rows_until: u64,
    last_error: String,
    /// The keys of the rows that were read in the span.
    keys: HashSet<u64>,
    /// The keys of the last block, in their order as numbers.
    last_keys: Vec<u64>,
    found: SpanOutcome,
}

/// A part of the span that cannot be read so far, and why.
type Unread = (Span, String);

/// The outcome of reading with pages of one size.
enum SizeOutcome {
    /// These parts are left.
    Left(Vec<Unread>),
    /// The deployment does not take pages of this size. The parts are those from before.
    SizeRefused(Vec<Unread>),
    /// The deployment sends other numbers of rows than are asked for.
    SizeIgnored,
}

impl Span {
    /// Returns the positions on a page.
    pub(crate) fn of_page(size: u64, number: u64) -> Self {
        Self { first: (number - 1).saturating_mul(size) + 1, last: number.saturating_mul(size) }
    }

    pub(crate) fn len(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    fn common(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    fn bounds(self) -> GapBounds {
        GapBounds::Positions { first: self.first, last: self.last }
    }
}

impl<'a> SpanReader<'a> {
    /// Prepares to read a span. After `failures` failures, what is left is given up as it is.
    pub(crate) fn new(
        list: &'a NumberedList<'a>,
        span: Span,
        list_end: ListEnd,
        probe: PageAddress,
        failures: u32,
    ) -> Self {
        Self {
            list,
            span,
            list_end,
            probe,
            has_failed: false,
            failures_left: failures,
            consecutive_failures: 0,
            sizes: SizeEvidence::default(),
            rows_until: 0,
            last_error: String::new(),
            keys: HashSet::new(),
            last_keys: Vec::new(),
            found: SpanOutcome::default(),
        }
    }

    /// Says that there are rows up to a position.
    pub(crate) fn with_rows_until(mut self, position: u64) -> Self {
        self.rows_until = position;
        self
    }

    /// Says whether the deployment is known to give as many rows as are asked for.
    pub(crate) fn with_exact_sizes(mut self, is_exact: bool) -> Self {
        self.sizes.set(is_exact);
        self
    }

    /// Reads what can be read with pages smaller than `below`. `error` is how the span was answered before; it is
    /// returned if the vendor has ceased to answer anything.
    pub(crate) async fn read(mut self, below: u64, error: Error) -> Result<SpanOutcome> {
        self.has_failed = true;
        let sizes = SIZES.into_iter().filter(|size| *size < below).collect();
        let found = self.run(sizes, error.to_string()).await?;
        if found.is_answered { Ok(found) } else { Err(error) }
    }

    /// Reads a span that an earlier pull could not read. It may have become readable as it is, and its place may have
    /// ceased to exist.
    pub(crate) async fn read_again(mut self) -> Result<SpanOutcome> {
        let (length, largest) = (self.span.len(), self.list.largest_page());
        let is_page = (self.span.first - 1).is_multiple_of(length.max(1));
        let (is_exact, asked) = gives_single_rows(self.list).await?;
        self.found.requests += asked;
        self.sizes.set(is_exact);
        let whole = is_page.then_some(length);
        let sizes = whole.into_iter().chain(SIZES.into_iter().filter(|size| *size < length));
        let sizes = sizes.filter(|size| *size <= largest).collect();
        self.run(sizes, "it could not be read".to_owned()).await
    }

    /// Reads with these sizes. If the vendor ceases to answer, the whole span is left.
    async fn run(mut self, sizes: Vec<u64>, error: String) -> Result<SpanOutcome> {
        let left = self.read_with_sizes(sizes, error).await?;
        let left = match left {
            Some(left) if left.is_empty() || self.is_alive().await? => {
                self.found.is_answered = true;
                left
            }
            _ => vec![(self.span, mem::take(&mut self.last_error))],
        };
        self.found.is_exact = self.sizes.is_shown();
        self.found.rows_until = self.rows_until;
        Ok(self.with_gaps(left))
    }

    /// Reads with one size after another, and returns what is left; `None` if the vendor does not respond.
    async fn read_with_sizes(&mut self, sizes: Vec<u64>, error: String) -> Result<Option<Vec<Unread>>> {
        let mut left = vec![(self.span, error.clone())];
        let mut is_ignored = false;
        for size in sizes {
            if left.is_empty() || self.failures_left == 0 {
                break;
            }
            left = match self.read_with_size(size, mem::take(&mut left)).await? {
                Some(SizeOutcome::Left(left)) => left,
                Some(SizeOutcome::SizeRefused(left)) => self.left_after_refusals(size, left).await?,
                Some(SizeOutcome::SizeIgnored) => {
                    is_ignored = true;
                    break;
                }
                None => return Ok(None),
            };
        }
        // Every part could be read, but the whole could not: what cannot be read changed places meanwhile.
        if left.is_empty() && self.found.is_moving && (self.has_failed || self.found.failures > 0) {
            return Ok(Some(vec![(self.span, error)]));
        }
        // If the deployment may send other numbers of rows, the positions of what it sent are not known.
        if is_ignored || !self.sizes.is_shown() {
            return Ok(Some(vec![(self.span, left.into_iter().next().map_or(error, |(_, error)| error))]));
        }
        Ok(Some(left))
    }

    /// Reads the parts with one size. `None` if the vendor does not respond.
    async fn read_with_size(&mut self, size: u64, parts: Vec<Unread>) -> Result<Option<SizeOutcome>> {
        let (mut left, mut refused) = (Vec::new(), Vec::new());
        let (mut is_answered, mut is_given_up) = (false, false);
        let mut consecutive_failed = 0;
        'parts: for (part, error) in &parts {
            // Single rows of two parts are no neighbours.
            consecutive_failed = if size == 1 { 0 } else { consecutive_failed };
            for number in (part.first - 1) / size + 1..=(part.last - 1) / size + 1 {
                let block = part.common(Span::of_page(size, number));
                if is_given_up || self.failures_left == 0 {
                    left.push((block, error.clone()));
                    continue;
                }
                match self.page(size, number).await {
                    Ok(rows) if self.is_another_size(&rows, size, number) => {
                        return Ok(Some(SizeOutcome::SizeIgnored));
                    }
                    Ok(rows) => {
                        is_answered = true;
                        consecutive_failed = 0;
                        let is_repeated =
                            self.look_for_repeated(block, Span::of_page(size, number).first, &rows);
                        if is_repeated && self.repeats_to_the_end(size, number).await? {
                            break 'parts;
                        }
                        if !rows.is_empty() {
                            self.found.last_readable = Some((size, number));
                            self.rows_until = self.rows_until.max((number - 1) * size + rows.len());
                        }
                        self.sizes.add_page(size, &rows);
                        // A first page without rows is that of an empty list, whatever its size.
                        self.sizes.set(number == 1 && rows.is_empty());
                        self.sizes.set(block == self.span && rows.len() == size);
                        self.found.elements.extend(rows.elements);
                    }
                    Err(failed) if is_refusal(&failed) => {
                        refused.push((block, failed.to_string()));
                        if !is_answered && refused.len() >= MAX_REFUSALS {
                            return Ok(Some(SizeOutcome::SizeRefused(parts)));
                        }
                    }
                    Err(failed) if failed.may_be_local() => {
                        is_answered = true;
                        self.last_error = failed.to_string();
                        // A single row that fails is there.
                        self.rows_until = self.rows_until.max(if size == 1 { number } else { 0 });
                        left.push((block, failed.to_string()));
                        consecutive_failed += 1;
                        match self.after_failure(size, number, consecutive_failed).await? {
                            Some(gives_up) => is_given_up = gives_up,
                            None => return Ok(None),
                        }
                    }
                    Err(failed) if failed.kind() == ErrorKind::RateLimited => return Ok(None),
                    Err(failed) => return Err(failed),
                }
            }
        }
        if !is_answered && !refused.is_empty() {
            return Ok(Some(SizeOutcome::SizeRefused(parts)));
        }
        // A page that is refused before an existing row is not past the end.
        let is_there = |part: Span| match self.list_end {
            ListEnd::AfterSpan | ListEnd::InSpanThenEmpty => true,
            ListEnd::InSpan | ListEnd::BeforeSpan => part.first <= self.rows_until,
        };
        left.extend(refused.into_iter().filter(|(part, _)| is_there(*part)));
        left.sort_by_key(|(part, _)| part.first);
        Ok(Some(SizeOutcome::Left(left)))
    }

    /// Notes whether rows of a block were at other positions before. Returns whether the block repeats the one before
    /// it.
    fn look_for_repeated(&mut self, block: Span, first: u64, rows: &Rows) -> bool {
        let positions = block.first..=block.last;
        let rows = (first..).zip(rows.keys()).filter(|(position, _)| positions.contains(position));
        let keys: Vec<_> = rows.map(|(_, key)| key).collect();
        let new: Vec<_> = keys.iter().copied().filter(|key| self.keys.insert(*key)).collect();
        let mut sorted = keys;
        sorted.sort_unstable();
        // The same rows as before are the last page once more.
        let is_repeated = !sorted.is_empty() && sorted == self.last_keys;
        self.found.is_moving |= new.len() < sorted.len() && !is_repeated;
        self.last_keys = sorted;
        self.found.keys.extend(new);
        is_repeated
    }

    /// Returns whether a page that is the one before it once more is the last one of the list, which some deployments answer
    /// for every later number: then so is the last page of the span.
    async fn repeats_to_the_end(&mut self, size: u64, number: u64) -> Result<bool> {
        let last = (self.span.last - 1) / size + 1;
        if number == last {
            return Ok(true);
        }
        self.found.requests += 1;
        match self.list.probe_page(size, last).await {
            Ok(rows) => {
                let mut keys = rows.keys();
                keys.sort_unstable();
                Ok(keys == self.last_keys)
            }
            Err(error) if is_refusal(&error) || error.may_be_local() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn page(&mut self, size: u64, number: u64) -> Result<Rows> {
        self.found.requests += 1;
        let rows = self.list.walk_page(size, number).await;
        if rows.as_ref().map_or_else(is_refusal, |_| true) {
            self.consecutive_failures = 0;
        }
        rows
    }

    /// Returns whether a page has more rows than were asked for, or fewer than there are.
    fn is_another_size(&self, rows: &Rows, size: u64, number: u64) -> bool {
        let first = Span::of_page(size, number).first;
        let expected = size.min((self.span.last + 1).saturating_sub(first));
        rows.len() > size || (rows.len() < expected && self.list_end == ListEnd::AfterSpan)
    }

    /// Returns the parts that are left after every page of a size was refused: none, if that means that the list has
    /// ended.
    async fn left_after_refusals(&mut self, size: u64, parts: Vec<Unread>) -> Result<Vec<Unread>> {
        if self.list_end != ListEnd::BeforeSpan {
            return Ok(parts);
        }
        match self.page(size, 1).await {
            Ok(rows) => {
                let is_taken = rows.len() <= size;
                self.list.keep_extra(rows.elements);
                Ok(if is_taken { Vec::new() } else { parts })
            }
            Err(error) if is_refusal(&error) || error.may_be_local() => Ok(parts),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a page that fails after two others is the last one of the list once more, which some deployments
    /// answer for every later number: then so do the last page of the span and the one in the middle.
    async fn is_last_page_again(&mut self, size: u64, number: u64) -> Result<bool> {
        let last = (self.span.last - 1) / size + 1;
        if number + 5 > last {
            return Ok(false);
        }
        self.found.requests += 2;
        Ok(fails(self.list, size, last).await? && fails(self.list, size, number.midpoint(last)).await?)
    }

    /// Counts a failure. Returns whether the other pages of this size are given up, so that smaller ones are asked for
    /// at once; `None` if the vendor does not respond.
    async fn after_failure(
        &mut self,
        size: u64,
        number: u64,
        consecutive_failed: u32,
    ) -> Result<Option<bool>> {
        let gives_up =
            consecutive_failed == MAX_FAILURES_IN_ROW && self.is_last_page_again(size, number).await?;
        if gives_up && size == 1 {
            self.failures_left = 0;
        } else if !self.count_failure().await? {
            return Ok(None);
        }
        Ok(Some(gives_up))
    }

    /// Counts a failure. Returns whether the vendor responds at all.
    async fn count_failure(&mut self) -> Result<bool> {
        self.failures_left = self.failures_left.saturating_sub(1);
        self.found.failures += 1;
        self.consecutive_failures += 1;
        if self.consecutive_failures < MAX_FAILURES_IN_ROW {
            return Ok(true);
        }
        self.is_alive().await
    }

    /// Returns whether the vendor responds after the last failure.
    async fn is_alive(&mut self) -> Result<bool> {
        if self.consecutive_failures == 0 {
            return Ok(true);
        }
        self.found.requests += 1;
        let is_alive = answers(self.list, self.probe).await?;
        if is_alive {
            self.consecutive_failures = 0;
        }
        Ok(is_alive)
    }

    fn with_gaps(mut self, left: Vec<Unread>) -> SpanOutcome {
        let mut merged: Vec<Unread> = Vec::new();
        for (part, error) in left {
            match merged.last_mut() {
                Some((before, _)) if before.last + 1 == part.first => before.last = part.last,
                _ => merged.push((part, error)),
            }
        }
        let gap = |(part, error): Unread| Gap { bounds: part.bounds(), error };
        self.found.gaps = merged.into_iter().map(gap).collect();
        self.found
    }
}

/// Returns whether the vendor responds to a request, even with a refusal. Fails if no further request may be made.
///
/// Where rows change places, a failing row may have moved to the requested page. A day without conversations cannot
/// fail because of a row. Single rows are tried last.
pub(crate) async fn answers(list: &NumberedList<'_>, probe: PageAddress) -> Result<bool> {
    let nothing = list.with(Parameters::nothing());
    if answers_at(list, probe).await?
        || (list.stream == Stream::Conversations && is_answered(nothing.walk_page(1, 1).await)?)
    {
        return Ok(true);
    }
    Ok(answers_at(list, (1, 1)).await? || answers_at(list, (1, 2)).await?)
}

/// Returns whether a page fails in every attempt.
pub(crate) async fn fails(list: &NumberedList<'_>, size: u64, number: u64) -> Result<bool> {
    match list.probe_page(size, number).await {
        Ok(_) => Ok(false),
        Err(error) if error.may_be_local() => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn answers_at(list: &NumberedList<'_>, (size, number): PageAddress) -> Result<bool> {
    is_answered(list.probe_page(size, number).await)
}

fn is_answered(rows: Result<Rows>) -> Result<bool> {
    match rows {
        Ok(_) => Ok(true),
        // What is too large has been answered.
        Err(error) if is_refusal(&error) || error.kind() == ErrorKind::TooLarge => Ok(true),
        Err(error) if error.may_be_local() || error.kind() == ErrorKind::RateLimited => Ok(false),
        Err(error) if error.kind() == ErrorKind::Refused => Ok(false),
        Err(error) => Err(error),
    }
}
