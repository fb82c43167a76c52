//! A vendor in this process whose lists behave in every way that the documents allow.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_chatbase_v1::connect;
use chatark_core::{
    Batch, Checkpoint, Error, Gap, GapBounds, OpenGap, Provider, ReadRequest, ResumeToken, Settings,
    Timestamp,
};
use chatark_http::{
    Connector, HeaderMap, Policy, StatusCode, Transport, TransportError, TransportRequest, TransportResponse,
    Url,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// 2024-06-01T00:00:00Z: the newest conversation began a little before.
pub(crate) const NOW: i64 = 1_717_200_000;
pub(crate) const DAY: i64 = 86_400;
/// Conversations that arrive during a pull have ids from here on.
const NEW_IDS: u32 = 1_000_000;
/// The answers that a test may take before it fails.
const MAX_REQUESTS: usize = 6_000;

/// How a host answers a page after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Empty,
    Status(u16),
    /// With the last page.
    Clamped,
    /// With the first page, whichever is asked for.
    PageIgnored,
}

/// How a host takes another `size` than the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    Honoured,
    Ignored,
    Refused,
}

/// What happens to a page with a dead row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(u16),
    Cut,
    NotJson,
}

/// How a host takes `startDate` and `endDate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dates {
    /// In a zone so many hours ahead of UTC, with or without the last day.
    Taken {
        hours_ahead: i64,
        includes_end: bool,
    },
    Refused,
    Ignored,
}

/// What changes just before an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new conversation at the head.
    Insert,
    /// A new conversation at the end.
    Append,
    /// The conversation at this position, from 0, goes.
    Delete(usize),
}

#[derive(Clone)]
pub(crate) struct World {
    /// The ids of the rows in the order of the list.
    pub(crate) rows: Vec<u32>,
    pub(crate) cap: usize,
    pub(crate) end: End,
    pub(crate) sizes: Sizes,
    pub(crate) dead: BTreeSet<u32>,
    pub(crate) fault: Fault,
    pub(crate) dates: Dates,
    pub(crate) refuses_sources: bool,
    /// From this answer on, everything is a 503.
    pub(crate) down_from: usize,
    /// From this answer on, no row is dead.
    pub(crate) recovers_at: usize,
    /// Before which answer what changes.
    pub(crate) changes: Vec<(usize, Change)>,
    /// Seconds between the beginnings of two conversations.
    pub(crate) spacing: i64,
    /// Whether contacts have a total.
    pub(crate) has_total: bool,
    /// How many rows at the end of the list change places from answer to answer.
    pub(crate) moving: usize,
}

impl Default for World {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            cap: 1_000,
            end: End::Empty,
            sizes: Sizes::Honoured,
            dead: BTreeSet::new(),
            fault: Fault::Status(500),
            dates: Dates::Taken { hours_ahead: 0, includes_end: true },
            refuses_sources: false,
            down_from: usize::MAX,
            recovers_at: usize::MAX,
            changes: Vec::new(),
            spacing: 3_600,
            has_total: true,
            moving: 0,
        }
    }
}

impl fmt::Debug for World {
    /// Without the rows, whose number says enough.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cap, end, sizes, dead, fault, dates, down_from, changes, spacing, .. } = self;
        write!(
            formatter,
            "{} rows, cap {cap}, {end:?}, sizes {sizes:?}, dead {dead:?} {fault:?}, dates {dates:?}, down from {down_from}, changes {changes:?}, spacing {spacing}",
            rows.len()
        )
    }
}

/// A world, and what was asked of it.
#[derive(Debug)]
pub(crate) struct Vendor {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    world: World,
    asked: Vec<String>,
    next_id: u32,
    shown: BTreeSet<u32>,
}

/// What a pull gave.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) batches: Vec<Batch>,
    pub(crate) error: Option<Error>,
    pub(crate) asked: Vec<String>,
}

/// A world with so many rows, the newest first.
pub(crate) fn world(rows: u32) -> World {
    World { rows: (1..=rows).collect(), ..World::default() }
}

impl Vendor {
    pub(crate) fn new(world: World) -> Arc<Self> {
        let next_id = world.rows.iter().max().map_or(0, |id| id + 1).max(NEW_IDS);
        Arc::new(Self {
            state: Mutex::new(State { world, asked: Vec::new(), next_id, shown: BTreeSet::new() }),
        })
    }

    pub(crate) fn provider(self: &Arc<Self>) -> Box<dyn Provider> {
        let mut settings = Settings::default();
        settings.set("agent_id", "agent");
        settings.set("base_url", "https://vendor.example/api");
        let transport: Arc<dyn Transport> = Arc::<Self>::clone(self);
        let backoff = Duration::from_millis(1);
        let connector = Connector {
            policy: Policy { max_attempts: 1, backoff, max_backoff: backoff, ..Policy::default() },
            transport: Some(transport),
            ..Connector::new("shop", "sk-key".into())
        };
        connect(&settings, connector).unwrap()
    }

    /// Pulls to the end or to an error.
    pub(crate) async fn pull(self: &Arc<Self>, request: ReadRequest) -> Pulled {
        let provider = self.provider();
        let mut stream = provider.read(request);
        let (mut batches, mut error) = (Vec::new(), None);
        while let Some(batch) = stream.next().await {
            match batch {
                Ok(batch) => batches.push(batch),
                Err(failed) => error = Some(failed),
            }
        }
        Pulled { batches, error, asked: self.asked() }
    }

    /// Returns the ids of the rows that arrived.
    pub(crate) fn shown(&self) -> BTreeSet<u32> {
        self.state.lock().unwrap().shown.clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

impl Pulled {
    /// Returns the ids of the records, in their order.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let records = self.batches.iter().flat_map(|batch| &batch.records);
        records.map(|record| record.id.as_ref().unwrap().as_str().parse().unwrap()).collect()
    }

    pub(crate) fn distinct(&self) -> BTreeSet<u32> {
        self.ids().into_iter().collect()
    }

    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.batches.iter().flat_map(|batch| batch.gaps.clone()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<(u64, u64)> {
        let span = |gap: &Gap| match gap.bounds {
            GapBounds::Positions { first, last } => (first, last),
            _ => panic!("{gap:?}"),
        };
        self.gaps().iter().map(span).collect()
    }

    pub(crate) fn closed(&self) -> Vec<GapBounds> {
        self.batches.iter().flat_map(|batch| batch.closed_gaps.clone()).collect()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.batches.iter().flat_map(|batch| batch.page.notes.clone()).collect()
    }

    /// Expects that the pull came to its end.
    #[track_caller]
    pub(crate) fn ended(self) -> Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert_eq!(self.batches.last().unwrap().checkpoint, Checkpoint::End);
        self
    }
}

pub(crate) fn ids(range: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    range.into_iter().collect()
}

pub(crate) fn due(first: u64, last: u64) -> OpenGap {
    OpenGap { bounds: GapBounds::Positions { first, last }, is_due: true }
}

/// A request that resumes an earlier run at this page.
pub(crate) fn saved(request: ReadRequest, next_page: u64) -> ReadRequest {
    let cursor = ResumeToken::seal("chatbase-v1", 1, request.scope(), &json!({"page": next_page})).unwrap();
    ReadRequest { resume_from: Some(cursor), ..request }
}

/// When a conversation began.
pub(crate) fn began(world: &World, id: u32) -> Timestamp {
    let before_now = if id >= NEW_IDS { 0 } else { i64::from(id) * world.spacing };
    Timestamp::from_epoch(NOW - before_now).unwrap()
}

/// A parsed request.
struct Asked {
    path: String,
    pairs: Vec<(String, String)>,
}

impl Asked {
    fn of(url: &Url) -> Self {
        Self { path: url.path().to_owned(), pairs: url.query_pairs().into_owned().collect() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }
}

#[async_trait]
impl Transport for Vendor {
    async fn send(&self, request: TransportRequest) -> Result<TransportResponse, TransportError> {
        let mut state = self.state.lock().unwrap();
        let number = state.asked.len();
        assert!(number < MAX_REQUESTS, "the walk does not end");
        let query = request.url.query().unwrap_or_default().replace("chatbotId=agent&", "");
        state.asked.push(query);
        state.change(number);
        let (status, body, is_cut) = state.answer(&Asked::of(&request.url), number);
        let mut chunks = vec![Ok(Bytes::from(body))];
        if is_cut {
            chunks.push(Err(TransportError::Broken("connection reset".to_owned())));
        }
        Ok(TransportResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: stream::iter(chunks).boxed(),
        })
    }
}

impl State {
    fn change(&mut self, number: usize) {
        let changes: Vec<_> = self.world.changes.iter().filter(|(at, _)| *at == number).copied().collect();
        for (_, change) in changes {
            match change {
                Change::Insert => {
                    self.world.rows.insert(0, self.next_id);
                    self.next_id += 1;
                }
                Change::Append => {
                    self.world.rows.push(self.next_id);
                    self.next_id += 1;
                }
                Change::Delete(at) if at < self.world.rows.len() => drop(self.world.rows.remove(at)),
                Change::Delete(_) => {}
            }
        }
    }

    /// Returns the status, the body, and whether it is cut off.
    fn answer(&mut self, asked: &Asked, number: usize) -> (u16, String, bool) {
        let world = &self.world;
        let refused = |status| (status, json!({"message": "Invalid request data"}).to_string(), false);
        if number >= world.down_from {
            return refused(503);
        }
        let is_dated = asked.get("startDate").or(asked.get("endDate")).is_some();
        if (world.dates == Dates::Refused && is_dated)
            || (world.refuses_sources && asked.get("filteredSources").is_some())
        {
            return refused(400);
        }
        let is_contacts = asked.path.ends_with("/contacts");
        let usual = if is_contacts { 1_000 } else { 100 };
        let asked_size = asked.number("size").or(asked.number("per_page")).unwrap_or(10);
        if world.sizes == Sizes::Refused && asked_size != usual {
            return refused(400);
        }
        let size = if world.sizes == Sizes::Ignored { usual } else { asked_size }.min(world.cap);
        let rows: Vec<u32> = world.rows.iter().copied().filter(|id| world.is_inside(asked, *id)).collect();
        let mut rows = rows;
        let fixed = rows.len().saturating_sub(world.moving);
        let moving = &mut rows[fixed..];
        if !moving.is_empty() {
            // A different order each time, and the same one in every run.
            moving.sort_by_key(|id| (u64::from(*id) * 7_919 + number as u64 * 104_729) % 1_009);
        }
        let pages = rows.len().div_ceil(size);
        let page = match (asked.number("page").unwrap_or(1), world.end) {
            (_, End::PageIgnored) => 1,
            (page, End::Status(status)) if page > pages => return refused(status),
            (page, End::Clamped) => page.min(pages.max(1)),
            (page, _) => page,
        };
        let found: Vec<u32> = rows.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        let body = world.body(asked, &found);
        if number >= world.recovers_at || !found.iter().any(|id| world.dead.contains(id)) {
            self.shown.extend(found);
            return (200, body, false);
        }
        match world.fault {
            Fault::Status(status) => refused(status),
            Fault::Cut => (200, body[..body.len() / 2].to_owned(), true),
            Fault::NotJson => (200, r#"{"data":[}"#.to_owned(), false),
        }
    }
}

impl World {
    fn is_inside(&self, asked: &Asked, id: u32) -> bool {
        let Dates::Taken { hours_ahead, includes_end } = self.dates else { return true };
        if asked.get("startDate").or(asked.get("endDate")).is_none() {
            return true;
        }
        let day = began(self, id).shifted(hours_ahead * 3_600).unwrap().day();
        let is_before_end = |end: &str| if includes_end { day.as_str() <= end } else { day.as_str() < end };
        asked.get("startDate").is_none_or(|start| day.as_str() >= start)
            && asked.get("endDate").is_none_or(is_before_end)
    }

    fn body(&self, asked: &Asked, found: &[u32]) -> String {
        let rows: Vec<_> = found.iter().map(|id| self.row(*id)).collect();
        let body = if asked.path.ends_with("/contacts") {
            let total = self.has_total.then_some(self.rows.len());
            json!({"message": "Success", "data": rows, "total": total})
        } else if asked.path.ends_with("/get-leads") {
            json!({"collectedCustomers": rows})
        } else {
            json!({"data": rows})
        };
        body.to_string()
    }

    fn row(&self, id: u32) -> Value {
        let at = began(self, id).to_string();
        json!({"id": id.to_string(), "created_at": at, "updated_at": at, "messages": []})
    }
}
