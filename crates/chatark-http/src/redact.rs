//! Removes secrets, and strings of the request, from what a vendor says before it becomes part of an error or a log
//! line.

use std::iter;

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Shorter strings are words of the protocol, or identify nobody.
const MIN_STRING_BYTES: usize = 3;
/// Keys whose values are words of the protocol.
const PROTOCOL_KEYS: [&str; 4] = ["type", "from", "state", "origin"];
/// The most characters of a vendor's message that are shown.
const MAX_MESSAGE_CHARACTERS: usize = 600;

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

    /// Replaces every secret by `****`, whether literal, JSON-escaped or percent-encoded, and shortens the text.
    pub(crate) fn clean(&self, text: &str) -> String {
        let clean = self.0.iter().fold(text.to_owned(), |text, secret| without_secret(&text, secret));
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
    let Some((byte, rest)) = secret.split_first() else { return Some(0) };
    spellings(text, *byte).find_map(|length| Some(length + spelled_length(&text[length..], rest)?))
}

/// Returns the lengths of all spellings of a byte that a text begins with, such as `/`, `\/`, `%2F` and `\u002f`.
fn spellings(text: &[u8], byte: u8) -> impl Iterator<Item = usize> {
    let hex = |digits: Option<&[u8]>| {
        let digits = std::str::from_utf8(digits?).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let literal = (text.first() == Some(&byte)).then_some(1);
    let escaped = (text.first() == Some(&b'\\') && text.get(1) == Some(&byte)).then_some(2);
    let percent = (text.first() == Some(&b'%') && hex(text.get(1..3)) == Some(byte)).then_some(3);
    let unicode = (text.starts_with(b"\\u00") && hex(text.get(4..6)) == Some(byte)).then_some(6);
    iter::empty().chain(literal).chain(escaped).chain(percent).chain(unicode)
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
