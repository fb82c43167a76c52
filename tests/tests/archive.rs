//! The archive as a file: its permissions, files that are not an archive, and rebuilding its rows.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chatark_sandbox::Vendor;
use chatark_tests::House;
use rusqlite::Connection;
use serde_json::json;

use crate::export::compare_all;
use crate::support::{VENDORS, agent, archived, document, number, pulled, sample};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn files_are_readable_only_by_their_owner() {
    let house = House::sample();
    house.expect(0, &["export"]);
    assert_eq!(mode(&house.path("chatark.db")), 0o600);
    assert_eq!(mode(&house.path("export")), 0o700);
    for entry in fs::read_dir(house.path("export")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    house.expect(0, &["init", "written.toml"]);
    assert_eq!(mode(&house.path("written.toml")), 0o600);
    house.expect(0, &["demo", "--dir", "demo"]);
    for name in ["demo/config.toml", "demo/chatark.db", "demo/export/messages.csv"] {
        assert_eq!(mode(&house.path(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&house.path("demo")), 0o700);
}

/// Runs every command that opens the archive, and checks its exit code and that the file is unchanged.
#[track_caller]
fn refused(house: &House, code: i32, words: &str) {
    let path = house.path("chatark.db");
    let before = fs::read(&path).unwrap();
    for arguments in
        [&["pull"][..], &["export"], &["export", "--offline"], &["status"], &["rebuild"], &["check"]]
    {
        let run = house.expect(code, arguments);
        assert!(run.stderr.contains(words) && run.stderr.contains("hint: "), "{arguments:?}: {}", run.stderr);
        let errors = run.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{arguments:?}: one clear line: {}", run.stderr);
    }
    assert!(fs::read(&path).unwrap() == before, "the file was changed");
    assert!(!house.path("export").exists());
}

#[test]
fn a_file_that_is_not_an_archive_is_refused_and_unchanged() {
    let house = House::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    let path = house.path("chatark.db");
    fs::write(&path, "Dear diary,\n".repeat(1_000)).unwrap();
    refused(&house, 12, "not a database");
    fs::write(&path, "hello").unwrap();
    refused(&house, 12, "not a database");
    fs::remove_file(&path).unwrap();
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE conversation (a); PRAGMA user_version = 1").unwrap();
    foreign.close().unwrap();
    refused(&house, 12, "another program");
}

#[test]
fn an_archive_of_a_later_version_is_refused_and_unchanged() {
    let house = House::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    house.expect(0, &["pull"]);
    let later = Connection::open(house.path("chatark.db")).unwrap();
    later.pragma_update(None, "user_version", 999).unwrap();
    later.close().unwrap();
    let run = house.expect(2, &["export", "--offline"]);
    assert!(run.stderr.contains("layout 999"), "{}", run.stderr);
    house.expect(2, &["pull"]);
}

#[test]
fn a_damaged_archive_is_reported_as_damaged() {
    let agent = agent(Vendor::ChatbaseV2, 100);
    let house = House::of(vec![agent]);
    house.expect(0, &["pull"]);
    let path = house.path("chatark.db");
    let whole = fs::read(&path).unwrap();
    for length in [50, 20_000, whole.len() / 2, whole.len() - 16_384] {
        fs::write(&path, &whole[..length]).unwrap();
        let run = house.expect(12, &["export", "--offline"]);
        assert!(run.stderr.contains("hint: "), "{length}: {}", run.stderr);
        assert!(!house.path("export").exists(), "{length}: half of the archive must not look like all of it");
    }
    // The first page, with the table names, is intact; the rest is damaged.
    let mut spoiled = whole.clone();
    spoiled[16_384..].fill(0xAA);
    fs::write(&path, &spoiled).unwrap();
    house.expect(12, &["export", "--offline"]);
    assert!(!house.path("export").exists());
    fs::write(&path, &whole).unwrap();
    house.expect(0, &["export", "--offline"]);
    let spoil = Connection::open(&path).unwrap();
    spoil.execute("UPDATE raw SET zstd = x'00' WHERE raw_key = 50", []).unwrap();
    spoil.close().unwrap();
    let run = house.expect(12, &["rebuild"]);
    assert!(
        run.stderr.contains("cannot be decompressed") && run.stderr.contains("conversation="),
        "{}",
        run.stderr
    );
}

#[test]
fn a_locked_archive_names_its_holder() {
    let house = House::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    house.expect(0, &["pull"]);
    let path = house.path("chatark.db.lock");
    let holder = json!({ "pid": 4_711, "since": "2026-09-21T14:13:20Z" });
    fs::write(&path, holder.to_string()).unwrap();
    let lock = File::open(&path).unwrap();
    lock.lock().unwrap();
    for command in ["pull", "export", "rebuild"] {
        let run = house.expect(11, &[command]);
        assert!(run.stderr.contains("process 4711 has held it since 2026-09-21T14:13:20Z"), "{}", run.stderr);
    }
    house.expect(0, &["status"]);
    house.expect(0, &["export", "--offline"]);
    drop(lock);
    house.expect(0, &["pull"]);
}

#[test]
fn an_unwritable_path_is_one_clear_error() {
    let agent = agent(Vendor::ChatbaseV2, 3);
    let mut house = House::of(vec![agent.clone()]);
    fs::write(house.path("file"), "").unwrap();
    let one_line = |run: &chatark_tests::Run| {
        let errors: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains("file"), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    };
    one_line(&house.expect(1, &["export", "--output", "file/export"]));
    house.write_config(std::slice::from_ref(&agent), "archive = \"file/chatark.db\"");
    one_line(&house.expect(1, &["pull"]));

    fs::create_dir(house.path("file-read-only")).unwrap();
    fs::set_permissions(house.path("file-read-only"), Permissions::from_mode(0o500)).unwrap();
    // The owner of the machine may write anywhere.
    if fs::write(house.path("file-read-only/probe"), "").is_err() {
        house.write_config(&[agent], "archive = \"file-read-only/chatark.db\"");
        one_line(&house.expect(1, &["pull"]));
    }
    fs::set_permissions(house.path("file-read-only"), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_source_name_belongs_to_one_agent() {
    let mut agent = agent(Vendor::ChatbaseV2, 3);
    let mut house = House::of(vec![agent.clone()]);
    house.expect(0, &["pull"]);
    let kept = archived(&house);
    let first = agent.id.clone();
    agent.id = "another-agent".to_owned();
    house.write_config(&[agent], "");
    let asked = house.sandbox().requests().len();
    let run = house.expect(2, &["pull"]);
    assert!(run.stderr.contains(&first) && run.stderr.contains("hint: "), "{}", run.stderr);
    assert_eq!(house.sandbox().requests().len(), asked, "the vendor is not asked");
    let offline = house.expect(0, &["export", "--offline"]);
    assert_eq!(offline.code, Some(0));
    assert_eq!(archived(&house), kept);
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_rebuild_does_not_change_correct_rows() {
    let house = House::sample();
    house.expect(0, &["export"]);
    let before = contents(&house.path("export"));
    let run = house.expect(0, &["rebuild", "--json"]);
    for source in run.json()["sources"].as_array().unwrap() {
        assert_eq!((&source["changed"], &source["verdict"]), (&json!(0), &json!("complete")), "{source}");
        assert!(source["unchanged"].as_u64().unwrap() > 30, "{source}");
    }
    house.expect(0, &["export", "--offline"]);
    assert!(contents(&house.path("export")) == before, "an export after a rebuild differs");
}

#[test]
fn a_rebuild_repairs_wrong_rows() {
    for vendor in VENDORS {
        let agent = sample(vendor);
        let mut house = House::of(vec![agent.clone()]);
        house.expect(0, &["pull"]);
        let (first, second) = (agent.expected().next().unwrap().id, agent.expected().nth(9).unwrap().id);
        let spoil = Connection::open(house.path("chatark.db")).unwrap();
        spoil.execute("UPDATE conversation SET title = 'spoiled' WHERE id = ?1", [&first]).unwrap();
        spoil
            .execute(
                "UPDATE message SET text = 'spoiled', parts = NULL, role = 'tool'
                 WHERE conversation_key = (SELECT conversation_key FROM conversation WHERE id = ?1)",
                [&second],
            )
            .unwrap();
        spoil.close().unwrap();
        assert_eq!(document(&archived(&house), &first)["title"], "spoiled");
        house.stop_sandbox();
        let run = house.expect(0, &["rebuild", "--json"]);
        assert_eq!(pulled(&run)["changed"], 2, "{vendor:?}");
        compare_all(&house, &[agent], &archived(&house));
        assert_eq!(pulled(&house.expect(0, &["rebuild", "--json"]))["changed"], 0, "{vendor:?}");
        let (expected, counted) = (
            number(&house, "SELECT count(*) FROM message"),
            number(&house, "SELECT sum(messages) FROM source"),
        );
        assert_eq!(expected, counted, "{vendor:?}: the counts of the source");
    }
}

#[test]
fn a_rebuild_skips_sources_that_are_not_in_the_config() {
    let mut house = House::sample();
    house.expect(0, &["pull"]);
    let agents: Vec<_> = VENDORS[..1].iter().map(|vendor| sample(*vendor)).collect();
    house.write_config(&agents, "");
    let run = house.expect(0, &["rebuild", "--json"]);
    assert_eq!(run.json()["left_alone"], json!(["source-2", "source-3"]));
    assert!(run.stderr.contains("source-3: is not in the config"), "{}", run.stderr);
}
