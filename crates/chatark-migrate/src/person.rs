//! Identity resolution: which contacts are the same person.
//!
//! An e-mail address identifies a person. A phone number belongs to the address it always comes with; if it comes with
//! several, it identifies a person of its own. A vendor's id is valid within its source, and belongs to the address or
//! number it always comes with. Without any identifier, each conversation counts as a separate person.

use std::collections::HashMap;

use chatark_archive::{Archive, Filter};
use chatark_core::{
    ArchivedConversation, Contact, IdentifierKind, ListedContact, Origin, Result, SourceName, Stream,
};

/// The identifiers of all contacts of some sources.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    /// The address or number that a number or id always comes with; `None` where it comes with several.
    links: HashMap<String, Option<String>>,
}

impl Identities {
    /// Reads all contacts of some sources, whatever is selected of them: a person must be the same in every run.
    pub(crate) fn read(archive: &Archive, sources: &[SourceName]) -> Result<Self> {
        let mut identities = Self::default();
        let filter = Filter { sources: sources.to_vec(), ..Filter::default() };
        archive.each(&filter, |archived| {
            let contact = &archived.conversation.contact;
            identities.add(contact, contact.id.as_ref().map(|id| within(&archived.origin, id)));
            Ok(())
        })?;
        archive.each_contact(sources, |origin, list, listed| {
            ids(origin, list, listed).for_each(|id| identities.add(&listed.contact, Some(id)));
            identities.add(&listed.contact, None);
            Ok(())
        })?;
        Ok(identities)
    }

    fn add(&mut self, contact: &Contact, id: Option<String>) {
        let (email, phone) = (email(contact), phone(contact));
        if let (Some(email), Some(phone)) = (&email, &phone) {
            self.link(phone.clone(), email);
        }
        if let (Some(owner), Some(id)) = (email.or(phone), id) {
            self.link(id, &owner);
        }
    }

    fn link(&mut self, from: String, to: &str) {
        let link = self.links.entry(from).or_insert_with(|| Some(to.to_owned()));
        if link.as_ref().is_some_and(|link| link != to) {
            *link = None;
        }
    }

    /// Follows the links of a key: from an id to a number, and from that to an address.
    fn resolved(&self, key: String) -> String {
        let next = |key: &String| self.links.get(key).cloned().flatten();
        let Some(owner) = next(&key) else { return key };
        next(&owner).unwrap_or(owner)
    }

    /// Returns every number and id that belongs to another key, with that key.
    pub(crate) fn previous_keys(&self) -> impl Iterator<Item = (&String, String)> {
        let linked = self.links.iter().filter(|(_, link)| link.is_some());
        linked.map(|(from, _)| (from, self.resolved(from.clone())))
    }

    /// Returns the key of a conversation's person; `None` where nothing is known of the person.
    pub(crate) fn key(&self, archived: &ArchivedConversation) -> Option<String> {
        let contact = &archived.conversation.contact;
        let id = || contact.id.as_ref().map(|id| within(&archived.origin, id));
        let known = email(contact).or_else(|| phone(contact)).or_else(id).map(|key| self.resolved(key));
        known.or_else(|| {
            let is_known = *contact != Contact::default();
            let (source, id) = (&archived.origin.source, &archived.conversation.id);
            is_known.then(|| format!("{source}/conversation/{id}"))
        })
    }

    /// Returns the key of a listed contact; `None` where nothing is known of the person.
    pub(crate) fn listed(&self, origin: &Origin, list: Stream, listed: &ListedContact) -> Option<String> {
        let id = || ids(origin, list, listed).next();
        let known = email(&listed.contact).or_else(|| phone(&listed.contact)).or_else(id);
        known.map(|key| self.resolved(key))
    }
}

/// Returns the ids of a listed contact. Conversations may have those of contacts, but never those of leads.
fn ids(origin: &Origin, list: Stream, listed: &ListedContact) -> impl Iterator<Item = String> {
    let of_list = |id: &String| match list {
        Stream::Contacts => within(origin, id),
        list => within(origin, &format!("{}/{id}", list.as_str())),
    };
    let external = listed.external_id.as_ref().map(|id| within(origin, id));
    external.into_iter().chain(listed.id.as_ref().map(of_list))
}

fn email(contact: &Contact) -> Option<String> {
    IdentifierKind::Email.normalize(contact.email.as_deref()?)
}

fn phone(contact: &Contact) -> Option<String> {
    IdentifierKind::Phone.normalize(contact.phone.as_deref()?).map(|digits| format!("tel:{digits}"))
}

fn within(origin: &Origin, id: &str) -> String {
    format!("{}/{id}", origin.source)
}
