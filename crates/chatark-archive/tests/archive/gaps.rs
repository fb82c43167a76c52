//! Places that could not be read, and which sweeps close them.

use chatark_archive::{Run, RunStart, SourceKey, SyncMode, WriteOp, recent_scope};
use chatark_core::{Checkpoint, Gap, GapBounds, PageMetadata, Timestamp};

use crate::support::{Lines, SCOPE, TestEnvironment, start};

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_epoch(1_733_054_400 + seconds).unwrap()
}

fn position(at: u64) -> GapBounds {
    GapBounds::Positions { first: at, last: at }
}

fn begin(env: &mut TestEnvironment, source: SourceKey, mode: SyncMode, scope: &str, seconds: i64) -> Run {
    let start = RunStart { at: later(seconds), mode, ..start("pull", scope, None) };
    env.archive.begin_run(source, &start).unwrap()
}

/// Runs a sweep to its end that begins some seconds after noon and leaves these gaps, noted so much later.
fn sweep(
    env: &mut TestEnvironment,
    source: SourceKey,
    (mode, scope): (SyncMode, &str),
    (seconds, noted): (i64, i64),
    gaps: &[GapBounds],
) {
    let mut run = begin(env, source, mode, scope, seconds);
    let now = later(seconds + noted);
    note(env, &mut run, gaps, now);
    if mode == SyncMode::Full {
        env.archive.close_passed_gaps(&run, scope == SCOPE, now).unwrap();
    }
}

/// Reads a run to its end, and notes these gaps.
fn note(env: &mut TestEnvironment, run: &mut Run, gaps: &[GapBounds], now: Timestamp) {
    let gap = |bounds: &GapBounds| WriteOp::Gap(Gap { bounds: bounds.clone(), error: "500".to_owned() });
    let ops = gaps.iter().map(gap).collect();
    env.archive.commit(run, ops, &Checkpoint::End, &PageMetadata::default(), &Lines, now).unwrap();
}

fn open(env: &TestEnvironment, source: SourceKey) -> Vec<(String, GapBounds, u64)> {
    let gaps = env.archive.open_gaps(source).unwrap();
    gaps.into_iter().map(|gap| (gap.scope, gap.bounds, gap.attempts)).collect()
}

#[test]
fn positions_of_recent_records_are_in_a_scope_of_their_own_until_everything_is_read() {
    let mut env = TestEnvironment::new();
    let source = env.source("shop");
    let (full, recent) = ((SyncMode::Full, SCOPE), (SyncMode::Recent, SCOPE));
    sweep(&mut env, source, full, (0, 1), &[position(139)]);
    sweep(&mut env, source, recent, (100, 1), &[position(139)]);
    let of_recent = (recent_scope(SCOPE), position(139), 1);
    assert_eq!(open(&env, source), [(SCOPE.to_owned(), position(139), 1), of_recent]);
    // The record is elsewhere now, and is tried again as rarely as before.
    sweep(&mut env, source, full, (200, 1), &[position(140)]);
    assert_eq!(open(&env, source), [(SCOPE.to_owned(), position(140), 2)]);
    sweep(&mut env, source, full, (300, 1), &[]);
    assert_eq!(open(&env, source), []);
}

#[test]
fn a_sweep_closes_neither_its_own_gaps_nor_those_of_a_wider_scope() {
    let mut env = TestEnvironment::new();
    let source = env.source("shop");
    let window = (SyncMode::Full, "2024-01-01T00:00:00Z..* * all");
    // The clock is set back, and later ahead, while the sweep runs.
    for noted in [-400 * 86_400, 3_650 * 86_400] {
        sweep(&mut env, source, (SyncMode::Full, SCOPE), (0, noted), &[position(7)]);
        assert_eq!(open(&env, source).len(), 1, "{noted}");
        sweep(&mut env, source, window, (100, 1), &[]);
        assert_eq!(open(&env, source).len(), 1, "{noted}");
        sweep(&mut env, source, (SyncMode::Full, SCOPE), (200, 1), &[]);
        assert_eq!(open(&env, source).len(), 0, "{noted}");
    }
    // What was read of everything was read of each window.
    let rest = GapBounds::Rest { after: Some("1".to_owned()) };
    sweep(&mut env, source, window, (300, 1), &[position(3), rest]);
    assert_eq!(open(&env, source).len(), 2);
    sweep(&mut env, source, (SyncMode::Full, SCOPE), (400, 1), &[]);
    assert_eq!(open(&env, source), []);
}

#[test]
fn a_sweep_does_not_close_what_it_noted_before_its_clock_was_set_back() {
    let mut env = TestEnvironment::new();
    let source = env.source("shop");
    let mut run = begin(&mut env, source, SyncMode::Full, SCOPE, 0);
    note(&mut env, &mut run, &[position(7)], later(20));
    env.archive.close_passed_gaps(&run, true, later(-3_600)).unwrap();
    assert_eq!(open(&env, source).len(), 1);
}
