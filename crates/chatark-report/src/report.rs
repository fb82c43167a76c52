//! A whole report: the CSV files, their description and the page, published together.

use std::collections::BTreeMap;
use std::path::Path;

use chatark_archive::{Grain, Views};
use chatark_core::Result;
use chatark_formats::{Bundle, Column, CsvDialect, FileEntry, Kind, Resource, Row, Table, package};

use crate::html;
use crate::metric::{BASE, Grouping, METRICS, Metric};
use crate::summary::{MetricRow, Summary};

/// What a report is to be like.
#[derive(Debug, Clone)]
pub struct Request {
    /// The period by which the metrics are grouped.
    pub by: Grain,
    /// How the CSV files are written.
    pub dialect: CsvDialect,
    /// What the page says about itself, such as the dates that were asked for.
    pub heading: Vec<(String, String)>,
    /// The program and its version.
    pub generator: String,
}

/// A report that was written.
#[derive(Debug)]
pub struct Report {
    /// Its numbers.
    pub summary: Summary,
    /// Its files.
    pub files: Vec<FileEntry>,
}

const REASON: Column = Column::new("reason", Kind::Text, "Why it cannot be told of this source");
const UNAVAILABLE: [Column; 4] = [BASE[1], BASE[2], BASE[4], REASON];

/// Computes every metric, and writes the files of a report into a folder.
///
/// A report over nothing is refused, and leaves earlier files as they are.
pub fn write(views: &Views, request: &Request, folder: &Path) -> Result<Report> {
    let mut bundle = Bundle::begin(folder, request.dialect)?;
    let mut tables = Vec::new();
    for metric in METRICS {
        tables.push(bundle.table(metric.file, &columns(metric))?);
    }
    let table_of = |metric: &Metric| METRICS.iter().position(|other| other.file == metric.file).unwrap_or(0);
    let mut summary = Summary::of(views, |metric, row| tables[table_of(metric)].write(|out| fill(out, row)))?;
    summary.refuse_emptiness()?;
    for grain in [Grain::Day, Grain::Week, Grain::Month] {
        views.group_by(grain)?;
        let mut periods = BTreeMap::new();
        for (metric, table) in METRICS.iter().zip(&mut tables) {
            let is_asked = metric.grouping == Grouping::EachPeriod
                || (metric.grouping == Grouping::Period && grain == request.by);
            if is_asked {
                write_metric(views, metric, table, &mut periods)?;
            }
        }
        summary.set_points(grain, &periods);
    }
    for table in tables {
        bundle.add(table)?;
    }
    write_summary(&mut bundle, &summary)?;
    bundle.text("report.html", &html::page(&summary, request))?;
    bundle.text("datapackage.json", &description(request.dialect))?;
    Ok(Report { summary, files: bundle.finish()? })
}

fn columns(metric: &Metric) -> Vec<Column> {
    [&BASE, metric.columns].concat()
}

fn write_metric(
    views: &Views,
    metric: &Metric,
    table: &mut Table,
    periods: &mut BTreeMap<String, u64>,
) -> Result<()> {
    views.select(&metric.query(), |cells| {
        let row = MetricRow(cells);
        if metric.grouping == Grouping::EachPeriod && row.text(4) == "conversations" {
            *periods.entry(row.text(0).to_owned()).or_default() += row.count(5);
        }
        table.write(|out| fill(out, row))
    })
}

fn fill(out: &mut Row, row: MetricRow<'_>) -> std::io::Result<()> {
    for (at, cell) in row.0.iter().enumerate() {
        match row.number(at) {
            Some(_) => out.value(Some(cell))?,
            None => out.text(row.text(at))?,
        }
    }
    Ok(())
}

fn write_summary(bundle: &mut Bundle, summary: &Summary) -> Result<()> {
    let mut table = bundle.table("summary.csv", &BASE)?;
    for row in &summary.rows {
        table.write(|out| {
            out.text("all")?;
            out.text(row.source.as_str())?;
            out.text(row.provider.as_str())?;
            out.text("")?;
            out.text(row.metric.as_str())?;
            out.number(Some(row.value))?;
            out.value(Some(row.basis))
        })?;
    }
    bundle.add(table)?;
    let mut table = bundle.table("not_available.csv", &UNAVAILABLE)?;
    for missing in &summary.unavailable {
        table.write(|out| {
            out.text(missing.source.as_str())?;
            out.text(missing.provider.as_str())?;
            out.text(missing.metric)?;
            out.text(missing.reason)
        })?;
    }
    bundle.add(table)
}

fn description(dialect: CsvDialect) -> String {
    let all: Vec<_> = METRICS.iter().map(columns).collect();
    let mut resources: Vec<_> = METRICS
        .iter()
        .zip(&all)
        .map(|(metric, columns)| Resource { file: metric.file, title: metric.title, columns })
        .collect();
    let summary = "Every number of each source, and of all of them together";
    resources.push(Resource { file: "summary.csv", title: summary, columns: &BASE });
    let missing = "What cannot be told of which source";
    resources.push(Resource { file: "not_available.csv", title: missing, columns: &UNAVAILABLE });
    package("chatark-report", "Report over the conversations of chatbots", &resources, dialect)
}
