//! The vendor's ways to write feedback: a word in the export, a boolean in storage.

use chatark_core::fields::Fields;
use chatark_core::{Feedback, IssueKind};
use serde_json::Value;

/// Takes feedback from a field; a value that cannot be read is reported and kept.
pub(crate) fn take(fields: &mut Fields<'_>, key: &str) -> Option<Feedback> {
    let value = fields.take(key)?;
    match parse(&value) {
        Ok(feedback) => feedback,
        Err(kind) => {
            fields.report(kind, key);
            fields.keep(key, value);
            None
        }
    }
}

/// Reads feedback, or returns what is wrong with the value. `Unset` means that the customer gave none.
pub(crate) fn parse(value: &Value) -> Result<Option<Feedback>, IssueKind> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(true) => Ok(Some(Feedback::Positive)),
        Value::Bool(false) => Ok(Some(Feedback::Negative)),
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "unset" | "" => Ok(None),
            word => Feedback::from_word(word).map(Some).ok_or(IssueKind::UnknownValue),
        },
        _ => Err(IssueKind::WrongType),
    }
}
