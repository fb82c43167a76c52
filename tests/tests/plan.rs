//! The plan of a pull, compared with the pull itself.

use std::collections::BTreeMap;

use chatark_sandbox::{Agent, Generation, Vendor, World};
use chatark_tests::TestEnvironment;
use serde_json::{Value, json};

use crate::support::{VENDORS, agent, pull_result};

#[track_caller]
fn plan_of_first_source(env: &TestEnvironment, arguments: &[&str]) -> Value {
    env.expect(0, &[&["plan", "--json"], arguments].concat()).json()["sources"][0].clone()
}

/// Returns how many requests the plan made, and checks that it reports the same number.
fn asked(env: &TestEnvironment, agent: &Agent, plan: &Value, before: u64) -> u64 {
    let asked = env.sandbox().request_count(&agent.id) - before;
    assert_eq!(plan["requests_made_for_this_plan"], asked);
    asked
}

#[test]
fn a_plan_predicts_the_requests_of_a_first_pull() {
    for (vendor, number) in [(Vendor::ChatbaseV1, 730), (Vendor::ChatbaseV2, 250)] {
        let agent = agent(vendor, number);
        let env = TestEnvironment::of(vec![agent.clone()]);
        let plan = plan_of_first_source(&env, &[]);
        assert_eq!(
            (&plan["conversations"], &plan["held"], &plan["effort"]),
            (&json!(number), &json!(0), &json!("full"))
        );
        let before = asked(&env, &agent, &plan, 0);
        assert!(before <= 20, "{vendor:?}: {before} requests are many for a plan");
        assert!(!env.path("chatark.db").exists(), "a plan writes nothing");
        env.expect(0, &["pull"]);
        let made = env.sandbox().request_count(&agent.id) - before;
        // Several windows are read at once, and each can end with a partial page.
        let most = plan["requests"].as_u64().unwrap();
        let spare = if vendor == Vendor::ChatbaseV2 { 3 } else { 0 };
        assert!((most - spare..=most).contains(&(made as u64)), "{vendor:?}: {made} of {most}");
    }
}

#[test]
fn a_plan_for_a_later_pull_uses_the_archive() {
    let agent = agent(Vendor::ChatbaseV2, 400);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let plan = plan_of_first_source(&env, &[]);
    assert_eq!(
        (&plan["effort"], &plan["held"], &plan["requests"]),
        (&json!("changes"), &json!(400), &json!(26))
    );
    let before = env.sandbox().request_count(&agent.id);
    env.expect(0, &["pull"]);
    assert!((20..=26).contains(&(env.sandbox().request_count(&agent.id) - before)));
    let full = plan_of_first_source(&env, &["--full"]);
    assert_eq!((&full["effort"], &full["requests"]), (&json!("full"), &json!(26)));
}

#[test]
fn a_plan_counts_windows_and_channels_like_a_pull() {
    let agent = agent(Vendor::ChatbaseV2, 160);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let since = crate::support::rfc3339(agent.dataset.conversation(99).created_at);
    assert_eq!(plan_of_first_source(&env, &["--since", &since])["conversations"], 100);
    let expected: BTreeMap<_, usize> = agent.expected().fold(BTreeMap::new(), |mut counts, expected| {
        *counts.entry(expected.channel.unwrap_or_default().to_owned()).or_default() += 1;
        counts
    });
    assert_eq!(plan_of_first_source(&env, &["--channel", "whatsapp"])["conversations"], expected["whatsapp"]);
}

#[test]
fn a_plan_uses_no_metered_quota() {
    let agent = agent(Vendor::ConvocoreV3, 120);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let plan = plan_of_first_source(&env, &[]);
    assert_eq!((&plan["quota_left"], &plan["conversations"]), (&json!(50_000), &Value::Null));
    assert_eq!(asked(&env, &agent, &plan, 0), 1);
    assert_eq!(plan_of_first_source(&env, &[])["quota_left"], 50_000, "the plan itself was charged");
    let run = env.expect(0, &["pull", "--json"]);
    let used = pull_result(&run)["quota_used"].as_u64().unwrap();
    assert!(used >= 120);
    let plan = plan_of_first_source(&env, &["--full"]);
    assert_eq!((&plan["quota_left"], &plan["quota_used_before"]), (&json!(50_000 - used), &json!(used)));
}

#[test]
fn a_plan_does_not_read_one_array() {
    let mut agent = agent(Vendor::ConvocoreV3, 3_000);
    agent.generation = Generation::OneArray;
    let env = TestEnvironment::of(vec![agent]);
    let plan = plan_of_first_source(&env, &[]);
    assert_eq!(plan["requests"], 1);
    assert!(plan["notes"].to_string().contains("one response"), "{plan}");
}

#[test]
fn a_plan_shows_an_unfinished_pull() {
    let agent = agent(Vendor::ChatbaseV2, 100);
    let env = TestEnvironment::of(vec![agent]);
    env.expect(8, &["pull", "--max-requests", "2"]);
    let plan = plan_of_first_source(&env, &[]);
    assert_eq!((&plan["held"], plan["resumes_from"].is_string()), (&json!(40), true));
    assert!(env.expect(0, &["plan"]).stdout.contains("resumes where an earlier run stopped"));
}

#[test]
fn a_plan_of_all_sources_is_a_table_with_failures() {
    let agents: Vec<_> = VENDORS.map(|vendor| agent(vendor, 30)).into();
    let mut env = TestEnvironment::of_world(World::of(agents.clone()));
    let table = env.expect(0, &["plan"]).stdout;
    for name in ["source-1", "source-2", "source-3", "everything", "at the vendor", "quota left"] {
        assert!(table.contains(name), "{name} is not in {table}");
    }
    let mut agents = agents;
    agents[1].id = "no-such-agent".to_owned();
    env.write_config(&agents, "");
    let run = env.expect(3, &["plan", "--json"]);
    assert!(run.stderr.contains("source=source-2") && run.stderr.contains("hint: "), "{}", run.stderr);
    assert_eq!(run.json()["sources"][0]["conversations"], 30);
    env.expect(7, &["plan", "source-2"]);
    env.expect(2, &["plan", "nobody"]);
}
