//! Reads Chatbase v2: the export of a whole agent, single conversations, and one user's conversations.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::{
    AgentInfo, Batch, BatchStream, ChangeDetection, Checkpoint, ConversationId, Descriptor, Error, ErrorKind,
    Estimate, Features, PageMetadata, Provider, ReadRequest, Record, RecordId, Result, ResumeToken,
    Selection, SettingProblem, Settings, Stream, StreamDescriptor, Surface, Timestamp, UnseenRecord, Window,
};
use chatark_http::{ApiClient, Call, Connector, CursorGuard, Page};
use futures_util::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agent;
use crate::config::{Config, NAME, RATE_LIMIT, SETTINGS};
use crate::dialect::ChatbaseV2Dialect;
use crate::export::{
    DATES, Element, Export, ExportPage, ExtraRecords, MARGIN_SECONDS, Query, SUMMARIES, absent_note,
    envelope, whole_records,
};
use crate::page_list::STALE_CURSOR_NOTE;
use crate::segment;
use crate::sweep::ExportWalk;
use crate::wire;

/// What this provider is and can do.
pub static DESCRIPTOR: Descriptor = Descriptor {
    name: NAME,
    title: "Chatbase API v2",
    settings: SETTINGS,
    streams: &[StreamDescriptor {
        stream: Stream::Conversations,
        parent: None,
        reports_total: true,
        changes: ChangeDetection::Summaries,
    }],
    selects_user: true,
    selects_conversations: true,
    full_sweep_days: 30,
    dates_are_zoneless: false,
};

/// The most entries on a page of the lists, by the vendor's specification.
pub(crate) const LIST_LIMIT: u32 = 100;
/// The version of the resume tokens that this file seals.
const TOKEN_VERSION: u32 = 1;
const USER_LIST: &str = "list the user's conversations";
const MESSAGES: &str = "read the messages";
/// The most conversations that are looked for after a sweep did not list them. The others count as existing until two
/// more sweeps do not list them.
const MAX_LOOKED_FOR: usize = 500;
/// The most bytes of extra records that are kept while conversations are looked for.
const MAX_BYTES_KEPT: usize = 64 << 20;
/// The most conversations with messages that cannot be read that are named in notes.
const MAX_NAMED: u64 = 5;

/// One Chatbase agent, read through API v2.
#[derive(Debug)]
pub struct ChatbaseV2 {
    pub(crate) client: ApiClient,
    pub(crate) agent_id: String,
    extra_records: ExtraRecords,
}

/// Creates the provider of one source.
pub fn connect(settings: &Settings, connector: Connector) -> Result<Box<dyn Provider>> {
    Ok(Box::new(open_account(settings, connector)?))
}

pub(crate) fn open_account(settings: &Settings, connector: Connector) -> Result<ChatbaseV2> {
    let config = Config::read(settings)
        .map_err(|_| Error::new(ErrorKind::Usage, "connect", "the settings are not valid"))?;
    let client = connector.client(config.base, ChatbaseV2Dialect)?;
    Ok(ChatbaseV2 { client, agent_id: config.agent_id, extra_records: ExtraRecords::default() })
}

/// Validates settings beyond their types.
pub fn validate(settings: &Settings) -> Vec<SettingProblem> {
    Config::read(settings).err().unwrap_or_default()
}

#[async_trait]
impl Provider for ChatbaseV2 {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn check(&self) -> Result<AgentInfo> {
        agent::check(self.export()).await
    }

    async fn estimate(&self, request: &ReadRequest) -> Result<Estimate> {
        match &request.selection {
            Selection::All => self.estimate_all(request).await,
            Selection::User(user) => self.estimate_user(user).await,
            Selection::Conversations(ids) => {
                let number = Some(ids.len() as u64);
                let rate_limit = Some(RATE_LIMIT);
                Ok(Estimate { conversations: number, requests: number, rate_limit, ..Estimate::default() })
            }
        }
    }

    /// Requests each conversation by its id, or by the second in which it began: a list can skip rows while it is read.
    async fn find_unseen(&self, unseen: &[UnseenRecord]) -> Result<Batch> {
        let (asked, others) = unseen.split_at(unseen.len().min(MAX_LOOKED_FOR));
        let looked_for = self.look_for(asked).await;
        let mut found = Batch { records: self.extra_records.take(), ..Batch::default() };
        let unknown = match looked_for {
            Err(error) if found.records.is_empty() => return Err(error),
            // What has come is kept; the others count as unchanged.
            Err(error) => {
                found
                    .page
                    .notes
                    .push(format!("not all that the vendor no longer lists could be looked for: {error}"));
                unseen
            }
            Ok(()) => others,
        };
        found.unchanged = unknown.iter().map(|unseen| unseen.id.clone()).collect();
        Ok(found)
    }

    fn read(&self, request: ReadRequest) -> BatchStream<'_> {
        match request.selection.clone() {
            Selection::All => {
                Box::pin(stream::try_unfold(ExportWalk::new(self.export(), request), |mut sweep| async {
                    let batch = sweep.next().await?;
                    Ok(batch.map(|batch| (batch, sweep)))
                }))
            }
            Selection::User(user) => {
                Box::pin(stream::try_unfold(Some(UserWalk::new(self, &user, &request)), |walk| async {
                    let Some(walk) = walk else { return Ok(None) };
                    walk.next().await.map(Some)
                }))
            }
            Selection::Conversations(ids) => {
                Box::pin(stream::try_unfold(VecDeque::from(ids), move |mut ids| async move {
                    let Some(id) = ids.pop_front() else {
                        return Ok(None);
                    };
                    let batch = self.single(&id, ids.is_empty()).await?;
                    Ok(Some((batch, ids)))
                }))
            }
        }
    }
}

impl ChatbaseV2 {
    /// Looks for conversations, and keeps what comes as extra records.
    async fn look_for(&self, unseen: &[UnseenRecord]) -> Result<()> {
        let mut left: Vec<_> = unseen.iter().collect();
        while let Some(unseen) = left.pop() {
            let Some(records) = self.export().find_by_id(&unseen.id).await? else {
                left.push(unseen);
                break;
            };
            self.extra_records.add(records);
        }
        self.find_by_date(left).await
    }

    /// Looks for conversations among those that began in the same second, where ids are ignored. Seconds so close that
    /// their windows overlap are read as one window. Where dates are ignored or refused too, one walk through the list
    /// looks for all that are left.
    async fn find_by_date(&self, mut left: Vec<&UnseenRecord>) -> Result<()> {
        left.sort_by_key(|unseen| unseen.created_at);
        let mut room = MAX_BYTES_KEPT;
        while let Some(unseen) = left.pop() {
            let Some(until) = unseen.created_at else { continue };
            let (mut since, mut wanted) = (until, vec![unseen]);
            let is_in_window = |other: &UnseenRecord, since: Timestamp| {
                other.created_at >= since.shifted(-2 * MARGIN_SECONDS)
            };
            while let Some(other) = left.pop_if(|other| is_in_window(other, since)) {
                since = other.created_at.unwrap_or(since);
                wanted.push(other);
            }
            let window = Window { since: Some(since), until: Some(until) };
            let request = ReadRequest { window, ..ReadRequest::default() };
            let query = Query::of(&request, &Features::default());
            match self.walk_for(&query, &mut wanted, &mut left, &mut room).await {
                Err(error) if error.kind() == ErrorKind::Refused => {
                    wanted.append(&mut left);
                    let everything = Query { since: None, until: None, ..query };
                    self.walk_for(&everything, &mut wanted, &mut left, &mut room).await?;
                }
                walked => walked?,
            }
        }
        Ok(())
    }

    /// Reads a list until everything wanted has come. Other conversations are kept too, as long as there is room: the
    /// sweep may have missed them as well.
    async fn walk_for<'u>(
        &self,
        query: &Query,
        wanted: &mut Vec<&'u UnseenRecord>,
        left: &mut Vec<&'u UnseenRecord>,
        room: &mut usize,
    ) -> Result<()> {
        let (mut cursor, mut guard) = (None, CursorGuard::default());
        loop {
            let page = self.export().page(query, cursor.as_deref(), &mut guard, None).await?;
            let ExportPage { elements, next, bytes, .. } = page;
            if elements.iter().any(|one| query.is_contradicted(one.summary.created_at)) {
                wanted.append(left);
            }
            let is_wanted =
                |record: &Record| wanted.iter().any(|unseen| record.id.as_ref() == Some(&unseen.id));
            let is_kept = |record: &Record| *room > 0 || is_wanted(record);
            let kept: Vec<_> = whole_records(elements).into_iter().filter(is_kept).collect();
            let has_come = |unseen: &UnseenRecord| kept.iter().any(|one| one.id.as_ref() == Some(&unseen.id));
            wanted.retain(|unseen| !has_come(unseen));
            *room = room.saturating_sub(bytes);
            self.extra_records.add(kept);
            cursor = next?;
            if cursor.is_none() || wanted.is_empty() {
                return Ok(());
            }
        }
    }

    pub(crate) fn export(&self) -> Export<'_> {
        Export {
            client: &self.client,
            agent_id: &self.agent_id,
            extra_records: &self.extra_records,
            attempts: None,
        }
    }

    fn user_call(&self, user: &str) -> Call {
        Call::new(USER_LIST, ["agents", &self.agent_id, "users", user, "conversations"])
    }

    /// Requests the number of conversations, with the parameters that the deployment accepts.
    async fn estimate_all(&self, request: &ReadRequest) -> Result<Estimate> {
        let mut features = request.features.clone();
        let mut query = Query::of(request, &features).counting(&features);
        let page =
            self.export().first_page(&mut query, &mut features, &mut CursorGuard::default(), None).await?;
        let requests = page.total.map(segment::requests);
        let mut estimate = Estimate {
            conversations: page.total,
            requests,
            requests_for_changes: requests.filter(|_| !features.lacks(SUMMARIES)),
            rate_limit: Some(RATE_LIMIT),
            requests_sent: 1,
            ..Estimate::default()
        };
        let is_outside = |element: &Element| query.is_contradicted(element.summary.created_at);
        let ignores_window = features.lacks(DATES) || page.elements.iter().any(is_outside);
        if request.window != Window::default() && ignores_window {
            let note = "this deployment ignores the window: it counts and sends everything";
            estimate.notes.push(note.to_owned());
        }
        if page.total == Some(0) {
            estimate.requests_sent += 1;
            estimate.notes.push(agent::explain_emptiness(self.export()).await?);
        }
        Ok(estimate)
    }

    async fn estimate_user(&self, user: &str) -> Result<Estimate> {
        let call = self.user_call(user).query("limit", 1);
        let page = self.client.page(&call, "data").await?;
        let total = envelope(&self.client, &page, &call)?.total;
        let requests = total.map(|total| total.div_ceil(LIST_LIMIT.into()).max(1));
        let mut estimate = Estimate {
            conversations: total,
            requests,
            rate_limit: Some(RATE_LIMIT),
            requests_sent: 1,
            ..Estimate::default()
        };
        if total == Some(0) {
            estimate.requests_sent += 1;
            estimate.notes.push(agent::explain_emptiness(self.export()).await?);
        }
        Ok(estimate)
    }

    /// Fetches one conversation of any channel by its id.
    async fn single(&self, id: &ConversationId, last: bool) -> Result<Batch> {
        let Some(records) = self.export().fetch_by_id(&RecordId::from(id)).await? else {
            let call = Call::new("export conversations", []);
            let message = "this deployment ignores `conversationId` and answers with other conversations";
            let error = self.client.error(&call, ErrorKind::Refused, message, None);
            return Err(error.hint("pull the whole source instead of single conversations"));
        };
        let mut metadata = PageMetadata { pages: 1, ..PageMetadata::default() };
        if records.is_empty() {
            metadata.notes.push(absent_note(&RecordId::from(id)));
        }
        let checkpoint = if last { Checkpoint::End } else { Checkpoint::None };
        Ok(Batch { records, checkpoint, page: metadata, ..Batch::default() })
    }

    /// Decodes the envelope of a page, and rejects a response without an array.
    pub(crate) fn envelope(&self, page: &Page, call: &Call) -> Result<wire::Pagination> {
        envelope(&self.client, page, call)
    }

    /// Returns the cursor of the next page, or `None` at the end.
    pub(crate) fn next_cursor(
        &self,
        page: &Page,
        call: &Call,
        pagination: &wire::Pagination,
        guard: &mut CursorGuard,
    ) -> Result<Option<String>> {
        let wire::Pagination { has_more, cursor, .. } = pagination;
        self.client.next_cursor(call, *has_more, cursor.as_deref(), guard, page.request_id())
    }
}

/// A walk through one user's conversations, by last activity, with the messages of each.
struct UserWalk<'a> {
    provider: &'a ChatbaseV2,
    call: Call,
    scope: String,
    cursor: Option<String>,
    resumed: bool,
    /// Conversations of the current page whose messages have not been read.
    waiting: VecDeque<Bytes>,
    /// The checkpoint after the current page; `None` before the first page.
    after_page: Option<Checkpoint>,
    guard: CursorGuard,
    /// How many conversations had messages that could not be read separately.
    unreadable: u64,
}

impl<'a> UserWalk<'a> {
    fn new(provider: &'a ChatbaseV2, user: &str, request: &ReadRequest) -> Self {
        let scope = request.scope();
        let cursor =
            open(request.resume_from.as_ref(), &scope).map(|position: wire::CursorPosition| position.cursor);
        let call = provider.user_call(user).query("limit", LIST_LIMIT);
        let (resumed, guard) = (cursor.is_some(), CursorGuard::default());
        let waiting = VecDeque::new();
        Self { provider, call, scope, cursor, resumed, waiting, after_page: None, guard, unreadable: 0 }
    }

    async fn next(mut self) -> Result<(Batch, Option<Self>)> {
        let mut metadata = PageMetadata::default();
        if self.waiting.is_empty() {
            self.read_page(&mut metadata).await?;
        }
        let mut records = Vec::new();
        if let Some(listed) = self.waiting.pop_front() {
            records.extend(self.with_messages(&listed, &mut metadata).await?);
        }
        if !self.waiting.is_empty() {
            return Ok((Batch { records, page: metadata, ..Batch::default() }, Some(self)));
        }
        let checkpoint = self.after_page.take().unwrap_or(Checkpoint::End);
        if checkpoint == Checkpoint::End && self.unreadable > MAX_NAMED {
            let more = self.unreadable - MAX_NAMED;
            metadata.notes.push(format!("the same is true of {more} more conversations of this user"));
        }
        let next = (checkpoint != Checkpoint::End).then_some(self);
        Ok((Batch { records, checkpoint, page: metadata, ..Batch::default() }, next))
    }

    async fn read_page(&mut self, metadata: &mut PageMetadata) -> Result<()> {
        let page = match self.page().await {
            Err(error) if self.resumed && error.kind() == ErrorKind::Refused => {
                metadata.restarted = true;
                metadata.notes.push(STALE_CURSOR_NOTE.to_owned());
                self.cursor = None;
                self.page().await?
            }
            other => other?,
        };
        self.resumed = false;
        let pagination = self.provider.envelope(&page, &self.call)?;
        let is_first = self.cursor.is_none();
        self.cursor = self.provider.next_cursor(&page, &self.call, &pagination, &mut self.guard)?;
        metadata.pages += 1;
        metadata.total = pagination.total;
        metadata.empty_pages = u64::from(page.elements.is_empty() && self.cursor.is_some());
        if is_first && self.cursor.is_none() && page.elements.is_empty() {
            self.provider.check().await?;
            metadata.notes.push(
                "the vendor has no conversation of this user; it lists only those created through its API"
                    .to_owned(),
            );
        }
        self.after_page = Some(match &self.cursor {
            Some(cursor) => {
                let position = wire::CursorPosition { cursor: cursor.clone(), of_summaries: false };
                Checkpoint::At(seal(&self.scope, &position)?)
            }
            None => Checkpoint::End,
        });
        self.waiting = page.elements.into();
        Ok(())
    }

    async fn page(&self) -> Result<Page> {
        let call = self.call.clone().optional_query("cursor", self.cursor.as_deref());
        self.provider.client.page(&call, "data").await
    }

    /// Returns the records of one conversation: its own and its messages; or what the export has under its id, if the
    /// messages cannot be read separately.
    ///
    /// Without messages, its own record would say that an archived conversation has lost its messages.
    async fn with_messages(&mut self, listed: &Bytes, metadata: &mut PageMetadata) -> Result<Vec<Record>> {
        let own = Record::with_top_level_id(Stream::Conversations, Surface::User, listed.clone());
        let Some(id) = own.id.clone() else {
            metadata.notes.push(
                "a conversation of this user has no id: it is archived without its messages".to_owned(),
            );
            return Ok(vec![own]);
        };
        let error = match self.messages(&id, metadata).await {
            Ok(messages) => return Ok(std::iter::once(own).chain(messages).collect()),
            Err(error) if concerns_one_conversation(&error) => error,
            Err(error) => return Err(error),
        };
        let exported = match self.provider.export().fetch_by_id(&id).await {
            Ok(exported) => exported.unwrap_or_default(),
            // The key may read messages and not the export.
            Err(error) if concerns_one_conversation(&error) || error.kind() == ErrorKind::Forbidden => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        metadata.pages += 1;
        self.unreadable += 1;
        if self.unreadable <= MAX_NAMED {
            let outcome = if exported.is_empty() {
                "the export does not show it either, so it is left out"
            } else {
                "it was read through the export"
            };
            let (id, reason) = (id.masked(), error.message());
            metadata.notes.push(format!(
                "the messages of conversation {id} cannot be read by themselves ({reason}): {outcome}"
            ));
        }
        Ok(exported)
    }

    /// Reads the messages of one conversation, each as a record, oldest first. The first page has the newest messages,
    /// and each page is in ascending order.
    async fn messages(&self, id: &RecordId, metadata: &mut PageMetadata) -> Result<Vec<Record>> {
        let provider = self.provider;
        let base =
            Call::new(MESSAGES, ["agents", &provider.agent_id, "conversations", id.as_str(), "messages"])
                .query("limit", LIST_LIMIT);
        let (mut pages, mut cursor, mut guard) = (Vec::new(), None, CursorGuard::default());
        loop {
            let call = base.clone().optional_query("cursor", cursor.as_deref());
            let page = provider.client.page(&call, "data").await?;
            let pagination = provider.envelope(&page, &call)?;
            cursor = provider.next_cursor(&page, &call, &pagination, &mut guard)?;
            metadata.pages += 1;
            pages.push(page.elements);
            if cursor.is_none() {
                break;
            }
        }
        let message = |bytes| Record::part(Stream::Messages, id.clone(), Surface::User, bytes);
        Ok(pages.into_iter().rev().flatten().map(message).collect())
    }
}

/// Returns whether an error concerns one conversation only: its id cannot be part of a URL, the conversation is gone,
/// or the vendor refuses it.
fn concerns_one_conversation(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Usage | ErrorKind::NotFound | ErrorKind::Refused)
}

pub(crate) fn seal(scope: &str, position: &impl Serialize) -> Result<ResumeToken> {
    ResumeToken::seal(DESCRIPTOR.name, TOKEN_VERSION, scope.to_owned(), position)
}

pub(crate) fn open<T: DeserializeOwned>(token: Option<&ResumeToken>, scope: &str) -> Option<T> {
    token?.open(DESCRIPTOR.name, TOKEN_VERSION, scope)
}
