//! What a walk does with a response without paging keys: it may hold everything, or be cut short without saying so.

use std::mem;

use chatark_core::{Batch, Checkpoint, Error, ErrorKind, Gap, GapBounds, PageMetadata, RecordId, Result};

use crate::account::EXPORT;
use crate::export::ExportResponse;
use crate::fetch::IdRoute;
use crate::list::{ListPlace, ListProblem, ListWalk};
use crate::place::Place;
use crate::pull::{LIST, PAGES, Probe};
use crate::row::Row;
use crate::walk::{ExportWalk, Step};
use crate::windows::Seconds;
use crate::wire::{Envelope, conversation_counts};

/// The number of conversations in a response of the deployments that documents describe as cut short.
const DOCUMENTED_CAP: u64 = 200;
/// Any other cap is a multiple of this.
const CAP_STEP: u64 = 50;
/// After so many conversations that cannot be read, and none that can, the route for single ones is given up.
const HOPELESS: usize = 3;
/// A walk divides its window so often at most.
const MOST_WINDOWS: usize = 10_000;

const CUT_SHORT: &str =
    "this deployment returns a part of the conversations in each response and gives no cursor";

/// How the conversations that the list names were read.
#[derive(Default)]
pub(crate) struct ListReading {
    /// Whether the list was read to its end.
    pub(crate) is_whole: bool,
    /// Whether it answered at all.
    has_answered: bool,
    /// How many conversations came.
    found: usize,
    pub(crate) gaps: Vec<Gap>,
}

impl ExportWalk<'_, '_> {
    /// Goes on behind a response without paging keys.
    pub(crate) async fn after_array(
        &mut self,
        response: &ExportResponse,
        mut page: PageMetadata,
    ) -> Result<Step> {
        let elements = response.counts.elements;
        let text = response.answer.success_text().unwrap_or_default();
        let ignores_window = self.is_outside();
        if self.windows.cap.is_some() && self.span.fresh > 0 {
            self.say_cut_short("windows of time");
        }
        if !self.is_cut_short(elements, text) {
            if response.answer.usage.is_none() {
                // All of it comes in one response and is not metered: later pulls need no list to find changes.
                self.pull.learn(PAGES, false);
            }
            page.covers_everything = ignores_window && self.is_pull();
            if ignores_window {
                page.notes
                    .push("this deployment ignores the requested dates; they were applied here".to_owned());
            }
            return self.after_window(page, &response.answer).await;
        }
        if self.windows.cap.replace(elements).is_none() {
            self.windows.are_regarded = !ignores_window && self.pull.probe().await? != Probe::WindowIgnored;
        }
        if self.windows.are_regarded && !ignores_window && self.divide() {
            return self.after_window(page, &response.answer).await;
        }
        self.pull.say(&page);
        self.pull.send_arrived().await;
        self.read_by_list(None).await
    }

    /// Reads what follows the element at which a response without paging breaks off.
    pub(crate) async fn read_rest(&mut self, failure: Error) -> Result<Step> {
        self.read_by_list(Some(failure)).await
    }

    /// Returns whether a response may be cut short: it has as many elements as a typical page, or its text says so.
    fn is_cut_short(&self, elements: u64, text: &str) -> bool {
        let is_typical = elements == DOCUMENTED_CAP || (elements > 0 && elements.is_multiple_of(CAP_STEP));
        let counts = conversation_counts(text);
        let says_more = counts.iter().any(|count| *count > elements);
        let text = text.to_lowercase();
        let says_limit = ["limited to", "limit of", "truncated", "at most", "maximum", "per request"];
        let says_limit = elements > 0 && says_limit.iter().any(|words| text.contains(words));
        is_typical || says_more || says_limit || self.windows.cap == Some(elements)
    }

    /// Returns whether the response held conversations that began outside the window that was asked for.
    fn is_outside(&self) -> bool {
        let (from, to) = self.bounds();
        let is_before = from.is_some() && self.span.oldest.is_some_and(|oldest| Some(oldest) < from);
        let is_after = to.is_some_and(|to| self.span.newest.is_some_and(|newest| newest > to));
        is_before || is_after
    }

    /// Tells the user once that a response did not hold everything.
    fn say_cut_short(&mut self, how: &str) {
        if !mem::replace(&mut self.windows.told_of_cut, true) {
            self.pull.note(format!("{CUT_SHORT}: the others are read by {how}"));
        }
    }

    /// Replaces the current window by those that the response did not reach. Returns whether there are any.
    fn divide(&mut self) -> bool {
        let (from, to) = self.bounds();
        let (Some(oldest), Some(newest)) = (self.span.oldest, self.span.newest) else { return false };
        if self.span.undated > 0 || self.windows.left.len() > MOST_WINDOWS || self.span.fresh == 0 {
            return false;
        }
        let is_smaller = |window: Seconds| window != (from, to);
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
            self.windows.left.extend(rest);
        }
        can
    }

    /// Goes on with the next window, or ends.
    async fn after_window<T>(&mut self, mut page: PageMetadata, answer: &Envelope<T>) -> Result<Step> {
        let Some((from, to)) = self.windows.left.pop() else {
            page.notes.extend(self.end_notes(answer).await?);
            let end = self.end();
            self.send(end, page).await;
            return Ok(Step::End);
        };
        self.place = Place { from, to, ..Place::default() };
        let checkpoint = if self.windows.left.is_empty() { self.checkpoint()? } else { Checkpoint::None };
        self.send(checkpoint, page).await;
        Ok(Step::Next)
    }

    /// Reads what the list shows and the export did not give, conversation by conversation. `failure` is the error
    /// with which the export broke off.
    async fn read_by_list(&mut self, mut failure: Option<Error>) -> Result<Step> {
        let route = if failure.is_some() { IdRoute::Single } else { IdRoute::Bulk };
        let mut reading = ListReading::default();
        if !self.pull.lacks(LIST) {
            match self.read_listed(route, &mut reading).await {
                Err(ListProblem::Other(error)) => return Err(error),
                Err(ListProblem::Broken(error)) => {
                    // Whatever is asked fails: the vendor is down.
                    if let Some(failure) = failure.take_if(|_| !reading.has_answered) {
                        return Err(failure);
                    }
                    self.expect_alive(error).await?;
                }
                Ok(()) => {}
                Err(ListProblem::Metered | ListProblem::Refused(_)) => self.pull.learn(LIST, false),
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
        page.notes.extend(self.pull.take_summary());
        self.obstacles.pending.extend(reading.gaps);
        let end = self.end();
        self.send(end, page).await;
        Ok(Step::End)
    }

    /// Makes sure that the export still answers where the list does not: otherwise the vendor went down meanwhile, and
    /// the failure of the list is the result.
    async fn expect_alive(&mut self, failure: Error) -> Result<()> {
        match self.pull.probe().await {
            Err(error) if error.may_be_local() => Err(failure),
            Err(error) if error.kind() == ErrorKind::Budget => Err(error),
            // One that only asks for patience is not down.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads by their ids what the list names and the walk has not seen.
    pub(crate) async fn read_listed(
        &mut self,
        route: IdRoute,
        reading: &mut ListReading,
    ) -> Result<(), ListProblem> {
        let is_metered = self.pull.is_paged();
        let quota_before = if is_metered { self.pull.quota_before_listing().await } else { Ok(None) };
        let mut quota_before = quota_before.map_err(ListProblem::Other)?;
        let mut list = ListWalk::from(ListPlace::default());
        while let Some(listed) = list.next(self.pull.account).await? {
            reading.has_answered = true;
            let price = match quota_before.take() {
                Some(before) => self.pull.check_price(before).await,
                None => Ok(()),
            };
            self.read_rows(listed.rows, route, reading).await.map_err(ListProblem::Other)?;
            price?;
            if reading.is_hopeless() {
                reading.gaps.clear();
                return Ok(());
            }
        }
        // What was active meanwhile may have moved in front of the page that was read.
        let mut list = ListWalk::from(ListPlace::default());
        while let Some(listed) = list.next(self.pull.account).await? {
            if !self.read_rows(listed.rows, route, reading).await.map_err(ListProblem::Other)? {
                break;
            }
        }
        reading.is_whole = true;
        Ok(())
    }

    /// Reads those of a page of the list that the walk has not seen, and returns whether there were any.
    async fn read_rows(&mut self, rows: Vec<Row>, route: IdRoute, reading: &mut ListReading) -> Result<bool> {
        self.pull.say(&PageMetadata { pages: 1, ..PageMetadata::default() });
        // What costs nothing is read whenever it began.
        let is_metered = self.pull.is_paged();
        let missing: Vec<RecordId> = rows
            .into_iter()
            .filter(|row| row.is_in(&self.window) && (!is_metered || self.may_be_in_walk(row)))
            .filter(|row| row.signs.messages != Some(0))
            .filter_map(|row| row.id)
            .filter(|id| !self.seen.has(id.as_str()))
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let fetched = self.pull.fetch(&missing, route).await?;
        reading.found += fetched.found.len();
        if reading.found > 0 && route == IdRoute::Bulk && self.windows.cap.is_some() {
            self.say_cut_short("the ids in the list");
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
    /// Returns whether single conversations cannot be read at all.
    fn is_hopeless(&self) -> bool {
        self.found == 0 && self.gaps.len() >= HOPELESS
    }
}

fn cut_short() -> Error {
    Error::new(ErrorKind::Incomplete, EXPORT, CUT_SHORT)
}
