//! Maps archived bytes again, page by page, and replaces the rows that this changes.

use chatark_core::{Mapper, Result};
use rusqlite::{OptionalExtension, params};

use crate::archive::Archive;
use crate::computed::ComputedRows;
use crate::document::{self, StoredDocument};
use crate::encode::MappedDocument;
use crate::keys::RowKey;
use crate::persons;
use crate::run::Run;
use crate::run_log::save_counts;
use crate::values::database_error;
use crate::write::{IssueCounts, SourceDelta, message_count};

/// A document that was mapped again.
#[derive(Debug)]
pub struct RebuiltDocument {
    stored: StoredDocument,
    mapped: MappedDocument,
}

impl StoredDocument {
    /// Decompresses the bytes and maps them again. Damaged bytes are an error; bytes that cannot be mapped are not.
    pub fn rebuild(self, mapper: &dyn Mapper) -> Result<RebuiltDocument> {
        let own = &self.own;
        let remapped = own.bytes().and_then(|bytes| self.map(bytes, mapper));
        let new_mapping =
            remapped.map_err(|damage| document::damage_error("rebuild", own.stream, &own.id, damage))??;
        Ok(RebuiltDocument { stored: self, mapped: new_mapping })
    }
}

impl Archive {
    /// Replaces the rows that a new mapping changes, in one transaction, and counts all documents in the run.
    pub fn replace_rebuilt(&mut self, run: &mut Run, rebuilt: &[RebuiltDocument]) -> Result<()> {
        let failed = database_error("rebuild");
        let mut counts = run.counts.clone();
        let transaction = self.connection.transaction().map_err(&failed)?;
        let (mut issues, mut source_delta, mut identifiers_changed) =
            (IssueCounts::default(), SourceDelta::default(), false);
        for RebuiltDocument { stored, mapped } in rebuilt {
            counts.received += 1;
            counts.seen += 1;
            counts.bytes += stored.size();
            counts.unreadable += u64::from(!mapped.readable);
            issues.add(stored.own.id.as_str(), &mapped.issues);
            let current = stored.row.as_ref().ok();
            if let Some(row) = current
                && row.document == mapped.document
            {
                counts.unchanged += 1;
                if row.has_earlier_mapping {
                    document::confirm_mapping(&transaction, &mapped.document, stored.own.record_key)?;
                }
                continue;
            }
            counts.changed += 1;
            let record_key = stored.own.record_key;
            let messages_before = match current {
                Some(row) => message_count(&row.document),
                None => stored_message_count(&transaction, record_key)?,
            };
            source_delta.messages += message_count(&mapped.document) - messages_before;
            let row = RowKey {
                record_key,
                source: run.source,
                id: stored.own.id.as_str(),
                version: stored.own.version,
                readable: mapped.readable,
                is_new: false,
            };
            let stream = stored.own.stream.unwrap_or_default();
            let computed = ComputedRows::of(stream, &mapped.document);
            identifiers_changed |= document::write(&transaction, stream, row, mapped, &computed)?;
        }
        if identifiers_changed {
            persons::mark_outdated(&transaction)?;
        }
        counts.issues += issues.total();
        issues.write(&transaction, run.key)?;
        source_delta.write(&transaction, run.source)?;
        save_counts(&transaction, run.key, &counts)?;
        transaction.commit().map_err(&failed)?;
        run.counts = counts;
        Ok(())
    }
}

/// Returns the message count of a row whose other columns cannot be read.
fn stored_message_count(transaction: &rusqlite::Transaction<'_>, record_key: i64) -> Result<i64> {
    let sql = "SELECT message_count FROM conversation WHERE conversation_key = ?1";
    let found = transaction.query_row(sql, params![record_key], |row| row.get(0)).optional();
    Ok(found.map_err(database_error("rebuild"))?.unwrap_or(0))
}
