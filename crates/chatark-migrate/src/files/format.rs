//! The file formats of migrations.

use chatark_archive::Archive;
use chatark_core::Result;

use super::converter::Converter;
use super::{openai, sharegpt, slack, vcon};
use crate::knowledge::BestAnswers;
use crate::people::People;

/// A format of another platform, written as files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// One conversation per line, in the form of `OpenAI`'s chat API, for fine-tuning.
    OpenAi,
    /// One conversation per line, in the form of `ShareGPT`.
    ShareGpt,
    /// One row for each person.
    Contacts,
    /// One row for each question with its best answer.
    Questions,
    /// One file for each conversation, in the form of the IETF's vCon.
    Vcon,
    /// One ZIP archive in the form of a Slack export.
    Slack,
}

impl FileFormat {
    /// Every format.
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::ShareGpt, Self::Contacts, Self::Questions, Self::Vcon, Self::Slack];

    /// Returns the word used on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai-jsonl",
            Self::ShareGpt => "sharegpt-jsonl",
            Self::Contacts => "contacts-csv",
            Self::Questions => "questions-csv",
            Self::Vcon => "vcon",
            Self::Slack => "slack-zip",
        }
    }

    /// Returns the format with a word from [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// Returns the converter, which turns selected conversations into items.
    pub(super) fn converter(self, archive: &Archive) -> Result<Box<dyn Converter + '_>> {
        Ok(match self {
            Self::OpenAi => Box::new(openai::OpenAi),
            Self::ShareGpt => Box::new(sharegpt::ShareGpt),
            Self::Contacts => Box::new(People::new(archive)?),
            Self::Questions => Box::<BestAnswers>::default(),
            Self::Vcon => Box::new(vcon::Vcon),
            Self::Slack => Box::<slack::Slack>::default(),
        })
    }
}
