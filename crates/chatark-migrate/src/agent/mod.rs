//! Migrations into an agent over its vendor's API.
//!
//! The ledger records what is about to be sent before each request, and its outcome after it. So a killed run can be
//! repeated: whatever was about to be created is looked for at the target before it is created again.

mod ledger;
mod migration;
mod migrator;
mod outcome;
mod packing;
mod plan;
mod progress;
mod reconcile;
mod request;
mod walk;

pub use migration::{AgentMigration, MigrationObserver};
pub use migrator::migrate;
pub use outcome::{ItemCounts, KindResult, ReadBack};
pub use packing::MigrationOptions;
pub use plan::{AgentPlan, plan_agent};
