//! Gets past conversations that fail while the export is read newest first. If every window of time holds the
//! conversations without a date and one of these fails, no window can be read oldest first; newest first, those without
//! a date come last.

use chatark_core::Result;

use crate::account::FAR_FUTURE_SECOND;
use crate::backward::BackwardRead;
use crate::bypass::{EMPTY_PAGES, FIRST_SECOND, FIRST_STRIDE};
use crate::page_size::PageSize;
use crate::pull::UndatedState;
use crate::span::second_of;
use crate::walk::ExportWalk;

/// The most places that are bypassed: dozens of requests look for each of them, and many of these fail.
const MAX_BYPASSED: usize = 20;
/// The most attempts of a request that looks for the second of a failing conversation. Many of these requests fail, and
/// a wrong result only moves the gap.
const SEARCH_ATTEMPTS: u32 = 2;

/// The first second of a window, if it has one, and a second that is certainly before all of its conversations.
type Floor = (Option<i64>, i64);

impl ExportWalk<'_, '_> {
    /// Continues newest first before each place that fails, down to the conversations without a date. Leaves the
    /// failing seconds as gaps.
    pub(crate) async fn bypass_backward(
        &mut self,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<BackwardRead> {
        // Otherwise windows that are read oldest first get there.
        if self.pull.undated_state == UndatedState::NotSeen || self.state.last.is_some() {
            return Ok(BackwardRead::Incomplete);
        }
        let floor = (from, from.unwrap_or(FIRST_SECOND) - 1);
        let mut end = to.unwrap_or_else(|| self.latest_second());
        for _ in 0..MAX_BYPASSED {
            if self.obstacles.reached_undated {
                break;
            }
            let last = self.obstacles.reached_second.unwrap_or(end);
            let Some(second) = self.find_failing_second_before(floor, last).await? else { break };
            // If the probe fails, the vendor went down meanwhile.
            self.pull.probe().await?;
            self.obstacles.leave_gap(second, last);
            end = second - 1;
            let read = self.read_backward(from, Some(end), PageSize::default()).await?;
            if read != BackwardRead::Incomplete {
                return Ok(read);
            }
        }
        Ok(BackwardRead::Incomplete)
    }

    /// Returns a second after which no conversation begins, unless the vendor's clock is wrong.
    fn latest_second(&self) -> i64 {
        self.pull.request.plausible_until.map_or(FAR_FUTURE_SECOND, second_of)
    }

    /// Returns the second of the failing conversation, the newest that was not read, or `None` if it has no date.
    /// Everything that began after `last` was read, and a part of what began in it.
    async fn find_failing_second_before(&mut self, floor: Floor, last: i64) -> Result<Option<i64>> {
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

    /// Returns whether the newest conversation of a window, which fails, began after a second. A window without dated
    /// conversations holds those without a date: if one of these fails, only the window up to the second shows the
    /// difference.
    async fn begins_after(&mut self, second: i64, from: Option<i64>, last: i64) -> Result<bool> {
        if self.pull.undated_state == UndatedState::Failing {
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
                Err(error) if error.may_be_local() || error.is_refusal() => {
                    self.obstacles.failure = Some(error);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let envelope = &response.envelope;
            let metadata = self.pull.page_metadata(envelope, &response.counts);
            self.pull.add_metadata(&metadata);
            self.pull.send_queued().await;
            // The walk reads it again, and must not take it for an overlap with what was read before.
            self.seen.undo();
            let next = envelope.cursor().filter(|_| envelope.has_more != Some(false));
            match next.filter(|_| response.counts.elements == 0) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(true),
            }
        }
        Ok(true)
    }
}
