//! A walk through the export, oldest first, page after page, around the places that cannot be read.

use std::mem;

use chatark_core::{
    Batch, Checkpoint, Error, ErrorKind, Gap, GapBounds, PageMetadata, Result, Timestamp, Window,
};
use chatark_http::{Call, CursorGuard};

use crate::account::EXPORT;
use crate::export::{ExportEvent, ExportReader, ExportResponse};
use crate::exported::Exported;
use crate::idle_pages::IdlePages;
use crate::obstacles::{Obstacles, unproven_gap};
use crate::page_size::PageSize;
use crate::pull::{ProbeResult, Pull};
use crate::row::Row;
use crate::span::{Seen, Span, second_of};
use crate::walk_state::WalkState;
use crate::windows::Windows;
use crate::wire::Envelope;

/// A walk through the export.
pub(crate) struct ExportWalk<'p, 'a> {
    pub(crate) pull: &'p mut Pull<'a>,
    pub(crate) window: Window,
    purpose: WalkPurpose,
    /// The gap of an earlier pull that the walk reads.
    pub(crate) gap: Option<GapBounds>,
    /// Where the walk begins.
    start: WalkState,
    /// Where the walk is.
    pub(crate) state: WalkState,
    pub(crate) size: PageSize,
    guard: CursorGuard,
    pub(crate) seen: Seen,
    /// The start times of the current response's conversations.
    pub(crate) span: Span,
    pub(crate) idle_pages: IdlePages,
    /// Whether a conversation was read.
    has_read_any: bool,
    /// Whether the conversations of all pages came oldest first.
    pub(crate) is_ascending: bool,
    pub(crate) restarts: Restarts,
    /// The end of the previous page, if that announced more without a cursor.
    missing_cursor: Option<MissingCursor>,
    pub(crate) obstacles: Obstacles,
    pub(crate) windows: Windows,
}

/// Whether a walk has begun again because a cursor was refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Restarts {
    /// Whether it has, and has read nothing new since.
    pub(crate) brought_nothing: bool,
    /// Whether it has begun again at its beginning.
    from_beginning: bool,
}

/// The end of a page that announces more and gives no cursor.
#[derive(Debug, Clone, Copy)]
struct MissingCursor {
    /// The second in which its last conversation began.
    second: i64,
    /// Whether the page had as many conversations as were requested.
    was_full: bool,
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WalkPurpose {
    /// The pull itself: it saves checkpoints.
    Pull,
    /// The rest of an earlier pull.
    Resumed,
    /// A gap of an earlier pull.
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
    /// Creates the walk of a pull. It resumes at the request's resume token, or else begins at `from`.
    pub(crate) fn of_pull(pull: &'p mut Pull<'a>, from: Option<Timestamp>) -> Self {
        let request = pull.request;
        let resumed = WalkState::open(request.resume_from.as_ref(), &request.scope());
        let start = WalkState { from: from.map(second_of), ..WalkState::default() };
        let purpose = if resumed.is_some() { WalkPurpose::Resumed } else { WalkPurpose::Pull };
        let state = resumed.unwrap_or_else(|| start.clone());
        Self::new(pull, request.window, purpose, start, state)
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
        let state = WalkState { cursor, to: window.until.map(last_second), ..WalkState::default() };
        let walk = Self::new(pull, window, WalkPurpose::Gap, WalkState::default(), state);
        Self { gap: Some(bounds.clone()), ..walk }
    }

    fn new(
        pull: &'p mut Pull<'a>,
        window: Window,
        purpose: WalkPurpose,
        start: WalkState,
        state: WalkState,
    ) -> Self {
        let mut guard = CursorGuard::default();
        if let Some(cursor) = &state.cursor {
            guard.advance(EXPORT, cursor).ok();
        }
        Self {
            pull,
            window,
            purpose,
            gap: None,
            start,
            state,
            size: PageSize::default(),
            guard,
            seen: Seen::default(),
            span: Span::default(),
            idle_pages: IdlePages::default(),
            has_read_any: purpose == WalkPurpose::Resumed,
            is_ascending: true,
            restarts: Restarts::default(),
            missing_cursor: None,
            obstacles: Obstacles::default(),
            windows: Windows::default(),
        }
    }

    /// Returns whether the walk is the pull itself, or the rest of an earlier one.
    pub(crate) fn is_pull(&self) -> bool {
        self.purpose != WalkPurpose::Gap
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.purpose == WalkPurpose::Resumed
    }

    /// Returns whether the conversation of a row may have begun at or after the start of the walk.
    pub(crate) fn may_contain(&self, row: &Row) -> bool {
        self.start
            .from
            .is_none_or(|from| row.change_fields.start.is_none_or(|start| second_of(start) >= from))
    }

    /// Returns whether it is unknown how far the walk has come: an earlier one has saved only its cursor.
    pub(crate) fn is_progress_unknown(&self) -> bool {
        self.purpose != WalkPurpose::Pull && self.state.cursor.is_some() && self.state.last.is_none()
    }

    /// Walks to the end, and returns the gaps that were found, and whether a conversation was read.
    pub(crate) async fn run(mut self) -> Result<(Vec<Gap>, bool)> {
        while self.step().await? == Step::Next {}
        Ok((self.obstacles.reported, self.has_read_any))
    }

    async fn step(&mut self) -> Result<Step> {
        match self.read(self.call(self.size.limit()), self.size.limit()).await {
            Ok(response) => self.advance(response).await,
            Err(error) if self.may_restart(&error) => {
                self.restart();
                Ok(Step::Next)
            }
            Err(error) if error.may_be_local() || self.is_refused_later(&error) => {
                self.narrow_or_bypass(error).await
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the call for the next page. The vendor includes both ends of the window; the caller drops records
    /// outside the request's window.
    pub(crate) fn call(&self, limit: u32) -> Call {
        let (from, to) = self.bounds();
        let call = self.pull.account.export_call(limit).query("sort", "asc");
        call.optional_query("fromTs", from)
            .optional_query("toTs", to)
            .optional_query("cursor", self.state.cursor.as_deref())
    }

    /// Returns the first and the last second that are requested.
    pub(crate) fn bounds(&self) -> (Option<i64>, Option<i64>) {
        let since = self.window.since.map(second_of);
        let until = self.window.until.map(second_after);
        let from = since.max(self.state.from);
        (from, [until, self.state.to].into_iter().flatten().min())
    }

    /// Reads one response, and sends its records in batches while it arrives. The last of them stay queued.
    pub(crate) async fn read(&mut self, call: Call, limit: u32) -> Result<ExportResponse> {
        self.span = Span::default();
        self.seen.begin();
        let account = self.pull.account;
        let mut reader = ExportReader::new(account, call, None);
        loop {
            match reader.next().await {
                Ok(ExportEvent::Batch(items)) => {
                    self.take(items);
                    self.pull.send_queued().await;
                }
                Ok(ExportEvent::End(mut response)) => {
                    self.take(mem::take(&mut response.items));
                    return Ok(*response);
                }
                Err(error) => {
                    self.take(reader.take_arrived());
                    self.pull.spend_on_oversized(&error, u64::from(limit));
                    return Err(error);
                }
            }
        }
    }

    /// Notes the start times of conversations, and queues their records.
    fn take(&mut self, items: Vec<Exported>) {
        for item in items {
            let is_fresh = self.seen.add(&item.record);
            self.span.add(&item, is_fresh);
            self.pull.note_exported(&item);
            self.has_read_any = true;
            self.obstacles.last_read = item.record.id.clone().or(self.obstacles.last_read.take());
            self.pull.queue(item.record);
        }
    }

    /// Moves on to the page after a response, and sends the rest of its records with a checkpoint.
    pub(crate) async fn advance(&mut self, response: ExportResponse) -> Result<Step> {
        let elements = response.counts.elements;
        let mut page = self.pull.page_metadata(&response.envelope, &response.counts);
        self.pull.compare_count(&response.call, &response.envelope, elements);
        self.obstacles.is_alive = false;
        // Conversations without a date, which any window may hold, do not show that the walk has passed the failing
        // one.
        if self.span.newest.is_some() || self.span.fresh > 0 {
            self.obstacles.bypassed_in_a_row = 0;
            self.resolve_suspect().await?;
        }
        if !response.envelope.is_paged() && self.state.cursor.is_none() {
            return self.finish_array(&response, page).await;
        }
        // If nothing follows, only a full page may have ended within a second.
        let missing = self.missing_cursor.take().filter(|end| elements > 0 || end.was_full);
        let is_full = elements >= u64::from(self.size.limit());
        self.update_order();
        // If the walk can continue by time, a page with anything new has made progress.
        self.restarts.brought_nothing &= self.state.last.is_none() || self.span.fresh == 0;
        self.size.count_read(elements.max(response.envelope.scanned_convo_count.unwrap_or(0)).max(1));
        let (checkpoint, end) = match self.next_cursor(&response) {
            Ok(Some(cursor)) => {
                page.empty_pages = u64::from(elements == 0);
                self.state.cursor = Some(cursor);
                (self.checkpoint()?, self.check_idle_pages(&response))
            }
            Ok(None) if self.continues_without_cursor(&response.envelope, is_full) => {
                (self.checkpoint_in_last_second()?, Ok(Step::Next))
            }
            Ok(None) => {
                self.resolve_suspect().await?;
                page.notes.extend(self.end_notes(&response.envelope).await?);
                (self.end_checkpoint(), Ok(Step::End))
            }
            Err(error) => (Checkpoint::None, Err(error)),
        };
        let Some(MissingCursor { second, .. }) = missing else {
            self.send(checkpoint, page).await;
            return end;
        };
        self.send(Checkpoint::None, page).await;
        self.read_second_again(second).await?;
        self.send(checkpoint, PageMetadata::default()).await;
        end
    }

    /// After a page that announces more without a cursor, continues by time, which costs nothing if it was the last
    /// page. Returns whether it can.
    fn continues_without_cursor(&mut self, envelope: &Envelope<serde_json::Value>, was_full: bool) -> bool {
        let Some(last) = self.state.last.filter(|_| envelope.has_more == Some(true) && self.span.fresh > 0)
        else {
            return false;
        };
        self.missing_cursor = Some(MissingCursor { second: last, was_full });
        self.continue_from(last + 1);
        true
    }

    /// Returns the checkpoint from which a later pull reads the last second of such a page again.
    fn checkpoint_in_last_second(&self) -> Result<Checkpoint> {
        self.checkpoint_at(&WalkState { from: self.state.last, ..self.state.clone() })
    }

    /// Reads what else began in a second: a page that announced more without a cursor may have ended within it.
    async fn read_second_again(&mut self, second: i64) -> Result<()> {
        self.pull.add_note(
            "the vendor announced more conversations and gave no cursor: they are asked for by time",
        );
        let call = self.pull.account.export_call(self.size.limit()).query("sort", "asc");
        match self.read(call.query("fromTs", second).query("toTs", second), self.size.limit()).await {
            Ok(response) => {
                let elements = response.counts.elements;
                let metadata = self.pull.page_metadata(&response.envelope, &response.counts);
                self.pull.add_metadata(&metadata);
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

    /// Sends the queued records, with the gaps before them.
    pub(crate) async fn send(&mut self, checkpoint: Checkpoint, page: PageMetadata) {
        // The gaps of a walk through a gap are reported by its caller.
        let gaps = self.obstacles.take_pending();
        let mut gaps = if self.is_pull() { gaps } else { Vec::new() };
        let mut closed_gaps = if checkpoint == Checkpoint::End { self.passed_gaps() } else { Vec::new() };
        if !self.pull.has_shown_any {
            // A failure in a window shows that it holds something; after a cursor there may be nothing.
            let is_window = |bounds: &GapBounds| bounds.as_window().is_some();
            gaps.extend(mem::take(&mut closed_gaps).into_iter().filter(is_window).map(unproven_gap));
        }
        self.pull.send(Batch { checkpoint, page, gaps, closed_gaps, ..Batch::default() }).await;
    }

    /// Returns the gaps of earlier pulls that a walk through everything closes: what still fails is reported as a gap
    /// again.
    fn passed_gaps(&self) -> Vec<GapBounds> {
        if self.start != WalkState::default() || self.is_resumed() {
            return Vec::new();
        }
        let bounds = self.pull.request.gaps.iter().map(|gap| &gap.bounds);
        bounds.filter(|bounds| self.covers(bounds)).cloned().collect()
    }

    fn covers(&self, bounds: &GapBounds) -> bool {
        match bounds {
            GapBounds::Record { id } => self.seen.has(id.as_str()),
            GapBounds::Window { .. } => bounds.as_window().is_some_and(|gap| contains(&self.window, &gap)),
            GapBounds::Rest { .. } => true,
            GapBounds::Positions { .. } => false,
        }
    }

    /// Returns the cursor of the next page, or `None` at the end: if there is no cursor, or `hasMore` is false.
    fn next_cursor(&mut self, response: &ExportResponse) -> Result<Option<String>> {
        let ExportResponse { envelope, call, .. } = response;
        let Some(cursor) = envelope.cursor().filter(|_| envelope.has_more != Some(false)) else {
            return Ok(None);
        };
        self.guard.advance(call.operation.clone(), cursor)?;
        Ok(Some(cursor.to_owned()))
    }

    /// Returns the checkpoint of the current state.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        self.checkpoint_at(&self.state)
    }

    fn checkpoint_at(&self, state: &WalkState) -> Result<Checkpoint> {
        if !self.is_pull() || self.obstacles.suspect_second.is_some() {
            return Ok(Checkpoint::None);
        }
        state.seal(&self.pull.request.scope()).map(Checkpoint::At)
    }

    /// Returns the checkpoint of a walk that has ended.
    pub(crate) fn end_checkpoint(&self) -> Checkpoint {
        if self.is_pull() { Checkpoint::End } else { Checkpoint::None }
    }

    /// Updates how far the walk has come, as long as the conversations come oldest first.
    fn update_order(&mut self) {
        let span = &self.span;
        let goes_on = span.oldest.is_none() || span.oldest >= self.state.last;
        // If conversations without a date come first, the dated ones may still be in order.
        let is_late = span.late_undated > 0 || (span.fresh_undated > 0 && self.state.last.is_some());
        self.is_ascending &= span.is_ascending && !is_late && goes_on;
        self.state.last = if self.is_ascending { span.newest.max(self.state.last) } else { None };
    }

    /// Fails if too many pages hold nothing new, so that a list without an end is not read forever.
    fn check_idle_pages(&mut self, response: &ExportResponse) -> Result<Step> {
        let scanned = response.envelope.scanned_convo_count.unwrap_or(0);
        let Some(pages) = self.idle_pages.count_page(response.counts.elements, self.span.fresh, scanned)
        else {
            return Ok(Step::Next);
        };
        let message = format!("{pages} pages brought nothing new, so the list would never end");
        let request_id = response.request_id.as_deref();
        let error = self.pull.account.client.error(&response.call, ErrorKind::Malformed, message, request_id);
        Err(error
            .hint("run the same command again; if it repeats, report it to the vendor with the request id"))
    }

    /// Returns whether something is refused after other pages have come: the vendor refuses a page of its list.
    fn is_refused_later(&self, error: &Error) -> bool {
        error.is_refusal() && (self.state.cursor.is_some() || self.state.last.is_some())
    }

    fn may_restart(&self, error: &Error) -> bool {
        // For a gap, reading everything before it again would cost too much.
        let can = self.state.last.is_some() || !self.restarts.from_beginning;
        self.is_pull()
            && self.state.cursor.is_some()
            && can
            && !self.restarts.brought_nothing
            && error.is_refusal()
    }

    /// Begins again after the vendor refused a cursor: at the last second that was read if that is known, since the
    /// export is metered, or else at the beginning.
    pub(crate) fn restart(&mut self) {
        let refused = if self.is_resumed() && !self.idle_pages.has_useful() {
            "the vendor no longer accepts the saved cursor"
        } else {
            "the vendor refused the cursor that it had given"
        };
        self.restarts.brought_nothing = true;
        if let Some(last) = self.state.last {
            self.continue_from(last);
            self.pull.add_note(format!("{refused}: going on with the conversations that came last"));
            return;
        }
        self.purpose = WalkPurpose::Pull;
        self.restarts.from_beginning = true;
        self.state = self.start.clone();
        self.guard = CursorGuard::default();
        self.seen = Seen::default();
        self.has_read_any = false;
        self.is_ascending = true;
        self.pull.add_note(format!("{refused}: starting from the oldest"));
        if self.is_pull() {
            self.pull.report_restart();
        }
    }

    /// Drops the cursor, and continues with what began at or after a second.
    pub(crate) fn continue_from(&mut self, second: i64) {
        self.state.cursor = None;
        self.state.from = Some(second);
        self.guard = CursorGuard::default();
    }

    /// Requests a smaller page after a failure, and bypasses a single conversation that fails.
    async fn narrow_or_bypass(&mut self, failure: Error) -> Result<Step> {
        let mut failure = failure;
        if !self.obstacles.is_alive {
            let probe;
            (failure, probe) = self.pull.confirm_alive(failure).await?;
            self.obstacles.is_alive = true;
            if self.state.cursor.is_none() && probe != ProbeResult::Paged {
                return self.read_array_again().await;
            }
        }
        self.seen.undo();
        if self.size.shrink() {
            return Ok(Step::Next);
        }
        self.bypass(failure).await
    }

    /// Requests the one array again, now that the vendor is known to be up. If it breaks off again, reads the rest by
    /// ids.
    async fn read_array_again(&mut self) -> Result<Step> {
        match self.read(self.call(self.size.limit()), self.size.limit()).await {
            Ok(response) => self.advance(response).await,
            Err(error) if error.may_be_local() => self.read_after_break(error).await,
            Err(error) => Err(error),
        }
    }

    /// Returns the notes to the user at the end of the pull.
    pub(crate) async fn end_notes<T>(&mut self, envelope: &Envelope<T>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if !self.is_pull() {
            return Ok(notes);
        }
        if !self.has_read_any && self.obstacles.pending.is_empty() {
            notes.push(self.pull.account.explain_empty_export().await?);
        }
        if envelope.has_more == Some(true) {
            notes.push("the last page said that there is more and gave no cursor, which the vendor's documents leave open: it was taken as the end".to_owned());
        }
        notes.extend(self.pull.take_quota_message());
        Ok(notes)
    }
}

/// Returns whether a window is inside another one.
pub(crate) fn contains(outer: &Window, inner: &Window) -> bool {
    outer.since.is_none_or(|since| inner.since >= Some(since))
        && outer.until.is_none_or(|until| inner.until.is_some_and(|inner| inner <= until))
}

/// Returns the first whole second that is not before an instant.
fn second_after(at: Timestamp) -> i64 {
    -(-at.microseconds()).div_euclid(1_000_000)
}
