//! The requests of the export: which parameters they have, which of these a deployment accepts, and what is on a page.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use chatark_core::{
    ErrorKind, Features, HeldRecords, ReadRequest, Record, RecordId, Result, Stream, Surface, Timestamp,
    Window,
};
use chatark_http::{ApiClient, Call, CursorGuard, Page};

use crate::map::{self, Summary};
use crate::wire;

/// The most conversations on a page of the export, by the vendor's specification.
pub(crate) const EXPORT_LIMIT: u32 = 20;
/// The vendor may treat a bound of a window as exclusive, or round it, so a window is requested wider by this much.
pub(crate) const MARGIN_SECONDS: i64 = 1;
/// After so many empty pages in a row in a list that goes on, a place that cannot be read is assumed there.
pub(crate) const MAX_EMPTY_PAGES: u32 = 5;
const EXPORT: &str = "export conversations";

/// The parameters that only some deployments accept, by the names under which the archive keeps what was found.
pub(crate) const DATES: &str = "dates";
pub(crate) const SUMMARIES: &str = "summaries";
pub(crate) const CHANNEL_FILTER: &str = "channel-filter";
pub(crate) const SINGLE_CONVERSATIONS: &str = "single-conversations";

/// The export of one agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Export<'a> {
    pub(crate) client: &'a ApiClient,
    pub(crate) agent_id: &'a str,
    pub(crate) extra_records: &'a ExtraRecords,
    /// The most attempts of each request, where these are to be fewer than usual.
    pub(crate) attempts: Option<u32>,
}

/// Whole conversations that came with the response to another request, such as a count. They are archived with the next
/// batch: in a list that changes, they may not come again.
#[derive(Debug, Default)]
pub(crate) struct ExtraRecords(Mutex<Vec<Record>>);

impl ExtraRecords {
    pub(crate) fn add(&self, records: impl IntoIterator<Item = Record>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
    }

    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the elements of a page contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageContent {
    /// Conversations with their messages.
    Whole,
    /// Conversations without their messages.
    Summaries,
}

/// The parameters of a request for a page of the export, without its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// The start date; `None` requests none.
    pub(crate) since: Option<Timestamp>,
    /// The end date; `None` requests none.
    pub(crate) until: Option<Timestamp>,
    /// The vendor's names of a channel, with commas.
    pub(crate) sources: Option<String>,
    pub(crate) content: PageContent,
    pub(crate) limit: u32,
}

/// One response of the export.
#[derive(Debug)]
pub(crate) struct ExportPage {
    pub(crate) elements: Vec<Element>,
    /// How many conversations match the query, by the vendor's count.
    pub(crate) total: Option<u64>,
    /// The cursor of the next page, `None` at the end, or why the list cannot continue.
    pub(crate) next: Result<Option<String>>,
    /// The size of the elements in bytes.
    pub(crate) bytes: usize,
}

/// What a page says apart from its conversations.
#[derive(Debug)]
pub(crate) struct ProbeResult {
    pub(crate) total: Option<u64>,
    /// When each of its conversations began.
    pub(crate) began: Vec<Option<Timestamp>>,
}

/// An element of a page.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) bytes: Bytes,
    pub(crate) summary: Summary,
}

impl ExportPage {
    /// Returns whether the page has no conversation although the list goes on.
    pub(crate) fn is_empty_but_continues(&self) -> bool {
        self.elements.is_empty() && matches!(self.next, Ok(Some(_)))
    }
}

impl Query {
    /// Creates the query of a pull, with those of its parameters that the deployment is not known to refuse.
    pub(crate) fn of(request: &ReadRequest, features: &Features) -> Self {
        let wider = |at: Option<Timestamp>, seconds| at.map(|at| at.shifted(seconds).unwrap_or(at));
        let window = if features.lacks(DATES) { Window::default() } else { request.window };
        let sources = || request.channel.and_then(|channel| channel.vendor_words(wire::CHANNEL_NAMES));
        let reads_summaries = request.held.is_some() && !features.lacks(SUMMARIES);
        Self {
            since: wider(window.since, -MARGIN_SECONDS),
            until: wider(window.until, MARGIN_SECONDS),
            sources: if features.lacks(CHANNEL_FILTER) { None } else { sources() },
            content: if reads_summaries { PageContent::Summaries } else { PageContent::Whole },
            limit: EXPORT_LIMIT,
        }
    }

    /// Returns the query of as few bytes as possible that counts the same conversations.
    pub(crate) fn counting(&self, features: &Features) -> Self {
        let content = if features.lacks(SUMMARIES) { PageContent::Whole } else { PageContent::Summaries };
        Self { content, limit: 1, ..self.clone() }
    }

    /// Returns the parameters that a deployment may refuse, each with the query that has it alone.
    pub(crate) fn optional(&self) -> Vec<(&'static str, Self)> {
        let plain = Self { since: None, until: None, sources: None, content: PageContent::Whole, limit: 1 };
        let mut found = Vec::new();
        if self.since.is_some() || self.until.is_some() {
            found.push((DATES, Self { since: self.since, until: self.until, ..plain.clone() }));
        }
        if self.content == PageContent::Summaries {
            found.push((SUMMARIES, Self { content: self.content, ..plain.clone() }));
        }
        if self.sources.is_some() {
            found.push((CHANNEL_FILTER, Self { sources: self.sources.clone(), ..plain }));
        }
        found
    }

    /// Returns whether a conversation on its page contradicts the requested dates, because it began outside of them.
    pub(crate) fn is_contradicted(&self, began: Option<Timestamp>) -> bool {
        let Some(began) = began else { return false };
        let earliest = self.since.and_then(|since| since.shifted(-MARGIN_SECONDS));
        let latest = self.until.and_then(|until| until.shifted(MARGIN_SECONDS));
        earliest.is_some_and(|earliest| began < earliest) || latest.is_some_and(|latest| began > latest)
    }

    /// Takes out the parameters that the deployment is known to refuse.
    pub(crate) fn without_refused(&mut self, features: &Features) {
        if features.lacks(DATES) {
            (self.since, self.until) = (None, None);
        }
        if features.lacks(SUMMARIES) {
            self.content = PageContent::Whole;
        }
        if features.lacks(CHANNEL_FILTER) {
            self.sources = None;
        }
    }
}

impl Export<'_> {
    fn path(self) -> Call {
        Call::new(EXPORT, ["agents", self.agent_id, "conversations", "export"]).max_attempts(self.attempts)
    }

    /// Returns the call for a page.
    pub(crate) fn call(self, query: &Query, cursor: Option<&str>) -> Call {
        self.path()
            .optional_query("startDate", query.since)
            .optional_query("endDate", query.until)
            .optional_query("source", query.sources.as_ref())
            .query("limit", query.limit)
            .optional_query("include", (query.content == PageContent::Summaries).then_some("summary"))
            .optional_query("cursor", cursor)
    }

    /// Requests a page. The cursor of the next one must be new in its list.
    pub(crate) async fn page(
        self,
        query: &Query,
        cursor: Option<&str>,
        guard: &mut CursorGuard,
        held_records: Option<&dyn HeldRecords>,
    ) -> Result<ExportPage> {
        let call = self.call(query, cursor);
        let page = self.client.page(&call, "data").await?;
        let pagination = envelope(self.client, &page, &call)?;
        let wire::Pagination { has_more, cursor, total } = pagination;
        let next = self.client.next_cursor(&call, has_more, cursor.as_deref(), guard, page.request_id());
        let bytes = page.elements.iter().map(Bytes::len).sum();
        let compares = held_records.is_some() || query.content == PageContent::Summaries;
        let elements = page.elements.into_iter().map(|bytes| Element::new(bytes, compares)).collect();
        Ok(ExportPage { elements, total, next, bytes })
    }

    /// Requests the first page, and finds out which parameters the deployment refuses if it refuses the request.
    ///
    /// What was found goes into `features`; parameters that are refused are taken out of `query`.
    pub(crate) async fn first_page(
        self,
        query: &mut Query,
        features: &mut Features,
        guard: &mut CursorGuard,
        held_records: Option<&dyn HeldRecords>,
    ) -> Result<ExportPage> {
        loop {
            let optional = query.optional();
            let error = match self.page(query, None, guard, held_records).await {
                Err(error) if error.kind() == ErrorKind::Refused && !optional.is_empty() => error,
                page => return page,
            };
            let mut found_any = false;
            for (feature, alone) in &optional {
                let refused = match self.probe(alone).await {
                    Ok(_) => false,
                    Err(error) if error.kind() == ErrorKind::Refused => true,
                    Err(error) => return Err(error),
                };
                if refused {
                    features.set(*feature, false);
                    found_any = true;
                }
            }
            if !found_any {
                // Each is accepted alone and not together, or the request is refused for another reason.
                let plain =
                    Query { since: None, until: None, sources: None, content: PageContent::Whole, limit: 1 };
                self.probe(&plain).await.map_err(|_| error)?;
                for (feature, _) in &optional {
                    features.set(*feature, false);
                }
            }
            query.without_refused(features);
        }
    }

    /// Requests a page outside the order of its list; while it is empty but the list goes on, up to `most` times.
    pub(crate) async fn page_retried_while_empty(
        self,
        query: &Query,
        cursor: Option<&str>,
        held_records: Option<&dyn HeldRecords>,
        most: u32,
    ) -> Result<ExportPage> {
        let mut tries = 1;
        loop {
            let page = self.page(query, cursor, &mut CursorGuard::default(), held_records).await?;
            if tries >= most || !page.is_empty_but_continues() {
                return Ok(page);
            }
            tries += 1;
        }
    }

    /// Requests a page for a count, or to see whether the vendor responds. Whole conversations on it are kept as extra
    /// records.
    pub(crate) async fn probe(self, query: &Query) -> Result<ProbeResult> {
        let page = self.page(query, None, &mut CursorGuard::default(), None).await?;
        Ok(self.keep_extra_records(page))
    }

    /// Keeps the whole conversations of a page as extra records, and returns what else it says.
    pub(crate) fn keep_extra_records(self, page: ExportPage) -> ProbeResult {
        let began = page.elements.iter().map(|element| element.summary.created_at).collect();
        self.extra_records.add(whole_records(page.elements));
        ProbeResult { total: page.total, began }
    }

    /// Fetches what the vendor has under an id: no record if it has nothing. Returns `None` if it ignores the id and
    /// sends another conversation, which is kept as an extra record.
    ///
    /// A page of one conversation shows that ids are ignored even if a conversation after the newest cannot be read.
    pub(crate) async fn fetch_by_id(self, id: &RecordId) -> Result<Option<Vec<Record>>> {
        let call = self.path().query("limit", 1).query("conversationId", id);
        let page = self.client.page(&call, "data").await?;
        let wire::Pagination { has_more, cursor, .. } = envelope(self.client, &page, &call)?;
        let found: Vec<_> = page.elements.into_iter().map(element_record).collect();
        // An empty page of a list that goes on is not one of a single conversation.
        if found.is_empty() && cursor.is_some() && has_more != Some(false) {
            return Ok(None);
        }
        let is_other = |raw: &Record| raw.id.as_ref() != Some(id);
        if found.iter().any(is_other) {
            self.extra_records.add(found);
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// Fetches what the vendor has under an id, for a sweep: a deployment that refuses the parameter counts as one that
    /// ignores ids, and 404 means that there is nothing under the id.
    pub(crate) async fn find_by_id(self, id: &RecordId) -> Result<Option<Vec<Record>>> {
        match self.fetch_by_id(id).await {
            Err(error) if error.kind() == ErrorKind::Refused => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(Vec::new())),
            found => found,
        }
    }

    /// Returns whether the vendor ignores ids, by requesting the summary under one. A request for any whole
    /// conversation then fails if the newest one does.
    pub(crate) async fn ignores_ids(self, id: &RecordId) -> Result<bool> {
        let call = self.path().query("limit", 1).query("include", "summary").query("conversationId", id);
        let page = self.client.page(&call, "data").await?;
        let found: Vec<_> = page.elements.into_iter().map(|bytes| Element::new(bytes, true)).collect();
        let is_ignored = found.iter().any(|element| element.summary.id.as_ref() != Some(id));
        self.extra_records.add(whole_records(found));
        Ok(is_ignored)
    }
}

impl Element {
    fn new(bytes: Bytes, compares: bool) -> Self {
        let summary = if compares { map::summary(&bytes) } else { map::identity(&bytes) };
        Self { bytes, summary }
    }

    /// Returns the element as a record.
    pub(crate) fn record(self) -> Record {
        Record {
            stream: Stream::Conversations,
            id: self.summary.id,
            parent: None,
            surface: Surface::Export,
            bytes: self.bytes,
        }
    }
}

/// Decodes the envelope of a page, and rejects a response without an array.
pub(crate) fn envelope(client: &ApiClient, page: &Page, call: &Call) -> Result<wire::Pagination> {
    let envelope: wire::Envelope = page.envelope(client, call)?;
    if envelope.data.is_some() {
        return Ok(envelope.pagination);
    }
    let message = "the response has no array at `data`";
    Err(client.error(call, ErrorKind::Malformed, message, page.request_id()))
}

/// Makes a record of an element of the export.
pub(crate) fn element_record(bytes: Bytes) -> Record {
    Record::with_top_level_id(Stream::Conversations, Surface::Export, bytes)
}

/// Returns the elements that have their messages, as records.
pub(crate) fn whole_records(elements: Vec<Element>) -> Vec<Record> {
    elements.into_iter().filter(|element| element.summary.is_whole).map(Element::record).collect()
}

/// Returns when a whole conversation last changed, as it says itself.
pub(crate) fn changed_at(record: &Record) -> Option<Timestamp> {
    map::identity(&record.bytes).held.updated_at
}

/// Returns the latest of some changes, without those after `plausible_until`: a wrong clock wrote them.
pub(crate) fn newest_of(
    changes: impl Iterator<Item = Option<Timestamp>>,
    plausible_until: Option<Timestamp>,
) -> Option<Timestamp> {
    changes.flatten().filter(|at| plausible_until.is_none_or(|until| *at <= until)).max()
}

/// Returns the note to the user that the vendor has nothing under an id.
pub(crate) fn absent_note(id: &RecordId) -> String {
    format!("the vendor has no conversation {}", id.masked())
}

#[cfg(test)]
mod tests {
    use chatark_core::Channel;

    use super::*;

    #[test]
    fn a_channel_is_filtered_by_the_vendors_names() {
        assert_eq!(Channel::WhatsApp.vendor_words(wire::CHANNEL_NAMES).as_deref(), Some("WhatsApp"));
        assert_eq!(
            Channel::Website.vendor_words(wire::CHANNEL_NAMES).as_deref(),
            Some("Chatbase site,Widget or Iframe,Iframe,Agent page,Center stage,Search")
        );
        assert_eq!(Channel::Sms.vendor_words(wire::CHANNEL_NAMES), None);
    }

    #[test]
    fn a_query_has_no_parameter_that_the_deployment_refuses() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        let window = Window { since: at(1_733_049_000), until: at(1_733_049_100) };
        let channel = Some(Channel::WhatsApp);
        let request = ReadRequest { window, channel, ..ReadRequest::default() };
        let mut features = Features::default();
        let query = Query::of(&request, &features);
        assert_eq!((query.since, query.until), (at(1_733_048_999), at(1_733_049_101)));
        assert_eq!((query.sources.as_deref(), query.content), (Some("WhatsApp"), PageContent::Whole));
        assert_eq!(query.optional().len(), 2);
        features.set(DATES, false);
        features.set(CHANNEL_FILTER, false);
        let query = Query::of(&request, &features);
        assert_eq!((query.since, query.until, &query.sources), (None, None, &None));
        assert_eq!(query.optional().len(), 0);
    }
}
