//! The metrics: the files of a report, and the values of each for a group of conversations. `docs/schema.md` defines
//! them.

use std::collections::BTreeMap;

use chatark_formats::{Column, ColumnType};

use crate::counts::{AvailableData, Counts, Volume};
use crate::distribution::{Distribution, Distributions, People, Questions};

/// One CSV file of related metrics.
#[derive(Debug)]
pub(crate) struct MetricFile {
    /// The name of the file.
    pub(crate) name: &'static str,
    /// What its metrics are about.
    pub(crate) title: &'static str,
    /// Its own columns, after those of [`BASE`].
    pub(crate) columns: &'static [Column],
    /// What its rows are grouped by.
    pub(crate) grouping: Grouping,
    compute: fn(&GroupData<'_>, &mut MetricValues),
}

/// What the rows of a metric file are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Days, weeks and months.
    EachPeriod,
    /// The requested granularity.
    Period,
    /// Each source, and all of them together: rankings cannot be added up over periods.
    Sources,
}

/// What the metrics of a group of conversations are computed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupData<'a> {
    /// The counts of each of its sources, with the data that the source provides.
    pub(crate) counts: &'a [(&'a Counts, AvailableData)],
    pub(crate) distributions: &'a Distributions,
    /// Whether it spans all sources.
    pub(crate) is_all: bool,
}

/// One value of a metric for a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricValue {
    /// What is measured.
    pub(crate) metric: String,
    pub(crate) value: f64,
    /// The number of conversations, messages or people from which it is computed.
    pub(crate) basis: u64,
    /// The cells of the file's own columns.
    pub(crate) own_cells: Vec<Cell>,
}

/// A cell of a file's own columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Number(u64),
    Text(String),
}

/// The values of a group, in the order in which they are computed.
#[derive(Debug, Default)]
pub(crate) struct MetricValues(Vec<MetricValue>);

/// The first columns of every metric file, a fixed contract.
pub(crate) const BASE: [Column; 7] = [
    Column::new(
        "period",
        ColumnType::Text,
        "A day, ISO week or month, or all, or undated where the vendor gives no date",
    ),
    Column::new("source", ColumnType::Text, "Name of the source, empty for all sources together"),
    Column::new("provider", ColumnType::Text, "The vendor's API, empty for all sources together"),
    Column::new(
        "channel",
        ColumnType::Text,
        "Where the conversations took place, empty for all channels together",
    ),
    Column::new("metric", ColumnType::Text, "What is measured"),
    Column::new("value", ColumnType::Number, "The number"),
    Column::new(
        "basis",
        ColumnType::Integer,
        "The number of conversations, messages or people behind the value",
    ),
];

const STATUS: Column =
    Column::new("status", ColumnType::Text, "The state of the conversations, empty for messages");
const TOOL: Column = Column::new("tool", ColumnType::Text, "The name of the tool");
const TOOL_STATUS: Column = Column::new("tool_status", ColumnType::Text, "The status of the calls");
const WEEKDAY: Column =
    Column::new("weekday", ColumnType::Integer, "The day of the week, from 1 for Monday to 7");
const HOUR: Column = Column::new("hour", ColumnType::Integer, "The hour of the day, from 0 to 23");
const QUESTION: Column =
    Column::new("question", ColumnType::Text, "What was asked, in lower case and without punctuation");

/// Returns a metric file.
macro_rules! metric_file {
    ($name:literal, $title:literal, $columns:expr, $grouping:ident, $compute:expr) => {
        MetricFile {
            name: concat!($name, ".csv"),
            title: $title,
            columns: $columns,
            grouping: Grouping::$grouping,
            compute: $compute,
        }
    };
}

/// Every metric file.
pub(crate) const METRIC_FILES: &[MetricFile] = &[
    metric_file!("volume", "Conversations and messages", &[STATUS], EachPeriod, volume),
    metric_file!("outcome", "How conversations end", &[], Period, outcome),
    metric_file!("speed", "How long people wait", &[], Period, speed),
    metric_file!("quality", "Feedback and confidence", &[], Period, quality),
    metric_file!("tools", "Tool calls", &[TOOL, TOOL_STATUS], Period, tools),
    metric_file!("length", "How long conversations are", &[], Period, length),
    metric_file!("hours", "When people write", &[WEEKDAY, HOUR], Period, hours),
    metric_file!("people", "Who writes", &[], Period, people),
    metric_file!("questions", "What people ask", &[QUESTION], Sources, questions),
];

/// The data that a metric requires of a source.
#[derive(Debug)]
pub(crate) struct Requirement {
    /// The name of the metric.
    pub(crate) metric: &'static str,
    /// Whether a source provides the data.
    pub(crate) is_met: fn(&AvailableData) -> bool,
    /// Why the metric is not available if it does not.
    pub(crate) reason: &'static str,
}

/// The requirements of all metrics that have one.
pub(crate) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        metric: "volume by period",
        is_met: |source| source.has_dates,
        reason: "no conversation has a date",
    },
    Requirement {
        metric: "contained, handed over, ended",
        is_met: |source| source.has_status,
        reason: "no conversation has a status or a human agent's message",
    },
    Requirement {
        metric: "first response, response",
        is_met: |source| source.has_times,
        reason: "no message has a time",
    },
    Requirement {
        metric: "duration",
        is_met: |source| source.has_duration,
        reason: "no conversation has both a beginning and a time of its last change",
    },
    Requirement {
        metric: "feedback",
        is_met: |source| source.has_feedback,
        reason: "no conversation or message has feedback",
    },
    Requirement { metric: "confidence", is_met: |source| source.has_scores, reason: "no answer has a score" },
    Requirement {
        metric: "tools",
        is_met: |source| source.has_tools,
        reason: "no message has a call of a tool",
    },
    Requirement {
        metric: "people",
        is_met: |source| source.has_people,
        reason: "no conversation says who wrote",
    },
];

impl MetricValue {
    /// Returns the value as a whole number, for a metric that is a count.
    pub(crate) fn count(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count fits")]
        let count = self.value as u64;
        count
    }
}

impl MetricFile {
    /// Returns its values for a group, sorted by metric and own columns; in a ranking, the highest values first.
    pub(crate) fn values(&self, group: &GroupData<'_>) -> Vec<MetricValue> {
        let mut values = MetricValues::default();
        (self.compute)(group, &mut values);
        values.sorted(self.grouping == Grouping::Sources)
    }
}

impl MetricValues {
    fn add(&mut self, metric: impl Into<String>, value: f64, basis: u64) {
        self.add_with(metric, value, basis, Vec::new());
    }

    fn add_with(&mut self, metric: impl Into<String>, value: f64, basis: u64, own_cells: Vec<Cell>) {
        self.0.push(MetricValue { metric: metric.into(), value, basis, own_cells });
    }

    /// Adds a number of conversations, and its rate: its share of the basis. Adds nothing if the basis is 0.
    fn add_with_rate(&mut self, metric: &str, number: u64, basis: u64) {
        if basis > 0 {
            self.add(metric, number as f64, basis);
            self.add(format!("{metric}_rate"), share(number, basis), basis);
        }
    }

    /// Returns the values, sorted by metric, then by value if they are ranked, then by own columns.
    fn sorted(mut self, is_ranked: bool) -> Vec<MetricValue> {
        self.0.sort_by(|one, other| {
            let rank = if is_ranked { other.value.total_cmp(&one.value) } else { std::cmp::Ordering::Equal };
            one.metric.cmp(&other.metric).then(rank).then_with(|| one.own_cells.cmp(&other.own_cells))
        });
        self.0
    }
}

fn share(number: u64, basis: u64) -> f64 {
    number as f64 / basis as f64
}

impl GroupData<'_> {
    /// Adds up a count over the sources that provide the data that it requires.
    pub(crate) fn sum(&self, has: fn(&AvailableData) -> bool, count: fn(&Counts) -> u64) -> u64 {
        self.counts
            .iter()
            .filter(|(_, available_data)| has(available_data))
            .map(|(counts, _)| count(counts))
            .sum()
    }
}

/// Returns conversations by status, and messages.
pub(crate) fn volume_values(volume: &Volume) -> Vec<MetricValue> {
    let mut values = MetricValues::default();
    for (status, number) in volume.by_status() {
        values.add_with("conversations", number as f64, number, vec![Cell::Text(status.to_owned())]);
    }
    if volume.messages > 0 {
        let messages = volume.messages;
        values.add_with("messages", messages as f64, messages, vec![Cell::Text(String::new())]);
    }
    values.sorted(false)
}

fn volume(group: &GroupData<'_>, values: &mut MetricValues) {
    let mut sum = Volume::default();
    group.counts.iter().for_each(|(counts, _)| sum.add(&counts.volume));
    values.0 = volume_values(&sum);
}

/// How conversations end. Only conversations in which the customer wrote count. Hand-overs are known only for sources
/// with a status or with messages of human agents.
fn outcome(group: &GroupData<'_>, values: &mut MetricValues) {
    let sum = |count| group.sum(|source| source.has_status, count);
    let basis = sum(|counts| counts.with_customer);
    let handed_over = sum(|counts| counts.handed_over);
    values.add_with_rate("contained", basis - handed_over, basis);
    values.add_with_rate("handed_over", handed_over, basis);
    values.add_with_rate("ended", sum(|counts| counts.ended), basis);
    let every = |count| group.sum(|_| true, count);
    let basis = every(|counts| counts.with_customer);
    values.add_with_rate("single_message", every(|counts| counts.single_message), basis);
    values.add_with_rate("unanswered", every(|counts| counts.unanswered), basis);
}

/// How long people wait, in seconds: for the first answer by the bot or a human agent, and for each answer by the bot.
fn speed(group: &GroupData<'_>, values: &mut MetricValues) {
    let distributions = group.distributions;
    for (metric, found) in [
        ("first_response_seconds", &distributions.first_response),
        ("response_seconds", &distributions.response),
    ] {
        percentiles(metric, found, 3, values);
    }
}

fn percentiles(metric: &str, found: &Distribution, number: usize, values: &mut MetricValues) {
    if found.count > 0 {
        for (name, value) in ["median", "p90", "p99"].into_iter().zip(found.percentiles).take(number) {
            values.add(format!("{metric}_{name}"), value, found.count);
        }
    }
}

/// Feedback of customers, and confidence scores of the bot.
fn quality(group: &GroupData<'_>, values: &mut MetricValues) {
    let with_feedback = |count| group.sum(|source| source.has_feedback, count);
    let basis = with_feedback(|counts| counts.volume.conversations());
    let (positive, negative) =
        (with_feedback(|counts| counts.positive), with_feedback(|counts| counts.negative));
    if basis > 0 {
        values.add("feedback_positive", positive as f64, basis);
        values.add("feedback_negative", negative as f64, basis);
        values.add("feedback_none", (basis - positive - negative) as f64, basis);
        values.add("feedback_rate", share(positive + negative, basis), basis);
    }
    if positive + negative > 0 {
        values.add("feedback_positive_rate", share(positive, positive + negative), positive + negative);
    }
    let scored = group.sum(|_| true, |counts| counts.scored_answers);
    if scored > 0 {
        let low = group.sum(|_| true, |counts| counts.low_score_answers);
        values.add("low_confidence_answers", low as f64, scored);
        values.add("low_confidence_rate", share(low, scored), scored);
    }
}

/// Tool calls by name and status.
fn tools(group: &GroupData<'_>, values: &mut MetricValues) {
    let mut calls = BTreeMap::new();
    for (tool, number) in group.counts.iter().flat_map(|(counts, _)| &counts.tools) {
        *calls.entry(tool).or_default() += number;
    }
    let basis = calls.values().sum();
    for ((tool, status), number) in calls {
        let own_cells = vec![Cell::Text(tool.clone()), Cell::Text(status.clone())];
        values.add_with("tool_calls", number as f64, basis, own_cells);
    }
}

/// How long conversations are: in messages, and in seconds from their beginning to their last activity.
fn length(group: &GroupData<'_>, values: &mut MetricValues) {
    let distributions = group.distributions;
    for (metric, found) in [
        ("messages_per_conversation", &distributions.messages),
        ("duration_seconds", &distributions.duration),
    ] {
        percentiles(metric, found, 2, values);
        if found.count > 0 {
            values.add(format!("{metric}_mean"), found.mean(), found.count);
        }
    }
}

/// When people write: conversations by the weekday and the hour in which they began.
fn hours(group: &GroupData<'_>, values: &mut MetricValues) {
    let mut hours = BTreeMap::new();
    for (hour, number) in group.counts.iter().flat_map(|(counts, _)| &counts.hours) {
        *hours.entry(hour).or_default() += number;
    }
    let basis = hours.values().sum();
    for ((weekday, hour), number) in hours {
        let own_cells = vec![Cell::Number(u64::from(*weekday)), Cell::Number(u64::from(*hour))];
        values.add_with("conversations", number as f64, basis, own_cells);
    }
}

/// Who writes.
fn people(group: &GroupData<'_>, values: &mut MetricValues) {
    let People { conversations, all: people, new, returning, across_vendors } = group.distributions.people;
    if people == 0 {
        return;
    }
    values.add("people", people as f64, conversations);
    values.add("new_people", new as f64, people);
    values.add("known_people", (people - new) as f64, people);
    values.add("returning_people", returning as f64, people);
    if group.is_all {
        values.add("people_across_vendors", across_vendors as f64, people);
    }
}

/// What people ask most: their first message, and their last one where nobody answered it.
fn questions(group: &GroupData<'_>, values: &mut MetricValues) {
    let distributions = group.distributions;
    for (metric, Questions { asked, most_frequent, .. }) in [
        ("first_questions", &distributions.first_questions),
        ("unanswered_questions", &distributions.unanswered_questions),
    ] {
        for (question, times) in most_frequent {
            values.add_with(metric, *times as f64, *asked, vec![Cell::Text(question.clone())]);
        }
    }
}
