//! What is sent to the vendor, and what is never sent.

use chatark_core::ErrorKind;
use chatark_http::{Call, Url};
use httpmock::MockServer;
use serde_json::{Value, json};

use crate::support::{
    KEY, Plain, Server, client, connector, failure, policy, response, things, vendor, whole,
};

/// Sends a call and returns the target of its request line.
async fn check(call: &Call, expect: &str) {
    let server = Server::start(vec![whole(b"{}")]).await;
    client(&server.base).json::<Value>(call).await.unwrap();
    let heads = server.heads();
    assert_eq!(heads[0].lines().next(), Some(format!("GET {expect} HTTP/1.1").as_str()));
}

#[tokio::test]
async fn by_default_the_key_is_sent_as_a_bearer_token_and_nowhere_else() {
    let server = Server::start(vec![whole(b"{}")]).await;
    client(&server.base).json::<Value>(&things()).await.unwrap();
    let head = &server.heads()[0];
    assert!(head.contains(&format!("authorization: Bearer {KEY}\r\n")), "{head}");
    assert_eq!(head.matches(KEY).count(), 1, "{head}");
    assert!(head.contains("user-agent: chatark/"), "{head}");
}

#[tokio::test]
async fn path_segments_and_query_are_percent_encoded() {
    let call = Call::new("read", ["users", "+1555/äb%", "a b?c#d"]);
    check(&call, "/v1/users/+1555%2F%C3%A4b%25/a%20b%3Fc%23d").await;
    let call = things().query("user", "+1555/äb%&x=1").query("page", 2);
    check(&call, "/v1/things?user=%2B1555%2F%C3%A4b%25%26x%3D1&page=2").await;
    check(&things().optional_query("cursor", None::<String>), "/v1/things").await;
    check(&things().optional_query("cursor", Some("c/1")), "/v1/things?cursor=c%2F1").await;
    check(&Call::new("read", ["%2e%2e", "x"]), "/v1/%252e%252e/x").await;
}

#[tokio::test]
async fn a_base_url_may_end_in_a_slash() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(200, &[], "{}")]);
    client(&server.url("/v1/")).json::<Value>(&things()).await.unwrap();
    assert_eq!(mock.calls_async().await, 1);
}

/// The URL parser drops such segments, so the request would go to another path.
#[tokio::test]
async fn an_id_that_would_change_the_path_is_rejected_before_any_request() {
    let server = Server::start(vec![whole(b"{}")]).await;
    for id in ["", ".", "..", "a\tb", "a\nb", "a\rb"] {
        let error = client(&server.base).json::<Value>(&Call::new("read", ["users", id, "x"])).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage, "{id:?}");
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn plain_http_is_only_for_this_machine() {
    for base in ["http://192.0.2.1/v1", "http://example.com/v1", "http://localhost.example.com/v1"] {
        let error = connector(policy()).0.client(Url::parse(base).unwrap(), Plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{base}");
        assert!(error.hint_text().unwrap().contains("https://"), "{error}");
    }
    for base in ["http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://localhost:1/v1", "https://example.com"]
    {
        assert!(connector(policy()).0.client(Url::parse(base).unwrap(), Plain).is_ok(), "{base}");
    }
}

#[tokio::test]
async fn a_base_url_with_a_password_is_refused() {
    for base in
        ["https://ann:s3cret@example.com/v1", "https://s3cret@example.com", "https://:s3cret@example.com"]
    {
        let error = connector(policy()).0.client(Url::parse(base).unwrap(), Plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let shown = format!("{error} {error:?} {}", error.hint_text().unwrap());
        assert!(shown.contains("password") && !shown.contains("s3cret") && !shown.contains("ann"), "{shown}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_their_host_is_named() {
    let (server, target) = (MockServer::start_async().await, MockServer::start_async().await);
    let reached = target.mock(|when, then| {
        when.any_request();
        then.status(200).json_body(json!({}));
    });
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://localhost:{}/v1/things", target.port());
        let mut mock = vendor(&server, vec![response(status, &[("location", &location)], "")]);
        let error = failure(&client(&server.url("/v1"))).await;
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.message().contains("a redirect to localhost, which is not followed"), "{error}");
        assert_eq!(mock.calls_async().await, 1);
        mock.delete();
    }
    assert_eq!(reached.calls_async().await, 0);
}
