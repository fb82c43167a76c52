//! The summary of a report: its values for each source, and for all of them together.

use std::collections::BTreeMap;

use chatark_core::{Error, ErrorKind, Result, Zone, time};
use serde::Serialize;

use crate::aggregate::Aggregates;
use crate::group::{Granularity, UNDATED};
use crate::metric::{Cell, METRIC_FILES, MetricValue, REQUIREMENTS, Requirement};

const DAY_SECONDS: i64 = 86_400;
/// The metric files that a summary includes only for all sources together.
const TOTALS_ONLY_FILES: [&str; 3] = ["hours.csv", "tools.csv", "questions.csv"];

/// The summary of a report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The sources, by name.
    pub sources: Vec<SourceSummary>,
    /// The metrics that have a single value for a source, or for all sources together.
    pub rows: Vec<SummaryRow>,
    /// Metrics that are not available, by source, with the reason.
    pub unavailable: Vec<UnavailableMetric>,
    /// Conversations of all sources by day.
    pub days: Vec<PeriodCount>,
    /// The same by ISO week.
    pub weeks: Vec<PeriodCount>,
    /// The same by month.
    pub months: Vec<PeriodCount>,
    /// Conversations by weekday, Monday first, and hour.
    pub hours: [[u64; 24]; 7],
    /// Tool calls, the most frequent first.
    pub tools: Vec<ToolCalls>,
    /// The first questions of conversations, the most frequent first.
    pub first_questions: Vec<QuestionCount>,
    /// Questions that nobody answered, the most frequent first.
    pub unanswered_questions: Vec<QuestionCount>,
    /// The first and the last day on which conversations began.
    #[serde(skip)]
    day_range: Option<(String, String)>,
}

/// A source, with the number of its conversations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSummary {
    /// Its name.
    pub source: String,
    /// The name of its provider.
    pub provider: String,
    /// The number of its conversations in the report.
    pub conversations: u64,
}

/// The value of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryRow {
    /// The source; empty for all of them.
    pub source: String,
    /// The provider of the source; empty for all of them.
    pub provider: String,
    /// What is measured.
    pub metric: String,
    /// The value, in the unit of the metric.
    pub value: f64,
    /// The number of conversations, messages or people from which it is computed.
    pub basis: u64,
}

/// A metric that is not available for a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnavailableMetric {
    /// The source.
    pub source: String,
    /// Its provider.
    pub provider: String,
    /// The metric.
    pub metric: &'static str,
    /// Why it is not available.
    pub reason: &'static str,
}

/// The conversations of one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeriodCount {
    /// The period.
    pub period: String,
    /// The number of conversations that began in it.
    pub conversations: u64,
}

/// The calls of one tool with one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolCalls {
    /// Its name.
    pub tool: String,
    /// The status of the calls.
    pub status: String,
    /// The number of calls.
    pub calls: u64,
}

/// A question, with the number of times that it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuestionCount {
    /// What was asked, in lower case and without punctuation.
    pub question: String,
    /// The number of times that it was asked.
    pub times: u64,
}

impl Summary {
    /// Summarizes the values of each source, and of all sources together.
    pub(crate) fn of(aggregates: &Aggregates) -> Self {
        let mut summary = Self::default();
        summary.add_sources(aggregates);
        for file in METRIC_FILES {
            for row in aggregates.values_of_all(file) {
                summary.add_total(file.name, row);
            }
        }
        for file in METRIC_FILES.iter().filter(|file| !TOTALS_ONLY_FILES.contains(&file.name)) {
            for (source, info) in aggregates.sources.iter().enumerate() {
                for row in aggregates.values_of_source(source, file) {
                    summary.add_row(&info.name, &info.provider, row);
                }
            }
        }
        summary
            .tools
            .sort_by(|one, other| other.calls.cmp(&one.calls).then_with(|| one.tool.cmp(&other.tool)));
        for granularity in Granularity::ALL {
            summary.set_periods(granularity, aggregates);
        }
        summary
    }

    fn add_sources(&mut self, aggregates: &Aggregates) {
        let sources = aggregates.sources.iter().zip(&aggregates.available_data).zip(&aggregates.by_source);
        for ((source, available_data), counts) in
            sources.filter(|(_, counts)| counts.volume.conversations() > 0)
        {
            let (source, provider) = (&source.name, &source.provider);
            for Requirement { metric, reason, .. } in
                REQUIREMENTS.iter().filter(|requirement| !(requirement.is_met)(available_data))
            {
                let (source, provider) = (source.clone(), provider.clone());
                self.unavailable.push(UnavailableMetric { source, provider, metric, reason });
            }
            let conversations = counts.volume.conversations();
            self.sources.push(SourceSummary {
                source: source.clone(),
                provider: provider.clone(),
                conversations,
            });
        }
    }

    fn add_total(&mut self, file: &str, row: MetricValue) {
        let times = row.count();
        match (file, row.own_cells.as_slice()) {
            ("hours.csv", [Cell::Number(weekday), Cell::Number(hour)]) => {
                let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                let day = self.hours.get_mut(index(*weekday).wrapping_sub(1));
                if let Some(cell) = day.and_then(|day| day.get_mut(index(*hour))) {
                    *cell += times;
                }
            }
            ("tools.csv", [Cell::Text(tool), Cell::Text(status)]) => {
                self.tools.push(ToolCalls { tool: tool.clone(), status: status.clone(), calls: times });
            }
            ("questions.csv", [Cell::Text(question)]) => {
                let is_first = row.metric == "first_questions";
                let list = if is_first { &mut self.first_questions } else { &mut self.unanswered_questions };
                list.push(QuestionCount { question: question.clone(), times });
            }
            _ => self.add_row("", "", row),
        }
    }

    /// Adds a value. Consecutive values of the same metric, such as the volume by status, are added up.
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

    /// Sets the number of conversations of each period, including periods without any.
    ///
    /// Must be called for days first: they determine the first and the last period.
    fn set_periods(&mut self, granularity: Granularity, aggregates: &Aggregates) {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (day, number) in &aggregates.conversations_by_day {
            *counts.entry(aggregates.calendar.period(*day, granularity).to_owned()).or_default() += number;
        }
        if granularity == Granularity::Day {
            let mut days = counts.keys().filter(|period| *period != UNDATED);
            self.day_range =
                days.next().map(|first| (first.clone(), days.next_back().unwrap_or(first).clone()));
        }
        let periods = self.periods(granularity.format(), &counts);
        *(match granularity {
            Granularity::Day => &mut self.days,
            Granularity::Week => &mut self.weeks,
            Granularity::Month => &mut self.months,
        }) = periods;
    }

    /// Returns the periods in the range of days, without gaps.
    fn periods(&self, format: &str, counts: &BTreeMap<String, u64>) -> Vec<PeriodCount> {
        let Some((first, last)) = &self.day_range else { return Vec::new() };
        let mut periods: Vec<PeriodCount> = Vec::new();
        let mut day = time::read_bound(first).ok();
        while let Some(at) = day.filter(|at| at.day() <= *last) {
            let period = at.format_in(Zone::UTC, format);
            if periods.last().is_none_or(|last| last.period != period) {
                let conversations = counts.get(&period).copied().unwrap_or(0);
                periods.push(PeriodCount { period, conversations });
            }
            day = at.shifted(DAY_SECONDS);
        }
        periods
    }

    /// Returns the value of a metric of a source, or of all sources together if `source` is empty.
    pub fn value(&self, source: &str, metric: &str) -> Option<&SummaryRow> {
        self.rows.iter().find(|row| row.source == source && row.metric == metric)
    }

    /// Returns the periods for a chart: days for a few months, weeks for a few years, else months.
    pub fn chart_periods(&self) -> &[PeriodCount] {
        match (self.days.len(), self.weeks.len()) {
            (..=92, _) => &self.days,
            (_, ..=160) => &self.weeks,
            _ => &self.months,
        }
    }

    /// Fails if the report has no conversations: it would look like a bot that nobody uses.
    pub(crate) fn refuse_empty(&self) -> Result<()> {
        if self.sources.iter().any(|source| source.conversations > 0) {
            return Ok(());
        }
        let message = "the archive holds no conversation of these sources, dates and channel";
        Err(Error::new(ErrorKind::Usage, "report", message)
            .hint("`chatark status` shows what it holds; `chatark pull` fetches more"))
    }
}
