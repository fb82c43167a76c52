//! Carries conversations, people and knowledge out of the archive to another platform, and says what is lost.
//!
//! A target turns each conversation into items of its own and tells, field by field, what became of what it found:
//! kept, approximated or lost. A plan is the same work without the writing, so that its loss report is what a run
//! would do, and not what somebody believed that it would.
//!
//! **This crate knows no terminal, no vendor and no HTTP.** What each target takes is told in `docs/migrate.md`.

mod files;
mod pairs;
mod person;
mod plan;
mod run;
mod selection;
mod target;

use std::fmt::Write as _;

pub use plan::{Plan, plan};
pub use run::{Written, run};
pub use selection::Selection;
pub use target::FileTarget;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
