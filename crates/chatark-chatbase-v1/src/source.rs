//! Reads Chatbase v1 page by page: there is no total and no cursor, and the end is an empty page.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::{
    AgentInfo, Batch, BatchStream, ChangeDetection, Channel, Checkpoint, Cursor, Descriptor, Error,
    ErrorKind, Estimate, PageMetadata, Provider, ReadRequest, Record, RecordId, Result, Selection,
    SettingProblem, Settings, Stream, StreamDescriptor, Surface, Window,
};
use chatark_http::{ApiClient, Call, Connector, Page};
use futures_util::future::join_all;
use futures_util::stream;

use crate::config::{Config, SETTINGS};
use crate::contacts::{self, List};
use crate::dialect::ChatbaseV1Dialect;
use crate::wire;

/// What this provider is and can do.
pub static DESCRIPTOR: Descriptor = Descriptor {
    name: "chatbase-v1",
    title: "Chatbase API v1",
    settings: SETTINGS,
    streams: &[
        StreamDescriptor {
            stream: Stream::Conversations,
            parent: None,
            reports_total: false,
            changes: ChangeDetection::LookBack,
        },
        StreamDescriptor {
            stream: Stream::Contacts,
            parent: None,
            reports_total: true,
            changes: ChangeDetection::Unsupported,
        },
        StreamDescriptor {
            stream: Stream::Leads,
            parent: None,
            reports_total: false,
            changes: ChangeDetection::Unsupported,
        },
    ],
    selects_user: false,
    selects_conversations: false,
    full_sweep_days: 7,
    dates_are_zoneless: true,
};

/// The most conversations on a page, by the vendor's documents.
const PAGE_SIZE: u32 = 100;
/// The version of the cursors that this crate seals.
pub(crate) const CURSOR_VERSION: u32 = 1;
/// How often a page may repeat the one before it. A list that grows by exactly one page repeats one once.
const MAX_REPEATS: u32 = 3;
/// The number of pages that are requested at the same time.
const CONCURRENT_PAGES: u64 = 8;
/// The number of pages that are read one after another first: a short list gains little from more at a time.
const FIRST_SEQUENTIAL: u64 = 4;
const DAY_SECONDS: i64 = 86_400;
const GET_CONVERSATIONS: &str = "get conversations";

/// One Chatbase agent, read through API v1.
#[derive(Debug)]
pub struct ChatbaseV1 {
    pub(crate) client: ApiClient,
    pub(crate) agent_id: String,
}

/// Creates the provider of one source.
pub fn connect(settings: &Settings, connector: Connector) -> Result<Box<dyn Provider>> {
    Ok(Box::new(open_account(settings, connector)?))
}

pub(crate) fn open_account(settings: &Settings, connector: Connector) -> Result<ChatbaseV1> {
    let config = Config::read(settings)
        .map_err(|_| Error::new(ErrorKind::Usage, "connect", "the settings are not valid"))?;
    let client = connector.client(config.base, ChatbaseV1Dialect)?;
    Ok(ChatbaseV1 { client, agent_id: config.agent_id })
}

/// Validates settings beyond their types.
pub fn validate(settings: &Settings) -> Vec<SettingProblem> {
    Config::read(settings).err().unwrap_or_default()
}

#[async_trait]
impl Provider for ChatbaseV1 {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// An unknown agent answers 200 with an empty page, so only an agent with conversations is confirmed.
    async fn check(&self) -> Result<AgentInfo> {
        let call = self.call().query("page", 1).query("size", 1);
        let (page, clock_skew_seconds) = self.client.json_with_clock_skew::<wire::Envelope>(&call).await?;
        let confirmed = page.data.is_some_and(|data| !data.is_empty());
        Ok(AgentInfo { name: None, confirmed, clock_skew_seconds })
    }

    async fn estimate(&self, request: &ReadRequest) -> Result<Estimate> {
        let mut search = Search { provider: self, call: self.window_call(request), requests: 0, first: None };
        let mut estimate = Estimate::default();
        match search.count().await? {
            Some(count) => {
                estimate.conversations = Some(count);
                estimate.requests = Some(requests(count));
            }
            None => estimate.notes.push(
                "this host sends the same page for every page number, so nothing can be counted".to_owned(),
            ),
        }
        Ok(Estimate { requests_sent: search.requests, ..estimate })
    }

    fn read(&self, request: ReadRequest) -> BatchStream<'_> {
        if let Some(list) = List::of(request.stream) {
            return contacts::read(self, list, &request);
        }
        if request.selection != Selection::All {
            let error = Error::new(ErrorKind::Usage, GET_CONVERSATIONS, "API v1 only gives whole agents");
            return Box::pin(stream::once(async { Err(error) }));
        }
        Box::pin(stream::try_unfold(Some(PageWalk::new(self, &request)), |walk| async {
            let Some(walk) = walk else { return Ok(None) };
            walk.next().await.map(Some)
        }))
    }
}

impl ChatbaseV1 {
    fn call(&self) -> Call {
        Call::new(GET_CONVERSATIONS, ["get-conversations"]).query("chatbotId", &self.agent_id)
    }

    fn window_call(&self, request: &ReadRequest) -> Call {
        let (since, until) = days(request.window);
        self.call()
            .maybe("startDate", since)
            .maybe("endDate", until)
            .maybe("filteredSources", request.channel.and_then(sources))
    }
}

/// A search for the last conversation: the vendor gives no count, but returns a page of one conversation for any page
/// number.
struct Search<'a> {
    provider: &'a ChatbaseV1,
    call: Call,
    /// How many requests the search has sent.
    requests: u64,
    first: Option<Bytes>,
}

impl Search<'_> {
    /// Returns how many conversations there are, or `None` if the host ignores the page number.
    async fn count(&mut self) -> Result<Option<u64>> {
        // There are at least `some` conversations, and fewer than `too_many`.
        let (mut some, mut too_many) = (0, 1);
        while let Some(found) = self.at(too_many).await? {
            if *self.first.get_or_insert(found.clone()) == found && too_many > 1 {
                return Ok(None);
            }
            (some, too_many) = (too_many, too_many * 2);
        }
        while too_many - some > 1 {
            let middle = some + (too_many - some) / 2;
            match self.at(middle).await? {
                Some(_) => some = middle,
                None => too_many = middle,
            }
        }
        Ok(Some(some))
    }

    /// Returns the conversation at a position, counted from 1.
    async fn at(&mut self, place: u64) -> Result<Option<Bytes>> {
        self.requests += 1;
        let call = self.call.clone().query("size", 1).query("page", place);
        let page = self.provider.client.page(&call, "data").await?;
        refuse_no_array(&self.provider.client, &page, &call)?;
        Ok(page.elements.into_iter().next())
    }
}

/// Returns how many requests a walk through so many conversations takes: including the empty page at the end.
fn requests(count: u64) -> u64 {
    let size = u64::from(PAGE_SIZE);
    let empty = count.div_ceil(size) + 1;
    let (mut page, mut requests) = (1, 0);
    while page <= empty {
        let is_after_full_page = (page - 1) * size <= count;
        let (pages, heads) =
            if page > FIRST_SEQUENTIAL && is_after_full_page { (CONCURRENT_PAGES, 1) } else { (1, 0) };
        page += pages;
        requests += pages + heads;
    }
    requests
}

/// A walk from page 1 to the first empty one, several pages at once while they are full.
///
/// Pages that are requested together may be answered in any order. A conversation that is added in the meantime moves
/// the others to later positions, so one could be missed between two pages. After each group, the first conversation of
/// the list is therefore checked again: if it has changed, the group is read once more, one page after another.
struct PageWalk<'a> {
    provider: &'a ChatbaseV1,
    call: Call,
    scope: String,
    page: u64,
    seen: bool,
    /// Pages from the current one on, read at once.
    ahead: VecDeque<Page>,
    /// The error of the first page that failed.
    failed: Option<Error>,
    /// The first conversation of the whole list, byte for byte, if it is known; empty if the list is empty.
    head: Option<Bytes>,
    /// How many pages are still read one after another.
    alone: u64,
    /// The ids of the previous page, to recognise rows that moved to the next page.
    before: Vec<Option<RecordId>>,
    repeats: u32,
    /// Whether the current page repeated the one before it and is requested a second time.
    asks_again: bool,
}

impl<'a> PageWalk<'a> {
    fn new(provider: &'a ChatbaseV1, request: &ReadRequest) -> Self {
        let scope = request.scope();
        let saved = open(request.cursor.as_ref(), &scope);
        let call = provider.window_call(request);
        Self {
            provider,
            call,
            scope,
            // Rows that were deleted in the meantime have moved the others forward: one page of overlap catches them.
            page: saved.map_or(1, |page| page.saturating_sub(1).max(1)),
            seen: saved.is_some(),
            ahead: VecDeque::new(),
            failed: None,
            head: None,
            alone: FIRST_SEQUENTIAL,
            before: Vec::new(),
            repeats: 0,
            asks_again: false,
        }
    }

    async fn next(mut self) -> Result<(Batch, Option<Self>)> {
        let mut metadata = PageMetadata::default();
        let page = self.current(&mut metadata).await?;
        if page.elements.is_empty() {
            if !self.seen {
                metadata.notes.push(
                    "the vendor has no conversation that matches; API v1 gives the same answer for an unknown agent: check `agent_id`"
                        .to_owned(),
                );
            }
            return Ok((Batch { checkpoint: Checkpoint::End, page: metadata, ..Batch::default() }, None));
        }
        self.seen = true;
        let request_id = page.request_id().map(str::to_owned);
        let found: Vec<_> = page
            .elements
            .into_iter()
            .map(|bytes| Record::with_top_level_id(Stream::Conversations, Surface::Export, bytes))
            .collect();
        let ids: Vec<_> = found.iter().map(|raw| raw.id.clone()).collect();
        if self.page == 1 {
            self.head = found.first().map(|raw| raw.bytes.clone());
        }
        self.refuse_repetition(&ids, request_id.as_deref())?;
        let is_new = |raw: &Record| raw.id.is_none() || !self.before.contains(&raw.id);
        let records = found.into_iter().filter(is_new).collect();
        self.before = ids;
        // A repeated page was either moved by a growing list or sent by mistake, in which case the real page would be
        // lost. A second request shows which.
        self.asks_again = self.repeats > 0 && !self.asks_again;
        if self.asks_again {
            self.ahead.clear();
            self.failed = None;
        }
        self.page += u64::from(!self.asks_again);
        let checkpoint = Checkpoint::At(seal(&self.scope, self.page)?);
        Ok((Batch { records, checkpoint, page: metadata, ..Batch::default() }, Some(self)))
    }

    /// Returns the current page, and requests several at once if the list is probably long.
    async fn current(&mut self, metadata: &mut PageMetadata) -> Result<Page> {
        if let Some(page) = self.ahead.pop_front() {
            return Ok(page);
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let is_alone = self.alone > 0 || self.repeats > 0 || self.before.len() < PAGE_SIZE as usize;
        self.alone = self.alone.saturating_sub(1);
        metadata.pages += 1;
        if is_alone {
            return self.read(self.page).await;
        }
        let head = match self.head.take() {
            Some(head) => head,
            None => self.read_head(metadata).await?,
        };
        let group = join_all((self.page..self.page + CONCURRENT_PAGES).map(|page| self.read(page))).await;
        metadata.pages += CONCURRENT_PAGES - 1;
        let found = self.read_head(metadata).await;
        for page in group {
            match page {
                Ok(page) => self.ahead.push_back(page),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        match found {
            Ok(found) if found == head => self.head = Some(head),
            Ok(_) => {
                self.alone = CONCURRENT_PAGES;
                self.ahead.truncate(1);
                self.failed = self.failed.take().filter(|_| self.ahead.is_empty());
            }
            Err(error) => {
                self.ahead.truncate(1);
                self.failed = self.failed.take().or(Some(error));
            }
        }
        // Each page was read after the last one that was returned, so the first of them is valid even if rows have
        // moved.
        match (self.ahead.pop_front(), self.failed.take()) {
            (Some(page), failed) => {
                self.failed = failed;
                Ok(page)
            }
            (None, Some(error)) => Err(error),
            (None, None) => self.read(self.page).await,
        }
    }

    async fn read(&self, number: u64) -> Result<Page> {
        let call = self.call.clone().query("size", PAGE_SIZE).query("page", number);
        let page = self.provider.client.page(&call, "data").await?;
        refuse_no_array(&self.provider.client, &page, &call)?;
        Ok(page)
    }

    /// Returns the first conversation of the list.
    async fn read_head(&self, metadata: &mut PageMetadata) -> Result<Bytes> {
        metadata.pages += 1;
        let call = self.call.clone().query("size", 1).query("page", 1);
        let page = self.provider.client.page(&call, "data").await?;
        refuse_no_array(&self.provider.client, &page, &call)?;
        Ok(page.elements.into_iter().next().unwrap_or_default())
    }

    /// Fails if the server ignores `page` and would send the first page forever.
    fn refuse_repetition(&mut self, ids: &[Option<RecordId>], request_id: Option<&str>) -> Result<()> {
        self.repeats = if self.before == ids { self.repeats + 1 } else { 0 };
        if self.repeats < MAX_REPEATS {
            return Ok(());
        }
        let message = format!("the vendor sends the same page again and again, up to page {}", self.page);
        let error = self.provider.client.error(&self.call, ErrorKind::Malformed, message, request_id);
        Err(error.hint("this host may not support `page`; report it to the vendor"))
    }
}

fn refuse_no_array(client: &ApiClient, page: &Page, call: &Call) -> Result<()> {
    let envelope: wire::Envelope = page.envelope(client, call)?;
    if envelope.data.is_some() {
        return Ok(());
    }
    let message = "the response has no array at `data`";
    Err(client.error(call, ErrorKind::Malformed, message, page.request_id()))
}

/// Returns the days to request. The vendor documents neither the time zone of its days nor whether the last day is
/// included, so a day is added on both sides and the caller drops what lies outside the window.
fn days(window: Window) -> (Option<String>, Option<String>) {
    let day = |bound: Option<chatark_core::Timestamp>, shift| Some(bound?.shifted(shift)?.day());
    (day(window.since, -DAY_SECONDS), day(window.until, DAY_SECONDS))
}

/// Returns the vendor's names of a channel, for a filter.
///
/// For websites and playgrounds, the documents list only some of the names that conversations have. A filter would
/// leave the others out, so the caller filters instead.
fn sources(channel: Channel) -> Option<String> {
    let is_listed_whole = !matches!(channel, Channel::Website | Channel::Playground);
    is_listed_whole.then(|| channel.vendor_words(wire::SOURCES)).flatten()
}

fn seal(scope: &str, page: u64) -> Result<Cursor> {
    Cursor::seal(DESCRIPTOR.name, CURSOR_VERSION, scope.to_owned(), &wire::Place { page })
}

fn open(cursor: Option<&Cursor>, scope: &str) -> Option<u64> {
    let place: wire::Place = cursor?.open(DESCRIPTOR.name, CURSOR_VERSION, scope)?;
    Some(place.page)
}

#[cfg(test)]
mod tests {
    use chatark_core::Timestamp;

    use super::*;

    #[test]
    fn the_estimated_requests_match_a_count_by_hand() {
        // Four pages, then eight at once and a look at the head each time.
        for (count, expect) in
            [(0, 1), (99, 2), (300, 4), (400, 13), (730, 13), (1_150, 14), (1_250, 22), (10_000, 121)]
        {
            assert_eq!(requests(count), expect, "{count}");
        }
    }

    #[test]
    fn a_window_is_widened_by_a_day_on_both_sides() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        // 2024-12-01T10:30:00Z to 2024-12-02T00:00:00Z.
        let window = Window { since: at(1_733_049_000), until: at(1_733_097_600) };
        assert_eq!(days(window), (Some("2024-11-30".to_owned()), Some("2024-12-03".to_owned())));
        assert_eq!(days(Window::default()), (None, None));
    }

    #[test]
    fn a_channel_is_filtered_by_the_vendors_names_if_all_are_known() {
        assert_eq!(sources(Channel::WhatsApp).as_deref(), Some("WhatsApp"));
        // `Iframe` and others are websites too, and `Qna preview` is a playground.
        for channel in [Channel::Website, Channel::Playground, Channel::Phone] {
            assert_eq!(sources(channel), None, "{channel:?}");
        }
    }
}
