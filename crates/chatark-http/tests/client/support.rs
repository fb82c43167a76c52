//! A client that does not dawdle, and vendors that answer as they are told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatark_core::{Error, ErrorKind};
use chatark_http::{
    ApiClient, ApiError, Call, Connector, Dialect, HttpEvent, HttpObserver, Limits, Policy, RateLimiters, Url,
};
use httpmock::{HttpMockRequest, HttpMockResponse, Mock, MockServer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The key of every client here.
pub(crate) const KEY: &str = "sk-3f9c-never-to-be-seen";

/// A vendor that answers `{"message", "code", "kind"}`.
#[derive(Debug)]
pub(crate) struct Plain;

impl Dialect for Plain {
    fn refusal(&self, _status: u16, body: &[u8]) -> ApiError {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let kind = (body["kind"] == "quota").then_some(ErrorKind::Forbidden);
        ApiError { code: text("code"), message: text("message"), kind, hint: None }
    }
}

/// Remembers every notice.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<HttpEvent>>);

impl HttpObserver for Recorder {
    fn notice(&self, source: &str, notice: &HttpEvent) {
        assert_eq!(source, "shop");
        self.0.lock().unwrap().push(notice.clone());
    }
}

impl Recorder {
    pub(crate) fn notices(&self) -> Vec<HttpEvent> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the reasons of all waits.
    pub(crate) fn waits(&self) -> Vec<String> {
        let waits = self.notices().into_iter().filter_map(|notice| match notice {
            HttpEvent::Waiting { why, .. } => Some(why),
            HttpEvent::Answered { .. } => None,
        });
        waits.collect()
    }
}

/// Three attempts a millisecond apart, and time enough for a slow machine.
pub(crate) fn policy() -> Policy {
    Policy {
        attempts: 3,
        backoff: Duration::from_millis(1),
        longest_backoff: Duration::from_millis(2),
        longest_wait: Duration::from_mins(1),
        settle: Duration::from_millis(50),
        timeout: Duration::from_mins(1),
        limits: Limits::default(),
    }
}

pub(crate) fn connector(policy: Policy) -> (Connector, Arc<Recorder>) {
    let watcher = Arc::new(Recorder::default());
    let connector = Connector {
        source: "shop".to_owned(),
        key: KEY.to_owned().into(),
        gates: Arc::new(RateLimiters::default()),
        budget: Arc::default(),
        policy,
        watcher: Arc::<Recorder>::clone(&watcher),
    };
    (connector, watcher)
}

pub(crate) fn client_with(base: &str, policy: Policy) -> (ApiClient, Arc<Recorder>) {
    let (connector, watcher) = connector(policy);
    (connector.client(Url::parse(base).unwrap(), Plain).unwrap(), watcher)
}

pub(crate) fn client(base: &str) -> ApiClient {
    client_with(base, policy()).0
}

pub(crate) fn things() -> Call {
    Call::new("read the things", ["things"])
}

/// Asks for JSON that must not come.
pub(crate) async fn refused(client: &ApiClient) -> Error {
    client.json::<Value>(&things()).await.unwrap_err()
}

/// One answer: a status, headers and a body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> HttpMockResponse {
    let built = HttpMockResponse::builder().status(status).body(body.into());
    headers.iter().fold(built, |built, (name, value)| built.header(*name, *value)).build()
}

/// Mocks the path of [`things`]: one answer after the other, the last one for ever.
pub(crate) fn vendor(server: &MockServer, answers: Vec<HttpMockResponse>) -> Mock<'_> {
    let next = Mutex::new((0, answers));
    server.mock(|when, then| {
        when.path("/v1/things");
        then.respond_with(move |_: &HttpMockRequest| {
            let mut next = next.lock().unwrap();
            let at = next.0.min(next.1.len() - 1);
            next.0 += 1;
            next.1[at].clone()
        });
    })
}

/// What a server does with one request after it has read it.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends bytes one by one, with this pause between them.
    Drip(Vec<u8>, Duration),
    /// Waits until the test says so.
    Await(Arc<Notify>),
    /// Keeps the connection open and says nothing more.
    Hang,
}

/// A vendor that speaks bytes, so that they can be cut, dripped or withheld.
pub(crate) struct Server {
    pub(crate) base: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves one script after the other, each on a connection of its own; the last one for ever.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        tokio::spawn(async move {
            let mut scripts = scripts.into_iter().peekable();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts.peek().cloned().unwrap();
                if scripts.len() > 1 {
                    scripts.next();
                }
                tokio::spawn(serve(stream, script, Arc::clone(&log)));
            }
        });
        Self { base, heads }
    }

    /// Returns the request lines and headers so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

async fn serve(mut stream: TcpStream, script: Vec<Step>, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    log.lock().unwrap().push(String::from_utf8(head).unwrap());
    for step in script {
        // A client that has had enough may hang up at any time.
        let sent = match step {
            Step::Send(bytes) => stream.write_all(&bytes).await,
            Step::Drip(bytes, pause) => drip(&mut stream, &bytes, pause).await,
            Step::Await(notify) => {
                notify.notified().await;
                Ok(())
            }
            Step::Hang => std::future::pending().await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// The beginning of an answer of 200 that promises so many bytes.
pub(crate) fn head(length: usize, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

/// A whole answer.
pub(crate) fn whole(body: &[u8]) -> Vec<Step> {
    vec![Step::Send([head(body.len(), "").as_slice(), body].concat())]
}

/// An answer whose connection breaks after `sent` bytes of its body.
pub(crate) fn cut(body: &[u8], sent: usize) -> Vec<Step> {
    vec![Step::Send([head(body.len(), "").as_slice(), &body[..sent]].concat())]
}
