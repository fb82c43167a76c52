//! The people behind conversations, each of them once. Memory grows with their number.

use std::collections::{BTreeMap, HashMap, HashSet};

use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Person};

use crate::person;

/// People as they are met: first those whom a vendor lists, then those of conversations.
#[derive(Debug, Default)]
pub(crate) struct People {
    people: BTreeMap<String, Person>,
    /// The keys of listed people, by the ids that conversations may know them by.
    listed: HashMap<String, String>,
}

impl People {
    /// Adds somebody whom the vendor lists apart from conversations.
    pub(crate) fn add_listed(&mut self, origin: &Origin, entry: &ListedContact) {
        let ids = [&entry.external_id, &entry.id];
        let mut ids = ids.into_iter().flatten().map(|id| person::within(origin, id)).peekable();
        let Some(key) = person::reached_by(&entry.contact).or_else(|| ids.peek().cloned()) else { return };
        for id in ids {
            self.listed.insert(id, key.clone());
        }
        let person = self.people.entry(key).or_default();
        let (began, ended) = (entry.created_at, entry.updated_at.or(entry.created_at));
        renew(&mut person.contact, &entry.contact, ended >= person.last_seen);
        if person.external_id.is_empty() {
            person.external_id = entry.external_id.clone().unwrap_or_default();
        }
        person.first_seen = [person.first_seen, began].into_iter().flatten().min();
        person.last_seen = person.last_seen.max(ended);
        add(&mut person.sources, origin.source.as_str());
    }

    /// Adds what a conversation tells of its person.
    pub(crate) fn add(&mut self, key: String, found: &ArchivedConversation) {
        let conversation = &found.conversation;
        let key = self.listed.get(&key).cloned().unwrap_or(key);
        let person = self.people.entry(key).or_default();
        let (began, ended) = (conversation.created_at, conversation.updated_at.or(conversation.created_at));
        let is_newer = ended >= person.last_seen;
        renew(&mut person.contact, &conversation.contact, is_newer);
        person.first_seen = [person.first_seen, began].into_iter().flatten().min();
        person.last_seen = person.last_seen.max(ended);
        person.conversations += 1;
        add(&mut person.sources, found.origin.source.as_str());
        conversation.tags.iter().for_each(|tag| add(&mut person.tags, tag));
    }

    /// Returns them, sorted by key.
    pub(crate) fn finish(self) -> impl Iterator<Item = Person> {
        let mut taken = HashSet::new();
        self.people.into_iter().map(move |(key, person)| {
            let known = Some(person.external_id.clone()).filter(|id| !id.is_empty());
            let id = known.or_else(|| person.contact.id.clone()).filter(|id| taken.insert(id.clone()));
            Person { external_id: id.unwrap_or_else(|| key.clone()), key, ..person }
        })
    }
}

/// Takes over what is newer, and what was not known.
fn renew(held: &mut Contact, newer: &Contact, is_newer: bool) {
    let Contact { id, name, email, phone, company, address, website } = held;
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
}

fn add(list: &mut Vec<String>, value: &str) {
    if !list.iter().any(|held| held == value) {
        list.push(value.to_owned());
    }
}
