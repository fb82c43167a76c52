//! Instants in UTC, and readers for every encoding that the vendors use.
//!
//! Vendors write times as Unix seconds, Unix milliseconds, numeric text, Firestore's objects, ISO 8601, the text of a
//! database, of mail and of JavaScript, and English text without a zone (`December 1st 2024, 10:30:00 am`). Each
//! becomes a [`Timestamp`] or a [`TimeProblem`]. Where a form has several readings, a fixed rule decides, and
//! [`Resolution`] tells which one applied.

mod text;

use std::fmt;

use chrono::offset::LocalResult;
use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Timelike,
    Utc,
};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use self::text::WrittenTime;

/// An IANA time zone such as `Europe/Berlin`.
pub type Zone = Tz;

/// Numbers from here on are milliseconds: as seconds they would lie in the year 5138.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// Numbers from here on are microseconds: as milliseconds they would lie in the year 5138.
const FIRST_MICROSECONDS: i64 = 100_000_000_000_000;
/// 2000-01-01T00:00:00Z in microseconds.
const EARLIEST: i64 = 946_684_800_000_000;
/// 2100-01-01T00:00:00Z in microseconds, the first instant that is too late.
const TOO_LATE: i64 = 4_102_444_800_000_000;

/// An instant in UTC with a resolution of one microsecond, between the years 2000 and 2100.
///
/// `Display` and serde write RFC 3339 with `Z` and no more decimals than needed: `2024-12-01T10:30:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// An hour of a day in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalHour {
    /// The day, counted from 1970-01-01.
    pub day: i32,
    /// The day of the week, from 1 for Monday to 7.
    pub weekday: u32,
    /// The hour, from 0 to 23.
    pub hour: u32,
}

/// Why a value is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeProblem {
    /// It could not be read as a time in any known encoding.
    Unreadable,
    /// It reads as a time outside the years 2000 to 2100.
    OutOfRange,
}

/// How a time was resolved to an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The vendor wrote an instant: a number, or a text that names its zone.
    Exact,
    /// The vendor named no zone, and the local time is one instant in the zone of the reader.
    Local,
    /// The local time occurred twice, because clocks went back: the earlier instant was taken.
    Ambiguous {
        /// The later of the two instants.
        later: Timestamp,
    },
    /// The local time did not occur, because clocks went forward: it was moved forward by as much as the clocks.
    Nonexistent,
}

impl Resolution {
    /// Returns whether the vendor named no zone, so that the instant depends on the zone of the reader.
    pub fn is_local(self) -> bool {
        self != Self::Exact
    }
}

impl Timestamp {
    /// The first instant that is accepted: 2000-01-01T00:00:00Z.
    pub const EARLIEST: Self = Self(EARLIEST);

    /// Reads microseconds since 1970-01-01T00:00:00Z, as the archive keeps them.
    pub fn from_microseconds(microseconds: i64) -> Result<Self, TimeProblem> {
        if (EARLIEST..TOO_LATE).contains(&microseconds) {
            Ok(Self(microseconds))
        } else {
            Err(TimeProblem::OutOfRange)
        }
    }

    /// Reads a whole number since 1970: seconds, milliseconds or microseconds, distinguished by magnitude.
    pub fn from_epoch(number: i64) -> Result<Self, TimeProblem> {
        let scale = match number.unsigned_abs() {
            size if size < FIRST_MILLISECONDS.unsigned_abs() => 1_000_000,
            size if size < FIRST_MICROSECONDS.unsigned_abs() => 1_000,
            _ => 1,
        };
        let microseconds = number.checked_mul(scale).ok_or(TimeProblem::OutOfRange)?;
        Self::from_microseconds(microseconds)
    }

    /// Returns microseconds since 1970-01-01T00:00:00Z.
    pub fn microseconds(self) -> i64 {
        self.0
    }

    /// Formats the local time in a zone with a `strftime` format, such as `%Y-%m-%d`.
    ///
    /// # Panics
    ///
    /// If the format has a specifier that `strftime` does not know.
    pub fn format_in(self, zone: Zone, format: &str) -> String {
        let instant = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        instant.with_timezone(&zone).format(format).to_string()
    }

    /// Returns the day and the hour that a clock in a zone shows.
    pub fn local_hour(self, zone: Zone) -> LocalHour {
        let local = self.date_time().with_timezone(&zone);
        LocalHour {
            day: local.date_naive().to_epoch_days(),
            weekday: local.weekday().number_from_monday(),
            hour: local.hour(),
        }
    }

    /// Returns the seconds from `earlier` to this instant, with decimals; negative if `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1_000_000.0
    }

    /// Returns the instant moved by whole seconds, or `None` outside the years 2000 to 2100.
    pub fn shifted(self, seconds: i64) -> Option<Self> {
        let moved = self.0.checked_add(seconds.checked_mul(1_000_000)?)?;
        Self::from_microseconds(moved).ok()
    }

    /// Returns the day in UTC as `YYYY-MM-DD`.
    pub fn day(self) -> String {
        self.date_time().format("%Y-%m-%d").to_string()
    }

    fn date_time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.date_time().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a JSON value in any encoding; a local time is read in `zone`.
pub fn read(value: &Value, zone: Zone) -> Result<(Timestamp, Resolution), TimeProblem> {
    match value {
        Value::Number(number) => read_number(number).map(exact),
        Value::String(text) => read_text(text, zone),
        Value::Object(fields) => read_firestore(fields).map(exact),
        _ => Err(TimeProblem::Unreadable),
    }
}

/// Reads text in any encoding; a local time is read in `zone`.
pub fn read_text(text: &str, zone: Zone) -> Result<(Timestamp, Resolution), TimeProblem> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Timestamp::from_epoch(number).map(exact);
    }
    if let Ok(number) = text.parse::<f64>() {
        return read_decimal(number).map(exact);
    }
    let WrittenTime { local, offset_seconds } = text::read(text).ok_or(TimeProblem::Unreadable)?;
    match offset_seconds {
        Some(offset) => {
            let utc = local.checked_sub_signed(TimeDelta::seconds(offset.into()));
            instant(utc.ok_or(TimeProblem::OutOfRange)?).map(exact)
        }
        None => resolve(local, zone),
    }
}

/// Reads a date that a user types: an RFC 3339 instant, or a day, which means midnight UTC.
pub fn read_bound(text: &str) -> Result<Timestamp, TimeProblem> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return instant(day.and_time(NaiveTime::MIN));
    }
    let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| TimeProblem::Unreadable)?;
    Timestamp::from_microseconds(parsed.timestamp_micros())
}

fn exact(timestamp: Timestamp) -> (Timestamp, Resolution) {
    (timestamp, Resolution::Exact)
}

fn read_number(number: &serde_json::Number) -> Result<Timestamp, TimeProblem> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Timestamp::from_epoch(whole),
        (None, Some(decimal)) => read_decimal(decimal),
        (None, None) => Err(TimeProblem::Unreadable),
    }
}

/// Reads a number with decimals; the fraction is kept to the microsecond.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before the cast")]
fn read_decimal(number: f64) -> Result<Timestamp, TimeProblem> {
    if !number.is_finite() {
        return Err(TimeProblem::Unreadable);
    }
    let microseconds = match number.abs() {
        size if size < FIRST_MILLISECONDS as f64 => number * 1_000_000.0,
        size if size < FIRST_MICROSECONDS as f64 => number * 1_000.0,
        _ => number,
    };
    if !(EARLIEST as f64..TOO_LATE as f64).contains(&microseconds) {
        return Err(TimeProblem::OutOfRange);
    }
    Timestamp::from_microseconds(microseconds.round() as i64)
}

/// Reads `{"_seconds": 1733049000, "_nanoseconds": 0}`, as Firestore writes an instant, with or without the
/// underscores.
fn read_firestore(fields: &Map<String, Value>) -> Result<Timestamp, TimeProblem> {
    const NANOSECONDS: i64 = 1_000_000_000;
    let mut seconds = None;
    let mut nanoseconds = 0;
    for (key, value) in fields {
        let number = value.as_i64().ok_or(TimeProblem::Unreadable)?;
        match key.as_str() {
            "_seconds" | "seconds" => seconds = Some(number),
            "_nanoseconds" | "nanoseconds" if (0..NANOSECONDS).contains(&number) => nanoseconds = number,
            _ => return Err(TimeProblem::Unreadable),
        }
    }
    let microseconds = seconds.ok_or(TimeProblem::Unreadable)?.checked_mul(1_000_000);
    let microseconds = microseconds.and_then(|seconds| seconds.checked_add(nanoseconds / 1_000));
    Timestamp::from_microseconds(microseconds.ok_or(TimeProblem::OutOfRange)?)
}

fn instant(utc: NaiveDateTime) -> Result<Timestamp, TimeProblem> {
    Timestamp::from_microseconds(utc.and_utc().timestamp_micros())
}

/// Resolves a local time to an instant, by the rules of [`Resolution`].
fn resolve(local: NaiveDateTime, zone: Zone) -> Result<(Timestamp, Resolution), TimeProblem> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(found) => Ok((instant(found.naive_utc())?, Resolution::Local)),
        LocalResult::Ambiguous(first, second) => {
            let later = instant(first.max(second).naive_utc())?;
            Ok((instant(first.min(second).naive_utc())?, Resolution::Ambiguous { later }))
        }
        LocalResult::None => Ok((instant(after_clock_change(local, zone)?)?, Resolution::Nonexistent)),
    }
}

/// Reads a local time that clocks skip, with the offset from UTC that they had before.
fn after_clock_change(local: NaiveDateTime, zone: Zone) -> Result<NaiveDateTime, TimeProblem> {
    // The longest time that clocks have skipped is the day that Samoa left out in 2011.
    (1..=26 * 4)
        .filter_map(|quarters| local.checked_sub_signed(TimeDelta::minutes(15 * quarters)))
        .find_map(|earlier| {
            let found = zone.from_local_datetime(&earlier).latest()?;
            local.checked_sub_signed(earlier - found.naive_utc())
        })
        .ok_or(TimeProblem::Unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_local_hour_is_that_of_the_zone() {
        // 2026-10-24T22:30:00Z is Sunday in Berlin, half an hour after midnight.
        let night = Timestamp::from_epoch(1_792_881_000).unwrap();
        assert_eq!(night.local_hour(Zone::UTC), LocalHour { day: 20_750, weekday: 6, hour: 22 });
        assert_eq!(night.local_hour(Zone::Europe__Berlin), LocalHour { day: 20_751, weekday: 7, hour: 0 });
    }

    #[track_caller]
    fn check(value: &Value, zone: &str, expect: &str) {
        let (found, _) = read(value, zone.parse().unwrap()).unwrap();
        assert_eq!(found.to_string(), expect);
    }

    #[track_caller]
    fn check_resolution(text: &str, zone: &str, expect: &str, resolution: Resolution) {
        let found = read_text(text, zone.parse().unwrap()).unwrap();
        assert_eq!((found.0.to_string().as_str(), found.1), (expect, resolution));
    }

    #[test]
    fn the_unit_of_a_number_follows_from_its_size() {
        check(&json!(1_733_049_000), "UTC", "2024-12-01T10:30:00Z");
        check(&json!(1_733_049_000_123_i64), "UTC", "2024-12-01T10:30:00.123Z");
        check(&json!(1_733_049_000_123_456_i64), "UTC", "2024-12-01T10:30:00.123456Z");
        check(&json!("1733049000"), "UTC", "2024-12-01T10:30:00Z");
        check(&json!(1_733_049_000.5), "UTC", "2024-12-01T10:30:00.500Z");
        check(&json!("1733049000123"), "UTC", "2024-12-01T10:30:00.123Z");
    }

    #[test]
    fn iso_is_read_with_and_without_a_zone() {
        check(&json!("2026-09-21T14:13:20.000Z"), "UTC", "2026-09-21T14:13:20Z");
        check(&json!("2026-09-21T08:40:00.512345+00:00"), "UTC", "2026-09-21T08:40:00.512345Z");
        check(&json!("2026-09-21T10:40:00+0200"), "UTC", "2026-09-21T08:40:00Z");
        check(&json!("2026-1-8 18:42:21"), "UTC", "2026-01-08T18:42:21Z");
        check(&json!("2026-01-08 18:42:21"), "Europe/Berlin", "2026-01-08T17:42:21Z");
    }

    #[test]
    fn english_text_is_read() {
        check(&json!("December 1st 2024, 10:30:00 am"), "UTC", "2024-12-01T10:30:00Z");
        check(&json!("November 2nd 2024, 1:05:09 pm"), "UTC", "2024-11-02T13:05:09Z");
        check(&json!("March 3rd 2024, 11:59:59 pm"), "UTC", "2024-03-03T23:59:59Z");
        check(&json!("November 30th 2024, 12:00:05 am"), "UTC", "2024-11-30T00:00:05Z");
        check(&json!("July 4th 2025, 12:00:00 pm"), "UTC", "2025-07-04T12:00:00Z");
        check(&json!("July 4th 2025, 12:00:00 pm"), "America/New_York", "2025-07-04T16:00:00Z");
        check(&json!("Feb 29 2024 23:15"), "UTC", "2024-02-29T23:15:00Z");
    }

    #[test]
    fn iso_may_lack_seconds_or_a_clock() {
        check(&json!("2024-01-01T12:00Z"), "Europe/Berlin", "2024-01-01T12:00:00Z");
        check(&json!("2024-01-01T12:00"), "UTC", "2024-01-01T12:00:00Z");
        check(&json!("2024-01-01T12:00"), "Europe/Berlin", "2024-01-01T11:00:00Z");
        check(&json!("2024-01-01"), "UTC", "2024-01-01T00:00:00Z");
        check(&json!("2016-12-31T23:59:60Z"), "UTC", "2017-01-01T00:00:00Z");
    }

    #[test]
    fn the_text_of_a_database_is_read() {
        check(&json!("2024-01-01 12:00:00+00"), "Europe/Berlin", "2024-01-01T12:00:00Z");
        check(&json!("2024-01-01 12:00:00+00:00"), "Europe/Berlin", "2024-01-01T12:00:00Z");
        check(&json!("2024-01-01 12:00:00.123456+0530"), "UTC", "2024-01-01T06:30:00.123456Z");
        check(&json!("2024-01-01 12:00:00.5-03"), "UTC", "2024-01-01T15:00:00.500Z");
        check(&json!("2024-01-01 12:00:00 UTC"), "Europe/Berlin", "2024-01-01T12:00:00Z");
    }

    #[test]
    fn the_dates_of_mail_and_of_javascript_are_read() {
        check(&json!("Mon, 01 Jan 2024 12:00:00 +0100"), "UTC", "2024-01-01T11:00:00Z");
        check(&json!("1 Jan 2024 12:00 GMT"), "Europe/Berlin", "2024-01-01T12:00:00Z");
        check(&json!("Mon, 1 Jan 2024 12:00:00 EST"), "UTC", "2024-01-01T17:00:00Z");
        check(&json!("Mon, 1 Jan 2024 12:00:00 -0000 (none)"), "Europe/Berlin", "2024-01-01T12:00:00Z");
        check(
            &json!("Mon Jan 01 2024 12:00:00 GMT+0100 (Central European Standard Time)"),
            "UTC",
            "2024-01-01T11:00:00Z",
        );
        check(&json!("Mon Jan 01 2024 12:00:00 GMT-0330 (x (y))"), "UTC", "2024-01-01T15:30:00Z");
    }

    #[test]
    fn the_objects_of_firestore_are_read() {
        check(&json!({"_seconds": 1_733_049_000, "_nanoseconds": 0}), "UTC", "2024-12-01T10:30:00Z");
        check(
            &json!({"_seconds": 1_733_049_000, "_nanoseconds": 123_456_789}),
            "Europe/Berlin",
            "2024-12-01T10:30:00.123456Z",
        );
        check(&json!({"seconds": 1_733_049_000, "nanoseconds": 5_000}), "UTC", "2024-12-01T10:30:00.000005Z");
        check(&json!({"_seconds": 1_733_049_000}), "UTC", "2024-12-01T10:30:00Z");
    }

    #[test]
    fn english_text_has_many_forms() {
        for text in [
            "December 1st 2024, 10:30 am",
            "Sunday, December 1st 2024, 10:30:00 am",
            "Sun Dec 1 2024 10:30:00 a.m.",
            "December 1st 2024, 10:30:00 A.M.",
            "1st December 2024, 10:30:00 am",
            "Sunday 1st December 2024, 10:30",
            "12/1/2024, 10:30:00 AM",
            "12/1/2024, 10:30:00\u{202f}AM",
            "12/01/2024 10:30",
            "December 1, 2024 at 10:30 AM",
            "Dec. 1, 2024, 10:30am",
        ] {
            check_resolution(text, "Europe/Berlin", "2024-12-01T09:30:00Z", Resolution::Local);
        }
        check(&json!("Sept 2nd 2024, 10:30 p.m."), "UTC", "2024-09-02T22:30:00Z");
        check(&json!("13/1/2024, 10:30:00 PM"), "UTC", "2024-01-13T22:30:00Z");
        check(&json!("1/13/2024, 10:30:00 PM"), "UTC", "2024-01-13T22:30:00Z");
    }

    #[test]
    fn a_zone_in_the_text_wins_over_that_of_the_reader() {
        for (text, expect) in [
            ("December 1st 2024, 10:30:00 am UTC", "2024-12-01T10:30:00Z"),
            ("December 1st 2024, 10:30:00 am (UTC)", "2024-12-01T10:30:00Z"),
            ("December 1st 2024, 10:30:00 am (GMT+1)", "2024-12-01T09:30:00Z"),
            ("December 1st 2024, 10:30:00 am GMT+0100", "2024-12-01T09:30:00Z"),
            ("December 1st 2024, 10:30 am UTC-05:30", "2024-12-01T16:00:00Z"),
            ("12/1/2024, 10:30:00 AM GMT-5", "2024-12-01T15:30:00Z"),
            ("October 26th 2025, 2:30:00 am +0100", "2025-10-26T01:30:00Z"),
        ] {
            check_resolution(text, "America/New_York", expect, Resolution::Exact);
        }
    }

    #[test]
    fn clock_changes_are_resolved_by_rule() {
        // Berlin, 30 March 2025: 02:00 becomes 03:00. 26 October 2025: 03:00 becomes 02:00.
        check_resolution(
            "March 30th 2025, 2:30:00 am",
            "Europe/Berlin",
            "2025-03-30T01:30:00Z",
            Resolution::Nonexistent,
        );
        check_resolution(
            "October 26th 2025, 2:30:00 am",
            "Europe/Berlin",
            "2025-10-26T00:30:00Z",
            Resolution::Ambiguous { later: Timestamp::from_epoch(1_761_442_200).unwrap() },
        );
        check_resolution(
            "October 26th 2025, 3:30:00 am",
            "Europe/Berlin",
            "2025-10-26T02:30:00Z",
            Resolution::Local,
        );
        // Lord Howe Island moves by half an hour; Samoa skipped 30 December 2011.
        check_resolution(
            "October 5th 2025, 2:15:00 am",
            "Australia/Lord_Howe",
            "2025-10-04T15:45:00Z",
            Resolution::Nonexistent,
        );
        check_resolution(
            "December 30th 2011, 12:00:00 pm",
            "Pacific/Apia",
            "2011-12-30T22:00:00Z",
            Resolution::Nonexistent,
        );
    }

    #[test]
    fn unreadable_and_out_of_range_values_are_rejected() {
        for text in [
            "",
            "yesterday",
            "December 32nd 2024, 10:30:00 am",
            "Decembr 1st 2024, 10:30:00 am",
            "December 1st 2024, 13:30:00 pm",
            "December 1st 2024, 0:30:00 am",
            "December 1st 2024",
            "December 1xx 2024, 10:30:00 am",
            "February 30th 2024, 1:00:00 am",
            "NaN",
            "inf",
            "December 1st 2024, 10:30:00 am (CET)",
            "December 1st 2024, 10:30:00 am UTC+1 UTC+1",
            "Monday, December 1st 2024, 10:30:00 am",
            "2024-12-01T",
            "2024-12-01 UTC",
            "2024-12-01T10",
            "2024-12-01T10:30+24",
            "2024-12-01T10:30+01:60",
            "2024-12-01T10:30:00.",
            "24-12-01T10:30:00Z",
            "2024-13-01T10:30:00Z",
            "13/13/2024, 10:30:00 AM",
            "12/1/24, 10:30:00 AM",
            "12/1/2024",
            "1 2 2024 10:30",
            "December 1st 2024, 10:30:00 am and more words than a time has",
        ] {
            assert_eq!(read_text(text, Zone::UTC), Err(TimeProblem::Unreadable), "{text}");
        }
        for value in [
            json!(0),
            json!(-5),
            json!(4_102_444_800_i64),
            json!(i64::MAX),
            json!(1e300),
            json!("1999-12-31T23:59:59Z"),
            json!({"_seconds": i64::MAX}),
            json!({"_seconds": 5}),
        ] {
            assert_eq!(read(&value, Zone::UTC), Err(TimeProblem::OutOfRange), "{value}");
        }
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!({"_seconds": "1733049000"}),
            json!({"_nanoseconds": 5}),
            json!({"_seconds": 1_733_049_000, "_nanoseconds": 1_000_000_000}),
            json!({"_seconds": 1_733_049_000, "zone": 1}),
        ] {
            assert_eq!(read(&value, Zone::UTC), Err(TimeProblem::Unreadable));
        }
    }

    #[test]
    fn bounds_are_days_or_instants() {
        assert_eq!(read_bound("2024-12-01").unwrap().to_string(), "2024-12-01T00:00:00Z");
        assert_eq!(read_bound("2024-12-01T01:00:00+01:00").unwrap().to_string(), "2024-12-01T00:00:00Z");
        assert!(read_bound("1733049000").is_err());
        assert!(read_bound("1.12.2024").is_err());
    }

    /// A local date and clock, computed from seconds since 1970 without the library that reads them.
    #[derive(Clone, Copy)]
    struct Printed {
        days: i64,
        year: i64,
        month: i64,
        day: i64,
        hour: i64,
        minute: i64,
        second: i64,
    }

    impl Printed {
        fn of(local_seconds: i64) -> Self {
            let (days, clock) = (local_seconds.div_euclid(86_400), local_seconds.rem_euclid(86_400));
            let (mut year, mut rest) = (1970, days);
            while rest >= 365 + leap_days(year) {
                rest -= 365 + leap_days(year);
                year += 1;
            }
            let lengths = [31, 28 + leap_days(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut month = 0;
            while rest >= lengths[month] {
                rest -= lengths[month];
                month += 1;
            }
            let month = i64::try_from(month).unwrap() + 1;
            let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
            Self { days, year, month, day: rest + 1, hour, minute, second }
        }

        fn weekday(self) -> &'static str {
            // 1970-01-01 was a Thursday.
            ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"]
                [usize::try_from(self.days.rem_euclid(7)).unwrap()]
        }

        fn month(self) -> &'static str {
            let names =
                "January February March April May June July August September October November December";
            names.split(' ').nth(usize::try_from(self.month - 1).unwrap()).unwrap()
        }

        fn ordinal(self) -> String {
            let ending = match self.day {
                1 | 21 | 31 => "st",
                2 | 22 => "nd",
                3 | 23 => "rd",
                _ => "th",
            };
            format!("{}{ending}", self.day)
        }

        fn half(self) -> (i64, &'static str) {
            let hour = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
            (hour, if self.hour < 12 { "am" } else { "pm" })
        }
    }

    fn leap_days(year: i64) -> i64 {
        i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
    }

    proptest! {
        #[test]
        fn never_panics_on_text(text in ".{0,60}", zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let _ = read_text(&text, chrono_tz::TZ_VARIANTS[zone]);
        }

        #[test]
        fn never_panics_on_almost_english_text(
            text in "(January|May|December|Sept) [0-9]{1,2}(st|nd|rd|th)? [0-9]{1,5}, [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2} (am|pm)?",
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let _ = read_text(&text, chrono_tz::TZ_VARIANTS[zone]);
        }

        /// An instant that is written as English local time is read back as itself, or as one of the two instants of a
        /// local time that occurs twice.
        #[test]
        fn english_local_times_are_read_back(
            seconds in 946_771_200_i64..4_102_358_400,
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let local = DateTime::from_timestamp(seconds, 0).unwrap().with_timezone(&zone);
            let day = local.format("%-d").to_string();
            let ending = match day.as_str() { "1" | "21" | "31" => "st", "2" | "22" => "nd", "3" | "23" => "rd", _ => "th" };
            let text = local.format(&format!("%B %-d{ending} %Y, %-I:%M:%S %P")).to_string();
            let (found, resolution) = read_text(&text, zone).unwrap();
            prop_assert_ne!(resolution, Resolution::Nonexistent);
            let expect = Timestamp::from_epoch(seconds).unwrap();
            let later = if let Resolution::Ambiguous { later } = resolution { later } else { found };
            prop_assert!([found, later].contains(&expect));
        }

        #[test]
        fn never_panics_on_what_looks_like_a_time(
            text in "((Sun|Mon(day)?|at|Dec|May|AM|p\\.m\\.|UTC|GMT|[0-9]{1,4}|[0-9]{1,2}(st|th)|[-+/:.T,() é−]){1,2} ?){0,9}",
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let _ = read_text(&text, chrono_tz::TZ_VARIANTS[zone]);
        }

        /// An instant that is written with its zone is read back as itself, whatever the zone of the reader is.
        #[test]
        fn every_form_with_a_zone_reads_back(
            seconds in 946_771_200_i64..4_102_358_400,
            micros in 0..1_000_000_i64,
            quarters in -48..=56_i64,
            reader in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let reader = chrono_tz::TZ_VARIANTS[reader];
            let whole = Timestamp::from_epoch(seconds).unwrap();
            let fine = Timestamp::from_microseconds(seconds * 1_000_000 + micros).unwrap();
            let minute = Timestamp::from_epoch(seconds - seconds.rem_euclid(60)).unwrap();
            let local = Printed::of(seconds + quarters * 900);
            let Printed { year, month, day, hour, minute: minutes, second, .. } = local;
            let (sign, size) = (if quarters < 0 { '-' } else { '+' }, quarters.abs());
            let (offset_hours, offset_minutes) = (size / 4, size % 4 * 15);
            let date = format!("{year}-{month:02}-{day:02}");
            let clock = format!("{hour:02}:{minutes:02}:{second:02}");
            let (weekday, named) = (local.weekday(), local.month());
            let ordinal = local.ordinal();
            let (half_hour, half) = local.half();
            let mut forms = vec![
                (format!("{date}T{clock}.{micros:06}{sign}{offset_hours:02}:{offset_minutes:02}"), fine),
                (format!("{date} {clock}.{micros:06}{sign}{offset_hours:02}{offset_minutes:02}"), fine),
                (format!("{date}T{hour:02}:{minutes:02}{sign}{offset_hours:02}:{offset_minutes:02}"), minute),
                (format!("{}, {day} {} {year} {clock} {sign}{offset_hours:02}{offset_minutes:02}", &weekday[..3], &named[..3]), whole),
                (
                    format!(
                        "{} {} {day:02} {year} {clock} GMT{sign}{offset_hours:02}{offset_minutes:02} (Some Standard Time)",
                        &weekday[..3], &named[..3],
                    ),
                    whole,
                ),
                (
                    format!(
                        "{weekday}, {named} {ordinal} {year}, {half_hour}:{minutes:02}:{second:02} {half} (GMT{sign}{offset_hours}:{offset_minutes:02})"
                    ),
                    whole,
                ),
                (
                    format!(
                        "{month}/{day}/{year}, {half_hour}:{minutes:02}:{second:02} {} GMT{sign}{offset_hours:02}{offset_minutes:02}",
                        half.to_uppercase(),
                    ),
                    whole,
                ),
            ];
            if offset_minutes == 0 {
                forms.push((format!("{date} {clock}.{micros:06}{sign}{offset_hours:02}"), fine));
                forms.push((format!("{ordinal} {named} {year}, {clock} UTC{sign}{offset_hours}"), whole));
            }
            if quarters == 0 {
                forms.push((format!("{date}T{hour:02}:{minutes:02}Z"), minute));
                forms.push((format!("{date} {clock} UTC"), whole));
            }
            for (text, expect) in forms {
                prop_assert_eq!(read_text(&text, reader), Ok((expect, Resolution::Exact)), "{}", text);
            }
            let object = json!({"_seconds": seconds, "_nanoseconds": micros * 1_000});
            prop_assert_eq!(read(&object, reader), Ok((fine, Resolution::Exact)));
        }

        /// A local time is read back in the zone of the reader, here one without clock changes.
        #[test]
        fn every_form_without_a_zone_reads_back(
            seconds in 946_771_200_i64..4_102_358_400,
            hours in -12..=12_i64,
        ) {
            // The names of these zones have the sign of POSIX: `Etc/GMT-1` is one hour ahead of UTC.
            let reader: Zone = format!("Etc/GMT{:+}", -hours).parse().unwrap();
            let whole = Timestamp::from_epoch(seconds).unwrap();
            let minute = Timestamp::from_epoch(seconds - seconds.rem_euclid(60)).unwrap();
            let local = Printed::of(seconds + hours * 3_600);
            let Printed { year, month, day, hour, minute: minutes, second, .. } = local;
            let midnight = seconds - hour * 3_600 - minutes * 60 - second;
            let midnight = Timestamp::from_epoch(midnight).unwrap();
            let (weekday, named, ordinal) = (local.weekday(), local.month(), local.ordinal());
            let (half_hour, half) = local.half();
            let dotted = if half == "am" { "a.m." } else { "P.M." };
            let half_clock = format!("{half_hour}:{minutes:02}:{second:02}");
            for (text, expect) in [
                (format!("{year}-{month:02}-{day:02}T{hour:02}:{minutes:02}"), minute),
                (format!("{year}-{month}-{day} {hour:02}:{minutes:02}:{second:02}"), whole),
                (format!("{year}-{month:02}-{day:02}"), midnight),
                (format!("{named} {ordinal} {year}, {half_clock} {half}"), whole),
                (format!("{named} {ordinal} {year}, {half_hour}:{minutes:02} {half}"), minute),
                (format!("{weekday}, {named} {ordinal} {year}, {half_clock} {half}"), whole),
                (format!("{named} {ordinal} {year}, {half_clock} {dotted}"), whole),
                (format!("{ordinal} {named} {year}, {half_clock} {half}"), whole),
                (format!("{month}/{day}/{year}, {half_clock} {}", half.to_uppercase()), whole),
            ] {
                prop_assert_eq!(read_text(&text, reader), Ok((expect, Resolution::Local)), "{}", text);
            }
            if day > 12 {
                let text = format!("{day}/{month}/{year}, {half_clock} {half}");
                prop_assert_eq!(read_text(&text, reader), Ok((whole, Resolution::Local)), "{}", text);
            }
        }

        #[test]
        fn never_panics_on_numbers(number in any::<i64>(), decimal in any::<f64>()) {
            let _ = Timestamp::from_epoch(number);
            let _ = read(&json!(decimal), Zone::UTC);
        }
    }
}
