//! What a walk does where a single conversation cannot be read: it finds the place, leaves a gap, and goes on behind it.

use std::slice;

use chatark_core::{Error, ErrorKind, Gap, GapBounds, PageMetadata, RecordId, Result};

use crate::account::{EXPORT, NO_CONVERSATION_YET};
use crate::backwards::Backwards;
use crate::directory::Directory;
use crate::failure::is_refusal;
use crate::fetch::IdRoute;
use crate::list::ListProblem;
use crate::one_array::ListReading;
use crate::place::{PageSize, Place};
use crate::pull::{LIST, Undated};
use crate::span::Seen;
use crate::walk::{ExportWalk, Step};

/// A walk steps over so many places at most. What is behind the last one is one gap.
const MAX_STEPS: u32 = 100;
/// After so many places in a row it makes sure that the vendor still gives conversations at all.
const STEPS_WITHOUT_PROOF: u32 = 3;
/// So many conversations are requested one by one to find the one that fails.
const MAX_CANDIDATES: usize = 20;
/// So many empty pages of one window are followed.
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
    /// Something that fails.
    Failing,
}

impl ExportWalk<'_, '_> {
    /// Goes on behind the conversation that fails at the current place.
    pub(crate) async fn step_over(&mut self, failure: Error) -> Result<Step> {
        // The second step at one place finds where it is.
        let is_new_place = u32::from(self.obstacles.suspect.is_none());
        self.obstacles.steps += is_new_place;
        self.obstacles.steps_in_a_row += is_new_place;
        if is_new_place > 0 {
            self.progress.begin_again();
        }
        if self.is_lost() && self.is_pull() && !self.restarts.led_nowhere {
            self.restart();
            return Ok(Step::Next);
        }
        if self.obstacles.steps_in_a_row > STEPS_WITHOUT_PROOF {
            if !self.is_readable().await? {
                return Err(self.obstacles.failure.take().unwrap_or(failure));
            }
            // Where single conversations can be read and no page can, no window leads on either.
            if !self.has_first("desc").await? && !self.has_first("asc").await? {
                return self.leave_rest(&failure).await;
            }
        }
        // No window of time leads behind one without a date where each window holds them.
        let is_undated = self.pull.undated != Undated::Unseen && self.place.last.is_none();
        if self.obstacles.steps > MAX_STEPS || !self.is_ascending || is_undated || self.is_lost() {
            return self.leave_rest(&failure).await;
        }
        if self.obstacles.suspect.is_none() && self.step_by_list().await? {
            return Ok(Step::Next);
        }
        self.step_by_time(failure).await
    }

    /// Leaves everything behind the current place as a gap, as far as it cannot be reached otherwise, and ends the walk.
    pub(crate) async fn leave_rest(&mut self, failure: &Error) -> Result<Step> {
        self.reach_rest(failure).await?;
        self.end_here().await
    }

    /// Reads what is behind the current place from the other end, and by the ids in the list. Leaves a gap unless that is
    /// everything, and returns whether it is.
    async fn reach_rest(&mut self, failure: &Error) -> Result<bool> {
        self.settle().await?;
        let (from, to) = self.bounds();
        // A gap that was tried before is not worth the price of everything behind it.
        let is_whole = self.is_pull()
            && (self.read_backwards(from, to, PageSize::default()).await? == Backwards::Whole
                || self.read_rest_by_list().await?
                || self.step_backwards(from, to).await? == Backwards::Whole);
        if !is_whole {
            let bounds = self.gap.clone().unwrap_or_else(|| self.rest());
            self.obstacles.pending.push(Gap::new(bounds, failure));
            self.pull.note("the export fails in the middle: what is behind was read from the other end, as far as that could be reached");
        }
        Ok(is_whole)
    }

    async fn end_here(&mut self) -> Result<Step> {
        let checkpoint = self.end();
        let notes = self.pull.take_summary().into_iter().collect();
        self.send(checkpoint, PageMetadata { notes, ..PageMetadata::default() }).await;
        Ok(Step::End)
    }

    /// Reads what the list names between two places that fail. Returns whether that was everything: then only what
    /// could not be read by its id is a gap.
    async fn read_rest_by_list(&mut self) -> Result<bool> {
        // What an earlier pull has read is paid for.
        if self.is_resumed() || self.pull.lacks(LIST) {
            return Ok(false);
        }
        let mut reading = ListReading::default();
        match self.read_listed(IdRoute::Bulk, &mut reading).await {
            Ok(()) | Err(ListProblem::Broken(_)) => {}
            Err(ListProblem::Other(error)) => return Err(error),
            Err(ListProblem::Metered | ListProblem::Refused(_)) => self.pull.learn(LIST, false),
        }
        self.obstacles.pending.extend(reading.gaps);
        Ok(reading.is_whole)
    }

    /// Returns the bounds of everything behind the current place.
    fn rest(&self) -> GapBounds {
        match (&self.place.cursor, self.bounds()) {
            (None, (Some(from), to)) => {
                let microseconds = |second: i64| second * 1_000_000;
                let until = to.map(|to| microseconds(to + 1));
                GapBounds::Window { since: Some(microseconds(from)), until }
            }
            (cursor, _) => GapBounds::Rest { after: cursor.clone() },
        }
    }

    /// Returns whether the vendor still gives conversations: one that was read already, or the newest or the oldest one.
    async fn is_readable(&mut self) -> Result<bool> {
        self.obstacles.steps_in_a_row = 0;
        if let Some(id) = self.obstacles.last_read.clone() {
            return Ok(!self.pull.fetch(&[id], IdRoute::Bulk).await?.found.is_empty());
        }
        Ok(self.has_first("desc").await? || self.has_first("asc").await?)
    }

    /// Returns whether the first conversation of an order can be read.
    async fn has_first(&mut self, sort: &str) -> Result<bool> {
        let call = self.pull.account.export_call(1).query("sort", sort);
        match self.read(call, 1).await {
            Ok(response) => {
                let elements = response.counts.elements;
                let metadata = self.pull.page_metadata(&response.answer, &response.counts);
                self.pull.say(&metadata);
                Ok(elements > 0 || response.answer.scanned_convo_count > Some(0))
            }
            Err(error) if error.may_be_local() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Requests the conversations behind the current place one by one, by the ids in the list. Returns whether that
    /// has led behind the failing one.
    async fn step_by_list(&mut self) -> Result<bool> {
        let low = self.low();
        let candidates = self.candidates(low).await?;
        let mut failing_second = None;
        for (tried, (second, id)) in candidates.into_iter().enumerate() {
            if failing_second.is_some_and(|failing| second > failing) {
                break;
            }
            if tried >= MAX_CANDIDATES && failing_second.is_none() {
                return Ok(false);
            }
            self.obstacles.tried.insert(id.clone());
            match self.pull.fetch(slice::from_ref(&id), IdRoute::Bulk).await {
                Ok(fetched) if fetched.gaps.is_empty() => {
                    if !fetched.found.is_empty() {
                        self.obstacles.steps_in_a_row = 0;
                        self.obstacles.last_read = Some(id);
                    }
                    self.pull.send_when_full().await;
                }
                Ok(fetched) => {
                    self.obstacles.pending.extend(fetched.gaps);
                    failing_second = Some(second);
                }
                Err(error) if is_refusal(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if let Some(second) = failing_second {
            self.go_behind(second);
        }
        Ok(failing_second.is_some())
    }

    /// Reads by their ids what the list names between several that fail in these seconds, both included. Returns whether
    /// that names those that fail.
    pub(crate) async fn read_named(&mut self, first: i64, last: i64) -> Result<bool> {
        let rows = self.candidates(first).await?.into_iter();
        let ids: Vec<RecordId> = rows.filter(|(second, _)| *second <= last).map(|(_, id)| id).collect();
        let fetched = match self.pull.fetch(&ids, IdRoute::Bulk).await {
            Err(error) if is_refusal(&error) => return Ok(false),
            fetched => fetched?,
        };
        let names_failing = !fetched.gaps.is_empty();
        self.obstacles.tried.extend(ids);
        self.obstacles.pending.extend(fetched.gaps);
        Ok(names_failing)
    }

    /// Finds the second in which the failing conversation began, with windows that hold nothing before it and are free.
    async fn step_by_time(&mut self, failure: Error) -> Result<Step> {
        let low = self.low();
        let is_beginning = self.is_at_beginning();
        let place = self.place.clone();
        // A walk that goes on by time at the last second has not read all of that yet.
        let is_in_second =
            self.place.last.is_some_and(|last| self.place.cursor.is_some() || self.place.from <= Some(last));
        self.obstacles.failure.get_or_insert(failure);
        if self.obstacles.suspect.is_none() && is_in_second {
            // It began in the second of the conversation before it, or later.
            self.obstacles.suspect = Some(low);
            self.begin_at(low + 1);
            return Ok(Step::Next);
        }
        let end = self.bounds().1.unwrap_or(NO_CONVERSATION_YET);
        match self.failing_second(low, end).await? {
            Some(second) => {
                self.expect_answers().await?;
                let first = self.obstacles.suspect.take().unwrap_or(second);
                let is_gap = self.leave_seconds(first, second).await?;
                if !is_gap && is_beginning {
                    // The vendor was down while its windows failed: the one that fails may be in none of them.
                    return self.leave_undated(place).await;
                }
                if second >= end {
                    return self.end_here().await;
                }
                self.go_behind(second);
            }
            None if self.obstacles.suspect.is_none() && is_beginning => {
                return self.leave_undated(place).await;
            }
            None => self.settle().await?,
        }
        Ok(Step::Next)
    }

    /// Makes sure that windows failed because of what is in them: otherwise the vendor went down meanwhile.
    async fn expect_answers(&mut self) -> Result<()> {
        if let Some(failure) = self.obstacles.failure.take() {
            self.obstacles.failure = Some(self.pull.prove_alive(failure).await?.0);
        }
        Ok(())
    }

    /// The list begins with something that fails and is in no window of time: only from the other end comes all that is
    /// behind it. Where something fails there too, windows of time lead to what is between.
    async fn leave_undated(&mut self, place: Place) -> Result<Step> {
        let unknown = || Error::new(ErrorKind::Unavailable, EXPORT, "the vendor failed");
        let failure = self.obstacles.failure.take().unwrap_or_else(unknown);
        self.place = place;
        self.seen = Seen::default();
        if self.reach_rest(&failure).await? || !self.is_pull() {
            return self.end_here().await;
        }
        self.begin_at(FIRST_SECOND);
        self.place.to = self.obstacles.reached;
        Ok(Step::Next)
    }

    /// Returns the first second behind `low` whose conversations cannot be read. If some can be read after all, the walk
    /// goes on behind those.
    async fn failing_second(&mut self, low: i64, end: i64) -> Result<Option<i64>> {
        let (first, mut low, mut high, mut stride) = (low + 1, low, end, FIRST_STRIDE);
        let mut is_bounded = false;
        while high - low > 1 {
            let middle = if is_bounded { low + (high - low) / 2 } else { (low + stride).min(high - 1) };
            stride = stride.saturating_mul(4);
            match self.window(first, middle).await? {
                WindowState::Empty => low = middle,
                WindowState::Failing => (high, is_bounded) = (middle, true),
                WindowState::Readable => {
                    self.begin_at(self.place.last.unwrap_or(first));
                    return Ok(None);
                }
            }
        }
        Ok(Some(high))
    }

    /// Asks what a window of seconds holds, both included.
    async fn window(&mut self, from: i64, to: i64) -> Result<WindowState> {
        let mut cursor: Option<String> = None;
        for _ in 0..EMPTY_PAGES {
            let call = self.pull.account.export_call(50).query("sort", "asc");
            let call =
                call.query("fromTs", from).query("toTs", to).optional_query("cursor", cursor.as_deref());
            let response = match self.read(call, 50).await {
                Ok(response) => response,
                Err(error) if error.may_be_local() => return Ok(WindowState::Failing),
                Err(error) => return Err(error),
            };
            let metadata = self.pull.page_metadata(&response.answer, &response.counts);
            self.pull.say(&metadata);
            // Those without a date, which any window may hold, were read already.
            if self.span.newest.is_some() || self.span.fresh > 0 {
                self.place.last = self.span.newest.max(self.place.last);
                self.pull.send_arrived().await;
                return Ok(WindowState::Readable);
            }
            let answer = &response.answer;
            match answer.cursor().filter(|_| answer.has_more != Some(false)) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(WindowState::Empty),
            }
        }
        Ok(WindowState::Empty)
    }

    /// Returns the second before which everything has been read.
    fn low(&self) -> i64 {
        let begin = self.bounds().0.unwrap_or(FIRST_SECOND) - 1;
        self.place.last.map_or(begin, |last| last.max(begin))
    }

    /// Returns whether nothing with a date was read yet of everything that there is.
    fn is_at_beginning(&self) -> bool {
        self.place.last.is_none() && self.bounds().0.is_none()
    }

    fn go_behind(&mut self, second: i64) {
        self.obstacles.suspect = None;
        self.place.last = Some(second);
        self.begin_at(second + 1);
    }

    /// Returns the conversations that the list shows from a second on, oldest first, and that were not read. At the
    /// beginning, those without a date come first, as they may in the export.
    async fn candidates(&mut self, low: i64) -> Result<Vec<(i64, RecordId)>> {
        if self.obstacles.directory.is_none() {
            self.obstacles.directory = Some(Directory::read(self.pull, low).await?);
        }
        let end = self.bounds().1.unwrap_or(i64::MAX);
        let Some(directory) = &self.obstacles.directory else { return Ok(Vec::new()) };
        let undated = directory.undated().filter(|_| self.is_at_beginning()).map(|id| (low, id.clone()));
        let rows = undated.chain(directory.between(low, end).cloned());
        Ok(rows.filter(|(_, id)| !self.seen.has(id.as_str()) && !self.obstacles.tried.contains(id)).collect())
    }
}
