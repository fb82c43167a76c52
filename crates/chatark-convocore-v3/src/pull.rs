//! What all walks of one pull share: the records on their way to the archive, and what is known of the deployment.

use std::collections::{HashMap, HashSet};
use std::mem;

use bytes::Bytes;
use chatark_core::{
    Batch, Error, ErrorKind, Features, GapBounds, ListRow, PageMetadata, ReadRequest, Record, RecordId,
    Result, Selection, Timestamp,
};
use chatark_http::Call;
use serde_json::Value;

use crate::account::{ConvocoreV3, EmptyResponse, ProbeResponse};
use crate::batches::BatchSender;
use crate::exported::{Counts, Exported};
use crate::quota::Quota;
use crate::wire::{Envelope, conversation_counts};

/// The feature of a deployment that its list of conversations can be read, and is not metered.
pub(crate) const LIST: &str = "list";
/// The feature of a deployment that its export comes in pages; without it, everything comes in one response.
pub(crate) const PAGES: &str = "pages";
/// The feature of a deployment that its export selects conversations by id.
pub(crate) const IDS: &str = "ids";

/// One pull.
pub(crate) struct Pull<'a> {
    pub(crate) account: &'a ConvocoreV3,
    pub(crate) request: &'a ReadRequest,
    sender: BatchSender,
    /// Records for the next batch.
    queued: Vec<Record>,
    /// Page metadata and notes for the next batch.
    metadata: PageMetadata,
    /// What this pull knows of the deployment's features.
    features: Features,
    /// The vendor's latest message about the quota.
    quota_message: Option<String>,
    /// Rows of the list, which are sent with their records.
    rows: HashMap<RecordId, Bytes>,
    /// The gaps that were reported: each is reported once.
    gaps: HashSet<GapBounds>,
    /// Whether a note has reported that the vendor's own count differs.
    has_reported_count: bool,
    /// Whether the latest response of the bulk export had paging keys: only such a deployment is metered.
    is_paged: Option<bool>,
    /// Whether the quota is read by a request for an unknown id, because the probe window has failed.
    asks_quota_by_id: bool,
    /// Whether the vendor has shown that it has a conversation.
    pub(crate) has_shown_any: bool,
    /// The id of the first conversation that was returned.
    pub(crate) first_shown: Option<RecordId>,
    /// The conversations that could not be read by their ids, since one was read.
    pub(crate) failed_fetches: FailedFetches,
    /// Whether windows of time hold conversations without a date.
    pub(crate) undated_state: UndatedState,
}

/// Whether the deployment counts conversations without a date to every window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UndatedState {
    /// No window has shown any.
    NotSeen,
    /// Every window holds them.
    InWindows,
    /// Every window holds them, and a window that holds nothing else fails, because one of them does.
    Failing,
}

/// How many conversations in a row could not be read by their ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedFetches {
    pub(crate) in_a_row: u32,
    /// After so many, a conversation that could be read before is requested again as a check.
    pub(crate) check_after: u32,
}

impl Default for FailedFetches {
    fn default() -> Self {
        Self { in_a_row: 0, check_after: 8 }
    }
}

/// How a deployment answers a probe: a request for a window that cannot contain a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// With a page.
    Paged,
    /// With a response without paging keys.
    NotPaged,
    /// With conversations, because it ignores the window.
    WindowIgnored,
}

impl<'a> Pull<'a> {
    pub(crate) fn new(account: &'a ConvocoreV3, request: &'a ReadRequest, sender: BatchSender) -> Self {
        Self {
            account,
            request,
            sender,
            queued: Vec::new(),
            metadata: PageMetadata::default(),
            features: Features::default(),
            quota_message: None,
            rows: HashMap::new(),
            gaps: HashSet::new(),
            has_reported_count: false,
            is_paged: None,
            asks_quota_by_id: false,
            has_shown_any: false,
            first_shown: None,
            failed_fetches: FailedFetches::default(),
            undated_state: UndatedState::NotSeen,
        }
    }

    /// Queues extra records, which came although they were not requested and may have been billed. Drops them if the
    /// user named conversations.
    pub(crate) fn queue_extra_records(&mut self, records: impl IntoIterator<Item = Record>) {
        if self.keeps_extra_records() {
            self.queued.extend(records);
        }
    }

    /// Returns whether extra records are kept. In a pull of everything, an extra record may be the only response with
    /// its conversation.
    pub(crate) fn keeps_extra_records(&self) -> bool {
        self.request.selection == Selection::All
    }

    /// Queues a record for the next batch.
    pub(crate) fn queue(&mut self, record: Record) {
        self.queued.push(record);
    }

    /// Sends a batch, with the queued records and their rows, and the metadata since the last batch.
    pub(crate) async fn send(&mut self, mut batch: Batch) {
        batch.records.append(&mut self.queued);
        let mut page = mem::take(&mut self.metadata);
        page.add(&batch.page);
        batch.page = page;
        batch.gaps.retain(|gap| self.gaps.insert(gap.bounds.clone()));
        batch.closed_gaps.retain(|bounds| !self.gaps.contains(bounds));
        for record in &batch.records {
            let Some(id) = record.id.as_ref() else { continue };
            if let Some(row) = self.rows.remove(id) {
                batch.list_rows.push(ListRow { id: id.clone(), row });
            }
        }
        self.sender.send(batch).await;
    }

    /// Drops queued records that are not to be archived.
    pub(crate) fn retain_queued(&mut self, keep: impl FnMut(&Record) -> bool) {
        self.queued.retain(keep);
    }

    /// Sends the queued records once they fill a batch.
    pub(crate) async fn send_when_full(&mut self) {
        const BATCH_BYTES: usize = 128 << 10;
        if self.queued.iter().map(|record| record.bytes.len()).sum::<usize>() >= BATCH_BYTES {
            self.send_queued().await;
        }
    }

    /// Sends the queued records if there are any, in the middle of a response or before an error: the export is
    /// metered, and what has been paid for is archived.
    pub(crate) async fn send_queued(&mut self) {
        if !self.queued.is_empty() {
            self.send(Batch::default()).await;
        }
    }

    /// Adds the metadata of a response to the next batch.
    pub(crate) fn add_metadata(&mut self, page: &PageMetadata) {
        self.metadata.add(page);
    }

    /// Adds a note to the user to the next batch.
    pub(crate) fn add_note(&mut self, note: impl Into<String>) {
        self.metadata.notes.push(note.into());
    }

    /// Reports that the walk begins again, so that its records are not counted twice.
    pub(crate) fn report_restart(&mut self) {
        self.metadata.restarted = true;
    }

    /// Remembers, for later pulls too, whether the deployment supports a feature.
    pub(crate) fn remember_feature(&mut self, feature: &str, is_supported: bool) {
        self.metadata.features.set(feature, is_supported);
        self.features.set(feature, is_supported);
    }

    /// Assumes for this pull alone whether the deployment supports a feature: an outage looks the same.
    pub(crate) fn assume_feature(&mut self, feature: &str, is_supported: bool) {
        self.features.set(feature, is_supported);
    }

    /// Returns whether the deployment is known not to support a feature.
    pub(crate) fn lacks(&self, feature: &str) -> bool {
        self.supports(feature) == Some(false)
    }

    /// Returns whether the deployment is known to support a feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.supports(feature) == Some(true)
    }

    fn supports(&self, feature: &str) -> Option<bool> {
        self.features.supports(feature).or_else(|| self.request.features.supports(feature))
    }

    /// Keeps a row until its record is sent.
    pub(crate) fn keep_row(&mut self, id: RecordId, row: Bytes) {
        self.rows.insert(id, row);
    }

    /// Removes and returns the kept rows of these ids.
    pub(crate) fn take_rows_of(&mut self, ids: &[RecordId]) -> Vec<(RecordId, Bytes)> {
        let rows = ids.iter().filter_map(|id| self.rows.remove_entry(id));
        rows.collect()
    }

    /// Drops the kept rows.
    pub(crate) fn forget_rows(&mut self) {
        self.rows.clear();
    }

    /// Removes and returns the vendor's latest message about the quota.
    pub(crate) fn take_quota_message(&mut self) -> Option<String> {
        self.quota_message.take()
    }

    /// Notes that a conversation was read, and when it last changed by the vendor's clock.
    pub(crate) fn note_exported(&mut self, item: &Exported) {
        self.has_shown_any = true;
        self.failed_fetches.in_a_row = 0;
        if self.first_shown.is_none() {
            self.first_shown.clone_from(&item.record.id);
        }
        self.metadata.newest_change = self.metadata.newest_change.max(self.if_plausible(item.changed));
    }

    /// Returns the time of a change, or `None` if it comes from a wrong clock.
    pub(crate) fn if_plausible(&self, changed: Option<Timestamp>) -> Option<Timestamp> {
        changed.filter(|at| self.request.plausible_until.is_none_or(|until| *at <= until))
    }

    /// Reads the envelope of a response of the bulk export.
    pub(crate) fn page_metadata<T>(&mut self, envelope: &Envelope<T>, counts: &Counts) -> PageMetadata {
        self.is_paged = Some(envelope.is_paged());
        self.has_shown_any |= envelope.scanned_convo_count > Some(0);
        self.envelope_metadata(envelope, counts)
    }

    /// Reads the envelope of a response of the export of one conversation.
    pub(crate) fn single_metadata<T>(&mut self, envelope: &Envelope<T>, item: &Exported) -> PageMetadata {
        let mut counts = Counts::default();
        counts.add(item);
        self.envelope_metadata(envelope, &counts)
    }

    /// Spends the most that a response can have cost that was too large to be read to its envelope.
    pub(crate) fn spend_on_oversized(&self, error: &Error, conversations: u64) {
        if error.kind() == ErrorKind::TooLarge && self.is_metered() {
            self.account.client.spend_quota(conversations);
        }
    }

    fn is_metered(&self) -> bool {
        // Deployments that ignore ids are the older ones, without pages.
        self.is_paged.unwrap_or(!self.lacks(IDS))
    }

    /// Returns whether the latest response of the bulk export had paging keys.
    pub(crate) fn is_paged(&self) -> bool {
        self.is_paged == Some(true)
    }

    fn envelope_metadata<T>(&mut self, envelope: &Envelope<T>, counts: &Counts) -> PageMetadata {
        if let Some(latest) = envelope.usage.as_ref().and_then(|usage| usage.summary.clone()) {
            self.quota_message = Some(self.account.client.vendor_text(&latest));
        }
        let most_units = if self.is_metered() { counts.most_units } else { 0 };
        self.account.page_metadata(envelope, counts.elements, most_units)
    }

    /// Notes once that the vendor's own text names another number of conversations than the response held.
    pub(crate) fn compare_count<T>(&mut self, call: &Call, envelope: &Envelope<T>, elements: u64) {
        let Some(text) = envelope.success_text() else { return };
        let counts = conversation_counts(text);
        if counts.is_empty() || counts.contains(&elements) || mem::replace(&mut self.has_reported_count, true)
        {
            return;
        }
        let text = self.account.quote(call, text);
        self.add_note(format!("a response held {elements} conversations, and the vendor says of it: {text}"));
    }

    /// Probes whether the export answers at all: requests a window that cannot contain a conversation, and if that
    /// fails, an id that no conversation has.
    pub(crate) async fn probe(&mut self) -> Result<ProbeResult> {
        let envelope = match self.account.probe_window().await {
            Ok(response) => self.accept_probe(response),
            Err(error) if error.may_be_local() => {
                // The window may hold conversations without a date, one of which fails.
                let response = self.account.probe_unknown_id().await?;
                let Some(envelope) = self.accept_probe(response) else { return Err(error) };
                self.undated_state = UndatedState::Failing;
                Some(envelope)
            }
            Err(error) => return Err(error),
        };
        Ok(match envelope {
            None => ProbeResult::WindowIgnored,
            Some((envelope, _)) if envelope.is_paged() => ProbeResult::Paged,
            Some(_) => ProbeResult::NotPaged,
        })
    }

    /// Queues the records that a probe has returned, since they may have been billed. Returns the envelope and the most
    /// units that the response can have cost, or `None` if the deployment ignores the window or the id.
    fn accept_probe(&mut self, response: ProbeResponse) -> Option<(Envelope<Value>, u64)> {
        let EmptyResponse { envelope, counts, undated } = match response {
            ProbeResponse::Empty(empty) => *empty,
            ProbeResponse::Ignored(records) => {
                self.queue_extra_records(records);
                return None;
            }
        };
        // Conversations without a human message are scanned and not returned.
        if counts.elements > 0 || envelope.scanned_convo_count > Some(0) {
            self.undated_state = self.undated_state.max(UndatedState::InWindows);
        }
        let page = self.page_metadata(&envelope, &counts);
        self.add_metadata(&page);
        self.queue_extra_records(undated);
        Some((envelope, counts.most_units))
    }

    /// Reads the quota from the response to a probe: of a window that cannot contain a conversation, or if that fails,
    /// of an unknown id. Returns `None` if the response does not show it.
    pub(crate) async fn quota(&mut self) -> Result<Option<Quota>> {
        let mut response = if self.asks_quota_by_id {
            self.account.probe_unknown_id().await
        } else {
            self.account.probe_window().await
        };
        if !self.asks_quota_by_id && response.as_ref().is_err_and(Error::may_be_local) {
            // For the rest of the pull: a window that fails may be billed, which would distort the price of the list.
            self.asks_quota_by_id = true;
            response = self.account.probe_unknown_id().await;
        }
        let response = match response {
            Ok(response) => response,
            Err(error) if error.kind() == ErrorKind::Budget => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some((envelope, most_units)) = self.accept_probe(response) else { return Ok(None) };
        Ok(envelope.usage.map(|usage| Quota::of(&usage, most_units)))
    }

    /// Probes the vendor after a failure, and returns the failure and the result of the probe. If the probe fails too,
    /// the vendor is down, and the failure is returned as the error.
    pub(crate) async fn confirm_alive(&mut self, failure: Error) -> Result<(Error, ProbeResult)> {
        match self.probe().await {
            Ok(probe) => Ok((failure, probe)),
            Err(error) if matches!(error.kind(), ErrorKind::Budget | ErrorKind::RateLimited) => Err(error),
            Err(_) => Err(failure),
        }
    }
}
