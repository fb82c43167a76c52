//! Simulates the APIs of three chatbot vendors on a loopback port: all that is read, and some of what is written.
//!
//! `chatark demo` runs a whole export against it, and so do the tests and the benchmarks. A
//! [`World`] says which agents exist and what they hold; [`Sandbox`] serves it; a [`Fault`] lets
//! something go wrong at a chosen request.
//!
//! What happened in a conversation is written down once, vendor-neutral, as
//! [`truth::Conversation`]. Each vendor's module renders it to that vendor's wire format, and
//! [`truth::Conversation::expected_from`] says what an export of that vendor can know of it at best.
//! No code of the product is called for that: the sandbox is an independent witness.
//!
//! The crate never reads or writes files and never talks to anything but its own clients.

pub mod truth;

mod expected;

mod dataset;
mod generated;
mod people;
mod sample;
mod stories;
mod world;

mod fault;
mod listener;
mod server;

mod call;
mod chatbase_v1;
mod chatbase_v1_people;
mod chatbase_v2;
mod chatbase_v2_sources;
mod convocore_v3;
mod convocore_v3_lists;
mod convocore_v3_writes;
mod cursor;
mod limiter;
mod message;
mod refusal;
mod time;
mod transport;

#[cfg(test)]
mod tests;

pub use dataset::Dataset;
pub use expected::{Expected, ExpectedMessage};
pub use fault::{Fault, FaultKind, Reset, RetryAfter, Routes};
pub use generated::Generated;
pub use listener::Listener;
pub use server::{Sandbox, SeenRequest};
pub use truth::{Person, Vendor};
pub use world::{Agent, Deployment, Generation, LeadsShape, Limits, ResetUnit, World, Writes, Zone};
