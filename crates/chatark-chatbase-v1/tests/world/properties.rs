//! Invariants over generated vendors.

use std::collections::BTreeSet;

use chatark_core::{GapBounds, ReadRequest};
use proptest::prelude::*;

use crate::vendor::{Change, End, Fault, Pulled, Sizes, Vendor, World, ids, world};

fn pull(world: World) -> Pulled {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(Vendor::new(world).pull(ReadRequest::default()))
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Empty),
        Just(End::Status(404)),
        Just(End::Status(400)),
        Just(End::Status(416)),
        Just(End::Status(422)),
        Just(End::Clamped),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![Just(Fault::Status(500)), Just(Fault::Cut), Just(Fault::NotJson)]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    prop_oneof![4 => Just(Sizes::Honoured), 1 => Just(Sizes::Ignored), 1 => Just(Sizes::Refused)]
}

fn caps() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(1_000), 1 => 10_usize..100]
}

/// A list that stands still, with a few rows that fail.
fn still() -> impl Strategy<Value = World> {
    (prop_oneof![0_u32..130, 0_u32..1_400]).prop_flat_map(|rows| {
        let dead = prop::collection::btree_set(1..=rows.max(1), 0..5);
        (Just(rows), caps(), ends(), sizes(), dead, faults()).prop_map(
            |(rows, cap, end, sizes, dead, fault)| World { cap, end, sizes, dead, fault, ..world(rows) },
        )
    })
}

/// A list that changes between answers.
fn moving(with_deletions: bool) -> impl Strategy<Value = World> {
    let change = (any::<bool>(), 0_usize..1_400).prop_map(move |(deletes, at)| {
        if deletes && with_deletions { Change::Delete(at) } else { Change::Insert }
    });
    let changes = prop::collection::vec((0_usize..60, change), 0..40);
    (prop_oneof![0_u32..130, 0_u32..1_400], caps(), ends(), changes)
        .prop_map(|(rows, cap, end, changes)| World { cap, end, changes, ..world(rows) })
}

fn bound(rows: usize, cap: usize) -> usize {
    let pages = rows.div_ceil(cap.min(100));
    pages + pages / 4 + 40
}

/// 64 worlds each, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_set { usual.cases } else { 64 }, max_shrink_iters: 200, ..usual }
}

/// Returns whether a list of one full page looks like a host that ignores `page`: the last page is answered for every
/// page, and no other size is taken.
fn is_ambiguous(world: &World) -> bool {
    world.end == End::Clamped && world.sizes != Sizes::Honoured && world.rows.len() == 100
}

/// Returns the positions that the gaps of a pull cover.
fn covered(pulled: &Pulled, rows: u32) -> BTreeSet<u32> {
    let mut covered = BTreeSet::new();
    for gap in pulled.gaps() {
        match gap.bounds {
            GapBounds::Positions { first, last } => {
                covered.extend((1..=rows).filter(|id| (first..=last).contains(&u64::from(*id))));
            }
            GapBounds::Rest { after } => {
                let page: u32 = after.unwrap().parse().unwrap();
                covered.extend((1..=rows).filter(|id| *id > page * 10));
            }
            other => panic!("{other:?}"),
        }
    }
    covered
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_a_still_world_every_row_is_delivered_or_in_a_gap(world in still()) {
        let (rows, cap) = (u32::try_from(world.rows.len()).unwrap(), world.cap);
        let is_refused_whole = rows == 0 && matches!(world.end, End::Status(_));
        let pulled = pull(world.clone());
        if is_refused_whole {
            prop_assert!(pulled.error.is_some());
            return Ok(());
        }
        let all_dead = !world.dead.is_empty() && pulled.distinct().is_empty();
        if all_dead && pulled.error.is_some() {
            // Nothing at all can be read: the vendor counts as down.
            return Ok(());
        }
        if is_ambiguous(&world) {
            return Ok(());
        }
        prop_assert!(pulled.error.is_none(), "{:?}", pulled.error);
        let gaps = covered(&pulled, rows);
        let read = pulled.distinct();
        for id in 1..=rows {
            prop_assert!(read.contains(&id) || gaps.contains(&id), "{id} is lost, gaps {:?}", pulled.gaps());
        }
        let dead: BTreeSet<_> = world.dead.iter().copied().filter(|id| *id <= rows).collect();
        prop_assert!(gaps.is_superset(&dead));
        if dead.is_empty() {
            prop_assert!(pulled.gaps().is_empty(), "{:?}", pulled.gaps());
            prop_assert!(pulled.asked.len() <= bound(rows as usize, cap), "{}", pulled.asked.len());
        } else {
            prop_assert!(pulled.asked.len() <= bound(rows as usize, cap) + 90 * (dead.len() + 2), "{}", pulled.asked.len());
        }
        if world.sizes == Sizes::Honoured && rows > 60 {
            let lost: Vec<_> = (1..=rows).filter(|id| !read.contains(id)).collect();
            prop_assert_eq!(lost, dead.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn in_a_growing_world_no_row_is_missed(world in moving(false)) {
        let rows = u32::try_from(world.rows.len()).unwrap();
        let is_refused_whole = rows == 0 && matches!(world.end, End::Status(_));
        let (inserted, cap) = (world.changes.len(), world.cap);
        let pulled = pull(world);
        if pulled.error.is_some() && is_refused_whole {
            return Ok(());
        }
        prop_assert!(pulled.error.is_none(), "{:?}", pulled.error);
        let missed: Vec<_> = ids(1..=rows).difference(&pulled.distinct()).copied().collect();
        prop_assert!(missed.is_empty(), "{missed:?} {:?}", pulled.asked);
        prop_assert!(pulled.asked.len() <= bound(rows as usize, cap) + inserted, "{}", pulled.asked.len());
    }

    #[test]
    fn in_any_world_the_walk_ends_and_claims_no_gap_without_a_failure(world in moving(true)) {
        let rows = world.rows.len();
        let (changes, cap) = (world.changes.len(), world.cap);
        let is_small = rows <= changes + 1;
        let pulled = pull(world);
        prop_assert!(pulled.error.is_none() || is_small, "{:?}", pulled.error);
        prop_assert!(pulled.gaps().is_empty());
        prop_assert!(pulled.asked.len() <= bound(rows, cap) + changes, "{}", pulled.asked.len());
    }
}
