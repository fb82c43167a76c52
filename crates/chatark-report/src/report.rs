//! A whole report: the CSV files, their description and the page, published together.

use std::collections::BTreeMap;
use std::path::Path;

use chatark_archive::Archive;
use chatark_core::Result;
use chatark_formats::{
    Bundle, Column, ColumnType, CsvDialect, FileEntry, Resource, Row, Table, data_package,
};

use crate::aggregate::{Aggregates, aggregate};
use crate::counts::Volume;
use crate::group::{Granularity, GroupKey, Labels};
use crate::html;
use crate::metric::{BASE, Cell, Group, Grouping, METRICS, Metric, MetricValue, volume};
use crate::request::Request;
use crate::summary::Summary;

/// A report that was written.
#[derive(Debug)]
pub struct Report {
    /// Its numbers.
    pub summary: Summary,
    /// Its files.
    pub files: Vec<FileEntry>,
}

const REASON: Column = Column::new("reason", ColumnType::Text, "Why it is not available for this source");
const UNAVAILABLE: [Column; 4] = [BASE[1], BASE[2], BASE[4], REASON];

/// Computes every metric, and writes the files of a report into a folder.
///
/// Fails for a report without conversations, and leaves earlier files unchanged.
pub fn write(archive: &Archive, request: &Request, folder: &Path) -> Result<Report> {
    let mut bundle = Bundle::begin(folder, request.dialect)?;
    let aggregates = aggregate(archive, &request.filter, request.zone, request.by)?;
    let summary = Summary::of(&aggregates);
    summary.refuse_empty()?;
    for metric in METRICS {
        let mut table = bundle.begin_table(metric.file, &columns(metric))?;
        match metric.grouping {
            Grouping::EachPeriod => write_volume(&aggregates, &mut table)?,
            Grouping::Period => write_periods(&aggregates, metric, &mut table)?,
            Grouping::Sources => write_sources(&aggregates, metric, &mut table)?,
        }
        bundle.add_table(table)?;
    }
    write_summary(&mut bundle, &summary)?;
    bundle.add_text("report.html", &html::page(&summary, request))?;
    bundle.add_text("datapackage.json", &description(request.dialect))?;
    Ok(Report { summary, files: bundle.finish()? })
}

fn columns(metric: &Metric) -> Vec<Column> {
    [&BASE, metric.columns].concat()
}

/// Writes conversations and messages by day, then by week, then by month.
fn write_volume(aggregates: &Aggregates, table: &mut Table) -> Result<()> {
    for granularity in Granularity::ALL {
        let mut periods: BTreeMap<(&str, usize, &str), Volume> = BTreeMap::new();
        for (day_key, volume) in &aggregates.volume {
            let period = aggregates.calendar.period(day_key.day, granularity);
            periods.entry((period, day_key.source, day_key.channel)).or_default().add(volume);
        }
        for ((period, source, channel), found) in periods {
            write_rows(table, aggregates.labels(period, source, channel), &volume(&found))?;
        }
    }
    Ok(())
}

/// Writes a metric for each period of the requested granularity.
fn write_periods(aggregates: &Aggregates, metric: &Metric, table: &mut Table) -> Result<()> {
    for (key, counts) in &aggregates.of_periods {
        let GroupKey::Period(period, source, channel) = key else { continue };
        let counts = [(counts, aggregates.available_data[*source])];
        let distributions = &aggregates.distributions[key];
        let group = Group { counts: &counts, distributions, is_all: false };
        write_rows(table, aggregates.labels(period, *source, channel), &metric.of(&group))?;
    }
    Ok(())
}

/// Writes a metric over all sources, and for each of them.
fn write_sources(aggregates: &Aggregates, metric: &Metric, table: &mut Table) -> Result<()> {
    let all = Labels { period: "all", source: "", provider: "", channel: "" };
    write_rows(table, all, &aggregates.all(metric))?;
    for source in 0..aggregates.sources.len() {
        write_rows(table, aggregates.labels("all", source, ""), &aggregates.of_source(source, metric))?;
    }
    Ok(())
}

fn write_rows(table: &mut Table, labels: Labels<'_>, rows: &[MetricValue]) -> Result<()> {
    rows.iter().try_for_each(|row| table.write(|out| fill(out, labels, row)))
}

fn fill(out: &mut Row, labels: Labels<'_>, row: &MetricValue) -> std::io::Result<()> {
    out.text(labels.period)?;
    out.text(labels.source)?;
    out.text(labels.provider)?;
    out.text(labels.channel)?;
    out.text(row.metric.as_str())?;
    out.number(Some(row.value))?;
    out.value(Some(row.basis))?;
    for cell in &row.own {
        match cell {
            Cell::Number(number) => out.value(Some(number))?,
            Cell::Text(text) => out.text(text.as_str())?,
        }
    }
    Ok(())
}

fn write_summary(bundle: &mut Bundle, summary: &Summary) -> Result<()> {
    let mut table = bundle.begin_table("summary.csv", &BASE)?;
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
    bundle.add_table(table)?;
    let mut table = bundle.begin_table("not_available.csv", &UNAVAILABLE)?;
    for missing in &summary.unavailable {
        table.write(|out| {
            out.text(missing.source.as_str())?;
            out.text(missing.provider.as_str())?;
            out.text(missing.metric)?;
            out.text(missing.reason)
        })?;
    }
    bundle.add_table(table)
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
    let missing = "Metrics that are not available, by source";
    resources.push(Resource { file: "not_available.csv", title: missing, columns: &UNAVAILABLE });
    data_package("chatark-report", "Report over the conversations of chatbots", &resources, dialect)
}
