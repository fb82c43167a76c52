//! Times of messages, and whether they seem to have been read in the wrong zone.

use chatark_core::fields::Fields;
use chatark_core::time::Resolution;
use chatark_core::{Timestamp, Zone};

/// The time of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageTime {
    /// The instant.
    pub(crate) at: Timestamp,
    /// How the vendor's text was resolved to it.
    resolution: Resolution,
}

impl MessageTime {
    /// Takes a time from a field; a time without a zone is read in `zone`.
    pub(crate) fn take(fields: &mut Fields<'_>, key: &str, zone: Zone) -> Option<Self> {
        fields.resolved_time(key, zone).map(|(at, resolution)| Self { at, resolution })
    }

    /// Returns whether it depends on the zone alone, and not on which of two occurrences it is.
    fn is_certainly_local(self) -> bool {
        self.resolution.is_local() && !matches!(self.resolution, Resolution::Ambiguous { .. })
    }

    /// Resolves a local time that occurs twice by the order of messages: to the second occurrence if the message would
    /// otherwise be earlier than the previous one.
    pub(crate) fn after(self, previous: Timestamp) -> Self {
        match self.resolution {
            Resolution::Ambiguous { later } if self.at < previous => Self { at: later, ..self },
            _ => self,
        }
    }
}

/// Returns whether the zone looks wrong: the first messages have times without a zone, which differ from the beginning
/// of the conversation by whole quarters of an hour.
pub(crate) fn is_zone_doubtful(began: Option<Timestamp>, firsts: [Option<MessageTime>; 2]) -> bool {
    let Some(began) = began else {
        return false;
    };
    let mut firsts = firsts.into_iter().flatten().peekable();
    let is_off = |time: MessageTime| is_zone_offset(time.at.microseconds() - began.microseconds());
    firsts.peek().is_some() && firsts.all(|time| time.is_certainly_local() && is_off(time))
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
}
