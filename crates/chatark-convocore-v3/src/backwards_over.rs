//! Steps over what fails on the way from the other end. Where each window of time holds those without a date and one of
//! them fails, no window that is read oldest first leads on; newest first, those without a date come last.

use chatark_core::Result;

use crate::account::NO_CONVERSATION_YET;
use crate::backwards::Backwards;
use crate::place::PageSize;
use crate::pull::Undated;
use crate::span::second_of;
use crate::step_over::{EMPTY_PAGES, FIRST_SECOND, FIRST_STRIDE};
use crate::walk::ExportWalk;

/// It steps over so many places at most: each of them is looked for by dozens of requests, many of which fail.
const MAX_STEPS_BACK: usize = 20;
/// The most attempts of each request that looks for the second in which a failing conversation began. Many of them fail,
/// and a wrong answer only moves the gap.
const SEARCH_ATTEMPTS: u32 = 2;

/// The first bound of a span, and the second that is surely before all of it.
type Floor = (Option<i64>, i64);

impl ExportWalk<'_, '_> {
    /// Goes on newest first behind each place that has ended a walk from the other end, until that comes to those without a
    /// date. Leaves the seconds in between as gaps.
    pub(crate) async fn step_backwards(&mut self, from: Option<i64>, to: Option<i64>) -> Result<Backwards> {
        // Elsewhere, windows lead there from the other side.
        if self.pull.undated == Undated::Unseen || self.place.last.is_some() {
            return Ok(Backwards::Part);
        }
        let floor = (from, from.unwrap_or(FIRST_SECOND) - 1);
        let mut end = to.unwrap_or_else(|| self.latest_second());
        for _ in 0..MAX_STEPS_BACK {
            if self.obstacles.reached_undated {
                break;
            }
            let last = self.obstacles.reached.unwrap_or(end);
            let Some(second) = self.failing_second_before(floor, last).await? else { break };
            // Otherwise the vendor went down meanwhile.
            self.pull.probe().await?;
            self.obstacles.leave_gap(second, last);
            end = second - 1;
            let read = self.read_backwards(from, Some(end), PageSize::default()).await?;
            if read != Backwards::Part {
                return Ok(read);
            }
        }
        Ok(Backwards::Part)
    }

    /// Returns a second that no conversation begins after, unless the vendor's clock is wrong.
    fn latest_second(&self) -> i64 {
        self.pull.request.plausible_until.map_or(NO_CONVERSATION_YET, second_of)
    }

    /// Returns the second in which the newest conversation up to `last` began, if it fails and says when it began. All
    /// that began after `last` was read, and some of what began in it.
    async fn failing_second_before(&mut self, floor: Floor, last: i64) -> Result<Option<i64>> {
        if self.can_read_newest(floor.0, last - 1).await? {
            return Ok(Some(last));
        }
        let (mut low, mut high, mut stride) = (floor.1, last - 1, FIRST_STRIDE);
        let mut is_bounded = false;
        while high - low > 1 {
            let middle = if is_bounded { low + (high - low) / 2 } else { (high - stride).max(low + 1) };
            stride = stride.saturating_mul(2);
            if self.begins_after(middle, floor.0, last - 1).await? {
                (low, is_bounded) = (middle, true);
            } else {
                high = middle;
            }
        }
        Ok(is_bounded.then_some(high))
    }

    /// Returns whether the newest conversation of a span, which fails, began after a second. A window without a date in it
    /// ends with the last of those that have none: if that one fails, only the window before the second can tell.
    async fn begins_after(&mut self, second: i64, from: Option<i64>, last: i64) -> Result<bool> {
        if self.pull.undated == Undated::Failing {
            self.can_read_newest(from, second).await
        } else {
            Ok(!self.can_read_newest(Some(second + 1), last).await?)
        }
    }

    /// Returns whether the newest conversation of a window can be read.
    async fn can_read_newest(&mut self, from: Option<i64>, to: i64) -> Result<bool> {
        let mut cursor: Option<String> = None;
        for _ in 0..EMPTY_PAGES {
            let call = self.pull.account.export_call(1).query("sort", "desc").optional_query("fromTs", from);
            let call = call.query("toTs", to).optional_query("cursor", cursor.as_deref());
            let call = call.max_attempts(Some(SEARCH_ATTEMPTS));
            let response = match self.read(call, 1).await {
                Ok(response) => response,
                Err(error) if error.may_be_local() => {
                    self.obstacles.failure = Some(error);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let answer = &response.answer;
            let metadata = self.pull.page_metadata(answer, &response.counts);
            self.pull.say(&metadata);
            self.pull.send_arrived().await;
            // The walk itself comes to it once more, and ends where it meets what was read.
            self.seen.undo();
            let next = answer.cursor().filter(|_| answer.has_more != Some(false));
            match next.filter(|_| response.counts.elements == 0) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(true),
            }
        }
        Ok(true)
    }
}
