//! The people behind conversations, each of them once. Memory grows with their number.

use std::collections::{BTreeMap, HashSet};

use chatark_core::{ArchivedConversation, Contact, Person};

/// People as they are met.
#[derive(Debug, Default)]
pub(crate) struct People(BTreeMap<String, Person>);

impl People {
    /// Adds what a conversation tells of its person.
    pub(crate) fn add(&mut self, key: String, found: &ArchivedConversation) {
        let conversation = &found.conversation;
        let person = self.0.entry(key).or_default();
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
        self.0.into_iter().map(move |(key, person)| {
            let id = person.contact.id.clone().filter(|id| taken.insert(id.clone()));
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
