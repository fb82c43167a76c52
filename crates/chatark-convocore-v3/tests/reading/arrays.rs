//! Responses without paging keys: a pull claims to have read everything only if there is proof.

use chatark_core::{GapBounds, ReadRequest, Window};

use crate::vendor::{Generation, ListKind, World, at};

const NO_WINDOW: Generation = Generation::Capped { cap: 200, applies_window: false, newest_first: true };

fn windowed(first_second: i64) -> ReadRequest {
    let window = Window { since: at(first_second), until: None };
    ReadRequest { window, ..ReadRequest::default() }
}

#[tokio::test]
async fn a_capped_deployment_is_read_in_windows_of_time() {
    for newest_first in [false, true] {
        let mut world = World::of(1_010);
        world.generation = Generation::Capped { cap: 200, applies_window: true, newest_first };
        world.list = ListKind::Refused(404);
        let vendor = world.served();
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids().len(), 1_010, "newest first: {newest_first}");
        assert!(outcome.gaps.is_empty() && !outcome.page.covers_everything);
        assert!(vendor.asked().len() <= 8, "{:?}", vendor.asked());
        assert!(outcome.page.notes.iter().any(|note| note.contains("returns a part of the conversations")));
    }
}

#[tokio::test]
async fn a_capped_deployment_without_windows_is_read_by_the_ids_in_the_list() {
    for selects_ids in [false, true] {
        for list in [ListKind::Cursors, ListKind::Numbers] {
            let mut world = World::of(1_010);
            (world.generation, world.selects_ids, world.list) = (NO_WINDOW, selects_ids, list);
            let vendor = world.served();
            let outcome = vendor.pull_all().await;
            outcome.expect_end();
            assert_eq!(outcome.ids().len(), 1_010, "{selects_ids}, {list:?}");
            assert!(outcome.gaps.is_empty() && outcome.page.covers_everything);
            assert_eq!(outcome.page.features.supports("ids"), (!selects_ids).then_some(false));
        }
    }
}

#[tokio::test]
async fn a_capped_deployment_that_shows_nothing_else_leaves_a_gap() {
    let mut world = World::of(1_010);
    (world.generation, world.list) = (NO_WINDOW, ListKind::Refused(405));
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    assert_eq!((outcome.ids().len(), outcome.page.covers_everything), (200, false));
    assert_eq!(
        outcome.gaps.iter().map(|gap| &gap.bounds).collect::<Vec<_>>(),
        [&GapBounds::Rest { after: None }]
    );
}

#[tokio::test]
async fn everything_is_claimed_where_the_window_was_ignored_or_the_list_agrees() {
    let pull = async |count: usize, request: ReadRequest| {
        let mut world = World::of(count);
        world.generation = Generation::OneArray;
        let outcome = world.served().pull(request).await;
        outcome.expect_end();
        assert_eq!((outcome.ids().len(), outcome.gaps.len()), (count, 0));
        outcome.page.covers_everything
    };
    assert!(!pull(210, ReadRequest::default()).await, "no paging keys show nothing");
    assert!(pull(210, windowed(600)).await, "older ones came than were asked for");
    assert!(!pull(210, windowed(-600)).await, "nothing came from outside of the window");
    assert!(pull(200, ReadRequest::default()).await, "the list shows no others");
    assert!(pull(200, windowed(600)).await, "the list shows no others");
}

#[tokio::test]
async fn the_vendors_text_shows_that_a_response_is_cut_short() {
    let mut world = World::of(210);
    world.generation = Generation::Capped { cap: 130, applies_window: true, newest_first: true };
    world.text = Some("Exported 130 of 210 conversations".to_owned());
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    assert_eq!(outcome.ids().len(), 210);
    assert!(outcome.page.notes.iter().any(|note| note.contains("130 of 210")), "{:?}", outcome.page.notes);
}

#[tokio::test]
async fn a_capped_pull_is_resumed_in_its_window() {
    for newest_first in [false, true] {
        let mut world = World::of(1_010);
        world.generation = Generation::Capped { cap: 200, applies_window: true, newest_first };
        let vendor = world.served();
        vendor.world(|world| world.down_after = Some(4));
        let first = vendor.pull_all().await;
        assert!(first.error.is_some());
        vendor.world(|world| world.down_after = None);
        vendor.forget_requests();
        let second =
            vendor.pull(ReadRequest { resume_from: first.resumable.clone(), ..ReadRequest::default() });
        let second = second.await;
        second.expect_end();
        assert_eq!(first.ids().union(&second.ids()).count(), 1_010);
        assert!(vendor.asked().len() < 6, "{:?}", vendor.asked());
    }
}
