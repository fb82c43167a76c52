//! Every cell of the CSV files, computed independently from the sandbox's data.

use std::path::Path;

use chatark_sandbox::truth::Conversation;
use chatark_sandbox::{Agent, Dataset, Expected, ExpectedMessage, GeneratorSettings, Vendor};
use chatark_tests::{KEY, TestEnvironment, provider};

use crate::support::{VENDORS, rfc3339, sample};

const CONVERSATIONS: &str = "source,provider,agent_id,conversation_id,title,channel,channel_raw,status,created_at,\
    updated_at,contact_id,contact_name,contact_email,contact_phone,contact_company,tags,notes,feedback,\
    message_count,user_message_count,assistant_message_count,tool_call_count,first_response_seconds,duration_seconds,\
    rating_value,rating_scale";
const MESSAGES: &str = "source,provider,agent_id,conversation_id,position,message_id,role,created_at,text,feedback,\
    score,parts,author_kind,author_id,author_name,internal";

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// Returns a time in whole seconds; some times of Chatbase's first API have microseconds.
fn time(seconds: Option<i64>) -> String {
    seconds.map(rfc3339).unwrap_or_default()
}

/// Drops the microseconds that Chatbase's first API adds to some times.
fn in_seconds(cell: &str) -> String {
    cell.replace(".512345Z", "Z")
}

/// Returns the vendor's own word for the channel.
fn channel_raw(vendor: Vendor, truth: &Conversation) -> String {
    let channel = truth.channel;
    match vendor {
        Vendor::ConvocoreV3 => text(channel.convocore_name()),
        Vendor::ChatbaseV2 => text(channel.chatbase_name()),
        Vendor::ChatbaseV1 => channel.chatbase_name().unwrap_or("Unspecified").to_owned(),
    }
}

/// Returns the number of tool calls: the calls, or the results if the vendor shows no calls.
fn tool_calls(expected: &Expected) -> usize {
    let count = |kind: &str| {
        expected.messages.iter().flat_map(|message| &message.part_types).filter(|part| **part == kind).count()
    };
    if count("tool_call") > 0 { count("tool_call") } else { count("tool_result") }
}

fn first_response(expected: &Expected) -> String {
    let Some(asked) = expected.messages.iter().position(|message| message.role == "user") else {
        return String::new();
    };
    let answer = expected.messages[asked..].iter().find(|message| message.role == "assistant");
    let times = (expected.messages[asked].created_at, answer.and_then(|answer| answer.created_at));
    let (Some(asked), Some(answered)) = times else { return String::new() };
    if answered < asked { String::new() } else { (answered - asked).to_string() }
}

fn duration(expected: &Expected) -> String {
    match (expected.created_at, expected.updated_at) {
        (Some(began), Some(ended)) if ended >= began => (ended - began).to_string(),
        _ => String::new(),
    }
}

fn conversation_row(agent: &Agent, source: &str, expected: &Expected, truth: &Conversation) -> Vec<String> {
    let count =
        |role: &str| expected.messages.iter().filter(|message| message.role == role).count().to_string();
    let contact = &expected.contact;
    vec![
        source.to_owned(),
        provider(agent.vendor).to_owned(),
        agent.id.clone(),
        expected.id.clone(),
        text(expected.title.as_deref()),
        text(expected.channel),
        channel_raw(agent.vendor, truth),
        text(expected.status),
        time(expected.created_at),
        time(expected.updated_at),
        text(contact.id.as_deref()),
        text(contact.name.as_deref()),
        text(contact.email.as_deref()),
        text(contact.phone.as_deref()),
        text(contact.company.as_deref()),
        if expected.tags.is_empty() { String::new() } else { serde_json::to_string(&expected.tags).unwrap() },
        text(expected.notes.as_deref()),
        text(expected.feedback),
        expected.messages.len().to_string(),
        count("user"),
        count("assistant"),
        tool_calls(expected).to_string(),
        first_response(expected),
        duration(expected),
        expected.stars.map(|stars| stars.to_string()).unwrap_or_default(),
        expected.stars.map(|_| "5".to_owned()).unwrap_or_default(),
    ]
}

/// Returns the cells of a message, except its other parts.
fn message_row(
    agent: &Agent,
    source: &str,
    id: &str,
    position: usize,
    message: &ExpectedMessage,
) -> Vec<String> {
    vec![
        source.to_owned(),
        provider(agent.vendor).to_owned(),
        agent.id.clone(),
        id.to_owned(),
        position.to_string(),
        text(message.id.as_deref()),
        message.role.to_owned(),
        time(message.created_at),
        message.text.clone(),
        text(message.feedback),
        message.score.map(|score| score.to_string()).unwrap_or_default(),
        message.author_kind.to_owned(),
        String::new(),
        String::new(),
        "false".to_owned(),
    ]
}

fn rows(path: &Path, header: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    let mut rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(rows.next().unwrap().join(","), header);
    rows.collect()
}

/// Exports agents and compares every row, in order.
#[track_caller]
fn check(agents: &[Agent]) {
    let env = TestEnvironment::of_world(chatark_sandbox::World::of(agents.to_vec()));
    env.expect(0, &["export", "--format", "csv"]);
    let mut conversations = rows(&env.path("export/conversations.csv"), CONVERSATIONS).into_iter();
    let mut messages = rows(&env.path("export/messages.csv"), MESSAGES).into_iter();
    for (agent, source) in agents.iter().zip(&env.sources) {
        let mut expected: Vec<_> = agent.expected().collect();
        expected.sort_by_key(|expected| (expected.created_at, expected.id.clone()));
        for expected in expected {
            let truth = agent.dataset.conversation(agent.dataset.index_of(&expected.id).unwrap());
            let mut cells = conversation_row(agent, source, &expected, &truth);
            let mut row: Vec<_> = conversations.next().unwrap().iter().map(|cell| in_seconds(cell)).collect();
            if agent.vendor == Vendor::ChatbaseV1 && truth.varied {
                // The vendor's spelling varies.
                row[6] = row[6].to_lowercase().replace("website", "widget or iframe");
                cells[6] = cells[6].to_lowercase();
            }
            assert_eq!(row, cells, "{source}");
            for (position, message) in expected.messages.iter().enumerate() {
                let mut row = messages.next().unwrap();
                let parts = row.remove(11);
                assert_eq!(row, message_row(agent, source, &expected.id, position, message), "{source}");
                let other: Vec<_> = message.part_types.iter().filter(|part| **part != "text").collect();
                let parts: Vec<serde_json::Value> =
                    if parts.is_empty() { Vec::new() } else { serde_json::from_str(&parts).unwrap() };
                let kinds: Vec<_> = parts.iter().map(|part| part["type"].as_str().unwrap()).collect();
                assert!(kinds.iter().eq(other), "{source} {}: {kinds:?}", expected.id);
            }
        }
    }
    assert_eq!(
        (conversations.next(), messages.next()),
        (None, None),
        "the files have rows that no vendor sent"
    );
}

#[test]
fn every_cell_of_the_sample_matches_the_vendors_data() {
    check(&VENDORS.map(sample));
}

#[test]
fn every_cell_of_two_thousand_conversations_per_vendor_matches() {
    check(&VENDORS.map(|vendor| {
        let generated = GeneratorSettings { seed: 7, conversations: 2_000, ..GeneratorSettings::default() };
        Agent::new(vendor, format!("many-{}", provider(vendor)), KEY, Dataset::generated(vendor, generated))
    }));
}
