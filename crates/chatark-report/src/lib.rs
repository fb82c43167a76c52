//! Reports: metrics over the archive, as CSV for programs, as one HTML page for people, and as numbers for a terminal.
//!
//! Each metric is one SQL file under `metrics`, over the views that `chatark-archive` makes and `docs/schema.md`
//! describes, in SQL that other engines run as well. What a vendor's data cannot support is *not available*, with
//! the reason, and never zero.
//!
//! **This crate knows no vendor, no HTTP and no clock, and prints nothing.**

mod chart;
mod compare;
mod html;
mod metric;
mod report;
mod summary;

pub use compare::{Comparison, Verdict, compare};
pub use html::shown;
pub use report::{Report, Request, write};
pub use summary::{Point, Question, Source, Summary, SummaryRow, Tool, Unavailable};
