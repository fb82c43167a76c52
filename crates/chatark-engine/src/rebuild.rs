//! Archive to archive: every raw conversation normalized again, without asking the vendor.

use std::num::NonZero;
use std::thread;

use chatark_archive::{Archive, Effort, Rebuilt, RunEnd, Start, Stored, Verdict};
use chatark_core::{Error, ErrorKind, Provider, Result};
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::outcome::{Event, Observer, Outcome};
use crate::pull::Source;

/// How many conversations are in memory at a time.
const PAGE: u32 = 512;
const SCOPE: &str = "rebuild";

/// Normalizes every archived conversation of a source again and replaces the rows that come out differently.
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
    let start = Start { kind: SCOPE, scope: SCOPE, effort: Effort::Full, resume: None, at: now() };
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
        let rebuilt = normalize_on_all_cores(stored, source.provider.as_ref())?;
        archive.replace(&mut run, &rebuilt)?;
        observer.event(name, &Event::Committed(&run.progress));
        after = last;
    };
    archive.end_run(&run, &RunEnd { verdict, error: None, at: now() })?;
    let outcome = Outcome {
        source: name.clone(),
        verdict,
        effort: Effort::Full,
        progress: run.progress,
        error: None,
        resumable: false,
    };
    observer.event(name, &Event::Ended(&outcome));
    Ok(outcome)
}

fn normalize_on_all_cores(mut stored: Vec<Stored>, provider: &dyn Provider) -> Result<Vec<Rebuilt>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = stored.len().div_ceil(cores).max(1);
    let mut shares = Vec::new();
    while !stored.is_empty() {
        let rest = stored.split_off(share.min(stored.len()));
        shares.push(std::mem::replace(&mut stored, rest));
    }
    thread::scope(|scope| {
        let working: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(move || normalize_share(share, provider))).collect();
        let mut rebuilt = Vec::new();
        for thread in working {
            let done = thread.join();
            let share =
                done.map_err(|_| Error::new(ErrorKind::Unexpected, "rebuild", "a thread panicked"))?;
            rebuilt.extend(share?);
        }
        Ok(rebuilt)
    })
}

fn normalize_share(share: Vec<Stored>, provider: &dyn Provider) -> Result<Vec<Rebuilt>> {
    share.into_iter().map(|stored| stored.normalize(|bytes| provider.normalize(bytes))).collect()
}
