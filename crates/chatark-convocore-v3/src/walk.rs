//! A walk through the export, oldest first, page after page, around the places that cannot be read.

use std::mem;

use chatark_core::{
    Batch, Checkpoint, Error, ErrorKind, Gap, GapBounds, PageMetadata, Result, Timestamp, Window,
};
use chatark_http::{Call, CursorGuard};

use crate::account::EXPORT;
use crate::export::{ExportEvent, ExportReader, ExportResponse, Exported};
use crate::failure::is_refusal;
use crate::gaps::unseen;
use crate::obstacles::Obstacles;
use crate::place::{PageSize, Place};
use crate::progress::Progress;
use crate::pull::{Probe, Pull};
use crate::row::Row;
use crate::span::{Seen, Span, second_of};
use crate::windows::Windows;
use crate::wire::Envelope;

/// A walk through the export.
pub(crate) struct ExportWalk<'p, 'a> {
    pub(crate) pull: &'p mut Pull<'a>,
    pub(crate) window: Window,
    purpose: WalkPurpose,
    /// The gap of an earlier pull that it reads.
    pub(crate) gap: Option<GapBounds>,
    /// Where the walk begins.
    start: Place,
    /// Where it is.
    pub(crate) place: Place,
    pub(crate) size: PageSize,
    guard: CursorGuard,
    pub(crate) seen: Seen,
    /// What the current response has brought.
    pub(crate) span: Span,
    pub(crate) progress: Progress,
    /// Whether a conversation was read.
    has_found: bool,
    /// Whether the conversations of all pages came oldest first.
    pub(crate) is_ascending: bool,
    pub(crate) restarts: Restarts,
    /// The end of the page before, if it has announced more without a cursor.
    doubtful_end: Option<DoubtfulEnd>,
    pub(crate) obstacles: Obstacles,
    pub(crate) windows: Windows,
}

/// Whether a walk has begun at another place because a cursor was refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Restarts {
    /// Whether it has, and has brought nothing since.
    pub(crate) led_nowhere: bool,
    /// Whether it has begun again at its beginning.
    from_beginning: bool,
}

/// The end of a page that says that there is more, without a cursor.
#[derive(Debug, Clone, Copy)]
struct DoubtfulEnd {
    /// The second in which its last conversation began.
    second: i64,
    /// Whether it had as many conversations as were asked for.
    was_full: bool,
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WalkPurpose {
    /// It is the pull itself: its places are checkpoints.
    Pull,
    /// It is the rest of an earlier pull.
    Resumed,
    /// It reads a gap of an earlier pull.
    Gap,
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next request follows.
    Next,
    /// Everything has been sent.
    End,
}

impl<'p, 'a> ExportWalk<'p, 'a> {
    /// Creates the walk of a pull, which goes on at the request's cursor. `from` is where it begins otherwise.
    pub(crate) fn of_pull(pull: &'p mut Pull<'a>, from: Option<Timestamp>) -> Self {
        let request = pull.request;
        let resumed = Place::open(request.resume_from.as_ref(), &request.scope());
        let start = Place { from: from.map(second_of), ..Place::default() };
        let purpose = if resumed.is_some() { WalkPurpose::Resumed } else { WalkPurpose::Pull };
        let place = resumed.unwrap_or_else(|| start.clone());
        Self::new(pull, request.window, purpose, start, place)
    }

    /// Creates a walk through a gap of an earlier pull.
    pub(crate) fn of_gap(
        pull: &'p mut Pull<'a>,
        bounds: &GapBounds,
        window: Window,
        cursor: Option<String>,
    ) -> Self {
        // The end of a gap is not in it, and conversations begin in whole seconds.
        let last_second = |until: Timestamp| (until.microseconds() - 1).div_euclid(1_000_000);
        let place = Place { cursor, to: window.until.map(last_second), ..Place::default() };
        let walk = Self::new(pull, window, WalkPurpose::Gap, Place::default(), place);
        Self { gap: Some(bounds.clone()), ..walk }
    }

    fn new(pull: &'p mut Pull<'a>, window: Window, purpose: WalkPurpose, start: Place, place: Place) -> Self {
        let mut guard = CursorGuard::default();
        if let Some(cursor) = &place.cursor {
            guard.advance(EXPORT, cursor).ok();
        }
        Self {
            pull,
            window,
            purpose,
            gap: None,
            start,
            place,
            size: PageSize::default(),
            guard,
            seen: Seen::default(),
            span: Span::default(),
            progress: Progress::default(),
            has_found: purpose == WalkPurpose::Resumed,
            is_ascending: true,
            restarts: Restarts::default(),
            doubtful_end: None,
            obstacles: Obstacles::default(),
            windows: Windows::default(),
        }
    }

    /// Returns whether it is the pull itself, or the rest of an earlier one.
    pub(crate) fn is_pull(&self) -> bool {
        self.purpose != WalkPurpose::Gap
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.purpose == WalkPurpose::Resumed
    }

    /// Returns whether a row may lie behind the beginning of the walk.
    pub(crate) fn may_be_in_walk(&self, row: &Row) -> bool {
        self.start.from.is_none_or(|from| row.signs.start.is_none_or(|start| second_of(start) >= from))
    }

    /// Returns whether it is not known how far the walk has come: an earlier one has given its cursor alone.
    pub(crate) fn is_lost(&self) -> bool {
        self.purpose != WalkPurpose::Pull && self.place.cursor.is_some() && self.place.last.is_none()
    }

    /// Walks to the end, and returns the gaps that were claimed, and whether a conversation was read.
    pub(crate) async fn run(mut self) -> Result<(Vec<Gap>, bool)> {
        while self.step().await? == Step::Next {}
        Ok((self.obstacles.claimed, self.has_found))
    }

    async fn step(&mut self) -> Result<Step> {
        match self.read(self.call(self.size.limit()), self.size.limit()).await {
            Ok(response) => self.advance(response).await,
            Err(error) if self.may_restart(&error) => {
                self.restart();
                Ok(Step::Next)
            }
            Err(error) if error.may_be_local() => self.narrow(error).await,
            Err(error) => Err(error),
        }
    }

    /// Returns the call of the current place. Both ends are inclusive at the vendor; the caller drops what lies outside
    /// the window.
    pub(crate) fn call(&self, limit: u32) -> Call {
        let (from, to) = self.bounds();
        let call = self.pull.account.export_call(limit).query("sort", "asc");
        call.optional_query("fromTs", from)
            .optional_query("toTs", to)
            .optional_query("cursor", self.place.cursor.as_deref())
    }

    /// Returns the first and the last second that are asked for.
    pub(crate) fn bounds(&self) -> (Option<i64>, Option<i64>) {
        let since = self.window.since.map(second_of);
        let until = self.window.until.map(second_after);
        let from = since.max(self.place.from);
        (from, [until, self.place.to].into_iter().flatten().min())
    }

    /// Reads one response, and sends what it holds while it arrives, except for the last of it.
    pub(crate) async fn read(&mut self, call: Call, limit: u32) -> Result<ExportResponse> {
        self.span = Span::default();
        self.seen.begin();
        let account = self.pull.account;
        let mut reader = ExportReader::new(account, call, None);
        loop {
            match reader.next().await {
                Ok(ExportEvent::Batch(items)) => {
                    self.take(items);
                    self.pull.send_arrived().await;
                }
                Ok(ExportEvent::End(mut response)) => {
                    self.take(mem::take(&mut response.items));
                    return Ok(*response);
                }
                Err(error) => {
                    self.take(reader.take_arrived());
                    self.pull.spend_on(&error, u64::from(limit));
                    return Err(error);
                }
            }
        }
    }

    /// Notes what conversations tell, and keeps their records for the next batch.
    fn take(&mut self, items: Vec<Exported>) {
        for item in items {
            let is_fresh = self.seen.add(&item.record);
            self.span.add(&item, is_fresh);
            self.pull.note_conversation(&item);
            self.has_found = true;
            self.obstacles.last_read = item.record.id.clone().or(self.obstacles.last_read.take());
            self.pull.receive(item.record);
        }
    }

    /// Goes on behind a response, and sends the rest of it with its checkpoint.
    pub(crate) async fn advance(&mut self, response: ExportResponse) -> Result<Step> {
        let elements = response.counts.elements;
        let mut page = self.pull.page_metadata(&response.answer, &response.counts);
        self.pull.compare_count(&response.call, &response.answer, elements);
        self.obstacles.is_alive = false;
        // Those without a date, which any window may hold, say nothing about what is behind.
        if self.span.newest.is_some() || self.span.fresh > 0 {
            self.obstacles.steps_in_a_row = 0;
            self.settle().await?;
        }
        if !response.answer.is_paged() && self.place.cursor.is_none() {
            return self.after_array(&response, page).await;
        }
        // Where what follows is empty, a full page may still have ended inside of its last second.
        let doubted = self.doubtful_end.take().filter(|doubt| elements > 0 || doubt.was_full);
        let is_full = elements >= u64::from(self.size.limit());
        self.order();
        // Where the walk goes on by time, each page that brings something leads on.
        self.restarts.led_nowhere &= self.place.last.is_none() || self.span.fresh == 0;
        self.size.pass(elements.max(response.answer.scanned_convo_count.unwrap_or(0)).max(1));
        let (checkpoint, end) = match self.next_cursor(&response) {
            Ok(Some(cursor)) => {
                page.empty_pages = u64::from(elements == 0);
                self.place.cursor = Some(cursor);
                (self.checkpoint()?, self.check_progress(&response))
            }
            Ok(None) if self.doubts_end(&response.answer, is_full) => {
                (self.doubtful_checkpoint()?, Ok(Step::Next))
            }
            Ok(None) => {
                self.settle().await?;
                page.notes.extend(self.end_notes(&response.answer).await?);
                (self.end(), Ok(Step::End))
            }
            Err(error) => (Checkpoint::None, Err(error)),
        };
        let Some(DoubtfulEnd { second, .. }) = doubted else {
            self.send(checkpoint, page).await;
            return end;
        };
        self.send(Checkpoint::None, page).await;
        self.read_second_again(second).await?;
        self.send(checkpoint, PageMetadata::default()).await;
        end
    }

    /// Looks behind a last page that says that there is more: that costs nothing if it was the last one.
    fn doubts_end(&mut self, answer: &Envelope<serde_json::Value>, was_full: bool) -> bool {
        let Some(last) = self.place.last.filter(|_| answer.has_more == Some(true) && self.span.fresh > 0)
        else {
            return false;
        };
        self.doubtful_end = Some(DoubtfulEnd { second: last, was_full });
        self.begin_at(last + 1);
        true
    }

    /// Returns the checkpoint from which a later pull reads the second again in which a doubtful page has ended.
    fn doubtful_checkpoint(&self) -> Result<Checkpoint> {
        self.checkpoint_at(&Place { from: self.place.last, ..self.place.clone() })
    }

    /// Reads what else began in a second, because a page that the vendor called no last one may have ended inside of it.
    async fn read_second_again(&mut self, second: i64) -> Result<()> {
        self.pull
            .note("the vendor announced more conversations and gave no cursor: they are asked for by time");
        let call = self.pull.account.export_call(self.size.limit()).query("sort", "asc");
        match self.read(call.query("fromTs", second).query("toTs", second), self.size.limit()).await {
            Ok(response) => {
                let elements = response.counts.elements;
                let metadata = self.pull.page_metadata(&response.answer, &response.counts);
                self.pull.say(&metadata);
                if elements >= u64::from(self.size.limit()) {
                    let message =
                        "more conversations began in one second than a page holds, and there is no cursor";
                    self.obstacles.failure = Some(Error::new(ErrorKind::Incomplete, EXPORT, message));
                    self.obstacles.leave_gap(second, second);
                }
            }
            Err(error) if error.may_be_local() => {
                self.obstacles.failure = Some(error);
                self.obstacles.leave_gap(second, second);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sends what has arrived, with the gaps before it.
    pub(crate) async fn send(&mut self, checkpoint: Checkpoint, page: PageMetadata) {
        // Those of a walk through a gap are claimed by its caller.
        let gaps = self.obstacles.claim();
        let mut gaps = if self.is_pull() { gaps } else { Vec::new() };
        let mut closed_gaps = if checkpoint == Checkpoint::End { self.passed_gaps() } else { Vec::new() };
        if !self.pull.has_shown {
            // Something has failed in a window; behind a place in the list there may be nothing.
            let is_window = |bounds: &GapBounds| bounds.as_window().is_some();
            gaps.extend(mem::take(&mut closed_gaps).into_iter().filter(is_window).map(unseen));
        }
        self.pull.send(Batch { checkpoint, page, gaps, closed_gaps, ..Batch::default() }).await;
    }

    /// Returns the gaps of earlier pulls that a walk through everything has passed: what still fails is in a gap of its
    /// own, be it the same one or another.
    fn passed_gaps(&self) -> Vec<GapBounds> {
        if self.start != Place::default() || self.is_resumed() {
            return Vec::new();
        }
        let bounds = self.pull.request.gaps.iter().map(|gap| &gap.bounds);
        bounds.filter(|bounds| self.has_read(bounds)).cloned().collect()
    }

    fn has_read(&self, bounds: &GapBounds) -> bool {
        match bounds {
            GapBounds::Record { id } => self.seen.has(id.as_str()),
            GapBounds::Window { .. } => bounds.as_window().is_some_and(|gap| contains(&self.window, &gap)),
            GapBounds::Rest { .. } => true,
            GapBounds::Positions { .. } => false,
        }
    }

    /// Returns the cursor of the next page, or `None` at the end: `hasMore: true` without a cursor is the end too.
    fn next_cursor(&mut self, response: &ExportResponse) -> Result<Option<String>> {
        let ExportResponse { answer, call, .. } = response;
        let Some(cursor) = answer.cursor().filter(|_| answer.has_more != Some(false)) else {
            return Ok(None);
        };
        self.guard.advance(call.operation.clone(), cursor)?;
        Ok(Some(cursor.to_owned()))
    }

    /// Returns the checkpoint of the current place.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        self.checkpoint_at(&self.place)
    }

    fn checkpoint_at(&self, place: &Place) -> Result<Checkpoint> {
        if !self.is_pull() || self.obstacles.suspect.is_some() {
            return Ok(Checkpoint::None);
        }
        place.seal(&self.pull.request.scope()).map(Checkpoint::At)
    }

    /// Returns the checkpoint of the end.
    pub(crate) fn end(&self) -> Checkpoint {
        if self.is_pull() { Checkpoint::End } else { Checkpoint::None }
    }

    /// Notes how far the walk has come, as long as the conversations come oldest first.
    fn order(&mut self) {
        let span = &self.span;
        let goes_on = span.oldest.is_none() || span.oldest >= self.place.last;
        // Where those without a date come first, the others are in order all the same.
        let is_late = span.late_undated > 0 || (span.fresh_undated > 0 && self.place.last.is_some());
        self.is_ascending &= span.is_ascending && !is_late && goes_on;
        self.place.last = if self.is_ascending { span.newest.max(self.place.last) } else { None };
    }

    /// Fails if too many pages bring nothing new, so that a list without an end is not read for ever.
    fn check_progress(&mut self, response: &ExportResponse) -> Result<Step> {
        let scanned = response.answer.scanned_convo_count.unwrap_or(0);
        let Some(pages) = self.progress.count(response.counts.elements, self.span.fresh, scanned) else {
            return Ok(Step::Next);
        };
        let message = format!("{pages} pages brought nothing new, so the list would never end");
        let request_id = response.request_id.as_deref();
        let error = self.pull.account.client.error(&response.call, ErrorKind::Malformed, message, request_id);
        Err(error
            .hint("run the same command again; if it repeats, report it to the vendor with the request id"))
    }

    fn may_restart(&self, error: &Error) -> bool {
        // A gap is not worth the price of everything before it.
        let can = self.place.last.is_some() || !self.restarts.from_beginning;
        self.is_pull()
            && self.place.cursor.is_some()
            && can
            && !self.restarts.led_nowhere
            && is_refusal(error)
    }

    /// Begins again after a cursor that the vendor refuses: where the walk has come to if that is known, since the
    /// export is metered, or else at the beginning.
    pub(crate) fn restart(&mut self) {
        let refused = if self.is_resumed() && !self.progress.has_begun() {
            "the vendor no longer accepts the saved cursor"
        } else {
            "the vendor refused the cursor that it had given"
        };
        self.restarts.led_nowhere = true;
        if let Some(last) = self.place.last {
            self.begin_at(last);
            self.pull.note(format!("{refused}: going on with the conversations that came last"));
            return;
        }
        self.purpose = WalkPurpose::Pull;
        self.restarts.from_beginning = true;
        self.place = self.start.clone();
        self.guard = CursorGuard::default();
        self.seen = Seen::default();
        self.has_found = false;
        self.is_ascending = true;
        self.pull.note(format!("{refused}: starting from the oldest"));
        if self.is_pull() {
            self.pull.restarted();
        }
    }

    /// Leaves the chain of cursors, and goes on with what began at or after a second.
    pub(crate) fn begin_at(&mut self, second: i64) {
        self.place.cursor = None;
        self.place.from = Some(second);
        self.guard = CursorGuard::default();
    }

    /// Asks for less where a page fails, and steps over what cannot be read.
    async fn narrow(&mut self, failure: Error) -> Result<Step> {
        let mut failure = failure;
        if !self.obstacles.is_alive {
            let probe;
            (failure, probe) = self.pull.prove_alive(failure).await?;
            self.obstacles.is_alive = true;
            if self.place.cursor.is_none() && probe != Probe::Paged {
                return self.read_array_again().await;
            }
        }
        self.seen.undo();
        if self.size.narrow() {
            return Ok(Step::Next);
        }
        self.step_over(failure).await
    }

    /// Reads the only response once more, now that the vendor answers, before what follows is read one by one.
    async fn read_array_again(&mut self) -> Result<Step> {
        match self.read(self.call(self.size.limit()), self.size.limit()).await {
            Ok(response) => self.advance(response).await,
            Err(error) if error.may_be_local() => self.read_rest(error).await,
            Err(error) => Err(error),
        }
    }

    /// Returns what the user is told at the end of the pull.
    pub(crate) async fn end_notes<T>(&mut self, answer: &Envelope<T>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if !self.is_pull() {
            return Ok(notes);
        }
        if !self.has_found && self.obstacles.pending.is_empty() {
            notes.push(self.pull.account.explain_emptiness().await?);
        }
        if answer.has_more == Some(true) {
            notes.push("the last page said that there is more and gave no cursor, which the vendor's documents leave open: it was taken as the end".to_owned());
        }
        notes.extend(self.pull.take_summary());
        Ok(notes)
    }
}

/// Returns whether a window lies inside another one.
pub(crate) fn contains(outer: &Window, inner: &Window) -> bool {
    outer.since.is_none_or(|since| inner.since >= Some(since))
        && outer.until.is_none_or(|until| inner.until.is_some_and(|inner| inner <= until))
}

/// Returns the first whole second that is not before an instant.
fn second_after(at: Timestamp) -> i64 {
    -(-at.microseconds()).div_euclid(1_000_000)
}
