//! The ledger of migrations, for the items of one kind at one target.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chatark_archive::{Archive, Transfer, TransferState};
use chatark_core::{Clock, Error, Result, Timestamp};
use chatark_target::{DataKind, HeldItem, OutboundItem};
use sha2::{Digest, Sha256};

use super::packing::short_hash;

/// The maximum number of missing items that are listed.
const MAX_MISSING: usize = 20;

/// The state of an item, according to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ItemState {
    /// It is not at the target.
    New,
    /// It is not at the target: the vendor refused it in an earlier run.
    Refused,
    /// It may be at the target: an earlier run was about to create it.
    Ambiguous,
    /// It is at the target, and not yet complete.
    Created,
    /// It is at the target, and the vendor refused to complete it.
    CompletionRefused,
    /// It is at the target, and complete.
    Done,
}

impl ItemState {
    pub(super) fn of(transfer: Option<&Transfer>) -> Self {
        let Some(transfer) = transfer else { return Self::New };
        match transfer.state {
            TransferState::Refused => Self::Refused,
            TransferState::Intended => Self::Ambiguous,
            TransferState::Created if transfer.error.is_some() => Self::CompletionRefused,
            TransferState::Created => Self::Created,
            TransferState::Done => Self::Done,
        }
    }
}

/// Returns the transfer of an item, by its idempotency key or a key of earlier runs.
pub(super) fn find(
    archive: &Archive,
    target: &str,
    kind: DataKind,
    item: &OutboundItem,
) -> Result<Option<Transfer>> {
    for key in std::iter::once(&item.idempotency_key).chain(&item.previous_keys) {
        if let Some(transfer) = archive.transfer(target, kind.as_str(), key)? {
            return Ok(Some(transfer));
        }
    }
    Ok(None)
}

/// Returns the hash of the bodies that are sent for an item.
pub(super) fn digest(item: &OutboundItem) -> [u8; 32] {
    Sha256::new().chain_update(&item.create_body).chain_update(&item.complete_body).finalize().into()
}

/// The ledger of one kind of items at one target.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    archive: &'a Mutex<Archive>,
    target: &'a str,
    kind: DataKind,
    clock: &'a Clock,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(
        archive: &'a Mutex<Archive>,
        target: &'a str,
        kind: DataKind,
        clock: &'a Clock,
    ) -> Self {
        Self { archive, target, kind, clock }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the transfer of an item, and replaces an idempotency key of earlier runs with the current one.
    pub(super) fn find_and_rekey(&self, item: &OutboundItem) -> Result<Option<Transfer>> {
        let mut archive = self.archive();
        let Some(transfer) = find(&archive, self.target, self.kind, item)? else { return Ok(None) };
        let key = &item.idempotency_key;
        if transfer.idempotency_key != *key {
            archive.rekey_transfer(self.target, self.kind.as_str(), &transfer.idempotency_key, key)?;
        }
        Ok(Some(Transfer { idempotency_key: key.clone(), ..transfer }))
    }

    /// Returns the transfer of an item that the target holds.
    pub(super) fn find_held(&self, held: &HeldItem) -> Result<Option<Transfer>> {
        let (archive, kind) = (self.archive(), self.kind.as_str());
        if let Some(id) = &held.id
            && let Some(transfer) = archive.transfer_by_target_id(self.target, kind, id)?
        {
            return Ok(Some(transfer));
        }
        match &held.external_id {
            Some(id) => archive.transfer_by_external_id(self.target, kind, id),
            None => Ok(None),
        }
    }

    /// Records the state of items, with their ids at the target where they are known, and the error that led to it.
    pub(super) fn record(
        &self,
        items: &[OutboundItem],
        state: TransferState,
        ids: &[Option<String>],
        error: Option<&Error>,
    ) -> Result<()> {
        let now = self.now();
        let ids = ids.iter().cloned().chain(std::iter::repeat(None));
        let transfers: Vec<_> = items
            .iter()
            .zip(ids)
            .map(|(item, target_id)| Transfer {
                idempotency_key: item.idempotency_key.clone(),
                external_id: item.external_id.clone(),
                state,
                target_id,
                origin: item.origin.clone(),
                messages: item.messages,
                digest: digest(item),
                error: error.map(ToString::to_string),
                changed_at: Some(now),
            })
            .collect();
        self.archive().save_transfers(self.target, self.kind.as_str(), &transfers)
    }

    /// Replaces a transfer.
    pub(super) fn save(&self, transfer: Transfer) -> Result<()> {
        self.archive().save_transfers(self.target, self.kind.as_str(), &[transfer])
    }

    /// Deletes the transfers of items.
    pub(super) fn delete(&self, items: &[OutboundItem]) -> Result<()> {
        let keys: Vec<_> = items.iter().map(|item| item.idempotency_key.as_str()).collect();
        self.archive().delete_transfers(self.target, self.kind.as_str(), &keys)
    }

    pub(super) fn count(&self, state: TransferState) -> Result<u64> {
        self.archive().count_transfers(self.target, self.kind.as_str(), state)
    }

    pub(super) fn count_unfinished(&self) -> Result<u64> {
        self.archive().count_unfinished_transfers(self.target, self.kind.as_str())
    }

    /// Returns the idempotency keys of at most [`MAX_MISSING`] items that are done and that the target does not show.
    pub(super) fn missing(&self, shown: &HashSet<[u8; 16]>) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        self.archive().each_transfer(|target, kind, transfer| {
            let is_expected =
                target == self.target && kind == self.kind.as_str() && transfer.state == TransferState::Done;
            let key = &transfer.idempotency_key;
            if is_expected && missing.len() < MAX_MISSING && !shown.contains(&short_hash(key)) {
                missing.push(key.clone());
            }
            Ok(())
        })?;
        Ok(missing)
    }

    fn archive(&self) -> MutexGuard<'a, Archive> {
        self.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
