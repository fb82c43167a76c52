//! Streams of records, from a vendor with prepared responses to the archive and the run log.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod changes;
mod environment;
mod messages;
mod people;
mod support;
