//! Chatbase v1's lists of contacts and leads, compared with the sandbox's lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use chatark_sandbox::{Agent, Dataset, Fault, FaultKind, LeadsShape, Person, Vendor};
use chatark_tests::{KEY, TestEnvironment};
use rusqlite::{Connection, OpenFlags};

use crate::support::{pull_result, query_number, sample};

/// Starts an environment with an agent of Chatbase v1 with `contacts = true`, and other agents.
fn env(agent: Agent, others: Vec<Agent>) -> TestEnvironment {
    let env = TestEnvironment::of([vec![agent], others].concat());
    let path = env.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    let line = "provider = \"chatbase-v1\"\n";
    fs::write(&path, config.replacen(line, &format!("{line}contacts = true\n"), 1)).unwrap();
    env
}

/// A person in a list: the list, the id, the external id, name, e-mail, phone and company.
type Entry = (&'static str, String, [Option<String>; 5]);

fn expected_contacts(agent: &Agent) -> BTreeSet<Entry> {
    let lead = |person: &Person| {
        let id = match agent.leads_shape {
            LeadsShape::Documented => format!("lead_{}", person.id),
            LeadsShape::Observed => person.id.clone(),
        };
        ("leads", id, [None, person.name.clone(), person.email.clone(), person.phone.clone(), None])
    };
    let contact = |person: &Person| {
        let Person { external_id, name, email, phone, company, .. } = person.clone();
        ("contacts", person.id.clone(), [external_id, name, email, phone, company])
    };
    agent.leads.iter().map(lead).chain(agent.contacts.iter().map(contact)).collect()
}

fn archived(env: &TestEnvironment) -> BTreeSet<Entry> {
    let path = env.path("chatark.db");
    let archive = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql =
        "SELECT list, id, external_id, name, email, phone, company FROM listed_contact WHERE is_latest = 1";
    let mut statement = archive.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let list = if row.get::<_, String>(0)? == "leads" { "leads" } else { "contacts" };
        Ok((list, row.get(1)?, [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?]))
    });
    let entries: Vec<Entry> = rows.unwrap().map(Result::unwrap).collect();
    let number = entries.len();
    let entries: BTreeSet<_> = entries.into_iter().collect();
    assert_eq!(entries.len(), number, "a person is listed twice");
    entries
}

/// Returns an agent with this many contacts and leads, and no conversation.
fn agent_with_lists(contacts: usize, leads: usize) -> Agent {
    let person = |list: &str, number: usize| Person {
        id: format!("{list}{number}"),
        name: Some(format!("Person {number}")),
        created_at: 1_790_000_000 + i64::try_from(number).unwrap(),
        ..Person::default()
    };
    Agent {
        contacts: (0..contacts).map(|number| person("contact_", number)).collect(),
        leads: (0..leads).map(|number| person("9", number)).collect(),
        ..Agent::new(Vendor::ChatbaseV1, "agent-crowd", KEY, Dataset::default())
    }
}

#[test]
fn both_lists_are_archived_once_in_either_shape() {
    for leads_shape in [LeadsShape::Documented, LeadsShape::Observed] {
        let agent = Agent { leads_shape, ..sample(Vendor::ChatbaseV1) };
        let env = env(agent.clone(), Vec::new());
        let first = pull_result(&env.expect(0, &["pull", "--json"]));
        let expect = expected_contacts(&agent);
        assert_eq!(expect.len(), 9, "five leads and four contacts");
        assert_eq!(archived(&env), expect);
        assert_eq!((&first["contacts"], &first["contacts_added"]), (&9.into(), &9.into()));
        let second = pull_result(&env.expect(0, &["pull", "--json"]));
        assert_eq!(
            (&second["contacts"], &second["contacts_added"], &second["contacts_changed"]),
            (&9.into(), &0.into(), &0.into())
        );
        assert_eq!(query_number(&env, "SELECT count(*) FROM listed_contact"), 9);
        env.expect(0, &["verify"]);
        assert_eq!(env.expect(0, &["status", "--json"]).json()["sources"][0]["contacts"], 9);
    }
}

#[test]
fn long_lists_are_read_to_their_end() {
    let agent = agent_with_lists(1_234, 321);
    let env = env(agent.clone(), Vec::new());
    let found = pull_result(&env.expect(0, &["pull", "--json"]));
    assert_eq!(found["contacts"], 1_234 + 321);
    assert_eq!(archived(&env), expected_contacts(&agent));
}

#[test]
fn contacts_are_not_read_without_the_setting() {
    let env = TestEnvironment::of(vec![sample(Vendor::ChatbaseV1)]);
    let found = pull_result(&env.expect(0, &["pull", "--json"]));
    assert!(found["contacts"].is_null());
    let paths: BTreeSet<_> = env.sandbox().requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/chatbase/api/v1/get-conversations".to_owned()].into());
}

#[test]
fn a_plan_without_contacts_is_an_error_after_the_conversations() {
    let agent = sample(Vendor::ChatbaseV1);
    let env = env(agent.clone(), Vec::new());
    let probe = TestEnvironment::of(vec![agent.clone()]);
    probe.expect(0, &["pull"]);
    let conversations = probe.sandbox().requests().len() as u64;
    env.sandbox().add_fault(&agent.id, Fault::at(conversations, FaultKind::PlanGate).on_any_route());
    let run = env.expect(7, &["pull", "--json"]);
    assert!(run.stderr.contains("take `contacts = true` out"), "{}", run.stderr);
    let leads: BTreeSet<_> =
        expected_contacts(&agent).into_iter().filter(|(list, ..)| *list == "leads").collect();
    assert_eq!(archived(&env), leads, "the other list is read");
    let expected = i64::try_from(agent.expected().count()).unwrap();
    assert_eq!(query_number(&env, "SELECT count(*) FROM conversation"), expected);
}

/// Jonas Weber is a lead and a contact with the same address: he is migrated once, with the shop's id.
#[test]
fn listed_contacts_are_migrated_as_people() {
    let source = sample(Vendor::ChatbaseV1);
    let target = Agent::new(Vendor::ChatbaseV1, "agent-new", KEY, Dataset::default());
    let env = env(source.clone(), vec![target]);
    env.expect(0, &["pull", "source-1"]);
    let listed: BTreeSet<_> =
        source.leads.iter().chain(&source.contacts).filter_map(|person| person.email.clone()).collect();

    env.expect(0, &["migrate", "run", "--to", "contacts-csv"]);
    let mut rows = csv::Reader::from_path(env.path("migration/contacts.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = rows.deserialize().map(Result::unwrap).collect();
    let written: Vec<_> =
        rows.iter().map(|row| row["email"].clone()).filter(|email| !email.is_empty()).collect();
    assert_eq!(written.iter().collect::<BTreeSet<_>>().len(), written.len(), "an address is there twice");
    assert!(listed.iter().all(|email| written.contains(email)));
    assert!(rows.iter().any(|row| row["name"] == "Käthe Großmann" && row["phone"] == "+49 30 23125 027"));

    env.expect(0, &["migrate", "run", "--from", "source-1", "--to", "source-2", "--yes"]);
    let held = env.sandbox().contacts("agent-new");
    let jonas: Vec<_> = held.iter().filter(|contact| contact["email"] == "jonas.weber@example.com").collect();
    assert_eq!(jonas.len(), 1);
    assert_eq!(jonas[0]["external_id"], "shop-customer-1001");

    // Listed contacts have no tags, so `--tag consent` excludes them.
    env.expect(2, &["migrate", "run", "--to", "contacts-csv", "--tag", "consent"]);
}

#[test]
fn the_setting_exists_only_for_vendors_that_list_people() {
    let env = TestEnvironment::of(vec![sample(Vendor::ChatbaseV2)]);
    let path = env.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("[[source]]\n", "[[source]]\ncontacts = true\n")).unwrap();
    let run = env.expect(2, &["pull"]);
    assert!(run.stderr.contains("contacts"), "{}", run.stderr);
}
