//! Reads Convocore: the export of a whole agent, and single conversations by their ids.

use std::collections::{HashSet, VecDeque};
use std::mem;

use async_trait::async_trait;
use chatark_core::{
    AgentInfo, Batch, BatchStream, ChangeDetection, Checkpoint, ConversationId, Cursor, Descriptor, Error,
    ErrorKind, Estimate, PageMetadata, Provider, RateLimit, ReadRequest, Record, RecordId, Result, Selection,
    SettingProblem, Settings, Stream, StreamDescriptor, Timestamp, Window,
};
use chatark_http::{ApiClient, ArrayEvent, Call, Connector, CursorGuard};
use futures_util::stream;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::{Config, SETTINGS};
use crate::dialect::{ConvocoreV3Dialect, embedded_error};
use crate::export::{ExportEvent, ExportReader, ExportResponse, record};
use crate::wire;
use crate::wire::Answer;

/// What this provider is and can do.
pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "convocore-v3",
    title: "Convocore API v3",
    settings: SETTINGS,
    streams: &[StreamDescriptor {
        stream: Stream::Conversations,
        parent: None,
        reports_total: false,
        changes: ChangeDetection::LookBack,
    }],
    selects_user: false,
    selects_conversations: true,
    full_sweep_days: 30,
    dates_are_zoneless: true,
};

/// The most conversations of one page on which all documents agree.
const PAGE_LIMIT: u32 = 50;
/// How many conversations are requested by id at once: one page, in case its limit applies.
const SELECTION_LIMIT: usize = 50;
/// The version of the cursors that this crate seals.
const CURSOR_VERSION: u32 = 1;
/// The first second of the year 2100.
const NO_CONVERSATION_YET: i64 = 4_102_444_800;
/// The rate limit of a paying workspace, by its documents of August 2026.
const RATE_LIMIT: RateLimit = RateLimit { requests: 1_500, seconds: 3_600 };
const UNCOUNTED: &str =
    "the vendor gives no count, and each conversation that is read counts against the quota by its sessions";
const EXPORT: &str = "export conversations";
const SINGLE: &str = "export one conversation";
const AGENT: &str = "read the agent";

/// One Convocore agent, read through API v3.
#[derive(Debug)]
pub struct ConvocoreV3 {
    pub(crate) client: ApiClient,
    pub(crate) agent_id: String,
}

/// Creates the provider of one source.
pub fn connect(settings: &Settings, connector: Connector) -> Result<Box<dyn Provider>> {
    Ok(Box::new(open_account(settings, connector)?))
}

pub(crate) fn open_account(settings: &Settings, connector: Connector) -> Result<ConvocoreV3> {
    let config = Config::read(settings)
        .map_err(|_| Error::new(ErrorKind::Usage, "connect", "the settings are not valid"))?;
    let client = connector.client(config.base, ConvocoreV3Dialect)?;
    Ok(ConvocoreV3 { client, agent_id: config.agent_id })
}

/// Validates settings beyond their types.
pub fn validate(settings: &Settings) -> Vec<SettingProblem> {
    Config::read(settings).err().unwrap_or_default()
}

#[async_trait]
impl Provider for ConvocoreV3 {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn check(&self) -> Result<AgentInfo> {
        let call = Call::new(AGENT, ["agents", &self.agent_id]);
        let (document, clock_skew_seconds) = self.client.json_with_clock_skew::<Box<RawValue>>(&call).await?;
        let document = document.get().as_bytes();
        let answer: Answer<wire::Agent> = self.client.decode(&call, document, None)?;
        if answer.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&answer), None));
        }
        let agent = match answer.data {
            Some(agent) => agent,
            None => self.client.decode(&call, document, None)?,
        };
        let confirmed = agent.id.is_some() || agent.title.is_some() || agent.name.is_some();
        Ok(AgentInfo { name: agent.title.or(agent.name), confirmed, clock_skew_seconds })
    }

    /// Requests a window that cannot contain a conversation: the response costs nothing and reports the remaining
    /// quota.
    async fn estimate(&self, request: &ReadRequest) -> Result<Estimate> {
        let call = self.export_call().query("fromTs", NO_CONVERSATION_YET).query("toTs", NO_CONVERSATION_YET);
        let mut estimate = Estimate { rate_limit: Some(RATE_LIMIT), requests_sent: 1, ..Estimate::default() };
        if let Selection::Conversations(ids) = &request.selection {
            estimate.conversations = Some(ids.len() as u64);
            estimate.requests = Some(requests(ids.clone()).len() as u64);
        }
        let mut elements = self.client.array(call.clone(), "data");
        loop {
            match elements.next().await? {
                ArrayEvent::Restarted => {}
                // The rest of the response is not read: dropping it closes the connection.
                ArrayEvent::Element(_) => {
                    estimate.requests = Some(1);
                    estimate.notes.push("this deployment returns everything in one response".to_owned());
                    return Ok(estimate);
                }
                ArrayEvent::End => break,
            }
        }
        let answer: Answer<Value> = elements.envelope()?;
        if answer.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&answer), elements.request_id()));
        }
        let metadata = self.page_metadata(&answer, 0, &mut None);
        estimate.quota_left = metadata.quota_left;
        estimate.notes.push(UNCOUNTED.to_owned());
        Ok(estimate)
    }

    fn read(&self, request: ReadRequest) -> BatchStream<'_> {
        match request.selection.clone() {
            Selection::All => {
                Box::pin(stream::try_unfold(ExportWalk::new(self, &request), |mut walk| async {
                    Ok(walk.next_batch().await?.map(|batch| (batch, walk)))
                }))
            }
            Selection::Conversations(ids) => {
                Box::pin(stream::try_unfold(SelectionWalk::new(self, ids), |mut walk| async {
                    Ok(walk.next_batch().await?.map(|batch| (batch, walk)))
                }))
            }
            Selection::User(_) => {
                let message = "Convocore cannot select the conversations of one user";
                Box::pin(stream::iter([Err(Error::new(ErrorKind::Usage, EXPORT, message))]))
            }
        }
    }
}

impl ConvocoreV3 {
    fn export_call(&self) -> Call {
        Call::new(EXPORT, ["agents", &self.agent_id, "convos", "export"])
            .query("format", "json")
            .query("limit", PAGE_LIMIT)
    }

    /// Returns the cursor of the next page, or `None` at the end.
    fn next_cursor(&self, response: &ExportResponse, guard: &mut CursorGuard) -> Result<Option<String>> {
        let ExportResponse { answer, call, request_id, .. } = response;
        self.client.next_cursor(call, answer.has_more, answer.cursor(), guard, request_id.as_deref())
    }

    /// Requests up to a page of conversations by ids without a comma.
    fn listed(&self, ids: &[ConversationId]) -> ExportReader<'_> {
        let wanted = ids.iter().map(RecordId::from).collect();
        let call = self.export_call().query("convoIds", comma_separated(ids));
        ExportReader::new(&self.client, call, Some(wanted))
    }

    /// Returns the last batch of conversations that were requested by id.
    fn listed_batch(
        &self,
        ids: &[ConversationId],
        response: ExportResponse,
        summary: &mut Option<String>,
    ) -> Batch {
        let ExportResponse { answer, records, counts, .. } = response;
        let mut metadata = self.page_metadata(&answer, counts.elements, summary);
        if counts.others > 0 {
            let note = "this deployment returned other conversations than requested; they were left out";
            metadata.notes.push(note.to_owned());
        }
        let missing = ids.iter().filter(|id| !counts.found.contains(&RecordId::from(*id)));
        metadata.notes.extend(missing.map(absent));
        unfinished(records, metadata)
    }

    /// Fetches one conversation through its own route.
    async fn alone(&self, id: &ConversationId, summary: &mut Option<String>) -> Result<Batch> {
        let call = Call::new(SINGLE, ["agents", &self.agent_id, "convos", id.as_str(), "export"])
            .query("format", "json");
        let answer: Answer<Box<RawValue>> = match self.client.json(&call).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Perhaps the vendor does not know the agent itself.
                self.check().await?;
                let notes = vec![absent(id)];
                return Ok(unfinished(
                    Vec::new(),
                    PageMetadata { pages: 1, notes, ..PageMetadata::default() },
                ));
            }
            answer => answer?,
        };
        if answer.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&answer), None));
        }
        let metadata = self.page_metadata(&answer, 1, summary);
        let Some(data) = answer.data else {
            let message = "the response has no conversation at `data`";
            return Err(self.client.error(&call, ErrorKind::Malformed, message, None));
        };
        let conversation = record(Box::<str>::from(data).into_string().into());
        Ok(unfinished(vec![conversation], metadata))
    }

    /// Reads the envelope of one response, counts its cost against the budget, and keeps the vendor's message about the
    /// quota.
    fn page_metadata<T>(
        &self,
        answer: &Answer<T>,
        elements: u64,
        summary: &mut Option<String>,
    ) -> PageMetadata {
        let usage = answer.usage.as_ref();
        let quota_used = usage.and_then(|usage| usage.billable_used_this_request);
        self.client.spend_quota(quota_used.unwrap_or(0));
        if let Some(latest) = usage.and_then(|usage| usage.summary.clone()) {
            *summary = Some(self.client.vendor_text(&latest));
        }
        PageMetadata {
            pages: 1,
            skipped: answer.scanned_convo_count.map_or(0, |scanned| scanned.saturating_sub(elements)),
            quota_used,
            quota_left: usage.and_then(|usage| usage.billable_remaining_this_period),
            ..PageMetadata::default()
        }
    }

    /// Reads the agent itself, because an empty response does not prove that it exists.
    async fn explain_emptiness(&self) -> Result<String> {
        let info = self.check().await?;
        Ok(if info.confirmed {
            "the agent exists, and the vendor has no conversation that matches; conversations without a human message are not exported".to_owned()
        } else {
            "the vendor has no conversation that matches; whether the agent exists is not proved, since the vendor does not describe it".to_owned()
        })
    }
}

/// A walk through the export, oldest first, one response at a time.
struct ExportWalk<'a> {
    provider: &'a ConvocoreV3,
    call: Call,
    window: Window,
    scope: String,
    cursor: Option<String>,
    /// Whether the first response to the saved cursor has not arrived yet.
    is_resumed: bool,
    seen: bool,
    guard: CursorGuard,
    /// The vendor's latest message about the quota.
    summary: Option<String>,
    notes: Vec<String>,
    /// The response that is arriving.
    response: Option<ExportReader<'a>>,
    /// How the walk has ended.
    end: Option<Result<()>>,
}

impl<'a> ExportWalk<'a> {
    fn new(provider: &'a ConvocoreV3, request: &ReadRequest) -> Self {
        let scope = request.scope();
        let cursor = open(request.cursor.as_ref(), &scope);
        let is_resumed = cursor.is_some();
        let window = request.window;
        // Both ends are inclusive here; the caller drops what lies outside the window.
        let call = provider
            .export_call()
            .query("sort", "asc")
            .maybe("fromTs", window.since.map(seconds_before))
            .maybe("toTs", window.until.map(seconds_after));
        let mut guard = CursorGuard::default();
        if let Some(cursor) = &cursor {
            guard.advance(EXPORT, cursor).ok();
        }
        Self {
            provider,
            call,
            window,
            scope,
            cursor,
            is_resumed,
            seen: is_resumed,
            guard,
            summary: None,
            notes: Vec::new(),
            response: None,
            end: None,
        }
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some(end) = self.end.take() {
                return end.map(|()| None);
            }
            let event = self.reader().next().await;
            let response = match event {
                Ok(ExportEvent::Batch(records)) => {
                    return Ok(Some(unfinished(records, PageMetadata::default())));
                }
                Ok(ExportEvent::End(response)) => *response,
                Err(error) if self.is_resumed && error.kind() == ErrorKind::Refused => {
                    self.start_again();
                    continue;
                }
                Err(error) => return Err(error),
            };
            (self.response, self.is_resumed) = (None, false);
            return Ok(Some(self.last_batch(response).await?));
        }
    }

    fn reader(&mut self) -> &mut ExportReader<'a> {
        let Self { provider, call, cursor, response, .. } = self;
        response.get_or_insert_with(|| {
            let call = call.clone().maybe("cursor", cursor.as_deref());
            ExportReader::new(&provider.client, call, None)
        })
    }

    /// Returns the last batch of a response, with its checkpoint.
    async fn last_batch(&mut self, response: ExportResponse) -> Result<Batch> {
        self.seen |= response.counts.elements > 0;
        let mut metadata =
            self.provider.page_metadata(&response.answer, response.counts.elements, &mut self.summary);
        metadata.notes = mem::take(&mut self.notes);
        metadata.covers_everything = !response.answer.is_paged();
        let checkpoint = match self.provider.next_cursor(&response, &mut self.guard) {
            Ok(Some(cursor)) => {
                metadata.empty_pages = u64::from(response.counts.elements == 0);
                self.cursor = Some(cursor.clone());
                Checkpoint::At(seal(&self.scope, cursor)?)
            }
            Ok(None) => {
                metadata.notes.extend(self.last_notes(&response.answer).await?);
                self.end = Some(Ok(()));
                Checkpoint::End
            }
            // The export is metered, so what has been paid for is kept before the error ends the walk.
            Err(error) => {
                self.end = Some(Err(error));
                Checkpoint::None
            }
        };
        Ok(Batch { records: response.records, checkpoint, page: metadata, ..Batch::default() })
    }

    fn start_again(&mut self) {
        self.notes.push("the vendor no longer accepts the saved cursor: starting from the oldest".to_owned());
        (self.response, self.is_resumed, self.cursor) = (None, false, None);
        self.guard = CursorGuard::default();
        self.seen = false;
    }

    async fn last_notes(&mut self, answer: &Answer<Value>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if !self.seen {
            notes.push(self.provider.explain_emptiness().await?);
        }
        if !answer.is_paged() && self.window != Window::default() {
            notes.push(
                "this deployment returns everything in one response; the window was applied here".to_owned(),
            );
        }
        notes.extend(self.summary.take());
        Ok(notes)
    }
}

/// A walk through conversations that were requested by id.
struct SelectionWalk<'a> {
    provider: &'a ConvocoreV3,
    /// The ids of each request that is left, the current one first.
    requests: VecDeque<Vec<ConversationId>>,
    /// The response that is arriving.
    response: Option<ExportReader<'a>>,
    /// The vendor's latest message about the quota.
    summary: Option<String>,
}

impl<'a> SelectionWalk<'a> {
    fn new(provider: &'a ConvocoreV3, ids: Vec<ConversationId>) -> Self {
        Self { provider, requests: requests(ids), response: None, summary: None }
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        let Self { provider, requests, response, summary } = self;
        let mut batch = match requests.front().map(Vec::as_slice) {
            None => return Ok(None),
            Some([id]) if is_alone(id) => provider.alone(id, summary).await?,
            Some(ids) => match response.get_or_insert_with(|| provider.listed(ids)).next().await? {
                ExportEvent::Batch(records) => {
                    return Ok(Some(unfinished(records, PageMetadata::default())));
                }
                ExportEvent::End(response) => provider.listed_batch(ids, *response, summary),
            },
        };
        *response = None;
        requests.pop_front();
        if requests.is_empty() {
            batch.checkpoint = Checkpoint::End;
            batch.page.notes.extend(summary.take());
        }
        Ok(Some(batch))
    }
}

/// Returns the ids of one request after another, each id once.
fn requests(ids: Vec<ConversationId>) -> VecDeque<Vec<ConversationId>> {
    let mut seen = HashSet::new();
    let unique = ids.into_iter().filter(|id| seen.insert(id.clone()));
    let (alone, listed): (Vec<_>, Vec<_>) = unique.partition(is_alone);
    listed.chunks(SELECTION_LIMIT).chain(alone.chunks(1)).map(<[_]>::to_vec).collect()
}

/// Returns whether an id cannot be part of a list, in which commas separate the ids.
fn is_alone(id: &ConversationId) -> bool {
    id.as_str().contains(',')
}

/// Writes ids as one value: if a key is repeated, the vendor's framework reads only the first.
fn comma_separated(ids: &[ConversationId]) -> String {
    ids.iter().map(ConversationId::as_str).collect::<Vec<_>>().join(",")
}

fn unfinished(records: Vec<Record>, metadata: PageMetadata) -> Batch {
    Batch { records, page: metadata, ..Batch::default() }
}

fn absent(id: &ConversationId) -> String {
    format!(
        "the vendor did not return conversation {}; conversations without a human message are not exported",
        id.masked()
    )
}

/// Returns the last whole second that is not after an instant.
fn seconds_before(at: Timestamp) -> i64 {
    at.microseconds().div_euclid(1_000_000)
}

/// Returns the first whole second that is not before an instant.
fn seconds_after(at: Timestamp) -> i64 {
    -(-at.microseconds()).div_euclid(1_000_000)
}

fn seal(scope: &str, cursor: String) -> Result<Cursor> {
    Cursor::seal(DESCRIPTOR.name, CURSOR_VERSION, scope.to_owned(), &wire::Place { cursor })
}

fn open(cursor: Option<&Cursor>, scope: &str) -> Option<String> {
    let place: wire::Place = cursor?.open(DESCRIPTOR.name, CURSOR_VERSION, scope)?;
    Some(place.cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_widened_to_whole_seconds() {
        let at = |microseconds| Timestamp::from_microseconds(microseconds).unwrap();
        for (microseconds, before, after) in [
            (1_733_049_000_000_000, 1_733_049_000, 1_733_049_000),
            (1_733_049_000_000_001, 1_733_049_000, 1_733_049_001),
            (1_733_049_000_999_999, 1_733_049_000, 1_733_049_001),
        ] {
            assert_eq!((seconds_before(at(microseconds)), seconds_after(at(microseconds))), (before, after));
        }
    }
}
