//! Vendors that list messages separately: with each conversation, or in a stream of their own.

use chatark_archive::{SyncMode, Verdict};
use chatark_core::{ChangeDetection, Descriptor, Record, Stream, StreamDescriptor};

use crate::support::{PLAIN, Step, TestEnvironment, Vendor, conversation, message, source, stream};
use Stream::{Conversations, Messages};

/// The messages of each conversation are fetched with a separate call, and come in its batch.
static BY_CONVERSATION: Descriptor =
    Descriptor { streams: &[stream(Conversations, ChangeDetection::LookBack, true)], ..PLAIN };

/// The messages of all conversations come in one list.
static IN_ONE_LIST: Descriptor = Descriptor {
    streams: &[
        stream(Conversations, ChangeDetection::LookBack, true),
        StreamDescriptor {
            stream: Messages,
            parent: Some(Conversations),
            reports_total: true,
            changes: ChangeDetection::Unsupported,
        },
    ],
    ..PLAIN
};

fn gives(stream: Stream, records: impl Into<Vec<Record>>, total: u64) -> Step {
    Step::Gives(stream, records.into(), Some(total))
}

#[tokio::test]
async fn messages_in_the_same_batch_complete_their_conversation() {
    let env = TestEnvironment::new();
    let steps = || {
        [
            gives(
                Conversations,
                [conversation("a", "One"), message("a", "1", "Hello"), message("a", "2", "Yes?")],
                3,
            ),
            // The id of a message is unique only within its conversation, and a conversation may have none.
            gives(
                Conversations,
                [conversation("b", "Two"), message("b", "1", "Hi"), conversation("c", "Three")],
                3,
            ),
        ]
    };
    let (outcome, vendor) = env.pull_from(Vendor::new(&BY_CONVERSATION, steps())).await;
    assert_eq!((outcome.verdict, outcome.other_streams.len()), (Verdict::Complete, 0));
    let progress = &outcome.progress;
    assert_eq!((progress.seen, progress.received, progress.added), (3, 3, 3), "conversations are counted");
    assert_eq!(env.transcripts(), ["a One: 1=Hello 2=Yes?", "b Two: 1=Hi", "c Three:"]);
    assert!(vendor.requests(Messages).is_empty(), "no list of them is requested");
    let status = env.archive().status().unwrap().remove(0);
    assert_eq!((status.conversations, status.messages), (3, 3));
    let (source, _) = source(Vendor::new(&BY_CONVERSATION, steps()));
    env.check_sound(&source, 6);

    let again = env.pull_from(Vendor::new(&BY_CONVERSATION, steps())).await.0.progress;
    assert_eq!((again.added, again.changed, again.unchanged), (0, 0, 3));
    env.check_sound(&source, 6);
}

#[tokio::test]
async fn a_message_that_is_new_edited_or_gone_changes_its_conversation() {
    let env = TestEnvironment::new();
    let of = |messages: &[Record]| {
        let records = [&[conversation("a", "One")], messages].concat();
        Vendor::new(
            &BY_CONVERSATION,
            [gives(Conversations, records, 2), gives(Conversations, [conversation("b", "Two")], 2)],
        )
    };
    let [one, two, edited, three] =
        [("1", "Hello"), ("2", "Yes?"), ("2", "Yes!"), ("3", "Bye")].map(|(id, text)| message("a", id, text));
    for (messages, expected, versions) in [
        (vec![one.clone(), two.clone()], "a One: 1=Hello 2=Yes?", 4),
        (vec![one.clone(), edited.clone(), three.clone()], "a One: 1=Hello 2=Yes! 3=Bye", 6),
        (vec![one.clone(), three.clone()], "a One: 1=Hello 3=Bye", 6),
        (vec![three.clone(), one.clone()], "a One: 3=Bye 1=Hello", 6),
        // A removed message returns unchanged, and nothing is written twice.
        (vec![one.clone(), edited, three], "a One: 1=Hello 2=Yes! 3=Bye", 6),
        (Vec::new(), "a One:", 6),
        (vec![one, two], "a One: 1=Hello 2=Yes?", 7),
    ] {
        env.wait(1);
        let (outcome, _) = env.pull_from(of(&messages)).await;
        assert_eq!((outcome.verdict, outcome.progress.seen), (Verdict::Complete, 2));
        if versions > 4 {
            assert_eq!((outcome.progress.changed, outcome.progress.unchanged), (1, 1), "{expected}");
        }
        assert_eq!(env.transcripts(), [expected, "b Two:"]);
        env.check_sound(&source(of(&messages)).0, versions);
    }
}

#[tokio::test]
async fn separately_listed_messages_complete_earlier_conversations() {
    let env = TestEnvironment::new();
    let first = || {
        [
            gives(Conversations, [conversation("a", "One")], 2),
            gives(Conversations, [conversation("b", "Two")], 2),
            gives(Messages, [message("a", "1", "Hello"), message("b", "1", "Hi")], 4),
            gives(Messages, [message("a", "2", "Yes?"), message("late", "1", "Early")], 4),
        ]
    };
    let (outcome, vendor) = env.pull_from(Vendor::new(&IN_ONE_LIST, first())).await;
    assert_eq!((outcome.verdict, outcome.is_good()), (Verdict::Complete, true));
    assert_eq!((outcome.progress.seen, outcome.progress.added), (2, 2), "conversations alone");
    let messages = &outcome.other_streams[0];
    assert_eq!(
        (messages.stream, messages.verdict, messages.mode),
        (Messages, Verdict::Complete, SyncMode::Full)
    );
    let progress = &messages.progress;
    assert_eq!((progress.seen, progress.added, progress.repeated), (4, 4, 0), "an id alone is no message");
    assert!(outcome.contacts().is_none());
    assert_eq!(vendor.requests(Messages).len(), 1);
    assert_eq!(env.transcripts(), ["a One: 1=Hello 2=Yes?", "b Two: 1=Hi"]);
    let status = env.archive().status().unwrap().remove(0);
    assert_eq!((status.conversations, status.messages), (2, 3), "a message waits for its conversation");
    let (source, _) = source(Vendor::new(&IN_ONE_LIST, first()));
    env.check_sound(&source, 6);

    let (again, _) = env.pull_from(Vendor::new(&IN_ONE_LIST, first())).await;
    assert_eq!((again.progress.changed, again.progress.unchanged), (0, 2));
    assert_eq!((again.other_streams[0].progress.changed, again.other_streams[0].progress.unchanged), (0, 4));
    env.check_sound(&source, 6);

    let second = [
        gives(Conversations, [conversation("b", "New"), conversation("late", "Three")], 3),
        gives(Conversations, [conversation("a", "One")], 3),
        gives(Messages, [message("a", "1", "Hello!"), message("a", "2", "Yes?")], 5),
        gives(
            Messages,
            [message("b", "1", "Hi"), message("b", "2", "So?"), message("late", "1", "Early")],
            5,
        ),
    ];
    let (outcome, _) = env.pull_from(Vendor::new(&IN_ONE_LIST, second)).await;
    assert_eq!((outcome.progress.added, outcome.progress.changed, outcome.progress.unchanged), (1, 1, 1));
    let progress = &outcome.other_streams[0].progress;
    assert_eq!((progress.added, progress.changed, progress.unchanged), (1, 1, 3));
    assert_eq!(env.transcripts(), ["a One: 1=Hello! 2=Yes?", "b New: 1=Hi 2=So?", "late Three: 1=Early"]);
    env.check_sound(&source, 10);
}

#[tokio::test]
async fn a_short_list_of_messages_resumes_where_it_stopped() {
    let env = TestEnvironment::new();
    let conversations = || gives(Conversations, [conversation("a", "One")], 1);
    let short = [conversations(), gives(Messages, [message("a", "1", "Hello")], 2)];
    let (outcome, _) = env.pull_from(Vendor::new(&IN_ONE_LIST, short)).await;
    assert_eq!((outcome.verdict, outcome.other_streams[0].verdict), (Verdict::Short, Verdict::Short));
    assert_eq!(env.stream_status(Conversations).last_pull.unwrap().verdict.as_deref(), Some("complete"));
    let status = env.stream_status(Messages);
    assert_eq!((status.records, status.last_pull.unwrap().verdict.as_deref()), (1, Some("short")));

    let cut = Step::Fails(Messages, chatark_core::ErrorKind::Network, "cut");
    let halves =
        [message("a", "1", "Hello"), message("a", "2", "Yes?")].map(|message| gives(Messages, [message], 2));
    let [one, two] = halves.clone();
    let (outcome, _) =
        env.pull_from(Vendor::new(&IN_ONE_LIST, [conversations(), one, cut.clone(), cut])).await;
    assert_eq!((outcome.verdict, outcome.resumable), (Verdict::Partial, true));
    assert_eq!(env.archive().status().unwrap()[0].unfinished, ["messages *..* * all"]);
    let [one, _] = halves;
    let (outcome, vendor) = env.pull_from(Vendor::new(&IN_ONE_LIST, [conversations(), one, two])).await;
    assert_eq!((outcome.verdict, outcome.other_streams[0].progress.seen), (Verdict::Complete, 2));
    assert!(vendor.requests(Messages)[0].resume_from.is_some());
    assert_eq!(outcome.other_streams[0].progress.received, 1, "the first message is not requested again");
    assert_eq!(env.transcripts(), ["a One: 1=Hello 2=Yes?"]);
}

#[tokio::test]
async fn a_damaged_message_is_named_with_its_conversation() {
    let env = TestEnvironment::new();
    let steps = [gives(Conversations, [conversation("a", "One"), message("a", "1", "Hello")], 1)];
    let (source, _) = source(Vendor::new(&BY_CONVERSATION, steps));
    env.pull(&source, crate::support::never_stopped()).await;
    let connection = rusqlite::Connection::open(&env.path).unwrap();
    let damage = "UPDATE raw SET sha256 = zeroblob(32)
                  WHERE record_key = (SELECT record_key FROM record WHERE stream = 'messages')";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    let found = env.verify(&source);
    assert_eq!((found.damaged, found.outdated, found.conversations), (1, 0, 1));
    assert_eq!(found.findings[0].conversation.as_deref(), Some("a"));
    assert_eq!(found.findings[0].what, "the archived bytes of a message are not those that the vendor sent");
}
