//! Migrations to an agent over its vendor's API.
//!
//! The ledger records the items of each request before it is sent, and their outcome after it. So a killed run can be
//! repeated: items whose outcome is unknown are looked for at the target before they are created again.

mod item_sender;
mod ledger;
mod migration;
mod migrator;
mod outcome;
mod packing;
mod plan;
mod progress;
mod reconcile;
mod request;

pub use migration::{AgentMigration, MigrationObserver};
pub use migrator::migrate;
pub use outcome::{ItemCounts, KindResult, ReadBack};
pub use packing::MigrationOptions;
pub use plan::{AgentPlan, plan_agent};
