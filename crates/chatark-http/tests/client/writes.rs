//! Calls with a body are repeated only if that is safe, whatever their method.

use bytes::Bytes;
use chatark_core::{Error, ErrorKind};
use chatark_http::Call;
use httpmock::{HttpMockRequest, MockServer};
use serde_json::{Value, json};

use crate::support::{Server, client, cut, response, things, vendor};

fn creating() -> Call {
    things().create(Bytes::from_static(b"{\"a\":1}"))
}

async fn create(base: &str) -> Result<Value, Error> {
    client(base).json(&creating()).await
}

/// One vendor's framework ignores bodies of any other content type, `application/json; charset=utf-8` included.
#[tokio::test]
async fn a_body_is_sent_as_plain_json() {
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
    assert_eq!(create(&server.url("/v1")).await.unwrap(), json!({"method": "POST"}));
    let replacing = things().replace(Bytes::from_static(b"{\"a\":1}"));
    let replaced: Value = client(&server.url("/v1")).json(&replacing).await.unwrap();
    assert_eq!(replaced, json!({"method": "PATCH"}));
}

#[tokio::test]
async fn a_replacing_call_is_repeated() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(502, &[], ""), response(200, &[], "{}")]);
    let replacing = things().replace(Bytes::from_static(b"{}"));
    let replaced: Value = client(&server.url("/v1")).json(&replacing).await.unwrap();
    assert_eq!(replaced, json!({}));
    mock.assert_calls_async(2).await;
}

#[tokio::test]
async fn a_creating_call_is_repeated_after_a_rate_limit() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(429, &[("retry-after", "0")], ""), response(200, &[], "{}")]);
    assert_eq!(create(&server.url("/v1")).await.unwrap(), json!({}));
    mock.assert_calls_async(2).await;
}

#[tokio::test]
async fn a_rejected_or_unsent_call_is_not_ambiguous() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(400, &[], "")]);
    let error = create(&server.url("/v1")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Refused, false));
    mock.assert_calls_async(1).await;
    let unsent = create("http://127.0.0.1:1/v1").await.unwrap_err();
    assert_eq!((unsent.kind(), unsent.is_ambiguous()), (ErrorKind::Network, false));
}

#[tokio::test]
async fn a_creating_call_is_not_repeated_if_it_may_have_had_its_effect() {
    for (status, body) in [(500, ""), (502, ""), (503, ""), (408, ""), (200, "<html>"), (200, "{")] {
        let server = MockServer::start_async().await;
        let mock = vendor(&server, vec![response(status, &[], body)]);
        let error = create(&server.url("/v1")).await.unwrap_err();
        assert!(error.is_ambiguous(), "{status} {body}: {error}");
        mock.assert_calls_async(1).await;
    }
    let server = Server::start(vec![cut(b"{\"a\":1}", 3)]).await;
    let error = create(&server.base).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous(), server.calls()), (ErrorKind::Network, true, 1));
}
