//! Many seeds, on all cores: each thread has runtimes of its own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::simulation::{FailedSeed, Statistics, run};
use crate::vendor::VendorApi;

/// A seed that takes longer than this, by the clock of the machine, hangs.
const LONGEST_SEED: Duration = Duration::from_mins(2);

/// The result of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds there were.
    pub seeds: u64,
    /// The statistics of all.
    pub statistics: Statistics,
    /// The seeds that failed, with the first report of each predicate.
    pub failures: Vec<FailedSeed>,
    /// Seeds that did not end in time, or whose thread panicked.
    pub hanging: Vec<u64>,
    /// How long it took.
    pub took: Duration,
}

/// Returns a folder for archives: in memory, where the machine has such a folder.
pub fn folder() -> std::io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let name = "chatark-simulation-";
    let builder = |builder: &mut tempfile::Builder<'_, '_>| {
        if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
    };
    builder(tempfile::Builder::new().prefix(name))
}

/// Runs a range of seeds. `progress` is called about each second with the number of seeds done and failed.
pub fn run_all(
    api: VendorApi,
    seeds: Range<u64>,
    threads: usize,
    stops_at_first: bool,
    mut progress: impl FnMut(u64, usize),
) -> std::io::Result<Summary> {
    let folder = folder()?;
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(seeds.start));
    let stop = Arc::new(AtomicBool::new(false));
    let running = Arc::new(Mutex::new(BTreeMap::<usize, (u64, Instant)>::new()));
    let (sender, receiver) = mpsc::channel::<(Statistics, Option<FailedSeed>)>();
    for number in 0..threads.max(1) {
        let path: PathBuf = folder.path().join(number.to_string());
        let (next, stop, running) = (Arc::clone(&next), Arc::clone(&stop), Arc::clone(&running));
        let (sender, end) = (sender.clone(), seeds.end);
        thread::spawn(move || {
            let lock_running = || running.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end || stop.load(Ordering::Relaxed) {
                    break;
                }
                lock_running().insert(number, (seed, Instant::now()));
                let result = run(api, seed, &path, false);
                lock_running().remove(&number);
                if sender.send(result).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut summary = Summary::default();
    let mut last_report = Instant::now();
    loop {
        match receiver.recv_timeout(Duration::from_millis(500)) {
            Ok((statistics, failure)) => {
                summary.seeds += 1;
                summary.statistics.add(&statistics);
                if let Some(failure) = failure {
                    summary.failures.push(FailedSeed { report: String::new(), ..failure });
                    if stops_at_first {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                // A thread that panicked has not removed its seed.
                let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                summary.hanging = running.values().map(|(seed, _)| *seed).collect();
                break;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                let hangs = |(_, since): &&(u64, Instant)| since.elapsed() > LONGEST_SEED;
                if !running.is_empty() && running.values().filter(hangs).count() == running.len() {
                    summary.hanging = running.values().map(|(seed, _)| *seed).collect();
                    break;
                }
            }
        }
        if last_report.elapsed() > Duration::from_secs(1) {
            last_report = Instant::now();
            progress(summary.seeds, summary.failures.len());
        }
    }
    summary.failures.sort_by_key(|failure| failure.seed);
    summary.took = started.elapsed();
    Ok(summary)
}

impl Summary {
    /// Returns for each predicate how many seeds broke it, and the first few of them.
    pub fn broken(&self) -> BTreeMap<&'static str, (usize, Vec<u64>)> {
        let mut broken = BTreeMap::<_, (usize, Vec<u64>)>::new();
        for failure in &self.failures {
            for predicate in &failure.predicates {
                let (count, seeds) = broken.entry(*predicate).or_default();
                *count += 1;
                if seeds.len() < 12 {
                    seeds.push(failure.seed);
                }
            }
        }
        broken
    }
}
