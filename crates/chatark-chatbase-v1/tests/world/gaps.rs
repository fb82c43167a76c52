//! Pages that fail: what is read around them, and which gap is left.

use chatark_core::{Checkpoint, ErrorKind, GapBounds, ReadRequest};

use crate::vendor::{End, Fault, Sizes, Vendor, World, ids, saved, world};

const FAULTS: [Fault; 4] = [Fault::Status(500), Fault::Cut, Fault::NotJson, Fault::Status(422)];

#[tokio::test]
async fn a_dead_row_is_a_gap_and_everything_around_it_is_read() {
    for fault in FAULTS {
        for (dead, cap) in [(150, 1_000), (1, 1_000), (100, 1_000), (730, 1_000), (101, 37), (74, 37)] {
            let world = World { cap, dead: ids([dead]), fault, ..world(730) };
            let pulled = Vendor::new(world).pull(ReadRequest::default()).await;
            let pulled = pulled.ended();
            let expected = ids((1..=730).filter(|id| *id != dead));
            assert_eq!(pulled.distinct(), expected, "{fault:?} {dead} {cap}");
            assert_eq!(pulled.spans(), [(u64::from(dead), u64::from(dead))], "{fault:?} {dead} {cap}");
        }
    }
}

#[tokio::test]
async fn neighbours_are_one_gap_and_others_are_gaps_of_their_own() {
    let world = World { dead: ids([120, 121, 122, 199, 650]), ..world(730) };
    let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
    assert_eq!(pulled.spans(), [(120, 122), (199, 199), (650, 650)]);
    assert_eq!(pulled.distinct().len(), 725);
    assert!(pulled.gaps()[0].error.contains("500"), "{:?}", pulled.gaps());
}

#[tokio::test]
async fn the_whole_page_is_the_gap_where_the_host_takes_no_other_size() {
    for sizes in [Sizes::Refused, Sizes::Ignored] {
        for fault in [Fault::Status(500), Fault::Cut, Fault::NotJson] {
            let world = World { sizes, fault, dead: ids([150]), ..world(430) };
            let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
            assert_eq!(pulled.spans(), [(101, 200)], "{sizes:?} {fault:?}");
            let expected = ids((1..=430).filter(|id| !(101..=200).contains(id)));
            assert!(pulled.distinct().is_superset(&expected), "{sizes:?} {fault:?}");
        }
    }
}

/// The vendor is down: the error, no gap, and the checkpoint stays.
#[tokio::test]
async fn no_gap_is_claimed_of_a_vendor_that_is_down() {
    for down_from in 0..30 {
        for dead in [None, Some(150)] {
            let world = World { down_from, dead: ids(dead), ..world(4_000) };
            let pulled = Vendor::new(world).pull(ReadRequest::default()).await;
            let error = pulled.error.as_ref().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{down_from} {error}");
            for gap in pulled.gaps() {
                assert_eq!(gap.bounds, GapBounds::Positions { first: 150, last: 150 }, "{down_from}");
            }
            assert!(pulled.asked.len() <= down_from + 16, "{down_from}: {:?}", pulled.asked);
        }
    }
}

#[tokio::test]
async fn a_vendor_that_recovers_leaves_no_gap() {
    // The second answer is the page that fails. The vendor answers again before the gap is claimed.
    for sizes in [Sizes::Honoured, Sizes::Ignored, Sizes::Refused] {
        for recovers_at in 2..6 {
            let world = World { sizes, recovers_at, dead: ids([150]), ..world(330) };
            let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
            assert!(pulled.gaps().is_empty(), "{sizes:?} {recovers_at}: {:?}", pulled.gaps());
            assert_eq!(pulled.distinct(), ids(1..=330), "{sizes:?} {recovers_at}");
        }
    }
}

#[tokio::test]
async fn a_host_that_fails_behind_its_end_leaves_a_rest_and_ends() {
    let vendor = Vendor::new(World { end: End::Status(500), ..world(250) });
    let pulled = vendor.pull(ReadRequest::default()).await.ended();
    assert_eq!(pulled.distinct(), ids(1..=250));
    let rest = pulled.gaps().pop().unwrap();
    assert!(matches!(rest.bounds, GapBounds::Rest { .. }), "{rest:?}");
    assert!(pulled.asked.len() < 220, "{}", pulled.asked.len());
    // The next pull knows where to give up.
    let known =
        chatark_core::OpenGap { bounds: GapBounds::Rest { after: Some("3".to_owned()) }, is_due: false };
    let before = vendor.asked().len();
    let again = vendor.pull(ReadRequest { gaps: vec![known], ..ReadRequest::default() }).await.ended();
    assert_eq!(again.distinct(), ids(1..=250));
    assert_eq!(again.gaps()[0].bounds, GapBounds::Rest { after: Some("3".to_owned()) });
    assert!(vendor.asked().len() - before <= 7, "{:?}", &again.asked[before..]);
}

#[tokio::test]
async fn a_saved_page_that_fails_is_passed_by_its_positions() {
    for cap in [1_000, 50, 37] {
        let size = cap.min(100);
        let number = 3;
        let dead = u32::try_from(size).unwrap() * 2 + 10;
        let world = World { cap, dead: ids([dead]), ..world(600) };
        let pulled = Vendor::new(world).pull(saved(ReadRequest::default(), number + 1)).await.ended();
        assert_eq!(pulled.spans(), [(u64::from(dead), u64::from(dead))], "{cap}");
        let from = u32::try_from(size).unwrap() * 2 + 1;
        let expected = ids((from..=600).filter(|id| *id != dead));
        assert!(pulled.distinct().is_superset(&expected), "{cap}");
    }
}

#[tokio::test]
async fn the_checkpoint_behind_a_gap_is_the_next_page() {
    let world = World { dead: ids([50]), ..world(150) };
    let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
    let expected = Checkpoint::At(saved(ReadRequest::default(), 2).resume_from.unwrap());
    assert_eq!(pulled.batches[0].checkpoint, expected);
    assert_eq!(pulled.batches[0].gaps.len(), 1);
}
