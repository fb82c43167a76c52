//! Maps archived bytes again, page by page, and replaces the rows that come out differently.

use chatark_core::{Mapper, Result};
use rusqlite::{OptionalExtension, params};

use crate::archive::Archive;
use crate::derived::DerivedRows;
use crate::document::{self, StoredDocument};
use crate::encode::MappedDocument;
use crate::keys::RowKey;
use crate::persons;
use crate::run::Run;
use crate::run_log::save_progress;
use crate::values::database;
use crate::write::{Counts, IssueCounts, message_count};

/// A document that was mapped again.
#[derive(Debug)]
pub struct Rebuilt {
    stored: StoredDocument,
    mapped: MappedDocument,
}

impl StoredDocument {
    /// Decompresses and maps. Damaged bytes are an error; bytes that cannot be mapped are not.
    pub fn rebuild(self, mapper: &dyn Mapper) -> Result<Rebuilt> {
        let own = &self.own;
        let fresh = own.bytes().and_then(|bytes| self.map(bytes, mapper));
        let content = fresh.map_err(|damage| document::damaged("rebuild", own.stream, &own.id, damage))??;
        Ok(Rebuilt { stored: self, mapped: content })
    }
}

impl Archive {
    /// Replaces the rows that came out differently, in one transaction, and counts all of them in the run.
    pub fn replace(&mut self, run: &mut Run, rebuilt: &[Rebuilt]) -> Result<()> {
        let failed = database("rebuild");
        let mut progress = run.progress.clone();
        let transaction = self.connection.transaction().map_err(&failed)?;
        let (mut issues, mut counts, mut identifiers_changed) =
            (IssueCounts::default(), Counts::default(), false);
        for Rebuilt { stored, mapped } in rebuilt {
            progress.received += 1;
            progress.seen += 1;
            progress.bytes += stored.size();
            progress.unreadable += u64::from(!mapped.readable);
            issues.add(stored.own.id.as_str(), &mapped.issues);
            let current = stored.row.as_ref().ok();
            if let Some(row) = current
                && row.document == mapped.document
            {
                progress.unchanged += 1;
                if row.has_earlier_mapping {
                    document::confirm_mapping(&transaction, &mapped.document, stored.own.record_key)?;
                }
                continue;
            }
            progress.changed += 1;
            let record_key = stored.own.record_key;
            let held = match current {
                Some(row) => message_count(&row.document),
                None => held_messages(&transaction, record_key)?,
            };
            counts.messages += message_count(&mapped.document) - held;
            let row = RowKey {
                record_key,
                source: run.source,
                id: stored.own.id.as_str(),
                version: stored.own.version,
                readable: mapped.readable,
                is_new: false,
            };
            let stream = stored.own.stream.unwrap_or_default();
            let derived = DerivedRows::of(stream, &mapped.document);
            identifiers_changed |= document::write(&transaction, stream, row, mapped, &derived)?;
        }
        if identifiers_changed {
            persons::mark_outdated(&transaction)?;
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

/// Returns the message count of a row that cannot be read otherwise.
fn held_messages(transaction: &rusqlite::Transaction<'_>, record_key: i64) -> Result<i64> {
    let sql = "SELECT message_count FROM conversation WHERE conversation_key = ?1";
    let found = transaction.query_row(sql, params![record_key], |row| row.get(0)).optional();
    Ok(found.map_err(database("rebuild"))?.unwrap_or(0))
}
