//! Rebuilds: every raw record is mapped again, without contacting the vendor and without a key.

use std::sync::Arc;

use chatark_archive::{Archive, RunEnd, RunStart, SourceKey, SyncMode, Verdict};
use chatark_core::{Clock, Mapper, Origin, Result, Stream};
use tokio_util::sync::CancellationToken;

use crate::cores::on_all_cores;
use crate::outcome::{Event, Observer, Outcome, StreamOutcome};

/// How many documents are rebuilt at a time.
const PAGE: u32 = 512;
/// The kind of these runs in the run log, and their scope.
const REBUILD: &str = "rebuild";

/// A source whose records can be mapped, with or without a connection to its vendor.
#[derive(Debug, Clone)]
pub struct MappedSource {
    /// Where its records come from.
    pub origin: Arc<Origin>,
    /// What maps them.
    pub mapper: Arc<dyn Mapper>,
}

/// Maps every archived record of a source again and replaces the rows that come out differently.
///
/// Works on all cores. Each page is a transaction; when `stop` is cancelled, the run ends after the current one.
pub fn rebuild(
    archive: &mut Archive,
    source: &MappedSource,
    observer: &dyn Observer,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<Outcome> {
    let name = &source.origin.source;
    let key = archive.register_source(&source.origin)?;
    observer.on_event(name, &Event::Started { resumed_from: None, recent_since: None });
    let main = rebuild_stream(archive, source, key, Stream::Conversations, observer, clock, stop)?;
    let mut outcome = Outcome::of(name.clone(), main);
    let others = Stream::ALL.iter().copied().filter(|stream| stream.document().is_some());
    for stream in others.filter(|stream| *stream != Stream::Conversations) {
        let is_empty = archive.stored_documents(key, stream, 0, 1)?.0.is_empty();
        if outcome.verdict == Verdict::Complete && !is_empty {
            outcome.add(rebuild_stream(archive, source, key, stream, observer, clock, stop)?);
        }
    }
    observer.on_event(name, &Event::Ended(&outcome));
    Ok(outcome)
}

fn rebuild_stream(
    archive: &mut Archive,
    source: &MappedSource,
    key: SourceKey,
    stream: Stream,
    observer: &dyn Observer,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<StreamOutcome> {
    let mode = SyncMode::Full;
    let start = RunStart { kind: REBUILD, stream, scope: REBUILD, mode, resume: None, at: clock.now() };
    let mut run = archive.begin_run(key, &start)?;
    let mut after = 0;
    let verdict = loop {
        if stop.is_cancelled() {
            break Verdict::Interrupted;
        }
        let (stored, last) = archive.stored_documents(key, stream, after, PAGE)?;
        if stored.is_empty() {
            break Verdict::Complete;
        }
        let rebuilt = on_all_cores(stored, |stored| stored.rebuild(&*source.mapper))?;
        archive.replace_rebuilt(&mut run, &rebuilt)?;
        if stream == Stream::Conversations {
            observer.on_event(&source.origin.source, &Event::Committed(&run.counts));
        }
        after = last;
    };
    archive.end_run(&run, &RunEnd { verdict, reached_end: false, error: None, at: clock.now() })?;
    Ok(StreamOutcome { stream, verdict, mode, progress: run.counts, error: None, resumable: false })
}
