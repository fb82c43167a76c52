//! Documents with parts: parts in the same batch, and parts that a vendor lists separately.

use chatark_archive::{HashedDocument, Run, Subset, WriteOp};
use chatark_core::{Message, Stream, Surface};

use crate::support::{Lines, TestEnvironment, all, record, start, start_of};

/// A conversation with the messages that came with it, each an optional id and a text.
fn document_with(id: &str, text: &str, parts: &[(Option<&str>, &str)]) -> HashedDocument {
    document_on(Surface::Export, id, text, parts)
}

fn document_on(surface: Surface, id: &str, text: &str, parts: &[(Option<&str>, &str)]) -> HashedDocument {
    let part = |(part, text): &(Option<&str>, &str)| record(Stream::Messages, Some(id), *part, surface, text);
    let own = record(Stream::Conversations, None, Some(id), surface, text);
    HashedDocument::new(own, parts.iter().map(part).collect())
}

fn written(document: &HashedDocument) -> WriteOp {
    WriteOp::Document(Box::new(document.encode(&Lines).unwrap()))
}

/// A record of a conversation whose messages are listed separately.
fn own(id: &str, text: &str) -> WriteOp {
    let record = record(Stream::Conversations, None, Some(id), Surface::Export, text);
    WriteOp::SeparateRecord { record: record.encode().unwrap(), document: Stream::Conversations }
}

fn part(parent: &str, id: &str, text: &str) -> WriteOp {
    let record = record(Stream::Messages, Some(parent), Some(id), Surface::Export, text);
    WriteOp::SeparateRecord { record: record.encode().unwrap(), document: Stream::Conversations }
}

/// Returns the id and the text of each message of a conversation, joined.
fn messages(env: &TestEnvironment, id: &str) -> Vec<String> {
    let found = all(&env.archive).into_iter().find(|found| found.conversation.id.as_str() == id).unwrap();
    let described =
        |message: &Message| format!("{}={}", message.id.as_deref().unwrap_or_default(), message.text());
    found.conversation.messages.iter().map(described).collect()
}

/// Expects that the rows still match the bytes, and that all counts are right.
fn check(env: &TestEnvironment, run: &Run) {
    let (source, archive) = (run.source(), &env.archive);
    assert_eq!(archive.count_faults(source).unwrap(), [""; 0]);
    assert_eq!(archive.reference_faults().unwrap(), [""; 0]);
    let versions = archive.stored_versions(source, Subset::WHOLE, 0, 1_000).unwrap().0;
    for checked in versions.into_iter().map(|version| version.check(Some(&Lines))) {
        assert_eq!(checked.fault, None, "{checked:?}");
    }
}

/// Returns the counts `added`, `changed` and `unchanged` of a run.
fn write_counts(run: &Run) -> [u64; 3] {
    [run.counts.added, run.counts.changed, run.counts.unchanged]
}

const COUNT_VERSIONS: &str = "SELECT count(*) FROM raw";

#[test]
fn parts_keep_their_order_and_the_same_document_again_is_unchanged() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    // An order that is neither that of the ids nor that of the texts.
    let document =
        document_with("a", "one\nx", &[(Some("m2"), "hello"), (Some("m1"), "again"), (Some("m3"), "bye")]);
    assert_eq!(document.size(), 5 + 5 + 5 + 3);
    assert!(!env.holds(run.source(), &document));
    env.commit(&mut run, vec![written(&document)]);
    assert_eq!(messages(&env, "a"), ["=x", "m2=hello", "m1=again", "m3=bye"]);
    assert_eq!(write_counts(&run), [1, 0, 0]);
    // A document is one record of the vendor's response, with the bytes of its parts.
    assert_eq!((run.counts.received, run.counts.seen, run.counts.bytes), (1, 1, 18));
    assert_eq!((env.status().conversations, env.status().messages), (1, 4));
    assert_eq!(env.count(COUNT_VERSIONS), 4);
    check(&env, &run);

    assert!(env.holds(run.source(), &document));
    let change = "SELECT changes FROM archive";
    let before = env.count(change);
    let mut again = env.run();
    env.commit(&mut again, vec![written(&document), WriteOp::SameBytes(document.clone())]);
    assert_eq!(write_counts(&again), [0, 0, 2]);
    assert_eq!((env.count(COUNT_VERSIONS), env.count(change)), (4, before));
    assert_eq!(messages(&env, "a"), ["=x", "m2=hello", "m1=again", "m3=bye"]);
}

#[test]
fn a_removed_part_leaves_the_document_and_keeps_its_bytes() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let whole = document_with("a", "one", &[(Some("m1"), "hello"), (Some("m2"), "again")]);
    let less = document_with("a", "one", &[(Some("m2"), "again")]);
    env.commit(&mut run, vec![written(&whole)]);
    assert!(!env.holds(run.source(), &less));
    env.commit(&mut run, vec![written(&less)]);
    assert_eq!(write_counts(&run), [1, 1, 0]);
    assert_eq!(messages(&env, "a"), ["m2=again"]);
    assert_eq!(env.status().messages, 1);
    assert_eq!(env.count(COUNT_VERSIONS), 3);
    assert_eq!(env.count("SELECT count(*) FROM record WHERE id = 'm1' AND ordinal IS NULL"), 1);
    check(&env, &run);
    assert!(env.holds(run.source(), &less));
    assert!(!env.holds(run.source(), &whole));

    // It returns to its place, with its archived bytes.
    env.commit(&mut run, vec![written(&whole)]);
    assert_eq!(write_counts(&run), [1, 2, 0]);
    assert_eq!(messages(&env, "a"), ["m1=hello", "m2=again"]);
    assert_eq!(env.count(COUNT_VERSIONS), 3);
    check(&env, &run);
}

#[test]
fn a_changed_part_has_a_new_version_and_changes_its_document() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(
        &mut run,
        vec![written(&document_with("a", "one", &[(Some("m1"), "hello"), (Some("m2"), "again")]))],
    );
    let edited = document_with("a", "one", &[(Some("m1"), "hello, edited"), (Some("m2"), "again")]);
    assert!(!env.holds(run.source(), &edited));
    env.commit(&mut run, vec![written(&edited)]);
    assert_eq!(write_counts(&run), [1, 1, 0]);
    assert_eq!(messages(&env, "a"), ["m1=hello, edited", "m2=again"]);
    let versions = |of: &str| {
        env.count(&format!("SELECT max(version) FROM raw JOIN record USING (record_key) WHERE id = '{of}'"))
    };
    assert_eq!((versions("a"), versions("m1"), versions("m2")), (1, 2, 1));
    assert_eq!(env.count("SELECT raw_version FROM conversation"), 1);
    check(&env, &run);
}

#[test]
fn parts_in_another_order_change_the_document_without_new_bytes() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(
        &mut run,
        vec![written(&document_with("a", "one", &[(Some("m1"), "hello"), (Some("m2"), "again")]))],
    );
    let reordered = document_with("a", "one", &[(Some("m2"), "again"), (Some("m1"), "hello")]);
    assert!(!env.holds(run.source(), &reordered));
    env.commit(&mut run, vec![written(&reordered)]);
    assert_eq!(write_counts(&run), [1, 1, 0]);
    assert_eq!(messages(&env, "a"), ["m2=again", "m1=hello"]);
    assert_eq!(env.count(COUNT_VERSIONS), 3);
    check(&env, &run);
}

#[test]
fn parts_without_ids_are_distinguished_by_bytes_and_number() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let parts = [(None, "hello"), (None, "hello"), (Some("m1"), "again"), (None, "hello"), (None, "bye")];
    let document = document_with("a", "one", &parts);
    env.commit(&mut run, vec![written(&document)]);
    // The same words said three times are three messages, none of which has an id.
    let expect = ["=hello", "=hello", "m1=again", "=hello", "=bye"];
    assert_eq!(messages(&env, "a"), expect);
    assert_eq!(env.count("SELECT count(*) FROM record WHERE id LIKE 'unidentified-%'"), 4);
    check(&env, &run);
    assert!(env.holds(run.source(), &document_with("a", "one", &parts)));
    env.commit(&mut run, vec![written(&document_with("a", "one", &parts))]);
    assert_eq!(write_counts(&run), [1, 0, 1]);

    let stored = env.archive.stored_documents(run.source(), Stream::Conversations, 0, 10).unwrap().0;
    let rebuilt: Vec<_> = stored.into_iter().map(|stored| stored.rebuild(&Lines).unwrap()).collect();
    let mut second = env.archive.begin_run(run.source(), &start("rebuild", "rebuild", None)).unwrap();
    env.archive.replace_rebuilt(&mut second, &rebuilt).unwrap();
    assert_eq!((second.counts.unchanged, second.counts.changed), (1, 0));

    env.commit(&mut run, vec![written(&document_with("a", "one", &parts[1..]))]);
    assert_eq!(messages(&env, "a"), ["=hello", "m1=again", "=hello", "=bye"]);
    check(&env, &run);
}

#[test]
fn the_last_of_several_parts_with_the_same_id_is_kept() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let document =
        document_with("a", "one", &[(Some("m1"), "hello"), (Some("m2"), "again"), (Some("m1"), "bye")]);
    env.commit(&mut run, vec![written(&document)]);
    assert_eq!(messages(&env, "a"), ["m1=bye", "m2=again"]);
    check(&env, &run);
}

#[test]
fn documents_with_parts_of_the_same_ids_do_not_disturb_each_other() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let (first, second) = (
        document_with("a", "one", &[(Some("1"), "hello")]),
        document_with("b", "two", &[(Some("1"), "bye")]),
    );
    env.commit(&mut run, vec![written(&first), written(&second)]);
    assert_eq!((messages(&env, "a"), messages(&env, "b")), (vec!["1=hello".into()], vec!["1=bye".into()]));
    env.commit(&mut run, vec![written(&document_with("a", "one", &[]))]);
    assert_eq!((messages(&env, "a").len(), messages(&env, "b")), (0, vec!["1=bye".into()]));
    assert!(env.holds(run.source(), &second));
    check(&env, &run);
}

#[test]
fn a_failed_write_leaves_neither_the_document_nor_its_parts() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written(&document_with("a", "one", &[(Some("m1"), "hello")]))]);
    let refuses = "CREATE TRIGGER refuses BEFORE INSERT ON record WHEN new.id = 'm3'
                   BEGIN SELECT RAISE(ABORT, 'no more'); END";
    env.connect().execute_batch(refuses).unwrap();
    let longer = document_with("a", "two", &[(Some("m2"), "again"), (Some("m3"), "bye")]);
    let counts = run.counts.clone();
    let failed = env.try_commit(&mut run, vec![written(&longer)], &chatark_core::Checkpoint::None);
    assert!(failed.unwrap_err().message().contains("no more"));
    assert_eq!((messages(&env, "a"), &run.counts), (vec!["m1=hello".into()], &counts));
    assert_eq!((env.titles(), env.count(COUNT_VERSIONS)), (vec!["one".to_owned()], 2));
    check(&env, &run);
}

/// A damaged part is found where the part is checked, and rebuilding its document says so.
#[test]
fn a_damaged_part_is_found() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(
        &mut run,
        vec![written(&document_with("a", "one", &[(Some("m1"), "hello"), (Some("m2"), "bye")]))],
    );
    let damage = "UPDATE raw SET sha256 = zeroblob(32)
               WHERE record_key = (SELECT record_key FROM record WHERE id = 'm2')";
    assert_eq!(env.connect().execute(damage, []).unwrap(), 1);
    let versions = env.archive.stored_versions(run.source(), Subset::WHOLE, 0, 10).unwrap().0;
    let checked: Vec<_> = versions.into_iter().map(|version| version.check(Some(&Lines))).collect();
    let faults: Vec<_> = checked.iter().filter(|checked| checked.fault.is_some()).collect();
    assert_eq!(faults.len(), 1, "{checked:?}");
    assert_eq!((faults[0].stream, faults[0].id.as_str()), (Some(Stream::Messages), "m2"));
    let stored =
        env.archive.stored_documents(run.source(), Stream::Conversations, 0, 10).unwrap().0.remove(0);
    assert_eq!(stored.rebuild(&Lines).unwrap_err().kind(), chatark_core::ErrorKind::Damaged);
}

/// Commits the records of two conversations whose messages are listed separately, one batch each.
fn listed_separately(batches: Vec<Vec<WriteOp>>) -> (TestEnvironment, Run) {
    let mut env = TestEnvironment::new();
    let source = env.source("shop");
    let mut run = env.archive.begin_run(source, &start_of(Stream::Messages, "pull", "all", None)).unwrap();
    for batch in batches {
        env.commit(&mut run, batch);
        assert_eq!(env.archive.count_faults(source).unwrap(), [""; 0]);
    }
    check(&env, &run);
    (env, run)
}

#[test]
fn parts_before_or_after_their_document_give_the_same_document() {
    let (a, b) = (|| own("a", "one\nx"), || own("b", "two"));
    let m = |of: &'static str, id, text| move || part(of, id, text);
    let (a1, a2, b1) = (m("a", "1", "hello"), m("a", "2", "again"), m("b", "1", "bye"));
    let orders = [
        vec![vec![a(), a1(), a2(), b(), b1()]],
        vec![vec![a1(), a2(), b1(), a(), b()]],
        vec![vec![a1()], vec![a()], vec![a2(), b1()], vec![b()]],
        vec![vec![b(), a()], vec![b1()], vec![a1()], vec![a2()]],
        vec![vec![b1(), a1()], vec![a2()], vec![b()], vec![a(), a1()]],
    ];
    let mut expect = None;
    for (at, order) in orders.into_iter().enumerate() {
        let (env, _) = listed_separately(order);
        assert_eq!(messages(&env, "a"), ["=x", "1=hello", "2=again"], "{at}");
        assert_eq!(messages(&env, "b"), ["1=bye"], "{at}");
        assert_eq!((env.status().conversations, env.status().messages), (2, 4), "{at}");
        let found = all(&env.archive);
        assert_eq!(*expect.get_or_insert_with(|| found.clone()), found, "{at}");
    }
}

#[test]
fn parts_without_their_document_wait_for_it() {
    let (mut env, mut run) = listed_separately(vec![vec![part("a", "1", "hello"), part("a", "2", "again")]]);
    assert_eq!((all(&env.archive).len(), env.status().conversations), (0, 0));
    env.commit(&mut run, vec![own("a", "one")]);
    assert_eq!(messages(&env, "a"), ["1=hello", "2=again"]);
    check(&env, &run);
}

#[test]
fn a_part_with_other_bytes_updates_its_document() {
    let (mut env, mut run) = listed_separately(vec![vec![own("a", "one"), part("a", "1", "hello")]]);
    env.commit(&mut run, vec![part("a", "1", "hello"), own("a", "one")]);
    assert_eq!(env.count(COUNT_VERSIONS), 2);
    env.commit(&mut run, vec![part("a", "1", "hello, edited"), part("a", "2", "bye")]);
    assert_eq!(messages(&env, "a"), ["1=hello, edited", "2=bye"]);
    assert_eq!((env.count(COUNT_VERSIONS), env.status().messages), (4, 2));
    env.commit(&mut run, vec![own("a", "one changed")]);
    assert_eq!(
        (env.titles(), env.count("SELECT raw_version FROM conversation")),
        (vec!["one changed".into()], 2)
    );
    assert_eq!(messages(&env, "a"), ["1=hello, edited", "2=bye"]);
    check(&env, &run);
}

/// A damaged row of a document is repaired when it is mapped again, and counts once.
#[test]
fn an_unreadable_row_is_replaced_when_a_part_arrives() {
    let (mut env, mut run) = listed_separately(vec![vec![own("a", "one"), part("a", "1", "hello")]]);
    env.connect().execute("UPDATE conversation SET extra = 'no JSON'", []).unwrap();
    env.commit(&mut run, vec![part("a", "2", "bye")]);
    assert_eq!(messages(&env, "a"), ["1=hello", "2=bye"]);
    assert_eq!((env.status().conversations, env.status().messages), (1, 2));
    check(&env, &run);
}

#[test]
fn parts_of_different_documents_with_the_same_id_are_all_seen() {
    let batch = vec![part("a", "1", "hello"), part("b", "1", "hello"), part("a", "1", "hello")];
    let (_, run) = listed_separately(vec![batch]);
    assert_eq!((run.counts.received, run.counts.seen, run.counts.repeated), (3, 2, 1));
    assert_eq!(write_counts(&run), [2, 0, 1]);
}
