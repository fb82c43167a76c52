//! The vendor's three lists, each read by page number and page size.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chatark_core::{ErrorKind, Record, RecordId, Result, Stream, Surface, fields};
use chatark_http::{ApiClient, Call, Page};
use serde_json::value::RawValue;

use crate::account::ChatbaseV1;
use crate::parameters::Parameters;
use crate::wire;

pub(crate) const GET_CONVERSATIONS: &str = "get conversations";
/// The most conversations or leads on a page, by the vendor's documents, 2026.
pub(crate) const PAGE_SIZE: u64 = 100;
/// The most contacts on a page, by the vendor's documents, 2026.
const CONTACTS_PAGE: u64 = 1_000;

/// One of the vendor's lists. It has no cursor: any page can be requested in any size.
#[derive(Debug, Clone)]
pub(crate) struct NumberedList<'a> {
    pub(crate) account: &'a ChatbaseV1,
    pub(crate) stream: Stream,
    /// What the list is narrowed by. Contacts and leads take nothing.
    pub(crate) parameters: Parameters,
    /// Rows of requests that found something out for the walk, if the list keeps them.
    extra_records: Option<ExtraRecords>,
}

/// Rows that came with other responses than the pages of a walk. Where rows change places from one request to the next,
/// they may be on no other page.
type ExtraRecords = Arc<Mutex<Vec<Bytes>>>;

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) elements: Vec<Bytes>,
    /// How many rows the list has, if the vendor says.
    pub(crate) total: Option<u64>,
    pub(crate) request_id: Option<String>,
}

impl<'a> NumberedList<'a> {
    pub(crate) fn new(account: &'a ChatbaseV1, stream: Stream) -> Self {
        Self { account, stream, parameters: Parameters::default(), extra_records: None }
    }

    /// Keeps the rows of every call of [`Self::page`] until they are taken.
    pub(crate) fn keeping_extra_records(self) -> Self {
        Self { extra_records: Some(ExtraRecords::default()), ..self }
    }

    /// Keeps rows that are on no page of the walk.
    pub(crate) fn keep_extra(&self, rows: impl IntoIterator<Item = Bytes>) {
        if let Some(extra_records) = &self.extra_records {
            extra_records.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
        }
    }

    /// Takes the rows that were kept.
    pub(crate) fn take_extra_records(&self) -> Vec<Bytes> {
        let Some(extra_records) = &self.extra_records else { return Vec::new() };
        mem::take(&mut *extra_records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the same list, narrowed by other parameters.
    pub(crate) fn with(&self, parameters: Parameters) -> Self {
        Self { parameters, ..self.clone() }
    }

    /// Returns the largest page that the vendor documents.
    pub(crate) fn largest_page(&self) -> u64 {
        if self.stream == Stream::Contacts { CONTACTS_PAGE } else { PAGE_SIZE }
    }

    /// Reads a page, counted from 1, to find something out. Its rows are kept for the archive all the same.
    pub(crate) async fn probe_page(&self, size: u64, number: u64) -> Result<Rows> {
        let rows = self.walk_page(size, number).await?;
        self.keep_extra(rows.elements.iter().cloned());
        Ok(rows)
    }

    /// Reads a page for the walk, which takes its rows.
    pub(crate) async fn walk_page(&self, size: u64, number: u64) -> Result<Rows> {
        let (client, call) = (&self.account.client, self.call(size, number));
        let key = if self.stream == Stream::Leads { "collectedCustomers" } else { "data" };
        let page = client.page(&call, key).await?;
        match self.stream {
            Stream::Contacts => contacts(page, client, &call),
            Stream::Leads => leads(page, client, &call),
            _ => conversations(page, client, &call),
        }
    }

    /// Returns the request for a page.
    pub(crate) fn call(&self, size: u64, number: u64) -> Call {
        let agent = &self.account.agent_id;
        let call = match self.stream {
            Stream::Contacts => {
                Call::new("get contacts", ["chatbots", agent, "contacts"]).query("per_page", size)
            }
            Stream::Leads => {
                Call::new("get leads", ["get-leads"]).query("chatbotId", agent).query("size", size)
            }
            _ => {
                let call = Call::new(GET_CONVERSATIONS, ["get-conversations"]).query("chatbotId", agent);
                self.parameters.add_to(call).query("size", size)
            }
        };
        call.query("page", number)
    }

    /// Makes records of rows.
    pub(crate) fn records(&self, elements: Vec<Bytes>) -> Vec<Record> {
        let record = |bytes| Record::with_top_level_id(self.stream, Surface::Export, bytes);
        elements.into_iter().map(record).collect()
    }
}

impl Rows {
    /// Returns a page without rows.
    pub(crate) fn none() -> Self {
        Self { elements: Vec::new(), total: None, request_id: None }
    }

    pub(crate) fn len(&self) -> u64 {
        self.elements.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns the key of each row, by which it is recognised on another page.
    pub(crate) fn keys(&self) -> Vec<u64> {
        self.elements.iter().map(|row| key(row)).collect()
    }
}

/// Returns the key of a row: a hash of its id, or of the whole row if it has none.
pub(crate) fn key(row: &[u8]) -> u64 {
    let [id] = fields::peek(row, ["id"]);
    let mut hasher = DefaultHasher::new();
    match RecordId::from_json(&id) {
        Some(id) => id.as_str().hash(&mut hasher),
        None => row.hash(&mut hasher),
    }
    hasher.finish()
}

fn conversations(page: Page, client: &ApiClient, call: &Call) -> Result<Rows> {
    let envelope: wire::Envelope = page.envelope(client, call)?;
    if envelope.data.is_none() {
        let message = "the response has no array at `data`";
        return Err(client.error(call, ErrorKind::Malformed, message, page.request_id()));
    }
    Ok(rows_of(page, None))
}

fn contacts(page: Page, client: &ApiClient, call: &Call) -> Result<Rows> {
    let envelope: wire::Contacts = page.envelope(client, call)?;
    if envelope.data.is_none() {
        let message = "the response has no array at `data`";
        return Err(client.error(call, ErrorKind::Malformed, message, page.request_id()));
    }
    Ok(rows_of(page, envelope.total.and_then(|total| total.as_u64())))
}

/// Leads are an array in the vendor's documents; a client of April 2026 found it under `data` of an object.
fn leads(page: Page, client: &ApiClient, call: &Call) -> Result<Rows> {
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
    let rows = rows_of(page, None);
    // An array in the documented place has already been split into elements, and is empty here.
    Ok(if nested.is_empty() { rows } else { Rows { elements: nested, ..rows } })
}

fn rows_of(page: Page, total: Option<u64>) -> Rows {
    let request_id = page.request_id().map(str::to_owned);
    Rows { elements: page.elements, total, request_id }
}

fn copied(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}
