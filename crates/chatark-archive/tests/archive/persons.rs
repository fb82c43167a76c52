//! Identity resolution over the whole archive.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chatark_archive::{Archive, Filter, HashedDocument, HashedRecord, Identifier, SourceKey, WriteOp};
use chatark_core::{
    Checkpoint, Contact, Conversation, ConversationId, Document, Issue, ListedContact, Mapper, Origin,
    PageMetadata, Record, RecordId, Result, SourceName, Stream, Surface,
};

use crate::support::{TestEnvironment, noon, start_of};

/// Reads `email|phone|id|external id|seconds after noon`, each of them empty if not known.
#[derive(Debug)]
struct Cards;

impl Mapper for Cards {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let text = String::from_utf8_lossy(&records[0].bytes).into_owned();
        let cell = |at: usize| text.split('|').nth(at).filter(|cell| !cell.is_empty()).map(str::to_owned);
        let created_at = cell(4).and_then(|seconds| noon().shifted(seconds.parse().unwrap()));
        let contact = Contact { email: cell(0), phone: cell(1), ..Contact::default() };
        let document = if records[0].stream == Stream::Conversations {
            let contact = Contact { id: cell(2), ..contact };
            let id = ConversationId::new("");
            Document::Conversation(Conversation { contact, created_at, ..Conversation::empty(id) })
        } else {
            Document::Contact(ListedContact { external_id: cell(3), contact, ..ListedContact::default() })
        };
        Ok((document, Vec::new()))
    }
}

fn write(env: &mut TestEnvironment, source: SourceKey, stream: Stream, id: &str, card: &str) {
    let mut run = env.archive.begin_run(source, &start_of(stream, "pull", "all", None)).unwrap();
    let own = Record {
        stream,
        id: Some(RecordId::new(id)),
        parent: None,
        surface: Surface::Export,
        bytes: Bytes::copy_from_slice(card.as_bytes()),
    };
    let document = HashedDocument::new(HashedRecord::new(own), Vec::new()).encode(&Cards).unwrap();
    let batch = vec![WriteOp::Document(Box::new(document))];
    let page = PageMetadata::default();
    env.archive.commit(&mut run, batch, &Checkpoint::None, &page, &Cards, noon()).unwrap();
}

fn write_conversation(env: &mut TestEnvironment, source: SourceKey, id: &str, card: &str) {
    write(env, source, Stream::Conversations, id, card);
}

/// Returns the ids of the records of each person.
fn persons(env: &TestEnvironment) -> BTreeSet<Vec<String>> {
    let connection = env.connect();
    let sql = "SELECT person_key, record.id FROM person JOIN record USING (record_key) ORDER BY record.id";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut persons: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    while let Some(row) = rows.next().unwrap() {
        persons.entry(row.get(0).unwrap()).or_default().push(row.get(1).unwrap());
    }
    persons.into_values().collect()
}

#[track_caller]
fn check(env: &mut TestEnvironment, expect: &[&[&str]]) {
    env.archive.resolve_persons().unwrap();
    let expect = expect.iter().map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()).collect();
    assert_eq!(persons(env), expect);
}

#[test]
fn an_address_is_a_person_and_a_number_belongs_to_its_only_address() {
    let mut env = TestEnvironment::new();
    let shop = env.source("shop");
    for (id, card) in [
        ("jane-1", "Jane@Example.com|+49 151 234567|"),
        ("jane-2", "|0049151234567|"),
        ("jane-3", " jane@example.com||"),
        ("ada", "|+43 660 1234567|"),
        ("nobody", "||"),
        ("short", "|12 34|"),
    ] {
        write_conversation(&mut env, shop, id, card);
    }
    check(&mut env, &[&["jane-1", "jane-2", "jane-3"], &["ada"]]);
    // The number came with a second address, so it identifies a person of its own.
    write_conversation(&mut env, shop, "max", "max@example.com|0049 151 234567|");
    check(&mut env, &[&["jane-1", "jane-3"], &["jane-2"], &["max"], &["ada"]]);
}

#[test]
fn an_id_is_valid_within_its_source_and_belongs_to_the_only_person_it_comes_with() {
    let mut env = TestEnvironment::new();
    let (shop, help) = (env.source("shop"), env.source("help"));
    write_conversation(&mut env, shop, "known", "jane@example.com||7|");
    write_conversation(&mut env, shop, "by-id", "||7|");
    write_conversation(&mut env, help, "elsewhere", "||7|");
    check(&mut env, &[&["by-id", "known"], &["elsewhere"]]);
    write_conversation(&mut env, shop, "other", "max@example.com||7|");
    check(&mut env, &[&["known"], &["by-id"], &["other"], &["elsewhere"]]);
}

#[test]
fn listed_contacts_are_included() {
    let mut env = TestEnvironment::new();
    let shop = env.source("shop");
    write_conversation(&mut env, shop, "by-id", "||7|");
    write_conversation(&mut env, shop, "by-external-id", "||crm-7|");
    write_conversation(&mut env, shop, "lead-id", "||9|");
    write(&mut env, shop, Stream::Contacts, "7", "jane@example.com|||crm-7");
    // The ids of leads are not those by which conversations know people.
    write(&mut env, shop, Stream::Leads, "9", "max@example.com||");
    check(&mut env, &[&["7", "by-external-id", "by-id"], &["lead-id"], &["9"]]);
}

#[test]
fn persons_are_updated_only_by_changes() {
    let mut env = TestEnvironment::new();
    let shop = env.source("shop");
    write_conversation(&mut env, shop, "a", "jane@example.com|||||first");
    write_conversation(&mut env, shop, "b", "jane@example.com||");
    check(&mut env, &[&["a", "b"]]);
    let outdated = "SELECT persons_outdated FROM archive";
    write_conversation(&mut env, shop, "a", "jane@example.com|||||second");
    assert_eq!(env.count(outdated), 0, "the identifiers are the same");
    write_conversation(&mut env, shop, "a", "max@example.com||");
    assert_eq!(env.count(outdated), 1);
    check(&mut env, &[&["a"], &["b"]]);
    write_conversation(&mut env, shop, "a", "||");
    check(&mut env, &[&["b"]]);
}

#[test]
fn a_reader_sees_persons_even_if_the_writer_was_interrupted() {
    let mut env = TestEnvironment::new();
    let shop = env.source("shop");
    write_conversation(&mut env, shop, "later", "jane@example.com||||60");
    write_conversation(&mut env, shop, "first", "jane@example.com||||0");
    write_conversation(&mut env, shop, "nobody", "||||");
    let rows = |env: &TestEnvironment| {
        let mut rows = Vec::new();
        let take = |row: &chatark_archive::StatsRow| {
            rows.push((row.person, row.is_first_contact));
            Ok(())
        };
        env.archive.each_stats(&Filter::default(), take).unwrap();
        rows
    };
    let found = rows(&env);
    let jane = found[0].0;
    assert!(jane.is_some());
    assert_eq!(found, [(jane, false), (jane, true), (None, false)]);
    assert_eq!(env.count("SELECT count(*) FROM person"), 0);
    env.archive.resolve_persons().unwrap();
    assert_eq!(rows(&env), found);
    assert_eq!(env.count("SELECT count(*) FROM person"), 2);
}

/// Returns every identifier that belongs to another, with that one.
fn owned(env: &TestEnvironment) -> BTreeMap<String, String> {
    let text = |identifier: &Identifier| match identifier {
        Identifier::Email(text) | Identifier::Phone(text) => text.clone(),
        Identifier::Id(source, id) => format!("{source}/{id}"),
    };
    let (mut names, mut owned) = (BTreeMap::new(), BTreeMap::new());
    let take = |held: chatark_archive::ResolvedIdentifier| {
        names.insert(held.number, text(&held.identifier));
        owned.insert(held.number, held.owner);
    };
    env.archive.each_identifier(take).unwrap();
    owned.retain(|number, owner| number != owner);
    owned.iter().map(|(number, owner)| (names[number].clone(), names[owner].clone())).collect()
}

#[test]
fn each_identifier_is_read_with_its_owner() {
    let mut env = TestEnvironment::new();
    let shop = env.source("shop");
    for (id, card) in [
        ("1", "Ann@example.com|+49 151 234567|"),
        ("2", "ann@example.com |0049151234567|"),
        ("3", "bob@example.com|030 123456|"),
        ("4", "cem@example.com|030-123456|"),
        ("5", "|+49 151 234567|7|"),
        ("6", "ann@example.com||7|"),
        ("7", "bob@example.com||kiosk|"),
        ("8", "ann@example.com||kiosk|"),
        ("9", "|00 1234|short|"),
    ] {
        write_conversation(&mut env, shop, id, card);
    }
    write(&mut env, shop, Stream::Leads, "7", "cem@example.com|||crm");
    let ann = "ann@example.com";
    let expect = [
        ("49151234567", ann),
        ("shop/7", ann),
        ("shop/crm", "cem@example.com"),
        ("shop/leads/7", "cem@example.com"),
    ];
    let expect = expect.map(|(identifier, owner)| (identifier.to_owned(), owner.to_owned())).into();
    // The first pass resolves for this reader alone, the second finds what the writer has stored.
    assert_eq!(owned(&env), expect);
    let name = SourceName::new("shop").unwrap();
    let person =
        |env: &TestEnvironment, id: &str| env.archive.person(&name, Stream::Conversations, id).unwrap();
    let found: Vec<_> = ["1", "2", "5", "9"].map(|id| person(&env, id)).into();
    assert!(found[0].is_some() && found[3].is_some() && found[0] != found[3]);
    assert_eq!(found[..2], found[1..3]);
    env.archive.resolve_persons().unwrap();
    assert_eq!(owned(&env), expect);
    assert_eq!(["1", "2", "5", "9"].map(|id| person(&env, id))[..], found);
    assert_eq!(person(&env, "elsewhere"), None);
    assert!(env.archive.person(&name, Stream::Leads, "7").unwrap().is_some());
}

#[test]
fn a_reader_sees_persons_that_a_writer_resolved_later() {
    let mut env = TestEnvironment::new();
    let shop = env.source("shop");
    let name = SourceName::new("shop").unwrap();
    write_conversation(&mut env, shop, "a", "jane@example.com||");
    let reader = Archive::open_to_read(&env.path).unwrap();
    let person = || {
        reader.each_identifier(|_| ()).unwrap();
        reader.person(&name, Stream::Conversations, "a").unwrap()
    };
    let jane = person();
    write_conversation(&mut env, shop, "a", "max@example.com||");
    env.archive.resolve_persons().unwrap();
    assert_ne!(person(), jane);
}

#[test]
fn a_conversation_that_two_apis_of_an_agent_show_is_counted_once() {
    let mut env = TestEnvironment::new();
    let source = |env: &mut TestEnvironment, name: &str, provider: &str, agent_id: &str| {
        let source = SourceName::new(name).unwrap();
        let origin = Origin { source, provider: provider.to_owned(), agent_id: agent_id.to_owned() };
        env.archive.register_source(&origin).unwrap()
    };
    let old = source(&mut env, "old", "vendor-v1", "agent");
    let new = source(&mut env, "new", "vendor-v2", "agent");
    let other = source(&mut env, "other", "vendor-v2", "another agent");
    for (source, id, card) in [
        (old, "twin", "||||5"),
        (new, "twin", "||||5"),
        (other, "twin", "||||5"),
        (old, "moved", "||||5"),
        (new, "moved", "||||6"),
        (old, "undated", "||||"),
        (new, "undated", "||||"),
    ] {
        write_conversation(&mut env, source, id, card);
    }
    env.archive.resolve_persons().unwrap();
    let left_out = |sources: &[&str]| {
        let sources = sources.iter().map(|name| SourceName::new(*name).unwrap()).collect();
        let mut left_out = Vec::new();
        let take = |row: &chatark_archive::StatsRow| {
            left_out.extend((!row.is_in_totals).then_some(row.source));
            Ok(())
        };
        env.archive.each_stats(&Filter { sources, ..Filter::default() }, take).unwrap();
        left_out
    };
    assert_eq!(left_out(&[]), [old], "the newest API has the most data");
    assert_eq!(left_out(&["old"]), []);
    assert_eq!(env.count("SELECT count(*) FROM twin"), 2);
}
