//! Interrupted pulls, and what another process sees in the meantime.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use chatark_sandbox::{Agent, Fault, FaultKind, Generation, SeenRequest, Vendor};
use chatark_tests::{Running, TestEnvironment, eventually};

use crate::export::compare_all;
use crate::support::{VENDORS, agent, archived, ids, pull_result};

/// Returns how many conversations fill ten responses.
fn ten_pages(vendor: Vendor) -> usize {
    match vendor {
        Vendor::ChatbaseV1 => 1_000,
        Vendor::ChatbaseV2 => 200,
        Vendor::ConvocoreV3 => 500,
    }
}

/// Starts a pull of ten pages, and returns once it hangs at the seventh.
fn hanging_pull(vendor: Vendor) -> (TestEnvironment, Agent, Running) {
    let agent = agent(vendor, ten_pages(vendor));
    let mut env = TestEnvironment::of(vec![agent.clone()]);
    env.write_config(std::slice::from_ref(&agent), "# the pull hangs as long as this test needs");
    let config = std::fs::read_to_string(env.path("config.toml")).unwrap();
    let patient = config.replace("timeout_seconds = 5", "timeout_seconds = 100");
    assert_ne!(config, patient);
    std::fs::write(env.path("config.toml"), patient).unwrap();
    env.sandbox().add_fault(&agent.id, Fault::from(6, FaultKind::NoResponse));
    let running = env.spawn(&["pull"]);
    eventually(|| env.sandbox().export_count(&agent.id) > 6);
    (env, agent, running)
}

#[test]
fn ctrl_c_keeps_what_was_fetched_and_the_next_pull_resumes() {
    for vendor in VENDORS {
        let (env, agent, running) = hanging_pull(vendor);
        running.signal("INT");
        let run = running.finish();
        assert_eq!(run.code, Some(130), "{run:#?}");
        for words in
            ["stopping after the current commit", "are safe in the archive", "to resume where it stopped"]
        {
            assert!(run.stderr.contains(words), "`{words}` is not in {}", run.stderr);
        }
        assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
        let kept = ids(&archived(&env)).len();
        assert!(kept > 0 && kept < ten_pages(vendor), "{kept}");
        let status = env.expect(0, &["status"]);
        assert!(status.stdout.contains("an unfinished pull can be resumed"), "{}", status.stdout);

        env.sandbox().clear_faults(&agent.id);
        let before = env.sandbox().export_count(&agent.id);
        let run = env.expect(0, &["pull", "--json"]);
        assert!(run.stderr.contains("resuming where an earlier run stopped"), "{}", run.stderr);
        let asked = env.sandbox().export_count(&agent.id) - before;
        if vendor == Vendor::ChatbaseV1 {
            // Pages are requested ahead, so the number of requests proves nothing.
            let asked = env.sandbox().requests().into_iter().rev().take(usize::try_from(asked).unwrap());
            let is_first = |seen: &SeenRequest| {
                (seen.parameter("page"), seen.parameter("size")) == (Some("1"), Some("100"))
            };
            assert!(!asked.into_iter().any(|seen| is_first(&seen)), "the first page was read again");
        } else {
            assert!(asked < 10, "{vendor:?}: {asked} requests are as many as from the start");
        }
        if vendor == Vendor::ChatbaseV2 {
            assert_eq!(pull_result(&run)["verdict"], "complete", "the verdict covers both runs");
        }
        compare_all(&env, &[agent], &archived(&env));
    }
}

#[test]
fn a_full_pull_ignores_the_checkpoint() {
    let (env, agent, running) = hanging_pull(Vendor::ChatbaseV2);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(130));
    env.sandbox().clear_faults(&agent.id);
    let before = env.sandbox().export_count(&agent.id);
    env.expect(0, &["pull", "--full"]);
    assert_eq!(env.sandbox().export_count(&agent.id) - before, 10);
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn sigterm_has_its_own_exit_code() {
    let (env, agent, running) = hanging_pull(Vendor::ChatbaseV2);
    running.signal("TERM");
    let run = running.finish();
    assert_eq!(run.code, Some(143), "{run:#?}");
    assert!(run.stderr.contains("are safe in the archive"), "{}", run.stderr);
    env.sandbox().clear_faults(&agent.id);
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
}

#[test]
fn an_interrupted_export_writes_no_files() {
    let (env, agent, running) = hanging_pull(Vendor::ChatbaseV2);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(130));
    let asked = env.sandbox().export_count(&agent.id);
    let running = env.spawn(&["export"]);
    eventually(|| env.sandbox().export_count(&agent.id) > asked);
    running.signal("INT");
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:#?}");
    assert!(run.stderr.contains("no files were written"), "{}", run.stderr);
    assert!(!env.path("export").exists());
}

/// A process that the system kills keeps its commits and releases the lock.
#[test]
fn a_killed_pull_loses_no_commit() {
    let (env, agent, running) = hanging_pull(Vendor::ChatbaseV2);
    eventually(|| committed_conversations(&env) >= 80);
    running.signal("KILL");
    assert_eq!(running.finish().code, None);
    let kept = ids(&archived(&env)).len();
    assert!(kept >= 80, "{kept}");
    env.sandbox().clear_faults(&agent.id);
    let before = env.sandbox().export_count(&agent.id);
    env.expect(0, &["pull"]);
    assert!(env.sandbox().export_count(&agent.id) - before < 10);
    compare_all(&env, &[agent], &archived(&env));
}

/// Returns how many conversations another process sees in the archive.
fn committed_conversations(env: &TestEnvironment) -> u64 {
    let status = env.expect(0, &["status", "--json"]).json();
    status["sources"][0]["conversations"].as_u64().unwrap_or(0)
}

#[test]
fn records_of_an_endless_response_are_kept() {
    let mut agent = agent(Vendor::ConvocoreV3, 3_000);
    agent.generation = Generation::OneArray;
    let env = TestEnvironment::of(vec![agent.clone()]);
    let drip = FaultKind::SlowBody { chunk: 8_192, delay: Duration::from_millis(20) };
    env.sandbox().add_fault(&agent.id, Fault::from(0, drip));
    let running = env.spawn(&["pull"]);
    eventually(|| env.path("chatark.db").exists() && held_so_far(&env) > 200);
    running.signal("INT");
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:#?}");
    let kept = ids(&archived(&env)).len();
    assert!(kept > 200 && kept < 3_000, "{kept}");
    env.sandbox().clear_faults(&agent.id);
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
}

/// Returns how many conversations the archive holds; 0 before its tables exist.
fn held_so_far(env: &TestEnvironment) -> u64 {
    let run = env.run(&["status", "--json"]);
    if run.code != Some(0) {
        return 0;
    }
    run.json()["sources"][0]["conversations"].as_u64().unwrap_or(0)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_second_writer_is_refused_with_the_holders_pid_and_readers_are_not() {
    let (env, agent, running) = hanging_pull(Vendor::ChatbaseV2);
    for command in ["pull", "export", "rebuild"] {
        let run = env.expect(11, &[command]);
        assert!(run.stderr.contains(&format!("process {}", running.id())), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
    for command in ["status", "check"] {
        env.expect(0, &[command]);
    }
    eventually(|| !archived(&env).is_empty());
    for name in ["chatark.db", "chatark.db-wal", "chatark.db-shm", "chatark.db.lock"] {
        assert_eq!(mode(&env.path(name)), 0o600, "{name}");
    }
    running.signal("INT");
    running.finish();
    env.sandbox().clear_faults(&agent.id);
    env.expect(0, &["pull"]);
}
