//! The numbers of a whole report: each source, and all of them together.

use std::collections::BTreeMap;

use chatark_archive::{Cell, Grain, Views};
use chatark_core::{Error, ErrorKind, Result, Zone, time};
use serde::Serialize;

use crate::metric::{Grouping, METRICS, Metric, NEEDS};

const DAY_SECONDS: i64 = 86_400;

/// The numbers of a whole report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The sources, by name.
    pub sources: Vec<Source>,
    /// Every number that is one number for a source, or for all of them.
    pub rows: Vec<SummaryRow>,
    /// What cannot be told of which source, and why.
    pub unavailable: Vec<Unavailable>,
    /// Conversations of all sources by day, and by week and month where there are many days.
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
    /// How many of its conversations are in the report.
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
    /// How many conversations, messages or people it rests on.
    pub basis: u64,
}

/// Something that cannot be told of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unavailable {
    /// The source.
    pub source: String,
    /// Its provider.
    pub provider: String,
    /// What cannot be told.
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
    /// How the calls went.
    pub status: String,
    /// How many there were.
    pub calls: u64,
}

/// A question that several people asked, or one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// What was asked, in lower case and without punctuation.
    pub question: String,
    /// How often.
    pub times: u64,
}

/// A row of a metric: the seven columns, and its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricRow<'a>(pub(crate) &'a [Cell]);

impl MetricRow<'_> {
    pub(crate) fn text(&self, at: usize) -> &str {
        match &self.0[at] {
            Cell::Text(text) => text,
            _ => "",
        }
    }

    pub(crate) fn number(&self, at: usize) -> Option<f64> {
        match self.0[at] {
            Cell::Integer(number) => Some(number as f64),
            Cell::Real(number) => Some(number),
            Cell::Null | Cell::Text(_) => None,
        }
    }

    pub(crate) fn count(&self, at: usize) -> u64 {
        match self.0[at] {
            Cell::Integer(number) => u64::try_from(number).unwrap_or(0),
            _ => 0,
        }
    }
}

impl Summary {
    /// Computes the numbers of each source and of all together, and gives the rows of ranked metrics to `take`.
    pub(crate) fn of(
        views: &Views,
        mut take: impl FnMut(&Metric, MetricRow<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut summary = Self::default();
        summary.read_sources(views)?;
        for grain in [Grain::All, Grain::Source] {
            views.group_by(grain)?;
            for metric in METRICS {
                views.select(&metric.query(), |cells| {
                    let row = MetricRow(cells);
                    if metric.grouping == Grouping::Sources {
                        take(metric, row)?;
                    }
                    summary.add(metric, row, grain);
                    Ok(())
                })?;
            }
        }
        summary.merge_statuses();
        Ok(summary)
    }

    fn read_sources(&mut self, views: &Views) -> Result<()> {
        let told: Vec<_> = NEEDS.iter().map(|(_, column, _)| *column).collect();
        let sql = format!(
            "SELECT source, provider, conversations, {} FROM sources ORDER BY source",
            told.join(", ")
        );
        views.select(&sql, |cells| {
            let row = MetricRow(cells);
            let (source, provider) = (row.text(0).to_owned(), row.text(1).to_owned());
            for (at, (metric, _, reason)) in NEEDS.iter().enumerate() {
                if row.count(at + 3) == 0 {
                    let (source, provider) = (source.clone(), provider.clone());
                    self.unavailable.push(Unavailable { source, provider, metric, reason });
                }
            }
            self.sources.push(Source { source, provider, conversations: row.count(2) });
            Ok(())
        })
    }

    fn add(&mut self, metric: &Metric, row: MetricRow<'_>, grain: Grain) {
        let is_all = grain == Grain::All;
        match metric.file {
            "hours.csv" if is_all => {
                let place = |at| usize::try_from(row.count(at)).unwrap_or(usize::MAX);
                let day = self.hours.get_mut(place(7).wrapping_sub(1));
                if let Some(cell) = day.and_then(|day| day.get_mut(place(8))) {
                    *cell += row.count(5);
                }
            }
            "tools.csv" if is_all => self.tools.push(Tool {
                tool: row.text(7).to_owned(),
                status: row.text(8).to_owned(),
                calls: row.count(5),
            }),
            "questions.csv" if is_all => {
                let asked = Question { question: row.text(7).to_owned(), times: row.count(5) };
                let is_first = row.text(4) == "first_questions";
                let list = if is_first { &mut self.first_questions } else { &mut self.unanswered_questions };
                list.push(asked);
            }
            "hours.csv" | "tools.csv" | "questions.csv" => {}
            _ => self.rows.extend(row.number(5).map(|value| SummaryRow {
                source: row.text(1).to_owned(),
                provider: row.text(2).to_owned(),
                metric: row.text(4).to_owned(),
                value,
                basis: row.count(6),
            })),
        }
    }

    /// The volume comes by status; a summary has one number of conversations.
    fn merge_statuses(&mut self) {
        let mut merged: Vec<SummaryRow> = Vec::with_capacity(self.rows.len());
        for row in self.rows.drain(..) {
            match merged.last_mut() {
                Some(last) if last.source == row.source && last.metric == row.metric => {
                    last.value += row.value;
                    last.basis += row.basis;
                }
                _ => merged.push(row),
            }
        }
        self.rows = merged;
        self.tools.sort_by(|one, other| other.calls.cmp(&one.calls).then_with(|| one.tool.cmp(&other.tool)));
    }

    /// Takes the conversations of each period from the volume. Periods in between without any are there too.
    ///
    /// Days come first: they say where the other periods begin and end.
    pub(crate) fn set_points(&mut self, grain: Grain, periods: &BTreeMap<String, u64>) {
        match grain {
            Grain::Day => {
                let mut days = periods.keys().filter(|period| *period != "undated");
                let ends =
                    days.next().map(|first| (first.clone(), days.next_back().unwrap_or(first).clone()));
                self.ends = ends;
                self.days = self.points("%Y-%m-%d", periods);
            }
            Grain::Week => self.weeks = self.points("%G-W%V", periods),
            Grain::Month | Grain::Source | Grain::All => self.months = self.points("%Y-%m", periods),
        }
    }

    fn points(&self, format: &str, counts: &BTreeMap<String, u64>) -> Vec<Point> {
        let Some((first, last)) = &self.ends else { return Vec::new() };
        let mut points: Vec<Point> = Vec::new();
        let mut day = time::read_bound(first).ok();
        while let Some(at) = day.filter(|at| at.day() <= *last) {
            let period = at.written(Zone::UTC, format);
            if points.last().is_none_or(|point| point.period != period) {
                let conversations = counts.get(&period).copied().unwrap_or(0);
                points.push(Point { period, conversations });
            }
            day = at.shifted(DAY_SECONDS);
        }
        points
    }

    /// Returns a number of a source, or of all of them where the name is empty.
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

    /// Refuses a report of nothing, which would look like a bot that nobody uses.
    pub(crate) fn refuse_emptiness(&self) -> Result<()> {
        if self.sources.iter().any(|source| source.conversations > 0) {
            return Ok(());
        }
        let message = "the archive holds no conversation of these sources, dates and channel";
        Err(Error::new(ErrorKind::Usage, "report", message)
            .hint("`chatark status` shows what it holds; `chatark pull` brings more"))
    }
}
