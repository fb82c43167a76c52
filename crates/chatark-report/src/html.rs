//! The HTML page: one file that makes no request, for phones, desktops and paper, in light and dark mode.

use std::fmt::Write as _;

use crate::chart;
use crate::escape::escaped;
use crate::number_format::{format_value, is_rate, with_commas};
use crate::request::ReportRequest;
use crate::summary::{QuestionCount, Summary, SummaryRow};

/// The headline metrics of the page: metric and label.
const HEADLINES: [(&str, &str); 6] = [
    ("conversations", "conversations"),
    ("messages", "messages"),
    ("contained_rate", "contained by the bot"),
    ("first_response_seconds_median", "first response, median"),
    ("feedback_positive_rate", "positive of all feedback"),
    ("unanswered_rate", "unanswered"),
];

/// The tables of the page: title, then metric and label of each row.
const TABLES: &[(&str, &[(&str, &str)])] = &[
    ("Volume", &[("conversations", "Conversations"), ("messages", "Messages")]),
    (
        "How conversations end",
        &[
            ("contained_rate", "Contained by the bot"),
            ("handed_over_rate", "Handed over to a person"),
            ("ended_rate", "Ended"),
            ("single_message_rate", "One message alone"),
            ("unanswered_rate", "Unanswered: the last word is the user's"),
        ],
    ),
    (
        "How long people wait",
        &[
            ("first_response_seconds_median", "First response, median"),
            ("first_response_seconds_p90", "First response, 9 of 10 within"),
            ("first_response_seconds_p99", "First response, 99 of 100 within"),
            ("response_seconds_median", "Each answer of the bot, median"),
            ("response_seconds_p90", "Each answer, 9 of 10 within"),
            ("response_seconds_p99", "Each answer, 99 of 100 within"),
        ],
    ),
    (
        "Feedback and confidence",
        &[
            ("feedback_positive", "Positive"),
            ("feedback_negative", "Negative"),
            ("feedback_none", "None given"),
            ("feedback_positive_rate", "Positive of all feedback"),
            ("low_confidence_rate", "Answers with a score below 0.5"),
        ],
    ),
    (
        "How long conversations are",
        &[
            ("messages_per_conversation_median", "Messages, median"),
            ("messages_per_conversation_mean", "Messages, mean"),
            ("duration_seconds_median", "Duration, median"),
            ("duration_seconds_p90", "Duration, 9 of 10 within"),
        ],
    ),
    (
        "Who writes",
        &[
            ("people", "People"),
            ("new_people", "New"),
            ("known_people", "Known from before"),
            ("returning_people", "With several conversations"),
            ("people_across_vendors", "In conversations of several vendors"),
        ],
    ),
];

/// Returns the page.
pub(crate) fn page(summary: &Summary, request: &ReportRequest) -> String {
    let mut page = String::with_capacity(64 << 10);
    page.push_str(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>Conversations report</title>\n<style>\n",
    );
    page.push_str(include_str!("page.css"));
    page.push_str("</style>\n</head>\n<body>\n<main>\n<h1>Conversations report</h1>\n<dl class=\"about\">");
    for (name, value) in &request.heading {
        let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value));
    }
    page.push_str("</dl>\n");
    write_headlines(&mut page, summary);
    write_volume(&mut page, summary);
    for (title, metrics) in TABLES {
        write_metrics(&mut page, summary, title, metrics);
    }
    write_hours(&mut page, summary);
    write_tools(&mut page, summary);
    write_questions(&mut page, "What people ask first", &summary.first_questions);
    write_questions(&mut page, "What nobody answered", &summary.unanswered_questions);
    write_unavailable(&mut page, summary);
    let _ = write!(page, "<footer>{}</footer>\n</main>\n</body>\n</html>\n", escaped(&request.generator));
    page
}

fn write_headlines(page: &mut String, summary: &Summary) {
    page.push_str("<section class=\"headlines\">");
    for (metric, label) in HEADLINES {
        let value = summary.value("", metric).map_or_else(|| "not available".to_owned(), format_value);
        let _ = write!(page, "<div><b>{value}</b><span>{label}</span></div>");
    }
    page.push_str("</section>\n");
}

fn write_volume(page: &mut String, summary: &Summary) {
    let periods = summary.chart_periods();
    if periods.is_empty() {
        return;
    }
    let _ = write!(page, "<section><h2>Conversations over time</h2>{}", chart::columns(periods));
    page.push_str("<details><summary>The numbers</summary><table><thead><tr><th>Period</th><th class=\"number\">Conversations</th></tr></thead><tbody>");
    for period in periods {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td></tr>",
            escaped(&period.period),
            with_commas(period.conversations)
        );
    }
    page.push_str("</tbody></table></details></section>\n");
}

/// Writes a table with a row for each metric and a column for each source.
fn write_metrics(page: &mut String, summary: &Summary, title: &str, metrics: &[(&str, &str)]) {
    let is_available = |metric: &str| summary.rows.iter().any(|row| row.metric == metric);
    let available: Vec<_> = metrics.iter().filter(|(metric, _)| is_available(metric)).collect();
    let _ = write!(page, "<section><h2>{title}</h2>");
    if available.is_empty() {
        page.push_str(
            "<p class=\"missing\">Not available: no source of this report provides it.</p></section>\n",
        );
        return;
    }
    page.push_str("<div class=\"wide\"><table><thead><tr><th></th><th class=\"number\">All</th>");
    for source in &summary.sources {
        let _ = write!(page, "<th class=\"number\">{}</th>", escaped(&source.source));
    }
    page.push_str("</tr></thead><tbody>");
    for (metric, label) in available {
        let _ = write!(page, "<tr><th>{label}</th>{}", cell(summary.value("", metric)));
        for source in &summary.sources {
            page.push_str(&cell(summary.value(&source.source, metric)));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn cell(row: Option<&SummaryRow>) -> String {
    let Some(row) = row else { return "<td class=\"number missing\">not available</td>".to_owned() };
    let bar = if is_rate(row) { chart::share(row.value) } else { String::new() };
    // A count is its own basis, which is then not repeated.
    let (value, basis) = (format_value(row), with_commas(row.basis));
    let basis = if value == basis { String::new() } else { format!("<small>of {basis}</small>") };
    format!("<td class=\"number\">{value}{bar}{basis}</td>")
}

fn write_hours(page: &mut String, summary: &Summary) {
    if summary.hours.iter().flatten().all(|number| *number == 0) {
        return;
    }
    let _ = write!(page, "<section><h2>When people write</h2>{}", chart::week(&summary.hours));
    page.push_str("<details><summary>The numbers</summary><div class=\"wide\"><table><thead><tr><th></th>");
    for hour in 0..24 {
        let _ = write!(page, "<th class=\"number\">{hour}</th>");
    }
    page.push_str("</tr></thead><tbody>");
    for (name, row) in chart::WEEKDAYS.iter().zip(&summary.hours) {
        let _ = write!(page, "<tr><th>{name}</th>");
        for number in row {
            let _ = write!(page, "<td class=\"number\">{number}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div></details></section>\n");
}

fn write_tools(page: &mut String, summary: &Summary) {
    if summary.tools.is_empty() {
        return;
    }
    page.push_str("<section><h2>Tool calls</h2><table><thead><tr><th>Tool</th><th>Status</th><th class=\"number\">Calls</th></tr></thead><tbody>");
    for tool in &summary.tools {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td></tr>",
            escaped(&tool.tool),
            escaped(&tool.status),
            with_commas(tool.calls)
        );
    }
    page.push_str("</tbody></table></section>\n");
}

fn write_questions(page: &mut String, title: &str, questions: &[QuestionCount]) {
    if questions.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<section><h2>{title}</h2><table><thead><tr><th>Question</th><th class=\"number\">Times</th></tr></thead><tbody>"
    );
    for asked in questions {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td></tr>",
            escaped(&asked.question),
            with_commas(asked.times)
        );
    }
    page.push_str("</tbody></table></section>\n");
}

fn write_unavailable(page: &mut String, summary: &Summary) {
    if summary.unavailable.is_empty() {
        return;
    }
    page.push_str("<section><h2>Not available</h2><p>What the vendors' data does not contain is not counted as zero.</p><table><thead><tr><th>Source</th><th>What</th><th>Why</th></tr></thead><tbody>");
    for missing in &summary.unavailable {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&missing.source),
            missing.metric,
            missing.reason
        );
    }
    page.push_str("</tbody></table></section>\n");
}
