//! Reading returns what was written, in order, and nothing that is written in the meantime.

use chatark_archive::{Archive, Filter};
use chatark_core::{
    ArchivedConversation, Author, AuthorKind, Card, Channel, ChoiceOption, Contact, Conversation,
    ConversationId, ConversationStats, Error, ErrorKind, Feedback, FormField, Message, Part, Rating, Role,
    SourceName, StatsSummary, Status, Timestamp, Window,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

use crate::support::{TestEnvironment, all, archived, filtered, noon, origin, start, written, written_as};

/// Ordinary and malicious text of vendors and customers.
fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "",
        "\0",
        "a\0b",
        "\r\n\t",
        "'; DROP TABLE message; --",
        "\"\\\u{8}\u{c}",
        "e\u{301} ﬁ ẞ",
        "👩🏽‍👩‍👧",
        "\u{202e}אב\u{feff}",
        "\u{fffd}\u{10ffff}\u{d7ff}",
    ]);
    prop_oneof![
        odd.prop_map(str::to_owned),
        ".{0,20}",
        vec(any::<char>(), 0..8).prop_map(|letters| letters.into_iter().collect()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(text(), inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("JSON has no such number", |number| number.is_finite()), 0.0..1.0]
}

/// A value other than `null`, which mappers treat as missing.
fn given() -> impl Strategy<Value = Option<Value>> {
    option::of(value().prop_filter("null is none", |value| !value.is_null()))
}

fn extra() -> impl Strategy<Value = Map<String, Value>> {
    prop_oneof![Just(Map::new()), btree_map(text(), value(), 0..4).prop_map(|map| map.into_iter().collect()),]
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let instant = |microseconds| Timestamp::from_microseconds(microseconds).unwrap();
    // Few enough that some are equal, so that the order by id is seen.
    let few = select(vec![946_684_800_000_000, 1_733_054_400_000_001, 4_102_444_799_999_999]);
    option::of(prop_oneof![few, 946_684_800_000_000..4_102_444_800_000_000_i64].prop_map(instant))
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

fn options() -> impl Strategy<Value = Vec<ChoiceOption>> {
    let one = (maybe(), maybe(), maybe()).prop_map(|(label, value, url)| ChoiceOption { label, value, url });
    vec(one, 0..3)
}

fn part() -> impl Strategy<Value = Part> {
    let field = (maybe(), maybe(), maybe(), given()).prop_map(|(id, label, kind, value)| FormField {
        id,
        label,
        kind,
        value,
    });
    let result = (maybe(), maybe(), maybe(), given(), given())
        .prop_map(|(id, name, status, data, error)| Part::ToolResult { id, name, status, data, error });
    let card = (maybe(), maybe(), maybe(), options())
        .prop_map(|(title, text, image_url, options)| Part::Card(Card { title, text, image_url, options }));
    prop_oneof![
        3 => text().prop_map(Part::text),
        1 => (maybe(), maybe(), given()).prop_map(|(id, name, input)| Part::ToolCall { id, name, input }),
        1 => result,
        1 => options().prop_map(|options| Part::Choice { options }),
        1 => maybe().prop_map(|url| Part::Image { url }),
        1 => (maybe(), maybe()).prop_map(|(url, name)| Part::File { url, name }),
        1 => (maybe(), maybe()).prop_map(|(url, transcript)| Part::Audio { url, transcript }),
        1 => card,
        1 => (maybe(), vec(field, 0..3), option::of(any::<bool>()))
            .prop_map(|(title, fields, submitted)| Part::Form { title, fields, submitted }),
        1 => (text(), value()).prop_map(|(kind, data)| Part::Other { kind, data }),
    ]
}

fn author() -> impl Strategy<Value = Author> {
    (option::of(select(AuthorKind::ALL)), maybe(), maybe()).prop_map(|(kind, id, name)| Author {
        kind,
        id,
        name,
    })
}

fn message() -> impl Strategy<Value = Message> {
    let role = (select(Role::ALL), maybe());
    let feedback = (option::of(select(Feedback::ALL)), option::of(number()));
    let author = (author(), any::<bool>());
    (maybe(), role, time(), vec(part(), 0..4), feedback, extra(), author).prop_map(
        |(id, (role, role_raw), created_at, parts, (feedback, score), extra, (author, internal))| Message {
            id,
            role,
            role_raw,
            created_at,
            parts,
            feedback,
            score,
            extra,
            author,
            internal,
        },
    )
}

fn contact() -> impl Strategy<Value = Contact> {
    (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe()).prop_map(
        |(id, name, email, phone, company, address, website)| Contact {
            id,
            name,
            email,
            phone,
            company,
            address,
            website,
        },
    )
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let vendor_words =
        (maybe(), option::of(select(Channel::ALL)), maybe(), option::of(select(Status::ALL)), maybe());
    let rating = option::of((number(), number()).prop_map(|(value, scale)| Rating { value, scale }));
    let people = (contact(), vec(text(), 0..3), maybe(), option::of(select(Feedback::ALL)), rating);
    let rest = (time(), time(), vec(message(), 0..4), extra(), vec(text(), 0..3));
    (text(), vendor_words, people, rest).prop_map(|(id, vendor_words, people, rest)| {
        let (title, channel, channel_raw, status, status_raw) = vendor_words;
        let (contact, tags, notes, feedback, rating) = people;
        let (created_at, updated_at, messages, extra, derived) = rest;
        Conversation {
            id: ConversationId::new(id),
            title,
            channel,
            channel_raw,
            status,
            status_raw,
            created_at,
            updated_at,
            contact,
            tags,
            notes,
            feedback,
            messages,
            extra,
            derived,
            rating,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_conversations_are_read_back_equal_and_in_order(mut conversations in vec(conversation(), 1..5)) {
        conversations.sort_by(|one, other| one.id.cmp(&other.id));
        conversations.dedup_by(|one, other| one.id == other.id);
        let mut env = TestEnvironment::new();
        let mut run = env.run();
        env.commit(&mut run, conversations.iter().rev().map(written_as).collect());
        conversations.sort_by_key(|conversation| (conversation.created_at.is_none(), conversation.created_at));
        let found: Vec<_> = all(&env.archive).into_iter().map(|found| found.conversation).collect();
        prop_assert_eq!(found, conversations);
    }
}

fn dated(id: &str, seconds: Option<i64>) -> Conversation {
    let created_at = seconds.map(|seconds| noon().shifted(seconds).unwrap());
    Conversation { created_at, ..Conversation::empty(ConversationId::new(id)) }
}

fn ids(archive: &Archive, filter: &Filter) -> Vec<String> {
    let name = |found: ArchivedConversation| format!("{}/{}", found.origin.source, found.conversation.id);
    filtered(archive, filter).into_iter().map(name).collect()
}

/// Two sources, registered in reverse order, with dated and undated conversations of two channels.
fn two_sources() -> TestEnvironment {
    let mut env = TestEnvironment::new();
    for name in ["shop", "Help"] {
        let source = env.source(name);
        let mut run = env.archive.begin_run(source, &start("pull", "all", None)).unwrap();
        let batch = [
            ("z", Some(0)),
            ("é", Some(0)),
            ("B", Some(10)),
            ("a", Some(10)),
            ("y", None),
            ("10", None),
            ("9", None),
        ];
        let batch = batch.map(|(id, seconds)| {
            let channel = if id == "a" || id == "9" { Channel::Email } else { Channel::Api };
            written_as(&Conversation { channel: Some(channel), ..dated(id, seconds) })
        });
        env.commit(&mut run, batch.into());
    }
    env
}

#[test]
fn conversations_are_sorted_by_source_start_and_id_with_undated_ones_last() {
    let expect = ["z", "é", "B", "a", "10", "9", "y"];
    let expect: Vec<_> =
        ["Help", "shop"].iter().flat_map(|name| expect.map(|id| format!("{name}/{id}"))).collect();
    assert_eq!(ids(&two_sources().archive, &Filter::default()), expect);
}

#[test]
fn a_filter_leaves_out_what_does_not_match() {
    let env = two_sources();
    let check = |filter: Filter, expect: &[&str]| {
        let filter = Filter { sources: vec![SourceName::new("shop").unwrap()], ..filter };
        let expect: Vec<_> = expect.iter().map(|id| format!("shop/{id}")).collect();
        assert_eq!(ids(&env.archive, &filter), expect, "{filter:?}");
    };
    let window = |since: Option<i64>, until: Option<i64>| {
        let bound = |seconds: i64| noon().shifted(seconds).unwrap();
        Filter { window: Window { since: since.map(bound), until: until.map(bound) }, ..Filter::default() }
    };
    let all = ["z", "é", "B", "a", "10", "9", "y"];
    check(Filter::default(), &all);
    check(window(Some(0), Some(11)), &all[..4]);
    check(window(Some(1), None), &["B", "a"]);
    check(window(None, Some(10)), &["z", "é"]);
    check(window(Some(10), Some(10)), &[]);
    check(Filter { channel: Some(Channel::Email), ..Filter::default() }, &["a", "9"]);
    check(Filter { channel: Some(Channel::Email), ..window(Some(11), None) }, &[]);
    let with_undated = |filter: Filter| Filter { undated: true, ..filter };
    check(with_undated(window(Some(1), None)), &["B", "a", "10", "9", "y"]);
    check(with_undated(window(None, Some(10))), &["z", "é", "10", "9", "y"]);
    check(with_undated(Filter { channel: Some(Channel::Email), ..window(Some(11), None) }), &["9"]);
    check(with_undated(Filter::default()), &all);
    check(Filter { channel: Some(Channel::Slack), ..Filter::default() }, &[]);
    let nobody = Filter { sources: vec![SourceName::new("nobody").unwrap()], ..Filter::default() };
    assert_eq!(ids(&env.archive, &nobody), [""; 0]);
}

#[test]
fn undated_conversations_that_a_window_leaves_out_are_counted() {
    let archive = two_sources().archive;
    let counted = |filter: &Filter| {
        let mut stats = 0;
        archive
            .each_stats(filter, |_| {
                stats += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(stats, ids(&archive, filter).len(), "statistics and documents agree");
        let mut by_itself = 0;
        archive
            .each_conversation_in_short_transactions(filter, |_| {
                by_itself += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(by_itself, stats);
        archive.count_undated_left_out(filter).unwrap()
    };
    let window = Window { since: noon().shifted(5), until: None };
    assert_eq!(counted(&Filter::default()), 0);
    let both = Filter { window, ..Filter::default() };
    assert_eq!(counted(&both), 6);
    let shop = Filter { sources: vec![SourceName::new("shop").unwrap()], ..both.clone() };
    assert_eq!(counted(&shop), 3);
    assert_eq!(counted(&Filter { channel: Some(Channel::Email), ..shop }), 1);
    assert_eq!(counted(&Filter { undated: true, ..both }), 0);
}

#[test]
fn a_conversation_is_read_back_with_its_origin() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let conversation = dated("c", Some(1));
    env.commit(&mut run, vec![written_as(&conversation)]);
    assert_eq!(all(&env.archive), [archived("shop", conversation)]);
    assert_eq!(all(&env.archive)[0].origin.agent_id, origin("shop").agent_id);
}

#[test]
fn a_reader_sees_one_state_while_a_writer_commits() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("b", "old\none"), written("c", "old\none")]);
    let reader = Archive::open_to_read(&env.path).unwrap();
    let mut found = Vec::new();
    let take = |archived: &ArchivedConversation| {
        if found.is_empty() {
            let later = ["a", "c", "d"].map(|id| written(id, "new\none\ntwo")).into();
            env.commit(&mut run, later);
        }
        let conversation = &archived.conversation;
        let title = conversation.title.clone().unwrap();
        found.push((conversation.id.as_str().to_owned(), title, conversation.messages.len()));
        Ok(())
    };
    reader.each_conversation(&Filter::default(), take).unwrap();
    assert_eq!(found, [("b".to_owned(), "old".to_owned(), 1), ("c".to_owned(), "old".to_owned(), 1)]);
    assert_eq!(all(&reader).len(), 4);
    assert_eq!(reader.status().unwrap()[0].messages, 7);
}

#[test]
fn a_reader_that_fails_in_the_middle_can_read_again() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one"), written("b", "two")]);
    let full = || Error::new(ErrorKind::Storage, "write a file", "the disk is full");
    let error = env.archive.each_conversation(&Filter::default(), |_| Err(full())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!(env.titles(), ["one", "two"]);
    env.commit(&mut run, vec![written("c", "three")]);
    assert_eq!(env.titles(), ["one", "two", "three"]);
}

#[test]
fn conversations_are_read_with_their_stored_statistics() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one\nx\ny"), written("b", "two")]);
    let read = |env: &TestEnvironment| {
        let mut found = Vec::new();
        let take = |archived: ArchivedConversation, stats: StatsSummary| {
            let computed = ConversationStats::of(&archived.conversation);
            found.push((stats, StatsSummary::from(&computed)));
            Ok(())
        };
        env.archive.each_conversation_with_stats(&Filter::default(), take).unwrap();
        found
    };
    let found = read(&env);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(stored, computed)| stored == computed), "{found:?}");
    env.connect().execute("UPDATE conversation_stats SET user_messages = 7", []).unwrap();
    assert!(read(&env).iter().all(|(stored, _)| stored.user_messages == 7), "they are not computed again");
    env.connect().execute("DELETE FROM conversation_stats", []).unwrap();
    assert_eq!(read(&env), found, "a damaged archive is exported all the same");
}
