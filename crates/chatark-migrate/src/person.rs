//! Identity resolution: which contacts are the same person.
//!
//! An e-mail address identifies a person. A phone number belongs to the address it always comes with; if it comes with
//! several, it identifies a person of its own. A vendor's id is valid within its source, and belongs to the address or
//! number it always comes with. Without any identifier, each conversation counts as a separate person.

use std::collections::HashMap;

use chatark_archive::{Archive, Filter};
use chatark_core::{ArchivedConversation, Contact, IdentifierKind, ListedContact, Origin, Result, Stream};

/// The identifiers of all contacts of an archive.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    /// The address that a phone number always comes with; `None` where it comes with several.
    phones: HashMap<String, Option<String>>,
    /// The addresses and numbers that an id comes with.
    ids: HashMap<String, Vec<String>>,
}

impl Identities {
    /// Reads all contacts of the archive, whatever is selected of it: a person must be the same in every run.
    pub(crate) fn read(archive: &Archive) -> Result<Self> {
        let mut identities = Self::default();
        archive.each(&Filter::default(), |archived| {
            let contact = &archived.conversation.contact;
            identities.add(contact, contact.id.as_ref().map(|id| within(&archived.origin, id)));
            Ok(())
        })?;
        archive.each_contact(&[], |origin, stream, listed| {
            identities.add(&listed.contact, ids(origin, stream, listed));
            Ok(())
        })?;
        Ok(identities)
    }

    /// Adds a contact with its ids.
    fn add(&mut self, contact: &Contact, ids: impl IntoIterator<Item = String>) {
        let (email, phone) = (email(contact), phone(contact));
        if let (Some(email), Some(phone)) = (&email, &phone) {
            let owner = self.phones.entry(phone.clone()).or_insert_with(|| Some(email.clone()));
            owner.take_if(|owner| owner != email);
        }
        let Some(owner) = email.or(phone) else { return };
        for id in ids {
            let owners = self.ids.entry(id).or_default();
            if !owners.contains(&owner) {
                owners.push(owner.clone());
            }
        }
    }

    /// Returns the key of the person to whom an address, a number or an id belongs.
    fn resolved(&self, key: String) -> String {
        let Some(owners) = self.ids.get(&key) else { return self.phone_owner(&key).to_owned() };
        let mut owners = owners.iter().map(|owner| self.phone_owner(owner));
        match owners.next() {
            Some(owner) if owners.all(|other| other == owner) => owner.to_owned(),
            _ => key,
        }
    }

    /// Returns the address to which a number belongs, or else the key itself.
    fn phone_owner<'a>(&'a self, key: &'a str) -> &'a str {
        self.phones.get(key).and_then(Option::as_deref).unwrap_or(key)
    }

    /// Returns every number and id that belongs to another key, with that key.
    pub(crate) fn previous_keys(&self) -> impl Iterator<Item = (&String, String)> {
        let keys = self.phones.keys().chain(self.ids.keys());
        keys.map(|key| (key, self.resolved(key.clone()))).filter(|(key, owner)| *key != owner)
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
    pub(crate) fn listed(&self, origin: &Origin, stream: Stream, listed: &ListedContact) -> Option<String> {
        let id = || ids(origin, stream, listed).next();
        let known = email(&listed.contact).or_else(|| phone(&listed.contact)).or_else(id);
        known.map(|key| self.resolved(key))
    }
}

/// Returns the ids of a listed contact. Conversations may have those of contacts, but never those of leads.
fn ids(origin: &Origin, stream: Stream, listed: &ListedContact) -> impl Iterator<Item = String> {
    let of_stream = |id: &String| match stream {
        Stream::Contacts => within(origin, id),
        stream => within(origin, &format!("{}/{id}", stream.as_str())),
    };
    let external = listed.external_id.as_ref().map(|id| within(origin, id));
    external.into_iter().chain(listed.id.as_ref().map(of_stream))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(contacts: &[(&str, &str, &str)]) -> Identities {
        let mut identities = Identities::default();
        for (email, phone, id) in contacts {
            let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let contact = Contact { email: given(email), phone: given(phone), ..Contact::default() };
            identities.add(&contact, given(id));
        }
        identities
    }

    #[track_caller]
    fn check(identities: &Identities, key: &str, owner: &str) {
        assert_eq!(identities.resolved(key.to_owned()), owner, "{key}");
    }

    #[test]
    fn a_number_belongs_to_the_only_address_it_comes_with() {
        let identities = identities(&[
            ("Ann@example.com", "+49 151 234567", ""),
            ("ann@example.com ", "0049151234567", ""),
            ("bob@example.com", "030 123456", ""),
            ("cem@example.com", "030-123456", ""),
            ("ann@example.com", "030 123456", ""),
        ]);
        check(&identities, "tel:49151234567", "ann@example.com");
        check(&identities, "tel:030123456", "tel:030123456");
    }

    #[test]
    fn an_id_belongs_to_the_only_person_it_comes_with() {
        let identities = identities(&[
            ("ann@example.com", "+49 151 234567", ""),
            ("", "+49 151 234567", "shop/7"),
            ("ann@example.com", "", "shop/7"),
            ("bob@example.com", "", "shop/kiosk"),
            ("ann@example.com", "", "shop/kiosk"),
        ]);
        check(&identities, "shop/7", "ann@example.com");
        check(&identities, "shop/kiosk", "shop/kiosk");
        let mut previous: Vec<_> = identities.previous_keys().map(|(key, _)| key.as_str()).collect();
        previous.sort_unstable();
        assert_eq!(previous, ["shop/7", "tel:49151234567"]);
    }
}
