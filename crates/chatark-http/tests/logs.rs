//! What is logged about a call. A test binary of its own, since a process has one log subscriber.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatark_http::{Call, Connector, Dialect, Policy, Url};
use httpmock::MockServer;
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

const KEY: &str = "sk-3f9c-never-to-be-seen";

#[derive(Debug)]
struct Plain;

impl Dialect for Plain {}

/// What is logged, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_contain_neither_the_key_nor_what_people_wrote() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).init();
    let server = MockServer::start_async().await;
    server.mock(|when, then| {
        when.any_request();
        then.status(500).header("x-request-id", KEY).body(format!(r#"{{"message":"words of {KEY}"}}"#));
    });
    let connector = Connector {
        policy: Policy { max_attempts: 3, backoff: Duration::from_millis(1), ..Policy::default() },
        ..Connector::new("shop", KEY.into())
    };
    let client = connector.client(Url::parse(&server.url("/v1")).unwrap(), Plain).unwrap();
    let call = Call::new("read the things", ["people", "jane"]).query("user", "jane@example.com");
    client.json::<Value>(&call).await.unwrap_err();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<_> = text.lines().filter(|line| line.contains(" chatark_http::")).collect();
    assert_eq!(ours.len(), 5, "three responses and two waits: {text}");
    let ours = ours.concat();
    assert!(!ours.contains(KEY) && !ours.contains("words of") && !ours.contains("jane"), "{ours}");
}

/// A panic may print any of these values.
#[test]
fn no_debug_output_contains_the_key() {
    let connector = Connector::new("shop", KEY.into());
    let rate_limiters = Arc::clone(&connector.rate_limiters);
    let printed = format!("{connector:?} {connector:#?}");
    let client = connector.client(Url::parse("https://example.com/v1").unwrap(), Plain).unwrap();
    let printed = format!("{printed} {client:?} {client:#?} {rate_limiters:?}");
    assert!(printed.contains("shop") && !printed.contains(KEY), "{printed}");
}
