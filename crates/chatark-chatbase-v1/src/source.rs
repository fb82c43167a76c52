//! Reads Chatbase v1 page by page: there is no total and no cursor, and the end is an empty page.

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::{
    AgentInfo, Batch, BatchStream, Channel, Checkpoint, Conversation, ConversationId, Cursor, Descriptor,
    Error, ErrorKind, Estimate, Facts, Increments, Issue, Provider, PullRequest, RawConversation, Result,
    Selection, SettingProblem, Settings, Surface, Window,
};
use chatark_http::{ApiClient, Call, Connector, Page};
use futures_util::stream;

use crate::config::{Config, SETTINGS};
use crate::dialect::ChatbaseV1Dialect;
use crate::{map, wire};

/// What this provider is and can do.
pub static DESCRIPTOR: Descriptor = Descriptor {
    name: "chatbase-v1",
    title: "Chatbase API v1",
    settings: SETTINGS,
    tells_total: false,
    selects_user: false,
    selects_conversations: false,
    increments: Increments::LookBack,
    full_sweep_days: 7,
};

/// The most conversations on a page, by the vendor's documents.
const PAGE_SIZE: u32 = 100;
/// The version of the cursors that this crate seals.
const CURSOR_VERSION: u32 = 1;
/// How often a page may repeat the one before it: a list that grows by exactly one page does so once.
const MOST_REPEATS: u32 = 3;
const DAY_SECONDS: i64 = 86_400;
const GET_CONVERSATIONS: &str = "get conversations";

/// One Chatbase agent, read through API v1.
#[derive(Debug)]
pub struct ChatbaseV1 {
    client: ApiClient,
    agent_id: String,
}

/// Creates the provider of one source.
pub fn connect(settings: &Settings, connector: Connector) -> Result<Box<dyn Provider>> {
    let config = Config::read(settings)
        .map_err(|_| Error::new(ErrorKind::Usage, "connect", "the settings are not valid"))?;
    let client = connector.client(config.base, ChatbaseV1Dialect)?;
    Ok(Box::new(ChatbaseV1 { client, agent_id: config.agent_id }))
}

/// Returns what is wrong with settings beyond their types.
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
        let (page, clock_ahead_seconds) = self.client.json_dated::<wire::Envelope>(&call).await?;
        let confirmed = page.data.is_some_and(|data| !data.is_empty());
        Ok(AgentInfo { name: None, confirmed, clock_ahead_seconds })
    }

    async fn estimate(&self, request: &PullRequest) -> Result<Estimate> {
        let mut search = Search { provider: self, call: self.window_call(request), asked: 0, first: None };
        let mut estimate = Estimate::default();
        match search.count().await? {
            // The empty page at the end is asked for too.
            Some(count) => {
                estimate.conversations = Some(count);
                estimate.requests = Some(count.div_ceil(PAGE_SIZE.into()) + 1);
            }
            None => estimate.notes.push(
                "this host sends the same page whatever is asked for, so nothing can be counted".to_owned(),
            ),
        }
        Ok(Estimate { asked: search.asked, ..estimate })
    }

    fn pull(&self, request: PullRequest) -> BatchStream<'_> {
        if request.selection != Selection::All {
            let error = Error::new(ErrorKind::Usage, GET_CONVERSATIONS, "API v1 gives whole agents alone");
            return Box::pin(stream::once(async { Err(error) }));
        }
        Box::pin(stream::try_unfold(Some(PageWalk::new(self, &request)), |walk| async {
            let Some(walk) = walk else { return Ok(None) };
            walk.next().await.map(Some)
        }))
    }

    fn normalize(&self, raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
        map::normalize(raw)
    }
}

impl ChatbaseV1 {
    fn call(&self) -> Call {
        Call::new(GET_CONVERSATIONS, ["get-conversations"]).query("chatbotId", &self.agent_id)
    }

    fn window_call(&self, request: &PullRequest) -> Call {
        let (since, until) = days(request.window);
        self.call()
            .maybe("startDate", since)
            .maybe("endDate", until)
            .maybe("filteredSources", request.channel.and_then(sources))
    }
}

/// A search for the last conversation: the vendor gives no count, but a page of one conversation for every number.
struct Search<'a> {
    provider: &'a ChatbaseV1,
    call: Call,
    asked: u64,
    first: Option<Bytes>,
}

impl Search<'_> {
    /// Returns how many conversations there are, or `None` where the host ignores the number of the page.
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

    /// Returns the conversation at a place, counted from 1.
    async fn at(&mut self, place: u64) -> Result<Option<Bytes>> {
        self.asked += 1;
        let call = self.call.clone().query("size", 1).query("page", place);
        let page = self.provider.client.page(&call, "data").await?;
        refuse_no_array(&self.provider.client, &page, &call)?;
        Ok(page.elements.into_iter().next())
    }
}

/// A walk from page 1 to the first empty one.
struct PageWalk<'a> {
    provider: &'a ChatbaseV1,
    call: Call,
    scope: String,
    page: u64,
    seen: bool,
    /// The ids of the page before, by which rows that moved on to the next page are recognised.
    before: Vec<Option<ConversationId>>,
    repeats: u32,
    /// Whether the current page repeated the one before it and is asked for a second time.
    asks_again: bool,
}

impl<'a> PageWalk<'a> {
    fn new(provider: &'a ChatbaseV1, request: &PullRequest) -> Self {
        let scope = request.scope();
        let saved = open(request.cursor.as_ref(), &scope);
        let call = provider.window_call(request).query("size", PAGE_SIZE);
        // Rows that were deleted meanwhile have moved the others forward: one page of overlap catches them.
        let page = saved.map_or(1, |page| page.saturating_sub(1).max(1));
        let (seen, before) = (saved.is_some(), Vec::new());
        Self { provider, call, scope, page, seen, before, repeats: 0, asks_again: false }
    }

    async fn next(mut self) -> Result<(Batch, Option<Self>)> {
        let call = self.call.clone().query("page", self.page);
        let page = self.provider.client.page(&call, "data").await?;
        refuse_no_array(&self.provider.client, &page, &call)?;
        let mut facts = Facts { pages: 1, ..Facts::default() };
        if page.elements.is_empty() {
            if !self.seen {
                facts.notes.push(
                    "the vendor has no conversation that matches; API v1 says the same of an agent that does not exist"
                        .to_owned(),
                );
            }
            return Ok((Batch { checkpoint: Checkpoint::End, facts, ..Batch::default() }, None));
        }
        self.seen = true;
        let request_id = page.request_id().map(str::to_owned);
        let found: Vec<_> = page
            .elements
            .into_iter()
            .map(|bytes| RawConversation::with_top_level_id(bytes, Surface::Export))
            .collect();
        let ids: Vec<_> = found.iter().map(|raw| raw.id.clone()).collect();
        self.refuse_circles(&ids, &call, request_id.as_deref())?;
        let is_new = |raw: &RawConversation| raw.id.is_none() || !self.before.contains(&raw.id);
        let conversations = found.into_iter().filter(is_new).collect();
        self.before = ids;
        // A page that repeats the one before it has moved on with a growing list, or was sent by mistake, and then
        // the real one would be lost: asking once more tells the two apart.
        self.asks_again = self.repeats > 0 && !self.asks_again;
        self.page += u64::from(!self.asks_again);
        let checkpoint = Checkpoint::At(seal(&self.scope, self.page)?);
        Ok((Batch { conversations, checkpoint, facts, ..Batch::default() }, Some(self)))
    }

    /// A server that ignores `page` would send the first page for ever.
    fn refuse_circles(
        &mut self,
        ids: &[Option<ConversationId>],
        call: &Call,
        request_id: Option<&str>,
    ) -> Result<()> {
        self.repeats = if self.before == ids { self.repeats + 1 } else { 0 };
        if self.repeats < MOST_REPEATS {
            return Ok(());
        }
        let message = format!("the vendor sends the same page again and again, up to page {}", self.page);
        let error = self.provider.client.fault(call, ErrorKind::Malformed, message, request_id);
        Err(error.hint("this host may not support `page`; report it to the vendor"))
    }
}

fn refuse_no_array(client: &ApiClient, page: &Page, call: &Call) -> Result<()> {
    let envelope: wire::Envelope = page.envelope(client, call)?;
    if envelope.data.is_some() {
        return Ok(());
    }
    let message = "the answer has no array at `data`";
    Err(client.fault(call, ErrorKind::Malformed, message, page.request_id()))
}

/// Returns the days to ask for. The vendor does not say in which zone its days begin nor whether the last one
/// counts, so a day is added on both sides and the caller drops what lies outside the window.
fn days(window: Window) -> (Option<String>, Option<String>) {
    let day = |bound: Option<chatark_core::Timestamp>, shift| Some(bound?.shifted(shift)?.day());
    (day(window.since, -DAY_SECONDS), day(window.until, DAY_SECONDS))
}

/// Returns the vendor's names of a channel, to be asked for.
///
/// Of websites and playgrounds the documents list only some of the names that conversations have, so asking by them
/// would leave the others out: the caller picks those out of everything.
fn sources(channel: Channel) -> Option<String> {
    let is_listed_whole = !matches!(channel, Channel::Website | Channel::Playground);
    is_listed_whole.then(|| channel.words_among(wire::SOURCES)).flatten()
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
    fn days_are_padded_and_widened() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        // 2024-12-01T10:30:00Z to 2024-12-02T00:00:00Z.
        let window = Window { since: at(1_733_049_000), until: at(1_733_097_600) };
        assert_eq!(days(window), (Some("2024-11-30".to_owned()), Some("2024-12-03".to_owned())));
        assert_eq!(days(Window::default()), (None, None));
    }

    #[test]
    fn a_channel_is_asked_for_by_the_vendor_s_names_where_they_are_all_known() {
        assert_eq!(sources(Channel::WhatsApp).as_deref(), Some("WhatsApp"));
        // `Iframe` and others are websites too, and `Qna preview` is a playground.
        for channel in [Channel::Website, Channel::Playground, Channel::Phone] {
            assert_eq!(sources(channel), None, "{channel:?}");
        }
    }
}
