//! Who wrote.

use chatark_core::{ArchivedConversation, Contact, Fate, ListedContact, Losses, Origin, Rule};

use crate::people::People;

/// Adds the person of a conversation to people, and notes what becomes of its fields by the rules of a target.
pub(crate) fn gather(people: &mut People, rules: &[Rule], found: &ArchivedConversation, losses: &mut Losses) {
    match key(found) {
        Some(key) => {
            losses.apply(rules, found);
            people.add(key, found);
        }
        None => losses.note("conversation", Fate::Lost, "nothing is known of the person", 1, found),
    }
}

/// Adds somebody whom a vendor lists apart from conversations, and notes what becomes of the entry.
pub(crate) fn meet(people: &mut People, origin: &Origin, entry: &ListedContact, losses: &mut Losses) {
    let id = entry.id.as_deref().unwrap_or_default();
    let has_extra = usize::from(!entry.extra.is_empty());
    losses.note_of("listed_contact", Fate::Kept, "with the person that it tells of", 1, id);
    losses.note_of("listed_contact.extra", Fate::Lost, "the target has no place for it", has_extra, id);
    people.add_listed(origin, entry);
}

/// Returns what tells one person from another: an e-mail address, a telephone number, or the vendor's id, which is
/// good within its source alone. Of whom none of these is known, each conversation has a person of its own; `None`
/// where nothing is known at all.
pub(crate) fn key(found: &ArchivedConversation) -> Option<String> {
    let contact = &found.conversation.contact;
    let id = contact.id.as_ref().map(|id| within(&found.origin, id));
    reached_by(contact).or(id).or_else(|| {
        let is_known = *contact != Contact::default();
        is_known.then(|| format!("{}/conversation/{}", found.origin.source, found.conversation.id))
    })
}

/// Returns an e-mail address or a telephone number in a form in which the same one is the same text.
pub(crate) fn reached_by(contact: &Contact) -> Option<String> {
    let Contact { email, phone, .. } = contact;
    let email = email.as_deref().map(str::trim).filter(|email| !email.is_empty()).map(str::to_lowercase);
    let digits = |phone: &String| phone.chars().filter(char::is_ascii_digit).collect::<String>();
    let phone = phone.as_ref().map(digits).filter(|digits| digits.len() >= 6);
    email.or(phone.map(|digits| format!("tel:{}", digits.trim_start_matches("00"))))
}

/// Returns an id of a vendor, which is good within its source.
pub(crate) fn within(origin: &Origin, id: &str) -> String {
    format!("{}/{id}", origin.source)
}
