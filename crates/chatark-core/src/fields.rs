//! A tolerant reader for one JSON object: known fields are read by name and type, all others are kept.
//!
//! A mapper takes the fields that it knows, by name and type. A field with another type is reported and not taken; a
//! field that is never taken is reported as unknown. Both end up under `extra`, so that no data is lost and one odd
//! field does not spoil the rest of its record.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::issue::{IssueKind, Issues, Path};
use crate::time::{self, Resolution, TimeProblem, Timestamp, Zone};
use crate::vocabulary::Channel;

/// Returns whether bytes begin like a JSON object. Needed because serde also reads an array into a struct.
pub fn is_object(raw: &[u8]) -> bool {
    raw.trim_ascii_start().starts_with(b"{")
}

/// Reads fields of a JSON object by name, and stops after the last of them. An absent field is `null`.
///
/// Vendors send ids and dates before messages, so most of a record is not read.
pub fn peek<const N: usize>(raw: &[u8], names: [&str; N]) -> [Value; N] {
    let mut found = [const { Value::Null }; N];
    if is_object(raw) {
        let mut json = serde_json::Deserializer::from_slice(raw);
        // It fails if it stops early, or if the rest is not JSON. What it has found by then is valid.
        let _ = json.deserialize_map(Peek { names, missing: N, found: &mut found });
    }
    found
}

struct Peek<'a, const N: usize> {
    names: [&'a str; N],
    missing: usize,
    found: &'a mut [Value; N],
}

impl<'de, const N: usize> Visitor<'de> for Peek<'_, N> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while self.missing > 0
            && let Some(key) = map.next_key::<Cow<'_, str>>()?
        {
            match self.names.iter().position(|name| *name == key) {
                Some(at) => {
                    self.found[at] = map.next_value()?;
                    self.missing -= 1;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Parses the bytes of one record, which must be a JSON object.
///
/// Some vendors truncate strings by UTF-16 code units, which can leave half of a character. JSON parsers reject these,
/// and bytes that are not UTF-8: both are replaced by U+FFFD and reported.
pub fn parse(raw: &[u8], issues: &Issues) -> Result<Map<String, Value>, Error> {
    let parsed = serde_json::from_slice(raw).or_else(|error| match repaired(raw) {
        Some(text) => {
            let parsed = serde_json::from_str(&text)?;
            issues.add(IssueKind::BrokenText, &Path::Root);
            Ok(parsed)
        }
        None => Err(error),
    });
    let unreadable = |why: String| Error::new(ErrorKind::Malformed, "read a record", why);
    match parsed {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(unreadable("it is not a JSON object".to_owned())),
        Err(error) => {
            let position = format!("line {} column {}", error.line(), error.column());
            Err(unreadable(format!("it is not JSON, at {position}")))
        }
    }
}

/// Returns the text with invalid characters replaced, or `None` if there are none.
fn repaired(raw: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(raw);
    let bytes = text.as_bytes();
    let mut fixed = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let length = match (byte, code_unit(bytes, at), code_unit(bytes, at + 6)) {
            (b'\\', Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (b'\\', Some(0xD800..=0xDFFF), _) => {
                fixed.extend_from_slice(b"\\ufffd");
                at += 6;
                continue;
            }
            (b'\\', _, _) => 2,
            _ => 1,
        };
        let end = (at + length).min(bytes.len());
        fixed.extend_from_slice(&bytes[at..end]);
        at = end;
    }
    let fixed = String::from_utf8(fixed).ok()?;
    (fixed.as_bytes() != raw).then_some(fixed)
}

/// Reads the `\uXXXX` escape that begins at an offset.
fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The fields of one JSON object that have not been taken yet.
#[derive(Debug)]
pub struct Fields<'a> {
    rest: Map<String, Value>,
    put_back: Vec<String>,
    path: Path<'a>,
    issues: &'a Issues,
}

impl<'a> Fields<'a> {
    /// Starts to read a whole record.
    pub fn of(rest: Map<String, Value>, issues: &'a Issues) -> Self {
        Self { rest, put_back: Vec::new(), path: Path::Root, issues }
    }

    /// Starts to read a nested object; any other value is reported and returned.
    pub fn open(value: Value, path: Path<'a>, issues: &'a Issues) -> Result<Self, Value> {
        match value {
            Value::Object(rest) => Ok(Self { rest, put_back: Vec::new(), path, issues }),
            other => {
                issues.add(IssueKind::WrongType, &path);
                Err(other)
            }
        }
    }

    /// Takes a field whatever its type; `null` counts as missing.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.rest.remove(key).filter(|value| !value.is_null())
    }

    /// Returns whether a field is present and not `null`, without taking it.
    pub fn has(&self, key: &str) -> bool {
        self.rest.get(key).is_some_and(|value| !value.is_null())
    }

    /// Returns a field whatever its type, without taking it; `null` counts as missing.
    pub fn peek(&self, key: &str) -> Option<&Value> {
        self.rest.get(key).filter(|value| !value.is_null())
    }

    /// Takes a string.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.typed(key, |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes an id: a string, or a number, which is converted to a string. An empty string counts as missing.
    pub fn id(&mut self, key: &str) -> Option<String> {
        let id = self.typed(key, |value| match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(other),
        })?;
        (!id.is_empty()).then_some(id)
    }

    /// Takes a value that somebody filled in, such as a name: a string, or a number, which is converted to a string.
    /// A blank string counts as missing.
    pub fn filled_in(&mut self, key: &str) -> Option<String> {
        self.id(key).filter(|text| !text.trim().is_empty())
    }

    /// Takes a number.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        self.typed(key, |value| value.as_f64().ok_or(value))
    }

    /// Takes a boolean.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.typed(key, |value| value.as_bool().ok_or(value))
    }

    /// Takes an array.
    pub fn list(&mut self, key: &str) -> Option<Vec<Value>> {
        self.typed(key, |value| match value {
            Value::Array(list) => Ok(list),
            other => Err(other),
        })
    }

    /// Takes an array of strings; with an element of another type, the whole field is reported and not taken.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        self.typed(key, |value| {
            let all_texts = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
            match value {
                Value::Array(list) if all_texts => Ok(list
                    .into_iter()
                    .filter_map(|text| if let Value::String(text) = text { Some(text) } else { None })
                    .collect()),
                other => Err(other),
            }
        })
    }

    /// Takes a time in any encoding; without a zone of its own, it is read in `zone`. A value that cannot be read as a
    /// time is reported and not taken.
    pub fn time(&mut self, key: &str, zone: Zone) -> Option<Timestamp> {
        self.resolved_time(key, zone).map(|(timestamp, _)| timestamp)
    }

    /// Takes a time as [`Fields::time`] does, with how it was resolved to an instant.
    pub fn resolved_time(&mut self, key: &str, zone: Zone) -> Option<(Timestamp, Resolution)> {
        let value = self.take(key)?;
        let path = Path::Key(&self.path, key);
        match time::read(&value, zone) {
            Ok((timestamp, resolution)) => {
                match resolution {
                    Resolution::Exact | Resolution::Local => {}
                    Resolution::Ambiguous { .. } => self.issues.add(IssueKind::TimeAmbiguous, &path),
                    Resolution::Nonexistent => self.issues.add(IssueKind::TimeNonexistent, &path),
                }
                Some((timestamp, resolution))
            }
            Err(problem) => {
                let kind = match problem {
                    TimeProblem::Unreadable => IssueKind::TimeUnreadable,
                    TimeProblem::OutOfRange => IssueKind::TimeOutOfRange,
                };
                self.issues.add(kind, &path);
                self.keep(key, value);
                None
            }
        }
    }

    /// Takes a word and translates it. Returns the translation and the word; an unknown word is reported.
    pub fn word<T>(
        &mut self,
        key: &str,
        translate: impl Fn(&str) -> Option<T>,
    ) -> Option<(Option<T>, String)> {
        let raw = self.text(key)?;
        let value = translate(&raw);
        if value.is_none() {
            self.report(IssueKind::UnknownValue, key);
        }
        Some((value, raw))
    }

    /// Takes a channel: the channel and the vendor's word. `Unspecified` means that the vendor does not say.
    pub fn channel(&mut self, key: &str) -> (Option<Channel>, Option<String>) {
        let Some(raw) = self.text(key) else {
            return (None, None);
        };
        if raw.eq_ignore_ascii_case("unspecified") {
            return (None, Some(raw));
        }
        let channel = Channel::from_vendor_word(&raw).unwrap_or_else(|| {
            self.report(IssueKind::UnknownValue, key);
            Channel::Other
        });
        (Some(channel), Some(raw))
    }

    /// Takes a number from 0 to 1; another number is reported and not taken.
    pub fn fraction(&mut self, key: &str) -> Option<f64> {
        let number = self.number(key)?;
        if (0.0..=1.0).contains(&number) {
            return Some(number);
        }
        self.report(IssueKind::UnknownValue, key);
        self.keep(key, number.into());
        None
    }

    /// Puts a value back, so that it ends up under `extra`.
    pub fn keep(&mut self, key: &str, value: Value) {
        self.put_back.push(key.to_owned());
        self.rest.insert(key.to_owned(), value);
    }

    /// Reports an issue with a field.
    pub fn report(&self, kind: IssueKind, key: &str) {
        self.issues.add(kind, &Path::Key(&self.path, key));
    }

    /// Returns the collector of issues, for readers of nested values.
    pub fn issues(&self) -> &'a Issues {
        self.issues
    }

    /// Returns the path of this object, for readers of nested values.
    pub fn path(&self) -> &Path<'a> {
        &self.path
    }

    /// Ends the reading: the remaining fields go to `extra`, and those that `unmapped` does not name are reported.
    ///
    /// `unmapped` names the fields that the vendor is known to send and the model does not have; they are dropped if
    /// they are `null`.
    pub fn finish(mut self, unmapped: &[&str]) -> Map<String, Value> {
        self.rest.retain(|key, value| !(value.is_null() && unmapped.contains(&key.as_str())));
        // A field that was put back has already been reported.
        let known = |key: &String| unmapped.contains(&key.as_str()) || self.put_back.contains(key);
        for key in self.rest.keys().filter(|key| !known(key)) {
            self.report(IssueKind::UnknownField, key);
        }
        self.rest
    }

    /// Like [`Self::finish`], for an object that may have any fields: the remaining ones are not reported.
    pub fn finish_quietly(mut self) -> Map<String, Value> {
        self.rest.retain(|_, value| !value.is_null());
        self.rest
    }

    fn typed<T>(&mut self, key: &str, read: impl FnOnce(Value) -> Result<T, Value>) -> Option<T> {
        match read(self.take(key)?) {
            Ok(value) => Some(value),
            Err(value) => {
                self.report(IssueKind::WrongType, key);
                self.keep(key, value);
                None
            }
        }
    }
}

/// Adds a string, unless it is missing or empty.
pub fn put(into: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        into.insert(key.to_owned(), value.into());
    }
}

/// Adds the remaining fields of a nested object as `prefix.<key>`.
pub fn nest(into: &mut Map<String, Value>, prefix: &str, leftovers: Map<String, Value>) {
    into.extend(leftovers.into_iter().map(|(key, value)| (format!("{prefix}.{key}"), value)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn peek_stops_after_the_last_field() {
        let raw = br#"{"a":[{"id":1}],"\u0069d":"x","createdAt":7,"messages":[not JSON"#;
        assert_eq!(peek(raw, ["id", "createdAt"]), [Value::from("x"), Value::from(7)]);
        assert_eq!(peek(raw, ["id", "title"]), [Value::from("x"), Value::Null]);
        assert_eq!(peek(br#"["id"]"#, ["id"]), [Value::Null]);
        assert_eq!(peek(br#"{"text":"\ud83d","id":2}"#, ["id"]), [Value::from(2)]);
    }

    #[test]
    fn invalid_characters_are_replaced_and_reported() {
        let issues = Issues::default();
        let raw = br#"{"cut":"Hi \ud83d","whole":"\ud83d\ude00 \\ud83d","low":"\ude00!"}"#;
        let found = Value::Object(parse(raw, &issues).unwrap());
        assert_eq!(found, json!({"cut": "Hi \u{fffd}", "whole": "\u{1f600} \\ud83d", "low": "\u{fffd}!"}));
        assert_eq!(issues.into_vec().len(), 1);
        let issues = Issues::default();
        assert_eq!(parse(b"{\"a\":\"\xff\"}", &issues).unwrap()["a"], "\u{fffd}");
        let issues = Issues::default();
        for bad in [&b"[]"[..], b"{", b"", b"{\"a\":\"\\ud8", b"nul"] {
            assert!(parse(bad, &issues).is_err());
        }
        assert!(issues.into_vec().is_empty());
    }

    #[test]
    fn unknown_and_unreadable_fields_are_reported_and_kept() {
        let issues = Issues::default();
        let record = json!({
            "title": 7, "id": 4711, "when": "soon", "new": [1], "country": null, "status": "frozen", "ok": "yes",
        });
        let mut fields = Fields::open(record, Path::Root, &issues).unwrap();
        assert_eq!((fields.peek("id"), fields.peek("country")), (Some(&json!(4711)), None));
        assert_eq!(fields.text("title"), None);
        assert_eq!(fields.id("id").as_deref(), Some("4711"));
        assert_eq!(fields.time("when", Zone::UTC), None);
        let known = |word: &str| (word == "open").then_some(1);
        assert_eq!(fields.word("status", known), Some((None, "frozen".to_owned())));
        assert_eq!(fields.text("ok").as_deref(), Some("yes"));
        let extra = fields.finish(&["country"]);
        assert_eq!(Value::Object(extra), json!({"title": 7, "when": "soon", "new": [1]}));
        let found: Vec<_> =
            issues.into_vec().into_iter().map(|issue| (issue.kind.as_str(), issue.path)).collect();
        let expect = [
            ("wrong-type", "title"),
            ("time-unreadable", "when"),
            ("unknown-value", "status"),
            ("unknown-field", "new"),
        ];
        assert_eq!(found, expect.map(|(kind, path)| (kind, path.to_owned())));
    }
}
