//! Migrations into files, one file for each format.

mod contacts;
mod converter;
mod openai;
mod plan;
mod questions;
mod sharegpt;
mod slack;
mod target;
mod vcon;
mod write;

pub use plan::{FilePlan, plan_files};
pub use target::FileTarget;
pub use write::{WrittenFiles, write_files};
