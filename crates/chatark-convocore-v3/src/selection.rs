//! Reads conversations that were requested by id.

use std::collections::HashSet;

use chatark_core::{Batch, Checkpoint, ConversationId, PageMetadata, RecordId, Result};

use crate::fetch::{IdRoute, SELECTION_LIMIT, absent_note};
use crate::pull::Pull;

/// Reads the conversations of a selection, each once.
pub(crate) async fn read(pull: &mut Pull<'_>, ids: &[ConversationId]) -> Result<()> {
    let requests = requests(ids);
    let last = requests.len().saturating_sub(1);
    for (at, ids) in requests.iter().enumerate() {
        let mut batch = read_request(pull, ids).await?;
        if at == last {
            batch.checkpoint = Checkpoint::End;
            batch.page.notes.extend(pull.take_quota_message());
        }
        pull.send(batch).await;
    }
    Ok(())
}

async fn read_request(pull: &mut Pull<'_>, ids: &[ConversationId]) -> Result<Batch> {
    let wanted: Vec<RecordId> = ids.iter().map(RecordId::from).collect();
    let fetched = pull.fetch(&wanted, IdRoute::Bulk).await?;
    if let Some(error) = fetched.error.filter(|_| fetched.found.is_empty() && fetched.absent.is_empty()) {
        return Err(error);
    }
    if fetched.absent.len() == wanted.len() && ids.iter().all(needs_own_request) {
        // Perhaps the vendor does not know the agent itself.
        pull.account.agent().await?;
    }
    let notes = fetched.absent.iter().map(|id| absent_note(&ConversationId::from(id))).collect();
    let page = PageMetadata { notes, ..PageMetadata::default() };
    Ok(Batch { gaps: fetched.gaps, page, ..Batch::default() })
}

/// Splits ids into requests, each id once.
pub(crate) fn requests(ids: &[ConversationId]) -> Vec<Vec<ConversationId>> {
    let mut seen = HashSet::new();
    let unique = ids.iter().filter(|id| seen.insert(*id)).cloned();
    let (alone, listed): (Vec<_>, Vec<_>) = unique.partition(needs_own_request);
    listed.chunks(SELECTION_LIMIT).chain(alone.chunks(1)).map(<[_]>::to_vec).collect()
}

/// Returns whether an id needs a request of its own, because it contains the comma that separates ids.
fn needs_own_request(id: &ConversationId) -> bool {
    id.as_str().contains(',')
}
