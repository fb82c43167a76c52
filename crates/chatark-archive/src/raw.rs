//! The archived bytes of records: reads them, and checks that they are what the vendor sent.

use std::cell::RefCell;
use std::sync::LazyLock;

use bytes::Bytes;
use chatark_core::{Record, RecordId, Result, Stream, Surface};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use zstd::bulk::Decompressor;

use crate::encode::{HashedRecord, is_id_from_hash};
use crate::keys::SourceKey;
use crate::values::{database_error, read_count};

/// The size in bytes, before compression, after which a page of documents or versions ends.
pub(crate) const PAGE_BYTES: u64 = 8 << 20;

/// The columns of `record` and `raw` that a [`RawVersion`] is read from.
pub(crate) const COLUMNS: &str =
    "raw_key, record.record_key, version, record.stream, parent, record.id, surface, sha256, zstd, size";

/// The stream that parts of documents belong to.
pub(crate) const PART_STREAM: Stream = Stream::Messages;

/// One version of a record, with its compressed bytes.
#[derive(Debug)]
pub(crate) struct RawVersion {
    pub(crate) raw_key: i64,
    pub(crate) record_key: i64,
    pub(crate) version: i64,
    /// `None` if the archive names a stream that Chatark does not know.
    pub(crate) stream: Option<Stream>,
    pub(crate) parent: String,
    pub(crate) id: RecordId,
    pub(crate) surface: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) zstd: Vec<u8>,
    pub(crate) size: u64,
}

/// What is wrong with the bytes of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// They cannot be decompressed.
    Compression,
    /// There are more or fewer bytes than the vendor sent.
    Size,
    /// They are not those that the vendor sent.
    Hash,
}

impl Damage {
    /// Returns what is wrong, as the end of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compression => "cannot be decompressed",
            Self::Size => "are more or fewer than the vendor sent",
            Self::Hash => "are not those that the vendor sent",
        }
    }
}

impl RawVersion {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            raw_key: row.get(0)?,
            record_key: row.get(1)?,
            version: row.get(2)?,
            stream: Stream::from_word(row.get_ref(3)?.as_str()?),
            parent: row.get(4)?,
            id: RecordId::new(row.get::<_, String>(5)?),
            surface: row.get(6)?,
            // A hash of the wrong length matches no bytes.
            sha256: row.get_ref(7)?.as_blob()?.try_into().unwrap_or_default(),
            zstd: row.get(8)?,
            size: read_count(row.get(9)?),
        })
    }

    /// Decompresses, and compares the bytes with their size and hash.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Damage> {
        // The size in the compressed frame must match first: a damaged `size` must not allocate memory.
        let frame_size = Decompressor::upper_bound(&self.zstd).ok_or(Damage::Compression)?;
        if frame_size as u64 != self.size {
            return Err(Damage::Size);
        }
        let bytes = decompress(&self.zstd, frame_size)?;
        if bytes.len() as u64 != self.size {
            return Err(Damage::Size);
        }
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != self.sha256 {
            return Err(Damage::Hash);
        }
        Ok(bytes)
    }

    /// Returns the record with these bytes, as the mapper received it when it came.
    pub(crate) fn record(&self, bytes: Vec<u8>) -> Record {
        let parent = Some(&self.parent).filter(|parent| !parent.is_empty());
        // Mapping sets a document's id again; a part that came without an id must not get one.
        let has_id = parent.is_none() || !is_id_from_hash(&self.id, &self.sha256);
        Record {
            stream: self.stream.unwrap_or_default(),
            id: has_id.then(|| self.id.clone()),
            parent: parent.map(RecordId::new),
            surface: Surface::from_word(&self.surface).unwrap_or(Surface::Export),
            bytes: Bytes::from(bytes),
        }
    }
}

/// Decompresses with a context that each thread keeps, because creating one takes longer than using it.
fn decompress(bytes: &[u8], size: usize) -> Result<Vec<u8>, Damage> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().map_err(|_| Damage::Compression)?),
        };
        decompressor.decompress(bytes, size).map_err(|_| Damage::Compression)
    })
}

/// Returns whether the archive has any record of a source's stream. If it has none, no record need be looked up.
pub(crate) fn has_records(connection: &Connection, source: SourceKey, stream: Stream) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM record WHERE source_key = ?1 AND stream = ?2)")
        .and_then(|mut statement| statement.query_row(params![source.0, stream.as_str()], |row| row.get(0)))
        .map_err(database_error("look up a record"))
}

/// Reads the latest versions of a document's parts from a surface, in the order of the parts.
pub(crate) fn parts(
    connection: &Connection,
    source: SourceKey,
    document: &RecordId,
    surface: &str,
) -> Result<Vec<RawVersion>> {
    static SELECT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {COLUMNS} FROM record JOIN raw ON raw.record_key = record.record_key AND version = (
                 SELECT max(version) FROM raw WHERE raw.record_key = record.record_key AND surface = ?4)
             WHERE source_key = ?1 AND stream = ?2 AND parent = ?3 AND ordinal IS NOT NULL
             ORDER BY ordinal, record.record_key"
        )
    });
    let failed = || database_error("read the archived bytes");
    let mut statement = connection.prepare_cached(&SELECT).map_err(failed())?;
    let wanted = params![source.0, PART_STREAM.as_str(), document.as_str(), surface];
    let found = statement.query_map(wanted, RawVersion::read).map_err(failed())?;
    found.collect::<rusqlite::Result<_>>().map_err(failed())
}

/// Returns the hash of the latest version of a document's own record from the surface of `record`; `None` if there is none.
pub(crate) fn latest_hash(
    connection: &Connection,
    source: SourceKey,
    record: &HashedRecord,
) -> Result<Option<[u8; 32]>> {
    let wanted = params![source.0, record.stream().as_str(), record.id().as_str(), record.surface().as_str()];
    connection
        .prepare_cached(
            "SELECT sha256 FROM record JOIN raw ON raw.record_key = record.record_key
             WHERE source_key = ?1 AND stream = ?2 AND parent = '' AND record.id = ?3 AND surface = ?4
             ORDER BY version DESC LIMIT 1",
        )
        .and_then(|mut statement| {
            let hash = |row: &Row<'_>| Ok(row.get_ref(0)?.as_blob()?.try_into().ok());
            statement.query_row(wanted, hash).optional()
        })
        .map(Option::flatten)
        .map_err(database_error("look up a record"))
}

/// Returns the ids of a document's parts and the hashes of their latest versions from a surface, in the order of the parts.
pub(crate) fn part_hashes(
    connection: &Connection,
    source: SourceKey,
    document: &RecordId,
    surface: Surface,
) -> Result<Vec<(String, Option<[u8; 32]>)>> {
    let failed = || database_error("look up a record");
    let mut statement = connection
        .prepare_cached(
            "SELECT id, (SELECT sha256 FROM raw WHERE raw.record_key = record.record_key AND surface = ?4
                         ORDER BY version DESC LIMIT 1) AS latest
             FROM record WHERE source_key = ?1 AND stream = ?2 AND parent = ?3 AND ordinal IS NOT NULL
                 AND latest IS NOT NULL ORDER BY ordinal, record_key",
        )
        .map_err(failed())?;
    let wanted = params![source.0, PART_STREAM.as_str(), document.as_str(), surface.as_str()];
    let found = statement
        .query_map(wanted, |row| Ok((row.get(0)?, row.get_ref(1)?.as_blob()?.try_into().ok())))
        .map_err(failed())?;
    found.collect::<rusqlite::Result<_>>().map_err(failed())
}
