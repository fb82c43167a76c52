//! How a source handles schema drift.

use chatark_archive::{Archive, Drift, Run};
use chatark_core::{Error, ErrorKind, Result, SourceName, identifier};

/// The most new fields and values that a note names.
const MAX_NAMED: usize = 5;

/// How a run handles fields and values that the mapper does not know. They are archived and counted in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// Do nothing more.
    Accept,
    /// Name what no earlier run of the source has seen.
    #[default]
    Warn,
    /// End the run with an error, after everything is archived.
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

    /// Returns what to report about the drift in a run.
    pub(crate) fn report(self, archive: &Archive, run: &Run, source: &SourceName) -> Result<DriftReport> {
        if self == Self::Accept || run.counts.issues == 0 {
            return Ok(DriftReport::Silent);
        }
        let drift = archive.drift_of(run)?;
        let new: Vec<_> = drift.iter().filter(|drift| drift.is_new).collect();
        Ok(match self {
            Self::Fail if !drift.is_empty() => DriftReport::Failure(failure(drift.len(), source)),
            Self::Warn if !new.is_empty() => DriftReport::Note(note(&new, source)),
            _ => DriftReport::Silent,
        })
    }
}

/// What to report about the drift in a run.
#[derive(Debug)]
pub(crate) enum DriftReport {
    Silent,
    Note(String),
    Failure(Error),
}

fn failure(number: usize, source: &SourceName) -> Error {
    let what = if number == 1 { "field or value" } else { "fields or values" };
    let message = format!("the vendor sent {number} {what} that Chatark does not know");
    Error::new(ErrorKind::Incomplete, "pull", message).hint(format!(
        "what was fetched is archived: see `chatark drift {source}`, then update Chatark or set `drift = \"warn\"`"
    ))
}

fn note(new: &[&Drift], source: &SourceName) -> String {
    let name = |drift: &&Drift| format!("{} at `{}`", drift.kind.as_str(), identifier::masked(&drift.place));
    let named: Vec<_> = new.iter().take(MAX_NAMED).map(name).collect();
    let more = match new.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("new in the vendor's responses: {}{more}; see `chatark drift {source}`", named.join(", "))
}
