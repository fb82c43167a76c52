//! Pulls of a window, a channel or single conversations, repeated pulls, and pulls of one customer.

use std::collections::BTreeSet;

use chatark_sandbox::truth::{Channel, Content, Message, Role};
use chatark_sandbox::{Agent, Deployment, Fault, FaultKind, Generation, Vendor, World};
use chatark_tests::TestEnvironment;
use serde_json::{Value, json};

use crate::export::{compare, compare_all};
use crate::support::{
    VENDORS, agent, agent_with, api_conversation, archived, current_agent, document, expected_ids,
    export_offline, ids, pull_result, query_number, rfc3339, sample,
};

const USER: &str = "shop-user.0";

fn ids_of_user(agent: &Agent, user: &str) -> BTreeSet<String> {
    let mine = |expected: &chatark_sandbox::Expected| {
        expected.contact.id.as_deref() == Some(user) && expected.channel == Some("api")
    };
    agent.expected().filter(mine).map(|expected| expected.id).collect()
}

fn plain_ids(documents: &[Value]) -> BTreeSet<String> {
    ids(documents).into_iter().map(|(_, id)| id).collect()
}

#[test]
fn the_conversations_of_a_customer_come_with_messages_and_tool_inputs() {
    let agent = sample(Vendor::ChatbaseV2);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let of_customer = ids_of_user(&agent, USER);
    assert_eq!(of_customer.len(), 4);
    let run = env.expect(0, &["pull", "source-1", "--user", USER, "--json"]);
    assert_eq!(
        (pull_result(&run)["added"].clone(), pull_result(&run)["verdict"].clone()),
        (json!(4), json!("complete"))
    );
    let documents = archived(&env);
    assert_eq!(plain_ids(&documents), of_customer);
    let mut calls = 0;
    for expected in agent.expected().filter(|expected| of_customer.contains(&expected.id)) {
        let document = document(&documents, &expected.id);
        compare(document, &expected);
        assert_eq!(document["derived"], json!(["channel"]), "this surface does not name the channel");
        let parts =
            document["messages"].as_array().unwrap().iter().flat_map(|one| one["parts"].as_array().unwrap());
        for call in parts.filter(|part| part["type"] == "tool_call") {
            assert_eq!(call["input"], json!({ "orderId": "1042" }));
            calls += 1;
        }
    }
    assert_eq!(calls, 3);
    assert_eq!(env.sandbox().export_count(&agent.id), 0, "the export was not asked");
}

#[test]
fn many_and_long_conversations_of_a_customer_are_complete_and_in_order() {
    let mut conversations: Vec<_> = (0..120)
        .map(|at| api_conversation(&format!("short-{at:03}"), "many", 1_790_000_000 + 60 * at, 1))
        .collect();
    conversations.push(api_conversation("long", "many", 1_780_000_000, 250));
    conversations.push(api_conversation("foreign", "somebody", 1_780_000_001, 2));
    let agent = agent_with(Vendor::ChatbaseV2, conversations);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull", "source-1", "--user", "many"]);
    let documents = archived(&env);
    assert_eq!(plain_ids(&documents), ids_of_user(&agent, "many"));
    assert_eq!(documents.len(), 121);
    for expected in agent.expected().filter(|expected| expected.id != "foreign") {
        compare(document(&documents, &expected.id), &expected);
    }
}

#[test]
fn an_odd_id_ends_no_pull_of_a_customer() {
    let ids = ["plain", "..", ".", "a/b", "+4915112345617", "last"];
    let conversations: Vec<_> =
        (0..).zip(ids).map(|(at, id)| api_conversation(id, "many", 1_790_000_000 + 60 * at, 3)).collect();
    let agent = agent_with(Vendor::ChatbaseV2, conversations);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let run = env.expect(0, &["pull", "source-1", "--user", "many"]);
    assert!(run.stderr.contains("conversation .. cannot be read by themselves"), "{}", run.stderr);
    let documents = archived(&env);
    assert_eq!(plain_ids(&documents), ids_of_user(&agent, "many"));
    for expected in agent.expected() {
        let found = document(&documents, &expected.id);
        assert_eq!(found["messages"].as_array().unwrap().len(), 3, "{found}");
    }
}

#[test]
fn a_conversation_from_both_surfaces_stays_one() {
    let agent = sample(Vendor::ChatbaseV2);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let all = agent.expected().count();
    env.expect(0, &["pull"]);
    env.expect(0, &["pull", "source-1", "--user", USER]);
    compare_all(&env, std::slice::from_ref(&agent), &archived(&env));
    let again = pull_result(&env.expect(0, &["pull", "--json"]));
    assert_eq!(
        (&again["added"], &again["changed"], &again["unchanged"]),
        (&json!(0), &json!(0), &json!(all))
    );
    let customer = pull_result(&env.expect(0, &["pull", "source-1", "--user", USER, "--json"]));
    assert_eq!(
        (&customer["added"], &customer["changed"], &customer["unchanged"]),
        (&json!(0), &json!(0), &json!(4))
    );
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn an_invalid_user_id_is_refused_before_any_request() {
    let env = TestEnvironment::sample();
    let long = "x".repeat(129);
    for bad in ["", "a b", "a/b", "../x", "ä", "a@example.com", &long] {
        let run = env.expect(2, &["pull", "source-2", "--user", bad]);
        assert!(run.stderr.contains("1 to 128 characters"), "{bad}: {}", run.stderr);
    }
    for (source, title) in [("source-1", "Chatbase API v1"), ("source-3", "Convocore API v3")] {
        let run = env.expect(2, &["pull", source, "--user", USER]);
        assert!(run.stderr.contains(title) && run.stderr.contains("--user"), "{}", run.stderr);
    }
    env.expect(2, &["pull", "--user", USER]);
    env.expect(2, &["pull", "source-1", "source-2", "--user", USER]);
    env.expect(2, &["pull", "source-2", "--user", USER, "--conversation", "x"]);
    env.expect(2, &["pull", "source-1", "--conversation", "x"]);
    assert_eq!(env.sandbox().requests(), []);
}

#[test]
fn an_unknown_user_is_reported() {
    let env = TestEnvironment::sample();
    let run = env.expect(0, &["pull", "source-2", "--user", "nobody"]);
    assert!(run.stderr.contains("no conversation of this user"), "{}", run.stderr);
    assert_eq!(archived(&env), Vec::<Value>::new());
}

#[test]
fn single_conversations_are_requested_by_id() {
    let odd = "a/b+c%20d&e=f?#~";
    for vendor in [Vendor::ChatbaseV2, Vendor::ConvocoreV3] {
        let agent = sample(vendor);
        let env = TestEnvironment::of(vec![agent.clone()]);
        let other = agent.expected().next().unwrap().id;
        let run =
            env.expect(0, &["pull", "source-1", "--conversation", odd, "--conversation", &other, "--json"]);
        assert_eq!(
            (pull_result(&run)["added"].clone(), pull_result(&run)["verdict"].clone()),
            (json!(2), json!("complete"))
        );
        let documents = archived(&env);
        assert_eq!(plain_ids(&documents), [odd.to_owned(), other.clone()].into());
        for expected in agent.expected().filter(|expected| expected.id == odd || expected.id == other) {
            compare(document(&documents, &expected.id), &expected);
        }
        let run = env.expect(3, &["pull", "source-1", "--conversation", odd, "--conversation", "no-such"]);
        assert!(
            run.stderr.contains("conversation no-such") && run.stderr.contains("short"),
            "{}",
            run.stderr
        );
        assert_eq!(archived(&env).len(), 2);
    }
}

#[test]
fn an_id_with_a_comma_is_not_split() {
    let mut agent = sample(Vendor::ConvocoreV3);
    let mut odd = agent.dataset.conversation(0);
    odd.id = "one,two".to_owned();
    agent.dataset.insert(odd);
    let env = TestEnvironment::of(vec![agent]);
    env.expect(0, &["pull", "source-1", "--conversation", "one,two"]);
    assert_eq!(plain_ids(&archived(&env)), ["one,two".to_owned()].into());
}

#[test]
fn an_old_deployment_that_ignores_the_id_is_an_error_and_archives_nothing() {
    let mut agent = sample(Vendor::ChatbaseV2);
    agent.deployment = Deployment::Old;
    let env = TestEnvironment::of(vec![agent.clone()]);
    let run = env.expect(7, &["pull", "source-1", "--conversation", "wa_15550100_1789980000"]);
    assert!(run.stderr.contains("ignores `conversationId`"), "{}", run.stderr);
    assert_eq!(archived(&env), Vec::<Value>::new());
}

/// Returns the start times of an agent's conversations, oldest first.
fn start_times(agent: &Agent) -> Vec<i64> {
    let mut times: Vec<_> = agent.expected().filter_map(|expected| expected.created_at).collect();
    times.sort_unstable();
    times
}

#[test]
fn a_window_includes_its_start_and_excludes_its_end() {
    let mut variants: Vec<_> = VENDORS.map(sample).into();
    let mut old = sample(Vendor::ChatbaseV2);
    old.deployment = Deployment::Old;
    let mut one_array = sample(Vendor::ConvocoreV3);
    one_array.generation = Generation::OneArray;
    variants.extend([old, one_array]);
    for agent in variants {
        let times = start_times(&agent);
        // Both bounds are exact start times of conversations.
        let (since, until) = (times[times.len() / 4], times[times.len() * 3 / 4]);
        let (since_text, until_text) = (rfc3339(since), rfc3339(until));
        let window = ["--since", &since_text, "--until", &until_text];
        let picks = |expected: &chatark_sandbox::Expected| {
            expected.created_at.is_some_and(|at| at >= since && at < until)
        };
        let env = TestEnvironment::of(vec![agent.clone()]);
        let expected = expected_ids([(&agent, &env.sources[0])], picks);
        assert!(expected.len() > 10 && expected.len() < times.len());

        let run = env.expect(0, &[&["pull", "--json"], &window[..]].concat());
        let name = format!("{:?} {:?} {:?}", agent.vendor, agent.generation, agent.deployment);
        assert_eq!(pull_result(&run)["added"], expected.len(), "{name}");
        assert_eq!(ids(&archived(&env)), expected, "{name}");
        env.expect(0, &["pull"]);
        assert_eq!(ids(&archived(&env)).len(), times.len(), "{name}");
        assert_eq!(ids(&export_offline(&env, &window)), expected, "{name}");
        for (arguments, picked) in [
            (
                &window[..2],
                expected_ids([(&agent, &env.sources[0])], |expected| expected.created_at >= Some(since)),
            ),
            (
                &window[2..],
                expected_ids([(&agent, &env.sources[0])], |expected| expected.created_at < Some(until)),
            ),
        ] {
            assert_eq!(ids(&export_offline(&env, arguments)), picked, "{name}");
        }
    }
}

#[test]
fn what_a_window_leaves_out_is_said_where_the_zone_is_an_assumption() {
    for vendor in VENDORS {
        let agent = sample(vendor);
        let env = TestEnvironment::of(vec![agent.clone()]);
        let times = start_times(&agent);
        // The day of this conversation is asked for, and the conversation itself is just outside.
        let since = rfc3339(times[times.len() / 2] + 1);
        let run = env.expect(0, &["pull", "--since", &since, "--json"]);
        let outside = pull_result(&run)["outside"].as_u64().unwrap();
        let is_said = run.stderr.contains("which is an assumption");
        let is_expected = outside > 0 && vendor != Vendor::ChatbaseV2;
        assert_eq!(is_said, is_expected, "{vendor:?}: {}", run.stderr);
        if vendor == Vendor::ChatbaseV1 {
            assert!(outside > 0 && run.stderr.contains("left out"), "{}", run.stderr);
        }
        let run = env.expect(0, &["pull"]);
        assert!(!run.stderr.contains("which is an assumption"), "{vendor:?}: {}", run.stderr);
    }
}

#[test]
fn dates_are_days_in_utc() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    let day = rfc3339(start_times(&agents[1])[20])[..10].to_owned();
    let midnight = start_times(&agents[1])[20].div_euclid(86_400) * 86_400;
    env.expect(0, &["pull", "--since", &day]);
    let expected =
        expected_ids(agents.iter().zip(&env.sources), |expected| expected.created_at >= Some(midnight));
    assert_eq!(ids(&archived(&env)), expected);
}

#[test]
fn a_pull_of_one_channel_is_complete() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    for channel in ["website", "whatsapp", "api", "playground", "email", "phone", "telegram"] {
        let env = TestEnvironment::of_world(World::of(agents.clone()));
        let expected =
            expected_ids(agents.iter().zip(&env.sources), |expected| expected.channel == Some(channel));
        assert!(!expected.is_empty(), "{channel}");
        env.expect(0, &["pull", "--channel", channel]);
        assert_eq!(ids(&archived(&env)), expected, "{channel}");
        env.expect(0, &["pull"]);
        assert_eq!(ids(&export_offline(&env, &["--channel", channel])), expected, "{channel}, offline");
    }
}

#[test]
fn invalid_windows_and_channels_are_refused_before_any_request() {
    let env = TestEnvironment::sample();
    for command in ["pull", "export"] {
        let reversed = env.expect(2, &[command, "--since", "2026-02-01", "--until", "2026-01-01"]);
        assert!(reversed.stderr.contains("is not before"), "{}", reversed.stderr);
        env.expect(2, &[command, "--since", "2026-02-01", "--until", "2026-02-01"]);
        for (option, value, word) in [
            ("--since", "yesterday", "2026-01-31"),
            ("--until", "2026-02-30", "2026-01-31"),
            ("--until", "1999-12-31", "2000"),
            ("--channel", "WhatsApp!", "whatsapp"),
        ] {
            let run = env.expect(2, &[command, option, value]);
            assert!(run.stderr.contains(word), "{value}: {}", run.stderr);
        }
    }
    assert_eq!(env.sandbox().requests(), []);
}

#[test]
fn a_second_pull_writes_only_what_the_vendor_changed() {
    for vendor in VENDORS {
        let agent = agent(vendor, 130);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let counts = |run| {
            let pulled = pull_result(&run);
            ["added", "changed", "unchanged", "outside"].map(|name| pulled[name].as_u64().unwrap())
        };
        assert_eq!(counts(env.expect(0, &["pull", "--full", "--json"])), [0, 0, 130, 0], "{vendor:?}");
        assert_eq!(query_number(&env, "SELECT count(*) FROM raw"), 130, "{vendor:?}");

        let changed = agent.dataset.conversation(77).id;
        env.sandbox().update(&agent.id, |dataset| {
            assert!(dataset.change(&changed, |conversation| {
                let last = conversation.messages.last_mut().unwrap();
                last.content = vec![Content::Text("Edited 🖊️".to_owned())];
            }));
            let mut added = dataset.conversation(3);
            added.id = "brand-new".to_owned();
            dataset.insert(added);
        });
        assert_eq!(counts(env.expect(0, &["pull", "--full", "--json"])), [1, 1, 129, 0], "{vendor:?}");
        let documents = archived(&env);
        compare_all(&env, &[current_agent(&env, &agent)], &documents);
        let last = document(&documents, &changed)["messages"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["text"], "Edited 🖊️");
        let versions = format!(
            "SELECT count(*) FROM raw JOIN conversation USING (conversation_key) WHERE id = '{changed}'"
        );
        assert_eq!(query_number(&env, &versions), 2, "{vendor:?}: the earlier version is kept");
        assert_eq!(query_number(&env, "SELECT count(*) FROM raw"), 132, "{vendor:?}");
    }
}

#[test]
fn what_the_vendor_deletes_stays_in_the_archive() {
    for vendor in VENDORS {
        let agent = agent(vendor, 30);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let gone = agent.dataset.conversation(12).id;
        env.sandbox().update(&agent.id, |dataset| dataset.remove(&gone).unwrap());
        env.expect(0, &["pull"]);
        compare_all(&env, &[agent], &archived(&env));
    }
}

#[test]
fn conversations_that_arrive_during_a_pull_displace_none() {
    for (vendor, verdict) in [
        (Vendor::ChatbaseV1, "unprovable"),
        (Vendor::ChatbaseV2, "grew-during-run"),
        (Vendor::ConvocoreV3, "unprovable"),
    ] {
        let agent = agent(vendor, 210);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.sandbox().add_fault(&agent.id, Fault::at(1, FaultKind::AddNewest { conversations: 7 }));
        let pulled = pull_result(&env.expect(0, &["pull", "--json"]));
        assert_eq!(pulled["verdict"], verdict);
        let found = ids(&archived(&env));
        assert!(found.is_superset(&expected_ids([(&agent, &env.sources[0])], |_| true)), "{vendor:?}");
        env.expect(0, &["pull", "--full"]);
        compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
    }
}

/// Nothing is lost between pages that are requested in parallel, whenever the list moves.
#[test]
fn conversations_that_arrive_between_parallel_pages_displace_none() {
    for vendor in [Vendor::ChatbaseV1, Vendor::ChatbaseV2] {
        let pages = if vendor == Vendor::ChatbaseV1 { 100 } else { 20 };
        let agent = agent(vendor, 24 * pages);
        for request in [6, 9, 12, 15] {
            let env = TestEnvironment::of(vec![agent.clone()]);
            let shift = FaultKind::AddNewest { conversations: pages + 7 };
            env.sandbox().add_fault(&agent.id, Fault::at(request, shift));
            env.expect(0, &["pull"]);
            let found = ids(&archived(&env));
            let expected = expected_ids([(&agent, &env.sources[0])], |_| true);
            assert_eq!(expected.difference(&found).count(), 0, "{vendor:?}, at request {request}");
        }
    }
}

#[test]
fn empty_conversations_are_archived() {
    let mut silent = api_conversation("silent", "nobody", 1_790_000_000, 0);
    silent.messages.push(Message::text(Role::Assistant, "Hi!"));
    silent.channel = Channel::Missing;
    for (vendor, expected) in [(Vendor::ChatbaseV1, 2), (Vendor::ChatbaseV2, 2), (Vendor::ConvocoreV3, 0)] {
        let agent =
            agent_with(vendor, vec![silent.clone(), api_conversation("empty", "nobody", 1_790_000_100, 0)]);
        let env = TestEnvironment::of(vec![agent.clone()]);
        let run = env.expect(0, &["pull", "--json"]);
        assert_eq!(pull_result(&run)["added"], expected, "{vendor:?}");
        assert_eq!(
            pull_result(&run)["skipped"],
            2 - expected,
            "{vendor:?}: what the vendor leaves out is counted"
        );
        compare_all(&env, &[agent], &archived(&env));
    }
}
