//! Reads a span newest first, up to a conversation that fails: what lies behind that one can be reached from its other
//! side.

use std::mem;

use chatark_core::Result;
use chatark_http::CursorGuard;

use crate::account::EXPORT;
use crate::failure::is_refusal;
use crate::place::PageSize;
use crate::progress::Progress;
use crate::walk::ExportWalk;

/// What a walk from the other end has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backwards {
    /// It read the whole span.
    Whole,
    /// It met what was read already: that is the whole span too, if the walk came there without a gap.
    Met,
    /// It met a place that fails.
    Part,
}

impl ExportWalk<'_, '_> {
    /// Reads what began in these seconds, both included, newest first. Sends what it reads, and leaves the place of the
    /// walk as it is.
    pub(crate) async fn read_backwards(
        &mut self,
        from: Option<i64>,
        to: Option<i64>,
        size: PageSize,
    ) -> Result<Backwards> {
        let span = mem::take(&mut self.span);
        (self.obstacles.reached, self.obstacles.reached_undated) = (None, false);
        let read = self.walk_backwards(from, to, size).await;
        self.span = span;
        self.seen.begin();
        read
    }

    async fn walk_backwards(
        &mut self,
        from: Option<i64>,
        to: Option<i64>,
        mut size: PageSize,
    ) -> Result<Backwards> {
        let (mut guard, mut progress) = (CursorGuard::default(), Progress::default());
        let mut cursor: Option<String> = None;
        loop {
            let call = self.pull.account.export_call(size.limit()).query("sort", "desc");
            let call = call
                .optional_query("fromTs", from)
                .optional_query("toTs", to)
                .optional_query("cursor", cursor.as_deref());
            let response = match self.read(call, size.limit()).await {
                Ok(response) => response,
                Err(error) if error.may_be_local() => {
                    self.seen.undo();
                    if size.narrow() {
                        continue;
                    }
                    return Ok(Backwards::Part);
                }
                Err(error) if is_refusal(&error) => return Ok(Backwards::Part),
                Err(error) => return Err(error),
            };
            self.obstacles.reached = self.span.oldest.or(self.obstacles.reached);
            self.obstacles.reached_undated = self.span.ends_undated;
            let (counts, answer) = (&response.counts, &response.answer);
            let metadata = self.pull.page_metadata(answer, counts);
            self.pull.say(&metadata);
            self.pull.send_arrived().await;
            let scanned = answer.scanned_convo_count.unwrap_or(0);
            size.pass(counts.elements.max(scanned).max(1));
            let Some(next) = answer.cursor().filter(|_| answer.has_more != Some(false)) else {
                let is_whole = answer.is_paged() && answer.has_more != Some(true);
                return Ok(if is_whole { Backwards::Whole } else { Backwards::Part });
            };
            let is_met = counts.elements > 0 && self.span.fresh == 0;
            let is_over = progress.count(counts.elements, self.span.fresh, scanned).is_some();
            if is_met {
                return Ok(Backwards::Met);
            }
            if is_over || guard.advance(EXPORT, next).is_err() {
                return Ok(Backwards::Part);
            }
            cursor = Some(next.to_owned());
        }
    }

    /// The conversation that failed began in one of these seconds, both included, which hold no other seconds with
    /// conversations: reads what is behind it, and leaves them as a gap. Returns whether something still fails there.
    pub(crate) async fn leave_seconds(&mut self, first: i64, last: i64) -> Result<bool> {
        // The walk has read the first second up to the failing one, and nothing of the last.
        let is_first_read = first < last && self.read_second_backwards(first).await? != Backwards::Part;
        let first = if is_first_read { last } else { first };
        match self.read_second_backwards(last).await? {
            // It can be read after all.
            Backwards::Whole if first == last => {
                self.obstacles.failure = None;
                return Ok(false);
            }
            Backwards::Whole => self.obstacles.leave_gap(first, first),
            Backwards::Met | Backwards::Part if self.read_named(first, last).await? => {}
            Backwards::Met | Backwards::Part => self.obstacles.leave_gap(first, last),
        }
        Ok(true)
    }

    /// Reads what began in one second, newest first and one by one, since each may be paid for already.
    async fn read_second_backwards(&mut self, second: i64) -> Result<Backwards> {
        self.read_backwards(Some(second), Some(second), PageSize::smallest()).await
    }

    /// A conversation behind the suspected second was read, so the one that failed began in that second.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        match self.obstacles.suspect.take() {
            Some(second) => self.leave_seconds(second, second).await.map(drop),
            None => Ok(()),
        }
    }
}
