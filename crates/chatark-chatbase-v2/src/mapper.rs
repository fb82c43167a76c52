//! Maps records of all surfaces of Chatbase v2 to the shared model.

use chatark_core::{Document, Issue, Mapper, Record, Result, Surface};

use crate::map;

/// Maps conversations, with their messages inside or as records of their own. Needs no settings.
#[derive(Debug)]
pub(crate) struct ChatbaseV2Mapper;

impl Mapper for ChatbaseV2Mapper {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (own, messages) = (&records[0], &records[1..]);
        let (conversation, issues) = match own.surface {
            Surface::Export => map::exported(&own.bytes)?,
            Surface::User => map::of_user(&own.bytes, messages.iter().map(|message| &message.bytes[..]))?,
        };
        Ok((Document::Conversation(conversation), issues))
    }
}
