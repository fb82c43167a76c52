//! Gaps of earlier pulls.

use chatark_core::{Checkpoint, GapBounds, OpenGap, ReadRequest};

use crate::vendor::{End, Sizes, Vendor, World, due, ids, world};

fn with(gaps: Vec<OpenGap>) -> ReadRequest {
    ReadRequest { gaps, ..ReadRequest::default() }
}

#[tokio::test]
async fn a_gap_that_is_due_is_tried_first_and_left_to_the_walk_that_comes_past_it() {
    let pulled = Vendor::new(world(430)).pull(with(vec![due(150, 150), due(101, 200)])).await.ended();
    assert_eq!(pulled.asked[..4], ["size=1&page=1", "size=1&page=150", "size=1&page=1", "size=100&page=2"]);
    let first = &pulled.batches[0];
    // What was there may have moved: what the walk does not find again is closed at its end.
    assert!(first.closed_gaps.is_empty() && pulled.gaps().is_empty());
    assert_eq!((first.records.len(), &first.checkpoint), (101, &Checkpoint::None));
    assert_eq!(pulled.distinct(), ids(1..=430));
}

#[tokio::test]
async fn a_gap_that_still_fails_stays_and_one_that_is_not_due_is_not_tried() {
    for dead in [1, 150] {
        let gap = u64::from(dead);
        let world = World { dead: ids([dead]), ..world(430) };
        let not_due = OpenGap { is_due: false, ..due(300, 300) };
        let pulled = Vendor::new(world).pull(with(vec![due(gap, gap), not_due])).await.ended();
        let first = &pulled.batches[0];
        assert_eq!(first.gaps[0].bounds, due(gap, gap).bounds);
        assert!(pulled.closed().is_empty());
        assert!(!pulled.asked.contains(&"size=1&page=300".to_owned()));
        assert_eq!(pulled.distinct().len(), 429);
    }
}

#[tokio::test]
async fn a_gap_of_a_page_shrinks_to_the_row_that_still_fails() {
    let world = World { dead: ids([150]), ..world(430) };
    let pulled = Vendor::new(world).pull(with(vec![due(101, 200)])).await.ended();
    assert!(pulled.closed().is_empty());
    assert!(pulled.gaps().iter().all(|gap| gap.bounds == due(150, 150).bounds));
    assert_eq!(pulled.batches[0].gaps[0].bounds, due(150, 150).bounds);
}

#[tokio::test]
async fn a_gap_behind_the_end_of_a_list_that_has_shrunk_is_not_found_again() {
    for (end, rows) in
        [(End::Empty, 50), (End::Status(404), 50), (End::Clamped, 50), (End::Empty, 0), (End::Clamped, 0)]
    {
        let gaps = vec![due(150, 150), due(51, 100)];
        let pulled = Vendor::new(World { end, ..world(rows) }).pull(with(gaps)).await.ended();
        assert!(pulled.gaps().is_empty(), "{end:?} {rows}");
    }
}

#[tokio::test]
async fn a_gap_stays_where_the_host_takes_no_other_size_and_of_a_vendor_that_is_down() {
    for sizes in [Sizes::Ignored, Sizes::Refused] {
        let world = World { sizes, dead: ids([150]), ..world(430) };
        let pulled = Vendor::new(world).pull(with(vec![due(101, 200)])).await.ended();
        assert!(pulled.closed().is_empty(), "{sizes:?}");
        assert_eq!(pulled.batches[0].gaps[0].bounds, due(101, 200).bounds, "{sizes:?}");
    }
    let world = World { down_from: 0, ..world(430) };
    let pulled = Vendor::new(world).pull(with(vec![due(101, 200)])).await;
    assert!(pulled.error.is_some() && pulled.closed().is_empty());
    assert!(pulled.gaps().iter().all(|gap| gap.bounds == due(101, 200).bounds));
}

#[tokio::test]
async fn a_rest_is_closed_once_its_next_page_can_be_read() {
    let rest = GapBounds::Rest { after: Some("3".to_owned()) };
    let gap = OpenGap { bounds: rest.clone(), is_due: true };
    let pulled = Vendor::new(world(430)).pull(with(vec![gap])).await.ended();
    assert_eq!(pulled.closed(), [rest]);
    assert_eq!(pulled.distinct(), ids(1..=430));
}
