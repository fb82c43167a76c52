//! What a mapper could not read in a record: the kind of problem and its path, never a value.

use std::cell::RefCell;
use std::fmt;

/// What is wrong with a value in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IssueKind {
    /// The vendor sent a field that the mapper does not know; it is kept under `extra`.
    UnknownField,
    /// The vendor sent a value outside the set that the mapper knows; it is kept as raw text.
    UnknownValue,
    /// A field has an unexpected JSON type; its value is kept under `extra`.
    WrongType,
    /// A required field is missing.
    Missing,
    /// A text or number could not be read as a time; it is kept under `extra`.
    TimeUnreadable,
    /// A time lies outside the years 2000 to 2100; it is kept under `extra`.
    TimeOutOfRange,
    /// A local time occurs twice, because clocks go back. The earlier instant was taken, unless the order of messages
    /// shows that it is the later one.
    TimeAmbiguous,
    /// A local time does not occur, because clocks go forward; it was moved forward by as much as the clocks.
    TimeNonexistent,
    /// The times of messages differ from the conversation's own by whole quarters of an hour, as in a wrong time zone.
    TimeZoneDoubtful,
    /// The record has invalid characters, which were replaced to read it; its bytes are archived unchanged.
    BrokenText,
    /// The record could not be read at all; its bytes are archived.
    Unreadable,
}

impl IssueKind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::UnknownField,
        Self::UnknownValue,
        Self::WrongType,
        Self::Missing,
        Self::TimeUnreadable,
        Self::TimeOutOfRange,
        Self::TimeAmbiguous,
        Self::TimeNonexistent,
        Self::TimeZoneDoubtful,
        Self::BrokenText,
        Self::Unreadable,
    ];

    /// Returns the kind with a word from [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Returns the word that is archived and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownField => "unknown-field",
            Self::UnknownValue => "unknown-value",
            Self::WrongType => "wrong-type",
            Self::Missing => "missing",
            Self::TimeUnreadable => "time-unreadable",
            Self::TimeOutOfRange => "time-out-of-range",
            Self::TimeAmbiguous => "time-ambiguous",
            Self::TimeNonexistent => "time-nonexistent",
            Self::TimeZoneDoubtful => "time-zone-doubtful",
            Self::BrokenText => "broken-text",
            Self::Unreadable => "unreadable",
        }
    }

    /// Returns whether it is schema drift: the vendor sends something that the mapper does not know.
    pub fn is_drift(self) -> bool {
        matches!(self, Self::UnknownField | Self::UnknownValue | Self::WrongType)
    }
}

/// One problem in one record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issue {
    /// What is wrong.
    pub kind: IssueKind,
    /// Where, as a JSON path inside the record, such as `messages[3].parts[0].type`.
    pub path: String,
}

impl Issue {
    /// Creates an issue.
    pub fn new(kind: IssueKind, path: impl Into<String>) -> Self {
        Self { kind, path: path.into() }
    }

    /// Returns the place of the issue: its path without indices, so that the same problem in many elements counts as
    /// one.
    pub fn place(&self) -> String {
        let mut place = String::with_capacity(self.path.len());
        let mut inside = false;
        for letter in self.path.chars() {
            inside &= letter != ']';
            if !inside {
                place.push(letter);
            }
            inside |= letter == '[';
        }
        place
    }
}

/// Collects the issues of one record from the readers of its parts.
#[derive(Debug, Default)]
pub struct Issues(RefCell<Vec<Issue>>);

impl Issues {
    /// Adds an issue.
    pub fn add(&self, kind: IssueKind, path: &Path<'_>) {
        self.0.borrow_mut().push(Issue::new(kind, path.to_string()));
    }

    /// Returns what was collected.
    pub fn into_vec(self) -> Vec<Issue> {
        self.0.into_inner()
    }
}

/// A JSON path in a record. It is built on the stack and becomes text only to report an issue.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    /// The record itself.
    Root,
    /// A field of an object.
    Key(&'a Self, &'a str),
    /// An element of an array.
    Index(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Path::Root, key) => formatter.write_str(key),
            Self::Key(parent, key) => write!(formatter, "{parent}.{key}"),
            Self::Index(parent, at) => write!(formatter, "{parent}[{at}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_path_without_indices() {
        let messages = Path::Key(&Path::Root, "messages");
        let third = Path::Index(&messages, 3);
        let kind = Path::Key(&third, "type");
        let issue = Issue::new(IssueKind::UnknownValue, kind.to_string());
        assert_eq!(issue.path, "messages[3].type");
        assert_eq!(issue.place(), "messages[].type");
    }
}
