//! The list of metrics: one file of SQL each.

use chatark_formats::{Column, Kind};

/// One metric: a CSV file, and the SQL that its rows come from.
#[derive(Debug)]
pub(crate) struct Metric {
    /// The CSV file.
    pub(crate) file: &'static str,
    /// What it is about.
    pub(crate) title: &'static str,
    /// What its rows come from: slot, metric, value and basis, then its own columns.
    pub(crate) sql: &'static str,
    /// Its own columns, after the seven.
    pub(crate) columns: &'static [Column],
    /// By what its rows are grouped.
    pub(crate) grouping: Grouping,
}

/// By what the rows of a metric are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Days, weeks and months.
    EachPeriod,
    /// The period that was asked for.
    Period,
    /// Sources, and everything together: what is ranked cannot be added up.
    Sources,
}

/// The columns that every metric has first, a contract: new ones only at the end.
pub(crate) const BASE: [Column; 7] = [
    Column::new(
        "period",
        Kind::Text,
        "A day, ISO week or month, or all, or undated where the vendor gives no date",
    ),
    Column::new("source", Kind::Text, "Name of the source, empty for all sources together"),
    Column::new("provider", Kind::Text, "The vendor's API, empty for all sources together"),
    Column::new("channel", Kind::Text, "Where the conversations took place, empty for all channels together"),
    Column::new("metric", Kind::Text, "What is measured"),
    Column::new("value", Kind::Number, "The number"),
    Column::new("basis", Kind::Integer, "How many conversations, messages or people the value rests on"),
];

const STATUS: Column =
    Column::new("status", Kind::Text, "The state of the conversations, empty for messages");
const TOOL: Column = Column::new("tool", Kind::Text, "The name of the tool");
const TOOL_STATUS: Column = Column::new("tool_status", Kind::Text, "How the calls went");
const WEEKDAY: Column = Column::new("weekday", Kind::Integer, "The day of the week, from 1 for Monday to 7");
const HOUR: Column = Column::new("hour", Kind::Integer, "The hour of the day, from 0 to 23");
const QUESTION: Column =
    Column::new("question", Kind::Text, "What was asked, in lower case and without punctuation");

impl Metric {
    /// Returns the query for its rows: the slots that its SQL speaks of are named, and the rows sorted.
    pub(crate) fn query(&self) -> String {
        let own = self.columns.iter().fold(String::new(), |own, column| own + ", " + column.name);
        // What is ranked comes in its order; all else by its own columns.
        let order =
            if self.grouping == Grouping::Sources { format!(", value DESC{own}") } else { own.clone() };
        format!(
            "SELECT period, source, provider, channel, metric, value, basis{own}
             FROM ({}) JOIN slots USING (slot)
             ORDER BY period, source, provider, channel, metric{order}",
            self.sql
        )
    }
}

/// Declares a metric whose file of SQL has the name of its CSV file.
macro_rules! metric {
    ($name:literal, $title:literal, $columns:expr, $grouping:ident) => {
        Metric {
            file: concat!($name, ".csv"),
            title: $title,
            sql: include_str!(concat!("metrics/", $name, ".sql")),
            columns: $columns,
            grouping: Grouping::$grouping,
        }
    };
}

/// All metrics, in the order of the page.
pub(crate) const METRICS: &[Metric] = &[
    metric!("volume", "Conversations and messages", &[STATUS], EachPeriod),
    metric!("outcome", "How conversations end", &[], Period),
    metric!("speed", "How long people wait", &[], Period),
    metric!("quality", "Feedback and confidence", &[], Period),
    metric!("tools", "Calls of tools", &[TOOL, TOOL_STATUS], Period),
    metric!("length", "How long conversations are", &[], Period),
    metric!("hours", "When people write", &[WEEKDAY, HOUR], Period),
    metric!("people", "Who writes", &[], Period),
    metric!("questions", "What people ask", &[QUESTION], Sources),
];

/// Why a metric is not available, by the column of the view `sources` that says whether it is.
pub(crate) const NEEDS: &[(&str, &str, &str)] = &[
    ("volume by period", "tells_dates", "no conversation has a date"),
    (
        "contained, handed over, ended",
        "has_status",
        "no conversation has a status or a human agent's message",
    ),
    ("first response, response", "tells_times", "no message has a time"),
    ("duration", "tells_duration", "no conversation has both a beginning and a time of its last change"),
    ("feedback", "tells_feedback", "no conversation or message has feedback"),
    ("confidence", "tells_scores", "no answer has a score"),
    ("tools", "tells_tools", "no message has a call of a tool"),
    ("people", "tells_people", "no conversation says who wrote"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_says_what_it_is() {
        for metric in METRICS {
            assert!(metric.sql.starts_with("-- "), "{} says nothing about itself", metric.file);
            assert!(metric.query().contains("ORDER BY period, source"), "{} has no order", metric.file);
        }
    }
}
