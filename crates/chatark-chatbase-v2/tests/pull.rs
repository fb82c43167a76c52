//! The requests to the vendor, and the records from its responses, against a vendor with prepared responses.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatark_chatbase_v2::{connect, mapper};
use chatark_core::{
    AgentInfo, Batch, Channel, Checkpoint, Conversation, ConversationId, Error, ErrorKind, GapBounds,
    HeldRecords, HeldSummary, Issue, PageMetadata, Provider, ReadRequest, Record, RecordId, ResumeToken,
    Selection, Settings, Stream, Surface, Timestamp, Window,
};
use chatark_http::{Connector, Policy};
use futures_util::StreamExt;
use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use serde_json::{Value, json};

/// A vendor that returns one response after the other, and records the requests.
struct Vendor {
    server: MockServer,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Vendor {
    async fn new<const N: usize>(replies: [(u16, Value); N]) -> Self {
        let server = MockServer::start_async().await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, replies) = (Arc::clone(&asked), Mutex::new(VecDeque::from(replies)));
        let answer = move |request: &HttpMockRequest| {
            log.lock().unwrap().push(request.uri().path_and_query().unwrap().to_string());
            let last = (418, json!({"message": "one call too many"}));
            let (status, body) = replies.lock().unwrap().pop_front().unwrap_or(last);
            HttpMockResponse::builder().status(status).body(body.to_string()).build()
        };
        server.mock(|when, then| {
            when.any_request();
            then.respond_with(answer);
        });
        Self { server, asked }
    }

    fn provider(&self) -> Box<dyn Provider> {
        let mut settings = Settings::default();
        settings.set("agent_id", "agent/1");
        settings.set("base_url", self.server.url("/api"));
        let backoff = Duration::from_millis(1);
        let connector = Connector {
            policy: Policy { max_attempts: 2, backoff, max_backoff: backoff, ..Policy::default() },
            ..Connector::new("shop", "sk-key".into())
        };
        connect(&settings, connector).unwrap()
    }

    /// Pulls to the end or to an error.
    async fn pull(&self, request: ReadRequest) -> (Vec<Batch>, Option<Error>) {
        let provider = self.provider();
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

    /// Pulls to the end, which must come without an error.
    async fn pull_whole(&self, request: ReadRequest) -> Vec<Batch> {
        let (batches, error) = self.pull(request).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(batches.last().unwrap().checkpoint, Checkpoint::End);
        batches
    }

    /// Expects paths and queries, without what all of them have in common.
    #[track_caller]
    fn check_asked(&self, expect: &[&str]) {
        assert_eq!(self.asked(), expect);
    }

    /// Returns what was asked for, in short.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let short = |target: &String| {
            target
                .replace("/api/agents/agent%2F1", "agent")
                .replace("agent/conversations/export?limit=20", "export")
                .replace("agent/conversations/export?limit=1&conversationId", "export&conversationId")
                .replace("?limit=100", "")
        };
        asked.iter().map(short).collect()
    }
}

fn whole() -> ReadRequest {
    ReadRequest::default()
}

fn of_user(user: &str) -> ReadRequest {
    ReadRequest { selection: Selection::User(user.to_owned()), ..ReadRequest::default() }
}

fn of(ids: &[&str]) -> ReadRequest {
    let ids = ids.iter().map(|id| ConversationId::new(*id)).collect();
    ReadRequest { selection: Selection::Conversations(ids), ..ReadRequest::default() }
}

/// Returns a request that resumes from a checkpoint.
fn resumed(request: ReadRequest, checkpoint: &Checkpoint) -> ReadRequest {
    let Checkpoint::At(cursor) = checkpoint else { panic!("{checkpoint:?} cannot be resumed") };
    ReadRequest { resume_from: Some(cursor.clone()), ..request }
}

/// A position that an earlier run saved.
fn saved(request: ReadRequest, cursor: &str) -> ReadRequest {
    let sealed = ResumeToken::seal("chatbase-v2", 1, request.scope(), &json!({"cursor": cursor})).unwrap();
    resumed(request, &Checkpoint::At(sealed))
}

/// A page, and whether more follow, by its cursor.
fn page(ids: &[&str], cursor: Option<&str>) -> (u16, Value) {
    page_with(ids, &json!({"cursor": cursor, "hasMore": cursor.is_some(), "total": 4}))
}

fn page_with(ids: &[&str], pagination: &Value) -> (u16, Value) {
    let data: Vec<_> = ids.iter().map(|id| json!({"id": id, "messages": []})).collect();
    (200, json!({"data": data, "pagination": pagination}))
}

fn messages(texts: &[&str], cursor: Option<&str>) -> (u16, Value) {
    let message =
        |text: &&str| json!({"id": text, "role": "user", "parts": [{"type": "text", "text": text}]});
    let data: Vec<_> = texts.iter().map(message).collect();
    (200, json!({"data": data, "pagination": {"cursor": cursor, "hasMore": cursor.is_some()}}))
}

fn refusal(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"error": {"code": code, "message": format!("no: {code}")}}))
}

fn no_scope() -> (u16, Value) {
    refusal(403, "AUTH_INSUFFICIENT_PERMISSIONS")
}

/// Returns the ids of the conversations, whose messages may follow them as records of their own.
fn ids(batch: &Batch) -> Vec<&str> {
    let conversations = batch.records.iter().filter(|raw| raw.stream == Stream::Conversations);
    conversations.map(|raw| raw.id.as_ref().map_or("?", RecordId::as_str)).collect()
}

/// Maps a conversation's own record and its messages, as the archive does.
fn mapped(records: &[Record]) -> (Conversation, Vec<Issue>) {
    let (document, issues) = mapper(&Settings::default()).map(records).unwrap();
    (document.into_conversation().unwrap(), issues)
}

fn all_ids(batches: &[Batch]) -> Vec<&str> {
    batches.iter().flat_map(ids).collect()
}

fn notes(batches: &[Batch]) -> Vec<&str> {
    batches.iter().flat_map(|batch| &batch.page.notes).map(String::as_str).collect()
}

/// Expects a malformed response after batches with these ids, and no end.
#[track_caller]
fn check_malformed(found: &(Vec<Batch>, Option<Error>), expect: &[&str], message: &str) {
    let (batches, error) = found;
    let error = error.as_ref().unwrap();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.message().contains(message), "{error}");
    assert_eq!(all_ids(batches), expect);
    assert!(!batches.iter().any(|batch| batch.checkpoint == Checkpoint::End));
}

#[tokio::test]
async fn the_export_is_read_by_cursor_to_its_end() {
    let vendor = Vendor::new([
        page(&["d", "c"], Some("c/1")),
        page(&[], Some("c2")),
        page(&["b"], Some("c3")),
        page(&["a"], None),
    ])
    .await;
    let batches = vendor.pull_whole(whole()).await;
    vendor.check_asked(&["export", "export&cursor=c%2F1", "export&cursor=c2", "export&cursor=c3"]);
    assert_eq!(all_ids(&batches), ["d", "c", "b", "a"]);
    let metadata =
        |empty_pages| PageMetadata { total: Some(4), pages: 1, empty_pages, ..PageMetadata::default() };
    let found: Vec<_> = batches.iter().map(|batch| batch.page.clone()).collect();
    assert_eq!(found, [metadata(0), metadata(1), metadata(0), metadata(0)]);
    assert!(batches[..3].iter().all(|batch| matches!(batch.checkpoint, Checkpoint::At(_))));
    assert_eq!(&batches[0].records[0].bytes[..], br#"{"id":"d","messages":[]}"#);
    assert_eq!(batches[0].records[0].surface, Surface::Export);
}

#[tokio::test]
async fn every_checkpoint_resumes_after_its_batch() {
    let pages = || [page(&["c"], Some("c1")), page(&["b"], Some("c2")), page(&["a"], None)];
    let batches = Vendor::new(pages()).await.pull_whole(whole()).await;
    for (at, batch) in batches[..2].iter().enumerate() {
        let [_, second, third] = pages();
        let vendor = if at == 0 { Vendor::new([second, third]).await } else { Vendor::new([third]).await };
        let rest = vendor.pull_whole(resumed(whole(), &batch.checkpoint)).await;
        assert_eq!([all_ids(&batches[..=at]), all_ids(&rest)].concat(), ["c", "b", "a"]);
        let expect = ["export&cursor=c1", "export&cursor=c2"];
        vendor.check_asked(&expect[at..]);
    }
}

#[tokio::test]
async fn the_export_ends_when_the_vendor_says_so_or_gives_no_cursor() {
    for end in [
        json!({"cursor": "c1", "hasMore": false}),
        json!({"cursor": null, "hasMore": false}),
        json!({"cursor": null}),
        json!({}),
    ] {
        let vendor = Vendor::new([page_with(&["a"], &end)]).await;
        assert_eq!(all_ids(&vendor.pull_whole(whole()).await), ["a"]);
        vendor.check_asked(&["export"]);
    }
    let vendor = Vendor::new([page_with(&["a"], &json!({"cursor": "c1"})), page(&["b"], None)]).await;
    assert_eq!(all_ids(&vendor.pull_whole(whole()).await), ["a", "b"]);
}

/// The pagination document defines a missing cursor as the end. An empty one would begin the list again.
#[tokio::test]
async fn more_pages_without_a_cursor_are_the_end() {
    for end in [json!({"cursor": null, "hasMore": true}), json!({"cursor": "", "hasMore": true})] {
        let vendor = Vendor::new([page(&["a"], Some("c1")), page_with(&["b"], &end)]).await;
        assert_eq!(all_ids(&vendor.pull_whole(whole()).await), ["a", "b"]);
        vendor.check_asked(&["export", "export&cursor=c1"]);
    }
}

#[tokio::test]
async fn a_repeated_cursor_is_an_error_after_the_last_good_page() {
    let pages = [page(&["a"], Some("c1")), page(&["b"], Some("c2")), page(&["c"], Some("c1"))];
    let vendor = Vendor::new(pages).await;
    check_malformed(&vendor.pull(whole()).await, &["a", "b", "c"], "a cursor that it had given before");
    vendor.check_asked(&["export", "export&cursor=c1", "export&cursor=c2"]);
}

#[tokio::test]
async fn a_response_without_an_array_is_malformed() {
    for body in [json!({}), json!({"data": null}), json!({"conversations": []})] {
        let vendor = Vendor::new([(200, body)]).await;
        check_malformed(&vendor.pull(whole()).await, &[], "no array at `data`");
    }
}

#[tokio::test]
async fn a_cursor_of_another_window_is_not_resumed() {
    let vendor = Vendor::new([page(&["a"], None)]).await;
    let since = Timestamp::from_epoch(1_733_049_000).ok();
    let other = ReadRequest { window: Window { since, until: None }, ..whole() };
    vendor.pull_whole(ReadRequest { resume_from: saved(other, "c1").resume_from, ..whole() }).await;
    vendor.check_asked(&["export"]);
}

#[tokio::test]
async fn a_rejected_saved_cursor_restarts_with_a_note() {
    let refused = || refusal(400, "VALIDATION_INVALID_CURSOR");
    let vendor = Vendor::new([refused(), page(&["b"], Some("c1")), page(&["a"], None)]).await;
    let batches = vendor.pull_whole(saved(whole(), "old")).await;
    vendor.check_asked(&["export&cursor=old", "export", "export&cursor=c1"]);
    assert_eq!(all_ids(&batches), ["b", "a"]);
    assert_eq!(batches.iter().map(|batch| batch.page.restarted).collect::<Vec<_>>(), [true, false]);
    assert_eq!(notes(&batches), ["the vendor no longer accepts the saved cursor: starting from the newest"]);
}

#[tokio::test]
async fn a_refused_cursor_restarts_the_list_once() {
    let refused = || refusal(400, "VALIDATION_INVALID_BODY");
    let vendor = Vendor::new([refused()]).await;
    let (_, error) = vendor.pull(whole()).await;
    assert_eq!(error.unwrap().message(), "the vendor answered 400 Bad Request: no: VALIDATION_INVALID_BODY");
    let vendor = Vendor::new([refused(), refused()]).await;
    assert_eq!(vendor.pull(saved(whole(), "old")).await.1.unwrap().kind(), ErrorKind::Refused);
    vendor.check_asked(&["export&cursor=old", "export"]);
    // A cursor that a vendor has just given may expire as well, while the run waits.
    for status in [400, 404, 410, 422] {
        let refused = || refusal(status, "GONE");
        let pages = [page(&["a"], Some("c1")), refused(), page(&["b"], Some("c2")), refused()];
        let vendor = Vendor::new(pages).await;
        let (batches, error) = vendor.pull(saved(whole(), "old")).await;
        assert_eq!(all_ids(&batches), ["a", "b"]);
        assert!(error.is_some(), "a list that cannot be read restarts once");
        // Then it is the page that is refused: it is asked for otherwise, and nothing begins again.
        let asked = vendor.asked();
        assert_eq!(asked[..4], ["export&cursor=old", "export&cursor=c1", "export", "export&cursor=c2"]);
        assert!(asked.len() > 4 && asked[4..].iter().all(|asked| asked != "export"), "{asked:?}");
    }
}

#[tokio::test]
async fn nothing_is_requested_before_the_first_poll_nor_after_the_stream_is_dropped() {
    let vendor = Vendor::new([page(&["b"], Some("c1")), page(&["a"], None)]).await;
    let provider = vendor.provider();
    for request in [whole(), of_user("u"), of(&["a"])] {
        drop(provider.read(request));
    }
    vendor.check_asked(&[]);
    let mut stream = provider.read(whole());
    assert_eq!(ids(&stream.next().await.unwrap().unwrap()), ["b"]);
    drop(stream);
    vendor.check_asked(&["export"]);
}

#[tokio::test]
async fn the_vendor_is_sent_the_window_and_its_own_words_for_a_channel() {
    let at = |seconds| Timestamp::from_epoch(seconds).ok();
    let vendor = Vendor::new([page(&["a"], None), page(&["a"], None), page(&["a"], None)]).await;
    let window = Window { since: at(1_733_049_000), until: at(1_733_097_600) };
    vendor.pull_whole(ReadRequest { window, ..whole() }).await;
    vendor.pull_whole(ReadRequest { channel: Some(Channel::Zendesk), ..whole() }).await;
    vendor.pull_whole(ReadRequest { channel: Some(Channel::Sms), ..whole() }).await;
    vendor.check_asked(&[
        "agent/conversations/export?startDate=2024-12-01T10%3A29%3A59Z&endDate=2024-12-02T00%3A00%3A01Z&limit=20",
        "agent/conversations/export?source=Zendesk%2CZendesk%20Messaging&limit=20",
        "export",
    ]);
}

#[tokio::test]
async fn an_empty_export_of_an_unknown_agent_is_an_error() {
    let vendor = Vendor::new([page(&[], None), refusal(404, "AGENT_NOT_FOUND")]).await;
    let (batches, error) = vendor.pull(whole()).await;
    let error = error.unwrap();
    assert_eq!((batches.len(), error.kind()), (0, ErrorKind::NotFound));
    assert!(error.hint_text().unwrap().contains("`agent_id`"), "{error}");
    vendor.check_asked(&["export", "agent"]);
}

#[tokio::test]
async fn an_empty_export_says_whether_the_agent_is_known_to_exist() {
    let vendor = Vendor::new([page(&[], None), (200, json!({"name": "Shop"}))]).await;
    let batches = vendor.pull_whole(whole()).await;
    assert_eq!(notes(&batches), ["the agent exists, and the vendor has no conversation that matches"]);
    let vendor = Vendor::new([page(&[], None), no_scope(), page(&[], None)]).await;
    let batches = vendor.pull_whole(whole()).await;
    assert!(notes(&batches)[0].contains("whether the agent exists is not proved"));
    vendor.check_asked(&["export", "agent", "agent/conversations/export?limit=1"]);
    let vendor = Vendor::new([page(&[], Some("c1")), page(&["a"], None)]).await;
    assert_eq!(notes(&vendor.pull_whole(whole()).await), [""; 0]);
}

#[tokio::test]
async fn a_check_reads_the_agent() {
    for body in [json!({"name": "Shop"}), json!({"data": {"name": "Shop"}})] {
        let vendor = Vendor::new([(200, body)]).await;
        let AgentInfo { name, confirmed, .. } = vendor.provider().check().await.unwrap();
        assert_eq!((name.as_deref(), confirmed), (Some("Shop"), true));
        vendor.check_asked(&["agent"]);
    }
}

#[tokio::test]
async fn a_check_falls_back_to_the_export_if_the_key_may_not_read_agents() {
    for code in ["AUTH_INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED"] {
        let vendor = Vendor::new([refusal(403, code), page(&["a"], Some("c1"))]).await;
        let info = vendor.provider().check().await.unwrap();
        assert_eq!((info.name, info.confirmed), (None, false));
        vendor.check_asked(&["agent", "agent/conversations/export?limit=1"]);
    }
    let vendor = Vendor::new([no_scope(), no_scope()]).await;
    let error = vendor.provider().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.hint_text().unwrap().contains("`chatlogs:export`"), "{error}");
    for (status, code, kind) in [
        (401, "AUTH_INVALID_API_KEY", ErrorKind::Unauthorized),
        (403, "SUBSCRIPTION_API_RESTRICTED_PLAN", ErrorKind::Forbidden),
        (404, "AGENT_NOT_FOUND", ErrorKind::NotFound),
    ] {
        let vendor = Vendor::new([refusal(status, code)]).await;
        assert_eq!(vendor.provider().check().await.unwrap_err().kind(), kind);
        vendor.check_asked(&["agent"]);
    }
}

#[tokio::test]
async fn a_users_conversations_have_their_messages_from_oldest_to_newest() {
    let vendor = Vendor::new([
        page(&["a", "b"], Some("u1")),
        messages(&["m5"], Some("p1")),
        messages(&["m3", "m4"], Some("p2")),
        messages(&["m1", "m2"], None),
        messages(&[], None),
        page(&["c"], None),
        messages(&["m6"], None),
    ])
    .await;
    let batches = vendor.pull_whole(of_user("+1555/äb%")).await;
    vendor.check_asked(&[
        "agent/users/+1555%2F%C3%A4b%25/conversations",
        "agent/conversations/a/messages",
        "agent/conversations/a/messages&cursor=p1",
        "agent/conversations/a/messages&cursor=p2",
        "agent/conversations/b/messages",
        "agent/users/+1555%2F%C3%A4b%25/conversations&cursor=u1",
        "agent/conversations/c/messages",
    ]);
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [["a"], ["b"], ["c"]]);
    let (own, parts) = batches[0].records.split_first().unwrap();
    assert_eq!((own.stream, own.surface, &own.parent), (Stream::Conversations, Surface::User, &None));
    assert_eq!(own.bytes, r#"{"id":"a","messages":[]}"#);
    let is_message_of_a = |part: &Record| {
        part.stream == Stream::Messages && part.surface == Surface::User && part.parent == own.id
    };
    assert!(parts.iter().all(is_message_of_a), "{parts:?}");
    let ids: Vec<_> = parts.iter().map(|part| part.id.as_ref().unwrap().as_str()).collect();
    assert_eq!(ids, ["m1", "m2", "m3", "m4", "m5"]);
    let sent = r#"{"id":"m1","parts":[{"text":"m1","type":"text"}],"role":"user"}"#;
    assert_eq!(parts[0].bytes, sent, "byte for byte");
    assert_eq!(batches[1].records.len(), 1, "a conversation without messages has no parts");
    let (conversation, issues) = mapped(&batches[0].records);
    let texts: Vec<_> = conversation.messages.iter().map(chatark_core::Message::text).collect();
    assert_eq!((texts, issues), (["m1", "m2", "m3", "m4", "m5"].map(str::to_owned).into(), vec![]));
    assert_eq!(batches.iter().map(|batch| batch.page.pages).sum::<u64>(), 7);
}

#[tokio::test]
async fn a_users_list_resumes_only_after_a_whole_page() {
    let replies = || [page(&["a", "b"], Some("u1")), messages(&["m1"], None), messages(&["m2"], None)];
    let [list, first, second] = replies();
    let vendor = Vendor::new([list, first, second, page(&["c"], None), messages(&["m3"], None)]).await;
    let batches = vendor.pull_whole(of_user("u")).await;
    assert_eq!(batches[0].checkpoint, Checkpoint::None);
    assert_eq!(batches[1].checkpoint, Checkpoint::At(saved(of_user("u"), "u1").resume_from.unwrap()));
    let vendor = Vendor::new([page(&["c"], None), messages(&["m3"], None)]).await;
    let rest = vendor.pull_whole(resumed(of_user("u"), &batches[1].checkpoint)).await;
    assert_eq!(all_ids(&rest), ["c"]);
    vendor.check_asked(&["agent/users/u/conversations&cursor=u1", "agent/conversations/c/messages"]);
    // If messages cannot be read, the page is not complete and leaves no checkpoint.
    let [list, first, _] = replies();
    let vendor = Vendor::new([list, first, refusal(403, "NO")]).await;
    let (batches, error) = vendor.pull(of_user("u")).await;
    assert_eq!((all_ids(&batches), error.unwrap().kind()), (vec!["a"], ErrorKind::Forbidden));
    assert_eq!(batches[0].checkpoint, Checkpoint::None);
}

#[tokio::test]
async fn an_odd_id_and_missing_messages_end_no_user_walk() {
    // `..` cannot be part of a path; `a/b` can, and is refused here; `gone` disappears between two pages of messages.
    let vendor = Vendor::new([
        page(&["a", "..", "a/b", "gone", "+4915112345617", "z"], None),
        messages(&["m1"], None),
        page(&[".."], None),
        refusal(400, "VALIDATION_INVALID_PATH"),
        page(&["a/b"], None),
        messages(&["m3"], Some("p1")),
        refusal(404, "RESOURCE_NOT_FOUND"),
        page(&[], None),
        refusal(404, "RESOURCE_NOT_FOUND"),
        refusal(403, "AUTH_INSUFFICIENT_PERMISSIONS"),
        messages(&["m2"], None),
    ])
    .await;
    let batches = vendor.pull_whole(of_user("u")).await;
    vendor.check_asked(&[
        "agent/users/u/conversations",
        "agent/conversations/a/messages",
        "export&conversationId=..",
        "agent/conversations/a%2Fb/messages",
        "export&conversationId=a%2Fb",
        "agent/conversations/gone/messages",
        "agent/conversations/gone/messages&cursor=p1",
        "export&conversationId=gone",
        "agent/conversations/+4915112345617/messages",
        "export&conversationId=%2B4915112345617",
        "agent/conversations/z/messages",
    ]);
    // What cannot be read in full is left out: its row alone would take the messages from an archived conversation.
    assert_eq!(all_ids(&batches), ["a", "..", "a/b", "z"]);
    let surfaces: Vec<_> =
        batches.iter().filter_map(|batch| batch.records.first()).map(|record| record.surface).collect();
    assert_eq!(surfaces, [Surface::User, Surface::Export, Surface::Export, Surface::User]);
    let notes = notes(&batches);
    assert_eq!(notes.len(), 4, "{notes:?}");
    for (note, id, words) in [
        (&notes[0], "conversation ..", "it was read through the export"),
        (&notes[1], "conversation a/b", "it was read through the export"),
        (&notes[2], "conversation gone", "it is left out"),
        (&notes[3], "conversation +49…17", "it is left out"),
    ] {
        assert!(note.contains(id) && note.contains(words), "{note}");
    }
}

#[tokio::test]
async fn many_conversations_without_messages_are_counted_in_one_note() {
    let ids: Vec<_> = (0..8).map(|at| format!("c{at}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let gone = || [refusal(404, "RESOURCE_NOT_FOUND"), page(&[], None)];
    let replies: [_; 8] = std::array::from_fn(|_| gone());
    let replies: Vec<_> = std::iter::once(page(&ids, None)).chain(replies.into_iter().flatten()).collect();
    let vendor = Vendor::new(<[_; 17]>::try_from(replies).unwrap()).await;
    let batches = vendor.pull_whole(of_user("u")).await;
    let notes = notes(&batches);
    assert_eq!((notes.len(), notes.last().unwrap().contains("3 more conversations")), (6, true), "{notes:?}");
}

#[tokio::test]
async fn a_rejected_saved_cursor_in_a_users_list_restarts_with_a_note() {
    let refused = refusal(400, "VALIDATION_INVALID_CURSOR");
    let vendor = Vendor::new([refused, page(&["a"], None), messages(&["m1"], None)]).await;
    let batches = vendor.pull_whole(saved(of_user("u"), "old")).await;
    vendor.check_asked(&[
        "agent/users/u/conversations&cursor=old",
        "agent/users/u/conversations",
        "agent/conversations/a/messages",
    ]);
    assert_eq!(all_ids(&batches), ["a"]);
    assert_eq!(notes(&batches), ["the vendor no longer accepts the saved cursor: starting from the newest"]);
}

#[tokio::test]
async fn a_user_without_conversations_is_distinguished_from_an_unknown_agent() {
    let vendor = Vendor::new([page(&[], None), (200, json!({"name": "Shop"}))]).await;
    let batches = vendor.pull_whole(of_user("u")).await;
    assert!(notes(&batches)[0].contains("no conversation of this user"));
    let vendor = Vendor::new([page(&[], None), refusal(404, "AGENT_NOT_FOUND")]).await;
    assert_eq!(vendor.pull(of_user("u")).await.1.unwrap().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_listed_conversation_without_an_id_is_kept_without_messages() {
    let odd = (200, json!({"data": [{"title": "odd"}], "pagination": {"cursor": null}}));
    let vendor = Vendor::new([odd]).await;
    let batches = vendor.pull_whole(of_user("u")).await;
    assert_eq!(all_ids(&batches), ["?"]);
    assert_eq!(batches[0].records.len(), 1);
    let (conversation, _) = mapped(&batches[0].records);
    assert_eq!(conversation.title.as_deref(), Some("odd"));
}

#[tokio::test]
async fn single_conversations_are_requested_one_by_one() {
    let vendor = Vendor::new([page(&["a/1"], None), page(&[], None), page(&["c"], None)]).await;
    let batches = vendor.pull_whole(of(&["a/1", "b", "c"])).await;
    let calls = ["a%2F1", "b", "c"].map(|id| format!("export&conversationId={id}"));
    vendor.check_asked(&calls.each_ref().map(String::as_str));
    assert_eq!(all_ids(&batches), ["a/1", "c"]);
    assert_eq!(notes(&batches), ["the vendor has no conversation b"]);
    assert!(batches[..2].iter().all(|batch| batch.checkpoint == Checkpoint::None));
}

#[tokio::test]
async fn a_deployment_that_ignores_the_id_is_refused() {
    let vendor = Vendor::new([page(&["x", "a"], Some("c1"))]).await;
    let (batches, error) = vendor.pull(of(&["a"])).await;
    let error = error.unwrap();
    assert_eq!((batches.len(), error.kind()), (0, ErrorKind::Refused));
    assert!(error.message().contains("ignores `conversationId`"), "{error}");
    vendor.check_asked(&["export&conversationId=a"]);
}

/// An archive that holds conversations in the state in which [`summary_page`] shows them at a time.
#[derive(Debug)]
struct Holding(Vec<(&'static str, i64)>);

impl HeldRecords for Holding {
    fn summaries(&self, ids: &[RecordId]) -> Vec<Option<HeldSummary>> {
        let held = |id: &RecordId| {
            let (_, updated_at) = self.0.iter().find(|(held, _)| *held == id.as_str())?;
            let updated_at = Timestamp::from_epoch(*updated_at).ok();
            let (title, status_raw) = (Some("Title".to_owned()), Some("ended".to_owned()));
            Some(HeldSummary { updated_at, title, status_raw, ..HeldSummary::default() })
        };
        ids.iter().map(held).collect()
    }
}

const THEN: i64 = 1_790_000_000;

/// Requests what has changed since these conversations were archived at [`THEN`].
fn changes(held: &[&'static str]) -> ReadRequest {
    let held = held.iter().map(|id| (*id, THEN)).collect();
    ReadRequest { held: Some(Arc::new(Holding(held))), ..whole() }
}

fn shown(id: &str, updated_at: &Value, has_messages: bool) -> Value {
    let mut shown = json!({"id": id, "title": "Title", "status": "ended", "updatedAt": updated_at});
    if has_messages {
        shown["messages"] = json!([]);
    }
    shown
}

fn answer(data: &[Value], cursor: Option<&str>) -> (u16, Value) {
    (200, json!({"data": data, "pagination": {"cursor": cursor, "hasMore": cursor.is_some(), "total": 4}}))
}

/// A page of summaries of conversations with the times of their last change.
fn summary_page(shows: &[(&str, i64)], cursor: Option<&str>) -> (u16, Value) {
    let data: Vec<_> = shows.iter().map(|(id, at)| shown(id, &json!(at), false)).collect();
    answer(&data, cursor)
}

/// A page of whole conversations with the times of their last change.
fn whole_page(shows: &[(&str, i64)], cursor: Option<&str>) -> (u16, Value) {
    let data: Vec<_> = shows.iter().map(|(id, at)| shown(id, &json!(at), true)).collect();
    answer(&data, cursor)
}

/// Returns the ids of the returned and of the unchanged conversations.
fn returned_and_unchanged(batches: &[Batch]) -> (Vec<&str>, Vec<&str>) {
    let returned = batches.iter().flat_map(|batch| &batch.records);
    let unchanged = batches.iter().flat_map(|batch| &batch.unchanged);
    (
        returned.map(|raw| raw.id.as_ref().unwrap().as_str()).collect(),
        unchanged.map(RecordId::as_str).collect(),
    )
}

#[tokio::test]
async fn only_summaries_are_requested_if_nothing_changed() {
    let vendor = Vendor::new([
        summary_page(&[("a", THEN), ("b", THEN)], Some("c2")),
        summary_page(&[("c", THEN), ("d", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c", "d"])).await;
    assert_eq!(returned_and_unchanged(&batches), (vec![], vec!["a", "b", "c", "d"]));
    let newest_change = Timestamp::from_epoch(THEN).ok();
    let metadata = PageMetadata { total: Some(4), pages: 1, newest_change, ..PageMetadata::default() };
    assert_eq!(batches[1].page, metadata);
    vendor.check_asked(&["export&include=summary", "export&include=summary&cursor=c2"]);
}

#[tokio::test]
async fn few_changed_conversations_are_fetched_one_by_one() {
    let later = THEN + 1;
    let vendor = Vendor::new([
        summary_page(&[("a", THEN), ("b", later), ("c", THEN), ("d", THEN)], None),
        whole_page(&[("b", later)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c", "d"])).await;
    assert_eq!(returned_and_unchanged(&batches), (vec!["b"], vec!["a", "c", "d"]));
    assert!(batches[0].records[0].bytes.windows(8).any(|word| word == b"messages"));
    vendor.check_asked(&["export&include=summary", "export&conversationId=b"]);
}

#[tokio::test]
async fn many_changed_conversations_are_fetched_as_a_page_and_the_next_page_is_read_whole() {
    let later = THEN + 1;
    let vendor = Vendor::new([
        summary_page(&[("a", later), ("b", later), ("c", later), ("d", later), ("e", THEN)], Some("c2")),
        // The list moved in the meantime: `d` is on the next page now, and `new` is here.
        whole_page(&[("new", later), ("a", later), ("b", later), ("c", later)], Some("other")),
        whole_page(&[("d", later)], None),
        whole_page(&[("d", later), ("f", THEN), ("g", THEN)], Some("c3")),
        summary_page(&[("h", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c", "d", "e", "f", "g", "h"])).await;
    let returned = vec!["new", "a", "b", "c", "d", "d", "f", "g"];
    assert_eq!(returned_and_unchanged(&batches), (returned, vec!["e", "h"]));
    vendor.check_asked(&[
        "export&include=summary",
        "export",
        "export&conversationId=d",
        "export&cursor=c2",
        "export&include=summary&cursor=c3",
    ]);
}

#[tokio::test]
async fn a_first_pull_costs_one_request_more_than_it_has_pages() {
    let fresh = [("a", THEN), ("b", THEN), ("c", THEN), ("d", THEN)];
    let vendor = Vendor::new([
        summary_page(&fresh, Some("c2")),
        whole_page(&fresh, Some("c2")),
        whole_page(&[("e", THEN), ("f", THEN)], Some("c3")),
        whole_page(&[("g", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&[])).await;
    assert_eq!(returned_and_unchanged(&batches).0, ["a", "b", "c", "d", "e", "f", "g"]);
    vendor.check_asked(&["export&include=summary", "export", "export&cursor=c2", "export&cursor=c3"]);
}

#[tokio::test]
async fn an_older_deployment_that_sends_whole_conversations_is_supported() {
    let later = THEN + 1;
    let vendor = Vendor::new([
        whole_page(&[("a", later), ("b", later), ("c", later), ("d", later)], Some("c2")),
        whole_page(&[("e", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c", "d", "e"])).await;
    assert_eq!(returned_and_unchanged(&batches).0, ["a", "b", "c", "d", "e"]);
    vendor.check_asked(&["export&include=summary", "export&cursor=c2"]);
}

#[tokio::test]
async fn a_change_is_read_with_its_page_if_single_conversations_are_not_available() {
    let later = THEN + 1;
    let vendor = Vendor::new([
        summary_page(&[("a", THEN), ("b", later)], Some("c2")),
        // The parameter is ignored.
        whole_page(&[("a", THEN)], Some("c2")),
        whole_page(&[("a", THEN), ("b", later)], Some("c2")),
        summary_page(&[("c", THEN), ("d", later)], None),
        whole_page(&[("c", THEN), ("d", later)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c", "d"])).await;
    assert!(batches.iter().all(|batch| !batch.page.restarted));
    // What came instead of a single conversation is kept, too.
    assert_eq!(returned_and_unchanged(&batches).0, ["a", "a", "b", "c", "d"]);
    vendor.check_asked(&[
        "export&include=summary",
        "export&conversationId=b",
        "export",
        "export&include=summary&cursor=c2",
        "export&cursor=c2",
    ]);
}

#[tokio::test]
async fn everything_is_read_if_a_change_is_not_on_its_page_either() {
    let later = THEN + 1;
    let vendor = Vendor::new([
        summary_page(&[("a", THEN), ("b", later)], Some("c2")),
        // The parameter is ignored, and `b` has moved.
        whole_page(&[("a", THEN)], Some("c2")),
        whole_page(&[("a", THEN), ("c", THEN)], Some("c2")),
        whole_page(&[("a", THEN), ("b", later)], Some("c2")),
        whole_page(&[("c", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c"])).await;
    assert!(batches[0].page.notes[0].contains("conversationId"));
    assert!(!batches[0].page.restarted, "what was seen before counts");
    assert!(matches!(batches[0].checkpoint, Checkpoint::At(_)), "a later run can resume");
    assert_eq!(returned_and_unchanged(&batches).0, ["a", "a", "c", "a", "b", "c"]);
    vendor.check_asked(&[
        "export&include=summary",
        "export&conversationId=b",
        "export",
        "export",
        "export&cursor=c2",
    ]);
}

/// In a list whose rows change places, nothing else says that it exists.
#[tokio::test]
async fn what_was_listed_before_a_restart_and_does_not_come_is_a_gap() {
    let later = THEN + 1;
    let vendor = Vendor::new([
        summary_page(&[("a", THEN), ("b", later), ("d", later)], Some("c2")),
        whole_page(&[("a", THEN), ("c", THEN)], Some("c2")),
        whole_page(&[("a", THEN)], Some("c2")),
        whole_page(&[("a", THEN), ("d", later)], Some("c2")),
        whole_page(&[("c", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "b", "c", "d"])).await;
    let gaps: Vec<_> = batches.iter().flat_map(|batch| &batch.gaps).map(|gap| gap.bounds.clone()).collect();
    assert_eq!(gaps, [GapBounds::record(RecordId::new("b"))]);
}

/// Ids are not looked for here, so only the cursor of its summary leads past a conversation that fails.
#[tokio::test]
async fn a_conversation_that_fails_is_passed_over_with_the_cursor_of_its_summary() {
    let failure = || refusal(500, "INTERNAL_SERVER_ERROR");
    let mut dead = shown("b", &json!(THEN), false);
    dead["createdAt"] = json!(THEN);
    let vendor = Vendor::new([
        whole_page(&[("a", THEN)], Some("c2")),
        failure(),
        failure(),
        whole_page(&[("a", THEN)], Some("c2")),
        answer(&[dead.clone(), shown("c", &json!(THEN), false)], None),
        refusal(400, "VALIDATION_INVALID_BODY"),
        failure(),
        failure(),
        failure(),
        failure(),
        answer(&[dead], Some("c3")),
        whole_page(&[("c", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(whole()).await;
    let gaps: Vec<_> = batches.iter().flat_map(|batch| &batch.gaps).map(|gap| gap.bounds.clone()).collect();
    let instant = |seconds| Timestamp::from_epoch(seconds).ok();
    let second = GapBounds::window(Window { since: instant(THEN), until: instant(THEN + 1) });
    assert_eq!(gaps, [second]);
    let returned = returned_and_unchanged(&batches).0;
    assert!(returned.contains(&"a") && returned.contains(&"c"), "{returned:?}");
    vendor.check_asked(&[
        "export",
        "export&cursor=c2",
        "export&cursor=c2",
        "agent/conversations/export?limit=1",
        "export&include=summary&cursor=c2",
        "export&conversationId=b",
        "agent/conversations/export?limit=5&cursor=c2",
        "agent/conversations/export?limit=5&cursor=c2",
        "agent/conversations/export?limit=1&cursor=c2",
        "agent/conversations/export?limit=1&cursor=c2",
        "agent/conversations/export?limit=1&include=summary&cursor=c2",
        "agent/conversations/export?limit=1&cursor=c3",
    ]);
}

#[tokio::test]
async fn a_cursor_valid_only_for_summaries_is_used_only_for_them() {
    let later = THEN + 1;
    let changed = [("e", later), ("f", later), ("g", later), ("h", later)];
    let single = |id: &'static str| whole_page(&[(id, later)], None);
    let vendor = Vendor::new([
        summary_page(&[("a", THEN)], Some("c2")),
        summary_page(&changed, Some("c3")),
        refusal(400, "VALIDATION_INVALID_BODY"),
        single("e"),
        single("f"),
        single("g"),
        single("h"),
        summary_page(&[("i", later)], None),
        single("i"),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["a", "e", "f", "g", "h", "i"])).await;
    assert_eq!(returned_and_unchanged(&batches), (vec!["e", "f", "g", "h", "i"], vec!["a"]));
    vendor.check_asked(&[
        "export&include=summary",
        "export&include=summary&cursor=c2",
        "export&cursor=c2",
        "export&conversationId=e",
        "export&conversationId=f",
        "export&conversationId=g",
        "export&conversationId=h",
        "export&include=summary&cursor=c3",
        "export&conversationId=i",
    ]);
}

/// The first page has no cursor, so it can be read whole. Its next cursor is then rejected for whole pages.
#[tokio::test]
async fn a_cursor_rejected_for_whole_pages_is_used_for_summaries() {
    let fresh = [("a", THEN), ("b", THEN), ("c", THEN), ("d", THEN)];
    let vendor = Vendor::new([
        summary_page(&fresh, Some("c2")),
        whole_page(&fresh, Some("w2")),
        refusal(400, "VALIDATION_INVALID_BODY"),
        summary_page(&[("e", THEN)], None),
        whole_page(&[("e", THEN)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&[])).await;
    assert_eq!(returned_and_unchanged(&batches).0, ["a", "b", "c", "d", "e"]);
    vendor.check_asked(&[
        "export&include=summary",
        "export",
        "export&cursor=c2",
        "export&include=summary&cursor=c2",
        "export&conversationId=e",
    ]);
}

#[tokio::test]
async fn a_summary_that_differs_or_cannot_be_compared_counts_as_changed() {
    let mut title = shown("title", &json!(THEN), false);
    title["title"] = json!("Another one");
    let mut status = shown("status", &json!(THEN), false);
    status["status"] = json!("taken_over");
    for (odd, is_changed) in [
        (title, true),
        (status, true),
        (shown("earlier", &json!(THEN - 1), false), true),
        (shown("undated", &Value::Null, false), true),
        (shown("unreadable", &json!("soon"), false), true),
        (shown("milliseconds", &json!(THEN * 1_000), false), false),
        (shown("iso", &json!("2026-09-21T14:13:20Z"), false), false),
    ] {
        let id = odd["id"].as_str().unwrap().to_owned();
        let held: &'static str = id.clone().leak();
        let single = whole_page(&[(held, THEN)], None);
        let vendor = Vendor::new([answer(&[odd], None), single]).await;
        let batches = vendor.pull_whole(changes(&[held])).await;
        let expect = if is_changed { (vec![held], vec![]) } else { (vec![], vec![held]) };
        assert_eq!(returned_and_unchanged(&batches), expect);
    }
}

#[tokio::test]
async fn a_conversation_deleted_before_it_is_fetched_is_only_noted() {
    let vendor =
        Vendor::new([summary_page(&[("a", THEN + 1), ("b", THEN)], None), whole_page(&[], None)]).await;
    let batches = vendor.pull_whole(changes(&["a", "b"])).await;
    assert_eq!(returned_and_unchanged(&batches), (vec![], vec!["b"]));
    assert!(batches[0].page.notes[0].contains("no conversation a"), "{:?}", batches[0].page.notes);
}

/// A record without an id cannot be fetched by id, so the whole page is fetched.
#[tokio::test]
async fn a_summary_without_an_id_is_fetched_with_its_page() {
    let whole_one = json!({"messages": [], "title": "nameless"});
    let vendor = Vendor::new([
        answer(&[json!({"title": "nameless"}), shown("b", &json!(THEN), false)], None),
        answer(&[whole_one.clone(), shown("b", &json!(THEN), true)], None),
    ])
    .await;
    let batches = vendor.pull_whole(changes(&["b"])).await;
    let nameless = &batches[0].records[0];
    assert_eq!((nameless.id.as_ref(), &nameless.bytes[..]), (None, whole_one.to_string().as_bytes()));
}

#[tokio::test]
async fn a_sweep_resumes_with_the_kind_of_page_that_its_cursor_is_for() {
    let vendor = Vendor::new([summary_page(&[("a", THEN)], Some("c2"))]).await;
    let first = vendor.pull(changes(&["a", "b"])).await.0.remove(0);
    let vendor = Vendor::new([summary_page(&[("b", THEN)], None)]).await;
    let again = vendor.pull_whole(resumed(changes(&["a", "b"]), &first.checkpoint)).await;
    assert_eq!(returned_and_unchanged(&again), (vec![], vec!["b"]));
    vendor.check_asked(&["export&include=summary&cursor=c2"]);
    // A cursor that an earlier version saved was given with a whole page.
    let vendor = Vendor::new([whole_page(&[("b", THEN)], None)]).await;
    vendor.pull_whole(saved(changes(&["a", "b"]), "c2")).await;
    vendor.check_asked(&["export&cursor=c2"]);
    // A full read cannot use a cursor that is only valid for summaries.
    let vendor =
        Vendor::new([refusal(400, "VALIDATION_INVALID_BODY"), whole_page(&[("a", THEN), ("b", THEN)], None)])
            .await;
    let everything = ReadRequest { held: None, ..resumed(changes(&[]), &first.checkpoint) };
    let batches = vendor.pull_whole(everything).await;
    assert!(batches[0].page.restarted);
    vendor.check_asked(&["export&cursor=c2", "export"]);
}
