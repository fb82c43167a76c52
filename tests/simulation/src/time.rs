//! Instants of the world, in microseconds since 1970, and how vendors write them.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// An instant of the world: microseconds since 1970.
pub type Instant = i64;

/// A length of time in the world, in microseconds.
pub type Span = i64;

/// A second in microseconds.
pub const SECOND: Span = 1_000_000;
/// A minute in microseconds.
pub const MINUTE: Span = 60 * SECOND;
/// An hour in microseconds.
pub const HOUR: Span = 60 * MINUTE;
/// A day in microseconds.
pub const DAY: Span = 24 * HOUR;

/// Returns an instant as a calendar time in UTC.
pub fn utc(at: Instant) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or_default()
}

/// Formats an instant with a format of `chrono`.
pub fn written(at: Instant, format: &str) -> String {
    utc(at).format(format).to_string()
}

/// Writes an instant for a report.
pub fn to_iso8601(at: Instant) -> String {
    written(at, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// Writes an instant as the date of an HTTP header.
pub fn http_date(at: Instant) -> String {
    let since_epoch = Duration::from_micros(at.max(0).unsigned_abs());
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch)
}

/// A bound of a window as a client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A bare day: its first instant in UTC.
    Day(Instant),
    /// An instant.
    Exact(Instant),
}

/// Reads a bound: `YYYY-MM-DD`, strictly padded, or ISO 8601 with a zone or in UTC.
pub fn bound(text: &str) -> Option<Bound> {
    if text.len() == 10 {
        let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
        return Some(Bound::Day(midnight.and_utc().timestamp_micros()));
    }
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros());
    let plain = || {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
            .map(|time| time.and_utc().timestamp_micros())
    };
    zoned.or_else(|_| plain()).ok().map(Bound::Exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_days_or_instants() {
        assert_eq!(bound("1970-01-02"), Some(Bound::Day(DAY)));
        assert_eq!(bound("1970-01-02T00:00:01Z"), Some(Bound::Exact(DAY + SECOND)));
        assert_eq!(bound("1970-01-02T00:00:01.500"), Some(Bound::Exact(DAY + SECOND + SECOND / 2)));
        assert_eq!(bound("1970-1-2"), None);
    }
}
