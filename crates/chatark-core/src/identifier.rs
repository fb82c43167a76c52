//! Personal identifiers in a normalized form, in which equal identifiers are equal strings, and in a masked form, in
//! which they may be shown.

use std::borrow::Cow;

/// A kind of personal identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentifierKind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// The number of a payment card.
    Card,
    /// An international bank account number.
    Iban,
}

/// A number with fewer digits is not a telephone number.
const MIN_PHONE_DIGITS: usize = 6;

impl IdentifierKind {
    /// Returns the canonical form of an identifier, or `None` if the text is not one of this kind.
    ///
    /// - `Email`: trimmed, in lower case. Any text is accepted, because it comes from a field for e-mail addresses.
    /// - `Phone`: only digits, at least six, without a leading `00`.
    /// - `Card`: only digits, 12 to 19, with a valid check digit (Luhn).
    /// - `Iban`: only letters and digits, in upper case, with valid check digits (ISO 13616).
    pub fn normalize(self, text: &str) -> Option<String> {
        match self {
            Self::Email => Some(text.trim().to_lowercase()).filter(|address| !address.is_empty()),
            Self::Phone => phone(text),
            Self::Card => card(text),
            Self::Iban => iban(text),
        }
    }
}

/// A run of fewer digits inside a text is not taken for a telephone number.
const MIN_DIGITS_IN_ID: usize = 7;
/// A masked number with fewer digits shows only its last two.
const MIN_DIGITS_TO_SHOW_BEGINNING: usize = 9;
/// The lengths of the hexadecimal ids that databases make. They may have many digits in a row by chance.
const HEXADECIMAL_LENGTHS: [usize; 4] = [24, 32, 40, 64];

/// Returns an id as it may be shown: a telephone number becomes `+49…17`, an e-mail address `a…@…`.
///
/// Vendors use both as ids of conversations, alone or as a part of them. Ids that were made by a machine, such as a
/// UUID, stay as they are.
pub fn masked(id: &str) -> Cow<'_, str> {
    if is_uuid(id) {
        return Cow::Borrowed(id);
    }
    if is_only_a_phone_number(id) {
        let digits: String = id.chars().filter(char::is_ascii_digit).collect();
        let sign = if id.trim_start().starts_with('+') { "+" } else { "" };
        return Cow::Owned(format!("{sign}{}", masked_digits(&digits)));
    }
    let clean = masked_words(id);
    if clean == id { Cow::Borrowed(id) } else { Cow::Owned(clean) }
}

/// Returns a text that a vendor wrote as it may be shown: telephone numbers and e-mail addresses in it are masked as
/// [`masked`] does. A telephone number has seven digits or more, in a row or after a `+` with separators between them.
pub fn masked_text(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_digit() || " -()./".contains(letter);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('+') {
        let after = &rest[at + 1..];
        let end = after.find(|letter| !is_part(letter)).unwrap_or(after.len());
        let number = after[..end].trim_end();
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        clean.push_str(&rest[..=at]);
        clean.push_str(&if digits.len() < MIN_DIGITS_IN_ID {
            number.to_owned()
        } else {
            masked_digits(&digits)
        });
        rest = &after[number.len()..];
    }
    clean.push_str(rest);
    masked_words(&clean)
}

/// Masks the long numbers and the e-mail addresses of a text.
fn masked_words(text: &str) -> String {
    masked_addresses(&words(text).map(masked_word).collect::<String>())
}

/// Returns whether a text is a telephone number and nothing else: digits with separators between them.
fn is_only_a_phone_number(text: &str) -> bool {
    let is_separator =
        |letter: char| matches!(letter, '+' | '-' | '(' | ')' | '.' | '/') || letter.is_whitespace();
    text.chars().all(|letter| letter.is_ascii_digit() || is_separator(letter))
        && IdentifierKind::Phone.normalize(text).is_some()
}

/// Returns whether a text has the form of a UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
fn is_uuid(text: &str) -> bool {
    let groups = text.split('-');
    groups.clone().map(str::len).eq([8, 4, 4, 4, 12])
        && groups.flat_map(str::bytes).all(|byte| byte.is_ascii_hexdigit())
}

/// Splits a text into runs of ASCII letters and digits, and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let is_end = move |at: &usize| {
        let is_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        *at == bytes.len() || (text.is_char_boundary(*at) && is_word(*at) != is_word(*at - 1))
    };
    let mut start = 0;
    (1..=bytes.len()).filter(is_end).map(move |end| {
        let word = &text[start..end];
        start = end;
        word
    })
}

/// Masks the long numbers of a word.
fn masked_word(word: &str) -> Cow<'_, str> {
    let is_hexadecimal = HEXADECIMAL_LENGTHS.contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    if is_hexadecimal || !word.is_ascii() {
        return Cow::Borrowed(word);
    }
    let mut clean = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let length = rest[start..].find(|letter: char| !letter.is_ascii_digit());
        let end = length.map_or(rest.len(), |length| start + length);
        let digits = &rest[start..end];
        clean.push_str(&rest[..start]);
        clean.push_str(&if digits.len() >= MIN_DIGITS_IN_ID {
            masked_digits(digits)
        } else {
            digits.to_owned()
        });
        rest = &rest[end..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// Returns the first two digits and the last two, or only the last two of a short number.
fn masked_digits(digits: &str) -> String {
    let shown = if digits.len() < MIN_DIGITS_TO_SHOW_BEGINNING { 0 } else { 2 };
    let last = digits.len().saturating_sub(2);
    format!("{}…{}", &digits[..shown], &digits[last..])
}

/// Masks each e-mail address: of the part before the `@` only the first letter stays, and the domain is left out.
fn masked_addresses(text: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || "._%+-…".contains(letter);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let name_at = before.rfind(|letter| !is_part(letter)).map_or(0, |end| end + width_at(before, end));
        let domain_end = after.find(|letter| !is_part(letter)).unwrap_or(after.len());
        let name = &before[name_at..];
        clean.push_str(&before[..name_at]);
        if name.contains('…') {
            // A number that is masked already, as in `49…17@s.whatsapp.net`.
            clean.push_str(name);
        } else if let Some(first) = name.chars().next() {
            clean.push(first);
            clean.push('…');
        }
        clean.push_str(if domain_end > 0 { "@…" } else { "@" });
        rest = &after[domain_end..];
    }
    clean.push_str(rest);
    clean
}

/// Returns the length of the character at an offset.
fn width_at(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches("00");
    (digits.len() >= MIN_PHONE_DIGITS).then(|| digits.to_owned())
}

fn card(text: &str) -> Option<String> {
    let digits = without_separators(text)?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    (is_number && (12..=19).contains(&digits.len()) && luhn(&digits)).then_some(digits)
}

/// Returns whether the check digit is right: every second digit from the right is doubled, and the sum ends in zero.
fn luhn(digits: &str) -> bool {
    let value = |(at, digit): (usize, u8)| {
        let value = u32::from(digit - b'0');
        if at % 2 == 0 { value } else { value * 2 / 10 + value * 2 % 10 }
    };
    digits.bytes().rev().enumerate().map(value).sum::<u32>().is_multiple_of(10)
}

fn iban(text: &str) -> Option<String> {
    let number = without_separators(text)?.to_ascii_uppercase();
    let (country, rest) = number.split_at_checked(2)?;
    let (check, account) = rest.split_at_checked(2)?;
    let is_iban = (15..=34).contains(&number.len())
        && country.bytes().all(|letter| letter.is_ascii_uppercase())
        && check.bytes().all(|digit| digit.is_ascii_digit())
        && modulo_97(account.bytes().chain(country.bytes()).chain(check.bytes())) == 1;
    is_iban.then_some(number)
}

/// Returns a number modulo 97; the letters in it stand for 10 to 35.
fn modulo_97(characters: impl Iterator<Item = u8>) -> u32 {
    characters.fold(0, |remainder, character| match character {
        b'0'..=b'9' => (remainder * 10 + u32::from(character - b'0')) % 97,
        _ => (remainder * 100 + u32::from(character - b'A') + 10) % 97,
    })
}

/// Returns a text without spaces and hyphens; `None` if anything but ASCII letters and digits remains.
fn without_separators(text: &str) -> Option<String> {
    let is_separator = |letter: char| matches!(letter, ' ' | '-' | '\u{a0}');
    let plain: String = text.trim().chars().filter(|letter| !is_separator(*letter)).collect();
    plain.bytes().all(|letter| letter.is_ascii_alphanumeric()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [IdentifierKind; 4] =
        [IdentifierKind::Email, IdentifierKind::Phone, IdentifierKind::Card, IdentifierKind::Iban];

    #[track_caller]
    fn check(kind: IdentifierKind, text: &str, expect: Option<&str>) {
        assert_eq!(kind.normalize(text).as_deref(), expect, "{kind:?} {text:?}");
    }

    #[test]
    fn a_vendors_text_is_shown_without_numbers_and_addresses() {
        let cases = [
            ("cannot load wa_4917655501234_1", "cannot load wa_49…34_1"),
            ("call +49 (176) 555-019.99 now", "call +49…99 now"),
            ("+4917655501999, max@example.com", "+49…99, m…@…"),
            ("Used 5520 / 50000 on 2024-01-01 12:00", "Used 5520 / 50000 on 2024-01-01 12:00"),
            ("limit + 20", "limit + 20"),
        ];
        for (text, shown) in cases {
            assert_eq!(masked_text(text), shown, "{text}");
        }
    }

    #[test]
    fn an_email_address_is_trimmed_and_lowercased() {
        check(IdentifierKind::Email, " Jane@Example.com", Some("jane@example.com"));
        check(IdentifierKind::Email, "ÄRGER@example.com", Some("ärger@example.com"));
        check(IdentifierKind::Email, "  ", None);
    }

    #[test]
    fn a_phone_number_is_reduced_to_its_digits() {
        for text in ["+49 151 234-567", "0049151234567", "49151234567"] {
            check(IdentifierKind::Phone, text, Some("49151234567"));
        }
        check(IdentifierKind::Phone, "12 34", None);
        check(IdentifierKind::Phone, "0012345", None);
    }

    /// Test numbers that card networks publish.
    #[test]
    fn a_card_number_needs_a_valid_check_digit() {
        check(IdentifierKind::Card, "4111 1111 1111 1111", Some("4111111111111111"));
        check(IdentifierKind::Card, "3782-822463-10005", Some("378282246310005"));
        check(IdentifierKind::Card, "4111 1111 1111 1112", None);
        check(IdentifierKind::Card, "0", None);
        check(IdentifierKind::Card, "4111 1111 1111 1111 EUR", None);
    }

    /// The examples of the IBAN registry.
    #[test]
    fn an_iban_needs_valid_check_digits() {
        check(IdentifierKind::Iban, "de89 3704 0044 0532 0130 00", Some("DE89370400440532013000"));
        check(
            IdentifierKind::Iban,
            "MT84MALT011000012345MTLCAST001S",
            Some("MT84MALT011000012345MTLCAST001S"),
        );
        check(IdentifierKind::Iban, "DE88 3704 0044 0532 0130 00", None);
        check(IdentifierKind::Iban, "DE", None);
        check(IdentifierKind::Iban, "Ärger", None);
    }

    #[test]
    fn ids_that_identify_a_person_are_masked() {
        for (id, expect) in [
            ("+4915112345617", "+49…17"),
            ("4915112345617", "49…17"),
            ("+49 151 1234-5617", "+49…17"),
            ("15550100", "…00"),
            ("555-0100", "…00"),
            ("wa_4915112345617_1789980000", "wa_49…17_17…00"),
            ("user4915112345617", "user49…17"),
            ("4915112345617@s.whatsapp.net", "49…17@…"),
            ("whatsapp:+4915112345617", "whatsapp:+49…17"),
            ("ann.example@example.com", "a…@…"),
            ("mail:ann@example.com/7", "mail:a…@…/7"),
            ("é@example.com and b@c", "é…@… and b…@…"),
            ("@", "@"),
        ] {
            assert_eq!(masked(id), expect, "{id}");
        }
    }

    #[test]
    fn ids_that_a_machine_made_stay_as_they_are() {
        for id in [
            "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
            "12345678-1234-4123-8123-123456789012",
            "507f1f77bcf86cd799439011",
            "5QHA6VB-DIAbBhxwqxfdi",
            "conversation-000123",
            "c1",
            "42",
            "é/ü",
            "",
        ] {
            assert_eq!(masked(id), id);
        }
    }

    proptest! {
        #[test]
        fn no_number_survives_masking(
            digits in "[1-9][0-9]{6,14}",
            before in "([a-z]{0,8}[_:+. ])?",
            after in "([@_ .][a-z]{1,6})?",
        ) {
            let clean = masked(&format!("{before}{digits}{after}")).into_owned();
            prop_assert!(!clean.contains(&digits[2..digits.len() - 2]), "{}", clean);
            prop_assert!(!clean.bytes().collect::<Vec<_>>().split(|byte| !byte.is_ascii_digit()).any(|run| run.len() > 4));
        }

        #[test]
        fn masking_never_panics_and_masks_nothing_twice(id in ".{0,30}", email in "([a-zé0-9@.+…-]){0,20}") {
            for id in [id, email] {
                let once = masked(&id).into_owned();
                let _ = masked(&once);
            }
        }

        #[test]
        fn normalizing_twice_changes_nothing(text in ".{0,40}") {
            for kind in KINDS {
                if let Some(normal) = kind.normalize(&text) {
                    prop_assert_eq!(kind.normalize(&normal), Some(normal));
                }
            }
        }

        #[test]
        fn exactly_one_check_digit_is_valid(digits in "[0-9]{11,18}") {
            let cards = (0..10).filter(|check| IdentifierKind::Card.normalize(&format!("{digits}{check}")).is_some());
            prop_assert_eq!(cards.count(), 1);
        }

        #[test]
        fn one_wrong_digit_makes_an_account_number_invalid(at in 0_usize..18, by in 1_u8..10) {
            let mut digits = b"370400440532013000".to_vec();
            digits[at] = (digits[at] - b'0' + by) % 10 + b'0';
            let account = String::from_utf8(digits).unwrap();
            prop_assert_eq!(IdentifierKind::Iban.normalize(&format!("DE89{account}")), None);
        }

        #[test]
        fn separators_do_not_change_a_phone_number(digits in "[1-9][0-9]{5,14}", at in 0_usize..6) {
            let (start, end) = digits.split_at(at);
            let written = format!("+{start} ({end})");
            prop_assert_eq!(IdentifierKind::Phone.normalize(&written), Some(digits.clone()));
        }
    }
}
