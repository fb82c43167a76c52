//! What a run tells while it goes on, and what it came to.

use chatark_archive::{Progress, SyncMode, Verdict};
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
        /// The beginning of the window, where only what began lately is read.
        recent_since: Option<Timestamp>,
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
    /// How much it read.
    pub effort: SyncMode,
    /// The counts.
    pub progress: Progress,
    /// The error that ended it.
    pub error: Option<Error>,
    /// Whether a later run goes on where this one stopped.
    pub resumable: bool,
    /// The counts of the people whom the vendor lists apart from conversations, where they were read.
    pub contacts: Option<Progress>,
}

impl Outcome {
    /// Returns what a run came to that ended before it began.
    pub(crate) fn failed(source: SourceName, error: Error) -> Self {
        Self {
            source,
            verdict: Verdict::Failed,
            effort: SyncMode::default(),
            progress: Progress::default(),
            error: Some(error),
            resumable: false,
            contacts: None,
        }
    }

    /// Returns how many places were not understood, those of contacts included.
    pub fn issues(&self) -> u64 {
        self.progress.issues + self.contacts.as_ref().map_or(0, |contacts| contacts.issues)
    }

    /// Returns whether everything asked for was delivered, as far as that can be told.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.error.is_none()
    }
}
