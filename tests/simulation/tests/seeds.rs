//! Runs default seeds of every vendor.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::thread;

use chatark_simulation::batch::{Summary, folder, run_all};
use chatark_simulation::faults::Fault;
use chatark_simulation::simulation::{drawn_faults, run};
use chatark_simulation::vendor::VendorApi;

/// The default seeds of each vendor.
const SEEDS: u64 = 1_000;

/// Runs the default seeds of a vendor, once for all tests.
fn summary(api: VendorApi) -> &'static Summary {
    static SUMMARIES: [OnceLock<Summary>; 3] = [const { OnceLock::new() }; 3];
    let index = VendorApi::ALL.iter().position(|other| *other == api).unwrap();
    SUMMARIES[index].get_or_init(|| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        run_all(api, 0..SEEDS, threads, false, |_, _| ()).unwrap()
    })
}

/// Every fault fires at each kind of request that the walkers make often, and everything else happens in one of a hundred worlds.
fn check_coverage(api: VendorApi, summary: &Summary) {
    for kind in api.request_kinds() {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(api, *kind)) {
            let count = summary.statistics.faults.get(&(fault, *kind)).copied().unwrap_or_default();
            let reached = summary.statistics.request_kinds.get(kind).copied().unwrap_or(0);
            let is_often = reached * 5 > summary.seeds;
            assert!(!is_often || count.fired > 0, "{} {fault:?} at {kind:?} never fired", api.name());
        }
    }
    let of_all =
        ["stop", "kill", "clock jump", "budget", "dead record", "huge record", "outage", "empty run"];
    let of_some = ["resumed", "changes while running", "down at the end", "gaps are accepted"];
    let of_metered: &[_] = if api.is_metered() { &["plan"] } else { &[] };
    for what in of_all.iter().chain(&of_some).chain(of_metered) {
        let happened = summary.statistics.happened.get(*what).copied().unwrap_or(0);
        assert!(happened * 100 >= summary.seeds, "{} {what}: {happened}", api.name());
    }
}

/// Fails if a world of a vendor that once broke a promise does so again.
fn check_regressions(api: VendorApi) {
    let folder = folder().unwrap();
    let lines = include_str!("../regressions.txt").lines();
    let lines = lines.filter(|line| line.split_whitespace().next() == Some(api.name()));
    let mut failed = Vec::new();
    for line in lines {
        let seed = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        if let (_, Some(failure)) = run(api, seed, folder.path(), false) {
            failed.push(format!("{line}: {}", failure.what));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Fails with the report of the first seed that breaks a promise.
fn check_promises(api: VendorApi) {
    check_regressions(api);
    let summary = summary(api);
    assert!(summary.hanging.is_empty(), "{} hangs: {:?}", api.name(), summary.hanging);
    if let Some(first) = summary.failures.first() {
        let folder = folder().unwrap();
        let (_, failure) = run(api, first.seed, folder.path(), true);
        let report = failure.map_or_else(|| first.what.clone(), |failure| failure.report);
        panic!(
            "{} of {} seeds failed: {:#?}\n{report}",
            summary.failures.len(),
            summary.seeds,
            summary.broken()
        );
    }
}

#[test]
fn every_fault_fires_and_everything_else_happens_in_one_of_a_hundred_worlds() {
    for api in VendorApi::ALL {
        check_coverage(api, summary(api));
    }
}

#[test]
fn a_seed_gives_the_same_world_and_the_same_requests_again() {
    for api in VendorApi::ALL {
        for seed in 0..6 {
            let traces: Vec<_> = (0..2)
                .map(|_| {
                    let folder = folder().unwrap();
                    run(api, seed, folder.path(), true).0.trace
                })
                .collect();
            assert!(traces[0].len() > 3 && traces[0] == traces[1], "{} {seed}", api.name());
        }
    }
}

#[test]
fn every_fault_is_drawn_for_every_kind_of_request_in_one_of_a_hundred_worlds() {
    for api in VendorApi::ALL {
        let mut drawn = BTreeMap::<_, u64>::new();
        for seed in 0..SEEDS {
            for key in drawn_faults(api, seed).into_keys() {
                *drawn.entry(key).or_default() += 1;
            }
        }
        for kind in api.request_kinds() {
            for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(api, *kind)) {
                let count = drawn.get(&(fault, *kind)).copied().unwrap_or(0);
                assert!(count * 100 >= SEEDS, "{} {fault:?} at {kind:?}: {count}", api.name());
            }
        }
    }
}

#[test]
fn chatbase_v2_keeps_its_promises() {
    check_promises(VendorApi::ChatbaseV2);
}

#[test]
fn convocore_v3_keeps_its_promises() {
    check_promises(VendorApi::ConvocoreV3);
}

#[test]
fn chatbase_v1_keeps_its_promises() {
    check_promises(VendorApi::ChatbaseV1);
}
