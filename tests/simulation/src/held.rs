//! What the archive holds, read from its tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chatark_core::GapBounds;
use rusqlite::{Connection, OpenFlags};

/// The hash of the bytes of a record.
pub type Hash = [u8; 32];

/// What the archive holds of one conversation.
#[derive(Debug, Clone, Default)]
pub struct ArchivedConversation {
    /// The hashes of all versions, the oldest first.
    pub versions: Vec<Hash>,
    /// The hash of the version that the archive shows.
    pub shown: Option<Hash>,
    /// Whether it is marked as missing.
    pub is_missing: bool,
}

/// Reads an archive without the product's code, over one connection for as long as the file is the same.
#[derive(Debug, Default)]
pub struct Reader {
    open: Option<(PathBuf, Connection)>,
}

impl Reader {
    fn connection(&mut self, path: &Path) -> rusqlite::Result<&Connection> {
        let open = match self.open.take() {
            Some(open) if open.0 == path => open,
            _ => {
                let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
                (path.to_owned(), connection)
            }
        };
        Ok(&self.open.insert(open).1)
    }

    /// Reads what an archive holds of every conversation, by id.
    pub fn held(&mut self, path: &Path) -> rusqlite::Result<BTreeMap<String, ArchivedConversation>> {
        let mut statement = self.connection(path)?.prepare_cached(
            "SELECT record.id, raw.sha256, raw.version = conversation.raw_version, missing_since IS NOT NULL
             FROM raw JOIN record USING (record_key)
                 LEFT JOIN conversation ON conversation.conversation_key = record.record_key
             WHERE record.stream = 'conversations' AND record.parent = '' AND surface = 'export' ORDER BY raw_key",
        )?;
        let mut rows = statement.query([])?;
        let mut held = BTreeMap::<String, ArchivedConversation>::new();
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

    /// Returns how many gaps are open, and whether they were accepted.
    pub fn count_gaps(&mut self, path: &Path) -> rusqlite::Result<GapCounts> {
        let mut statement = self
            .connection(path)?
            .prepare_cached("SELECT accepted_at IS NOT NULL FROM gap WHERE closed_at IS NULL")?;
        let mut gaps = GapCounts::default();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if row.get(0)? { gaps.accepted += 1 } else { gaps.open += 1 }
        }
        Ok(gaps)
    }

    /// Returns where the gaps are that were not closed, accepted or not.
    pub fn gap_bounds(&mut self, path: &Path) -> rusqlite::Result<Vec<GapBounds>> {
        self.bounds(path, 0)
    }

    /// Returns where the gaps are that were not closed and were tried more than once.
    pub fn bounds_tried_again(&mut self, path: &Path) -> rusqlite::Result<Vec<GapBounds>> {
        self.bounds(path, 2)
    }

    fn bounds(&mut self, path: &Path, attempts: i64) -> rusqlite::Result<Vec<GapBounds>> {
        let mut statement = self
            .connection(path)?
            .prepare_cached("SELECT bounds FROM gap WHERE closed_at IS NULL AND attempts >= ?1")?;
        let bounds = statement.query_map([attempts], |row| row.get::<_, String>(0))?;
        let bounds = bounds.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(bounds.iter().filter_map(|bounds| serde_json::from_str(bounds).ok()).collect())
    }
}

/// How many gaps an archive notes that were not closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GapCounts {
    /// Those that affect a verdict.
    pub open: u64,
    /// Those that the user accepted.
    pub accepted: u64,
}

impl GapCounts {
    /// Returns how many there are in all.
    pub fn total(self) -> u64 {
        self.open + self.accepted
    }
}
