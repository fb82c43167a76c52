//! How a walk gets past a single conversation that cannot be read: it finds where that began, leaves a gap, and
//! continues after it.

use std::slice;

use chatark_core::{Error, ErrorKind, Gap, GapBounds, PageMetadata, RecordId, Result};

use crate::account::{EXPORT, FAR_FUTURE_SECOND};
use crate::backward::BackwardRead;
use crate::fetch::IdRoute;
use crate::list::ListProblem;
use crate::list_index::ListIndex;
use crate::one_array::ListReading;
use crate::page_size::PageSize;
use crate::pull::{LIST, UndatedState};
use crate::span::Seen;
use crate::walk::{ExportWalk, Step};
use crate::walk_state::WalkState;

/// The most places that a walk bypasses. What follows the last one is one gap.
const MAX_BYPASSED: u32 = 100;
/// After so many places in a row, the walk checks that the vendor still returns conversations at all.
const BYPASSED_BEFORE_CHECK: u32 = 3;
/// The most conversations that are requested one by one to find the one that fails.
const MAX_CANDIDATES: usize = 20;
/// The most empty pages that are read of one window.
pub(crate) const EMPTY_PAGES: u32 = 40;
/// The first second of the year 2000.
pub(crate) const FIRST_SECOND: i64 = 946_684_800;
/// The first step of the search for the second that fails.
pub(crate) const FIRST_STRIDE: i64 = 3_600;

/// What a window of the export holds.
enum WindowState {
    /// No conversation.
    Empty,
    /// Conversations, which have been sent.
    Readable,
    /// A conversation that fails.
    Failing,
}

impl ExportWalk<'_, '_> {
    /// Gets past the conversation that fails on the next page.
    pub(crate) async fn bypass(&mut self, failure: Error) -> Result<Step> {
        // With a suspect, this is the second attempt at the same place.
        let is_new_place = u32::from(self.obstacles.suspect_second.is_none());
        self.obstacles.bypassed += is_new_place;
        self.obstacles.bypassed_in_a_row += is_new_place;
        if is_new_place > 0 {
            self.idle_pages.reset();
        }
        if self.is_progress_unknown() && self.is_pull() && !self.restarts.brought_nothing {
            self.restart();
            return Ok(Step::Next);
        }
        if self.obstacles.bypassed_in_a_row > BYPASSED_BEFORE_CHECK {
            if !self.can_read_any().await? {
                return Err(self.obstacles.failure.take().unwrap_or(failure));
            }
            // If conversations can be read only by their ids, windows of time are of no use either.
            if !self.can_read_first("desc").await? && !self.can_read_first("asc").await? {
                return self.leave_rest(&failure).await;
            }
        }
        // If every window holds the conversations without a date, no window excludes the failing one.
        let is_undated = self.pull.undated_state != UndatedState::NotSeen && self.state.last.is_none();
        if self.obstacles.bypassed > MAX_BYPASSED
            || !self.is_ascending
            || is_undated
            || self.is_progress_unknown()
        {
            return self.leave_rest(&failure).await;
        }
        if self.obstacles.suspect_second.is_none() && self.bypass_by_list().await? {
            return Ok(Step::Next);
        }
        self.bypass_by_time(failure).await
    }

    /// Reads the rest of the walk in other ways, leaves a gap if that does not give everything, and ends the walk.
    pub(crate) async fn leave_rest(&mut self, failure: &Error) -> Result<Step> {
        self.read_rest(failure).await?;
        self.end_here().await
    }

    /// Reads the rest of the walk newest first, and by the ids in the list. Leaves a gap unless that gives everything,
    /// and returns whether it does.
    async fn read_rest(&mut self, failure: &Error) -> Result<bool> {
        self.resolve_suspect().await?;
        let (from, to) = self.bounds();
        // For a gap of an earlier pull, reading everything after it would cost too much.
        let is_whole = self.is_pull()
            && (self.read_backward(from, to, PageSize::default()).await? == BackwardRead::Complete
                || self.read_rest_by_list().await?
                || self.bypass_backward(from, to).await? == BackwardRead::Complete);
        if !is_whole {
            let bounds = self.gap.clone().unwrap_or_else(|| self.rest_bounds());
            self.obstacles.pending.push(Gap::new(bounds, failure));
            self.pull.add_note("the export fails in the middle: the rest was read newest first and by the ids in the list, as far as possible");
        }
        Ok(is_whole)
    }

    async fn end_here(&mut self) -> Result<Step> {
        let checkpoint = self.end_checkpoint();
        let notes = self.pull.take_quota_message().into_iter().collect();
        self.send(checkpoint, PageMetadata { notes, ..PageMetadata::default() }).await;
        Ok(Step::End)
    }

    /// Reads the conversations that the walk has not seen by their ids in the list. Returns whether the list was
    /// complete: then only what could not be read by its id is a gap.
    async fn read_rest_by_list(&mut self) -> Result<bool> {
        // What an earlier pull has read would be paid for twice.
        if self.is_resumed() || self.pull.lacks(LIST) {
            return Ok(false);
        }
        let mut reading = ListReading::default();
        match self.read_listed(IdRoute::Bulk, &mut reading).await {
            Ok(()) | Err(ListProblem::Broken(_)) => {}
            Err(ListProblem::Other(error)) => return Err(error),
            Err(ListProblem::Metered | ListProblem::Refused(_)) => self.pull.remember_feature(LIST, false),
        }
        self.obstacles.pending.extend(reading.gaps);
        Ok(reading.is_whole)
    }

    /// Returns the bounds of the rest of the walk.
    fn rest_bounds(&self) -> GapBounds {
        match (&self.state.cursor, self.bounds()) {
            (None, (Some(from), to)) => {
                let microseconds = |second: i64| second * 1_000_000;
                let until = to.map(|to| microseconds(to + 1));
                GapBounds::Window { since: Some(microseconds(from)), until }
            }
            (cursor, _) => GapBounds::Rest { after: cursor.clone() },
        }
    }

    /// Returns whether the vendor still returns conversations: one that was read already, or the newest or the oldest
    /// one.
    async fn can_read_any(&mut self) -> Result<bool> {
        self.obstacles.bypassed_in_a_row = 0;
        if let Some(id) = self.obstacles.last_read.clone() {
            return Ok(!self.pull.fetch(&[id], IdRoute::Bulk).await?.found.is_empty());
        }
        Ok(self.can_read_first("desc").await? || self.can_read_first("asc").await?)
    }

    /// Returns whether the first conversation in a sort order can be read.
    async fn can_read_first(&mut self, sort: &str) -> Result<bool> {
        let call = self.pull.account.export_call(1).query("sort", sort);
        match self.read(call, 1).await {
            Ok(response) => {
                let elements = response.counts.elements;
                let metadata = self.pull.page_metadata(&response.envelope, &response.counts);
                self.pull.add_metadata(&metadata);
                Ok(elements > 0 || response.envelope.scanned_convo_count > Some(0))
            }
            Err(error) if error.may_be_local() || error.is_refusal() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Requests the next conversations one by one, by the ids in the list. Returns whether that got past the failing
    /// one.
    async fn bypass_by_list(&mut self) -> Result<bool> {
        let low = self.lower_bound();
        let candidates = self.candidates(low).await?;
        let mut failing_second = None;
        for (tried, (second, id)) in candidates.into_iter().enumerate() {
            if failing_second.is_some_and(|failing| second > failing) {
                break;
            }
            if tried >= MAX_CANDIDATES && failing_second.is_none() {
                return Ok(false);
            }
            self.obstacles.tried_ids.insert(id.clone());
            match self.pull.fetch(slice::from_ref(&id), IdRoute::Bulk).await {
                Ok(fetched) if fetched.gaps.is_empty() => {
                    if !fetched.found.is_empty() {
                        self.obstacles.bypassed_in_a_row = 0;
                        self.obstacles.last_read = Some(id);
                    }
                    self.pull.send_when_full().await;
                }
                Ok(fetched) => {
                    self.obstacles.pending.extend(fetched.gaps);
                    failing_second = Some(second);
                }
                Err(error) if error.is_refusal() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if let Some(second) = failing_second {
            self.continue_after(second);
        }
        Ok(failing_second.is_some())
    }

    /// Reads the conversations that the list shows in these seconds, both included, by their ids. Returns whether a
    /// failing one was among them, which is then a gap of its own.
    pub(crate) async fn read_listed_between(&mut self, first: i64, last: i64) -> Result<bool> {
        let rows = self.candidates(first).await?.into_iter();
        let ids: Vec<RecordId> = rows.filter(|(second, _)| *second <= last).map(|(_, id)| id).collect();
        let fetched = match self.pull.fetch(&ids, IdRoute::Bulk).await {
            Err(error) if error.is_refusal() => return Ok(false),
            fetched => fetched?,
        };
        let names_failing = !fetched.gaps.is_empty();
        self.obstacles.tried_ids.extend(ids);
        self.obstacles.pending.extend(fetched.gaps);
        Ok(names_failing)
    }

    /// Finds the second in which the failing conversation began, and gets past it. The search requests windows that are
    /// empty up to that second, which cost nothing.
    async fn bypass_by_time(&mut self, failure: Error) -> Result<Step> {
        let low = self.lower_bound();
        let is_beginning = self.is_at_beginning();
        let state = self.state.clone();
        // If the walk continues at the last second by time, it has not read all of that second yet.
        let is_in_second =
            self.state.last.is_some_and(|last| self.state.cursor.is_some() || self.state.from <= Some(last));
        self.obstacles.failure.get_or_insert(failure);
        if self.obstacles.suspect_second.is_none() && is_in_second {
            // It began in the second of the conversation before it, or later.
            self.obstacles.suspect_second = Some(low);
            self.continue_from(low + 1);
            return Ok(Step::Next);
        }
        let end = self.bounds().1.unwrap_or(FAR_FUTURE_SECOND);
        match self.find_failing_second(low, end).await? {
            Some(second) => {
                self.confirm_failure().await?;
                let first = self.obstacles.suspect_second.take().unwrap_or(second);
                let is_gap = self.bypass_seconds(first, second).await?;
                if !is_gap && is_beginning {
                    // The windows failed because the vendor was down: the failing conversation may be in none of them.
                    return self.bypass_undated(state).await;
                }
                if second >= end {
                    return self.end_here().await;
                }
                self.continue_after(second);
            }
            None if self.obstacles.suspect_second.is_none() && is_beginning => {
                return self.bypass_undated(state).await;
            }
            None => self.resolve_suspect().await?,
        }
        Ok(Step::Next)
    }

    /// Checks that the windows failed because of what they hold: if the vendor is down, returns the failure as the
    /// error.
    async fn confirm_failure(&mut self) -> Result<()> {
        if let Some(failure) = self.obstacles.failure.take() {
            self.obstacles.failure = Some(self.pull.confirm_alive(failure).await?.0);
        }
        Ok(())
    }

    /// Gets past a failing conversation without a date at the beginning of the export, which no window of time holds:
    /// reads what follows newest first. If a conversation fails there too, the walk continues with windows of time in
    /// between.
    async fn bypass_undated(&mut self, state: WalkState) -> Result<Step> {
        let unknown = || Error::new(ErrorKind::Unavailable, EXPORT, "the vendor failed");
        let failure = self.obstacles.failure.take().unwrap_or_else(unknown);
        self.state = state;
        self.seen = Seen::default();
        if self.read_rest(&failure).await? || !self.is_pull() {
            return self.end_here().await;
        }
        self.continue_from(FIRST_SECOND);
        self.state.to = self.obstacles.reached_second;
        Ok(Step::Next)
    }

    /// Returns the first second after `low` whose conversations cannot be read. Returns `None` if some can be read
    /// after all, and continues the walk after those.
    async fn find_failing_second(&mut self, low: i64, end: i64) -> Result<Option<i64>> {
        let (first, mut low, mut high, mut stride) = (low + 1, low, end, FIRST_STRIDE);
        let mut is_bounded = false;
        while high - low > 1 {
            let middle = if is_bounded { low + (high - low) / 2 } else { (low + stride).min(high - 1) };
            stride = stride.saturating_mul(4);
            match self.window_state(first, middle).await? {
                WindowState::Empty => low = middle,
                WindowState::Failing => (high, is_bounded) = (middle, true),
                WindowState::Readable => {
                    self.continue_from(self.state.last.unwrap_or(first));
                    return Ok(None);
                }
            }
        }
        Ok(Some(high))
    }

    /// Requests a window of seconds, both included, and returns what it holds.
    async fn window_state(&mut self, from: i64, to: i64) -> Result<WindowState> {
        let mut cursor: Option<String> = None;
        for _ in 0..EMPTY_PAGES {
            let call = self.pull.account.export_call(50).query("sort", "asc");
            let call =
                call.query("fromTs", from).query("toTs", to).optional_query("cursor", cursor.as_deref());
            let response = match self.read(call, 50).await {
                Ok(response) => response,
                Err(error) if error.may_be_local() || error.is_refusal() => return Ok(WindowState::Failing),
                Err(error) => return Err(error),
            };
            let metadata = self.pull.page_metadata(&response.envelope, &response.counts);
            self.pull.add_metadata(&metadata);
            // Conversations without a date, which any window may hold, were read already.
            if self.span.newest.is_some() || self.span.fresh > 0 {
                self.state.last = self.span.newest.max(self.state.last);
                self.pull.send_queued().await;
                return Ok(WindowState::Readable);
            }
            let envelope = &response.envelope;
            match envelope.cursor().filter(|_| envelope.has_more != Some(false)) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(WindowState::Empty),
            }
        }
        Ok(WindowState::Empty)
    }

    /// Returns the last second up to which the walk has read.
    fn lower_bound(&self) -> i64 {
        let begin = self.bounds().0.unwrap_or(FIRST_SECOND) - 1;
        self.state.last.map_or(begin, |last| last.max(begin))
    }

    /// Returns whether the walk has no lower bound and has not read a conversation with a date yet.
    fn is_at_beginning(&self) -> bool {
        self.state.last.is_none() && self.bounds().0.is_none()
    }

    fn continue_after(&mut self, second: i64) {
        self.obstacles.suspect_second = None;
        self.state.last = Some(second);
        self.continue_from(second + 1);
    }

    /// Returns the conversations that the list shows from a second on and that were not read, oldest first. At the
    /// beginning, those without a date come first, as they may in the export.
    async fn candidates(&mut self, low: i64) -> Result<Vec<(i64, RecordId)>> {
        if self.obstacles.list_index.is_none() {
            self.obstacles.list_index = Some(ListIndex::read(self.pull, low).await?);
        }
        let end = self.bounds().1.unwrap_or(i64::MAX);
        let Some(list_index) = &self.obstacles.list_index else { return Ok(Vec::new()) };
        let undated = list_index.undated().filter(|_| self.is_at_beginning()).map(|id| (low, id.clone()));
        let rows = undated.chain(list_index.between(low, end).cloned());
        Ok(rows
            .filter(|(_, id)| !self.seen.has(id.as_str()) && !self.obstacles.tried_ids.contains(id))
            .collect())
    }
}
