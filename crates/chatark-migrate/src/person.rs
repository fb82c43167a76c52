//! Who wrote.

use chatark_core::{ArchivedConversation, Contact};

/// Returns what tells one person from another: an e-mail address, a telephone number, or the vendor's id, which is
/// good within its source alone; `None` where nothing is known of them.
pub(crate) fn key(found: &ArchivedConversation) -> Option<String> {
    let Contact { id, email, phone, .. } = &found.conversation.contact;
    let email = email.as_deref().map(str::trim).filter(|email| !email.is_empty()).map(str::to_lowercase);
    let digits = |phone: &String| phone.chars().filter(char::is_ascii_digit).collect::<String>();
    let phone = phone.as_ref().map(digits).filter(|digits| digits.len() >= 6);
    email
        .or(phone.map(|digits| format!("tel:{}", digits.trim_start_matches("00"))))
        .or_else(|| id.as_ref().map(|id| format!("{}/{id}", found.origin.source)))
}
