//! Removes secrets and sent texts from what a vendor says, before it becomes part of an error or a log line.

use std::iter;

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Shorter texts are words of the protocol, or identify nobody.
const SHORTEST_TEXT: usize = 3;
/// Keys whose values are words of the protocol.
const PROTOCOL_KEYS: [&str; 4] = ["type", "from", "state", "origin"];
/// The most characters of a vendor's text that are shown.
const LONGEST_MESSAGE: usize = 600;

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

    /// Replaces every secret by `****`, whether it stands as it is, JSON-escaped or percent-encoded, and shortens the text.
    pub(crate) fn clean(&self, text: &str) -> String {
        let clean = self.0.iter().fold(text.to_owned(), |text, secret| without_secret(&text, secret));
        match clean.char_indices().nth(LONGEST_MESSAGE) {
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

/// Returns how long a secret is at the beginning of a text, each of its bytes in any spelling, or `None` elsewhere.
fn spelled_length(text: &[u8], secret: &[u8]) -> Option<usize> {
    let Some((byte, rest)) = secret.split_first() else { return Some(0) };
    spellings(text, *byte).find_map(|length| Some(length + spelled_length(&text[length..], rest)?))
}

/// Returns the lengths of the spellings of a byte with which a text begins: `/`, `\/`, `%2F`, `\u002f`.
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

/// Returns the texts of a JSON document in ASCII lower case, the longest first.
pub(crate) fn texts(json: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    collect_texts(&serde_json::from_slice(json).unwrap_or_default(), &mut texts);
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

fn collect_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.trim().len() >= SHORTEST_TEXT => {
            texts.push(text.trim().to_ascii_lowercase());
        }
        Value::Array(values) => values.iter().for_each(|value| collect_texts(value, texts)),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| !PROTOCOL_KEYS.contains(&key.as_str()));
            fields.for_each(|(_, value)| collect_texts(value, texts));
        }
        _ => {}
    }
}

/// Replaces each of these texts by `…`. They are in ASCII lower case; the case of the message does not matter.
pub(crate) fn without_texts(message: &str, texts: &[String]) -> String {
    let mut message = message.to_owned();
    for text in texts {
        let lower = message.to_ascii_lowercase();
        let mut kept = String::new();
        let mut from = 0;
        for (at, found) in lower.match_indices(text.as_str()) {
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
    fn sent_texts_are_removed_in_any_case() {
        let sent =
            texts(br#"{"users": [{"email": "Ann@Example.com", "name": "Ann", "type": "text", "n": 3}]}"#);
        let message = "A contact with email ann@example.com (ANN) of type text already exists";
        assert_eq!(without_texts(message, &sent), "A contact with email … (…) of type text already exists");
        assert_eq!(without_texts("", &sent), "");
        assert_eq!(texts(b"no json"), Vec::<String>::new());
        assert_eq!(without_texts("a … b", &["…".to_owned()]), "a … b");
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
