//! Chatbase API v2: conversations of all channels through the export, and those of one user through the user's list.
//!
//! The facts of this vendor, with their sources and doubts, are in `docs/vendors/chatbase-v2.md`.
//! This crate reads, classifies errors and maps; waiting and repeating a failed request is left to the client. It never
//! prints or writes files, and knows no other vendor.

mod agent;
mod config;
mod dialect;
mod export;
mod map;
mod mapper;
mod page_list;
mod segment;
mod source;
mod sweep;
mod target;
mod wire;

pub use source::{ChatbaseV2, DESCRIPTOR, connect, validate};
pub use target::connect_target;

use std::sync::Arc;

use chatark_core::{Mapper, Settings};

/// Creates the mapper of one source.
pub fn mapper(_settings: &Settings) -> Arc<dyn Mapper> {
    Arc::new(mapper::ChatbaseV2Mapper)
}
