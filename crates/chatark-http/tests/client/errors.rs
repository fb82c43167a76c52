//! Which errors are retried, and what the user reads.

use chatark_core::ErrorKind;
use chatark_http::ApiError;
use httpmock::MockServer;
use serde_json::{Value, json};

use crate::support::{KEY, client, client_with, failure, policy, response, things, vendor};

/// Makes the vendor always respond like this, and checks the line that the user reads.
async fn check(status: u16, headers: &[(&str, &str)], body: Value, expect: &str) {
    let server = MockServer::start_async().await;
    vendor(&server, vec![response(status, headers, body.to_string())]);
    assert_eq!(failure(&client(&server.url("/v1"))).await.to_string(), expect);
}

#[tokio::test]
async fn transient_errors_are_retried() {
    for status in [408, 429, 500, 502, 503, 504, 529] {
        let server = MockServer::start_async().await;
        let mock = vendor(
            &server,
            vec![
                response(status, &[], "busy"),
                response(status, &[], ""),
                response(200, &[], r#"{"size":7}"#),
            ],
        );
        let found: Value = client(&server.url("/v1")).json(&things()).await.unwrap();
        assert_eq!(found, json!({"size": 7}), "{status}");
        assert_eq!(mock.calls_async().await, 3, "{status}");
    }
}

#[tokio::test]
async fn permanent_errors_are_not_retried() {
    for (status, kind) in [
        (400, ErrorKind::Refused),
        (401, ErrorKind::Unauthorized),
        (402, ErrorKind::Forbidden),
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (422, ErrorKind::Refused),
    ] {
        let server = MockServer::start_async().await;
        let mock = vendor(&server, vec![response(status, &[], "")]);
        let error = failure(&client(&server.url("/v1"))).await;
        assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{status}");
        assert!(error.is_permanent() && !error.is_transient(), "{status}");
        assert_eq!(mock.calls_async().await, 1, "{status}");
    }
}

#[tokio::test]
async fn attempts_are_bounded_and_counted_in_the_error() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(500, &[], "")]);
    let error = failure(&client(&server.url("/v1"))).await;
    assert_eq!(
        error.to_string(),
        "read the things: the vendor answered 500 Internal Server Error (source=shop, attempts=3)"
    );
    assert_eq!(error.hint_text(), Some("completed work is saved: run the same command again later"));
    assert_eq!(mock.calls_async().await, 3);
}

#[tokio::test]
async fn message_code_and_request_id_of_the_vendor_are_shown() {
    check(
        403,
        &[("x-request-id", "req_1")],
        json!({"code": "PLAN", "message": "The plan «Hobby» has no API access."}),
        "read the things: the vendor answered 403 Forbidden: The plan «Hobby» has no API access. (source=shop, code=PLAN, request_id=req_1)",
    )
    .await;
    check(418, &[], json!([]), "read the things: the vendor answered 418 I'm a teapot (source=shop)").await;
    check(499, &[], json!({}), "read the things: the vendor answered 499 (source=shop)").await;
}

#[tokio::test]
async fn control_characters_of_the_vendor_are_removed() {
    check(
        400,
        &[],
        json!({"code": "A\u{7}B", "message": "a\u{1b}[31mb\r\nc\td\u{0}e\u{9b}f"}),
        "read the things: the vendor answered 400 Bad Request: a [31mb c d e f (source=shop, code=A B)",
    )
    .await;
}

#[tokio::test]
async fn a_long_message_is_shortened_and_a_huge_error_is_not_read_whole() {
    let server = MockServer::start_async().await;
    let mut mock =
        vendor(&server, vec![response(400, &[], json!({"message": "é".repeat(2_000)}).to_string())]);
    let error = failure(&client(&server.url("/v1"))).await;
    assert!(error.message().ends_with("é…") && error.message().chars().count() < 700, "{error}");
    mock.delete();
    vendor(&server, vec![response(400, &[], json!({"message": "x".repeat(5 << 20)}).to_string())]);
    let error = failure(&client(&server.url("/v1"))).await;
    assert_eq!(error.message(), "the vendor answered 400 Bad Request");
}

#[tokio::test]
async fn the_dialect_overrides_the_status() {
    let server = MockServer::start_async().await;
    let mock = vendor(&server, vec![response(429, &[], r#"{"kind":"quota","message":"used up"}"#)]);
    assert_eq!(failure(&client(&server.url("/v1"))).await.kind(), ErrorKind::Forbidden);
    assert_eq!(mock.calls_async().await, 1);
}

#[tokio::test]
async fn an_error_under_a_success_status_reads_like_any_other() {
    let client = client("http://127.0.0.1:1/v1");
    let text = |text: &str| Some(format!("{text} for {KEY}"));
    let api_error =
        ApiError { code: text("NO"), message: text("not"), hint: text("ask"), ..ApiError::default() };
    let error = client.api_error(&things(), api_error, Some(KEY));
    assert_eq!(
        error.to_string(),
        "read the things: the vendor refused: not for **** (source=shop, code=NO for ****, request_id=****)"
    );
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.hint_text(), Some("ask for ****"));
}

#[tokio::test]
async fn no_error_shows_the_key_even_if_the_vendor_repeats_it() {
    let echo = json!({"code": KEY, "message": format!("the key `{KEY}` is bad; use Bearer {KEY}")});
    for status in [302, 400, 401, 403, 404, 429, 500] {
        let server = MockServer::start_async().await;
        let location = format!("https://{KEY}.example/");
        let headers = [("x-request-id", KEY), ("location", location.as_str())];
        vendor(&server, vec![response(status, &headers, echo.to_string())]);
        let (client, recorder) = client_with(&server.url("/v1"), policy());
        let error = failure(&client).await;
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let hint = error.hint_text().map(str::to_owned);
        let shown = format!("{error}\n{error:?}\n{hint:?}\n{cause:?}\n{client:?}\n{:?}", recorder.events());
        assert!(!shown.contains(KEY), "{shown}");
        assert!(error.to_string().contains("****"), "{error}");
    }
}
