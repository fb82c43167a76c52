//! Small charts as inline SVG. The page repeats the numbers of every chart in a table, for readers who cannot see it.

use std::fmt::Write as _;

use crate::escape::escaped;
use crate::summary::PeriodCount;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// The height of the labels below a chart.
const FOOT: f64 = 22.0;

/// Draws one column for each period.
pub(crate) fn columns(periods: &[PeriodCount]) -> String {
    let max = periods.iter().map(|period| period.conversations).max().unwrap_or(0).max(1);
    let step = WIDTH / periods.len().max(1) as f64;
    let mut svg = open(HEIGHT + FOOT, "Conversations by period");
    for (at, period) in periods.iter().enumerate() {
        let height = period.conversations as f64 / max as f64 * (HEIGHT - 18.0);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}: {}</title></rect>",
            at as f64 * step + step * 0.1,
            HEIGHT - height,
            (step * 0.8).max(0.5),
            escaped(&period.period),
            period.conversations,
        );
    }
    let _ = write!(svg, "<text x=\"0\" y=\"12\">{max}</text>");
    for (at, anchor) in [(0, "start"), (periods.len().saturating_sub(1), "end")] {
        if let Some(period) = periods.get(at) {
            let x = if anchor == "start" { 0.0 } else { WIDTH };
            let period = escaped(&period.period);
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{period}</text>",
                HEIGHT + 16.0
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Draws a square for each hour of the week, which is darker the more conversations began in it.
pub(crate) fn week(hours: &[[u64; 24]; 7]) -> String {
    const SIDE: f64 = 27.0;
    const LEFT: f64 = 44.0;
    let max = hours.iter().flatten().copied().max().unwrap_or(0).max(1);
    let mut svg = open(7.0 * SIDE + FOOT, "Conversations by weekday and hour");
    for (day, (name, row)) in WEEKDAYS.iter().zip(hours).enumerate() {
        let y = day as f64 * SIDE;
        let _ = write!(svg, "<text x=\"0\" y=\"{:.1}\">{name}</text>", y + 18.0);
        for (hour, number) in row.iter().enumerate() {
            let intensity = *number as f64 / max as f64;
            let _ = write!(
                svg,
                "<rect class=\"cell\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill-opacity=\"{:.3}\"><title>{name} {hour}:00: {number}</title></rect>",
                LEFT + hour as f64 * SIDE,
                y + 1.0,
                SIDE - 2.0,
                SIDE - 2.0,
                if *number == 0 { 0.05 } else { 0.15 + 0.85 * intensity },
            );
        }
    }
    for hour in (0..24).step_by(3) {
        let (x, y) = (LEFT + f64::from(hour) * SIDE, 7.0 * SIDE + 16.0);
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{hour}</text>");
    }
    svg.push_str("</svg>");
    svg
}

/// Draws a bar for a share between 0 and 1.
pub(crate) fn share(share: f64) -> String {
    let width = share.clamp(0.0, 1.0) * 100.0;
    format!(
        "<svg class=\"share\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" width=\"100\" height=\"8\"/><rect class=\"bar\" width=\"{width:.1}\" height=\"8\"/></svg>"
    )
}

pub(crate) const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn open(height: f64, label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">")
}
