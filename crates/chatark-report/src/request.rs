//! The request for a report.

use chatark_archive::Filter;
use chatark_core::Zone;
use chatark_formats::CsvDialect;

use crate::group::Granularity;

/// What a report covers, and how it is written.
#[derive(Debug, Clone)]
pub struct ReportRequest {
    /// The conversations to report on.
    pub filter: Filter,
    /// The time zone of days and hours.
    pub zone: Zone,
    /// The length of the periods by which metrics are grouped.
    pub granularity: Granularity,
    /// How the CSV files are written.
    pub dialect: CsvDialect,
    /// Names and values for the head of the page, such as the requested dates.
    pub heading: Vec<(String, String)>,
    /// The program and its version.
    pub generator: String,
}
