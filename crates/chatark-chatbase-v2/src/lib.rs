//! Chatbase API v2: conversations of every source through the export, and of one user through the user's list.
//!
//! The facts of this vendor, with their sources and doubts, are in `docs/vendors/chatbase-v2.md`.
//! This crate classifies and maps; it never sleeps, retries, prints or writes files, and knows no other vendor.

mod chain;
mod config;
mod dialect;
mod map;
mod source;
mod sweep;
mod target;
mod wire;

pub use source::{ChatbaseV2, DESCRIPTOR, connect, validate};
pub use target::connect_target;
