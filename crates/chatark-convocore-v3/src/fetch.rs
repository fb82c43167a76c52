//! Conversations by their ids: many in one request, fewer where that fails, and each alone where nothing else helps.

use std::collections::{HashSet, VecDeque};
use std::slice;

use chatark_core::{ConversationId, Error, ErrorKind, Gap, GapBounds, PageMetadata, RecordId, Result};

use crate::account::NO_CONVERSATION;
use crate::export::{Counts, ExportEvent, ExportReader, ExportResponse, Exported};
use crate::pull::{IDS, Pull};
use crate::wire::Envelope;

/// How many conversations are requested by id at once: one page, in case its limit applies.
pub(crate) const SELECTION_LIMIT: usize = 50;
/// How many of them after a failure, before each is requested alone.
const NARROW_LIMIT: usize = 10;
/// More conversations than this are looked for in the one array of a deployment that ignores ids, before each is
/// requested alone.
const FEW: usize = 3;

/// What came of conversations that were requested by id.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// The ids of all that came.
    pub(crate) found: HashSet<RecordId>,
    /// Those that the vendor did not return.
    pub(crate) absent: Vec<RecordId>,
    /// Those that it cannot return.
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
    /// The bulk export with a list of ids, where that works.
    Bulk,
    /// The bulk export with a list of ids; where that is ignored, the one array that comes all the same, once.
    BulkOrArray,
    /// The export of a single conversation.
    Single,
}

impl Pull<'_> {
    /// Requests conversations by their ids: many at once, then fewer, then each alone, until all that can be read are.
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
        if route == IdRoute::BulkOrArray && self.lacks(IDS) && listed.len() > FEW {
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
                    self.narrow(chunk, error, &mut chunks, fetched).await?;
                }
                left => self.fetch_single(&left?, fetched).await?,
            }
        }
        self.fetch_single(&single, fetched).await?;
        // Otherwise the vendor went down meanwhile.
        if let Some(error) = fetched.error.take_if(|_| fetched.ends_with_gap) {
            fetched.error = Some(self.prove_alive(error).await?.0);
        }
        Ok(())
    }

    /// Puts smaller requests in the place of one that failed, or a gap in the place of one conversation.
    async fn narrow(
        &mut self,
        chunk: Vec<RecordId>,
        error: Error,
        chunks: &mut VecDeque<Vec<RecordId>>,
        fetched: &mut Fetched,
    ) -> Result<()> {
        let error = self.prove_alive_once(error, fetched).await?;
        if let [id] = chunk.as_slice() {
            return self.fetch_otherwise(id, error, fetched).await;
        }
        let size = if chunk.len() > NARROW_LIMIT { NARROW_LIMIT } else { 1 };
        for smaller in chunk.chunks(size).rev() {
            chunks.push_front(smaller.to_vec());
        }
        Ok(())
    }

    /// Requests a conversation through its own route, after the export has failed: that may have failed for another one,
    /// if the deployment ignores ids.
    async fn fetch_otherwise(&mut self, id: &RecordId, failure: Error, fetched: &mut Fetched) -> Result<()> {
        if !self.selects_ids().await? {
            return self.fetch_single(slice::from_ref(id), fetched).await;
        }
        match self.account.single(id).await {
            Ok((item, answer)) => self.receive_single(id, item, &answer, fetched).await,
            Err(error) if matches!(error.kind(), ErrorKind::Budget | ErrorKind::RateLimited) => {
                return Err(error);
            }
            Err(_) => self.fail(id, failure, fetched).await?,
        }
        Ok(())
    }

    /// Notes a conversation that cannot be read. After several in a row, the vendor has to show that it returns any by its
    /// id: an answer without conversations, which costs nothing, may come from a vendor that can send none.
    async fn fail(&mut self, id: &RecordId, failure: Error, fetched: &mut Fetched) -> Result<()> {
        self.in_vain.count += 1;
        if self.in_vain.count < self.in_vain.most {
            fetched.fail(id, failure);
            return Ok(());
        }
        match self.returns_any(fetched).await {
            Ok(true) => {
                (self.in_vain.count, self.in_vain.most) = (0, self.in_vain.most.saturating_mul(2));
                fetched.fail(id, failure);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Budget | ErrorKind::RateLimited) => Err(error),
            Ok(false) | Err(_) => Err(failure),
        }
    }

    /// Returns whether a conversation that was shown comes by its id, or the vendor answers that it is gone.
    async fn returns_any(&mut self, fetched: &mut Fetched) -> Result<bool> {
        if self.shown.is_none() && !self.shows_anything().await? {
            return Ok(false);
        }
        let Some(id) = self.shown.clone() else { return Ok(true) };
        if !self.lacks(IDS) {
            let ids = slice::from_ref(&id);
            self.fetch_listed(ids, ids, fetched).await?;
            return Ok(true);
        }
        match self.account.single(&id).await {
            Ok((item, answer)) => self.receive_single(&id, item, &answer, fetched).await,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Returns whether the export selects conversations by id: then it returns nothing for an id that does not exist.
    async fn selects_ids(&mut self) -> Result<bool> {
        if self.lacks(IDS) || self.has(IDS) {
            return Ok(self.has(IDS));
        }
        let call = self.account.export_call(1).query("convoIds", NO_CONVERSATION);
        let account = self.account;
        let mut reader = ExportReader::new(account, call, None);
        let selects = match reader.next().await {
            Ok(ExportEvent::End(response)) => {
                let ExportResponse { answer, items, counts, .. } = *response;
                let page = self.page_metadata(&answer, &counts);
                self.say(&page);
                self.receive_others(items.into_iter().map(|item| item.record));
                counts.elements == 0
            }
            Ok(ExportEvent::Batch(items)) => {
                self.receive_others(items.into_iter().map(|item| item.record));
                false
            }
            Err(error) if error.may_be_local() => {
                self.suppose(IDS, false);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.learn(IDS, selects);
        Ok(selects)
    }

    /// Returns whether the export shows a conversation at all, and keeps what it shows.
    pub(crate) async fn shows_anything(&mut self) -> Result<bool> {
        if self.has_shown {
            return Ok(true);
        }
        let account = self.account;
        let mut reader = ExportReader::new(account, account.export_call(1), None);
        let (items, shows) = match reader.next().await? {
            ExportEvent::Batch(items) => (items, true),
            ExportEvent::End(response) => {
                let ExportResponse { answer, items, counts, .. } = *response;
                let page = self.page_metadata(&answer, &counts);
                self.say(&page);
                (items, counts.elements > 0 || answer.scanned_convo_count > Some(0))
            }
        };
        if let Some(item) = items.first() {
            self.shown.clone_from(&item.record.id);
        }
        self.receive_others(items.into_iter().map(|item| item.record));
        Ok(shows)
    }

    /// Like [`Self::prove_alive`], unless something came already.
    async fn prove_alive_once(&mut self, failure: Error, fetched: &mut Fetched) -> Result<Error> {
        if !fetched.found.is_empty() || fetched.is_alive {
            return Ok(failure);
        }
        let (failure, _) = self.prove_alive(failure).await?;
        fetched.is_alive = true;
        Ok(failure)
    }

    /// Requests conversations at once, and returns those of them that are to be requested alone.
    async fn fetch_chunk(&mut self, ids: &[RecordId], fetched: &mut Fetched) -> Result<Vec<RecordId>> {
        let counts = self.fetch_listed(ids, ids, fetched).await?;
        let absent: Vec<_> = ids.iter().filter(|id| !counts.found.contains(id)).cloned().collect();
        if counts.others == 0 {
            fetched.absent.extend(absent);
            return Ok(Vec::new());
        }
        let others = if self.keeps_others() { "kept" } else { "left out" };
        self.note(format!("this deployment returned other conversations than requested; they were {others}"));
        self.learn(IDS, false);
        // Such a response may be cut short, so that it does not tell what the vendor lacks.
        Ok(absent)
    }

    /// Looks for conversations in the array of a deployment that ignores ids, and returns those that are not in it.
    async fn fetch_from_array(&mut self, ids: Vec<RecordId>, fetched: &mut Fetched) -> Result<Vec<RecordId>> {
        let asked = &ids[..ids.len().min(SELECTION_LIMIT)];
        match self.fetch_listed(asked, &ids, fetched).await {
            Ok(counts) => {
                // A deployment that was renewed selects them.
                if counts.others == 0 && self.is_paged() {
                    self.learn(IDS, true);
                }
            }
            Err(error) if error.may_be_local() => {
                self.prove_alive_once(error, fetched).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(ids.into_iter().filter(|id| !fetched.found.contains(id)).collect())
    }

    /// Requests conversations by their ids, and keeps those of the response that are wanted.
    async fn fetch_listed(
        &mut self,
        ids: &[RecordId],
        wanted: &[RecordId],
        fetched: &mut Fetched,
    ) -> Result<Counts> {
        let call = self.account.export_call(50).query("convoIds", comma_separated(ids));
        let account = self.account;
        let mut reader = ExportReader::new(account, call, Some(wanted.iter().cloned().collect()));
        let response = loop {
            let event = match reader.next().await {
                Ok(event) => event,
                Err(error) => {
                    self.receive_wanted(reader.take_arrived(), fetched);
                    self.spend_on(&error, ids.len() as u64);
                    return Err(error);
                }
            };
            match event {
                ExportEvent::Batch(items) => {
                    self.receive_wanted(items, fetched);
                    self.send_arrived().await;
                }
                ExportEvent::End(response) => break *response,
            }
        };
        let ExportResponse { answer, call, items, counts, .. } = response;
        fetched.ends_with_gap = false;
        let page = self.page_metadata(&answer, &counts);
        self.say(&page);
        self.compare_count(&call, &answer, counts.elements);
        self.receive_wanted(items, fetched);
        Ok(counts)
    }

    async fn fetch_single(&mut self, ids: &[RecordId], fetched: &mut Fetched) -> Result<()> {
        for id in ids {
            match self.account.single(id).await {
                Ok((item, answer)) => self.receive_single(id, item, &answer, fetched).await,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.say(&PageMetadata { pages: 1, ..PageMetadata::default() });
                    fetched.ends_with_gap = false;
                    fetched.absent.push(id.clone());
                }
                Err(error) if error.may_be_local() => {
                    let error = self.prove_alive_once(error, fetched).await?;
                    self.fail(id, error, fetched).await?;
                }
                // No URL can have such an id, which is no reason to read no others.
                Err(error) if error.kind() == ErrorKind::Usage => fetched.fail(id, error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn receive_single<T>(
        &mut self,
        id: &RecordId,
        item: Exported,
        answer: &Envelope<T>,
        fetched: &mut Fetched,
    ) {
        let page = self.single_metadata(answer, &item);
        self.say(&page);
        fetched.ends_with_gap = false;
        fetched.found.insert(id.clone());
        self.receive_wanted(vec![item], fetched);
        self.send_when_full().await;
    }

    fn receive_wanted(&mut self, items: Vec<Exported>, fetched: &mut Fetched) {
        let keeps_others = self.keeps_others();
        for item in items.into_iter().filter(|item| keeps_others || !item.is_other) {
            self.note_conversation(&item);
            fetched.found.extend(item.record.id.clone().filter(|_| !item.is_other));
            self.receive(item.record);
        }
    }
}

impl Fetched {
    fn fail(&mut self, id: &RecordId, error: Error) {
        self.gaps.push(Gap::new(GapBounds::record(id.clone()), &error));
        self.ends_with_gap = true;
        self.error.get_or_insert(error);
    }
}

/// Writes ids as one value: if a key is repeated, the vendor's framework reads only the first.
fn comma_separated(ids: &[RecordId]) -> String {
    ids.iter().map(RecordId::as_str).collect::<Vec<_>>().join(",")
}

/// Returns what the user is told about a conversation that the vendor did not return.
pub(crate) fn absent(id: &ConversationId) -> String {
    format!(
        "the vendor did not return conversation {}; conversations without a human message are not exported",
        id.masked()
    )
}
