//! Exit codes. Scripts rely on them: a code never changes its meaning.

use chatark_archive::Verdict;
use chatark_core::{Error, ErrorKind};
use chatark_engine::Outcome;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything requested is done.
    Complete = 0,
    /// Something went wrong on this machine, or in Chatark itself.
    Unexpected = 1,
    /// The command or the config is wrong.
    Usage = 2,
    /// Not all is well: some sources failed, a response could not be read, or counts or rows differ.
    Incomplete = 3,
    /// Nothing was archived: every source failed.
    Failed = 4,
    /// The vendor or the network failed; a retry may help.
    Transient = 5,
    /// The vendor will refuse until somebody changes a key, a plan or an id.
    Permanent = 7,
    /// The budget of the command is spent; everything fetched is safe.
    Budget = 8,
    /// A running process holds the archive.
    Locked = 11,
    /// The file is damaged or is not an archive.
    Damaged = 12,
    /// Stopped by Ctrl-C; everything fetched is safe.
    Interrupted = 130,
    /// Stopped by SIGTERM; everything fetched is safe.
    Terminated = 143,
}

impl Exit {
    /// Returns the number that the operating system sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Returns the exit for an error.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Budget => Self::Budget,
            ErrorKind::Malformed | ErrorKind::TooLarge | ErrorKind::Incomplete => Self::Incomplete,
            _ if error.is_transient() => Self::Transient,
            _ if error.is_permanent() => Self::Permanent,
            _ => Self::Unexpected,
        }
    }

    /// Returns the exit after requests to a number of sources, given the errors of those that failed.
    pub(crate) fn of_errors(errors: &[&Error], sources: usize) -> Self {
        match (errors, sources) {
            ([], _) => Self::Complete,
            ([only], 1) => Self::of_error(only),
            (errors, all) if errors.len() == all => Self::Failed,
            _ => Self::Incomplete,
        }
    }

    /// Returns the exit after runs of one or several sources.
    ///
    /// With one source, it is that source's error class. With several, it is `Incomplete`, or `Failed` if every source
    /// failed and nothing was archived. A spent budget is not a failure.
    pub(crate) fn of_outcomes(outcomes: &[Outcome]) -> Self {
        if outcomes.iter().any(|outcome| outcome.verdict == Verdict::Interrupted) {
            return Self::Interrupted;
        }
        let spent = |outcome: &Outcome| outcome.verdict == Verdict::Budget;
        let bad: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_good() && !spent(outcome)).collect();
        match (bad.as_slice(), outcomes.len()) {
            ([], _) if outcomes.iter().any(spent) => Self::Budget,
            ([], _) => Self::Complete,
            ([only], 1) => Self::of_outcome(only),
            (bad, all) if bad.len() == all && bad.iter().all(|outcome| outcome.progress.received == 0) => {
                Self::Failed
            }
            _ => Self::Incomplete,
        }
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        let Some(error) = &outcome.error else { return Self::Incomplete };
        let reached_the_end = error.kind() == ErrorKind::Incomplete;
        match Self::of_error(error) {
            Self::Incomplete if outcome.progress.received == 0 && !reached_the_end => Self::Failed,
            exit => exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use chatark_archive::{RunCounts, SyncMode};
    use chatark_core::SourceName;

    use super::*;

    fn outcome(verdict: Verdict, error: Option<ErrorKind>, received: u64) -> Outcome {
        Outcome {
            source: SourceName::new("a").unwrap(),
            verdict,
            mode: SyncMode::Full,
            progress: RunCounts { received, ..RunCounts::default() },
            error: error.map(|kind| Error::new(kind, "pull", "no")),
            resumable: false,
            other_streams: Vec::new(),
        }
    }

    #[test]
    fn one_source_ends_with_its_error_class() {
        let end = |verdict, error, received| Exit::of_outcomes(&[outcome(verdict, error, received)]).code();
        assert_eq!(end(Verdict::Complete, None, 5), 0);
        assert_eq!(end(Verdict::Unprovable, None, 5), 0);
        assert_eq!(end(Verdict::GrewDuringRun, None, 5), 0);
        assert_eq!(end(Verdict::Short, None, 5), 3);
        assert_eq!(end(Verdict::Partial, Some(ErrorKind::Network), 5), 5);
        assert_eq!(end(Verdict::Failed, Some(ErrorKind::RateLimited), 0), 5);
        assert_eq!(end(Verdict::Failed, Some(ErrorKind::Unauthorized), 0), 7);
        assert_eq!(end(Verdict::Partial, Some(ErrorKind::Forbidden), 5), 7);
        assert_eq!(end(Verdict::Partial, Some(ErrorKind::Malformed), 5), 3);
        assert_eq!(end(Verdict::Failed, Some(ErrorKind::Malformed), 0), 4);
        assert_eq!(end(Verdict::Failed, Some(ErrorKind::Usage), 0), 2);
        assert_eq!(end(Verdict::Partial, Some(ErrorKind::Storage), 5), 1);
        assert_eq!(end(Verdict::Failed, Some(ErrorKind::Damaged), 0), 12);
        assert_eq!(end(Verdict::Interrupted, None, 5), 130);
        assert_eq!(end(Verdict::Budget, Some(ErrorKind::Budget), 0), 8);
        assert_eq!(end(Verdict::Short, Some(ErrorKind::Incomplete), 0), 3);
        assert_eq!(end(Verdict::Complete, Some(ErrorKind::Incomplete), 5), 3);
    }

    #[test]
    fn several_sources_end_as_partial_or_failed() {
        let good = || outcome(Verdict::Complete, None, 5);
        let refused = || outcome(Verdict::Failed, Some(ErrorKind::Unauthorized), 0);
        assert_eq!(Exit::of_outcomes(&[good(), good()]).code(), 0);
        assert_eq!(Exit::of_outcomes(&[good(), refused()]).code(), 3);
        assert_eq!(Exit::of_outcomes(&[refused(), refused()]).code(), 4);
        let spent = || outcome(Verdict::Budget, Some(ErrorKind::Budget), 5);
        assert_eq!(Exit::of_outcomes(&[good(), spent()]).code(), 8);
        assert_eq!(Exit::of_outcomes(&[refused(), spent()]).code(), 3);
        assert_eq!(
            Exit::of_outcomes(&[refused(), outcome(Verdict::Partial, Some(ErrorKind::Network), 5)]).code(),
            3
        );
    }
}
