//! Reads the contacts and leads that Chatbase v1 lists separately from conversations, page by page.
//!
//! Neither list reports changes, so each is read from its beginning. An interrupted read resumes one page before the
//! page that it had reached, because deletions in the meantime move the other entries forward.

use chatark_core::{Batch, Checkpoint, Error, OpenGap, PageMetadata, ReadRequest, Result, Stream};

use crate::account::{ChatbaseV1, resumed_page, seal};
use crate::budget::RequestBudget;
use crate::ending::{AfterRefusal, after_refused_page, is_full};
use crate::failing_pages::{FailingPage, FailingPages, PassedPage};
use crate::gaps::retry_gaps;
use crate::list::{NumberedList, Rows};
use crate::span::PageAddress;
use crate::step::{FirstRefused, Step, Walk};

/// How many pages without a new row end a list that has more than one page.
const MAX_REPEATED_PAGES: u32 = 3;

/// A walk through one list, from page to page until its end.
pub(crate) struct ContactWalk<'a> {
    list: NumberedList<'a>,
    scope: String,
    /// Gaps of earlier pulls, until those that are due have been tried.
    gaps: Vec<OpenGap>,
    /// The page to read next, from 1.
    number: u64,
    /// Whether that page comes from a resume token and has not arrived yet.
    is_resuming: bool,
    /// How many people were received, if the walk began at the first page.
    received: Option<u64>,
    /// The keys of the previous page, to recognise a page that repeats it.
    previous_keys: Vec<u64>,
    repeated_pages: u32,
    failing_pages: FailingPages,
    /// The last page that could be read.
    last_readable: Option<PageAddress>,
    budget: RequestBudget,
}

/// Returns whether a stream is a list of people.
pub(crate) fn is_contact_list(stream: Stream) -> bool {
    matches!(stream, Stream::Contacts | Stream::Leads)
}

impl<'a> ContactWalk<'a> {
    pub(crate) fn new(account: &'a ChatbaseV1, request: &ReadRequest) -> Self {
        let scope = request.scope();
        let resumed = resumed_page(request.resume_from.as_ref(), &scope);
        Self {
            list: NumberedList::new(account, request.stream),
            scope,
            gaps: request.gaps.clone(),
            number: resumed.unwrap_or(1),
            is_resuming: resumed.is_some_and(|page| page > 1),
            received: resumed.is_none().then_some(0),
            previous_keys: Vec::new(),
            repeated_pages: 0,
            failing_pages: FailingPages::new(&request.gaps),
            last_readable: None,
            budget: RequestBudget::default(),
        }
    }

    /// Returns the note to the user that the deployment sends the first page again.
    fn repetition_note(&self) -> String {
        format!(
            "this host sends the same page of {} for every page number: there may be more of them",
            self.list.stream.as_str()
        )
    }
}

impl Walk for ContactWalk<'_> {
    fn has_due_gaps(&self) -> bool {
        self.gaps.iter().any(|gap| gap.is_due)
    }

    async fn try_gaps(mut self) -> Step<Self> {
        let tried = retry_gaps(&self.list, &self.gaps).await?;
        self.gaps.clear();
        let page = PageMetadata { pages: tried.requests, ..PageMetadata::default() };
        let records = self.list.records(tried.elements);
        let batch = Batch { records, page, gaps: tried.gaps, closed_gaps: tried.closed, ..Batch::default() };
        Ok((batch, Some(self)))
    }

    fn page(&self) -> u64 {
        self.number
    }

    fn is_resuming(&self) -> bool {
        self.is_resuming
    }

    fn restart(&mut self, page: &mut PageMetadata) {
        page.restarted = true;
        page.notes.push(format!(
            "the vendor no longer has page {} of {}, where the previous run stopped: the list is read from its beginning",
            self.number,
            self.list.stream.as_str()
        ));
        self.number = 1;
        self.is_resuming = false;
        self.received = Some(0);
    }

    async fn current(&mut self, page: &mut PageMetadata) -> Result<Rows> {
        page.pages += 1;
        self.budget.spend(&self.list, self.number, 1)?;
        let rows = self.list.probe_page(self.list.largest_page(), self.number).await?;
        page.total = rows.total;
        Ok(rows)
    }

    async fn deliver(mut self, rows: Rows, mut page: PageMetadata) -> Step<Self> {
        let keys = rows.keys();
        let is_repeated = keys == self.previous_keys;
        self.repeated_pages = if is_repeated { self.repeated_pages + 1 } else { 0 };
        let is_first_again = is_repeated && self.number == 2;
        if is_first_again || self.repeated_pages >= MAX_REPEATED_PAGES {
            page.notes.extend(is_first_again.then(|| self.repetition_note()));
            return self.end(page).await;
        }
        self.is_resuming = false;
        self.last_readable = Some((self.list.largest_page(), self.number));
        self.failing_pages.note_readable_page();
        let new_rows = if is_repeated { 0 } else { rows.len() };
        self.budget.count_page(&keys, new_rows);
        let records = if is_repeated { Vec::new() } else { self.list.records(rows.elements) };
        self.received = self.received.map(|received| received + records.len() as u64);
        if self.received.zip(rows.total).is_some_and(|(received, total)| received >= total) {
            return Ok((Batch { records, checkpoint: Checkpoint::End, page, ..Batch::default() }, None));
        }
        // A page that repeats the one before it is requested a second time: it may have been sent by mistake.
        self.number += u64::from(self.repeated_pages != 1);
        self.previous_keys = keys;
        let checkpoint = Checkpoint::At(seal(&self.scope, self.number)?);
        Ok((Batch { records, checkpoint, page, ..Batch::default() }, Some(self)))
    }

    async fn first_refused(&mut self, error: Error, _: &mut PageMetadata) -> Result<FirstRefused> {
        Err(error)
    }

    async fn after_refusal(&mut self, page: &mut PageMetadata) -> Result<AfterRefusal> {
        let rows_per_page = self.budget.rows_per_page;
        if !is_full(&self.previous_keys, rows_per_page) {
            return Ok(AfterRefusal::Nothing);
        }
        let rows_until = (self.number - 1) * rows_per_page;
        let (after, asked) =
            after_refused_page(&self.list, self.number, rows_until, &self.previous_keys).await?;
        page.pages += asked;
        Ok(after)
    }

    async fn read_around(mut self, error: Error, mut page: PageMetadata) -> Step<Self> {
        let size = self.list.largest_page();
        let rows_per_page = Some(self.budget.rows_per_page).filter(|rows| *rows > 0);
        let is_after_good = self.number > 1 && self.last_readable == Some((size, self.number - 1));
        let failing = FailingPage {
            number: self.number,
            size,
            rows_per_page,
            last_readable: self.last_readable,
            before: is_after_good.then_some(&self.previous_keys),
        };
        let PassedPage { mut found, rows, rows_per_page, keys, is_repeated, is_last, .. } =
            self.failing_pages.read_around(&self.list, failing, error).await?;
        page.pages += found.requests;
        let is_known = !keys.is_empty() && keys.iter().all(|key| self.previous_keys.contains(key));
        if is_repeated || is_known {
            // Its gaps are those of the page before it.
            found.gaps.clear();
        } else {
            self.budget.count_failing_page(&keys, rows);
            // Of a deployment that is not known yet, rows of later pages were read too. They do not show a repeated page.
            self.previous_keys = if rows_per_page.is_some() { keys } else { Vec::new() };
        }
        self.is_resuming = false;
        self.last_readable = found.last_readable.or(self.last_readable);
        self.budget.note_page_size(rows_per_page);
        self.number += 1;
        let records = self.list.records(found.elements);
        self.received = self.received.map(|received| received + records.len() as u64);
        let is_end = is_last || is_repeated || is_known;
        let checkpoint =
            if is_end { Checkpoint::End } else { Checkpoint::At(seal(&self.scope, self.number)?) };
        let batch = Batch { records, checkpoint, page, gaps: found.gaps, ..Batch::default() };
        Ok((batch, (!is_end).then_some(self)))
    }

    /// In these lists, a ceiling looks like the end.
    fn note_ceiling(&mut self, _: &Error) {}

    async fn end(self, page: PageMetadata) -> Step<Self> {
        Ok((Batch { checkpoint: Checkpoint::End, page, ..Batch::default() }, None))
    }
}
