//! Migrations to files, with one module for each format.

mod contacts;
mod converter;
mod format;
mod openai;
mod plan;
mod questions;
mod sharegpt;
mod slack;
mod vcon;
mod write;

pub use format::FileFormat;
pub use plan::{FilePlan, plan_files};
pub use write::{WrittenFiles, write_files};
