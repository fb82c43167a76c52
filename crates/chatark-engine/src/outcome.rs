//! What a run tells while it goes on, and what it came to.

use chatark_archive::{Progress, SyncMode, Verdict};
use chatark_core::{DocumentKind, Error, SourceName, Stream, Timestamp};

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

/// What the pull of one source came to.
#[derive(Debug)]
pub struct Outcome {
    /// The source.
    pub source: SourceName,
    /// What can be said of it, over all streams.
    pub verdict: Verdict,
    /// The error that ended it: the main stream's, or else the first of another.
    pub error: Option<Error>,
    /// Whether a later run goes on where this one stopped.
    pub resumable: bool,
    /// How much of the main stream it read.
    pub mode: SyncMode,
    /// The counts of the main stream.
    pub progress: Progress,
    /// What the other streams came to, in the order in which they were read.
    pub others: Vec<StreamOutcome>,
}

/// What the run of one stream came to.
#[derive(Debug)]
pub struct StreamOutcome {
    /// The stream.
    pub stream: Stream,
    /// What can be said of it.
    pub verdict: Verdict,
    /// How much it read.
    pub mode: SyncMode,
    /// The counts.
    pub progress: Progress,
    /// The error that ended it.
    pub error: Option<Error>,
    /// Whether a later run goes on where this one stopped.
    pub resumable: bool,
}

impl StreamOutcome {
    /// Returns what a run came to that ended before it began.
    pub(crate) fn failed(stream: Stream, error: Error) -> Self {
        Self {
            stream,
            verdict: Verdict::Failed,
            mode: SyncMode::default(),
            progress: Progress::default(),
            error: Some(error),
            resumable: false,
        }
    }

    /// Returns whether everything asked for was delivered, as far as that can be told.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.error.is_none()
    }
}

impl Outcome {
    /// Returns what a source came to whose main stream came to this.
    pub(crate) fn of(source: SourceName, main: StreamOutcome) -> Self {
        let StreamOutcome { verdict, mode, progress, error, resumable, .. } = main;
        Self { source, verdict, error, resumable, mode, progress, others: Vec::new() }
    }

    /// Adds what another stream came to: without it, a pull that was good is not what was asked for.
    pub(crate) fn add(&mut self, mut other: StreamOutcome) {
        self.verdict = match (other.verdict, self.verdict) {
            (Verdict::Interrupted, _) => Verdict::Interrupted,
            (Verdict::Budget, good) if good.is_good() => Verdict::Budget,
            (Verdict::Failed | Verdict::Partial, good) if good.is_good() => Verdict::Partial,
            (Verdict::Short, good) if good.is_good() => Verdict::Short,
            (_, own) => own,
        };
        self.error = self.error.take().or_else(|| other.error.take());
        self.resumable |= other.resumable;
        self.others.push(other);
    }

    /// Returns the counts of the streams of people, added up; `None` where none was read.
    pub fn contacts(&self) -> Option<Progress> {
        let is_of_people = |other: &&StreamOutcome| other.stream.document() == Some(DocumentKind::Contact);
        let mut people = self.others.iter().filter(is_of_people).map(|other| &other.progress);
        let first = people.next()?.clone();
        Some(people.fold(first, |mut sum, progress| {
            for (own, theirs) in [
                (&mut sum.seen, progress.seen),
                (&mut sum.received, progress.received),
                (&mut sum.repeated, progress.repeated),
                (&mut sum.outside, progress.outside),
                (&mut sum.added, progress.added),
                (&mut sum.changed, progress.changed),
                (&mut sum.unchanged, progress.unchanged),
                (&mut sum.unreadable, progress.unreadable),
                (&mut sum.missing, progress.missing),
                (&mut sum.returned, progress.returned),
                (&mut sum.issues, progress.issues),
                (&mut sum.bytes, progress.bytes),
            ] {
                *own += theirs;
            }
            sum.total_first = sum.total_first.zip(progress.total_first).map(|(one, other)| one + other);
            sum.total_last = sum.total_last.zip(progress.total_last).map(|(one, other)| one + other);
            sum.page.add(&progress.page);
            sum.page.total = sum.total_last;
            sum
        }))
    }

    /// Returns how many places were not understood, over all streams.
    pub fn issues(&self) -> u64 {
        self.progress.issues + self.others.iter().map(|other| other.progress.issues).sum::<u64>()
    }

    /// Returns whether everything asked for was delivered, as far as that can be told.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.error.is_none()
    }
}
