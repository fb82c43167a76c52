//! Simulates the APIs of three chatbot vendors on a loopback port: everything that Chatark reads, and some writes.
//!
//! `chatark demo`, the tests and the benchmarks run against it. A [`World`] defines the agents and
//! their data; [`Sandbox`] serves it; a [`Fault`] makes chosen requests fail.
//!
//! A conversation is defined once, independent of vendors, as [`truth::Conversation`]. Each vendor's
//! module renders it to that vendor's wire format, and [`truth::Conversation::expected_from`] returns
//! what a perfect export from that vendor contains. The sandbox uses no code of the product, so it is
//! an independent source of truth.
//!
//! The crate opens no files, and the server listens on the loopback interface only.

pub mod truth;

mod expected;

mod dataset;
mod generated;
mod people;
mod sample;
mod stories;
mod world;

mod fault;
mod request_counter;
mod server;

mod api_error;
mod call;
mod chatbase_v1;
mod chatbase_v1_parameters;
mod chatbase_v1_people;
mod chatbase_v2;
mod chatbase_v2_sources;
mod convocore_v3;
mod convocore_v3_lists;
mod convocore_v3_messages;
mod convocore_v3_writes;
mod cursor;
mod delivery;
mod exchange;
mod rate_limiter;
mod time;

#[cfg(test)]
mod tests;

pub use dataset::Dataset;
pub use expected::{Expected, ExpectedMessage};
pub use fault::{Fault, FaultKind, RateLimitReset, RetryAfter, Routes};
pub use generated::GeneratorSettings;
pub use request_counter::RequestCounter;
pub use server::{Sandbox, SeenRequest};
pub use truth::{Person, Vendor};
pub use world::{Agent, Deployment, Generation, LeadsShape, Limits, ResetUnit, World, WriteBehaviour, Zone};
