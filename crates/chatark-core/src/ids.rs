//! Newtypes for ids and names, so that one is never mistaken for another.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result, identifier};

/// Declares a newtype for a vendor's id, which is any text.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the vendor's text as it is.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// Reads an id from JSON: a string that is not empty, or a number.
            pub fn from_json(value: &serde_json::Value) -> Option<Self> {
                match value {
                    serde_json::Value::String(id) if !id.is_empty() => Some(Self::new(id.as_str())),
                    serde_json::Value::Number(id) => Some(Self::new(id.to_string())),
                    _ => None,
                }
            }

            /// Returns the vendor's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the id as a terminal, a log or an error may show it: without telephone numbers and addresses.
            pub fn masked(&self) -> Cow<'_, str> {
                identifier::masked(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

id! {
    /// The vendor's id of a conversation: any text, not always a UUID, unique within its agent.
    ConversationId
}

id! {
    /// The vendor's id of a record: any text, unique within its stream, or within its parent where it has one.
    RecordId
}

impl From<ConversationId> for RecordId {
    fn from(id: ConversationId) -> Self {
        Self(id.0)
    }
}

impl From<&ConversationId> for RecordId {
    fn from(id: &ConversationId) -> Self {
        Self(id.0.clone())
    }
}

impl From<&RecordId> for ConversationId {
    fn from(id: &RecordId) -> Self {
        Self(id.0.clone())
    }
}

/// The name of a source: 1 to 64 of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SourceName(String);

impl SourceName {
    /// Checks and wraps a name.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        if starts_well && name.len() <= 64 && name.chars().all(plain) {
            return Ok(Self(name));
        }
        Err(Error::new(
            ErrorKind::Usage,
            "name a source",
            "a name has 1 to 64 of `a-z A-Z 0-9 . _ -` and begins with a letter or digit",
        ))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_names_have_a_limited_length_and_alphabet() {
        for good in ["shop", "Shop-2.eu", "0", "a_b"] {
            assert!(SourceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-shop", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(SourceName::new(bad).is_err(), "{bad}");
        }
    }
}
