//! Reads the export newest first, down to a conversation that fails: this gives what follows that one, which a walk
//! that reads oldest first cannot reach.

use std::mem;

use chatark_core::Result;
use chatark_http::CursorGuard;

use crate::account::EXPORT;
use crate::idle_pages::IdlePages;
use crate::page_size::PageSize;
use crate::walk::ExportWalk;

/// How far reading newest first has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackwardRead {
    /// It read the whole window.
    Complete,
    /// It came to conversations that were read already. That is the whole window too, if the walk got there without a
    /// gap.
    Overlap,
    /// It came to a place that fails.
    Incomplete,
}

impl ExportWalk<'_, '_> {
    /// Reads what began in these seconds, both included, newest first, and sends it. Does not change the state of the
    /// walk.
    pub(crate) async fn read_backward(
        &mut self,
        from: Option<i64>,
        to: Option<i64>,
        size: PageSize,
    ) -> Result<BackwardRead> {
        let span = mem::take(&mut self.span);
        (self.obstacles.reached_second, self.obstacles.reached_undated) = (None, false);
        let read = self.walk_backward(from, to, size).await;
        self.span = span;
        self.seen.begin();
        read
    }

    async fn walk_backward(
        &mut self,
        from: Option<i64>,
        to: Option<i64>,
        mut size: PageSize,
    ) -> Result<BackwardRead> {
        let (mut guard, mut idle_pages) = (CursorGuard::default(), IdlePages::default());
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
                    if size.shrink() {
                        continue;
                    }
                    return Ok(BackwardRead::Incomplete);
                }
                Err(error) if error.is_refusal() => return Ok(BackwardRead::Incomplete),
                Err(error) => return Err(error),
            };
            self.obstacles.reached_second = self.span.oldest.or(self.obstacles.reached_second);
            self.obstacles.reached_undated = self.span.ends_undated;
            let (counts, envelope) = (&response.counts, &response.envelope);
            let metadata = self.pull.page_metadata(envelope, counts);
            self.pull.add_metadata(&metadata);
            self.pull.send_queued().await;
            let scanned = envelope.scanned_convo_count.unwrap_or(0);
            size.count_read(counts.elements.max(scanned).max(1));
            let Some(next) = envelope.cursor().filter(|_| envelope.has_more != Some(false)) else {
                let is_whole = envelope.is_paged() && envelope.has_more != Some(true);
                return Ok(if is_whole { BackwardRead::Complete } else { BackwardRead::Incomplete });
            };
            let is_overlap = counts.elements > 0 && self.span.fresh == 0;
            let is_over = idle_pages.count_page(counts.elements, self.span.fresh, scanned).is_some();
            if is_overlap {
                return Ok(BackwardRead::Overlap);
            }
            if is_over || guard.advance(EXPORT, next).is_err() {
                return Ok(BackwardRead::Incomplete);
            }
            cursor = Some(next.to_owned());
        }
    }

    /// Gets past the failing conversation, which began in the first or the last of these seconds; those in between are
    /// empty. Reads what follows it and leaves a gap. Returns whether something still fails there.
    pub(crate) async fn bypass_seconds(&mut self, first: i64, last: i64) -> Result<bool> {
        // The walk has read the first second up to the failing conversation, and nothing of the last second.
        let is_first_read =
            first < last && self.read_second_backward(first).await? != BackwardRead::Incomplete;
        let first = if is_first_read { last } else { first };
        match self.read_second_backward(last).await? {
            // Everything can be read after all.
            BackwardRead::Complete if first == last => {
                self.obstacles.failure = None;
                return Ok(false);
            }
            BackwardRead::Complete => self.obstacles.leave_gap(first, first),
            BackwardRead::Overlap | BackwardRead::Incomplete
                if self.read_listed_between(first, last).await? => {}
            BackwardRead::Overlap | BackwardRead::Incomplete => self.obstacles.leave_gap(first, last),
        }
        Ok(true)
    }

    /// Reads what began in one second, newest first, one conversation per page, since others may have been paid for
    /// already.
    async fn read_second_backward(&mut self, second: i64) -> Result<BackwardRead> {
        self.read_backward(Some(second), Some(second), PageSize::smallest()).await
    }

    /// Gets past the failing conversation in the suspect second, if there is one. Called when a conversation after that
    /// second was read, so that the failing one must have begun in it.
    pub(crate) async fn resolve_suspect(&mut self) -> Result<()> {
        match self.obstacles.suspect_second.take() {
            Some(second) => self.bypass_seconds(second, second).await.map(drop),
            None => Ok(()),
        }
    }
}
