//! How a walk handles a response without paging keys, which is one array: it may hold everything, or be cut short
//! without saying so.

use std::mem;

use chatark_core::{Batch, Checkpoint, Error, ErrorKind, Gap, GapBounds, PageMetadata, RecordId, Result};

use crate::account::EXPORT;
use crate::export::ExportResponse;
use crate::fetch::IdRoute;
use crate::list::{ListCursor, ListProblem, ListWalk};
use crate::pull::{LIST, PAGES, ProbeResult};
use crate::row::Row;
use crate::walk::{ExportWalk, Step};
use crate::walk_state::WalkState;
use crate::windows::SecondRange;
use crate::wire::{Envelope, conversation_counts};

/// The number of conversations in a response of the deployments that documents describe as cut short.
const DOCUMENTED_CAP: u64 = 200;
/// Any other cap is a multiple of this.
const CAP_STEP: u64 = 50;
/// After so many conversations that cannot be read, and none that can, no more are requested one by one.
const MAX_FAILED_SINGLES: usize = 3;
/// The most windows that a walk keeps for later.
const MAX_WINDOWS: usize = 10_000;

const CUT_SHORT: &str =
    "this deployment returns a part of the conversations in each response and gives no cursor";

/// The result of reading the conversations in the list by their ids.
#[derive(Default)]
pub(crate) struct ListReading {
    /// Whether the list was read to its end.
    pub(crate) is_whole: bool,
    /// Whether the list has answered at all.
    has_answered: bool,
    /// How many conversations came.
    found: usize,
    pub(crate) gaps: Vec<Gap>,
}

impl ExportWalk<'_, '_> {
    /// Moves on after a response without paging keys: ends, or reads what it does not hold by windows or by ids.
    pub(crate) async fn finish_array(
        &mut self,
        response: &ExportResponse,
        mut page: PageMetadata,
    ) -> Result<Step> {
        let elements = response.counts.elements;
        let text = response.envelope.success_text().unwrap_or_default();
        let ignores_window = self.is_outside_window();
        if self.windows.cap.is_some() && self.span.fresh > 0 {
            self.report_cap("windows of time");
        }
        if !self.is_cut_short(elements, text) {
            if response.envelope.usage.is_none() {
                // All of it comes in one response and is not metered: later pulls need no list to find changes.
                self.pull.remember_feature(PAGES, false);
            }
            page.covers_everything = ignores_window && self.is_pull();
            if ignores_window {
                page.notes
                    .push("this deployment ignores the requested dates; they were applied here".to_owned());
            }
            return self.finish_window(page, &response.envelope).await;
        }
        if self.windows.cap.replace(elements).is_none() {
            self.windows.are_supported = !ignores_window && self.supports_windows().await?;
        }
        if self.windows.are_supported && !ignores_window && self.split_window() {
            return self.finish_window(page, &response.envelope).await;
        }
        self.pull.add_metadata(&page);
        self.pull.send_queued().await;
        self.read_by_list(None).await
    }

    /// Reads the rest of the conversations by the list, after a response without paging keys broke off.
    pub(crate) async fn read_after_break(&mut self, failure: Error) -> Result<Step> {
        self.read_by_list(Some(failure)).await
    }

    /// Returns whether the deployment regards windows of time. What a probe brings again is not archived again.
    async fn supports_windows(&mut self) -> Result<bool> {
        self.pull.send_queued().await;
        let supports = self.pull.probe().await? != ProbeResult::WindowIgnored;
        let seen = &self.seen;
        self.pull.retain_queued(|record| record.id.as_ref().is_none_or(|id| !seen.has(id.as_str())));
        Ok(supports)
    }

    /// Returns whether a response may be cut short: it has as many elements as a typical page, or its text names a
    /// limit.
    fn is_cut_short(&self, elements: u64, text: &str) -> bool {
        let is_typical = elements == DOCUMENTED_CAP || (elements > 0 && elements.is_multiple_of(CAP_STEP));
        let counts = conversation_counts(text);
        let says_more = counts.iter().any(|count| *count > elements);
        let text = text.to_lowercase();
        let says_limit = ["limited to", "limit of", "truncated", "at most", "maximum", "per request"];
        let says_limit = elements > 0 && says_limit.iter().any(|words| text.contains(words));
        is_typical || says_more || says_limit || self.windows.cap == Some(elements)
    }

    /// Returns whether the response held conversations that began outside the requested window.
    fn is_outside_window(&self) -> bool {
        let (from, to) = self.bounds();
        let is_before = from.is_some() && self.span.oldest.is_some_and(|oldest| Some(oldest) < from);
        let is_after = to.is_some_and(|to| self.span.newest.is_some_and(|newest| newest > to));
        is_before || is_after
    }

    /// Notes once that a response did not hold everything.
    fn report_cap(&mut self, how: &str) {
        if !mem::replace(&mut self.windows.has_reported_cap, true) {
            self.pull.add_note(format!("{CUT_SHORT}: the others are read by {how}"));
        }
    }

    /// Adds the parts of the current window that the response did not cover to the pending windows. Returns whether the
    /// window can be split.
    fn split_window(&mut self) -> bool {
        let (from, to) = self.bounds();
        let (Some(oldest), Some(newest)) = (self.span.oldest, self.span.newest) else { return false };
        if self.span.undated > 0 || self.windows.pending.len() > MAX_WINDOWS || self.span.fresh == 0 {
            return false;
        }
        let is_smaller = |window: SecondRange| window != (from, to);
        let rest = if self.span.is_ascending {
            vec![(Some(newest), to)]
        } else if self.span.is_descending {
            vec![(from, Some(oldest))]
        } else {
            let middle = oldest + (newest - oldest) / 2;
            vec![
                (Some(newest), to),
                (Some(middle + 1), Some(newest)),
                (Some(oldest), Some(middle)),
                (from, Some(oldest)),
            ]
        };
        let can = oldest < newest && rest.iter().all(|window| is_smaller(*window));
        if can {
            self.windows.pending.extend(rest);
        }
        can
    }

    /// Goes on with the next window, or ends.
    async fn finish_window<T>(&mut self, mut page: PageMetadata, envelope: &Envelope<T>) -> Result<Step> {
        let Some((from, to)) = self.windows.pending.pop() else {
            page.notes.extend(self.end_notes(envelope).await?);
            let end = self.end_checkpoint();
            self.send(end, page).await;
            return Ok(Step::End);
        };
        self.state = WalkState { from, to, ..WalkState::default() };
        let checkpoint = if self.windows.pending.is_empty() { self.checkpoint()? } else { Checkpoint::None };
        self.send(checkpoint, page).await;
        Ok(Step::Next)
    }

    /// Reads the conversations that the list shows and the export did not return, by their ids. `failure` is the error
    /// with which the export broke off.
    async fn read_by_list(&mut self, mut failure: Option<Error>) -> Result<Step> {
        let route = if failure.is_some() { IdRoute::Single } else { IdRoute::Bulk };
        let mut reading = ListReading::default();
        if !self.pull.lacks(LIST) {
            match self.read_listed(route, &mut reading).await {
                Err(ListProblem::Other(error)) => return Err(error),
                Err(ListProblem::Broken(error)) => {
                    // Both the export and the list fail: the vendor is down.
                    if let Some(failure) = failure.take_if(|_| !reading.has_answered) {
                        return Err(failure);
                    }
                    self.confirm_export_alive(error).await?;
                }
                Ok(()) => {}
                Err(ListProblem::Metered | ListProblem::Refused(_)) => {
                    self.pull.remember_feature(LIST, false);
                }
            }
        }
        let mut page = PageMetadata::default();
        if reading.is_whole {
            page.covers_everything = reading.gaps.is_empty() && failure.is_none() && self.is_pull();
        } else {
            let cause = failure.unwrap_or_else(cut_short);
            reading.gaps.push(Gap::new(GapBounds::Rest { after: None }, &cause));
            page.notes.push(format!("{CUT_SHORT}, and no list of the others can be read"));
        }
        page.notes.extend(self.pull.take_quota_message());
        self.obstacles.pending.extend(reading.gaps);
        let end = self.end_checkpoint();
        self.send(end, page).await;
        Ok(Step::End)
    }

    /// Checks that the export still answers although the list fails. If it does not, the vendor went down meanwhile,
    /// and the failure of the list is returned as the error.
    async fn confirm_export_alive(&mut self, failure: Error) -> Result<()> {
        match self.pull.probe().await {
            Err(error) if error.may_be_local() => Err(failure),
            Err(error) if error.kind() == ErrorKind::Budget => Err(error),
            // A vendor that limits the rate is not down.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads the conversations that the list shows and the walk has not seen, by their ids.
    pub(crate) async fn read_listed(
        &mut self,
        route: IdRoute,
        reading: &mut ListReading,
    ) -> Result<(), ListProblem> {
        let is_metered = self.pull.is_paged();
        let quota_before = if is_metered { self.pull.quota_before_listing().await } else { Ok(None) };
        let mut quota_before = quota_before.map_err(ListProblem::Other)?;
        let mut list = ListWalk::from(ListCursor::default());
        while let Some(listed) = list.next(self.pull.account).await? {
            reading.has_answered = true;
            let price = match quota_before.take() {
                Some(before) => self.pull.check_price(before).await,
                None => Ok(()),
            };
            self.read_rows(listed.rows, route, reading).await.map_err(ListProblem::Other)?;
            price?;
            if reading.cannot_read_single() {
                reading.gaps.clear();
                return Ok(());
            }
        }
        // Conversations that were active meanwhile may have moved to pages before the current one.
        let mut list = ListWalk::from(ListCursor::default());
        while let Some(listed) = list.next(self.pull.account).await? {
            if !self.read_rows(listed.rows, route, reading).await.map_err(ListProblem::Other)? {
                break;
            }
        }
        reading.is_whole = true;
        Ok(())
    }

    /// Reads the conversations of a page of the list that the walk has not seen, and returns whether there were any.
    async fn read_rows(&mut self, rows: Vec<Row>, route: IdRoute, reading: &mut ListReading) -> Result<bool> {
        self.pull.add_metadata(&PageMetadata { pages: 1, ..PageMetadata::default() });
        // If reading costs nothing, the start of the walk is no bound.
        let is_metered = self.pull.is_paged();
        let missing: Vec<RecordId> = rows
            .into_iter()
            .filter(|row| row.is_in(&self.window) && (!is_metered || self.may_contain(row)))
            .filter(|row| row.change_fields.messages != Some(0))
            .filter_map(|row| row.id)
            .filter(|id| !self.seen.has(id.as_str()))
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let fetched = self.pull.fetch(&missing, route).await?;
        reading.found += fetched.found.len();
        if reading.found > 0 && route == IdRoute::Bulk && self.windows.cap.is_some() {
            self.report_cap("the ids in the list");
        }
        for id in &missing {
            self.seen.add_id(id.as_str());
        }
        reading.gaps.extend(fetched.gaps);
        self.pull.send(Batch::default()).await;
        Ok(true)
    }
}

impl ListReading {
    /// Returns whether it seems that no conversation can be read by its id.
    fn cannot_read_single(&self) -> bool {
        self.found == 0 && self.gaps.len() >= MAX_FAILED_SINGLES
    }
}

fn cut_short() -> Error {
    Error::new(ErrorKind::Incomplete, EXPORT, CUT_SHORT)
}
