//! Windows of days, each read as a list of its own, for what is past the ceiling of a list: the last page number that
//! the vendor gives.
//!
//! A deployment may refuse pages from some number on, however many rows follow. Where its list is in the order of time,
//! what follows is one window. Any other list is read once more in two windows, and each of these again, until each ends before the ceiling. Neither the zone of the vendor's days nor
//! whether the last one is included is documented, so two windows next to each other have two days in common.

use std::collections::BTreeMap;

use bytes::Bytes;
use chatark_core::{Error, Gap, Timestamp};

use crate::failing_pages::rest_after;
use crate::parameters::{Parameters, began};

/// The most windows that one walk reads.
const MAX_WINDOWS: u32 = 500;
const DAY_SECONDS: i64 = 86_400;
/// So many days of what has come are in the window of what follows.
const MARGIN_DAYS: i64 = 2;
/// How far from the day of a conversation a window may end, so that two windows can be made of conversations that all
/// began on the same day.
const SHIFTS: [i64; 5] = [0, 1, -1, 2, -2];

/// The first and the last day of a list.
type Days = (Option<String>, Option<String>);

/// In which order the conversations of a list have come.
#[derive(Debug, Default, Clone, Copy)]
struct Order {
    latest: Option<Timestamp>,
    /// Whether one came before one that began later.
    has_risen: bool,
    /// Whether one came before one that began earlier.
    has_fallen: bool,
}

/// The windows of one walk.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// The page after which the vendor gives nothing of the whole list.
    ceiling: Option<u64>,
    left: Vec<Days>,
    begun: u32,
    /// How many conversations of the present list began on each day, and when one of them did.
    days: BTreeMap<String, (Timestamp, u64)>,
    order: Order,
    /// Why something past the ceiling may not have been read.
    lost: Option<String>,
}

impl Windows {
    /// Notes when the conversations of a page began.
    pub(crate) fn note(&mut self, rows: &[Bytes]) {
        for row in rows {
            if let Some(at) = began(row) {
                self.days.entry(at.day()).or_insert((at, 0)).1 += 1;
                self.order.note(at);
            }
        }
    }

    /// Returns the last page of the whole list that the vendor gives, if it has a ceiling.
    pub(crate) fn ceiling(&self) -> Option<u64> {
        self.ceiling
    }

    /// Returns whether a window is read, and not the whole list.
    pub(crate) fn is_reading(&self) -> bool {
        self.begun > 0
    }

    /// Notes that the vendor gives no page of a list after this one.
    pub(crate) fn note_ceiling(&mut self, page: u64, refusal: &Error, parameters: &Parameters) {
        self.ceiling.get_or_insert(page);
        // A conversation without a date is in no window.
        self.note_loss(refusal.to_string());
        match self.rest(&parameters.days) {
            Some(rest) => self.left.push(rest),
            None => self.left.extend(self.halves(&parameters.days).into_iter().flatten()),
        }
    }

    /// Notes that something in a window cannot be read.
    pub(crate) fn note_loss(&mut self, error: String) {
        self.lost.get_or_insert(error);
    }

    /// Returns the days of the next window.
    pub(crate) fn next_window(&mut self) -> Option<Days> {
        let days = self.left.pop()?;
        self.begun += 1;
        self.days.clear();
        self.order = Order::default();
        if self.begun > MAX_WINDOWS {
            self.left.clear();
            return None;
        }
        Some(days)
    }

    /// Returns the gap that a ceiling leaves.
    pub(crate) fn gap(&self) -> Option<Gap> {
        Some(Gap { bounds: rest_after(self.ceiling?), error: self.lost.clone()? })
    }

    /// Returns the window of what follows in a list that is in the order of time, if that has fewer days.
    fn rest(&self, (first, last): &Days) -> Option<Days> {
        let (oldest, newest) = (self.days.values().next()?.0, self.days.values().next_back()?.0);
        match self.order {
            Order { has_risen: false, has_fallen: true, .. } => {
                let day = oldest.shifted(MARGIN_DAYS * DAY_SECONDS)?.day();
                let has_fewer = last.as_ref().is_none_or(|last| day < *last) && day < newest.day();
                has_fewer.then(|| (first.clone(), Some(day)))
            }
            Order { has_risen: true, has_fallen: false, .. } => {
                let day = newest.shifted(-MARGIN_DAYS * DAY_SECONDS)?.day();
                let has_fewer = first.as_ref().is_none_or(|first| day > *first) && day > oldest.day();
                has_fewer.then(|| (Some(day), last.clone()))
            }
            Order { .. } => None,
        }
    }

    /// Returns the two windows of a list, each of fewer days. Both hold about as many of the conversations that are
    /// known.
    fn halves(&self, (first, last): &Days) -> Option<[Days; 2]> {
        let half: u64 = self.days.values().map(|(_, count)| count).sum::<u64>() / 2;
        let mut before = 0;
        let mut best: Option<(u64, String, String)> = None;
        for (at, count) in self.days.values() {
            before += count;
            for shift in SHIFTS {
                let day = at.shifted(shift * DAY_SECONDS)?.day();
                let day_before = at.shifted((shift - 1) * DAY_SECONDS)?.day();
                let is_within = last.as_ref().is_none_or(|last| day < *last)
                    && first.as_ref().is_none_or(|first| day_before > *first);
                let distance = before.abs_diff(half);
                if is_within && best.as_ref().is_none_or(|(least, ..)| distance < *least) {
                    best = Some((distance, day, day_before));
                }
            }
        }
        let (_, day, day_before) = best?;
        Some([(first.clone(), Some(day)), (Some(day_before), last.clone())])
    }
}

impl Order {
    fn note(&mut self, at: Timestamp) {
        if let Some(latest) = self.latest.replace(at) {
            self.has_risen |= at > latest;
            self.has_fallen |= at < latest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(days: &[&str]) -> Windows {
        let rows: Vec<_> =
            days.iter().map(|day| Bytes::from(format!(r#"{{"created_at":"{day}T12:00:00Z"}}"#))).collect();
        let mut windows = Windows::default();
        windows.note(&rows);
        windows
    }

    fn days(first: Option<&str>, last: Option<&str>) -> Days {
        (first.map(str::to_owned), last.map(str::to_owned))
    }

    #[test]
    fn two_windows_have_two_days_in_common() {
        let known = windows(&["2026-01-01", "2026-01-10", "2026-01-20", "2026-01-30"]);
        let expect = [days(None, Some("2026-01-10")), days(Some("2026-01-09"), None)];
        assert_eq!(known.halves(&days(None, None)), Some(expect));
    }

    #[test]
    fn a_list_in_the_order_of_time_goes_on_in_one_window() {
        let falling = windows(&["2026-01-30", "2026-01-20", "2026-01-20", "2026-01-10"]);
        assert_eq!(falling.rest(&days(None, None)), Some(days(None, Some("2026-01-12"))));
        assert_eq!(falling.rest(&days(None, Some("2026-01-12"))), None);
        let rising = windows(&["2026-01-10", "2026-01-20", "2026-01-30"]);
        assert_eq!(
            rising.rest(&days(None, Some("2026-03-01"))),
            Some(days(Some("2026-01-28"), Some("2026-03-01")))
        );
        let mixed = windows(&["2026-01-10", "2026-01-30", "2026-01-20"]);
        assert_eq!(mixed.rest(&days(None, None)), None);
        let dense = windows(&["2026-01-12", "2026-01-11", "2026-01-10"]);
        assert_eq!(dense.rest(&days(None, None)), None);
    }

    #[test]
    fn conversations_of_one_day_are_in_smaller_windows_until_these_have_three_days() {
        let known = windows(&["2026-01-10"; 7]);
        let halves = known.halves(&days(None, Some("2026-01-10")));
        assert_eq!(
            halves,
            Some([days(None, Some("2026-01-09")), days(Some("2026-01-08"), Some("2026-01-10"))])
        );
        assert_eq!(known.halves(&days(Some("2026-01-08"), Some("2026-01-10"))), None);
        assert_eq!(
            known.halves(&days(Some("2026-01-08"), Some("2026-01-11"))),
            Some([
                days(Some("2026-01-08"), Some("2026-01-10")),
                days(Some("2026-01-09"), Some("2026-01-11")),
            ])
        );
    }
}
