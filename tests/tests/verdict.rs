//! The verdict of a run: what the vendor counts, what arrived, what is archived.

use chatark_sandbox::{Fault, FaultKind, Vendor};
use chatark_tests::TestEnvironment;
use serde_json::{Value, json};

use crate::support::{agent, pull_result};

fn conversation(id: &str) -> Value {
    json!({ "id": id, "createdAt": 1_790_000_000, "updatedAt": 1_790_000_000, "status": "ended", "messages": [] })
}

/// Starts an environment whose vendor sends one page of conversations and claims a total.
fn environment_claiming(ids: &[&str], total: u64) -> TestEnvironment {
    let agent = agent(Vendor::ChatbaseV2, 1);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let data: Vec<_> = ids.iter().map(|id| conversation(id)).collect();
    let page = json!({ "data": data, "pagination": { "cursor": null, "hasMore": false, "total": total } });
    let kind =
        FaultKind::Status { code: 200, body: page.to_string(), content_type: "application/json".to_owned() };
    env.sandbox().add_fault(&agent.id, Fault::from(0, kind));
    env
}

#[test]
fn fewer_than_the_vendor_counts_is_short() {
    let env = environment_claiming(&["a", "b"], 5);
    let mut command = env.command();
    command.args(["pull", "--json"]).env("CLICOLOR_FORCE", "1");
    let run = chatark_tests::Running::start(&mut command).finish();
    assert_eq!(run.code, Some(3), "{run:#?}");
    let line = run.stderr.lines().find(|line| line.contains("2 of 5 conversations seen")).unwrap();
    assert!(
        line.contains("short") && line.contains("\u{1b}[31m"),
        "the line with the numbers is red: {line:?}"
    );
    assert_eq!(pull_result(&run)["verdict"], "short");
    let status = env.expect(0, &["status"]).stdout;
    assert!(status.contains("short (2 of 5)"), "{status}");
    // What arrived is archived anyway.
    assert_eq!(env.expect(0, &["status", "--json"]).json()["sources"][0]["conversations"], 2);
}

#[test]
fn the_archive_keeps_every_number_of_the_verdict() {
    let env = environment_claiming(&["a", "b", "a"], 2);
    env.expect(0, &["pull"]);
    let status = env.expect(0, &["status", "--json"]).json();
    let numbers = &status["sources"][0]["last_pull"];
    for (name, number) in [
        ("total_first", 2),
        ("total_last", 2),
        ("seen", 2),
        ("received", 3),
        ("repeated", 1),
        ("added", 2),
        ("archived", 2),
        ("pages", 1),
        ("empty_pages", 0),
        ("issues", 0),
    ] {
        assert_eq!(numbers[name], number, "{name} in {numbers}");
    }
    assert_eq!((&numbers["verdict"], &numbers["effort"]), (&json!("complete"), &json!("full")));
}

#[test]
fn a_total_that_grows_during_the_run_is_not_short() {
    let agent = agent(Vendor::ChatbaseV2, 100);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.sandbox().add_fault(&agent.id, Fault::at(2, FaultKind::AddNewest { conversations: 4 }));
    env.sandbox().add_fault(&agent.id, Fault::at(3, FaultKind::EmptyPage));
    let run = env.expect(0, &["pull", "--json"]);
    let numbers = pull_result(&run);
    assert_eq!((&numbers["verdict"], &numbers["seen"]), (&json!("grew-during-run"), &json!(100)));
    assert_eq!((&numbers["total_first"], &numbers["total_last"]), (&json!(100), &json!(104)));
    assert_eq!((&numbers["pages"], &numbers["empty_pages"]), (&json!(6), &json!(1)));
    env.expect(0, &["pull"]);
    let status = env.expect(0, &["status", "--json"]).json();
    assert_eq!(status["sources"][0]["last_pull"]["archived"], 104);
}

#[test]
fn without_a_count_the_verdict_is_unprovable() {
    for vendor in [Vendor::ChatbaseV1, Vendor::ConvocoreV3] {
        let env = TestEnvironment::of(vec![agent(vendor, 30)]);
        let run = env.expect(0, &["pull", "--json"]);
        assert_eq!(
            (&pull_result(&run)["verdict"], &pull_result(&run)["total_last"]),
            (&json!("unprovable"), &Value::Null)
        );
        assert!(env.expect(0, &["status"]).stdout.contains("unprovable"));
    }
}
