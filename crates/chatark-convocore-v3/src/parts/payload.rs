//! What the readers of all payloads share.

use chatark_core::fields::{Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{Issues, Part};
use serde_json::{Map, Value};

/// The parts of a message, or its payload if that has an unexpected shape.
pub(super) type Parts = Result<Vec<Part>, Value>;

/// Reads the payload of one message and collects the fields that the model has no place for.
#[derive(Debug)]
pub(super) struct PayloadReader<'a> {
    /// The type of the message.
    pub(super) kind: &'a str,
    /// The place of the payload in the record.
    pub(super) path: Path<'a>,
    /// Where issues are collected.
    pub(super) issues: &'a Issues,
    leftovers: Map<String, Value>,
}

impl<'a> PayloadReader<'a> {
    /// Begins to read a payload.
    pub(super) fn new(kind: &'a str, path: Path<'a>, issues: &'a Issues) -> Self {
        Self { kind, path, issues, leftovers: Map::new() }
    }

    /// Opens a payload. An object that the reader cannot use (`is_readable` is false) is returned without an issue.
    pub(super) fn open(&self, payload: Value, is_readable: bool) -> Result<Fields<'a>, Value> {
        if payload.is_object() && !is_readable {
            return Err(payload);
        }
        Fields::open(payload, self.path, self.issues)
    }

    /// Keeps the remaining fields of the payload; those in `unmapped` are no issue.
    pub(super) fn close(&mut self, fields: Fields<'_>, unmapped: &[&str]) {
        self.keep_fields("payload", fields.finish(unmapped));
    }

    /// Keeps fields under `prefix.<key>`.
    pub(super) fn keep_fields(&mut self, prefix: &str, fields: Map<String, Value>) {
        nest(&mut self.leftovers, prefix, fields);
    }

    /// Keeps a value.
    pub(super) fn keep(&mut self, key: &str, value: Value) {
        self.leftovers.insert(key.to_owned(), value);
    }

    /// Ends the reading and returns what was kept.
    pub(super) fn into_leftovers(self) -> Map<String, Value> {
        self.leftovers
    }
}

/// Returns the part for data that is kept as the vendor sent it.
pub(super) fn other(kind: &str, data: Value) -> Part {
    Part::Other { kind: kind.to_owned(), data }
}

/// Takes the first string among several keys.
pub(super) fn first_text(fields: &mut Fields<'_>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| fields.text(key))
}

/// Returns whether a payload has a list under a key.
pub(super) fn has_list(payload: &Value, key: &str) -> bool {
    payload.get(key).is_some_and(Value::is_array)
}

/// Returns whether a payload has a value under a key.
pub(super) fn has_value(payload: &Value, key: &str) -> bool {
    payload.get(key).is_some_and(|value| !value.is_null())
}
