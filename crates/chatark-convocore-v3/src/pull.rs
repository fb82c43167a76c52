//! What all walks of one pull share: the way to the archive, and what was learned so far.

use std::collections::{HashMap, HashSet};
use std::mem;

use bytes::Bytes;
use chatark_core::{
    Batch, Error, ErrorKind, Features, GapBounds, ListRow, PageMetadata, ReadRequest, Record, RecordId,
    Result, Selection, Timestamp,
};
use chatark_http::Call;
use serde_json::Value;

use crate::account::{ConvocoreV3, EmptyPage, EmptyWindow};
use crate::batches::BatchSender;
use crate::export::{Counts, Exported};
use crate::price::Quota;
use crate::wire::{Envelope, conversation_counts};

/// The feature of a deployment that its list of conversations can be read, and is not metered.
pub(crate) const LIST: &str = "list";
/// The export in pages; without it, everything comes in one response.
pub(crate) const PAGES: &str = "pages";
/// The feature of a deployment that its export selects conversations by id.
pub(crate) const IDS: &str = "ids";

/// One pull.
pub(crate) struct Pull<'a> {
    pub(crate) account: &'a ConvocoreV3,
    pub(crate) request: &'a ReadRequest,
    sender: BatchSender,
    /// What has arrived since the last batch.
    arrived: Vec<Record>,
    /// What responses said since the last batch.
    said: PageMetadata,
    /// What this pull found the deployment to support.
    found: Features,
    /// The vendor's latest message about the quota.
    summary: Option<String>,
    /// Rows of the list, to be kept with the records that they belong to.
    rows: HashMap<RecordId, Bytes>,
    /// The gaps that were reported, each of them once.
    gaps: HashSet<GapBounds>,
    /// Whether the user was told that the vendor's own count differs.
    told_of_count: bool,
    /// Whether the latest response of the export that shows it had paging keys: only such a deployment is metered.
    is_paged: Option<bool>,
    /// Whether the quota is asked behind an id that no conversation has, since a window has failed.
    asks_quota_by_id: bool,
    /// Whether the vendor has shown that it has a conversation.
    pub(crate) has_shown: bool,
    /// The first conversation that was shown.
    pub(crate) shown: Option<RecordId>,
    /// The conversations that could not be read by their ids, since one was shown.
    pub(crate) in_vain: InVain,
    /// What was seen in a window that cannot hold a conversation.
    pub(crate) undated: Undated,
}

/// What is known of conversations without a date in windows of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Undated {
    /// No window was seen to hold them.
    Unseen,
    /// Each window holds them.
    InWindows,
    /// Each window holds them, and one that holds nothing else fails, because of the last of them.
    Failing,
}

/// How many conversations in a row could not be read by their ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InVain {
    pub(crate) count: u32,
    /// With so many, one that was shown is asked for.
    pub(crate) most: u32,
}

impl Default for InVain {
    fn default() -> Self {
        Self { count: 0, most: 8 }
    }
}

/// How a deployment answers when it is asked for a window that cannot contain a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// With a page.
    Paged,
    /// With a response without paging keys.
    NotPaged,
    /// With conversations all the same.
    WindowIgnored,
}

impl<'a> Pull<'a> {
    pub(crate) fn new(account: &'a ConvocoreV3, request: &'a ReadRequest, sender: BatchSender) -> Self {
        Self {
            account,
            request,
            sender,
            arrived: Vec::new(),
            said: PageMetadata::default(),
            found: Features::default(),
            summary: None,
            rows: HashMap::new(),
            gaps: HashSet::new(),
            told_of_count: false,
            is_paged: None,
            asks_quota_by_id: false,
            has_shown: false,
            shown: None,
            in_vain: InVain::default(),
            undated: Undated::Unseen,
        }
    }

    /// Keeps what came without being asked for, which may have been billed, unless the user named conversations.
    pub(crate) fn receive_others(&mut self, records: impl IntoIterator<Item = Record>) {
        if self.keeps_others() {
            self.arrived.extend(records);
        }
    }

    /// Returns whether conversations that came without being asked for are kept. Where everything is to be read, each of
    /// them may be the only answer that shows it.
    pub(crate) fn keeps_others(&self) -> bool {
        self.request.selection == Selection::All
    }

    /// Keeps a record for the next batch.
    pub(crate) fn receive(&mut self, record: Record) {
        self.arrived.push(record);
    }

    /// Sends a batch with what has arrived and was said since the last one, and with the rows of its records.
    pub(crate) async fn send(&mut self, mut batch: Batch) {
        batch.records.append(&mut self.arrived);
        let mut page = mem::take(&mut self.said);
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

    /// Sends what has arrived once that is much.
    pub(crate) async fn send_when_full(&mut self) {
        const BATCH_BYTES: usize = 128 << 10;
        if self.arrived.iter().map(|record| record.bytes.len()).sum::<usize>() >= BATCH_BYTES {
            self.send_arrived().await;
        }
    }

    /// Sends what has arrived, in the middle of a response or before an error: the export is metered, and what has been
    /// paid for is archived.
    pub(crate) async fn send_arrived(&mut self) {
        if !self.arrived.is_empty() {
            self.send(Batch::default()).await;
        }
    }

    /// Keeps what a response said for the next batch.
    pub(crate) fn say(&mut self, page: &PageMetadata) {
        self.said.add(page);
    }

    /// Tells the user something with the next batch.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.said.notes.push(note.into());
    }

    /// Says that the walk begins again, so that what it has seen is not counted twice.
    pub(crate) fn restarted(&mut self) {
        self.said.restarted = true;
    }

    /// Remembers for later pulls what the deployment supports.
    pub(crate) fn learn(&mut self, feature: &str, is_supported: bool) {
        self.said.features.set(feature, is_supported);
        self.found.set(feature, is_supported);
    }

    /// Remembers for this pull alone what the deployment seems to support: an outage looks the same.
    pub(crate) fn suppose(&mut self, feature: &str, is_supported: bool) {
        self.found.set(feature, is_supported);
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
        self.found.supports(feature).or_else(|| self.request.features.supports(feature))
    }

    /// Sets the row that is kept with a record once that is sent.
    pub(crate) fn keep_row(&mut self, id: RecordId, row: Bytes) {
        self.rows.insert(id, row);
    }

    /// Removes and returns the rows of records that did not come.
    pub(crate) fn take_rows_of(&mut self, ids: &[RecordId]) -> Vec<(RecordId, Bytes)> {
        let rows = ids.iter().filter_map(|id| self.rows.remove_entry(id));
        rows.collect()
    }

    /// Forgets the rows that are left.
    pub(crate) fn forget_rows(&mut self) {
        self.rows.clear();
    }

    /// Returns the vendor's latest message about the quota.
    pub(crate) fn take_summary(&mut self) -> Option<String> {
        self.summary.take()
    }

    /// Notes when a conversation last changed, by the vendor's clock.
    pub(crate) fn note_conversation(&mut self, item: &Exported) {
        self.has_shown = true;
        self.in_vain.count = 0;
        if self.shown.is_none() {
            self.shown.clone_from(&item.record.id);
        }
        self.said.newest_change = self.said.newest_change.max(self.plausible(item.changed));
    }

    /// Returns a time of a change, unless a wrong clock has told it.
    pub(crate) fn plausible(&self, changed: Option<Timestamp>) -> Option<Timestamp> {
        changed.filter(|at| self.request.plausible_until.is_none_or(|until| *at <= until))
    }

    /// Reads the envelope of a response of the bulk export.
    pub(crate) fn page_metadata<T>(&mut self, answer: &Envelope<T>, counts: &Counts) -> PageMetadata {
        self.is_paged = Some(answer.is_paged());
        self.has_shown |= answer.scanned_convo_count > Some(0);
        self.metadata(answer, counts)
    }

    /// Reads the envelope of a response of the export of one conversation.
    pub(crate) fn single_metadata<T>(&mut self, answer: &Envelope<T>, item: &Exported) -> PageMetadata {
        let mut counts = Counts::default();
        counts.add(item);
        self.metadata(answer, &counts)
    }

    /// Counts the most that a response can have cost whose envelope never came, because it holds too much.
    pub(crate) fn spend_on(&self, error: &Error, conversations: u64) {
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

    fn metadata<T>(&mut self, answer: &Envelope<T>, counts: &Counts) -> PageMetadata {
        if let Some(latest) = answer.usage.as_ref().and_then(|usage| usage.summary.clone()) {
            self.summary = Some(self.account.client.vendor_text(&latest));
        }
        let most_units = if self.is_metered() { counts.most_units } else { 0 };
        self.account.page_metadata(answer, counts.elements, most_units)
    }

    /// Tells the user once where the vendor's own text names another number of conversations than the response held.
    pub(crate) fn compare_count<T>(&mut self, call: &Call, answer: &Envelope<T>, elements: u64) {
        let Some(text) = answer.success_text() else { return };
        let counts = conversation_counts(text);
        if counts.is_empty() || counts.contains(&elements) || mem::replace(&mut self.told_of_count, true) {
            return;
        }
        let text = self.account.quote(call, text);
        self.note(format!("a response held {elements} conversations, and the vendor says of it: {text}"));
    }

    /// Proves that the export answers at all, with a window that cannot contain a conversation, or with an id that no
    /// conversation has.
    pub(crate) async fn probe(&mut self) -> Result<Probe> {
        let answer = match self.account.empty_window().await {
            Ok(window) => self.receive_window(window),
            Err(error) if error.may_be_local() => {
                // A window holds those without a date as well, perhaps, and the first of them fails.
                let window = self.account.unknown_id().await?;
                let Some(answer) = self.receive_window(window) else { return Err(error) };
                self.undated = Undated::Failing;
                Some(answer)
            }
            Err(error) => return Err(error),
        };
        Ok(match answer {
            None => Probe::WindowIgnored,
            Some((answer, _)) if answer.is_paged() => Probe::Paged,
            Some(_) => Probe::NotPaged,
        })
    }

    /// Archives what came where nothing should, since it may have been billed. Returns what the response says and the most
    /// units that it can have cost, or `None` if the deployment ignores what was asked for.
    fn receive_window(&mut self, window: EmptyWindow) -> Option<(Envelope<Value>, u64)> {
        let EmptyPage { answer, counts, undated } = match window {
            EmptyWindow::Empty(empty) => *empty,
            EmptyWindow::Ignored(records) => {
                self.receive_others(records);
                return None;
            }
        };
        // Those without a human message are scanned and left out.
        if counts.elements > 0 || answer.scanned_convo_count > Some(0) {
            self.undated = self.undated.max(Undated::InWindows);
        }
        let page = self.page_metadata(&answer, &counts);
        self.say(&page);
        self.receive_others(undated);
        Some((answer, counts.most_units))
    }

    /// Asks for the quota with a window that cannot contain a conversation, or where that fails, with an id that no
    /// conversation has. Returns `None` if the response does not have it.
    pub(crate) async fn quota(&mut self) -> Result<Option<Quota>> {
        let mut answer = if self.asks_quota_by_id {
            self.account.unknown_id().await
        } else {
            self.account.empty_window().await
        };
        if !self.asks_quota_by_id && answer.as_ref().is_err_and(Error::may_be_local) {
            // From now on: a window that fails may be billed, and is no part of the price that is looked for.
            self.asks_quota_by_id = true;
            answer = self.account.unknown_id().await;
        }
        let window = match answer {
            Ok(window) => window,
            Err(error) if error.kind() == ErrorKind::Budget => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some((answer, most_units)) = self.receive_window(window) else { return Ok(None) };
        Ok(answer.usage.map(|usage| Quota::of(&usage, most_units)))
    }

    /// Makes sure after a failure that the vendor answers something else, and returns the failure and how the
    /// deployment answers. If that fails too, the vendor is down, and the failure is the result.
    pub(crate) async fn prove_alive(&mut self, failure: Error) -> Result<(Error, Probe)> {
        match self.probe().await {
            Ok(probe) => Ok((failure, probe)),
            Err(error) if matches!(error.kind(), ErrorKind::Budget | ErrorKind::RateLimited) => Err(error),
            Err(_) => Err(failure),
        }
    }
}
