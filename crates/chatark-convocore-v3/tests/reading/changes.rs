//! Pulls of what has changed: the list shows it, and only that is fetched.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatark_core::{
    Batch, ErrorKind, Features, GapBounds, HeldRecords, HeldSummary, OpenGap, ReadRequest, RecordId,
    ResumeToken, Rotation, Selection, UnseenRecord,
};
use chatark_http::BudgetLimits;
use serde_json::{Value, json};

use crate::vendor::{Convo, Generation, Held, ListKind, Outcome, START, Vendor, World, at, read};

/// A list that is known to cost nothing.
fn free_list() -> Features {
    let mut features = Features::default();
    features.set("list", true);
    features
}

/// What an archive holds after everything was read, with the rows that were kept.
fn archive(vendor: &Vendor, rows: &BTreeMap<String, String>) -> Held {
    let held = vendor.world(|world| {
        let convos = world.convos.iter().filter(|convo| convo.has_human && !convo.is_failing);
        convos
            .map(|convo| {
                let summary = HeldSummary {
                    updated_at: at(convo.ts - START + 60),
                    created_at: at(convo.ts - START),
                    list_row: rows.get(&convo.id).cloned(),
                    ..HeldSummary::default()
                };
                (convo.id.clone(), summary)
            })
            .collect()
    });
    Held(held)
}

fn request(held: Held) -> ReadRequest {
    ReadRequest { held: Some(Arc::new(held)), features: free_list(), ..ReadRequest::default() }
}

/// An archive that holds everything with its rows.
async fn with_rows(vendor: &Vendor) -> Held {
    let mut first = request(archive(vendor, &BTreeMap::new()));
    first.rotation = Some(Rotation { resume_from: None, rows: 10_000 });
    let first = vendor.pull(first).await;
    first.expect_end();
    assert!(first.records.is_empty(), "{:?}", first.records);
    vendor.forget_requests();
    archive(vendor, &first.rows)
}

fn change(vendor: &Vendor, at: usize, row: Value) {
    vendor.world(|world| world.convos[at].row = row);
}

fn exports(vendor: &Vendor) -> Vec<String> {
    vendor.asked().into_iter().filter(|asked| asked.contains("export")).collect()
}

#[tokio::test]
async fn an_unchanged_agent_costs_two_pages_of_the_list() {
    let vendor = World::of(100).served();
    let held = with_rows(&vendor).await;
    let outcome = vendor.pull(request(held)).await;
    outcome.expect_end();
    assert!(outcome.records.is_empty() && outcome.rows.is_empty());
    assert_eq!((outcome.unchanged.len(), vendor.asked().len(), vendor.billed().0), (40, 2, 0));
    assert_eq!(outcome.page.newest_change, at(99 * 60 + 60));
}

#[tokio::test]
async fn only_what_changed_is_fetched_and_its_row_is_kept() {
    let vendor = World::of(100).served();
    let held = with_rows(&vendor).await;
    change(&vendor, 97, json!({"messagesNum": 3, "lastMessageTS": START + 97 * 60 + 60}));
    change(&vendor, 80, json!({"messagesNum": 2, "lastMessageTS": START + 999_999}));
    vendor.world(|world| world.convos.push(Convo::new("new,1", START + 100 * 60)));
    vendor.world(|world| world.convos.push(Convo::new("new2", START + 101 * 60)));
    let outcome = vendor.pull(request(held)).await;
    outcome.expect_end();
    assert_eq!(outcome.ids().into_iter().collect::<Vec<_>>(), ["c0080", "c0097", "new,1", "new2"]);
    assert_eq!(outcome.rows.keys().collect::<Vec<_>>(), ["c0080", "c0097", "new,1", "new2"]);
    assert_eq!(vendor.billed(), (4, 1));
    let exports = exports(&vendor);
    assert_eq!(exports[0], "/convos/export?limit=50&convoIds=new2,c0097");
    assert_eq!(exports[1], "/convos/new,1/export?");
    assert_eq!(exports[2], "/convos/export?limit=50&convoIds=c0080");
    assert_eq!(outcome.page.newest_change, at(999_999));
}

#[tokio::test]
async fn a_late_message_is_found_in_rotation() {
    let vendor = World::of(200).served();
    let held = with_rows(&vendor).await;
    change(&vendor, 10, json!({"messagesNum": 9, "lastMessageTS": START + 999_999}));
    let held = Arc::new(held);
    let mut cursor: Option<ResumeToken> = None;
    let mut found = Vec::new();
    for _ in 0..4 {
        let known: Arc<dyn HeldRecords> = Arc::clone(&held) as Arc<dyn HeldRecords>;
        let rotation = Some(Rotation { resume_from: cursor, rows: 40 });
        let request =
            ReadRequest { held: Some(known), features: free_list(), rotation, ..ReadRequest::default() };
        let outcome = vendor.pull(request).await;
        outcome.expect_end();
        found.push(outcome.ids().into_iter().collect::<Vec<_>>());
        cursor = outcome.rotation;
    }
    // Rows 40 to 79, 80 to 119, 120 to 159, 160 to 199 from the newest.
    assert_eq!(found, [vec![], vec![], vec![], vec!["c0010".to_owned()]]);
    assert!(vendor.asked().len() <= 4 * 4 + 1, "{:?}", vendor.asked());
}

#[tokio::test]
async fn the_rotation_wraps_and_begins_again_after_a_refused_cursor() {
    let vendor = World::of(200).served();
    let held = Arc::new(with_rows(&vendor).await);
    let pull = async |cursor: Option<ResumeToken>, rows: u64| {
        let known: Arc<dyn HeldRecords> = Arc::clone(&held) as Arc<dyn HeldRecords>;
        let rotation = Some(Rotation { resume_from: cursor, rows });
        vendor.forget_requests();
        let request =
            ReadRequest { held: Some(known), features: free_list(), rotation, ..ReadRequest::default() };
        let outcome = vendor.pull(request).await;
        outcome.expect_end();
        outcome
    };
    let near_the_end = pull(None, 140).await.rotation;
    let wrapped = pull(near_the_end.clone(), 60).await;
    let asked = vendor.asked();
    let pages: Vec<&str> = asked.iter().map(|asked| asked.rsplit('=').next().unwrap()).collect();
    assert_eq!(pages, ["20", "row-c0180", "row-c0020", "row-c0160", "row-c0140"]);
    assert_eq!(wrapped.unchanged.len(), 100);
    for status in [400, 404, 410] {
        vendor.world(|world| world.refused.insert("row-c0020".to_owned(), status));
        let again = pull(near_the_end.clone(), 20).await;
        assert!(vendor.asked()[3].ends_with("row-c0160"), "{:?}", vendor.asked());
        assert!(again.rotation.is_some() && again.rotation != near_the_end);
    }
    // A rotation through more rows than there are ends all the same.
    pull(None, 1_000_000).await;
    assert_eq!(vendor.asked().len(), 10);
    pull(wrapped.rotation, 1_000_000).await;
    assert!(vendor.asked().len() <= 12, "{:?}", vendor.asked());
}

#[tokio::test]
async fn without_kept_rows_nothing_unchanged_is_fetched() {
    let vendor = World::of(50).served();
    for number in 0..50 {
        let start = START + 60 * i64::try_from(number).unwrap();
        // A summary was written long after the last message.
        let row =
            json!({"messagesNum": 2, "lastMessageTS": start + 60, "lastModified": (start + 9_000) * 1_000});
        change(&vendor, number, row);
    }
    let outcome = vendor.pull(request(archive(&vendor, &BTreeMap::new()))).await;
    outcome.expect_end();
    assert_eq!((outcome.records.len(), outcome.rows.len(), vendor.billed().0), (0, 40, 0));
}

#[tokio::test]
async fn thin_rows_count_as_changed_within_the_look_back() {
    let vendor = World::of(30).served();
    for number in 0..30 {
        change(&vendor, number, json!({}));
    }
    let held = archive(&vendor, &BTreeMap::new());
    let recent_since = at(25 * 60);
    let outcome = vendor.pull(ReadRequest { recent_since, ..request(held) }).await;
    outcome.expect_end();
    assert_eq!(outcome.ids().into_iter().collect::<Vec<_>>(), ["c0025", "c0026", "c0027", "c0028", "c0029"]);
}

#[tokio::test]
async fn what_changed_while_it_was_read_is_fetched_again() {
    let vendor = World::of(50).served();
    let held = with_rows(&vendor).await;
    let reread_since = at(49 * 60 + 60);
    let outcome = vendor.pull(ReadRequest { reread_since, ..request(held) }).await;
    assert_eq!(outcome.ids().into_iter().collect::<Vec<_>>(), ["c0049"]);
}

#[tokio::test]
async fn conversations_without_a_human_message_cost_nothing_and_do_not_end_the_pull() {
    let mut world = World::of(60);
    for convo in &mut world.convos[20..60] {
        convo.has_human = false;
    }
    world.convos[59].row = json!({"messagesNum": 0});
    let vendor = world.served();
    let held = with_rows(&vendor).await;
    let outcome = vendor.pull(request(held)).await;
    outcome.expect_end();
    assert!(outcome.records.is_empty() && outcome.gaps.is_empty());
    assert_eq!(vendor.billed().0, 0);
    assert!(!exports(&vendor)[0].contains("c0059"), "it has no message");
    assert_eq!(vendor.asked().len(), 4);
}

#[tokio::test]
async fn a_refused_list_is_not_asked_again_and_recent_conversations_are_read() {
    for status in [400, 403, 404, 405, 501] {
        let mut world = World::of(100);
        world.list = ListKind::Refused(status);
        let vendor = world.served();
        let held = Arc::new(archive(&vendor, &BTreeMap::new()));
        let mut features = Features::default();
        for pages in [1, 0] {
            let request = ReadRequest {
                held: Some(Arc::clone(&held) as Arc<dyn HeldRecords>),
                recent_since: at(90 * 60),
                features: features.clone(),
                ..ReadRequest::default()
            };
            vendor.forget_requests();
            let outcome = vendor.pull(request).await;
            outcome.expect_end();
            assert_eq!(outcome.ids().len(), 10, "{status}");
            assert!(outcome.page.notes[0].contains("recent ones are read again"), "{:?}", outcome.page.notes);
            let listed = vendor.asked().iter().filter(|asked| asked.starts_with("/convos?")).count();
            assert_eq!(listed, pages, "{status}");
            features.add(&outcome.page.features);
        }
        assert!(features.lacks("list"));
    }
}

/// A tester's vendor: a list that showed nothing hid all changes until the next full sweep, without a word.
#[tokio::test]
async fn a_list_that_shows_nothing_is_not_believed() {
    let mut world = World::of(100);
    world.list = ListKind::Empty;
    let vendor = world.served();
    let mut request = request(archive(&vendor, &BTreeMap::new()));
    request.recent_since = at(90 * 60);
    let outcome = vendor.pull(request).await;
    outcome.expect_end();
    assert!(outcome.page.notes.iter().any(|note| note.contains("shows nothing")), "{:?}", outcome.page.notes);
    assert!(outcome.ids().contains("c0099"), "recent conversations are read");
    assert!(outcome.page.features.supports("list").is_none(), "later pulls try the list again");
    // An agent without conversations has an empty list.
    let mut world = World::of(0);
    world.list = ListKind::Empty;
    let vendor = world.served();
    let outcome = vendor.pull(crate::changes::request(archive(&vendor, &BTreeMap::new()))).await;
    outcome.expect_end();
    assert!(
        !outcome.page.notes.iter().any(|note| note.contains("shows nothing")),
        "{:?}",
        outcome.page.notes
    );
}

#[tokio::test]
async fn a_metered_list_is_detected() {
    for says_so in [false, true] {
        let mut world = World::of(100);
        world.list = ListKind::Metered { says_so };
        let vendor = world.served();
        let held = archive(&vendor, &BTreeMap::new());
        let recent_since = at(90 * 60);
        let outcome =
            vendor.pull(ReadRequest { recent_since, features: Features::default(), ..request(held) }).await;
        outcome.expect_end();
        assert!(outcome.page.features.lacks("list"), "{says_so}");
        assert!(outcome.page.notes.iter().any(|note| note.contains("costs units")));
        assert_eq!(outcome.ids().len(), 10);
    }
    let vendor = World::of(100).served();
    let held = archive(&vendor, &BTreeMap::new());
    let outcome = vendor.pull(ReadRequest { features: Features::default(), ..request(held) }).await;
    assert_eq!(outcome.page.features.supports("list"), Some(true), "it is shown to cost nothing");
}

#[tokio::test]
async fn a_vendor_that_is_down_is_not_taken_for_a_refused_list() {
    let vendor = World::of(100).served();
    let held = with_rows(&vendor).await;
    vendor.world(|world| world.down_after = Some(0));
    let outcome = vendor.pull(request(held)).await;
    assert_eq!(outcome.error.unwrap().kind(), ErrorKind::Unavailable);
    assert_eq!(outcome.page.features.supports("list"), None);
}

#[tokio::test]
async fn a_changed_conversation_that_cannot_be_read_becomes_a_gap() {
    let vendor = World::of(100).served();
    let held = Arc::new(with_rows(&vendor).await);
    for number in [95, 96, 97] {
        change(&vendor, number, json!({"messagesNum": 9}));
    }
    vendor.world(|world| world.convos[96].is_failing = true);
    let bounds = GapBounds::record(RecordId::new("c0096"));
    let pull = async |gaps: Vec<OpenGap>| -> Outcome {
        let known = Arc::clone(&held) as Arc<dyn HeldRecords>;
        let request =
            ReadRequest { held: Some(known), features: free_list(), gaps, ..ReadRequest::default() };
        vendor.forget_requests();
        let outcome = vendor.pull(request).await;
        outcome.expect_end();
        outcome
    };
    let outcome = pull(Vec::new()).await;
    assert_eq!(outcome.ids().into_iter().collect::<Vec<_>>(), ["c0095", "c0097"]);
    assert_eq!(outcome.gaps.iter().map(|gap| &gap.bounds).collect::<Vec<_>>(), [&bounds]);
    assert!(!outcome.rows.contains_key("c0096"));
    assert_eq!(vendor.billed().1, 1);
    // It is not requested until it is due.
    let outcome = pull(vec![OpenGap { bounds: bounds.clone(), is_due: false }]).await;
    assert!(outcome.gaps.is_empty() && outcome.closed.is_empty());
    assert!(!exports(&vendor).iter().any(|asked| asked.contains("c0096")));
    vendor.world(|world| world.convos[96].is_failing = false);
    let outcome = pull(vec![OpenGap { bounds: bounds.clone(), is_due: true }]).await;
    assert_eq!((outcome.records[0].as_str(), &outcome.closed), ("c0096", &vec![bounds]));
}

#[tokio::test]
async fn an_array_that_ignores_ids_is_read_conversation_by_conversation() {
    let mut world = World::of(60);
    world.generation = Generation::OneArray;
    let vendor = world.served();
    let held = with_rows(&vendor).await;
    change(&vendor, 59, json!({"messagesNum": 9}));
    change(&vendor, 45, json!({"messagesNum": 9}));
    let outcome = vendor.pull(request(held)).await;
    outcome.expect_end();
    assert_eq!(outcome.rows.keys().collect::<Vec<_>>(), ["c0045", "c0059"]);
    // The others are extra records.
    assert_eq!(outcome.ids().len(), 60);
    assert!(outcome.page.features.lacks("ids"));
    assert!(exports(&vendor)[1..].iter().all(|asked| asked.ends_with("/export?")), "{:?}", exports(&vendor));
}

#[tokio::test]
async fn an_array_is_read_once_for_many_changes() {
    let mut world = World::of(60);
    world.generation = Generation::OneArray;
    let vendor = world.served();
    let held = with_rows(&vendor).await;
    for at in 30..60 {
        change(&vendor, at, json!({"messagesNum": 9}));
    }
    let mut asked = request(held);
    asked.features.set("ids", false);
    let outcome = vendor.pull(asked).await;
    outcome.expect_end();
    assert_eq!(outcome.ids().len(), 60);
    let exports = exports(&vendor);
    assert_eq!(exports.iter().filter(|asked| asked.contains("convoIds")).count(), 1, "{exports:?}");
    assert!(!exports.iter().any(|asked| asked.ends_with("/export?")), "{exports:?}");
}

#[tokio::test]
async fn a_change_with_the_time_of_a_wrong_clock_does_not_affect_others() {
    let vendor = World::of(100).served();
    let held = with_rows(&vendor).await;
    change(&vendor, 99, json!({"messagesNum": 3, "lastMessageTS": START + 999_999_999}));
    let asked = ReadRequest { plausible_until: at(1_000_000), ..request(held) };
    let outcome = vendor.pull(asked).await;
    outcome.expect_end();
    assert!(outcome.ids().contains("c0099"));
    assert!(outcome.page.newest_change <= at(1_000_000), "{:?}", outcome.page.newest_change);
}

#[tokio::test]
async fn a_list_with_numbered_pages_is_read_too() {
    let mut world = World::of(90);
    world.list = ListKind::Numbers;
    let vendor = world.served();
    let held = with_rows(&vendor).await;
    change(&vendor, 5, json!({"messagesNum": 9}));
    let rotation = Some(Rotation { resume_from: None, rows: 1_000 });
    let outcome = vendor.pull(ReadRequest { rotation, ..request(held) }).await;
    outcome.expect_end();
    assert_eq!(outcome.ids().into_iter().collect::<Vec<_>>(), ["c0005"]);
}

#[tokio::test]
async fn an_estimate_tells_the_price_without_paying_it() {
    let vendor = World::of(100).served();
    let held = with_rows(&vendor).await;
    for number in [95, 96, 70] {
        change(&vendor, number, json!({"messagesNum": 9}));
    }
    let rotation = Some(Rotation { resume_from: None, rows: 100 });
    let request = ReadRequest { rotation, ..request(held) };
    let estimate = vendor.provider().estimate(&request).await.unwrap();
    assert!(estimate.notes[1].contains("show 3 new or changed conversations"), "{:?}", estimate.notes);
    assert_eq!((estimate.requests_sent, estimate.requests_for_changes), (4, Some(7)));
    assert_eq!(vendor.billed().0, 0);
    let empty = "/convos/export?limit=1&fromTs=4102444800&toTs=4102444800";
    assert_eq!(exports(&vendor), [empty]);
    vendor.provider().check().await.unwrap();
    assert_eq!(exports(&vendor).len(), 1);

    vendor.world(|world| world.list = ListKind::Refused(403));
    let estimate = vendor.provider().estimate(&request).await.unwrap();
    assert!(estimate.notes[1].contains("cannot be used here"), "{:?}", estimate.notes);
    // A selection needs no list.
    let selection = Selection::Conversations(Vec::new());
    vendor.provider().estimate(&ReadRequest { selection, ..ReadRequest::default() }).await.unwrap();
}

#[tokio::test]
async fn the_quota_of_a_pull_of_changes_is_exceeded_by_one_answer_at_most() {
    let vendor = World::of(200).served();
    let held = with_rows(&vendor).await;
    for number in 0..200 {
        change(&vendor, number, json!({"messagesNum": 9}));
    }
    let provider = vendor.provider_with(BudgetLimits { quota: Some(50), ..BudgetLimits::default() });
    let outcome = read(provider.as_ref(), request(held)).await;
    assert_eq!(outcome.error.unwrap().kind(), ErrorKind::Budget);
    assert_eq!(vendor.billed(), (60, 1));
    assert_eq!(outcome.rows.len(), 60, "what was paid for is known");
}

#[tokio::test]
async fn unseen_records_are_looked_for_one_by_one() {
    let vendor = World::of(10).served();
    let unseen = |ids: &[&str]| -> Vec<UnseenRecord> {
        ids.iter().map(|id| UnseenRecord { id: RecordId::new(*id), created_at: None }).collect()
    };
    let provider = vendor.provider();
    let found = provider.find_unseen(&unseen(&["c0001", "gone", "c0003"])).await.unwrap().unchanged;
    assert_eq!(found, [RecordId::new("c0001"), RecordId::new("c0003")]);
    assert_eq!(vendor.billed().0, 0);
    assert_eq!(provider.find_unseen(&[]).await.unwrap(), Batch::default());
    // An error is no proof.
    vendor.world(|world| world.down_after = Some(0));
    assert_eq!(provider.find_unseen(&unseen(&["gone"])).await.unwrap().unchanged.len(), 1);
}
