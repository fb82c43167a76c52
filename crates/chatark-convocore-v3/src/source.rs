//! The provider: chooses the walks that a request needs, and makes them one after the other.

use async_trait::async_trait;
use chatark_core::{
    AgentInfo, Batch, BatchStream, Descriptor, Error, ErrorKind, Estimate, Provider, RateLimit, ReadRequest,
    Result, Selection, SettingProblem, Settings, UnseenRecord, Window,
};
use chatark_http::Connector;

use crate::account::{ConvocoreV3, EXPORT, ProbeResponse, open_account};
use crate::batches::{BatchSender, batches};
use crate::changes::{self, ChangesEnd};
use crate::config::Config;
use crate::descriptor::DESCRIPTOR;
use crate::list::ListProblem;
use crate::pull::{LIST, PAGES, Pull};
use crate::row::Since;
use crate::walk::ExportWalk;
use crate::{gaps, selection};

/// The rate limit of a paying workspace, by its documents of August 2026.
const RATE_LIMIT: RateLimit = RateLimit { requests: 1_500, seconds: 3_600 };
/// The most pages of the list that an estimate reads.
const ESTIMATE_PAGES: u64 = 3;
/// The rows of a page of the list.
const ROWS_PER_PAGE: u64 = 20;
/// The most records that are looked for one by one after a sweep that did not list them: about a minute's worth.
const MAX_UNSEEN: usize = 500;
const UNCOUNTED: &str =
    "the vendor gives no count, and each conversation that is read counts against the quota by its sessions";

/// Creates the provider of one source.
pub fn connect(settings: &Settings, connector: Connector) -> Result<Box<dyn Provider>> {
    Ok(Box::new(open_account(settings, connector)?))
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
        self.agent().await
    }

    /// Requests a window that cannot contain a conversation: the response costs nothing and reports the remaining
    /// quota. What has changed is counted in the list, which is not metered, as far as is known.
    async fn estimate(&self, request: &ReadRequest) -> Result<Estimate> {
        let mut estimate = Estimate { rate_limit: Some(RATE_LIMIT), requests_sent: 1, ..Estimate::default() };
        if let Selection::Conversations(ids) = &request.selection {
            estimate.conversations = Some(ids.len() as u64);
            estimate.requests = Some(selection::requests(ids).len() as u64);
        }
        let ProbeResponse::Empty(empty) = self.probe_window().await? else {
            estimate.requests = Some(1);
            estimate.notes.push("this deployment ignores dates: one response may hold everything".to_owned());
            return Ok(estimate);
        };
        estimate.quota_left = self.page_metadata(&empty.envelope, empty.counts.elements, 0).quota_left;
        estimate.notes.push(UNCOUNTED.to_owned());
        if request.selection == Selection::All {
            self.estimate_changes(request, &mut estimate).await?;
        }
        Ok(estimate)
    }

    fn read(&self, request: ReadRequest) -> BatchStream<'_> {
        batches(|sender| read(self, request, sender))
    }

    /// Requests the row of each record.
    async fn find_unseen(&self, unseen: &[UnseenRecord]) -> Result<Batch> {
        let mut found = Vec::new();
        for record in unseen {
            if self.has_conversation(record.id.as_str()).await? {
                found.push(record.id.clone());
            }
        }
        Ok(Batch { unchanged: found, ..Batch::default() })
    }

    fn max_unseen(&self) -> usize {
        MAX_UNSEEN
    }
}

impl ConvocoreV3 {
    /// Adds the cost of a pull of changes, as far as the newest pages of the list show it.
    async fn estimate_changes(&self, request: &ReadRequest, estimate: &mut Estimate) -> Result<()> {
        let can_list = request.window == Window::default() && !request.features.lacks(LIST);
        let Some(held_records) = request.held.as_ref().filter(|_| can_list) else {
            return Ok(());
        };
        let since = Since::of(request);
        let note = match changes::count_changed(self, held_records.as_ref(), since, ESTIMATE_PAGES).await {
            Ok((changed, pages)) => {
                let rows = request.rotation.as_ref().map_or(0, |rotation| rotation.rows);
                estimate.requests_for_changes = Some(2 + rows.div_ceil(ROWS_PER_PAGE));
                estimate.requests_sent += pages;
                format!(
                    "the newest {pages} pages of the list show {changed} new or changed conversations: each of them costs its sessions of the quota, and the list itself nothing, as far as is known"
                )
            }
            Err(ListProblem::Other(error)) => return Err(error),
            Err(_) => {
                estimate.requests_sent += 1;
                "the list of conversations cannot be used here, so recent conversations are read again and cost their sessions of the quota each time".to_owned()
            }
        };
        estimate.notes.push(note);
        Ok(())
    }
}

async fn read(account: &ConvocoreV3, request: ReadRequest, sender: BatchSender) -> Result<()> {
    let mut pull = Pull::new(account, &request, sender);
    let read = read_selected(&mut pull).await;
    // Records that arrived before an error have been paid for.
    pull.send_queued().await;
    read
}

async fn read_selected(pull: &mut Pull<'_>) -> Result<()> {
    let request = pull.request;
    match &request.selection {
        Selection::All => {}
        Selection::Conversations(ids) => return selection::read(pull, ids).await,
        Selection::User(_) => {
            let message = "Convocore cannot select the conversations of one user";
            return Err(Error::new(ErrorKind::Usage, EXPORT, message));
        }
    }
    // A window may lie beyond the newest pages of the list.
    let has_list = request.window == Window::default() && !request.features.lacks(PAGES);
    let held_records = request.held.as_ref().filter(|_| has_list);
    gaps::retry(pull, held_records.is_none()).await?;
    let mut from = None;
    if let Some(held_records) = held_records {
        if changes::read(pull, held_records.as_ref()).await? == ChangesEnd::Complete {
            return Ok(());
        }
        from = request.recent_since;
    }
    if request.features.lacks(PAGES) {
        from = from.or(request.recent_since);
    }
    ExportWalk::of_pull(pull, from).run().await.map(drop)
}
