//! Reports: metrics over the archive, as CSV for programs, as one HTML page for people, and as numbers for a terminal.
//!
//! One pass over the statistics that the archive holds of each conversation gives every metric. What a vendor's data
//! cannot support is *not available*, with the reason, and never zero.
//!
//! **This crate knows no vendor, no HTTP and no clock, and prints nothing.**

mod aggregate;
mod chart;
mod compare;
mod counts;
mod distribution;
mod escape;
mod group;
mod html;
mod metric;
mod report;
mod request;
mod summary;
mod tally;

pub use compare::{Comparison, ComparisonVerdict, compare};
pub use group::Granularity;
pub use html::format_value;
pub use report::{Report, write};
pub use request::Request;
pub use summary::{Point, Question, Source, Summary, SummaryRow, Tool, Unavailable};
