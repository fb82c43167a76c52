//! Personal identifiers in a canonical form, in which equal identifiers are equal strings.

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

    proptest! {
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
