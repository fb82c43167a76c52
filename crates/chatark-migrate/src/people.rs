//! Merges the customers of conversations and the contacts of lists, so that each person is migrated once. Memory grows
//! with the number of people.

use std::collections::{BTreeMap, HashSet};

use chatark_archive::Archive;
use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Result, Stream, Timestamp};
use chatark_target::{FieldOutcome, FieldRule, LossReport, NO_FIELD, Person};

use crate::person_keys::{PersonKeys, previous_phone_key};

/// Collects people: first those of the vendors' lists, then those of conversations.
#[derive(Debug)]
pub(crate) struct People<'a> {
    keys: PersonKeys<'a>,
    /// The people by idempotency key.
    people: BTreeMap<String, Person>,
}

const UNKNOWN: &str = "nothing is known of the person";

impl<'a> People<'a> {
    pub(crate) fn new(archive: &'a Archive) -> Result<Self> {
        Ok(Self { keys: PersonKeys::read(archive)?, people: BTreeMap::new() })
    }

    /// Adds a person from a vendor's list, and counts what becomes of the entry.
    pub(crate) fn add_listed(
        &mut self,
        origin: &Origin,
        list: Stream,
        listed: &ListedContact,
        loss_report: &mut LossReport,
    ) -> Result<()> {
        let id = listed.id.as_deref().unwrap_or_default();
        let mut count = |field, outcome, why, count| {
            loss_report.add_with_example(field, outcome, why, count, id);
        };
        let Some(key) = self.keys.of_listed(origin, list, listed)? else {
            count("listed_contact", FieldOutcome::Lost, UNKNOWN, 1);
            return Ok(());
        };
        count("listed_contact", FieldOutcome::Kept, "merged into one person", 1);
        let extra = usize::from(!listed.extra.is_empty());
        count("listed_contact.extra", FieldOutcome::Lost, NO_FIELD, extra);
        let person = self.people.entry(key).or_default();
        update(person, &listed.contact, listed.created_at, listed.updated_at);
        if person.external_id.is_empty() {
            person.external_id = listed.external_id.clone().unwrap_or_default();
        }
        add_if_new(&mut person.sources, origin.source.as_str());
        Ok(())
    }

    /// Adds the person of a conversation, and counts what becomes of its fields by the rules of a target.
    pub(crate) fn add(
        &mut self,
        rules: &[FieldRule],
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<()> {
        let Some(key) = self.keys.of_conversation(archived)? else {
            loss_report.add_left_out(UNKNOWN, archived);
            return Ok(());
        };
        loss_report.add_fields(rules, archived);
        let conversation = &archived.conversation;
        let person = self.people.entry(key).or_default();
        update(person, &conversation.contact, conversation.created_at, conversation.updated_at);
        person.conversations += 1;
        add_if_new(&mut person.sources, archived.origin.source.as_str());
        conversation.tags.iter().for_each(|tag| add_if_new(&mut person.tags, tag));
        Ok(())
    }

    /// Returns the people, sorted by key.
    pub(crate) fn finish(mut self) -> impl Iterator<Item = Person> {
        for (previous, key) in self.keys.previous_keys() {
            if let Some(person) = self.people.get_mut(key) {
                person.previous_keys.push(previous.clone());
            }
        }
        let mut taken = HashSet::new();
        for person in self.people.values_mut() {
            person.previous_keys.sort();
            // Several people can have the same short phone number: only the first one keeps its key.
            person.previous_keys.retain(|previous| taken.insert(previous.clone()));
        }
        let ids = self.external_ids();
        let people = self.people.into_iter().zip(ids);
        people.map(|((key, person), external_id)| Person { external_id, key, ..person })
    }

    /// Returns a unique id for each person: the vendor's id, or else the key.
    fn external_ids(&self) -> Vec<String> {
        let mut taken = HashSet::new();
        let external_id = |(key, person): (&String, &Person)| {
            let given = Some(&person.external_id).filter(|id| !id.is_empty()).or(person.contact.id.as_ref());
            let is_free = |id: &&String| *id == key || !self.people.contains_key(*id);
            given.filter(is_free).filter(|id| taken.insert((*id).clone())).unwrap_or(key).clone()
        };
        self.people.iter().map(external_id).collect()
    }
}

/// Updates a person with the values of a contact that are newer, or that the person does not have yet.
fn update(
    person: &mut Person,
    contact: &Contact,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
) {
    person.previous_keys.extend(previous_phone_key(contact));
    let last_seen = updated_at.or(created_at);
    let is_newer = last_seen >= person.last_seen;
    person.first_seen = [person.first_seen, created_at].into_iter().flatten().min();
    person.last_seen = person.last_seen.max(last_seen);
    let Contact { id, name, email, phone, company, address, website } = &mut person.contact;
    for (held, new) in [
        (id, &contact.id),
        (name, &contact.name),
        (email, &contact.email),
        (phone, &contact.phone),
        (company, &contact.company),
        (address, &contact.address),
        (website, &contact.website),
    ] {
        if new.is_some() && (is_newer || held.is_none()) {
            held.clone_from(new);
        }
    }
}

/// Adds a value to a list, unless the list has it.
fn add_if_new(list: &mut Vec<String>, value: &str) {
    if !list.iter().any(|held| held == value) {
        list.push(value.to_owned());
    }
}
