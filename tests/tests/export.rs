//! Exports: everything that the vendors send is in the files, exactly once.
//!
//! What is expected comes from the sandbox, which computes what a perfect export of each vendor contains. It is written
//! by hand and calls no code of the product.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use chatark_sandbox::{
    Agent, Dataset, Deployment, Expected, Generation, GeneratorSettings, Vendor, World, Zone,
};
use chatark_tests::{KEY, TestEnvironment, provider, repository};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FILES: [&str; 4] = ["conversations.json", "conversations.jsonl", "conversations.csv", "messages.csv"];

/// Returns a time as whole seconds since 1970, with independent calendar arithmetic.
fn seconds(time: &Value) -> Option<i64> {
    let text = time.as_str()?;
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    assert!(text.ends_with('Z') && text.as_bytes()[10] == b'T', "{text} is not RFC 3339 in UTC");
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era_year = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + era_year * 365 + era_year / 4 - era_year / 100 + day_of_year
        - 719_468;
    Some(days * 86_400 + number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19))
}

/// Compares one document with what the vendor sent.
#[track_caller]
pub(crate) fn compare(document: &Value, expected: &Expected) {
    let id = &expected.id;
    let text = |name: &str| document[name].as_str().map(str::to_owned);
    assert_eq!(text("title"), expected.title, "{id}: title");
    assert_eq!(document["channel"].as_str(), expected.channel, "{id}: channel");
    assert_eq!(document["status"].as_str(), expected.status, "{id}: status");
    assert_eq!(seconds(&document["created_at"]), expected.created_at, "{id}: created_at");
    assert_eq!(seconds(&document["updated_at"]), expected.updated_at, "{id}: updated_at");
    let contact = &expected.contact;
    let expect = json!({
        "id": contact.id, "name": contact.name, "email": contact.email, "phone": contact.phone,
        "company": contact.company, "address": contact.address, "website": contact.website,
    });
    assert_eq!(document["contact"], expect, "{id}: contact");
    assert_eq!(document["tags"], json!(expected.tags), "{id}: tags");
    assert_eq!(text("notes"), expected.notes, "{id}: notes");
    assert_eq!(document["feedback"].as_str(), expected.feedback, "{id}: feedback");
    let rating = expected.stars.map(|stars| json!({"value": f64::from(stars), "scale": 5.0}));
    assert_eq!(document["rating"], json!(rating), "{id}: rating");
    assert_eq!(document["extra"]["country"].as_str(), expected.country.as_deref(), "{id}: country");
    assert_eq!(document["extra"]["min_score"].as_f64(), expected.min_score, "{id}: min_score");
    let messages = document["messages"].as_array().unwrap();
    assert_eq!(messages.len(), expected.messages.len(), "{id}: number of messages");
    for (position, (message, expect)) in messages.iter().zip(&expected.messages).enumerate() {
        let place = format!("{id}: message {position}");
        assert_eq!(message["position"], position, "{place}");
        assert_eq!(message["id"].as_str(), expect.id.as_deref(), "{place}: id");
        assert_eq!(message["role"], expect.role, "{place}: role");
        assert_eq!(seconds(&message["created_at"]), expect.created_at, "{place}: created_at");
        assert_eq!(message["text"], expect.text.as_str(), "{place}: text");
        assert_eq!(message["feedback"].as_str(), expect.feedback, "{place}: feedback");
        assert_eq!(message["score"].as_f64(), expect.score, "{place}: score");
        let author = json!({"kind": expect.author_kind, "id": null, "name": null});
        assert_eq!((&message["author"], &message["internal"]), (&author, &json!(false)), "{place}: author");
        let types: Vec<_> =
            message["parts"].as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
        assert_eq!(types, expect.part_types, "{place}: parts");
    }
}

/// Compares the documents of an export with all data of the agents: nothing is missing, nothing is duplicated.
#[track_caller]
pub(crate) fn compare_all(env: &TestEnvironment, agents: &[Agent], documents: &[Value]) {
    let mut by_id: HashMap<(String, String), &Value> = HashMap::new();
    for document in documents {
        let key =
            (document["source"].as_str().unwrap().to_owned(), document["id"].as_str().unwrap().to_owned());
        assert!(by_id.insert(key, document).is_none(), "{} is there twice", document["id"]);
    }
    let mut count = 0;
    for (agent, source) in agents.iter().zip(&env.sources) {
        for expected in agent.expected() {
            let document = by_id.get(&(source.clone(), expected.id.clone()));
            let document = document.unwrap_or_else(|| panic!("{source}: {} is missing", expected.id));
            assert_eq!(document["provider"], provider(agent.vendor));
            assert_eq!(document["agent_id"], agent.id.as_str());
            compare(document, &expected);
            count += 1;
        }
    }
    assert_eq!(documents.len(), count, "the files hold conversations that no vendor sent");
}

fn documents(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(folder.join("conversations.json")).unwrap()).unwrap()
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("conversations.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(path: &Path) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

fn sample_agents() -> Vec<Agent> {
    World::sample().agents
}

#[test]
fn three_vendors_are_exported_completely_and_once() {
    let agents = sample_agents();
    let env = TestEnvironment::sample();
    env.expect(0, &["export"]);
    let folder = env.path("export");
    let names: Vec<_> = contents(&folder).into_keys().collect();
    assert_eq!(
        names,
        [
            "conversations.csv",
            "conversations.json",
            "conversations.jsonl",
            "datapackage.json",
            "manifest.json",
            "messages.csv"
        ]
    );
    let documents = documents(&folder);
    compare_all(&env, &agents, &documents);
    assert_eq!(lines(&folder), documents, "JSON and JSONL hold the same");
    assert!(documents.len() > 150 && documents.iter().any(|document| document["messages"][0]["text"] != ""));
}

/// The CSV files are compared with the sandbox's data, cell by cell.
#[test]
fn the_csv_files_match_the_vendors_data() {
    let agents = sample_agents();
    let env = TestEnvironment::sample();
    env.expect(0, &["export", "--format", "csv"]);
    let conversations = rows(&env.path("export/conversations.csv"));
    let messages = rows(&env.path("export/messages.csv"));
    let mut by_conversation: HashMap<(String, String), Vec<&HashMap<String, String>>> = HashMap::new();
    for row in &messages {
        by_conversation.entry((row["source"].clone(), row["conversation_id"].clone())).or_default().push(row);
    }
    let cell = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let time = |cell: &str| seconds(&if cell.is_empty() { Value::Null } else { cell.into() });
    let mut counted = (0, 0);
    for (agent, source) in agents.iter().zip(&env.sources) {
        for expected in agent.expected() {
            let found: Vec<_> = conversations
                .iter()
                .filter(|row| row["source"] == *source && row["conversation_id"] == expected.id)
                .collect();
            let [row] = found.as_slice() else { panic!("{}: {} rows", expected.id, found.len()) };
            assert_eq!(row["title"], cell(expected.title.as_deref()), "{}", expected.id);
            assert_eq!(row["channel"], cell(expected.channel), "{}", expected.id);
            assert_eq!(row["status"], cell(expected.status), "{}", expected.id);
            assert_eq!(time(&row["created_at"]), expected.created_at, "{}", expected.id);
            assert_eq!(time(&row["updated_at"]), expected.updated_at, "{}", expected.id);
            assert_eq!(row["contact_email"], cell(expected.contact.email.as_deref()), "{}", expected.id);
            assert_eq!(row["contact_phone"], cell(expected.contact.phone.as_deref()), "{}", expected.id);
            assert_eq!(row["notes"], cell(expected.notes.as_deref()), "{}", expected.id);
            assert_eq!(row["feedback"], cell(expected.feedback), "{}", expected.id);
            let count = |role: &str| {
                expected.messages.iter().filter(|message| message.role == role).count().to_string()
            };
            assert_eq!(row["message_count"], expected.messages.len().to_string(), "{}", expected.id);
            assert_eq!(row["user_message_count"], count("user"), "{}", expected.id);
            assert_eq!(row["assistant_message_count"], count("assistant"), "{}", expected.id);
            counted.0 += 1;
            let of_this = by_conversation.remove(&(source.clone(), expected.id.clone())).unwrap_or_default();
            assert_eq!(of_this.len(), expected.messages.len(), "{}", expected.id);
            for (position, (row, message)) in of_this.iter().zip(&expected.messages).enumerate() {
                assert_eq!(row["position"], position.to_string(), "{}", expected.id);
                assert_eq!(row["message_id"], cell(message.id.as_deref()), "{}", expected.id);
                assert_eq!(row["role"], message.role, "{}", expected.id);
                assert_eq!(time(&row["created_at"]), message.created_at, "{}", expected.id);
                assert_eq!(row["text"], message.text, "{}", expected.id);
                assert_eq!(row["feedback"], cell(message.feedback), "{}", expected.id);
                assert_eq!(row["score"].parse().ok(), message.score, "{}", expected.id);
                counted.1 += 1;
            }
        }
    }
    assert!(by_conversation.is_empty(), "messages of conversations that no vendor sent");
    assert_eq!((conversations.len(), messages.len()), counted);
}

#[test]
fn documents_match_their_schema_and_the_manifest_matches_the_files() {
    let env = TestEnvironment::sample();
    env.expect(0, &["export"]);
    let folder = env.path("export");
    let schema = |name: &str| {
        let text = fs::read_to_string(repository().join("docs/schema").join(name)).unwrap();
        jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
    };
    let conversation = schema("conversation.schema.json");
    for document in documents(&folder) {
        let faults: Vec<_> = conversation.iter_errors(&document).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", document["id"]);
    }
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let faults: Vec<_> =
        schema("manifest.schema.json").iter_errors(&manifest).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let files = manifest["files"].as_array().unwrap();
    let names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, FILES);
    let agents = sample_agents();
    let conversations: usize = agents.iter().map(|agent| agent.expected().count()).sum();
    let messages: usize = agents
        .iter()
        .flat_map(|agent| agent.expected().collect::<Vec<_>>())
        .map(|expected| expected.messages.len())
        .sum();
    for file in files {
        let name = file["name"].as_str().unwrap();
        let bytes = fs::read(folder.join(name)).unwrap();
        let digest =
            Sha256::digest(&bytes).iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        assert_eq!(file["bytes"], bytes.len(), "{name}");
        assert_eq!(file["sha256"], digest.as_str(), "{name}");
        assert_eq!(file["rows"], if name == "messages.csv" { messages } else { conversations }, "{name}");
    }
}

#[test]
fn files_are_sorted_by_source_start_and_id() {
    let env = TestEnvironment::sample();
    env.expect(0, &["export", "--format", "json"]);
    let keys: Vec<_> = documents(&env.path("export"))
        .iter()
        .map(|document| {
            let began = document["created_at"].as_str().map(str::to_owned);
            (
                document["source"].to_string(),
                began.is_none(),
                began,
                document["id"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(keys, sorted);
}

#[test]
fn the_same_archive_gives_the_same_bytes() {
    let mut env = TestEnvironment::sample();
    env.expect(0, &["export"]);
    let first = contents(&env.path("export"));
    env.expect(0, &["export"]);
    assert!(contents(&env.path("export")) == first, "a second export differs");
    env.stop_sandbox();
    env.expect(0, &["export", "--offline", "--output", "elsewhere"]);
    assert!(contents(&env.path("elsewhere")) == first, "an offline export differs");
}

#[test]
fn both_generations_of_convocore_are_exported_completely() {
    for (generation, zone) in [
        (Generation::OneArray, Zone::Utc),
        (Generation::OneArray, Zone::Berlin),
        (Generation::Paged, Zone::Berlin),
    ] {
        let mut agent = sample_agents().remove(2);
        agent.generation = generation;
        agent.zone = zone;
        let env = TestEnvironment::of(vec![agent.clone()]);
        env.expect(0, &["export", "--format", "json"]);
        compare_all(&env, &[agent], &documents(&env.path("export")));
    }
}

#[test]
fn an_old_deployment_of_chatbase_v2_is_exported_completely() {
    let mut agent = sample_agents().remove(1);
    agent.deployment = Deployment::Old;
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["export", "--format", "json"]);
    compare_all(&env, &[agent], &documents(&env.path("export")));
}

#[test]
fn thousands_of_conversations_are_exported_completely() {
    let agents: Vec<_> = [Vendor::ChatbaseV1, Vendor::ChatbaseV2, Vendor::ConvocoreV3]
        .into_iter()
        .map(|vendor| {
            let generated = GeneratorSettings {
                conversations: 1_500,
                silent_every: Some(97),
                ..GeneratorSettings::default()
            };
            Agent::new(
                vendor,
                format!("agent-{}", provider(vendor)),
                KEY,
                Dataset::generated(vendor, generated),
            )
        })
        .collect();
    let env = TestEnvironment::of(agents.clone());
    env.expect(0, &["export", "--format", "jsonl"]);
    compare_all(&env, &agents, &lines(&env.path("export")));
}

#[test]
fn the_demo_needs_only_a_folder() {
    let mut env = TestEnvironment::sample();
    env.stop_sandbox();
    for _ in 0..2 {
        let run = env.expect(0, &["demo", "--dir", "d"]);
        assert_eq!(contents(&env.path("d/export")).len(), 6);
        for word in ["shop", "shop-legacy", "voice", "complete", "unprovable", "d/export/messages.csv"] {
            assert!(run.stdout.contains(word), "{word} is not in {}", run.stdout);
        }
    }
    let run = env.expect(2, &["demo", "--dir", "."]);
    assert!(run.stderr.contains("a config that no demo has written"), "{}", run.stderr);
}
