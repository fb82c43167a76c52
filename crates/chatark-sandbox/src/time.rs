//! The time formats of the vendors.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};

use crate::world::Zone;

/// Seconds from the start of a day to its last second.
const LAST_SECOND_OF_DAY: i64 = 86_399;

/// A number above this is read as milliseconds, not as seconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Returns an instant as `2026-09-21T14:13:20.000Z`.
pub(crate) fn iso_milliseconds(seconds: i64) -> String {
    instant(seconds).format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// Returns an instant as `2026-09-21T14:13:20Z`.
pub(crate) fn iso_seconds(seconds: i64) -> String {
    instant(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns an instant as `2026-09-21T14:13:20.512345+00:00`.
pub(crate) fn iso_microseconds(seconds: i64) -> String {
    instant(seconds).format("%Y-%m-%dT%H:%M:%S.512345+00:00").to_string()
}

/// Returns an instant as `December 1st 2024, 10:30:00 am`.
pub(crate) fn english(seconds: i64, zone: Zone) -> String {
    let local = instant(seconds.saturating_add(offset(seconds, zone)));
    let (is_afternoon, hour) = local.hour12();
    format!(
        "{} {}{} {}, {hour}:{:02}:{:02} {}",
        MONTHS[usize::try_from(local.month0()).unwrap_or(0)],
        local.day(),
        ordinal(local.day()),
        local.year(),
        local.minute(),
        local.second(),
        if is_afternoon { "pm" } else { "am" }
    )
}

/// Returns an instant as the date in an HTTP header.
pub(crate) fn http_date(seconds: i64) -> String {
    instant(seconds).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads `2026-09-21`, strictly zero-padded, as the first second of that day.
pub(crate) fn first_second(text: &str) -> Option<i64> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    // The parser is lenient about padding, the vendors are not.
    let is_padded = day.format("%Y-%m-%d").to_string() == text;
    is_padded.then(|| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp())
}

/// Reads `2026-09-21`, strictly zero-padded, as the last second of that day.
pub(crate) fn last_second(text: &str) -> Option<i64> {
    first_second(text).map(|first| first + LAST_SECOND_OF_DAY)
}

/// Reads a day or an ISO 8601 instant as the earliest second at or after it.
pub(crate) fn earliest(text: &str) -> Option<i64> {
    first_second(text).or_else(|| {
        let instant = iso(text)?;
        Some(instant.timestamp() + i64::from(instant.timestamp_subsec_nanos() > 0))
    })
}

/// Reads a day (as its end) or an ISO 8601 instant as the latest second at or before it.
pub(crate) fn latest(text: &str) -> Option<i64> {
    last_second(text).or_else(|| Some(iso(text)?.timestamp()))
}

/// Reads epoch seconds or milliseconds as seconds.
pub(crate) fn epoch(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    Some(if number.abs() >= MILLISECONDS_FROM { number.div_euclid(1_000) } else { number })
}

/// Returns the current time in epoch seconds.
pub(crate) fn now_seconds() -> i64 {
    Utc::now().timestamp()
}

/// Returns the current time in epoch milliseconds.
pub(crate) fn now_milliseconds() -> i64 {
    Utc::now().timestamp_millis()
}

fn iso(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).map(|instant| instant.with_timezone(&Utc)).ok().or_else(|| {
        let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        Some(local.and_utc())
    })
}

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn offset(seconds: i64, zone: Zone) -> i64 {
    match zone {
        Zone::Utc => 0,
        Zone::Berlin if is_summer(seconds) => 7_200,
        Zone::Berlin => 3_600,
    }
}

/// Returns whether European summer time is in force: from the last Sunday of March to the last
/// Sunday of October, at 01:00 UTC.
fn is_summer(seconds: i64) -> bool {
    let year = instant(seconds).year();
    let switch = |month| {
        let last_day = Utc.with_ymd_and_hms(year, month, 31, 1, 0, 0).single()?;
        let since_sunday = last_day.weekday().num_days_from_sunday();
        Some((last_day - Duration::days(i64::from(since_sunday))).timestamp())
    };
    match (switch(3), switch(10)) {
        (Some(start), Some(end)) => (start..end).contains(&seconds),
        _ => false,
    }
}

fn ordinal(day: u32) -> &'static str {
    match day {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_times_are_written_as_the_vendor_does() {
        let check = |seconds, zone, expected| assert_eq!(english(seconds, zone), expected);
        check(1_733_049_000, Zone::Utc, "December 1st 2024, 10:30:00 am");
        check(1_732_924_740, Zone::Utc, "November 29th 2024, 11:59:00 pm");
        check(1_732_924_805, Zone::Utc, "November 30th 2024, 12:00:05 am");
        check(1_733_049_000, Zone::Berlin, "December 1st 2024, 11:30:00 am");
        check(1_753_960_200, Zone::Berlin, "July 31st 2025, 1:10:00 pm");
        // The hour that the clock runs through twice.
        check(1_761_440_399, Zone::Berlin, "October 26th 2025, 2:59:59 am");
        check(1_761_440_400, Zone::Berlin, "October 26th 2025, 2:00:00 am");
    }

    #[test]
    fn days_must_be_padded() {
        assert_eq!(first_second("2026-09-21"), Some(1_789_948_800));
        assert_eq!(last_second("2026-09-21"), Some(1_790_035_199));
        for bad in ["2026-9-21", "2026-09-31", "21.09.2026", "", "2026-09-21 "] {
            assert_eq!(first_second(bad), None, "{bad}");
        }
    }

    #[test]
    fn instants_round_into_the_window() {
        assert_eq!(earliest("2026-09-21T00:00:00.001Z"), Some(1_789_948_801));
        assert_eq!(latest("2026-09-21T00:00:00.999Z"), Some(1_789_948_800));
        assert_eq!(latest("2026-09-21T02:00:00+02:00"), Some(1_789_948_800));
        assert_eq!(epoch("1789948800999"), Some(1_789_948_800));
    }
}
