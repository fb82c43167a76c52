//! The progress of a migration of one kind.

use std::collections::HashSet;

use chatark_core::{Error, ErrorKind, Timestamp};
use chatark_target::LossRow;

use super::outcome::ItemCounts;
use super::packing::SelectedCounts;
use super::request::{MAX_REFUSALS_IN_A_ROW, RequestOutcome};

/// An ambiguous request counts as this many refusals, so that a run ends sooner if the vendor is down.
const AMBIGUOUS_WEIGHT: u64 = 5;

/// The progress of a migration of one kind.
#[derive(Default)]
pub(super) struct KindProgress {
    pub(super) counts: ItemCounts,
    pub(super) selected: SelectedCounts,
    pub(super) loss_report: Vec<LossRow>,
    /// The vendor's error for the last refused item.
    pub(super) refusal: Option<Error>,
    /// The idempotency keys of items that may or may not be at the target.
    pub(super) ambiguous: HashSet<String>,
    /// When the latest of them became ambiguous.
    pub(super) ambiguous_since: Option<Timestamp>,
    /// The error of the last ambiguous request.
    pub(super) ambiguous_error: Option<Error>,
    /// The items that the vendor refused in earlier runs: the time of the refusal, and the idempotency key.
    pub(super) refused_before: Vec<(Option<Timestamp>, String)>,
    /// The e-mail addresses of people who are at the target, but not by a migration.
    pub(super) existing_emails: HashSet<String>,
    /// The number of failures since an item was last written; an ambiguous request counts as several.
    pub(super) failures_in_a_row: u64,
}

impl KindProgress {
    /// Adds the outcome of a request, and returns the error that ends the run, if any.
    pub(super) fn add(&mut self, outcome: RequestOutcome, now: Timestamp) -> Option<Error> {
        let is_ambiguous = !outcome.ambiguous.is_empty();
        if is_ambiguous {
            self.ambiguous_since = Some(now);
        }
        let failures = outcome.refused + AMBIGUOUS_WEIGHT * u64::from(is_ambiguous);
        self.counts.written += outcome.written;
        self.counts.refused += outcome.refused;
        self.failures_in_a_row = if outcome.written > 0 { 0 } else { self.failures_in_a_row + failures };
        self.refusal = outcome.refusal.or(self.refusal.take());
        self.ambiguous_error = outcome.ambiguous_error.or(self.ambiguous_error.take());
        self.ambiguous.extend(outcome.ambiguous);
        if outcome.fatal.is_some() || self.failures_in_a_row < MAX_REFUSALS_IN_A_ROW {
            return outcome.fatal;
        }
        if is_ambiguous { self.ambiguous_error.take() } else { self.refusal.take() }
    }

    /// Takes the keys of the ambiguous items.
    pub(super) fn take_ambiguous(&mut self) -> HashSet<String> {
        self.ambiguous_error = None;
        std::mem::take(&mut self.ambiguous)
    }

    /// Fails if an item is ambiguous.
    pub(super) fn require_certainty(&mut self) -> Result<(), Error> {
        if self.ambiguous.is_empty() {
            return Ok(());
        }
        Err(self.ambiguous_error.take().unwrap_or_else(stopped))
    }
}

/// Returns the error of a run that was stopped.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "migrate", "stopped before everything was written")
        .hint("the ledger knows what was written: run the same command again to continue")
}
