//! Convocore API v3: conversations through the bulk export, both the paged one and the older one, which returns one
//! array.
//!
//! The facts of this vendor, with their sources and doubts, are in `docs/vendors/convocore-v3.md`.
//! This crate classifies and maps; it never sleeps, retries, prints or writes files, and knows no other vendor.

mod config;
mod dialect;
mod export;
mod feedback;
mod map;
mod mapper;
mod moment;
mod pack;
mod parts;
mod source;
mod target;
mod turns;
mod wire;

pub use source::{ConvocoreV3, DESCRIPTOR, connect, validate};
pub use target::connect_target;

use std::sync::Arc;

use chatark_core::{Mapper, Settings};

/// Creates the mapper of one source, for the time zone in its settings.
pub fn mapper(settings: &Settings) -> Arc<dyn Mapper> {
    Arc::new(mapper::ConvocoreV3Mapper { zone: config::zone(settings) })
}
