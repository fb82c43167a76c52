//! Bodies that are cut off, slow, compressed, huge or invalid.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatark_core::{Error, ErrorKind};
use chatark_http::{ApiClient, ArrayEvent, HttpEvent, Policy, SizeLimits};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::support::{Server, Step, client, client_with, cut, head, policy, things, whole};

const BODY: &[u8] = br#"{"next":"c2","data":[{"id":1},{"id":2},{"id":3}],"total":3}"#;
/// The offset in the middle of the second element.
const MIDDLE: usize = 34;

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Json,
    Page,
    Elements,
}

const READERS: [Reader; 3] = [Reader::Json, Reader::Page, Reader::Elements];

/// Reads the array under `data`, without the elements that came before a restart.
async fn read(client: &ApiClient, reader: Reader) -> Result<(Vec<Value>, usize), Error> {
    let call = things();
    let parse = |element: &Bytes| serde_json::from_slice::<Value>(element).unwrap();
    match reader {
        Reader::Json => {
            let document: Value = client.json(&call).await?;
            Ok((document["data"].as_array().unwrap().clone(), 0))
        }
        Reader::Page => {
            let page = client.page(&call, "data").await?;
            Ok((page.elements.iter().map(parse).collect(), 0))
        }
        Reader::Elements => {
            let mut elements = client.array(call, "data");
            let (mut found, mut restarts) = (Vec::new(), 0);
            loop {
                match elements.next().await? {
                    ArrayEvent::Element(element) => found.push(parse(&element)),
                    ArrayEvent::Restarted => {
                        found.clear();
                        restarts += 1;
                    }
                    ArrayEvent::End => return Ok((found, restarts)),
                }
            }
        }
    }
}

/// Serves the scripts and expects all of [`BODY`] in the end, after one request for each script.
async fn check(scripts: Vec<Vec<Step>>, reader: Reader) {
    let (calls, server) = (scripts.len(), Server::start(scripts).await);
    let (found, restarts) = read(&client(&server.base), reader).await.unwrap();
    assert_eq!(found, [json!({"id": 1}), json!({"id": 2}), json!({"id": 3})], "{reader:?}");
    assert_eq!(restarts, if reader == Reader::Elements { calls - 1 } else { 0 }, "{reader:?}");
    assert_eq!(server.calls(), calls, "{reader:?}");
}

/// Serves one script forever and expects an error after so many requests.
async fn check_error(
    script: Vec<Step>,
    reader: Reader,
    policy: Policy,
    kind: ErrorKind,
    calls: usize,
) -> Error {
    let server = Server::start(vec![script]).await;
    let error = read(&client_with(&server.base, policy).0, reader).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{reader:?}: {error}");
    assert_eq!(server.calls(), calls, "{reader:?}: {error}");
    error
}

fn gzip(body: &[u8]) -> Vec<Step> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    let packed = encoder.finish().unwrap();
    vec![Step::Send([head(packed.len(), "content-encoding: gzip\r\n"), packed].concat())]
}

fn limited(element: usize, envelope: usize) -> Policy {
    Policy { size_limits: SizeLimits { element, envelope }, ..policy() }
}

#[tokio::test]
async fn a_cut_body_is_requested_again() {
    for reader in READERS {
        check(vec![whole(BODY)], reader).await;
        check(vec![cut(BODY, MIDDLE), whole(BODY)], reader).await;
        check(vec![cut(BODY, 0), cut(BODY, BODY.len() - 1), whole(BODY)], reader).await;
    }
}

#[tokio::test]
async fn incomplete_json_is_requested_again() {
    for reader in READERS {
        check(vec![whole(&BODY[..MIDDLE]), whole(b""), whole(BODY)], reader).await;
    }
}

#[tokio::test]
async fn a_body_that_is_always_cut_is_a_network_error() {
    for reader in READERS {
        let error = check_error(cut(BODY, MIDDLE), reader, policy(), ErrorKind::Network, 3).await;
        assert!(error.facts().contains(&("attempts", "3".to_owned())), "{error}");
        assert!(error.hint_text().unwrap().contains("run the same command again"), "{error}");
        let error = check_error(whole(&BODY[..MIDDLE]), reader, policy(), ErrorKind::Network, 3).await;
        assert!(error.facts().contains(&("attempts", "3".to_owned())), "{error}");
    }
}

#[tokio::test]
async fn all_elements_follow_again_after_a_restart() {
    let server = Server::start(vec![cut(BODY, MIDDLE), whole(BODY)]).await;
    let client = client(&server.base);
    let mut elements = client.array(things(), "data");
    let mut events = Vec::new();
    loop {
        let event = elements.next().await.unwrap();
        let is_end = matches!(event, ArrayEvent::End);
        events.push(match event {
            ArrayEvent::Element(element) => String::from_utf8(element.to_vec()).unwrap(),
            other => format!("{other:?}"),
        });
        if is_end {
            break;
        }
    }
    let expect = [r#"{"id":1}"#, "Restarted", r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, "End"];
    assert_eq!(events, expect);
    let envelope: Value = elements.envelope().unwrap();
    assert_eq!(envelope, json!({"next": "c2", "data": [], "total": 3}));
}

#[tokio::test]
async fn a_stalled_response_fails_after_the_time_limit() {
    let brief = Policy { timeout: Duration::from_millis(200), max_attempts: 2, ..policy() };
    let begun = [head(BODY.len(), "").as_slice(), &BODY[..MIDDLE]].concat();
    let pause = Duration::from_millis(50);
    for reader in READERS {
        for script in [
            vec![Step::Hang],
            vec![Step::Send(begun.clone()), Step::Hang],
            vec![Step::Send(head(BODY.len(), "")), Step::Drip(BODY.to_vec(), pause), Step::Hang],
        ] {
            let server = Server::start(vec![script]).await;
            let error = read(&client_with(&server.base, brief).0, reader).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Network, "{reader:?}: {error}");
            assert!(error.facts().contains(&("attempts", "2".to_owned())), "{reader:?}: {error}");
        }
    }
}

#[tokio::test]
async fn an_error_whose_body_never_arrives_is_reported_by_its_status() {
    let brief = Policy { timeout: Duration::from_secs(1), ..policy() };
    let head = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\n{".to_vec();
    let server = Server::start(vec![vec![Step::Send(head), Step::Hang]]).await;
    let error = read(&client_with(&server.base, brief).0, Reader::Json).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.message(), "the vendor answered 403 Forbidden");
}

#[tokio::test]
async fn an_unreachable_vendor_is_a_network_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1/people/jane", listener.local_addr().unwrap());
    drop(listener);
    let error = read(&client(&base), Reader::Json).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.message().starts_with("cannot connect"), "{error}");
    assert!(!error.to_string().contains("jane"), "{error}");
}

#[tokio::test]
async fn a_web_page_with_status_200_is_requested_again() {
    for reader in READERS {
        for page in [&b"<!doctype html><html></html>"[..], b"\n <html>"] {
            let attempts = policy().max_attempts as usize;
            let error = check_error(whole(page), reader, policy(), ErrorKind::Unavailable, attempts).await;
            assert!(error.hint_text().unwrap().contains("`base_url`"), "{error}");
        }
        let error =
            check_error(whole(b"Service unavailable"), reader, policy(), ErrorKind::Malformed, 1).await;
        assert!(error.hint_text().unwrap().contains("`base_url`"), "{error}");
    }
}

#[tokio::test]
async fn an_error_names_the_path_of_a_field_with_another_type() {
    #[derive(Debug, Deserialize)]
    struct Things {
        #[serde(rename = "things")]
        _things: Vec<Thing>,
    }
    #[derive(Debug, Deserialize)]
    struct Thing {
        #[serde(rename = "size")]
        _size: u32,
    }
    let server = Server::start(vec![whole(br#"{"things":[{"size":1},{"size":"of Jane"}]}"#)]).await;
    let error = client(&server.base).json::<Things>(&things()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert_eq!(
        error.to_string(),
        "read the things: a field of the response has a different type than documented, at `things[1].size` (source=shop)"
    );
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn an_error_in_the_envelope_names_the_path_and_the_request_id() {
    #[derive(Debug, Deserialize)]
    struct Envelope {
        #[serde(rename = "pagination")]
        _pagination: Pagination,
    }
    #[derive(Debug, Deserialize)]
    struct Pagination {
        #[serde(rename = "total")]
        _total: u64,
    }
    let body = br#"{"data":[1],"pagination":{"total":"many"}}"#;
    let response = [head(body.len(), "x-request-id: req_7\r\n").as_slice(), body].concat();
    let server = Server::start(vec![vec![Step::Send(response)]]).await;
    let client = client(&server.base);
    let page = client.page(&things(), "data").await.unwrap();
    let error = page.envelope::<Envelope>(&client, &things()).unwrap_err();
    assert!(error.message().ends_with("at `pagination.total`"), "{error}");
    assert!(error.facts().contains(&("request_id", "req_7".to_owned())), "{error}");
}

#[tokio::test]
async fn received_bytes_are_counted_after_decompression() {
    for reader in READERS {
        check(vec![gzip(BODY)], reader).await;
    }
    let server = Server::start(vec![gzip(BODY)]).await;
    let (client, recorder) = client_with(&server.base, policy());
    client.page(&things(), "data").await.unwrap();
    assert_eq!(recorder.events(), [HttpEvent::Received { bytes: BODY.len() }]);
}

#[tokio::test]
async fn size_limits_apply_after_decompression() {
    let bomb = format!(r#"{{"data":["{}"]}}"#, "0".repeat(1 << 20));
    let script = gzip(bomb.as_bytes());
    let Step::Send(sent) = &script[0] else { panic!("a compressed body is sent at once") };
    assert!(sent.len() < 10_000, "{}", sent.len());
    for reader in READERS {
        check_error(script.clone(), reader, limited(100_000, 100_000), ErrorKind::TooLarge, 1).await;
    }
    check_error(
        gzip(format!(r#"{{"note":"{}","data":[]}}"#, "0".repeat(1 << 20)).as_bytes()),
        Reader::Page,
        limited(100_000, 100_000),
        ErrorKind::TooLarge,
        1,
    )
    .await;
}

#[tokio::test]
async fn the_size_limit_applies_to_each_element_and_not_to_the_array() {
    for reader in [Reader::Page, Reader::Elements] {
        let large = br#"{"data":[{"id":1},{"id":123456789}]}"#;
        let error = check_error(whole(large), reader, limited(12, 100), ErrorKind::TooLarge, 1).await;
        assert_eq!(error.message(), "one record is larger than the limit");
        let many = format!(r#"{{"data":[{}{{"id":1}}]}}"#, r#"{"id":1},"#.repeat(499));
        let server = Server::start(vec![whole(many.as_bytes())]).await;
        let (found, _) = read(&client_with(&server.base, limited(12, 100)).0, reader).await.unwrap();
        assert_eq!(found.len(), 500);
    }
}

#[tokio::test]
async fn an_element_is_returned_before_the_rest_has_been_sent() {
    let signal = Arc::new(Notify::new());
    let (first, rest) = BODY.split_at(MIDDLE);
    let script = vec![
        Step::Send([head(BODY.len(), "").as_slice(), first].concat()),
        Step::Await(Arc::clone(&signal)),
        Step::Send(rest.to_vec()),
    ];
    let server = Server::start(vec![script]).await;
    let client = client(&server.base);
    let mut elements = client.array(things(), "data");
    let event = elements.next().await.unwrap();
    assert!(matches!(event, ArrayEvent::Element(element) if element == r#"{"id":1}"#));
    signal.notify_one();
    for _ in 0..2 {
        assert!(matches!(elements.next().await.unwrap(), ArrayEvent::Element(_)));
    }
    assert!(matches!(elements.next().await.unwrap(), ArrayEvent::End));
}

#[tokio::test]
async fn every_element_of_a_huge_array_is_returned_byte_for_byte() {
    const COUNT: usize = 3_000;
    let element = |at: usize| format!(r#"{{"id":{at},"text":"{}\"]}}"}}"#, "größer, ".repeat(1_000));
    let mut body = br#"{"success":true,"data":["#.to_vec();
    let mut expect = Sha256::new();
    for at in 0..COUNT {
        let element = element(at);
        expect.update(&element);
        body.extend_from_slice(if at == 0 { b"" } else { b", " });
        body.extend_from_slice(element.as_bytes());
    }
    body.extend_from_slice(b"]}");
    assert!(body.len() > 30_000_000, "{}", body.len());
    let server = Server::start(vec![whole(&body)]).await;
    let (client, recorder) = client_with(&server.base, limited(20_000, 1_000));
    let mut elements = client.array(things(), "data");
    let (mut count, mut hash) = (0, Sha256::new());
    while let ArrayEvent::Element(element) = elements.next().await.unwrap() {
        count += 1;
        hash.update(&element);
    }
    assert_eq!(count, COUNT);
    assert_eq!(hash.finalize(), expect.finalize());
    assert_eq!(recorder.events(), [HttpEvent::Received { bytes: body.len() }]);
}
