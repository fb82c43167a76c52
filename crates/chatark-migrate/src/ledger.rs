//! What the ledger says of an item, and how it is written.

use chatark_archive::{Archive, Transfer, TransferState};
use chatark_core::{Result, Timestamp};
use chatark_target::{DataKind, OutboundItem};
use sha2::{Digest, Sha256};

/// What is to be done with an item, by what the ledger says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LedgerState {
    /// It is not there, and has to be created.
    New,
    /// It is not there, since an earlier run was refused it.
    Refused,
    /// It may be there: an earlier run was about to create it.
    Doubtful,
    /// It is there, and not yet complete.
    Created,
    /// It is there, and the vendor refused to complete it.
    Stuck,
    /// It is there, complete.
    There,
}

impl LedgerState {
    pub(crate) fn of(held: Option<&Transfer>) -> Self {
        match held.map(|held| held.state) {
            Some(TransferState::Created) if held.is_some_and(|held| held.error.is_some()) => Self::Stuck,
            None => Self::New,
            Some(TransferState::Refused) => Self::Refused,
            Some(TransferState::Intended) => Self::Doubtful,
            Some(TransferState::Created) => Self::Created,
            Some(TransferState::Done) => Self::There,
        }
    }
}

/// Returns what the ledger knows of an item, under its idempotency key or one of an earlier run.
pub(crate) fn known(
    ledger: &Archive,
    target: &str,
    kind: DataKind,
    item: &OutboundItem,
) -> Result<Option<Transfer>> {
    for idempotency_key in std::iter::once(&item.idempotency_key).chain(&item.previous_keys) {
        if let Some(held) = ledger.transfer(target, kind.as_str(), idempotency_key)? {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// Returns the hash of what is sent for an item.
pub(crate) fn digest(item: &OutboundItem) -> [u8; 32] {
    Sha256::new().chain_update(&item.create_body).chain_update(&item.complete_body).finalize().into()
}

/// Returns the row of an item.
pub(crate) fn transfer(
    item: &OutboundItem,
    state: TransferState,
    target_id: Option<String>,
    now: Timestamp,
) -> Transfer {
    Transfer {
        idempotency_key: item.idempotency_key.clone(),
        external_id: item.external_id.clone(),
        state,
        target_id,
        origin: item.origin.clone(),
        messages: item.messages,
        digest: digest(item),
        error: None,
        updated_at: Some(now),
    }
}
