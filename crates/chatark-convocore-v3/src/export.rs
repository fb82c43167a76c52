//! Reads one response of the bulk export in batches while it arrives: a deployment may put a whole agent into one.

use std::collections::HashSet;
use std::mem;

use chatark_core::{ErrorKind, RecordId, Result};
use chatark_http::{ArrayEvent, ArrayReader, Call};
use serde_json::Value;

use crate::account::ConvocoreV3;
use crate::dialect::embedded_error;
use crate::exported::{Counts, Exported};
use crate::wire::Envelope;

/// A batch inside one response ends with this many conversations.
const BATCH_CONVERSATIONS: usize = 200;
/// A batch inside one response ends with this many bytes.
const BATCH_BYTES: usize = 128 << 10;

/// A response of the bulk export that is still arriving.
pub(crate) struct ExportReader<'a> {
    account: &'a ConvocoreV3,
    array: ArrayReader<'a>,
    /// The ids of the requested conversations; `None` if all are requested.
    requested: Option<HashSet<RecordId>>,
    items: Vec<Exported>,
    bytes: usize,
    counts: Counts,
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
    pub(crate) envelope: Envelope<Value>,
    pub(crate) call: Call,
    pub(crate) request_id: Option<String>,
    /// The conversations since the last full batch.
    pub(crate) items: Vec<Exported>,
    pub(crate) counts: Counts,
}

impl<'a> ExportReader<'a> {
    /// Creates the reader of a call. Nothing is sent before the first [`Self::next`].
    pub(crate) fn new(account: &'a ConvocoreV3, call: Call, requested: Option<HashSet<RecordId>>) -> Self {
        let array = account.client.array(call, "data");
        Self { account, array, requested, items: Vec::new(), bytes: 0, counts: Counts::default() }
    }

    /// Reads until a batch is full or the response ends. After the end, the reader is used up.
    pub(crate) async fn next(&mut self) -> Result<ExportEvent> {
        loop {
            match self.array.next().await? {
                ArrayEvent::Element(bytes) => self.take(Exported::read(bytes, self.account.zone)),
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
        if let Some(requested) = &self.requested {
            let found = item.record.id.clone().filter(|id| requested.contains(id));
            item.is_extra = found.is_none();
            self.counts.extra_records += u64::from(item.is_extra);
            self.counts.found.extend(found);
        }
        self.bytes += item.record.bytes.len();
        self.items.push(item);
    }

    fn end(&mut self) -> Result<ExportResponse> {
        let envelope: Envelope<Value> = self.array.envelope()?;
        let (call, request_id) = (self.array.call(), self.array.request_id());
        if envelope.is_error() {
            return Err(self.account.client.api_error(call, embedded_error(&envelope), request_id));
        }
        if !envelope.data.as_ref().is_some_and(Value::is_array) {
            let message = "the response has no array at `data`";
            return Err(self.account.client.error(call, ErrorKind::Malformed, message, request_id));
        }
        Ok(ExportResponse {
            envelope,
            call: call.clone(),
            request_id: request_id.map(str::to_owned),
            items: mem::take(&mut self.items),
            counts: mem::take(&mut self.counts),
        })
    }
}
