//! One file for each format.

pub(crate) mod contacts;
pub(crate) mod openai;
pub(crate) mod questions;
pub(crate) mod sharegpt;
pub(crate) mod slack;
pub(crate) mod vcon;
