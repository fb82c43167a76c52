//! The people behind conversations, each of them once. Memory grows with their number.

use std::collections::{BTreeMap, HashSet};

use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Stream};
use chatark_target::{FieldOutcome, FieldRule, LossReport, Person};

use crate::person::Identities;

/// People as they are met: first those whom a vendor lists, then those of conversations.
#[derive(Debug, Default)]
pub(crate) struct People {
    identities: Identities,
    people: BTreeMap<String, Person>,
}

impl People {
    pub(crate) fn new(identities: Identities) -> Self {
        Self { identities, people: BTreeMap::new() }
    }

    /// Adds somebody whom a vendor lists apart from conversations, and notes what becomes of the entry.
    pub(crate) fn meet(
        &mut self,
        origin: &Origin,
        list: Stream,
        entry: &ListedContact,
        loss_report: &mut LossReport,
    ) {
        let id = entry.id.as_deref().unwrap_or_default();
        let Some(key) = self.identities.listed(origin, list, entry) else {
            loss_report.add_with_example(
                "listed_contact",
                FieldOutcome::Lost,
                "nothing is known of the person",
                1,
                id,
            );
            return;
        };
        let has_extra = usize::from(!entry.extra.is_empty());
        loss_report.add_with_example(
            "listed_contact",
            FieldOutcome::Kept,
            "with the person that it tells of",
            1,
            id,
        );
        loss_report.add_with_example(
            "listed_contact.extra",
            FieldOutcome::Lost,
            "the target has no place for it",
            has_extra,
            id,
        );
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

    /// Adds what a conversation tells of its person, and notes what becomes of its fields by the rules of a target.
    pub(crate) fn gather(
        &mut self,
        rules: &[FieldRule],
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) {
        let Some(key) = self.identities.key(archived) else {
            loss_report.add_left_out("nothing is known of the person", archived);
            return;
        };
        loss_report.apply(rules, archived);
        let conversation = &archived.conversation;
        let person = self.people.entry(key).or_default();
        let (began, ended) = (conversation.created_at, conversation.updated_at.or(conversation.created_at));
        let is_newer = ended >= person.last_seen;
        renew(&mut person.contact, &conversation.contact, is_newer);
        person.first_seen = [person.first_seen, began].into_iter().flatten().min();
        person.last_seen = person.last_seen.max(ended);
        person.conversations += 1;
        add(&mut person.sources, archived.origin.source.as_str());
        conversation.tags.iter().for_each(|tag| add(&mut person.tags, tag));
    }

    /// Returns them, sorted by key.
    pub(crate) fn finish(mut self) -> impl Iterator<Item = Person> {
        for (former, key) in self.identities.former() {
            if let Some(person) = self.people.get_mut(&key) {
                person.previous_keys.push(former.clone());
            }
        }
        self.people.values_mut().for_each(|person| person.previous_keys.sort());
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
