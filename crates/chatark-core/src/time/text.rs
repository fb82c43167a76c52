//! Reads the texts in which vendors write times: a date, a clock, and a zone if the text names one.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Weekday};

/// A text with more words is not a time.
const MAX_WORDS: usize = 8;
const SECONDS_PER_MINUTE: i32 = 60;
const SECONDS_PER_HOUR: i32 = 3_600;

/// A date and a clock as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrittenTime {
    pub(super) local: NaiveDateTime,
    /// The seconds by which the zone is ahead of UTC; `None` if the text names no zone.
    pub(super) offset_seconds: Option<i32>,
}

/// The half of a day that a clock of 12 hours names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Am,
    Pm,
}

/// Reads a text such as `2024-12-01T10:30:00Z`, `2024-12-01 10:30:00+00`, `December 1st 2024, 10:30:00 am`,
/// `12/1/2024, 10:30 AM`, `Sun, 1 Dec 2024 10:30:00 +0100` or `Sun Dec 01 2024 10:30:00 GMT+0100 (Central European …)`.
///
/// A date alone means midnight if it is written year first; in other forms a clock is required.
pub(super) fn read(text: &str) -> Option<WrittenTime> {
    let (text, comment) = split_comment(text);
    let is_separator = |letter: char| letter.is_whitespace() || letter == ',';
    let words = text.split(is_separator).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.take(MAX_WORDS + 1).collect();
    if words.len() > MAX_WORDS {
        return None;
    }
    let (weekday, words) = match words.as_slice() {
        [first, rest @ ..] if weekday(first).is_some() => (weekday(first), rest),
        words => (None, words),
    };
    let written = match words {
        [first, rest @ ..] if first.contains('-') => year_first(first, rest)?,
        [first, rest @ ..] if first.contains('/') => clock(slashed_date(first)?, rest)?,
        [first, second, year, rest @ ..] => clock(named_date(first, second, year)?, rest)?,
        _ => return None,
    };
    let offset_seconds = match (written.offset_seconds, comment.map(offset_seconds)) {
        // A comment that is no offset explains the one before it, such as `(Central European Standard Time)`.
        (Some(offset), _) => Some(offset),
        (None, Some(offset)) => Some(offset?),
        (None, None) => None,
    };
    let is_contradicted = weekday.is_some_and(|weekday| weekday != written.local.weekday());
    (!is_contradicted).then_some(WrittenTime { offset_seconds, ..written })
}

/// Splits what is in parentheses from the end of a text.
fn split_comment(text: &str) -> (&str, Option<&str>) {
    let inside = text.strip_suffix(')').and_then(|text| text.split_once('('));
    inside.map_or((text, None), |(before, comment)| (before, Some(comment.trim())))
}

/// Reads `2024-12-01`, with the clock in the same word after a `T`, or in the next ones.
fn year_first(first: &str, rest: &[&str]) -> Option<WrittenTime> {
    let (date, attached) = match first.split_once(['T', 't']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (first, None),
    };
    let mut numbers = date.split('-');
    let date = date_of(year(numbers.next()?)?, two_digits(numbers.next()?)?, two_digits(numbers.next()?)?)?;
    if numbers.next().is_some() {
        return None;
    }
    match (attached, rest) {
        (Some(attached), rest) => clock_from(date, attached, rest),
        (None, []) => Some(WrittenTime { local: date.and_time(NaiveTime::MIN), offset_seconds: None }),
        (None, rest) => clock(date, rest),
    }
}

/// Reads `12/1/2024`: the month comes first, as in American English, unless the first number can only be a day.
fn slashed_date(word: &str) -> Option<NaiveDate> {
    let mut numbers = word.split('/');
    let (first, second) = (two_digits(numbers.next()?)?, two_digits(numbers.next()?)?);
    let year = year(numbers.next()?)?;
    let (month, day) = if first > 12 { (second, first) } else { (first, second) };
    if numbers.next().is_some() { None } else { date_of(year, month, day) }
}

/// Reads `December 1st 2024` and `1 Dec 2024`.
fn named_date(first: &str, second: &str, year_word: &str) -> Option<NaiveDate> {
    let (month, day) = match month_number(first) {
        Some(month) => (month, second),
        None => (month_number(second)?, first),
    };
    date_of(year(year_word)?, month, day_number(day)?)
}

/// Reads the words of a clock: `10:30:00 am`, `10:30:00.5 +0100`, `at 10:30 GMT+1`.
fn clock(date: NaiveDate, words: &[&str]) -> Option<WrittenTime> {
    match words {
        ["at", first, rest @ ..] | [first, rest @ ..] => clock_from(date, first, rest),
        [] => None,
    }
}

/// Reads a clock whose first word may end in a zone or a half of the day, such as `10:30:00+00` or `10:30am`.
fn clock_from(date: NaiveDate, first: &str, rest: &[&str]) -> Option<WrittenTime> {
    let is_number = |letter: char| letter.is_ascii_digit() || matches!(letter, ':' | '.');
    let end = first.find(|letter| !is_number(letter)).unwrap_or(first.len());
    let (clock, attached) = first.split_at(end);
    let mut words = std::iter::once(attached).filter(|word| !word.is_empty()).chain(rest.iter().copied());
    let mut word = words.next();
    let half = word.and_then(half);
    if half.is_some() {
        word = words.next();
    }
    let offset_seconds = match word {
        Some(word) => Some(offset_seconds(word)?),
        None => None,
    };
    if words.next().is_some() {
        return None;
    }
    let local = date.and_time(time_of_day(clock, half)?);
    Some(WrittenTime { local, offset_seconds })
}

/// Reads `10:30`, `10:30:00` and `10:30:00.123`. A leap second is the first of the next minute.
fn time_of_day(clock: &str, half: Option<Half>) -> Option<NaiveTime> {
    let mut numbers = clock.split(':');
    let hour = hour_of_day(two_digits(numbers.next()?)?, half)?;
    let minute = two_digits(numbers.next()?)?;
    let (second, nanosecond) = match numbers.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (two_digits(seconds)?, 0),
            Some((second, fraction)) => (two_digits(second)?, nanoseconds(fraction)?),
        },
    };
    if numbers.next().is_some() {
        return None;
    }
    match second {
        60 => NaiveTime::from_hms_nano_opt(hour, minute, 59, nanosecond + 1_000_000_000),
        second => NaiveTime::from_hms_nano_opt(hour, minute, second, nanosecond),
    }
}

/// Reads the decimals of a second; those after the ninth are dropped.
fn nanoseconds(fraction: &str) -> Option<u32> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.get(..fraction.len().min(9)).filter(|_| is_number)?;
    format!("{digits:0<9}").parse().ok()
}

/// Twelve at night is hour 0 and twelve at noon is hour 12.
fn hour_of_day(hour: u32, half: Option<Half>) -> Option<u32> {
    match (half, hour) {
        (None, 0..=23) => Some(hour),
        (Some(Half::Am), 1..=12) => Some(hour % 12),
        (Some(Half::Pm), 1..=12) => Some(hour % 12 + 12),
        _ => None,
    }
}

fn half(word: &str) -> Option<Half> {
    match word.to_ascii_lowercase().as_str() {
        "am" | "a.m." => Some(Half::Am),
        "pm" | "p.m." => Some(Half::Pm),
        _ => None,
    }
}

/// Reads an offset from UTC in seconds: `Z`, `UTC`, `+00`, `+05:30`, `-0330`, `GMT+1`, and the zones of RFC 2822.
fn offset_seconds(word: &str) -> Option<i32> {
    let word = word.to_ascii_uppercase();
    let hours = match word.as_str() {
        "Z" | "UTC" | "GMT" | "UT" => Some(0),
        "EDT" => Some(-4),
        "EST" | "CDT" => Some(-5),
        "CST" | "MDT" => Some(-6),
        "MST" | "PDT" => Some(-7),
        "PST" => Some(-8),
        _ => None,
    };
    if let Some(hours) = hours {
        return Some(hours * SECONDS_PER_HOUR);
    }
    let signed = word.strip_prefix("UTC").or_else(|| word.strip_prefix("GMT")).unwrap_or(&word);
    let (sign, digits) = match (signed.strip_prefix('+'), signed.strip_prefix(['-', '\u{2212}'])) {
        (Some(digits), _) => (1, digits),
        (None, digits) => (-1, digits?),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let (hours, minutes) = (i32::try_from(hours).ok()?, i32::try_from(minutes).ok()?);
    Some(sign * (hours * SECONDS_PER_HOUR + minutes * SECONDS_PER_MINUTE))
}

fn date_of(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day)
}

fn weekday(word: &str) -> Option<Weekday> {
    word.trim_end_matches('.').parse().ok()
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
    let is_short = word.len() == 3 || word == "sept";
    let found = MONTHS.iter().position(|month| *month == word || (is_short && month.starts_with(&word)))?;
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

fn year(word: &str) -> Option<i32> {
    let plain = word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| word.parse().ok())?
}

fn two_digits(word: &str) -> Option<u32> {
    let plain = (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| word.parse().ok())?
}
