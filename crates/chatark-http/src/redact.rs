//! Removes secrets and strings of the request from a vendor's text, before it becomes part of an error or a log line.

use chatark_core::identifier;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Shorter strings are words of the protocol, or identify nobody.
const MIN_STRING_BYTES: usize = 3;
/// Keys whose values are words of the protocol.
const PROTOCOL_KEYS: [&str; 4] = ["type", "from", "state", "origin"];
/// The most characters of a vendor's text that are shown.
const MAX_MESSAGE_CHARACTERS: usize = 600;
/// The most times that a spelling is escaped, and the most backslashes in front of a character.
const MAX_ESCAPES: usize = 7;
/// The most characters of an HTML entity, such as `&#x0002f;`.
const MAX_ENTITY_CHARACTERS: usize = 9;

/// The secrets of one account.
#[derive(Debug)]
pub(crate) struct Redactor(Vec<SecretString>);

impl Redactor {
    /// Creates a redactor for secrets and for the sensitive values of headers.
    pub(crate) fn new(secrets: impl IntoIterator<Item = SecretString>, headers: &HeaderMap) -> Self {
        let sensitive = headers.values().filter(|value| value.is_sensitive());
        let in_headers = sensitive.filter_map(|value| Some(value.to_str().ok()?.into()));
        let mut secrets: Vec<_> = secrets.into_iter().chain(in_headers).collect();
        secrets.retain(|secret| !secret.expose_secret().is_empty());
        Self(secrets)
    }

    /// Replaces every secret by `****`, be it plain or escaped for JSON, a URL or HTML; masks telephone numbers and
    /// e-mail addresses; and shortens the text.
    pub(crate) fn clean(&self, text: &str) -> String {
        let clean = self.0.iter().fold(text.to_owned(), |text, secret| without_secret(&text, secret));
        let clean = identifier::masked_text(&clean);
        match clean.char_indices().nth(MAX_MESSAGE_CHARACTERS) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean,
        }
    }
}

fn without_secret(text: &str, secret: &SecretString) -> String {
    let secret = secret.expose_secret().as_bytes();
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = spelled_length(rest.as_bytes(), secret) {
            clean.push_str("****");
            rest = &rest[length..];
        } else {
            clean.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    clean
}

/// Returns how many bytes a secret takes at the beginning of a text, with each of its bytes in any spelling, or `None`
/// if the text does not begin with it.
fn spelled_length(text: &[u8], secret: &[u8]) -> Option<usize> {
    // Where the spelling of the bytes so far may end. There may be several ends, because a backslash may be a byte of
    // the secret or the escape of its next byte.
    let mut ends = vec![0];
    for byte in secret {
        let mut next: Vec<usize> = ends
            .iter()
            .flat_map(|end| spellings(&text[*end..], *byte).map(move |length| end + length))
            .collect();
        next.sort_unstable();
        next.dedup();
        ends = next;
        if ends.is_empty() {
            return None;
        }
    }
    ends.last().copied()
}

/// Returns the lengths of the spellings of a byte with which a text begins: `/`, `\/`, `%2F`, `\u002f`, `&#47;` and
/// `&#x2f;`, each of them escaped once more or several times.
fn spellings(text: &[u8], byte: u8) -> impl Iterator<Item = usize> {
    let literal = (text.first() == Some(&byte)).then_some(1);
    let slashes = text.iter().take_while(|letter| **letter == b'\\').count();
    // Each of several backslashes may be the last one that belongs to this byte: the others may be bytes of the secret.
    let escaped = (1..=slashes.min(MAX_ESCAPES)).filter_map(move |slashes| {
        let rest = &text[slashes..];
        let plain = (rest.first() == Some(&byte)).then_some(slashes + 1);
        let unicode = rest.strip_prefix(b"u00").and_then(|digits| hexadecimal(digits.get(..2)?));
        plain.or((unicode == Some(byte)).then_some(slashes + 5))
    });
    let literal = literal.into_iter().chain(percent(text, byte)).chain(entity(text, byte));
    literal.chain(escaped)
}

/// Returns the lengths of `%2F` and `%252F`, where these are spellings of a byte.
fn percent(text: &[u8], byte: u8) -> impl Iterator<Item = usize> {
    let escaped = text.strip_prefix(b"%").unwrap_or_default();
    (0..=MAX_ESCAPES)
        .map_while(move |times| {
            let is_escaped = escaped.chunks(2).take(times).all(|pair| pair == b"25");
            is_escaped.then_some(2 * times)
        })
        .filter_map(move |at| (hexadecimal(escaped.get(at..at + 2)?) == Some(byte)).then_some(at + 3))
}

/// Returns the length of `&#47;`, `&#x2f;` or a named entity, where that is the spelling of a byte.
fn entity(text: &[u8], byte: u8) -> Option<usize> {
    let inside = text.strip_prefix(b"&")?;
    let end = inside.iter().take(MAX_ENTITY_CHARACTERS).position(|letter| *letter == b';')?;
    let name = std::str::from_utf8(&inside[..end]).ok()?.to_ascii_lowercase();
    let spelled = match name.as_str() {
        "amp" => Some(b'&'),
        "lt" => Some(b'<'),
        "gt" => Some(b'>'),
        "quot" => Some(b'"'),
        "apos" => Some(b'\''),
        name => {
            let number = name.strip_prefix('#')?;
            match number.strip_prefix('x') {
                Some(digits) => u8::from_str_radix(digits, 16).ok(),
                None => number.parse().ok(),
            }
        }
    };
    (spelled == Some(byte)).then_some(end + 2)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Returns the strings of a JSON document in ASCII lower case, the longest first.
pub(crate) fn strings(json: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    collect_strings(&serde_json::from_slice(json).unwrap_or_default(), &mut strings);
    strings.sort_by_key(|string| std::cmp::Reverse(string.len()));
    strings
}

fn collect_strings(value: &Value, strings: &mut Vec<String>) {
    match value {
        Value::String(string) if string.trim().len() >= MIN_STRING_BYTES => {
            strings.push(string.trim().to_ascii_lowercase());
        }
        Value::Array(values) => values.iter().for_each(|value| collect_strings(value, strings)),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| !PROTOCOL_KEYS.contains(&key.as_str()));
            fields.for_each(|(_, value)| collect_strings(value, strings));
        }
        _ => {}
    }
}

/// Replaces each of these strings by `…`. They must be in ASCII lower case; the case of the message does not matter.
pub(crate) fn without_strings(message: &str, strings: &[String]) -> String {
    let mut message = message.to_owned();
    for string in strings {
        let lower = message.to_ascii_lowercase();
        let mut kept = String::new();
        let mut from = 0;
        for (at, found) in lower.match_indices(string.as_str()) {
            kept.push_str(&message[from..at]);
            kept.push('…');
            from = at + found.len();
        }
        if from > 0 {
            kept.push_str(&message[from..]);
            message = kept;
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;
    use url::form_urlencoded;

    use super::*;

    #[test]
    fn sent_strings_are_removed_in_any_case() {
        let sent =
            strings(br#"{"users": [{"email": "Ann@Example.com", "name": "Ann", "type": "text", "n": 3}]}"#);
        let message = "A contact with email ann@example.com (ANN) of type text already exists";
        assert_eq!(without_strings(message, &sent), "A contact with email … (…) of type text already exists");
        assert_eq!(without_strings("", &sent), "");
        assert_eq!(strings(b"no json"), Vec::<String>::new());
        assert_eq!(without_strings("a … b", &["…".to_owned()]), "a … b");
    }

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| (*secret).into()), &HeaderMap::new())
    }

    #[test]
    fn a_secret_is_removed_in_every_spelling() {
        let key = r#"a/b+"\%="#;
        for spelled in [
            key,
            r#"a\/b+\"\\%="#,
            "a%2Fb%2B%22%5C%25%3D",
            "a%2fb+%22%5c%25=",
            r"\u0061/b\u002B\u0022\u005c%=",
            r#"a\\\/b+\\\"\\\\%="#,
            r"a\\u002fb\\u002b\\u0022\\u005c%=",
            "a%252Fb%252B%2522%255C%2525%253D",
            "a&#x2F;b&#43;&quot;&#92;%&#x3d;",
        ] {
            let text = format!("é the key {spelled}, twice: {spelled}{spelled}é");
            assert_eq!(redactor(&[key]).clean(&text), "é the key ****, twice: ********é", "{spelled}");
        }
        assert_eq!(redactor(&[key]).clean("a/b+ and %2 and \\u00 and \\"), "a/b+ and %2 and \\u00 and \\");
        assert_eq!(redactor(&[""]).clean("nothing to hide"), "nothing to hide");
    }

    #[test]
    fn sensitive_headers_are_secrets_and_others_are_not() {
        let mut headers = HeaderMap::new();
        headers.insert("x-version", HeaderValue::from_static("2.11"));
        let mut value = HeaderValue::from_static("s3cret");
        value.set_sensitive(true);
        headers.insert("x-workspace-token", value);
        let redactor = Redactor::new([], &headers);
        assert_eq!(redactor.clean("s3cret is not valid in 2.11"), "**** is not valid in 2.11");
    }

    #[test]
    fn a_long_text_is_shortened_by_characters() {
        let clean = redactor(&[]).clean(&"é".repeat(601));
        assert_eq!((clean.chars().count(), clean.ends_with("é…")), (601, true));
        assert_eq!(redactor(&[]).clean(&"é".repeat(600)), "é".repeat(600));
    }

    proptest! {
        #[test]
        fn no_secret_survives(secret in "[!-~]{4,40}", before in "[a-z %\\\\]{0,5}") {
            let json = serde_json::to_string(&secret).unwrap();
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            for spelled in [&secret, &json, &encoded] {
                let clean = redactor(&[&secret]).clean(&format!("{before}{spelled}."));
                prop_assert!(clean.contains("****"), "{clean}");
            }
        }

        #[test]
        fn no_text_panics(text in "(%|\\\\|u00|a|é|[0-9a-f]){0,30}", secret in "[a%\\\\é]{1,6}") {
            redactor(&[&secret]).clean(&text);
        }
    }
}
