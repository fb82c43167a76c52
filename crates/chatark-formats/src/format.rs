//! The formats of an export and their options.

use std::fmt;
use std::str::FromStr;

use chatark_core::{Error, ErrorKind, Result};

/// A format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// `conversations.json`: one array, one document per line.
    Json,
    /// `conversations.jsonl`: one document per line.
    Jsonl,
    /// `conversations.csv` and `messages.csv`: one row per conversation and one per message.
    Csv,
}

/// What an export writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The formats; duplicates count once.
    pub formats: Vec<Format>,
    /// Whether CSV files begin with a byte order mark, by which spreadsheets recognize UTF-8.
    pub csv_bom: bool,
    /// Whether text that a spreadsheet would run as a formula gets a leading apostrophe in CSV files.
    pub csv_safe: bool,
}

impl Format {
    /// All formats, in the order of the documentation.
    pub const ALL: &'static [Self] = &[Self::Json, Self::Jsonl, Self::Csv];

    /// Returns the word used on the command line and in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// Returns the format with a word from [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.as_str() == word)
    }

    /// Returns the names of all formats, for the hint of an error.
    pub(crate) fn names() -> String {
        Self::ALL.iter().map(|format| format!("`{format}`")).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_word(name).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "choose a format", format!("there is no format `{name}`"))
                .hint(format!("the formats are {}", Self::names()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_formats_map_to_each_other() {
        for format in Format::ALL {
            assert_eq!(Format::from_word(format.as_str()), Some(*format));
        }
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "choose a format: there is no format `xml`");
        assert_eq!(error.hint_text(), Some("the formats are `json`, `jsonl`, `csv`"));
    }
}
