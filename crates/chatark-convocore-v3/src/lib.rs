//! Convocore API v3: conversations through the bulk export, both the paged one and the older one, which returns one
//! array.
//!
//! The facts of this vendor, with their sources and doubts, are in `docs/vendors/convocore-v3.md`.
//! This crate reads, classifies errors and maps; waiting and repeating a failed request is left to the client. It never
//! prints or writes files, and knows no other vendor.
//!
//! The *export* has whole conversations and is metered; the *list* has rows without messages, and is not, as far as is known.

mod account;
mod backward;
mod backward_bypass;
mod batches;
mod bypass;
mod changes;
mod config;
mod descriptor;
mod dialect;
mod export;
mod exported;
mod failure;
mod feedback;
mod fetch;
mod gaps;
mod idle_pages;
mod list;
mod list_index;
mod map;
mod mapper;
mod message_time;
mod obstacles;
mod one_array;
mod pack;
mod page_size;
mod parts;
mod price;
mod pull;
mod quota;
mod rotation;
mod row;
mod selection;
mod source;
mod span;
mod target;
mod turns;
mod walk;
mod walk_state;
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
