//! Rows that are computed from a document when it is written: statistics and identifiers.

use chatark_core::{Conversation, ConversationId, ConversationStats, Document, ErrorKind, Result, Stream};
use rusqlite::{Connection, Transaction};

use crate::keys::SourceKey;
use crate::persons::Identifiers;
use crate::stats::EncodedStats;
use crate::values::database_error;
use crate::{contact, conversation};

/// For how many conversations one transaction of an upgrade computes rows.
const FILL_BATCH: u32 = 500;

/// The rows that are computed from a document, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct ComputedRows {
    /// `None` for documents other than conversations.
    stats: Option<EncodedStats>,
    identifiers: Identifiers,
}

impl ComputedRows {
    pub(crate) fn of(stream: Stream, document: &Document) -> Self {
        match document {
            Document::Conversation(conversation) => Self::of_conversation(conversation),
            Document::Contact(listed) => {
                Self { stats: None, identifiers: Identifiers::of_contact(stream == Stream::Leads, listed) }
            }
        }
    }

    fn of_conversation(conversation: &Conversation) -> Self {
        Self {
            stats: Some(EncodedStats::of(ConversationStats::of(conversation))),
            identifiers: Identifiers::of_conversation(conversation),
        }
    }

    /// Writes or replaces the rows of a document, and returns whether its identifiers changed: persons are then out of date.
    pub(crate) fn write(
        &self,
        transaction: &Transaction<'_>,
        source: SourceKey,
        record_key: i64,
        is_new: bool,
    ) -> Result<bool> {
        if let Some(stats) = &self.stats {
            stats.write(transaction, record_key)?;
        }
        self.identifiers.write(transaction, source, record_key, is_new)
    }
}

/// Computes these rows for the documents that an older version of Chatark archived.
///
/// Continues where an interrupted upgrade stopped.
pub(crate) fn fill(connection: &mut Connection) -> Result<()> {
    let failed = || database_error("upgrade the archive");
    if is_filled(connection)? {
        return Ok(());
    }
    while fill_conversations(connection)? {}
    let transaction = connection.transaction().map_err(failed())?;
    fill_contacts(&transaction)?;
    transaction.execute("UPDATE archive SET is_derived = 1, persons_outdated = 1", []).map_err(failed())?;
    transaction.commit().map_err(failed())
}

/// Returns whether all documents have their computed rows.
pub(crate) fn is_filled(connection: &Connection) -> Result<bool> {
    let sql = "SELECT is_derived FROM archive";
    connection.query_row(sql, [], |row| row.get(0)).map_err(database_error("open the archive"))
}

/// Computes the rows of the next conversations, and returns whether there were any.
fn fill_conversations(connection: &mut Connection) -> Result<bool> {
    let failed = || database_error("upgrade the archive");
    let transaction = connection.transaction().map_err(failed())?;
    let next: Vec<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT conversation_key, source_key FROM conversation
             WHERE conversation_key > (SELECT coalesce(max(conversation_key), 0) FROM conversation_stats)
             ORDER BY conversation_key LIMIT ?1",
        )
        .and_then(|mut statement| {
            let rows = statement.query_map([FILL_BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
        .map_err(failed())?;
    for (key, source) in &next {
        let (conversation, _) = match conversation::read(&transaction, *key) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                // `verify` reports the damage; the upgrade does not fail on it.
                tracing::warn!(%error, key, "a damaged conversation has no statistics");
                (Conversation::empty(ConversationId::new("")), 0)
            }
            found => found?,
        };
        ComputedRows::of_conversation(&conversation).write(&transaction, SourceKey(*source), *key, true)?;
    }
    transaction.commit().map_err(failed())?;
    Ok(!next.is_empty())
}

fn fill_contacts(transaction: &Transaction<'_>) -> Result<()> {
    let failed = || database_error("upgrade the archive");
    let mut statement =
        transaction.prepare("SELECT contact_key, source_key, stream FROM contact").map_err(failed())?;
    let mut rows = statement.query([]).map_err(failed())?;
    while let Some(row) = rows.next().map_err(failed())? {
        let (key, source): (i64, i64) = (row.get(0).map_err(failed())?, row.get(1).map_err(failed())?);
        let stream = Stream::from_word(&row.get::<_, String>(2).map_err(failed())?).unwrap_or_default();
        match contact::read(transaction, key) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                tracing::warn!(%error, key, "a damaged contact has no identifiers");
            }
            found => {
                let (contact, _) = found?;
                let computed = ComputedRows::of(stream, &Document::Contact(contact));
                computed.write(transaction, SourceKey(source), key, false)?;
            }
        }
    }
    Ok(())
}
