//! Times of messages, and whether they seem to have been read in the wrong zone.

use chatark_core::fields::Fields;
use chatark_core::{Timestamp, Zone};
use serde_json::Value;

/// When a message was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The instant.
    pub(crate) at: Timestamp,
    /// Whether the vendor wrote it without a zone.
    is_local: bool,
}

impl Moment {
    /// Takes a time from a field; a time without a zone is read in `zone`.
    pub(crate) fn take(fields: &mut Fields<'_>, key: &str, zone: Zone) -> Option<Self> {
        let is_local = is_local(fields.peek(key)?);
        fields.time(key, zone).map(|at| Self { at, is_local })
    }
}

/// Returns whether the zone looks wrong: the first messages have times without a zone, which differ from the beginning
/// of the conversation by whole quarters of an hour.
pub(crate) fn is_zone_doubtful(began: Option<Timestamp>, firsts: [Option<Moment>; 2]) -> bool {
    let Some(began) = began else {
        return false;
    };
    let mut firsts = firsts.into_iter().flatten().peekable();
    let is_off = |moment: Moment| is_zone_offset(moment.at.microseconds() - began.microseconds());
    firsts.peek().is_some() && firsts.all(|moment| moment.is_local && is_off(moment))
}

/// Returns whether a value is a time as text without a zone, such as `December 1st 2024, 10:30:00 am`.
fn is_local(value: &Value) -> bool {
    let Some(text) = value.as_str().map(str::trim) else {
        return false;
    };
    let has_offset = text.get(10..).is_some_and(|clock| clock.contains(['+', '-', 'Z', 'z']));
    !has_offset && text.parse::<f64>().is_err()
}

/// Returns whether a difference is within a minute of a possible offset between two zones, up to 14 hours.
fn is_zone_offset(microseconds: i64) -> bool {
    const MINUTE: u64 = 60_000_000;
    const QUARTER: u64 = 15 * MINUTE;
    let size = microseconds.unsigned_abs();
    let quarters = (size + QUARTER / 2) / QUARTER;
    size >= QUARTER && quarters <= 14 * 4 && size.abs_diff(quarters * QUARTER) <= MINUTE
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_quarters_of_an_hour_up_to_14_hours_are_zone_offsets() {
        let minutes = |minutes: i64| minutes * 60_000_000;
        for (difference, expect) in [
            (minutes(60), true),
            (minutes(-330) + 59_000_000, true),
            (minutes(60) + 61_000_000, false),
            (minutes(14 * 60) + 60_000_000, true),
            (minutes(14 * 60 + 15), false),
            (minutes(15) - 1, false),
            (minutes(0), false),
            (minutes(67), false),
        ] {
            assert_eq!(is_zone_offset(difference), expect, "{difference}");
        }
    }

    #[test]
    fn only_text_without_a_zone_is_local() {
        for (value, expect) in [
            (json!("December 1st 2024, 10:30:00 am"), true),
            (json!("2026-01-08 18:42:21"), true),
            (json!("2026-01-08T18:42:21Z"), false),
            (json!("2026-01-08T18:42:21+01:00"), false),
            (json!("1733049000"), false),
            (json!(1_733_049_000), false),
            (json!("éé\u{e9}é"), true),
        ] {
            assert_eq!(is_local(&value), expect, "{value}");
        }
    }
}
