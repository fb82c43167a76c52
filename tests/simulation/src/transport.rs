//! Carries the product's requests to the world, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_archive::SyncMode;
use chatark_core::{Clock, Timestamp};
use chatark_engine::CancellationToken;
use chatark_http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Transport, TransportError, TransportRequest,
    TransportResponse, Url,
};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Notify;

use crate::faults::{Fault, Faults, Fired};
use crate::population::{Population, Profile};
use crate::random::Random;
use crate::time::{DAY, Instant, Span, to_iso8601};
use crate::vendor::{ErrorCause, KEY, Request, RequestKind, Response, Vendor};

/// The conditions under which a pull runs: when it is stopped or killed, the client's clock, and changes while it runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct PullConditions {
    /// The user stops the pull at this request.
    pub stop_at: Option<u64>,
    /// The process is killed at this request.
    pub kill_at: Option<u64>,
    /// From this request on, the client's clock is ahead by so much; from the beginning, if it is 0.
    pub jump_at: Option<(u64, Span)>,
    /// At how many of a thousand requests something happens to a conversation.
    pub changes_per_mille: u64,
    /// The most requests that the pull may take.
    pub max_requests: u64,
}

/// A world: the vendor, its conversations, and what goes wrong.
#[derive(Debug)]
pub struct World {
    /// The conversations.
    pub population: Population,
    /// What they are like.
    pub profile: &'static Profile,
    /// The vendor.
    pub vendor: Box<dyn Vendor>,
    /// What goes wrong.
    pub faults: Faults,
    /// The conditions of the present pull.
    pub conditions: PullConditions,
    /// The time of the world when the present process began.
    pub base: Instant,
    /// The instant of the runtime when the present process began; `None` between processes.
    pub started: Option<tokio::time::Instant>,
    /// How far the client's clock is ahead.
    pub client_ahead: Span,
    /// The draws of what happens while a pull runs.
    pub changes_random: Random,
    /// What has happened, for a report; `None` keeps no trace.
    pub trace: Option<Vec<String>>,
    /// What happened in the present pull.
    pub pull: PullCounts,
    /// The conversations of the latest response.
    pub recently_served: Vec<usize>,
    /// How many conversations there were when the present process began.
    pub conversations_before: usize,
}

/// Once so many conversations have arrived during a pull, no more bursts come. Single ones still arrive, each of which
/// allows more requests than it takes, so that a pull that never ends exceeds its bound.
const LAST_BURST: usize = 150;

/// How many requests the pull may take for each conversation.
pub const REQUESTS_PER_CONVERSATION: u64 = 4;

/// What happened in one pull.
#[derive(Debug, Clone, Default)]
pub struct PullCounts {
    /// The requests.
    pub requests: u64,
    /// The requests of each kind.
    pub by_kind: BTreeMap<RequestKind, u64>,
    /// The requests that were answered with 200 and without a fault.
    pub fine: u64,
    /// Units of a metered quota.
    pub billed: u64,
    /// Those of them that were billed for lists without messages, which no document says, and that arrived whole.
    pub billed_by_list: u64,
    /// The plan of the pull, if one was asked for.
    pub plan_result: Option<PlanResult>,
    /// The most units that one response cost.
    pub max_billed: u64,
    /// Units of responses that broke off, so that the client could not read their price.
    pub billed_unseen: u64,
    /// How often a first page broke off.
    pub broken_first_pages: u64,
    /// The conversations that arrived whole, with the latest state that did.
    pub delivered: BTreeMap<usize, usize>,
    /// The conversations that arrived in a list.
    pub listed: BTreeSet<usize>,
    /// The responses with 429, 402 or 403 that the vendor gave by itself.
    pub limits: u64,
    /// Whether there were more requests than are allowed.
    pub is_runaway: bool,
}

/// What a plan said, and what it cost.
#[derive(Debug, Clone)]
pub struct PlanResult {
    /// How much the pull was to read.
    pub mode: SyncMode,
    /// The requests of the plan itself.
    pub requests: u64,
    /// Units that the plan itself was billed, apart from those for lists.
    pub billed: u64,
    /// Those of them whose price the client could not read.
    pub billed_unseen: u64,
    /// The units of a pull that stands still, as far as the plan knew.
    pub price: Option<u64>,
}

impl World {
    /// Returns the time of the world.
    pub fn now(&self) -> Instant {
        let elapsed = self.started.map_or(Duration::ZERO, |started| started.elapsed());
        self.base + i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX / 4)
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.is_some() {
            let line = format!("{} {}", to_iso8601(self.now()), line());
            if let Some(trace) = &mut self.trace {
                trace.push(line);
            }
        }
    }

    /// Notes that a process begins.
    pub fn begin_process(&mut self, conditions: PullConditions) {
        self.started = Some(tokio::time::Instant::now());
        self.conditions = conditions;
        self.client_ahead = conditions.jump_at.filter(|(at, _)| *at == 0).map_or(0, |(_, ahead)| ahead);
        self.pull = PullCounts::default();
        self.recently_served.clear();
        self.conversations_before = self.population.conversations.len();
    }

    /// Returns the most requests that the present pull may take, with what has arrived since it began.
    fn max_requests(&self) -> u64 {
        self.conditions.max_requests.saturating_add(REQUESTS_PER_CONVERSATION * self.arrived() as u64)
    }

    /// Returns how many conversations have arrived since the present pull began.
    fn arrived(&self) -> usize {
        self.population.conversations.len() - self.conversations_before
    }

    /// Returns whether a client can take the whole response: not if a record in it is larger than the client takes.
    fn can_be_taken(&self, delivered: &[(usize, usize)]) -> bool {
        !delivered.iter().any(|(index, _)| self.faults.huge.contains(index))
    }

    /// Records that a client has read a response to its end.
    fn arrives(&mut self, delivered: &[(usize, usize)]) {
        if self.can_be_taken(delivered) {
            self.pull.delivered.extend(delivered.iter().copied());
        }
    }

    /// Notes that a process ends.
    pub fn end_process(&mut self) {
        self.base = self.now();
        self.started = None;
        self.client_ahead = 0;
    }
}

/// The transport of one process.
pub struct SimulatedTransport {
    world: Arc<Mutex<World>>,
    stop: CancellationToken,
    kill: Arc<Notify>,
    root: usize,
}

impl fmt::Debug for SimulatedTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimulatedTransport").finish_non_exhaustive()
    }
}

/// Locks a world.
pub fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the client's clock, which may be wrong.
pub fn client_clock(world: &Arc<Mutex<World>>) -> Clock {
    let world = Arc::clone(world);
    Clock::new(move || {
        let world = lock(&world);
        Timestamp::from_microseconds(world.now() + world.client_ahead).unwrap_or(Timestamp::EARLIEST)
    })
}

/// How a response arrives.
enum Delivery {
    Whole(Response),
    /// The connection breaks after the first part of the body.
    Cut(Response),
    /// After the first part of the body comes nothing, and the connection is closed.
    CutQuietly(Response),
    Slow(Response, Duration),
    Fails(TransportError),
    /// The process is killed: there is no response.
    Never,
}

impl SimulatedTransport {
    /// Creates the transport of a process. `root` is how many parts of the path belong to the API root.
    pub fn new(world: Arc<Mutex<World>>, stop: CancellationToken, kill: Arc<Notify>, root: usize) -> Self {
        Self { world, stop, kill, root }
    }

    /// Decides what becomes of a request that arrives now.
    fn arrive(&self, request: &TransportRequest) -> Delivery {
        let read = read(&request.url, request.method.as_str(), self.root);
        let mut world = lock(&self.world);
        let world = &mut *world;
        world.pull.requests += 1;
        let number = world.pull.requests;
        let conditions = world.conditions;
        if number > world.max_requests() {
            world.pull.is_runaway = true;
            self.kill.notify_one();
            return Delivery::Never;
        }
        if let Some((_, ahead)) = conditions.jump_at.filter(|(at, _)| *at == number) {
            world.client_ahead = ahead;
            world.note(|| format!("the client's clock is ahead by {} days", ahead / DAY));
        }
        if conditions.stop_at == Some(number) {
            world.note(|| "the user stops the pull".to_owned());
            self.stop.cancel();
        }
        if conditions.kill_at == Some(number) {
            world.note(|| format!("killed at request {number}: {}", read.describe()));
            self.kill.notify_one();
            return Delivery::Never;
        }
        let now = world.now();
        if world.changes_random.per_mille(conditions.changes_per_mille) {
            let before = world.population.changes.len();
            let max_at_once = if world.arrived() < LAST_BURST { usize::MAX } else { 1 };
            world.population.draw_change(
                &mut world.changes_random,
                world.profile,
                &world.recently_served,
                now,
                max_at_once,
            );
            let what = world.population.changes[before..].to_vec();
            world.note(|| format!("happens: {what:?}"));
        }
        let kind = world.vendor.request_kind(&read);
        *world.pull.by_kind.entry(kind).or_default() += 1;
        let delivery = respond(world, request, &read, kind, now);
        let (status, rows) = match &delivery {
            Delivery::Whole(response) | Delivery::Slow(response, _) => {
                (response.status.to_string(), response.delivered.len() + response.listed.len())
            }
            Delivery::Cut(_) => ("cut".to_owned(), 0),
            Delivery::CutQuietly(_) => ("cut quietly".to_owned(), 0),
            Delivery::Fails(error) => (error.to_string(), 0),
            Delivery::Never => ("never".to_owned(), 0),
        };
        world.note(|| format!("{number} {kind:?} {} -> {status}, {rows} rows", read.describe()));
        delivery
    }
}

/// Lets the vendor answer, unless something goes wrong.
fn respond(
    world: &mut World,
    request: &TransportRequest,
    read: &Request,
    kind: RequestKind,
    now: Instant,
) -> Delivery {
    let expected = format!("Bearer {KEY}");
    let is_known =
        request.headers.get("authorization").is_some_and(|key| key.as_bytes() == expected.as_bytes());
    if !is_known {
        return Delivery::Whole(world.vendor.error(401, ErrorCause::Key));
    }
    let fired = world.faults.fault_at(kind, read.parameter("cursor").is_some(), now);
    let failed = |world: &World, status| Delivery::Whole(world.vendor.error(status, ErrorCause::Failed));
    match fired {
        Some(Fired::KeyExpired) => return Delivery::Whole(world.vendor.error(401, ErrorCause::Key)),
        Some(Fired::Down) => return failed(world, 503),
        Some(Fired::Fault(fault, status)) => match fault {
            Fault::Error500 => return failed(world, 500),
            Fault::Error502 => return Delivery::Whole(html(502)),
            Fault::Error503 => return failed(world, 503),
            Fault::TooMany => return Delivery::Whole(world.vendor.rate_limited(now)),
            Fault::LongWait => {
                let mut response = world.vendor.rate_limited(now);
                response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("retry-after"));
                response.headers.push(("Retry-After", "1800".to_owned()));
                return Delivery::Whole(response);
            }
            Fault::Refused => {
                return Delivery::Fails(TransportError::Connect("connection refused".to_owned()));
            }
            Fault::Broken => return Delivery::Fails(TransportError::Broken("connection reset".to_owned())),
            Fault::Html => return Delivery::Whole(html(200)),
            Fault::CursorRefused => return Delivery::Whole(world.vendor.error(status, ErrorCause::Cursor)),
            Fault::Cut | Fault::CutQuietly | Fault::Slow | Fault::Stalled => {}
        },
        None => {}
    }
    let nothing = Population::default();
    let shown = if world.faults.vendor_seems_empty() { &nothing } else { &world.population };
    let response = world.vendor.response(read, shown, now);
    let summaries = if world.vendor.properties().has_summaries { response.listed.as_slice() } else { &[] };
    if world.faults.fail_if_dead(&response.delivered, summaries) {
        return Delivery::Whole(world.vendor.error(500, ErrorCause::Record));
    }
    world.pull.billed += response.billed;
    world.pull.max_billed = world.pull.max_billed.max(response.billed);
    let breaks_off = matches!(fired, Some(Fired::Fault(Fault::Cut | Fault::CutQuietly | Fault::Stalled, _)))
        || !world.can_be_taken(&response.delivered);
    if breaks_off {
        world.pull.billed_unseen += response.billed;
        world.pull.broken_first_pages += u64::from(kind == RequestKind::FirstPage);
    } else if kind == RequestKind::List {
        world.pull.billed_by_list += response.billed;
    }
    // A refusal whose text breaks off is one all the same.
    world.pull.limits += u64::from(matches!(response.status, 402 | 403 | 429));
    match fired {
        Some(Fired::Fault(Fault::Cut, _)) => return Delivery::Cut(response),
        Some(Fired::Fault(Fault::CutQuietly, _)) => return Delivery::CutQuietly(response),
        Some(Fired::Fault(Fault::Stalled, _)) => return Delivery::Slow(response, Duration::from_hours(2)),
        _ => {}
    }
    if response.status == 200 {
        world.pull.fine += 1;
        world.pull.listed.extend(response.listed.iter().copied());
        world.recently_served = response
            .delivered
            .iter()
            .map(|(index, _)| *index)
            .chain(response.listed.iter().copied())
            .collect();
    }
    match fired {
        Some(_) => Delivery::Slow(response, Duration::from_secs(20)),
        None => Delivery::Whole(response),
    }
}

fn html(status: u16) -> Response {
    Response {
        status,
        headers: vec![("content-type", "text/html".to_owned())],
        body: Bytes::from_static(b"<!DOCTYPE html><html><body>Bad gateway</body></html>"),
        ..Response::default()
    }
}

/// Reads a URL as a vendor does.
fn read(url: &Url, method: &str, root: usize) -> Request {
    let path = url.path_segments().into_iter().flatten().skip(root).map(decoded).collect();
    let query = url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    Request { method: method.to_owned(), path, query }
}

/// Decodes a part of a path.
fn decoded(part: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), part.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[async_trait]
impl Transport for SimulatedTransport {
    async fn send(&self, request: TransportRequest) -> Result<TransportResponse, TransportError> {
        let (there, back) = {
            let mut world = lock(&self.world);
            (world.changes_random.below(120), world.changes_random.below(120))
        };
        tokio::time::sleep(Duration::from_millis(1 + there)).await;
        let delivery = self.arrive(&request);
        tokio::time::sleep(Duration::from_millis(1 + back)).await;
        let broken = || TransportError::Broken("connection reset".to_owned());
        let halves = |body: &Bytes| (body.slice(..body.len() / 2), body.slice(body.len() / 2..));
        let is_whole = matches!(delivery, Delivery::Whole(_) | Delivery::Slow(..));
        let (response, chunks, pause) = match delivery {
            Delivery::Whole(response) => {
                let (first, second) = halves(&response.body);
                (response, vec![Ok(first), Ok(second)], Duration::ZERO)
            }
            Delivery::Cut(response) => {
                let (first, _) = halves(&response.body);
                (response, vec![Ok(first), Err(broken())], Duration::ZERO)
            }
            Delivery::CutQuietly(response) => {
                let (first, _) = halves(&response.body);
                (response, vec![Ok(first)], Duration::ZERO)
            }
            Delivery::Slow(response, pause) => {
                let (first, second) = halves(&response.body);
                (response, vec![Ok(first), Ok(second)], pause)
            }
            Delivery::Fails(error) => return Err(error),
            Delivery::Never => std::future::pending().await,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &response.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let chunks: Vec<_> =
            chunks.into_iter().filter(|chunk| !chunk.as_ref().is_ok_and(Bytes::is_empty)).collect();
        let body = stream::iter(chunks);
        let body = if pause.is_zero() {
            body.boxed()
        } else {
            let paused = body.then(move |chunk| async move {
                tokio::time::sleep(pause).await;
                chunk
            });
            paused.boxed()
        };
        let (world, delivered) = (Arc::clone(&self.world), response.delivered);
        // A client that drops a response before its end has not received it.
        let end = stream::poll_fn(move |_| {
            if is_whole {
                lock(&world).arrives(&delivered);
            }
            Poll::Ready(None)
        });
        let body = body.chain(end);
        let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok(TransportResponse { status, headers, body: body.boxed() })
    }
}

/// The longest virtual time of one pull.
pub const LONGEST_PULL: Span = 31 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_was_written() {
        let url =
            Url::parse("https://x.example/api/v2/agents/%2Fa%20b%3D+/x?cursor=a%2Bb%3D&limit=20").unwrap();
        let request = read(&url, "GET", 2);
        assert_eq!(request.path, ["agents", "/a b=+", "x"]);
        assert_eq!(request.query, [("cursor".into(), "a+b=".into()), ("limit".into(), "20".into())]);
    }
}
