//! Faults of vendors and networks: what is kept, what is reported, and how the run ends.

use std::collections::BTreeSet;
use std::time::Duration;

use chatark_sandbox::truth::Conversation;
use chatark_sandbox::{
    Agent, Fault, FaultKind, Generation, RateLimitReset, RetryAfter, Sandbox, Vendor, World, Zone,
};
use chatark_tests::{Run, TestEnvironment};
use serde_json::{Value, json};

use crate::export::compare_all;
use crate::support::{
    VENDORS, agent, agent_with, archived, document, ids, pull_result, query_number, sample,
};

/// Starts an environment with a fault and an agent that needs at least three responses.
fn env(vendor: Vendor, fault: Fault) -> (TestEnvironment, Agent) {
    let agent = agent(vendor, four_pages(vendor));
    let env = TestEnvironment::of(vec![agent.clone()]);
    assert!(env.sandbox().add_fault(&agent.id, fault));
    (env, agent)
}

/// Returns how many conversations fill four responses.
fn four_pages(vendor: Vendor) -> usize {
    4 * page_size(vendor)
}

/// Returns how many conversations one response contains.
fn page_size(vendor: Vendor) -> usize {
    match vendor {
        Vendor::ChatbaseV1 => 100,
        Vendor::ChatbaseV2 => 20,
        Vendor::ConvocoreV3 => 50,
    }
}

/// Checks that the archive holds at least the first `pages` responses, and nothing that the vendor did not send.
#[track_caller]
fn assert_holds_pages(env: &TestEnvironment, agent: &Agent, pages: usize) {
    let mut expected: Vec<_> = agent.expected().map(|expected| expected.id).collect();
    if agent.vendor == Vendor::ConvocoreV3 {
        // This vendor is read from the oldest conversation on.
        expected.reverse();
    }
    let found: BTreeSet<_> = ids(&archived(env)).into_iter().map(|(_, id)| id).collect();
    let missing: Vec<_> =
        expected[..pages * page_size(agent.vendor)].iter().filter(|id| !found.contains(*id)).collect();
    assert!(missing.is_empty(), "{:?}: {missing:?} were fetched and are gone", agent.vendor);
    assert!(found.iter().all(|id| expected.contains(id)));
}

/// Checks that a pull recovers from a fault and fetches everything.
#[track_caller]
fn assert_recovers(vendor: Vendor, fault: &Fault) -> Run {
    let (env, agent) = env(vendor, fault.clone());
    let run = env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
    run
}

/// Checks how a pull with a fault in its third response ends, that the first two are kept, and that a later pull
/// resumes from there.
#[track_caller]
fn assert_ends_and_resumes(vendor: Vendor, kind: &FaultKind, code: i32, words: &[&str]) {
    let (env, agent) = env(vendor, Fault::from(2, kind.clone()));
    let run = env.expect(code, &["pull"]);
    for word in words {
        assert!(run.stderr.contains(word), "{vendor:?} {kind:?}: `{word}` is not in {}", run.stderr);
    }
    assert!(run.stderr.contains("are safe in the archive"), "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "{}", run.stderr);
    assert_holds_pages(&env, &agent, 2);
    env.sandbox().clear_faults(&agent.id);
    let before = env.sandbox().export_count(&agent.id);
    let run = env.expect(0, &["pull"]);
    assert!(run.stderr.contains("resuming where an earlier run stopped"), "{}", run.stderr);
    // Two of the four full pages are left. The first API overlaps by one page and ends with an empty one.
    let asked = env.sandbox().export_count(&agent.id) - before;
    assert!(asked <= if vendor == Vendor::ChatbaseV1 { 4 } else { 2 }, "{vendor:?}: {asked} requests");
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn a_temporary_fault_loses_nothing() {
    for vendor in VENDORS {
        for kind in [
            FaultKind::ServerError,
            FaultKind::Maintenance,
            FaultKind::CutBody,
            FaultKind::MalformedJson,
            FaultKind::HtmlWithStatus200,
            FaultKind::Status { code: 408, body: String::new(), content_type: "text/plain".to_owned() },
            FaultKind::Status { code: 502, body: "<html>".to_owned(), content_type: "text/html".to_owned() },
        ] {
            assert_recovers(vendor, &Fault::times(1, 2, kind));
        }
    }
}

#[test]
fn a_slow_response_is_awaited() {
    for vendor in VENDORS {
        assert_recovers(
            vendor,
            &Fault::at(1, FaultKind::SlowBody { chunk: 4_096, delay: Duration::from_millis(1) }),
        );
    }
}

#[test]
fn a_wait_that_the_vendor_asks_for_is_kept_and_shown() {
    for (retry_after, reset) in [
        (RetryAfter::Seconds(1), RateLimitReset::None),
        (RetryAfter::HttpDate(3), RateLimitReset::None),
        (RetryAfter::None, RateLimitReset::Seconds(3)),
        (RetryAfter::None, RateLimitReset::Milliseconds(2)),
    ] {
        let kind = FaultKind::TooManyRequests { retry_after, reset };
        let run = assert_recovers(Vendor::ChatbaseV2, &Fault::at(1, kind));
        assert!(run.stderr.contains("waiting"), "{retry_after:?} {reset:?}: {}", run.stderr);
    }
    let kind =
        FaultKind::TooManyRequests { retry_after: RetryAfter::Seconds(1), reset: RateLimitReset::None };
    for vendor in [Vendor::ChatbaseV1, Vendor::ConvocoreV3] {
        let run = assert_recovers(vendor, &Fault::at(1, kind.clone()));
        assert!(run.stderr.contains("waiting"), "{vendor:?}: {}", run.stderr);
    }
}

#[test]
fn a_wait_longer_than_the_user_allows_ends_the_run() {
    let kind =
        FaultKind::TooManyRequests { retry_after: RetryAfter::Seconds(86_400), reset: RateLimitReset::None };
    for vendor in VENDORS {
        assert_ends_and_resumes(vendor, &kind, 5, &["429", "86400 s", "max_wait_seconds"]);
    }
}

#[test]
fn a_permanent_fault_ends_the_run_and_keeps_what_was_fetched() {
    for vendor in VENDORS {
        assert_ends_and_resumes(vendor, &FaultKind::ServerError, 5, &["500"]);
        assert_ends_and_resumes(vendor, &FaultKind::CutBody, 5, &["source=source-1"]);
        assert_ends_and_resumes(vendor, &FaultKind::MalformedJson, 5, &["source=source-1"]);
        assert_ends_and_resumes(vendor, &FaultKind::HtmlWithStatus200, 5, &["web page"]);
        assert_ends_and_resumes(vendor, &FaultKind::ExpiredKey, 7, &["401"]);
    }
    assert_ends_and_resumes(
        Vendor::ChatbaseV2,
        &FaultKind::ExpiredKey,
        7,
        &["The API key has expired", "AUTH_EXPIRED_API_KEY"],
    );
}

#[test]
fn a_fault_before_anything_was_fetched_archives_nothing() {
    for vendor in VENDORS {
        for (kind, code) in [
            (FaultKind::ServerError, 5),
            (FaultKind::HtmlWithStatus200, 5),
            (FaultKind::ExpiredKey, 7),
            (
                FaultKind::Status { code: 418, body: "{}".to_owned(), content_type: "text/plain".to_owned() },
                7,
            ),
        ] {
            let (env, _) = env(vendor, Fault::from(0, kind.clone()));
            env.expect(code, &["export"]);
            assert!(!env.path("export").exists(), "{vendor:?} {kind:?}: there is nothing to write");
            assert_eq!(query_number(&env, "SELECT count(*) FROM conversation"), 0);
        }
    }
}

#[test]
fn a_failed_pull_does_not_change_earlier_files() {
    let (env, agent) = env(Vendor::ChatbaseV2, Fault::from(4, FaultKind::ServerError));
    env.expect(0, &["export"]);
    let before = std::fs::read(env.path("export/conversations.jsonl")).unwrap();
    let run = env.expect(5, &["export"]);
    assert!(run.stderr.contains("the files contain what the archive holds"), "{}", run.stderr);
    assert!(std::fs::read(env.path("export/conversations.jsonl")).unwrap() == before);
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn a_redirect_is_not_followed_and_the_key_is_not_sent() {
    for vendor in VENDORS {
        let agent = agent(vendor, 5);
        let env = TestEnvironment::of(vec![agent.clone()]);
        let counter = env.runtime.block_on(Sandbox::start_request_counter()).unwrap();
        let location = format!("{}/elsewhere", counter.url());
        let fault = Fault::from(0, FaultKind::Redirect { location }).on_any_route();
        env.sandbox().add_fault(&agent.id, fault);
        let run = env.expect(7, &["pull"]);
        assert!(run.stderr.contains("not followed"), "{}", run.stderr);
        env.expect(7, &["check"]);
        assert!(!counter.saw_authorization() && counter.request_count() == 0, "{vendor:?}");
    }
}

#[test]
fn a_repeated_cursor_ends_the_run() {
    for vendor in [Vendor::ChatbaseV2, Vendor::ConvocoreV3] {
        let (env, agent) = env(vendor, Fault::from(2, FaultKind::RepeatCursor));
        let run = env.expect(3, &["pull"]);
        assert!(run.stderr.contains("a cursor that it had given before"), "{}", run.stderr);
        // The conversations in the response with the bad cursor are good.
        assert_holds_pages(&env, &agent, 3);
    }
}

/// The pagination document defines a missing cursor as the end. The count of Chatbase v2 shows that it was not; Convocore,
/// which has none, is asked for what follows by its dates.
#[test]
fn has_more_without_a_cursor_is_the_end_and_nothing_is_claimed_beyond() {
    let fault = || Fault::at(2, FaultKind::HasMoreNullCursor);
    let (env, agent) = env(Vendor::ChatbaseV2, fault());
    let run = env.expect(3, &["pull"]);
    assert!(run.stderr.contains("60 of 80") && run.stderr.contains("short"), "{}", run.stderr);
    assert_holds_pages(&env, &agent, 3);
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
    let (env, agent) = crate::faults::env(Vendor::ConvocoreV3, fault());
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn a_repeating_page_ends_the_run() {
    assert_recovers(Vendor::ChatbaseV1, &Fault::at(1, FaultKind::RepeatCursor));
    let agent = agent(Vendor::ChatbaseV1, 100);
    let env = TestEnvironment::of(vec![agent.clone()]);
    // Every page is the previous one: the first page repeats forever.
    let rows: Vec<_> = (0..100).map(|id| json!({ "id": format!("same-{id}"), "messages": [] })).collect();
    let first = json!({ "data": rows }).to_string();
    let kind = FaultKind::Status { code: 200, body: first, content_type: "application/json".to_owned() };
    env.sandbox().add_fault(&agent.id, Fault::from(0, kind));
    let run = env.expect(3, &["pull"]);
    assert!(run.stderr.contains("the same page again and again"), "{}", run.stderr);
    assert_eq!(archived(&env).len(), 100);
}

#[test]
fn an_empty_page_with_more_is_not_the_end() {
    for vendor in [Vendor::ChatbaseV2, Vendor::ConvocoreV3] {
        let (env, agent) = env(vendor, Fault::times(1, 2, FaultKind::EmptyPage));
        let pulled = pull_result(&env.expect(0, &["pull", "--json"]));
        assert_eq!((&pulled["empty_pages"], &pulled["added"]), (&json!(2), &json!(four_pages(vendor))));
        compare_all(&env, &[agent], &archived(&env));
    }
}

#[test]
fn an_error_under_status_200_is_an_error() {
    let message = "Invalid request input: the “limit” is odd.";
    for generation in [Generation::Paged, Generation::OneArray] {
        let mut agent = agent(Vendor::ConvocoreV3, 5);
        agent.generation = generation;
        let env = TestEnvironment::of(vec![agent.clone()]);
        let kind = FaultKind::ErrorWithStatus200 { message: message.to_owned() };
        env.sandbox().add_fault(&agent.id, Fault::from(0, kind).on_any_route());
        assert!(env.expect(7, &["pull"]).stderr.contains(message));
        assert!(env.expect(7, &["check"]).stdout.contains(message));
    }
}

#[test]
fn unknown_fields_and_values_are_kept_and_counted() {
    for vendor in VENDORS {
        let (env, agent) = env(vendor, Fault::from(0, FaultKind::SchemaDrift));
        let run = env.expect(0, &["pull", "--json"]);
        let pulled = pull_result(&run);
        assert!(pulled["issues"].as_u64().unwrap() > 0 && pulled["unreadable"] == 0, "{vendor:?}: {pulled}");
        let documents = archived(&env);
        assert_eq!(documents.len(), agent.expected().count());
        for document in &documents {
            assert_eq!(document["extra"]["futureField"], json!({ "nested": [1, "two", null] }), "{vendor:?}");
            assert_eq!(document["channel"], "other", "{vendor:?}");
            let raw = document["channel_raw"].as_str().unwrap().to_lowercase();
            assert!(raw.starts_with("carrier") && raw.ends_with("pigeon"), "{raw}");
            let first = &document["messages"][0];
            assert_eq!((&first["role"], &first["role_raw"]), (&json!("other"), &json!("supervisor")));
            if vendor != Vendor::ChatbaseV1 {
                assert_eq!(
                    (&document["status"], &document["status_raw"]),
                    (&json!("other"), &json!("on_hold"))
                );
                let messages = document["messages"].as_array().unwrap();
                let mut parts = messages.iter().flat_map(|message| message["parts"].as_array().unwrap());
                assert!(
                    parts.any(|part| part["type"] == "other" && part["kind"] == "hologram"),
                    "{vendor:?}"
                );
            }
        }
        assert!(query_number(&env, "SELECT count(*) FROM issue WHERE place = 'futureField'") > 0);
    }
}

#[test]
fn times_in_another_unit_are_the_same_times() {
    for vendor in VENDORS {
        assert_recovers(vendor, &Fault::from(0, FaultKind::MillisecondTimes));
    }
}

/// Replaces a conversation in the middle by raw bytes, and returns the environment, the agent and the id.
fn environment_with_raw_record(
    vendor: Vendor,
    raw: impl FnOnce(&str) -> Vec<u8>,
) -> (TestEnvironment, Agent, String) {
    let mut agent = agent(vendor, 30);
    let id = agent.dataset.conversation(15).id;
    agent.dataset.override_raw(id.clone(), raw(&id));
    (TestEnvironment::of(vec![agent.clone()]), agent, id)
}

#[test]
fn a_record_that_is_not_an_object_does_not_end_the_run() {
    for vendor in VENDORS {
        for raw in ["[1,2]", "\"text\"", "7", "null", "true"] {
            let (env, agent, id) = environment_with_raw_record(vendor, |_| raw.as_bytes().to_vec());
            let run = env.expect(0, &["pull", "--json"]);
            assert_eq!(pull_result(&run)["unreadable"], 1, "{vendor:?} {raw}");
            assert!(run.stderr.contains("1 unreadable"), "{}", run.stderr);
            let documents = archived(&env);
            let mut expected: BTreeSet<_> = agent.expected().map(|expected| expected.id).collect();
            expected.remove(&id);
            let (odd, rest): (Vec<_>, Vec<_>) =
                ids(&documents).into_iter().map(|(_, id)| id).partition(|id| id.starts_with("unidentified-"));
            assert_eq!((odd.len(), rest.into_iter().collect()), (1, expected), "{vendor:?} {raw}");
            let size = "SELECT size FROM raw JOIN conversation USING (conversation_key) WHERE readable = 0";
            assert_eq!(query_number(&env, size), i64::try_from(raw.len()).unwrap(), "its bytes are kept");
            assert_eq!(pulled_again(&env), [0, 0, 30], "{vendor:?} {raw}");
        }
    }
}

fn pulled_again(env: &TestEnvironment) -> [u64; 3] {
    let pulled = pull_result(&env.expect(0, &["pull", "--full", "--json"]));
    ["added", "changed", "unchanged"].map(|name| pulled[name].as_u64().unwrap())
}

/// Returns a record of each vendor with an id and wrong types everywhere else.
fn wrong_shape(vendor: Vendor, id: &str) -> Vec<u8> {
    let record = match vendor {
        Vendor::ChatbaseV1 => json!({
            "id": id, "created_at": "soon", "source": 7, "customer": [1], "messages": { "role": "user" },
        }),
        Vendor::ChatbaseV2 => json!({
            "id": id, "createdAt": { "at": 1 }, "title": 4, "status": ["ended"],
            "messages": [null, 1, "x", { "role": 3, "parts": "none" }, { "parts": [7, { "type": "text", "text": 8 }] }],
        }),
        Vendor::ConvocoreV3 => json!({
            "metadata": { "feedback": 3, "convo": { "id": id, "ts": "soon", "tags": "vip" }, "sessions": 9 },
            "turns": [null, { "from": 5, "messages": [[], { "type": 1, "payload": 2 }] }, { "messages": {} }],
        }),
    };
    record.to_string().into_bytes()
}

#[test]
fn a_record_of_the_wrong_shape_is_kept_and_counted() {
    for vendor in VENDORS {
        let (env, agent, id) = environment_with_raw_record(vendor, |id| wrong_shape(vendor, id));
        let pulled = pull_result(&env.expect(0, &["pull", "--json"]));
        assert!(pulled["issues"].as_u64().unwrap() > 3 && pulled["unreadable"] == 0, "{vendor:?}: {pulled}");
        let documents = archived(&env);
        assert_eq!(documents.len(), agent.expected().count());
        let odd = document(&documents, &id);
        assert!(odd["created_at"].is_null() && odd["title"].is_null(), "nothing is invented: {odd}");
        assert_eq!(documents.last().unwrap()["id"], id.as_str(), "{vendor:?}: undated ones come last");
    }
}

#[test]
fn half_a_surrogate_pair_does_not_lose_the_record() {
    for vendor in VENDORS {
        let (env, _, id) = environment_with_raw_record(vendor, |id| {
            let record = match vendor {
                Vendor::ChatbaseV1 => {
                    json!({ "id": id, "created_at": 1_790_000_000, "messages": [{ "role": "user", "content": "Hi CUT" }] })
                }
                Vendor::ChatbaseV2 => json!({ "id": id, "createdAt": 1_790_000_000, "title": "Hi CUT",
                    "messages": [{ "role": "user", "parts": [{ "type": "text", "text": "Hi CUT" }] }] }),
                Vendor::ConvocoreV3 => json!({ "metadata": { "convo": { "id": id, "ts": 1_790_000_000 } },
                    "turns": [{ "from": "user", "messages": [{ "type": "text", "payload": { "message": "Hi CUT" } }] }] }),
            };
            record.to_string().replace("CUT", "\\ud83d").into_bytes()
        });
        let pulled = pull_result(&env.expect(0, &["pull", "--json"]));
        assert!(pulled["issues"].as_u64().unwrap() > 0 && pulled["unreadable"] == 0, "{vendor:?}: {pulled}");
        let documents = archived(&env);
        let cut = document(&documents, &id);
        assert_eq!(cut["messages"][0]["text"], "Hi \u{fffd}", "{vendor:?}");
        if vendor == Vendor::ChatbaseV2 {
            assert_eq!(cut["title"], "Hi \u{fffd}");
        }
    }
}

#[test]
fn a_message_of_fifty_megabytes_is_archived() {
    const SIZE: usize = 50_000_000;
    let (env, _, _) = environment_with_raw_record(Vendor::ChatbaseV2, |id| {
        let part = json!({ "type": "text", "text": "x".repeat(SIZE) });
        let message = json!({ "id": "huge", "role": "user", "parts": [part], "createdAt": 1_790_000_000 });
        json!({ "id": id, "createdAt": 1_790_000_000, "messages": [message] }).to_string().into_bytes()
    });
    env.expect(0, &["pull"]);
    assert_eq!(query_number(&env, "SELECT max(length(text)) FROM message"), i64::try_from(SIZE).unwrap());
    assert_eq!(query_number(&env, "SELECT count(*) FROM conversation"), 30);
}

/// Clocks in Berlin went back on 25 October 2026 at 01:00 UTC: the hour from 2 to 3 occurred twice.
#[test]
fn an_ambiguous_local_time_is_the_earlier_one_and_counted() {
    let at = |seconds: i64| Conversation {
        id: format!("at-{seconds}"),
        ..crate::support::api_conversation("x", "u", seconds, 1)
    };
    let back = 1_792_890_000;
    let conversations = vec![at(back - 7_200), at(back - 1), at(back + 60), at(back + 3_600)];
    let mut agent = agent_with(Vendor::ConvocoreV3, conversations);
    agent.zone = Zone::Berlin;
    let env = TestEnvironment::of(vec![agent.clone()]);
    let pulled = pull_result(&env.expect(0, &["pull", "--json"]));
    let documents = archived(&env);
    let time = |id: i64| document(&documents, &format!("at-{id}"))["messages"][0]["created_at"].clone();
    for exact in [back - 7_200, back - 1, back + 3_600] {
        assert_eq!(time(exact), crate::support::rfc3339(exact).as_str());
    }
    assert_eq!(time(back + 60), crate::support::rfc3339(back + 60 - 3_600).as_str());
    assert!(pulled["issues"].as_u64().unwrap() >= 2, "{pulled}");
    assert_eq!(query_number(&env, "SELECT sum(count) FROM issue WHERE kind = 'time-ambiguous'"), 2);
}

/// The texts are the vendors' own, as documented in `docs/vendors`.
#[test]
fn the_vendors_message_about_the_plan_is_shown() {
    let chatbase = "A Standard plan or higher is required to access the API";
    let plan = "API access requires the Business plan or higher (read-only). White Label unlocks full API write access.";
    let addon = "Chat Export API addon required. Subscribe to chat-export-api to use this endpoint.";
    let scope = "The API key does not have the chatlogs:export permission";
    for (vendor, kind, text) in [
        (Vendor::ChatbaseV1, FaultKind::PlanGate, chatbase),
        (Vendor::ChatbaseV2, FaultKind::PlanGate, chatbase),
        (Vendor::ChatbaseV2, FaultKind::InsufficientScope, scope),
        (Vendor::ConvocoreV3, FaultKind::PlanGate, plan),
        (Vendor::ConvocoreV3, FaultKind::InsufficientScope, addon),
    ] {
        let (env, agent) = env(vendor, Fault::from(0, kind.clone()).on_any_route());
        for command in ["pull", "export", "check"] {
            let run = env.expect(7, &[command]);
            let said = if command == "check" { &run.stdout } else { &run.stderr };
            let line =
                said.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {said}"));
            assert!(line.contains("403"), "{line}");
            assert!(said.contains("hint: "), "{said}");
            assert_eq!(line.contains("request_id=req_"), vendor != Vendor::ConvocoreV3, "{line}");
        }
        let run = env.expect(7, &["pull", "--json"]);
        assert!(pull_result(&run)["error"].as_str().unwrap().contains(text));
        assert!(pull_result(&run)["hint"].is_string());
        assert!(env.sandbox().request_count(&agent.id) <= 6, "a refusal is not asked again");
    }
}

#[test]
fn a_wrong_key_is_refused() {
    for vendor in VENDORS {
        let agent = agent(vendor, 5);
        let env = TestEnvironment::of(vec![agent]);
        for command in ["pull", "check"] {
            let mut child = env.command();
            child.arg(command).env("KEY_TEST_KEY", "wrong-key-1234");
            let run = chatark_tests::Running::start(&mut child).finish();
            assert_eq!(run.code, Some(7), "{run:#?}");
            let said = run.stdout + &run.stderr;
            assert!(said.contains("401") && said.contains("hint: the key is wrong"), "{said}");
            assert!(!said.contains("wrong-key-1234"), "the key is shown: {said}");
        }
    }
}

#[test]
fn an_unknown_agent_is_distinguished_from_an_empty_one() {
    for vendor in VENDORS {
        let mut unknown = agent_with(vendor, Vec::new());
        let mut env = TestEnvironment::of(vec![unknown.clone()]);
        // An agent without conversations is not an error, but is reported.
        let run = env.expect(0, &["pull"]);
        assert!(run.stderr.contains("no conversation that matches"), "{vendor:?}: {}", run.stderr);
        unknown.id = "no-such-agent".to_owned();
        env.write_config(&[unknown], "archive = \"other.db\"");
        if vendor == Vendor::ChatbaseV1 {
            // This vendor gives the same response for both.
            let run = env.expect(0, &["pull"]);
            assert!(run.stderr.contains("for an unknown agent"), "{}", run.stderr);
            continue;
        }
        let run = env.expect(7, &["pull"]);
        assert!(run.stderr.contains("404") && run.stderr.contains("agent_id"), "{vendor:?}: {}", run.stderr);
        let run = env.expect(7, &["check"]);
        assert!(run.stdout.contains("agent_id"), "{vendor:?}: {}", run.stdout);
    }
}

#[test]
fn one_failed_source_does_not_stop_the_others() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.sandbox().add_fault(&agents[1].id, Fault::from(0, FaultKind::ExpiredKey));
    let run = env.expect(3, &["pull", "--json"]);
    let verdicts: Vec<Value> =
        run.json()["sources"].as_array().unwrap().iter().map(|source| source["verdict"].clone()).collect();
    assert_eq!(verdicts, ["unprovable", "failed", "unprovable"]);
    let sources: BTreeSet<_> = ids(&archived(&env)).into_iter().map(|(source, _)| source).collect();
    assert_eq!(sources, ["source-1".to_owned(), "source-3".to_owned()].into());
    env.sandbox().clear_faults(&agents[1].id);
    env.expect(0, &["pull"]);
    compare_all(&env, &agents, &archived(&env));
}

#[test]
fn if_every_source_fails_the_exit_code_is_4() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    for agent in &agents {
        env.sandbox().add_fault(&agent.id, Fault::from(0, FaultKind::ServerError));
    }
    let run = env.expect(4, &["export", "--json"]);
    assert_eq!((&run.json()["exit_code"], &run.json()["manifest"]), (&json!(4), &Value::Null));
    assert!(!env.path("export").exists());
}

#[test]
fn a_truncated_array_is_complete_after_a_retry() {
    let mut agent = agent(Vendor::ConvocoreV3, 700);
    agent.generation = Generation::OneArray;
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.sandbox().add_fault(&agent.id, Fault::times(0, 2, FaultKind::CutBody));
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent.clone()], &archived(&env));

    let env = TestEnvironment::of(vec![agent.clone()]);
    env.sandbox().add_fault(&agent.id, Fault::from(0, FaultKind::CutBody));
    // What does not arrive in one response is fetched by the ids of the list.
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn a_conversation_that_cannot_be_read_is_a_gap_that_is_shown_and_can_be_accepted() {
    for vendor in VENDORS {
        let agent = agent(vendor, four_pages(vendor));
        let env = TestEnvironment::of(vec![agent.clone()]);
        let lost = agent.dataset.conversation(page_size(vendor) + 3).id;
        let unreadable = FaultKind::UnreadableConversation { id: lost.clone() };
        env.sandbox().add_fault(&agent.id, Fault::from(0, unreadable).on_any_route());

        let run = env.expect(3, &["pull", "--json"]);
        assert!(run.stderr.contains("--accept-gap"), "{vendor:?}: {}", run.stderr);
        assert_ne!(pull_result(&run)["gaps"], 0, "{vendor:?}: {run:?}");
        let mut expected: BTreeSet<_> = agent.expected().map(|expected| expected.id).collect();
        expected.remove(&lost);
        let found: BTreeSet<_> = ids(&archived(&env)).into_iter().map(|(_, id)| id).collect();
        assert_eq!(found, expected, "{vendor:?}: everything around the gap is archived");
        for command in ["status", "verify"] {
            let shown = env.expect(0, &[command]).stdout;
            assert!(shown.contains("cannot be read"), "{vendor:?}: {shown}");
            let result = env.expect(0, &[command, "--json"]).json();
            let gaps = result["sources"][0]["gaps"].as_array().unwrap();
            assert!(!gaps.is_empty() && gaps[0]["accepted_at"].is_null(), "{vendor:?}: {result}");
        }

        env.expect(0, &["pull", "--full", "--accept-gap"]);
        let result = env.expect(0, &["status", "--json"]).json();
        assert!(result["sources"][0]["gaps"][0]["accepted_at"].is_string(), "{vendor:?}: {result}");
    }
}
