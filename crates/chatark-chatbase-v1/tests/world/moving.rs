//! Lists whose rows change places from one answer to the next, and places that fail at their end.

use chatark_core::ReadRequest;

use crate::vendor::{Change, End, Vendor, World, ids, world};

#[tokio::test]
async fn a_clamped_list_whose_rows_change_places_ends() {
    for (rows, cap) in [(173, 10), (173, 50), (250, 100), (95, 10)] {
        let moving = World { cap, end: End::Clamped, moving: 173, ..world(rows) };
        let vendor = Vendor::new(moving);
        let pulled = vendor.pull(ReadRequest::default()).await.ended();
        let pages = (rows as usize).div_ceil(cap);
        assert!(pulled.asked.len() <= pages * 5 / 4 + 40, "{rows} {cap}: {}", pulled.asked.len());
        assert!(pulled.gaps().is_empty());
        assert_eq!(pulled.distinct(), vendor.shown(), "{rows} {cap}");
    }
}

#[tokio::test]
async fn whatever_arrives_is_returned() {
    for end in [End::Empty, End::Status(404), End::Clamped] {
        for dead in [3, 60, 130, 230] {
            let vendor = Vendor::new(World { end, dead: ids([dead]), moving: 240, ..world(240) });
            let pulled = vendor.pull(ReadRequest::default()).await.ended();
            assert_eq!(pulled.distinct(), vendor.shown(), "{end:?} {dead}");
        }
    }
}

#[tokio::test]
async fn a_row_that_fails_leaves_a_gap_although_it_changes_places() {
    for rows in [30, 57, 76, 99] {
        for dead in [2, 11, 29] {
            for end in [End::Empty, End::Status(404), End::Clamped] {
                let moving = World { end, dead: ids([dead]), moving: 99, ..world(rows) };
                let pulled = Vendor::new(moving).pull(ReadRequest::default()).await.ended();
                assert!(!pulled.gaps().is_empty(), "{rows} {dead} {end:?} {:?}", pulled.asked);
            }
        }
    }
}

#[tokio::test]
async fn a_clamped_list_whose_last_rows_fail_ends_soon() {
    for (rows, dead) in [(62, vec![60, 61, 62]), (184, vec![181, 184]), (200, vec![200]), (3, vec![2, 3])] {
        let world = World { end: End::Clamped, dead: ids(dead.clone()), ..world(rows) };
        let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
        assert!(pulled.asked.len() <= 130, "{rows}: {}", pulled.asked.len());
        assert_eq!(pulled.distinct().len(), rows as usize - dead.len(), "{rows}");
        assert!(!pulled.gaps().is_empty(), "{rows}");
    }
}

/// What follows the last row is that row once more: one more answer shows it, and not one for every position.
#[tokio::test]
async fn a_clamped_list_whose_first_rows_fail_ends_soon() {
    for (rows, dead) in [(8, vec![2]), (8, vec![3, 6, 7]), (61, vec![3]), (161, vec![103])] {
        let world = World { end: End::Clamped, dead: ids(dead.clone()), ..world(rows) };
        let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
        assert!(pulled.asked.len() <= 70, "{rows}: {}", pulled.asked.len());
        assert_eq!(pulled.distinct().len(), rows as usize - dead.len(), "{rows}");
        assert_eq!(pulled.spans().len(), if dead.len() == 3 { 2 } else { 1 }, "{rows}: {:?}", pulled.gaps());
    }
}

#[tokio::test]
async fn of_two_conversations_the_first_is_read_if_the_second_fails() {
    for end in [End::Empty, End::Status(404), End::Clamped] {
        let world = World { end, dead: ids([2]), ..world(2) };
        let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
        assert_eq!(pulled.distinct(), ids([1]), "{end:?}");
        assert!(!pulled.gaps().is_empty(), "{end:?}");
    }
}

#[tokio::test]
async fn a_list_of_one_page_that_grows_at_its_end_is_no_host_that_ignores_the_page() {
    for at in 1..12 {
        let changes = vec![(at, Change::Append)];
        let world = World { end: End::Clamped, changes, ..world(10) };
        let vendor = Vendor::new(world);
        let pulled = vendor.pull(ReadRequest::default()).await.ended();
        assert_eq!(pulled.distinct(), vendor.shown(), "{at}");
    }
}

#[tokio::test]
async fn a_list_of_one_page_that_grows_all_the_time_is_no_host_that_ignores_the_page() {
    for begin in 1..9 {
        let changes = (begin..60).map(|at| (at, Change::Append)).collect();
        let world = World { end: End::Clamped, changes, ..world(66) };
        let vendor = Vendor::new(world);
        let pulled = vendor.pull(ReadRequest::default()).await.ended();
        assert_eq!(pulled.distinct(), vendor.shown(), "{begin}");
    }
}
