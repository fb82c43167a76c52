//! `chatark report`: computes metrics over the archive, and writes them to files and a summary.

use chatark_archive::Filter;
use chatark_core::{Error, ErrorKind, Result, SourceName, Window, Zone};
use chatark_formats::{CsvDialect, FileEntry};
use chatark_report::{
    Comparison, Granularity, ReportRequest, Summary, compare_sources, format_value, write_report,
};
use serde::Serialize;

use crate::args::{CompareArgs, GlobalArgs, Period, ReportAction, ReportArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session, names};
use crate::ui::{Ui, counted, format_bytes, format_table, sparkline, with_commas};

#[derive(Serialize)]
struct ReportResult {
    folder: String,
    files: Vec<FileEntry>,
    summary: Summary,
    undated_left_out: u64,
}

#[derive(Serialize)]
struct CompareResult {
    a: String,
    b: String,
    metrics: Vec<Comparison>,
    undated_left_out: u64,
}

/// The rows of the summary in a terminal: metric and label.
const SUMMARY_ROWS: [(&str, &str); 15] = [
    ("conversations", "conversations"),
    ("messages", "messages"),
    ("contained_rate", "contained by the bot"),
    ("handed_over_rate", "handed over"),
    ("unanswered_rate", "unanswered"),
    ("single_message_rate", "single message"),
    ("first_response_seconds_median", "first response, median"),
    ("first_response_seconds_p90", "first response, p90"),
    ("response_seconds_median", "response, median"),
    ("response_seconds_p90", "response, p90"),
    ("feedback_positive_rate", "positive feedback"),
    ("low_confidence_rate", "low confidence"),
    ("messages_per_conversation_median", "messages per conversation, median"),
    ("people", "people"),
    ("returning_people", "returning people"),
];

pub(crate) fn run(args: &ReportArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(ReportAction::Compare(args)) = &args.action {
        return run_compare(args, global, ui);
    }
    let session = Session::open(global)?;
    let chosen = session.select_sources(&args.filters.common.sources)?;
    // Without names, sources that the config no longer has are reported too.
    let sources = if args.filters.common.sources.is_empty() { Vec::new() } else { names(&chosen) };
    let filter = args.filters.to_filter(sources)?;
    let zone = args.timezone;
    let archive = session.open_archive_to_read(ui)?;
    let undated_left_out = archive.count_undated_left_out(&filter)?;
    ui.info_undated(undated_left_out);
    let output = &session.config.output;
    let request = ReportRequest {
        granularity: match args.by {
            Period::Day => Granularity::Day,
            Period::Week => Granularity::Week,
            Period::Month => Granularity::Month,
        },
        dialect: CsvDialect { bom: args.csv_bom || output.csv_bom, safe: args.csv_safe || output.csv_safe },
        heading: heading(&filter, undated_left_out, zone),
        filter,
        zone,
        generator: concat!("chatark ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let report = write_report(&archive, &request, &args.output)?;
    for line in summary_lines(&report.summary) {
        ui.print_line(&line)?;
    }
    for file in &report.files {
        ui.info(&format!("wrote {}: {}", args.output.join(&file.name).display(), format_bytes(file.bytes)));
    }
    let folder = args.output.display().to_string();
    ui.print_result(&ReportResult {
        folder,
        files: report.files,
        summary: report.summary,
        undated_left_out,
    })?;
    Ok(Exit::Complete)
}

/// Returns the selection and the time zone, as names and values, for the head of the page.
fn heading(filter: &Filter, undated_left_out: u64, zone: Zone) -> Vec<(String, String)> {
    let line = |name: &str, value: String| (name.to_owned(), value);
    let mut heading = Vec::new();
    if !filter.sources.is_empty() {
        let names: Vec<_> = filter.sources.iter().map(SourceName::as_str).collect();
        heading.push(line("Sources", names.join(", ")));
    }
    match (filter.window.since, filter.window.until) {
        (None, None) => heading.push(line("Dates", "everything in the archive".to_owned())),
        (since, until) => {
            heading.extend(since.map(|since| line("Since", since.to_string())));
            heading.extend(until.map(|until| line("Until", until.to_string())));
            if undated_left_out > 0 {
                heading.push(line("Without a date", format!("{} left out", with_commas(undated_left_out))));
            }
        }
    }
    heading.extend(filter.channel.map(|channel| line("Channel", channel.as_str().to_owned())));
    heading.push(line("Time zone", zone.name().to_owned()));
    heading
}

/// Returns the summary as a table, with a column for each of the first five sources.
fn summary_lines(summary: &Summary) -> Vec<String> {
    const MAX_COLUMNS: usize = 5;
    let columns: Vec<&str> =
        summary.sources.iter().map(|source| source.source.as_str()).take(MAX_COLUMNS).collect();
    let mut heading = vec![String::new(), "all".to_owned()];
    heading.extend(columns.iter().map(|&source| source.to_owned()));
    let mut rows = vec![heading];
    for (metric, label) in SUMMARY_ROWS {
        let cell = |source: &str| {
            let row = summary.value(source, metric);
            row.map_or_else(|| "not available".to_owned(), format_value)
        };
        let mut row = vec![label.to_owned(), cell("")];
        row.extend(columns.iter().map(|source| cell(source)));
        rows.push(row);
    }
    let right: Vec<_> = (1..=columns.len() + 1).collect();
    let mut lines = format_table(&rows, &right);
    let left_out = summary.sources.len().saturating_sub(columns.len());
    if left_out > 0 {
        lines
            .push(format!("{} in the files", counted(left_out as u64, "more source is", "more sources are")));
    }
    let series = summary.chart_periods();
    if let (Some(first), Some(last)) = (series.first(), series.last()) {
        let numbers: Vec<_> = series.iter().map(|point| point.conversations).collect();
        lines.push(String::new());
        lines.push(format!("{} {} {}", first.period, sparkline(&numbers), last.period));
    }
    lines
}

fn run_compare(args: &CompareArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let named = [args.a.clone(), args.b.clone()];
    let chosen = session.select_sources(&named)?;
    if args.a == args.b {
        let error = Error::new(ErrorKind::Usage, "compare", "a source cannot be compared with itself");
        return Err(error.hint("name two sources: `--a OLD --b NEW`").into());
    }
    let window = Window::new(args.since, args.until)?;
    let CompareArgs { undated, channel, .. } = *args;
    let filter = Filter { sources: names(&chosen), window, undated, channel };
    let archive = session.open_archive_to_read(ui)?;
    let undated_left_out = archive.count_undated_left_out(&filter)?;
    ui.info_undated(undated_left_out);
    let metrics = compare_sources(&archive, &filter, &args.a, &args.b)?;
    let heading = ["", &args.a, "of", &args.b, "of", "difference", "95 % interval", "verdict"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(metrics.iter().map(comparison_row));
    for line in format_table(&rows, &[1, 2, 3, 4, 5, 6]) {
        ui.print_line(&line)?;
    }
    ui.print_result(&CompareResult { a: args.a.clone(), b: args.b.clone(), metrics, undated_left_out })?;
    Ok(Exit::Complete)
}

fn comparison_row(comparison: &Comparison) -> Vec<String> {
    let is_rate = comparison.metric.ends_with("_rate");
    let format = |value: f64| if is_rate { format!("{:.1} %", value * 100.0) } else { format!("{value:.2}") };
    let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), format);
    let interval = match (comparison.low, comparison.high) {
        (Some(low), Some(high)) => format!("{} to {}", format(low), format(high)),
        _ => "-".to_owned(),
    };
    vec![
        comparison.metric.to_owned(),
        value(comparison.a),
        with_commas(comparison.a_basis),
        value(comparison.b),
        with_commas(comparison.b_basis),
        value(comparison.difference),
        interval,
        comparison.verdict.as_str().to_owned(),
    ]
}
