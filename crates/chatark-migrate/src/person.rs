//! Who wrote.

use chatark_core::{ArchivedConversation, Contact, Fate, Losses, Rule};

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

/// Returns what tells one person from another: an e-mail address, a telephone number, or the vendor's id, which is
/// good within its source alone. Of whom none of these is known, each conversation has a person of its own; `None`
/// where nothing is known at all.
pub(crate) fn key(found: &ArchivedConversation) -> Option<String> {
    let contact = &found.conversation.contact;
    let Contact { id, email, phone, .. } = contact;
    let email = email.as_deref().map(str::trim).filter(|email| !email.is_empty()).map(str::to_lowercase);
    let digits = |phone: &String| phone.chars().filter(char::is_ascii_digit).collect::<String>();
    let phone = phone.as_ref().map(digits).filter(|digits| digits.len() >= 6);
    email
        .or(phone.map(|digits| format!("tel:{}", digits.trim_start_matches("00"))))
        .or_else(|| id.as_ref().map(|id| format!("{}/{id}", found.origin.source)))
        .or_else(|| {
            let is_known = *contact != Contact::default();
            is_known.then(|| format!("{}/conversation/{}", found.origin.source, found.conversation.id))
        })
}
