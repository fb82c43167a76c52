//! The client over a transport in this process and under paused time: no socket is opened and no test waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::{Clock, Error, ErrorKind, Result, Timestamp};
use chatark_http::{
    ApiClient, ArrayEvent, Authentication, Budget, BudgetLimits, Call, Connector, HeaderMap, HeaderName,
    HeaderValue, Jitter, Policy, StatusCode, Transport, TransportError, TransportRequest, TransportResponse,
    Url,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{KEY, Plain, connector, things};

const BODY: &str = r#"{"data":[{"id":1},{"id":2}],"total":2}"#;
const FIRST_HALF: &str = r#"{"data":[{"id":1},{"#;
/// 2030-01-01T00:00:00Z in seconds, far from the clock of any machine that runs this test.
const START: i64 = 1_893_456_000;

/// What the vendor does with one request.
#[derive(Debug, Clone)]
enum Reply {
    /// Responds with a status, headers and a body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// Responds with 200 and a body whose connection breaks after this text.
    Cut(&'static str),
    /// Responds with 200 and chunks, each of them after a pause.
    Slow(Vec<&'static str>, Duration),
    /// Breaks the connection before any response.
    Fails(TransportError),
    /// Never responds.
    Silent,
}

fn ok(body: &str) -> Reply {
    Reply::Whole(200, Vec::new(), body.to_owned())
}

fn status(status: u16) -> Reply {
    Reply::Whole(status, Vec::new(), String::new())
}

fn broken() -> TransportError {
    TransportError::Broken("connection reset".to_owned())
}

/// A vendor in this process: one reply after the other, the last one forever.
#[derive(Debug)]
struct Vendor {
    started: Instant,
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<(Duration, TransportRequest)>>,
}

impl Vendor {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        let replies = Mutex::new(replies.into_iter().collect());
        Arc::new(Self { started: Instant::now(), replies, requests: Mutex::default() })
    }

    /// Returns when each request was sent, in seconds since the beginning.
    fn times(&self) -> Vec<f64> {
        self.requests.lock().unwrap().iter().map(|(at, _)| at.as_secs_f64()).collect()
    }

    fn last(&self) -> TransportRequest {
        self.requests.lock().unwrap().last().unwrap().1.clone()
    }

    fn next_reply(&self) -> Reply {
        let mut replies = self.replies.lock().unwrap();
        if replies.len() > 1 { replies.pop_front().unwrap() } else { replies[0].clone() }
    }
}

#[async_trait]
impl Transport for Vendor {
    async fn send(&self, request: TransportRequest) -> Result<TransportResponse, TransportError> {
        self.requests.lock().unwrap().push((self.started.elapsed(), request));
        let mut headers = HeaderMap::new();
        let (status, chunks, pause) = match self.next_reply() {
            Reply::Whole(status, named, body) => {
                for (name, value) in named {
                    headers.insert(name, value.parse().unwrap());
                }
                (status, vec![Ok(Bytes::from(body))], Duration::ZERO)
            }
            Reply::Cut(text) => (200, vec![Ok(text.into()), Err(broken())], Duration::ZERO),
            Reply::Slow(texts, pause) => {
                (200, texts.into_iter().map(|text| Ok(text.into())).collect(), pause)
            }
            Reply::Fails(error) => return Err(error),
            Reply::Silent => std::future::pending().await,
        };
        let body = stream::iter(chunks).then(move |chunk| async move {
            tokio::time::sleep(pause).await;
            chunk
        });
        Ok(TransportResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: body.boxed() })
    }
}

/// A wall clock that shows [`START`] now and advances with the paused time.
fn clock() -> Clock {
    let started = Instant::now();
    Clock::new(move || {
        let seconds = i64::try_from(started.elapsed().as_secs()).unwrap();
        Timestamp::from_epoch(START + seconds).unwrap()
    })
}

fn http_date(offset: i64) -> String {
    let seconds = u64::try_from(START + offset).unwrap();
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn policy() -> Policy {
    Policy { max_attempts: 4, ..Policy::default() }
}

fn connector_to(vendor: &Arc<Vendor>) -> Connector {
    let transport: Arc<dyn Transport> = Arc::<Vendor>::clone(vendor);
    Connector { transport: Some(transport), clock: clock(), ..connector(policy()).0 }
}

fn client_of(connector: Connector) -> ApiClient {
    connector.client(Url::parse("https://api.example.com/v1").unwrap(), Plain).unwrap()
}

fn client(vendor: &Arc<Vendor>) -> ApiClient {
    client_of(connector_to(vendor))
}

/// Reads an array to its end, and counts the restarts. Elements before a restart are dropped.
async fn read_array(client: &ApiClient, call: Call) -> Result<(Vec<Value>, usize)> {
    let mut reader = client.array(call, "data");
    let (mut found, mut restarts) = (Vec::new(), 0);
    loop {
        match reader.next().await? {
            ArrayEvent::Element(element) => found.push(serde_json::from_slice(&element).unwrap()),
            ArrayEvent::Restarted => {
                found.clear();
                restarts += 1;
            }
            ArrayEvent::End => break,
        }
    }
    assert_eq!(reader.envelope::<Value>().unwrap(), json!({"data": [], "total": 2}));
    Ok((found, restarts))
}

fn expected() -> Vec<Value> {
    vec![json!({"id": 1}), json!({"id": 2})]
}

#[tokio::test(start_paused = true)]
async fn retries_waits_and_framing_work_over_any_transport() {
    let limited = Reply::Whole(429, vec![("retry-after", "120".to_owned())], String::new());
    let slow = Reply::Slow(vec![FIRST_HALF, r#""id":2}],"#, r#""total":2}"#], Duration::from_secs(19));
    let vendor = Vendor::new([limited, Reply::Cut(FIRST_HALF), Reply::Fails(broken()), slow]);
    let (found, restarts) = read_array(&client(&vendor), things()).await.unwrap();
    assert_eq!((found, restarts), (expected(), 1));
    let times = vendor.times();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((120.0..120.2).contains(&gaps[0]), "the vendor's wait: {gaps:?}");
    assert!((0.5..1.01).contains(&gaps[1]) && (1.0..2.01).contains(&gaps[2]), "the backoff: {gaps:?}");
    let slow = vendor.started.elapsed().as_secs_f64() - times[3];
    assert!((slow - 57.0).abs() < 0.1, "{slow}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_or_stalled_vendor_is_given_up_after_the_time_limit() {
    let two_attempts = Policy { max_attempts: 2, ..policy() };
    for reply in [Reply::Silent, Reply::Slow(vec![FIRST_HALF; 9], Duration::from_secs(45))] {
        let vendor = Vendor::new([reply]);
        let client = client_of(Connector { policy: two_attempts, ..connector_to(&vendor) });
        let error = client.page(&things(), "data").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network, "{error}");
        assert!(error.facts().contains(&("attempts", "2".to_owned())), "{error}");
        assert_eq!(vendor.started.elapsed().as_secs(), 120, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn dates_in_headers_are_compared_to_the_clock_of_the_connector() {
    let dated = |name, offset| Reply::Whole(429, vec![(name, http_date(offset))], String::new());
    let reset = Reply::Whole(429, vec![("x-ratelimit-reset", (START + 200).to_string())], String::new());
    let answer = Reply::Whole(200, vec![("date", http_date(230))], "[]".to_owned());
    let vendor = Vendor::new([dated("retry-after", 90), reset, answer]);
    let (_, skew) = client(&vendor).json_with_clock_skew::<Value>(&things()).await.unwrap();
    let times: Vec<_> = vendor.times().iter().map(|at| at.floor()).collect();
    assert_eq!(times, [0.0, 90.0, 200.0]);
    assert_eq!(skew, Some(30));
}

#[tokio::test(start_paused = true)]
async fn the_budgets_time_is_measured_by_the_clock_of_the_runtime() {
    let vendor = Vendor::new([Reply::Silent]);
    let limits = BudgetLimits { duration: Some(Duration::from_secs(30)), ..BudgetLimits::default() };
    let budget = Arc::new(Budget::new(limits));
    let client = client_of(Connector { budget, ..connector_to(&vendor) });
    let error = client.json::<Value>(&things()).await.unwrap_err();
    assert_eq!((error.kind(), vendor.started.elapsed().as_secs()), (ErrorKind::Budget, 30));
}

/// Returns when each of the attempts of a call that always fails was made.
async fn attempts(jitter: Jitter) -> Vec<f64> {
    let vendor = Vendor::new([status(503)]);
    let client = client_of(Connector { jitter: Arc::new(jitter), ..connector_to(&vendor) });
    client.json::<Value>(&things()).await.unwrap_err();
    vendor.times()
}

#[tokio::test(start_paused = true)]
async fn a_seed_makes_all_waits_reproducible() {
    let first = attempts(Jitter::seeded(1)).await;
    assert_eq!(first.len(), 4);
    assert_eq!(attempts(Jitter::seeded(1)).await, first);
    assert_ne!(attempts(Jitter::seeded(2)).await, first);
}

/// Sends a search in each of the three ways to read, and expects it to be repeated after an error and a cut body.
#[tokio::test(start_paused = true)]
async fn a_search_by_post_is_read_and_repeated_like_a_get() {
    let replies = || [status(502), Reply::Cut(FIRST_HALF), ok(BODY)];
    let search = || things().search(Bytes::from_static(br#"{"query":{"updated_at":">1"}}"#));
    let check_requests = |vendor: &Vendor| {
        let requests = vendor.requests.lock().unwrap();
        assert_eq!(requests.len(), 3);
        for (_, request) in &*requests {
            assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/v1/things"));
            assert_eq!(request.body.as_deref(), Some(&br#"{"query":{"updated_at":">1"}}"#[..]));
            assert_eq!(request.headers["content-type"], "application/json");
        }
    };
    let vendor = Vendor::new(replies());
    let document: Value = client(&vendor).json(&search()).await.unwrap();
    assert_eq!(document["total"], 2);
    check_requests(&vendor);
    let vendor = Vendor::new(replies());
    assert_eq!(client(&vendor).page(&search(), "data").await.unwrap().elements.len(), 2);
    check_requests(&vendor);
    let vendor = Vendor::new(replies());
    assert_eq!(read_array(&client(&vendor), search()).await.unwrap(), (expected(), 1));
    check_requests(&vendor);
}

#[tokio::test(start_paused = true)]
async fn a_creating_call_is_repeated_only_if_the_vendor_has_not_seen_it() {
    let create = || things().create(Bytes::from_static(b"{}"));
    let refused = || Reply::Fails(TransportError::Connect("connection refused".to_owned()));
    let vendor = Vendor::new([refused(), refused(), ok("{}")]);
    assert_eq!(client(&vendor).json::<Value>(&create()).await.unwrap(), json!({}));
    assert_eq!(vendor.times().len(), 3);
    for lost in [Reply::Fails(broken()), Reply::Silent, Reply::Cut("{"), status(502)] {
        let vendor = Vendor::new([lost, ok("{}")]);
        let error = client(&vendor).json::<Value>(&create()).await.unwrap_err();
        assert!(error.is_ambiguous(), "{error}");
        assert_eq!(vendor.times().len(), 1);
    }
}

/// A stream keeps the reader in its state: the reader owns its call.
#[tokio::test(start_paused = true)]
async fn an_array_reader_can_be_the_state_of_a_stream() {
    let vendor = Vendor::new([ok(BODY)]);
    let client = client(&vendor);
    let ids = stream::try_unfold(client.array(things(), "data"), |mut reader| async {
        Ok::<_, Error>(match reader.next().await? {
            ArrayEvent::Element(element) => Some((element, reader)),
            ArrayEvent::Restarted | ArrayEvent::End => None,
        })
    });
    let elements: Vec<_> = ids.boxed().map(Result::unwrap).collect().await;
    assert_eq!(elements, [r#"{"id":1}"#, r#"{"id":2}"#]);
}

/// Sends a call with a kind of authentication. Returns the request, and the error of a vendor that echoes it.
async fn authenticated(authentication: Authentication, key: &'static str) -> (TransportRequest, Error) {
    let vendor = Vendor::new([ok("{}")]);
    let mut headers = HeaderMap::new();
    headers.insert("x-api-version", HeaderValue::from_static("2.11"));
    let mut workspace = HeaderValue::from_static("ws-77-secret");
    workspace.set_sensitive(true);
    headers.insert("x-workspace", workspace);
    let connector = Connector { authentication, headers, key: key.into(), ..connector_to(&vendor) };
    let client = client_of(connector);
    client.json::<Value>(&things().query("page", 1)).await.unwrap();
    let request = vendor.last();
    let echo = format!("{} {:?} {key} {}", request.url, plain(&request.headers), json!(key));
    let reply =
        Reply::Whole(400, vec![("x-request-id", key.to_owned())], json!({"message": echo}).to_string());
    vendor.replies.lock().unwrap().push_front(reply);
    let error = client.json::<Value>(&things()).await.unwrap_err();
    let debug = format!("{client:?} {request:?} {error:?}");
    assert!(!debug.contains(key) && !debug.contains("ws-77"), "{debug}");
    (request, error)
}

fn plain(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_key_goes_where_the_vendor_wants_it_and_into_no_error() {
    const KEY_2: &str = "k/e+y=\"%1";
    let header = |name, prefix: &'static str| Authentication::Header {
        name: HeaderName::from_static(name),
        prefix: prefix.into(),
    };
    let basic = Authentication::Basic { user: "ann@example.com/token".to_owned() };
    let basic_user = Authentication::BasicUser { password: "X".to_owned() };
    let bearer = "authorization: Bearer k/e+y=\"%1";
    for (authentication, expected) in [
        (Authentication::Bearer, bearer),
        (header("x-api-key", ""), "x-api-key: k/e+y=\"%1"),
        (header("authorization", "Token "), "authorization: Token k/e+y=\"%1"),
        (basic, "authorization: Basic YW5uQGV4YW1wbGUuY29tL3Rva2VuOmsvZSt5PSIlMQ=="),
        (basic_user, "authorization: Basic ay9lK3k9IiUxOlg="),
    ] {
        let (request, error) = authenticated(authentication, KEY_2).await;
        let headers = plain(&request.headers);
        assert!(headers.iter().any(|header| header == expected), "{headers:?}");
        assert_eq!(
            headers
                .iter()
                .filter(|header| header.contains("authorization") || header.contains("key"))
                .count(),
            1
        );
        assert!(headers.contains(&"x-api-version: 2.11".to_owned()), "{headers:?}");
        assert!(headers.iter().any(|header| header.starts_with("user-agent: chatark/")), "{headers:?}");
        assert_eq!(request.url.as_str(), "https://api.example.com/v1/things?page=1");
        check_redacted(&error, expected.rsplit(' ').next().unwrap());
    }
    let (request, error) = authenticated(Authentication::Query { name: "token".into() }, KEY_2).await;
    let url = "https://api.example.com/v1/things?page=1&token=k%2Fe%2By%3D%22%251";
    assert_eq!(request.url.as_str(), url);
    assert!(!request.headers.contains_key("authorization"));
    check_redacted(&error, "k%2Fe%2By%3D%22%251");
}

#[track_caller]
fn check_redacted(error: &Error, sent: &str) {
    let line = error.to_string();
    assert!(line.contains("****") && line.contains("2.11"), "{line}");
    for secret in [sent.trim_end_matches('='), "k/e+y=", "ws-77", "k\\/e"] {
        assert!(!line.contains(secret), "{secret}: {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_no_header_can_hold_is_a_usage_error() {
    let connector = Connector { key: "line\nbreak".into(), ..connector_to(&Vendor::new([ok("{}")])) };
    let error = connector.client(Url::parse("https://api.example.com").unwrap(), Plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(!error.to_string().contains("break") && KEY.is_ascii(), "{error}");
}
