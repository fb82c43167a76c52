//! A pull that has ended, as the checker of the promises and the statistics see it.

use chatark_archive::{SyncMode, Verdict};
use chatark_core::ErrorKind;

use crate::schedule::Action;
use crate::time::{Instant, to_iso8601};
use crate::transport::PullCounts;
use crate::vendor::RequestKind;

/// A pull that has ended: what was requested, what happened, and what it claims.
#[derive(Debug)]
pub struct FinishedPull {
    /// What was requested.
    pub action: Action,
    /// Whether it belongs to the quiet end of the schedule, without faults or changes.
    pub is_quiet: bool,
    /// When it began.
    pub started: Instant,
    /// When its sweep began, in this pull or in an earlier one that it resumes.
    pub sweep_start: Instant,
    /// When it ended.
    pub ended: Instant,
    /// How it ended.
    pub end: PullEnd,
    /// Its sync mode.
    pub mode: SyncMode,
    /// Whether it resumed from a checkpoint.
    pub is_resumed: bool,
    /// The beginning of the look-back window, if only recent conversations are read.
    pub recent_since: Option<Instant>,
    /// The notes to the user.
    pub notes: Vec<String>,
    /// What happened at the vendor.
    pub counts: PullCounts,
    /// How many requests met a fault.
    pub fired: u64,
    /// Whether these faults are more than a client with enough attempts is expected to survive.
    pub is_heavy: bool,
    /// How often the vendor was down.
    pub fired_down: u64,
    /// Whether the vendor was down at its end.
    pub is_down: bool,
    /// Whether the vendor answered as if it had no conversations, in this pull or in an earlier one of the same sweep.
    pub vendor_seemed_empty: bool,
    /// How often a request is tried.
    pub attempts: u32,
    /// How many days a pull looks back.
    pub look_back_days: u32,
    /// How many changes happened during the sweep.
    pub changes: usize,
}

/// How a pull ended.
#[derive(Debug, Clone)]
pub enum PullEnd {
    /// With a verdict, and perhaps with an error.
    Verdict(Verdict, Option<(ErrorKind, String)>),
    /// The process was killed.
    Killed,
    /// It did not end in time.
    TimeOver,
    /// It did not begin or did not end, which is a bug.
    Broken(String),
}

impl FinishedPull {
    /// Returns the verdict, if there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        if let PullEnd::Verdict(verdict, _) = self.end { Some(verdict) } else { None }
    }

    /// Returns whether everything requested was delivered, as the pull claims.
    pub fn is_good(&self) -> bool {
        matches!(&self.end, PullEnd::Verdict(verdict, None) if verdict.is_good())
    }

    /// Describes a finished pull in one line, for a report.
    pub fn describe(&self) -> String {
        let Self {
            action,
            started,
            sweep_start,
            ended,
            end,
            mode,
            is_resumed,
            counts,
            fired,
            changes,
            notes,
            ..
        } = self;
        let kinds: Vec<_> = counts
            .by_kind
            .iter()
            .map(|(kind, count): (&RequestKind, _)| format!("{kind:?} {count}"))
            .collect();
        format!(
            "{end:?}, {mode:?}, resumed {is_resumed}, quiet {}, scope {:?}, {} to {} (sweep from {}), {} requests ({}), {fired} faults, {changes} changes, {} delivered, notes {notes:?}",
            self.is_quiet,
            action.scope,
            to_iso8601(*started),
            to_iso8601(*ended),
            to_iso8601(*sweep_start),
            counts.requests,
            kinds.join(", "),
            counts.delivered.len(),
        )
    }
}
