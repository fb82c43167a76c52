//! Every walk ends, restarts once, and reads what can be read, whatever the vendor's documents leave open.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatark_core::{Checkpoint, ErrorKind, HeldRecords, HeldSummary, ReadRequest, ResumeToken, Rotation};
use chatark_http::BudgetLimits;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::vendor::{
    Convo, Cursors, END_FORMS, FAILURE_MODES, Generation, Held, ListKind, Outcome, START, Vendor, World, at,
    read,
};

/// Every status with which a cursor may be refused.
const REFUSALS: [u16; 4] = [400, 404, 410, 422];

fn refuse(vendor: &Vendor, cursor: &str, status: u16) {
    vendor.world(|world| world.refused.insert(cursor.to_owned(), status));
}

#[tokio::test]
async fn a_saved_cursor_that_is_refused_restarts_the_walk_once() {
    for status in REFUSALS {
        let vendor = World::of(120).served();
        vendor.world(|world| world.down_after = Some(2));
        let first = vendor.pull_all().await;
        vendor.world(|world| world.down_after = None);
        refuse(&vendor, "after-c0099", status);
        let request = ReadRequest { resume_from: first.resumable, ..ReadRequest::default() };
        let second = vendor.pull(request).await;
        second.expect_end();
        // It is known where the walk was, so that nothing before is billed again.
        assert_eq!(second.records.len(), 21, "{status}");
        assert!(second.page.notes[0].contains("no longer accepts the saved cursor"));
        assert!(!second.page.restarted);
    }
}

#[tokio::test]
async fn without_times_a_refused_cursor_restarts_from_the_oldest() {
    for status in REFUSALS {
        let vendor = World::of(120).served();
        let first = vendor.pull_all().await;
        // A cursor of an earlier version does not say where the walk was.
        let state = serde_json::json!({"cursor": "after-c0049"});
        let scope = ReadRequest::default().scope();
        let cursor = ResumeToken::seal("convocore-v3", 1, scope, &state).unwrap();
        refuse(&vendor, "after-c0049", status);
        let request = ReadRequest { resume_from: Some(cursor), ..ReadRequest::default() };
        let second = vendor.pull(request).await;
        second.expect_end();
        assert_eq!((first.ids(), second.page.restarted), (second.ids(), true), "{status}");
    }
}

#[tokio::test]
async fn a_walk_goes_on_by_time_where_a_cursor_is_refused() {
    for status in REFUSALS {
        let vendor = World::of(190).served();
        refuse(&vendor, "after-c0099", status);
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids().len(), 190, "{status}");
        assert_eq!(vendor.billed(), (191, 2), "only the last one is read again");

        let vendor = World::of(190).served();
        refuse(&vendor, "after-c0099", status);
        refuse(&vendor, "after-c0148", status);
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids().len(), 190, "{status}");
        assert_eq!(vendor.billed(), (192, 2), "one more for each cursor");
    }
}

#[tokio::test]
async fn a_list_that_never_ends_is_an_error() {
    let mut world = World::of(120);
    world.cursors = Cursors::Cycling;
    let vendor = world.served();
    let outcome = vendor.pull_all().await;
    let error = outcome.error.unwrap();
    assert!(error.message().contains("brought nothing new"), "{error}");
    assert!(vendor.asked().len() < 60, "{}", vendor.asked().len());
    assert_eq!(outcome.page.pages, vendor.asked().len() as u64);
}

#[tokio::test]
async fn more_without_a_cursor_is_looked_for_by_time() {
    for ts in [60, 0] {
        let mut world = World::of(170);
        // The page ends within a second.
        world.convos[50].ts -= ts;
        world.cursors = Cursors::Missing;
        let vendor = world.served();
        let outcome = vendor.pull_all().await;
        outcome.expect_end();
        assert_eq!(outcome.ids().len(), 170);
        assert!(vendor.asked().len() <= 10, "{:?}", vendor.asked());
        assert!(outcome.page.notes[0].contains("asked for by time"), "{:?}", outcome.page.notes);
    }
}

/// A vendor of a tester: a full page ended within the newest second, so that the window after that second was empty.
#[tokio::test]
async fn more_without_a_cursor_in_the_newest_second_is_looked_for_there() {
    let mut world = World::of(54);
    let newest = world.convos[49].ts;
    world.convos[50..].iter_mut().for_each(|convo| convo.ts = newest);
    (world.cursors, world.list) = (Cursors::Missing, ListKind::Refused(403));
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    assert_eq!(outcome.ids().len(), 54);
}

#[tokio::test]
async fn the_vendors_own_count_reaches_the_user_where_it_differs() {
    let mut world = World::of(120);
    world.text = Some("Exported 1,010 conversation(s)".to_owned());
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    let about: Vec<_> = outcome.page.notes.iter().filter(|note| note.contains("1,010")).collect();
    assert_eq!(about.len(), 1, "{:?}", outcome.page.notes);
    assert!(World::of(120).served().pull_all().await.page.notes.is_empty());
}

#[tokio::test]
async fn a_quota_is_exceeded_by_one_answer_at_most() {
    for quota in [1, 49, 50, 51, 120] {
        for failing in [vec![], vec![20, 70]] {
            // Where the vendor does not name a price, it is estimated.
            for has_usage in [true, false] {
                let mut world = World::of(300).fail_at(&failing);
                world.has_usage = has_usage;
                let vendor = world.served();
                let limits = BudgetLimits { quota: Some(quota), ..BudgetLimits::default() };
                let provider = vendor.provider_with(limits);
                let outcome = read(provider.as_ref(), ReadRequest::default()).await;
                assert_eq!(outcome.error.unwrap().kind(), ErrorKind::Budget);
                assert!(vendor.billed().0 < quota + 50, "{quota}: {:?}", vendor.billed());
            }
        }
    }
}

/// Checks what holds for every pull of everything, whatever the vendor is like.
fn check(vendor: &Vendor, outcome: &Outcome, has_plain_walk: bool) -> Result<(), TestCaseError> {
    prop_assert!(outcome.error.is_none(), "{:?}", outcome.error);
    prop_assert_eq!(&outcome.checkpoint, &Checkpoint::End);
    let convos = vendor.world(|world| world.convos.clone());
    let ids = outcome.ids();
    for convo in &convos {
        let is_accounted = ids.contains(&convo.id) || !convo.has_human || outcome.has_gap_of(convo);
        prop_assert!(is_accounted, "{:?} is lost; gaps {:?}", convo, outcome.gaps);
        prop_assert!(!convo.is_failing || !ids.contains(&convo.id));
    }
    // Where a response may be cut short and nothing shows the others, a gap says so.
    let is_doubtful = outcome.gaps.iter().any(|gap| gap.error.contains("returns a part of"));
    let has_list = vendor.world(|world| !matches!(world.list, ListKind::Refused(_)));
    prop_assert!(!is_doubtful || !has_list, "{:?}", outcome.gaps);
    if convos.iter().all(|convo| !convo.is_failing) && !is_doubtful {
        prop_assert!(outcome.gaps.is_empty(), "{:?}", outcome.gaps);
    }
    if has_plain_walk {
        let (_, most) = vendor.billed();
        prop_assert!(most <= 1, "billed {most} times");
        let pages = convos.len().div_ceil(50);
        let asked = vendor.asked().len();
        prop_assert!(asked <= pages + pages / 4 + 40, "{asked} requests for {pages} pages");
    }
    Ok(())
}

fn any_world(has_failing: bool) -> impl Strategy<Value = World> {
    let most_dead = if has_failing { 4 } else { 0 };
    let generation = prop_oneof![
        3 => Just(Generation::Paged),
        1 => Just(Generation::OneArray),
        2 => (prop_oneof![Just(50_usize), Just(200)], any::<bool>(), any::<bool>()).prop_map(
            |(cap, applies_window, newest_first)| Generation::Capped { cap, applies_window, newest_first }
        ),
    ];
    let list = prop_oneof![
        3 => Just(ListKind::Cursors),
        1 => Just(ListKind::Numbers),
        1 => prop::sample::select(vec![403, 404, 405, 501]).prop_map(ListKind::Refused),
    ];
    let convos = prop::collection::vec((0..400_i64, 0..10_u8), 0..260);
    let failing = prop::collection::vec(any::<prop::sample::Index>(), 0..=most_dead);
    let end = prop::sample::select(END_FORMS.to_vec());
    let failure_mode = prop::sample::select(FAILURE_MODES.to_vec());
    (convos, failing, generation, list, (end, failure_mode), any::<(bool, bool)>()).prop_map(
        |(convos, failing, generation, list, (end, failure_mode), (selects_ids, by_activity))| {
            let convos: Vec<_> = convos
                .into_iter()
                .enumerate()
                .map(|(at, (offset, human))| {
                    let ts = START + offset * offset;
                    let mut convo = Convo::new(format!("c{at:04}"), ts);
                    convo.row["lastMessageTS"] = json!(ts + offset * 1_000 % 7_777);
                    Convo { has_human: human > 0, ..convo }
                })
                .collect();
            let mut world = World::new(convos);
            for failing in failing {
                if !world.convos.is_empty() {
                    let at = failing.index(world.convos.len());
                    let convo = &mut world.convos[at];
                    (convo.is_failing, convo.has_human) = (true, true);
                }
            }
            (world.generation, world.list, world.end, world.selects_ids) =
                (generation, list, end, selects_ids);
            (world.failure_mode, world.lists_by_activity) = (failure_mode, by_activity);
            world
        },
    )
}

fn run(vendor: &Vendor, request: ReadRequest) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(vendor.pull(request))
}

/// An eighth of the usual number of cases, which `PROPTEST_CASES` sets.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 8, failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn everything_that_can_be_read_is_read(world in any_world(false)) {
        let has_plain_walk = world.generation == Generation::Paged;
        let vendor = world.served();
        let outcome = run(&vendor, ReadRequest::default());
        check(&vendor, &outcome, has_plain_walk)?;
    }

    #[test]
    fn everything_around_what_cannot_be_read_is_read(world in any_world(true)) {
        let vendor = world.served();
        let outcome = run(&vendor, ReadRequest::default());
        let is_broken_off = vendor.world(|world| world.generation != Generation::Paged);
        if outcome.error.is_some() {
            // All of them may be failing, which looks like a vendor that is down.
            let is_alone = vendor.world(|world| world.convos.iter().all(|convo| convo.is_failing));
            prop_assert!(is_broken_off || is_alone, "{:?}", outcome.error);
            return Ok(());
        }
        check(&vendor, &outcome, false)?;
    }

    #[test]
    fn pulls_that_are_stopped_anywhere_read_everything_together(
        world in any_world(true),
        stops in prop::collection::vec(1..60_usize, 1..4),
    ) {
        let mut world = world;
        world.generation = Generation::Paged;
        if world.convos.iter().all(|convo| convo.is_failing || !convo.has_human) {
            // This looks the same as a vendor that is down.
            return Ok(());
        }
        let vendor = world.served();
        let mut all = Outcome::default();
        let mut cursor = None;
        for stop in stops.into_iter().map(Some).chain([None]) {
            vendor.forget_requests();
            vendor.world(|world| world.down_after = stop);
            let outcome = run(&vendor, ReadRequest { resume_from: cursor.clone(), ..ReadRequest::default() });
            let is_over = outcome.checkpoint == Checkpoint::End && outcome.error.is_none();
            prop_assert!(is_over || stop.is_some());
            cursor = if is_over { None } else { outcome.resumable.clone().or(cursor) };
            all.records.extend(outcome.records);
            all.gaps.extend(outcome.gaps);
            (all.checkpoint, all.error) = (outcome.checkpoint, outcome.error);
            if is_over {
                break;
            }
        }
        check(&vendor, &all, false)?;
    }

    #[test]
    fn changes_converge_once_the_world_is_quiet(
        count in 1..160_usize,
        rows in 1..80_u64,
        rounds in prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8), 0..12), 1..4),
        (numbered, by_activity) in any::<(bool, bool)>(),
    ) {
        let mut world = World::of(count);
        world.lists_by_activity = by_activity;
        if numbered {
            world.list = ListKind::Numbers;
        }
        let vendor = world.served();
        let mut archive = Archive::default();
        archive.take(&run(&vendor, ReadRequest::default()));
        let mut billed = vendor.billed().0;
        let quiet = rounds.len() + 1 + count.div_ceil(20);
        let mut second = START + 1_000_000;
        for round in rounds.into_iter().map(Some).chain((0..quiet).map(|_| None)) {
            let mut changed = 0;
            for (at, what) in round.into_iter().flatten() {
                second += 1;
                vendor.world(|world| {
                    if what == 0 {
                        let id = format!("n{second}");
                        world.convos.push(Convo::new(id, second));
                    } else {
                        let at = at.index(world.convos.len());
                        world.convos[at].add_message(second);
                    }
                });
                changed += 1;
            }
            let outcome = run(&vendor, archive.request(rows));
            prop_assert!(outcome.error.is_none() && outcome.checkpoint == Checkpoint::End);
            archive.take(&outcome);
            billed += changed;
        }
        let convos = vendor.world(|world| world.convos.clone());
        let expect: BTreeMap<_, _> = convos.iter().map(|convo| (convo.id.clone(), convo.messages)).collect();
        prop_assert_eq!(&archive.messages, &expect);
        prop_assert!(vendor.billed().0 <= billed, "{} of {billed}", vendor.billed().0);
    }
}

/// An archive that keeps what it receives.
#[derive(Debug, Default)]
struct Archive {
    messages: BTreeMap<String, u64>,
    updated_at: BTreeMap<String, i64>,
    rows: BTreeMap<String, String>,
    rotation: Option<ResumeToken>,
}

impl Archive {
    fn take(&mut self, outcome: &Outcome) {
        for (id, messages) in &outcome.messages {
            self.messages.insert(id.clone(), *messages);
            if let Some(row) = outcome.rows.get(id) {
                let row: Value = serde_json::from_str(row).unwrap();
                self.updated_at.insert(id.clone(), row["lastMessageTS"].as_i64().unwrap());
            }
        }
        self.rows.extend(outcome.rows.clone());
        self.rotation = outcome.rotation.clone().or(self.rotation.take());
    }

    fn request(&self, rows: u64) -> ReadRequest {
        let held = self.messages.keys().map(|id| {
            let start = id.strip_prefix('c').map_or(0, |number| 60 * number.parse::<i64>().unwrap());
            let updated_at = self.updated_at.get(id).map_or(start + 60, |second| second - START);
            let list_row = self.rows.get(id).cloned();
            let created_at = at(start);
            let updated_at = at(updated_at);
            (id.clone(), HeldSummary { updated_at, created_at, list_row, ..HeldSummary::default() })
        });
        let known: Arc<dyn HeldRecords> = Arc::new(Held(held.collect()));
        let rotation = Some(Rotation { resume_from: self.rotation.clone(), rows });
        ReadRequest { held: Some(known), rotation, ..ReadRequest::default() }
    }
}

/// A generated world that once failed: the first page of a list by activity looked like one by start, and ids were
/// ignored, so that a conversation that is not exported was taken for the one that fails.
#[tokio::test]
async fn a_list_by_activity_is_not_taken_for_one_by_start() {
    let offsets: [i64; 21] =
        [94, 102, 73, 102, 109, 109, 102, 80, 37, 109, 109, 80, 4, 109, 109, 109, 109, 47, 3, 109, 109];
    let convo = |(at, offset): (usize, &i64)| {
        let ts = START + offset * offset;
        let row = json!({"messagesNum": 2, "lastMessageTS": ts + offset * 1_000 % 7_777});
        let (has_human, is_failing) = ([8, 17, 18].contains(&at), at == 17);
        Convo { has_human, is_failing, row, ..Convo::new(format!("c{at:04}"), ts) }
    };
    let mut world = World::new(offsets.iter().enumerate().map(convo).collect());
    (world.selects_ids, world.lists_by_activity) = (false, true);
    let outcome = world.served().pull_all().await;
    outcome.expect_end();
    assert_eq!(outcome.gaps.iter().map(|gap| gap.bounds.to_string()).collect::<Vec<_>>(), ["record c0017"]);
    assert_eq!(outcome.records, ["c0018", "c0008"]);
}
