//! Any command upgrades an archive of an earlier layout in place, and gives the same results as before.
//!
//! The archive and what is expected of it were written by the version that had this layout: see
//! `tests/fixtures/layout-3/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chatark_sandbox::{Agent, Dataset, GeneratorSettings, Vendor};
use chatark_tests::{Running, TestEnvironment, provider, repository};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::disk::{on_a_disk_of, section};
use crate::kill::Random;
use crate::support::query_number;

/// The layout of the fixture.
const LAYOUT: i64 = 3;

/// Conversations of the fixture that `shop` and `shop-legacy` both show, through two APIs of one agent.
const SHOWN_TWICE: f64 = 20.0;

const KILLS: usize = 24;

/// The beginning of the notice that the archive is being upgraded.
const NOTICE: &str = "upgrading the archive from layout 3 to";

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures/layout-3").join(name)
}

fn decompressed(name: &str) -> Vec<u8> {
    let path = fixture(name);
    zstd::decode_all(fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

fn expected(name: &str) -> String {
    String::from_utf8(decompressed(&format!("expected/{name}.zst"))).unwrap()
}

fn expected_json(name: &str) -> Value {
    serde_json::from_str(&expected(name)).unwrap()
}

/// Starts an environment with the archive and its config, without a sandbox and without keys.
fn env() -> TestEnvironment {
    let mut env = TestEnvironment::of(Vec::new());
    env.stop_sandbox();
    fs::copy(fixture("config.toml"), env.path("config.toml")).unwrap();
    fs::write(env.path("chatark.db"), decompressed("chatark.db.zst")).unwrap();
    env
}

/// Returns an environment whose archive has been upgraded.
fn upgraded() -> TestEnvironment {
    let env = env();
    env.expect(0, &["status"]);
    env
}

fn layout(env: &TestEnvironment) -> i64 {
    query_number(env, "PRAGMA user_version")
}

/// A CSV file: its columns, and its rows.
type Table = (Vec<String>, Vec<Vec<String>>);

fn table(text: &str) -> Table {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    (columns, rows)
}

/// Returns a file of today, reduced to its first columns, which must be those of the fixture.
#[track_caller]
fn in_columns_of(before: &Table, path: &Path) -> Vec<Vec<String>> {
    let (columns, mut rows) = table(&fs::read_to_string(path).unwrap());
    assert!(columns.starts_with(&before.0), "{}: {columns:?}", path.display());
    for row in &mut rows {
        row.truncate(before.0.len());
    }
    rows
}

/// Checks that every value that was there before is there now under the same key.
#[track_caller]
fn assert_keeps(before: &Value, now: &Value, place: &str) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (key, value) in before {
                let found = now.get(key).unwrap_or_else(|| panic!("{place}.{key} is gone"));
                assert_keeps(value, found, &format!("{place}.{key}"));
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            assert_eq!(before.len(), now.len(), "{place}");
            for (at, (before, now)) in before.iter().zip(now).enumerate() {
                assert_keeps(before, now, &format!("{place}[{at}]"));
            }
        }
        _ => assert_eq!(before, now, "{place}"),
    }
}

/// Exports everything, and compares with what was exported before the upgrade.
#[track_caller]
fn assert_exports_the_same(env: &TestEnvironment) {
    env.expect(0, &["export", "--offline", "--format", "json,jsonl,csv"]);
    let read = |name: &str| fs::read_to_string(env.path("export").join(name)).unwrap();
    for name in ["conversations.csv", "messages.csv"] {
        let before = table(&expected(&format!("export/{name}")));
        assert_eq!(in_columns_of(&before, &env.path("export").join(name)), before.1, "{name}");
    }
    let now: Value = serde_json::from_str(&read("conversations.json")).unwrap();
    assert_keeps(&expected_json("export/conversations.json"), &now, "conversations.json");
    let (before, now) = (expected("export/conversations.jsonl"), read("conversations.jsonl"));
    assert_eq!(before.lines().count(), now.lines().count());
    for (at, (before, now)) in before.lines().zip(now.lines()).enumerate() {
        let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        assert_keeps(&parse(before), &parse(now), &format!("conversations.jsonl:{at}"));
    }
}

#[test]
fn any_command_upgrades_the_archive_without_keys_and_says_so_once() {
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["export", "--offline"],
        &["report"],
        &["verify"],
        &["drift"],
        &["rebuild"],
        &["migrate", "ledger"],
        &["migrate", "plan", "--to", "openai-jsonl"],
    ] {
        let env = env();
        let run = env.expect(0, arguments);
        assert_eq!(run.stderr.matches(NOTICE).count(), 1, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("of disk"), "{arguments:?} does not say the space: {}", run.stderr);
        assert!(layout(&env) > LAYOUT, "{arguments:?}");
        assert!(!env.expect(0, arguments).stderr.contains(NOTICE), "{arguments:?} upgrades again");
    }
}

#[test]
fn exports_have_the_same_cells_and_values() {
    assert_exports_the_same(&env());
}

#[test]
fn status_drift_and_the_ledger_say_the_same() {
    let env = env();
    let mut before = expected_json("status.json");
    // The size of the file is the one thing that an upgrade changes.
    before.as_object_mut().unwrap().remove("bytes").unwrap();
    assert_keeps(&before, &env.expect(0, &["status", "--json"]).json(), "status");
    assert_keeps(&expected_json("drift.json"), &env.expect(0, &["drift", "--all", "--json"]).json(), "drift");
    let ledger = env.expect(0, &["migrate", "ledger", "--json", "--csv", "ledger.csv"]).json();
    assert_keeps(&expected_json("ledger.json"), &ledger, "ledger");
    let before = table(&expected("ledger.csv"));
    assert_eq!(in_columns_of(&before, &env.path("ledger.csv")), before.1);
}

#[test]
fn the_archive_verifies_with_every_version_and_byte() {
    let env = env();
    let mut before = expected_json("verify.json");
    for source in before["sources"].as_array_mut().unwrap() {
        // An improved mapper may read more from the same bytes than it did then.
        source.as_object_mut().unwrap().retain(|key, _| !["outdated", "findings"].contains(&key.as_str()));
    }
    assert_keeps(&before, &env.expect(0, &["verify", "--json"]).json(), "verify");
}

#[test]
fn a_rebuild_without_keys_keeps_every_value() {
    let env = env();
    env.expect(0, &["rebuild"]);
    assert_exports_the_same(&env);
    let found = env.expect(0, &["verify", "--json"]).json();
    for source in found["sources"].as_array().unwrap() {
        assert_eq!((&source["outdated"], &source["damaged"]), (&0.into(), &0.into()), "{source}");
    }
}

/// Splits the rows of a report into those of a source, and the totals over all of them by what they count.
fn split(table: &Table, rows: Vec<Vec<String>>) -> (Vec<Vec<String>>, BTreeMap<Vec<String>, f64>) {
    let column = |name: &str| table.0.iter().position(|column| column == name);
    let source = column("source").unwrap();
    let (of_sources, totals): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| !row[source].is_empty());
    let value = column("value");
    let total = |mut row: Vec<String>| {
        let value = row[value.unwrap()].parse().unwrap();
        row.retain(|cell| cell.parse::<f64>().is_err());
        (row, value)
    };
    (of_sources, totals.into_iter().map(total).collect())
}

#[test]
fn reports_have_the_same_cells_and_totals_count_a_conversation_once() {
    let env = env();
    for (folder, arguments) in [
        ("report", &["report"][..]),
        ("report-days", &["report", "--by", "day", "--timezone", "Europe/Berlin"]),
    ] {
        env.expect(0, &[arguments, &["--output", folder]].concat());
        let files = fs::read_dir(fixture("expected").join(folder)).unwrap();
        let names: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 11, "{names:?}");
        for name in names {
            let name = name.strip_suffix(".zst").unwrap();
            let before = table(&expected(&format!("{folder}/{name}")));
            let now = in_columns_of(&before, &env.path(folder).join(name));
            let (of_sources, totals) = split(&before, before.1.clone());
            let (of_sources_now, totals_now) = split(&before, now);
            assert_eq!(of_sources_now, of_sources, "{folder}/{name}");
            if name == "summary.csv" {
                let total = |totals: &BTreeMap<Vec<String>, f64>| {
                    let mut found =
                        totals.iter().filter(|(row, _)| row.contains(&"conversations".to_owned()));
                    *found.next().unwrap().1
                };
                assert!((total(&totals) - total(&totals_now) - SHOWN_TWICE).abs() < 0.5, "{totals_now:?}");
            }
        }
    }
    let compare = ["report", "compare", "--a", "shop-legacy", "--b", "shop", "--json"];
    assert_keeps(&expected_json("compare.json"), &env.expect(0, &compare).json(), "compare");
}

/// Returns the agents of the unfinished pulls, as they were when the fixture was made.
fn unfinished() -> [(&'static str, Agent); 2] {
    let agent = |vendor, id: &str, conversations, messages_per_conversation| {
        let settings = GeneratorSettings {
            seed: 7,
            conversations,
            messages_per_conversation,
            ..GeneratorSettings::default()
        };
        Agent::new(vendor, id, "fixture-key", Dataset::generated(vendor, settings))
    };
    [
        ("unfinished", agent(Vendor::ChatbaseV2, "unfinished-agent", 230, 1)),
        ("unfinished-voice", agent(Vendor::ConvocoreV3, "unfinished-voice-agent", 90, 2)),
    ]
}

#[test]
fn unfinished_pulls_resume_after_the_upgrade() {
    for (name, agent) in unfinished() {
        let env = TestEnvironment::of(vec![agent.clone()]);
        let base = env.sandbox().base_url(agent.vendor);
        let config = format!(
            "[[source]]\nname = \"{name}\"\nprovider = \"{}\"\nagent_id = \"{}\"\nbase_url = \"{base}\"\n\
             api_key = {{ command = [\"echo\", \"{}\"] }}\n",
            provider(agent.vendor),
            agent.id,
            agent.key
        );
        fs::write(env.path("config.toml"), config).unwrap();
        fs::write(env.path("chatark.db"), decompressed("chatark.db.zst")).unwrap();
        let run = env.expect(0, &["pull", "--json"]);
        assert!(run.stderr.contains(NOTICE), "{}", run.stderr);
        assert!(run.stderr.contains("resuming where an earlier run stopped"), "{}", run.stderr);
        let found = crate::support::pull_result(&run);
        let all = agent.expected().count();
        let kept = query_number(
            &env,
            &format!(
                "SELECT count(*) FROM conversation JOIN source USING (source_key) WHERE name = '{name}'"
            ),
        );
        assert_eq!((&found["seen"], usize::try_from(kept).unwrap()), (&all.into(), all), "{name}");
        assert!(found["added"].as_u64().unwrap() < all as u64, "{name}: what was held came again: {found}");
        env.expect(0, &["verify", name]);
    }
}

/// Returns the layout of the file without opening it as an archive.
fn layout_of(path: &Path) -> i64 {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// Waits until an upgrade has begun to write, or is over.
fn wait_for_the_log(env: &TestEnvironment, running: &mut Running) {
    let log = env.path("chatark.db-wal");
    while !running.has_ended() && fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[test]
fn an_upgrade_that_is_killed_is_completed_by_the_next_command() {
    let env = env();
    let archive = env.path("chatark.db");
    let started = Instant::now();
    env.expect(0, &["status"]);
    let takes = u64::try_from(started.elapsed().as_micros()).unwrap();
    let whole = env.expect(0, &["verify", "--json"]).json();
    let mut random = Random(0x5eed_0011);
    let (mut before, mut after) = (0, 0);
    for round in 0..KILLS {
        for name in ["chatark.db-wal", "chatark.db-shm", "chatark.db.lock"] {
            let _ = fs::remove_file(env.path(name));
        }
        fs::write(&archive, decompressed("chatark.db.zst")).unwrap();
        let mut running = env.spawn(&["status"]);
        // Every other kill lands at any time, the others once the upgrade has begun.
        let span = if round % 2 == 0 {
            wait_for_the_log(&env, &mut running);
            takes / 4
        } else {
            takes
        };
        std::thread::sleep(Duration::from_micros(random.below(span)));
        running.kill();
        running.finish();
        match layout_of(&archive) {
            LAYOUT => before += 1,
            _ => after += 1,
        }
        assert_eq!(env.expect(0, &["verify", "--json"]).json(), whole);
    }
    assert!(before > 0 && after > 0, "all kills landed on one side of the upgrade: {before}, {after}");
    assert_exports_the_same(&env);
}

#[test]
fn an_upgrade_that_has_no_room_says_so_and_changes_nothing() {
    let env = upgraded();
    fs::remove_file(env.path("chatark.db")).unwrap();
    fs::write(env.path("old.db"), decompressed("chatark.db.zst")).unwrap();
    let config = fs::read_to_string(fixture("config.toml")).unwrap();
    fs::write(env.path("config.toml"), format!("archive = \"disk/chatark.db\"\n{config}")).unwrap();
    let run = on_a_disk_of(
        &env,
        "1200k",
        r#"
        exec 2>&1
        cp old.db disk/chatark.db
        echo "== full"; "$CHATARK" status; echo "code $?"
        cp disk/chatark.db after.db
        mount -o remount,size=64m "$PWD/disk"
        echo "== room"; "$CHATARK" verify; echo "code $?"
        "#,
    );
    let full = section(&run.stdout, "full");
    assert!(full.contains("code 1\n") && full.matches("error: ").count() == 1, "{full}");
    assert!(full.contains("free") && full.contains("hint: make room on the disk"), "{full}");
    assert_eq!(layout_of(&env.path("after.db")), LAYOUT);
    assert!(section(&run.stdout, "room").contains("code 0\n"), "{}", run.stdout);
}
