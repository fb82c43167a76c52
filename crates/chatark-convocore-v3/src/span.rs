//! The order and the start times of the conversations in one response, and which of them are new to a walk.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chatark_core::{Record, Timestamp};

use crate::exported::Exported;

/// The start times of the conversations in one response, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// How many had not been seen before.
    pub(crate) fresh: u64,
    /// When the oldest and the newest of them began.
    pub(crate) oldest: Option<i64>,
    pub(crate) newest: Option<i64>,
    /// Whether they come oldest first, or newest first; both if all began in one second.
    pub(crate) is_ascending: bool,
    pub(crate) is_descending: bool,
    /// How many have no start time.
    pub(crate) undated: u64,
    /// How many of these had not been seen before, and how many of those came after one that has a start time.
    pub(crate) fresh_undated: u64,
    pub(crate) late_undated: u64,
    /// Whether the last conversation has no start time.
    pub(crate) ends_undated: bool,
    previous: Option<i64>,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            fresh: 0,
            oldest: None,
            newest: None,
            is_ascending: true,
            is_descending: true,
            undated: 0,
            fresh_undated: 0,
            late_undated: 0,
            ends_undated: false,
            previous: None,
        }
    }
}

impl Span {
    /// Adds the next conversation of the response.
    pub(crate) fn add(&mut self, item: &Exported, is_fresh: bool) {
        self.fresh += u64::from(is_fresh);
        self.ends_undated = item.start.is_none();
        let Some(second) = item.start.map(second_of) else {
            self.undated += 1;
            self.fresh_undated += u64::from(is_fresh);
            self.late_undated += u64::from(is_fresh && self.oldest.is_some());
            return;
        };
        self.oldest = Some(self.oldest.map_or(second, |oldest| oldest.min(second)));
        self.newest = Some(self.newest.map_or(second, |newest| newest.max(second)));
        if let Some(previous) = self.previous.replace(second) {
            self.is_ascending &= second >= previous;
            self.is_descending &= second <= previous;
        }
    }
}

/// The conversations that a walk has seen. Holds eight bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The hashes of conversations in earlier responses.
    earlier: HashSet<u64>,
    /// The hashes of conversations that were new in the current response.
    current: HashSet<u64>,
}

impl Seen {
    /// Begins the next response.
    pub(crate) fn begin(&mut self) {
        self.earlier.extend(self.current.drain());
    }

    /// Forgets the conversations of the current response, which is requested again.
    pub(crate) fn undo(&mut self) {
        self.current.clear();
    }

    /// Adds a record, and returns whether it is new.
    pub(crate) fn add(&mut self, record: &Record) -> bool {
        match &record.id {
            Some(id) => self.add_hash(hash(id.as_str())),
            None => self.add_hash(hash(&record.bytes[..])),
        }
    }

    /// Adds the id of a conversation, and returns whether it is new.
    pub(crate) fn add_id(&mut self, id: &str) -> bool {
        self.add_hash(hash(id))
    }

    /// Returns whether a conversation has been seen.
    pub(crate) fn has(&self, id: &str) -> bool {
        let id = hash(id);
        self.earlier.contains(&id) || self.current.contains(&id)
    }

    fn add_hash(&mut self, hash: u64) -> bool {
        !self.earlier.contains(&hash) && self.current.insert(hash)
    }
}

/// Returns the whole second of an instant.
pub(crate) fn second_of(at: Timestamp) -> i64 {
    at.microseconds().div_euclid(1_000_000)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
