//! Measures the components of a pull and an export, each alone, with conversations of the sandbox.
//!
//! ```console
//! $ cargo bench -p chatark-tests --bench components
//! $ cargo bench -p chatark-tests --bench components -- map           # those whose name contains "map"
//! ```
#![expect(clippy::unwrap_used, reason = "a benchmark panics if something is missing")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use chatark_archive::{Archive, Filter, HashedDocument, HashedRecord, Run, RunStart, SyncMode, WriteOp};
use chatark_core::{
    ArchivedConversation, Checkpoint, Clock, Conversation, ConversationStats, Mapper, Origin, PageMetadata,
    Record, RecordId, Settings, SourceName, StatsSummary, Stream, Surface, Timestamp,
};
use chatark_formats::{Export, ExportOptions, Format};
use chatark_http::{ArrayFramer, SizeLimits};
use chatark_sandbox::{Agent, Dataset, GeneratorSettings, Sandbox, Vendor, World};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

const AGENT: &str = "benchAgent01";
const KEY: &str = "bench-key";

/// A page of a vendor, as its API sends it, and its mapper.
struct Sample {
    mapper: Arc<dyn Mapper>,
    page: Bytes,
    records: Vec<Record>,
}

impl Sample {
    fn new(vendor: Vendor) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let generated = GeneratorSettings { conversations: 100, ..GeneratorSettings::default() };
        let agent = Agent::new(vendor, AGENT, KEY, Dataset::generated(vendor, generated));
        let sandbox = runtime.block_on(Sandbox::start(World::of(vec![agent]))).unwrap();
        let base = sandbox.base_url(vendor);
        let path = match vendor {
            Vendor::ChatbaseV1 => format!("get-conversations?chatbotId={AGENT}&size=100"),
            Vendor::ChatbaseV2 => format!("agents/{AGENT}/conversations/export?limit=20"),
            Vendor::ConvocoreV3 => format!("agents/{AGENT}/convos/export?limit=50"),
        };
        let get = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{base}/{path}"));
        let page =
            runtime.block_on(async { get.bearer_auth(KEY).send().await.unwrap().bytes().await.unwrap() });
        let mapper = mapper(vendor, &base);
        let record = |bytes: Bytes| {
            let stream = Stream::Conversations;
            let mut record = Record { stream, id: None, parent: None, surface: Surface::Export, bytes };
            let (document, issues) = mapper.map(std::slice::from_ref(&record)).unwrap();
            assert!(issues.is_empty(), "{issues:?}");
            record.id = Some(document.into_conversation().unwrap().id.into());
            record
        };
        let records: Vec<_> = cut(&page).into_iter().map(record).collect();
        assert!(records.len() >= 20);
        Self { mapper, page, records }
    }

    fn bytes(&self) -> u64 {
        self.records.iter().map(|record| record.bytes.len() as u64).sum()
    }

    /// Returns the conversations, prepared for the archive under ids of their own.
    fn encoded(&self, round: usize) -> Vec<WriteOp> {
        let encode = |record: &Record| {
            let id = RecordId::new(format!("{round}-{}", record.id.as_ref().unwrap()));
            let own = HashedRecord::new(Record { id: Some(id), ..record.clone() });
            let encoded = HashedDocument::new(own, Vec::new()).encode(&*self.mapper).unwrap();
            WriteOp::Document(Box::new(encoded))
        };
        self.records.iter().map(encode).collect()
    }

    /// Commits a batch that leaves no checkpoint.
    fn commit(&self, archive: &mut Archive, run: &mut Run, batch: Vec<WriteOp>) {
        let (place, page) = (Checkpoint::None, PageMetadata::default());
        archive.commit(run, batch, &place, &page, &*self.mapper, now()).unwrap();
    }
}

fn mapper(vendor: Vendor, base: &str) -> Arc<dyn Mapper> {
    let mut settings = Settings::default();
    settings.set("agent_id", AGENT);
    settings.set("base_url", base);
    match vendor {
        Vendor::ChatbaseV1 => chatark_chatbase_v1::mapper(&settings),
        Vendor::ChatbaseV2 => chatark_chatbase_v2::mapper(&settings),
        Vendor::ConvocoreV3 => chatark_convocore_v3::mapper(&settings),
    }
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// Cuts a page into its conversations, as it would arrive: in pieces of a few kilobytes.
fn cut(page: &Bytes) -> Vec<Bytes> {
    let mut framer = ArrayFramer::new("data", SizeLimits::default());
    let mut elements = Vec::new();
    for start in (0..page.len()).step_by(8_192) {
        framer.feed(page.slice(start..page.len().min(start + 8_192)));
        while let Some(element) = framer.next_element().unwrap() {
            elements.push(element);
        }
    }
    framer.finish().unwrap();
    elements
}

const VENDORS: [(&str, Vendor); 3] = [
    ("chatbase-v1", Vendor::ChatbaseV1),
    ("chatbase-v2", Vendor::ChatbaseV2),
    ("convocore-v3", Vendor::ConvocoreV3),
];

fn framer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framer");
    let sample = Sample::new(Vendor::ConvocoreV3);
    group.throughput(Throughput::Bytes(sample.page.len() as u64));
    group.bench_function("cut", |bencher| bencher.iter(|| cut(black_box(&sample.page))));
    group.bench_function("floor: serde_json::Value", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Value>(black_box(&sample.page)).unwrap());
    });
    group.finish();
}

fn map(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map");
    for (name, vendor) in VENDORS {
        let sample = Sample::new(vendor);
        group.throughput(Throughput::Bytes(sample.bytes()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for record in &sample.records {
                    black_box(sample.mapper.map(black_box(std::slice::from_ref(record))).unwrap());
                }
            });
        });
        group.bench_function(format!("{name}, floor: serde_json::Value"), |bencher| {
            bencher.iter(|| {
                for record in &sample.records {
                    black_box(serde_json::from_slice::<Value>(black_box(&record.bytes)).unwrap());
                }
            });
        });
    }
    group.finish();
}

fn archive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archive");
    let sample = Sample::new(Vendor::ChatbaseV2);
    group.throughput(Throughput::Bytes(sample.bytes()));
    group.bench_function("hash, map, compress", |bencher| bencher.iter(|| sample.encoded(0)));
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::open(&folder.path().join("archive.db"), now()).unwrap();
    let key = archive.register_source(&origin()).unwrap();
    let start = RunStart {
        kind: "pull",
        stream: Stream::Conversations,
        scope: "all",
        mode: SyncMode::Full,
        resume: None,
        at: now(),
    };
    let mut run = archive.begin_run(key, &start).unwrap();
    let mut round = 0;
    group.bench_function("write a batch", |bencher| {
        bencher.iter_batched(
            || {
                round += 1;
                sample.encoded(round)
            },
            |batch| sample.commit(&mut archive, &mut run, batch),
            criterion::BatchSize::SmallInput,
        );
    });
    drop((group, archive));
    let mut group = criterion.benchmark_group("archive");
    let mut archive = Archive::open(&folder.path().join("read.db"), now()).unwrap();
    let key = archive.register_source(&origin()).unwrap();
    let mut run = archive.begin_run(key, &start).unwrap();
    for round in 0..100 {
        sample.commit(&mut archive, &mut run, sample.encoded(round));
    }
    group.throughput(Throughput::Bytes(sample.bytes() * 100));
    group.sample_size(20);
    group.bench_function("read 2,000 conversations back", |bencher| {
        bencher.iter(|| {
            let mut messages = 0;
            let count = |found: &ArchivedConversation| {
                messages += found.conversation.messages.len();
                Ok(())
            };
            archive.each_conversation(&Filter::default(), count).unwrap();
            messages
        });
    });
    group.finish();
}

fn writers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    let sample = Sample::new(Vendor::ChatbaseV2);
    let origin = Arc::new(origin());
    let of = |conversation: Conversation| ArchivedConversation { origin: Arc::clone(&origin), conversation };
    let conversation = |record: &Record| {
        let (document, _) = sample.mapper.map(std::slice::from_ref(record)).unwrap();
        of(document.into_conversation().unwrap())
    };
    let conversations: Vec<_> = sample.records.iter().map(conversation).collect();
    let with_stats =
        |found: &ArchivedConversation| StatsSummary::from(&ConversationStats::of(&found.conversation));
    let stats: Vec<_> = conversations.iter().map(with_stats).collect();
    group.throughput(Throughput::Bytes(sample.bytes()));
    for (name, format) in [("json", Format::Json), ("jsonl", Format::Jsonl), ("csv", Format::Csv)] {
        let folder = tempfile::tempdir().unwrap();
        let options = ExportOptions { formats: vec![format], ..ExportOptions::default() };
        let mut export = Export::begin(folder.path(), &options).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for (conversation, stats) in conversations.iter().zip(&stats) {
                    export.write(conversation, stats).unwrap();
                }
            });
        });
    }
    group.finish();
}

fn origin() -> Origin {
    Origin {
        source: SourceName::new("bench").unwrap(),
        provider: "chatbase-v2".to_owned(),
        agent_id: AGENT.to_owned(),
    }
}

criterion_group!(components, framer, map, archive, writers);
criterion_main!(components);
