//! Searches for a seed whose world breaks a promise: `--vendor chatbase-v2 --seeds 0..100000`, or `--seed 7` for one
//! seed with its trace. `--first` stops at the first seed that fails, `--all` says what was found in each,
//! `--keep` leaves the archive of a seed in a folder, which is emptied first.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use chatark_simulation::batch::{Summary, folder, run_all};
use chatark_simulation::simulation::run;
use chatark_simulation::vendor::VendorApi;

/// What the command line says.
struct Arguments {
    apis: Vec<VendorApi>,
    seeds: Range<u64>,
    seed: Option<u64>,
    threads: usize,
    stops_at_first: bool,
    shows_all: bool,
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match parse_arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!(
                "{problem}\nuse: --vendor NAME (or all) [--seeds A..B | --seed N] [--threads N] [--first] [--all] [--keep FOLDER]"
            );
            return ExitCode::from(2);
        }
    };
    let mut has_failed = false;
    for api in &arguments.apis {
        has_failed |= match arguments.seed {
            Some(seed) => run_one(*api, seed, arguments.keep.as_deref()),
            None => run_many(*api, &arguments),
        };
    }
    ExitCode::from(u8::from(has_failed))
}

fn parse_arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        apis: VendorApi::ALL.to_vec(),
        seeds: 0..1_000,
        seed: None,
        threads: thread::available_parallelism().map_or(1, usize::from),
        stops_at_first: false,
        shows_all: false,
        keep: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--vendor" => {
                let name = value()?;
                if name != "all" {
                    arguments.apis = vec![name.parse()?];
                }
            }
            "--seeds" => {
                let range = value()?;
                let (from, to) = range.split_once("..").ok_or("write seeds as 0..1000")?;
                arguments.seeds = number(from)?..number(to)?;
            }
            "--seed" => arguments.seed = Some(number(&value()?)?),
            "--threads" => arguments.threads = value()?.parse().map_err(|_| "write a number of threads")?,
            "--keep" => arguments.keep = Some(PathBuf::from(value()?)),
            "--all" => arguments.shows_all = true,
            "--first" => arguments.stops_at_first = true,
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(arguments)
}

/// Runs one seed with its trace, and returns whether it failed.
fn run_one(api: VendorApi, seed: u64, keep: Option<&Path>) -> bool {
    let Ok(folder) = folder() else { return true };
    let (statistics, failure) = run(api, seed, keep.unwrap_or(folder.path()), true);
    match &failure {
        Some(failure) => println!("{}", failure.report),
        None => println!("{}\n{} seed {seed} holds", statistics.trace.join("\n"), api.name()),
    }
    failure.is_some()
}

/// Runs many seeds, and returns whether one failed.
fn run_many(api: VendorApi, arguments: &Arguments) -> bool {
    let name = api.name();
    let all = arguments.seeds.end.saturating_sub(arguments.seeds.start);
    let progress = |done, failed| eprint!("\r{name}: {done} of {all} seeds, {failed} failed ");
    let summary =
        run_all(api, arguments.seeds.clone(), arguments.threads, arguments.stops_at_first, progress);
    let Ok(summary) = summary else { return true };
    eprintln!();
    print_summary(api, &summary, arguments.shows_all);
    !summary.failures.is_empty() || !summary.hanging.is_empty()
}

fn print_summary(api: VendorApi, summary: &Summary, shows_all: bool) {
    let statistics = &summary.statistics;
    let seconds = summary.took.as_secs_f64();
    println!(
        "{}: {} seeds in {seconds:.1} s ({:.0} per second), {} pulls, {} requests, {} conversations",
        api.name(),
        summary.seeds,
        summary.seeds as f64 / seconds,
        statistics.pulls,
        statistics.requests,
        statistics.conversations
    );
    println!("  verdicts: {:?}", statistics.verdicts);
    println!("  events, each with the number of worlds where it happened: {:?}", statistics.happened);
    println!(
        "  kinds of request, each with the number of worlds that made one: {:?}",
        statistics.request_kinds
    );
    let mut by_fault = BTreeMap::<_, Vec<String>>::new();
    for ((fault, kind), count) in &statistics.faults {
        let text = format!("{kind:?} {}/{}", count.drawn, count.fired);
        by_fault.entry(*fault).or_default().push(text);
    }
    for (fault, request_kinds) in by_fault {
        println!("  {fault:?} drawn/fired: {}", request_kinds.join(", "));
    }
    for (predicate, (count, seeds)) in summary.broken() {
        println!("  BROKEN {predicate}: {count} seeds, such as {seeds:?}");
    }
    if shows_all {
        for failure in &summary.failures {
            let deployment = if failure.is_documented { "documented" } else { "odd" };
            println!("seed {} ({deployment}): {}", failure.seed, failure.what.replace('\n', "\n    "));
        }
    }
    if !summary.hanging.is_empty() {
        println!("  DID NOT COME BACK: {:?}", summary.hanging);
    }
}
