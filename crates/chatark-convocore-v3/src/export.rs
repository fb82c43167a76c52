//! Reads one response of the bulk export in batches while it arrives: a deployment may put a whole agent into one.

use std::collections::HashSet;
use std::mem;

use bytes::Bytes;
use chatark_core::{
    ErrorKind, Issues, Record, RecordId, Result, Stream, Surface, Timestamp, Zone, fields, time,
};
use chatark_http::{ArrayEvent, ArrayReader, Call};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::account::ConvocoreV3;
use crate::dialect::embedded_error;
use crate::wire;
use crate::wire::{Envelope, Heading, Transcript};

/// A batch inside one response ends with this many conversations.
const BATCH_CONVERSATIONS: usize = 200;
/// A batch inside one response ends with this many bytes.
const BATCH_BYTES: usize = 128 << 10;

/// A response of the bulk export that is still arriving.
pub(crate) struct ExportReader<'a> {
    account: &'a ConvocoreV3,
    array: ArrayReader<'a>,
    /// The ids of the conversations that were asked for; `None` if all were.
    wanted: Option<HashSet<RecordId>>,
    items: Vec<Exported>,
    bytes: usize,
    counts: Counts,
}

/// A conversation of the export, and the times that it shows.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) record: Record,
    /// When it began.
    pub(crate) start: Option<Timestamp>,
    /// When it last changed.
    pub(crate) changed: Option<Timestamp>,
    /// The most units of a metered quota that it costs: one for each of its sessions.
    pub(crate) most_units: u64,
    /// Whether it came without being asked for.
    pub(crate) is_other: bool,
}

/// What an [`ExportReader`] returns next.
pub(crate) enum ExportEvent {
    /// As many conversations as fill a batch.
    Batch(Vec<Exported>),
    /// The end of the response.
    End(Box<ExportResponse>),
}

/// A response of the bulk export that has arrived whole.
#[derive(Debug)]
pub(crate) struct ExportResponse {
    pub(crate) answer: Envelope<Value>,
    pub(crate) call: Call,
    pub(crate) request_id: Option<String>,
    /// The conversations since the last full batch.
    pub(crate) items: Vec<Exported>,
    pub(crate) counts: Counts,
}

/// What was in a response, full batches included.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) elements: u64,
    /// How many conversations were not requested.
    pub(crate) others: u64,
    pub(crate) found: HashSet<RecordId>,
    /// The most units of a metered quota that they cost.
    pub(crate) most_units: u64,
}

impl Counts {
    /// Counts a conversation.
    pub(crate) fn add(&mut self, item: &Exported) {
        self.elements += 1;
        self.most_units += item.most_units;
    }
}

impl<'a> ExportReader<'a> {
    /// Creates the reader of a call. Nothing is sent before the first [`Self::next`].
    pub(crate) fn new(account: &'a ConvocoreV3, call: Call, wanted: Option<HashSet<RecordId>>) -> Self {
        let array = account.client.array(call, "data");
        Self { account, array, wanted, items: Vec::new(), bytes: 0, counts: Counts::default() }
    }

    /// Reads until a batch is full or the response ends. After the end, the reader is used up.
    pub(crate) async fn next(&mut self) -> Result<ExportEvent> {
        loop {
            match self.array.next().await? {
                ArrayEvent::Element(bytes) => self.take(exported(bytes, self.account.zone)),
                // All elements follow again. The archive recognizes those of earlier batches.
                ArrayEvent::Restarted => {
                    (self.items, self.bytes, self.counts) = (Vec::new(), 0, Counts::default());
                }
                ArrayEvent::End => return Ok(ExportEvent::End(Box::new(self.end()?))),
            }
            if self.items.len() >= BATCH_CONVERSATIONS || self.bytes >= BATCH_BYTES {
                self.bytes = 0;
                return Ok(ExportEvent::Batch(mem::take(&mut self.items)));
            }
        }
    }

    /// Returns the conversations that arrived since the last full batch, before the response broke.
    pub(crate) fn take_arrived(&mut self) -> Vec<Exported> {
        mem::take(&mut self.items)
    }

    fn take(&mut self, mut item: Exported) {
        self.counts.add(&item);
        if let Some(wanted) = &self.wanted {
            let found = item.record.id.clone().filter(|id| wanted.contains(id));
            item.is_other = found.is_none();
            self.counts.others += u64::from(item.is_other);
            self.counts.found.extend(found);
        }
        self.bytes += item.record.bytes.len();
        self.items.push(item);
    }

    fn end(&mut self) -> Result<ExportResponse> {
        let answer: Envelope<Value> = self.array.envelope()?;
        let (call, request_id) = (self.array.call(), self.array.request_id());
        if answer.is_error() {
            return Err(self.account.client.api_error(call, embedded_error(&answer), request_id));
        }
        if !answer.data.as_ref().is_some_and(Value::is_array) {
            let message = "the response has no array at `data`";
            return Err(self.account.client.error(call, ErrorKind::Malformed, message, request_id));
        }
        Ok(ExportResponse {
            answer,
            call: call.clone(),
            request_id: request_id.map(str::to_owned),
            items: mem::take(&mut self.items),
            counts: mem::take(&mut self.counts),
        })
    }
}

/// Makes a record of a conversation's bytes. Times without a zone are read in `zone`.
pub(crate) fn exported(bytes: Bytes, zone: Zone) -> Exported {
    let [metadata] = fields::peek(&bytes, ["metadata"]);
    let mut heading = wire::heading(metadata);
    if heading.id.is_none() {
        heading = repaired_heading(&bytes).unwrap_or(heading);
    }
    let Heading { id, start, changed, sessions } = heading;
    let id = id.map(RecordId::from);
    // The metadata may say nothing but when the conversation began.
    let changed = changed.or_else(|| last_message(&bytes, zone)).max(start);
    let record = Record { stream: Stream::Conversations, id, parent: None, surface: Surface::Export, bytes };
    Exported { record, start, changed, most_units: 1 + sessions, is_other: false }
}

/// Returns when the last message was written, as far as that can be read.
fn last_message(bytes: &[u8], zone: Zone) -> Option<Timestamp> {
    let transcript: Transcript<'_> = serde_json::from_slice(bytes).ok()?;
    let read = |raw: &RawValue| {
        let value: Value = serde_json::from_str(raw.get()).ok()?;
        time::read(&value, zone).ok().map(|(at, _)| at)
    };
    transcript.times().rev().find_map(read)
}

/// Reads the metadata of a record with invalid text, which is repaired here as the mapper repairs it.
fn repaired_heading(bytes: &[u8]) -> Option<Heading> {
    let mut record = fields::parse(bytes, &Issues::default()).ok()?;
    Some(wire::heading(record.remove("metadata")?))
}
