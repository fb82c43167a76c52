//! Migrates conversations, people and knowledge from the archive to other platforms, and reports what is lost.
//!
//! There are two kinds of targets: files of a format ([`FileFormat`]), and agents, which are written to over their
//! vendor's API ([`chatark_target::Target`]). A plan does the work of a run without writing anything, so that its loss
//! report is exact.
//!
//! **This crate knows no terminal, no vendor and no HTTP.** `docs/migrate.md` describes what each target takes.

mod agent;
mod answered_question;
mod empty;
mod files;
mod knowledge;
mod people;
mod person_keys;
mod selection;

use std::fmt::Write as _;

pub use agent::{
    AgentMigration, AgentPlan, ItemCounts, KindResult, MigrationObserver, MigrationOptions, ReadBack,
    migrate, plan_agent,
};
pub use empty::refuse_empty;
pub use files::{FileFormat, FilePlan, WrittenFiles, plan_files, write_files};
pub use selection::MigrationSelection;
pub use tokio_util::sync::CancellationToken;

/// Returns bytes in lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
