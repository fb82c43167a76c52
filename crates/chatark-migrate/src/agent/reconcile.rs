//! Compares what a target holds with the ledger.

use std::collections::HashSet;

use chatark_archive::{Transfer, TransferState};
use chatark_core::Result;
use chatark_target::{DataKind, HeldItem, Target, Visit};

use super::ledger::Ledger;
use super::outcome::ReadBack;
use super::packing::short_hash;

/// Returns the e-mail addresses of people at the target whom no migration has written.
pub(super) async fn existing_emails(
    target: &dyn Target,
    kind: DataKind,
    ledger: Ledger<'_>,
) -> Result<HashSet<String>> {
    let mut emails = HashSet::new();
    let mut visit = |held: &HeldItem| {
        let transfer = ledger.find_held(held)?;
        if transfer.is_none_or(|transfer| transfer.state == TransferState::Refused) {
            emails.extend(held.email.clone());
        }
        Ok(Visit::Done)
    };
    target.visit_held(kind, &mut visit).await?;
    Ok(emails)
}

/// Looks for intended items at the target, records those that it finds as created, and returns their number.
pub(super) async fn recover(target: &dyn Target, kind: DataKind, ledger: Ledger<'_>) -> Result<u64> {
    let mut recovered = 0;
    let mut visit = |held: &HeldItem| {
        let Some(transfer) = ledger.find_held(held)? else {
            let needs_external_id = held.external_id.is_none();
            return Ok(if needs_external_id { Visit::NeedsExternalId } else { Visit::Done });
        };
        if transfer.state == TransferState::Intended {
            let target_id = held.id.clone();
            ledger.save(Transfer { state: TransferState::Created, target_id, ..transfer })?;
            recovered += 1;
        }
        Ok(Visit::Done)
    };
    target.visit_held(kind, &mut visit).await?;
    Ok(recovered)
}

/// Lists the target, and counts how many of the items that are done in the ledger it shows.
pub(super) async fn read_back(target: &dyn Target, kind: DataKind, ledger: Ledger<'_>) -> Result<ReadBack> {
    let mut shown = HashSet::new();
    let mut read_back = ReadBack { expected: ledger.count(TransferState::Done)?, ..ReadBack::default() };
    let mut visit = |held: &HeldItem| {
        let transfer = ledger.find_held(held)?.filter(|transfer| transfer.state == TransferState::Done);
        let is_first = |transfer: &Transfer| shown.insert(short_hash(&transfer.idempotency_key));
        let Some(transfer) = transfer.filter(is_first) else { return Ok(Visit::Done) };
        read_back.found += 1;
        read_back.differing += u64::from(held.messages.is_some_and(|messages| messages != transfer.messages));
        if transfer.target_id.is_none() && held.id.is_some() {
            ledger.save(Transfer { target_id: held.id.clone(), ..transfer })?;
        }
        Ok(Visit::Done)
    };
    target.visit_held(kind, &mut visit).await?;
    if read_back.found < read_back.expected {
        read_back.missing = ledger.missing(&shown)?;
    }
    Ok(read_back)
}
