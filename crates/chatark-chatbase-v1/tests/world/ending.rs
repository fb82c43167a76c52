//! The end of a list, saved pages that are refused, and the bound of requests.

use chatark_core::{ErrorKind, ReadRequest};

use crate::vendor::{Change, End, Sizes, Vendor, World, ids, saved, world};

const ENDS: [End; 6] =
    [End::Empty, End::Status(404), End::Status(400), End::Status(416), End::Status(422), End::Clamped];

#[tokio::test]
async fn every_form_of_the_end_is_the_end() {
    for end in ENDS {
        for rows in [1, 2, 9, 10, 99, 100, 101, 200, 400, 730, 800, 1_200] {
            for cap in [1_000, 50, 37] {
                let pulled =
                    Vendor::new(World { cap, end, ..world(rows) }).pull(ReadRequest::default()).await;
                let pulled = pulled.ended();
                assert_eq!(pulled.distinct(), ids(1..=rows), "{end:?} {rows} {cap}");
                let pages = u64::from(rows).div_ceil(cap.min(100) as u64);
                let bound = pages + pages / 4 + 40;
                assert!((pulled.asked.len() as u64) <= bound, "{end:?} {rows} {cap}: {}", pulled.asked.len());
                assert!(pulled.notes().is_empty(), "{:?}", pulled.notes());
            }
        }
    }
}

#[tokio::test]
async fn a_refused_page_is_not_the_end_if_rows_follow_it() {
    for (dead, rows) in [(250, 500), (330, 350)] {
        let world = World {
            dead: ids([dead]),
            fault: crate::vendor::Fault::Status(404),
            end: End::Status(404),
            ..world(rows)
        };
        let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
        assert_eq!(pulled.distinct().len() + 1, rows as usize, "{dead}");
        assert_eq!(pulled.spans(), [(u64::from(dead), u64::from(dead))]);
    }
}

#[tokio::test]
async fn a_host_that_ignores_the_page_is_refused_if_there_may_be_more() {
    for sizes in [Sizes::Honoured, Sizes::Ignored, Sizes::Refused] {
        let world = |rows| World { end: End::PageIgnored, sizes, ..world(rows) };
        let pulled = Vendor::new(world(250)).pull(ReadRequest::default()).await;
        let error = pulled.error.as_ref().unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.message().contains("the same page again and again"), "{error}");
        assert_eq!(pulled.distinct(), ids(1..=100));
        assert!(pulled.asked.len() <= 7, "{:?}", pulled.asked);
        // A page that is not full may be all of them.
        let pulled = Vendor::new(world(70)).pull(ReadRequest::default()).await.ended();
        assert_eq!(pulled.distinct(), ids(1..=70));
        assert!(pulled.notes()[0].contains("there may be more"), "{:?}", pulled.notes());
        // Fewer rows than the vendor gives without being asked are all of them.
        let pulled = Vendor::new(world(7)).pull(ReadRequest::default()).await.ended();
        assert_eq!(pulled.distinct(), ids(1..=7));
        assert!(pulled.notes().is_empty());
    }
}

#[tokio::test]
async fn a_saved_page_that_is_refused_in_any_way_restarts_the_walk_once() {
    for status in [400, 404, 410, 422] {
        let vendor = Vendor::new(World { end: End::Status(status), ..world(230) });
        let pulled = vendor.pull(saved(ReadRequest::default(), 9)).await.ended();
        assert_eq!(pulled.distinct(), ids(1..=230), "{status}");
        assert_eq!(pulled.asked[..2], ["size=100&page=8", "size=100&page=1"]);
        assert!(pulled.batches[0].page.restarted && !pulled.batches[1].page.restarted);
        assert!(pulled.notes()[0].contains("from its beginning"), "{:?}", pulled.notes());
    }
}

/// More than a page was deleted: the rows that were not read yet are on pages that were.
#[tokio::test]
async fn a_saved_page_that_is_gone_restarts_the_walk() {
    let pulled = Vendor::new(world(230)).pull(saved(ReadRequest::default(), 9)).await.ended();
    assert_eq!(pulled.distinct(), ids(1..=230));
    assert!(pulled.batches[0].page.restarted);
}

#[tokio::test]
async fn a_walk_that_was_refused_from_the_beginning_is_not_restarted() {
    let vendor = Vendor::new(World { end: End::Status(404), ..world(0) });
    let pulled = vendor.pull(ReadRequest::default()).await;
    assert_eq!(pulled.error.unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(pulled.asked.len(), 1);
}

/// The last page is answered for every later one, while new conversations move the rows on it.
#[tokio::test]
async fn a_clamped_list_that_grows_with_every_answer_ends() {
    let changes = (0..2_000).map(|at| (at, Change::Insert)).collect();
    let pulled = Vendor::new(World { end: End::Clamped, changes, ..world(330) })
        .pull(ReadRequest::default())
        .await
        .ended();
    assert!(pulled.distinct().is_superset(&ids(1..=330)));
    assert!(pulled.asked.len() < 60, "{}", pulled.asked.len());
}

#[tokio::test]
async fn rows_are_not_missed_when_the_list_grows_while_several_pages_are_read() {
    for at in 0..40 {
        let world = World { changes: vec![(at, Change::Insert), (at + 3, Change::Insert)], ..world(2_000) };
        let pulled = Vendor::new(world).pull(ReadRequest::default()).await.ended();
        assert!(pulled.distinct().is_superset(&ids(1..=2_000)), "{at}");
    }
}

#[tokio::test]
async fn a_list_that_grows_with_every_answer_stays_within_the_bound() {
    let changes = (0..2_000).map(|at| (at, Change::Insert)).collect();
    let pulled = Vendor::new(World { changes, ..world(3_000) }).pull(ReadRequest::default()).await.ended();
    assert!(pulled.distinct().is_superset(&ids(1..=3_000)));
}

#[tokio::test]
async fn the_last_conversation_is_found_with_any_form_of_the_end() {
    for end in ENDS {
        for rows in [0_u32, 1, 2, 3, 4, 5, 8, 9, 11, 64, 65, 730, 5_000] {
            if rows == 0 && matches!(end, End::Status(_)) {
                continue;
            }
            let vendor = Vendor::new(World { end, ..world(rows) });
            let estimate = vendor.provider().estimate(&ReadRequest::default()).await.unwrap();
            assert_eq!(estimate.conversations, Some(u64::from(rows)), "{end:?} {rows}");
            assert_eq!(estimate.requests_sent, vendor.asked().len() as u64);
            let bound = 2 * u64::from(rows.max(1).ilog2() + 1) + 3;
            assert!(estimate.requests_sent <= bound, "{end:?} {rows}: {}", estimate.requests_sent);
        }
    }
    let ignoring = Vendor::new(World { sizes: Sizes::Ignored, ..world(730) });
    let estimate = ignoring.provider().estimate(&ReadRequest::default()).await.unwrap();
    assert_eq!(estimate.conversations, Some(730));
    let dead = Vendor::new(World { dead: ids([1, 64, 512]), ..world(730) });
    let estimate = dead.provider().estimate(&ReadRequest::default()).await.unwrap();
    assert_eq!(estimate.conversations, Some(730));
}
