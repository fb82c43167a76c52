//! Documents as the archive holds them: their bytes, and the rows that these are mapped to.

use chatark_core::{
    Document, DocumentKind, Error, ErrorKind, MAPPING_VERSION, Mapper, RecordId, Result, Stream, identifier,
};
use rusqlite::{Connection, Transaction, params};

use crate::archive::Archive;
use crate::computed::ComputedRows;
use crate::encode::MappedDocument;
use crate::keys::{RowKey, SourceKey};
use crate::raw::{self, Damage, PAGE_BYTES, RawVersion};
use crate::values::database_error;
use crate::{contact, conversation};

/// The table of a kind of document, and its key column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DocumentTable {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
}

/// A document as the archive holds it.
#[derive(Debug)]
pub struct StoredDocument {
    pub(crate) own: RawVersion,
    pub(crate) parts: Vec<RawVersion>,
    /// Its row, or why that cannot be read.
    pub(crate) row: Result<StoredRow>,
}

/// The row of a document, read back as the document.
#[derive(Debug)]
pub(crate) struct StoredRow {
    pub(crate) document: Document,
    /// Whether an earlier version of the mapping rules made it.
    pub(crate) has_earlier_mapping: bool,
}

impl DocumentTable {
    pub(crate) const ALL: [Self; 2] = [Self::of(DocumentKind::Conversation), Self::of(DocumentKind::Contact)];

    pub(crate) const fn of(kind: DocumentKind) -> Self {
        match kind {
            DocumentKind::Conversation => Self { name: "conversation", key: "conversation_key" },
            DocumentKind::Contact => Self { name: "contact", key: "contact_key" },
        }
    }
}

/// Writes or replaces the rows of a document, and returns whether its identifiers changed.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    stream: Stream,
    row: RowKey<'_>,
    mapped: &MappedDocument,
    computed: &ComputedRows,
) -> Result<bool> {
    let identifiers_changed = computed.write(transaction, row.source, row.record_key, row.is_new)?;
    match &mapped.document {
        Document::Conversation(conversation) => conversation::write(transaction, row, conversation)?,
        Document::Contact(listed) => contact::write(transaction, stream, row, listed)?,
    }
    Ok(identifiers_changed)
}

/// Records that the current mapping rules give the same row.
pub(crate) fn confirm_mapping(transaction: &Transaction<'_>, document: &Document, key: i64) -> Result<()> {
    let kind = match document {
        Document::Conversation(_) => DocumentKind::Conversation,
        Document::Contact(_) => DocumentKind::Contact,
    };
    let DocumentTable { name, key: column } = DocumentTable::of(kind);
    let sql = format!("UPDATE {name} SET mapping = ?2 WHERE {column} = ?1");
    transaction
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.execute(params![key, MAPPING_VERSION]))
        .map_err(database_error("rebuild"))?;
    Ok(())
}

/// Reads the rows of a document.
pub(crate) fn read(connection: &Connection, kind: DocumentKind, key: i64) -> Result<StoredRow> {
    let (document, mapping) = match kind {
        DocumentKind::Conversation => {
            let (conversation, mapping) = conversation::read(connection, key)?;
            (Document::Conversation(conversation), mapping)
        }
        DocumentKind::Contact => {
            let (contact, mapping) = contact::read(connection, key)?;
            (Document::Contact(contact), mapping)
        }
    };
    Ok(StoredRow { document, has_earlier_mapping: mapping < MAPPING_VERSION })
}

impl StoredDocument {
    /// Maps the bytes of its own record and of its parts again. Damaged bytes of a part are an error; bytes that cannot
    /// be mapped are not.
    pub(crate) fn map(&self, own: Vec<u8>, mapper: &dyn Mapper) -> Result<Result<MappedDocument>, Damage> {
        let mut records = vec![self.own.record(own)];
        for part in &self.parts {
            records.push(part.record(part.bytes()?));
        }
        Ok(MappedDocument::of(mapper, &self.own.id, &records))
    }

    /// Returns how many bytes the vendor sent for it.
    pub(crate) fn size(&self) -> u64 {
        self.own.size + self.parts.iter().map(|part| part.size).sum::<u64>()
    }
}

/// Returns how messages name a record: the noun, and its id, with the stream if it is a contact.
pub(crate) fn noun_and_name(stream: Option<Stream>, id: &RecordId) -> (&'static str, String) {
    match (stream.and_then(Stream::document), stream) {
        (Some(DocumentKind::Conversation), _) => ("conversation", id.to_string()),
        (Some(DocumentKind::Contact), Some(stream)) => ("contact", format!("{}/{id}", stream.as_str())),
        _ => ("message", id.to_string()),
    }
}

/// Returns the error of an operation that needs damaged bytes.
pub(crate) fn damage_error(
    operation: &'static str,
    stream: Option<Stream>,
    id: &RecordId,
    damage: Damage,
) -> Error {
    let (thing, name) = noun_and_name(stream, id);
    Error::new(ErrorKind::Damaged, operation, damage_message(thing, damage))
        .with(thing, identifier::masked(&name))
        .hint("restore the archive from a copy, or pull the source with `--full`")
}

/// Returns the message about damaged bytes.
pub(crate) fn damage_message(thing: &str, damage: Damage) -> String {
    format!("the archived bytes of a {thing} {}", damage.as_str())
}

impl Archive {
    /// Returns the next documents of a source's stream, in key order, and the key after which to continue.
    ///
    /// Reads one state of the archive. Returns at most `limit` documents or a few megabytes.
    pub fn stored_documents(
        &self,
        source: SourceKey,
        stream: Stream,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<StoredDocument>, i64)> {
        let failed = || database_error("read the archived bytes");
        let Some(kind) = stream.document() else { return Ok((Vec::new(), after)) };
        let DocumentTable { name, key } = DocumentTable::of(kind);
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        let sql = format!(
            "SELECT {} FROM {name} d CROSS JOIN record ON record.record_key = d.{key}
                 CROSS JOIN raw ON raw.record_key = d.{key} AND version = d.raw_version
             WHERE d.source_key = ?1 AND record.stream = ?2 AND d.{key} > ?3 ORDER BY d.{key} LIMIT ?4",
            raw::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed())?;
        let mut rows = statement.query(params![source.0, stream.as_str(), after, limit]).map_err(failed())?;
        let source_has_parts = raw::has_records(&self.connection, source, raw::PART_STREAM)?;
        let (mut page, mut size) = (Vec::new(), 0_u64);
        while size < PAGE_BYTES
            && let Some(row) = rows.next().map_err(failed())?
        {
            let own = RawVersion::read(row).map_err(failed())?;
            let stored = self.stored_document(source, kind, own, source_has_parts)?;
            // A damaged size only ends the page early.
            size = size.saturating_add(stored.size());
            page.push(stored);
        }
        drop(rows);
        drop(statement);
        snapshot.finish().map_err(failed())?;
        let last = page.last().map_or(after, |stored| stored.own.record_key);
        Ok((page, last))
    }

    /// Reads the rest of a document: its parts and its row. `source_has_parts` says whether the source has any parts.
    pub(crate) fn stored_document(
        &self,
        source: SourceKey,
        kind: DocumentKind,
        own: RawVersion,
        source_has_parts: bool,
    ) -> Result<StoredDocument> {
        let parts = if source_has_parts {
            raw::parts(&self.connection, source, &own.id, &own.surface)?
        } else {
            Vec::new()
        };
        let row = read(&self.connection, kind, own.record_key);
        Ok(StoredDocument { own, parts, row })
    }
}
