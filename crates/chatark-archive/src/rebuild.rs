//! Normalizing again: the archived bytes are read page by page, and rows that come out differently are replaced.

use chatark_core::{Conversation, Error, ErrorKind, Issue, Result, Surface};
use rusqlite::params;

use crate::ledger::{Run, SourceKey, save_progress};
use crate::open::Archive;
use crate::prepare::{EncodedRecord, understood};
use crate::read::{read_conversation, read_messages};
use crate::stored::{self, Stored};
use crate::values::{count, database};
use crate::write::{Counts, IssueCounts, update_conversation};

/// A conversation that was normalized again.
#[derive(Debug)]
pub struct Rebuilt {
    conversation_key: i64,
    version: i64,
    prepared: EncodedRecord,
}

impl Stored {
    /// Decompresses and normalizes. Damaged bytes are an error; bytes that cannot be normalized are not.
    pub fn normalize(
        self,
        normalize: impl FnOnce(&[u8]) -> Result<(Conversation, Vec<Issue>)>,
    ) -> Result<Rebuilt> {
        let raw = self.bytes().map_err(|damage| {
            Error::new(ErrorKind::Damaged, "rebuild", damage.as_str())
                .with("conversation", &self.id)
                .hint("restore the archive from a copy, or pull the source with `--full`")
        })?;
        let (conversation, issues, readable) = understood(&self.id, normalize(&raw), false);
        let prepared = EncodedRecord {
            id: self.id,
            surface: Surface::Export,
            sha256: self.sha256,
            size: self.size,
            zstd: Vec::new(),
            conversation,
            issues,
            readable,
        };
        Ok(Rebuilt { conversation_key: self.conversation_key, version: self.version, prepared })
    }
}

impl Archive {
    /// Returns the bytes of the next conversations of a source, and the number to ask for more with.
    pub fn stored(&self, source: SourceKey, after: i64, most: u32) -> Result<(Vec<Stored>, i64)> {
        let sql = format!(
            "SELECT {} FROM conversation c JOIN raw r
                 ON r.conversation_key = c.conversation_key AND r.version = c.raw_version
             WHERE c.source_key = ?1 AND c.conversation_key > ?2 ORDER BY c.conversation_key LIMIT ?3",
            stored::COLUMNS
        );
        let stored = stored::page(&self.connection, &sql, params![source.0, after, most])?;
        let last = stored.last().map_or(after, |stored| stored.conversation_key);
        Ok((stored, last))
    }

    /// Replaces the rows that came out differently, in one transaction, and counts them in the run.
    pub fn replace(&mut self, run: &mut Run, rebuilt: &[Rebuilt]) -> Result<()> {
        let failed = database("rebuild");
        let mut progress = run.progress.clone();
        let transaction = self.connection.transaction().map_err(&failed)?;
        let (mut issues, mut counts) = (IssueCounts::default(), Counts::default());
        for Rebuilt { conversation_key: key, version, prepared } in rebuilt {
            progress.received += 1;
            progress.seen += 1;
            progress.bytes += prepared.size;
            progress.unreadable += u64::from(!prepared.readable);
            issues.add(prepared.id.as_str(), &prepared.issues);
            let current = current(&transaction, *key)?;
            if current == prepared.conversation {
                progress.unchanged += 1;
                continue;
            }
            progress.changed += 1;
            counts.messages += count(prepared.conversation.messages.len() as u64);
            counts.messages -= count(current.messages.len() as u64);
            update_conversation(&transaction, *key, *version, prepared)?;
        }
        progress.issues += issues.total();
        issues.write(&transaction, run.key)?;
        counts.write(&transaction, run.source)?;
        save_progress(&transaction, run.key, &progress)?;
        transaction.commit().map_err(&failed)?;
        run.progress = progress;
        Ok(())
    }
}

fn current(transaction: &rusqlite::Transaction<'_>, key: i64) -> Result<Conversation> {
    let failed = database("rebuild");
    let sql = format!("SELECT {} FROM conversation WHERE conversation_key = ?1", crate::read::COLUMNS);
    let mut statement = transaction.prepare_cached(&sql).map_err(&failed)?;
    let mut rows = statement.query([key]).map_err(&failed)?;
    let row = rows.next().map_err(&failed)?.ok_or_else(|| {
        Error::new(ErrorKind::Unexpected, "rebuild", "a conversation is gone while it is rebuilt")
    })?;
    let mut conversation = read_conversation(row)?;
    let mut messages = transaction.prepare_cached(crate::read::MESSAGES).map_err(&failed)?;
    read_messages(&mut messages, key, &mut conversation.messages)?;
    Ok(conversation)
}
