//! Formats the values of metrics for people.

use crate::summary::SummaryRow;

/// Returns whether a metric is a rate, which is shown in percent.
pub(crate) fn is_rate(row: &SummaryRow) -> bool {
    row.metric.ends_with("_rate")
}

/// Returns the value of a metric as text, with its unit.
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

/// Returns a duration as text, in a suitable unit.
fn format_duration(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        10.0..90.0 => format!("{seconds:.0} s"),
        90.0..5_400.0 => format!("{:.1} min", seconds / 60.0),
        5_400.0..129_600.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// Returns a number with a comma at every thousand.
pub(crate) fn with_commas(number: u64) -> String {
    separated(&number.to_string())
}

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
