//! Shared helpers: agents, the content of the archive, and the calendar.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chatark_sandbox::truth::{Channel, Contact, Content, Conversation, Message, Role};
use chatark_sandbox::{Agent, Dataset, Expected, GeneratorSettings, Vendor, World};
use chatark_tests::{KEY, Run, TestEnvironment, provider};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// All vendors, in the order of the sample's agents.
pub(crate) const VENDORS: [Vendor; 3] = [Vendor::ChatbaseV1, Vendor::ChatbaseV2, Vendor::ConvocoreV3];

/// Returns the sample agent of a vendor.
pub(crate) fn sample(vendor: Vendor) -> Agent {
    World::sample().agents.into_iter().find(|agent| agent.vendor == vendor).unwrap()
}

/// Returns an agent with generated conversations that can be changed.
pub(crate) fn agent(vendor: Vendor, conversations: usize) -> Agent {
    let generated =
        GeneratorSettings { conversations, messages_per_conversation: 4, ..GeneratorSettings::default() };
    agent_with(vendor, Dataset::generated(vendor, generated).iter().collect())
}

/// Returns an agent with these conversations.
pub(crate) fn agent_with(vendor: Vendor, conversations: Vec<Conversation>) -> Agent {
    Agent::new(vendor, format!("agent-{}", provider(vendor)), KEY, Dataset::of(conversations))
}

/// Returns an API conversation of a user with this many messages.
pub(crate) fn api_conversation(id: &str, user: &str, created_at: i64, messages: usize) -> Conversation {
    let message = |position: usize| Message {
        id: Some(format!("{id}-{position:04}")),
        role: if position.is_multiple_of(2) { Role::User } else { Role::Assistant },
        created_at: Some(created_at + i64::try_from(position).unwrap()),
        content: vec![Content::Text(format!("Line {position}"))],
        ..Message::default()
    };
    let messages: Vec<_> = (0..messages).map(message).collect();
    Conversation {
        id: id.to_owned(),
        channel: Channel::Api,
        created_at,
        updated_at: messages.last().and_then(|message| message.created_at).unwrap_or(created_at),
        contact: Contact { id: Some(user.to_owned()), ..Contact::default() },
        messages,
        ..Conversation::default()
    }
}

/// Returns an agent with the data that the sandbox has now.
pub(crate) fn current_agent(env: &TestEnvironment, agent: &Agent) -> Agent {
    (*env.sandbox().agent(&agent.id).unwrap()).clone()
}

/// Returns the result of the first source of `pull --json`.
#[track_caller]
pub(crate) fn pull_result(run: &Run) -> Value {
    run.json()["sources"][0].clone()
}

/// Returns every document of the archive, from an offline export.
#[track_caller]
pub(crate) fn archived(env: &TestEnvironment) -> Vec<Value> {
    export_offline(env, &[])
}

/// Returns the documents of an offline export with further arguments.
#[track_caller]
pub(crate) fn export_offline(env: &TestEnvironment, arguments: &[&str]) -> Vec<Value> {
    let common = ["export", "--offline", "--format", "jsonl", "--output", "archived"];
    env.expect(0, &[&common, arguments].concat());
    exported_documents(&env.path("archived"))
}

/// Reads the documents of `conversations.jsonl` in a folder.
pub(crate) fn exported_documents(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("conversations.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns source and id of each document. Fails if a document is there twice.
#[track_caller]
pub(crate) fn ids(documents: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ids: BTreeSet<_> =
        documents.iter().map(|document| (text(&document["source"]), text(&document["id"]))).collect();
    assert_eq!(ids.len(), documents.len(), "a conversation is there twice");
    ids
}

/// Returns source and id of the agents' conversations that match a condition.
pub(crate) fn expected_ids<'a>(
    agents: impl IntoIterator<Item = (&'a Agent, &'a String)>,
    is_expected: impl Fn(&Expected) -> bool,
) -> BTreeSet<(String, String)> {
    let of_agent = |(agent, source): (&'a Agent, &'a String)| {
        let expected: Vec<_> = agent.expected().filter(|expected| is_expected(expected)).collect();
        expected.into_iter().map(move |expected| (source.clone(), expected.id))
    };
    agents.into_iter().flat_map(of_agent).collect()
}

/// Returns a document by its id.
#[track_caller]
pub(crate) fn document<'a>(documents: &'a [Value], id: &str) -> &'a Value {
    let found = documents.iter().find(|document| document["id"] == id);
    found.unwrap_or_else(|| panic!("there is no conversation {id}"))
}

/// Queries a number from the archive.
#[track_caller]
pub(crate) fn query_number(env: &TestEnvironment, sql: &str) -> i64 {
    let path = env.path("chatark.db");
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Returns an instant as RFC 3339, with independent calendar arithmetic.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since the first of March of the year 0 in the Gregorian calendar, whose leap day comes last.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[test]
fn the_calendar_is_correct() {
    assert_eq!(rfc3339(1_790_000_000), "2026-09-21T14:13:20Z");
    assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
}
