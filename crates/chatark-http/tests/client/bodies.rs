//! Bodies that are cut, withheld, compressed, huge, or not what they should be.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatark_core::{Error, ErrorKind};
use chatark_http::{ApiClient, Event, HttpEvent, Limits, Policy};
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
enum Way {
    Json,
    Page,
    Elements,
}

const WAYS: [Way; 3] = [Way::Json, Way::Page, Way::Elements];

/// Reads the array under `data`; elements that came before a restart are dropped.
async fn read(client: &ApiClient, way: Way) -> Result<(Vec<Value>, usize), Error> {
    let call = things();
    let parse = |element: &Bytes| serde_json::from_slice::<Value>(element).unwrap();
    match way {
        Way::Json => {
            let document: Value = client.json(&call).await?;
            Ok((document["data"].as_array().unwrap().clone(), 0))
        }
        Way::Page => {
            let page = client.page(&call, "data").await?;
            Ok((page.elements.iter().map(parse).collect(), 0))
        }
        Way::Elements => {
            let mut elements = client.elements(&call, "data");
            let (mut found, mut restarts) = (Vec::new(), 0);
            loop {
                match elements.next().await? {
                    Event::Element(element) => found.push(parse(&element)),
                    Event::Restarted => {
                        found.clear();
                        restarts += 1;
                    }
                    Event::End => return Ok((found, restarts)),
                }
            }
        }
    }
}

/// Serves the scripts and expects the whole of [`BODY`] in the end, after so many calls.
async fn check(scripts: Vec<Vec<Step>>, way: Way) {
    let (calls, server) = (scripts.len(), Server::start(scripts).await);
    let (found, restarts) = read(&client(&server.base), way).await.unwrap();
    assert_eq!(found, [json!({"id": 1}), json!({"id": 2}), json!({"id": 3})], "{way:?}");
    assert_eq!(restarts, if way == Way::Elements { calls - 1 } else { 0 }, "{way:?}");
    assert_eq!(server.calls(), calls, "{way:?}");
}

/// Serves one script without end and expects an error after so many calls.
async fn check_error(script: Vec<Step>, way: Way, policy: Policy, kind: ErrorKind, calls: usize) -> Error {
    let server = Server::start(vec![script]).await;
    let error = read(&client_with(&server.base, policy).0, way).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{way:?}: {error}");
    assert_eq!(server.calls(), calls, "{way:?}: {error}");
    error
}

fn gzip(body: &[u8]) -> Vec<Step> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    let packed = encoder.finish().unwrap();
    vec![Step::Send([head(packed.len(), "content-encoding: gzip\r\n"), packed].concat())]
}

fn limited(element: usize, envelope: usize) -> Policy {
    Policy { limits: Limits { element, envelope }, ..policy() }
}

#[tokio::test]
async fn a_cut_body_is_asked_for_again() {
    for way in WAYS {
        check(vec![whole(BODY)], way).await;
        check(vec![cut(BODY, MIDDLE), whole(BODY)], way).await;
        check(vec![cut(BODY, 0), cut(BODY, BODY.len() - 1), whole(BODY)], way).await;
    }
}

#[tokio::test]
async fn json_that_ends_in_the_middle_is_asked_for_again() {
    for way in WAYS {
        check(vec![whole(&BODY[..MIDDLE]), whole(b""), whole(BODY)], way).await;
    }
}

#[tokio::test]
async fn a_body_that_is_always_cut_ends_as_a_network_error() {
    for way in WAYS {
        let error = check_error(cut(BODY, MIDDLE), way, policy(), ErrorKind::Network, 3).await;
        assert!(error.facts().contains(&("attempts", "3".to_owned())), "{error}");
        assert!(error.next_step().unwrap().contains("run the same command again"), "{error}");
        let error = check_error(whole(&BODY[..MIDDLE]), way, policy(), ErrorKind::Network, 3).await;
        assert!(error.facts().contains(&("attempts", "3".to_owned())), "{error}");
    }
}

#[tokio::test]
async fn elements_after_a_restart_come_all_over_again() {
    let server = Server::start(vec![cut(BODY, MIDDLE), whole(BODY)]).await;
    let (client, call) = (client(&server.base), things());
    let mut elements = client.elements(&call, "data");
    let mut events = Vec::new();
    loop {
        let event = elements.next().await.unwrap();
        let is_end = matches!(event, Event::End);
        events.push(match event {
            Event::Element(element) => String::from_utf8(element.to_vec()).unwrap(),
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
async fn a_vendor_that_stalls_is_given_up_after_the_time_limit() {
    let brief = Policy { timeout: Duration::from_millis(200), attempts: 2, ..policy() };
    let begun = [head(BODY.len(), "").as_slice(), &BODY[..MIDDLE]].concat();
    let pause = Duration::from_millis(50);
    for way in WAYS {
        for script in [
            vec![Step::Hang],
            vec![Step::Send(begun.clone()), Step::Hang],
            vec![Step::Send(head(BODY.len(), "")), Step::Drip(BODY.to_vec(), pause), Step::Hang],
        ] {
            let server = Server::start(vec![script]).await;
            let error = read(&client_with(&server.base, brief).0, way).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Network, "{way:?}: {error}");
            assert!(error.facts().contains(&("attempts", "2".to_owned())), "{way:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_refusal_whose_body_never_comes_is_told_by_its_status() {
    let brief = Policy { timeout: Duration::from_secs(1), ..policy() };
    let head = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\n{".to_vec();
    let server = Server::start(vec![vec![Step::Send(head), Step::Hang]]).await;
    let error = read(&client_with(&server.base, brief).0, Way::Json).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.message(), "the vendor answered 403 Forbidden");
}

#[tokio::test]
async fn a_vendor_that_is_not_there_is_a_network_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1/people/jane", listener.local_addr().unwrap());
    drop(listener);
    let error = read(&client(&base), Way::Json).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.message().starts_with("cannot connect"), "{error}");
    assert!(!error.to_string().contains("jane"), "{error}");
}

#[tokio::test]
async fn a_web_page_under_200_is_no_answer_and_is_not_asked_for_again() {
    for way in WAYS {
        for page in [&b"<!doctype html><html></html>"[..], b"\n <html>", b"Service unavailable"] {
            let error = check_error(whole(page), way, policy(), ErrorKind::Malformed, 1).await;
            assert!(error.next_step().unwrap().contains("`base_url`"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_field_of_another_type_is_named_by_its_path() {
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
        "read the things: a field of the answer has another type than documented, at `things[1].size` (source=shop)"
    );
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn what_surrounds_an_array_is_read_with_its_path_and_request_id() {
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
    let answer = [head(body.len(), "x-request-id: req_7\r\n").as_slice(), body].concat();
    let server = Server::start(vec![vec![Step::Send(answer)]]).await;
    let client = client(&server.base);
    let page = client.page(&things(), "data").await.unwrap();
    let error = page.envelope::<Envelope>(&client, &things()).unwrap_err();
    assert!(error.message().ends_with("at `pagination.total`"), "{error}");
    assert!(error.facts().contains(&("request_id", "req_7".to_owned())), "{error}");
}

#[tokio::test]
async fn a_compressed_body_is_unpacked_and_counted_unpacked() {
    for way in WAYS {
        check(vec![gzip(BODY)], way).await;
    }
    let server = Server::start(vec![gzip(BODY)]).await;
    let (client, watcher) = client_with(&server.base, policy());
    client.page(&things(), "data").await.unwrap();
    assert_eq!(watcher.notices(), [HttpEvent::Answered { bytes: BODY.len() }]);
}

#[tokio::test]
async fn a_limit_counts_the_bytes_after_unpacking() {
    let bomb = format!(r#"{{"data":["{}"]}}"#, "0".repeat(1 << 20));
    let script = gzip(bomb.as_bytes());
    let Step::Send(sent) = &script[0] else { panic!("a compressed body is sent at once") };
    assert!(sent.len() < 10_000, "{}", sent.len());
    for way in WAYS {
        check_error(script.clone(), way, limited(100_000, 100_000), ErrorKind::TooLarge, 1).await;
    }
    check_error(
        gzip(format!(r#"{{"note":"{}","data":[]}}"#, "0".repeat(1 << 20)).as_bytes()),
        Way::Page,
        limited(100_000, 100_000),
        ErrorKind::TooLarge,
        1,
    )
    .await;
}

#[tokio::test]
async fn an_element_over_the_limit_is_refused_and_many_under_it_are_not() {
    for way in [Way::Page, Way::Elements] {
        let large = br#"{"data":[{"id":1},{"id":123456789}]}"#;
        let error = check_error(whole(large), way, limited(12, 100), ErrorKind::TooLarge, 1).await;
        assert_eq!(error.message(), "one conversation is larger than the limit");
        let many = format!(r#"{{"data":[{}{{"id":1}}]}}"#, r#"{"id":1},"#.repeat(499));
        let server = Server::start(vec![whole(many.as_bytes())]).await;
        let (found, _) = read(&client_with(&server.base, limited(12, 100)).0, way).await.unwrap();
        assert_eq!(found.len(), 500);
    }
}

#[tokio::test]
async fn an_element_is_handed_over_before_the_rest_has_been_sent() {
    let gate = Arc::new(Notify::new());
    let (first, rest) = BODY.split_at(MIDDLE);
    let script = vec![
        Step::Send([head(BODY.len(), "").as_slice(), first].concat()),
        Step::Await(Arc::clone(&gate)),
        Step::Send(rest.to_vec()),
    ];
    let server = Server::start(vec![script]).await;
    let (client, call) = (client(&server.base), things());
    let mut elements = client.elements(&call, "data");
    let event = elements.next().await.unwrap();
    assert!(matches!(event, Event::Element(element) if element == r#"{"id":1}"#));
    gate.notify_one();
    for _ in 0..2 {
        assert!(matches!(elements.next().await.unwrap(), Event::Element(_)));
    }
    assert!(matches!(elements.next().await.unwrap(), Event::End));
}

#[tokio::test]
async fn a_huge_array_yields_every_element_byte_for_byte() {
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
    let (client, watcher) = client_with(&server.base, limited(20_000, 1_000));
    let call = things();
    let mut elements = client.elements(&call, "data");
    let (mut count, mut hash) = (0, Sha256::new());
    while let Event::Element(element) = elements.next().await.unwrap() {
        count += 1;
        hash.update(&element);
    }
    assert_eq!(count, COUNT);
    assert_eq!(hash.finalize(), expect.finalize());
    assert_eq!(watcher.notices(), [HttpEvent::Answered { bytes: body.len() }]);
}
