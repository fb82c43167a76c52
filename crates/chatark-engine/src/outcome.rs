//! The events of a run, and its outcome.

use chatark_archive::{RunCounts, SyncMode, Verdict};
use chatark_core::{DocumentKind, Error, SourceName, Stream, Timestamp};

/// Receives the events of a run. Must not block.
pub trait Observer: Send + Sync {
    /// Receives an event of one source.
    fn on_event(&self, source: &SourceName, event: &Event<'_>);
}

/// Something that happened to one source.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run has started.
    Started {
        /// When the checkpoint from which the run resumes was saved; `None` if it starts from the beginning.
        resumed_from: Option<Timestamp>,
        /// The beginning of the look-back window, if only recent conversations are read.
        recent_since: Option<Timestamp>,
    },
    /// Something that the user should know.
    Note(&'a str),
    /// A batch was committed.
    Committed(&'a RunCounts),
    /// The run is over.
    Ended(&'a Outcome),
}

/// The outcome of the pull of one source.
#[derive(Debug)]
pub struct Outcome {
    /// The source.
    pub source: SourceName,
    /// The verdict over all streams.
    pub verdict: Verdict,
    /// The error of the main stream, or else the first error of another stream, whether it ended the pull or not.
    pub error: Option<Error>,
    /// Whether a later run can resume where this one stopped.
    pub resumable: bool,
    /// How much of the main stream it read.
    pub mode: SyncMode,
    /// The counts of the main stream.
    pub progress: RunCounts,
    /// The outcomes of the other streams, in the order in which they were read.
    pub other_streams: Vec<StreamOutcome>,
}

/// The outcome of the run of one stream.
#[derive(Debug)]
pub struct StreamOutcome {
    /// The stream.
    pub stream: Stream,
    /// The verdict.
    pub verdict: Verdict,
    /// How much it read.
    pub mode: SyncMode,
    /// The counts.
    pub progress: RunCounts,
    /// What went wrong, whether it ended the run or not.
    pub error: Option<Error>,
    /// Whether a later run can resume where this one stopped.
    pub resumable: bool,
}

impl StreamOutcome {
    /// Returns the outcome of a run that failed before it began.
    pub(crate) fn failed(stream: Stream, error: Error) -> Self {
        Self {
            stream,
            verdict: Verdict::Failed,
            mode: SyncMode::default(),
            progress: RunCounts::default(),
            error: Some(error),
            resumable: false,
        }
    }

    /// Returns whether everything requested was delivered, as far as that is known.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.error.is_none()
    }
}

impl Outcome {
    /// Returns the outcome of a source from that of its main stream.
    pub(crate) fn of(source: SourceName, main: StreamOutcome) -> Self {
        let StreamOutcome { verdict, mode, progress, error, resumable, .. } = main;
        Self { source, verdict, error, resumable, mode, progress, other_streams: Vec::new() }
    }

    /// Adds the outcome of another stream. A bad verdict of it replaces a good verdict; an interruption replaces any
    /// verdict.
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
        self.other_streams.push(other);
    }

    /// Returns the sum of the counts of all contact streams; `None` if none was read.
    pub fn contacts(&self) -> Option<RunCounts> {
        let is_of_contacts = |other: &&StreamOutcome| other.stream.document() == Some(DocumentKind::Contact);
        let mut counts = self.other_streams.iter().filter(is_of_contacts).map(|other| &other.progress);
        let first = counts.next()?.clone();
        Some(counts.fold(first, |mut sum, progress| {
            for (total, count) in [
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
                (&mut sum.gaps, progress.gaps),
                (&mut sum.bytes, progress.bytes),
            ] {
                *total += count;
            }
            sum.total_first = sum.total_first.zip(progress.total_first).map(|(one, other)| one + other);
            sum.total_last = sum.total_last.zip(progress.total_last).map(|(one, other)| one + other);
            sum.page.add(&progress.page);
            sum.page.total = sum.total_last;
            sum
        }))
    }

    /// Returns the number of issues over all streams.
    pub fn issues(&self) -> u64 {
        self.progress.issues + self.other_streams.iter().map(|other| other.progress.issues).sum::<u64>()
    }

    /// Returns whether everything requested was delivered, as far as that is known.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.error.is_none()
    }
}
