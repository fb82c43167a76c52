//! A run spends no more than its budget.

use std::sync::Arc;
use std::time::Duration;

use chatark_core::{Error, ErrorKind};
use chatark_http::{ApiClient, ArrayEvent, Budget, BudgetLimits, Policy, Url};
use httpmock::MockServer;
use serde_json::Value;

use crate::support::{Plain, Server, Step, connector, failure, head, policy, response, things, vendor};

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
fn check_spent(error: &Error, message: &str) {
    assert_eq!((error.kind(), error.message()), (ErrorKind::Budget, message), "{error}");
    assert!(!error.is_transient() && !error.is_permanent());
    assert!(error.hint_text().unwrap().contains("run the same command again"));
    assert!(error.facts().contains(&("source", "shop".to_owned())));
}

#[tokio::test]
async fn every_attempt_counts_as_a_request() {
    let server = MockServer::start_async().await;
    let mock =
        vendor(&server, vec![response(503, &[], ""), response(200, &[], "[1]"), response(503, &[], "")]);
    let (client, budget) = client(&server.url("/v1"), requests(3));
    client.json::<Value>(&things()).await.unwrap();
    // One is left: the next call fails at its second attempt.
    check_spent(&failure(&client).await, "the budget of 3 requests is spent");
    check_spent(&failure(&client).await, "the budget of 3 requests is spent");
    assert_eq!((mock.calls_async().await, budget.requests()), (3, 3));
}

#[tokio::test]
async fn concurrent_requests_share_the_budget() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(200, &[], "[1]")]);
    let (client, _) = client(&server.url("/v1"), requests(20));
    let client = Arc::new(client);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = Arc::clone(&client);
        tasks.spawn(async move { while client.json::<Value>(&things()).await.is_ok() {} });
    }
    tasks.join_all().await;
    assert_eq!(mock.calls_async().await, 20);
}

#[tokio::test]
async fn a_spent_quota_stops_the_next_request() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(200, &[], "[1]")]);
    let quota = BudgetLimits { quota: Some(50), ..BudgetLimits::default() };
    let (client, _) = client(&server.url("/v1"), quota);
    for cost in [49, 30] {
        client.json::<Value>(&things()).await.unwrap();
        client.spend_quota(cost);
    }
    check_spent(&failure(&client).await, "the budget of 50 units of the vendor's quota is spent");
    assert_eq!(mock.calls_async().await, 2);
}

#[tokio::test]
async fn a_wait_beyond_the_budgets_time_fails_at_once() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(429, &[("retry-after", "59")], "")]);
    let (client, _) = client(&server.url("/v1"), time(Duration::from_secs(30)));
    check_spent(&failure(&client).await, "the budget of 30s is spent");
    assert_eq!(mock.calls_async().await, 1);
}

/// The vendor has a minute to respond; the run has only a moment.
#[tokio::test]
async fn requests_in_flight_end_when_the_budgets_time_is_over() {
    const MOMENT: Duration = Duration::from_millis(300);
    assert_eq!(Policy { timeout: MINUTE, ..policy() }, policy());
    let silent = Server::start(vec![vec![Step::Hang]]).await;
    let (silent_client, _) = client(&silent.base, time(MOMENT));
    check_spent(&failure(&silent_client).await, "the budget of 300ms is spent");
    check_spent(&failure(&silent_client).await, "the budget of 300ms is spent");
    assert_eq!(silent.calls(), 1);

    let body = [head(1_000_000, "").as_slice(), br#"{"data":[{"id":1},"#].concat();
    let endless = Server::start(vec![vec![Step::Send(body), Step::Hang]]).await;
    let (reading, _) = client(&endless.base, time(MOMENT));
    let mut elements = reading.array(things(), "data");
    assert!(matches!(elements.next().await.unwrap(), ArrayEvent::Element(_)));
    check_spent(&elements.next().await.unwrap_err(), "the budget of 300ms is spent");
}

#[tokio::test]
async fn a_budget_without_limits_is_never_spent() {
    let server = MockServer::start_async().await;
    vendor(&server, vec![response(200, &[], "[1]")]);
    let (client, budget) = client(&server.url("/v1"), BudgetLimits::default());
    for _ in 0..5 {
        client.json::<Value>(&things()).await.unwrap();
        client.spend_quota(1_000_000);
    }
    assert_eq!(budget.requests(), 5);
}
