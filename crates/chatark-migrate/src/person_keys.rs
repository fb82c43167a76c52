//! The idempotency keys of people. The archive resolves which person a record belongs to.

use std::collections::HashMap;

use chatark_archive::{Archive, Identifier, ResolvedIdentifier};
use chatark_core::{ArchivedConversation, Contact, ListedContact, Origin, Result, Stream};

/// The keys of all people of an archive. Memory grows with the number of their identifiers.
#[derive(Debug)]
pub(crate) struct PersonKeys<'a> {
    archive: &'a Archive,
    /// The keys of identifiers that represent a person, by the number of the identifier.
    keys: HashMap<i64, String>,
    /// The keys of all other identifiers, each with the number of the identifier that represents its person.
    previous: HashMap<String, i64>,
}

impl<'a> PersonKeys<'a> {
    /// Reads all identifiers of the archive, whatever is selected: a person must have the same key in every run.
    pub(crate) fn read(archive: &'a Archive) -> Result<Self> {
        let (mut keys, mut previous) = (HashMap::new(), HashMap::new());
        archive.each_identifier(|ResolvedIdentifier { identifier, number, owner }| {
            let key = key(identifier);
            if number == owner {
                keys.insert(number, key);
            } else {
                previous.insert(key, owner);
            }
        })?;
        Ok(Self { archive, keys, previous })
    }

    /// Returns the keys that do not represent a person, each with the key that does.
    pub(crate) fn previous_keys(&self) -> impl Iterator<Item = (&String, &String)> {
        self.previous.iter().filter_map(|(key, owner)| Some((key, self.keys.get(owner)?)))
    }

    /// Returns the key of a conversation's person; `None` if nothing is known of the person.
    pub(crate) fn of_conversation(&self, archived: &ArchivedConversation) -> Result<Option<String>> {
        let id = archived.conversation.id.as_str();
        let key = self.stored(&archived.origin, Stream::Conversations, id)?;
        Ok(key.or_else(|| own_key(archived)))
    }

    /// Returns the key of a listed contact; `None` if nothing is known of the person.
    pub(crate) fn of_listed(
        &self,
        origin: &Origin,
        stream: Stream,
        listed: &ListedContact,
    ) -> Result<Option<String>> {
        let Some(id) = &listed.id else { return Ok(None) };
        let own = || {
            let external = listed.external_id.clone().map(|id| Identifier::Id(origin.source.clone(), id));
            let id = || Identifier::id(&origin.source, stream, id);
            key(email_or_phone(&listed.contact).or(external).unwrap_or_else(id))
        };
        Ok(self.stored(origin, stream, id)?.or_else(|| Some(own())))
    }

    /// Returns the key of the person that the archive has resolved for a record; `None` if the record was added after
    /// the identifiers were read.
    fn stored(&self, origin: &Origin, stream: Stream, id: &str) -> Result<Option<String>> {
        let person = self.archive.person(&origin.source, stream, id)?;
        Ok(person.and_then(|person| self.keys.get(&person)).cloned())
    }
}

/// Returns the key of a conversation's person, based on this conversation alone.
///
/// Without any identifier, each conversation counts as a separate person; `None` if nothing is known of them.
pub(crate) fn own_key(archived: &ArchivedConversation) -> Option<String> {
    let (source, contact) = (&archived.origin.source, &archived.conversation.contact);
    let id = || contact.id.as_ref().map(|id| Identifier::id(source, Stream::Conversations, id));
    email_or_phone(contact).or_else(id).map(key).or_else(|| {
        let is_known = *contact != Contact::default();
        is_known.then(|| format!("{source}/conversation/{}", archived.conversation.id))
    })
}

/// Returns the key that earlier versions derived from a phone number that is now too short to identify a person: they
/// counted leading zeros as digits.
pub(crate) fn previous_phone_key(contact: &Contact) -> Option<String> {
    const MIN_DIGITS: usize = 6;
    let text = contact.phone.as_deref().filter(|_| email_or_phone(contact).is_none())?;
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= MIN_DIGITS).then(|| format!("tel:{}", digits.trim_start_matches("00")))
}

fn email_or_phone(contact: &Contact) -> Option<Identifier> {
    let email = contact.email.as_deref().and_then(Identifier::email);
    email.or_else(|| contact.phone.as_deref().and_then(Identifier::phone))
}

/// Returns the key of an identifier. It must never change: it is stored in the ledgers of migrations.
fn key(identifier: Identifier) -> String {
    match identifier {
        Identifier::Email(address) => address,
        Identifier::Phone(digits) => format!("tel:{digits}"),
        Identifier::Id(source, id) => format!("{source}/{id}"),
    }
}
