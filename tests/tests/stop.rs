//! Interrupted pulls, and what another process sees in the meantime.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use chatark_sandbox::{Agent, Fault, FaultKind, Generation, SeenRequest, Vendor};
use chatark_tests::{House, Running, eventually};

use crate::export::compare_all;
use crate::support::{VENDORS, agent, archived, ids, pulled};

/// Returns how many conversations fill ten responses.
fn ten_pages(vendor: Vendor) -> usize {
    match vendor {
        Vendor::ChatbaseV1 => 1_000,
        Vendor::ChatbaseV2 => 200,
        Vendor::ConvocoreV3 => 500,
    }
}

/// Starts a pull of ten pages, and returns once it hangs at the seventh.
fn hanging(vendor: Vendor) -> (House, Agent, Running) {
    let agent = agent(vendor, ten_pages(vendor));
    let mut house = House::of(vec![agent.clone()]);
    house.write_config(std::slice::from_ref(&agent), "# the pull hangs as long as this test needs");
    let config = std::fs::read_to_string(house.path("config.toml")).unwrap();
    let patient = config.replace("timeout_seconds = 5", "timeout_seconds = 100");
    assert_ne!(config, patient);
    std::fs::write(house.path("config.toml"), patient).unwrap();
    house.sandbox().add_fault(&agent.id, Fault::from(6, FaultKind::Hang));
    let running = house.spawn(&["pull"]);
    eventually(|| house.sandbox().export_count(&agent.id) > 6);
    (house, agent, running)
}

#[test]
fn ctrl_c_keeps_what_was_fetched_and_the_next_pull_resumes() {
    for vendor in VENDORS {
        let (house, agent, running) = hanging(vendor);
        running.signal("INT");
        let run = running.finish();
        assert_eq!(run.code, Some(130), "{run:#?}");
        for words in
            ["stopping after the current commit", "are safe in the archive", "to go on where it stopped"]
        {
            assert!(run.stderr.contains(words), "`{words}` is not in {}", run.stderr);
        }
        assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
        let kept = ids(&archived(&house)).len();
        assert!(kept > 0 && kept < ten_pages(vendor), "{kept}");
        let status = house.expect(0, &["status"]);
        assert!(status.stdout.contains("an unfinished pull goes on"), "{}", status.stdout);

        house.sandbox().clear_faults(&agent.id);
        let before = house.sandbox().export_count(&agent.id);
        let run = house.expect(0, &["pull", "--json"]);
        assert!(run.stderr.contains("resuming where an earlier run stopped"), "{}", run.stderr);
        let asked = house.sandbox().export_count(&agent.id) - before;
        if vendor == Vendor::ChatbaseV1 {
            // Pages are requested ahead, so the number of requests proves nothing.
            let asked = house.sandbox().requests().into_iter().rev().take(usize::try_from(asked).unwrap());
            let is_first = |seen: &SeenRequest| {
                (seen.parameter("page"), seen.parameter("size")) == (Some("1"), Some("100"))
            };
            assert!(!asked.into_iter().any(|seen| is_first(&seen)), "the first page was read again");
        } else {
            assert!(asked < 10, "{vendor:?}: {asked} requests are as many as from the start");
        }
        if vendor == Vendor::ChatbaseV2 {
            assert_eq!(pulled(&run)["verdict"], "complete", "the proof reaches over both runs");
        }
        compare_all(&house, &[agent], &archived(&house));
    }
}

#[test]
fn a_full_pull_ignores_the_checkpoint() {
    let (house, agent, running) = hanging(Vendor::ChatbaseV2);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(130));
    house.sandbox().clear_faults(&agent.id);
    let before = house.sandbox().export_count(&agent.id);
    house.expect(0, &["pull", "--full"]);
    assert_eq!(house.sandbox().export_count(&agent.id) - before, 10);
    compare_all(&house, &[agent], &archived(&house));
}

#[test]
fn sigterm_has_its_own_exit_code() {
    let (house, agent, running) = hanging(Vendor::ChatbaseV2);
    running.signal("TERM");
    let run = running.finish();
    assert_eq!(run.code, Some(143), "{run:#?}");
    assert!(run.stderr.contains("are safe in the archive"), "{}", run.stderr);
    house.sandbox().clear_faults(&agent.id);
    house.expect(0, &["pull"]);
    compare_all(&house, &[agent], &archived(&house));
}

#[test]
fn an_interrupted_export_writes_no_files() {
    let (house, agent, running) = hanging(Vendor::ChatbaseV2);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(130));
    let asked = house.sandbox().export_count(&agent.id);
    let running = house.spawn(&["export"]);
    eventually(|| house.sandbox().export_count(&agent.id) > asked);
    running.signal("INT");
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:#?}");
    assert!(run.stderr.contains("no files were written"), "{}", run.stderr);
    assert!(!house.path("export").exists());
}

/// A process that the system kills keeps its commits and releases the lock.
#[test]
fn a_killed_pull_loses_no_commit() {
    let (house, agent, running) = hanging(Vendor::ChatbaseV2);
    eventually(|| committed(&house) >= 80);
    running.signal("KILL");
    assert_eq!(running.finish().code, None);
    let kept = ids(&archived(&house)).len();
    assert!(kept >= 80, "{kept}");
    house.sandbox().clear_faults(&agent.id);
    let before = house.sandbox().export_count(&agent.id);
    house.expect(0, &["pull"]);
    assert!(house.sandbox().export_count(&agent.id) - before < 10);
    compare_all(&house, &[agent], &archived(&house));
}

/// Returns how many conversations another process sees in the archive.
fn committed(house: &House) -> u64 {
    let status = house.expect(0, &["status", "--json"]).json();
    status["sources"][0]["conversations"].as_u64().unwrap_or(0)
}

#[test]
fn records_of_an_endless_response_are_kept() {
    let mut agent = agent(Vendor::ConvocoreV3, 3_000);
    agent.generation = Generation::OneArray;
    let house = House::of(vec![agent.clone()]);
    let drip = FaultKind::Drip { chunk: 8_192, delay: Duration::from_millis(20) };
    house.sandbox().add_fault(&agent.id, Fault::from(0, drip));
    let running = house.spawn(&["pull"]);
    eventually(|| house.path("chatark.db").exists() && seen(&house) > 200);
    running.signal("INT");
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:#?}");
    let kept = ids(&archived(&house)).len();
    assert!(kept > 200 && kept < 3_000, "{kept}");
    house.sandbox().clear_faults(&agent.id);
    house.expect(0, &["pull"]);
    compare_all(&house, &[agent], &archived(&house));
}

/// Returns how many conversations the archive holds; 0 before its tables exist.
fn seen(house: &House) -> u64 {
    let run = house.run(&["status", "--json"]);
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
    let (house, agent, running) = hanging(Vendor::ChatbaseV2);
    for command in ["pull", "export", "rebuild"] {
        let run = house.expect(11, &[command]);
        assert!(run.stderr.contains(&format!("process {}", running.id())), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
    for command in ["status", "check"] {
        house.expect(0, &[command]);
    }
    eventually(|| !archived(&house).is_empty());
    for name in ["chatark.db", "chatark.db-wal", "chatark.db-shm", "chatark.db.lock"] {
        assert_eq!(mode(&house.path(name)), 0o600, "{name}");
    }
    running.signal("INT");
    running.finish();
    house.sandbox().clear_faults(&agent.id);
    house.expect(0, &["pull"]);
}
