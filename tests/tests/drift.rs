//! Schema drift: kept, counted by path, listed without values, and handled as configured.

use chatark_sandbox::{Agent, Fault, FaultKind, Vendor};
use chatark_tests::TestEnvironment;
use serde_json::Value;

use crate::support::{VENDORS, agent, pull_result};

/// The unknown values that the sandbox sends.
const STRANGE_VALUES: [&str; 4] = ["pigeon", "on_hold", "supervisor", "hologram"];

/// Starts an environment whose vendor sends unknown fields and values.
fn environment_with_drift(vendor: Vendor, policy: Option<&str>) -> (TestEnvironment, Agent) {
    let agent = agent(vendor, 10);
    let env = TestEnvironment::of(vec![agent.clone()]);
    if let Some(policy) = policy {
        let config = std::fs::read_to_string(env.path("config.toml")).unwrap();
        let judged =
            config.replace("name = \"source-1\"", &format!("name = \"source-1\"\ndrift = \"{policy}\""));
        std::fs::write(env.path("config.toml"), judged).unwrap();
    }
    env.sandbox().add_fault(&agent.id, Fault::from(0, FaultKind::SchemaDrift));
    (env, agent)
}

fn listed_issues(env: &TestEnvironment, arguments: &[&str]) -> Vec<Value> {
    let found = env.expect(0, &[&["drift", "--json"], arguments].concat()).json();
    found["issues"].as_array().unwrap().clone()
}

fn has_issue(issues: &[Value], kind: &str, place: &str) -> bool {
    issues.iter().any(|issue| issue["kind"] == kind && issue["place"] == place)
}

#[test]
fn unknown_fields_and_values_are_listed_by_path_without_values() {
    for vendor in VENDORS {
        let (env, agent) = environment_with_drift(vendor, None);
        let run = env.expect(0, &["pull"]);
        assert!(run.stderr.contains("new in the vendor's responses: "), "{vendor:?}: {}", run.stderr);
        let issues = listed_issues(&env, &[]);
        let (word, part) = match vendor {
            Vendor::ChatbaseV1 => ("source", None),
            Vendor::ChatbaseV2 => ("status", Some("messages[].parts[].type")),
            Vendor::ConvocoreV3 => ("metadata.convo.state", Some("turns[].messages[].type")),
        };
        assert!(has_issue(&issues, "unknown-field", "futureField"), "{vendor:?}: {issues:#?}");
        assert!(has_issue(&issues, "unknown-value", word), "{vendor:?}: {issues:#?}");
        assert!(
            part.is_none_or(|place| has_issue(&issues, "unknown-value", place)),
            "{vendor:?}: {issues:#?}"
        );
        let field = issues.iter().find(|issue| issue["place"] == "futureField").unwrap();
        assert_eq!(
            (&field["count"], &field["runs"], &field["source"]),
            (&10.into(), &1.into(), &"source-1".into())
        );
        let sample = field["sample_conversation"].as_str().unwrap();
        assert!(agent.expected().any(|expected| expected.id == sample), "{sample}");
        let shown = env.expect(0, &["drift"]).stdout;
        assert!(shown.contains("unknown-field") && shown.contains("futureField"), "{shown}");
        for text in [&shown, &run.stderr, &Value::Array(issues).to_string()] {
            let text = text.to_lowercase();
            assert!(STRANGE_VALUES.iter().all(|value| !text.contains(value)), "a value is shown: {text}");
        }
    }
}

#[test]
fn a_changed_type_is_drift_and_an_unreadable_time_is_not() {
    let agent = agent(Vendor::ChatbaseV2, 3);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let id = agent.dataset.conversation(1).id;
    let odd =
        serde_json::json!({ "id": id, "createdAt": "soon", "title": { "de": "Hallo" }, "messages": [] });
    env.sandbox().update(&agent.id, |dataset| dataset.override_raw(&id, odd.to_string()));
    env.expect(0, &["pull"]);
    let drift = listed_issues(&env, &[]);
    assert!(
        has_issue(&drift, "wrong-type", "title") && !has_issue(&drift, "time-unreadable", "createdAt"),
        "{drift:#?}"
    );
    assert!(has_issue(&listed_issues(&env, &["--all"]), "time-unreadable", "createdAt"));
}

#[test]
fn a_warning_lists_new_drift_once() {
    let (env, agent) = environment_with_drift(Vendor::ChatbaseV2, Some("warn"));
    let warned =
        |env: &TestEnvironment| env.expect(0, &["pull", "--full"]).stderr.contains("new in the vendor's");
    assert!(warned(&env));
    env.sandbox().update(&agent.id, |dataset| {
        let id = dataset.conversation(2).id;
        dataset.change(&id, |conversation| conversation.title = Some("Another".to_owned()))
    });
    assert!(!warned(&env), "it is not new any more");
    assert_eq!(listed_issues(&env, &[])[0]["runs"], 2);
    assert_eq!(listed_issues(&env, &[])[0]["count"], 1, "of the conversations that the latest run wrote");
}

#[test]
fn accepted_drift_is_counted_silently() {
    let (env, _) = environment_with_drift(Vendor::ChatbaseV2, Some("accept"));
    let run = env.expect(0, &["pull", "--json"]);
    assert!(!run.stderr.contains("new in the vendor's") && run.stderr.contains("issues"), "{}", run.stderr);
    assert!(pull_result(&run)["issues"].as_u64().unwrap() > 0 && !listed_issues(&env, &[]).is_empty());
}

#[test]
fn a_source_with_drift_fail_fails_after_archiving_everything() {
    for vendor in VENDORS {
        let (env, _) = environment_with_drift(vendor, Some("fail"));
        let run = env.expect(3, &["pull", "--json"]);
        assert!(run.stderr.contains("that Chatark does not know"), "{vendor:?}: {}", run.stderr);
        assert!(run.stderr.contains("chatark drift source-1"), "{}", run.stderr);
        assert_eq!(pull_result(&run)["added"], 10, "{vendor:?}");
        let status = env.expect(0, &["status", "--json"]).json();
        assert_eq!(status["sources"][0]["conversations"], 10);
        // Nothing was written, so no drift was found.
        env.expect(0, &["pull", "--full"]);
    }
}

#[test]
fn without_drift_the_command_says_so() {
    let env = TestEnvironment::of(vec![agent(Vendor::ChatbaseV2, 10)]);
    env.expect(0, &["pull"]);
    assert!(env.expect(0, &["drift"]).stdout.contains("everything that the vendors sent is known"));
    assert!(listed_issues(&env, &["source-1"]).is_empty());
    env.expect(2, &["drift", "nobody"]);
}

#[test]
fn an_unknown_drift_policy_is_a_mistake_with_its_line() {
    let (env, _) = environment_with_drift(Vendor::ChatbaseV2, Some("ignore"));
    let run = env.expect(2, &["pull"]);
    assert!(
        run.stderr.contains("`source[1].drift` must be one of `accept`, `warn`, `fail`"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("config.toml:") && !run.stderr.contains("ignore"), "{}", run.stderr);
}
