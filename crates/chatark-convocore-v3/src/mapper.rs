//! Maps records of Convocore to the shared model.

use chatark_core::{Document, Issue, Mapper, Record, Result, Zone};

use crate::map;

/// Maps conversations. The vendor writes times without a zone: they are read in this one.
#[derive(Debug)]
pub(crate) struct ConvocoreV3Mapper {
    pub(crate) zone: Zone,
}

impl Mapper for ConvocoreV3Mapper {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (conversation, issues) = map::normalize(&records[0].bytes, self.zone)?;
        Ok((Document::Conversation(conversation), issues))
    }
}
