//! The work on a conversation that needs no database: hash and compress. It runs on every core.

use std::cell::RefCell;

use chatark_core::{
    Conversation, ConversationId, Error, ErrorKind, Issue, IssueKind, RawConversation, Result, Surface,
};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

/// The level of compression: higher ones cost more time than they save space on texts this short.
const LEVEL: i32 = 1;

/// A conversation as the vendor sent it, with its hash.
#[derive(Debug, Clone)]
pub struct HashedRecord {
    raw: RawConversation,
    id: ConversationId,
    sha256: [u8; 32],
}

/// A conversation that is ready to be written.
#[derive(Debug, Clone)]
pub struct EncodedRecord {
    pub(crate) id: ConversationId,
    pub(crate) surface: Surface,
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u64,
    pub(crate) zstd: Vec<u8>,
    pub(crate) conversation: Conversation,
    pub(crate) issues: Vec<Issue>,
    pub(crate) readable: bool,
}

impl HashedRecord {
    /// Hashes the bytes. A conversation without an id is named after its hash.
    pub fn new(raw: RawConversation) -> Self {
        let sha256: [u8; 32] = Sha256::digest(&raw.bytes).into();
        let id = raw.id.clone().unwrap_or_else(|| ConversationId::new(unidentified(&sha256)));
        Self { raw, id, sha256 }
    }

    /// Returns the id under which the conversation is archived.
    pub fn id(&self) -> &ConversationId {
        &self.id
    }

    /// Returns the hash of the bytes.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns the part of the vendor's API that it came from.
    pub fn surface(&self) -> Surface {
        self.raw.surface
    }

    /// Returns how many bytes the vendor sent.
    pub fn size(&self) -> usize {
        self.raw.bytes.len()
    }

    /// Normalizes and compresses. Bytes that cannot be normalized are archived all the same.
    pub fn prepare(
        self,
        normalize: impl FnOnce(&[u8]) -> Result<(Conversation, Vec<Issue>)>,
    ) -> Result<EncodedRecord> {
        let (conversation, issues, readable) =
            understood(&self.id, normalize(&self.raw.bytes), self.raw.id.is_none());
        let zstd = compress(&self.raw.bytes)?;
        Ok(EncodedRecord {
            surface: self.raw.surface,
            sha256: self.sha256,
            size: self.raw.bytes.len() as u64,
            zstd,
            conversation,
            issues,
            readable,
            id: self.id,
        })
    }
}

impl EncodedRecord {
    /// Returns the conversation as it was understood.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }
}

/// Returns the id under which a record without an id is archived.
pub(crate) fn unidentified(sha256: &[u8; 32]) -> String {
    let start = sha256.iter().take(8).fold(0_u64, |start, byte| start << 8 | u64::from(*byte));
    format!("unidentified-{start:016x}")
}

/// Compresses with a context that each thread keeps, since making one costs more than using it.
pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    let failed = |error| Error::new(ErrorKind::Unexpected, "compress a conversation", error);
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(LEVEL).map_err(failed)?),
        };
        compressor.compress(bytes).map_err(failed)
    })
}

/// Returns what there is to archive: one that cannot be read keeps its id and says why, and nothing else.
pub(crate) fn understood(
    id: &ConversationId,
    normalized: Result<(Conversation, Vec<Issue>)>,
    has_no_id: bool,
) -> (Conversation, Vec<Issue>, bool) {
    match normalized {
        Ok((mut conversation, mut issues)) => {
            conversation.id = id.clone();
            if has_no_id {
                issues.push(Issue::new(IssueKind::Missing, "id"));
            }
            (conversation, issues, true)
        }
        Err(error) => {
            let mut conversation = Conversation::empty(id.clone());
            conversation.extra.insert("unreadable".to_owned(), error.message().into());
            (conversation, vec![Issue::new(IssueKind::Unreadable, "")], false)
        }
    }
}
