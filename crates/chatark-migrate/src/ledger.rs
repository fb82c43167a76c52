//! What the ledger says of a parcel, and how it is written.

use chatark_archive::{Archive, Transfer, TransferState};
use chatark_core::{DataKind, OutboundItem, Result, Timestamp};
use sha2::{Digest, Sha256};

/// What is to be done with a parcel, by what the ledger says of it.
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

/// Returns what the ledger knows of a parcel, under its mark or under one that it had in an earlier run.
pub(crate) fn known(
    ledger: &Archive,
    target: &str,
    cargo: DataKind,
    parcel: &OutboundItem,
) -> Result<Option<Transfer>> {
    for mark in std::iter::once(&parcel.mark).chain(&parcel.former_marks) {
        if let Some(held) = ledger.transfer(target, cargo, mark)? {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// Returns the hash of what is sent for a parcel.
pub(crate) fn digest(parcel: &OutboundItem) -> [u8; 32] {
    Sha256::new().chain_update(&parcel.creation).chain_update(&parcel.completion).finalize().into()
}

/// Returns the row of a parcel.
pub(crate) fn transfer(
    parcel: &OutboundItem,
    state: TransferState,
    target_id: Option<String>,
    now: Timestamp,
) -> Transfer {
    Transfer {
        mark: parcel.mark.clone(),
        sign: parcel.sign.clone(),
        state,
        target_id,
        origin: parcel.origin.clone(),
        messages: parcel.messages,
        digest: digest(parcel),
        error: None,
        changed_at: Some(now),
    }
}
