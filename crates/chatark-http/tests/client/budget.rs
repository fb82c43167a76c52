//! A run spends what it may and no more.

use std::sync::Arc;
use std::time::Duration;

use chatark_core::{Error, ErrorKind};
use chatark_http::{ApiClient, Budget, BudgetLimits, Event, Policy, Url};
use httpmock::MockServer;
use serde_json::Value;

use crate::support::{Plain, Server, Step, answer, connector, head, policy, refused, things, vendor};

const MINUTE: Duration = Duration::from_mins(1);

fn client(base: &str, limits: BudgetLimits) -> (ApiClient, Arc<Budget>) {
    let (mut connector, _) = connector(policy());
    connector.budget = Arc::new(Budget::new(limits));
    let budget = Arc::clone(&connector.budget);
    (connector.client(Url::parse(base).unwrap(), Plain).unwrap(), budget)
}

fn requests(most: u64) -> BudgetLimits {
    BudgetLimits { requests: Some(most), ..BudgetLimits::default() }
}

fn time(duration: Duration) -> BudgetLimits {
    BudgetLimits { duration: Some(duration), ..BudgetLimits::default() }
}

#[track_caller]
fn is_spent(error: &Error, message: &str) {
    assert_eq!((error.kind(), error.message()), (ErrorKind::Budget, message), "{error}");
    assert!(!error.is_transient() && !error.is_permanent());
    assert!(error.next_step().unwrap().contains("run the same command again"));
    assert!(error.facts().contains(&("source", "shop".to_owned())));
}

#[tokio::test]
async fn every_attempt_is_a_request() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(503, &[], ""), answer(200, &[], "[1]"), answer(503, &[], "")]);
    let (client, budget) = client(&server.url("/v1"), requests(3));
    client.json::<Value>(&things()).await.unwrap();
    // One is left: the next call fails at its second attempt.
    is_spent(&refused(&client).await, "the budget of 3 requests is spent");
    is_spent(&refused(&client).await, "the budget of 3 requests is spent");
    assert_eq!((mock.calls_async().await, budget.requests()), (3, 3));
}

#[tokio::test]
async fn what_many_ask_for_at_once_is_no_more() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(200, &[], "[1]")]);
    let (client, _) = client(&server.url("/v1"), requests(20));
    let client = Arc::new(client);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = Arc::clone(&client);
        asking.spawn(async move { while client.json::<Value>(&things()).await.is_ok() {} });
    }
    asking.join_all().await;
    assert_eq!(mock.calls_async().await, 20);
}

#[tokio::test]
async fn a_quota_ends_the_run_before_the_next_request() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(200, &[], "[1]")]);
    let quota = BudgetLimits { quota: Some(50), ..BudgetLimits::default() };
    let (client, _) = client(&server.url("/v1"), quota);
    for cost in [49, 30] {
        client.json::<Value>(&things()).await.unwrap();
        client.spend_quota(cost);
    }
    is_spent(&refused(&client).await, "the budget of 50 units of the vendor's quota is spent");
    assert_eq!(mock.calls_async().await, 2);
}

#[tokio::test]
async fn no_wait_goes_past_the_end() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(429, &[("retry-after", "59")], "")]);
    let (client, _) = client(&server.url("/v1"), time(Duration::from_secs(30)));
    is_spent(&refused(&client).await, "the budget of 30s is spent");
    assert_eq!(mock.calls_async().await, 1);
}

/// The vendor has a minute to answer, and the run a moment.
#[tokio::test]
async fn what_is_in_flight_at_the_end_is_cut() {
    const MOMENT: Duration = Duration::from_millis(300);
    assert_eq!(Policy { timeout: MINUTE, ..policy() }, policy());
    let silent = Server::start(vec![vec![Step::Hang]]).await;
    let (asking, _) = client(&silent.base, time(MOMENT));
    is_spent(&refused(&asking).await, "the budget of 300ms is spent");
    is_spent(&refused(&asking).await, "the budget of 300ms is spent");
    assert_eq!(silent.calls(), 1);

    let body = [head(1_000_000, "").as_slice(), br#"{"data":[{"id":1},"#].concat();
    let endless = Server::start(vec![vec![Step::Send(body), Step::Hang]]).await;
    let (reading, _) = client(&endless.base, time(MOMENT));
    let call = things();
    let mut elements = reading.elements(&call, "data");
    assert!(matches!(elements.next().await.unwrap(), Event::Element(_)));
    is_spent(&elements.next().await.unwrap_err(), "the budget of 300ms is spent");
}

#[tokio::test]
async fn without_limits_nothing_ends() {
    let server = MockServer::start_async().await;
    vendor(&server, vec![answer(200, &[], "[1]")]);
    let (client, budget) = client(&server.url("/v1"), BudgetLimits::default());
    for _ in 0..5 {
        client.json::<Value>(&things()).await.unwrap();
        client.spend_quota(1_000_000);
    }
    assert_eq!(budget.requests(), 5);
}
