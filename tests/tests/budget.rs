//! Budgets: a run that spends its budget ends with code 8 and keeps everything, and the next run resumes.

use std::time::Duration;

use chatark_sandbox::{Fault, FaultKind, Vendor, World};
use chatark_tests::TestEnvironment;
use serde_json::json;

use crate::export::compare_all;
use crate::support::{VENDORS, agent, archived, ids, pull_result, query_number};

#[test]
fn a_budget_of_requests_ends_a_run_with_a_checkpoint() {
    for (vendor, held, kept) in
        [(Vendor::ChatbaseV1, 500, 300), (Vendor::ChatbaseV2, 100, 60), (Vendor::ConvocoreV3, 250, 150)]
    {
        let agent = agent(vendor, held);
        let env = TestEnvironment::of(vec![agent.clone()]);
        let run = env.expect(8, &["pull", "--max-requests", "3", "--json"]);
        assert_eq!(env.sandbox().request_count(&agent.id), 3, "{vendor:?}");
        assert_eq!(pull_result(&run)["verdict"], "budget", "{vendor:?}");
        assert_eq!((&pull_result(&run)["resumable"], &run.json()["exit_code"]), (&json!(true), &json!(8)));
        assert!(run.stderr.contains("the budget of 3 requests is spent"), "{}", run.stderr);
        assert!(run.stderr.contains("to resume where it stopped"), "{}", run.stderr);
        assert!(!run.stderr.contains("error"), "a limit set by the user is not an error: {}", run.stderr);
        assert_eq!(ids(&archived(&env)).len(), kept, "{vendor:?}");
        let status = env.expect(0, &["status"]).stdout;
        assert!(status.contains("budget"), "{status}");
        // Repeated until everything is archived.
        let mut runs = 1;
        while env.run(&["pull", "--max-requests", "3"]).code == Some(8) {
            runs += 1;
            assert!(runs < 10, "{vendor:?}: it gets no further");
        }
        compare_all(&env, &[agent], &archived(&env));
    }
}

#[test]
fn all_sources_share_one_budget() {
    let agents: Vec<_> = VENDORS.map(|vendor| agent(vendor, 400)).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.expect(8, &["pull", "--max-requests", "9"]);
    let asked: u64 = agents.iter().map(|agent| env.sandbox().request_count(&agent.id)).sum();
    assert_eq!(asked, 9);
    env.expect(0, &["pull"]);
    compare_all(&env, &agents, &archived(&env));
}

#[test]
fn a_quota_ends_a_run_after_the_response_that_reaches_it() {
    let agent = agent(Vendor::ConvocoreV3, 300);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let run = env.expect(8, &["pull", "--max-quota", "120", "--json"]);
    let used = pull_result(&run)["quota_used"].as_u64().unwrap();
    assert!((120..220).contains(&used), "{used} units are far from 120");
    assert!(run.stderr.contains("the budget of 120 units"), "{}", run.stderr);
    assert!(query_number(&env, "SELECT count(*) FROM conversation") >= 100);
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn a_budget_of_time_ends_a_run_while_it_waits() {
    for vendor in VENDORS {
        let pages = match vendor {
            Vendor::ChatbaseV1 => 500,
            Vendor::ChatbaseV2 => 100,
            Vendor::ConvocoreV3 => 250,
        };
        let agent = agent(vendor, pages);
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.sandbox().add_fault(&agent.id, Fault::from(2, FaultKind::NoResponse));
        let run = env.expect(8, &["pull", "--max-duration", "4s", "--json"]);
        assert!(run.stderr.contains("the budget of 4s is spent"), "{}", run.stderr);
        assert_eq!(ids(&archived(&env)).len(), pages * 2 / 5, "{vendor:?}: two of five pages came");
        env.sandbox().clear_faults(&agent.id);
        env.expect(0, &["pull"]);
        compare_all(&env, &[agent], &archived(&env));
    }
}

#[test]
fn an_endless_response_is_cut_and_its_records_are_kept() {
    let mut agent = agent(Vendor::ConvocoreV3, 3_000);
    agent.generation = chatark_sandbox::Generation::OneArray;
    let env = TestEnvironment::of(vec![agent.clone()]);
    let drip = FaultKind::SlowBody { chunk: 65_536, delay: Duration::from_millis(400) };
    env.sandbox().add_fault(&agent.id, Fault::from(0, drip));
    env.expect(8, &["pull", "--max-duration", "3s"]);
    let kept = ids(&archived(&env)).len();
    assert!(kept > 0 && kept < 3_000, "{kept}");
}

#[test]
fn an_export_writes_what_the_budget_allowed() {
    let agent = agent(Vendor::ChatbaseV2, 100);
    let env = TestEnvironment::of(vec![agent]);
    let run = env.expect(8, &["export", "--max-requests", "2", "--json"]);
    assert_eq!(run.json()["manifest"]["conversations"], 40);
    assert!(run.stderr.contains("the files contain what the archive holds so far"), "{}", run.stderr);
}

#[test]
fn an_invalid_budget_is_refused_before_any_request() {
    let env = TestEnvironment::sample();
    for arguments in [
        ["pull", "--max-requests", "0"],
        ["pull", "--max-requests", "many"],
        ["pull", "--max-duration", "0s"],
        ["pull", "--max-duration", "soon"],
        ["pull", "--max-quota", "-1"],
    ] {
        env.expect(2, &arguments);
    }
    env.expect(2, &["export", "--offline", "--max-requests", "1"]);
    assert_eq!(env.sandbox().requests(), []);
}
