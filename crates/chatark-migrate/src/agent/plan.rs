//! The plan of a migration to an agent: packs everything and sends nothing.

use std::collections::BTreeMap;

use chatark_archive::{Archive, TransferState};
use chatark_core::{RateLimit, Result};
use chatark_target::{DataKind, KindLimits, LossReport, LossRow, Target};
use serde::Serialize;

use super::ledger::{ItemState, digest, find};
use super::packing::{MigrationOptions, limits_of, pack_all};

/// What would be migrated of one kind, its cost, and what would be lost.
#[derive(Debug, Serialize)]
pub struct AgentPlan {
    /// The kind.
    #[serde(rename = "cargo")]
    pub kind: DataKind,
    /// The number of selected conversations.
    pub conversations: u64,
    /// The number of their messages.
    pub messages: u64,
    /// The number of items: conversations, people, or answers or texts.
    pub items: u64,
    /// Of these, items that are already at the target.
    pub already: u64,
    /// Of those, items that have since changed in the archive. They are not changed at the target.
    pub changed: u64,
    /// Items of earlier runs at the target that are not selected now.
    pub others: u64,
    /// The estimated number of requests, including those that read back. It is higher if the agent holds other items.
    pub requests: u64,
    /// The duration of these requests in seconds, by the vendor's rate limit; `None` if no limit is documented.
    pub seconds: Option<u64>,
    /// The cost in credits: always 0, because no bot answers.
    pub credits: u64,
    /// What becomes of each field.
    #[serde(rename = "losses")]
    pub loss_report: Vec<LossRow>,
}

/// Plans a migration of some kinds to an agent, named `name` in the ledger. Writes nothing and makes no request.
pub fn plan_agent(
    archive: &Archive,
    options: &MigrationOptions,
    target: &dyn Target,
    name: &str,
    kinds: &[DataKind],
) -> Result<Vec<AgentPlan>> {
    kinds.iter().map(|kind| plan_kind(archive, options, target, name, *kind)).collect()
}

fn plan_kind(
    archive: &Archive,
    options: &MigrationOptions,
    target: &dyn Target,
    name: &str,
    kind: DataKind,
) -> Result<AgentPlan> {
    let mut loss_report = LossReport::default();
    let (mut states, mut changed) = (StateCounts::default(), 0);
    let selected = pack_all(archive, options, target, kind, &mut loss_report, |item| {
        let transfer = find(archive, name, kind, &item)?;
        let state = ItemState::of(transfer.as_ref());
        states.add(state);
        let has_changed = transfer.is_some_and(|transfer| transfer.digest != digest(&item));
        changed += u64::from(state == ItemState::Done && has_changed);
        Ok(())
    })?;
    let done = archive.count_transfers(name, kind.as_str(), TransferState::Done)?;
    let requests = states.requests(limits_of(target, kind)?, done);
    let seconds =
        |RateLimit { requests: allowed, seconds }: RateLimit| (requests * seconds).div_ceil(allowed);
    let already = states.count(&[ItemState::Done]);
    Ok(AgentPlan {
        kind,
        conversations: selected.conversations,
        messages: selected.messages,
        items: states.all(),
        already,
        others: done.saturating_sub(already),
        changed,
        requests,
        seconds: target.capabilities().rate_limit.map(seconds),
        credits: 0,
        loss_report: loss_report.rows(),
    })
}

/// The number of items in each state.
#[derive(Default)]
struct StateCounts(BTreeMap<ItemState, u64>);

impl StateCounts {
    fn add(&mut self, state: ItemState) {
        *self.0.entry(state).or_default() += 1;
    }

    fn all(&self) -> u64 {
        self.0.values().sum()
    }

    fn count(&self, states: &[ItemState]) -> u64 {
        states.iter().filter_map(|state| self.0.get(state)).sum()
    }

    /// Estimates the number of requests of a run, given the number of items that are already done.
    fn requests(&self, limits: &KindLimits, done: u64) -> u64 {
        if self.all() + done == 0 {
            return 0;
        }
        let new = self.count(&[ItemState::New, ItemState::Ambiguous, ItemState::Refused]);
        let created = self.count(&[ItemState::Created, ItemState::CompletionRefused]);
        let pages = (done + created + new).div_ceil(limits.items_per_page).max(1);
        let email_pages = if limits.unique_email { pages } else { 0 };
        let creations = new.div_ceil(limits.items_per_request as u64);
        email_pages + creations + (new + created) * limits.further_requests + pages
    }
}
