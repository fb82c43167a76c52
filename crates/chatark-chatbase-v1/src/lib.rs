//! Chatbase API v1: conversations by page, without a total, without message times; contacts and leads from separate
//! lists.
//!
//! The facts of this vendor, with their sources and doubts, are in `docs/vendors/chatbase-v1.md`.
//! This crate reads, classifies errors and maps; waiting and repeating a failed request is left to the client. It never
//! prints or writes files, and knows no other vendor.

mod account;
mod budget;
mod config;
mod contacts;
mod counter;
mod dialect;
mod ending;
mod failing_pages;
mod failure;
mod gaps;
mod list;
mod map;
mod mapper;
mod newest;
mod parameters;
mod refused;
mod sizes;
mod source;
mod span;
mod step;
mod target;
mod unseen;
mod walk;
mod windows;
mod wire;

pub use account::ChatbaseV1;
pub use source::{DESCRIPTOR, connect, validate};
pub use target::connect_target;

use std::sync::Arc;

use chatark_core::{Mapper, Settings};

/// Creates the mapper of one source.
pub fn mapper(_settings: &Settings) -> Arc<dyn Mapper> {
    Arc::new(mapper::ChatbaseV1Mapper)
}
