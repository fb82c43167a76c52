//! Fetches conversations by their ids: many in one request, fewer after a failure, and each alone if nothing else
//! works.

use std::collections::{HashSet, VecDeque};
use std::slice;

use chatark_core::{ConversationId, Error, ErrorKind, Gap, GapBounds, PageMetadata, RecordId, Result};

use crate::account::UNKNOWN_ID;
use crate::export::{ExportEvent, ExportReader, ExportResponse};
use crate::exported::{Counts, Exported};
use crate::pull::{IDS, Pull};
use crate::wire::Envelope;

/// How many conversations are requested by id at once: one page, because its limit may apply.
pub(crate) const SELECTION_LIMIT: usize = 50;
/// How many of them after a failure, before each is requested alone.
const NARROW_LIMIT: usize = 10;
/// If a deployment ignores ids, up to so many conversations are requested one by one. More are first looked for in its
/// one array.
const MAX_SINGLE_REQUESTS: usize = 3;

/// The result of fetching conversations by their ids.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// The ids of those that came.
    pub(crate) found: HashSet<RecordId>,
    /// The ids of those that the vendor did not return.
    pub(crate) absent: Vec<RecordId>,
    /// The gaps of those that could not be read.
    pub(crate) gaps: Vec<Gap>,
    /// The first error of a gap.
    pub(crate) error: Option<Error>,
    /// Whether the vendor has answered since the first failure.
    is_alive: bool,
    /// Whether the conversation that was requested last could not be read.
    ends_with_gap: bool,
}

/// Which route of the API returns conversations by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdRoute {
    /// The bulk export with a list of ids; if the deployment ignores ids, the export of single conversations.
    Bulk,
    /// The bulk export with a list of ids; if the deployment ignores ids, one look into its one array, then the export
    /// of single conversations.
    BulkOrArray,
    /// The export of a single conversation.
    Single,
}

impl Pull<'_> {
    /// Fetches conversations by their ids: many at once, then fewer, then each alone.
    pub(crate) async fn fetch(&mut self, ids: &[RecordId], route: IdRoute) -> Result<Fetched> {
        let mut fetched = Fetched::default();
        self.fetch_all(ids, route, &mut fetched).await?;
        Ok(fetched)
    }

    async fn fetch_all(&mut self, ids: &[RecordId], route: IdRoute, fetched: &mut Fetched) -> Result<()> {
        let is_single = |id: &&RecordId| route == IdRoute::Single || id.as_str().contains(',');
        let (single, listed): (Vec<_>, Vec<_>) = ids.iter().partition(is_single);
        let single: Vec<RecordId> = single.into_iter().cloned().collect();
        let mut listed: Vec<RecordId> = listed.into_iter().cloned().collect();
        if route == IdRoute::BulkOrArray && self.lacks(IDS) && listed.len() > MAX_SINGLE_REQUESTS {
            listed = self.fetch_from_array(listed, fetched).await?;
        }
        let mut chunks: VecDeque<Vec<RecordId>> = listed.chunks(SELECTION_LIMIT).map(<[_]>::to_vec).collect();
        while let Some(chunk) = chunks.pop_front() {
            if self.lacks(IDS) {
                self.fetch_single(&chunk, fetched).await?;
                continue;
            }
            match self.fetch_chunk(&chunk, fetched).await {
                Err(error) if error.may_be_local() => {
                    self.split_chunk(chunk, error, &mut chunks, fetched).await?;
                }
                left => self.fetch_single(&left?, fetched).await?,
            }
        }
        self.fetch_single(&single, fetched).await?;
        // If the vendor is down now, the last failures say nothing about the conversations.
        if let Some(error) = fetched.error.take_if(|_| fetched.ends_with_gap) {
            fetched.error = Some(self.confirm_alive(error).await?.0);
        }
        Ok(())
    }

    /// Replaces a request that failed by smaller ones. A single conversation is requested by its own route.
    async fn split_chunk(
        &mut self,
        chunk: Vec<RecordId>,
        error: Error,
        chunks: &mut VecDeque<Vec<RecordId>>,
        fetched: &mut Fetched,
    ) -> Result<()> {
        let error = self.confirm_alive_once(error, fetched).await?;
        if let [id] = chunk.as_slice() {
            return self.fetch_by_own_route(id, error, fetched).await;
        }
        let size = if chunk.len() > NARROW_LIMIT { NARROW_LIMIT } else { 1 };
        for smaller in chunk.chunks(size).rev() {
            chunks.push_front(smaller.to_vec());
        }
        Ok(())
    }

    /// Requests a conversation through its own route, after the bulk export has failed: if the deployment ignores ids,
    /// another conversation may be the cause.
    async fn fetch_by_own_route(
        &mut self,
        id: &RecordId,
        failure: Error,
        fetched: &mut Fetched,
    ) -> Result<()> {
        if !self.selects_ids().await? {
            return self.fetch_single(slice::from_ref(id), fetched).await;
        }
        match self.account.single(id).await {
            Ok((item, envelope)) => self.accept_single(id, item, &envelope, fetched).await,
            Err(error) if matches!(error.kind(), ErrorKind::Budget | ErrorKind::RateLimited) => {
                return Err(error);
            }
            Err(_) => self.add_failed(id, failure, fetched).await?,
        }
        Ok(())
    }

    /// Adds a gap for a conversation that cannot be read. After several in a row, checks that the vendor still returns
    /// any by its id: a probe does not show that, since its response holds no conversation. If it returns none, the
    /// failure is returned as the error.
    async fn add_failed(&mut self, id: &RecordId, failure: Error, fetched: &mut Fetched) -> Result<()> {
        self.failed_fetches.in_a_row += 1;
        if self.failed_fetches.in_a_row < self.failed_fetches.check_after {
            fetched.add_gap(id, failure);
            return Ok(());
        }
        match self.returns_any(fetched).await {
            Ok(true) => {
                (self.failed_fetches.in_a_row, self.failed_fetches.check_after) =
                    (0, self.failed_fetches.check_after.saturating_mul(2));
                fetched.add_gap(id, failure);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Budget | ErrorKind::RateLimited) => Err(error),
            Ok(false) | Err(_) => Err(failure),
        }
    }

    /// Returns whether a conversation that was read before can be read by its id, or the vendor answers that it is
    /// gone.
    async fn returns_any(&mut self, fetched: &mut Fetched) -> Result<bool> {
        if self.first_shown.is_none() && !self.has_any_conversation().await? {
            return Ok(false);
        }
        let Some(id) = self.first_shown.clone() else { return Ok(true) };
        if !self.lacks(IDS) {
            let ids = slice::from_ref(&id);
            self.request_by_ids(ids, ids, fetched).await?;
            return Ok(true);
        }
        match self.account.single(&id).await {
            Ok((item, envelope)) => self.accept_single(&id, item, &envelope, fetched).await,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Returns whether the export selects conversations by id: if so, it returns nothing for an unknown id.
    async fn selects_ids(&mut self) -> Result<bool> {
        if self.lacks(IDS) || self.has(IDS) {
            return Ok(self.has(IDS));
        }
        let call = self.account.export_call(1).query("convoIds", UNKNOWN_ID);
        let account = self.account;
        let mut reader = ExportReader::new(account, call, None);
        let selects = match reader.next().await {
            Ok(ExportEvent::End(response)) => {
                let ExportResponse { envelope, items, counts, .. } = *response;
                let page = self.page_metadata(&envelope, &counts);
                self.add_metadata(&page);
                self.queue_extra_records(items.into_iter().map(|item| item.record));
                counts.elements == 0
            }
            Ok(ExportEvent::Batch(items)) => {
                self.queue_extra_records(items.into_iter().map(|item| item.record));
                false
            }
            Err(error) if error.may_be_local() => {
                self.assume_feature(IDS, false);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.remember_feature(IDS, selects);
        Ok(selects)
    }

    /// Returns whether the export returns any conversation, and queues what it returns.
    pub(crate) async fn has_any_conversation(&mut self) -> Result<bool> {
        if self.has_shown_any {
            return Ok(true);
        }
        let account = self.account;
        let mut reader = ExportReader::new(account, account.export_call(1), None);
        let (items, shows) = match reader.next().await? {
            ExportEvent::Batch(items) => (items, true),
            ExportEvent::End(response) => {
                let ExportResponse { envelope, items, counts, .. } = *response;
                let page = self.page_metadata(&envelope, &counts);
                self.add_metadata(&page);
                (items, counts.elements > 0 || envelope.scanned_convo_count > Some(0))
            }
        };
        if let Some(item) = items.first() {
            self.first_shown.clone_from(&item.record.id);
        }
        self.queue_extra_records(items.into_iter().map(|item| item.record));
        Ok(shows)
    }

    /// Calls [`Self::confirm_alive`], unless the vendor has answered one of these requests already.
    async fn confirm_alive_once(&mut self, failure: Error, fetched: &mut Fetched) -> Result<Error> {
        if !fetched.found.is_empty() || fetched.is_alive {
            return Ok(failure);
        }
        let (failure, _) = self.confirm_alive(failure).await?;
        fetched.is_alive = true;
        Ok(failure)
    }

    /// Requests several conversations at once, and returns the ids that have to be requested alone.
    async fn fetch_chunk(&mut self, ids: &[RecordId], fetched: &mut Fetched) -> Result<Vec<RecordId>> {
        let counts = self.request_by_ids(ids, ids, fetched).await?;
        let absent: Vec<_> = ids.iter().filter(|id| !counts.found.contains(id)).cloned().collect();
        if counts.extra_records == 0 {
            fetched.absent.extend(absent);
            return Ok(Vec::new());
        }
        let outcome = if self.keeps_extra_records() { "kept" } else { "left out" };
        self.add_note(format!(
            "this deployment returned other conversations than requested; they were {outcome}"
        ));
        self.remember_feature(IDS, false);
        // Such a response may be cut short, so an id that is missing in it is not proved absent.
        Ok(absent)
    }

    /// Looks for conversations in the one array of a deployment that ignores ids, and returns the ids that are not in
    /// it.
    async fn fetch_from_array(&mut self, ids: Vec<RecordId>, fetched: &mut Fetched) -> Result<Vec<RecordId>> {
        let asked = &ids[..ids.len().min(SELECTION_LIMIT)];
        match self.request_by_ids(asked, &ids, fetched).await {
            Ok(counts) => {
                // The deployment was upgraded, and now selects by id.
                if counts.extra_records == 0 && self.is_paged() {
                    self.remember_feature(IDS, true);
                }
            }
            Err(error) if error.may_be_local() => {
                self.confirm_alive_once(error, fetched).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(ids.into_iter().filter(|id| !fetched.found.contains(id)).collect())
    }

    /// Requests conversations by their ids with one call of the bulk export, and queues the `requested` ones of the
    /// response.
    async fn request_by_ids(
        &mut self,
        ids: &[RecordId],
        requested: &[RecordId],
        fetched: &mut Fetched,
    ) -> Result<Counts> {
        let call = self.account.export_call(50).query("convoIds", comma_separated(ids));
        let account = self.account;
        let mut reader = ExportReader::new(account, call, Some(requested.iter().cloned().collect()));
        let response = loop {
            let event = match reader.next().await {
                Ok(event) => event,
                Err(error) => {
                    self.queue_requested(reader.take_arrived(), fetched);
                    self.spend_on_oversized(&error, ids.len() as u64);
                    return Err(error);
                }
            };
            match event {
                ExportEvent::Batch(items) => {
                    self.queue_requested(items, fetched);
                    self.send_queued().await;
                }
                ExportEvent::End(response) => break *response,
            }
        };
        let ExportResponse { envelope, call, items, counts, .. } = response;
        fetched.ends_with_gap = false;
        let page = self.page_metadata(&envelope, &counts);
        self.add_metadata(&page);
        self.compare_count(&call, &envelope, counts.elements);
        self.queue_requested(items, fetched);
        Ok(counts)
    }

    async fn fetch_single(&mut self, ids: &[RecordId], fetched: &mut Fetched) -> Result<()> {
        for id in ids {
            match self.account.single(id).await {
                Ok((item, envelope)) => self.accept_single(id, item, &envelope, fetched).await,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.add_metadata(&PageMetadata { pages: 1, ..PageMetadata::default() });
                    fetched.ends_with_gap = false;
                    fetched.absent.push(id.clone());
                }
                Err(error) if error.may_be_local() => {
                    let error = self.confirm_alive_once(error, fetched).await?;
                    self.add_failed(id, error, fetched).await?;
                }
                // Such an id cannot be part of a URL; the others are still read.
                Err(error) if error.kind() == ErrorKind::Usage => fetched.add_gap(id, error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn accept_single<T>(
        &mut self,
        id: &RecordId,
        item: Exported,
        envelope: &Envelope<T>,
        fetched: &mut Fetched,
    ) {
        let page = self.single_metadata(envelope, &item);
        self.add_metadata(&page);
        fetched.ends_with_gap = false;
        fetched.found.insert(id.clone());
        self.queue_requested(vec![item], fetched);
        self.send_when_full().await;
    }

    fn queue_requested(&mut self, items: Vec<Exported>, fetched: &mut Fetched) {
        let keeps_extra_records = self.keeps_extra_records();
        for item in items.into_iter().filter(|item| keeps_extra_records || !item.is_extra) {
            self.note_exported(&item);
            fetched.found.extend(item.record.id.clone().filter(|_| !item.is_extra));
            self.queue(item.record);
        }
    }
}

impl Fetched {
    fn add_gap(&mut self, id: &RecordId, error: Error) {
        self.gaps.push(Gap::new(GapBounds::record(id.clone()), &error));
        self.ends_with_gap = true;
        self.error.get_or_insert(error);
    }
}

/// Joins ids to one value: of a repeated key, the vendor's framework reads only the first value.
fn comma_separated(ids: &[RecordId]) -> String {
    ids.iter().map(RecordId::as_str).collect::<Vec<_>>().join(",")
}

/// Returns the note about a conversation that the vendor did not return.
pub(crate) fn absent_note(id: &ConversationId) -> String {
    format!(
        "the vendor did not return conversation {}; conversations without a human message are not exported",
        id.masked()
    )
}
