//! Verification of the archive: every kind of damage is found and named.

use std::collections::BTreeSet;
use std::fs;

use chatark_sandbox::{Fault, FaultKind, Vendor, World};
use chatark_tests::{Run, TestEnvironment};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{VENDORS, agent, query_number, sample};

/// An environment whose archive holds forty conversations per vendor, and a second version of one of them.
fn pulled_environment() -> TestEnvironment {
    let agents: Vec<_> = VENDORS.map(|vendor| agent(vendor, 40)).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.expect(0, &["pull"]);
    let id = agents[1].dataset.conversation(7).id;
    env.sandbox().update(&agents[1].id, |dataset| {
        assert!(dataset.change(&id, |conversation| conversation.title = Some("Renamed".to_owned())));
    });
    env.expect(0, &["pull"]);
    env
}

fn corrupt(env: &TestEnvironment, sql: &str) {
    let archive = Connection::open(env.path("chatark.db")).unwrap();
    archive.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(archive.execute(sql, []).unwrap() > 0, "{sql} spoils nothing");
    archive.close().unwrap();
}

/// Returns the results of the sources, by the number of the source from 0.
fn source(run: &Run, at: usize) -> Value {
    run.json()["sources"][at].clone()
}

#[test]
fn an_intact_archive_is_reported_with_its_counts() {
    let env = pulled_environment();
    let before = fs::read(env.path("chatark.db")).unwrap();
    let asked = env.sandbox().requests().len();
    let run = env.expect(0, &["verify"]);
    assert!(run.stdout.contains("the structure of the file is sound"), "{}", run.stdout);
    for line in ["source-1: 40 conversations, 40 versions", "source-2: 40 conversations, 41 versions"] {
        assert!(run.stdout.contains(line), "{line} is not in {}", run.stdout);
    }
    assert_eq!(run.stdout.matches("hashes, rows and counts agree").count(), 3, "{}", run.stdout);
    let result = env.expect(0, &["verify", "--json", "source-2"]);
    assert_eq!((&source(&result, 0)["versions"], &result.json()["sources"][1]), (&json!(41), &Value::Null));
    let size = query_number(
        &env,
        "SELECT sum(size) FROM raw JOIN conversation USING (conversation_key) WHERE source_key = (SELECT source_key FROM source WHERE name = 'source-2')",
    );
    assert_eq!(source(&result, 0)["bytes"], size);
    assert_eq!(env.sandbox().requests().len(), asked, "a vendor was asked");
    assert_eq!(fs::read(env.path("chatark.db")).unwrap(), before, "the archive was changed");
}

#[test]
fn every_kind_of_damage_is_found() {
    let one = "(SELECT conversation_key FROM conversation WHERE source_key = (SELECT source_key FROM source WHERE name = 'source-2') ORDER BY id LIMIT 1)";
    let raw = |set: &str| format!("UPDATE raw SET {set} WHERE conversation_key = {one} AND version = 1");
    for (what, sql, words, code) in [
        ("bytes", raw("zstd = x'00'"), "cannot be decompressed", 12),
        ("a byte", raw("zstd = CAST(substr(zstd, 1, length(zstd) - 3) || x'001122' AS BLOB)"), "conversation", 12),
        ("a hash", raw("sha256 = zeroblob(32)"), "are not those that the vendor sent", 12),
        ("half a hash", raw("sha256 = zeroblob(16)"), "are not those that the vendor sent", 12),
        ("a size", raw("size = size + 1"), "more or fewer", 12),
        ("a size beyond all bounds", raw("size = 9000000000000000000"), "more or fewer", 12),
        ("a title", format!("UPDATE conversation SET title = 'x' WHERE conversation_key = {one}"), "differs from a new mapping", 3),
        ("a text", format!("UPDATE message SET text = 'x' WHERE conversation_key = {one} AND position = 1"), "differs from a new mapping", 3),
        ("a word", format!("UPDATE message SET role = 'x' WHERE conversation_key = {one} AND position = 1"), "cannot be read", 12),
        ("a message", format!("DELETE FROM message WHERE conversation_key = {one} AND position = 1"), "counts", 12),
        ("a count", "UPDATE source SET messages = messages + 1 WHERE source_key = (SELECT source_key FROM source WHERE name = 'source-2')".to_owned(), "counts", 12),
        ("a whole conversation", format!("DELETE FROM raw WHERE conversation_key = {one}"), "lack the bytes", 12),
        ("a reference", "UPDATE raw SET run_key = 999 WHERE raw_key = 1".to_owned(), "refers to a row of run", 12),
        ("an index", "UPDATE sqlite_schema SET sql = 'CREATE INDEX conversation_in_order ON conversation (source_key, id)' WHERE name = 'conversation_in_order'".to_owned(), "structure", 12),
    ] {
        let env = pulled_environment();
        if what == "an index" {
            let archive = Connection::open(env.path("chatark.db")).unwrap();
            archive.execute_batch("PRAGMA writable_schema = ON").unwrap();
            archive.execute(&sql, []).unwrap();
            archive.close().unwrap();
        } else {
            corrupt(&env, &sql);
        }
        let run = env.expect(code, &["verify"]);
        assert!(run.stdout.contains(words), "{what}: `{words}` is not in {}", run.stdout);
        assert!(run.stdout.contains("FAIL") && run.stderr.contains("hint: "), "{what}: {run:#?}");
        let run = env.expect(code, &["verify", "--json"]);
        assert_eq!(run.json()["exit_code"], code, "{what}");
    }
}

#[test]
fn damage_is_named() {
    let env = pulled_environment();
    let id = "(SELECT conversation_key FROM conversation WHERE source_key = (SELECT source_key FROM source WHERE name = 'source-3') ORDER BY id LIMIT 1)";
    corrupt(&env, &format!("UPDATE raw SET sha256 = zeroblob(32) WHERE conversation_key = {id}"));
    let run = env.expect(12, &["verify", "--json"]);
    let found = source(&run, 2);
    assert_eq!(
        (&found["damaged"], &found["outdated"], found["findings"].as_array().unwrap().len()),
        (&json!(1), &json!(0), 1)
    );
    let archive = Connection::open(env.path("chatark.db")).unwrap();
    let name: String = archive
        .query_row(&format!("SELECT id FROM conversation WHERE conversation_key = {id}"), [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(
        (&found["findings"][0]["conversation"], &found["findings"][0]["version"]),
        (&json!(name), &json!(1))
    );
    assert_eq!((&source(&run, 0)["damaged"], &source(&run, 1)["damaged"]), (&json!(0), &json!(0)));
    // The vendor still has the conversation: it is fetched again as a new version.
    env.expect(0, &["pull", "--full"]);
    env.expect(12, &["verify"]);
}

#[test]
fn an_outdated_row_is_repaired_by_a_rebuild() {
    let env = pulled_environment();
    corrupt(
        &env,
        "UPDATE conversation SET title = 'x' WHERE source_key = (SELECT source_key FROM source WHERE name = 'source-1')",
    );
    let run = env.expect(3, &["verify", "--json"]);
    assert_eq!((&source(&run, 0)["outdated"], &source(&run, 0)["damaged"]), (&json!(40), &json!(0)));
    assert!(run.stderr.contains("chatark rebuild"), "{}", run.stderr);
    env.expect(0, &["rebuild"]);
    env.expect(0, &["verify"]);
}

#[test]
fn all_parts_together_find_what_the_whole_finds() {
    let env = pulled_environment();
    corrupt(&env, "UPDATE raw SET sha256 = zeroblob(32) WHERE conversation_key % 4 = 0");
    let ids = |run: &Run| -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut ids = BTreeSet::new();
        for source in run.json()["sources"].as_array().unwrap() {
            for finding in source["findings"].as_array().unwrap() {
                ids.insert((text(&source["source"]), text(&finding["conversation"])));
            }
        }
        ids
    };
    let whole = ids(&env.expect(12, &["verify", "--json"]));
    assert_eq!(whole.len(), 30);
    let (mut found, mut conversations) = (BTreeSet::new(), 0);
    for part in 1..=7 {
        let run = env.expect(12, &["verify", "--json", "--subset", &format!("{part}/7")]);
        let own = ids(&run);
        assert!(found.is_disjoint(&own), "two parts found the same");
        found.extend(own);
        let sources = run.json()["sources"].as_array().unwrap().clone();
        conversations += sources.iter().map(|source| source["conversations"].as_u64().unwrap()).sum::<u64>();
    }
    assert_eq!((found, conversations), (whole, 120));
    for part in ["0/7", "8/7", "1", "1/0", "x/y", "1/1001"] {
        env.expect(2, &["verify", "--subset", part]);
    }
    let quarter = env.expect(0, &["verify", "--subset", "2/4"]).stdout;
    assert!(quarter.contains("part 2 of 4: hashes and rows agree"), "{quarter}");
}

#[test]
fn a_source_that_is_not_in_the_config_is_verified_by_hashes() {
    let mut env = pulled_environment();
    let left: Vec<_> = VENDORS[1..].iter().map(|vendor| agent(*vendor, 40)).collect();
    env.sources.remove(0);
    env.write_config(&left, "");
    let run = env.expect(0, &["verify"]);
    assert!(
        run.stdout.contains("source-1: 40 conversations") && run.stdout.contains("no longer names"),
        "{}",
        run.stdout
    );
    let first = "SELECT conversation_key FROM conversation WHERE source_key = (SELECT source_key FROM source WHERE name = 'source-1') LIMIT 1";
    corrupt(&env, &format!("UPDATE raw SET sha256 = zeroblob(32) WHERE conversation_key = ({first})"));
    env.expect(12, &["verify"]);
    env.expect(0, &["verify", "source-2", "source-3"]);
}

#[test]
fn a_message_of_any_size_is_verified() {
    let agent = agent(Vendor::ChatbaseV2, 30);
    let env = TestEnvironment::of(vec![agent.clone()]);
    for at in [3, 20] {
        let id = agent.dataset.conversation(at).id;
        let part = json!({ "type": "text", "text": "x".repeat(9_000_000) });
        let record = json!({ "id": id, "createdAt": 1_790_000_000, "messages": [{ "id": "m", "role": "user", "parts": [part] }] });
        env.sandbox().update(&agent.id, |dataset| dataset.override_raw(&id, record.to_string()));
    }
    env.expect(0, &["pull"]);
    let run = env.expect(0, &["verify", "--json"]);
    assert_eq!((&source(&run, 0)["conversations"], &source(&run, 0)["versions"]), (&json!(30), &json!(30)));
    env.expect(0, &["rebuild"]);
}

#[test]
fn live_compares_with_the_vendors_counts() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    env.expect(0, &["pull"]);
    let run = env.expect(0, &["verify", "--live", "--json"]);
    let expected: Vec<_> = agents.iter().map(|agent| agent.expected().count()).collect();
    let live = |run: &Run, at: usize| source(run, at)["live"].clone();
    assert_eq!(
        (&live(&run, 0)["counted"], &live(&run, 0)["held"]),
        (&json!(expected[0]), &json!(expected[0]))
    );
    assert_eq!(
        (&live(&run, 1)["counted"], &live(&run, 1)["held"]),
        (&json!(expected[1]), &json!(expected[1]))
    );
    assert_eq!((&live(&run, 2)["counted"], &live(&run, 2)["held"]), (&Value::Null, &json!(expected[2])));

    // One archived conversation that the vendor has deleted, and one that was never pulled.
    let gone = agents[1].dataset.conversation(2).id;
    env.sandbox().update(&agents[1].id, |dataset| dataset.remove(&gone).unwrap());
    let run = env.expect(3, &["verify", "--live", "--json", "source-2"]);
    assert_eq!(
        (&live(&run, 0)["counted"], &live(&run, 0)["held"]),
        (&json!(expected[1] - 1), &json!(expected[1]))
    );
    assert!(run.stderr.contains("chatark pull"), "{}", run.stderr);
    // It is missing once two sweeps have not seen it.
    env.expect(0, &["pull", "--accept-missing"]);
    env.expect(3, &["verify", "--live", "source-2"]);
    env.expect(0, &["pull", "--accept-missing"]);
    env.expect(0, &["verify", "--live", "source-2"]);
    let mut added = agents[0].dataset.conversation(0);
    added.id = "never-pulled".to_owned();
    env.sandbox().update(&agents[0].id, |dataset| dataset.insert(added));
    env.expect(3, &["verify", "--live"]);

    let fault = Fault::from(0, FaultKind::ExpiredKey).on_any_route();
    env.sandbox().add_fault(&agents[1].id, fault);
    let run = env.expect(7, &["verify", "--live", "source-2"]);
    assert!(run.stderr.contains("source=source-2") && run.stderr.contains("hint: "), "{}", run.stderr);
}

/// Conversations that began after the last sweep are not missing.
#[test]
fn live_ignores_conversations_that_began_since_the_last_pull() {
    let agent = agent(Vendor::ChatbaseV2, 30);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut added = agent.dataset.conversation(0);
    (added.id, added.created_at) = ("later".to_owned(), i64::try_from(now).unwrap() + 5);
    env.sandbox().update(&agent.id, |dataset| dataset.insert(added));
    let run = env.expect(0, &["verify", "--live", "--json"]);
    assert_eq!(source(&run, 0)["live"]["counted"], 30);
}

#[test]
fn verify_needs_an_archive() {
    let env = TestEnvironment::sample();
    let run = env.expect(2, &["verify"]);
    assert!(run.stderr.contains("chatark pull"), "{}", run.stderr);
    fs::write(env.path("chatark.db"), "Dear diary,\n".repeat(1_000)).unwrap();
    env.expect(12, &["verify"]);
}
