//! Instants in UTC, and readers for every encoding that the vendors use.
//!
//! Vendors write times as Unix seconds, Unix milliseconds, numeric text, ISO 8601, and English text without a
//! zone (`December 1st 2024, 10:30:00 am`). Each becomes a [`Timestamp`] or a [`TimeProblem`].

use std::fmt;

use chrono::offset::LocalResult;
use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Timelike,
    Utc,
};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use serde_json::Value;

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

/// How a local time was resolved to an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The local time is one instant.
    Exact,
    /// The local time occurred twice, because clocks went back: the earlier instant was taken.
    Ambiguous,
    /// The local time did not occur, because clocks went forward: it was moved on by the length of the gap.
    Nonexistent,
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
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Timestamp::from_microseconds(instant.timestamp_micros()).map(exact);
    }
    if let Ok(instant) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Timestamp::from_microseconds(instant.timestamp_micros()).map(exact);
    }
    let local = iso_without_zone(text).or_else(|| english(text)).ok_or(TimeProblem::Unreadable)?;
    resolve(local, zone)
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

/// Reads `2026-01-08 18:42:21` and `2026-01-08T18:42:21.5`, also without leading zeros in month and day.
fn iso_without_zone(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

/// Reads English text such as `December 1st 2024, 10:30:00 am`.
///
/// Commas, the ordinal suffix and the seconds may be missing; without `am` or `pm` the clock has 24 hours.
fn english(text: &str) -> Option<NaiveDateTime> {
    let mut words =
        text.split(|letter: char| letter.is_whitespace() || letter == ',').filter(|word| !word.is_empty());
    let month = month_number(words.next()?)?;
    let day = day_number(words.next()?)?;
    let year = words.next()?.parse::<i32>().ok()?;
    let clock = words.next()?;
    let half = words.next().map(str::to_ascii_lowercase);
    if words.next().is_some() {
        return None;
    }
    let mut numbers = clock.split(':').map(two_digits);
    let hour = numbers.next()??;
    let minute = numbers.next()??;
    let second = numbers.next().unwrap_or(Some(0))?;
    if numbers.next().is_some() {
        return None;
    }
    let hour = hour_of_day(hour, half.as_deref())?;
    NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second)
}

fn month_number(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let word = word.trim_end_matches('.').to_ascii_lowercase();
    let found =
        MONTHS.iter().position(|month| *month == word || (word.len() == 3 && month.starts_with(&word)))?;
    u32::try_from(found + 1).ok()
}

fn day_number(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let ending = word.get(digits.len()..)?.to_ascii_lowercase();
    if !["", "st", "nd", "rd", "th"].contains(&ending.as_str()) {
        return None;
    }
    two_digits(digits)
}

fn two_digits(word: &str) -> Option<u32> {
    let plain = (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| word.parse().ok())?
}

/// Converts a 12-hour clock: 12 am is hour 0, 12 pm is hour 12.
fn hour_of_day(hour: u32, half: Option<&str>) -> Option<u32> {
    match (half, hour) {
        (None, 0..=23) => Some(hour),
        (Some("am"), 1..=12) => Some(hour % 12),
        (Some("pm"), 1..=12) => Some(hour % 12 + 12),
        _ => None,
    }
}

fn instant(utc: NaiveDateTime) -> Result<Timestamp, TimeProblem> {
    Timestamp::from_microseconds(utc.and_utc().timestamp_micros())
}

/// Resolves a local time to an instant, by the rules of [`Resolution`].
fn resolve(local: NaiveDateTime, zone: Zone) -> Result<(Timestamp, Resolution), TimeProblem> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(found) => Ok((instant(found.naive_utc())?, Resolution::Exact)),
        LocalResult::Ambiguous(first, second) => {
            Ok((instant(first.min(second).naive_utc())?, Resolution::Ambiguous))
        }
        LocalResult::None => Ok((instant(after_gap(local, zone)?)?, Resolution::Nonexistent)),
    }
}

/// Reads a local time in a gap with the offset from before the gap.
fn after_gap(local: NaiveDateTime, zone: Zone) -> Result<NaiveDateTime, TimeProblem> {
    // The longest gap on record is the day that Samoa skipped in 2011.
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
            Resolution::Ambiguous,
        );
        check_resolution(
            "October 26th 2025, 3:30:00 am",
            "Europe/Berlin",
            "2025-10-26T02:30:00Z",
            Resolution::Exact,
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
            "December 1st 2024, 10:30:00 am UTC+1",
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
        ] {
            assert_eq!(read(&value, Zone::UTC), Err(TimeProblem::OutOfRange), "{value}");
        }
        for value in [json!(null), json!(true), json!([]), json!({})] {
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

        /// An instant that is written as English local time is read back as itself, or as the earlier of the two
        /// instants of a local time that occurs twice.
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
            if resolution == Resolution::Exact {
                prop_assert_eq!(found, expect);
            } else {
                prop_assert!(found <= expect);
            }
        }

        #[test]
        fn never_panics_on_numbers(number in any::<i64>(), decimal in any::<f64>()) {
            let _ = Timestamp::from_epoch(number);
            let _ = read(&json!(decimal), Zone::UTC);
        }
    }
}
