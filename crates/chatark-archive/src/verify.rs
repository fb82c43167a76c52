//! Verifies the archive: its structure, its bytes, its rows and its counts. Nothing is written.

use chatark_core::{DocumentKind, Error, ErrorKind, Mapper, RecordId, Result, Stream, Timestamp};
use rusqlite::{OptionalExtension, params};

use crate::archive::Archive;
use crate::document::{self, DocumentTable, StoredDocument};
use crate::keys::SourceKey;
use crate::raw::{self, Damage, PAGE_BYTES, RawVersion};
use crate::values::{database_error, read_count};

/// The most faults of the file's structure that are named.
const MAX_FAULTS: u32 = 20;

/// One subset of the records of an archive, such as 2 of 7: seven runs check all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// Which one, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl Subset {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, of: 1 };
}

/// One version of a record, with the document if its row shows this version.
#[derive(Debug)]
pub struct StoredVersion(VersionContent);

#[derive(Debug)]
enum VersionContent {
    /// An earlier version, or a part of a document.
    Bytes(RawVersion),
    /// The version that the row of a document shows.
    Shown(Box<StoredDocument>),
}

/// What a check of one version found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionFault {
    /// The bytes are damaged.
    Bytes(Damage),
    /// The row cannot be read.
    Row,
    /// The row does not match what the bytes are mapped to.
    Outdated,
    /// The same, but an earlier version of the mapping rules made the row: it is not damaged, and `rebuild` updates it.
    EarlierMapping,
}

/// A version that was checked.
#[derive(Debug)]
pub struct CheckedVersion {
    /// The stream of the record; `None` if its word in the archive is not known.
    pub stream: Option<Stream>,
    /// The record.
    pub id: RecordId,
    /// The id of the document that it is a part of; `None` for a document.
    pub parent: Option<RecordId>,
    /// Its version, from 1.
    pub version: i64,
    /// How many bytes it has.
    pub size: u64,
    /// Whether it is the version that the row shows.
    pub is_shown: bool,
    /// What is wrong with it.
    pub fault: Option<VersionFault>,
}

impl StoredVersion {
    /// Compares the bytes with their hash and, with a mapper, the row with a new mapping.
    pub fn check(self, mapper: Option<&dyn Mapper>) -> CheckedVersion {
        let (fault, is_shown, raw) = match self.0 {
            VersionContent::Bytes(raw) => {
                let unknown = raw.stream.is_none().then_some(VersionFault::Row);
                (raw.bytes().err().map(VersionFault::Bytes).or(unknown), false, raw)
            }
            VersionContent::Shown(document) => (document.fault(mapper), true, document.own),
        };
        let RawVersion { stream, parent, id, version, size, .. } = raw;
        let parent = Some(parent).filter(|parent| !parent.is_empty()).map(RecordId::new);
        CheckedVersion { stream, id, parent, version, size, is_shown, fault }
    }
}

impl CheckedVersion {
    /// Returns the name of the record among all of its kind.
    pub fn name(&self) -> String {
        document::naming(self.stream, &self.id).1
    }

    /// Returns a sentence about its fault; `None` without one, or if the row only has an earlier mapping.
    pub fn message(&self) -> Option<String> {
        let (thing, _) = document::naming(self.stream, &self.id);
        match self.fault? {
            VersionFault::Bytes(damage) => Some(document::damaged_bytes(thing, damage)),
            VersionFault::Row => Some(format!("the row of a {thing} cannot be read")),
            VersionFault::Outdated => {
                Some(format!("the row of a {thing} differs from a new mapping of its bytes"))
            }
            VersionFault::EarlierMapping => None,
        }
    }
}

impl StoredDocument {
    fn fault(&self, mapper: Option<&dyn Mapper>) -> Option<VersionFault> {
        let own = match self.own.bytes() {
            Ok(bytes) => bytes,
            Err(damage) => return Some(VersionFault::Bytes(damage)),
        };
        let Ok(row) = &self.row else { return Some(VersionFault::Row) };
        // Damage of a part is found where the part is checked.
        let Ok(Ok(fresh)) = self.map(own, mapper?) else { return None };
        if fresh.document == row.document {
            return None;
        }
        Some(if row.has_earlier_mapping { VersionFault::EarlierMapping } else { VersionFault::Outdated })
    }
}

impl Archive {
    /// Returns what is wrong with the pages and indexes of the file.
    pub fn structure_faults(&self) -> Result<Vec<String>> {
        self.faults("SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
    }

    /// Returns what is wrong with the references between tables.
    pub fn reference_faults(&self) -> Result<Vec<String>> {
        self.faults(
            "SELECT 'a row of ' || \"table\" || ' refers to a row of ' || parent || ' that is not there'
             FROM pragma_foreign_key_check",
        )
    }

    fn faults(&self, check: &str) -> Result<Vec<String>> {
        let failed = || database_error("verify the archive");
        let sql = format!("{check} LIMIT {MAX_FAULTS}");
        let mut statement = self.connection.prepare(&sql).map_err(failed())?;
        let found = statement.query_map([], |row| row.get(0)).map_err(failed())?;
        found.collect::<rusqlite::Result<_>>().map_err(failed())
    }

    /// Returns the next versions of a source's records in a subset of the archive, and the key after which to continue.
    pub fn stored_versions(
        &self,
        source: SourceKey,
        subset: Subset,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<StoredVersion>, i64)> {
        let failed = || database_error("verify the archive");
        // Bytes and rows of one state, whatever is written meanwhile.
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        let sql = format!(
            "SELECT {} FROM raw CROSS JOIN record USING (record_key)
             WHERE source_key = ?1 AND record_key % ?2 = ?3 AND raw_key > ?4 ORDER BY raw_key LIMIT ?5",
            raw::COLUMNS
        );
        let has_parts = raw::has_records(&self.connection, source, raw::PART_STREAM)?;
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed())?;
        let wanted = params![source.0, subset.of, subset.number - 1, after, limit];
        let mut rows = statement.query(wanted).map_err(failed())?;
        let (mut versions, mut size, mut last) = (Vec::new(), 0_u64, after);
        while size < PAGE_BYTES
            && let Some(row) = rows.next().map_err(failed())?
        {
            let raw = RawVersion::read(row).map_err(failed())?;
            // A damaged size only ends the page early.
            size = size.saturating_add(raw.size);
            last = raw.raw_key;
            versions.push(self.version(source, raw, has_parts)?);
        }
        drop(rows);
        drop(statement);
        snapshot.finish().map_err(failed())?;
        Ok((versions, last))
    }

    fn version(&self, source: SourceKey, raw: RawVersion, has_parts: bool) -> Result<StoredVersion> {
        let kind = raw.stream.and_then(Stream::document).filter(|_| raw.parent.is_empty());
        Ok(StoredVersion(match kind {
            Some(kind) if self.is_shown(kind, &raw)? => {
                VersionContent::Shown(Box::new(self.stored_document(source, kind, raw, has_parts)?))
            }
            _ => VersionContent::Bytes(raw),
        }))
    }

    /// Returns whether the row of a record was made from a version.
    fn is_shown(&self, kind: DocumentKind, raw: &RawVersion) -> Result<bool> {
        let DocumentTable { name, key } = DocumentTable::of(kind);
        let sql = format!("SELECT 1 FROM {name} WHERE {key} = ?1 AND raw_version = ?2");
        let mut statement =
            self.connection.prepare_cached(&sql).map_err(database_error("verify the archive"))?;
        statement.exists([raw.record_key, raw.version]).map_err(database_error("verify the archive"))
    }

    /// Returns what is wrong with the counts that the writer keeps of a source.
    pub fn count_faults(&self, source: SourceKey) -> Result<Vec<String>> {
        let failed = || database_error("verify the archive");
        let number = |sql: &str| -> Result<u64> {
            let found: Option<i64> = self
                .connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row([source.0], |row| row.get(0)).optional())
                .map_err(failed())?;
            Ok(read_count(found.unwrap_or(0)))
        };
        let mut faults = Vec::new();
        for (what, kept, real) in [
            (
                "conversations",
                "SELECT conversations FROM source WHERE source_key = ?1",
                "SELECT count(*) FROM conversation WHERE source_key = ?1",
            ),
            (
                "messages",
                "SELECT messages FROM source WHERE source_key = ?1",
                "SELECT count(*) FROM message JOIN conversation USING (conversation_key) WHERE source_key = ?1",
            ),
        ] {
            let (kept, real) = (number(kept)?, number(real)?);
            if kept != real {
                faults.push(format!("the archive counts {kept} {what} and holds {real}"));
            }
        }
        let uncounted = number(
            "SELECT count(*) FROM conversation c WHERE source_key = ?1 AND message_count <>
                 (SELECT count(*) FROM message m WHERE m.conversation_key = c.conversation_key)",
        )?;
        if uncounted > 0 {
            faults.push(format!("{uncounted} conversations have a wrong message count"));
        }
        for (table, what) in DocumentTable::ALL.iter().zip(["conversations", "contacts"]) {
            let DocumentTable { name, key } = table;
            let without_bytes = number(&format!(
                "SELECT count(*) FROM {name} d WHERE source_key = ?1 AND NOT EXISTS
                     (SELECT 1 FROM raw r WHERE r.record_key = d.{key} AND r.version = d.raw_version)"
            ))?;
            if without_bytes > 0 {
                faults.push(format!("{without_bytes} {what} lack the bytes that their row was made from"));
            }
        }
        let without_row = number(
            "SELECT count(*) FROM record WHERE source_key = ?1 AND parent = ''
                 AND NOT EXISTS (SELECT 1 FROM conversation WHERE conversation_key = record_key)
                 AND NOT EXISTS (SELECT 1 FROM contact WHERE contact_key = record_key)",
        )?;
        if without_row > 0 {
            faults.push(format!("{without_row} records have no row"));
        }
        Ok(faults)
    }

    /// Returns how many conversations of a source that are not missing began before an instant, or have no date.
    pub fn count_held_before(&self, source: SourceKey, until: Option<Timestamp>) -> Result<u64> {
        let row = params![source.0, until.map(Timestamp::microseconds)];
        self.connection
            .query_row(
                "SELECT count(*) FROM conversation WHERE source_key = ?1 AND missing_since IS NULL
                     AND (?2 IS NULL OR created_at IS NULL OR created_at < ?2)",
                row,
                |row| row.get(0),
            )
            .map(read_count)
            .map_err(database_error("verify the archive"))
    }
}

/// Reads a subset as `N/T`.
impl std::str::FromStr for Subset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = |(number, of): (&str, &str)| {
            Some(Self { number: number.trim().parse().ok()?, of: of.trim().parse().ok()? })
        };
        let subset = text.split_once('/').and_then(read);
        subset
            .filter(|subset| (1..=1_000).contains(&subset.of) && (1..=subset.of).contains(&subset.number))
            .ok_or_else(|| {
                Error::new(ErrorKind::Usage, "choose a subset", "a subset is N of T, with T at most 1,000")
                    .hint("write it as 1/7, 2/7 and so on to 7/7")
            })
    }
}
