//! The requests to the vendor, and the records from its responses, against a vendor with prepared responses.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use chatark_core::{
    Batch, Checkpoint, ConversationId, Error, ErrorKind, PageMetadata, Provider, ReadRequest, RecordId,
    ResumeToken, Selection, Timestamp, Window,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

/// A vendor that returns one response after the other, and records the requests.
struct Vendor {
    base_url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Reply {
    status: u16,
    body: String,
    /// How many bytes are sent before the connection breaks.
    cut: Option<usize>,
}

impl From<Value> for Reply {
    fn from(body: Value) -> Self {
        Self { status: 200, body: body.to_string(), cut: None }
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply { status, body: json!({"message": message, "code": code}).to_string(), cut: None }
}

impl Vendor {
    fn new<const N: usize>(replies: [Reply; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v3", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut replies = VecDeque::from(replies);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                log.lock().unwrap().push(target(&mut stream));
                let reply =
                    replies.pop_front().unwrap_or_else(|| refusal(418, "TEAPOT", "one call too many"));
                answer(&mut stream, &reply);
            }
        });
        Self { base_url, asked }
    }

    fn provider(&self) -> Box<dyn Provider> {
        support::provider(&self.base_url, "UTC")
    }

    /// Expects paths and queries, without what all exports have in common.
    #[track_caller]
    fn check_asked(&self, expect: &[&str]) {
        let asked = self.asked.lock().unwrap();
        let short = |target: &String| {
            target
                .replace("/v3/agents/agent%201", "")
                .replace("/convos/export?format=json&limit=50", "export")
                .replace("&sort=asc", "")
        };
        assert_eq!(asked.iter().map(short).collect::<Vec<_>>(), expect);
    }
}

fn target(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).unwrap_or_default().to_owned()
}

fn answer(stream: &mut TcpStream, reply: &Reply) {
    let (status, length) = (reply.status, reply.body.len());
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&reply.body.as_bytes()[..reply.cut.unwrap_or(length)]).unwrap();
}

fn conversation(id: impl Into<Value>) -> Value {
    json!({"metadata": {"convo": {"id": id.into()}}, "turns": []})
}

fn one_array(data: &[Value]) -> Reply {
    json!({"success": true, "message": "Conversations exported successfully", "data": data}).into()
}

fn page(data: &[Value], scanned: u64, next: Option<&str>) -> Reply {
    json!({
        "success": true, "mode": "paginated", "hasMore": next.is_some(), "nextCursor": next,
        "scannedConvoCount": scanned, "rateLimit": {"remainingHour": 0}, "data": data,
        "usage": {"billableUsedThisRequest": data.len(), "billableRemainingThisPeriod": 7, "summary": "Used some."},
    })
    .into()
}

fn agent() -> Reply {
    json!({"success": true, "data": {"ID": "agent 1", "title": "Shop", "SECRET_API_KEY": "vg_secret"}}).into()
}

async fn pull(provider: &dyn Provider, request: ReadRequest) -> (Vec<Batch>, Option<Error>) {
    let mut stream = provider.read(request);
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(batch) => batches.push(batch),
            Err(error) => return (batches, Some(error)),
        }
    }
    (batches, None)
}

async fn pull_all(vendor: &Vendor) -> (Vec<Batch>, Option<Error>) {
    pull(vendor.provider().as_ref(), ReadRequest::default()).await
}

async fn pull_selected(vendor: &Vendor, ids: &[&str]) -> (Vec<Batch>, Option<Error>) {
    let selection = Selection::Conversations(ids.iter().map(|id| ConversationId::new(*id)).collect());
    pull(vendor.provider().as_ref(), ReadRequest { selection, ..ReadRequest::default() }).await
}

fn ids(batch: &Batch) -> Vec<&str> {
    batch.records.iter().map(|raw| raw.id.as_ref().map_or("", RecordId::as_str)).collect()
}

fn cursor(batch: &Batch) -> ResumeToken {
    let Checkpoint::At(cursor) = &batch.checkpoint else { panic!("no cursor: {:?}", batch.checkpoint) };
    cursor.clone()
}

#[tokio::test]
async fn the_agent_is_checked_without_touching_the_export() {
    let vendor = Vendor::new([agent()]);
    let info = vendor.provider().check().await.unwrap();
    assert_eq!((info.name.as_deref(), info.confirmed), (Some("Shop"), true));
    assert!(!format!("{info:?}").contains("secret"));
    vendor.check_asked(&[""]);

    let bare = Vendor::new([json!({"name": "Shop", "code": "shop-1"}).into()]);
    assert_eq!(bare.provider().check().await.unwrap().name.as_deref(), Some("Shop"));
    let empty = Vendor::new([json!({"success": true}).into()]);
    assert!(!empty.provider().check().await.unwrap().confirmed);
}

#[tokio::test]
async fn a_check_says_why_it_failed() {
    let vendor = Vendor::new([
        json!({"success": false, "message": "Invalid request input."}).into(),
        json!({"success": false, "message": "no", "code": "NOT_FOUND"}).into(),
        refusal(403, "FORBIDDEN", "API access requires the Business plan or higher (read-only)."),
    ]);
    let provider = vendor.provider();
    let error = provider.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("Invalid request input."), "{error}");
    assert_eq!(provider.check().await.unwrap_err().kind(), ErrorKind::NotFound);
    let error = provider.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.message().contains("Business plan or higher (read-only)."), "{error}");
    assert!(error.hint_text().unwrap().contains("billing"));
}

#[tokio::test]
async fn a_response_of_one_array_is_the_whole_export() {
    let vendor = Vendor::new([one_array(&[conversation("a"), conversation(27), json!({"x": 1})])]);
    let (batches, error) = pull_all(&vendor).await;
    assert!(error.is_none());
    let [batch] = batches.as_slice() else { panic!("not one batch") };
    assert_eq!(ids(batch), ["a", "27", ""]);
    assert_eq!(batch.checkpoint, Checkpoint::End);
    // That nothing is left out is not shown by the absence of paging keys.
    let mut expected = PageMetadata { pages: 1, ..PageMetadata::default() };
    expected.features.set("pages", false);
    assert_eq!(batch.page, expected);
    assert_eq!(batch.records[0].bytes, conversation("a").to_string());
    vendor.check_asked(&["export"]);
}

#[tokio::test]
async fn a_long_array_comes_in_batches() {
    let many: Vec<_> = (0..451).map(conversation).collect();
    let large: Vec<_> = (0..3).map(|id| json!({"metadata": {"ID": id}, "x": "y".repeat(75 << 10)})).collect();
    let vendor = Vendor::new([one_array(&many), one_array(&large)]);
    let provider = vendor.provider();
    for sizes in [vec![200, 200, 51], vec![2, 1]] {
        let (batches, error) = pull(provider.as_ref(), ReadRequest::default()).await;
        assert!(error.is_none());
        assert_eq!(batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), sizes);
        let (last, before) = batches.split_last().unwrap();
        assert_eq!((&last.checkpoint, last.page.pages), (&Checkpoint::End, 1));
        assert!(
            before
                .iter()
                .all(|batch| batch.checkpoint == Checkpoint::None && batch.page == PageMetadata::default())
        );
    }
}

#[tokio::test]
async fn the_window_is_widened_and_a_deployment_that_ignores_it_is_noted() {
    let at = |microseconds| Timestamp::from_microseconds(microseconds).ok();
    let window = Window::new(at(1_733_049_000_500_000), at(1_733_049_100_500_000)).unwrap();
    let request = ReadRequest { window, ..ReadRequest::default() };
    let earlier = json!({"metadata": {"convo": {"id": "a", "ts": 1_733_048_999}}, "turns": []});
    let vendor = Vendor::new([
        one_array(&[earlier]),
        one_array(&[conversation("a")]),
        page(&[conversation("a")], 1, None),
    ]);
    let provider = vendor.provider();
    let (batches, _) = pull(provider.as_ref(), request.clone()).await;
    let note = "this deployment ignores the requested dates; they were applied here";
    assert_eq!(
        (&batches[0].page.notes[..], batches[0].page.covers_everything),
        (&[note.to_owned()][..], true)
    );
    let (batches, _) = pull(provider.as_ref(), request.clone()).await;
    assert_eq!((batches[0].page.notes.len(), batches[0].page.covers_everything), (0, false));
    let (batches, _) = pull(provider.as_ref(), request).await;
    assert_eq!(batches[0].page.notes, ["Used some."]);
    let asked = "export&fromTs=1733049000&toTs=1733049101";
    vendor.check_asked(&[asked, asked, asked]);
}

#[tokio::test]
async fn an_empty_page_does_not_end_the_export() {
    let vendor = Vendor::new([
        page(&[conversation("a")], 20, Some("c+1=")),
        page(&[], 20, Some("c2")),
        page(&[conversation("b")], 7, None),
    ]);
    let (batches, error) = pull_all(&vendor).await;
    assert!(error.is_none());
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [vec!["a"], vec![], vec!["b"]]);
    assert_eq!(batches[2].checkpoint, Checkpoint::End);
    let mut metadata = PageMetadata::default();
    for batch in &batches {
        metadata.add(&batch.page);
    }
    assert_eq!((metadata.pages, metadata.empty_pages, metadata.skipped), (3, 1, 45));
    assert_eq!((metadata.total, metadata.quota_used, metadata.quota_left), (None, Some(2), Some(7)));
    assert_eq!(metadata.notes, ["Used some."]);
    vendor.check_asked(&["export", "export&cursor=c%2B1%3D", "export&cursor=c2"]);

    let vendor = Vendor::new([page(&[conversation("b")], 7, None)]);
    let request = ReadRequest { resume_from: Some(cursor(&batches[1])), ..ReadRequest::default() };
    let (resumed, _) = pull(vendor.provider().as_ref(), request).await;
    assert_eq!(ids(&resumed[0]), ["b"]);
    vendor.check_asked(&["export&cursor=c2"]);
}

#[tokio::test]
async fn a_rejected_cursor_restarts_the_export() {
    let vendor = Vendor::new([
        page(&[conversation("a")], 1, Some("c1")),
        page(&[], 1, None),
        refusal(400, "BAD_REQUEST", "Invalid cursor"),
        page(&[conversation("a")], 1, Some("c1")),
        page(&[conversation("b")], 1, None),
    ]);
    let provider = vendor.provider();
    let (batches, _) = pull(provider.as_ref(), ReadRequest::default()).await;
    let request = ReadRequest { resume_from: Some(cursor(&batches[0])), ..ReadRequest::default() };
    let (batches, error) = pull(provider.as_ref(), request).await;
    assert!(error.is_none());
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [["a"], ["b"]]);
    let note = "the vendor no longer accepts the saved cursor: starting from the oldest";
    assert_eq!(batches[0].page.notes, [note]);
    let resumed = "export&cursor=c1";
    vendor.check_asked(&["export", resumed, resumed, "export", resumed]);
}

#[tokio::test]
async fn an_error_with_status_200_ends_the_pull() {
    let vendor = Vendor::new([
        json!({"success": false, "message": "Export quota used up."}).into(),
        json!({"success": true, "message": "Exported."}).into(),
        json!({"success": true, "message": "Exported."}).into(),
        json!({"success": true, "data": {"metadata": {}}}).into(),
        json!({"success": true, "data": {"metadata": {}}}).into(),
    ]);
    let provider = vendor.provider();
    let (batches, error) = pull(provider.as_ref(), ReadRequest::default()).await;
    let error = error.unwrap();
    assert_eq!((batches.len(), error.kind()), (0, ErrorKind::Refused));
    assert!(error.message().contains("Export quota used up."), "{error}");
    for _ in 0..2 {
        let (batches, error) = pull(provider.as_ref(), ReadRequest::default()).await;
        assert_eq!((batches.len(), error.unwrap().kind()), (0, ErrorKind::Malformed));
    }
}

#[tokio::test]
async fn more_without_a_cursor_is_the_end() {
    let first = || page(&[conversation("a")], 1, Some("c1"));
    let last = |cursor: Value| {
        let mut last = json!({"success": true, "hasMore": true, "data": [conversation("b")]});
        if !cursor.is_boolean() {
            last["nextCursor"] = cursor;
        }
        Reply::from(last)
    };
    for cursor in [json!(null), json!(""), json!(true)] {
        let vendor = Vendor::new([first(), last(cursor)]);
        let (batches, error) = pull_all(&vendor).await;
        assert!(error.is_none());
        assert_eq!((ids(&batches[1]), &batches[1].checkpoint), (vec!["b"], &Checkpoint::End));
        assert!(batches[1].page.notes[0].contains("was taken as the end"), "{:?}", batches[1].page.notes);
        vendor.check_asked(&["export", "export&cursor=c1"]);
    }
}

#[tokio::test]
async fn a_repeated_cursor_is_an_error_that_keeps_the_page() {
    let round = || page(&[conversation("a")], 1, Some("c1"));
    let vendor = Vendor::new([round(), round()]);
    let (batches, error) = pull_all(&vendor).await;
    assert_eq!((batches.len(), &batches[1].checkpoint), (2, &Checkpoint::None));
    assert!(error.unwrap().message().contains("would never end"));
    vendor.check_asked(&["export", "export&cursor=c1"]);
}

#[tokio::test]
async fn a_cursor_is_followed_even_without_has_more() {
    let first = json!({"success": true, "nextCursor": "c1", "data": [conversation("a")]});
    let last = json!({"success": true, "nextCursor": null, "data": [conversation("b")]});
    let vendor = Vendor::new([first.into(), last.into()]);
    let (batches, error) = pull_all(&vendor).await;
    assert!(error.is_none());
    assert_eq!((batches.len(), &batches[1].checkpoint), (2, &Checkpoint::End));
    vendor.check_asked(&["export", "export&cursor=c1"]);
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_again() {
    let many: Vec<_> = (0..301).map(conversation).collect();
    let whole = one_array(&many);
    let cut = Reply { status: 200, cut: Some(whole.body.len() * 9 / 10), body: whole.body.clone() };
    let vendor = Vendor::new([cut, whole]);
    let (batches, error) = pull_all(&vendor).await;
    assert!(error.is_none());
    let sizes: Vec<_> = batches.iter().map(|batch| batch.records.len()).collect();
    assert_eq!(sizes, [200, 200, 101]);
    assert_eq!((ids(&batches[1])[0], ids(&batches[2])[100]), ("0", "300"));
}

#[tokio::test]
async fn after_an_empty_export_the_agent_itself_is_read() {
    let vendor =
        Vendor::new([one_array(&[]), agent(), page(&[], 3, None), refusal(404, "NOT_FOUND", "Not found")]);
    let provider = vendor.provider();
    let (batches, _) = pull(provider.as_ref(), ReadRequest::default()).await;
    assert_eq!(batches[0].checkpoint, Checkpoint::End);
    assert!(batches[0].page.notes[0].starts_with("the agent exists"));
    let (batches, error) = pull(provider.as_ref(), ReadRequest::default()).await;
    assert_eq!((batches.len(), error.unwrap().kind()), (0, ErrorKind::NotFound));
    vendor.check_asked(&["export", "", "export", ""]);
}

#[tokio::test]
async fn conversation_ids_are_sent_in_one_value() {
    let selected = json!({
        "success": true, "mode": "selected", "hasMore": false, "scannedConvoCount": 3,
        "data": [conversation("+1555"), conversation("b")],
    });
    let vendor = Vendor::new([selected.into()]);
    let (batches, error) = pull_selected(&vendor, &["b", "gone", "+1555", "b"]).await;
    assert!(error.is_none());
    assert_eq!((ids(&batches[0]), &batches[0].checkpoint), (vec!["+1555", "b"], &Checkpoint::End));
    assert_eq!(
        batches[0].page.notes,
        [
            "the vendor did not return conversation gone; conversations without a human message are not exported"
        ]
    );
    vendor.check_asked(&["export&convoIds=b%2Cgone%2C%2B1555"]);
    assert!(pull_selected(&vendor, &[]).await.0.is_empty());
}

#[tokio::test]
async fn at_most_fifty_conversations_are_requested_at_once() {
    let names: Vec<_> = (0..60).map(|number| format!("c{number}")).collect();
    let all: Vec<_> = names.iter().map(|name| conversation(name.as_str())).collect();
    let vendor = Vendor::new([page(&all[..50], 50, None), page(&all[50..], 10, None)]);
    let (batches, error) =
        pull_selected(&vendor, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(error.is_none());
    let shape: Vec<_> = batches.iter().map(|batch| (batch.records.len(), &batch.checkpoint)).collect();
    assert_eq!(shape, [(50, &Checkpoint::None), (10, &Checkpoint::End)]);
    assert_eq!(
        (batches[0].page.notes.len(), batches[1].page.notes.as_slice()),
        (0, &["Used some.".to_owned()][..])
    );
}

#[tokio::test]
async fn a_deployment_that_ignores_ids_is_detected() {
    let vendor = Vendor::new([one_array(&[conversation("a"), conversation("b"), json!({})])]);
    let (batches, _) = pull_selected(&vendor, &["b"]).await;
    assert_eq!(ids(&batches[0]), ["b"]);
    assert!(batches[0].page.notes[0].contains("other conversations"));
}

#[tokio::test]
async fn an_id_with_a_comma_gets_a_request_of_its_own() {
    let vendor = Vendor::new([
        page(&[conversation("b")], 1, None),
        json!({"success": true, "data": conversation("a,b")}).into(),
        refusal(404, "NOT_FOUND", "Conversation not found"),
        agent(),
    ]);
    let (batches, error) = pull_selected(&vendor, &["a,b", "b", "c,d"]).await;
    assert!(error.is_none());
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [vec!["b"], vec!["a,b"], vec![]]);
    assert_eq!(batches[1].records[0].bytes, conversation("a,b").to_string());
    assert!(batches[2].page.notes[0].contains("did not return conversation c,d"));
    assert_eq!(batches[2].checkpoint, Checkpoint::End);
    let alone = |id: &str| format!("/convos/{id}/export?format=json");
    vendor.check_asked(&["export&convoIds=b", &alone("a,b"), &alone("c,d"), ""]);

    let vendor = Vendor::new([json!({"success": true}).into(), json!({"success": false}).into()]);
    assert_eq!(pull_selected(&vendor, &["a,b"]).await.1.unwrap().kind(), ErrorKind::Malformed);
    assert_eq!(pull_selected(&vendor, &["a,b"]).await.1.unwrap().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn one_users_conversations_cannot_be_selected() {
    let vendor = Vendor::new([]);
    let request = ReadRequest { selection: Selection::User("u".to_owned()), ..ReadRequest::default() };
    let (batches, error) = pull(vendor.provider().as_ref(), request).await;
    assert_eq!((batches.len(), error.unwrap().kind()), (0, ErrorKind::Usage));
}

#[tokio::test]
async fn nothing_is_requested_before_the_first_poll() {
    let vendor = Vendor::new([page(&[conversation("a")], 1, Some("c1")), page(&[], 1, None)]);
    let provider = vendor.provider();
    let mut stream = provider.read(ReadRequest::default());
    vendor.check_asked(&[]);
    assert!(stream.next().await.is_some());
    drop(stream);
    vendor.check_asked(&["export"]);
}
