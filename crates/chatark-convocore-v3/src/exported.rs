//! Conversations of the export, with what is read of them before they are mapped.

use std::collections::HashSet;

use bytes::Bytes;
use chatark_core::{Issues, Record, RecordId, Stream, Surface, Timestamp, Zone, fields, time};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::wire::{self, Heading, RawTimes};

/// A conversation of the export, with its times and its cost.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) record: Record,
    /// When it began.
    pub(crate) start: Option<Timestamp>,
    /// When it last changed.
    pub(crate) changed: Option<Timestamp>,
    /// The most units of a metered quota that it costs: one for each of its sessions.
    pub(crate) most_units: u64,
    /// Whether it is an extra record, which came although it was not requested.
    pub(crate) is_extra: bool,
}

/// The counts of one response, full batches included.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) elements: u64,
    /// How many conversations came although they were not requested.
    pub(crate) extra_records: u64,
    /// The ids of the requested conversations that came.
    pub(crate) found: HashSet<RecordId>,
    /// The most units of a metered quota that they cost.
    pub(crate) most_units: u64,
}

impl Exported {
    /// Makes a record of a conversation's bytes. Times without a zone are read in `zone`.
    pub(crate) fn read(bytes: Bytes, zone: Zone) -> Self {
        let [metadata] = fields::peek(&bytes, ["metadata"]);
        let mut heading = wire::heading(metadata);
        if heading.id.is_none() {
            heading = repaired_heading(&bytes).unwrap_or(heading);
        }
        let Heading { id, start, changed, sessions } = heading;
        let id = id.map(RecordId::from);
        // The metadata may hold no other time than the beginning.
        let changed = changed.or_else(|| last_message(&bytes, zone)).max(start);
        let record =
            Record { stream: Stream::Conversations, id, parent: None, surface: Surface::Export, bytes };
        Self { record, start, changed, most_units: 1 + sessions, is_extra: false }
    }
}

impl Counts {
    /// Counts a conversation.
    pub(crate) fn add(&mut self, item: &Exported) {
        self.elements += 1;
        self.most_units += item.most_units;
    }
}

/// Returns when the last message was written, as far as that can be read.
fn last_message(bytes: &[u8], zone: Zone) -> Option<Timestamp> {
    let raw: RawTimes<'_> = serde_json::from_slice(bytes).ok()?;
    let read = |raw: &RawValue| {
        let value: Value = serde_json::from_str(raw.get()).ok()?;
        time::read(&value, zone).ok().map(|(at, _)| at)
    };
    raw.times().rev().find_map(read)
}

/// Reads the metadata of a record with invalid text, which is repaired here as the mapper repairs it.
fn repaired_heading(bytes: &[u8]) -> Option<Heading> {
    let mut record = fields::parse(bytes, &Issues::default()).ok()?;
    Some(wire::heading(record.remove("metadata")?))
}
