//! What a run tells while it goes on, and what it came to.

use chatark_archive::{Progress, Verdict};
use chatark_core::{Error, SourceName, Timestamp};

/// Is told what happens; must not block.
pub trait Observer: Send + Sync {
    /// Takes an event of one source.
    fn event(&self, source: &SourceName, event: &Event<'_>);
}

/// Something that happened to one source.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins, where an earlier one stopped if there is a time.
    Started {
        /// When the checkpoint was saved that the run goes on from.
        resumed_from: Option<Timestamp>,
    },
    /// Something that the user should know.
    Note(&'a str),
    /// A batch is durable.
    Committed(&'a Progress),
    /// The run is over.
    Ended(&'a Outcome),
}

/// What the run of one source came to.
#[derive(Debug)]
pub struct Outcome {
    /// The source.
    pub source: SourceName,
    /// What can be said of it.
    pub verdict: Verdict,
    /// The counts.
    pub progress: Progress,
    /// The error that ended it.
    pub error: Option<Error>,
    /// Whether a later run goes on where this one stopped.
    pub resumable: bool,
}

impl Outcome {
    /// Returns whether everything asked for was delivered, as far as that can be told.
    pub fn is_good(&self) -> bool {
        matches!(self.verdict, Verdict::Complete | Verdict::GrewDuringRun | Verdict::Unprovable)
    }
}
