//! The metrics: which files there are, and the rows of each for a group. `docs/schema.md` says what each means.

use std::collections::BTreeMap;

use chatark_formats::{Column, ColumnType};

use crate::counts::{AvailableData, Counts, Volume};
use crate::distribution::{Distribution, Distributions, People, Questions};

/// One metric file.
#[derive(Debug)]
pub(crate) struct Metric {
    /// The CSV file.
    pub(crate) file: &'static str,
    /// What it is about.
    pub(crate) title: &'static str,
    /// The columns of its own, after those of [`BASE`].
    pub(crate) columns: &'static [Column],
    /// By what its rows are grouped.
    pub(crate) grouping: Grouping,
    rows: fn(&Group<'_>, &mut Rows),
}

/// By what the rows of a metric are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Days, weeks and months.
    EachPeriod,
    /// The requested granularity.
    Period,
    /// Each source, and all of them together: rankings cannot be added up over periods.
    Sources,
}

/// The numbers of a group of conversations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group<'a> {
    /// The counts of each of its sources, with the data that the source provides.
    pub(crate) counts: &'a [(&'a Counts, AvailableData)],
    pub(crate) distributions: &'a Distributions,
    /// Whether it spans all sources.
    pub(crate) is_all: bool,
}

/// One number of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricValue {
    /// What is measured.
    pub(crate) metric: String,
    pub(crate) value: f64,
    /// The number of conversations, messages or people behind it.
    pub(crate) basis: u64,
    /// The cells of the metric's own columns.
    pub(crate) own: Vec<Cell>,
}

/// A cell of a metric's own columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Number(u64),
    Text(String),
}

/// The numbers of a group, as they are computed.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<MetricValue>);

/// The first columns of every metric: a contract, to which new columns are only appended.
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

/// Declares a metric file.
macro_rules! metric {
    ($name:literal, $title:literal, $columns:expr, $grouping:ident, $rows:expr) => {
        Metric {
            file: concat!($name, ".csv"),
            title: $title,
            columns: $columns,
            grouping: Grouping::$grouping,
            rows: $rows,
        }
    };
}

/// All metric files, in the order of the page.
pub(crate) const METRICS: &[Metric] = &[
    metric!("volume", "Conversations and messages", &[STATUS], EachPeriod, volume_of_group),
    metric!("outcome", "How conversations end", &[], Period, outcome),
    metric!("speed", "How long people wait", &[], Period, speed),
    metric!("quality", "Feedback and confidence", &[], Period, quality),
    metric!("tools", "Tool calls", &[TOOL, TOOL_STATUS], Period, tools),
    metric!("length", "How long conversations are", &[], Period, length),
    metric!("hours", "When people write", &[WEEKDAY, HOUR], Period, hours),
    metric!("people", "Who writes", &[], Period, people),
    metric!("questions", "What people ask", &[QUESTION], Sources, questions),
];

/// The name of a metric, whether a source has the data that it needs, and the reason if it has not.
pub(crate) type Need = (&'static str, fn(&AvailableData) -> bool, &'static str);

/// The data that each metric needs.
pub(crate) const NEEDS: &[Need] = &[
    ("volume by period", |source| source.has_dates, "no conversation has a date"),
    (
        "contained, handed over, ended",
        |source| source.has_status,
        "no conversation has a status or a human agent's message",
    ),
    ("first response, response", |source| source.has_times, "no message has a time"),
    (
        "duration",
        |source| source.has_duration,
        "no conversation has both a beginning and a time of its last change",
    ),
    ("feedback", |source| source.has_feedback, "no conversation or message has feedback"),
    ("confidence", |source| source.has_scores, "no answer has a score"),
    ("tools", |source| source.has_tools, "no message has a call of a tool"),
    ("people", |source| source.has_people, "no conversation says who wrote"),
];

impl MetricValue {
    /// Returns the value of a metric that is a count.
    pub(crate) fn count(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count fits")]
        let count = self.value as u64;
        count
    }
}

impl Metric {
    /// Returns its numbers for a group, sorted by metric and own columns, or by rank if the metric is a ranking.
    pub(crate) fn of(&self, group: &Group<'_>) -> Vec<MetricValue> {
        let mut rows = Rows::default();
        (self.rows)(group, &mut rows);
        rows.sorted(self.grouping == Grouping::Sources)
    }
}

impl Rows {
    fn add(&mut self, metric: impl Into<String>, value: f64, basis: u64) {
        self.add_with(metric, value, basis, Vec::new());
    }

    fn add_with(&mut self, metric: impl Into<String>, value: f64, basis: u64, own: Vec<Cell>) {
        self.0.push(MetricValue { metric: metric.into(), value, basis, own });
    }

    /// Adds a number of conversations, and its share of the basis.
    fn add_share(&mut self, metric: &str, number: u64, basis: u64) {
        if basis > 0 {
            self.add(metric, number as f64, basis);
            self.add(format!("{metric}_rate"), share(number, basis), basis);
        }
    }

    fn sorted(mut self, is_ranked: bool) -> Vec<MetricValue> {
        self.0.sort_by(|one, other| {
            let rank = if is_ranked { other.value.total_cmp(&one.value) } else { std::cmp::Ordering::Equal };
            one.metric.cmp(&other.metric).then(rank).then_with(|| one.own.cmp(&other.own))
        });
        self.0
    }
}

fn share(number: u64, basis: u64) -> f64 {
    number as f64 / basis as f64
}

impl Group<'_> {
    /// Adds up a count over the sources that provide what it needs.
    pub(crate) fn sum(&self, has: fn(&AvailableData) -> bool, count: fn(&Counts) -> u64) -> u64 {
        self.counts
            .iter()
            .filter(|(_, available_data)| has(available_data))
            .map(|(counts, _)| count(counts))
            .sum()
    }
}

/// Conversations by status, and messages.
pub(crate) fn volume(volume: &Volume) -> Vec<MetricValue> {
    let mut rows = Rows::default();
    for (status, number) in volume.by_status() {
        rows.add_with("conversations", number as f64, number, vec![Cell::Text(status.to_owned())]);
    }
    if volume.messages > 0 {
        let messages = volume.messages;
        rows.add_with("messages", messages as f64, messages, vec![Cell::Text(String::new())]);
    }
    rows.sorted(false)
}

fn volume_of_group(group: &Group<'_>, rows: &mut Rows) {
    let mut sum = Volume::default();
    group.counts.iter().for_each(|(counts, _)| sum.add(&counts.volume));
    rows.0 = volume(&sum);
}

/// How conversations end. Only those in which the customer wrote count. Hand-overs are known only for sources with a
/// status or messages of human agents.
fn outcome(group: &Group<'_>, rows: &mut Rows) {
    let sum = |count| group.sum(|source| source.has_status, count);
    let basis = sum(|counts| counts.with_customer);
    let handed_over = sum(|counts| counts.handed_over);
    rows.add_share("contained", basis - handed_over, basis);
    rows.add_share("handed_over", handed_over, basis);
    rows.add_share("ended", sum(|counts| counts.ended), basis);
    let every = |count| group.sum(|_| true, count);
    let basis = every(|counts| counts.with_customer);
    rows.add_share("single_message", every(|counts| counts.single_message), basis);
    rows.add_share("unanswered", every(|counts| counts.unanswered), basis);
}

/// How long people wait, in seconds: for the first answer of the bot or a human agent, and for each answer of the bot.
fn speed(group: &Group<'_>, rows: &mut Rows) {
    let distributions = group.distributions;
    for (metric, found) in [
        ("first_response_seconds", &distributions.first_response),
        ("response_seconds", &distributions.response),
    ] {
        percentiles(metric, found, 3, rows);
    }
}

fn percentiles(metric: &str, found: &Distribution, number: usize, rows: &mut Rows) {
    if found.number > 0 {
        for (name, value) in ["median", "p90", "p99"].into_iter().zip(found.percentiles).take(number) {
            rows.add(format!("{metric}_{name}"), value, found.number);
        }
    }
}

/// Feedback of customers, and confidence scores of the bot.
fn quality(group: &Group<'_>, rows: &mut Rows) {
    let judged = |count| group.sum(|source| source.has_feedback, count);
    let basis = judged(|counts| counts.volume.total());
    let (positive, negative) = (judged(|counts| counts.positive), judged(|counts| counts.negative));
    if basis > 0 {
        rows.add("feedback_positive", positive as f64, basis);
        rows.add("feedback_negative", negative as f64, basis);
        rows.add("feedback_none", (basis - positive - negative) as f64, basis);
        rows.add("feedback_rate", share(positive + negative, basis), basis);
    }
    if positive + negative > 0 {
        rows.add("feedback_positive_rate", share(positive, positive + negative), positive + negative);
    }
    let scored = group.sum(|_| true, |counts| counts.scored_answers);
    if scored > 0 {
        let low = group.sum(|_| true, |counts| counts.low_answers);
        rows.add("low_confidence_answers", low as f64, scored);
        rows.add("low_confidence_rate", share(low, scored), scored);
    }
}

/// Tool calls by name and status.
fn tools(group: &Group<'_>, rows: &mut Rows) {
    let mut calls = BTreeMap::new();
    for (tool, number) in group.counts.iter().flat_map(|(counts, _)| &counts.tools) {
        *calls.entry(tool).or_default() += number;
    }
    let basis = calls.values().sum();
    for ((tool, status), number) in calls {
        let own = vec![Cell::Text(tool.clone()), Cell::Text(status.clone())];
        rows.add_with("tool_calls", number as f64, basis, own);
    }
}

/// How long conversations are: in messages, and in seconds from their beginning to their last activity.
fn length(group: &Group<'_>, rows: &mut Rows) {
    let distributions = group.distributions;
    for (metric, found) in [
        ("messages_per_conversation", &distributions.messages),
        ("duration_seconds", &distributions.duration),
    ] {
        percentiles(metric, found, 2, rows);
        if found.number > 0 {
            rows.add(format!("{metric}_mean"), found.mean(), found.number);
        }
    }
}

/// When people write: conversations by the weekday and the hour in which they began.
fn hours(group: &Group<'_>, rows: &mut Rows) {
    let mut hours = BTreeMap::new();
    for (hour, number) in group.counts.iter().flat_map(|(counts, _)| &counts.hours) {
        *hours.entry(hour).or_default() += number;
    }
    let basis = hours.values().sum();
    for ((weekday, hour), number) in hours {
        let own = vec![Cell::Number(u64::from(*weekday)), Cell::Number(u64::from(*hour))];
        rows.add_with("conversations", number as f64, basis, own);
    }
}

/// Who writes.
fn people(group: &Group<'_>, rows: &mut Rows) {
    let People { conversations, all: people, new, returning, across_vendors } = group.distributions.people;
    if people == 0 {
        return;
    }
    rows.add("people", people as f64, conversations);
    rows.add("new_people", new as f64, people);
    rows.add("known_people", (people - new) as f64, people);
    rows.add("returning_people", returning as f64, people);
    if group.is_all {
        rows.add("people_across_vendors", across_vendors as f64, people);
    }
}

/// What people ask most: their first message, and their last one where nobody answered it.
fn questions(group: &Group<'_>, rows: &mut Rows) {
    let distributions = group.distributions;
    for (metric, Questions { asked, most_frequent, .. }) in [
        ("first_questions", &distributions.first_questions),
        ("unanswered_questions", &distributions.unanswered_questions),
    ] {
        for (question, times) in most_frequent {
            rows.add_with(metric, *times as f64, *asked, vec![Cell::Text(question.clone())]);
        }
    }
}
