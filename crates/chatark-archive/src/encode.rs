//! Hashes, maps and compresses documents. This needs no database, so that it runs on all cores.

use std::cell::RefCell;
use std::collections::HashMap;

use chatark_core::{
    Conversation, ConversationId, Document, DocumentKind, Error, ErrorKind, Issue, IssueKind, ListedContact,
    Mapper, Record, RecordId, Result, Stream, Surface,
};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use crate::computed::ComputedRows;

/// The compression level of zstd: for texts this short, higher levels save too little space for their time.
const COMPRESSION_LEVEL: i32 = 1;

/// A record as the vendor sent it, with its hash.
#[derive(Debug, Clone)]
pub struct HashedRecord {
    record: Record,
    id: RecordId,
    sha256: [u8; 32],
}

/// A document as the vendor sent it: its own record, and its parts in their order.
#[derive(Debug, Clone)]
pub struct HashedDocument {
    own: HashedRecord,
    parts: Vec<HashedRecord>,
}

/// A record that is ready to be written.
#[derive(Debug, Clone)]
pub struct EncodedRecord {
    pub(crate) stream: Stream,
    pub(crate) id: RecordId,
    /// The id of the document that it is a part of; `None` for a document's own record.
    pub(crate) parent: Option<RecordId>,
    pub(crate) surface: Surface,
    pub(crate) sha256: [u8; 32],
    /// The size in bytes, before compression.
    pub(crate) size: u64,
    pub(crate) zstd: Vec<u8>,
}

/// A document that is ready to be written.
#[derive(Debug, Clone)]
pub struct EncodedDocument {
    pub(crate) own: EncodedRecord,
    pub(crate) parts: Vec<EncodedRecord>,
    pub(crate) mapped: MappedDocument,
    /// The statistics and identifiers of the document.
    pub(crate) computed: ComputedRows,
}

/// What a mapper made of the bytes of a document.
#[derive(Debug, Clone)]
pub(crate) struct MappedDocument {
    pub(crate) document: Document,
    pub(crate) issues: Vec<Issue>,
    /// Whether the bytes could be mapped at all.
    pub(crate) readable: bool,
}

impl HashedRecord {
    /// Hashes the bytes. A record without an id gets one from its hash.
    pub fn new(record: Record) -> Self {
        let sha256: [u8; 32] = Sha256::digest(&record.bytes).into();
        let id = record.id.clone().unwrap_or_else(|| id_from_hash(&sha256));
        Self { record, id, sha256 }
    }

    /// Returns the stream that it belongs to.
    pub fn stream(&self) -> Stream {
        self.record.stream
    }

    /// Returns the id under which the record is archived.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// Returns the id of the document that it is a part of; `None` for a document's own record.
    pub fn parent(&self) -> Option<&RecordId> {
        self.record.parent.as_ref()
    }

    /// Returns the hash of the bytes.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns the part of the vendor's API that it came from.
    pub fn surface(&self) -> Surface {
        self.record.surface
    }

    /// Returns its size in bytes, as the vendor sent it.
    pub fn size(&self) -> u64 {
        self.record.bytes.len() as u64
    }

    /// Compresses the bytes.
    pub fn encode(self) -> Result<EncodedRecord> {
        let zstd = compress(&self.record.bytes)?;
        let Record { stream, parent, surface, bytes, .. } = self.record;
        let size = bytes.len() as u64;
        Ok(EncodedRecord { stream, id: self.id, parent, surface, sha256: self.sha256, size, zstd })
    }
}

impl HashedDocument {
    /// Creates a document from its own record and its parts, in their order. Of several parts with the same id, it keeps the
    /// last one, in the place of the first.
    pub fn new(own: HashedRecord, parts: Vec<HashedRecord>) -> Self {
        let mut kept: Vec<HashedRecord> = Vec::with_capacity(parts.len());
        let mut indexes = HashMap::new();
        for mut part in parts {
            let mut copies = 1;
            while part.record.id.is_none() && indexes.contains_key(&part.id) {
                copies += 1;
                part.id = RecordId::new(format!("{}-{copies}", id_from_hash(&part.sha256)));
            }
            if let Some(&index) = indexes.get(&part.id) {
                kept[index] = part;
            } else {
                indexes.insert(part.id.clone(), kept.len());
                kept.push(part);
            }
        }
        Self { own, parts: kept }
    }

    /// Returns its own record.
    pub fn own(&self) -> &HashedRecord {
        &self.own
    }

    /// Returns its parts.
    pub fn parts(&self) -> &[HashedRecord] {
        &self.parts
    }

    /// Returns the size in bytes of its own record and its parts, as the vendor sent them.
    pub fn size(&self) -> u64 {
        self.own.size() + self.parts.iter().map(HashedRecord::size).sum::<u64>()
    }

    /// Maps the document and compresses its records. Bytes that cannot be mapped are archived nevertheless.
    pub fn encode(&self, mapper: &dyn Mapper) -> Result<EncodedDocument> {
        let records = std::iter::once(&self.own).chain(&self.parts);
        let records: Vec<_> = records.map(|hashed| hashed.record.clone()).collect();
        let new_mapping = MappedDocument::of(mapper, &self.own.id, &records)?;
        Ok(EncodedDocument {
            own: self.own.clone().encode()?,
            parts: self.parts.iter().cloned().map(HashedRecord::encode).collect::<Result<_>>()?,
            computed: ComputedRows::of(self.own.stream(), &new_mapping.document),
            mapped: new_mapping,
        })
    }
}

impl EncodedRecord {
    /// Returns an id that is unique in its stream. The id of a part is unique only in its document, so that it is joined with
    /// the document's id.
    pub(crate) fn sighting_id(&self) -> RecordId {
        match &self.parent {
            Some(parent) => RecordId::new(serde_json::json!([parent, self.id]).to_string()),
            None => self.id.clone(),
        }
    }
}

impl EncodedDocument {
    /// Returns the conversation or contact that the records were mapped to.
    pub fn document(&self) -> &Document {
        &self.mapped.document
    }

    /// Returns the size in bytes of its own record and its parts, as the vendor sent them.
    pub(crate) fn size(&self) -> u64 {
        self.own.size + self.parts.iter().map(|part| part.size).sum::<u64>()
    }
}

impl MappedDocument {
    /// Maps the records of a document, its own first. The result gets the id under which the document is archived. Records
    /// that cannot be mapped give a document with only this id and the reason.
    pub(crate) fn of(mapper: &dyn Mapper, id: &RecordId, records: &[Record]) -> Result<Self> {
        let own = records.first().ok_or_else(|| unexpected("a document has no record of its own"))?;
        let (mut document, mut issues, readable) = match mapper.map(records) {
            Ok((document, issues)) => (document, issues, true),
            Err(error) => {
                (unreadable_document(own.stream, &error)?, vec![Issue::new(IssueKind::Unreadable, "")], false)
            }
        };
        match &mut document {
            Document::Conversation(conversation) => conversation.id = ConversationId::from(id),
            Document::Contact(contact) => {
                contact.id = Some(id.as_str().to_owned());
                contact.contact.id = None;
            }
        }
        if own.id.is_none() && readable {
            issues.push(Issue::new(IssueKind::Missing, "id"));
        }
        if own.stream != Stream::Conversations {
            for issue in &mut issues {
                *issue = with_stream(own.stream, issue);
            }
        }
        Ok(Self { document, issues, readable })
    }
}

/// Puts the stream before the path of an issue, so that it differs from the same path in a conversation.
fn with_stream(stream: Stream, issue: &Issue) -> Issue {
    let stream = stream.as_str();
    let path = if issue.path.is_empty() { stream.to_owned() } else { format!("{stream}.{}", issue.path) };
    Issue::new(issue.kind, path)
}

/// Returns a document with only the reason why its records cannot be mapped.
fn unreadable_document(stream: Stream, error: &Error) -> Result<Document> {
    let reason = || error.message().into();
    match stream.document() {
        Some(DocumentKind::Conversation) => {
            let mut conversation = Conversation::empty(ConversationId::new(""));
            conversation.extra.insert("unreadable".to_owned(), reason());
            Ok(Document::Conversation(conversation))
        }
        Some(DocumentKind::Contact) => {
            let mut contact = ListedContact::default();
            contact.extra.insert("unreadable".to_owned(), reason());
            Ok(Document::Contact(contact))
        }
        None => Err(unexpected("a part was mapped as a document")),
    }
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, "map a record", what).hint("please report this")
}

/// Returns whether a record had no id when it came, and is archived under one from its hash.
pub(crate) fn is_id_from_hash(id: &RecordId, sha256: &[u8; 32]) -> bool {
    let rest = id.as_str().strip_prefix(id_from_hash(sha256).as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the id under which a record without an id is archived.
fn id_from_hash(sha256: &[u8; 32]) -> RecordId {
    let start = sha256.iter().take(8).fold(0_u64, |start, byte| start << 8 | u64::from(*byte));
    RecordId::new(format!("unidentified-{start:016x}"))
}

/// Compresses with a context that each thread keeps, because creating one takes longer than using it.
fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    let failed = |error| Error::new(ErrorKind::Unexpected, "compress a record", error);
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(COMPRESSION_LEVEL).map_err(failed)?),
        };
        compressor.compress(bytes).map_err(failed)
    })
}
