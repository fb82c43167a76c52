//! The outcome of a migration.

use chatark_core::Error;
use chatark_target::{DataKind, LossRow};
use serde::Serialize;

/// The number of items of one kind by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ItemCounts {
    /// Selected items.
    pub items: u64,
    /// Items that this run wrote.
    pub written: u64,
    /// Items that were already at the target.
    pub already: u64,
    /// Of those, items that have since changed in the archive. They are not changed at the target.
    pub changed: u64,
    /// People whose e-mail address the target already had, without a migration. They are not changed.
    #[serde(rename = "theirs")]
    pub existing: u64,
    /// Items of ambiguous requests that were found at the target, and so were not written again.
    pub recovered: u64,
    /// Items that the vendor refused.
    pub refused: u64,
}

/// What the target shows at the end of a run, compared with the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadBack {
    /// The number of items that the ledger calls done, of this run and earlier ones.
    pub expected: u64,
    /// How many of them the target shows.
    pub found: u64,
    /// How many of those have a different number of messages.
    pub differing: u64,
    /// The idempotency keys of some of those that it does not show.
    pub missing: Vec<String>,
}

/// The result of a migration of one kind.
#[derive(Debug, Serialize)]
pub struct KindResult {
    /// The kind.
    #[serde(rename = "cargo")]
    pub kind: DataKind,
    /// The number of selected conversations.
    pub conversations: u64,
    /// The number of their messages.
    pub messages: u64,
    /// The number of items by outcome.
    #[serde(flatten)]
    pub counts: ItemCounts,
    /// Items that the run did not reach, and ambiguous items. It is 0 until the caller compares the counts with the
    /// plan.
    #[serde(rename = "left")]
    pub remaining: u64,
    /// Items that an earlier run began and did not complete, and that are not selected now.
    pub unfinished: u64,
    /// What was read back; `None` if the run ended before that.
    pub read_back: Option<ReadBack>,
    /// What becomes of each field.
    #[serde(rename = "losses")]
    pub loss_report: Vec<LossRow>,
    /// What ended the run early.
    #[serde(skip)]
    pub error: Option<Error>,
    /// The vendor's error for the last refused item.
    #[serde(skip)]
    pub refusal: Option<Error>,
}

impl ReadBack {
    /// Returns whether the target shows every item, with all its messages.
    pub fn is_complete(&self) -> bool {
        self.found >= self.expected && self.differing == 0
    }
}

impl KindResult {
    /// Returns whether there was no error and no refusal, and the target shows everything that the ledger calls done.
    pub fn is_complete(&self) -> bool {
        self.error.is_none()
            && self.counts.refused == 0
            && self.read_back.as_ref().is_some_and(ReadBack::is_complete)
    }
}
