//! The archive as a file: its permissions, files that are not an archive, and rebuilding its rows.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chatark_sandbox::Vendor;
use chatark_tests::TestEnvironment;
use rusqlite::Connection;
use serde_json::json;

use crate::export::compare_all;
use crate::support::{VENDORS, agent, archived, document, pull_result, query_number, sample};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn files_are_readable_only_by_their_owner() {
    let env = TestEnvironment::sample();
    env.expect(0, &["export"]);
    assert_eq!(mode(&env.path("chatark.db")), 0o600);
    assert_eq!(mode(&env.path("export")), 0o700);
    for entry in fs::read_dir(env.path("export")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    env.expect(0, &["init", "written.toml"]);
    assert_eq!(mode(&env.path("written.toml")), 0o600);
    env.expect(0, &["demo", "--dir", "demo"]);
    for name in ["demo/config.toml", "demo/chatark.db", "demo/export/messages.csv"] {
        assert_eq!(mode(&env.path(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&env.path("demo")), 0o700);
}

/// Runs every command that opens the archive, and checks its exit code and that the file is unchanged.
#[track_caller]
fn refused(env: &TestEnvironment, code: i32, words: &str) {
    let path = env.path("chatark.db");
    let before = fs::read(&path).unwrap();
    for arguments in
        [&["pull"][..], &["export"], &["export", "--offline"], &["status"], &["rebuild"], &["check"]]
    {
        let run = env.expect(code, arguments);
        assert!(run.stderr.contains(words) && run.stderr.contains("hint: "), "{arguments:?}: {}", run.stderr);
        let errors = run.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{arguments:?}: one clear line: {}", run.stderr);
    }
    assert!(fs::read(&path).unwrap() == before, "the file was changed");
    assert!(!env.path("export").exists());
}

#[test]
fn a_file_that_is_not_an_archive_is_refused_and_unchanged() {
    let env = TestEnvironment::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    let path = env.path("chatark.db");
    fs::write(&path, "Dear diary,\n".repeat(1_000)).unwrap();
    refused(&env, 12, "not a database");
    fs::write(&path, "hello").unwrap();
    refused(&env, 12, "not a database");
    fs::remove_file(&path).unwrap();
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE conversation (a); PRAGMA user_version = 1").unwrap();
    foreign.close().unwrap();
    refused(&env, 12, "another program");
}

#[test]
fn an_archive_of_a_later_version_is_refused_and_unchanged() {
    let env = TestEnvironment::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    env.expect(0, &["pull"]);
    let later = Connection::open(env.path("chatark.db")).unwrap();
    later.pragma_update(None, "user_version", 999).unwrap();
    later.close().unwrap();
    let run = env.expect(2, &["export", "--offline"]);
    assert!(run.stderr.contains("layout 999"), "{}", run.stderr);
    env.expect(2, &["pull"]);
}

#[test]
fn a_damaged_archive_is_reported_as_damaged() {
    let agent = agent(Vendor::ChatbaseV2, 100);
    let env = TestEnvironment::of(vec![agent]);
    env.expect(0, &["pull"]);
    let path = env.path("chatark.db");
    let whole = fs::read(&path).unwrap();
    for length in [50, 20_000, whole.len() / 2, whole.len() - 16_384] {
        fs::write(&path, &whole[..length]).unwrap();
        let run = env.expect(12, &["export", "--offline"]);
        assert!(run.stderr.contains("hint: "), "{length}: {}", run.stderr);
        assert!(!env.path("export").exists(), "{length}: half of the archive must not look like all of it");
    }
    // The first page, with the table names, is intact; the rest is damaged.
    let mut spoiled = whole.clone();
    spoiled[16_384..].fill(0xAA);
    fs::write(&path, &spoiled).unwrap();
    env.expect(12, &["export", "--offline"]);
    assert!(!env.path("export").exists());
    fs::write(&path, &whole).unwrap();
    env.expect(0, &["export", "--offline"]);
    let spoil = Connection::open(&path).unwrap();
    spoil.execute("UPDATE raw SET zstd = x'00' WHERE raw_key = 50", []).unwrap();
    spoil.close().unwrap();
    let run = env.expect(12, &["rebuild"]);
    assert!(
        run.stderr.contains("cannot be decompressed") && run.stderr.contains("conversation="),
        "{}",
        run.stderr
    );
}

#[test]
fn a_locked_archive_names_its_holder() {
    let env = TestEnvironment::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    env.expect(0, &["pull"]);
    let path = env.path("chatark.db.lock");
    let holder = json!({ "pid": 4_711, "since": "2026-09-21T14:13:20Z" });
    fs::write(&path, holder.to_string()).unwrap();
    let lock = File::open(&path).unwrap();
    lock.lock().unwrap();
    for command in ["pull", "export", "rebuild"] {
        let run = env.expect(11, &[command]);
        assert!(run.stderr.contains("process 4711 has held it since 2026-09-21T14:13:20Z"), "{}", run.stderr);
    }
    env.expect(0, &["status"]);
    env.expect(0, &["export", "--offline"]);
    drop(lock);
    env.expect(0, &["pull"]);
}

#[test]
fn an_unwritable_path_is_one_clear_error() {
    let agent = agent(Vendor::ChatbaseV2, 3);
    let mut env = TestEnvironment::of(vec![agent.clone()]);
    fs::write(env.path("file"), "").unwrap();
    let one_line = |run: &chatark_tests::Run| {
        let errors: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains("file"), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    };
    one_line(&env.expect(1, &["export", "--output", "file/export"]));
    env.write_config(std::slice::from_ref(&agent), "archive = \"file/chatark.db\"");
    one_line(&env.expect(1, &["pull"]));

    fs::create_dir(env.path("file-read-only")).unwrap();
    fs::set_permissions(env.path("file-read-only"), Permissions::from_mode(0o500)).unwrap();
    // The owner of the machine may write anywhere.
    if fs::write(env.path("file-read-only/probe"), "").is_err() {
        env.write_config(&[agent], "archive = \"file-read-only/chatark.db\"");
        one_line(&env.expect(1, &["pull"]));
    }
    fs::set_permissions(env.path("file-read-only"), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_source_name_belongs_to_one_agent() {
    let mut agent = agent(Vendor::ChatbaseV2, 3);
    let mut env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let kept = archived(&env);
    let first = agent.id.clone();
    agent.id = "another-agent".to_owned();
    env.write_config(&[agent], "");
    let asked = env.sandbox().requests().len();
    let run = env.expect(2, &["pull"]);
    assert!(run.stderr.contains(&first) && run.stderr.contains("hint: "), "{}", run.stderr);
    assert_eq!(env.sandbox().requests().len(), asked, "the vendor is not asked");
    let offline = env.expect(0, &["export", "--offline"]);
    assert_eq!(offline.code, Some(0));
    assert_eq!(archived(&env), kept);
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_rebuild_does_not_change_correct_rows() {
    let env = TestEnvironment::sample();
    env.expect(0, &["export"]);
    let before = contents(&env.path("export"));
    let run = env.expect(0, &["rebuild", "--json"]);
    for source in run.json()["sources"].as_array().unwrap() {
        assert_eq!((&source["changed"], &source["verdict"]), (&json!(0), &json!("complete")), "{source}");
        assert!(source["unchanged"].as_u64().unwrap() > 30, "{source}");
    }
    env.expect(0, &["export", "--offline"]);
    assert!(contents(&env.path("export")) == before, "an export after a rebuild differs");
}

#[test]
fn a_rebuild_repairs_wrong_rows() {
    for vendor in VENDORS {
        let agent = sample(vendor);
        let mut env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["pull"]);
        let (first, second) = (agent.expected().next().unwrap().id, agent.expected().nth(9).unwrap().id);
        let spoil = Connection::open(env.path("chatark.db")).unwrap();
        spoil.execute("UPDATE conversation SET title = 'spoiled' WHERE id = ?1", [&first]).unwrap();
        spoil
            .execute(
                "UPDATE message SET text = 'spoiled', parts = NULL, role = 'tool'
                 WHERE conversation_key = (SELECT conversation_key FROM conversation WHERE id = ?1)",
                [&second],
            )
            .unwrap();
        spoil.close().unwrap();
        assert_eq!(document(&archived(&env), &first)["title"], "spoiled");
        env.stop_sandbox();
        let run = env.expect(0, &["rebuild", "--json"]);
        assert_eq!(pull_result(&run)["changed"], 2, "{vendor:?}");
        compare_all(&env, &[agent], &archived(&env));
        assert_eq!(pull_result(&env.expect(0, &["rebuild", "--json"]))["changed"], 0, "{vendor:?}");
        let (expected, counted) = (
            query_number(&env, "SELECT count(*) FROM message"),
            query_number(&env, "SELECT sum(messages) FROM source"),
        );
        assert_eq!(expected, counted, "{vendor:?}: the counts of the source");
    }
}

#[test]
fn a_rebuild_skips_sources_that_are_not_in_the_config() {
    let mut env = TestEnvironment::sample();
    env.expect(0, &["pull"]);
    let agents: Vec<_> = VENDORS[..1].iter().map(|vendor| sample(*vendor)).collect();
    env.write_config(&agents, "");
    let run = env.expect(0, &["rebuild", "--json"]);
    assert_eq!(run.json()["left_alone"], json!(["source-2", "source-3"]));
    assert!(run.stderr.contains("source-3: is not in the config"), "{}", run.stderr);
}
