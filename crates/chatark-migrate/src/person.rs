//! The idempotency keys of people: whose a record is, the archive says.

use std::collections::HashMap;

use chatark_archive::{Archive, HeldIdentifier, Identifier};
use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Result, Stream};

/// The keys of all people of an archive. Memory grows with the number of their identifiers.
#[derive(Debug)]
pub(crate) struct Identities<'a> {
    archive: &'a Archive,
    /// The key of each identifier that belongs to no other, by its number.
    keys: HashMap<i64, String>,
    /// The key of each identifier that belongs to another, with the number of that.
    previous: HashMap<String, i64>,
}

impl<'a> Identities<'a> {
    /// Reads the identifiers of the archive, whatever is selected of it: a person must be the same in every run.
    pub(crate) fn read(archive: &'a Archive) -> Result<Self> {
        let (mut keys, mut previous) = (HashMap::new(), HashMap::new());
        archive.each_identifier(|HeldIdentifier { identifier, number, owner }| {
            let key = key(identifier);
            if number == owner {
                keys.insert(number, key);
            } else {
                previous.insert(key, owner);
            }
        })?;
        Ok(Self { archive, keys, previous })
    }

    /// Returns every number and id that belongs to another key, with that key.
    pub(crate) fn previous_keys(&self) -> impl Iterator<Item = (&String, &String)> {
        self.previous.iter().filter_map(|(key, owner)| Some((key, self.keys.get(owner)?)))
    }

    /// Returns the key of a conversation's person; `None` where nothing is known of the person.
    pub(crate) fn key(&self, archived: &ArchivedConversation) -> Result<Option<String>> {
        let id = archived.conversation.id.as_str();
        let key = self.stored(&archived.origin, Stream::Conversations, id)?;
        Ok(key.or_else(|| own_key(archived)))
    }

    /// Returns the key of a listed contact; `None` where nothing is known of the person.
    pub(crate) fn listed(
        &self,
        origin: &Origin,
        stream: Stream,
        listed: &ListedContact,
    ) -> Result<Option<String>> {
        let Some(id) = &listed.id else { return Ok(None) };
        let own = || {
            let external = listed.external_id.clone().map(|id| Identifier::Id(origin.source.clone(), id));
            let id = || Identifier::id(&origin.source, stream, id);
            key(named(&listed.contact).or(external).unwrap_or_else(id))
        };
        Ok(self.stored(origin, stream, id)?.or_else(|| Some(own())))
    }

    /// Returns the key of a record's person. A record that came since the identifiers were read may have none yet.
    fn stored(&self, origin: &Origin, stream: Stream, id: &str) -> Result<Option<String>> {
        let person = self.archive.person(&origin.source, stream, id)?;
        Ok(person.and_then(|person| self.keys.get(&person)).cloned())
    }
}

/// Returns the key that a conversation's person has in this conversation alone.
///
/// Without any identifier, each conversation counts as a separate person; `None` where nothing is known of them.
pub(crate) fn own_key(archived: &ArchivedConversation) -> Option<String> {
    let (source, contact) = (&archived.origin.source, &archived.conversation.contact);
    let id = || contact.id.as_ref().map(|id| Identifier::id(source, Stream::Conversations, id));
    named(contact).or_else(id).map(key).or_else(|| {
        let is_known = *contact != Contact::default();
        is_known.then(|| format!("{source}/conversation/{}", archived.conversation.id))
    })
}

/// Returns the key of a number that is too short for one, but not with its leading zeros, which earlier versions counted.
pub(crate) fn former_key(contact: &Contact) -> Option<String> {
    const LEAST_DIGITS: usize = 6;
    let text = contact.phone.as_deref().filter(|_| named(contact).is_none())?;
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= LEAST_DIGITS).then(|| format!("tel:{}", digits.trim_start_matches("00")))
}

fn named(contact: &Contact) -> Option<Identifier> {
    let email = contact.email.as_deref().and_then(Identifier::email);
    email.or_else(|| contact.phone.as_deref().and_then(Identifier::phone))
}

/// Returns the key of an identifier, by which ledgers of migrations know it: it must never change.
fn key(identifier: Identifier) -> String {
    match identifier {
        Identifier::Email(address) => address,
        Identifier::Phone(digits) => format!("tel:{digits}"),
        Identifier::Id(source, id) => format!("{source}/{id}"),
    }
}
