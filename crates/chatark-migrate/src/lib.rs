//! Carries conversations, people and knowledge out of the archive to another platform, and says what is lost.
//!
//! A target turns each conversation into items of its own and tells, field by field, what became of what it archived:
//! kept, approximated or lost. A plan is the same work without the writing, so that its loss report is what a run
//! would do, and not what somebody believed that it would.
//!
//! **This crate knows no terminal, no vendor and no HTTP.** What each target takes is told in `docs/migrate.md`.

mod carry;
mod files;
mod forecast;
mod knowledge;
mod ledger;
mod migrator;
mod pairs;
mod people;
mod person;
mod plan;
mod run;
mod selection;
mod supply;
mod target;

use std::fmt::Write as _;

pub use carry::{Carried, Job, Progress, ReadBack, Tally, carry};
pub use forecast::{Forecast, forecast};
pub use plan::{Plan, plan, refuse_nothing};
pub use run::{Written, run};
pub use selection::Selection;
pub use supply::Order;
pub use target::FileTarget;
pub use tokio_util::sync::CancellationToken;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
