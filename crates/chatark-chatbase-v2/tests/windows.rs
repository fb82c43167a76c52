//! Several windows at once: every conversation is returned once, also at the bounds of windows, in any order.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatark_chatbase_v2::connect;
use chatark_core::{Batch, Checkpoint, Error, PageMetadata, ReadRequest, Settings, Timestamp};
use chatark_http::{Connector, Policy};
use futures_util::StreamExt;
use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use proptest::prelude::*;
use serde_json::{Value, json};

/// How a vendor deviates from its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Quirk {
    #[default]
    None,
    /// The end of a window is exclusive.
    ExclusiveEnd,
    /// Dates are ignored.
    IgnoresDates,
    /// The oldest comes first.
    OldestFirst,
    /// The order has nothing to do with when a conversation began.
    Mixed,
    /// Each page has all conversations once more, in another order, and a cursor that leads on.
    Reshuffles,
}

/// A vendor of conversations that began at these milliseconds, newest first.
#[derive(Debug, Clone, Default)]
struct Vendor {
    began: Vec<i64>,
    quirk: Quirk,
    /// Rejects every request after this many.
    breaks_after: Option<usize>,
    /// The conversation that fails each page that it is on.
    dead: Option<usize>,
    /// The status of such a page, where it is not 500.
    dead_status: Option<u16>,
    /// What came with the first page of a window: such a page counts it, and its list may be read again after a fault.
    counted: Arc<Mutex<BTreeSet<String>>>,
    asked: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl Vendor {
    fn new(mut began: Vec<i64>, quirk: Quirk) -> Self {
        began.sort_unstable_by(|one, other| other.cmp(one));
        if quirk == Quirk::OldestFirst {
            began.reverse();
        }
        if quirk == Quirk::Mixed {
            let count = began.len();
            began = (0..count).map(|at| began[at * 37 % count]).collect();
        }
        Self { began, quirk, ..Self::default() }
    }

    fn answer(&self, query: &BTreeMap<String, String>) -> (u16, Value) {
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(query.clone());
            asked.len()
        };
        if self.breaks_after.is_some_and(|most| asked > most) {
            return (403, json!({"error": {"code": "SUBSCRIPTION_API_RESTRICTED_PLAN", "message": "no"}}));
        }
        let bound = |name: &str| {
            let text = query.get(name).filter(|_| self.quirk != Quirk::IgnoresDates)?;
            Some(chatark_core::time::read_bound(text).unwrap().microseconds() / 1_000)
        };
        let (from, to) = (bound("startDate"), bound("endDate"));
        let is_inside = |began: i64| {
            from.is_none_or(|from| began >= from)
                && to.is_none_or(|to| began < to || (began == to && self.quirk != Quirk::ExclusiveEnd))
        };
        let matching: Vec<_> =
            self.began.iter().enumerate().filter(|(_, began)| is_inside(**began)).collect();
        if self.quirk == Quirk::Reshuffles {
            let count = self.began.len();
            let rows: Vec<_> = (0..count)
                .map(|at| (at * 7 + asked) % count)
                .map(|at| json!({"id": format!("c{at}"), "createdAt": self.began[at], "messages": []}))
                .collect();
            let pagination = json!({"cursor": asked.to_string(), "hasMore": true, "total": count});
            return (200, json!({"data": rows, "pagination": pagination}));
        }
        let start: usize = query.get("cursor").map_or(0, |cursor| {
            let last: usize = cursor.parse().unwrap();
            matching.iter().position(|(at, _)| *at > last).unwrap_or(matching.len())
        });
        let limit: usize = query["limit"].parse().unwrap();
        let page = &matching[start..matching.len().min(start + limit)];
        if page.iter().any(|(at, _)| Some(*at) == self.dead) {
            let status = self.dead_status.unwrap_or(500);
            return (status, json!({"error": {"code": "INTERNAL_SERVER_ERROR", "message": "no"}}));
        }
        let cursor = page.last().filter(|_| start + limit < matching.len()).map(|(at, _)| at.to_string());
        let data: Vec<_> = page
            .iter()
            .map(|(at, began)| match query.get("include") {
                Some(_) => json!({"id": format!("c{at}"), "createdAt": began}),
                None => json!({"id": format!("c{at}"), "createdAt": began, "messages": []}),
            })
            .collect();
        if ["startDate", "endDate"].into_iter().any(|bound| query.contains_key(bound))
            && !query.contains_key("cursor")
        {
            self.counted.lock().unwrap().extend(page.iter().map(|(at, _)| format!("c{at}")));
        }
        let pagination = json!({"cursor": cursor, "hasMore": cursor.is_some(), "total": matching.len()});
        (200, json!({"data": data, "pagination": pagination}))
    }

    /// Pulls to the end or to an error.
    async fn pull(&self, request: ReadRequest) -> (Vec<Batch>, Option<Error>) {
        let server = MockServer::start_async().await;
        let vendor = self.clone();
        let answer = move |request: &HttpMockRequest| {
            let url = url::Url::parse("http://x").unwrap().join(&request.uri().to_string()).unwrap();
            let (status, body) = vendor.answer(&url.query_pairs().into_owned().collect());
            HttpMockResponse::builder().status(status).body(body.to_string()).build()
        };
        server.mock(|when, then| {
            when.any_request();
            then.respond_with(answer);
        });
        let mut settings = Settings::default();
        settings.set("agent_id", "agent");
        settings.set("base_url", server.url("/api"));
        let backoff = Duration::from_millis(1);
        let connector = Connector {
            policy: Policy { max_attempts: 2, backoff, max_backoff: backoff, ..Policy::default() },
            ..Connector::new("shop", "sk-key".into())
        };
        let provider = connect(&settings, connector).unwrap();
        let mut stream = provider.read(request);
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            match batch {
                Ok(batch) => batches.push(batch),
                Err(error) => return (batches, Some(error)),
            }
        }
        (batches, None)
    }

    async fn pull_whole(&self, request: ReadRequest) -> Vec<Batch> {
        let (batches, error) = self.pull(request).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(batches.last().unwrap().checkpoint, Checkpoint::End);
        batches
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = (0..self.began.len()).map(|at| format!("c{at}")).collect();
        ids.sort_unstable();
        ids
    }

    fn windows(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        let ends: BTreeSet<_> = asked.iter().map(|query| query.get("endDate")).collect();
        ends.len()
    }
}

fn ids(batches: &[Batch]) -> Vec<String> {
    let all = batches.iter().flat_map(|batch| &batch.records);
    let mut ids: Vec<_> = all.map(|raw| raw.id.as_ref().unwrap().to_string()).collect();
    ids.sort_unstable();
    ids
}

fn last_place(batches: &[Batch]) -> Option<ReadRequest> {
    let place = batches.iter().rev().find_map(|batch| match &batch.checkpoint {
        Checkpoint::At(cursor) => Some(cursor.clone()),
        _ => None,
    })?;
    Some(ReadRequest { resume_from: Some(place), ..ReadRequest::default() })
}

const NEWEST: i64 = 1_790_000_000_000;

/// Times that are equal, less than a second apart, whole seconds apart, or far apart.
fn times() -> impl Strategy<Value = Vec<i64>> {
    let gap = prop_oneof![
        4 => Just(0_i64),
        4 => 1_i64..1_000,
        4 => (1_i64..100).prop_map(|seconds| seconds * 1_000),
        1 => 1_i64..50_000_000,
    ];
    prop::collection::vec(gap, 220..700).prop_map(|gaps| {
        let mut at = NEWEST;
        gaps.into_iter()
            .map(|gap| {
                at -= gap;
                at
            })
            .collect()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_conversation_is_returned_once(began in times(), is_exclusive in any::<bool>()) {
        let quirk = if is_exclusive { Quirk::ExclusiveEnd } else { Quirk::None };
        let vendor = Vendor::new(began, quirk);
        let batches = runtime().block_on(vendor.pull_whole(ReadRequest::default()));
        prop_assert_eq!(ids(&batches), vendor.ids());
        prop_assert_eq!(batches.last().unwrap().page.total, Some(vendor.began.len() as u64));
        prop_assert!(!batches.iter().any(|batch| batch.page.restarted));
    }

    #[test]
    fn an_interrupted_read_resumes_and_misses_nothing(began in times(), breaks_after in 1_usize..40) {
        let mut vendor = Vendor::new(began, Quirk::None);
        vendor.breaks_after = Some(breaks_after);
        let (mut batches, error) = runtime().block_on(vendor.pull(ReadRequest::default()));
        prop_assume!(error.is_some());
        vendor.breaks_after = None;
        let resumed = last_place(&batches).unwrap_or_default();
        batches.extend(runtime().block_on(vendor.pull_whole(resumed)));
        let ids = ids(&batches);
        let again: Vec<_> = ids.iter().zip(&ids[1..]).filter(|(one, next)| one == next).map(|(one, _)| one).collect();
        let counted = vendor.counted.lock().unwrap();
        prop_assert!(again.iter().all(|id| counted.contains(*id)), "nothing else returned before the fault comes again");
        let returned: BTreeSet<_> = ids.iter().cloned().collect();
        prop_assert_eq!(returned, vendor.ids().into_iter().collect());
    }
}

/// If dates are ignored, a resumed run does not try them again, and begins where the last one stopped.
#[test]
fn a_single_list_resumes_as_a_single_list() {
    let mut vendor = Vendor::new((0..700).map(|at| NEWEST - at * 60_000).collect(), Quirk::IgnoresDates);
    vendor.breaks_after = Some(20);
    let (mut batches, error) = runtime().block_on(vendor.pull(ReadRequest::default()));
    assert!(error.is_some());
    vendor.breaks_after = None;
    let resumed = last_place(&batches).unwrap();
    let before = vendor.asked.lock().unwrap().len();
    let rest = runtime().block_on(vendor.pull_whole(resumed));
    assert!(!rest.iter().any(|batch| batch.page.restarted));
    assert!(vendor.asked.lock().unwrap()[before].contains_key("cursor"));
    batches.extend(rest);
    assert_eq!(ids(&batches), vendor.ids());
}

/// Returns the most requests of a walk through so many conversations that stand still.
fn bound(conversations: usize) -> usize {
    let pages = conversations.div_ceil(20).max(1);
    pages + pages / 4 + 40
}

#[test]
fn many_segments_are_read_at_once() {
    let vendor = Vendor::new((0..3_000).map(|at| NEWEST - at * 60_000).collect(), Quirk::None);
    let batches = runtime().block_on(vendor.pull_whole(ReadRequest::default()));
    assert_eq!(ids(&batches), vendor.ids());
    // One for each two hundred conversations.
    assert!((14..=18).contains(&vendor.windows()), "{} windows", vendor.windows());
    let asked = vendor.asked.lock().unwrap().len();
    assert!((150..=bound(3_000)).contains(&asked), "{asked} requests for 150 pages");
}

/// A tester's vendor: the count of the window after a gap was taken for that of everything, so that half of a burst was
/// `complete` once the gap was accepted.
#[tokio::test]
async fn a_count_of_what_is_behind_a_gap_is_none_of_everything() {
    let second = 1_780_000_000_000_i64;
    let vendor = Vendor { dead: Some(30), ..Vendor::new(vec![second; 60], Quirk::None) };
    let batches = vendor.pull_whole(ReadRequest::default()).await;
    assert!(batches.iter().any(|batch| !batch.gaps.is_empty()));
    let totals: Vec<_> = batches.iter().filter_map(|batch| batch.page.total).collect();
    assert!(!totals.is_empty() && totals.iter().all(|total| *total == 60), "{totals:?}");
}

/// A tester's vendor: what followed a conversation that fails in whole pages and in summaries was hidden in a list that does
/// not begin with the newest.
#[tokio::test]
async fn one_conversation_hides_no_other_whatever_the_order() {
    for quirk in [Quirk::None, Quirk::OldestFirst, Quirk::Mixed] {
        for dead in [0, 1, 50, 98, 99] {
            let year = (0..100).map(|at| NEWEST - at * 315_360_000).collect();
            let vendor = Vendor { dead: Some(dead), ..Vendor::new(year, quirk) };
            let batches = vendor.pull_whole(ReadRequest::default()).await;
            let found: BTreeSet<_> = ids(&batches).into_iter().collect();
            let mut expected: BTreeSet<_> = vendor.ids().into_iter().collect();
            expected.remove(&format!("c{dead}"));
            assert_eq!(found, expected, "{quirk:?}, {dead}");
            let began = Timestamp::from_epoch(vendor.began[dead]).unwrap();
            let holds = |gap: &chatark_core::Gap| {
                gap.bounds.as_window().is_some_and(|gap| {
                    let (since, until) = (gap.since.unwrap(), gap.until.unwrap());
                    since <= began
                        && began < until
                        && until.microseconds() - since.microseconds() <= 2_000_000
                })
            };
            let gaps: Vec<_> = batches.iter().flat_map(|batch| &batch.gaps).collect();
            assert!(gaps.iter().copied().any(holds), "{quirk:?}, {dead}: {gaps:?}");
            let asked = vendor.asked.lock().unwrap().len();
            assert!(asked < 400, "{quirk:?}, {dead}: {asked} requests");
        }
    }
}

/// A tester's vendor: a page that was refused again and again ended each pull, so that what followed was never read.
#[tokio::test]
async fn a_conversation_with_which_each_page_is_refused_hides_no_other() {
    for status in [400, 404, 410, 422] {
        let year = (0..100).map(|at| NEWEST - at * 315_360_000).collect();
        let vendor = Vendor { dead: Some(70), dead_status: Some(status), ..Vendor::new(year, Quirk::None) };
        let batches = vendor.pull_whole(ReadRequest::default()).await;
        let found: BTreeSet<_> = ids(&batches).into_iter().collect();
        let mut expected: BTreeSet<_> = vendor.ids().into_iter().collect();
        expected.remove("c70");
        assert_eq!(found, expected, "{status}");
        assert!(batches.iter().any(|batch| !batch.gaps.is_empty()), "{status}");
    }
}

/// A tester's vendor: a page of the same conversations in another order was taken for one with something new.
#[tokio::test]
async fn a_list_that_shows_the_same_in_another_order_ends() {
    let vendor = Vendor::new((0..20).map(|at| NEWEST - at * 60_000).collect(), Quirk::Reshuffles);
    let (batches, error) = vendor.pull(ReadRequest::default()).await;
    assert!(error.is_some_and(|error| error.to_string().contains("nothing new")));
    assert_eq!(ids(&batches).into_iter().collect::<BTreeSet<_>>().len(), 20);
    let asked = vendor.asked.lock().unwrap().len();
    assert!(asked < 60, "{asked} requests");
}

/// The worst that an archive of bots sees: a campaign that opens thousands of conversations in one second.
#[test]
fn a_walk_stays_within_its_bound_whatever_the_density() {
    let second = NEWEST - 1_000_000;
    let year: Vec<_> = (0..3_000).map(|at| NEWEST - at * 10_512_000).collect();
    let burst = |number: i64, seconds: i64| (0..number).map(move |at| second + at * seconds * 1_000 / number);
    for (began, quirk) in [
        (burst(2_000, 1).collect(), Quirk::None),
        (burst(2_000, 1).collect(), Quirk::ExclusiveEnd),
        (year.iter().copied().chain(burst(1_000, 40)).collect(), Quirk::None),
        (year.iter().copied().chain(burst(1_000, 40)).collect(), Quirk::ExclusiveEnd),
        (year.iter().copied().chain(burst(2_000, 1)).collect(), Quirk::OldestFirst),
        (burst(200, 1).chain((0..400).map(|at| second - at * 3_600_000)).collect(), Quirk::None),
        (year, Quirk::IgnoresDates),
    ] {
        let vendor = Vendor::new(began, quirk);
        let batches = runtime().block_on(vendor.pull_whole(ReadRequest::default()));
        assert_eq!(ids(&batches), vendor.ids(), "{quirk:?}");
        let (asked, conversations) = (vendor.asked.lock().unwrap().len(), vendor.began.len());
        assert!(asked <= bound(conversations), "{quirk:?}: {asked} requests for {conversations}");
    }
}

#[test]
fn a_requested_window_is_cut_within_its_bounds() {
    let vendor = Vendor::new((0..1_000).map(|at| NEWEST - at * 60_000).collect(), Quirk::None);
    let at = |index: usize| Timestamp::from_epoch(vendor.began[index]).unwrap();
    let window = chatark_core::Window::new(Some(at(799)), Some(at(99))).unwrap();
    let batches = runtime().block_on(vendor.pull_whole(ReadRequest { window, ..ReadRequest::default() }));
    let mut expect: Vec<_> = (99..800).map(|at| format!("c{at}")).collect();
    expect.sort_unstable();
    // The vendor's end is inclusive; the caller drops what lies outside.
    assert_eq!(ids(&batches), expect);
    assert!(vendor.windows() > 1);
    let asked = vendor.asked.lock().unwrap();
    let is_bounded =
        |query: &BTreeMap<String, String>| query.contains_key("startDate") && query.contains_key("endDate");
    assert_eq!(asked.iter().find(|query| !is_bounded(query)), None);
}

#[test]
fn a_deployment_that_ignores_dates_is_read_as_one_list() {
    let vendor = Vendor::new((0..700).map(|at| NEWEST - at * 60_000).collect(), Quirk::IgnoresDates);
    let batches = runtime().block_on(vendor.pull_whole(ReadRequest::default()));
    let mut page = PageMetadata::default();
    for batch in &batches {
        page.add(&batch.page);
    }
    assert_eq!(page.features.supports("dates"), Some(false));
    assert!(page.notes[0].contains("does not support dates"), "{:?}", page.notes);
    assert_eq!(ids(&batches), vendor.ids());
    // What was found is not tried again.
    let before = vendor.asked.lock().unwrap().len();
    let features = page.features;
    let batches = runtime().block_on(vendor.pull_whole(ReadRequest { features, ..ReadRequest::default() }));
    assert_eq!((ids(&batches), vendor.asked.lock().unwrap().len() - before), (vendor.ids(), 35));
}
