//! Migrations into agents over their vendors' APIs, compared with the sandbox's data before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use chatark_sandbox::truth::{Contact, Content, Conversation, Message, Role};
use chatark_sandbox::{
    Agent, Dataset, Expected, Fault, FaultKind, Generation, Person, SeenRequest, Vendor, World,
    WriteBehaviour,
};
use chatark_tests::{KEY, Run, TestEnvironment, eventually};
use serde_json::Value;

use crate::kill::Random;
use crate::support::{agent, agent_with, api_conversation, export_offline, rfc3339, sample};

/// Role, text and time of a message.
type Line = (String, String, Option<String>);

/// Returns an empty agent of Convocore.
fn empty_agent() -> Agent {
    Agent {
        generation: Generation::OneArray,
        ..Agent::new(Vendor::ConvocoreV3, "agent-new", KEY, Dataset::default())
    }
}

/// Starts an environment with a source that is already pulled, and a target.
fn env(source: Agent, target: Agent) -> TestEnvironment {
    let env = TestEnvironment::of(vec![source, target]);
    env.expect(0, &["pull", "source-1"]);
    env
}

/// Returns the command line of a run into the second source.
fn run_arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["migrate", "run", "--from", "source-1", "--to", "source-2", "--yes", "--json"], more].concat()
}

/// Returns the result of a kind of data from a run that printed JSON.
#[track_caller]
fn result_of(run: &Run, kind: &str) -> Value {
    let printed = run.json();
    let found = printed["carried"].as_array().unwrap().iter().find(|result| result["cargo"] == kind);
    found.unwrap_or_else(|| panic!("{kind} is not in {printed:#}")).clone()
}

fn count(result: &Value, field: &str) -> u64 {
    result[field].as_u64().unwrap()
}

/// Returns the requests so far that write.
fn writes(env: &TestEnvironment) -> Vec<SeenRequest> {
    env.sandbox().requests().into_iter().filter(|seen| seen.method != "GET").collect()
}

/// Returns the messages that a conversation of Chatbase v2 must come back with: one for each text, and one of the
/// tool for each call and result.
fn expected_lines(expected: &Expected) -> Vec<Line> {
    let mut lines = Vec::new();
    for message in &expected.messages {
        let at = message.created_at.map(rfc3339);
        if !message.text.is_empty() {
            let role = message.role.to_owned();
            lines.push((role, message.text.clone(), at.clone()));
        }
        let tools = message.part_types.iter().filter(|kind| kind.starts_with("tool_"));
        lines.extend(tools.map(|_| ("tool".to_owned(), String::new(), at.clone())));
    }
    lines
}

fn lines_of(document: &Value) -> Vec<Line> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let line = |message: &Value| {
        (text(&message["role"]).unwrap(), text(&message["text"]).unwrap(), text(&message["created_at"]))
    };
    document["messages"].as_array().unwrap().iter().map(line).collect()
}

/// Pulls the target, and returns its conversations by the ids of their originals. Fails if one of them is there twice.
#[track_caller]
fn pulled_back(env: &TestEnvironment) -> BTreeMap<String, Value> {
    env.expect(0, &["pull", "source-2", "--full"]);
    let mut by_origin = BTreeMap::new();
    for document in export_offline(env, &["source-2"]) {
        let line = document["notes"].as_str().unwrap().lines().last().unwrap();
        let origin = line.strip_prefix("Migrated by Chatark: ").unwrap().rsplit(" / ").next().unwrap();
        let origin = origin.to_owned();
        let twice = by_origin.insert(origin.clone(), document);
        assert!(twice.is_none(), "{origin} is there twice");
    }
    by_origin
}

/// Compares role, text and time of every message of every conversation with messages.
#[track_caller]
fn compare(source: &Agent, back: &BTreeMap<String, Value>) {
    let expected: BTreeMap<_, _> = source
        .expected()
        .map(|expected| (expected.id.clone(), expected_lines(&expected)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    assert_eq!(back.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (id, lines) in &expected {
        assert_eq!(&lines_of(&back[id]), lines, "{id}");
    }
}

#[test]
fn a_round_trip_through_convocore_keeps_role_text_and_time_of_every_message() {
    let source = sample(Vendor::ChatbaseV2);
    let env = TestEnvironment::of(vec![source.clone(), empty_agent()]);
    env.expect(0, &["pull"]);
    let run = env.expect(0, &run_arguments(&[]));
    let history = result_of(&run, "history");
    let back = pulled_back(&env);
    compare(&source, &back);
    assert!(back.len() > 50, "the sample has lost its conversations");
    assert_eq!((count(&history, "written"), count(&history, "refused")), (back.len() as u64, 0));
    assert_eq!(history["read_back"]["found"], back.len());
    for expected in source.expected().filter(|expected| back.contains_key(&expected.id)) {
        let document = &back[&expected.id];
        assert_eq!(
            document["created_at"].as_str().map(str::to_owned),
            expected.created_at.map(rfc3339),
            "{}",
            expected.id
        );
        let ids: Vec<_> = document["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["text"] != "")
            .map(|message| message["id"].as_str().map(str::to_owned))
            .collect();
        let expected_ids: Vec<_> = expected
            .messages
            .iter()
            .filter(|message| !message.text.is_empty())
            .map(|message| message.id.clone())
            .collect();
        assert_eq!(ids, expected_ids, "{}", expected.id);
        assert!(document["tags"].as_array().unwrap().contains(&"migrated:chatbase-v2".into()));
    }
}

#[test]
fn a_plan_makes_no_request_and_predicts_the_run() {
    let env = env(agent(Vendor::ChatbaseV2, 45), empty_agent());
    let before = env.sandbox().requests().len();
    let plan = env.expect(0, &["migrate", "plan", "--from", "source-1", "--to", "source-2", "--json"]).json();
    assert_eq!(env.sandbox().requests().len(), before, "a plan makes no request");
    let history = &plan["plans"][0];
    assert_eq!(
        (&history["cargo"], &history["items"], &history["credits"]),
        (&"history".into(), &45.into(), &0.into())
    );
    // Two requests for each, and three pages of twenty to read back.
    assert_eq!(history["requests"], 45 * 2 + 3);
    let run = env.expect(0, &run_arguments(&["--only", "history"]));
    assert_eq!(env.sandbox().requests().len() - before, 45 * 2 + 3);
    assert_eq!(result_of(&run, "history")["losses"], history["losses"]);
}

#[test]
fn a_second_run_writes_nothing_and_the_ledger_lists_every_item() {
    let source = agent(Vendor::ChatbaseV2, 30);
    let env = env(source.clone(), empty_agent());
    env.expect(0, &run_arguments(&[]));
    let before = writes(&env);
    let again = result_of(&env.expect(0, &run_arguments(&[])), "history");
    assert_eq!(writes(&env), before);
    assert_eq!((count(&again, "written"), count(&again, "already")), (0, 30));
    let ledger =
        env.expect(0, &["migrate", "ledger", "--to", "source-2", "--json", "--csv", "ledger.csv"]).json();
    let rows = ledger["transfers"].as_array().unwrap();
    let from: BTreeSet<_> =
        rows.iter().map(|row| row["conversation_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(from, source.expected().map(|expected| expected.id).collect());
    let held: BTreeSet<_> =
        env.sandbox().expected("agent-new").into_iter().map(|expected| expected.id).collect();
    let into: BTreeSet<_> = rows.iter().map(|row| row["target_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(into, held);
    let mut csv = csv::Reader::from_path(env.path("ledger.csv")).unwrap();
    assert_eq!(csv.records().count(), 30);
}

#[test]
fn a_deleted_item_is_reported_missing_and_written_again_after_forget() {
    let source = agent(Vendor::ChatbaseV2, 12);
    let env = env(source.clone(), empty_agent());
    env.expect(0, &run_arguments(&["--only", "history"]));
    let gone = env.sandbox().expected("agent-new").remove(3).id;
    env.sandbox().update("agent-new", |dataset| dataset.remove(&gone)).unwrap();
    let run = env.expect(3, &run_arguments(&["--only", "history"]));
    let read_back = result_of(&run, "history")["read_back"].clone();
    assert_eq!((&read_back["found"], &read_back["expected"]), (&11.into(), &12.into()));
    assert_eq!(read_back["missing"].as_array().unwrap().len(), 1);
    for id in env.sandbox().expected("agent-new").into_iter().map(|expected| expected.id) {
        env.sandbox().update("agent-new", |dataset| dataset.remove(&id)).unwrap();
    }
    env.expect(2, &["migrate", "forget", "--to", "source-2"]);
    let forgotten = env.expect(0, &["migrate", "forget", "--to", "source-2", "--yes", "--json"]).json();
    assert_eq!(forgotten["forgotten"], 12);
    env.expect(0, &run_arguments(&["--only", "history"]));
    compare(&source, &pulled_back(&env));
}

#[test]
fn nothing_reaches_a_customer() {
    let source = sample(Vendor::ChatbaseV1);
    let env = TestEnvironment::of(vec![source, empty_agent()]);
    env.expect(0, &["pull"]);
    env.expect(0, &run_arguments(&[]));
    env.expect(0, &run_arguments(&[]));
    assert_eq!(env.sandbox().delivered_message_count("agent-new"), 0);
    let routes: BTreeSet<_> = writes(&env)
        .into_iter()
        .map(|seen| {
            let rest = seen.path.strip_prefix("/convocore/v3/agents/agent-new/").unwrap().to_owned();
            let parts: Vec<_> = rest.split('/').collect();
            match parts.as_slice() {
                ["convos", _, "messages"] => format!("{} convos/ID/messages", seen.method),
                _ => format!("{} {rest}", seen.method),
            }
        })
        .collect();
    let allowed = ["PATCH convos/ID/messages", "POST convos", "POST leads/bulk"];
    assert_eq!(routes, allowed.map(str::to_owned).into());
}

#[test]
fn a_run_ends_with_the_first_item_if_created_conversations_answer_404() {
    let target = Agent { writes: WriteBehaviour::CreatedAnswers404, ..empty_agent() };
    let env = env(sample(Vendor::ChatbaseV1), target);
    for _ in 0..2 {
        let run = env.expect(7, &run_arguments(&["--only", "history"]));
        assert!(run.stderr.contains("July and August 2026"), "{}", run.stderr);
        let created = writes(&env).iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(created, 1, "one conversation was tried, in both runs together");
    }
    // People are written with other calls.
    env.expect(0, &run_arguments(&["--only", "contacts"]));
}

#[test]
fn each_person_becomes_one_lead() {
    let source = sample(Vendor::ChatbaseV1);
    let env = TestEnvironment::of(vec![source.clone(), empty_agent()]);
    env.expect(0, &["pull"]);
    env.expect(0, &run_arguments(&["--only", "contacts"]));
    let again = result_of(&env.expect(0, &run_arguments(&["--only", "contacts"])), "contacts");
    let leads = env.sandbox().written_leads("agent-new");
    let emails: BTreeSet<_> =
        leads.iter().filter_map(|lead| lead["userEmail"].as_str()).map(str::to_owned).collect();
    let expected: BTreeSet<_> = source.expected().filter_map(|expected| expected.contact.email).collect();
    assert!(!expected.is_empty());
    assert_eq!(emails, expected);
    assert_eq!(count(&again, "already"), leads.len() as u64);
    let sent: BTreeSet<_> = leads.iter().map(ToString::to_string).collect();
    assert_eq!(sent.len(), leads.len(), "a person went twice");
}

#[test]
fn a_completed_request_that_answers_502_is_not_repeated() {
    let source = agent(Vendor::ChatbaseV2, 30);
    let env = env(source.clone(), empty_agent());
    // The first requests create and complete in turn; some that create fail.
    for nth in [2, 10, 11, 12, 13, 30] {
        env.sandbox()
            .add_fault("agent-new", Fault::at(nth, FaultKind::BadGatewayAfterSuccess).on_any_route());
    }
    let history = result_of(&env.expect(0, &run_arguments(&["--only", "history"])), "history");
    assert_eq!(count(&history, "written"), 30);
    assert!(count(&history, "recovered") > 0, "no creating request failed: {history}");
    compare(&source, &pulled_back(&env));
}

#[test]
fn transient_failures_are_retried() {
    let source = agent(Vendor::ChatbaseV2, 30);
    let env = env(source.clone(), empty_agent());
    for (nth, kind) in [
        (0, FaultKind::ServerError),
        (5, FaultKind::Maintenance),
        (9, FaultKind::CutBody),
        (20, FaultKind::ServerError),
        (33, FaultKind::CutBody),
    ] {
        env.sandbox().add_fault("agent-new", Fault::at(nth, kind).on_any_route());
    }
    env.expect(0, &run_arguments(&["--only", "history"]));
    compare(&source, &pulled_back(&env));
}

#[test]
fn an_outage_or_refusal_ends_a_run_with_the_exit_code_of_its_class() {
    for (kind, code) in [(FaultKind::ServerError, 5), (FaultKind::PlanGate, 7), (FaultKind::ExpiredKey, 7)] {
        let source = agent(Vendor::ChatbaseV2, 40);
        let env = env(source.clone(), empty_agent());
        env.sandbox().add_fault("agent-new", Fault::from(20, kind.clone()).on_any_route());
        let run = env.expect(code, &run_arguments(&["--only", "history"]));
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        assert!(count(&result_of(&run, "history"), "written") > 0, "{kind:?}");
        env.sandbox().clear_faults("agent-new");
        env.expect(0, &run_arguments(&["--only", "history"]));
        compare(&source, &pulled_back(&env));
    }
}

#[test]
fn a_budget_ends_a_run_and_the_next_run_continues() {
    let source = agent(Vendor::ChatbaseV2, 30);
    let env = env(source.clone(), empty_agent());
    let run = env.expect(8, &run_arguments(&["--only", "history", "--max-requests", "21"]));
    assert_eq!(writes(&env).len(), 21);
    assert!(count(&result_of(&run, "history"), "written") >= 8);
    env.expect(0, &run_arguments(&["--only", "history"]));
    compare(&source, &pulled_back(&env));
}

#[test]
fn ctrl_c_keeps_what_was_written() {
    let source = agent(Vendor::ChatbaseV2, 120);
    let world =
        World { latency: Some(Duration::from_millis(10)), ..World::of(vec![source.clone(), empty_agent()]) };
    let env = TestEnvironment::of_world(world);
    env.expect(0, &["pull", "source-1"]);
    let running = env.spawn(&run_arguments(&["--only", "history"]));
    eventually(|| writes(&env).len() > 40);
    running.signal("INT");
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:#?}");
    let history = result_of(&run, "history");
    let written = count(&history, "written");
    assert!(written > 0 && written < 120);
    assert_eq!((count(&history, "items"), count(&history, "left")), (120, 120 - written));
    assert!(!run.stderr.contains("FAIL"), "{}", run.stderr);
    env.expect(0, &run_arguments(&["--only", "history"]));
    compare(&source, &pulled_back(&env));
}

#[test]
fn a_killed_run_never_writes_a_conversation_twice() {
    let source = agent(Vendor::ChatbaseV2, 90);
    let world =
        World { latency: Some(Duration::from_millis(2)), ..World::of(vec![source.clone(), empty_agent()]) };
    let env = TestEnvironment::of_world(world);
    env.expect(0, &["pull", "source-1"]);
    let mut random = Random(0x5eed_0006);
    let (mut landed, mut ambiguous) = (0, 0);
    for _ in 0..14 {
        let (before, after) = (writes(&env).len() as u64, random.below(30));
        let mut running = env.spawn(&run_arguments(&["--only", "history"]));
        eventually(|| writes(&env).len() as u64 > before + after || running.has_ended());
        std::thread::sleep(Duration::from_micros(random.below(6_000)));
        running.kill();
        running.finish();
        let states = |state: &str| {
            let rows = env.expect(0, &["migrate", "ledger", "--json"]).json();
            let rows = rows["transfers"].as_array().unwrap().clone();
            rows.iter().filter(|row| row["state"] == state).count()
        };
        landed += usize::from((1..90).contains(&states("done")));
        ambiguous += states("intended");
    }
    assert!(landed >= 5, "only {landed} kills left a part");
    assert!(ambiguous > 0, "no kill left a request without an answer");
    let run = env.expect(0, &run_arguments(&["--only", "history"]));
    assert_eq!(result_of(&run, "history")["read_back"]["found"], 90);
    let back = pulled_back(&env);
    compare(&source, &back);
    assert_eq!(env.sandbox().expected("agent-new").len(), 90, "there is nothing else");
    assert_eq!(env.sandbox().delivered_message_count("agent-new"), 0);
}

/// Returns an agent whose contacts already have the external ids that these people would get.
fn account_with_taken_ids(people: &[Person]) -> Agent {
    let taken = |person: &Person| Person { external_id: person.email.clone(), email: None, ..person.clone() };
    let contacts = people.iter().map(taken).collect();
    Agent { contacts, ..Agent::new(Vendor::ChatbaseV1, "agent-shop", KEY, Dataset::default()) }
}

/// Returns an agent of Convocore with one conversation for each person.
fn agent_with_people(people: &[Person]) -> Agent {
    let conversation = |(at, person): (usize, &Person)| {
        let began = 1_790_000_000 + i64::try_from(at).unwrap();
        let contact = Contact { email: person.email.clone(), ..Contact::default() };
        Conversation { contact, ..api_conversation(&format!("c{at:03}"), "u", began, 2) }
    };
    agent_with(Vendor::ConvocoreV3, people.iter().enumerate().map(conversation).collect())
}

fn people(count: usize) -> Vec<Person> {
    let person = |number| Person {
        id: format!("contact_{number}"),
        email: Some(format!("person{number:03}@example.com")),
        created_at: 1_790_000_000,
        ..Person::default()
    };
    (0..count).map(person).collect()
}

#[test]
fn refused_people_do_not_hold_up_the_others() {
    let all = people(40);
    let env = env(agent_with_people(&all), account_with_taken_ids(&all[..12]));
    for _ in 0..2 {
        let run = env.expect(3, &run_arguments(&[]));
        let contacts = result_of(&run, "contacts");
        assert_eq!(count(&contacts, "refused"), 12, "{contacts}");
        assert_eq!(contacts["read_back"]["found"], 28, "{contacts}");
        assert_eq!(env.sandbox().contacts("agent-shop").len(), 40);
    }
    // Nobody else is tried again.
    let before = writes(&env).len();
    env.expect(3, &run_arguments(&[]));
    assert_eq!(writes(&env).len() - before, 12);
}

#[test]
fn a_run_ends_after_fifty_refusals_and_the_next_run_continues() {
    let all = people(120);
    let env = env(agent_with_people(&all), account_with_taken_ids(&all[..110]));
    let asked = |code| {
        let before = writes(&env).len();
        env.expect(code, &run_arguments(&[]));
        writes(&env).len() - before
    };
    // Fifty refusals in a row end a run; the refused people come last in the next one.
    assert_eq!((asked(7), asked(7)), (50, 50));
    asked(3);
    assert_eq!(env.sandbox().contacts("agent-shop").len(), 120);
}

#[test]
fn items_of_a_lost_response_are_found_at_the_target() {
    let all = people(60);
    let env = env(agent_with_people(&all), account_with_taken_ids(&[]));
    // The list is read, one person is sent alone, and the other fifty-nine together.
    env.sandbox().add_fault("agent-shop", Fault::at(2, FaultKind::BadGatewayAfterSuccess).on_any_route());
    let contacts = result_of(&env.expect(0, &run_arguments(&[])), "contacts");
    assert_eq!((count(&contacts, "written"), count(&contacts, "recovered")), (60, 59), "{contacts}");
    assert_eq!(env.sandbox().contacts("agent-shop").len(), 60);
    assert_eq!(writes(&env).len(), 2);
}

#[test]
fn an_item_deleted_before_its_completion_is_created_again() {
    let source = agent(Vendor::ChatbaseV2, 5);
    let env = env(source.clone(), empty_agent());
    env.sandbox().add_fault("agent-new", Fault::at(1, FaultKind::PlanGate).on_any_route());
    env.expect(7, &run_arguments(&["--only", "history"]));
    let begun: Vec<_> = env.sandbox().expected("agent-new").into_iter().map(|expected| expected.id).collect();
    assert_eq!(begun.len(), 1);
    env.sandbox().update("agent-new", |dataset| dataset.remove(&begun[0])).unwrap();
    let history = result_of(&env.expect(0, &run_arguments(&["--only", "history"])), "history");
    assert_eq!(count(&history, "written"), 5);
    compare(&source, &pulled_back(&env));
}

/// The vendor takes conversations, but not their messages.
#[test]
fn items_that_cannot_be_completed_are_tried_last() {
    let source = agent(Vendor::ChatbaseV2, 70);
    let env = env(source.clone(), empty_agent());
    let body = r#"{"message": "Input validation failed", "code": "BAD_REQUEST"}"#.to_owned();
    // Until something succeeds, requests are sent one by one: every second one writes messages.
    for nth in 0..70 {
        let invalid =
            FaultKind::Status { code: 400, body: body.clone(), content_type: "application/json".to_owned() };
        env.sandbox().add_fault("agent-new", Fault::at(2 * nth + 1, invalid).on_any_route());
    }
    let history = result_of(&env.expect(7, &run_arguments(&["--only", "history"])), "history");
    assert_eq!((count(&history, "refused"), count(&history, "left")), (50, 20), "{history}");
    env.sandbox().clear_faults("agent-new");
    let before = writes(&env).len();
    let history = result_of(&env.expect(0, &run_arguments(&["--only", "history"])), "history");
    assert_eq!((count(&history, "written"), count(&history, "refused")), (70, 0), "{history}");
    assert_eq!(writes(&env)[before].method, "POST", "new items come before refused ones");
    compare(&source, &pulled_back(&env));
}

#[test]
fn an_incomplete_list_does_not_prove_that_an_item_is_missing() {
    for kind in [FaultKind::HasMoreNullCursor, FaultKind::ErrorWithStatus200 { message: "no".to_owned() }] {
        let source = agent(Vendor::ChatbaseV2, 3);
        let env = env(source.clone(), empty_agent());
        env.sandbox().add_fault("agent-new", Fault::at(2, FaultKind::BadGatewayAfterSuccess).on_any_route());
        env.sandbox().add_fault("agent-new", Fault::from(5, kind).on_any_route());
        let run = env.run(&run_arguments(&["--only", "history"]));
        assert!(matches!(run.code, Some(3 | 7)), "{run:#?}");
        env.sandbox().clear_faults("agent-new");
        env.expect(0, &run_arguments(&["--only", "history"]));
        assert_eq!(env.sandbox().expected("agent-new").len(), 3);
        compare(&source, &pulled_back(&env));
    }
}

/// A person is known by the vendor's id first, and gives an e-mail address later.
#[test]
fn a_person_who_gives_an_address_later_stays_one_person() {
    let conversation_with = |id: &str, at, email: Option<&str>| {
        let email = email.map(str::to_owned);
        let name = Some("Ann".to_owned());
        let contact = Contact { id: Some("user-1".to_owned()), name, email, ..Contact::default() };
        Conversation { contact, ..api_conversation(id, "u", at, 2) }
    };
    let first =
        vec![conversation_with("a", 1_790_000_000, None), conversation_with("b", 1_790_000_100, None)];
    let env = env(agent_with(Vendor::ChatbaseV1, first), account_with_taken_ids(&[]));
    assert_eq!(count(&result_of(&env.expect(0, &run_arguments(&[])), "contacts"), "written"), 1);
    let later = conversation_with("c", 1_790_000_200, Some("ann@example.com"));
    env.sandbox().update("agent-chatbase-v1", |dataset| dataset.insert(later)).unwrap();
    env.expect(0, &["pull", "source-1"]);
    // The person is the same in every selection.
    for chosen in [&[][..], &["--until", "2026-09-21T14:14:00Z"], &["--sample", "1"]] {
        let contacts = result_of(&env.expect(0, &run_arguments(chosen)), "contacts");
        assert_eq!((count(&contacts, "items"), count(&contacts, "already")), (1, 1), "{contacts}");
    }
    assert_eq!(env.sandbox().contacts("agent-shop").len(), 1);
}

/// Earlier versions took `001234` for a telephone number, since they counted its leading zeros.
#[test]
fn a_person_whom_an_earlier_version_knew_by_a_short_number_is_not_written_again() {
    let conversation_with = |id: &str, phone: Option<&str>| {
        let (phone, name) = (phone.map(str::to_owned), Some("Ann".to_owned()));
        let contact = Contact { id: Some(format!("user-{id}")), name, phone, ..Contact::default() };
        Conversation { contact, ..api_conversation(id, "u", 1_790_000_000, 2) }
    };
    let env = env(
        agent_with(
            Vendor::ChatbaseV1,
            vec![conversation_with("a", Some("00 1234")), conversation_with("b", None)],
        ),
        account_with_taken_ids(&[]),
    );
    assert_eq!(count(&result_of(&env.expect(0, &run_arguments(&[])), "contacts"), "written"), 2);
    let archive = rusqlite::Connection::open(env.path("chatark.db")).unwrap();
    let renamed = archive.execute("UPDATE transfer SET mark = 'tel:1234' WHERE mark = 'source-1/user-a'", []);
    assert_eq!(renamed.unwrap(), 1);
    drop(archive);
    let contacts = result_of(&env.expect(0, &run_arguments(&[])), "contacts");
    assert_eq!((count(&contacts, "already"), count(&contacts, "written")), (2, 0), "{contacts}");
    assert_eq!(env.sandbox().contacts("agent-shop").len(), 2);
}

/// Two people share an id, such as that of a kiosk; a contact with the id alone is neither of them.
#[test]
fn people_who_share_an_id_stay_separate() {
    let conversation_with = |id: &str, at, email: Option<&str>| {
        let (email, name) = (email.map(str::to_owned), Some("Somebody".to_owned()));
        let contact = Contact { id: Some("kiosk".to_owned()), name, email, ..Contact::default() };
        Conversation { contact, ..api_conversation(id, "u", at, 2) }
    };
    let conversations = vec![
        conversation_with("a", 1_790_000_000, Some("ann@example.com")),
        conversation_with("b", 1_790_000_100, None),
        conversation_with("c", 1_790_000_200, Some("bob@example.com")),
    ];
    let env = env(agent_with(Vendor::ChatbaseV1, conversations), account_with_taken_ids(&[]));
    env.expect(0, &run_arguments(&[]));
    let held = env.sandbox().contacts("agent-shop");
    let mut emails: Vec<_> = held.iter().map(|contact| contact["email"].as_str().unwrap_or("none")).collect();
    emails.sort_unstable();
    assert_eq!(emails, ["ann@example.com", "bob@example.com", "none"]);
}

#[test]
fn unfinished_items_that_are_not_selected_are_reported() {
    let source = agent(Vendor::ChatbaseV2, 5);
    let env = env(source.clone(), empty_agent());
    env.sandbox().add_fault("agent-new", Fault::at(1, FaultKind::PlanGate).on_any_route());
    env.expect(7, &run_arguments(&["--only", "history"]));
    let began = source.expected().filter_map(|expected| expected.created_at).min().unwrap();
    let later = rfc3339(began + 1);
    let run = env.expect(0, &run_arguments(&["--only", "history", "--since", &later]));
    assert_eq!(count(&result_of(&run, "history"), "unfinished"), 1);
    assert!(run.stderr.contains("run it again without filters"), "{}", run.stderr);
    let history = result_of(&env.expect(0, &run_arguments(&["--only", "history"])), "history");
    assert_eq!(count(&history, "unfinished"), 0);
    compare(&source, &pulled_back(&env));
}

#[test]
fn unfinished_items_are_completed_first() {
    let source = agent(Vendor::ChatbaseV2, 5);
    let env = env(source.clone(), empty_agent());
    env.sandbox().add_fault("agent-new", Fault::at(1, FaultKind::PlanGate).on_any_route());
    env.expect(7, &run_arguments(&["--only", "history"]));
    let before = writes(&env).len();
    let history = result_of(&env.expect(0, &run_arguments(&["--only", "history"])), "history");
    assert_eq!(writes(&env)[before].method, "PATCH");
    assert_eq!((count(&history, "written"), count(&history, "already")), (5, 0));
    compare(&source, &pulled_back(&env));
}

#[test]
fn an_agent_cannot_be_migrated_into_itself_under_any_name() {
    let env = env(agent(Vendor::ConvocoreV3, 5), agent(Vendor::ChatbaseV1, 1));
    let path = env.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    let (_, section) = config.split_once("[[source]]").unwrap();
    let (section, _) = section.split_once("[[source]]").unwrap();
    let twin = section.replace("source-1", "twin");
    fs::write(&path, format!("{config}\n[[source]]{twin}")).unwrap();
    for from in [&[][..], &["--from", "source-1"]] {
        let run = env.expect(2, &[&["migrate", "plan", "--to", "twin"], from].concat());
        assert!(run.stderr.contains("itself"), "{}", run.stderr);
    }
}

/// A copy has the external id of its original.
#[test]
fn a_copy_and_its_original_are_written_once() {
    let source = agent(Vendor::ConvocoreV3, 20);
    let second = Agent { id: "agent-second".to_owned(), ..empty_agent() };
    let env = TestEnvironment::of(vec![source.clone(), empty_agent(), second]);
    env.expect(0, &["pull", "source-1"]);
    env.expect(0, &run_arguments(&["--only", "history"]));
    env.expect(0, &["pull", "source-2"]);
    let run = env.expect(0, &["migrate", "run", "--to", "source-3", "--only", "history", "--yes", "--json"]);
    assert_eq!(env.sandbox().expected("agent-second").len(), 20);
    assert_eq!(count(&result_of(&run, "history"), "items"), 20);
}

/// Chatbase lets its customers read one agent through both of its APIs.
#[test]
fn an_agent_read_through_two_apis_is_one_agent() {
    let source = agent(Vendor::ChatbaseV2, 15);
    let twin = Agent { vendor: Vendor::ChatbaseV1, ..source.clone() };
    let env = TestEnvironment::of(vec![source, empty_agent(), twin]);
    env.expect(0, &["pull", "source-1", "source-3"]);
    let run = env.expect(0, &["migrate", "run", "--to", "source-2", "--only", "history", "--yes", "--json"]);
    assert_eq!(count(&result_of(&run, "history"), "written"), 15);
    assert_eq!(env.sandbox().expected("agent-new").len(), 15);
    let run = env.expect(2, &["migrate", "plan", "--from", "source-3", "--to", "source-1"]);
    assert!(run.stderr.contains("itself"), "{}", run.stderr);
    // Copies do not become knowledge of their originals' agent.
    env.expect(0, &["pull", "source-2"]);
    let run = env.expect(2, &["migrate", "run", "--from", "source-2", "--to", "source-1", "--yes"]);
    assert!(run.stderr.contains("the target takes nothing"), "{}", run.stderr);
}

#[test]
fn the_ledger_rejects_unknown_names() {
    let env = env(agent(Vendor::ChatbaseV2, 3), empty_agent());
    assert!(env.expect(0, &["migrate", "ledger"]).stderr.contains("nothing was migrated into an agent yet"));
    env.expect(0, &run_arguments(&["--only", "history"]));
    for wrong in [
        ["ledger", "--to", "nobody"].as_slice(),
        &["ledger", "--from", "nobody"],
        &["forget", "--yes", "--to", "nobody"],
    ] {
        let run = env.expect(2, &[&["migrate"], wrong].concat());
        assert!(run.stderr.contains("source-1, source-2"), "{}", run.stderr);
    }
    let rows = env.expect(0, &["migrate", "ledger", "--to", "convocore-v3 agent-new", "--json"]).json();
    assert_eq!(rows["transfers"].as_array().unwrap().len(), 3);
}

#[test]
fn texts_of_several_sources_are_all_written() {
    let source = |id: &str, question: &str| Agent {
        id: id.to_owned(),
        ..agent_with(
            Vendor::ChatbaseV2,
            vec![question_and_answer("a", 1_790_000_000, question, "Yes, of course.")],
        )
    };
    let target = Agent::new(Vendor::ChatbaseV2, "agent-taught", KEY, Dataset::default());
    let env =
        TestEnvironment::of(vec![source("agent-a", "Is it open?"), source("agent-b", "Is it free?"), target]);
    env.expect(0, &["pull", "source-1", "source-2"]);
    for from in ["source-1", "source-2", "source-2"] {
        env.expect(0, &["migrate", "run", "--from", from, "--to", "source-3", "--as-text", "--yes"]);
    }
    let texts = env.sandbox().written_sources("agent-taught");
    let texts: Vec<_> = texts.iter().map(|text| text["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Q: Is it open?\nA: Yes, of course.", "Q: Is it free?\nA: Yes, of course."]);
}

#[test]
fn a_closed_standard_output_does_not_stop_a_run() {
    let env = env(agent(Vendor::ChatbaseV2, 5), empty_agent());
    let arguments =
        ["migrate", "run", "--from", "source-1", "--to", "source-2", "--only", "history", "--yes"];
    let mut child =
        env.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(env.sandbox().expected("agent-new").len(), 5);
}

#[test]
fn a_run_waits_before_it_looks_for_ambiguous_items() {
    let env = env(agent(Vendor::ChatbaseV2, 3), empty_agent());
    let path = env.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("settle_seconds = 0", "settle_seconds = 2")).unwrap();
    env.sandbox().add_fault("agent-new", Fault::at(2, FaultKind::BadGatewayAfterSuccess).on_any_route());
    let run = env.expect(0, &run_arguments(&["--only", "history"]));
    assert!(run.stderr.contains("s: a request without a response may still take effect"), "{}", run.stderr);
    assert_eq!(env.sandbox().expected("agent-new").len(), 3);
}

#[test]
fn nothing_is_written_without_confirmation() {
    let env = env(agent(Vendor::ChatbaseV2, 5), empty_agent());
    for (arguments, words) in [
        (vec!["migrate", "run", "--to", "source-2"], "--yes"),
        (
            vec!["migrate", "run", "--to", "source-2", "--from", "source-2", "--yes"],
            "cannot be migrated into itself",
        ),
        (vec!["migrate", "run", "--to", "source-2", "--only", "knowledge", "--yes"], "takes no knowledge"),
        (vec!["migrate", "run", "--to", "source-2", "--as-text", "--yes"], "takes no texts"),
        (vec!["migrate", "run", "--to", "nobody", "--yes"], "neither a format nor a source"),
        (vec!["migrate", "run", "--to", "vcon", "--only", "history"], "for agents"),
        (vec!["migrate", "run", "--to", "source-2", "--tag", "no such tag", "--yes"], "no conversation"),
    ] {
        let run = env.expect(2, &arguments);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(writes(&env), []);
}

/// A conversation of one question and one answer.
fn question_and_answer(id: &str, at: i64, question: &str, answer: &str) -> Conversation {
    let mut conversation = api_conversation(id, "u", at, 0);
    conversation.messages = [(Role::User, question), (Role::Assistant, answer)]
        .into_iter()
        .zip(at..)
        .map(|((role, text), at)| Message {
            id: Some(format!("{id}-{at}")),
            role,
            created_at: Some(at),
            content: vec![Content::Text(text.to_owned())],
            ..Message::default()
        })
        .collect();
    conversation
}

#[test]
fn knowledge_is_written_as_questions_with_answers_or_as_texts() {
    let lessons = vec![
        question_and_answer("a", 1_790_000_000, "Where is my order?", "Look at the tracking page."),
        question_and_answer("b", 1_790_000_100, "where is my order", "Look at the tracking page."),
        question_and_answer("c", 1_790_000_200, "When will it arrive?", "Look at the tracking page."),
        question_and_answer("d", 1_790_000_300, "Do you ship abroad?", "Yes, to all of Europe."),
    ];
    let source = agent_with(Vendor::ChatbaseV2, lessons);
    let target = Agent::new(Vendor::ChatbaseV2, "agent-taught", KEY, Dataset::default());
    let env = env(source, target);
    let run = env.expect(0, &run_arguments(&[]));
    assert_eq!(count(&result_of(&run, "knowledge"), "written"), 2);
    let sources = env.sandbox().written_sources("agent-taught");
    let taught: BTreeMap<_, BTreeSet<_>> = sources
        .iter()
        .map(|source| {
            let questions = source["questions"].as_array().unwrap();
            let questions = questions.iter().map(|question| question.as_str().unwrap().to_owned());
            (source["answer"].as_str().unwrap().to_owned(), questions.collect())
        })
        .collect();
    let tracking = taught["Look at the tracking page."].clone();
    assert!(tracking.contains("When will it arrive?") && tracking.len() == 2, "{tracking:?}");
    assert_eq!(taught["Yes, to all of Europe."], BTreeSet::from(["Do you ship abroad?".to_owned()]));

    env.expect(0, &run_arguments(&[]));
    assert_eq!(env.sandbox().written_sources("agent-taught").len(), 2, "a second run teaches nothing twice");

    env.expect(0, &run_arguments(&["--as-text"]));
    let sources = env.sandbox().written_sources("agent-taught");
    let text = sources[2]["content"].as_str().unwrap();
    assert_eq!(sources.len(), 3);
    assert!(text.contains("Q: Do you ship abroad?\nA: Yes, to all of Europe."), "{text}");
}

#[test]
fn people_become_contacts_and_existing_contacts_stay_unchanged() {
    let source = sample(Vendor::ConvocoreV3);
    let emails: BTreeSet<_> = source.expected().filter_map(|expected| expected.contact.email).collect();
    let known = emails.first().unwrap().clone();
    let mut target = Agent::new(Vendor::ChatbaseV1, "agent-shop", KEY, Dataset::default());
    target.contacts = vec![Person {
        id: "contact_x".to_owned(),
        name: Some("Somebody".to_owned()),
        email: Some(known.to_uppercase()),
        created_at: 1_790_000_000,
        ..Person::default()
    }];
    let env = TestEnvironment::of(vec![source, target]);
    env.expect(0, &["pull", "source-1"]);
    for _ in 0..2 {
        let contacts = result_of(&env.expect(0, &run_arguments(&[])), "contacts");
        assert_eq!((count(&contacts, "theirs"), count(&contacts, "refused")), (1, 0), "{contacts}");
        let held = env.sandbox().contacts("agent-shop");
        let addresses: Vec<_> =
            held.iter().filter_map(|contact| contact["email"].as_str()).map(str::to_lowercase).collect();
        assert_eq!(addresses.iter().cloned().collect::<BTreeSet<_>>(), emails);
        assert_eq!(addresses.len(), emails.len(), "nobody is there twice");
        let somebody = held.iter().find(|contact| contact["id"] == "contact_x").unwrap();
        assert_eq!(somebody["name"], "Somebody");
    }
}
