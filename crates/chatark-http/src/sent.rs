//! Keeps what was sent out of errors.

use serde_json::Value;

/// Shorter texts are words of the protocol, or say nothing of anybody.
const SHORTEST: usize = 3;
/// Keys whose values are words of the protocol.
const WORDS: [&str; 4] = ["type", "from", "state", "origin"];

/// Returns the texts of a JSON document, the longest first.
pub(crate) fn texts(json: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    gather(&serde_json::from_slice(json).unwrap_or_default(), &mut texts);
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.trim().len() >= SHORTEST => texts.push(text.trim().to_ascii_lowercase()),
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| !WORDS.contains(&key.as_str()));
            fields.for_each(|(_, value)| gather(value, texts));
        }
        _ => {}
    }
}

/// Puts `…` in the place of each of these texts, which are in lower case as far as ASCII goes.
pub(crate) fn without(message: &str, texts: &[String]) -> String {
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
    use super::*;

    #[test]
    fn what_was_sent_is_taken_out_whatever_its_case() {
        let sent =
            texts(br#"{"users": [{"email": "Ann@Example.com", "name": "Ann", "type": "text", "n": 3}]}"#);
        let message = "A contact with email ann@example.com (ANN) of type text already exists";
        assert_eq!(without(message, &sent), "A contact with email … (…) of type text already exists");
        assert_eq!(without("", &sent), "");
        assert_eq!(texts(b"no json"), Vec::<String>::new());
        assert_eq!(without("a … b", &["…".to_owned()]), "a … b");
    }
}
