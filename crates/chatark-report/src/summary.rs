//! The numbers of a whole report: each source, and all of them together.

use std::collections::BTreeMap;

use chatark_core::{Error, ErrorKind, Result, Zone, time};
use serde::Serialize;

use crate::aggregate::Aggregates;
use crate::group::{Granularity, UNDATED};
use crate::metric::{Cell, METRICS, MetricValue, NEEDS};

const DAY_SECONDS: i64 = 86_400;
/// Metrics that a summary lists only for all sources together.
const TOTALS_ONLY: [&str; 3] = ["hours.csv", "tools.csv", "questions.csv"];

/// The numbers of a whole report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The sources, by name.
    pub sources: Vec<Source>,
    /// Every metric that is a single number for a source, or for all sources together.
    pub rows: Vec<SummaryRow>,
    /// Metrics that are not available, by source, with the reason.
    pub unavailable: Vec<Unavailable>,
    /// Conversations of all sources by day.
    pub days: Vec<Point>,
    /// By ISO week.
    pub weeks: Vec<Point>,
    /// By month.
    pub months: Vec<Point>,
    /// Conversations by weekday, Monday first, and hour.
    pub hours: [[u64; 24]; 7],
    /// Calls of tools, the most frequent first.
    pub tools: Vec<Tool>,
    /// What people ask first, the most frequent first.
    pub first_questions: Vec<Question>,
    /// What nobody answered, the most frequent first.
    pub unanswered_questions: Vec<Question>,
    /// The first and the last day on which a conversation began.
    #[serde(skip)]
    ends: Option<(String, String)>,
}

/// A source of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// The name of its provider.
    pub provider: String,
    /// The number of its conversations in the report.
    pub conversations: u64,
}

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryRow {
    /// The source; empty for all of them.
    pub source: String,
    /// The provider of the source; empty for all of them.
    pub provider: String,
    /// What is measured.
    pub metric: String,
    /// The number.
    pub value: f64,
    /// The number of conversations, messages or people behind it.
    pub basis: u64,
}

/// A metric that is not available for a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unavailable {
    /// The source.
    pub source: String,
    /// Its provider.
    pub provider: String,
    /// The metric.
    pub metric: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// The conversations of one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The period.
    pub period: String,
    /// How many conversations began in it.
    pub conversations: u64,
}

/// The calls of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// Its name.
    pub tool: String,
    /// Their status.
    pub status: String,
    /// How many there were.
    pub calls: u64,
}

/// A question, and how often it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// What was asked, in lower case and without punctuation.
    pub question: String,
    /// How often.
    pub times: u64,
}

impl Summary {
    /// Summarizes the numbers of each source and of all sources together.
    pub(crate) fn of(aggregates: &Aggregates) -> Self {
        let mut summary = Self::default();
        summary.add_sources(aggregates);
        for metric in METRICS {
            for row in aggregates.all(metric) {
                summary.add_total(metric.file, row);
            }
        }
        for metric in METRICS.iter().filter(|metric| !TOTALS_ONLY.contains(&metric.file)) {
            for (source, known) in aggregates.sources.iter().enumerate() {
                for row in aggregates.of_source(source, metric) {
                    summary.add_row(&known.name, &known.provider, row);
                }
            }
        }
        summary
            .tools
            .sort_by(|one, other| other.calls.cmp(&one.calls).then_with(|| one.tool.cmp(&other.tool)));
        for granularity in Granularity::ALL {
            summary.set_points(granularity, aggregates);
        }
        summary
    }

    fn add_sources(&mut self, aggregates: &Aggregates) {
        let sources = aggregates.sources.iter().zip(&aggregates.available_data).zip(&aggregates.of_sources);
        for ((source, available_data), counts) in sources.filter(|(_, counts)| counts.volume.total() > 0) {
            let (source, provider) = (&source.name, &source.provider);
            for (metric, _, reason) in NEEDS.iter().filter(|(_, has, _)| !has(available_data)) {
                let (source, provider) = (source.clone(), provider.clone());
                self.unavailable.push(Unavailable { source, provider, metric, reason });
            }
            let conversations = counts.volume.total();
            self.sources.push(Source { source: source.clone(), provider: provider.clone(), conversations });
        }
    }

    fn add_total(&mut self, file: &str, row: MetricValue) {
        let times = row.count();
        match (file, row.own.as_slice()) {
            ("hours.csv", [Cell::Number(weekday), Cell::Number(hour)]) => {
                let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                let day = self.hours.get_mut(index(*weekday).wrapping_sub(1));
                if let Some(cell) = day.and_then(|day| day.get_mut(index(*hour))) {
                    *cell += times;
                }
            }
            ("tools.csv", [Cell::Text(tool), Cell::Text(status)]) => {
                self.tools.push(Tool { tool: tool.clone(), status: status.clone(), calls: times });
            }
            ("questions.csv", [Cell::Text(question)]) => {
                let is_first = row.metric == "first_questions";
                let list = if is_first { &mut self.first_questions } else { &mut self.unanswered_questions };
                list.push(Question { question: question.clone(), times });
            }
            _ => self.add_row("", "", row),
        }
    }

    /// Adds a number. The volume comes as one number for each status, which are added up.
    fn add_row(&mut self, source: &str, provider: &str, row: MetricValue) {
        let MetricValue { metric, value, basis, .. } = row;
        match self.rows.last_mut() {
            Some(last) if last.source == source && last.metric == metric => {
                last.value += value;
                last.basis += basis;
            }
            _ => {
                let (source, provider) = (source.to_owned(), provider.to_owned());
                self.rows.push(SummaryRow { source, provider, metric, value, basis });
            }
        }
    }

    /// Sets the conversations of each period, including periods without any.
    ///
    /// Must be called for days first: they determine where the other periods begin and end.
    fn set_points(&mut self, granularity: Granularity, aggregates: &Aggregates) {
        let mut periods: BTreeMap<String, u64> = BTreeMap::new();
        for (day, number) in &aggregates.days {
            *periods.entry(aggregates.calendar.period(*day, granularity).to_owned()).or_default() += number;
        }
        if granularity == Granularity::Day {
            let mut days = periods.keys().filter(|period| *period != UNDATED);
            self.ends = days.next().map(|first| (first.clone(), days.next_back().unwrap_or(first).clone()));
        }
        let points = self.points(granularity.format(), &periods);
        *(match granularity {
            Granularity::Day => &mut self.days,
            Granularity::Week => &mut self.weeks,
            Granularity::Month => &mut self.months,
        }) = points;
    }

    fn points(&self, format: &str, counts: &BTreeMap<String, u64>) -> Vec<Point> {
        let Some((first, last)) = &self.ends else { return Vec::new() };
        let mut points: Vec<Point> = Vec::new();
        let mut day = time::read_bound(first).ok();
        while let Some(at) = day.filter(|at| at.day() <= *last) {
            let period = at.format_in(Zone::UTC, format);
            if points.last().is_none_or(|point| point.period != period) {
                let conversations = counts.get(&period).copied().unwrap_or(0);
                points.push(Point { period, conversations });
            }
            day = at.shifted(DAY_SECONDS);
        }
        points
    }

    /// Returns a number of a source, or of all sources together if the name is empty.
    pub fn value(&self, source: &str, metric: &str) -> Option<&SummaryRow> {
        self.rows.iter().find(|row| row.source == source && row.metric == metric)
    }

    /// Returns the periods to draw: days for a few months, weeks for a few years, else months.
    pub fn series(&self) -> &[Point] {
        match (self.days.len(), self.weeks.len()) {
            (..=92, _) => &self.days,
            (_, ..=160) => &self.weeks,
            _ => &self.months,
        }
    }

    /// Fails for a report without conversations, which would look like a bot that nobody uses.
    pub(crate) fn refuse_empty(&self) -> Result<()> {
        if self.sources.iter().any(|source| source.conversations > 0) {
            return Ok(());
        }
        let message = "the archive holds no conversation of these sources, dates and channel";
        Err(Error::new(ErrorKind::Usage, "report", message)
            .hint("`chatark status` shows what it holds; `chatark pull` fetches more"))
    }
}
