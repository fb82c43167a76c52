//! The bytes of a conversation as they lie in the archive, and the proof that they are what the vendor sent.

use chatark_core::{ConversationId, Result};
use rusqlite::{Connection, Params, Row};
use sha2::{Digest, Sha256};
use zstd::bulk::Decompressor;

use crate::values::{database, uncount};

/// A page ends with so many bytes, before compression.
pub(crate) const PAGE_BYTES: u64 = 8 << 20;

/// The columns that [`Stored`] is read from, of `conversation c` and `raw r`.
pub(crate) const COLUMNS: &str = "c.conversation_key, r.version, c.id, r.sha256, r.zstd, r.size, r.raw_key";

/// One version of a conversation, compressed.
#[derive(Debug)]
pub struct Stored {
    pub(crate) raw_key: i64,
    pub(crate) conversation_key: i64,
    pub(crate) version: i64,
    pub(crate) id: ConversationId,
    pub(crate) sha256: [u8; 32],
    pub(crate) zstd: Vec<u8>,
    pub(crate) size: u64,
}

/// What is wrong with the bytes of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// They cannot be decompressed.
    Compression,
    /// There are more or fewer than the vendor sent.
    Size,
    /// They are not those that the vendor sent.
    Hash,
}

impl Damage {
    /// Returns what is wrong, as a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compression => "the archived bytes of a conversation cannot be decompressed",
            Self::Size => "the archived bytes of a conversation are more or fewer than the vendor sent",
            Self::Hash => "the archived bytes of a conversation are not those that the vendor sent",
        }
    }

    /// Returns what is wrong with the bytes of a contact, as a sentence.
    pub fn of_contact(self) -> &'static str {
        match self {
            Self::Compression => "the archived bytes of a contact cannot be decompressed",
            Self::Size => "the archived bytes of a contact are more or fewer than the vendor sent",
            Self::Hash => "the archived bytes of a contact are not those that the vendor sent",
        }
    }
}

impl Stored {
    /// Decompresses, and holds the bytes against their size and hash.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Damage> {
        unpack(&self.zstd, self.size, &self.sha256)
    }
}

/// Decompresses, and holds the bytes against their size and hash.
pub(crate) fn unpack(zstd: &[u8], size: u64, sha256: &[u8; 32]) -> Result<Vec<u8>, Damage> {
    // The frame says how large it is: a size that was damaged must not ask for memory.
    let promised = Decompressor::upper_bound(zstd).ok_or(Damage::Compression)?;
    if promised as u64 != size {
        return Err(Damage::Size);
    }
    let bytes = zstd::bulk::decompress(zstd, promised).map_err(|_| Damage::Compression)?;
    if bytes.len() as u64 != size {
        return Err(Damage::Size);
    }
    if <[u8; 32]>::from(Sha256::digest(&bytes)) != *sha256 {
        return Err(Damage::Hash);
    }
    Ok(bytes)
}

/// Reads versions until a page is full.
pub(crate) fn page(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<Stored>> {
    let failed = || database("read the archived bytes");
    let mut statement = connection.prepare_cached(sql).map_err(failed())?;
    let mut rows = statement.query(parameters).map_err(failed())?;
    let (mut stored, mut size) = (Vec::new(), 0);
    while size < PAGE_BYTES
        && let Some(row) = rows.next().map_err(failed())?
    {
        let next = read(row).map_err(failed())?;
        // A size that was damaged ends the page early, and nothing else.
        size = next.size.saturating_add(size);
        stored.push(next);
    }
    Ok(stored)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        conversation_key: row.get(0)?,
        version: row.get(1)?,
        id: ConversationId::new(row.get::<_, String>(2)?),
        // A hash of another length is no hash: it fits no bytes.
        sha256: row.get_ref(3)?.as_blob()?.try_into().unwrap_or_default(),
        zstd: row.get(4)?,
        size: uncount(row.get(5)?),
        raw_key: row.get(6)?,
    })
}
