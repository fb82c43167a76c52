//! The requests to a target, each recorded in the ledger before it is sent and after its response.

use chatark_archive::TransferState;
use chatark_core::{Error, ErrorKind, Result};
use chatark_target::{DataKind, OutboundItem, Target};
use futures_util::future::{BoxFuture, FutureExt};
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;

/// A run ends when the vendor has refused this many items in a row.
pub(super) const MAX_REFUSALS_IN_A_ROW: u64 = 50;

/// The outcome of a request that creates items, and of the requests that complete them.
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
    /// The error that ends the run.
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
    /// Creates items with one request, and completes them. If the vendor refuses the request, its halves are sent
    /// separately, down to the item that causes the refusal.
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
                error if !is_refusal(&error) => {
                    RequestOutcome::fatal(error).merge(self.delete_without_effect(&items))
                }
                _ if items.len() > 1 => {
                    let second = items.split_off(items.len() / 2);
                    self.create_halves(items, second).await
                }
                error => self.record_refusal(&items, TransferState::Refused, &[], error),
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
            return outcome.merge(self.delete_without_effect(&second));
        }
        outcome.merge(self.create(second).await)
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
            outcome = outcome.merge(self.complete(item, id, false).await);
        }
        outcome
    }

    /// Completes an item that this run, or an earlier one, has created.
    pub(super) async fn complete(
        self,
        item: OutboundItem,
        id: Option<String>,
        from_earlier_run: bool,
    ) -> RequestOutcome {
        let completed = match &id {
            Some(id) => self.target.complete(&item, id).await,
            None => Ok(()),
        };
        let items = std::slice::from_ref(&item);
        let Err(error) = completed else {
            let recorded = self.ledger.record(items, TransferState::Done, &[id], None);
            return RequestOutcome { written: 1, ..RequestOutcome::default() }.or_ledger_error(recorded);
        };
        match error.kind() {
            ErrorKind::Network | ErrorKind::Unavailable => RequestOutcome::ambiguous(items, error),
            ErrorKind::NotFound if from_earlier_run => {
                let recorded = self.ledger.record(items, TransferState::Intended, &[], None);
                RequestOutcome::ambiguous(items, error).or_ledger_error(recorded)
            }
            _ if is_refusal(&error) => self.record_refusal(items, TransferState::Created, &[id], error),
            _ => RequestOutcome::fatal(error),
        }
    }

    /// Records items that the vendor has refused, with its error.
    fn record_refusal(
        self,
        items: &[OutboundItem],
        state: TransferState,
        ids: &[Option<String>],
        error: Error,
    ) -> RequestOutcome {
        let recorded = self.ledger.record(items, state, ids, Some(&error));
        let refused = RequestOutcome { refused: 1, refusal: Some(error), ..RequestOutcome::default() };
        refused.or_ledger_error(recorded)
    }

    /// Deletes items from the ledger that have certainly had no effect at the target.
    fn delete_without_effect(self, items: &[OutboundItem]) -> RequestOutcome {
        RequestOutcome::default().or_ledger_error(self.ledger.delete(items))
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

    /// Returns the outcome, or a fatal error if the ledger could not record it.
    fn or_ledger_error(self, recorded: Result<()>) -> Self {
        recorded.map_or_else(Self::fatal, |()| self)
    }

    /// Adds the outcome of a later request.
    fn merge(mut self, later: Self) -> Self {
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

/// Returns whether an error is a refusal of the item itself, and not of the key or the agent.
pub(super) fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{Incomplete, Malformed, Refused, TooLarge};
    matches!(error.kind(), Refused | TooLarge | Malformed | Incomplete)
}
