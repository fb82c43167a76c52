//! Maps the vendor's JSON to the shared model, through the mapper.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::needless_pass_by_value, reason = "the cases are JSON literals")]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use chatark_convocore_v3::mapper;
use chatark_core::{
    Author, AuthorKind, Channel, Conversation, Feedback, Issue, IssueKind, Mapper, Message, Part, Rating,
    Record, Result, Role, Settings, Status, Stream, Surface,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn mapper_of(zone: &str) -> Arc<dyn Mapper> {
    let mut settings = Settings::default();
    settings.set("agent_id", "agent 1");
    settings.set("timezone", zone);
    mapper(&settings)
}

fn map(mapper: &dyn Mapper, raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
    let bytes = Bytes::copy_from_slice(raw);
    let record = Record::with_top_level_id(Stream::Conversations, Surface::Export, bytes);
    let (document, issues) = mapper.map(&[record])?;
    Ok((document.into_conversation().unwrap(), issues))
}

#[track_caller]
fn read_in(zone: &str, record: &Value) -> (Conversation, Vec<String>) {
    let (conversation, issues) = map(&*mapper_of(zone), &serde_json::to_vec(record).unwrap()).unwrap();
    let write = |issue: &Issue| format!("{} {}", issue.kind.as_str(), issue.path);
    (conversation, issues.iter().map(write).collect())
}

#[track_caller]
fn read(record: &Value) -> (Conversation, Vec<String>) {
    read_in("UTC", record)
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn times(conversation: &Conversation) -> Vec<String> {
    let write = |message: &Message| message.created_at.map_or_else(String::new, |at| at.to_string());
    conversation.messages.iter().map(write).collect()
}

fn roles(conversation: &Conversation) -> Vec<&str> {
    conversation.messages.iter().map(|message| message.role.as_str()).collect()
}

fn texts(conversation: &Conversation) -> Vec<String> {
    conversation.messages.iter().map(Message::text).collect()
}

/// Checks the conversation that three of the samples share.
fn check_premium(premium: &Conversation) {
    assert_eq!(premium.id.as_str(), "DL2kG9YWdZpGGOn");
    assert_eq!(premium.created_at.unwrap().to_string(), "2024-12-01T10:30:00Z");
    assert_eq!(premium.updated_at.unwrap().to_string(), "2024-12-01T10:30:02Z");
    assert_eq!(premium.derived, ["updated_at"]);
    assert_eq!((premium.channel, premium.channel_raw.as_deref()), (Some(Channel::Website), Some("web-chat")));
    assert_eq!((premium.status, premium.title.as_deref()), (None, None));
    assert_eq!(premium.feedback, Some(Feedback::Positive));
    assert_eq!(premium.notes.as_deref(), Some("Customer interested in premium plan"));
    assert_eq!(premium.tags, ["new-lead", "high-priority"]);
    let contact = &premium.contact;
    assert_eq!((contact.id.as_deref(), contact.name.as_deref()), (None, Some("John Doe")));
    assert_eq!(contact.email.as_deref(), Some("john@example.com"));
    assert_eq!(
        (contact.phone.as_deref(), contact.company.as_deref()),
        (Some("+1234567890"), Some("Acme Corp"))
    );
    assert!(premium.extra.is_empty());
    check_premium_messages(premium);
}

fn check_premium_messages(premium: &Conversation) {
    assert_eq!(roles(premium), ["user", "tool", "assistant", "assistant"]);
    let at = |second: u32| format!("2024-12-01T10:30:0{second}Z");
    assert_eq!(times(premium), [at(0), at(1), at(2), at(2)]);
    assert_eq!(texts(premium), ["Hello!", "", "Hi! How can I **help** you today?", ""]);
    let [hello, trace, answer, choice] = premium.messages.as_slice() else { panic!("not four messages") };
    assert_eq!((hello.feedback, answer.feedback), (None, Some(Feedback::Positive)));
    assert_eq!(trace.role_raw.as_deref(), Some("bot"));
    let Part::ToolResult { name, data, .. } = &trace.parts[0] else { panic!("no tool result") };
    assert_eq!(name.as_deref(), Some("recommend_products"));
    let shown = r#"[{"title":"Premium plan","price":99},{"title":"Basic pl"#;
    assert_eq!(data, &Some(json!(shown)));
    let Part::Choice { options } = &choice.parts[0] else { panic!("no choice") };
    assert_eq!(options[0].label.as_deref(), Some("Pricing"));
    assert_eq!(options[0].value.as_deref(), Some("Tell me about pricing"));
    assert_eq!(options[1].url.as_deref(), Some("https://example.com/docs"));
    assert!(premium.messages.iter().all(|message| message.extra.is_empty() && message.id.is_none()));
}

#[test]
fn maps_the_sample_of_the_unpaged_export() {
    let sample = fixture(include_str!("fixtures/convocore-export-g1-unpaginated.json"));
    let data = &sample["response"]["body"]["data"];
    let (premium, issues) = read(&data[0]);
    assert_eq!(issues, [""; 0]);
    check_premium(&premium);

    let (picture, issues) = read(&data[1]);
    assert_eq!(issues, [""; 0]);
    assert_eq!((picture.id.as_str(), picture.channel), ("27986828194334741", Some(Channel::Messenger)));
    assert_eq!((picture.feedback, picture.contact.name.as_deref()), (None, Some("Jane")));
    assert_eq!(times(&picture), ["2024-11-29T23:59:00Z", "2024-11-30T00:00:05Z"]);
    assert_eq!(picture.created_at.unwrap().to_string(), "2024-11-29T23:59:00Z");
    assert_eq!(
        picture.messages[0].parts,
        [Part::Image { url: Some("https://cdn.example.com/a.png".into()) }]
    );
    let Part::Card(card) = &picture.messages[1].parts[0] else { panic!("no card") };
    assert_eq!(
        (card.title.as_deref(), card.text.as_deref()),
        (Some("**Pro plan**"), Some("Unlimited agents."))
    );
    assert_eq!(card.image_url.as_deref(), Some("https://cdn.example.com/pro.png"));
    assert_eq!(card.options[0].url.as_deref(), Some("https://example.com/billing"));
}

#[test]
fn maps_the_samples_of_the_paged_export() {
    let sample = fixture(include_str!("fixtures/convocore-export-g2-page1.json"));
    let (greeting, issues) = read(&sample["response"]["body"]["data"][0]);
    assert_eq!(issues, [""; 0]);
    assert_eq!((greeting.id.as_str(), greeting.channel), ("6909719720", Some(Channel::Telegram)));
    assert_eq!((greeting.feedback, greeting.tags.len()), (Some(Feedback::Negative), 0));
    assert_eq!(times(&greeting), ["2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z"]);
    assert_eq!(texts(&greeting), ["مرحبا 👋", "أهلاً!"]);
    assert_eq!(greeting.messages[1].feedback, Some(Feedback::Negative));

    let sample = fixture(include_str!("fixtures/convocore-export-g2-page2-empty-then-last.json"));
    let (premium, issues) = read(&sample["pages"][1]["body"]["data"][0]);
    assert_eq!(issues, [""; 0]);
    check_premium(&premium);
}

#[test]
fn puts_past_sessions_before_the_turns_of_the_sample() {
    let sample = fixture(include_str!("fixtures/convocore-export-single.json"));
    let (single, issues) = read(&sample["response"]["body"]["data"]);
    assert_eq!(issues, [""; 0]);
    assert_eq!((single.id.as_str(), single.channel_raw.as_deref()), ("convo123", Some("web")));
    assert_eq!(single.contact.address.as_deref(), Some("123 Main St"));
    assert_eq!(single.contact.website.as_deref(), Some("https://acme.example"));
    assert_eq!(roles(&single), ["user", "user", "tool", "assistant", "assistant"]);
    assert_eq!(single.messages[0].text(), "earlier session");
    assert_eq!(times(&single)[0], "2024-11-19T07:06:40Z");
    assert_eq!(single.created_at.unwrap().to_string(), "2024-11-19T07:06:40Z");
    assert_eq!(single.updated_at.unwrap().to_string(), "2024-12-01T10:30:02Z");
    assert_eq!(single.derived, ["created_at", "updated_at"]);
}

#[test]
fn maps_the_flat_metadata_of_the_v2_edge() {
    let sample = fixture(include_str!("fixtures/convocore-export-v2-legacy.json"));
    let (legacy, issues) = read(&sample["response"]["body"]["data"][0]);
    assert_eq!(issues, [""; 0]);
    assert_eq!((legacy.id.as_str(), legacy.contact.id.as_deref()), ("test_id_1", Some("test_id_1")));
    assert_eq!((legacy.channel, legacy.status), (Some(Channel::WhatsApp), Some(Status::Ongoing)));
    assert_eq!(legacy.status_raw.as_deref(), Some("ai-chatting"));
    assert_eq!(legacy.created_at.unwrap().to_string(), "2024-04-18T00:26:40Z");
    assert_eq!(legacy.updated_at.unwrap().to_string(), "2024-04-18T00:27:22Z");
    assert!(legacy.derived.is_empty());
    let minute = |second: u32| format!("2024-04-18T00:26:{second}Z");
    assert_eq!(times(&legacy), [minute(40), minute(42), minute(43)]);
    assert_eq!(roles(&legacy), ["system", "assistant", "assistant"]);
    let launch = &legacy.messages[0];
    assert_eq!(launch.role_raw.as_deref(), Some("human"));
    assert_eq!(launch.parts, [Part::Other { kind: "launch".to_owned(), data: json!({}) }]);
    assert_eq!(legacy.messages[1].feedback, Some(Feedback::Positive));
    assert_eq!(
        Value::Object(legacy.extra),
        json!({
            "userBrowser": "Chrome", "messagesNum": 3, "interactionsNum": 1, "firstMessageTS": 1_713_400_000,
            "convoTimeSeconds": 42, "userPlatform": "mobile", "lastModified": 1_713_400_042, "sessionsNum": 1,
        })
    );
}

#[test]
fn maps_a_light_document_without_turns() {
    let sample = fixture(include_str!("fixtures/convocore-get-light.json"));
    let (light, issues) = read(&json!({"metadata": sample["response"]["body"]["data"]}));
    assert_eq!(issues, ["missing turns"]);
    assert_eq!((light.id.as_str(), light.status), ("real-convo-1", Some(Status::Ongoing)));
    assert_eq!((light.tags.as_slice(), light.messages.len()), (["support".to_owned()].as_slice(), 0));
    assert_eq!(light.extra["summary"], "The user asked what the agent can do...");
    assert_eq!(light.extra["lastModified"], 1_785_692_957_753_i64);
    assert_eq!(light.extra["tokenUsage"]["cumulativeOutputTokens"], 664);
    assert_eq!(light.updated_at.unwrap().to_string(), "2026-08-02T17:16:40Z");

    let listed = fixture(include_str!("fixtures/convocore-list-cursor.json"));
    let (row, issues) = read(&json!({"metadata": listed["response"]["body"]["data"][2], "turns": []}));
    assert_eq!((row.id.as_str(), issues.len()), ("agent123_9VVlA0aDnOZDFMMSuYPJ", 0));
    assert_eq!(row.contact.email.as_deref(), Some("lead@example.com"));
}

/// Returns a record with one turn.
fn one_turn(convo: Value, turn: Value) -> Value {
    json!({"metadata": {"convo": convo}, "turns": [turn]})
}

#[track_caller]
fn check_role(convo: Value, from: &str, message: Value, expect: (Role, Option<&str>, Option<bool>)) {
    let (found, _) = read(&one_turn(convo, json!({"from": from, "messages": [message]})));
    let message = &found.messages[0];
    let generated = message.extra.get("aiGenerated").and_then(Value::as_bool);
    assert_eq!((message.role, message.role_raw.as_deref(), generated), expect);
}

#[test]
fn the_role_follows_from_the_speaker_and_the_type() {
    let text = || json!({"type": "text", "payload": {"message": "m"}});
    let plain = || json!({"id": "c"});
    check_role(plain(), "human", text(), (Role::User, None, None));
    check_role(plain(), "user", text(), (Role::User, None, None));
    check_role(plain(), "bot", text(), (Role::Assistant, None, None));
    check_role(plain(), "system", text(), (Role::System, None, None));
    check_role(plain(), "operator", text(), (Role::Other, Some("operator"), None));
    let own = json!({"type": "text", "from": "human", "payload": "m"});
    check_role(plain(), "bot", own, (Role::User, None, None));
    for kind in ["debug", "debug:tell", "debug:error", "debug:new"] {
        check_role(plain(), "bot", json!({"type": kind}), (Role::Tool, Some("bot"), None));
    }
    for kind in ["launch", "end", "no-reply", "GetBrowserData", "SetRuntime", "SetConvoData", "stealth"] {
        check_role(plain(), "human", json!({"type": kind}), (Role::System, Some("human"), None));
    }
    for kind in ["VGVF_Channel", "VFVG_Channel", "VG_Response"] {
        check_role(plain(), "bot", json!({"type": kind}), (Role::System, Some("bot"), None));
    }
}

#[test]
fn a_message_not_generated_after_a_hand_over_is_from_a_human_agent() {
    let human = (Role::HumanAgent, Some("bot"), Some(false));
    let bot = (Role::Assistant, None, Some(false));
    let written = || json!({"type": "text", "payload": {"message": "m", "aiGenerated": false}});
    check_role(json!({"id": "c", "state": "human-chatting"}), "bot", written(), human);
    check_role(json!({"id": "c", "chatAssignedTo": "u1"}), "bot", written(), human);
    check_role(json!({"id": "c", "delegatedBy": "u1"}), "bot", written(), human);
    let stored = json!({"type": "text", "isAIGenerated": false, "item": {"payload": {"message": "m"}}});
    check_role(json!({"id": "c", "state": "human-chatting"}), "bot", stored, human);
    check_role(json!({"id": "c", "chatAssignedTo": "", "delegatedBy": null}), "bot", written(), bot);
    check_role(json!({"id": "c", "state": "requested_chat"}), "bot", written(), bot);
    check_role(json!({"id": "c"}), "bot", written(), bot);
    let taken_over = json!({"id": "c", "state": "human-chatting"});
    check_role(taken_over.clone(), "user", written(), (Role::User, None, None));
    let generated = json!({"type": "text", "payload": {"message": "m", "aiGenerated": true}});
    check_role(taken_over.clone(), "bot", generated, (Role::Assistant, None, None));
    let silent = json!({"type": "text", "payload": {"message": "m"}});
    check_role(taken_over, "bot", silent, (Role::Assistant, None, None));
}

#[track_caller]
fn check_state(word: &str, status: Status) {
    let (found, issues) =
        read(&one_turn(json!({"id": "c", "state": word}), json!({"from": "bot", "messages": []})));
    assert_eq!((found.status, found.status_raw.as_deref()), (Some(status), Some(word)));
    assert_eq!(issues.is_empty(), status != Status::Other);
}

#[test]
fn states_become_statuses() {
    check_state("ai-chatting", Status::Ongoing);
    check_state("open", Status::Ongoing);
    check_state("ended_chat", Status::Ended);
    check_state("completed", Status::Ended);
    check_state("human-chatting", Status::TakenOver);
    check_state("requested_chat", Status::TakenOver);
    check_state("frozen", Status::Other);
}

#[track_caller]
fn check_feedback(sent: Value, feedback: Option<Feedback>, issue: Option<&str>) {
    let record = json!({
        "metadata": {"feedback": sent, "convo": {"id": "c"}},
        "turns": [{"from": "bot", "messages": [
            {"type": "text", "payload": {"message": "m", "feedback": sent}},
            {"type": "text", "feedback": sent, "item": {"payload": {"message": "m"}}},
        ]}],
    });
    let (found, issues) = read(&record);
    let ratings: Vec<_> = found.messages.iter().map(|message| message.feedback).collect();
    assert_eq!((found.feedback, ratings), (feedback, vec![feedback, feedback]));
    let Some(issue) = issue else {
        assert_eq!((issues.len(), found.extra.len(), found.messages[0].extra.len()), (0, 0, 0));
        return;
    };
    let message = "turns[0].messages";
    let places =
        ["metadata.feedback", &format!("{message}[0].payload.feedback"), &format!("{message}[1].feedback")];
    assert_eq!(issues, places.map(|place| format!("{issue} {place}")));
    assert_eq!(found.extra["metadata.feedback"], sent);
    assert_eq!(found.messages[0].extra["payload.feedback"], sent);
    assert_eq!(found.messages[1].extra["feedback"], sent);
}

#[test]
fn feedback_is_a_word_or_a_boolean() {
    check_feedback(json!("Positive"), Some(Feedback::Positive), None);
    check_feedback(json!("negative"), Some(Feedback::Negative), None);
    check_feedback(json!(true), Some(Feedback::Positive), None);
    check_feedback(json!(false), Some(Feedback::Negative), None);
    check_feedback(json!("Unset"), None, None);
    check_feedback(json!("unset"), None, None);
    check_feedback(Value::Null, None, None);
    check_feedback(json!("Great"), None, Some("unknown-value"));
    check_feedback(json!(5), None, Some("wrong-type"));
    let (found, issues) =
        read(&one_turn(json!({"id": "c", "feedback": true}), json!({"from": "bot", "messages": []})));
    assert_eq!((found.feedback, issues.len()), (Some(Feedback::Positive), 0));
}

#[track_caller]
fn check_rating(sent: Value, expect: Option<f64>, issue: Option<&str>) {
    let convo = json!({"id": "c", "ratingFrom5": sent});
    let (found, issues) = read(&one_turn(convo, json!({"from": "bot", "messages": []})));
    assert_eq!(found.rating, expect.map(|value| Rating { value, scale: 5.0 }));
    let expect: Vec<_> = issue.map(|kind| format!("{kind} metadata.convo.ratingFrom5")).into_iter().collect();
    assert_eq!(issues, expect);
    let is_kept = found.rating.is_none() && !sent.is_null();
    assert_eq!(found.extra.get("ratingFrom5"), is_kept.then_some(&sent));
}

#[test]
fn a_rating_has_up_to_five_stars() {
    check_rating(json!(1), Some(1.0), None);
    check_rating(json!(4.5), Some(4.5), None);
    check_rating(json!(5), Some(5.0), None);
    check_rating(Value::Null, None, None);
    check_rating(json!(0), None, None);
    check_rating(json!(6), None, Some("unknown-value"));
    check_rating(json!(-1), None, Some("unknown-value"));
    check_rating(json!("5"), None, Some("wrong-type"));
}

/// The person that a conversation is assigned to did not write its messages, and is not their author.
#[test]
fn the_kind_of_author_follows_from_the_role_and_no_name_is_invented() {
    let convo = json!({"id": "c", "state": "human-chatting", "chatAssignedTo": "u1", "userName": "Jane"});
    let message =
        |generated: bool| json!({"type": "text", "payload": {"message": "m", "aiGenerated": generated}});
    let record = json!({"metadata": {"convo": convo}, "turns": [
        {"from": "user", "messages": [{"type": "text", "payload": {"message": "m"}}]},
        {"from": "bot", "messages": [message(true), message(false), {"type": "debug:tell", "payload": "m"}]},
        {"from": "system", "messages": [{"type": "text", "payload": {"message": "m"}}]},
        {"from": "operator", "messages": [{"type": "text", "payload": {"message": "m"}}]},
    ]});
    let (found, _) = read(&record);
    let kinds: Vec<_> = found.messages.iter().map(Message::author_kind).collect();
    let expect = [
        Some(AuthorKind::Customer),
        Some(AuthorKind::Bot),
        Some(AuthorKind::Agent),
        Some(AuthorKind::Tool),
        Some(AuthorKind::System),
        None,
    ];
    assert_eq!(kinds, expect);
    assert!(found.messages.iter().all(|message| message.author == Author::default() && !message.internal));
    assert_eq!(found.extra["chatAssignedTo"], "u1");
}

#[track_caller]
fn check_time(zone: &str, ts: Value, expect: &str, issue: Option<&str>) {
    let message = json!({"type": "text", "ts": ts, "payload": {"message": "m"}});
    let (found, issues) =
        read_in(zone, &one_turn(json!({"id": "c"}), json!({"from": "user", "messages": [message]})));
    assert_eq!(times(&found), [expect]);
    let expect: Vec<_> = issue.map(|kind| format!("{kind} turns[0].messages[0].ts")).into_iter().collect();
    assert_eq!(issues, expect);
}

#[test]
fn reads_times_in_every_encoding() {
    let noon = "2024-12-01T12:00:00Z";
    for ts in [
        json!("December 1st 2024, 12:00:00 pm"),
        json!(1_733_054_400),
        json!(1_733_054_400_000_i64),
        json!("1733054400"),
        json!("2024-12-01T12:00:00Z"),
        json!("2024-12-01T13:00:00+01:00"),
        json!("2024-12-01 12:00:00"),
    ] {
        check_time("UTC", ts, noon, None);
    }
    check_time("UTC", json!("May 3rd 2024, 1:05:09 am"), "2024-05-03T01:05:09Z", None);
    for ts in ["soon", "December 1st 2024", "Monday, December 1st 2024, 12:00:00 pm"] {
        check_time("UTC", json!(ts), "", Some("time-unreadable"));
    }
    check_time("UTC", json!(5), "", Some("time-out-of-range"));
}

#[test]
fn reads_english_times_in_every_form() {
    for ts in [
        "December 1st 2024, 1:00 pm",
        "Sunday, December 1st 2024, 1:00:00 pm",
        "December 1st 2024, 1:00:00 p.m.",
        "1st December 2024, 1:00:00 pm",
        "12/1/2024, 1:00:00 PM",
    ] {
        check_time("Europe/Berlin", json!(ts), "2024-12-01T12:00:00Z", None);
    }
    check_time("UTC", json!("31/1/2024, 1:00:00 PM"), "2024-01-31T13:00:00Z", None);
    // A zone in the text wins over the configured one.
    for ts in [
        "December 1st 2024, 12:00:00 pm UTC",
        "December 1st 2024, 1:00:00 pm (GMT+1)",
        "December 1st 2024, 1:00:00 pm GMT+0100",
    ] {
        check_time("America/New_York", json!(ts), "2024-12-01T12:00:00Z", None);
    }
}

/// Berlin, 27 October 2024: the hour from 2:00 occurs from 00:00 UTC and again from 01:00 UTC.
#[track_caller]
fn check_order(ts: Value, sessions: Value, clocks: &[&str], expect: &[&str]) {
    let message =
        |clock: &&str| json!({"type": "text", "ts": format!("October 27th 2024, {clock}"), "payload": "m"});
    let messages: Vec<_> = clocks.iter().map(message).collect();
    let record = json!({
        "metadata": {"convo": {"id": "c", "ts": ts}, "sessions": sessions},
        "turns": [{"from": "user", "messages": messages}],
    });
    let (found, issues) = read_in("Europe/Berlin", &record);
    let expect: Vec<_> = expect.iter().map(|clock| format!("2024-10-27T{clock}Z")).collect();
    assert_eq!(times(&found), expect);
    assert!(issues.iter().all(|issue| issue.starts_with("time-ambiguous")), "{issues:?}");
}

#[test]
fn the_order_of_messages_decides_in_the_hour_that_a_zone_repeats() {
    let one_past =
        json!([[{"from": "user", "ts": "October 27th 2024, 2:50:00 am", "messages": [{"type": "text"}]}]]);
    let none = || json!([]);
    check_order(
        Value::Null,
        none(),
        &["2:50:00 am", "2:50:00 am", "2:10:00 am", "2:20:00 am", "3:00:00 am"],
        &["00:50:00", "00:50:00", "01:10:00", "01:20:00", "02:00:00"],
    );
    // Nothing contradicts the first occurrence.
    check_order(Value::Null, none(), &["2:10:00 am", "2:50:00 am"], &["00:10:00", "00:50:00"]);
    // A past session is ahead of the current turns.
    check_order(Value::Null, one_past, &["2:10:00 am"], &["00:50:00", "01:10:00"]);
    // An hour between the first message and the beginning of the conversation, 2024-10-27T01:09:50Z, does not make the
    // zone doubtful.
    check_order(json!(1_729_991_390), none(), &["2:10:00 am", "2:30:00 am"], &["00:10:00", "00:30:00"]);
}

#[test]
fn times_without_a_zone_are_in_the_configured_zone() {
    let berlin = "Europe/Berlin";
    check_time(berlin, json!("December 1st 2024, 1:00:00 pm"), "2024-12-01T12:00:00Z", None);
    check_time(berlin, json!("July 1st 2024, 2:00:00 pm"), "2024-07-01T12:00:00Z", None);
    check_time(berlin, json!(1_733_054_400), "2024-12-01T12:00:00Z", None);
    check_time(
        berlin,
        json!("October 27th 2024, 2:30:00 am"),
        "2024-10-27T00:30:00Z",
        Some("time-ambiguous"),
    );
    check_time(
        berlin,
        json!("March 31st 2024, 2:30:00 am"),
        "2024-03-31T01:30:00Z",
        Some("time-nonexistent"),
    );
}

#[test]
fn a_message_without_a_time_takes_the_time_of_its_item_or_turn() {
    let turn = json!({"from": "human", "ts": 1_733_054_400, "messages": [
        {"type": "text", "ts": 1_733_054_401, "item": {"time": 1_733_054_409, "payload": {"message": "a"}}},
        {"type": "text", "item": {"time": 1_733_054_402, "payload": {"message": "b"}}},
        {"type": "text", "item": {"payload": {"message": "c"}}},
    ]});
    let (found, issues) = read(&one_turn(json!({"id": "c"}), turn));
    let at = |second: u32| format!("2024-12-01T12:00:0{second}Z");
    assert_eq!((times(&found), issues.len()), (vec![at(1), at(2), at(0)], 0));
    assert_eq!(found.messages[0].extra["item.time"], 1_733_054_409);
    let (found, issues) = read(&one_turn(
        json!({"id": "c", "firstMessageTS": 1_733_054_400}),
        json!({"from": "bot", "messages": []}),
    ));
    assert_eq!((found.created_at.unwrap().to_string(), issues.len()), (at(0), 0));
}

#[track_caller]
fn check_zone(ts: Value, sessions: Value, first: Value, expect: bool) {
    let message = json!({"type": "text", "ts": first, "payload": {"message": "m"}});
    let record = json!({
        "metadata": {"convo": {"id": "c", "ts": ts}, "sessions": sessions},
        "turns": [{"from": "user", "messages": [{"type": "text", "payload": "untimed"}, message]}],
    });
    let (_, issues) = read(&record);
    let doubt = IssueKind::TimeZoneDoubtful.as_str();
    assert_eq!(issues, if expect { vec![format!("{doubt} metadata.convo.ts")] } else { vec![] });
}

#[test]
fn an_offset_of_whole_quarter_hours_makes_the_zone_doubtful() {
    let noon = || json!(1_733_054_400);
    let text = |clock: &str| json!(format!("December 1st 2024, {clock}"));
    let session =
        |ts: Value| json!([[{"from": "user", "messages": [{"type": "text", "ts": ts, "payload": "m"}]}]]);
    check_zone(noon(), json!([]), text("1:00:20 pm"), true);
    check_zone(noon(), json!([]), text("6:30:00 am"), true);
    check_zone(noon(), json!([]), text("12:00:20 pm"), false);
    check_zone(noon(), json!([]), text("1:02:00 pm"), false);
    check_zone(noon(), json!([]), json!(1_733_058_000), false);
    check_zone(noon(), json!([]), json!("2024-12-01T13:00:00Z"), false);
    check_zone(Value::Null, json!([]), text("1:00:20 pm"), false);
    check_zone(noon(), session(text("1:00:10 pm")), text("3:00:20 pm"), true);
    check_zone(noon(), session(text("12:00:10 pm")), text("3:00:20 pm"), false);
    check_zone(noon(), session(noon()), text("3:00:20 pm"), false);
    let flat = json!({"metadata": {"ID": "c", "ts": noon()}, "turns": [
        {"from": "user", "messages": [{"type": "text", "ts": text("2:00:00 pm"), "payload": "m"}]},
    ]});
    assert_eq!(read(&flat).1, ["time-zone-doubtful metadata.ts"]);
}

#[test]
fn past_sessions_come_first_in_order() {
    let turn =
        |text: &str| json!({"from": "user", "messages": [{"type": "text", "payload": {"message": text}}]});
    let (found, issues) = read(&json!({
        "metadata": {"convo": {"id": "c"}, "sessions": [
            [turn("1"), turn("2")],
            {"turns": [turn("3")], "rating": 5},
            {"ts": 7},
            "gone",
        ]},
        "turns": [turn("4"), "scrap", {"from": "user", "messages": ["scrap", {"type": "text", "payload": "5"}]}],
    }));
    assert_eq!(texts(&found), ["1", "2", "3", "4", "", "", "5"]);
    for scrap in &found.messages[4..6] {
        assert_eq!(scrap.role, Role::Other);
        assert_eq!(scrap.parts, [Part::Other { kind: "unreadable".to_owned(), data: json!("scrap") }]);
    }
    assert_eq!(
        Value::Object(found.extra),
        json!({"metadata.sessions[1].rating": 5, "metadata.sessions[2]": {"ts": 7}, "metadata.sessions[3]": "gone"})
    );
    assert_eq!(
        issues,
        [
            "unknown-field metadata.sessions[1].rating",
            "wrong-type metadata.sessions[2]",
            "wrong-type metadata.sessions[3]",
            "wrong-type turns[1]",
            "wrong-type turns[2].messages[0]",
        ]
    );
}

#[track_caller]
fn check_item(message: Value, part: Part, extra: Value) {
    let mut message = message;
    message["from"] = json!("bot");
    let (found, _) = read(&one_turn(json!({"id": "c"}), json!({"messages": [message]})));
    assert_eq!(found.messages[0].parts, [part]);
    assert_eq!(Value::Object(found.messages[0].extra.clone()), extra);
}

#[test]
fn finds_the_payload_under_any_of_its_keys() {
    let hi = || Part::text("Hi");
    check_item(json!({"type": "text", "payload": {"message": "Hi"}}), hi(), json!({}));
    check_item(
        json!({"type": "text", "item": {"type": "text", "payload": {"message": "Hi"}}}),
        hi(),
        json!({}),
    );
    check_item(json!({"item": {"type": "text", "payload": {"message": "Hi"}}}), hi(), json!({}));
    check_item(json!({"type": "text", "rawItem": {"payload": {"message": "Hi"}}}), hi(), json!({}));
    check_item(json!({"type": "text", "content": {"type": "text", "message": "Hi"}}), hi(), json!({}));
    check_item(json!({"type": "info:success", "item": "Hi"}), hi(), json!({}));
    check_item(json!({"payload": {"message": "Hi"}}), hi(), json!({}));
    let audio = Part::Audio { url: Some("u".to_owned()), transcript: None };
    check_item(json!({"type": "VoiceNote", "item": {"payload": "u"}}), audio, json!({}));
    let choice = Part::Choice { options: Vec::new() };
    check_item(json!({"type": "MultiSelect", "item": []}), choice, json!({}));
    let nothing = Part::Other { kind: "launch".to_owned(), data: Value::Null };
    check_item(json!({"type": "launch", "item": {"type": "launch"}}), nothing, json!({}));
    check_item(
        json!({"type": "text", "payload": "Hi", "item": {"payload": "Ho"}, "delay": 3, "action": null}),
        hi(),
        json!({"item": {"payload": "Ho"}, "delay": 3}),
    );
    check_item(
        json!({"type": "text", "item": {"type": "say", "mood": 1, "payload": {"message": "Hi", "tone": 2}}}),
        hi(),
        json!({"item.type": "say", "item.mood": 1, "payload.tone": 2}),
    );
}

#[test]
fn fields_around_messages_are_kept() {
    let (found, issues) = read(&json!({
        "metadata": {"convo": {"id": "c"}},
        "turns": [
            {"from": "bot", "modelId": "gpt-4o-mini", "sources": [], "langchainMessages": null, "session_id": "s",
             "mood": 1, "messages": [
                {"type": "text", "payload": "a", "mid": "wamid.X", "modelId": "m", "sourceLabel": "API"},
                {"type": "text", "payload": "b"},
            ]},
            {"from": "bot", "sources": [{"id": 1}], "messages": []},
            {"from": "bot", "messages": "none"},
            {"from": "bot"},
        ],
    }));
    assert_eq!(found.messages.len(), 2);
    assert_eq!(found.messages[0].id.as_deref(), Some("wamid.X"));
    assert_eq!(
        Value::Object(found.messages[0].extra.clone()),
        json!({
            "modelId": "m", "sourceLabel": "API",
            "turn.modelId": "gpt-4o-mini", "turn.session_id": "s", "turn.mood": 1,
        })
    );
    assert!(found.messages[1].extra.is_empty());
    assert_eq!(
        Value::Object(found.extra),
        json!({"turns[1].sources": [{"id": 1}], "turns[2].messages": "none"})
    );
    assert_eq!(
        issues,
        ["unknown-field turns[0].mood", "wrong-type turns[2].messages", "missing turns[3].messages"]
    );
}

#[test]
fn unknown_fields_and_values_are_kept_and_reported() {
    let (found, issues) = read(&json!({
        "metadata": {
            "ID": "outer", "mood": 1,
            "convo": {
                "title": 5, "ts": "soon", "origin": {"name": "web"}, "state": "frozen", "tags": "new", "shape": 2,
                "notes": "", "note": "n", "userName": "", "userPhone": 15_550_100, "summary": null,
            },
        },
        "turns": [{"from": "robot", "messages": [
            {"type": "hologram", "payload": {"shape": 1}},
            {"type": "text", "payload": {"message": "m", "aiGenerated": "no"}, "lang": "en"},
            {"payload": 5},
        ]}],
        "title": "t", "shape": 3,
    }));
    assert_eq!((found.id.as_str(), found.notes.as_deref()), ("outer", Some("n")));
    assert_eq!((found.contact.name, found.contact.phone.as_deref()), (None, Some("15550100")));
    assert_eq!((found.channel, found.channel_raw, found.status), (None, None, Some(Status::Other)));
    assert_eq!(
        Value::Object(found.extra),
        json!({
            "title": 5, "ts": "soon", "origin": {"name": "web"}, "tags": "new", "shape": 2, "metadata.mood": 1,
            "record.title": "t", "record.shape": 3,
        })
    );
    let [hologram, text, number] = found.messages.as_slice() else { panic!("messages were lost") };
    assert_eq!(hologram.parts, [Part::Other { kind: "hologram".to_owned(), data: json!({"shape": 1}) }]);
    assert_eq!((hologram.role, hologram.role_raw.as_deref()), (Role::Other, Some("robot")));
    assert_eq!(Value::Object(text.extra.clone()), json!({"payload.aiGenerated": "no", "lang": "en"}));
    assert_eq!(number.parts, [Part::Other { kind: "text".to_owned(), data: json!(5) }]);
    assert_eq!(
        issues,
        [
            "wrong-type metadata.convo.title",
            "time-unreadable metadata.convo.ts",
            "wrong-type metadata.convo.origin",
            "wrong-type metadata.convo.tags",
            "unknown-value metadata.convo.state",
            "unknown-field metadata.convo.shape",
            "unknown-field metadata.mood",
            "unknown-value turns[0].from",
            "unknown-value turns[0].messages[0].type",
            "wrong-type turns[0].messages[1].payload.aiGenerated",
            "unknown-field turns[0].messages[1].lang",
            "missing turns[0].messages[2].type",
            "wrong-type turns[0].messages[2].payload",
            "unknown-field shape",
            "unknown-field title",
        ]
    );
}

#[test]
fn a_record_without_metadata_or_turns_is_still_a_conversation() {
    let (found, issues) = read(&json!({"metadata": 1, "turns": 2}));
    assert_eq!(
        (found.id.as_str(), issues),
        ("", vec!["wrong-type metadata".into(), "wrong-type turns".into()])
    );
    assert_eq!(Value::Object(found.extra), json!({"metadata": 1, "turns": 2}));
    let (found, issues) =
        read(&json!({"metadata": {"convo": "x", "ID": "c"}, "turns": [{"messages": [{}]}]}));
    assert_eq!((found.id.as_str(), &found.extra["convo"]), ("c", &json!("x")));
    let first = "turns[0].messages[0]";
    assert_eq!(
        issues,
        [
            "wrong-type metadata.convo".to_owned(),
            format!("missing {first}.type"),
            format!("missing {first}.from")
        ]
    );
    assert_eq!(read(&json!({})).1, ["missing metadata", "missing turns"]);
    for scrap in [&b"[]"[..], b"null", b"", b"{"] {
        assert!(map(&*mapper_of("UTC"), scrap).is_err());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "(text|choice|visual|cardV2|carousel|VoiceNote|file|form|EmailForm|input|context:form_submission|debug:tell|launch|info:x)"
            .prop_map(Value::from),
        "(user|human|bot|system|Positive|Unset|human-chatting|Tool ended: x y|December 1st 2024, 10:30:00 am|open_url)"
            .prop_map(Value::from),
    ];
    let key = "(metadata|convo|sessions|turns|messages|from|type|ts|payload|item|rawItem|content|message|buttons|name|request|image|images|cards|title|description|text|url|files|fields|submittedData|field|field_id|value|label|id|ID|feedback|aiGenerated|state|ratingFrom5|origin|tags|email|submittedValue|isSubmitted|mid|time|x)";
    leaf.prop_recursive(6, 80, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_message() -> impl Strategy<Value = Value> {
    let kind = "(text|choice|visual|cardV2|carousel|VoiceNote|file|form|EmailForm|input|context:form_submission|debug:tell|launch|info:x|y)";
    let place = "(payload|item|rawItem|content)";
    (kind, place, any_json(), any_json()).prop_map(|(kind, place, payload, ts)| {
        let mut message = json!({"type": kind, "ts": ts});
        message[place] = payload;
        message
    })
}

static MAPPER: LazyLock<Arc<dyn Mapper>> = LazyLock::new(|| mapper_of("Europe/Berlin"));

/// Turns have their stored shape here; items of older rows are strings, arrays, or objects without a payload.
#[test]
fn maps_the_turns_of_a_patch_request() {
    let sample = fixture(include_str!("fixtures/convocore-patch-messages-request.json"));
    let turns = &sample["request"]["body"]["turns"];
    let (stored, issues) = read(&json!({"metadata": {"convo": {"id": "real-convo-1"}}, "turns": turns}));
    assert_eq!(issues, [""; 0]);
    assert_eq!(roles(&stored), ["user", "assistant", "assistant", "user", "user", "user", "tool"]);
    assert_eq!(texts(&stored), ["Hello!", "Hi!", "", "Successfully Submitted", "", "", ""]);
    // 1733049000 is 2024-12-01T10:30:00Z.
    let seconds = ["30:00", "30:02", "30:02", "30:10", "30:20", "30:30", "30:40"];
    assert_eq!(times(&stored), seconds.map(|at| format!("2024-12-01T10:{at}Z")));
    assert_eq!(
        (stored.messages[1].id.as_deref(), stored.messages[1].feedback),
        (Some("wamid.X"), Some(Feedback::Positive))
    );
    assert!(
        matches!(&stored.messages[2].parts[0], Part::Choice { options } if options[0].label.as_deref() == Some("Pricing"))
    );
    assert!(
        matches!(&stored.messages[4].parts[0], Part::Audio { url: Some(url), .. } if url == "https://cdn.example.com/a.ogg")
    );
    let Part::Form { fields, .. } = &stored.messages[5].parts[0] else { panic!("{:?}", stored.messages[5]) };
    let values: Vec<_> = fields.iter().filter_map(|field| field.value.clone()).collect();
    assert_eq!(values, [json!("j@example.com"), json!("call me")]);
    assert!(
        matches!(&stored.messages[6].parts[0], Part::ToolResult { name: Some(name), .. } if name == "KB-Search")
    );
}

/// Turns have their stored shape here as well, next to a light document.
#[test]
fn maps_the_turns_of_a_webhook() {
    let sample = fixture(include_str!("fixtures/convocore-webhook-conversation_updated.json"));
    let payload = &sample["request"]["body"]["payload"];
    let (conversation, issues) =
        read(&json!({"metadata": payload["lightConvoData"], "turns": payload["turns"]}));
    assert_eq!(issues, [""; 0]);
    assert_eq!(
        (conversation.id.as_str(), conversation.contact.name.as_deref()),
        ("convo_789012", Some("Jane Doe"))
    );
    assert_eq!((conversation.channel, conversation.status), (Some(Channel::Website), Some(Status::Ongoing)));
    assert_eq!(
        (roles(&conversation), texts(&conversation), times(&conversation)),
        (vec!["user"], vec!["Hello".to_owned()], vec![String::new()])
    );
}

proptest! {
    #[test]
    fn never_panics_on_json(value in any_json()) {
        let _ = map(&**MAPPER, &serde_json::to_vec(&value).unwrap());
    }

    #[test]
    fn loses_no_message(messages in prop::collection::vec(any_message(), 0..3), convo in any_json()) {
        let record = json!({"metadata": {"convo": convo}, "turns": [{"from": "bot", "messages": messages}]});
        let (found, _) = map(&**MAPPER, &serde_json::to_vec(&record).unwrap()).unwrap();
        prop_assert_eq!(found.messages.len(), messages.len());
    }

    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = map(&**MAPPER, &bytes);
    }
}
