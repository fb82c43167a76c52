//! Batches, versions, surfaces, checkpoints and counts.

use chatark_archive::{RunCounts, RunEnd, Verdict, WriteOp};
use chatark_core::{Checkpoint, ErrorKind, PageMetadata, Stream, Surface};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::support::{
    Lines, SCOPE, TestEnvironment, all, at, cursor, noon, origin, raw, start, written, written_from,
};

/// Returns the counts `added`, `changed` and `unchanged`.
fn write_counts(counts: &RunCounts) -> [u64; 3] {
    [counts.added, counts.changed, counts.unchanged]
}

#[test]
fn the_same_batch_again_changes_nothing_but_the_counts() {
    let mut env = TestEnvironment::new();
    let batch = || vec![written("a", "one\nx\ny"), written("b", "two")];
    let mut first = env.run();
    env.commit(&mut first, batch());
    let before = (all(&env.archive), env.count("SELECT count(*) FROM raw"));
    let versions = env.count("SELECT sum(raw_version) FROM conversation");
    env.commit(&mut first, batch());
    assert_eq!(write_counts(&first.counts), [2, 0, 2]);
    assert_eq!([first.counts.received, first.counts.seen, first.counts.repeated], [4, 2, 2]);
    let mut second = env.run();
    env.commit(&mut second, batch());
    assert_eq!(write_counts(&second.counts), [0, 0, 2]);
    assert_eq!([second.counts.received, second.counts.seen, second.counts.repeated], [2, 2, 0]);
    assert_eq!((all(&env.archive), env.count("SELECT count(*) FROM raw")), before);
    assert_eq!(env.count("SELECT sum(raw_version) FROM conversation"), versions);
    assert_eq!([env.status().conversations, env.status().messages], [2, 2]);
}

#[test]
fn a_changed_conversation_keeps_both_versions_of_its_bytes() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one\nx\ny")]);
    env.commit(&mut run, vec![written("a", "two\nz")]);
    assert_eq!(write_counts(&run.counts), [1, 1, 0]);
    assert_eq!(env.titles(), ["two"]);
    assert_eq!(env.bytes_of_rows(run.source()), [b"two\nz"]);
    let connection = env.connect();
    let mut statement =
        connection.prepare("SELECT version, sha256, size, zstd FROM raw ORDER BY version").unwrap();
    let versions: Vec<(i64, Vec<u8>, u32, Vec<u8>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    for ((version, sha256, size, packed), (number, text)) in
        versions.iter().zip([(1, "one\nx\ny"), (2, "two\nz")])
    {
        assert_eq!(zstd::bulk::decompress(packed, *size as usize).unwrap(), text.as_bytes());
        assert_eq!((*version, sha256.as_slice()), (number, Sha256::digest(text).as_slice()));
    }
    assert_eq!(versions.len(), 2);
    // Undoing a change is also a change.
    env.commit(&mut run, vec![written("a", "one\nx\ny")]);
    assert_eq!(write_counts(&run.counts), [1, 2, 0]);
    assert_eq!(env.titles(), ["one"]);
    assert_eq!(env.count("SELECT count(*) FROM raw"), 3);
}

#[test]
fn surfaces_do_not_disturb_each_other() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let export = || written_from(Surface::Export, "a", "exported\nx");
    let user = || written_from(Surface::User, "a", "of the user\nx\ny");
    env.commit(&mut run, vec![export()]);
    env.commit(&mut run, vec![user()]);
    let unchanged = run.counts.unchanged;
    env.commit(&mut run, vec![export()]);
    env.commit(&mut run, vec![user()]);
    assert_eq!(run.counts.unchanged, unchanged + 2);
    assert_eq!(env.count("SELECT count(*) FROM raw"), 2);
    assert_eq!(env.titles(), ["of the user"]);
    assert_eq!(env.bytes_of_rows(run.source()), [b"of the user\nx\ny"]);
    assert_eq!(env.status().messages, 2);
    for (surface, text) in [(Surface::Export, "exported\nx"), (Surface::User, "of the user\nx\ny")] {
        let held = |surface| env.holds(run.source(), &raw(Some("a"), surface, text));
        assert!(held(surface));
    }
    let crossed = raw(Some("a"), Surface::User, "exported\nx");
    assert!(!env.holds(run.source(), &crossed));
    env.commit(&mut run, vec![written_from(Surface::Export, "a", "exported again\nx")]);
    assert_eq!(env.titles(), ["exported again"]);
    env.commit(&mut run, vec![user()]);
    assert_eq!(env.titles(), ["exported again"], "earlier bytes are not a change");
}

#[test]
fn a_restarted_sweep_does_not_count_what_earlier_runs_saw() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let source = run.source();
    let page = |restarted| PageMetadata { total: Some(3), restarted, ..PageMetadata::default() };
    let batch = vec![written("a", "one"), written("b", "two")];
    env.commit_page(&mut run, batch, &at(1), &page(false)).unwrap();
    let resume = env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap();
    let mut again = env.archive.begin_run(source, &start("pull", SCOPE, resume.as_ref())).unwrap();
    let batch = vec![written("a", "one")];
    env.commit_page(&mut again, batch, &Checkpoint::End, &page(true)).unwrap();
    // One of three was seen: two of an earlier run and this one are not three.
    assert_eq!((again.counts.seen, Verdict::of(&again.counts)), (1, Verdict::Short));
}

#[test]
fn an_export_of_the_same_state_does_not_hide_data_of_the_user_surface() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written_from(Surface::User, "a", "of the user\nx\ny")]);
    env.commit(&mut run, vec![written_from(Surface::Export, "a", "exported\nx")]);
    assert_eq!(env.titles(), ["of the user"]);
    assert_eq!(write_counts(&run.counts), [1, 0, 1]);
    assert_eq!(env.count("SELECT count(*) FROM raw"), 2);
    assert_eq!(env.status().messages, 2);
}

#[test]
fn what_is_held_or_outside_is_counted_and_not_written() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one")]);
    let held = raw(Some("a"), Surface::Export, "one");
    assert!(env.holds(run.source(), &held));
    assert!(!env.holds(run.source(), &raw(Some("a"), Surface::Export, "two")));
    assert!(!env.holds(run.source(), &raw(Some("b"), Surface::Export, "one")));
    let outside = raw(Some("b"), Surface::Export, "outside");
    env.commit(&mut run, vec![WriteOp::SameBytes(held), WriteOp::Outside(outside)]);
    let expect = RunCounts {
        seen: 2,
        received: 3,
        repeated: 1,
        outside: 1,
        added: 1,
        unchanged: 1,
        bytes: 3 + 3 + 7,
        ..RunCounts::default()
    };
    assert_eq!(run.counts, expect);
    assert_eq!(env.titles(), ["one"]);
}

#[test]
fn a_checkpoint_is_saved_with_its_batch_and_dropped_at_the_end() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let source = run.source();
    assert_eq!(env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap(), None);
    let page =
        |total| PageMetadata { total: Some(total), pages: 1, quota_used: Some(2), ..PageMetadata::default() };
    let batch = vec![written("a", "one"), written("b", "two")];
    env.commit_page(&mut run, batch, &at(1), &page(7)).unwrap();
    env.commit(&mut run, vec![written("c", "three")]);
    let resume = env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap().unwrap();
    assert_eq!((&resume.resume_token, resume.saved_at), (&cursor(1), Some(noon())));
    assert_eq!(env.archive.resume_point(source, Stream::Conversations, "another scope").unwrap(), None);
    assert_eq!(env.status().unfinished, [SCOPE]);

    let mut resumed = env.archive.begin_run(source, &start("pull", SCOPE, Some(&resume))).unwrap();
    // The third one was seen too, though after the checkpoint: it comes again and counts once.
    assert_eq!((resumed.counts.seen, resumed.counts.total_first), (3, Some(7)));
    assert_eq!((resumed.counts.received, resumed.counts.added), (0, 0));
    env.commit_page(&mut resumed, vec![written("c", "three")], &at(2), &page(9)).unwrap();
    let again = env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap().unwrap();
    assert_eq!(again.resume_token, cursor(2));
    env.commit_page(&mut resumed, vec![written("d", "four")], &Checkpoint::End, &page(9)).unwrap();
    assert_eq!(env.archive.resume_point(source, Stream::Conversations, SCOPE).unwrap(), None);
    assert_eq!(env.status().unfinished, [""; 0]);

    let end = RunEnd { verdict: Verdict::of(&resumed.counts), reached_end: true, error: None, at: noon() };
    env.archive.end_run(&resumed, &end).unwrap();
    let last = env.status().last_pull.unwrap();
    assert!(last.resumed);
    assert_eq!((last.seen, last.received, last.added, last.unchanged), (4, 2, 1, 1));
    assert_eq!((last.total_first, last.total_last), (Some(7), Some(9)));
    assert_eq!((last.pages, last.quota_used, last.quota_left), (2, Some(4), None));
    assert_eq!((last.verdict.as_deref(), last.ended_at), (Some("short"), Some(noon())));
}

#[test]
fn checkpoints_of_other_scopes_and_sources_are_left_alone() {
    let mut env = TestEnvironment::new();
    let (shop, help) = (env.source("shop"), env.source("help"));
    for (source, scope, place) in [(shop, "all", 1), (shop, "since", 2), (help, "all", 3)] {
        let mut run = env.archive.begin_run(source, &start("pull", scope, None)).unwrap();
        env.try_commit(&mut run, Vec::new(), &at(place)).unwrap();
    }
    let mut run = env.archive.begin_run(shop, &start("pull", "all", None)).unwrap();
    env.try_commit(&mut run, Vec::new(), &Checkpoint::End).unwrap();
    assert_eq!(env.archive.unfinished_scopes(shop, Stream::Conversations).unwrap(), ["since"]);
    assert_eq!(env.archive.unfinished_scopes(help, Stream::Conversations).unwrap(), ["all"]);
    env.archive.delete_checkpoint(shop, Stream::Conversations, "since").unwrap();
    assert_eq!(env.archive.unfinished_scopes(shop, Stream::Conversations).unwrap(), [""; 0]);
    assert_eq!(
        env.archive.resume_point(help, Stream::Conversations, "all").unwrap().unwrap().resume_token,
        cursor(3)
    );
}

#[test]
fn a_checkpoint_of_another_version_is_not_resumed() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.try_commit(&mut run, Vec::new(), &at(1)).unwrap();
    env.connect().execute("UPDATE checkpoint SET cursor = '{\"page\":1}'", []).unwrap();
    assert_eq!(env.archive.resume_point(run.source(), Stream::Conversations, SCOPE).unwrap(), None);
}

#[test]
fn a_batch_that_fails_leaves_neither_conversations_nor_checkpoint() {
    for table in ["checkpoint", "raw", "message", "issue"] {
        let mut env = TestEnvironment::new();
        let mut run = env.run();
        env.try_commit(&mut run, vec![written("a", "one\nx")], &at(1)).unwrap();
        let before = (
            all(&env.archive),
            env.archive.resume_point(run.source(), Stream::Conversations, SCOPE).unwrap(),
        );
        let counts = run.counts.clone();
        let trigger = format!(
            "CREATE TRIGGER refuses BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no more'); END"
        );
        env.connect().execute_batch(&trigger).unwrap();
        let batch = || vec![written("b", "two\ny\nz"), written("a", "three"), written("c", "! nothing")];
        let error = env.try_commit(&mut run, batch(), &at(2)).unwrap_err();
        assert!(error.message().contains("no more"), "{table}: {error}");
        assert_eq!(
            (
                all(&env.archive),
                env.archive.resume_point(run.source(), Stream::Conversations, SCOPE).unwrap()
            ),
            before,
            "{table}"
        );
        assert_eq!(run.counts, counts, "{table}");
        assert_eq!([env.status().conversations, env.status().messages], [1, 1], "{table}");
        assert_eq!(env.status().last_pull.unwrap().received, 1, "{table}");

        env.connect().execute_batch("DROP TRIGGER refuses").unwrap();
        env.try_commit(&mut run, batch(), &at(2)).unwrap();
        assert_eq!(write_counts(&run.counts), [3, 1, 0], "{table}");
        assert_eq!((run.counts.seen, run.counts.repeated), (3, 1), "{table}");
        assert_eq!(
            env.archive
                .resume_point(run.source(), Stream::Conversations, SCOPE)
                .unwrap()
                .unwrap()
                .resume_token,
            cursor(2),
            "{table}"
        );
    }
}

#[test]
fn bytes_that_cannot_be_read_are_archived_with_their_id_and_the_reason() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "! \u{0}{"), written("b", "two")]);
    assert_eq!((run.counts.unreadable, run.counts.issues), (1, 1));
    let found = all(&env.archive);
    assert_eq!(found[0].conversation.id.as_str(), "a");
    assert_eq!(found[0].conversation.extra["unreadable"], "the record is no object");
    assert_eq!(env.bytes_of_rows(run.source())[0], b"! \0{");
    assert_eq!(env.count("SELECT count(*) FROM conversation WHERE readable = 0"), 1);
    assert_eq!(
        env.count("SELECT count FROM issue WHERE kind = 'unreadable' AND sample_conversation = 'a'"),
        1
    );
}

#[test]
fn a_record_without_an_id_is_named_after_its_hash() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let unidentified =
        |text: &str| WriteOp::Document(Box::new(raw(None, Surface::Export, text).encode(&Lines).unwrap()));
    env.commit(&mut run, vec![unidentified("one"), unidentified("two"), unidentified("one")]);
    // The first eight bytes of the SHA-256 of "one" and of "two".
    let expect = ["unidentified-3fc4ccfe745870e2", "unidentified-7692c3ad3540bb80"];
    let mut found: Vec<_> = all(&env.archive).iter().map(|found| found.conversation.id.to_string()).collect();
    found.sort();
    assert_eq!(found, expect);
    assert_eq!(write_counts(&run.counts), [2, 0, 1]);
    // The third one is already held: its issues have been counted.
    assert_eq!(env.count("SELECT count FROM issue WHERE kind = 'missing' AND place = 'id'"), 2);
}

#[test]
fn a_source_name_belongs_to_one_agent() {
    let mut env = TestEnvironment::new();
    let key = env.source("shop");
    assert_eq!(env.source("shop"), key);
    let mut other = origin("shop");
    other.agent_id = "another".to_owned();
    let error = env.archive.register_source(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("agent of shop of vendor-v1"), "{error}");
    assert_eq!(env.count("SELECT count(*) FROM source"), 1);
}

#[test]
fn a_verdict_compares_what_was_seen_with_the_vendors_count() {
    for (first, last, seen, expect) in [
        (None, None, 0, Verdict::Unprovable),
        (None, None, 9, Verdict::Unprovable),
        (Some(9), None, 9, Verdict::Unprovable),
        (Some(0), Some(0), 0, Verdict::Complete),
        (Some(5), Some(5), 5, Verdict::Complete),
        (Some(5), Some(5), 6, Verdict::Complete),
        (Some(5), Some(7), 7, Verdict::Complete),
        (Some(7), Some(5), 5, Verdict::Complete),
        (None, Some(5), 5, Verdict::Complete),
        (Some(5), Some(7), 6, Verdict::GrewDuringRun),
        (Some(5), Some(7), 5, Verdict::GrewDuringRun),
        (Some(5), Some(7), 4, Verdict::Short),
        (Some(7), Some(5), 4, Verdict::Short),
        (None, Some(5), 4, Verdict::Short),
    ] {
        let counts = RunCounts { total_first: first, total_last: last, seen, ..RunCounts::default() };
        assert_eq!(Verdict::of(&counts), expect, "{counts:?}");
    }
}

/// One conversation of a batch: its id, text and surface, and the operation.
type Sent = (u8, u8, bool, u8);

fn committed((id, text, from_user, what): Sent) -> WriteOp {
    let surface = if from_user { Surface::User } else { Surface::Export };
    let id = format!("conversation {id}");
    let text =
        if text == 0 { "! unreadable".to_owned() } else { format!("title{}", "\nline".repeat(text.into())) };
    match what {
        0 => WriteOp::Outside(raw(Some(&id), surface, &text)),
        _ => written_from(surface, &id, &text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_counts_are_those_of_the_rows_whatever_was_committed(
        runs in vec(vec(vec((0..5_u8, 0..4_u8, any::<bool>(), 0..4_u8), 0..6), 0..4), 1..4),
    ) {
        let mut env = TestEnvironment::new();
        for batches in runs {
            let mut run = env.run();
            for batch in batches {
                env.commit(&mut run, batch.into_iter().map(committed).collect());
                let status = env.status();
                prop_assert_eq!(status.conversations, env.count("SELECT count(*) FROM conversation"));
                prop_assert_eq!(status.messages, env.count("SELECT count(*) FROM message"));
                prop_assert_eq!(status.messages, env.count("SELECT coalesce(sum(message_count), 0) FROM conversation"));
                let counts = &run.counts;
                prop_assert_eq!(counts.received, counts.seen + counts.repeated);
                prop_assert_eq!(counts.received, counts.outside + write_counts(counts).iter().sum::<u64>());
                let last = status.last_pull.unwrap();
                prop_assert_eq!((last.received, last.seen, last.bytes), (counts.received, counts.seen, counts.bytes));
                prop_assert_eq!([last.added, last.changed, last.unchanged], write_counts(counts));
            }
            let written = write_counts(&run.counts)[..2].iter().sum::<u64>();
            let sql = format!("SELECT count(*) FROM raw WHERE run_key = {}", env.count("SELECT max(run_key) FROM run"));
            // The first version from another surface is kept, and is not a change.
            let kept = env.count(&sql);
            prop_assert!((written..=written + run.counts.unchanged).contains(&kept));
        }
    }
}
