//! What the archive holds, read from its tables.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The hash of the bytes of a record.
pub type Hash = [u8; 32];

/// What is held of one conversation.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The hashes of all versions, the oldest first.
    pub versions: Vec<Hash>,
    /// The hash of the version that the archive shows.
    pub shown: Option<Hash>,
    /// Whether it is marked as missing.
    pub is_missing: bool,
}

/// Reads what an archive holds of every conversation, by id.
pub fn read(path: &Path) -> rusqlite::Result<BTreeMap<String, Held>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare(
        "SELECT record.id, raw.sha256, raw.version = conversation.raw_version, missing_since IS NOT NULL
         FROM raw JOIN record USING (record_key) LEFT JOIN conversation ON conversation.conversation_key = record.record_key
         WHERE record.stream = 'conversations' AND record.parent = '' AND surface = 'export' ORDER BY raw_key",
    )?;
    let mut rows = statement.query([])?;
    let mut held = BTreeMap::<String, Held>::new();
    while let Some(row) = rows.next()? {
        let conversation = held.entry(row.get(0)?).or_default();
        let hash = row.get(1)?;
        conversation.versions.push(hash);
        if row.get::<_, Option<bool>>(2)? == Some(true) {
            conversation.shown = Some(hash);
        }
        conversation.is_missing |= row.get::<_, Option<bool>>(3)? == Some(true);
    }
    Ok(held)
}

/// Returns how many gaps are open.
pub fn open_gaps(path: &Path) -> rusqlite::Result<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = "SELECT count(*) FROM gap WHERE closed_at IS NULL AND accepted_at IS NULL";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}
