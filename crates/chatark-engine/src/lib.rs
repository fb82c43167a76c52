//! Runs pulls, rebuilds and verifications. A pull reads sources side by side, each from its provider through a bounded
//! channel into the archive.
//!
//! For every source, one task fetches batches and prepares them on all cores, and another commits them in order. At
//! most a few batches are between the two, so memory does not grow with the size of the account.
//!
//! **This crate knows no terminal, no file format and no vendor.** An [`Observer`] receives what happens.

mod cores;
mod drift;
mod ending;
mod environment;
mod outcome;
mod plan;
mod prepare;
mod pull;
mod rebuild;
mod sync_mode;
mod verify;

pub use drift::DriftPolicy;
pub use environment::{Environment, Workers};
pub use outcome::{Event, Observer, Outcome, StreamOutcome};
pub use plan::{PullPlan, plan};
pub use pull::{PullParameters, Source, pull};
pub use rebuild::{MappedSource, rebuild};
pub use sync_mode::RefreshPolicy;
pub use tokio_util::sync::CancellationToken;
pub use verify::{Finding, LiveCount, SourceVerification, Verification, live_count, verify};
