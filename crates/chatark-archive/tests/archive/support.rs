//! An archive in a folder of its own, and conversations to put into it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chatark_archive::{
    Archive, Filter, HashedDocument, HashedRecord, ResumePoint, Run, RunStart, SourceKey, SourceStatus,
    SyncMode, Unseen, WriteOp,
};
use chatark_core::{
    ArchivedConversation, Checkpoint, Conversation, ConversationId, Document, Error, Issue, Mapper, Message,
    Origin, PageMetadata, Part, Record, RecordId, Result, ResumeToken, Role, SourceName, Stream, Surface,
    Timestamp,
};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) const SCOPE: &str = "*..* * all";

/// Starts a run of all conversations at noon.
pub(crate) fn start<'a>(kind: &'a str, scope: &'a str, resume: Option<&'a ResumePoint>) -> RunStart<'a> {
    start_of(Stream::Conversations, kind, scope, resume)
}

/// Starts a run of a whole stream at noon.
pub(crate) fn start_of<'a>(
    stream: Stream,
    kind: &'a str,
    scope: &'a str,
    resume: Option<&'a ResumePoint>,
) -> RunStart<'a> {
    RunStart { kind, stream, scope, mode: SyncMode::Full, resume, at: noon() }
}

/// An archive in a temporary folder.
pub(crate) struct TestEnvironment {
    pub(crate) archive: Archive,
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl TestEnvironment {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.db");
        Self { archive: Archive::open(&path, noon()).unwrap(), path, _folder: folder }
    }

    /// Opens another connection to the file, as another program would.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    pub(crate) fn count(&self, sql: &str) -> u64 {
        let number: i64 = self.connect().query_row(sql, [], |row| row.get(0)).unwrap();
        number.try_into().unwrap()
    }

    pub(crate) fn source(&mut self, name: &str) -> SourceKey {
        self.archive.register_source(&origin(name)).unwrap()
    }

    /// Begins a run of the source `shop` that resumes nothing.
    pub(crate) fn run(&mut self) -> Run {
        let source = self.source("shop");
        self.archive.begin_run(source, &start("pull", SCOPE, None)).unwrap()
    }

    /// Commits a batch that leaves no checkpoint.
    pub(crate) fn commit(&mut self, run: &mut Run, batch: Vec<WriteOp>) {
        self.try_commit(run, batch, &Checkpoint::None).unwrap();
    }

    pub(crate) fn try_commit(
        &mut self,
        run: &mut Run,
        batch: Vec<WriteOp>,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        self.commit_page(run, batch, checkpoint, &PageMetadata::default())
    }

    /// Commits a batch with its page metadata.
    pub(crate) fn commit_page(
        &mut self,
        run: &mut Run,
        batch: Vec<WriteOp>,
        checkpoint: &Checkpoint,
        page: &PageMetadata,
    ) -> Result<()> {
        self.archive.commit(run, batch, checkpoint, page, &Lines, noon())
    }

    pub(crate) fn holds(&self, source: SourceKey, document: &HashedDocument) -> bool {
        self.archive.holds(source, [document]).unwrap() == [true]
    }

    pub(crate) fn status(&self) -> SourceStatus {
        self.archive.status().unwrap().remove(0)
    }

    pub(crate) fn titles(&self) -> Vec<String> {
        all(&self.archive).into_iter().map(|found| found.conversation.title.unwrap_or_default()).collect()
    }

    /// Returns the bytes that the rows of a source were made from.
    pub(crate) fn bytes_of_rows(&self, source: SourceKey) -> Vec<Vec<u8>> {
        let recording = Recording::default();
        for stored in self.archive.stored_documents(source, Stream::Conversations, 0, 1_000).unwrap().0 {
            stored.rebuild(&recording).unwrap();
        }
        recording.0.into_inner().unwrap()
    }
}

pub(crate) fn noon() -> Timestamp {
    Timestamp::from_epoch(1_733_054_400).unwrap()
}

pub(crate) fn origin(name: &str) -> Origin {
    Origin {
        source: SourceName::new(name).unwrap(),
        provider: "vendor-v1".to_owned(),
        agent_id: format!("agent of {name}"),
    }
}

pub(crate) fn at(place: u32) -> Checkpoint {
    Checkpoint::At(cursor(place))
}

pub(crate) fn cursor(place: u32) -> ResumeToken {
    ResumeToken::seal("vendor-v1", 1, SCOPE.to_owned(), &place).unwrap()
}

pub(crate) fn all(archive: &Archive) -> Vec<ArchivedConversation> {
    filtered(archive, &Filter::default())
}

pub(crate) fn filtered(archive: &Archive, filter: &Filter) -> Vec<ArchivedConversation> {
    let mut found = Vec::new();
    let take = |conversation: &ArchivedConversation| {
        found.push(conversation.clone());
        Ok(())
    };
    archive.each_conversation(filter, take).unwrap();
    found
}

pub(crate) fn archived(name: &str, conversation: Conversation) -> ArchivedConversation {
    ArchivedConversation { origin: Arc::new(origin(name)), conversation }
}

/// A mapper whose vendor sends a title, followed by one message per line; `!` cannot be read.
pub(crate) fn mapped(raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
    let text = std::str::from_utf8(raw).unwrap();
    if text.starts_with('!') {
        return Err(Error::new(
            chatark_core::ErrorKind::Malformed,
            "read a record",
            "the record is no object",
        ));
    }
    let mut lines = text.lines();
    let mut conversation = Conversation::empty(ConversationId::new("the vendor's"));
    conversation.title = lines.next().map(str::to_owned);
    conversation.messages =
        lines.map(|line| Message { parts: vec![Part::text(line)], ..Message::empty(Role::User) }).collect();
    Ok((conversation, Vec::new()))
}

/// The mapper of [`mapped`], which treats each part as another message.
#[derive(Debug)]
pub(crate) struct Lines;

impl Mapper for Lines {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (mut conversation, issues) = mapped(&records[0].bytes)?;
        conversation.messages.extend(records[1..].iter().map(|part| Message {
            id: part.id.as_ref().map(|id| id.as_str().to_owned()),
            parts: vec![Part::text(std::str::from_utf8(&part.bytes).unwrap())],
            ..Message::empty(Role::Assistant)
        }));
        Ok((Document::Conversation(conversation), issues))
    }
}

/// A mapper of conversations that reads only their own bytes.
#[derive(Debug)]
pub(crate) struct FnMapper(pub(crate) MapFn);

/// Makes a conversation of a vendor's bytes.
pub(crate) type MapFn = fn(&[u8]) -> Result<(Conversation, Vec<Issue>)>;

impl Mapper for FnMapper {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (conversation, issues) = (self.0)(&records[0].bytes)?;
        Ok((Document::Conversation(conversation), issues))
    }
}

/// A mapper that returns the same document for all bytes.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) Document);

impl Mapper for Fixed {
    fn map(&self, _: &[Record]) -> Result<(Document, Vec<Issue>)> {
        Ok((self.0.clone(), Vec::new()))
    }
}

/// A mapper that records the bytes that it is given.
#[derive(Debug, Default)]
struct Recording(Mutex<Vec<Vec<u8>>>);

impl Mapper for Recording {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        self.0.lock().unwrap().push(records[0].bytes.to_vec());
        Lines.map(records)
    }
}

/// A conversation's own record, without parts.
pub(crate) fn raw(id: Option<&str>, surface: Surface, text: &str) -> HashedDocument {
    HashedDocument::new(record(Stream::Conversations, None, id, surface, text), Vec::new())
}

/// A record as a vendor sends it: a document's own, or a part of `parent`.
pub(crate) fn record(
    stream: Stream,
    parent: Option<&str>,
    id: Option<&str>,
    surface: Surface,
    text: &str,
) -> HashedRecord {
    HashedRecord::new(Record {
        stream,
        id: id.map(RecordId::new),
        parent: parent.map(RecordId::new),
        surface,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    })
}

/// A conversation that [`mapped`] understands, from the export.
pub(crate) fn written(id: &str, text: &str) -> WriteOp {
    written_from(Surface::Export, id, text)
}

pub(crate) fn written_from(surface: Surface, id: &str, text: &str) -> WriteOp {
    WriteOp::Document(Box::new(raw(Some(id), surface, text).encode(&Lines).unwrap()))
}

/// A write of exactly this conversation; its bytes do not matter.
pub(crate) fn written_as(conversation: &Conversation) -> WriteOp {
    let id = conversation.id.as_str();
    let mapper = Fixed(Document::Conversation(conversation.clone()));
    WriteOp::Document(Box::new(raw(Some(id), Surface::Export, id).encode(&mapper).unwrap()))
}

/// What the end of a sweep of everything did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// So many records were marked as missing.
    Marked(u64),
    Unknown,
    Refused {
        gone: u64,
        held: u64,
    },
}

/// Ends a sweep of everything as the engine does with a vendor that has none of the records that it does not list.
pub(crate) fn mark_missing(
    archive: &mut Archive,
    run: &mut Run,
    accept: bool,
    now: Timestamp,
) -> Result<Gone> {
    match archive.note_unseen(run, accept, now)? {
        Unseen::Twice(unseen) => {
            archive.mark_missing(run, &unseen, &[], now)?;
            Ok(Gone::Marked(unseen.len() as u64))
        }
        Unseen::Unknown => Ok(Gone::Unknown),
        Unseen::TooMany { unseen: gone, held } => Ok(Gone::Refused { gone, held }),
    }
}
