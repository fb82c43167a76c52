//! Reports: metrics over the archive, as CSV for programs, as one HTML page for people, and as a summary for a
//! terminal.
//!
//! Every metric is computed in one pass over the statistics that the archive stores with each conversation. A metric
//! that a vendor's data does not support is *not available*, with the reason, and never zero.
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
mod number_format;
mod report;
mod request;
mod summary;
mod tally;

pub use compare::{Comparison, ComparisonVerdict, compare_sources};
pub use group::Granularity;
pub use number_format::format_value;
pub use report::{Report, write_report};
pub use request::ReportRequest;
pub use summary::{
    PeriodCount, QuestionCount, SourceSummary, Summary, SummaryRow, ToolCalls, UnavailableMetric,
};
