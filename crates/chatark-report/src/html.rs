//! The page: one file without any request, for phones, desktops and paper, in light and dark mode.

use std::fmt::Write as _;

use crate::chart;
use crate::escape::escaped;
use crate::request::Request;
use crate::summary::{Question, Summary, SummaryRow};

/// The headline numbers of the page.
const HEADLINES: [(&str, &str); 6] = [
    ("conversations", "conversations"),
    ("messages", "messages"),
    ("contained_rate", "contained by the bot"),
    ("first_response_seconds_median", "first response, median"),
    ("feedback_positive_rate", "positive of all feedback"),
    ("unanswered_rate", "unanswered"),
];

/// The numbers of each source, in groups.
const GROUPS: &[(&str, &[(&str, &str)])] = &[
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

/// Writes the page.
pub(crate) fn page(summary: &Summary, request: &Request) -> String {
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
    headlines(&mut page, summary);
    volume(&mut page, summary);
    for (title, metrics) in GROUPS {
        group(&mut page, summary, title, metrics);
    }
    hours(&mut page, summary);
    tools(&mut page, summary);
    questions(&mut page, "What people ask first", &summary.first_questions);
    questions(&mut page, "What nobody answered", &summary.unanswered_questions);
    unavailable(&mut page, summary);
    let _ = write!(page, "<footer>{}</footer>\n</main>\n</body>\n</html>\n", escaped(&request.generator));
    page
}

fn headlines(page: &mut String, summary: &Summary) {
    page.push_str("<section class=\"headlines\">");
    for (metric, label) in HEADLINES {
        let value = summary.value("", metric).map_or_else(|| "not available".to_owned(), format_value);
        let _ = write!(page, "<div><b>{value}</b><span>{label}</span></div>");
    }
    page.push_str("</section>\n");
}

fn volume(page: &mut String, summary: &Summary) {
    let series = summary.series();
    if series.is_empty() {
        return;
    }
    let _ = write!(page, "<section><h2>Conversations over time</h2>{}", chart::columns(series));
    page.push_str("<details><summary>The numbers</summary><table><thead><tr><th>Period</th><th class=\"number\">Conversations</th></tr></thead><tbody>");
    for point in series {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td></tr>",
            escaped(&point.period),
            with_commas(point.conversations)
        );
    }
    page.push_str("</tbody></table></details></section>\n");
}

/// Writes a table with a row for each metric and a column for each source.
fn group(page: &mut String, summary: &Summary, title: &str, metrics: &[(&str, &str)]) {
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

fn hours(page: &mut String, summary: &Summary) {
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

fn tools(page: &mut String, summary: &Summary) {
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

fn questions(page: &mut String, title: &str, questions: &[Question]) {
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

fn unavailable(page: &mut String, summary: &Summary) {
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

fn is_rate(row: &SummaryRow) -> bool {
    row.metric.ends_with("_rate")
}

/// Returns a number in the unit of its metric.
pub fn format_value(row: &SummaryRow) -> String {
    if is_rate(row) {
        format!("{:.1} %", row.value * 100.0)
    } else if row.metric.contains("_seconds") {
        format_duration(row.value)
    } else if row.value.fract() == 0.0 && row.value >= 0.0 {
        separated(&format!("{:.0}", row.value))
    } else {
        format!("{:.1}", row.value)
    }
}

/// Returns a duration in a suitable unit.
pub(crate) fn format_duration(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        10.0..90.0 => format!("{seconds:.0} s"),
        90.0..5_400.0 => format!("{:.1} min", seconds / 60.0),
        5_400.0..129_600.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

fn with_commas(number: u64) -> String {
    separated(&number.to_string())
}

/// Returns digits with a comma at every thousand.
fn separated(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_their_unit() {
        let row = |metric: &str, value| SummaryRow {
            source: String::new(),
            provider: String::new(),
            metric: metric.to_owned(),
            value,
            basis: 1,
        };
        for (metric, value, expect) in [
            ("contained_rate", 0.8125, "81.2 %"),
            ("conversations", 12_345.0, "12,345"),
            ("response_seconds_median", 3.25, "3.2 s"),
            ("response_seconds_median", 42.0, "42 s"),
            ("duration_seconds_median", 600.0, "10.0 min"),
            ("duration_seconds_median", 7_200.0, "2.0 h"),
            ("duration_seconds_median", 864_000.0, "10.0 days"),
            ("messages_per_conversation_mean", 5.25, "5.2"),
        ] {
            assert_eq!(format_value(&row(metric, value)), expect);
        }
    }
}
