//! One request to a target, and what the ledger says of it before and after.

use chatark_archive::TransferState;
use chatark_core::{Error, ErrorKind, Result};
use chatark_target::{DataKind, OutboundItem, Target};
use futures_util::future::{BoxFuture, FutureExt};
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;

/// A run ends when the vendor has refused this many items in a row.
pub(super) const MAX_REFUSALS_IN_A_ROW: u64 = 50;

/// What became of one request, and of those that complete what it created.
#[derive(Default)]
pub(super) struct RequestOutcome {
    pub(super) written: u64,
    pub(super) refused: u64,
    /// The vendor's error for the last refused item.
    pub(super) refusal: Option<Error>,
    /// The idempotency keys of items that may or may not be at the target.
    pub(super) ambiguous: Vec<String>,
    /// The error that made them ambiguous.
    pub(super) ambiguous_error: Option<Error>,
    /// What ends the run.
    pub(super) fatal: Option<Error>,
}

/// Makes the requests of one kind.
#[derive(Clone, Copy)]
pub(super) struct Requests<'a> {
    pub(super) target: &'a dyn Target,
    pub(super) ledger: Ledger<'a>,
    pub(super) kind: DataKind,
    pub(super) stop: &'a CancellationToken,
}

impl<'a> Requests<'a> {
    /// Creates items with one request. If the vendor refuses it, each half is sent separately, down to the item that
    /// causes the refusal.
    pub(super) fn create(self, mut items: Vec<OutboundItem>) -> BoxFuture<'a, RequestOutcome> {
        async move {
            if let Err(error) = self.ledger.record(&items, TransferState::Intended, &[], None) {
                return RequestOutcome::fatal(error);
            }
            let error = match self.target.create(self.kind, &items).await {
                Ok(ids) => return self.complete_created(items, ids).await,
                Err(error) => error,
            };
            match error {
                error if error.is_ambiguous() => RequestOutcome::ambiguous(&items, error),
                error if !is_refusal(&error) => RequestOutcome::fatal(error).and(self.withdraw(&items)),
                _ if items.len() > 1 => {
                    let second = items.split_off(items.len() / 2);
                    self.create_halves(items, second).await
                }
                error => self.refuse(&items, TransferState::Refused, &[], error),
            }
        }
        .boxed()
    }

    async fn create_halves(self, first: Vec<OutboundItem>, second: Vec<OutboundItem>) -> RequestOutcome {
        let mut outcome = self.create(first).await;
        if outcome.written == 0 && outcome.refused >= MAX_REFUSALS_IN_A_ROW && outcome.fatal.is_none() {
            outcome.fatal = outcome.refusal.take();
        }
        if outcome.fatal.is_some() || self.stop.is_cancelled() {
            return outcome.and(self.withdraw(&second));
        }
        outcome.and(self.create(second).await)
    }

    async fn complete_created(self, items: Vec<OutboundItem>, ids: Vec<Option<String>>) -> RequestOutcome {
        let has_ids = ids.len() == items.len()
            && items.iter().zip(&ids).all(|(item, id)| id.is_some() || item.complete_body.is_empty());
        if !has_ids {
            let message = "the vendor does not return the ids of the created items";
            let error = Error::new(ErrorKind::Malformed, "migrate", message).ambiguous();
            return RequestOutcome::ambiguous(&items, error);
        }
        if let Err(error) = self.ledger.record(&items, TransferState::Created, &ids, None) {
            return RequestOutcome::fatal(error);
        }
        let mut outcome = RequestOutcome::default();
        for (item, id) in items.into_iter().zip(ids) {
            outcome = outcome.and(self.complete(item, id, false).await);
        }
        outcome
    }

    /// Completes an item that this run or, if it is `old`, an earlier one created.
    pub(super) async fn complete(self, item: OutboundItem, id: Option<String>, old: bool) -> RequestOutcome {
        let completed = match &id {
            Some(id) => self.target.complete(&item, id).await,
            None => Ok(()),
        };
        let items = std::slice::from_ref(&item);
        let Err(error) = completed else {
            let recorded = self.ledger.record(items, TransferState::Done, &[id], None);
            return RequestOutcome { written: 1, ..RequestOutcome::default() }.unless_failed(recorded);
        };
        match error.kind() {
            ErrorKind::Network | ErrorKind::Unavailable => RequestOutcome::ambiguous(items, error),
            ErrorKind::NotFound if old => {
                let recorded = self.ledger.record(items, TransferState::Intended, &[], None);
                RequestOutcome::ambiguous(items, error).unless_failed(recorded)
            }
            _ if is_refusal(&error) => self.refuse(items, TransferState::Created, &[id], error),
            _ => RequestOutcome::fatal(error),
        }
    }

    fn refuse(
        self,
        items: &[OutboundItem],
        state: TransferState,
        ids: &[Option<String>],
        error: Error,
    ) -> RequestOutcome {
        let recorded = self.ledger.record(items, state, ids, Some(&error));
        let refused = RequestOutcome { refused: 1, refusal: Some(error), ..RequestOutcome::default() };
        refused.unless_failed(recorded)
    }

    /// Deletes items from the ledger that were certainly not sent.
    fn withdraw(self, items: &[OutboundItem]) -> RequestOutcome {
        RequestOutcome::default().unless_failed(self.ledger.delete(items))
    }
}

impl RequestOutcome {
    fn fatal(error: Error) -> Self {
        Self { fatal: Some(error), ..Self::default() }
    }

    fn ambiguous(items: &[OutboundItem], error: Error) -> Self {
        let ambiguous = items.iter().map(|item| item.idempotency_key.clone()).collect();
        Self { ambiguous, ambiguous_error: Some(error), ..Self::default() }
    }

    /// Returns the error of the ledger if the outcome could not be recorded.
    fn unless_failed(self, recorded: Result<()>) -> Self {
        recorded.map_or_else(Self::fatal, |()| self)
    }

    fn and(mut self, later: Self) -> Self {
        self.ambiguous.extend(later.ambiguous);
        Self {
            written: self.written + later.written,
            refused: self.refused + later.refused,
            refusal: later.refusal.or(self.refusal),
            ambiguous: self.ambiguous,
            ambiguous_error: later.ambiguous_error.or(self.ambiguous_error),
            fatal: self.fatal.or(later.fatal),
        }
    }
}

/// Returns whether the vendor refused the item itself, and not the key or the agent.
pub(super) fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{Incomplete, Malformed, Refused, TooLarge};
    matches!(error.kind(), Refused | TooLarge | Malformed | Incomplete)
}
