//! Writes a report: the CSV files, their description and the HTML page, published together.

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
use crate::metric::{BASE, Cell, GroupData, Grouping, METRIC_FILES, MetricFile, MetricValue, volume_values};
use crate::request::ReportRequest;
use crate::summary::Summary;

/// A written report.
#[derive(Debug)]
pub struct Report {
    /// Its summary.
    pub summary: Summary,
    /// Its files.
    pub files: Vec<FileEntry>,
}

const REASON: Column = Column::new("reason", ColumnType::Text, "Why it is not available for this source");
const UNAVAILABLE: [Column; 4] = [BASE[1], BASE[2], BASE[4], REASON];

/// Computes every metric, and writes the files of a report into a folder.
///
/// Fails if there are no conversations. After an error, the files of an earlier report are unchanged.
pub fn write_report(archive: &Archive, request: &ReportRequest, folder: &Path) -> Result<Report> {
    let mut bundle = Bundle::begin(folder, request.dialect)?;
    let aggregates = aggregate(archive, &request.filter, request.zone, request.granularity)?;
    let summary = Summary::of(&aggregates);
    summary.refuse_empty()?;
    for file in METRIC_FILES {
        let mut table = bundle.begin_table(file.name, &columns(file))?;
        match file.grouping {
            Grouping::EachPeriod => write_volume(&aggregates, &mut table)?,
            Grouping::Period => write_periods(&aggregates, file, &mut table)?,
            Grouping::Sources => write_sources(&aggregates, file, &mut table)?,
        }
        bundle.add_table(table)?;
    }
    write_summary(&mut bundle, &summary)?;
    bundle.add_text("report.html", &html::page(&summary, request))?;
    bundle.add_text("datapackage.json", &description(request.dialect))?;
    Ok(Report { summary, files: bundle.finish()? })
}

fn columns(file: &MetricFile) -> Vec<Column> {
    [&BASE, file.columns].concat()
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
            write_rows(table, aggregates.labels(period, source, channel), &volume_values(&found))?;
        }
    }
    Ok(())
}

/// Writes a metric file with a group for each period of the requested granularity.
fn write_periods(aggregates: &Aggregates, file: &MetricFile, table: &mut Table) -> Result<()> {
    for (key, counts) in &aggregates.by_period {
        let GroupKey::Period(period, source, channel) = key else { continue };
        let counts = [(counts, aggregates.available_data[*source])];
        let distributions = &aggregates.distributions[key];
        let group = GroupData { counts: &counts, distributions, is_all: false };
        write_rows(table, aggregates.labels(period, *source, channel), &file.values(&group))?;
    }
    Ok(())
}

/// Writes a metric file with a group for all sources together, and one for each source.
fn write_sources(aggregates: &Aggregates, file: &MetricFile, table: &mut Table) -> Result<()> {
    let all = Labels { period: "all", source: "", provider: "", channel: "" };
    write_rows(table, all, &aggregates.values_of_all(file))?;
    for source in 0..aggregates.sources.len() {
        write_rows(table, aggregates.labels("all", source, ""), &aggregates.values_of_source(source, file))?;
    }
    Ok(())
}

fn write_rows(table: &mut Table, labels: Labels<'_>, values: &[MetricValue]) -> Result<()> {
    values.iter().try_for_each(|value| table.write(|out| write_cells(out, labels, value)))
}

fn write_cells(out: &mut Row, labels: Labels<'_>, value: &MetricValue) -> std::io::Result<()> {
    out.text(labels.period)?;
    out.text(labels.source)?;
    out.text(labels.provider)?;
    out.text(labels.channel)?;
    out.text(value.metric.as_str())?;
    out.number(Some(value.value))?;
    out.value(Some(value.basis))?;
    for cell in &value.own_cells {
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

/// Returns the text of `datapackage.json`.
fn description(dialect: CsvDialect) -> String {
    let all: Vec<_> = METRIC_FILES.iter().map(columns).collect();
    let mut resources: Vec<_> = METRIC_FILES
        .iter()
        .zip(&all)
        .map(|(file, columns)| Resource { file: file.name, title: file.title, columns })
        .collect();
    let summary = "Every number of each source, and of all of them together";
    resources.push(Resource { file: "summary.csv", title: summary, columns: &BASE });
    let missing = "Metrics that are not available, by source";
    resources.push(Resource { file: "not_available.csv", title: missing, columns: &UNAVAILABLE });
    data_package("chatark-report", "Report over the conversations of chatbots", &resources, dialect)
}
