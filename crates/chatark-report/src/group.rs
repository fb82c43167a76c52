//! What the rows of a report are grouped by.

use chatark_archive::SourceKey;
use chatark_core::{Channel, LocalHour, Timestamp, Zone};

use crate::tally::NumberMap;

/// The period of conversations and messages without a time.
pub(crate) const UNDATED: &str = "undated";
const UNKNOWN: &str = "unknown";

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// A day.
    Day,
    /// An ISO week.
    Week,
    /// A month.
    Month,
}

/// What the conversations of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupKey {
    /// Nothing: the group of all conversations, each of which counts once.
    All,
    /// One source, by its index in the report.
    Source(usize),
    /// The period in which they began, the index of the source in the report, and the channel.
    Period(String, usize, &'static str),
}

/// The first four cells of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels<'a> {
    pub(crate) period: &'a str,
    pub(crate) source: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) channel: &'a str,
}

/// What a report needs of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceInfo {
    pub(crate) key: SourceKey,
    pub(crate) name: String,
    pub(crate) provider: String,
    /// A number that all sources of the same provider share.
    pub(crate) provider_number: i64,
}

/// The names of the day, week and month of each local day.
#[derive(Debug)]
pub(crate) struct Calendar {
    zone: Zone,
    /// The names by local day, in the order of [`Granularity::ALL`].
    names: NumberMap<i32, [String; 3]>,
}

impl Granularity {
    pub(crate) const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// Returns the `strftime` format of the names of its periods.
    pub(crate) fn format(self) -> &'static str {
        match self {
            Self::Day => "%Y-%m-%d",
            Self::Week => "%G-W%V",
            Self::Month => "%Y-%m",
        }
    }
}

impl Calendar {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, names: NumberMap::default() }
    }

    /// Returns the local hour of a time, and remembers the names of its periods.
    pub(crate) fn local_hour(&mut self, time: Timestamp) -> LocalHour {
        let local = time.local_hour(self.zone);
        let name = |granularity: Granularity| time.format_in(self.zone, granularity.format());
        self.names.entry(local.day).or_insert_with(|| Granularity::ALL.map(name));
        local
    }

    /// Returns the name of the period that contains a local day of an earlier [`Self::local_hour`]; `undated` without
    /// a day.
    pub(crate) fn period(&self, day: Option<i32>, granularity: Granularity) -> &str {
        let names = day.and_then(|day| self.names.get(&day));
        names.map_or(UNDATED, |names| &names[granularity as usize])
    }
}

/// Returns the name of a channel, or `unknown`.
pub(crate) fn channel_name(channel: Option<Channel>) -> &'static str {
    channel.map_or(UNKNOWN, Channel::as_str)
}
