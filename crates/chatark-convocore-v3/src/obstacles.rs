//! What a walk knows about the places that it cannot read.

use std::collections::HashSet;

use chatark_core::{Error, ErrorKind, Gap, GapBounds, RecordId};

use crate::account::EXPORT;
use crate::directory::Directory;

/// The places that a walk cannot read.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    /// Gaps that are claimed once something behind them has been read.
    pub(crate) pending: Vec<Gap>,
    /// Every gap that was claimed.
    pub(crate) claimed: Vec<Gap>,
    /// Why the first place since the last page could not be read.
    pub(crate) failure: Option<Error>,
    /// The second of the conversation before a place that failed, until it is known where the failing one began.
    pub(crate) suspect: Option<i64>,
    /// Whether the vendor has answered something since a page failed.
    pub(crate) is_alive: bool,
    /// How many places were stepped over.
    pub(crate) steps: u32,
    /// How many of them since the last conversation that was read.
    pub(crate) steps_in_a_row: u32,
    /// The conversation that was read last.
    pub(crate) last_read: Option<RecordId>,
    /// What was read by its id. The walk itself may come to it once more.
    pub(crate) tried: HashSet<RecordId>,
    /// The second of the oldest conversation that a walk from the other end has read.
    pub(crate) reached: Option<i64>,
    /// Whether that walk has come to those without a date, which are behind all others.
    pub(crate) reached_undated: bool,
    /// What the list showed, once it was read.
    pub(crate) directory: Option<Directory>,
}

impl Obstacles {
    /// Claims the gaps before a place that was read.
    pub(crate) fn claim(&mut self) -> Vec<Gap> {
        let gaps = std::mem::take(&mut self.pending);
        self.failure = None;
        self.claimed.extend(gaps.iter().cloned());
        gaps
    }

    /// Leaves the seconds from `first` to `last` as a gap.
    pub(crate) fn leave_gap(&mut self, first: i64, last: i64) {
        let microseconds = |second: i64| Some(second * 1_000_000);
        let bounds = GapBounds::Window { since: microseconds(first), until: microseconds(last + 1) };
        let unknown = || Error::new(ErrorKind::Unavailable, EXPORT, "the vendor failed");
        let failure = self.failure.take().unwrap_or_else(unknown);
        self.pending.push(Gap::new(bounds, &failure));
    }
}
