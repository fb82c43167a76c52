//! Maps records of all streams of Chatbase v1 to the shared model.

use chatark_core::{Document, Issue, Mapper, Record, Result, Stream};

use crate::map;

/// Maps conversations, contacts and leads. Needs no settings.
#[derive(Debug)]
pub(crate) struct ChatbaseV1Mapper;

impl Mapper for ChatbaseV1Mapper {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let own = &records[0];
        match own.stream {
            Stream::Contacts | Stream::Leads => {
                let (listed, issues) = map::listed_contact(own.stream, &own.bytes)?;
                Ok((Document::Contact(listed), issues))
            }
            _ => {
                let (conversation, issues) = map::normalize(&own.bytes)?;
                Ok((Document::Conversation(conversation), issues))
            }
        }
    }
}
