//! Verifies the archive: its structure, its bytes, its rows and its counts. Nothing is written.

use chatark_core::{DocumentKind, Error, ErrorKind, Mapper, RecordId, Result, Stream, Timestamp};
use rusqlite::{OptionalExtension, params};

use crate::archive::Archive;
use crate::document::{self, DocumentTable, StoredDocument};
use crate::keys::SourceKey;
use crate::raw::{self, Damage, PAGE_BYTES, RawVersion};
use crate::values::{database_error, read_count};

/// The most faults that one check of the file's structure returns.
const MAX_FAULTS: u32 = 20;

/// One subset of the records of an archive, such as 2 of 7: seven runs check all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// Its number, from 1.
    pub number: u32,
    /// How many subsets there are.
    pub of: u32,
}

impl Subset {
    /// The whole archive.
    pub const WHOLE: Self = Self { number: 1, of: 1 };
}

/// One version of a record, to be checked; with the whole document if the document's row shows this version.
#[derive(Debug)]
pub struct StoredVersion(VersionContent);

#[derive(Debug)]
enum VersionContent {
    /// An earlier version, or a part of a document.
    Bytes(RawVersion),
    /// The version that the row of a document shows.
    Shown(Box<StoredDocument>),
}

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionFault {
    /// The bytes are damaged.
    Bytes(Damage),
    /// The row cannot be read.
    Row,
    /// The row differs from a new mapping of the bytes.
    Outdated,
    /// The row differs because an earlier version of the mapping rules made it: it is not damaged, and `rebuild` updates it.
    EarlierMapping,
}

/// A version that was checked.
#[derive(Debug)]
pub struct CheckedVersion {
    /// The stream of the record; `None` if the archive names one that Chatark does not know.
    pub stream: Option<Stream>,
    /// The id of the record.
    pub id: RecordId,
    /// The id of the document that it is a part of; `None` for a document.
    pub parent: Option<RecordId>,
    /// The number of the version, from 1.
    pub version: i64,
    /// Its size in bytes, before compression.
    pub size: u64,
    /// Whether the row shows this version.
    pub is_shown: bool,
    /// What is wrong with it.
    pub fault: Option<VersionFault>,
}

impl StoredVersion {
    /// Compares the bytes with their hash, and the row, if a mapper is given, with a new mapping.
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
    /// Returns the id of the record; for a contact, with its stream, as in `leads/4711`.
    pub fn name(&self) -> String {
        document::noun_and_name(self.stream, &self.id).1
    }

    /// Returns a sentence about the fault; `None` if there is none, or if the row only has an earlier mapping.
    pub fn message(&self) -> Option<String> {
        let (thing, _) = document::noun_and_name(self.stream, &self.id);
        match self.fault? {
            VersionFault::Bytes(damage) => Some(document::damage_message(thing, damage)),
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
        // A damaged part is reported when the part itself is checked.
        let Ok(Ok(new_mapping)) = self.map(own, mapper?) else { return None };
        if new_mapping.document == row.document {
            return None;
        }
        Some(if row.has_earlier_mapping { VersionFault::EarlierMapping } else { VersionFault::Outdated })
    }
}

impl Archive {
    /// Returns what is wrong with the pages and indexes of the file, a sentence for each fault.
    pub fn structure_faults(&self) -> Result<Vec<String>> {
        self.query_faults("SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
    }

    /// Returns what is wrong with the references between tables, a sentence for each fault.
    pub fn reference_faults(&self) -> Result<Vec<String>> {
        self.query_faults(
            "SELECT 'a row of ' || \"table\" || ' refers to a row of ' || parent || ' that is not there'
             FROM pragma_foreign_key_check",
        )
    }

    fn query_faults(&self, check: &str) -> Result<Vec<String>> {
        let failed = || database_error("verify the archive");
        let sql = format!("{check} LIMIT {MAX_FAULTS}");
        let mut statement = self.connection.prepare(&sql).map_err(failed())?;
        let found = statement.query_map([], |row| row.get(0)).map_err(failed())?;
        found.collect::<rusqlite::Result<_>>().map_err(failed())
    }

    /// Returns the next versions of a source's records in a subset of the archive, in key order, and the key after which to
    /// continue.
    pub fn stored_versions(
        &self,
        source: SourceKey,
        subset: Subset,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<StoredVersion>, i64)> {
        let failed = || database_error("verify the archive");
        // Bytes and rows must be those of one state of the archive.
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        let sql = format!(
            "SELECT {} FROM raw CROSS JOIN record USING (record_key)
             WHERE source_key = ?1 AND record_key % ?2 = ?3 AND raw_key > ?4 ORDER BY raw_key LIMIT ?5",
            raw::COLUMNS
        );
        let source_has_parts = raw::has_records(&self.connection, source, raw::PART_STREAM)?;
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
            versions.push(self.with_document(source, raw, source_has_parts)?);
        }
        drop(rows);
        drop(statement);
        snapshot.finish().map_err(failed())?;
        Ok((versions, last))
    }

    /// Adds the document to a version that its row shows.
    fn with_document(
        &self,
        source: SourceKey,
        raw: RawVersion,
        source_has_parts: bool,
    ) -> Result<StoredVersion> {
        let kind = raw.stream.and_then(Stream::document).filter(|_| raw.parent.is_empty());
        Ok(StoredVersion(match kind {
            Some(kind) if self.is_shown(kind, &raw)? => {
                VersionContent::Shown(Box::new(self.stored_document(source, kind, raw, source_has_parts)?))
            }
            _ => VersionContent::Bytes(raw),
        }))
    }

    /// Returns whether the row of a document was made from a version of its own record.
    fn is_shown(&self, kind: DocumentKind, raw: &RawVersion) -> Result<bool> {
        let DocumentTable { name, key } = DocumentTable::of(kind);
        let sql = format!("SELECT 1 FROM {name} WHERE {key} = ?1 AND raw_version = ?2");
        let mut statement =
            self.connection.prepare_cached(&sql).map_err(database_error("verify the archive"))?;
        statement.exists([raw.record_key, raw.version]).map_err(database_error("verify the archive"))
    }

    /// Returns where the counts that the writer keeps of a source are wrong, and where rows or bytes are missing, a sentence
    /// for each fault.
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

    /// Counts the conversations of a source, without the missing ones, that began before `until` or have no date. Without
    /// `until`, counts all of them.
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
