//! How long the client waits, and when it gives up instead.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chatark_core::ErrorKind;
use chatark_http::{HttpEvent, Policy, Url};
use httpmock::MockServer;
use serde_json::Value;

use crate::support::{KEY, Plain, client_with, connector, failure, policy, response, things, vendor};

const HOUR: u64 = 3_600;

/// Makes the vendor ask for a wait of about an hour, and expects an error at once that says so.
async fn check(status: u16, headers: &[(&str, &str)]) {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(status, headers, "")]);
    let (client, recorder) = client_with(&server.url("/v1"), policy());
    let error = failure(&client).await;
    let kind = if status == 429 { ErrorKind::RateLimited } else { ErrorKind::Unavailable };
    assert_eq!(error.kind(), kind, "{error}");
    let (_, wait) = error.facts().iter().find(|(name, _)| *name == "wait").unwrap();
    let seconds: u64 = wait.strip_suffix(" s").unwrap().parse().unwrap();
    assert!((HOUR - 600..=HOUR).contains(&seconds), "{error}");
    let hint = error.hint_text().unwrap();
    assert!(hint.starts_with(&format!("the vendor asks to wait {seconds} s")), "{hint}");
    assert_eq!(mock.calls_async().await, 1);
    assert_eq!(recorder.waits(), [""; 0]);
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(HOUR)
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[tokio::test]
async fn a_longer_wait_than_allowed_fails_at_once() {
    check(429, &[("retry-after", "3600")]).await;
    check(503, &[("retry-after", "3600")]).await;
    check(429, &[("retry-after", &httpdate::fmt_http_date(in_an_hour()))]).await;
}

#[tokio::test]
async fn without_retry_after_the_client_waits_for_the_reset() {
    let reset = "x-ratelimit-reset";
    check(429, &[(reset, "3600")]).await;
    check(429, &[(reset, &epoch(in_an_hour()).as_secs().to_string())]).await;
    check(429, &[(reset, &epoch(in_an_hour()).as_millis().to_string())]).await;
    check(429, &[(reset, "1"), ("retry-after", "3600")]).await;
}

#[tokio::test]
async fn the_observer_sees_waits_and_responses() {
    let server = MockServer::start_async().await;
    let soon = [("retry-after", "0")];
    let mock =
        vendor(&server, vec![response(429, &soon, ""), response(503, &[], ""), response(200, &[], "[1]")]);
    let (client, recorder) = client_with(&server.url("/v1"), policy());
    client.json::<Value>(&things()).await.unwrap();
    assert_eq!(mock.calls_async().await, 3);
    let expect = ["the vendor answered 429 Too Many Requests", "the vendor answered 503 Service Unavailable"];
    assert_eq!(recorder.waits(), expect);
    let events = recorder.events();
    assert_eq!(events.last(), Some(&HttpEvent::Received { bytes: 3 }));
    for event in events {
        if let HttpEvent::Waiting { wait, .. } = event {
            assert!(wait <= Duration::from_millis(2), "{wait:?}");
        }
    }
}

/// After the last allowed request, all clients with the same key wait.
#[tokio::test]
async fn a_used_up_rate_limit_holds_back_all_clients_of_the_key() {
    let server = MockServer::start_async().await;
    let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3600")];
    let mock = vendor(&server, vec![response(200, &headers, "{}")]);
    let patient = Policy { max_wait: Duration::from_secs(HOUR), ..policy() };
    let base = Url::parse(&server.url("/v1")).unwrap();
    let (first, _) = connector(patient);
    let (mut second, recorder) = connector(patient);
    let (mut other, _) = connector(patient);
    second.rate_limiters = Arc::clone(&first.rate_limiters);
    other.rate_limiters = Arc::clone(&first.rate_limiters);
    other.key = format!("{KEY}-2").into();
    first.client(base.clone(), Plain).unwrap().json::<Value>(&things()).await.unwrap();
    let second = second.client(base.clone(), Plain).unwrap();
    let call = things();
    let held_back = tokio::time::timeout(Duration::from_millis(20), second.json::<Value>(&call)).await;
    assert!(held_back.is_err());
    assert_eq!(recorder.waits(), ["the rate limit is used up"]);
    assert_eq!(mock.calls_async().await, 1);
    other.client(base, Plain).unwrap().json::<Value>(&things()).await.unwrap();
    assert_eq!(mock.calls_async().await, 2);
}
