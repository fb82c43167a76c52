//! Walks over a vendor that behaves in every way that its documents allow.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod again;
mod ending;
mod gaps;
mod moving;
mod parameters;
mod people;
mod properties;
mod unseen;
mod vendor;
