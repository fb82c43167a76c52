//! What a migration over a vendor's API would do: the packing of a run without the sending.

use std::collections::BTreeMap;

use chatark_archive::{Archive, TransferState};
use chatark_core::{DataKind, Loss, LossReport, Pace, Result, Target};
use serde::Serialize;

use crate::ledger::{LedgerState, digest, known};
use crate::supply::{Order, supply};

/// What would go of one kind, what it would take, and what of it would be lost.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// The kind.
    pub cargo: DataKind,
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
    pub losses: Vec<Loss>,
}

/// Plans a migration of some kinds into a vendor's API. Writes nothing, and asks nobody.
pub fn forecast(
    archive: &Archive,
    order: &Order,
    target: &dyn Target,
    name: &str,
    cargos: &[DataKind],
) -> Result<Vec<Forecast>> {
    cargos.iter().map(|cargo| forecast_of(archive, order, target, name, *cargo)).collect()
}

fn forecast_of(
    archive: &Archive,
    order: &Order,
    target: &dyn Target,
    name: &str,
    cargo: DataKind,
) -> Result<Forecast> {
    let mut losses = LossReport::default();
    let mut standings: BTreeMap<LedgerState, u64> = BTreeMap::new();
    let mut changed = 0;
    let chosen = supply(archive, order, target, cargo, &mut losses, |parcel| {
        let held = known(archive, name, cargo, &parcel)?;
        let standing = LedgerState::of(held.as_ref());
        *standings.entry(standing).or_default() += 1;
        changed += u64::from(
            standing == LedgerState::There && held.is_some_and(|held| held.digest != digest(&parcel)),
        );
        Ok(())
    })?;
    let count = |standing| standings.get(&standing).copied().unwrap_or(0);
    let new = count(LedgerState::New) + count(LedgerState::Doubtful) + count(LedgerState::Refused);
    let already = count(LedgerState::There);
    let created = count(LedgerState::Created) + count(LedgerState::Stuck);
    let done = archive.count_transfers(name, cargo, TransferState::Done)?;
    let items: u64 = standings.values().sum();
    let taking = target.terms().taking(cargo).filter(|_| items + done > 0);
    let requests = taking.map_or(0, |taking| {
        let read_back = (done + created + new).div_ceil(taking.listed_at_once).max(1);
        let looked_through = if taking.unique_email { read_back } else { 0 };
        looked_through
            + new.div_ceil(taking.at_once as u64)
            + (new + created) * taking.requests_each
            + read_back
    });
    let seconds =
        target.terms().pace.map(|Pace { requests: allowed, seconds }| (requests * seconds).div_ceil(allowed));
    Ok(Forecast {
        cargo,
        conversations: chosen.conversations,
        messages: chosen.messages,
        items,
        already,
        others: done.saturating_sub(already),
        changed,
        requests,
        seconds,
        credits: 0,
        losses: losses.rows(),
    })
}
