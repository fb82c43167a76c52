//! What a source makes of a vendor's API that has moved on.

use chatark_archive::{Archive, Drift, Run};
use chatark_core::{Error, ErrorKind, Result, SourceName};

/// How many new places are named in a note.
const NAMED: usize = 5;

/// What happens where a run meets something that the mapper does not know. It is archived and counted in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// Nothing more.
    Accept,
    /// What no earlier run of the source met is named.
    #[default]
    Warn,
    /// The run ends with an error, after everything is archived.
    Fail,
}

impl DriftPolicy {
    /// The words of the config.
    pub const WORDS: [&str; 3] = ["accept", "warn", "fail"];

    /// Returns the policy of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "accept" => Some(Self::Accept),
            "warn" => Some(Self::Warn),
            "fail" => Some(Self::Fail),
            _ => None,
        }
    }

    /// Looks at what a run met, and returns what the user is told of it.
    pub(crate) fn judge(self, archive: &Archive, run: &Run, source: &SourceName) -> Result<Judgement> {
        if self == Self::Accept || run.progress.issues == 0 {
            return Ok(Judgement::Silent);
        }
        let drift = archive.drift_of(run)?;
        let new: Vec<_> = drift.iter().filter(|drift| drift.is_new).collect();
        Ok(match self {
            Self::Fail if !drift.is_empty() => Judgement::Failure(failure(drift.len(), source)),
            Self::Warn if !new.is_empty() => Judgement::Note(note(&new, source)),
            _ => Judgement::Silent,
        })
    }
}

/// What the user is told of the drift in a run.
#[derive(Debug)]
pub(crate) enum Judgement {
    Silent,
    Note(String),
    Failure(Error),
}

fn failure(number: usize, source: &SourceName) -> Error {
    let things = if number == 1 { "thing" } else { "things" };
    let message = format!("the vendor's answers hold {number} {things} that Chatark does not know");
    Error::new(ErrorKind::Incomplete, "pull", message).hint(format!(
        "what was fetched is archived: see `chatark drift {source}`, then update Chatark or set `drift = \"warn\"`"
    ))
}

fn note(new: &[&Drift], source: &SourceName) -> String {
    let name = |drift: &&Drift| format!("{} at `{}`", drift.kind.as_str(), drift.place);
    let named: Vec<_> = new.iter().take(NAMED).map(name).collect();
    let more = match new.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("new in the vendor's answers: {}{more}; see `chatark drift {source}`", named.join(", "))
}
