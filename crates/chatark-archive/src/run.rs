//! A run: how it starts, what it counts, and how it ends.

use chatark_core::{PageMetadata, ResumeToken, Stream, Timestamp};

use crate::keys::SourceKey;

/// A run that has begun.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) key: i64,
    pub(crate) source: SourceKey,
    pub(crate) stream: Stream,
    pub(crate) scope: String,
    pub(crate) mode: SyncMode,
    /// When the sweep began that this run starts or resumes; `None` if an older version began it and did not record when.
    pub(crate) sweep_began_at: Option<Timestamp>,
    /// The latest time at which this run has written. The clock may have been set back since.
    pub(crate) written_until: Option<Timestamp>,
    /// The counts of the run so far.
    pub counts: RunCounts,
}

/// How much of a source a run reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Everything in its scope.
    #[default]
    Full,
    /// What the vendor shows as changed, in the way that [`ChangeDetection`](chatark_core::ChangeDetection) names.
    Changes,
    /// What began recently.
    Recent,
}

/// How a run starts.
#[derive(Debug, Clone, Copy)]
pub struct RunStart<'a> {
    /// `pull` or `rebuild`.
    pub kind: &'a str,
    /// The stream that is read.
    pub stream: Stream,
    /// Window, channel and selection, as one text: each scope has a checkpoint of its own.
    pub scope: &'a str,
    /// How much the run reads.
    pub mode: SyncMode,
    /// Where the run resumes; `None` if it starts from the beginning.
    pub resume: Option<&'a ResumePoint>,
    /// When it begins.
    pub at: Timestamp,
}

/// Where an unfinished run of the same scope stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    /// What the provider resumes from.
    pub resume_token: ResumeToken,
    /// When it was saved.
    pub saved_at: Option<Timestamp>,
    /// How much the sweep reads.
    pub mode: SyncMode,
    pub(crate) sweep_began_at: Option<Timestamp>,
    pub(crate) seen: u64,
    pub(crate) total_first: Option<u64>,
}

/// The counts of a run. `seen` and `total_first` are those of the whole sweep: they include the runs that this one resumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// The vendor's own count at the beginning of the sweep.
    pub total_first: Option<u64>,
    /// The vendor's own count in its latest response.
    pub total_last: Option<u64>,
    /// Different records in the vendor's responses.
    pub seen: u64,
    /// Records in the vendor's responses.
    pub received: u64,
    /// Of the received records, those that the sweep had seen before.
    pub repeated: u64,
    /// Of the received records, those outside the requested window or channel.
    pub outside: u64,
    /// Records that the archive did not have.
    pub added: u64,
    /// Records of which the archive had other bytes.
    pub changed: u64,
    /// Records of which the archive had the same bytes.
    pub unchanged: u64,
    /// Records whose bytes could not be read.
    pub unreadable: u64,
    /// Records that this run marked as missing, because the vendor no longer shows them.
    pub missing: u64,
    /// Records that were marked as missing and that the vendor showed again.
    pub returned: u64,
    /// Occurrences of issues.
    pub issues: u64,
    /// Gaps that this run found, tried again without success, or passed over.
    pub gaps: u64,
    /// The size of the records in bytes, as the vendor sent them.
    pub bytes: u64,
    /// The page metadata of all responses, added up.
    pub page: PageMetadata,
}

/// The conclusion of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At least as many records were seen as the vendor counts; a rebuild that has mapped all of them.
    Complete,
    /// At least as many records were seen as the vendor counted at the beginning; its count grew during the run.
    GrewDuringRun,
    /// Fewer records were seen than the vendor counts, or far fewer than are archived, or a gap is open.
    Short,
    /// The stream was read to its end, but the vendor gives no count to compare with.
    Unprovable,
    /// The run ended with an error after records had come.
    Partial,
    /// The run used up its budget.
    Budget,
    /// The user or the system ended the run.
    Interrupted,
    /// The run ended with an error before any record came.
    Failed,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Its conclusion.
    pub verdict: Verdict,
    /// Whether it reached the end of what was requested, whatever its verdict.
    pub reached_end: bool,
    /// The error that ended it.
    pub error: Option<String>,
    /// When it ended.
    pub at: Timestamp,
}

impl Run {
    /// Returns the source of the run.
    pub fn source(&self) -> SourceKey {
        self.source
    }

    /// Returns the scope that was requested.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the stream that the run reads.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Returns how much the run reads.
    pub fn mode(&self) -> SyncMode {
        self.mode
    }

    /// Changes the mode to a full read: the vendor returned everything, although less was requested.
    pub fn set_full_mode(&mut self) {
        self.mode = SyncMode::Full;
    }
}

impl SyncMode {
    /// Returns its word in the run log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Changes => "changes",
            Self::Recent => "recent",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "changes" => Self::Changes,
            "recent" => Self::Recent,
            _ => Self::Full,
        }
    }
}

impl RunCounts {
    /// Returns the counts with the metadata of another page added.
    pub(crate) fn with_page(&self, page: &PageMetadata) -> Self {
        let mut counts = self.clone();
        if page.restarted {
            // What the sweep has seen so far comes again and must not be counted twice.
            (counts.seen, counts.total_first) = (0, None);
        }
        counts.page.add(page);
        counts.total_first = counts.total_first.or(page.total);
        counts.total_last = page.total.or(counts.total_last);
        counts
    }
}

impl Verdict {
    /// Returns its word in the run log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::GrewDuringRun => "grew-during-run",
            Self::Short => "short",
            Self::Unprovable => "unprovable",
            Self::Partial => "partial",
            Self::Budget => "budget",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// Returns the verdict of a word that [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        use Verdict::{Budget, Complete, Failed, GrewDuringRun, Interrupted, Partial, Short, Unprovable};
        [Complete, GrewDuringRun, Short, Unprovable, Partial, Budget, Interrupted, Failed]
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
    }

    /// Returns whether the stream was read to its end, apart from accepted gaps.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Complete | Self::GrewDuringRun | Self::Unprovable)
    }

    /// Compares what was seen with the vendor's count, at the end of a sweep.
    pub fn of(counts: &RunCounts) -> Self {
        let Some(last) = counts.total_last else { return Self::Unprovable };
        let first = counts.total_first.unwrap_or(last);
        match counts.seen {
            seen if seen >= last => Self::Complete,
            seen if seen >= first => Self::GrewDuringRun,
            _ => Self::Short,
        }
    }
}
