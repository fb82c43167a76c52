//! What to migrate to which agent.

use std::fmt;
use std::sync::Arc;

use chatark_core::Clock;
use chatark_target::{DataKind, Target};

use super::outcome::ItemCounts;
use super::packing::MigrationOptions;

/// A migration to one agent of a vendor.
#[derive(Debug, Clone)]
pub struct AgentMigration {
    /// The agent.
    pub target: Arc<dyn Target>,
    /// The name of the target in the ledger.
    pub name: String,
    /// The kinds to migrate, one after the other.
    pub kinds: Vec<DataKind>,
    /// What is migrated, and how.
    pub options: MigrationOptions,
    /// The wall clock.
    pub clock: Clock,
}

/// Observes the progress of a migration.
pub trait MigrationObserver: fmt::Debug + Send + Sync {
    /// Receives the counts so far. Must not block.
    fn on_progress(&self, kind: DataKind, counts: &ItemCounts);
}
