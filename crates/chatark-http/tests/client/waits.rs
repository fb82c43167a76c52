//! How long the client waits, and when it rather stops.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chatark_core::ErrorKind;
use chatark_http::{HttpEvent, Policy, Url};
use httpmock::MockServer;
use serde_json::Value;

use crate::support::{KEY, Plain, answer, client_with, connector, policy, refused, things, vendor};

const HOUR: u64 = 3_600;

/// Has the vendor ask for a wait of about an hour and expects the run to stop at once and say so.
async fn check(status: u16, headers: &[(&str, &str)]) {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(status, headers, "")]);
    let (client, watcher) = client_with(&server.url("/v1"), policy());
    let error = refused(&client).await;
    let kind = if status == 429 { ErrorKind::RateLimited } else { ErrorKind::Unavailable };
    assert_eq!(error.kind(), kind, "{error}");
    let (_, wait) = error.facts().iter().find(|(name, _)| *name == "wait").unwrap();
    let seconds: u64 = wait.strip_suffix(" s").unwrap().parse().unwrap();
    assert!((HOUR - 600..=HOUR).contains(&seconds), "{error}");
    let hint = error.next_step().unwrap();
    assert!(hint.starts_with(&format!("the vendor asks to wait {seconds} s")), "{hint}");
    assert_eq!(mock.calls_async().await, 1);
    assert_eq!(watcher.waits(), [""; 0]);
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(HOUR)
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[tokio::test]
async fn a_longer_wait_than_allowed_ends_the_run_at_once() {
    check(429, &[("retry-after", "3600")]).await;
    check(503, &[("retry-after", "3600")]).await;
    check(429, &[("retry-after", &httpdate::fmt_http_date(in_an_hour()))]).await;
}

#[tokio::test]
async fn without_retry_after_the_reset_of_the_rate_limit_counts() {
    let reset = "x-ratelimit-reset";
    check(429, &[(reset, "3600")]).await;
    check(429, &[(reset, &epoch(in_an_hour()).as_secs().to_string())]).await;
    check(429, &[(reset, &epoch(in_an_hour()).as_millis().to_string())]).await;
    check(429, &[(reset, "1"), ("retry-after", "3600")]).await;
}

#[tokio::test]
async fn the_watcher_sees_the_wait_and_the_answer() {
    let server = MockServer::start_async().await;
    let soon = [("retry-after", "0")];
    let mock = vendor(&server, vec![answer(429, &soon, ""), answer(503, &[], ""), answer(200, &[], "[1]")]);
    let (client, watcher) = client_with(&server.url("/v1"), policy());
    client.json::<Value>(&things()).await.unwrap();
    assert_eq!(mock.calls_async().await, 3);
    let expect = ["the vendor answered 429 Too Many Requests", "the vendor answered 503 Service Unavailable"];
    assert_eq!(watcher.waits(), expect);
    let notices = watcher.notices();
    assert_eq!(notices.last(), Some(&HttpEvent::Answered { bytes: 3 }));
    for notice in notices {
        if let HttpEvent::Waiting { wait, .. } = notice {
            assert!(wait <= Duration::from_millis(2), "{wait:?}");
        }
    }
}

/// The vendor's last allowed request closes the gate for everybody who uses the same key.
#[tokio::test]
async fn a_used_up_rate_limit_holds_back_every_client_of_the_key() {
    let server = MockServer::start_async().await;
    let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3600")];
    let mock = vendor(&server, vec![answer(200, &headers, "{}")]);
    let patient = Policy { longest_wait: Duration::from_secs(HOUR), ..policy() };
    let base = Url::parse(&server.url("/v1")).unwrap();
    let (first, _) = connector(patient);
    let (mut second, watcher) = connector(patient);
    let (mut stranger, _) = connector(patient);
    second.gates = Arc::clone(&first.gates);
    stranger.gates = Arc::clone(&first.gates);
    stranger.key = format!("{KEY}-2").into();
    first.client(base.clone(), Plain).unwrap().json::<Value>(&things()).await.unwrap();
    let second = second.client(base.clone(), Plain).unwrap();
    let call = things();
    let held_back = tokio::time::timeout(Duration::from_millis(20), second.json::<Value>(&call)).await;
    assert!(held_back.is_err());
    assert_eq!(watcher.waits(), ["the rate limit is used up"]);
    assert_eq!(mock.calls_async().await, 1);
    stranger.client(base, Plain).unwrap().json::<Value>(&things()).await.unwrap();
    assert_eq!(mock.calls_async().await, 2);
}
