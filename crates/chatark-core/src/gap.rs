//! Gaps: stretches of a stream that a vendor could not give, with their bounds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::RecordId;
use crate::window::Window;

/// A stretch of a stream that could not be read, although the vendor answered other requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where it is.
    pub bounds: GapBounds,
    /// The vendor's error, without a key or message text.
    pub error: String,
}

/// The bounds of a gap. The archive keeps it as JSON, by which a later pull recognises the same gap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GapBounds {
    /// One record.
    Record {
        /// Its id.
        id: RecordId,
    },
    /// The records that began in a span of time: from `since`, inclusive, to `until`, exclusive.
    Window {
        /// Microseconds since 1970; open if it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<i64>,
        /// Microseconds since 1970; open if it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
    },
    /// Positions of a list, counted from 1, at the time when it was read.
    Positions {
        /// The first position.
        first: u64,
        /// The last position.
        last: u64,
    },
    /// The rest of a list.
    Rest {
        /// The vendor's cursor after which it begins, or a page number if the vendor has no cursors; `None` for the
        /// whole list.
        after: Option<String>,
    },
}

/// A gap that an earlier pull found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGap {
    /// Where it is.
    pub bounds: GapBounds,
    /// Whether this pull tries it again. A gap that is not due is passed over where that saves requests.
    pub is_due: bool,
}

impl Gap {
    /// Creates a gap from the error of the request that should have read it.
    pub fn new(bounds: GapBounds, error: &crate::Error) -> Self {
        Self { bounds, error: error.to_string() }
    }
}

impl GapBounds {
    /// Creates the bounds of one record.
    pub fn record(id: impl Into<RecordId>) -> Self {
        Self::Record { id: id.into() }
    }

    /// Creates the bounds of a span of time.
    pub fn window(window: Window) -> Self {
        let microseconds = |at: Option<crate::Timestamp>| at.map(crate::Timestamp::microseconds);
        Self::Window { since: microseconds(window.since), until: microseconds(window.until) }
    }

    /// Returns the span of time of a [`Self::Window`].
    pub fn as_window(&self) -> Option<Window> {
        let Self::Window { since, until } = self else { return None };
        let instant = |at: &Option<i64>| at.and_then(|at| crate::Timestamp::from_microseconds(at).ok());
        Some(Window { since: instant(since), until: instant(until) })
    }
}

impl fmt::Display for GapBounds {
    /// Writes the bounds as part of a sentence, such as `records that began from … until …`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { id } => write!(formatter, "record {}", id.masked()),
            Self::Window { .. } => {
                let window = self.as_window().unwrap_or_default();
                formatter.write_str("records that began")?;
                if let Some(since) = window.since {
                    write!(formatter, " from {since}")?;
                }
                match window.until {
                    Some(until) => write!(formatter, " until {until}"),
                    None => Ok(()),
                }
            }
            Self::Positions { first, last } if first == last => {
                write!(formatter, "position {first} of the list")
            }
            Self::Positions { first, last } => write!(formatter, "positions {first} to {last} of the list"),
            Self::Rest { after: Some(_) } => formatter.write_str("everything after a page that fails"),
            Self::Rest { after: None } => formatter.write_str("the whole list"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_keep_their_form_in_the_archive() {
        for (bounds, json, text) in [
            (GapBounds::record(RecordId::new("c1")), r#"{"kind":"record","id":"c1"}"#, "record c1"),
            (
                GapBounds::Window { since: Some(1_733_049_000_000_000), until: None },
                r#"{"kind":"window","since":1733049000000000}"#,
                "records that began from 2024-12-01T10:30:00Z",
            ),
            (
                GapBounds::Positions { first: 7, last: 7 },
                r#"{"kind":"positions","first":7,"last":7}"#,
                "position 7 of the list",
            ),
            (GapBounds::Rest { after: None }, r#"{"kind":"rest","after":null}"#, "the whole list"),
        ] {
            assert_eq!(serde_json::to_string(&bounds).unwrap(), json);
            assert_eq!(serde_json::from_str::<GapBounds>(json).unwrap(), bounds);
            assert_eq!(bounds.to_string(), text);
        }
    }
}
