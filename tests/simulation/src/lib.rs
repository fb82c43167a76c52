//! A deterministic simulation of the whole pull: one process, virtual time, and a world that a seed determines.
//!
//! | part | file |
//! |---|---|
//! | the conversations and what happens to them | `population` |
//! | what the vendor does with a request | `vendor` |
//! | what goes wrong | `faults` |
//! | how requests reach the world | `transport` |
//! | what the user does | `schedule` |
//! | one seed from its beginning to its end | `simulation` |
//! | a pull that has ended | `pull` |
//! | the promises | `invariants` |
//! | many seeds on all cores | `batch` |
//!
//! The world is written from the vendors' documents alone. Wherever these are silent or contradict each other, a
//! deployment may do either, and the seed decides.
//!
//! Everything above the transport is the real thing: retries, pacing, walkers, engine and archive.

#![allow(clippy::cast_possible_truncation, reason = "draws are small numbers")]
#![allow(clippy::struct_excessive_bools, reason = "facts about a deployment are independent of each other")]

pub mod batch;
pub mod faults;
pub mod held;
pub mod invariants;
pub mod population;
pub mod pull;
pub mod random;
pub mod schedule;
pub mod simulation;
pub mod time;
pub mod transport;
pub mod vendor;
