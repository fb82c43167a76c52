//! What to report.

use chatark_archive::Filter;
use chatark_core::Zone;
use chatark_formats::CsvDialect;

use crate::group::Granularity;

/// What to report.
#[derive(Debug, Clone)]
pub struct Request {
    /// The conversations to report on.
    pub filter: Filter,
    /// The time zone of its days and hours.
    pub zone: Zone,
    /// The period by which the metrics are grouped.
    pub by: Granularity,
    /// How the CSV files are written.
    pub dialect: CsvDialect,
    /// What the page says about itself, such as the requested dates.
    pub heading: Vec<(String, String)>,
    /// The program and its version.
    pub generator: String,
}
