//! A client that retries quickly, and vendors with prepared responses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatark_core::{Error, ErrorKind};
use chatark_http::{
    ApiClient, ApiError, Call, Connector, Dialect, HttpEvent, HttpObserver, Policy, SizeLimits, Url,
};
use httpmock::{HttpMockRequest, HttpMockResponse, Mock, MockServer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The key of every client here.
pub(crate) const KEY: &str = "sk-3f9c-never-to-be-seen";

/// A vendor whose errors are `{"message", "code", "kind"}`.
#[derive(Debug)]
pub(crate) struct Plain;

impl Dialect for Plain {
    fn parse_error(&self, _status: u16, body: &[u8]) -> ApiError {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let kind = (body["kind"] == "quota").then_some(ErrorKind::Forbidden);
        ApiError { code: text("code"), message: text("message"), kind, hint: None }
    }
}

/// Records every event.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<HttpEvent>>);

impl HttpObserver for Recorder {
    fn on_event(&self, source: &str, event: &HttpEvent) {
        assert_eq!(source, "shop");
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Recorder {
    pub(crate) fn events(&self) -> Vec<HttpEvent> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the reasons of all waits.
    pub(crate) fn waits(&self) -> Vec<String> {
        let reasons = self.events().into_iter().filter_map(|event| match event {
            HttpEvent::Waiting { reason, .. } => Some(reason),
            HttpEvent::Received { .. } => None,
        });
        reasons.collect()
    }
}

/// Three attempts a millisecond apart, and time enough for a slow machine.
pub(crate) fn policy() -> Policy {
    Policy {
        max_attempts: 3,
        backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        max_wait: Duration::from_mins(1),
        late_effect_wait: Duration::from_millis(50),
        timeout: Duration::from_mins(1),
        size_limits: SizeLimits::default(),
    }
}

pub(crate) fn connector(policy: Policy) -> (Connector, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let observer = Arc::<Recorder>::clone(&recorder);
    (Connector { policy, observer, ..Connector::new("shop", KEY.into()) }, recorder)
}

pub(crate) fn client_with(base: &str, policy: Policy) -> (ApiClient, Arc<Recorder>) {
    let (connector, recorder) = connector(policy);
    (connector.client(Url::parse(base).unwrap(), Plain).unwrap(), recorder)
}

pub(crate) fn client(base: &str) -> ApiClient {
    client_with(base, policy()).0
}

pub(crate) fn things() -> Call {
    Call::new("read the things", ["things"])
}

/// Sends a call that must fail.
pub(crate) async fn failure(client: &ApiClient) -> Error {
    client.json::<Value>(&things()).await.unwrap_err()
}

/// One response: a status, headers and a body.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> HttpMockResponse {
    let built = HttpMockResponse::builder().status(status).body(body.into());
    headers.iter().fold(built, |built, (name, value)| built.header(*name, *value)).build()
}

/// Mocks the path of [`things`]: one response after the other, the last one forever.
pub(crate) fn vendor(server: &MockServer, responses: Vec<HttpMockResponse>) -> Mock<'_> {
    let next = Mutex::new((0, responses));
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
    /// Waits for a signal of the test.
    Await(Arc<Notify>),
    /// Keeps the connection open and sends nothing more.
    Hang,
}

/// A vendor that sends raw bytes, which can be cut off, slowed down or withheld.
pub(crate) struct Server {
    pub(crate) base: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves one script after the other, each on a connection of its own; the last one forever.
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
        // The client may disconnect at any time.
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

/// The head of a response with status 200 and a body of this length.
pub(crate) fn head(length: usize, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

/// A whole response.
pub(crate) fn whole(body: &[u8]) -> Vec<Step> {
    vec![Step::Send([head(body.len(), "").as_slice(), body].concat())]
}

/// A response whose connection breaks after `sent` bytes of its body.
pub(crate) fn cut(body: &[u8], sent: usize) -> Vec<Step> {
    vec![Step::Send([head(body.len(), "").as_slice(), &body[..sent]].concat())]
}
