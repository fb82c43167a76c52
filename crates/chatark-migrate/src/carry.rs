//! A migration over a vendor's API: what is not there yet is created, what is doubtful is looked for, and in the end
//! all of it is read back and counted.
//!
//! The ledger says before each request what is intended, and after it what came of it. So a run that was killed can
//! be run again: what was about to be created is looked for at the target before it is created once more.

use std::fmt;
use std::sync::Arc;

use chatark_archive::Archive;
use chatark_core::{Clock, Error, Result};
use chatark_target::{DataKind, LossRow, Target};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::migrator::Migrator;
use crate::supply::Order;

/// A migration into one agent of a vendor.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where it goes.
    pub target: Arc<dyn Target>,
    /// The name of the target in the ledger.
    pub name: String,
    /// The kinds that go, one after the other.
    pub kinds: Vec<DataKind>,
    /// What goes of them.
    pub order: Order,
    /// Tells the time.
    pub clock: Clock,
}

/// Is told how far a migration is.
pub trait Progress: fmt::Debug + Send + Sync {
    /// Takes the numbers so far; must not block.
    fn advance(&self, kind: DataKind, tally: &Tally);
}

/// What became of the items of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Parcels that were chosen.
    pub items: u64,
    /// Parcels that this run wrote.
    pub written: u64,
    /// Parcels that were there already.
    pub already: u64,
    /// Of those, the ones that have changed here since; they are left as they are there.
    pub changed: u64,
    /// People who were there without Chatark, known by their e-mail address; they are left as they are.
    pub theirs: u64,
    /// Parcels of an earlier request without an answer that were archived at the target, and not written twice.
    pub recovered: u64,
    /// Parcels that the vendor refused.
    pub refused: u64,
}

/// What the target shows in the end of what the ledger says is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadBack {
    /// How many the ledger has, of this run and those before it.
    pub expected: u64,
    /// How many of them the target shows.
    pub found: u64,
    /// How many of those have another number of messages.
    pub differing: u64,
    /// The keys of some that it does not show.
    pub missing: Vec<String>,
}

/// What a migration of one kind came to.
#[derive(Debug, Serialize)]
pub struct Carried {
    /// The kind.
    #[serde(rename = "cargo")]
    pub kind: DataKind,
    /// Conversations that were chosen.
    pub conversations: u64,
    /// Their messages.
    pub messages: u64,
    /// What became of them.
    #[serde(flatten)]
    pub tally: Tally,
    /// Parcels that the run did not come to, or of which it is not known whether they are there.
    pub left: u64,
    /// What an earlier run began and neither completed nor is among what was chosen now.
    pub unfinished: u64,
    /// What was read back; nothing where the run did not come so far.
    pub read_back: Option<ReadBack>,
    /// What becomes of each field.
    #[serde(rename = "losses")]
    pub loss_report: Vec<LossRow>,
    /// What ended the run early.
    #[serde(skip)]
    pub error: Option<Error>,
    /// What the vendor said when it last refused an item.
    #[serde(skip)]
    pub refusal: Option<Error>,
}

impl ReadBack {
    /// Returns whether the target shows all of it, whole.
    pub fn is_whole(&self) -> bool {
        self.found >= self.expected && self.differing == 0
    }
}

impl Carried {
    /// Returns whether everything that was chosen is there.
    pub fn is_good(&self) -> bool {
        self.error.is_none()
            && self.tally.refused == 0
            && self.read_back.as_ref().is_some_and(ReadBack::is_whole)
    }
}

/// Carries everything to the target, kind after kind, and returns the archive with what each came to.
///
/// An error ends the run, with what was done kept. When `stop` is cancelled, nothing more is sent, and what is under
/// way is waited for.
pub async fn carry(
    archive: Archive,
    job: Job,
    progress: Arc<dyn Progress>,
    stop: CancellationToken,
) -> Result<(Archive, Vec<Carried>)> {
    let kinds = job.kinds.clone();
    let carrier = Migrator::new(archive, job, progress, stop);
    let mut outcomes = Vec::new();
    for kind in kinds {
        let outcome = carrier.carry(kind).await;
        let has_ended = outcome.error.is_some();
        outcomes.push(outcome);
        if has_ended {
            break;
        }
    }
    Ok((carrier.into_archive(), outcomes))
}
