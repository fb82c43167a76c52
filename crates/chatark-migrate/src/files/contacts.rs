//! One row for each person, whichever sources they wrote to. Memory grows with the number of people.

use std::collections::BTreeMap;

use chatark_core::{ArchivedConversation, Contact, Fate, Losses, Result, Rule, Timestamp};

use crate::person;
use crate::target::{Item, Mapper};

pub(crate) const COLUMNS: &[&str] = &[
    "external_id",
    "contact_id",
    "name",
    "email",
    "phone",
    "company",
    "address",
    "website",
    "sources",
    "first_seen",
    "last_seen",
    "conversations",
    "tags",
];

#[derive(Default)]
pub(crate) struct Contacts(BTreeMap<String, Person>);

#[derive(Default)]
struct Person {
    contact: Contact,
    sources: Vec<String>,
    tags: Vec<String>,
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    conversations: u64,
}

const ONE_ROW: &str = "one row for each person: the newest value that is known";
const RULES: &[Rule] = &[
    ("contact.*", Fate::Kept, ONE_ROW),
    ("conversation.tags", Fate::Approximated, "those of all conversations of a person together"),
    ("conversation.created_at", Fate::Approximated, "as the first time that a person was seen"),
    ("conversation.updated_at", Fate::Approximated, "as the last time that a person was seen"),
];

impl Mapper for Contacts {
    fn map(&mut self, found: &ArchivedConversation, losses: &mut Losses) -> Result<Vec<Item>> {
        let Some(key) = person::key(found) else {
            losses.note("conversation", Fate::Lost, "nothing is known of the person", 1, found);
            return Ok(Vec::new());
        };
        losses.apply(RULES, found);
        let conversation = &found.conversation;
        let person = self.0.entry(key).or_default();
        let (began, ended) = (conversation.created_at, conversation.updated_at.or(conversation.created_at));
        let is_newer = ended >= person.last_seen;
        let Contact { id, name, email, phone, company, address, website } = &mut person.contact;
        let newer = &conversation.contact;
        for (held, new) in [
            (id, &newer.id),
            (name, &newer.name),
            (email, &newer.email),
            (phone, &newer.phone),
            (company, &newer.company),
            (address, &newer.address),
            (website, &newer.website),
        ] {
            if new.is_some() && (is_newer || held.is_none()) {
                held.clone_from(new);
            }
        }
        person.first_seen = [person.first_seen, began].into_iter().flatten().min();
        person.last_seen = person.last_seen.max(ended);
        person.conversations += 1;
        add(&mut person.sources, found.origin.source.as_str());
        conversation.tags.iter().for_each(|tag| add(&mut person.tags, tag));
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>, _: &mut Losses) -> Vec<Item> {
        self.0.into_iter().map(|(key, person)| Item::Row(row(key, person))).collect()
    }
}

fn add(list: &mut Vec<String>, value: &str) {
    if !list.iter().any(|held| held == value) {
        list.push(value.to_owned());
    }
}

fn row(key: String, person: Person) -> Vec<String> {
    let Person { contact, sources, tags, first_seen, last_seen, conversations } = person;
    let text = |value: Option<String>| value.unwrap_or_default();
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    vec![
        key,
        text(contact.id),
        text(contact.name),
        text(contact.email),
        text(contact.phone),
        text(contact.company),
        text(contact.address),
        text(contact.website),
        sources.join(";"),
        time(first_seen),
        time(last_seen),
        conversations.to_string(),
        tags.join(";"),
    ]
}
