//! Reads the people whom Chatbase v1 lists apart from conversations, page by page: contacts, then leads.
//!
//! Both lists are read from their beginning each time, since neither tells what has changed.

use bytes::Bytes;
use chatark_core::{ContactBatch, ContactList, ContactStream, ErrorKind, PageMetadata, RawContact, Result};
use chatark_http::{ApiClient, Call, Page};
use futures_util::{StreamExt, stream};
use serde_json::value::RawValue;

use crate::source::ChatbaseV1;
use crate::wire;

/// The most contacts on a page, by the vendor's documents, 2026.
const CONTACTS_PAGE: u32 = 1_000;
/// The most leads on a page, by the vendor's documents, 2026.
const LEADS_PAGE: u32 = 100;

/// Streams both lists, the second one also where the first one fails.
pub(crate) fn lists(provider: &ChatbaseV1) -> ContactStream<'_> {
    Box::pin(stream::iter(ContactList::ALL).flat_map(|list| walk(provider, list)))
}

fn walk(provider: &ChatbaseV1, list: ContactList) -> ContactStream<'_> {
    let start = ListWalk { provider, list, number: 1, before: Vec::new(), received: 0 };
    Box::pin(stream::try_unfold(Some(start), |walk| async {
        let Some(walk) = walk else { return Ok(None) };
        walk.next().await.map(Some)
    }))
}

/// A walk through one list, from page 1 to the first empty page or to as many people as the vendor counts.
struct ListWalk<'a> {
    provider: &'a ChatbaseV1,
    list: ContactList,
    /// The page to read next, from 1.
    number: u64,
    /// The page before, by which a host is recognised that ignores the number.
    before: Vec<Bytes>,
    received: u64,
}

/// What one page of a list holds.
struct People {
    found: Vec<Bytes>,
    /// How many people the list has, where the vendor tells.
    total: Option<u64>,
}

impl ListWalk<'_> {
    async fn next(mut self) -> Result<(ContactBatch, Option<Self>)> {
        let People { found, total } = self.read().await?;
        let mut facts = PageMetadata { pages: 1, ..PageMetadata::default() };
        if found.is_empty() || found == self.before {
            facts.notes.extend(self.doubt(&found, total));
            return Ok((ContactBatch { contacts: Vec::new(), facts }, None));
        }
        self.received += found.len() as u64;
        self.number += 1;
        let contacts =
            found.iter().map(|bytes| RawContact::with_top_level_id(self.list, bytes.clone())).collect();
        self.before = found;
        let is_last = total.is_some_and(|total| self.received >= total);
        Ok((ContactBatch { contacts, facts }, (!is_last).then_some(self)))
    }

    /// Returns what speaks against the end of the list that was reached.
    fn doubt(&self, found: &[Bytes], total: Option<u64>) -> Option<String> {
        let list = self.list.as_str();
        if !found.is_empty() {
            return Some(format!(
                "this host sends the same page of {list} whatever page is asked for: there may be more of them"
            ));
        }
        let total = total.filter(|total| self.received < *total)?;
        Some(format!("the vendor counts {total} {list} and listed {}", self.received))
    }

    async fn read(&self) -> Result<People> {
        let client = &self.provider.client;
        let call = self.call();
        match self.list {
            ContactList::Contacts => contacts(client.page(&call, "data").await?, client, &call),
            ContactList::Leads => leads(client.page(&call, "collectedCustomers").await?, client, &call),
        }
    }

    fn call(&self) -> Call {
        let agent = &self.provider.agent_id;
        let call = match self.list {
            ContactList::Contacts => {
                Call::new("get contacts", ["chatbots", agent, "contacts"]).query("per_page", CONTACTS_PAGE)
            }
            ContactList::Leads => {
                Call::new("get leads", ["get-leads"]).query("chatbotId", agent).query("size", LEADS_PAGE)
            }
        };
        call.query("page", self.number)
    }
}

fn contacts(page: Page, client: &ApiClient, call: &Call) -> Result<People> {
    let envelope: wire::Contacts = page.envelope(client, call)?;
    if envelope.data.is_none() {
        let message = "the answer has no array at `data`";
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
        let message = "the answer has no array at `collectedCustomers` or its `data`";
        return Err(client.error(call, ErrorKind::Malformed, message, page.request_id()));
    };
    // An array at the first place has been cut into its elements, and is empty where it was.
    let found = if nested.is_empty() { page.elements } else { nested };
    Ok(People { found, total: None })
}

fn copied(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}
