//! A vendor with prepared responses, a mapper for them, and an archive to pull them into.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chatark_archive::{Archive, Filter, StreamStatus, Subset};
use chatark_core::{
    AgentInfo, Batch, BatchStream, ChangeDetection, Checkpoint, Clock, Conversation, ConversationId,
    Descriptor, Document, Error, ErrorKind, Estimate, Issue, IssueKind, ListedContact, Mapper, Message,
    Origin, PageMetadata, Part, Provider, ReadRequest, Record, RecordId, Result, ResumeToken, Role,
    SourceName, Stream, StreamDescriptor, Surface, Timestamp,
};
use chatark_engine::{
    CancellationToken, DriftPolicy, Environment, Event, MappedSource, Observer, Outcome, PullParameters,
    RefreshPolicy, Source, SourceVerification, Workers, pull, rebuild, verify,
};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const DAY: i64 = 86_400;
/// When the first pull begins.
pub(crate) const BEGINNING: i64 = 1_790_000_000;

/// A vendor that does not report changes, and counts its contacts but not its leads.
pub(crate) static LISTS_PEOPLE: Descriptor = Descriptor {
    streams: &[
        stream(Stream::Conversations, ChangeDetection::LookBack, false),
        stream(Stream::Contacts, ChangeDetection::Unsupported, true),
        stream(Stream::Leads, ChangeDetection::Unsupported, false),
    ],
    ..PLAIN
};

/// A vendor with only conversations.
pub(crate) const PLAIN: Descriptor = Descriptor {
    name: "vendor-v1",
    title: "Vendor",
    settings: &[],
    streams: &[stream(Stream::Conversations, ChangeDetection::LookBack, false)],
    selects_user: false,
    selects_conversations: true,
    full_sweep_days: 7,
    dates_are_zoneless: false,
};

/// Describes a stream of documents.
pub(crate) const fn stream(
    stream: Stream,
    changes: ChangeDetection,
    reports_total: bool,
) -> StreamDescriptor {
    StreamDescriptor { stream, parent: None, reports_total, changes }
}

/// What the vendor does when the next records of a stream are requested.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Returns records, with the vendor's count if there is one.
    Gives(Stream, Vec<Record>, Option<u64>),
    /// Returns an error.
    Fails(Stream, ErrorKind, &'static str),
    /// The user stops the run first.
    Stops(Stream, CancellationToken),
}

impl Step {
    fn stream(&self) -> Stream {
        match self {
            Self::Gives(stream, ..) | Self::Fails(stream, ..) | Self::Stops(stream, _) => *stream,
        }
    }
}

/// Returns a step with people whose names are also their ids.
pub(crate) fn people(list: Stream, names: &[&str]) -> Step {
    Step::Gives(list, names.iter().map(|name| person(list, name)).collect(), None)
}

/// Returns a step with people of a list with this total.
pub(crate) fn counted(list: Stream, names: &[&str], total: u64) -> Step {
    Step::Gives(list, names.iter().map(|name| person(list, name)).collect(), Some(total))
}

fn person(list: Stream, name: &str) -> Record {
    own(list, &json!({"id": name, "name": name}))
}

/// Returns a document's own record.
pub(crate) fn own(stream: Stream, json: &Value) -> Record {
    Record::with_top_level_id(stream, Surface::Export, Bytes::from(json.to_string()))
}

/// Returns the own record of a conversation.
pub(crate) fn conversation(id: &str, title: &str) -> Record {
    own(Stream::Conversations, &json!({"id": id, "title": title}))
}

/// Returns a message that the vendor lists separately from its conversation.
pub(crate) fn message(conversation: &str, id: &str, text: &str) -> Record {
    let bytes = Bytes::from(json!({"id": id, "text": text}).to_string());
    Record::part(Stream::Messages, RecordId::new(conversation), Surface::Export, bytes)
}

/// A vendor with prepared responses. Without any for a stream, it has one conversation and no people.
#[derive(Debug)]
pub(crate) struct Vendor {
    descriptor: &'static Descriptor,
    steps: Vec<Step>,
    /// How many steps have been used.
    steps_used: AtomicUsize,
    /// The requests that it received.
    requests: Mutex<Vec<ReadRequest>>,
    /// Whether the conversations end with an error.
    breaks_off: bool,
}

impl Vendor {
    pub(crate) fn new(descriptor: &'static Descriptor, steps: impl Into<Vec<Step>>) -> Self {
        let (steps_used, requests) = (AtomicUsize::new(0), Mutex::default());
        Self { descriptor, steps: steps.into(), steps_used, requests, breaks_off: false }
    }

    /// Makes the conversations end with an error.
    pub(crate) fn breaking_off(self) -> Self {
        Self { breaks_off: true, ..self }
    }

    pub(crate) fn steps_used(&self) -> usize {
        self.steps_used.load(Ordering::SeqCst)
    }

    /// Returns the requests for a stream.
    pub(crate) fn requests(&self, stream: Stream) -> Vec<ReadRequest> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.stream == stream).cloned().collect()
    }

    fn only_conversation(&self) -> Vec<Result<Batch>> {
        let records = vec![conversation("c", "Only")];
        if self.breaks_off {
            let cut = Error::new(ErrorKind::Network, "get conversations", "cut");
            return vec![Ok(Batch { records, ..Batch::default() }), Err(cut)];
        }
        vec![Ok(Batch { records, checkpoint: Checkpoint::End, ..Batch::default() })]
    }
}

#[async_trait]
impl Provider for Vendor {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    async fn check(&self) -> Result<AgentInfo> {
        Ok(AgentInfo::default())
    }

    async fn estimate(&self, _request: &ReadRequest) -> Result<Estimate> {
        Ok(Estimate::default())
    }

    /// The checkpoint after a step holds the index of the next step of its stream; after the last step it is the end.
    fn read(&self, request: ReadRequest) -> BatchStream<'_> {
        let (requested, scope) = (request.stream, request.scope());
        let resumed_at =
            request.resume_from.as_ref().and_then(|token| token.open::<usize>("vendor-v1", 1, &scope));
        self.requests.lock().unwrap().push(request);
        let steps: Vec<_> = self.steps.iter().filter(|step| step.stream() == requested).collect();
        let count = steps.len();
        if count == 0 && requested == Stream::Conversations {
            return Box::pin(stream::iter(self.only_conversation()));
        }
        if count == 0 {
            return Box::pin(stream::iter([Ok(Batch { checkpoint: Checkpoint::End, ..Batch::default() })]));
        }
        let rest = steps.into_iter().enumerate().skip(resumed_at.unwrap_or(0));
        Box::pin(stream::iter(rest).then(move |(at, step)| {
            let scope = scope.clone();
            async move {
                self.steps_used.fetch_add(1, Ordering::SeqCst);
                match step {
                    Step::Gives(_, records, total) => {
                        let page = PageMetadata { pages: 1, total: *total, ..PageMetadata::default() };
                        let checkpoint = if at + 1 == count {
                            Checkpoint::End
                        } else {
                            Checkpoint::At(ResumeToken::seal("vendor-v1", 1, scope, &(at + 1))?)
                        };
                        Ok(Batch { records: records.clone(), checkpoint, page, ..Batch::default() })
                    }
                    Step::Fails(_, kind, message) => Err(Error::new(*kind, "get people", *message)),
                    Step::Stops(_, stop) => {
                        stop.cancel();
                        std::future::pending().await
                    }
                }
            }
        }))
    }
}

/// Maps the vendor's records.
#[derive(Debug)]
pub(crate) struct TestMapper {
    /// The prefix of each name.
    pub(crate) prefix: &'static str,
}

impl Mapper for TestMapper {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (own, messages) = records.split_first().unwrap();
        let value: Value = serde_json::from_slice(&own.bytes).unwrap();
        if own.stream == Stream::Conversations {
            let id = ConversationId::new(value["id"].as_str().unwrap());
            let title = value["title"].as_str().map(str::to_owned);
            let messages = messages.iter().map(map_message).collect();
            let conversation = Conversation { title, messages, ..Conversation::empty(id) };
            return Ok((Document::Conversation(conversation), Vec::new()));
        }
        let name = value["name"].as_str().unwrap();
        let mut listed = ListedContact::default();
        listed.contact.name = Some(format!("{}{name}", self.prefix));
        let is_odd = name == "Odd";
        let issues = if is_odd { vec![Issue::new(IssueKind::UnknownField, "hat")] } else { Vec::new() };
        Ok((Document::Contact(listed), issues))
    }
}

fn map_message(record: &Record) -> Message {
    let value: Value = serde_json::from_slice(&record.bytes).unwrap();
    let parts = vec![Part::text(value["text"].as_str().unwrap())];
    let id = record.id.as_ref().map(|id| id.as_str().to_owned());
    Message { id, parts, ..Message::empty(Role::User) }
}

#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn on_event(&self, _source: &SourceName, event: &Event<'_>) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push((*note).to_owned());
        }
    }
}

/// An archive, and the events of its runs.
pub(crate) struct TestEnvironment {
    pub(crate) path: PathBuf,
    notes: Arc<Notes>,
    now: Arc<AtomicI64>,
    workers: Workers,
    _folder: TempDir,
}

impl TestEnvironment {
    pub(crate) fn new() -> Self {
        Self::with_workers(Workers::Threads)
    }

    pub(crate) fn with_workers(workers: Workers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.db");
        let now = Arc::new(AtomicI64::new(BEGINNING));
        Self { path, notes: Arc::default(), now, workers, _folder: folder }
    }

    /// Advances the clock by days.
    pub(crate) fn wait(&self, days: i64) {
        self.now.fetch_add(days * DAY, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::new(move || Timestamp::from_epoch(now.load(Ordering::SeqCst)).unwrap())
    }

    pub(crate) fn archive(&self) -> Archive {
        Archive::open(&self.path, self.clock().now()).unwrap()
    }

    pub(crate) async fn pull(&self, source: &Source, stop: CancellationToken) -> Outcome {
        self.pull_with(source, PullParameters::default(), stop).await
    }

    pub(crate) async fn pull_with(
        &self,
        source: &Source,
        what: PullParameters,
        stop: CancellationToken,
    ) -> Outcome {
        let observer = Arc::clone(&self.notes) as Arc<dyn Observer>;
        let environment = Environment { clock: self.clock(), workers: self.workers };
        let pulling = pull(self.archive(), vec![source.clone()], what, observer, environment, stop);
        let (archive, mut outcomes) = pulling.await.unwrap();
        archive.close().unwrap();
        outcomes.remove(0)
    }

    /// Pulls everything from a vendor.
    pub(crate) async fn pull_from(&self, vendor: Vendor) -> (Outcome, Arc<Vendor>) {
        let (source, vendor) = source(vendor);
        (self.pull(&source, never_stopped()).await, vendor)
    }

    /// Rebuilds all rows, and returns the outcome.
    pub(crate) fn rebuild(&self, source: &Source) -> Outcome {
        let mut archive = self.archive();
        let outcome =
            rebuild(&mut archive, &mapped(source), &Notes::default(), &self.clock(), &never_stopped())
                .unwrap();
        archive.close().unwrap();
        outcome
    }

    pub(crate) fn verify(&self, source: &Source) -> SourceVerification {
        let mapped = [mapped(source)];
        let found = verify(&self.archive(), &[], &mapped, Subset::WHOLE, &never_stopped()).unwrap();
        assert_eq!(found.structure, Vec::<String>::new());
        found.sources.into_iter().next().unwrap()
    }

    /// Expects that every row matches its bytes, and that this many versions are undamaged.
    #[track_caller]
    pub(crate) fn check_sound(&self, source: &Source, versions: u64) {
        let before = self.transcripts();
        let rebuilt = self.rebuild(source);
        assert_eq!((rebuilt.is_good(), rebuilt.progress.changed), (true, 0));
        assert_eq!(self.transcripts(), before);
        let found = self.verify(source);
        assert_eq!((found.damaged, found.outdated, found.versions), (0, 0, versions), "{found:?}");
        assert_eq!((found.counts, found.conversations), (Vec::new(), before.len() as u64));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let take = |_: &Origin, _, listed: &ListedContact| {
            names.extend(listed.contact.name.clone());
            Ok(())
        };
        self.archive().each_contact(&[], take).unwrap();
        names
    }

    /// Returns every conversation as its id and title, with the ids and texts of its messages.
    pub(crate) fn transcripts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let take = |found: &chatark_core::ArchivedConversation| {
            let Conversation { id, title, messages, .. } = &found.conversation;
            let said = |said: &Message| format!(" {}={}", said.id.as_deref().unwrap_or("?"), said.text());
            let said: String = messages.iter().map(said).collect();
            lines.push(format!("{id} {}:{said}", title.as_deref().unwrap_or("?")));
            Ok(())
        };
        self.archive().each_conversation(&Filter::default(), take).unwrap();
        lines
    }

    pub(crate) fn stream_status(&self, stream: Stream) -> StreamStatus {
        let status = self.archive().status().unwrap().remove(0);
        status.streams.into_iter().find(|status| status.stream == stream).unwrap()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.0.lock().unwrap())
    }
}

pub(crate) fn source(vendor: Vendor) -> (Source, Arc<Vendor>) {
    let name = SourceName::new("shop").unwrap();
    let origin = Origin { source: name, provider: "vendor-v1".to_owned(), agent_id: "a".to_owned() };
    let vendor = Arc::new(vendor);
    let source = Source {
        origin: Arc::new(origin),
        provider: Arc::clone(&vendor) as Arc<dyn Provider>,
        mapper: Arc::new(TestMapper { prefix: "" }),
        refresh: RefreshPolicy { full_sweep_days: 7, look_back_days: 30 },
        drift: DriftPolicy::default(),
        contacts: true,
    };
    (source, vendor)
}

pub(crate) fn mapped(source: &Source) -> MappedSource {
    MappedSource { origin: Arc::clone(&source.origin), mapper: Arc::clone(&source.mapper) }
}

/// Returns a token for runs that nobody stops.
pub(crate) fn never_stopped() -> CancellationToken {
    CancellationToken::new()
}
