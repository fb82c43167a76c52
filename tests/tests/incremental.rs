//! Later pulls: they cost only what changed, miss nothing, and mark what a vendor no longer shows.

use std::time::{SystemTime, UNIX_EPOCH};

use chatark_sandbox::truth::{Content, Conversation, Message, Role, Status};
use chatark_sandbox::{Agent, Dataset, Deployment, Fault, FaultKind, Generation, Vendor};
use chatark_tests::{Run, TestEnvironment};
use serde_json::Value;

use crate::export::compare_all;
use crate::support::{
    VENDORS, agent, agent_with, archived, current_agent, expected_ids, ids, pull_result, query_number,
};

/// Returns the counts of a pull.
#[track_caller]
fn counts(run: &Run) -> [u64; 3] {
    let pulled = pull_result(run);
    ["added", "changed", "unchanged"].map(|name| pulled[name].as_u64().unwrap())
}

/// Returns how many body bytes and requests something cost.
fn cost(env: &TestEnvironment, act: impl FnOnce()) -> (usize, usize) {
    let before = env.sandbox().requests().len();
    act();
    let asked = env.sandbox().requests().split_off(before);
    (asked.iter().map(|seen| seen.bytes).sum(), asked.len())
}

/// Adds a message to a conversation, and updates its time of change.
fn add_message(dataset: &mut Dataset, id: &str) {
    assert!(dataset.change(id, |conversation| {
        let at = conversation.updated_at + 500;
        conversation.updated_at = at;
        let said = vec![Content::Text("And one more thing 🖊️".to_owned())];
        let message = Message { created_at: Some(at), content: said, ..Message::text(Role::User, "") };
        conversation.messages.push(Message { id: Some(format!("later-{id}")), ..message });
    }));
}

fn change_and_add(env: &TestEnvironment, agent: &Agent, changed: &[&str], added: usize) {
    env.sandbox().update(&agent.id, |dataset| {
        for id in changed {
            add_message(dataset, id);
        }
        let like = dataset.conversation(0);
        for number in 0..added {
            let id = format!("brand-new-{number}");
            let created_at = like.created_at + 60 + i64::try_from(number).unwrap();
            dataset.insert(Conversation { id, created_at, updated_at: created_at, ..like.clone() });
        }
    });
}

#[test]
fn an_unchanged_agent_of_chatbase_v2_costs_only_its_summaries() {
    let agent = agent(Vendor::ChatbaseV2, 1_000);
    let env = TestEnvironment::of(vec![agent]);
    let (first, _) = cost(&env, || drop(env.expect(0, &["pull"])));
    let mut run = None;
    let (second, requests) = cost(&env, || run = Some(env.expect(0, &["pull", "--json"])));
    let run = run.unwrap();
    assert_eq!((counts(&run), &pull_result(&run)["effort"]), ([0, 0, 1_000], &Value::from("changes")));
    assert_eq!(
        (pull_result(&run)["verdict"].as_str(), pull_result(&run)["seen"].as_u64()),
        (Some("complete"), Some(1_000))
    );
    // 50 pages, what it takes to cut them into segments, and one conversation more for each that changed.
    assert!((50..=50 + 12 + 40).contains(&requests), "{requests} requests");
    assert!(second * 2 < first, "{second} bytes are not far from the {first} of the first pull");
    assert_eq!(query_number(&env, "SELECT count(*) FROM raw"), 1_000);
}

/// New messages in old conversations, which a window since the last run would miss.
#[test]
fn changes_in_chatbase_v2_are_found_anywhere() {
    for deployment in [Deployment::Current, Deployment::Old, Deployment::IgnoresId, Deployment::StrictCursors]
    {
        let mut agent = agent(Vendor::ChatbaseV2, 200);
        agent.deployment = deployment;
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let id = |at: usize| agent.dataset.conversation(at).id;
        // A single conversation on its page, a whole page, and the oldest conversation.
        let changed: Vec<_> = [45].into_iter().chain(100..120).chain([199]).map(id).collect();
        change_and_add(&env, &agent, &changed.iter().map(String::as_str).collect::<Vec<_>>(), 3);
        let run = env.expect(0, &["pull", "--json"]);
        // What was read before a restart is counted once more.
        let [added, changed, unchanged] = counts(&run);
        assert_eq!((added, changed), (3, 22), "{deployment:?}: {}", run.stderr);
        // Where ids are ignored, a page with a change is read whole, or everything is.
        let is_read_again = deployment == Deployment::IgnoresId || run.stderr.contains("reading everything");
        let again = if is_read_again { 100 } else { 0 };
        assert!((178..=178 + again).contains(&unchanged), "{deployment:?}: {}", run.stderr);
        assert_eq!(pull_result(&run)["verdict"], "complete", "{deployment:?}");
        compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
        let run = env.expect(0, &["pull", "--json"]);
        assert_eq!(counts(&run), [0, 0, 203], "{deployment:?}");
    }
}

#[test]
fn a_change_of_only_status_or_title_is_found() {
    let agent = agent(Vendor::ChatbaseV2, 60);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let (renamed, taken) = (agent.dataset.conversation(7).id, agent.dataset.conversation(41).id);
    env.sandbox().update(&agent.id, |dataset| {
        assert!(dataset.change(&renamed, |conversation| conversation.title = Some("Renamed".to_owned())));
        assert!(dataset.change(&taken, |conversation| conversation.status = Some(Status::TakenOver)));
    });
    assert_eq!(counts(&env.expect(0, &["pull", "--json"])), [0, 2, 58]);
    compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
}

#[test]
fn an_interrupted_incremental_sweep_resumes_and_is_proved() {
    let agent = agent(Vendor::ChatbaseV2, 200);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let changed: Vec<_> = (0..200).step_by(9).map(|at| agent.dataset.conversation(at).id).collect();
    change_and_add(&env, &agent, &changed.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    let asked = env.sandbox().export_count(&agent.id);
    env.sandbox().add_fault(&agent.id, Fault::from(asked + 9, FaultKind::ServerError));
    let run = env.expect(5, &["pull", "--json"]);
    assert_eq!(pull_result(&run)["resumable"], true);
    env.sandbox().clear_faults(&agent.id);
    let run = env.expect(0, &["pull", "--json"]);
    assert!(run.stderr.contains("resuming where"), "{}", run.stderr);
    assert_eq!(
        (&pull_result(&run)["verdict"], &pull_result(&run)["seen"]),
        (&"complete".into(), &200.into())
    );
    compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
    assert_eq!(query_number(&env, "SELECT count(*) FROM raw"), 200 + i64::try_from(changed.len()).unwrap());
}

#[test]
fn a_window_of_chatbase_v2_costs_what_changed_in_it() {
    let agent = agent(Vendor::ChatbaseV2, 100);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let since = crate::support::rfc3339(agent.dataset.conversation(49).created_at);
    let changed = [agent.dataset.conversation(10).id, agent.dataset.conversation(80).id];
    change_and_add(&env, &agent, &[&changed[0], &changed[1]], 0);
    let run = env.expect(0, &["pull", "--since", &since, "--json"]);
    assert_eq!(counts(&run), [0, 1, 49]);
    assert_eq!(counts(&env.expect(0, &["pull", "--json"])), [0, 1, 99]);
    compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
}

/// An agent with one conversation per day, the newest today.
fn agent_with_daily_conversations(vendor: Vendor, number: usize) -> Agent {
    let today =
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() - 3_600;
    let mut conversations: Vec<_> = agent(vendor, number).dataset.iter().collect();
    for (age, conversation) in (0..).zip(&mut conversations) {
        let shift = today - age * 86_400 - conversation.created_at;
        conversation.created_at += shift;
        conversation.updated_at += shift;
        for message in &mut conversation.messages {
            message.created_at = message.created_at.map(|at| at + shift);
        }
    }
    agent_with(vendor, conversations)
}

#[test]
fn vendors_without_change_times_are_read_by_look_back() {
    {
        let vendor = Vendor::ChatbaseV1;
        let agent = agent_with_daily_conversations(vendor, 200);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let (recent, old) = (agent.dataset.conversation(20).id, agent.dataset.conversation(150).id);
        change_and_add(&env, &agent, &[&recent, &old], 1);
        let run = env.expect(0, &["pull", "--json"]);
        assert!(run.stderr.contains("reading conversations that began since"), "{}", run.stderr);
        assert_eq!(pull_result(&run)["effort"], "recent", "{vendor:?}");
        let [added, changed, unchanged] = counts(&run);
        assert_eq!((added, changed), (1, 1), "{vendor:?}: the old one is seen by the next full sweep");
        assert!((28..=33).contains(&unchanged), "{vendor:?}: {unchanged} began in the last 30 days");
        assert_eq!(
            query_number(&env, "SELECT count(*) FROM conversation WHERE missing_since IS NOT NULL"),
            0
        );
        let run = env.expect(0, &["pull", "--full", "--json"]);
        assert_eq!((counts(&run), &pull_result(&run)["effort"]), ([0, 1, 200], &"full".into()), "{vendor:?}");
        compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
    }
}

#[test]
fn an_unchanged_array_costs_no_write() {
    // Two hundred would be the most that one documented deployment gives at once.
    let mut agent = agent_with_daily_conversations(Vendor::ConvocoreV3, 201);
    agent.generation = Generation::OneArray;
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let old = agent.dataset.conversation(150).id;
    change_and_add(&env, &agent, &[&old], 0);
    let run = env.expect(0, &["pull", "--json"]);
    assert_eq!((counts(&run), &pull_result(&run)["effort"]), ([0, 1, 200], &"full".into()));
    assert_eq!(query_number(&env, "SELECT count(*) FROM raw"), 202);
    compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
}

#[test]
fn a_full_sweep_runs_when_it_is_due() {
    for vendor in VENDORS {
        let agent = agent_with_daily_conversations(vendor, 100);
        let mut env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let effort =
            |env: &TestEnvironment| pull_result(&env.expect(0, &["pull", "--json"]))["effort"].clone();
        let usual = if vendor == Vendor::ChatbaseV1 { "recent" } else { "changes" };
        assert_eq!(effort(&env), usual);
        // Only the archive knows when the last full sweep was.
        let days = if vendor == Vendor::ChatbaseV1 { 7_i64 } else { 30 };
        let long_ago = format!("UPDATE sweep_clock SET full_from = full_from - {}", days * 86_400_000_000);
        let ledger = rusqlite::Connection::open(env.path("chatark.db")).unwrap();
        ledger.execute(&long_ago, []).unwrap();
        ledger.close().unwrap();
        assert_eq!(effort(&env), "full", "{vendor:?}");
        assert_eq!(effort(&env), usual);
        env.write_config(std::slice::from_ref(&agent), "");
        let config = std::fs::read_to_string(env.path("config.toml")).unwrap();
        let each_time = config.replace("name = \"source-1\"", "name = \"source-1\"\nfull_sweep_days = 0");
        std::fs::write(env.path("config.toml"), each_time).unwrap();
        assert_eq!(effort(&env), "full", "{vendor:?}");
    }
}

#[test]
fn an_interrupted_look_back_resumes_in_its_window() {
    // Three pages of the last thirty days, and one of older conversations.
    let mut conversations: Vec<_> =
        agent_with_daily_conversations(Vendor::ChatbaseV1, 400).dataset.iter().collect();
    let newest = conversations[0].created_at;
    for (age, conversation) in (0..).zip(&mut conversations) {
        let created_at = if age < 300 { newest - age * 3_600 } else { newest - 90 * 86_400 - age };
        (conversation.created_at, conversation.updated_at) = (created_at, created_at);
    }
    let agent = agent_with(Vendor::ChatbaseV1, conversations);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    change_and_add(&env, &agent, &[&agent.dataset.conversation(250).id], 0);
    let asked = env.sandbox().export_count(&agent.id);
    env.sandbox().add_fault(&agent.id, Fault::from(asked + 2, FaultKind::ServerError));
    env.expect(5, &["pull"]);
    env.sandbox().clear_faults(&agent.id);
    let run = env.expect(0, &["pull", "--json"]);
    assert!(run.stderr.contains("resuming where"), "{}", run.stderr);
    assert_eq!(pull_result(&run)["changed"], 1);
    // The second page again, the third, and the end.
    assert_eq!(
        env.sandbox()
            .requests()
            .iter()
            .rev()
            .take(3)
            .map(|seen| seen.parameter("page").unwrap().to_owned())
            .collect::<Vec<_>>(),
        ["4", "3", "2"]
    );
    compare_all(&env, &[current_agent(&env, &agent)], &archived(&env));
}

fn remove(env: &TestEnvironment, agent: &Agent, places: impl Iterator<Item = usize>) -> Vec<String> {
    let gone: Vec<_> = places.map(|at| agent.dataset.conversation(at).id).collect();
    env.sandbox().update(&agent.id, |dataset| {
        for id in &gone {
            dataset.remove(id).unwrap();
        }
    });
    gone
}

#[test]
fn missing_conversations_are_marked_and_kept() {
    for vendor in VENDORS {
        let agent = agent(vendor, 60);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let gone = remove(&env, &agent, [3, 40].into_iter());
        let run = env.expect(0, &["pull", "--full", "--json"]);
        assert_eq!(pull_result(&run)["missing"], 0, "{vendor:?}: one sweep is no proof");
        let run = env.expect(0, &["pull", "--full", "--json"]);
        assert_eq!(pull_result(&run)["missing"], 2, "{vendor:?}");
        assert!(run.stderr.contains("2 no longer shown by the vendor"), "{}", run.stderr);
        assert_eq!(ids(&archived(&env)), expected_ids([(&agent, &env.sources[0])], |_| true));
        let list = gone.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        let marked =
            format!("SELECT count(*) FROM conversation WHERE missing_since IS NOT NULL AND id IN ({list})");
        assert_eq!(query_number(&env, &marked), 2, "{vendor:?}");
        let status = env.expect(0, &["status", "--json"]).json();
        assert_eq!(status["sources"][0]["missing"], 2);
        // The vendor shows it again.
        let back = agent.dataset.conversation(40);
        env.sandbox().update(&agent.id, |dataset| dataset.insert(back));
        let run = env.expect(0, &["pull", "--full", "--json"]);
        assert_eq!(
            (&pull_result(&run)["returned"], &pull_result(&run)["missing"]),
            (&1.into(), &0.into()),
            "{vendor:?}"
        );
        assert_eq!(query_number(&env, &marked), 1);
    }
}

/// The list of summaries is complete, so an incremental sweep notices missing conversations.
#[test]
fn an_incremental_sweep_notices_missing_conversations() {
    let agent = agent(Vendor::ChatbaseV2, 60);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    remove(&env, &agent, [3].into_iter());
    for missing in [0, 1] {
        let run = env.expect(0, &["pull", "--json"]);
        assert_eq!(
            (&pull_result(&run)["effort"], &pull_result(&run)["missing"]),
            (&"changes".into(), &missing.into())
        );
    }
}

#[test]
fn more_than_a_tenth_missing_must_be_accepted() {
    for vendor in VENDORS {
        let agent = agent(vendor, 60);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        remove(&env, &agent, 0..7);
        for _ in 0..2 {
            let run = env.expect(3, &["pull", "--full", "--json"]);
            assert_eq!(
                (&pull_result(&run)["verdict"], &pull_result(&run)["missing"]),
                (&"short".into(), &0.into())
            );
            assert!(run.stderr.contains("no longer shows 7 of 60 archived conversations"), "{}", run.stderr);
            assert!(
                run.stderr.contains("hint: ") && run.stderr.contains("--accept-missing"),
                "{}",
                run.stderr
            );
            let status = env.expect(0, &["status"]).stdout;
            assert!(status.contains("short"), "{status}");
        }
        let run = env.expect(0, &["pull", "--full", "--accept-missing", "--json"]);
        assert_eq!(pull_result(&run)["missing"], 7, "{vendor:?}");
        assert_eq!(archived(&env).len(), 60, "{vendor:?}: nothing is deleted");
        env.expect(0, &["pull", "--full"]);
    }
}

/// An agent that was emptied, or a vendor with an outage.
#[test]
fn an_agent_that_becomes_empty_marks_nothing_as_missing() {
    for vendor in VENDORS {
        let agent = agent(vendor, 20);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        remove(&env, &agent, 0..20);
        let run = env.expect(3, &["pull", "--full"]);
        assert!(run.stderr.contains("20 of 20"), "{vendor:?}: {}", run.stderr);
        assert_eq!(archived(&env).len(), 20);
    }
}

/// Rows move between two pages; a list that is paged by number misses the row that crossed the boundary.
#[test]
fn rows_that_moved_between_pages_are_found_by_the_next_sweep() {
    for vendor in VENDORS {
        let agent = agent(vendor, 330);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.sandbox().add_fault(&agent.id, Fault::at(1, FaultKind::RemoveNewest { conversations: 3 }));
        env.expect(0, &["pull"]);
        env.expect(0, &["pull", "--full"]);
        let left = expected_ids([(&current_agent(&env, &agent), &env.sources[0])], |_| true);
        assert!(ids(&archived(&env)).is_superset(&left), "{vendor:?}");
    }
}
