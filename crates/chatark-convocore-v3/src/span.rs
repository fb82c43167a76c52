//! What the conversations of one response tell about their order and their times.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chatark_core::{Record, Timestamp};

use crate::export::Exported;

/// The conversations of one response, by when they began, in seconds.
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
    /// How many do not say when they began.
    pub(crate) undated: u64,
    /// How many of these had not been seen before, and how many such came behind one that says it.
    pub(crate) fresh_undated: u64,
    pub(crate) late_undated: u64,
    /// Whether the last of them does not say it.
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
    /// Those of earlier responses.
    earlier: HashSet<u64>,
    /// Those that were new in the current response.
    current: HashSet<u64>,
}

impl Seen {
    /// Begins the next response.
    pub(crate) fn begin(&mut self) {
        self.earlier.extend(self.current.drain());
    }

    /// Forgets what the current response has brought, since it comes again.
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
