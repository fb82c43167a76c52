//! The trait of a platform that takes data: what it takes, in which form, and what is lost on the way.
//!
//! A provider crate implements [`Target`] if its vendor can be written into; the others do not need this crate.
//! Migrations pack items for targets and count in a [`LossReport`] what becomes of each field.
//!
//! **This crate never performs I/O** and knows no vendor, no archive and no terminal.

mod item;
mod loss_report;
mod original;
mod target;

pub use item::{DataKind, MigrationItem, OutboundItem, Person, QuestionAnswer, Text, array_body};
pub use loss_report::{FieldOutcome, FieldRule, LossReport, LossRow, NO_FIELD};
pub use original::{COPY_NOTE_PREFIX, Original, original_in};
pub use target::{Capabilities, HeldItem, KindLimits, Target, Visit, Visitor};
