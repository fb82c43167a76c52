//! Archived bytes mapped again.

use chatark_archive::{Archive, Run};
use chatark_core::{
    Conversation, ErrorKind, Issue, IssueKind, Mapper, Message, Part, Result, Role, Stream, Surface,
};

use crate::support::{FnMapper, Lines, SCOPE, TestEnvironment, all, mapped, start, written, written_from};

/// Maps every conversation again, two at a time.
fn rebuild(archive: &mut Archive, mapper: &dyn Mapper) -> Run {
    let source = archive.register_source(&crate::support::origin("shop")).unwrap();
    let mut run = archive.begin_run(source, &start("rebuild", "rebuild", None)).unwrap();
    let mut after = 0;
    loop {
        let (stored, last) = archive.stored_documents(source, Stream::Conversations, after, 2).unwrap();
        if stored.is_empty() {
            return run;
        }
        let rebuilt: Vec<_> = stored.into_iter().map(|stored| stored.rebuild(mapper).unwrap()).collect();
        archive.replace_rebuilt(&mut run, &rebuilt).unwrap();
        after = last;
    }
}

fn env() -> TestEnvironment {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let batch = vec![
        written("a", "one\nx\ny"),
        written("b", "two"),
        written("c", "! three"),
        written("d", "four\nz"),
        written("e", "five"),
    ];
    env.commit(&mut run, batch);
    env
}

#[test]
fn rows_that_come_out_the_same_are_not_written_again() {
    let mut env = env();
    let before = all(&env.archive);
    let refusals = ["UPDATE ON conversation", "INSERT ON message", "DELETE ON message", "INSERT ON raw"];
    for (at, what) in refusals.iter().enumerate() {
        let trigger = format!("CREATE TRIGGER t{at} BEFORE {what} BEGIN SELECT RAISE(ABORT, 'written'); END");
        env.connect().execute_batch(&trigger).unwrap();
    }
    let run = rebuild(&mut env.archive, &Lines);
    let counts = &run.counts;
    assert_eq!([counts.received, counts.seen, counts.unchanged, counts.changed], [5, 5, 5, 0]);
    assert_eq!(counts.unreadable, 1);
    assert_eq!(counts.bytes, 7 + 3 + 7 + 6 + 4);
    assert_eq!(all(&env.archive), before);
}

#[test]
fn a_new_mapping_replaces_the_rows_and_is_counted() {
    fn other(raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
        let text = std::str::from_utf8(raw).unwrap();
        let (mut conversation, mut issues) = mapped(text.trim_start_matches('!').as_bytes())?;
        if text != "two" {
            conversation.title = Some(format!("rebuilt: {}", conversation.title.unwrap().trim()));
            conversation
                .messages
                .push(Message { parts: vec![Part::text("last")], ..Message::empty(Role::User) });
            issues.push(Issue::new(IssueKind::UnknownField, "messages[1].odd"));
        }
        Ok((conversation, issues))
    }
    let mut env = env();
    let raws = "SELECT count(*) + sum(version) + sum(size) FROM raw";
    let before = env.count(raws);
    let run = rebuild(&mut env.archive, &FnMapper(other));
    assert_eq!((run.counts.changed, run.counts.unchanged, run.counts.unreadable), (4, 1, 0));
    assert_eq!(env.titles(), ["rebuilt: one", "two", "rebuilt: three", "rebuilt: four", "rebuilt: five"]);
    assert!(all(&env.archive)[2].conversation.extra.is_empty());
    assert_eq!(env.count("SELECT count(*) FROM conversation WHERE readable"), 5);
    let status = env.status();
    assert_eq!((status.conversations, status.messages), (5, 3 + 4));
    assert_eq!(status.messages, env.count("SELECT count(*) FROM message"));
    assert_eq!(env.count("SELECT count FROM issue WHERE place = 'messages[].odd'"), 4);
    assert_eq!(env.count(raws), before, "the bytes are not touched");
    assert_eq!(status.last_pull.unwrap().scope, SCOPE, "a rebuild is no pull");
    let again = rebuild(&mut env.archive, &FnMapper(other));
    assert_eq!((again.counts.changed, again.counts.unchanged), (0, 5));
}

#[test]
fn a_pull_after_a_rebuild_finds_the_same_bytes_unchanged() {
    fn renamed(raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
        let (conversation, issues) = mapped(raw)?;
        Ok((Conversation { title: Some("renamed".to_owned()), ..conversation }, issues))
    }
    let mut env = env();
    rebuild(&mut env.archive, &FnMapper(renamed));
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one\nx\ny")]);
    assert_eq!(run.counts.unchanged, 1);
    assert_eq!(env.titles()[0], "renamed");
}

#[test]
fn the_latest_form_of_a_conversation_is_what_is_rebuilt() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    for (surface, text) in [(Surface::Export, "exported\nx"), (Surface::User, "of the user\nx\ny")] {
        env.commit(&mut run, vec![written_from(surface, "a", text)]);
    }
    env.commit(&mut run, vec![written("a", "exported\nx")]);
    let rebuilt = rebuild(&mut env.archive, &Lines);
    assert_eq!((rebuilt.counts.unchanged, rebuilt.counts.changed), (1, 0));
    assert_eq!(env.titles(), ["of the user"]);
}

#[test]
fn conversations_of_other_sources_are_not_rebuilt() {
    let mut env = env();
    let other = env.source("other");
    assert!(env.archive.stored_documents(other, Stream::Conversations, 0, 10).unwrap().0.is_empty());
}

#[test]
fn a_rebuild_that_fails_replaces_nothing() {
    fn longer(raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
        let (mut conversation, issues) = mapped(raw)?;
        conversation.messages.push(Message::empty(Role::Tool));
        Ok((conversation, issues))
    }
    let mut env = env();
    let before = all(&env.archive);
    let sql = "CREATE TRIGGER refuses BEFORE INSERT ON message WHEN new.conversation_key = 2
               BEGIN SELECT RAISE(ABORT, 'no more'); END";
    env.connect().execute_batch(sql).unwrap();
    let source = env.source("shop");
    let mut run = env.archive.begin_run(source, &start("rebuild", "rebuild", None)).unwrap();
    let stored = env.archive.stored_documents(source, Stream::Conversations, 0, 10).unwrap().0;
    let rebuilt: Vec<_> =
        stored.into_iter().map(|stored| stored.rebuild(&FnMapper(longer)).unwrap()).collect();
    assert!(env.archive.replace_rebuilt(&mut run, &rebuilt).is_err());
    assert_eq!(all(&env.archive), before);
    assert_eq!((run.counts.changed, env.status().messages), (0, 3));
}

#[test]
fn damaged_bytes_are_reported_as_damage() {
    let mut env = env();
    env.connect().execute_batch("UPDATE raw SET zstd = x'00112233' WHERE raw_key = 1").unwrap();
    let source = env.source("shop");
    let stored = env.archive.stored_documents(source, Stream::Conversations, 0, 1).unwrap().0.remove(0);
    let error = stored.rebuild(&Lines).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.facts().contains(&("conversation", "a".to_owned())), "{error}");
}
