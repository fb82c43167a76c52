//! How much of a stream a pull reads: everything, what changed, or what began recently.

use std::sync::{Arc, Mutex, PoisonError};

use chatark_archive::{Archive, SourceKey, SweepHistory, SyncMode};
use chatark_core::{
    ChangeDetection, HeldRecords, HeldSummary, ReadRequest, RecordId, Selection, Stream, Timestamp, Window,
};

const DAY_SECONDS: i64 = 86_400;
/// Changes are requested from this long before the last sweep began.
const OVERLAP_SECONDS: i64 = 600;

/// How often a source is read completely, and how far pulls in between look back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// After this many days everything is read again; 0 reads everything each time.
    pub full_sweep_days: u32,
    /// For vendors that do not report changes: what began up to this many days before the last sweep is read again.
    pub look_back_days: u32,
}

/// What is known about a stream when a pull is planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncState {
    pub(crate) changes: ChangeDetection,
    pub(crate) refresh: RefreshPolicy,
    /// The latest sweeps that read the same scope, or one that contains it.
    pub(crate) last_sweeps: LastSweeps,
    /// How much an unfinished sweep of the same scope reads.
    pub(crate) unfinished: Option<SyncMode>,
    /// Whether positions of the list that could not be read are due: only a full sweep can try them, because a list of
    /// recent records has other positions.
    pub(crate) is_gap_due: bool,
    pub(crate) now: Timestamp,
}

/// When the latest finished sweeps began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LastSweeps {
    /// The latest that read everything in its scope.
    pub(crate) full: Option<Timestamp>,
    /// The latest of any mode.
    pub(crate) any: Option<Timestamp>,
}

impl LastSweeps {
    /// Takes the latest sweeps of a scope and of the whole stream, which contains it.
    ///
    /// A time in the future comes from a clock that was ahead, and counts as never.
    pub(crate) fn of(scope: &SweepHistory, whole: &SweepHistory, now: Timestamp) -> Self {
        let latest = |own: Option<Timestamp>, whole: Option<Timestamp>| {
            own.filter(|at| *at <= now).max(whole.filter(|at| *at <= now))
        };
        Self {
            full: latest(scope.full_began_at, whole.full_began_at),
            any: latest(scope.any_began_at, whole.any_began_at),
        }
    }
}

impl SyncState {
    /// Returns how much to read, and in which window.
    pub(crate) fn mode_and_window(&self, request: &ReadRequest) -> (SyncMode, Window) {
        let everything = (SyncMode::Full, request.window);
        if request.selection != Selection::All || self.refresh.full_sweep_days == 0 {
            return everything;
        }
        if self.unfinished == Some(SyncMode::Full) || self.is_full_due() {
            return everything;
        }
        match self.changes {
            ChangeDetection::Summaries => (SyncMode::Changes, request.window),
            ChangeDetection::UpdatedSince if self.last_sweeps.any.is_some() => {
                (SyncMode::Changes, request.window)
            }
            ChangeDetection::ListRows if request.is_whole() && self.last_sweeps.any.is_some() => {
                (SyncMode::Changes, request.window)
            }
            ChangeDetection::LookBack if request.is_whole() && !self.is_gap_due => {
                let recent = |since| (SyncMode::Recent, Window { since: Some(since), until: None });
                self.recent_since().map_or(everything, recent)
            }
            ChangeDetection::UpdatedSince
            | ChangeDetection::LookBack
            | ChangeDetection::ListRows
            | ChangeDetection::Unsupported => everything,
        }
    }

    /// Returns the instant from which changes are requested, if the vendor supports that.
    ///
    /// It lies shortly before the last sweep began, because the vendor may list a change late.
    pub(crate) fn updated_since(&self, mode: SyncMode) -> Option<Timestamp> {
        let is_requested = mode == SyncMode::Changes && self.changes == ChangeDetection::UpdatedSince;
        self.last_sweeps.any.filter(|_| is_requested)?.shifted(-OVERLAP_SECONDS)
    }

    fn is_full_due(&self) -> bool {
        let due = |full: Timestamp| full.shifted(days(self.refresh.full_sweep_days));
        self.last_sweeps.full.and_then(due).is_none_or(|due| due <= self.now)
    }

    /// Returns the instant from which records count as recent. It stays the same until a sweep ends, so that an
    /// interrupted sweep can be resumed.
    pub(crate) fn recent_since(&self) -> Option<Timestamp> {
        self.last_sweeps.any?.shifted(-days(self.refresh.look_back_days))
    }

    /// Returns how many rows of a list one pull reads in turn, so that all of them are read within the interval of full
    /// sweeps.
    pub(crate) fn rotated_rows(&self, rotated_at: Option<Timestamp>, held: u64) -> u64 {
        let interval = days(self.refresh.full_sweep_days.max(1)).unsigned_abs() * 1_000_000;
        let since = rotated_at.or(self.last_sweeps.any).filter(|at| *at <= self.now);
        let elapsed =
            since.map_or(interval, |at| (self.now.microseconds() - at.microseconds()).unsigned_abs());
        let rows = u128::from(held) * u128::from(elapsed.min(interval));
        u64::try_from(rows.div_ceil(u128::from(interval))).unwrap_or(held)
    }
}

/// Returns the instant, by the vendor's clock, from which changed records are read again although they look the same.
///
/// The vendor's times have whole seconds: a record that was read in the second of its latest change may have changed
/// once more in that second. It was read at some time during its sweep, so the duration of the sweep is subtracted too.
pub(crate) fn reread_since(unconfirmed: Option<Timestamp>, sweep_seconds: i64) -> Option<Timestamp> {
    unconfirmed?.shifted(-OVERLAP_SECONDS.saturating_add(sweep_seconds))
}

fn days(number: u32) -> i64 {
    i64::from(number) * DAY_SECONDS
}

/// The archived records of one stream of a source, for a provider that skips unchanged ones.
#[derive(Debug)]
pub(crate) struct ArchivedRecords {
    pub(crate) reader: Arc<Mutex<Archive>>,
    pub(crate) key: SourceKey,
    pub(crate) stream: Stream,
}

impl HeldRecords for ArchivedRecords {
    /// After an error, no record counts as held: it is fetched, and the writer checks again.
    fn summaries(&self, ids: &[RecordId]) -> Vec<Option<HeldSummary>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.held_summaries(self.key, self.stream, ids).unwrap_or_else(|_| vec![None; ids.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_epoch(1_790_000_000 + day * DAY_SECONDS).unwrap()
    }

    fn state(changes: ChangeDetection) -> SyncState {
        SyncState {
            changes,
            refresh: RefreshPolicy { full_sweep_days: 7, look_back_days: 30 },
            last_sweeps: LastSweeps { full: Some(at(0)), any: Some(at(3)) },
            unfinished: None,
            is_gap_due: false,
            now: at(4),
        }
    }

    fn windowed() -> ReadRequest {
        ReadRequest { window: Window { since: Some(at(-9)), until: None }, ..ReadRequest::default() }
    }

    #[test]
    fn what_changed_is_read_until_everything_is_due_again() {
        let whole = ReadRequest::default();
        let held = state(ChangeDetection::Summaries);
        assert_eq!(held.mode_and_window(&whole), (SyncMode::Changes, Window::default()));
        assert_eq!(SyncState { now: at(7), ..held }.mode_and_window(&whole).0, SyncMode::Full);
        assert_eq!(
            SyncState { last_sweeps: LastSweeps::default(), ..held }.mode_and_window(&whole).0,
            SyncMode::Full
        );
        let each_time = RefreshPolicy { full_sweep_days: 0, ..held.refresh };
        assert_eq!(SyncState { refresh: each_time, ..held }.mode_and_window(&whole).0, SyncMode::Full);
        // Each window needs a full sweep of its own first.
        assert_eq!(held.mode_and_window(&windowed()), (SyncMode::Changes, windowed().window));
        let never = SyncState { last_sweeps: LastSweeps::default(), ..held };
        assert_eq!(never.mode_and_window(&windowed()), (SyncMode::Full, windowed().window));
        let selection = Selection::User("u".to_owned());
        assert_eq!(held.mode_and_window(&ReadRequest { selection, ..whole }).0, SyncMode::Full);
    }

    #[test]
    fn a_look_back_counts_from_the_last_good_sweep() {
        let whole = ReadRequest::default();
        let held = state(ChangeDetection::LookBack);
        let window = Window { since: Some(at(-27)), until: None };
        assert_eq!(held.mode_and_window(&whole), (SyncMode::Recent, window));
        // A day later, with nothing finished in between, it is the same window.
        assert_eq!(SyncState { now: at(5), ..held }.mode_and_window(&whole), (SyncMode::Recent, window));
        assert_eq!(held.mode_and_window(&windowed()), (SyncMode::Full, windowed().window));
        assert_eq!(SyncState { is_gap_due: true, ..held }.mode_and_window(&whole).0, SyncMode::Full);
        assert_eq!(SyncState { now: at(8), ..held }.mode_and_window(&whole).0, SyncMode::Full);
    }

    #[test]
    fn changes_are_requested_since_shortly_before_the_last_sweep() {
        let whole = ReadRequest::default();
        let held = state(ChangeDetection::UpdatedSince);
        assert_eq!(held.mode_and_window(&whole), (SyncMode::Changes, Window::default()));
        assert_eq!(held.updated_since(SyncMode::Changes), at(3).shifted(-600));
        assert_eq!(held.updated_since(SyncMode::Full), None);
        let never = SyncState { last_sweeps: LastSweeps { full: Some(at(0)), any: None }, ..held };
        assert_eq!(never.mode_and_window(&whole).0, SyncMode::Full);
        assert_eq!(state(ChangeDetection::Unsupported).mode_and_window(&whole).0, SyncMode::Full);
    }

    #[test]
    fn a_sweep_in_the_future_counts_as_never() {
        let clock = |day| SweepHistory {
            full_began_at: Some(at(day)),
            any_began_at: Some(at(day)),
            ..SweepHistory::default()
        };
        let of = |own, whole, now| LastSweeps::of(&clock(own), &clock(whole), at(now));
        assert_eq!(of(1, 3, 5), LastSweeps { full: Some(at(3)), any: Some(at(3)) });
        assert_eq!(of(1, 3_650, 5), LastSweeps { full: Some(at(1)), any: Some(at(1)) });
        assert_eq!(of(3_650, 3_650, 5), LastSweeps::default());
    }

    #[test]
    fn a_rotation_reads_the_whole_list_within_the_interval() {
        let held = state(ChangeDetection::ListRows);
        // A seventh of the list for a day of seven; all of it after a week, or if nothing is known.
        assert_eq!(held.rotated_rows(Some(at(3)), 700), 100);
        assert_eq!(held.rotated_rows(Some(at(-9)), 700), 700);
        assert_eq!(held.rotated_rows(Some(at(4)), 700), 0);
        let unknown = SyncState { last_sweeps: LastSweeps::default(), ..held };
        assert_eq!(unknown.rotated_rows(None, 700), 700);
        assert_eq!(held.mode_and_window(&ReadRequest::default()), (SyncMode::Changes, Window::default()));
        assert_eq!(held.recent_since(), Some(at(-27)));
    }

    #[test]
    fn an_unfinished_sweep_of_everything_is_finished_first() {
        for changes in [ChangeDetection::Summaries, ChangeDetection::LookBack] {
            let held = SyncState { unfinished: Some(SyncMode::Full), ..state(changes) };
            assert_eq!(held.mode_and_window(&ReadRequest::default()), (SyncMode::Full, Window::default()));
        }
    }
}
