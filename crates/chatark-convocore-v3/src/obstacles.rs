//! The places of the export that a walk cannot read.

use std::collections::HashSet;

use chatark_core::{Error, ErrorKind, Gap, GapBounds, RecordId};

use crate::account::EXPORT;
use crate::list_index::ListIndex;

/// What a walk knows about the places that it cannot read.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    /// Gaps that are reported with the next batch.
    pub(crate) pending: Vec<Gap>,
    /// Every gap that was reported.
    pub(crate) reported: Vec<Gap>,
    /// The error of the first failure since gaps were last reported.
    pub(crate) failure: Option<Error>,
    /// The second of the last conversation before a failure, until it is known in which second the failing one began.
    pub(crate) suspect_second: Option<i64>,
    /// Whether the vendor has answered since a page failed.
    pub(crate) is_alive: bool,
    /// How many places were bypassed.
    pub(crate) bypassed: u32,
    /// How many of them were bypassed since a conversation was last read.
    pub(crate) bypassed_in_a_row: u32,
    /// The conversation that was read last.
    pub(crate) last_read: Option<RecordId>,
    /// What was requested by its id. The walk itself may still come to it.
    pub(crate) tried_ids: HashSet<RecordId>,
    /// The second of the oldest conversation that was read newest first.
    pub(crate) reached_second: Option<i64>,
    /// Whether reading newest first has come to the conversations without a date, which come after all others.
    pub(crate) reached_undated: bool,
    /// The ids in the list, once it was read.
    pub(crate) list_index: Option<ListIndex>,
}

impl Obstacles {
    /// Removes and returns the pending gaps, which are then reported.
    pub(crate) fn take_pending(&mut self) -> Vec<Gap> {
        let gaps = std::mem::take(&mut self.pending);
        self.failure = None;
        self.reported.extend(gaps.iter().cloned());
        gaps
    }

    /// Adds the seconds from `first` to `last` as a pending gap.
    pub(crate) fn leave_gap(&mut self, first: i64, last: i64) {
        let microseconds = |second: i64| Some(second * 1_000_000);
        let bounds = GapBounds::Window { since: microseconds(first), until: microseconds(last + 1) };
        let unknown = || Error::new(ErrorKind::Unavailable, EXPORT, "the vendor failed");
        let failure = self.failure.take().unwrap_or_else(unknown);
        self.pending.push(Gap::new(bounds, &failure));
    }
}

/// Returns a gap that stays open: the vendor showed no conversation at all, so an empty response proves nothing.
pub(crate) fn unproven_gap(bounds: GapBounds) -> Gap {
    let message = "the vendor shows no conversation at all, so an empty response does not prove that nothing is missing";
    Gap::new(bounds, &Error::new(ErrorKind::Unavailable, EXPORT, message))
}
