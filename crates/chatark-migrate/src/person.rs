//! Who wrote: what tells one person from another.
//!
//! A person is an e-mail address; or a telephone number, which is an address's where it came with exactly one; or the
//! vendor's id, which is good within its source, and is theirs with whom it came alone. Who none of these is known of
//! has a person of their own for each conversation.

use std::collections::HashMap;

use chatark_archive::{Archive, Filter};
use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Result, SourceName, Stream};

/// What is known of who is who, over all that the archive has of some sources.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    /// What a telephone number or an id stands for: an address or a number; nothing where it came with several.
    links: HashMap<String, Option<String>>,
}

impl Identities {
    /// Reads who is who, whatever is chosen of the archive afterwards: a person must be the same in every run.
    pub(crate) fn read(archive: &Archive, sources: &[SourceName]) -> Result<Self> {
        let mut identities = Self::default();
        let filter = Filter { sources: sources.to_vec(), ..Filter::default() };
        archive.each(&filter, |archived| {
            let contact = &archived.conversation.contact;
            identities.note(contact, contact.id.as_ref().map(|id| within(&archived.origin, id)));
            Ok(())
        })?;
        archive.each_contact(sources, |origin, list, entry| {
            ids(origin, list, entry).for_each(|id| identities.note(&entry.contact, Some(id)));
            identities.note(&entry.contact, None);
            Ok(())
        })?;
        Ok(identities)
    }

    fn note(&mut self, contact: &Contact, id: Option<String>) {
        let (address, number) = (address(contact), number(contact));
        if let (Some(address), Some(number)) = (&address, &number) {
            self.link(number.clone(), address);
        }
        if let (Some(reached), Some(id)) = (address.or(number), id) {
            self.link(id, &reached);
        }
    }

    fn link(&mut self, from: String, to: &str) {
        let link = self.links.entry(from).or_insert_with(|| Some(to.to_owned()));
        if link.as_ref().is_some_and(|link| link != to) {
            *link = None;
        }
    }

    /// Returns what a number or an id stands for in the end: an id for a number, and that for an address.
    fn resolved(&self, key: String) -> String {
        let next = |key: &String| self.links.get(key).cloned().flatten();
        let Some(reached) = next(&key) else { return key };
        next(&reached).unwrap_or(reached)
    }

    /// Returns every number and id that stands for something else, with what it stands for.
    pub(crate) fn former(&self) -> impl Iterator<Item = (&String, String)> {
        let linked = self.links.iter().filter(|(_, link)| link.is_some());
        linked.map(|(from, _)| (from, self.resolved(from.clone())))
    }

    /// Returns the key of a conversation's person; `None` where nothing is known at all.
    pub(crate) fn key(&self, archived: &ArchivedConversation) -> Option<String> {
        let contact = &archived.conversation.contact;
        let id = || contact.id.as_ref().map(|id| within(&archived.origin, id));
        let known = address(contact).or_else(|| number(contact)).or_else(id).map(|key| self.resolved(key));
        known.or_else(|| {
            let is_known = *contact != Contact::default();
            is_known.then(|| format!("{}/conversation/{}", archived.origin.source, archived.conversation.id))
        })
    }

    /// Returns the key of somebody whom a vendor lists; `None` where nothing is known at all.
    pub(crate) fn listed(&self, origin: &Origin, list: Stream, entry: &ListedContact) -> Option<String> {
        let id = || ids(origin, list, entry).next();
        let known = address(&entry.contact).or_else(|| number(&entry.contact)).or_else(id);
        known.map(|key| self.resolved(key))
    }
}

/// Returns the ids of an entry. Those of contacts are what conversations may know them by, those of leads are not.
fn ids(origin: &Origin, list: Stream, entry: &ListedContact) -> impl Iterator<Item = String> {
    let of_list = |id: &String| match list {
        Stream::Contacts => within(origin, id),
        list => within(origin, &format!("{}/{id}", list.as_str())),
    };
    let external = entry.external_id.as_ref().map(|id| within(origin, id));
    external.into_iter().chain(entry.id.as_ref().map(of_list))
}

fn address(contact: &Contact) -> Option<String> {
    let email = contact.email.as_deref().map(str::trim).filter(|email| !email.is_empty());
    email.map(str::to_lowercase)
}

/// Returns a telephone number in a form in which the same one is the same text.
fn number(contact: &Contact) -> Option<String> {
    let digits: String = contact.phone.as_ref()?.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= 6).then(|| format!("tel:{}", digits.trim_start_matches("00")))
}

fn within(origin: &Origin, id: &str) -> String {
    format!("{}/{id}", origin.source)
}
