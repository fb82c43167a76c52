//! Reads the contacts and leads that Chatbase v1 lists separately from conversations, page by page.
//!
//! Neither list reports changes, so each is read from its beginning. An interrupted read resumes one page before the
//! page that it had reached, because deletions in the meantime move the other entries forward.

use chatark_core::{Batch, Checkpoint, Error, OpenGap, PageMetadata, ReadRequest, Result, Stream};

use crate::account::{ChatbaseV1, resumed_page, seal};
use crate::again::try_again;
use crate::dead::{DeadPages, Passed, Place};
use crate::ending::{Behind, behind_refused, is_full};
use crate::list::{NumberedList, Rows};
use crate::narrow::Probe;
use crate::progress::Progress;
use crate::step::{FirstRefused, Step, Walk};

/// How many answers without a new row end a list that has more than one page.
const MAX_STALE: u32 = 3;

/// A walk through one list, from page to page until its end.
pub(crate) struct ListWalk<'a> {
    list: NumberedList<'a>,
    scope: String,
    /// Gaps of earlier pulls, until those that are due have been tried.
    gaps: Vec<OpenGap>,
    /// The page to read next, from 1.
    number: u64,
    /// Whether that page comes from a saved cursor and has not been answered yet.
    is_resuming: bool,
    /// How many people were received, if the walk began at the first page.
    received: Option<u64>,
    /// The keys of the previous page, to recognise a page that repeats it.
    before: Vec<u64>,
    stale: u32,
    dead: DeadPages,
    /// The last page that could be read.
    good: Option<Probe>,
    progress: Progress,
}

/// Returns whether a stream is a list of people.
pub(crate) fn is_list(stream: Stream) -> bool {
    matches!(stream, Stream::Contacts | Stream::Leads)
}

impl<'a> ListWalk<'a> {
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
            before: Vec::new(),
            stale: 0,
            dead: DeadPages::new(&request.gaps),
            good: None,
            progress: Progress::default(),
        }
    }

    /// Returns the note to the user if the host sends the first page again.
    fn repetition_note(&self) -> String {
        format!(
            "this host sends the same page of {} for every page number: there may be more of them",
            self.list.stream.as_str()
        )
    }
}

impl Walk for ListWalk<'_> {
    fn has_due_gaps(&self) -> bool {
        self.gaps.iter().any(|gap| gap.is_due)
    }

    async fn try_gaps(mut self) -> Step<Self> {
        let tried = try_again(&self.list, &self.gaps).await?;
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
        self.progress.take(&self.list, self.number, 1)?;
        let rows = self.list.page(self.list.largest_page(), self.number).await?;
        page.total = rows.total;
        Ok(rows)
    }

    async fn deliver(mut self, rows: Rows, mut page: PageMetadata) -> Step<Self> {
        let keys = rows.keys();
        let is_repeated = keys == self.before;
        self.stale = if is_repeated { self.stale + 1 } else { 0 };
        let is_first_again = is_repeated && self.number == 2;
        if is_first_again || self.stale >= MAX_STALE {
            page.notes.extend(is_first_again.then(|| self.repetition_note()));
            return self.end(page).await;
        }
        self.is_resuming = false;
        self.good = Some((self.list.largest_page(), self.number));
        self.dead.note_readable_page();
        let new_rows = if is_repeated { 0 } else { rows.len() };
        self.progress.found(&keys, new_rows);
        let records = if is_repeated { Vec::new() } else { self.list.records(rows.elements) };
        self.received = self.received.map(|received| received + records.len() as u64);
        if self.received.zip(rows.total).is_some_and(|(received, total)| received >= total) {
            return Ok((Batch { records, checkpoint: Checkpoint::End, page, ..Batch::default() }, None));
        }
        // A page that repeats the one before it is requested a second time: it may have been sent by mistake.
        self.number += u64::from(self.stale != 1);
        self.before = keys;
        let checkpoint = Checkpoint::At(seal(&self.scope, self.number)?);
        Ok((Batch { records, checkpoint, page, ..Batch::default() }, Some(self)))
    }

    async fn first_refused(&mut self, error: Error, _: &mut PageMetadata) -> Result<FirstRefused> {
        Err(error)
    }

    async fn behind(&mut self, page: &mut PageMetadata) -> Result<Behind> {
        let rows_per_page = self.progress.rows_per_page;
        if !is_full(&self.before, rows_per_page) {
            return Ok(Behind::Nothing);
        }
        let rows_until = (self.number - 1) * rows_per_page;
        let (behind, asked) = behind_refused(&self.list, self.number, rows_until, &self.before).await?;
        page.pages += asked;
        Ok(behind)
    }

    async fn pass(mut self, error: Error, mut page: PageMetadata) -> Step<Self> {
        let size = self.list.largest_page();
        let rows_per_page = Some(self.progress.rows_per_page).filter(|rows| *rows > 0);
        let is_after_good = self.number > 1 && self.good == Some((size, self.number - 1));
        let place = Place {
            number: self.number,
            size,
            rows_per_page,
            good: self.good,
            before: is_after_good.then_some(&self.before),
        };
        let Passed { mut found, rows, rows_per_page, keys, is_repeated, is_last, .. } =
            self.dead.pass(&self.list, place, error).await?;
        page.pages += found.requests;
        let is_known = !keys.is_empty() && keys.iter().all(|key| self.before.contains(key));
        if is_repeated || is_known {
            // The gaps of the page before it are these.
            found.gaps.clear();
        } else {
            self.progress.passed(&keys, rows);
            // Of a host that is not known yet, rows of later pages were read too. They are no sign of a repeated page.
            self.before = if rows_per_page.is_some() { keys } else { Vec::new() };
        }
        self.is_resuming = false;
        self.good = found.good.or(self.good);
        self.progress.learn(rows_per_page);
        self.number += 1;
        let records = self.list.records(found.elements);
        self.received = self.received.map(|received| received + records.len() as u64);
        let is_end = is_last || is_repeated || is_known;
        let checkpoint =
            if is_end { Checkpoint::End } else { Checkpoint::At(seal(&self.scope, self.number)?) };
        let batch = Batch { records, checkpoint, page, gaps: found.gaps, ..Batch::default() };
        Ok((batch, (!is_end).then_some(self)))
    }

    /// Of these lists, nobody can tell a ceiling from the end.
    fn meet_ceiling(&mut self, _: &Error) {}

    async fn end(self, page: PageMetadata) -> Step<Self> {
        Ok((Batch { checkpoint: Checkpoint::End, page, ..Batch::default() }, None))
    }
}
