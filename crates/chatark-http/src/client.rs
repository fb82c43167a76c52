//! The client itself: one account of one vendor.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Result};
use humantime::format_duration;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::backoff;
use crate::budget::Budget;
use crate::dialect::{ApiError, Dialect};
use crate::framer::Limits;
use crate::rate_limiter::{Permit, RateLimiter, RateLimiters};
use crate::sent;

/// The part of an error's body that is read at most.
const REFUSAL_BYTES: usize = 16 << 10;
/// A body that brings fewer bytes than this in one time limit has stalled.
const STALLED_BYTES: usize = 1 << 10;

/// How long and how often one client tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The first wait between two attempts; each later one is twice as long.
    pub backoff: Duration,
    /// The longest wait between two attempts that the vendor did not ask for.
    pub longest_backoff: Duration,
    /// The longest wait that the vendor may ask for; beyond it the run ends and says so.
    pub longest_wait: Duration,
    /// How long after a request without an answer its work may still show at the vendor.
    pub settle: Duration,
    /// The time for a connection, for the first byte of an answer, and for the next kilobyte of its body.
    pub timeout: Duration,
    /// How large answers may be.
    pub limits: Limits,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 6,
            backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(30),
            longest_wait: Duration::from_mins(15),
            settle: Duration::from_secs(30),
            timeout: Duration::from_mins(1),
            limits: Limits::default(),
        }
    }
}

/// What a client is bound to.
#[derive(Debug)]
struct Connection {
    source: String,
    base: Url,
    key: SecretString,
    gate: Arc<RateLimiter>,
    budget: Arc<Budget>,
    policy: Policy,
    watcher: Arc<dyn HttpObserver>,
}

/// What every client of a run needs and no provider may know more of.
#[derive(Debug, Clone)]
pub struct Connector {
    /// The name of the source, for errors.
    pub source: String,
    /// The bearer key.
    pub key: SecretString,
    /// The gates of all accounts.
    pub gates: Arc<RateLimiters>,
    /// What the run may spend.
    pub budget: Arc<Budget>,
    /// How long and how often to try.
    pub policy: Policy,
    /// Who is told about waits.
    pub watcher: Arc<dyn HttpObserver>,
}

impl Connector {
    /// Creates the client of one account.
    pub fn client(self, base: Url, dialect: impl Dialect + 'static) -> Result<ApiClient> {
        let gate = self.gates.of(&base, &self.key);
        let Self { source, key, budget, policy, watcher, .. } = self;
        ApiClient::new(Connection { source, base, key, gate, budget, policy, watcher }, dialect)
    }
}

/// Is told what a person at a terminal would want to know while it happens.
pub trait HttpObserver: std::fmt::Debug + Send + Sync {
    /// Takes a notice; must not block.
    fn notice(&self, source: &str, notice: &HttpEvent);
}

/// Something that happens between a request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpEvent {
    /// The client waits before it asks again.
    Waiting {
        /// Why, in a few words.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// An answer has arrived whole.
    Answered {
        /// Its size after decompression.
        bytes: usize,
    },
}

/// One request: what it is for, the path below the base, the query, and what it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it is for, in the words of an error message, such as `export conversations`.
    pub operation: &'static str,
    /// The segments of the path, not yet encoded.
    pub path: Vec<String>,
    /// The query, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    action: Action,
}

/// What a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// It reads.
    Read,
    /// It puts this JSON in the place of what is there, so doing it twice is doing it once.
    Replace(Bytes),
    /// It adds this JSON, once more each time.
    Add(Bytes),
}

impl Call {
    /// Creates a call without a query.
    pub fn new<const N: usize>(operation: &'static str, path: [&str; N]) -> Self {
        let path = path.map(str::to_owned).to_vec();
        Self { operation, path, query: Vec::new(), action: Action::Read }
    }

    /// Makes it a `PATCH` that puts this JSON in the place of what is there.
    ///
    /// It is asked for again where it failed, as what reads is.
    #[must_use]
    pub fn replacing(self, json: Bytes) -> Self {
        Self { action: Action::Replace(json), ..self }
    }

    /// Makes it a `POST` that adds this JSON.
    ///
    /// It is asked for again only where the vendor has certainly not done it; any other failure is doubtful.
    #[must_use]
    pub fn adding(self, json: Bytes) -> Self {
        Self { action: Action::Add(json), ..self }
    }

    fn adds(&self) -> bool {
        matches!(self.action, Action::Add(_))
    }

    /// Takes out of a refusal what was sent: vendors repeat values that they find fault with, and people wrote them.
    fn unrepeated(&self, refusal: ApiError) -> ApiError {
        let sent = match &self.action {
            Action::Read => return refusal,
            Action::Replace(json) | Action::Add(json) => sent::texts(json),
        };
        let ApiError { code, message, kind, hint } = refusal;
        ApiError { code, message: message.map(|message| sent::without(&message, &sent)), kind, hint }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.push((name, format!("{value}")));
        self
    }

    /// Adds a query parameter where there is a value.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }
}

/// An authenticated, paced, retrying client for one account.
#[derive(Debug)]
pub struct ApiClient {
    http: reqwest::Client,
    dialect: Box<dyn Dialect>,
    connection: Connection,
}

/// One attempt that failed, and how long the vendor asks to wait.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) wait: Option<Duration>,
    /// Whether the vendor has certainly not done what it was asked for.
    pub(crate) is_undone: bool,
}

impl Failure {
    fn undone(error: Error) -> Self {
        Self { error, wait: None, is_undone: true }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, wait: None, is_undone: false }
    }
}

/// An answer whose status is a success, its body still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) request_id: Option<String>,
    /// The seconds by which the vendor's clock is ahead of ours.
    pub(crate) clock_ahead_seconds: Option<i64>,
}

impl ApiClient {
    /// Creates a client. Plain `http` is accepted for this machine alone, since the key would travel in the clear.
    fn new(connection: Connection, dialect: impl Dialect + 'static) -> Result<Self> {
        let local = is_loopback(&connection.base);
        if connection.base.scheme() != "https" && !local {
            return Err(Error::new(
                ErrorKind::Usage,
                "connect",
                "the base URL is not `https`, so the key would travel in the clear",
            )
            .with("source", &connection.source)
            .hint("write `https://` in `base_url`; plain `http` is for this machine alone"));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("chatark/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(connection.policy.timeout)
            .referer(false);
        if local {
            builder = builder.no_proxy();
        }
        if connection.base.scheme() == "http" {
            // No TLS is spoken to this machine, so a machine without CA certificates can run the sandbox.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| Error::new(ErrorKind::Unexpected, "set up the HTTP client", chain(&error)))?;
        Ok(Self { http, dialect: Box::new(dialect), connection })
    }

    /// Asks for a small JSON document.
    pub async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        Ok(self.json_dated(call).await?.0)
    }

    /// Asks for a small JSON document, and says by how many seconds the vendor's clock is ahead of ours.
    pub async fn json_dated<T: DeserializeOwned>(&self, call: &Call) -> Result<(T, Option<i64>)> {
        let mut attempts = 1;
        loop {
            match self.try_json(call).await {
                Ok(document) => return Ok(document),
                Err(failure) => self.wait_after(call, failure, attempts).await?,
            }
            attempts += 1;
        }
    }

    async fn try_json<T: DeserializeOwned>(&self, call: &Call) -> Result<(T, Option<i64>), Failure> {
        let answer = self.send(call).await?;
        let (ahead, id) = (answer.clock_ahead_seconds, answer.request_id.clone());
        let body = self.whole(call, answer).await?;
        Ok((self.decode(call, &body, id.as_deref())?, ahead))
    }

    /// Decodes a document that the caller has in hand and names the JSON path of what cannot be read.
    pub fn decode<'a, T: Deserialize<'a>>(
        &self,
        call: &Call,
        body: &'a [u8],
        request_id: Option<&str>,
    ) -> Result<T> {
        let mut json = serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let kind = if error.inner().is_eof() { ErrorKind::Network } else { ErrorKind::Malformed };
            let place = error.path().to_string();
            let what = match error.inner().classify() {
                serde_json::error::Category::Data => "a field of the answer has another type than documented",
                serde_json::error::Category::Eof => "the answer ends in the middle",
                _ if looks_like_html(body) => "the vendor answered with a web page in place of JSON",
                _ => "the answer is not JSON",
            };
            self.fault(call, kind, format!("{what}, at `{place}`"), request_id)
                .hint("check `base_url`; if it is right, the vendor has changed its API")
        })
    }

    /// Waits until the work of a request without an answer must show at the vendor, where there was any.
    ///
    /// `ago` is how long ago it was sent.
    pub async fn settle(&self, operation: &'static str, ago: Duration) -> Result<()> {
        let wait = self.policy().settle.saturating_sub(ago);
        if wait.is_zero() {
            return Ok(());
        }
        let why = "what was sent without an answer may still arrive";
        self.sleep(&Call::new(operation, []), why, wait).await
    }

    /// Returns how long and how often this client tries.
    pub(crate) fn policy(&self) -> &Policy {
        &self.connection.policy
    }

    /// Counts what an answer cost of the vendor's metered quota, so that a run ends where its budget of it is spent.
    pub fn spend_quota(&self, units: u64) {
        self.connection.budget.spend_quota(units);
    }

    /// Returns an error about a call, with the facts that every error carries.
    pub fn fault(
        &self,
        call: &Call,
        kind: ErrorKind,
        message: impl Display,
        request_id: Option<&str>,
    ) -> Error {
        let message = self.redacted(&message.to_string());
        let error = Error::new(kind, call.operation, message).with("source", &self.connection.source);
        match request_id {
            Some(id) => error.with("request_id", self.redacted(id)),
            None => error,
        }
    }

    /// Returns an error for an answer that says no inside a success, such as `{"success": false}`.
    pub fn refused(&self, call: &Call, refusal: ApiError, request_id: Option<&str>) -> Error {
        let refusal = call.unrepeated(refusal);
        let kind = refusal.kind.unwrap_or(ErrorKind::Refused);
        let message = refusal.message.clone().unwrap_or_else(|| "no reason given".to_owned());
        self.described(call, kind, format!("the vendor refused: {message}"), refusal, request_id)
    }

    /// Waits before the attempt that follows attempt `made`, or returns the error where none may follow.
    pub(crate) async fn wait_after(&self, call: &Call, failure: Failure, made: u32) -> Result<()> {
        let policy = self.policy();
        let Failure { error, wait, is_undone } = failure;
        if call.adds() && !is_undone {
            return Err(error.doubtful());
        }
        if !error.is_transient() {
            return Err(error);
        }
        if made >= policy.attempts {
            return Err(error.with("attempts", made));
        }
        if let Some(asked) = wait.filter(|asked| *asked > policy.longest_wait) {
            return Err(error
                .with("attempts", made)
                .with("wait", format_args!("{} s", asked.as_secs()))
                .hint(format!(
                    "the vendor asks to wait {} s, longer than `max_wait_seconds`; what is done is safe: run the same command again later",
                    asked.as_secs()
                )));
        }
        let jittered = backoff::exponential(made, policy.backoff, policy.longest_backoff);
        let wait = wait.map_or(jittered, |asked| asked + jittered.min(policy.backoff) / 4);
        tracing::warn!(operation = call.operation, attempt = made, wait_ms = wait.as_millis(), kind = ?error.kind(), "asking again");
        self.sleep(call, error.message(), wait).await
    }

    /// Sends one request and returns an answer whose status is a success.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        let url = self.url(call).map_err(Failure::undone)?;
        let pass = self.pass(call).await.map_err(Failure::undone)?;
        let taken = self.connection.budget.take_request();
        taken.map_err(|spent| Failure::undone(self.spent(call, spent)))?;
        let started = Instant::now();
        let request = self.request(call, url);
        let patience = self.connection.budget.sooner(started + self.policy().timeout);
        let sent = tokio::time::timeout_at(patience, request.send()).await;
        let response = match sent {
            Err(_) if self.connection.budget.is_over(patience) => return Err(self.out_of_time(call).into()),
            Err(_) => {
                let message = format!("no answer within {}", format_duration(self.policy().timeout));
                return Err(self.fault(call, ErrorKind::Network, message, None).hint(NETWORK_HINT).into());
            }
            Ok(Err(error)) => {
                let is_undone = error.is_connect();
                return Err(Failure { is_undone, ..self.network(call, &error, None).into() });
            }
            Ok(Ok(response)) => response,
        };
        let now = SystemTime::now();
        let pacing = self.dialect.pacing(response.headers(), now);
        self.connection.gate.learn(pacing, self.policy().longest_wait);
        drop(pass);
        let request_id = header(response.headers(), "x-request-id").map(|id| self.redacted(&id));
        tracing::debug!(
            operation = call.operation,
            status = response.status().as_u16(),
            request_id,
            elapsed_ms = started.elapsed().as_millis(),
            "answered"
        );
        if response.status().is_success() {
            let clock_ahead_seconds = clock_ahead(response.headers(), now);
            return Ok(Answer { response, request_id, clock_ahead_seconds });
        }
        Err(self.refusal(call, response, request_id, now).await)
    }

    fn request(&self, call: &Call, url: Url) -> RequestBuilder {
        let request = match &call.action {
            Action::Read => self.http.get(url),
            Action::Replace(json) => self.http.patch(url).body(json.clone()),
            Action::Add(json) => self.http.post(url).body(json.clone()),
        };
        let request = match &call.action {
            Action::Read => request,
            // Without a charset: a vendor's framework reads the body of this very type alone.
            Action::Replace(_) | Action::Add(_) => request.header(CONTENT_TYPE, "application/json"),
        };
        request.bearer_auth(self.connection.key.expose_secret())
    }

    /// Reads a whole body under the limit of one element.
    async fn whole(&self, call: &Call, answer: Answer) -> Result<Bytes> {
        let limit = self.policy().limits.element;
        let mut body = Body::new(self, call, answer);
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                let message = format!("the answer is larger than {limit} bytes");
                let error = self.fault(call, ErrorKind::TooLarge, message, body.request_id());
                return Err(error.hint("check `base_url`: no answer of this kind should be as large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        self.connection.watcher.notice(&self.connection.source, &HttpEvent::Answered { bytes: bytes.len() });
        Ok(bytes.into())
    }

    pub(crate) fn answered(&self, bytes: usize) {
        self.connection.watcher.notice(&self.connection.source, &HttpEvent::Answered { bytes });
    }

    pub(crate) fn network(&self, call: &Call, error: &reqwest::Error, request_id: Option<&str>) -> Error {
        self.fault(call, ErrorKind::Network, chain(error), request_id).hint(NETWORK_HINT)
    }

    async fn refusal(
        &self,
        call: &Call,
        mut response: Response,
        request_id: Option<String>,
        now: SystemTime,
    ) -> Failure {
        let status = response.status();
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES - body.len())]);
                if body.len() >= REFUSAL_BYTES {
                    break;
                }
            }
        };
        // What has arrived within the time limit is enough to say what went wrong.
        let _ = tokio::time::timeout(self.policy().timeout, read).await;
        let refusal = call.unrepeated(self.dialect.refusal(status.as_u16(), &body));
        let kind = refusal.kind.unwrap_or_else(|| kind_of(status));
        let mut message = format!("the vendor answered {}", status_text(status));
        if let Some(text) = &refusal.message {
            message = format!("{message}: {text}");
        }
        if status.is_redirection() {
            let host = header(response.headers(), LOCATION.as_str())
                .and_then(|target| self.connection.base.join(&target).ok())
                .and_then(|target| target.host_str().map(str::to_owned));
            let host = host.unwrap_or_else(|| "another place".to_owned());
            message =
                format!("{message}, a redirect to {host}, which is not followed so that the key stays here");
        }
        let wait = backoff::retry_after(response.headers(), now).or_else(|| {
            let limited = kind == ErrorKind::RateLimited;
            limited.then(|| self.dialect.pacing(response.headers(), now).resets_in).flatten()
        });
        if kind == ErrorKind::RateLimited
            && let Some(wait) = wait.filter(|wait| *wait <= self.policy().longest_wait)
        {
            self.connection.gate.close(wait);
        }
        let error = self.described(call, kind, message, refusal, request_id.as_deref());
        // A refusal is no work; where the vendor itself failed, it may have failed after the work.
        Failure { error, wait, is_undone: kind != ErrorKind::Unavailable }
    }

    fn described(
        &self,
        call: &Call,
        kind: ErrorKind,
        message: String,
        refusal: ApiError,
        request_id: Option<&str>,
    ) -> Error {
        let mut error = self.fault(call, kind, message, None);
        if let Some(code) = refusal.code {
            error = error.with("code", self.redacted(&code));
        }
        if let Some(id) = request_id {
            error = error.with("request_id", self.redacted(id));
        }
        let said = refusal.hint.map(|hint| self.redacted(&hint));
        let hint = said.or_else(|| hint_of(kind).map(str::to_owned));
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    async fn pass(&self, call: &Call) -> Result<Permit<'_>> {
        loop {
            match self.connection.gate.try_pass() {
                Ok(pass) => return Ok(pass),
                Err(wait) => self.sleep(call, "the rate limit is used up", wait).await?,
            }
        }
    }

    /// Waits, unless the budget's time would be over by then.
    async fn sleep(&self, call: &Call, why: &str, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait;
        if self.connection.budget.is_over(until) {
            return Err(self.out_of_time(call));
        }
        let notice = HttpEvent::Waiting { why: why.to_owned(), wait };
        self.connection.watcher.notice(&self.connection.source, &notice);
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    fn out_of_time(&self, call: &Call) -> Error {
        self.spent(call, self.connection.budget.time_is_over())
    }

    fn spent(&self, call: &Call, what: String) -> Error {
        self.fault(call, ErrorKind::Budget, what, None)
            .hint("what is done is safe: run the same command again to go on")
    }

    fn url(&self, call: &Call) -> Result<Url> {
        if call.path.iter().any(|segment| names_another_path(segment)) {
            let message =
                "an id is empty, `.`, `..` or has a line break or tab, so its URL would be another one";
            return Err(self.fault(call, ErrorKind::Usage, message, None));
        }
        let mut url = self.connection.base.clone();
        url.path_segments_mut()
            .map_err(|()| self.fault(call, ErrorKind::Usage, "the base URL cannot have a path", None))?
            .pop_if_empty()
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Ok(url)
    }

    /// Takes the key out of a text that the vendor wrote, and shortens it.
    fn redacted(&self, text: &str) -> String {
        let key = self.connection.key.expose_secret();
        let text = if key.is_empty() { text.to_owned() } else { text.replace(key, "****") };
        match text.char_indices().nth(600) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// A body as it arrives, which fails where it stalls.
pub(crate) struct Body<'a> {
    client: &'a ApiClient,
    call: &'a Call,
    answer: Answer,
    deadline: Instant,
    since_deadline: usize,
}

impl<'a> Body<'a> {
    pub(crate) fn new(client: &'a ApiClient, call: &'a Call, answer: Answer) -> Self {
        let deadline = Instant::now() + client.policy().timeout;
        Self { client, call, answer, deadline, since_deadline: 0 }
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.answer.request_id.as_deref()
    }

    /// Returns the next chunk, decompressed, or `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let budget = &self.client.connection.budget;
            let patience = budget.sooner(self.deadline);
            match tokio::time::timeout_at(patience, self.answer.response.chunk()).await {
                Ok(Ok(chunk)) => {
                    self.since_deadline += chunk.as_ref().map_or(0, Bytes::len);
                    return Ok(chunk);
                }
                Ok(Err(error)) => {
                    return Err(self.client.network(self.call, &error, self.request_id()));
                }
                Err(_) if budget.is_over(patience) => return Err(self.client.out_of_time(self.call)),
                Err(_) if self.since_deadline < STALLED_BYTES => {
                    let message = format!(
                        "the body stalled: fewer than {STALLED_BYTES} bytes in {}",
                        format_duration(self.client.policy().timeout)
                    );
                    let id = self.request_id();
                    return Err(self
                        .client
                        .fault(self.call, ErrorKind::Network, message, id)
                        .hint(NETWORK_HINT));
                }
                Err(_) => {
                    self.since_deadline = 0;
                    self.deadline = Instant::now() + self.client.policy().timeout;
                }
            }
        }
    }
}

const NETWORK_HINT: &str =
    "check the network and `base_url`; what is done is safe: run the same command again";

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        402 | 403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        408 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    }
}

fn hint_of(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unauthorized => {
            Some("the key is wrong, expired or of another region: set the right one and run `chatark check`")
        }
        ErrorKind::Forbidden => Some(
            "the vendor's plan or the key's scope does not allow this: change it with the vendor, then run `chatark check`",
        ),
        ErrorKind::NotFound => Some("check `agent_id`, `region` and `base_url`, then run `chatark check`"),
        ErrorKind::RateLimited | ErrorKind::Unavailable => {
            Some("what is done is safe: run the same command again later")
        }
        _ => None,
    }
}

fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn clock_ahead(headers: &HeaderMap, now: SystemTime) -> Option<i64> {
    let theirs = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok())
    };
    Some(seconds(theirs)? - seconds(now)?)
}

fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns whether a segment would be left out of a URL, or lose letters, in place of being encoded.
fn names_another_path(segment: &str) -> bool {
    matches!(segment, "" | "." | "..") || segment.contains(['\t', '\n', '\r'])
}

pub(crate) fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// Says why an exchange failed: the innermost cause, which names no URL, since a URL may name people in its path.
fn chain(error: &reqwest::Error) -> String {
    let what = if error.is_connect() { "cannot connect" } else { "the exchange broke off" };
    let mut innermost = None;
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        innermost = Some(inner.to_string()).filter(|text| !text.contains("://")).or(innermost);
        cause = inner.source();
    }
    match innermost {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    }
}
