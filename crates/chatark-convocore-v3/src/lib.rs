//! Convocore API v3: conversations through the bulk export, both the paged one and the older one, which returns one
//! array.
//!
//! The facts of this vendor, with their sources and doubts, are in `docs/vendors/convocore-v3.md`.
//! This crate classifies and maps; it never sleeps, retries, prints or writes files, and knows no other vendor.

mod account;
mod backwards;
mod backwards_over;
mod batches;
mod changes;
mod config;
mod descriptor;
mod dialect;
mod directory;
mod export;
mod failure;
mod feedback;
mod fetch;
mod gaps;
mod list;
mod map;
mod mapper;
mod moment;
mod obstacles;
mod one_array;
mod pack;
mod parts;
mod place;
mod price;
mod progress;
mod pull;
mod rotation;
mod row;
mod selection;
mod source;
mod span;
mod step_over;
mod target;
mod turns;
mod walk;
mod windows;
mod wire;

pub use account::ConvocoreV3;
pub use descriptor::DESCRIPTOR;
pub use source::{connect, validate};
pub use target::connect_target;

use std::sync::Arc;

use chatark_core::{Mapper, Settings};

/// Creates the mapper of one source, for the time zone in its settings.
pub fn mapper(settings: &Settings) -> Arc<dyn Mapper> {
    Arc::new(mapper::ConvocoreV3Mapper { zone: config::zone(settings) })
}
