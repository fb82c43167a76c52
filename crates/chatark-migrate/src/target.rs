//! What a migration can go to, as files.

use chatark_archive::Archive;
use chatark_core::{ArchivedConversation, ListedContact, Origin, Result, Stream};
use chatark_target::LossReport;
use serde_json::Value;

use crate::files::{openai, sharegpt, slack, vcon};
use crate::knowledge::Questions;
use crate::people::People;
use crate::person::Identities;
use crate::selection::Selection;

/// A format of another platform, to be written as files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTarget {
    /// One conversation a line in the form of `OpenAI`'s chat API, as for fine-tuning.
    OpenAi,
    /// One conversation a line in the form of `ShareGPT`.
    ShareGpt,
    /// One row for each person.
    Contacts,
    /// One row for each question and its best answer.
    Questions,
    /// One file for each conversation in the form of the IETF's vCon.
    Vcon,
    /// One archive in the form of a Slack export.
    Slack,
}

/// Something that a target writes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// A line of JSON.
    Line(Value),
    /// A row of a table, in the order of its columns.
    Row(Vec<String>),
    /// A file of its own.
    Document {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
    },
    /// Elements of the array in a file inside the archive; those of one file come one after another.
    Elements {
        /// The path of the file.
        path: String,
        /// The elements.
        values: Vec<Value>,
    },
}

impl Item {
    /// Returns whether it carries something of a conversation, and does not only say who and where.
    pub(crate) fn is_content(&self) -> bool {
        !matches!(self, Self::Elements { path, .. } if !path.contains('/'))
    }
}

/// Turns conversations into items.
pub(crate) trait Mapper {
    /// Takes somebody whom a vendor lists apart from conversations, before the first conversation comes.
    fn meet(&mut self, _: &Origin, _: Stream, _: &ListedContact, _: &mut LossReport) {}

    /// Returns what a conversation becomes, and notes what of it does not arrive.
    fn map(&mut self, archived: &ArchivedConversation, loss_report: &mut LossReport) -> Result<Vec<Item>>;

    /// Returns what is to be written once all conversations are known.
    fn finish(self: Box<Self>, loss_report: &mut LossReport) -> Vec<Item>;
}

impl FileTarget {
    /// Every target.
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::ShareGpt, Self::Contacts, Self::Questions, Self::Vcon, Self::Slack];

    /// Returns the name on the command line.
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

    /// Returns the target of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.as_str() == word)
    }

    /// Returns what turns the chosen conversations into items.
    pub(crate) fn mapper(self, archive: &Archive, selection: &Selection) -> Result<Box<dyn Mapper>> {
        Ok(match self {
            Self::OpenAi => Box::new(openai::OpenAi),
            Self::ShareGpt => Box::new(sharegpt::ShareGpt),
            Self::Contacts => {
                let identities = Identities::read(archive, &selection.filter.sources)?;
                Box::new(People::new(identities))
            }
            Self::Questions => Box::<Questions>::default(),
            Self::Vcon => Box::new(vcon::Vcon),
            Self::Slack => Box::<slack::Slack>::default(),
        })
    }
}
