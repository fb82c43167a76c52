//! `kill -9` at any instant: what was committed is there, correct and once, and the next pull resumes from it.
//!
//! A kill lands a random moment after a random request, as the sandbox counts them, so that it lands everywhere
//! whatever the speed of the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use chatark_sandbox::{Agent, Generation, Vendor, World};
use chatark_tests::{TestEnvironment, eventually};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::export::compare_all;
use crate::support::{agent, archived, exported_documents, ids, pull_result, query_number};

/// The number of kills per pull.
const KILLS: usize = 12;

/// The number of exports that are killed.
const EXPORTS: usize = 15;

/// Pseudo-random numbers, the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns a number below a limit.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // The generator of Marsaglia, 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Starts an environment whose vendor needs a few milliseconds per response.
fn slow_environment(agent: &Agent) -> TestEnvironment {
    TestEnvironment::of_world(World {
        latency: Some(Duration::from_millis(4)),
        ..World::of(vec![agent.clone()])
    })
}

/// Kills a pull a moment after one of its next requests.
fn kill_somewhere(env: &TestEnvironment, agent: &Agent, requests: u64, random: &mut Random) {
    let before = env.sandbox().request_count(&agent.id);
    let after = random.below(requests);
    let running = env.spawn(&["pull"]);
    let running = std::cell::RefCell::new(running);
    eventually(|| {
        env.sandbox().request_count(&agent.id) >= before + after || running.borrow_mut().has_ended()
    });
    std::thread::sleep(Duration::from_micros(random.below(15_000)));
    let running = running.into_inner();
    running.kill();
    running.finish();
}

/// Checks the archive after a kill, and returns how many conversations it holds.
#[track_caller]
fn check_archive(env: &TestEnvironment, agent: &Agent) -> usize {
    let path = env.path("chatark.db");
    if !path.exists() || env.run(&["status"]).code == Some(2) {
        // Killed before there was an archive, or before it had its tables.
        return 0;
    }
    env.expect(0, &["verify"]);
    let archive = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let twice: i64 =
        archive.query_row("SELECT count(*) FROM raw WHERE version > 1", [], |row| row.get(0)).unwrap();
    assert_eq!(twice, 0, "a conversation that never changed has two versions");
    drop(archive);
    let documents = archived(env);
    let expected: BTreeSet<_> = agent.expected().map(|expected| expected.id).collect();
    let found = ids(&documents);
    assert!(found.iter().all(|(_, id)| expected.contains(id)));
    let found_ids: BTreeSet<_> = found.iter().map(|(_, id)| id).collect();
    let mut partial = agent.clone();
    for id in expected.iter().filter(|id| !found_ids.contains(id)) {
        partial.dataset.remove(id);
    }
    compare_all(env, &[partial], &documents);
    found.len()
}

/// Kills pulls of an agent, checks the archive after each kill, and checks that the last pull completes it.
///
/// A whole pull needs `requests` requests. Each kill comes within the first `latest_kill` requests of its pull.
fn check_kills(agent: &Agent, requests: u64, latest_kill: u64, seed: u64) {
    let env = slow_environment(agent);
    let total = agent.expected().count();
    let mut random = Random(seed);
    let (mut kept, mut landed) = (0, 0);
    for _ in 0..KILLS {
        kill_somewhere(&env, agent, latest_kill, &mut random);
        let now = check_archive(&env, agent);
        assert!(now >= kept, "{kept} conversations were committed, and {now} are there");
        kept = now;
        landed += usize::from(kept > 0 && kept < total);
    }
    assert!(landed >= 3, "only {landed} of {KILLS} kills left a part of the archive");
    let checkpoint = query_number(&env, "SELECT count(*) FROM checkpoint") > 0;
    let before = env.sandbox().export_count(&agent.id);
    let run = env.expect(0, &["pull", "--json"]);
    let asked = env.sandbox().export_count(&agent.id) - before;
    if checkpoint {
        assert!(asked < requests, "{asked} requests of {requests} are as many as from the start");
        assert!(run.stderr.contains("resuming where"), "{}", run.stderr);
    }
    compare_all(&env, std::slice::from_ref(agent), &archived(&env));
    if agent.vendor == Vendor::ChatbaseV2 {
        let found = pull_result(&run);
        assert_eq!((&found["verdict"], &found["seen"]), (&"complete".into(), &total.into()), "{found}");
    }
    let again = pull_result(&env.expect(0, &["pull", "--full", "--json"]));
    assert_eq!((&again["added"], &again["changed"], &again["missing"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(query_number(&env, "SELECT count(*) FROM sighting"), 0);
    env.expect(0, &["verify"]);
}

#[test]
fn chatbase_v1_resumes_after_a_kill() {
    // The first four pages come one by one; later ones come eight at a time, and are lost together.
    check_kills(&agent(Vendor::ChatbaseV1, 6_000), 76, 16, 0x5eed_0001);
}

#[test]
fn chatbase_v2_resumes_after_a_kill() {
    // Sixteen pages are in flight, and are lost with each kill.
    check_kills(&agent(Vendor::ChatbaseV2, 3_000), 150, 60, 0x5eed_0002);
}

#[test]
fn convocore_pages_resume_after_a_kill() {
    // Batches that arrive together are written together, and lost together.
    check_kills(&agent(Vendor::ConvocoreV3, 4_000), 80, 30, 0x5eed_0003);
}

/// One slow response, because there is only one request to count.
#[test]
fn convocore_one_array_resumes_after_a_kill() {
    let mut agent = agent(Vendor::ConvocoreV3, 2_000);
    agent.generation = Generation::OneArray;
    let env = slow_environment(&agent);
    let drip = chatark_sandbox::FaultKind::SlowBody { chunk: 32_768, delay: Duration::from_millis(4) };
    env.sandbox().add_fault(&agent.id, chatark_sandbox::Fault::from(0, drip));
    let mut random = Random(0x5eed_0004);
    let (mut kept, mut landed) = (0, 0);
    for _ in 0..KILLS {
        let running = env.spawn(&["pull"]);
        // The write-ahead log grows with every commit: the kill lands shortly after one.
        let wal = env.path("chatark.db-wal");
        let written = || fs::metadata(&wal).map_or(0, |metadata| metadata.len());
        let until = 50_000 + random.below(2_500_000);
        let running = std::cell::RefCell::new(running);
        eventually(|| written() >= until || running.borrow_mut().has_ended());
        std::thread::sleep(Duration::from_micros(random.below(8_000)));
        let running = running.into_inner();
        running.kill();
        running.finish();
        let now = check_archive(&env, &agent);
        assert!(now >= kept, "{kept} conversations were committed, and {now} are there");
        kept = now;
        landed += usize::from(kept > 0 && kept < 2_000);
    }
    assert!(landed >= 3, "only {landed} of {KILLS} kills left a part of the archive");
    env.sandbox().clear_faults(&agent.id);
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
    assert_eq!(query_number(&env, "SELECT max(version) FROM raw"), 1);
}

/// Killed during an incremental sweep, which has checkpoints too.
#[test]
fn an_incremental_sweep_resumes_after_a_kill() {
    let agent = agent(Vendor::ChatbaseV2, 600);
    let env = slow_environment(&agent);
    env.expect(0, &["pull"]);
    env.sandbox().update(&agent.id, |dataset| {
        for at in (0..600).step_by(7) {
            let id = dataset.conversation(at).id;
            assert!(dataset.change(&id, |conversation| conversation.title = Some(format!("Changed {at}"))));
        }
    });
    let mut random = Random(0x5eed_0005);
    for _ in 0..6 {
        kill_somewhere(&env, &agent, 60, &mut random);
        env.expect(0, &["verify"]);
    }
    let run = env.expect(0, &["pull", "--json"]);
    assert_eq!(
        (&pull_result(&run)["verdict"], &pull_result(&run)["seen"]),
        (&"complete".into(), &600.into())
    );
    compare_all(&env, &[crate::support::current_agent(&env, &agent)], &archived(&env));
    assert_eq!(query_number(&env, "SELECT count(*) FROM raw"), 600 + 86);
}

fn has_unfinished_files(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| entry.unwrap().file_name().to_str().unwrap().ends_with(".chatark-part"))
    })
}

#[test]
fn files_are_complete_or_absent() {
    let agent = agent(Vendor::ChatbaseV2, 1_500);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let messages: usize = agent.expected().map(|expected| expected.messages.len()).sum();
    let mut random = Random(0x5eed_0006);
    let folder = env.path("export");
    let mut partial = 0;
    for round in 0..EXPORTS {
        if round % 3 == 0 {
            let _ = fs::remove_dir_all(&folder);
        }
        let running = env.spawn(&["export", "--offline"]);
        let running = std::cell::RefCell::new(running);
        eventually(|| has_unfinished_files(&folder) || running.borrow_mut().has_ended());
        let delay = if round == EXPORTS - 1 { 0 } else { random.below(400_000) };
        std::thread::sleep(Duration::from_micros(delay));
        let running = running.into_inner();
        running.kill();
        running.finish();
        partial += usize::from(!folder.join("manifest.json").exists());
        let exists = |name: &str| folder.join(name).exists();
        if exists("conversations.jsonl") {
            assert_eq!(exported_documents(&folder).len(), 1_500);
        }
        if exists("conversations.json") {
            let text = fs::read_to_string(folder.join("conversations.json")).unwrap();
            let documents: Vec<Value> = serde_json::from_str(&text).unwrap();
            compare_all(&env, std::slice::from_ref(&agent), &documents);
        }
        for (name, rows) in [("conversations.csv", 1_500), ("messages.csv", messages)] {
            if exists(name) {
                let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
                assert_eq!(reader.records().map(Result::unwrap).count(), rows, "{name}");
            }
        }
    }
    assert!(partial > 0, "no kill landed before the end of an export");
    assert!(has_unfinished_files(&folder), "the last kill landed after the end of an export");
    let manifest = env.expect(0, &["export", "--offline", "--json"]).json()["manifest"].clone();
    let named: BTreeSet<_> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap().to_owned())
        .collect();
    let found: BTreeSet<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let left: Vec<_> = found
        .difference(&named)
        .filter(|name| !["manifest.json", "datapackage.json"].contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?} were left behind by an export that was killed");
}

#[test]
fn a_pull_with_other_dates_starts_its_own_sweep_and_says_so() {
    let agent = agent(Vendor::ChatbaseV2, 400);
    let env = slow_environment(&agent);
    let since = |at: usize| crate::support::rfc3339(agent.dataset.conversation(at).created_at);
    let (first, second) = (since(299), since(199));
    let mut random = Random(0x5eed_0007);
    while !env.path("chatark.db").exists() || query_number(&env, "SELECT count(*) FROM checkpoint") == 0 {
        let running = env.spawn(&["pull", "--since", &first]);
        eventually(|| env.sandbox().export_count(&agent.id) >= 6);
        std::thread::sleep(Duration::from_micros(random.below(9_000)));
        running.kill();
        running.finish();
    }
    let run = env.expect(0, &["pull", "--since", &second, "--json"]);
    assert!(run.stderr.contains("an unfinished pull has other dates"), "{}", run.stderr);
    assert_eq!(
        (&pull_result(&run)["verdict"], &pull_result(&run)["seen"]),
        (&"complete".into(), &200.into())
    );
    let run = env.expect(0, &["pull", "--since", &first, "--json"]);
    assert!(run.stderr.contains("resuming where an earlier run stopped"), "{}", run.stderr);
    assert_eq!(
        (&pull_result(&run)["verdict"], &pull_result(&run)["seen"]),
        (&"complete".into(), &300.into())
    );
    assert_eq!(ids(&archived(&env)).len(), 300);
    env.expect(0, &["pull"]);
    compare_all(&env, &[agent], &archived(&env));
}
