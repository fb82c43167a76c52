//! What a migration over a vendor's API would do: the packing of a run without the sending.

use std::collections::BTreeMap;

use chatark_archive::{Archive, TransferState};
use chatark_core::{Pace, Result};
use chatark_target::{DataKind, LossReport, LossRow, Target};
use serde::Serialize;

use crate::ledger::{LedgerState, digest, known};
use crate::supply::{Order, supply};

/// What would go of one kind, what it would take, and what of it would be lost.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// The kind.
    #[serde(rename = "cargo")]
    pub kind: DataKind,
    /// Conversations that were chosen.
    pub conversations: u64,
    /// Their messages.
    pub messages: u64,
    /// What goes: conversations, people, or pieces of knowledge.
    pub items: u64,
    /// Of these, those that are there already.
    pub already: u64,
    /// Of those that are there already, those that have changed here since; they are left as they are there.
    pub changed: u64,
    /// What went there before and is not among these.
    pub others: u64,
    /// About how many requests it takes, reading back included; more where the agent holds other things.
    pub requests: u64,
    /// How many seconds the vendor's rate limit makes of that; nothing where no limit is documented.
    pub seconds: Option<u64>,
    /// How many credits it costs: none, since no bot answers.
    pub credits: u64,
    /// What becomes of each field.
    #[serde(rename = "losses")]
    pub loss_report: Vec<LossRow>,
}

/// Plans a migration of some kinds into a vendor's API. Writes nothing, and asks nobody.
pub fn forecast(
    archive: &Archive,
    order: &Order,
    target: &dyn Target,
    name: &str,
    kinds: &[DataKind],
) -> Result<Vec<Forecast>> {
    kinds.iter().map(|kind| forecast_of(archive, order, target, name, *kind)).collect()
}

fn forecast_of(
    archive: &Archive,
    order: &Order,
    target: &dyn Target,
    name: &str,
    kind: DataKind,
) -> Result<Forecast> {
    let mut loss_report = LossReport::default();
    let mut standings: BTreeMap<LedgerState, u64> = BTreeMap::new();
    let mut changed = 0;
    let chosen = supply(archive, order, target, kind, &mut loss_report, |item| {
        let held = known(archive, name, kind, &item)?;
        let standing = LedgerState::of(held.as_ref());
        *standings.entry(standing).or_default() += 1;
        changed += u64::from(
            standing == LedgerState::There && held.is_some_and(|held| held.digest != digest(&item)),
        );
        Ok(())
    })?;
    let count = |standing| standings.get(&standing).copied().unwrap_or(0);
    let new = count(LedgerState::New) + count(LedgerState::Doubtful) + count(LedgerState::Refused);
    let already = count(LedgerState::There);
    let created = count(LedgerState::Created) + count(LedgerState::Stuck);
    let done = archive.count_transfers(name, kind.as_str(), TransferState::Done)?;
    let items: u64 = standings.values().sum();
    let limits = target.capabilities().limits(kind).filter(|_| items + done > 0);
    let requests = limits.map_or(0, |limits| {
        let read_back = (done + created + new).div_ceil(limits.items_per_page).max(1);
        let looked_through = if limits.unique_email { read_back } else { 0 };
        looked_through
            + new.div_ceil(limits.items_per_request as u64)
            + (new + created) * limits.further_requests
            + read_back
    });
    let seconds = target
        .capabilities()
        .pace
        .map(|Pace { requests: allowed, seconds }| (requests * seconds).div_ceil(allowed));
    Ok(Forecast {
        kind,
        conversations: chosen.conversations,
        messages: chosen.messages,
        items,
        already,
        others: done.saturating_sub(already),
        changed,
        requests,
        seconds,
        credits: 0,
        loss_report: loss_report.rows(),
    })
}
