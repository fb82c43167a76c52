//! Archive to archive: every raw conversation and contact normalized again, without asking the vendor.

use chatark_archive::{Archive, RunEnd, Start, SyncMode, Verdict};
use chatark_core::Result;
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::contacts::rebuild_contacts;
use crate::cores::on_all_cores;
use crate::outcome::{Event, Observer, Outcome};
use crate::pull::Source;

/// How many conversations are in memory at a time.
const PAGE: u32 = 512;
const SCOPE: &str = "rebuild";

/// Normalizes every archived conversation and contact of a source again and replaces the rows that come out differently.
///
/// Works on all cores. Each page is a transaction; when `stop` is cancelled, the run ends after the current one.
pub fn rebuild(
    archive: &mut Archive,
    source: &Source,
    observer: &dyn Observer,
    stop: &CancellationToken,
) -> Result<Outcome> {
    let name = &source.origin.source;
    let key = archive.source(&source.origin)?;
    let start = Start { kind: SCOPE, scope: SCOPE, effort: SyncMode::Full, resume: None, at: now() };
    let mut run = archive.begin_run(key, &start)?;
    observer.event(name, &Event::Started { resumed_from: None, recent_since: None });
    let mut after = 0;
    let verdict = loop {
        if stop.is_cancelled() {
            break Verdict::Interrupted;
        }
        let (stored, last) = archive.stored(key, after, PAGE)?;
        if stored.is_empty() {
            break Verdict::Complete;
        }
        let rebuilt =
            on_all_cores(stored, |stored| stored.normalize(|bytes| source.provider.normalize(bytes)))?;
        archive.replace(&mut run, &rebuilt)?;
        observer.event(name, &Event::Committed(&run.progress));
        after = last;
    };
    archive.end_run(&run, &RunEnd { verdict, error: None, at: now() })?;
    let mut outcome = Outcome {
        source: name.clone(),
        verdict,
        effort: SyncMode::Full,
        progress: run.progress,
        error: None,
        resumable: false,
        contacts: None,
    };
    if verdict == Verdict::Complete
        && let Some(contacts) = rebuild_contacts(archive, source, key, || stop.is_cancelled())?
    {
        outcome = outcome.joined_by(contacts);
    }
    observer.event(name, &Event::Ended(&outcome));
    Ok(outcome)
}
