//! The people behind conversations, each of them once. Memory grows with their number.

use std::collections::{BTreeMap, HashMap, HashSet};

use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Person};

use crate::person;

/// People as they are met: first those whom a vendor lists, then those of conversations.
#[derive(Debug, Default)]
pub(crate) struct People {
    people: BTreeMap<String, Person>,
    /// The keys of people by the vendor's ids of them, where somebody can be reached by more than that.
    keys: HashMap<String, String>,
}

impl People {
    /// Adds somebody whom the vendor lists apart from conversations.
    pub(crate) fn add_listed(&mut self, origin: &Origin, entry: &ListedContact) {
        let ids = [&entry.external_id, &entry.id];
        let mut ids = ids.into_iter().flatten().map(|id| person::within(origin, id)).peekable();
        let Some(key) = person::reached_by(&entry.contact).or_else(|| ids.peek().cloned()) else { return };
        for id in ids {
            self.link(id, &key);
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
        let key = self.keys.get(&key).cloned().unwrap_or(key);
        if let Some(id) = &conversation.contact.id {
            self.link(person::within(&found.origin, id), &key);
        }
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

    /// Remembers that the vendor's id and a key are one person, and puts together what was known of the two.
    fn link(&mut self, id: String, key: &str) {
        if id == key {
            return;
        }
        if let Some(known) = self.people.remove(&id) {
            let person = self.people.entry(key.to_owned()).or_default();
            let is_newer = known.last_seen > person.last_seen;
            renew(&mut person.contact, &known.contact, is_newer);
            person.first_seen = [person.first_seen, known.first_seen].into_iter().flatten().min();
            person.last_seen = person.last_seen.max(known.last_seen);
            person.conversations += known.conversations;
            known.sources.iter().for_each(|source| add(&mut person.sources, source));
            known.tags.iter().for_each(|tag| add(&mut person.tags, tag));
        }
        let former = &mut self.people.entry(key.to_owned()).or_default().former_keys;
        add(former, &id);
        self.keys.insert(id, key.to_owned());
    }

    /// Returns them, sorted by key.
    pub(crate) fn finish(self) -> impl Iterator<Item = Person> {
        let mut taken = HashSet::new();
        let mut external_id = |key: &String, person: &Person| {
            let told = Some(&person.external_id).filter(|id| !id.is_empty()).or(person.contact.id.as_ref());
            // Nobody goes under what is somebody else's key.
            let is_free = |id: &&String| *id == key || !self.people.contains_key(*id);
            let id = told.filter(is_free).filter(|id| taken.insert((*id).clone()));
            id.unwrap_or(key).clone()
        };
        let ids: Vec<_> = self.people.iter().map(|(key, person)| external_id(key, person)).collect();
        let people = self.people.into_iter().zip(ids);
        people.map(|((key, person), external_id)| Person { external_id, key, ..person })
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
