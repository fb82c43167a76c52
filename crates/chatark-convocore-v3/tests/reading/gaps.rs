//! Conversations that cannot be read become gaps, and everything around them is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use chatark_core::{Checkpoint, ErrorKind, GapBounds, HeldRecords, OpenGap, ReadRequest, RecordId};

use crate::vendor::{
    Convo, END_FORMS, FAILURE_MODES, FailureMode, Generation, Held, ListKind, START, World, at, due,
};

fn record(id: &str) -> GapBounds {
    GapBounds::record(RecordId::new(id))
}

fn all_but(count: usize, failing: &[usize]) -> BTreeSet<String> {
    (0..count).filter(|at| !failing.contains(at)).map(|at| format!("c{at:04}")).collect()
}

#[tokio::test]
async fn a_failing_conversation_becomes_a_gap_of_its_id_and_all_others_are_read() {
    for failing in [vec![0], vec![70], vec![119], vec![10, 11], vec![49, 50, 118]] {
        let vendor = World::of(120).fail_at(&failing).served();
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids(), all_but(120, &failing), "{failing:?}");
        let gaps: Vec<_> = outcome.gaps.iter().map(|gap| gap.bounds.clone()).collect();
        let expect: Vec<_> = failing.iter().map(|at| record(&format!("c{at:04}"))).collect();
        assert_eq!(gaps, expect);
        assert!(outcome.gaps[0].error.contains("Output validation failed"), "{:?}", outcome.gaps);
        // Nothing is billed twice.
        assert_eq!(vendor.billed(), (120 - failing.len() as u64, 1), "{failing:?}");
    }
}

#[tokio::test]
async fn without_a_list_the_second_of_a_failing_conversation_is_found() {
    for failing in [vec![0], vec![70], vec![119], vec![10, 11, 60]] {
        let mut world = World::of(120).fail_at(&failing);
        world.list = ListKind::Refused(403);
        let vendor = world.served();
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids(), all_but(120, &failing), "{failing:?}");
        let convos = vendor.world(|world| world.convos.clone());
        assert!(failing.iter().all(|at| outcome.has_gap_of(&convos[*at])), "{failing:?}: {:?}", outcome.gaps);
        for gap in &outcome.gaps {
            let GapBounds::Window { since: Some(since), until: Some(until) } = gap.bounds else {
                panic!("{gap:?}")
            };
            assert!(until - since <= 61_000_000, "{gap:?}");
        }
        // The one before may be in the same second: it is requested again.
        assert!(vendor.billed().1 <= 2, "{failing:?}");
    }
}

#[tokio::test]
async fn conversations_of_the_same_second_are_read_around_a_failing_one() {
    let mut convos: Vec<_> = (0..40).map(|at| Convo::new(format!("c{at:04}"), START + at / 8)).collect();
    convos[19].is_failing = true;
    let vendor = World::new(convos.clone()).served();
    let outcome = vendor.pull_all().await;
    outcome.expect_end();
    assert_eq!(outcome.ids(), all_but(40, &[19]));
    assert_eq!(outcome.gaps.iter().map(|gap| &gap.bounds).collect::<Vec<_>>(), [&record("c0019")]);

    let mut world = World::new(convos);
    world.list = ListKind::Refused(404);
    let vendor = world.served();
    let outcome = vendor.pull_all().await;
    outcome.expect_end();
    // Without a list, the others of its second are read from both ends.
    assert_eq!(outcome.ids(), all_but(40, &[19]));
    let convos = vendor.world(|world| world.convos.clone());
    assert!(outcome.has_gap_of(&convos[19]), "{:?}", outcome.gaps);
    assert_eq!(outcome.gaps.len(), 1);
}

#[tokio::test]
async fn many_failing_conversations_in_a_row_are_gaps_as_long_as_others_can_be_read() {
    let failing: Vec<usize> = (30..45).collect();
    let vendor = World::of(100).fail_at(&failing).served();
    let outcome = vendor.pull_all().await;
    outcome.expect_end();
    assert_eq!((outcome.ids(), outcome.gaps.len()), (all_but(100, &failing), failing.len()));

    // The last ones: nothing after them can be read.
    let failing: Vec<usize> = (90..100).collect();
    for list in [ListKind::Cursors, ListKind::Refused(403)] {
        let mut world = World::of(100).fail_at(&failing);
        world.list = list;
        let vendor = world.served();
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids(), all_but(100, &failing));
        let convos = vendor.world(|world| world.convos.clone());
        assert!(failing.iter().all(|at| outcome.has_gap_of(&convos[*at])));
    }
}

/// A generated world that once failed: nothing was known to be readable after the resumption.
#[tokio::test]
async fn a_resumed_pull_gets_past_failing_conversations_too() {
    for after in 1..40 {
        let mut world = World::of(8).fail_at(&[1, 2, 3, 4, 5, 6, 7]);
        (world.list, world.selects_ids, world.down_after) = (ListKind::Refused(403), false, Some(after));
        let vendor = world.served();
        let first = vendor.pull_all().await;
        vendor.world(|world| world.down_after = None);
        let second =
            vendor.pull(ReadRequest { resume_from: first.resumable.clone(), ..ReadRequest::default() });
        let second = second.await;
        second.expect_end();
        let convos = vendor.world(|world| world.convos.clone());
        let is_known = |convo: &Convo| first.has_gap_of(convo) || second.has_gap_of(convo);
        assert!(convos[1..].iter().all(is_known), "{after}: {:?} {:?}", first.gaps, second.gaps);
    }
}

#[tokio::test]
async fn a_vendor_that_is_down_leaves_no_gap() {
    for after in 1..12 {
        let mut world = World::of(300).fail_at(&[60]);
        world.down_after = Some(after);
        let outcome = world.served().pull_all().await;
        let error = outcome.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{after}");
        assert!(error.to_string().starts_with("export conversations: the vendor answered 500"), "{error}");
        assert!(outcome.gaps.is_empty(), "{after}: {:?}", outcome.gaps);
        assert_ne!(outcome.checkpoint, Checkpoint::End);
    }
}

/// A generated world that once failed: a gateway let every answer through that held no conversation.
#[tokio::test]
async fn a_vendor_that_can_send_no_conversation_is_down_although_it_answers() {
    let failing: Vec<usize> = (0..300).collect();
    let vendor = World::of(300).fail_at(&failing).served();
    let outcome = vendor.pull_all().await;
    assert_eq!(outcome.error.unwrap().kind(), ErrorKind::Unavailable);
    assert!(outcome.gaps.is_empty(), "{:?}", outcome.gaps);
    let asked = vendor.world(|world| world.asked.len());
    assert!(asked < 300, "{asked} requests");
}

#[tokio::test]
async fn a_pull_that_ends_anywhere_is_resumed() {
    for list in [ListKind::Cursors, ListKind::Refused(403)] {
        for after in 1..60 {
            let mut world = World::of(230).fail_at(&[60, 61, 130]);
            (world.list, world.down_after) = (list, Some(after));
            let vendor = world.served();
            let first = vendor.pull_all().await;
            vendor.world(|world| world.down_after = None);
            let second = vendor
                .pull(ReadRequest { resume_from: first.resumable.clone(), ..ReadRequest::default() })
                .await;
            second.expect_end();
            let ids: BTreeSet<_> = first.ids().union(&second.ids()).cloned().collect();
            assert_eq!(ids, all_but(230, &[60, 61, 130]), "{list:?}, {after}");
            let convos = vendor.world(|world| world.convos.clone());
            let is_known = |at: usize| first.has_gap_of(&convos[at]) || second.has_gap_of(&convos[at]);
            assert!([60, 61, 130].into_iter().all(is_known), "{list:?}, {after}");
        }
    }
}

#[tokio::test]
async fn a_failing_conversation_is_passed_in_every_form_of_the_last_page() {
    for end in END_FORMS {
        let mut world = World::of(75).fail_at(&[74]);
        world.end = end;
        let vendor = world.served();
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!((outcome.ids(), outcome.gaps.len()), (all_but(75, &[74]), 1), "{end:?}");
    }
}

#[tokio::test]
async fn gaps_that_are_due_are_tried_first() {
    let vendor = World::of(10).fail_at(&[7]).served();
    let gaps = vec![
        due(record("c0003")),
        due(record("c0007")),
        due(record("gone")),
        OpenGap { bounds: record("c0008"), is_due: false },
    ];
    let outcome = vendor.pull(ReadRequest { gaps, ..ReadRequest::default() }).await;
    outcome.expect_end();
    assert_eq!(outcome.records[0], "c0003");
    assert_eq!(outcome.closed[..2], [record("c0003"), record("gone")]);
    assert_eq!(outcome.gaps[0].bounds, record("c0007"));
    let asked = vendor.asked();
    assert!(asked[0].ends_with("convoIds=c0003"), "{asked:?}");
    assert!(!asked.iter().any(|asked| asked.ends_with("convoIds=c0008")));
    // The walk through everything has read what was not tried.
    assert!(outcome.closed.contains(&record("c0008")));
}

#[tokio::test]
async fn a_second_that_the_walk_covers_is_read_once() {
    let second = |at: i64| Some((START + 60 * 5 + at) * 1_000_000);
    let window = GapBounds::Window { since: second(0), until: second(1) };
    let vendor = World::of(10).served();
    let gaps = vec![due(window.clone())];
    let outcome = vendor.pull(ReadRequest { gaps, ..ReadRequest::default() }).await;
    outcome.expect_end();
    assert_eq!(outcome.records, all_but(10, &[]).into_iter().collect::<Vec<_>>());
    assert_eq!(outcome.closed, [window]);
}

#[tokio::test]
async fn a_walk_without_any_conversation_closes_no_window() {
    let window = |at: i64| GapBounds::Window { since: Some(at), until: Some(at + 1_000_000) };
    let gaps = [due(window(START * 1_000_000)), OpenGap { bounds: window(0), is_due: false }];
    let open: Vec<_> = gaps.iter().map(|gap| gap.bounds.clone()).collect();
    let gaps = gaps.into_iter().chain([due(GapBounds::Rest { after: None })]).collect();
    let vendor = World::of(0).served();
    let outcome = vendor.pull(ReadRequest { gaps, ..ReadRequest::default() }).await;
    outcome.expect_end();
    let left: Vec<_> = outcome.gaps.iter().map(|gap| gap.bounds.clone()).collect();
    assert_eq!((left, outcome.closed), (open, Vec::new()));
    // One page and the agent.
    assert_eq!(vendor.asked().len(), 2);
}

#[tokio::test]
async fn a_gap_that_cannot_be_tried_stays_open() {
    let mut world = World::of(10);
    world.down_after = Some(0);
    let gaps = vec![due(record("c0003")), due(GapBounds::Rest { after: None })];
    let outcome = world.served().pull(ReadRequest { gaps, ..ReadRequest::default() }).await;
    assert_eq!(outcome.gaps.iter().map(|gap| gap.bounds.clone()).collect::<Vec<_>>(), [record("c0003")]);
    assert!(outcome.closed.is_empty());
    assert_eq!(outcome.error.unwrap().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_rest_of_a_list_is_closed_by_a_walk_through_all_of_it() {
    let rest = GapBounds::Rest { after: Some("old".to_owned()) };
    let gaps = vec![due(rest.clone())];
    let outcome = World::of(10).served().pull(ReadRequest { gaps, ..ReadRequest::default() }).await;
    outcome.expect_end();
    assert_eq!(outcome.closed, [rest]);
}

#[tokio::test]
async fn every_way_in_which_a_conversation_fails_leaves_a_gap() {
    for failure_mode in FAILURE_MODES {
        for list in [ListKind::Cursors, ListKind::Refused(404)] {
            let mut world = World::of(120).fail_at(&[70]);
            (world.failure_mode, world.list) = (failure_mode, list);
            let vendor = world.served();
            let outcome = vendor.pull_all().await;
            outcome.expect_end();
            assert_eq!(
                (outcome.ids(), outcome.gaps.len()),
                (all_but(120, &[70]), 1),
                "{failure_mode:?}, {list:?}"
            );
        }
    }
}

/// A tester's vendor: a page that was refused again and again, although its cursor had just been given, ended each pull, so
/// that what followed was never read.
#[tokio::test]
async fn a_conversation_with_which_each_page_is_refused_leaves_a_gap() {
    for status in [400, 404, 410, 422] {
        for list in [ListKind::Cursors, ListKind::Refused(404)] {
            let mut world = World::of(170).fail_at(&[120]);
            (world.failure_mode, world.list) = (FailureMode::Refused(status), list);
            let vendor = world.served();
            let outcome = vendor.pull_all().await;
            outcome.expect_end();
            assert_eq!(outcome.ids(), all_but(170, &[120]), "{status}, {list:?}: {:?}", outcome.gaps);
            assert_eq!(outcome.gaps.len(), 1, "{status}, {list:?}: {:?}", outcome.gaps);
        }
    }
}

#[tokio::test]
async fn the_second_of_a_gap_is_tried_without_its_neighbours() {
    let convos = (0..9).map(|at| Convo::new(format!("c{at:04}"), START + at)).collect();
    let mut world = World::new(convos).fail_at(&[4]);
    world.list = ListKind::Refused(403);
    let vendor = world.served();
    let first = vendor.pull_all().await;
    first.expect_end();
    let bounds = first.gaps[0].bounds.clone();
    let pull = async || {
        vendor.forget_requests();
        let held: Arc<dyn HeldRecords> = Arc::new(Held::default());
        let gaps = vec![due(bounds.clone())];
        vendor
            .pull(ReadRequest { gaps, held: Some(held), recent_since: at(9), ..ReadRequest::default() })
            .await
    };
    let outcome = pull().await;
    assert_eq!((&outcome.gaps[0].bounds, outcome.closed.len()), (&bounds, 0));
    vendor.world(|world| world.convos[4].is_failing = false);
    let outcome = pull().await;
    assert_eq!((outcome.gaps.len(), &outcome.closed), (0, &vec![bounds.clone()]));
    let ids: Vec<_> = outcome.ids().into_iter().collect();
    assert_eq!(ids, ["c0004"]);
}

#[tokio::test]
async fn many_pages_that_break_off_are_not_taken_for_an_endless_list() {
    let failing: Vec<usize> = (0..20).map(|number| number * 50 + 45).collect();
    let mut world = World::of(1_000).fail_at(&failing);
    world.failure_mode = FailureMode::Cut;
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    assert_eq!((outcome.ids(), outcome.gaps.len()), (all_but(1_000, &failing), 20));
}

#[tokio::test]
async fn a_gap_that_is_found_again_is_reported_once_and_stays_open() {
    for is_due in [true, false] {
        let vendor = World::of(10).fail_at(&[7]).served();
        let gaps = vec![OpenGap { bounds: record("c0007"), is_due }];
        let outcome = vendor.pull(ReadRequest { gaps, ..ReadRequest::default() }).await;
        outcome.expect_end();
        assert_eq!((outcome.gaps.len(), outcome.closed.len()), (1, 0));
    }
}

#[tokio::test]
async fn the_rest_after_a_page_is_tried_and_never_read_from_the_beginning() {
    let vendor = World::of(120).served();
    let held: Arc<dyn HeldRecords> = Arc::new(Held::default());
    let pull = async |after: &str| {
        let rest = GapBounds::Rest { after: Some(after.to_owned()) };
        let request =
            ReadRequest { gaps: vec![due(rest)], held: Some(Arc::clone(&held)), ..ReadRequest::default() };
        vendor.forget_requests();
        vendor.pull(request).await
    };
    let outcome = pull("after-c0099").await;
    assert_eq!(outcome.records[..20], all_but(120, &[]).into_iter().skip(100).collect::<Vec<_>>());
    assert_eq!((outcome.closed.len(), outcome.gaps.len()), (1, 0));
    let outcome = pull("forgotten").await;
    assert_eq!((outcome.closed.len(), outcome.gaps.len()), (0, 1));
    assert!(vendor.asked()[1].contains("fromTs=4102444800"), "{:?}", vendor.asked());
}

#[tokio::test]
async fn an_array_that_breaks_off_is_read_on_by_the_list() {
    for list in [ListKind::Cursors, ListKind::Numbers] {
        let mut world = World::of(90).fail_at(&[30]);
        (world.generation, world.list) = (Generation::OneArray, list);
        let outcome = world.served().pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids(), all_but(90, &[30]), "{list:?}");
        assert_eq!(outcome.gaps.iter().map(|gap| &gap.bounds).collect::<Vec<_>>(), [&record("c0030")]);
        assert!(!outcome.page.covers_everything);
    }
}

#[tokio::test]
async fn an_array_that_breaks_off_without_a_list_leaves_the_rest_as_a_gap() {
    let mut world = World::of(90).fail_at(&[30]);
    (world.generation, world.list) = (Generation::OneArray, ListKind::Refused(404));
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    assert_eq!(outcome.ids().len(), 59, "newest first, up to the failing one");
    assert_eq!(outcome.gaps[0].bounds, GapBounds::Rest { after: None });
    assert_eq!(outcome.page.features.supports("list"), Some(false));
}
