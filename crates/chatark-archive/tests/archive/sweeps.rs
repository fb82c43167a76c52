//! What a sweep has seen over several runs, and what a full sweep no longer sees.

use std::fs;

use chatark_archive::{
    Archive, Run, RunEnd, RunStart, SourceKey, SweepHistory, SyncMode, Unseen, Verdict, WriteOp,
};
use chatark_core::{Checkpoint, HeldSummary, PageMetadata, RecordId, Stream, Timestamp, UnseenRecord};
use rusqlite::Connection;

use crate::support::{
    Gone, Lines, SCOPE, TestEnvironment, all, at, cursor, mark_missing, noon, start, written,
};

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_epoch(1_733_054_400 + seconds).unwrap()
}

fn unchanged(id: &str) -> WriteOp {
    WriteOp::ListedUnchanged(RecordId::new(id))
}

/// Fills an archive with conversations `0` to `number - 1`.
fn filled(number: usize) -> (TestEnvironment, SourceKey) {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let batch = (0..number).map(|id| written(&id.to_string(), "text")).collect();
    env.try_commit(&mut run, batch, &Checkpoint::End).unwrap();
    (env, run.source())
}

/// Runs a sweep of everything that begins some seconds after noon and sees these conversations, a batch each.
fn sweep(
    env: &mut TestEnvironment,
    source: SourceKey,
    seconds: i64,
    ids: impl Iterator<Item = usize>,
) -> Run {
    let begin = RunStart { at: later(seconds), ..start("pull", SCOPE, None) };
    let mut run = env.archive.begin_run(source, &begin).unwrap();
    for id in ids {
        env.commit(&mut run, vec![unchanged(&id.to_string())]);
    }
    env.try_commit(&mut run, Vec::new(), &Checkpoint::End).unwrap();
    env.archive.unmark_returned(&mut run).unwrap();
    run
}

/// Returns the ids that are marked as missing.
fn missing(env: &TestEnvironment) -> Vec<String> {
    let connection = env.connect();
    let mut statement = connection
        .prepare("SELECT id FROM conversation WHERE missing_since IS NOT NULL ORDER BY id")
        .unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

#[test]
fn what_two_full_sweeps_do_not_see_is_marked_and_kept() {
    let (mut env, source) = filled(20);
    let without = |gone: &'static [usize]| (0..20).filter(|id| !gone.contains(id));
    let mut run = sweep(&mut env, source, 50, without(&[7, 11, 13]));
    assert_eq!((run.counts.seen, run.counts.unchanged, run.counts.returned), (17, 17, 0));
    assert_eq!(mark_missing(&mut env.archive, &mut run, true, later(60)).unwrap(), Gone::Marked(0));
    assert_eq!((missing(&env).len(), run.counts.missing), (0, 0), "one sweep is no proof");

    // The second sweep sees one of them again, and misses another one for the first time.
    let mut run = sweep(&mut env, source, 70, without(&[7, 11, 5]));
    assert_eq!(mark_missing(&mut env.archive, &mut run, true, later(80)).unwrap(), Gone::Marked(2));
    assert_eq!((run.counts.missing, run.counts.returned), (2, 0));
    assert_eq!(missing(&env), ["11", "7"]);
    assert_eq!(all(&env.archive).len(), 20);
    assert_eq!((env.status().conversations, env.status().missing), (20, 2));

    // One of them comes back; the other one keeps the time at which it was first missed.
    let mut run = sweep(&mut env, source, 90, without(&[7]));
    assert_eq!(run.counts.returned, 1);
    assert_eq!(mark_missing(&mut env.archive, &mut run, false, later(120)).unwrap(), Gone::Marked(0));
    assert_eq!(missing(&env), ["7"]);
    let since = env.count("SELECT missing_since FROM conversation WHERE id = '7'");
    assert_eq!(since, u64::try_from(later(60).microseconds()).unwrap());
    assert_eq!(env.count("SELECT count(*) FROM record WHERE unseen_since IS NOT NULL"), 1);
}

#[test]
fn what_the_vendor_still_has_is_not_marked() {
    let (mut env, source) = filled(20);
    let mut run = sweep(&mut env, source, 10, 1..20);
    mark_missing(&mut env.archive, &mut run, false, later(11)).unwrap();
    let mut run = sweep(&mut env, source, 20, 1..20);
    let Unseen::Twice(unseen) = env.archive.note_unseen(&run, false, later(21)).unwrap() else {
        panic!("one of twenty is less than a tenth")
    };
    assert_eq!(unseen.iter().map(|unseen| unseen.id.as_str()).collect::<Vec<_>>(), ["0"]);
    env.archive.mark_missing(&mut run, &unseen, &[RecordId::new("0")], later(21)).unwrap();
    assert_eq!((missing(&env).len(), run.counts.missing), (0, 0));
    assert_eq!(env.count("SELECT count(*) FROM record WHERE unseen_since IS NOT NULL"), 0);
}

#[test]
fn what_was_not_looked_for_comes_first_after_the_next_sweep() {
    let (mut env, source) = filled(20);
    let mut unseen_at = |second: i64, looked_for: &[&str]| {
        let mut run = sweep(&mut env, source, second, 2..20);
        let Unseen::Twice(unseen) = env.archive.note_unseen(&run, false, later(second + 1)).unwrap() else {
            panic!("two of twenty are a tenth")
        };
        let is_asked = |unseen: &&UnseenRecord| looked_for.contains(&unseen.id.as_str());
        let asked: Vec<_> = unseen.iter().filter(is_asked).cloned().collect();
        let found: Vec<_> = asked.iter().map(|unseen| unseen.id.clone()).collect();
        env.archive.mark_missing(&mut run, &asked, &found, later(second + 1)).unwrap();
        unseen.iter().map(|unseen| unseen.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert!(unseen_at(10, &[]).is_empty());
    assert_eq!(unseen_at(20, &["0"]), ["0", "1"]);
    assert_eq!(unseen_at(30, &[]), ["1"]);
    assert_eq!(unseen_at(40, &[]), ["1", "0"]);
}

#[test]
fn a_sweep_by_a_clock_that_was_ahead_counts_from_the_next_one() {
    let (mut env, source) = filled(20);
    let years = 300_000_000;
    let mut run = sweep(&mut env, source, years, 1..20);
    mark_missing(&mut env.archive, &mut run, false, later(years + 1)).unwrap();
    for (seconds, expect) in [(10, 0), (20, 1)] {
        let mut run = sweep(&mut env, source, seconds, 1..20);
        let marked = mark_missing(&mut env.archive, &mut run, false, later(seconds + 1)).unwrap();
        assert_eq!(marked, Gone::Marked(expect));
    }
}

#[test]
fn more_than_a_tenth_is_marked_only_if_accepted() {
    let (mut env, source) = filled(20);
    let mut at = 0;
    let mut end = |env: &mut TestEnvironment, first: usize, accept| {
        at += 10;
        let mut run = sweep(env, source, at, first..20);
        mark_missing(&mut env.archive, &mut run, accept, later(at + 1)).unwrap()
    };
    let refused = Gone::Refused { gone: 3, held: 20 };
    assert_eq!([end(&mut env, 3, false), end(&mut env, 3, false)], [refused, refused]);
    assert_eq!(missing(&env).len(), 0);
    assert_eq!(end(&mut env, 3, true), Gone::Marked(3));
    assert_eq!(missing(&env), ["0", "1", "2"]);
    // The tenth refers to records that are not missing yet: one of seventeen is less than a tenth, two are more.
    assert_eq!(end(&mut env, 5, false), Gone::Refused { gone: 2, held: 17 });
    assert_eq!(end(&mut env, 4, false), Gone::Marked(1), "the refused sweep did not see it either");
}

#[test]
fn a_sweep_of_several_runs_knows_what_all_of_them_saw() {
    let (mut env, source) = filled(12);
    let mut first = env.archive.begin_run(source, &start("pull", SCOPE, None)).unwrap();
    let page = PageMetadata { total: Some(12), ..PageMetadata::default() };
    let batch: Vec<_> = (0..5).map(|id| unchanged(&id.to_string())).collect();
    env.commit_page(&mut first, batch, &at(1), &page).unwrap();
    let path = env.path.clone();
    drop(env.archive);
    // A new process, which remembers nothing.
    env.archive = Archive::open(&path, later(9)).unwrap();
    let resume = env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap();
    let mut second = env.archive.begin_run(source, &start("pull", SCOPE, resume.as_ref())).unwrap();
    assert_eq!(second.counts.seen, 5);
    // The list moved, and one conversation of the first run comes once more.
    let batch: Vec<_> = (4..11).map(|id| unchanged(&id.to_string())).collect();
    env.commit_page(&mut second, batch, &Checkpoint::End, &page).unwrap();
    let counts = &second.counts;
    assert_eq!((counts.seen, counts.received, counts.repeated), (11, 7, 1));
    assert_eq!(Verdict::of(counts), Verdict::Short, "11 of 12, though 12 were received");
    assert_eq!(mark_missing(&mut env.archive, &mut second, false, later(10)).unwrap(), Gone::Marked(0));
    let unseen = env
        .connect()
        .query_row("SELECT id FROM record WHERE unseen_since IS NOT NULL", [], |row| row.get::<_, String>(0));
    assert_eq!(unseen.unwrap(), "11");
    assert_eq!(env.count("SELECT count(*) FROM sighting"), 0, "the end leaves nothing behind");
}

/// A record that was seen but not archived is lost: the sweep must not look complete.
#[test]
fn a_record_that_was_seen_but_is_not_archived_is_an_error() {
    let (mut env, source) = filled(20);
    let mut run = sweep(&mut env, source, 1, 0..21);
    let error = mark_missing(&mut env.archive, &mut run, false, later(2)).unwrap_err();
    assert!(error.message().contains("21 conversations were seen and 20"), "{error}");
}

#[test]
fn an_unfinished_sweep_keeps_its_sightings_until_it_restarts_or_is_forgotten() {
    let (mut env, source) = filled(2);
    let sightings = |env: &TestEnvironment| env.count("SELECT count(*) FROM sighting");
    let mut run = env.run();
    env.try_commit(&mut run, vec![unchanged("0")], &at(1)).unwrap();
    assert_eq!(sightings(&env), 1);
    env.archive.delete_checkpoint(source, Stream::Conversations, SCOPE).unwrap();
    assert_eq!(sightings(&env), 0);
    let mut run = env.run();
    env.try_commit(&mut run, vec![unchanged("0")], &at(1)).unwrap();
    let run = env.run();
    assert_eq!((sightings(&env), run.counts.seen), (0, 0));
}

/// Builds an archive as version 1 wrote it, with a finished run, and a checkpoint of an unfinished one.
fn of_version_one(path: &std::path::Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch(include_str!("../../src/layout/0001_first.sql")).unwrap();
    old.pragma_update(None, "application_id", 0x4368_4172).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let cursor = serde_json::to_string(&cursor(4)).unwrap();
    old.execute_batch(&format!(
        "INSERT INTO source VALUES (1, 'shop', 'vendor-v1', 'agent of shop', 2, 0);
         INSERT INTO run (run_key, source_key, kind, scope, started_at, verdict) VALUES (1, 1, 'pull', '{SCOPE}', 1733054401000000, 'complete');
         INSERT INTO run (run_key, source_key, kind, scope, resumed, started_at, verdict) VALUES (2, 1, 'pull', '{SCOPE}', 1, 1733054402000000, 'complete');
         INSERT INTO conversation (conversation_key, source_key, id, raw_version, readable, message_count) VALUES (1, 1, 'a', 1, 1, 0), (2, 1, 'b', 1, 1, 0);
         INSERT INTO checkpoint VALUES (1, '{SCOPE}', '{cursor}', 1, NULL, 1733054403000000);"
    ))
    .unwrap();
    old.close().unwrap();
}

#[test]
fn an_archive_of_version_one_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.db");
    of_version_one(&path);
    let before = fs::read(&path).unwrap();
    let error = Archive::open_to_read(&path).unwrap_err();
    assert!(error.to_string().contains("older") && error.hint_text().is_some(), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let mut archive = Archive::open(&path, noon()).unwrap();
    let source = archive.register_source(&crate::support::origin("shop")).unwrap();
    assert_eq!(archive.status().unwrap()[0].conversations, 2);
    // When the sweep of the resumed run began is not known, so it proves nothing.
    let swept = Some(later(1));
    assert_eq!(
        archive.sweep_history(source, Stream::Conversations, SCOPE).unwrap(),
        SweepHistory { full_began_at: swept, any_began_at: swept, ..SweepHistory::default() }
    );
    let resume = archive.resume_point(source, Stream::Conversations, SCOPE).unwrap();
    let mut run = archive.begin_run(source, &start("pull", SCOPE, resume.as_ref())).unwrap();
    assert_eq!(run.counts.seen, 1);
    let batch = vec![unchanged("b")];
    archive.commit(&mut run, batch, &Checkpoint::End, &PageMetadata::default(), &Lines, noon()).unwrap();
    // One of the two was seen by the run of the old version, which kept no ids.
    assert_eq!(mark_missing(&mut archive, &mut run, false, noon()).unwrap(), Gone::Unknown);
}

#[test]
fn the_clock_counts_sweeps_that_ended_whatever_their_verdict() {
    let (mut env, source) = filled(1);
    let mut swept = |mode, scope, reached_end, seconds| {
        let begin = RunStart { mode, at: later(seconds), ..start("pull", scope, None) };
        let mut run = env.archive.begin_run(source, &begin).unwrap();
        let newest_change = Some(later(-seconds));
        let page = PageMetadata { newest_change, ..PageMetadata::default() };
        env.commit_page(&mut run, Vec::new(), &Checkpoint::None, &page).unwrap();
        let end = RunEnd { verdict: Verdict::Short, reached_end, error: None, at: later(seconds + 5) };
        env.archive.end_run(&run, &end).unwrap();
        env.archive.sweep_history(source, Stream::Conversations, SCOPE).unwrap()
    };
    let of = |full, any, newest: i64| SweepHistory {
        full_began_at: Some(later(full)),
        any_began_at: Some(later(any)),
        newest_change: Some(later(-newest)),
        ..SweepHistory::default()
    };
    assert_eq!(swept(SyncMode::Full, SCOPE, false, 10), SweepHistory::default());
    assert_eq!(swept(SyncMode::Full, SCOPE, true, 20), of(20, 20, 20));
    assert_eq!(swept(SyncMode::Recent, SCOPE, true, 30), of(20, 30, 20));
    assert_eq!(swept(SyncMode::Changes, SCOPE, true, 40), of(20, 40, 20));
    assert_eq!(swept(SyncMode::Full, SCOPE, false, 50), of(20, 40, 20));
    assert_eq!(swept(SyncMode::Full, "since", true, 60), of(20, 40, 20));
    assert_eq!(swept(SyncMode::Full, SCOPE, true, 5), of(5, 5, 5));
}

/// A tester's agent: pulls that followed each other within ten minutes never confirmed a change of days ago, so that it was
/// fetched, and billed, by each of them.
#[test]
fn a_change_that_was_old_when_the_sweep_began_is_confirmed_at_once() {
    let (mut env, source) = filled(1);
    let mut unconfirmed = |seconds, newest_change, vendor_time| {
        let begin = RunStart { at: later(seconds), ..start("pull", SCOPE, None) };
        let mut run = env.archive.begin_run(source, &begin).unwrap();
        let page = PageMetadata {
            newest_change: Some(later(newest_change)),
            vendor_time: Option::map(vendor_time, later),
            ..PageMetadata::default()
        };
        env.commit_page(&mut run, Vec::new(), &Checkpoint::None, &page).unwrap();
        let end =
            RunEnd { verdict: Verdict::Complete, reached_end: true, error: None, at: later(seconds + 5) };
        env.archive.end_run(&run, &end).unwrap();
        env.archive.sweep_history(source, Stream::Conversations, SCOPE).unwrap().unconfirmed_change()
    };
    let day = 86_400;
    // Nobody knows the vendor's time; then it is not long after the change; then it is, by its clock and by ours.
    assert_eq!(unconfirmed(0, -day, None), Some(later(-day)));
    assert_eq!(unconfirmed(300, -day, Some(-day + 300)), Some(later(-day)));
    assert_eq!(unconfirmed(600, -day, Some(600)), None);
    // A later change is confirmed by a sweep that begins ten minutes after another one, or after itself.
    assert_eq!(unconfirmed(900, 800, Some(900)), Some(later(800)));
    assert_eq!(unconfirmed(1_200, 800, Some(1_200)), Some(later(800)));
    assert_eq!(unconfirmed(1_400, 800, Some(1_400)), None);
    // By our clock, this change is in the future.
    assert_eq!(unconfirmed(1_500, 2_000, Some(9_000)), Some(later(2_000)));
}

#[test]
fn a_resumed_sweep_began_when_its_first_run_did() {
    let (mut env, source) = filled(1);
    let mut run = env.run();
    env.try_commit(&mut run, vec![unchanged("0")], &at(1)).unwrap();
    let resume = env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap();
    assert_eq!(resume.as_ref().unwrap().mode, SyncMode::Full);
    let again = RunStart { at: later(90), ..start("pull", SCOPE, resume.as_ref()) };
    let mut run = env.archive.begin_run(source, &again).unwrap();
    env.try_commit(&mut run, Vec::new(), &Checkpoint::End).unwrap();
    let end = RunEnd { verdict: Verdict::Complete, reached_end: true, error: None, at: later(95) };
    env.archive.end_run(&run, &end).unwrap();
    let history = env.archive.sweep_history(source, Stream::Conversations, SCOPE).unwrap();
    assert_eq!(history.full_began_at, Some(noon()));
}

#[test]
fn held_records_are_returned_in_the_order_of_the_request() {
    let (env, source) = filled(3);
    let ids = ["2", "no", "0"].map(RecordId::new);
    let held = Some(HeldSummary { title: Some("text".to_owned()), ..HeldSummary::default() });
    assert_eq!(
        env.archive.held_summaries(source, Stream::Conversations, &ids).unwrap(),
        [held.clone(), None, held]
    );
    let nobody = TestEnvironment::new();
    assert_eq!(
        nobody.archive.held_summaries(source, Stream::Conversations, &ids).unwrap(),
        [None, None, None]
    );
}
