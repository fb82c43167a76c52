//! Writes batches, each in one transaction, and looks up what the archive holds already.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use chatark_core::{
    Checkpoint, Document, DocumentKind, Error, ErrorKind, Gap, GapBounds, HeldSummary, Issue, ListRow,
    Mapper, PageMetadata, RecordId, Result, ResumeToken, Stream, Surface, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::archive::Archive;
use crate::computed::ComputedRows;
use crate::deployment;
use crate::document::{self, DocumentTable, StoredDocument};
use crate::encode::{EncodedDocument, EncodedRecord, HashedDocument, MappedDocument};
use crate::gaps;
use crate::keys::{RowKey, SourceKey};
use crate::persons;
use crate::raw::{self, RawVersion};
use crate::run::{Run, RunCounts};
use crate::run_log::{save_checkpoint, save_counts};
use crate::sweep;
use crate::sweep_history;
use crate::values::{database_error, read_timestamp, stored_count};

/// What a batch does with one record of a vendor's response, or with the state of the sweep.
#[derive(Debug)]
pub enum WriteOp {
    /// A document with its parts, written if the archive has other bytes.
    Document(Box<EncodedDocument>),
    /// A document that is archived already, byte for byte.
    SameBytes(HashedDocument),
    /// A document that the vendor lists in the state that is archived already.
    ListedUnchanged(RecordId),
    /// A document outside the requested window or channel: counted, and not archived.
    Outside(HashedDocument),
    /// One record of a document whose parts are listed separately: the document is mapped again from all of its records.
    SeparateRecord {
        /// The document's own record, or one of its parts.
        record: EncodedRecord,
        /// The stream of the document.
        document: Stream,
    },
    /// The row of a record in the vendor's list, kept so that the next pull can compare it.
    ListRow(ListRow),
    /// A gap that was found, or tried again without success.
    Gap(Gap),
    /// A gap of an earlier pull that was read this time.
    GapClosed(GapBounds),
    /// A record that the vendor lists and that is known to be a gap.
    PassedOver(RecordId),
    /// How far the rotation through a list of rows has come.
    Rotation(ResumeToken),
}

impl WriteOp {
    /// Returns the size of the record that is written, as the vendor sent it.
    fn written_bytes(&self) -> u64 {
        match self {
            Self::Document(document) => document.size(),
            Self::SeparateRecord { record, .. } => record.size,
            _ => 0,
        }
    }
}

/// A batch that is being written, and what it has changed so far.
struct BatchWriter<'a> {
    transaction: &'a Transaction<'a>,
    run: &'a Run,
    now: Timestamp,
    counts: RunCounts,
    source_delta: SourceDelta,
    issues: IssueCounts,
    change: Change,
    /// Documents to map again from all of their archived records, by stream and id.
    to_remap: BTreeSet<(Stream, RecordId)>,
    /// Whether the next document is likely to be new, because the previous one was.
    expects_new: bool,
    /// Whether any document of the source has parts.
    source_has_parts: bool,
    /// Whether identifiers have changed, so that persons are out of date.
    identifiers_changed: bool,
}

impl Archive {
    /// Returns a summary of each of these records, in the order of `ids`; `None` for those that are not archived.
    pub fn held_summaries(
        &self,
        source: SourceKey,
        stream: Stream,
        ids: &[RecordId],
    ) -> Result<Vec<Option<HeldSummary>>> {
        let failed = || database_error("look up a record");
        let sql = match stream.document() {
            Some(DocumentKind::Conversation) => {
                "SELECT updated_at, title, status_raw, channel_raw, contact_id, created_at,
                        (SELECT row FROM list_row WHERE list_row.record_key = record.record_key)
                 FROM record JOIN conversation ON conversation_key = record.record_key
                 WHERE record.source_key = ?1 AND stream = ?2 AND parent = '' AND record.id = ?3"
            }
            Some(DocumentKind::Contact) => {
                "SELECT updated_at, name, NULL, NULL, NULL, created_at, NULL
                 FROM record JOIN contact ON contact_key = record_key
                 WHERE record.source_key = ?1 AND record.stream = ?2 AND parent = '' AND record.id = ?3"
            }
            None => return Ok(vec![None; ids.len()]),
        };
        // In one transaction, because SQLite would otherwise lock the file for each statement.
        let transaction = self.connection.unchecked_transaction().map_err(failed())?;
        let mut statement = transaction.prepare_cached(sql).map_err(failed())?;
        let mut held = |id: &RecordId| {
            let found = statement.query_row(params![source.0, stream.as_str(), id.as_str()], |row| {
                Ok(HeldSummary {
                    updated_at: read_timestamp(row.get(0)?),
                    title: row.get(1)?,
                    status_raw: row.get(2)?,
                    channel_raw: row.get(3)?,
                    contact_id: row.get(4)?,
                    created_at: read_timestamp(row.get(5)?),
                    list_row: row.get(6)?,
                })
            });
            found.optional().map_err(failed())
        };
        ids.iter().map(&mut held).collect()
    }

    /// Returns whether the archive has any record of a source's stream.
    pub fn has_records(&self, source: SourceKey, stream: Stream) -> Result<bool> {
        raw::has_records(&self.connection, source, stream)
    }

    /// Returns for each document whether its bytes and those of its parts equal the latest archived ones.
    pub fn holds<'d>(
        &self,
        source: SourceKey,
        documents: impl IntoIterator<Item = &'d HashedDocument>,
    ) -> Result<Vec<bool>> {
        // In one transaction, because SQLite would otherwise lock the file for each statement.
        let transaction =
            self.connection.unchecked_transaction().map_err(database_error("look up a record"))?;
        let source_has_parts = raw::has_records(&transaction, source, raw::PART_STREAM)?;
        let is_held = |document: &HashedDocument| {
            let own = document.own();
            if raw::latest_hash(&transaction, source, own)?.as_ref() != Some(own.sha256()) {
                return Ok(false);
            }
            if !source_has_parts {
                return Ok(document.parts().is_empty());
            }
            let parts = document.parts().iter().map(|part| (part.id(), part.sha256()));
            holds_parts(&transaction, source, own.id(), own.surface(), parts)
        };
        documents.into_iter().map(is_held).collect()
    }

    /// Writes a batch and its checkpoint, all or nothing.
    ///
    /// Writing the same batch again changes nothing but the counts of the run. The mapper is used only for documents
    /// whose parts are listed separately.
    pub fn commit(
        &mut self,
        run: &mut Run,
        ops: Vec<WriteOp>,
        checkpoint: &Checkpoint,
        page: &PageMetadata,
        mapper: &dyn Mapper,
        now: Timestamp,
    ) -> Result<()> {
        let failed = || database_error("write a batch");
        let transaction = self.connection.transaction().map_err(failed())?;
        if page.restarted {
            sweep::restart(&transaction, run)?;
        }
        let counts = run.counts.with_page(page);
        let mut batch = BatchWriter::new(&transaction, run, counts, now)?;
        deployment::save(&transaction, run.source, &page.features, now)?;
        let (mut seen_first, mut bytes) = (Vec::new(), 0);
        for op in ops {
            bytes += op.written_bytes();
            if let Some((id, size)) = batch.sighting(&op) {
                seen_first.extend(batch.count_sighting(id, size)?);
            }
            batch.write(op)?;
        }
        batch.remap_documents(mapper)?;
        let counts = batch.finish()?;
        sweep::save_sightings(&transaction, run, &seen_first)?;
        save_checkpoint(&transaction, run, checkpoint, &counts, now)?;
        save_counts(&transaction, run.key, &counts)?;
        transaction.commit().map_err(failed())?;
        self.wal.add_written(&self.path, bytes);
        run.counts = counts;
        run.written_until = run.written_until.max(Some(now));
        Ok(())
    }
}

impl<'a> BatchWriter<'a> {
    fn new(
        transaction: &'a Transaction<'a>,
        run: &'a Run,
        counts: RunCounts,
        now: Timestamp,
    ) -> Result<Self> {
        Ok(Self {
            transaction,
            run,
            now,
            counts,
            source_delta: SourceDelta::default(),
            issues: IssueCounts::default(),
            change: Change::next(transaction)?,
            expects_new: true,
            to_remap: BTreeSet::new(),
            source_has_parts: raw::has_records(transaction, run.source, raw::PART_STREAM)?,
            identifiers_changed: false,
        })
    }

    /// Returns the id and size of the record that an operation shows to be listed by the vendor; `None` if it shows none.
    fn sighting(&mut self, op: &WriteOp) -> Option<(RecordId, u64)> {
        match op {
            WriteOp::Document(document) => Some((document.own.id.clone(), document.size())),
            WriteOp::SameBytes(document) | WriteOp::Outside(document) => {
                Some((document.own().id().clone(), document.size()))
            }
            // The vendor has the record, although it cannot return it.
            WriteOp::ListedUnchanged(id)
            | WriteOp::PassedOver(id)
            | WriteOp::Gap(Gap { bounds: GapBounds::Record { id }, .. }) => Some((id.clone(), 0)),
            WriteOp::SeparateRecord { record, .. } if self.is_counted(record) => {
                Some((record.sighting_id(), record.size))
            }
            WriteOp::SeparateRecord { record, .. } => {
                self.counts.bytes += record.size;
                None
            }
            WriteOp::ListRow(_) | WriteOp::Gap(_) | WriteOp::GapClosed(_) | WriteOp::Rotation(_) => None,
        }
    }

    /// Counts a record of the vendor's response, and returns its id if this sweep sees it for the first time.
    fn count_sighting(&mut self, id: RecordId, size: u64) -> Result<Option<RecordId>> {
        self.counts.bytes += size;
        self.counts.received += 1;
        if sweep::mark_seen(self.transaction, self.run, &id)? {
            self.counts.seen += 1;
            return Ok(Some(id));
        }
        self.counts.repeated += 1;
        Ok(None)
    }

    /// Returns whether a record belongs to the stream of the run. The run counts only such records, not parts of another stream.
    fn is_counted(&self, record: &EncodedRecord) -> bool {
        record.stream == self.run.stream
    }

    fn write(&mut self, op: WriteOp) -> Result<()> {
        match op {
            WriteOp::Outside(_) => self.counts.outside += 1,
            WriteOp::SameBytes(_) | WriteOp::ListedUnchanged(_) => self.counts.unchanged += 1,
            WriteOp::Document(document) => self.write_document(&document)?,
            WriteOp::SeparateRecord { record, document } => self.write_separate_record(record, document)?,
            WriteOp::ListRow(row) => self.write_list_row(&row)?,
            WriteOp::Gap(gap) => {
                let is_first = gaps::note(self.transaction, self.run, &gap, self.now)?;
                self.counts.gaps += u64::from(is_first);
            }
            WriteOp::PassedOver(_) => self.counts.gaps += 1,
            WriteOp::GapClosed(bounds) => gaps::close(self.transaction, self.run, &bounds, self.now)?,
            WriteOp::Rotation(place) => {
                sweep_history::save_rotation(self.transaction, self.run, &place, self.now)?;
            }
        }
        Ok(())
    }

    /// Writes a row of the vendor's list, if the archive has its record.
    fn write_list_row(&mut self, ListRow { id, row }: &ListRow) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO list_row (record_key, seen_at, row)
                 SELECT record_key, ?4, ?5 FROM record
                 WHERE source_key = ?1 AND stream = ?2 AND parent = '' AND id = ?3",
            )
            .and_then(|mut statement| {
                let (source, stream) = (self.run.source.0, self.run.stream.as_str());
                let row = String::from_utf8_lossy(row);
                statement.execute(params![source, stream, id.as_str(), self.now.microseconds(), row])
            })
            .map_err(database_error("write a row of the list"))?;
        Ok(())
    }

    /// Writes a document and its parts if the archive has other bytes.
    fn write_document(&mut self, document: &EncodedDocument) -> Result<()> {
        let EncodedDocument { own, parts, mapped, computed } = document;
        let kind = kind_of(&mapped.document);
        let source = self.run.source;
        // After a new document, the next one is most likely new: inserting at once saves a search of the index.
        let inserted = if self.expects_new { self.try_insert_record(own, None)? } else { None };
        let held = match inserted {
            Some(_) => None,
            None => HeldVersion::find(self.transaction, source, own.stream, kind, &own.id, own.surface)?,
        };
        self.expects_new = held.is_none();
        let Some(held) = held else {
            self.counts.added += 1;
            let record_key = match inserted {
                Some(record_key) => record_key,
                None => self.insert_record(own, None)?,
            };
            self.insert_raw(record_key, 1, own)?;
            self.write_parts(own, parts)?;
            return self.write_rows(own, record_key, 1, mapped, computed, None);
        };
        let is_held = held.sha256 == Some(own.sha256);
        if is_held && self.holds_parts_of(own, parts)? {
            self.counts.unchanged += 1;
            return Ok(());
        }
        // The first bytes from another surface are a change only if they show a newer state.
        let is_change = held.sha256.is_some() || held.is_older_than(&mapped.document);
        *(if is_change { &mut self.counts.changed } else { &mut self.counts.unchanged }) += 1;
        let version = if is_held { held.version } else { held.newest_version + 1 };
        if !is_held {
            self.insert_raw(held.record_key, version, own)?;
        }
        self.write_parts(own, parts)?;
        self.touch(held.record_key)?;
        if held.is_replaced_by(own.surface, &mapped.document) {
            self.write_rows(own, held.record_key, version, mapped, computed, Some(held.message_count))?;
        } else {
            self.counts.unreadable += u64::from(!mapped.readable);
            self.issues.add(own.id.as_str(), &mapped.issues);
        }
        Ok(())
    }

    /// Writes the rows of a document, and counts what they change. `messages_before` is how many messages its row had; `None`
    /// if it has no row yet.
    fn write_rows(
        &mut self,
        own: &EncodedRecord,
        record_key: i64,
        version: i64,
        mapped: &MappedDocument,
        computed: &ComputedRows,
        messages_before: Option<i64>,
    ) -> Result<()> {
        let is_new = messages_before.is_none();
        let row = RowKey {
            record_key,
            source: self.run.source,
            id: own.id.as_str(),
            version,
            readable: mapped.readable,
            is_new,
        };
        self.identifiers_changed |= document::write(self.transaction, own.stream, row, mapped, computed)?;
        self.source_delta.conversations +=
            i64::from(is_new && kind_of(&mapped.document) == DocumentKind::Conversation);
        self.source_delta.messages += message_count(&mapped.document) - messages_before.unwrap_or(0);
        self.counts.unreadable += u64::from(!mapped.readable);
        self.issues.add(own.id.as_str(), &mapped.issues);
        Ok(())
    }

    /// Writes the parts of a document in their order, and detaches those that it no longer has.
    fn write_parts(&mut self, own: &EncodedRecord, parts: &[EncodedRecord]) -> Result<()> {
        if self.source_has_parts {
            let held = raw::part_hashes(self.transaction, self.run.source, &own.id, own.surface)?;
            let kept: HashSet<_> = parts.iter().map(|part| part.id.as_str()).collect();
            for (id, _) in held.iter().filter(|(id, _)| !kept.contains(id.as_str())) {
                self.detach_part(&own.id, id)?;
            }
        }
        for (index, part) in parts.iter().enumerate() {
            self.write_record(part, Some(stored_count(index as u64)))?;
        }
        self.source_has_parts |= !parts.is_empty();
        Ok(())
    }

    /// Returns whether these parts, in this order, equal the latest archived ones of the document.
    fn holds_parts_of(&self, own: &EncodedRecord, parts: &[EncodedRecord]) -> Result<bool> {
        if !self.source_has_parts {
            return Ok(parts.is_empty());
        }
        let hashes = parts.iter().map(|part| (&part.id, &part.sha256));
        holds_parts(self.transaction, self.run.source, &own.id, own.surface, hashes)
    }

    /// Records that a part no longer belongs to its document. Its bytes stay.
    fn detach_part(&mut self, parent: &RecordId, id: &str) -> Result<()> {
        let change = self.change();
        self.transaction
            .prepare_cached(
                "UPDATE record SET ordinal = NULL, change = ?4 WHERE source_key = ?1 AND parent = ?2 AND id = ?3
                     AND stream = 'messages'",
            )
            .and_then(|mut statement| {
                statement.execute(params![self.run.source.0, parent.as_str(), id, change])
            })
            .map_err(database_error("write a record"))?;
        Ok(())
    }

    /// Writes one record of a document, which is mapped again at the end of the batch.
    fn write_separate_record(&mut self, record: EncodedRecord, document: Stream) -> Result<()> {
        let ordinal = record.parent.as_ref().map(|_| 0);
        let written = self.write_record(&record, ordinal)?;
        if self.is_counted(&record) {
            match written {
                Written::Added => self.counts.added += 1,
                Written::Changed => self.counts.changed += 1,
                Written::Unchanged => self.counts.unchanged += 1,
            }
        }
        if matches!(written, Written::Unchanged) {
            return Ok(());
        }
        self.to_remap.insert((document, record.parent.unwrap_or(record.id)));
        Ok(())
    }

    /// Writes the bytes of a record if the archive has others, and its index among the parts of its document.
    fn write_record(&mut self, record: &EncodedRecord, ordinal: Option<i64>) -> Result<Written> {
        let parent = record.parent.as_ref().map_or("", RecordId::as_str);
        let held = self
            .transaction
            .prepare_cached(
                "SELECT record_key, ordinal,
                        (SELECT sha256 FROM raw WHERE raw.record_key = record.record_key AND surface = ?5
                         ORDER BY version DESC LIMIT 1),
                        (SELECT max(version) FROM raw WHERE raw.record_key = record.record_key)
                 FROM record WHERE source_key = ?1 AND stream = ?2 AND parent = ?3 AND id = ?4",
            )
            .and_then(|mut statement| {
                let source = self.run.source.0;
                let surface = record.surface.as_str();
                let wanted = params![source, record.stream.as_str(), parent, record.id.as_str(), surface];
                statement
                    .query_row(wanted, |row| {
                        let sha256: Option<[u8; 32]> = row.get(2)?;
                        Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?, sha256, row.get::<_, i64>(3)?))
                    })
                    .optional()
            })
            .map_err(database_error("look up a record"))?;
        let Some((record_key, held_ordinal, sha256, newest)) = held else {
            let record_key = self.insert_record(record, ordinal)?;
            self.insert_raw(record_key, 1, record)?;
            return Ok(Written::Added);
        };
        let is_held = sha256 == Some(record.sha256);
        if is_held && held_ordinal == ordinal {
            return Ok(Written::Unchanged);
        }
        if !is_held {
            self.insert_raw(record_key, newest + 1, record)?;
        }
        let change = self.change();
        self.transaction
            .prepare_cached("UPDATE record SET ordinal = ?2, change = ?3 WHERE record_key = ?1")
            .and_then(|mut statement| statement.execute(params![record_key, ordinal, change]))
            .map_err(database_error("write a record"))?;
        Ok(Written::Changed)
    }

    /// Maps documents again from all of their archived records. A part waits until its document's own record arrives.
    fn remap_documents(&mut self, mapper: &dyn Mapper) -> Result<()> {
        for (stream, id) in std::mem::take(&mut self.to_remap) {
            self.remap(mapper, stream, &id)?;
        }
        Ok(())
    }

    fn remap(&mut self, mapper: &dyn Mapper, stream: Stream, id: &RecordId) -> Result<()> {
        let source = self.run.source;
        let Some(kind) = stream.document() else { return Ok(()) };
        let Some(own) = latest_version(self.transaction, source, stream, id)? else { return Ok(()) };
        let parts = raw::parts(self.transaction, source, id, &own.surface)?;
        let row = document::read(self.transaction, kind, own.record_key);
        let surface = Surface::from_word(&own.surface).unwrap_or(Surface::Export);
        let held = HeldVersion::find(self.transaction, source, stream, kind, id, surface)?;
        // There is a row if a version is shown, even if the row cannot be read.
        let messages_before = held.filter(|held| held.shown_surface.is_some()).map(|held| held.message_count);
        let stored = StoredDocument { own, parts, row };
        let remapped = stored.own.bytes().and_then(|bytes| stored.map(bytes, mapper));
        let new_mapping = remapped
            .map_err(|damage| document::damage_error("write a batch", Some(stream), id, damage))??;
        let own = &stored.own;
        let encoded = EncodedRecord {
            stream,
            id: id.clone(),
            parent: None,
            surface,
            sha256: own.sha256,
            size: own.size,
            zstd: Vec::new(),
        };
        self.touch(own.record_key)?;
        let computed = ComputedRows::of(stream, &new_mapping.document);
        self.write_rows(&encoded, own.record_key, own.version, &new_mapping, &computed, messages_before)
    }

    fn insert_record(&mut self, record: &EncodedRecord, ordinal: Option<i64>) -> Result<i64> {
        let key = self.try_insert_record(record, ordinal)?;
        key.ok_or_else(|| Error::new(ErrorKind::Unexpected, "write a record", "the record already exists"))
    }

    /// Inserts a record and returns its key; `None` if the archive has it already.
    fn try_insert_record(&mut self, record: &EncodedRecord, ordinal: Option<i64>) -> Result<Option<i64>> {
        let parent = record.parent.as_ref().map_or("", RecordId::as_str);
        let inserted = self
            .transaction
            .prepare_cached(
                "INSERT INTO record (source_key, stream, parent, id, ordinal, change) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )
            .and_then(|mut statement| {
                let (source, stream, change) = (self.run.source.0, record.stream.as_str(), self.change.number);
                statement.execute(params![source, stream, parent, record.id.as_str(), ordinal, change])
            })
            .map_err(database_error("write a record"))?;
        self.change.is_made |= inserted == 1;
        Ok((inserted == 1).then(|| self.transaction.last_insert_rowid()))
    }

    fn insert_raw(&mut self, record_key: i64, version: i64, record: &EncodedRecord) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO raw (record_key, version, surface, run_key, fetched_at, sha256, size, zstd)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    record_key,
                    version,
                    record.surface.as_str(),
                    self.run.key,
                    self.now.microseconds(),
                    record.sha256,
                    stored_count(record.size),
                    record.zstd
                ])
            })
            .map_err(database_error("write a record"))?;
        Ok(())
    }

    /// Records that a record has changed in this batch.
    fn touch(&mut self, record_key: i64) -> Result<()> {
        let change = self.change();
        self.transaction
            .prepare_cached("UPDATE record SET change = ?2 WHERE record_key = ?1")
            .and_then(|mut statement| statement.execute([record_key, change]))
            .map_err(database_error("write a record"))?;
        Ok(())
    }

    /// Returns the number of this change of the archive, and notes that the batch makes it.
    fn change(&mut self) -> i64 {
        self.change.is_made = true;
        self.change.number
    }

    /// Writes the counts of the source, and returns those of the run.
    fn finish(mut self) -> Result<RunCounts> {
        self.change.write(self.transaction)?;
        if self.identifiers_changed {
            persons::mark_outdated(self.transaction)?;
        }
        self.counts.issues += self.issues.total();
        self.issues.write(self.transaction, self.run.key)?;
        self.source_delta.write(self.transaction, self.run.source)?;
        Ok(self.counts)
    }
}

/// The change of the archive that a batch makes.
struct Change {
    /// Its number: the archive counts the transactions that change a record.
    number: i64,
    /// Whether the batch has changed any record.
    is_made: bool,
}

impl Change {
    fn next(transaction: &Transaction<'_>) -> Result<Self> {
        transaction
            .prepare_cached("SELECT changes + 1 FROM archive")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map(|number| Self { number, is_made: false })
            .map_err(database_error("write a batch"))
    }

    fn write(&self, transaction: &Transaction<'_>) -> Result<()> {
        if !self.is_made {
            return Ok(());
        }
        transaction
            .prepare_cached("UPDATE archive SET changes = ?1")
            .and_then(|mut statement| statement.execute([self.number]))
            .map_err(database_error("write a batch"))?;
        Ok(())
    }
}

/// What writing a record has changed.
enum Written {
    Added,
    Changed,
    Unchanged,
}

/// What the archive holds of a document: its row, and its latest version from one surface.
struct HeldVersion {
    record_key: i64,
    message_count: i64,
    /// When the document was last updated, by its row.
    updated_at: Option<i64>,
    /// The surface of the version that the row shows; `None` if there is no row.
    shown_surface: Option<String>,
    /// The hash of the latest version from the surface; `None` if there is none.
    sha256: Option<[u8; 32]>,
    /// The number of the latest version from the surface; 0 if there is none.
    version: i64,
    /// The number of the latest version from any surface; 0 if there is none.
    newest_version: i64,
}

impl HeldVersion {
    fn find(
        connection: &Connection,
        source: SourceKey,
        stream: Stream,
        kind: DocumentKind,
        id: &RecordId,
        surface: Surface,
    ) -> Result<Option<Self>> {
        static CONVERSATION: LazyLock<String> =
            LazyLock::new(|| HeldVersion::sql(DocumentKind::Conversation));
        static CONTACT: LazyLock<String> = LazyLock::new(|| HeldVersion::sql(DocumentKind::Contact));
        let sql = match kind {
            DocumentKind::Conversation => &*CONVERSATION,
            DocumentKind::Contact => &*CONTACT,
        };
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                let wanted = params![source.0, stream.as_str(), id.as_str(), surface.as_str()];
                let read = |row: &rusqlite::Row<'_>| {
                    Ok(Self {
                        record_key: row.get(0)?,
                        message_count: row.get(1)?,
                        updated_at: row.get(2)?,
                        shown_surface: row.get(3)?,
                        sha256: row.get(4)?,
                        version: row.get::<_, Option<i64>>(5)?.unwrap_or(0),
                        newest_version: row.get::<_, Option<i64>>(6)?.unwrap_or(0),
                    })
                };
                statement.query_row(wanted, read).optional()
            })
            .map_err(database_error("look up a record"))
    }

    fn sql(kind: DocumentKind) -> String {
        let DocumentTable { name, key } = DocumentTable::of(kind);
        let messages = if kind == DocumentKind::Conversation { "message_count" } else { "0" };
        format!(
            "SELECT r.record_key, coalesce({messages}, 0), d.updated_at,
                    (SELECT surface FROM raw WHERE record_key = r.record_key AND version = d.raw_version),
                    (SELECT sha256 FROM raw WHERE record_key = r.record_key AND surface = ?4
                     ORDER BY version DESC LIMIT 1),
                    (SELECT max(version) FROM raw WHERE record_key = r.record_key AND surface = ?4),
                    (SELECT max(version) FROM raw WHERE record_key = r.record_key)
             FROM record r LEFT JOIN {name} d ON d.{key} = r.record_key
             WHERE r.source_key = ?1 AND r.stream = ?2 AND r.parent = '' AND r.id = ?3"
        )
    }

    /// Returns whether the row shows an older state than a document.
    fn is_older_than(&self, document: &Document) -> bool {
        self.updated_at < updated_at(document)
    }

    /// Returns whether new bytes, which differ from the latest from their surface, replace the row: they are a change on this
    /// surface, a newer state, or the same state on the user surface, which has more fields.
    fn is_replaced_by(&self, surface: Surface, document: &Document) -> bool {
        self.shown_surface.as_deref() == Some(surface.as_str())
            || self.sha256.is_some()
            || self.is_older_than(document)
            || (surface == Surface::User && self.updated_at == updated_at(document))
    }
}

fn updated_at(document: &Document) -> Option<i64> {
    let at = match document {
        Document::Conversation(conversation) => conversation.updated_at,
        Document::Contact(contact) => contact.updated_at,
    };
    at.map(Timestamp::microseconds)
}

fn kind_of(document: &Document) -> DocumentKind {
    match document {
        Document::Conversation(_) => DocumentKind::Conversation,
        Document::Contact(_) => DocumentKind::Contact,
    }
}

/// Returns how many messages a document has.
pub(crate) fn message_count(document: &Document) -> i64 {
    match document {
        Document::Conversation(conversation) => stored_count(conversation.messages.len() as u64),
        Document::Contact(_) => 0,
    }
}

/// Returns whether these parts, in this order, equal the latest archived ones of a document.
fn holds_parts<'p>(
    connection: &Connection,
    source: SourceKey,
    document: &RecordId,
    surface: Surface,
    parts: impl Iterator<Item = (&'p RecordId, &'p [u8; 32])>,
) -> Result<bool> {
    let held = raw::part_hashes(connection, source, document, surface)?;
    Ok(held
        .iter()
        .map(|(id, sha256)| (id.as_str(), sha256.as_ref()))
        .eq(parts.map(|(id, sha256)| (id.as_str(), Some(sha256)))))
}

/// Returns the latest version of a document's own record; `None` if that record has not arrived.
fn latest_version(
    connection: &Connection,
    source: SourceKey,
    stream: Stream,
    id: &RecordId,
) -> Result<Option<RawVersion>> {
    let sql = format!(
        "SELECT {} FROM record JOIN raw ON raw.record_key = record.record_key
         WHERE source_key = ?1 AND stream = ?2 AND parent = '' AND record.id = ?3 ORDER BY version DESC LIMIT 1",
        raw::COLUMNS
    );
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            let wanted = params![source.0, stream.as_str(), id.as_str()];
            statement.query_row(wanted, RawVersion::read).optional()
        })
        .map_err(database_error("look up a record"))
}

/// How much a transaction changes the counts of a source.
#[derive(Debug, Default)]
pub(crate) struct SourceDelta {
    pub(crate) conversations: i64,
    pub(crate) messages: i64,
}

impl SourceDelta {
    pub(crate) fn write(&self, transaction: &Transaction<'_>, source: SourceKey) -> Result<()> {
        if self.conversations == 0 && self.messages == 0 {
            return Ok(());
        }
        transaction
            .prepare_cached(
                "UPDATE source SET conversations = conversations + ?2, messages = messages + ?3 WHERE source_key = ?1",
            )
            .and_then(|mut statement| statement.execute(params![source.0, self.conversations, self.messages]))
            .map_err(database_error("write a batch"))?;
        Ok(())
    }
}

/// The issues of a transaction, counted by kind and place, each with a sample: a document's id and the path in it.
#[derive(Debug, Default)]
pub(crate) struct IssueCounts(BTreeMap<(&'static str, String), (u64, String, String)>);

impl IssueCounts {
    pub(crate) fn add(&mut self, id: &str, issues: &[Issue]) {
        for issue in issues {
            let Issue { kind, path } = issue;
            let sample = || (0, id.to_owned(), path.clone());
            self.0.entry((kind.as_str(), issue.place())).or_insert_with(sample).0 += 1;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().map(|(number, _, _)| number).sum()
    }

    pub(crate) fn write(&self, transaction: &Transaction<'_>, run_key: i64) -> Result<()> {
        for ((kind, place), (number, conversation, path)) in &self.0 {
            transaction
                .prepare_cached(
                    "INSERT INTO issue (run_key, kind, place, count, sample_conversation, sample_path)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (run_key, kind, place) DO UPDATE SET count = count + excluded.count",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        run_key,
                        kind,
                        place,
                        stored_count(*number),
                        conversation,
                        path
                    ])
                })
                .map_err(database_error("write the issues"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatark_core::{Conversation, ConversationId, Message, Origin, Part, Record, Role, SourceName};
    use serde_json::{Value, json};

    use super::*;
    use crate::encode::HashedRecord;
    use crate::filter::Filter;
    use crate::run::{RunStart, SyncMode};

    fn now() -> Timestamp {
        Timestamp::from_epoch(1_733_054_400).unwrap()
    }

    fn open(folder: &tempfile::TempDir) -> (Archive, Run) {
        let mut archive = Archive::open(&folder.path().join("archive.db"), now()).unwrap();
        let source = SourceName::new("shop").unwrap();
        let origin = Origin { source, provider: "vendor-v1".to_owned(), agent_id: "agent".to_owned() };
        let key = archive.register_source(&origin).unwrap();
        let start = RunStart {
            kind: "pull",
            stream: Stream::Conversations,
            scope: "all",
            mode: SyncMode::Full,
            resume: None,
            at: now(),
        };
        let run = archive.begin_run(key, &start).unwrap();
        (archive, run)
    }

    /// A mapper that returns the same conversation for all bytes.
    #[derive(Debug)]
    struct Fixed(Conversation);

    impl Mapper for Fixed {
        fn map(&self, _: &[Record]) -> Result<(Document, Vec<Issue>)> {
            Ok((Document::Conversation(self.0.clone()), Vec::new()))
        }
    }

    /// Commits a batch whose documents are mapped already.
    fn commit(archive: &mut Archive, run: &mut Run, batch: Vec<WriteOp>, place: &Checkpoint) -> Result<()> {
        let mapper = Fixed(Conversation::empty(ConversationId::new("never used")));
        archive.commit(run, batch, place, &PageMetadata::default(), &mapper, now())
    }

    fn written(conversation: &Conversation) -> WriteOp {
        let record = Record {
            stream: Stream::Conversations,
            id: Some(RecordId::from(&conversation.id)),
            parent: None,
            surface: Surface::Export,
            bytes: Bytes::copy_from_slice(conversation.id.as_str().as_bytes()),
        };
        let document = HashedDocument::new(HashedRecord::new(record), Vec::new());
        WriteOp::Document(Box::new(document.encode(&Fixed(conversation.clone())).unwrap()))
    }

    fn ids(archive: &Archive) -> Vec<String> {
        let mut ids = Vec::new();
        let take = |found: &chatark_core::ArchivedConversation| {
            ids.push(found.conversation.id.to_string());
            Ok(())
        };
        archive.each_conversation(&Filter::default(), take).unwrap();
        ids
    }

    #[test]
    fn a_full_disk_rolls_back_a_batch_and_it_succeeds_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (mut archive, mut run) = open(&folder);
        let cursor = |place: &str| {
            Checkpoint::At(ResumeToken::seal("vendor-v1", 1, "all".to_owned(), &place).unwrap())
        };
        let small = || vec![written(&Conversation::empty(ConversationId::new("small")))];
        commit(&mut archive, &mut run, small(), &cursor("first")).unwrap();
        let before = run.counts.clone();
        let pages: i64 = archive.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = |archive: &Archive, pages: i64| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            archive.connection.query_row(&sql, [], |_| Ok(())).unwrap();
        };
        limit(&archive, pages + 2);
        let message = Message { parts: vec![Part::text("x".repeat(200_000))], ..Message::empty(Role::User) };
        let id = ConversationId::new("large");
        let large = Conversation { messages: vec![message; 3], ..Conversation::empty(id) };
        let batch = || vec![written(&Conversation::empty(ConversationId::new("tiny"))), written(&large)];
        let failed = commit(&mut archive, &mut run, batch(), &cursor("second"));
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        assert!(error.hint_text().unwrap().contains("make room on the disk"), "{error}");
        let place = |archive: &Archive| {
            archive.resume_point(run.source, Stream::Conversations, "all").unwrap().unwrap().resume_token
        };
        assert_eq!((ids(&archive), &run.counts), (vec!["small".to_owned()], &before));
        assert_eq!(place(&archive).open::<String>("vendor-v1", 1, "all").unwrap(), "first");

        limit(&archive, 1 << 30);
        commit(&mut archive, &mut run, batch(), &cursor("second")).unwrap();
        assert_eq!((run.counts.added, run.counts.repeated), (3, 0));
        assert_eq!(ids(&archive), ["large", "small", "tiny"]);
    }

    /// The JSON parser accepts 127 levels: what it accepted once must be readable again.
    #[test]
    fn the_deepest_json_that_can_be_parsed_can_be_read_back() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| Value::Array(vec![inner]));
        let folder = tempfile::tempdir().unwrap();
        let (mut archive, mut run) = open(&folder);
        let mut conversation = Conversation::empty(ConversationId::new("deep"));
        // Mappers keep such values in an unknown field of the record, and in an unknown part of a message.
        conversation.extra.insert("unknown".to_owned(), deep(126));
        let parts = vec![Part::Other { kind: "unknown".to_owned(), data: deep(123) }];
        conversation.messages.push(Message { parts, ..Message::empty(Role::Other) });
        let batch = vec![written(&conversation)];
        commit(&mut archive, &mut run, batch, &Checkpoint::None).unwrap();
        let take = |found: &chatark_core::ArchivedConversation| {
            assert_eq!(found.conversation, conversation);
            Ok(())
        };
        archive.each_conversation(&Filter::default(), take).unwrap();
        assert_eq!(ids(&archive), ["deep"]);
    }
}
