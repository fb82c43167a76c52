//! What writes: asked for again only where nothing can have been done.

use bytes::Bytes;
use chatark_core::{Error, ErrorKind};
use chatark_http::Call;
use httpmock::{HttpMockRequest, MockServer};
use serde_json::{Value, json};

use crate::support::{Server, answer, client, cut, things, vendor};

fn adding() -> Call {
    things().adding(Bytes::from_static(b"{\"a\":1}"))
}

async fn add(base: &str) -> Result<Value, Error> {
    client(base).json(&adding()).await
}

/// The vendor's framework reads no body of another content type, `application/json; charset=utf-8` included.
#[tokio::test]
async fn a_body_goes_as_plain_json() {
    let server = MockServer::start_async().await;
    let is_plain = |request: &HttpMockRequest| {
        let types: Vec<_> = request.headers_vec().iter().filter(|(name, _)| name == "content-type").collect();
        types.len() == 1 && types[0].1 == "application/json" && request.body_string() == "{\"a\":1}"
    };
    for method in ["POST", "PATCH"] {
        server.mock(|when, then| {
            when.method(method).path("/v1/things").is_true(is_plain);
            then.status(201).body(format!("{{\"method\":\"{method}\"}}"));
        });
    }
    assert_eq!(add(&server.url("/v1")).await.unwrap(), json!({"method": "POST"}));
    let replacing = things().replacing(Bytes::from_static(b"{\"a\":1}"));
    let replaced: Value = client(&server.url("/v1")).json(&replacing).await.unwrap();
    assert_eq!(replaced, json!({"method": "PATCH"}));
}

#[tokio::test]
async fn what_replaces_is_asked_for_again() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(502, &[], ""), answer(200, &[], "{}")]);
    let replacing = things().replacing(Bytes::from_static(b"{}"));
    let replaced: Value = client(&server.url("/v1")).json(&replacing).await.unwrap();
    assert_eq!(replaced, json!({}));
    mock.assert_calls_async(2).await;
}

#[tokio::test]
async fn what_adds_is_asked_for_again_where_the_vendor_had_no_time_for_it() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(429, &[("retry-after", "0")], ""), answer(200, &[], "{}")]);
    assert_eq!(add(&server.url("/v1")).await.unwrap(), json!({}));
    mock.assert_calls_async(2).await;
}

#[tokio::test]
async fn a_refusal_leaves_no_doubt() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![answer(400, &[], "")]);
    let error = add(&server.url("/v1")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_doubtful()), (ErrorKind::Refused, false));
    mock.assert_calls_async(1).await;
    let nobody = add("http://127.0.0.1:1/v1").await.unwrap_err();
    assert_eq!((nobody.kind(), nobody.is_doubtful()), (ErrorKind::Network, false));
}

#[tokio::test]
async fn what_adds_is_not_asked_for_again_where_it_may_have_been_done() {
    for (status, body) in [(500, ""), (502, ""), (503, ""), (408, ""), (200, "<html>"), (200, "{")] {
        let server = MockServer::start_async().await;
        let mock = vendor(&server, vec![answer(status, &[], body)]);
        let error = add(&server.url("/v1")).await.unwrap_err();
        assert!(error.is_doubtful(), "{status} {body}: {error}");
        mock.assert_calls_async(1).await;
    }
    let server = Server::start(vec![cut(b"{\"a\":1}", 3)]).await;
    let error = add(&server.base).await.unwrap_err();
    assert_eq!((error.kind(), error.is_doubtful(), server.calls()), (ErrorKind::Network, true, 1));
}
