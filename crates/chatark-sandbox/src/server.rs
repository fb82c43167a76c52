//! The loopback server of all vendors: authorization, rate limits and faults, and the methods by which tests control it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api_error::ApiError;
use crate::call::{AgentCall, Call, Meter, PagingFault};
use crate::chatbase_v1_people::WrittenContacts;
use crate::chatbase_v2_sources::WrittenSources;
use crate::convocore_v3_writes::ConvocoreWrites;
use crate::dataset::Dataset;
use crate::delivery;
use crate::exchange::{ApiRequest, Reply, percent_decoded, query_pairs};
use crate::expected::Expected;
use crate::fault::{Delivery, Fault, FaultKind, arriving_conversation};
use crate::rate_limiter::{Allowance, RateLimiter};
use crate::request_counter::RequestCounter;
use crate::truth::Vendor;
use crate::world::{Agent, Limits, ResetUnit, World};
use crate::{
    chatbase_v1, chatbase_v1_people, chatbase_v2, chatbase_v2_sources, convocore_v3, convocore_v3_lists,
    convocore_v3_writes, time,
};

/// The number of requests that the log keeps.
const LOG_LENGTH: usize = 10_000;

/// How long a stopping server waits for responses in flight.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest body that is read, in bytes. It is larger than any route accepts, so that the routes refuse it.
const MAX_BODY_BYTES: usize = 5 << 20;

const ONE_HOUR: Duration = Duration::from_hours(1);

/// The vendors' APIs on a loopback port; dropping it stops the server.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    stopped: CancellationToken,
    server: Option<JoinHandle<()>>,
}

/// A request that the sandbox has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The decoded query, in order.
    pub query: Vec<(String, String)>,
    /// The status of the response; `None` if there was none.
    pub status: Option<u16>,
    /// The size of the response body; 0 if it was streamed.
    pub bytes: usize,
    /// Whether it had an `Authorization` header.
    pub had_authorization: bool,
    /// The agent id in the request, whether the agent exists or not.
    pub agent_id: Option<String>,
}

impl SeenRequest {
    /// Returns the first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs.find(|(parameter, _)| parameter == name).map(|(_, value)| value.as_str())
    }
}

impl Sandbox {
    /// Starts a server for this world on a free loopback port.
    pub async fn start(world: World) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let stopped = CancellationToken::new();
        let shared = Arc::new(Shared::new(world, stopped.clone()));
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        // Small responses must not wait for the client's delayed acknowledgements.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped.clone().cancelled_owned());
        let server = tokio::spawn(async move {
            let _ = serving.await;
        });
        Ok(Self { address, shared, stopped, server: Some(server) })
    }

    /// Starts a server that only counts requests, as the target of redirects.
    pub async fn start_request_counter() -> io::Result<RequestCounter> {
        RequestCounter::start().await
    }

    /// Returns the root of a vendor's API, with its version.
    pub fn base_url(&self, vendor: Vendor) -> String {
        format!("http://{}{}", self.address, root(vendor))
    }

    /// Returns the requests seen so far, oldest first; only the latest ten thousand are kept.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.shared.log).iter().cloned().collect()
    }

    /// Returns the leads that were written to an agent of Convocore, as they were sent.
    pub fn written_leads(&self, agent_id: &str) -> Vec<Value> {
        self.shared.agent(agent_id).map_or_else(Vec::new, |state| {
            lock(&state.convocore_writes).leads.iter().map(|lead| lead.sent.clone()).collect()
        })
    }

    /// Returns the sources that were written to an agent of Chatbase's second API, as they were
    /// sent, in order.
    pub fn written_sources(&self, agent_id: &str) -> Vec<Value> {
        self.shared
            .agent(agent_id)
            .map_or_else(Vec::new, |state| lock(&state.written_sources).sent().to_vec())
    }

    /// Returns the contacts of an agent of Chatbase's first API as its list shows them: those of
    /// the world, then those that were written.
    pub fn contacts(&self, agent_id: &str) -> Vec<Value> {
        self.shared.agent(agent_id).map_or_else(Vec::new, |state| {
            chatbase_v1_people::contacts(&state.snapshot(), &lock(&state.written_contacts))
        })
    }

    /// Returns how many messages were delivered to an agent's customers.
    pub fn delivered_message_count(&self, agent_id: &str) -> u64 {
        self.shared.agent(agent_id).map_or(0, |state| lock(&state.convocore_writes).delivered)
    }

    /// Returns the total size of all response bodies.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.bytes_sent.load(Ordering::Relaxed)
    }

    /// Returns how many requests named this agent.
    pub fn request_count(&self, agent_id: &str) -> u64 {
        self.shared.agent(agent_id).map_or(0, |state| state.requests.load(Ordering::Relaxed))
    }

    /// Returns how many requests for this agent's export there were.
    pub fn export_count(&self, agent_id: &str) -> u64 {
        self.shared.agent(agent_id).map_or(0, |state| state.exports.load(Ordering::Relaxed))
    }

    /// Adds a fault, also while the server runs; returns whether the agent exists.
    pub fn add_fault(&self, agent_id: &str, fault: Fault) -> bool {
        let Some(state) = self.shared.agent(agent_id) else {
            return false;
        };
        lock(&state.faults).push(fault);
        true
    }

    /// Removes all faults of an agent.
    pub fn clear_faults(&self, agent_id: &str) {
        if let Some(state) = self.shared.agent(agent_id) {
            lock(&state.faults).clear();
        }
    }

    /// Changes an agent's conversations while the server runs; `None` if there is no such agent.
    pub fn update<R>(&self, agent_id: &str, change: impl FnOnce(&mut Dataset) -> R) -> Option<R> {
        let state = self.shared.agent(agent_id)?;
        Some(state.change(|agent| change(&mut agent.dataset)))
    }

    /// Returns an agent as it is now.
    pub fn agent(&self, agent_id: &str) -> Option<Arc<Agent>> {
        self.shared.agent(agent_id).map(AgentState::snapshot)
    }

    /// Returns what a perfect export of an agent contains now, newest first.
    pub fn expected(&self, agent_id: &str) -> Vec<Expected> {
        let agent = self.agent(agent_id);
        agent.map_or_else(Vec::new, |agent| agent.expected().collect())
    }

    /// Stops the server and waits until it has stopped.
    pub async fn stop(mut self) {
        self.stopped.cancel();
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(STOP_TIMEOUT, &mut server).await.is_err()
        {
            server.abort();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

/// The state shared by all requests.
#[derive(Debug)]
struct Shared {
    agents: Vec<AgentState>,
    limits: Limits,
    latency: Option<Duration>,
    bytes_sent: Arc<AtomicU64>,
    rate_limiter: Mutex<RateLimiter>,
    log: Mutex<VecDeque<SeenRequest>>,
    arrivals: AtomicU64,
    stopped: CancellationToken,
}

/// An agent and its state.
#[derive(Debug)]
struct AgentState {
    /// Vendor and id never change while the server runs, so they need no lock.
    vendor: Vendor,
    id: String,
    /// Shared with responses in flight, which keep the snapshot that they started with.
    agent: RwLock<Arc<Agent>>,
    faults: Mutex<Vec<Fault>>,
    requests: AtomicU64,
    exports: AtomicU64,
    billed: AtomicU64,
    /// What was written to Convocore.
    convocore_writes: Mutex<ConvocoreWrites>,
    /// The contacts written to Chatbase's first API.
    written_contacts: Mutex<WrittenContacts>,
    /// The sources written to Chatbase's second API.
    written_sources: Mutex<WrittenSources>,
}

/// A request with its headers and body.
struct IncomingRequest {
    request: ApiRequest,
    method: Method,
    content_type: Option<String>,
    body: Bytes,
    key: Option<String>,
}

/// A response and how it is sent.
struct OutgoingReply {
    reply: Reply,
    delivery: Delivery,
}

impl AgentState {
    fn new(agent: Agent) -> Self {
        Self {
            vendor: agent.vendor,
            id: agent.id.clone(),
            agent: RwLock::new(Arc::new(agent)),
            faults: Mutex::default(),
            requests: AtomicU64::new(0),
            exports: AtomicU64::new(0),
            billed: AtomicU64::new(0),
            convocore_writes: Mutex::default(),
            written_contacts: Mutex::default(),
            written_sources: Mutex::default(),
        }
    }

    fn snapshot(&self) -> Arc<Agent> {
        let agent = self.agent.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&agent)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Agent) -> R) -> R {
        let mut agent = self.agent.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut agent))
    }

    /// Answers a request that writes to the agent or reads what was written to it. Returns `None` for other requests.
    fn answer_agent_call(
        &self,
        incoming: &IncomingRequest,
        key: &str,
        paging_fault: PagingFault,
    ) -> Option<Reply> {
        let segments = incoming.request.segments();
        let route = route_within(self.vendor, &segments)?;
        if self.snapshot().key != key {
            return None;
        }
        let call = AgentCall {
            request: &incoming.request,
            method: &incoming.method,
            route,
            content_type: incoming.content_type.as_deref(),
            body: &incoming.body,
            paging_fault,
        };
        match self.vendor {
            Vendor::ChatbaseV1 => {
                chatbase_v1_people::answer(&call, &self.snapshot(), &mut lock(&self.written_contacts))
            }
            Vendor::ChatbaseV2 => chatbase_v2_sources::answer(&call, &mut lock(&self.written_sources)),
            Vendor::ConvocoreV3 => self.answer_convocore_agent_call(&call),
        }
    }

    fn answer_convocore_agent_call(&self, call: &AgentCall<'_>) -> Option<Reply> {
        if matches!(call.route, [] | ["convos", "export"] | ["convos", _, "export"]) {
            return None;
        }
        let listed = convocore_v3_lists::answer(call, &self.snapshot(), &lock(&self.convocore_writes));
        if listed.is_some() {
            return listed;
        }
        self.change(|agent| convocore_v3_writes::answer(call, agent, &mut lock(&self.convocore_writes)))
    }

    /// Counts a request, and returns the fault that affects it.
    fn count_request(&self, is_export: bool) -> Option<FaultKind> {
        let nth_request = self.requests.fetch_add(1, Ordering::Relaxed);
        let nth_export = is_export.then(|| self.exports.fetch_add(1, Ordering::Relaxed));
        lock(&self.faults)
            .iter()
            .find(|fault| fault.affects(nth_request, nth_export))
            .map(|fault| fault.kind.clone())
    }
}

impl IncomingRequest {
    /// Returns whether the vendor supports the method on this route.
    fn is_supported(&self) -> bool {
        match (&self.method, self.request.vendor) {
            (&Method::GET, _) | (&Method::POST | &Method::PATCH, Vendor::ConvocoreV3) => true,
            (&Method::POST, Vendor::ChatbaseV1) => {
                matches!(self.request.segments()[..], ["chatbots", _, "contacts"])
            }
            (&Method::POST, Vendor::ChatbaseV2) => {
                matches!(self.request.segments()[..], ["agents", _, "sources"])
            }
            _ => false,
        }
    }
}

impl Shared {
    fn new(world: World, stopped: CancellationToken) -> Self {
        Self {
            agents: world.agents.into_iter().map(AgentState::new).collect(),
            limits: world.limits,
            latency: world.latency,
            bytes_sent: Arc::default(),
            rate_limiter: Mutex::default(),
            log: Mutex::default(),
            arrivals: AtomicU64::new(0),
            stopped,
        }
    }

    fn agent(&self, id: &str) -> Option<&AgentState> {
        self.agents.iter().find(|state| state.id == id)
    }

    fn agent_of(&self, vendor: Vendor, id: &str) -> Option<&AgentState> {
        let mut agents = self.agents.iter();
        agents.find(|state| state.vendor == vendor && state.id == id)
    }

    fn log_request(&self, seen: SeenRequest) {
        let mut log = lock(&self.log);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(seen);
    }

    /// Checks the key, applies faults and limits, then lets the vendor's module answer.
    fn answer(&self, incoming: &IncomingRequest) -> OutgoingReply {
        let vendor = incoming.request.vendor;
        if is_health_check(&incoming.request) {
            return OutgoingReply::of(self.with_separate_limit(chatbase_v2::health(), vendor, ""));
        }
        let key = incoming.key.as_deref().unwrap_or_default();
        if self.account(vendor, key).is_empty() {
            let refusal = match incoming.key {
                Some(_) => ApiError::InvalidKey,
                None => ApiError::MissingKey,
            };
            return OutgoingReply::of(self.with_separate_limit(refusal.reply(vendor), vendor, key));
        }
        if !incoming.is_supported() {
            let reply = ApiError::UnknownRoute.reply(vendor);
            return OutgoingReply::of(self.with_separate_limit(reply, vendor, key));
        }
        let named_agent = agent_id(&incoming.request).and_then(|id| self.agent_of(vendor, id));
        let fault = named_agent.and_then(|state| state.count_request(is_export(&incoming.request)));
        if let Some(reply) = fault.as_ref().and_then(|kind| kind.replacement(vendor)) {
            return OutgoingReply::of(with_request_id(reply, vendor));
        }
        self.answer_limited(incoming, key, named_agent, fault)
    }

    fn answer_limited(
        &self,
        incoming: &IncomingRequest,
        key: &str,
        named_agent: Option<&AgentState>,
        fault: Option<FaultKind>,
    ) -> OutgoingReply {
        let request = &incoming.request;
        let allowance = self.allowance(request, key);
        if !allowance.is_allowed {
            let mut reply = ApiError::TooManyRequests.reply(request.vendor);
            let seconds = allowance.reset_in.as_secs() + 1;
            reply.headers.push(("retry-after", seconds.to_string()));
            return OutgoingReply::of(self.with_chatbase_headers(reply, request.vendor, allowance));
        }
        match (&fault, named_agent) {
            (Some(FaultKind::AddNewest { conversations }), Some(state)) => {
                self.add_newest(state, *conversations);
            }
            (Some(FaultKind::RemoveNewest { conversations }), Some(state)) => {
                remove_newest(state, *conversations);
            }
            _ => {}
        }
        let paging_fault = fault.as_ref().map(FaultKind::paging_fault).unwrap_or_default();
        let written = named_agent.and_then(|state| state.answer_agent_call(incoming, key, paging_fault));
        let reply = written
            .unwrap_or_else(|| self.read(incoming, key, named_agent, paging_fault, allowance.remaining));
        let reply = self.with_chatbase_headers(reply, request.vendor, allowance);
        match fault {
            None => OutgoingReply::of(reply),
            Some(kind) => OutgoingReply { delivery: kind.delivery(), reply: kind.apply_to(reply) },
        }
    }

    /// Answers a request that reads. Refuses a write that no route has answered.
    fn read(
        &self,
        incoming: &IncomingRequest,
        key: &str,
        named_agent: Option<&AgentState>,
        paging_fault: PagingFault,
        remaining_hour: usize,
    ) -> Reply {
        let request = &incoming.request;
        let agent = named_agent.map(AgentState::snapshot).filter(|agent| agent.key == key);
        if incoming.method != Method::GET && agent.is_some() {
            return ApiError::UnknownRoute.reply(request.vendor);
        }
        let nothing_billed = AtomicU64::new(0);
        let call = Call {
            request,
            agent,
            account: self.account(request.vendor, key),
            paging_fault,
            meter: Meter {
                remaining_hour,
                included_quota: self.limits.convocore_included_quota,
                billed: named_agent.map_or(&nothing_billed, |state| &state.billed),
            },
        };
        match request.vendor {
            Vendor::ChatbaseV1 => chatbase_v1::answer(&call),
            Vendor::ChatbaseV2 => chatbase_v2::answer(&call),
            Vendor::ConvocoreV3 => convocore_v3::answer(&call),
        }
    }

    fn account(&self, vendor: Vendor, key: &str) -> Vec<Arc<Agent>> {
        self.agents
            .iter()
            .filter(|state| state.vendor == vendor)
            .map(AgentState::snapshot)
            .filter(|agent| agent.key == key)
            .collect()
    }

    fn allowance(&self, request: &ApiRequest, key: &str) -> Allowance {
        let limits = &self.limits;
        let mut rate_limiter = lock(&self.rate_limiter);
        match request.vendor {
            Vendor::ChatbaseV1 | Vendor::ChatbaseV2 => rate_limiter.admit(
                &format!("chatbase {key}"),
                limits.chatbase_requests,
                limits.chatbase_window,
            ),
            // Only exports count against the window; other requests just report it.
            Vendor::ConvocoreV3 if is_metered(request) => {
                rate_limiter.admit(&format!("convocore {key}"), limits.convocore_requests_per_hour, ONE_HOUR)
            }
            Vendor::ConvocoreV3 => Allowance {
                is_allowed: true,
                remaining: limits.convocore_requests_per_hour,
                reset_in: ONE_HOUR,
            },
        }
    }

    /// Adds the headers to the response of a request that counts against a limit of its own, not against the account's.
    fn with_separate_limit(&self, reply: Reply, vendor: Vendor, key: &str) -> Reply {
        let limits = &self.limits;
        let allowance = lock(&self.rate_limiter).admit(
            &format!("anybody {key}"),
            limits.chatbase_requests,
            limits.chatbase_window,
        );
        self.with_chatbase_headers(reply, vendor, allowance)
    }

    /// Adds the headers that Chatbase sends with every response.
    fn with_chatbase_headers(&self, mut reply: Reply, vendor: Vendor, allowance: Allowance) -> Reply {
        if vendor == Vendor::ConvocoreV3 {
            return reply;
        }
        let reset_in = i64::try_from(allowance.reset_in.as_millis()).unwrap_or(0);
        let reset = time::now_milliseconds() + reset_in;
        let reset = match self.limits.reset_unit {
            ResetUnit::Milliseconds => reset,
            ResetUnit::Seconds => reset / 1_000 + 1,
        };
        let limit = self.limits.chatbase_requests.to_string();
        reply.headers.extend([
            ("x-request-id", format!("req_{reset:x}")),
            ("x-ratelimit-limit", limit),
            ("x-ratelimit-remaining", allowance.remaining.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
        ]);
        reply
    }

    /// Adds conversations that are newer than all others.
    fn add_newest(&self, state: &AgentState, count: usize) {
        state.change(|agent| {
            for _ in 0..count {
                let newest = agent.dataset.window(None, None).next();
                let created_at = newest.map_or(0, |place| agent.dataset.key(place).created_at);
                let number = self.arrivals.fetch_add(1, Ordering::Relaxed);
                let arrived = arriving_conversation(number, created_at + 1);
                agent.dataset.insert(arrived);
            }
        });
    }
}

/// Removes the newest conversations, so that the rest of the list moves up.
fn remove_newest(state: &AgentState, count: usize) {
    state.change(|agent| {
        for _ in 0..count {
            let newest = agent.dataset.iter().next().map(|conversation| conversation.id);
            newest.and_then(|id| agent.dataset.remove(&id));
        }
    });
}

impl OutgoingReply {
    fn of(reply: Reply) -> Self {
        Self { reply, delivery: Delivery::Normal }
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let request = Request::from_parts(parts, Body::empty());
    let path = request.uri().path().to_owned();
    let query = query_pairs(request.uri().query().unwrap_or_default());
    let had_authorization = request.headers().contains_key(AUTHORIZATION);
    let api_request = api_request(&path, query.clone());
    let agent_id = api_request.as_ref().and_then(|request| agent_id(request).map(str::to_owned));
    let outgoing = match api_request {
        None => OutgoingReply::of(unknown_api(request.method(), &path)),
        Some(api_request) => shared.answer(&IncomingRequest {
            request: api_request,
            method: request.method().clone(),
            content_type: request
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            body,
            key: bearer_key(&request),
        }),
    };
    let hangs = outgoing.delivery == Delivery::Never;
    shared.log_request(SeenRequest {
        method: request.method().to_string(),
        path,
        query,
        status: (!hangs).then(|| outgoing.reply.status.as_u16()),
        bytes: outgoing.reply.whole_body().len(),
        had_authorization,
        agent_id,
    });
    deliver(&shared, outgoing).await
}

async fn deliver(shared: &Shared, outgoing: OutgoingReply) -> Response {
    let outgoing = OutgoingReply { reply: outgoing.reply.counted(&shared.bytes_sent), ..outgoing };
    if let Some(latency) = shared.latency {
        tokio::time::sleep(latency).await;
    }
    if outgoing.delivery == Delivery::Never {
        shared.stopped.cancelled().await;
    }
    delivery::response(outgoing.reply, outgoing.delivery).unwrap_or_else(|_| {
        // A header that a test has set may be invalid.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Adds Chatbase's request id, which every response has, errors included.
fn with_request_id(mut reply: Reply, vendor: Vendor) -> Reply {
    let has_one = reply.headers.iter().any(|(name, _)| *name == "x-request-id");
    if vendor != Vendor::ConvocoreV3 && !has_one {
        reply.headers.push(("x-request-id", format!("req_{:x}", time::now_milliseconds())));
    }
    reply
}

fn root(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::ChatbaseV1 => "/chatbase/api/v1",
        Vendor::ChatbaseV2 => "/chatbase/api/v2",
        Vendor::ConvocoreV3 => "/convocore/v3",
    }
}

/// Parses a request, if its path is below the root of one of the vendors.
fn api_request(path: &str, query: Vec<(String, String)>) -> Option<ApiRequest> {
    let vendors = [Vendor::ChatbaseV1, Vendor::ChatbaseV2, Vendor::ConvocoreV3];
    let (vendor, rest) = vendors.into_iter().find_map(|vendor| {
        let rest = path.strip_prefix(root(vendor))?.strip_prefix('/')?;
        Some((vendor, rest))
    })?;
    Some(ApiRequest { vendor, path: rest.split('/').map(percent_decoded).collect(), query })
}

fn agent_id(request: &ApiRequest) -> Option<&str> {
    match request.vendor {
        Vendor::ChatbaseV1 => match &request.path[..] {
            [chatbots, id, ..] if chatbots == "chatbots" => Some(id),
            _ => request.parameter("chatbotId"),
        },
        Vendor::ChatbaseV2 | Vendor::ConvocoreV3 => match &request.path[..] {
            [agents, id, ..] if agents == "agents" => Some(id),
            _ => None,
        },
    }
}

/// Returns the segments after the agent's id, if the path names an agent.
fn route_within<'a>(vendor: Vendor, segments: &'a [&'a str]) -> Option<&'a [&'a str]> {
    match (vendor, segments) {
        (Vendor::ChatbaseV1, ["chatbots", _, route @ ..])
        | (Vendor::ChatbaseV2 | Vendor::ConvocoreV3, ["agents", _, route @ ..]) => Some(route),
        _ => None,
    }
}

/// Returns whether the request exports or lists an agent's conversations.
fn is_export(request: &ApiRequest) -> bool {
    matches!(
        request.segments()[..],
        ["get-conversations"] | ["agents", _, "conversations" | "convos", "export"]
    )
}

/// Returns whether Convocore counts the request against the hourly limit.
fn is_metered(request: &ApiRequest) -> bool {
    request.path.last().is_some_and(|last| last == "export")
}

fn is_health_check(request: &ApiRequest) -> bool {
    request.vendor == Vendor::ChatbaseV2 && request.segments()[..] == ["health"]
}

fn bearer_key(request: &Request) -> Option<String> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

fn unknown_api(method: &Method, path: &str) -> Reply {
    let message = format!("Route {method} {path} not found");
    let error = json!({ "error": { "code": "NOT_FOUND", "message": message } });
    Reply::json(StatusCode::NOT_FOUND, &error)
}

/// Locks even after a panic in another test, which must not affect this one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
