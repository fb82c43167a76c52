//! Reads the contacts and leads that Chatbase v1 lists separately from conversations, page by page.
//!
//! Neither list reports changes, so each is read from its beginning. An interrupted read resumes one page before the
//! page that it had reached, because deletions in the meantime move the other entries forward.

use bytes::Bytes;
use chatark_core::{
    Batch, BatchStream, Checkpoint, Cursor, ErrorKind, PageMetadata, ReadRequest, Record, Result, Stream,
    Surface,
};
use chatark_http::{ApiClient, Call, Page};
use futures_util::stream;
use serde_json::value::RawValue;

use crate::source::{CURSOR_VERSION, ChatbaseV1, DESCRIPTOR};
use crate::wire;

/// The most contacts on a page, by the vendor's documents, 2026.
const CONTACTS_PAGE: u32 = 1_000;
/// The most leads on a page, by the vendor's documents, 2026.
const LEADS_PAGE: u32 = 100;

/// One of the vendor's lists of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Contacts,
    Leads,
}

impl List {
    /// Returns the list of a stream, if the stream is a list of people.
    pub(crate) fn of(stream: Stream) -> Option<Self> {
        match stream {
            Stream::Contacts => Some(Self::Contacts),
            Stream::Leads => Some(Self::Leads),
            _ => None,
        }
    }

    fn stream(self) -> Stream {
        match self {
            Self::Contacts => Stream::Contacts,
            Self::Leads => Stream::Leads,
        }
    }
}

/// Streams one list.
pub(crate) fn read<'a>(provider: &'a ChatbaseV1, list: List, request: &ReadRequest) -> BatchStream<'a> {
    let scope = request.scope();
    let saved = request.cursor.as_ref();
    let saved: Option<wire::Place> =
        saved.and_then(|cursor| cursor.open(DESCRIPTOR.name, CURSOR_VERSION, &scope));
    let number = saved.as_ref().map_or(1, |place| place.page.saturating_sub(1).max(1));
    let received = saved.is_none().then_some(0);
    let start = ListWalk { provider, list, scope, number, received, before: Vec::new() };
    Box::pin(stream::try_unfold(Some(start), |walk| async {
        let Some(walk) = walk else { return Ok(None) };
        walk.next().await.map(Some)
    }))
}

/// A walk through one list, from page to page until an empty one.
struct ListWalk<'a> {
    provider: &'a ChatbaseV1,
    list: List,
    scope: String,
    /// The page to read next, from 1.
    number: u64,
    /// How many people were received, if the walk began at the first page.
    received: Option<u64>,
    /// The previous page, to recognise a host that ignores the page number.
    before: Vec<Bytes>,
}

/// What one page of a list holds.
struct People {
    found: Vec<Bytes>,
    /// How many people the list has, if the vendor says.
    total: Option<u64>,
}

impl ListWalk<'_> {
    async fn next(mut self) -> Result<(Batch, Option<Self>)> {
        let People { found, total } = self.read().await?;
        let mut page = PageMetadata { pages: 1, total, ..PageMetadata::default() };
        if found.is_empty() || found == self.before {
            page.notes.extend(self.repetition_note(&found));
            return Ok((Batch { checkpoint: Checkpoint::End, page, ..Batch::default() }, None));
        }
        let stream = self.list.stream();
        let record = |bytes: &Bytes| Record::with_top_level_id(stream, Surface::Export, bytes.clone());
        let records: Vec<_> = found.iter().map(record).collect();
        self.before = found;
        self.received = self.received.map(|received| received + records.len() as u64);
        if self.received.zip(total).is_some_and(|(received, total)| received >= total) {
            return Ok((Batch { records, checkpoint: Checkpoint::End, page, ..Batch::default() }, None));
        }
        self.number += 1;
        let place = wire::Place { page: self.number };
        let cursor = Cursor::seal(DESCRIPTOR.name, CURSOR_VERSION, self.scope.clone(), &place)?;
        Ok((Batch { records, checkpoint: Checkpoint::At(cursor), page, ..Batch::default() }, Some(self)))
    }

    /// Returns the note to the user if the host sent the previous page again.
    fn repetition_note(&self, found: &[Bytes]) -> Option<String> {
        let list = self.list.stream().as_str();
        let note = format!(
            "this host sends the same page of {list} for every page number: there may be more of them"
        );
        (!found.is_empty()).then_some(note)
    }

    async fn read(&self) -> Result<People> {
        let client = &self.provider.client;
        let call = self.call();
        match self.list {
            List::Contacts => contacts(client.page(&call, "data").await?, client, &call),
            List::Leads => leads(client.page(&call, "collectedCustomers").await?, client, &call),
        }
    }

    fn call(&self) -> Call {
        let agent = &self.provider.agent_id;
        let call = match self.list {
            List::Contacts => {
                Call::new("get contacts", ["chatbots", agent, "contacts"]).query("per_page", CONTACTS_PAGE)
            }
            List::Leads => {
                Call::new("get leads", ["get-leads"]).query("chatbotId", agent).query("size", LEADS_PAGE)
            }
        };
        call.query("page", self.number)
    }
}

fn contacts(page: Page, client: &ApiClient, call: &Call) -> Result<People> {
    let envelope: wire::Contacts = page.envelope(client, call)?;
    if envelope.data.is_none() {
        let message = "the response has no array at `data`";
        return Err(client.error(call, ErrorKind::Malformed, message, page.request_id()));
    }
    let total = envelope.total.and_then(|total| total.as_u64());
    Ok(People { found: page.elements, total })
}

/// Leads are an array in the vendor's documents; a client of April 2026 found it under `data` of an object.
fn leads(page: Page, client: &ApiClient, call: &Call) -> Result<People> {
    let found = match page.envelope::<wire::Leads<'_>>(client, call)?.customers {
        Some(list) if list.get().starts_with('[') => Some(Vec::new()),
        Some(object) if object.get().starts_with('{') => {
            let inner: wire::LeadData<'_> =
                client.decode(call, object.get().as_bytes(), page.request_id())?;
            inner.data.map(|data| data.into_iter().map(copied).collect())
        }
        _ => None,
    };
    let Some(nested) = found else {
        let message = "the response has no array at `collectedCustomers` or its `data`";
        return Err(client.error(call, ErrorKind::Malformed, message, page.request_id()));
    };
    // An array in the documented place has already been split into elements, and is empty here.
    let found = if nested.is_empty() { page.elements } else { nested };
    Ok(People { found, total: None })
}

fn copied(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}
