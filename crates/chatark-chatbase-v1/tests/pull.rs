//! The requests to the vendor, and the records from its responses, against a vendor with prepared responses.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatark_chatbase_v1::{connect, mapper};
use chatark_core::{
    Batch, Channel, Checkpoint, ConversationId, Error, ErrorKind, Provider, ReadRequest, Record, RecordId,
    ResumeToken, Selection, Settings, Stream, Timestamp, Window,
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

    /// Reads the people of all lists, and what each list failed with.
    async fn people(&self) -> (Vec<Batch>, Vec<Error>) {
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for list in LISTS {
            let (batches, error) = self.pull(of_list(list)).await;
            if error.is_none() {
                assert_eq!(batches.last().unwrap().checkpoint, Checkpoint::End, "{list:?}");
            }
            all.extend(batches);
            errors.extend(error);
        }
        (all, errors)
    }

    /// Expects requests below the base.
    #[track_caller]
    fn check_paths(&self, expect: &[&str]) {
        let asked = self.asked.lock().unwrap();
        assert_eq!(asked.iter().map(|path| path.replace("/api/", "")).collect::<Vec<_>>(), expect);
    }

    /// Expects these conversations, in this order, and the end.
    async fn check(&self, request: ReadRequest, expect: &[&str]) -> Vec<Batch> {
        let (batches, error) = self.pull(request).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(all_ids(&batches), expect);
        assert_eq!(batches.last().unwrap().checkpoint, Checkpoint::End);
        batches
    }

    /// Expects queries, without what all of them have in common.
    #[track_caller]
    fn check_asked(&self, expect: &[&str]) {
        let asked = self.asked.lock().unwrap();
        let short = |target: &String| {
            target.replace("/api/get-conversations?chatbotId=agent%2F1&", "").replace("size=100&", "")
        };
        assert_eq!(asked.iter().map(short).collect::<Vec<_>>(), expect);
    }
}

/// The vendor's lists of people.
const LISTS: [Stream; 2] = [Stream::Contacts, Stream::Leads];

fn whole() -> ReadRequest {
    ReadRequest::default()
}

fn of_list(stream: Stream) -> ReadRequest {
    ReadRequest { stream, ..whole() }
}

/// A request for all conversations that resumes an earlier run at this page.
fn saved(next_page: u64) -> ReadRequest {
    saved_of(Stream::Conversations, next_page)
}

/// A request for all of a stream that resumes an earlier run at this page.
fn saved_of(stream: Stream, next_page: u64) -> ReadRequest {
    let request = of_list(stream);
    let cursor = ResumeToken::seal("chatbase-v1", 1, request.scope(), &json!({"page": next_page})).unwrap();
    ReadRequest { resume_from: Some(cursor), ..request }
}

/// A page with as many conversations as are asked for.
fn full_page() -> (u16, Value) {
    let ids: Vec<_> = (1..=100).map(|id| id.to_string()).collect();
    page(&ids.iter().map(String::as_str).collect::<Vec<_>>())
}

fn page(ids: &[&str]) -> (u16, Value) {
    let data: Vec<_> = ids.iter().map(|id| json!({"id": id, "messages": []})).collect();
    (200, json!({"data": data}))
}

fn all_ids(batches: &[Batch]) -> Vec<&str> {
    let all = batches.iter().flat_map(|batch| &batch.records);
    all.map(|raw| raw.id.as_ref().map_or("?", RecordId::as_str)).collect()
}

#[tokio::test]
async fn a_short_page_is_not_the_end_and_an_empty_one_is() {
    let vendor = Vendor::new([page(&["e", "d", "c"]), page(&["b"]), page(&["a"]), page(&[])]).await;
    let batches = vendor.check(whole(), &["e", "d", "c", "b", "a"]).await;
    vendor.check_asked(&["page=1", "page=2", "page=3", "page=4"]);
    let places: Vec<_> = batches.iter().map(|batch| batch.checkpoint.clone()).collect();
    let expect = [2, 3, 4].map(|next| Checkpoint::At(saved(next).resume_from.unwrap()));
    assert_eq!(places[..3], expect);
    assert!(batches.iter().all(|batch| batch.page.pages == 1 && batch.page.notes.is_empty()));
    assert_eq!(&batches[1].records[0].bytes[..], br#"{"id":"b","messages":[]}"#);
}

#[tokio::test]
async fn rows_that_moved_to_the_next_page_are_returned_once() {
    let vendor = Vendor::new([page(&["d", "c", "b"]), page(&["c", "b", "a"]), page(&[])]).await;
    vendor.check(whole(), &["d", "c", "b", "a"]).await;
}

#[tokio::test]
async fn records_without_an_id_are_never_taken_for_duplicates() {
    let odd = || (200, json!({"data": [{"title": "odd"}, {"id": "a"}]}));
    let vendor =
        Vendor::new([odd(), (200, json!({"data": [{"title": "odd"}, {"id": "b"}]})), page(&[])]).await;
    vendor.check(whole(), &["?", "a", "?", "b"]).await;
}

/// A list that grew by a whole page repeats it once; a page sent twice by mistake must not hide the real one.
#[tokio::test]
async fn a_page_that_was_sent_twice_hides_no_other() {
    let grown = [page(&["b", "a"]), page(&["b", "a"]), page(&["b", "a"]), page(&["9"]), page(&[])];
    Vendor::new(grown).await.check(whole(), &["b", "a", "9"]).await;
    let mistaken = [page(&["d", "c"]), page(&["d", "c"]), page(&["b", "a"]), page(&[])];
    Vendor::new(mistaken).await.check(whole(), &["d", "c", "b", "a"]).await;
}

#[tokio::test]
async fn a_page_repeated_without_end_is_malformed() {
    let vendor = Vendor::new(std::array::from_fn::<_, 10, _>(|_| full_page())).await;
    let (batches, error) = vendor.pull(whole()).await;
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.message().contains("the same page again and again"), "{error}");
    assert!(error.hint_text().unwrap().contains("`page`"), "{error}");
    assert_eq!(all_ids(&batches).len(), 100);
    assert!(vendor.asked.lock().unwrap().len() <= 6);
}

#[tokio::test]
async fn a_resumed_read_begins_one_page_earlier() {
    let vendor = Vendor::new([page(&["c", "b"]), page(&["a"]), page(&[])]).await;
    vendor.check(saved(3), &["c", "b", "a"]).await;
    vendor.check_asked(&["page=2", "page=3", "page=4"]);
    for next in [0, 1, 2] {
        let vendor = Vendor::new([page(&[])]).await;
        let batches = vendor.check(saved(next), &[]).await;
        vendor.check_asked(&["page=1"]);
        assert!(batches[0].page.notes.is_empty(), "conversations were seen before");
    }
}

#[tokio::test]
async fn a_cursor_of_another_window_is_not_resumed() {
    let vendor = Vendor::new([page(&[])]).await;
    let since = Timestamp::from_epoch(1_733_049_000).ok();
    vendor.check(ReadRequest { window: Window { since, until: None }, ..saved(7) }, &[]).await;
    vendor.check_asked(&["startDate=2024-11-29&page=1"]);
}

#[tokio::test]
async fn the_vendor_is_sent_widened_days_and_its_own_word_for_a_channel() {
    let at = |seconds| Timestamp::from_epoch(seconds).ok();
    let vendor = Vendor::new([page(&[]), page(&[]), page(&[]), page(&[])]).await;
    // 2024-12-01T10:30:00Z to 2024-12-02T00:00:00Z, and from 2025-03-04T00:00:00Z.
    let window = Window { since: at(1_733_049_000), until: at(1_733_097_600) };
    vendor.check(ReadRequest { window, ..whole() }, &[]).await;
    let window = Window { since: at(1_741_046_400), until: None };
    vendor.check(ReadRequest { window, ..whole() }, &[]).await;
    vendor.check(ReadRequest { channel: Some(Channel::WhatsApp), ..whole() }, &[]).await;
    vendor.check(ReadRequest { channel: Some(Channel::Sms), ..whole() }, &[]).await;
    vendor.check_asked(&[
        "startDate=2024-11-29&endDate=2024-12-04&page=1",
        "startDate=2025-03-02&page=1",
        "filteredSources=WhatsApp&page=1",
        "page=1",
    ]);
}

#[tokio::test]
async fn nothing_is_requested_before_the_first_poll_nor_after_the_stream_is_dropped() {
    let vendor = Vendor::new([page(&["a"]), page(&[])]).await;
    let provider = vendor.provider();
    drop(provider.read(whole()));
    vendor.check_asked(&[]);
    let mut stream = provider.read(whole());
    assert_eq!(all_ids(&[stream.next().await.unwrap().unwrap()]), ["a"]);
    drop(stream);
    vendor.check_asked(&["page=1"]);
}

#[tokio::test]
async fn an_empty_export_is_noted_as_no_proof_that_the_agent_exists() {
    let vendor = Vendor::new([page(&[])]).await;
    let batches = vendor.check(whole(), &[]).await;
    assert!(batches[0].page.notes[0].contains("the same answer for an unknown agent"));
}

#[tokio::test]
async fn a_check_confirms_only_an_agent_with_conversations() {
    for (ids, confirmed) in [(&["a"][..], true), (&[], false)] {
        let vendor = Vendor::new([page(ids)]).await;
        let info = vendor.provider().check().await.unwrap();
        assert_eq!((info.name, info.confirmed), (None, confirmed));
        vendor.check_asked(&["page=1&size=1"]);
    }
    let vendor = Vendor::new([(401, json!({"message": "Invalid API key"}))]).await;
    let error = vendor.provider().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(error.message(), "the vendor answered 401 Unauthorized: Invalid API key");
}

#[tokio::test]
async fn a_response_without_an_array_is_malformed() {
    for body in [json!({}), json!({"data": null}), json!({"message": "maintenance"})] {
        let vendor = Vendor::new([page(&["a"]), (200, body)]).await;
        let (batches, error) = vendor.pull(whole()).await;
        let error = error.unwrap();
        assert_eq!((all_ids(&batches), error.kind()), (vec!["a"], ErrorKind::Malformed));
        assert!(error.message().contains("no array at `data`"), "{error}");
    }
}

#[tokio::test]
async fn a_selection_of_conversations_is_refused_before_any_request() {
    let vendor = Vendor::new([]).await;
    for selection in
        [Selection::User("u".to_owned()), Selection::Conversations(vec![ConversationId::new("a")])]
    {
        let (batches, error) = vendor.pull(ReadRequest { selection, ..whole() }).await;
        assert_eq!((batches.len(), error.unwrap().kind()), (0, ErrorKind::Usage));
    }
    vendor.check_asked(&[]);
}

/// Eleven conversations: there is one at the positions 1, 2, 4 and 8, none at 16 and 12, and one at 10 and 11.
#[tokio::test]
async fn the_last_conversation_is_found_by_binary_search() {
    let none = page(&[]);
    let [first, second, fourth, eighth, tenth, last] = ["1", "2", "4", "8", "10", "11"].map(|id| page(&[id]));
    let answers = [first, second, fourth, eighth, none.clone(), none, tenth, last];
    let vendor = Vendor::new(answers).await;
    let estimate = vendor.provider().estimate(&whole()).await.unwrap();
    assert_eq!((estimate.conversations, estimate.requests, estimate.requests_sent), (Some(11), Some(2), 8));
    let asked = vendor.asked.lock().unwrap().clone();
    let places: Vec<_> = asked.iter().map(|query| query.rsplit_once("size=1&page=").unwrap().1).collect();
    assert_eq!(places, ["1", "2", "4", "8", "16", "12", "10", "11"]);
}

#[tokio::test]
async fn a_host_that_ignores_the_page_cannot_be_counted() {
    let vendor = Vendor::new([page(&["x"]), page(&["x"]), full_page()]).await;
    let estimate = vendor.provider().estimate(&whole()).await.unwrap();
    assert_eq!((estimate.conversations, estimate.requests, estimate.requests_sent), (None, None, 3));
    assert!(estimate.notes[0].contains("the same page"), "{estimate:?}");
    let empty = Vendor::new([page(&[])]).await;
    assert_eq!(empty.provider().estimate(&whole()).await.unwrap().conversations, Some(0));
}

/// A page of contacts with these ids, of an agent with this total.
fn contacts(ids: &[&str], total: u64) -> (u16, Value) {
    let data: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
    let pages = json!({"page": 1, "per_page": 1000, "total_pages": 1});
    (200, json!({"message": "Success", "data": data, "total": total, "pages": pages}))
}

/// A page of leads in the documented shape.
fn leads(ids: &[u32]) -> (u16, Value) {
    let list: Vec<_> = ids.iter().map(|id| json!({"id": format!("lead_{id}")})).collect();
    (200, json!({"collectedCustomers": list}))
}

/// A page of leads in the shape that a client found.
fn nested_leads(ids: &[u32]) -> (u16, Value) {
    let list: Vec<_> = ids.iter().map(|id| json!({"id": id, "name": null})).collect();
    (200, json!({"collectedCustomers": {"data": list}}))
}

fn record_ids(batches: &[Batch]) -> Vec<String> {
    let named =
        |raw: &Record| format!("{} {}", raw.stream.as_str(), raw.id.as_ref().map_or("?", RecordId::as_str));
    batches.iter().flat_map(|batch| &batch.records).map(named).collect()
}

fn notes(batches: &[Batch]) -> Vec<&String> {
    batches.iter().flat_map(|batch| &batch.page.notes).collect()
}

const FIRST_CONTACTS: &str = "chatbots/agent%2F1/contacts?per_page=1000&page=1";
const SECOND_CONTACTS: &str = "chatbots/agent%2F1/contacts?per_page=1000&page=2";
const FIRST_LEADS: &str = "get-leads?chatbotId=agent%2F1&size=100&page=1";
const SECOND_LEADS: &str = "get-leads?chatbotId=agent%2F1&size=100&page=2";
const THIRD_LEADS: &str = "get-leads?chatbotId=agent%2F1&size=100&page=3";

#[tokio::test]
async fn contacts_are_read_up_to_their_total_and_leads_up_to_an_empty_page() {
    let vendor =
        Vendor::new([contacts(&["a", "b"], 3), contacts(&["c"], 3), leads(&[1, 2]), leads(&[3]), leads(&[])])
            .await;
    let (batches, errors) = vendor.people().await;
    assert!(errors.is_empty(), "{errors:?}");
    let expect = ["contacts a", "contacts b", "contacts c", "leads lead_1", "leads lead_2", "leads lead_3"];
    assert_eq!(record_ids(&batches), expect);
    vendor.check_paths(&[FIRST_CONTACTS, SECOND_CONTACTS, FIRST_LEADS, SECOND_LEADS, THIRD_LEADS]);
    assert!(notes(&batches).is_empty(), "{batches:?}");
    assert_eq!(batches.iter().map(|batch| batch.page.pages).sum::<u64>(), 5);
}

#[tokio::test]
async fn leads_may_be_nested_and_have_numbers_as_ids() {
    let vendor = Vendor::new([contacts(&[], 0), nested_leads(&[4711, 12]), nested_leads(&[])]).await;
    let (batches, errors) = vendor.people().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(record_ids(&batches), ["leads 4711", "leads 12"]);
    vendor.check_paths(&[FIRST_CONTACTS, FIRST_LEADS, SECOND_LEADS]);
}

/// Bytes are passed on unchanged, including spaces and odd records.
#[tokio::test]
async fn people_are_passed_on_byte_for_byte() {
    let server = MockServer::start_async().await;
    let first = r#"{ "id":1.0,  "name":"Z\u00fcrich \ud83d", "new": [ 1 ] }"#;
    let [nested, plain] = [
        format!(r#"{{"collectedCustomers": {{"data": [ {first} , 17 ] }} }}"#),
        format!(r#"{{"message":"Success","data":[ {first} , 17 ],"total":2}}"#),
    ];
    server.mock(|when, then| {
        when.path("/api/get-leads").query_param("page", "1");
        then.status(200).body(&nested);
    });
    server.mock(|when, then| {
        when.path("/api/get-leads").query_param("page", "2");
        then.status(200).body(r#"{"collectedCustomers":{"data":[]}}"#);
    });
    server.mock(|when, then| {
        when.path_matches("/contacts$");
        then.status(200).body(&plain);
    });
    let vendor = Vendor { server, asked: Arc::default() };
    let (batches, errors) = vendor.people().await;
    assert!(errors.is_empty(), "{errors:?}");
    let found: Vec<_> = batches.iter().flat_map(|batch| &batch.records).collect();
    for (pair, list) in found.chunks(2).zip(LISTS) {
        assert_eq!(pair.iter().map(|raw| &raw.bytes[..]).collect::<Vec<_>>(), [first.as_bytes(), b"17"]);
        assert!(pair.iter().all(|raw| raw.stream == list && raw.parent.is_none()));
        assert_eq!(pair[1].id, None);
    }
    assert_eq!(found.len(), 4);
    let mapper = mapper(&Settings::default());
    let (person, issues) = mapper.map(std::slice::from_ref(found[2])).unwrap();
    let person = person.into_contact().unwrap();
    assert_eq!(person.contact.name.as_deref(), Some("Z\u{fc}rich \u{fffd}"));
    assert_eq!(Value::Object(person.extra), json!({"new": [1]}));
    let kinds: Vec<_> = issues.iter().map(|issue| issue.kind.as_str()).collect();
    assert_eq!(kinds, ["broken-text", "unknown-field"]);
    assert!(mapper.map(std::slice::from_ref(found[3])).is_err());
}

#[tokio::test]
async fn a_host_that_ignores_the_page_ends_a_list_with_a_note() {
    let same = || contacts(&["a", "b"], 5);
    let vendor = Vendor::new([same(), same(), leads(&[1]), leads(&[1])]).await;
    let (batches, errors) = vendor.people().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(record_ids(&batches), ["contacts a", "contacts b", "leads lead_1"]);
    vendor.check_paths(&[FIRST_CONTACTS, SECOND_CONTACTS, FIRST_LEADS, SECOND_LEADS]);
    let notes = notes(&batches);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("the same page of contacts"), "{notes:?}");
    assert!(notes[1].contains("the same page of leads"), "{notes:?}");
}

/// Each page has the vendor's total, so that the caller can compare it with what arrived.
#[tokio::test]
async fn contacts_have_the_vendors_total_even_if_fewer_are_listed() {
    let vendor = Vendor::new([contacts(&["a"], 2), contacts(&[], 2), leads(&[])]).await;
    let (batches, errors) = vendor.people().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(record_ids(&batches), ["contacts a"]);
    let totals: Vec<_> = batches.iter().map(|batch| batch.page.total).collect();
    assert_eq!(totals, [Some(2), Some(2), None], "leads have no total");
    assert_eq!(notes(&batches), Vec::<&String>::new(), "the verdict of the run reports it");
}

#[tokio::test]
async fn a_list_resumes_one_page_before_its_saved_position() {
    let pages = || [contacts(&["a", "b"], 5), contacts(&["c", "d"], 5), contacts(&["e"], 5)];
    let whole = Vendor::new(pages()).await.check(of_list(Stream::Contacts), &["a", "b", "c", "d", "e"]).await;
    let places: Vec<_> = whole.iter().map(|batch| batch.checkpoint.clone()).collect();
    let place = |next| Checkpoint::At(saved_of(Stream::Contacts, next).resume_from.unwrap());
    assert_eq!(places, [place(2), place(3), Checkpoint::End]);

    let [_, second, third] = pages();
    let vendor = Vendor::new([second, third, contacts(&[], 5)]).await;
    vendor.check(saved_of(Stream::Contacts, 3), &["c", "d", "e"]).await;
    let third_contacts = SECOND_CONTACTS.replace("&page=2", "&page=3");
    let fourth_contacts = SECOND_CONTACTS.replace("&page=2", "&page=4");
    // A resumed read does not know how many people came before, so it continues to an empty page.
    vendor.check_paths(&[SECOND_CONTACTS, &third_contacts, &fourth_contacts]);

    let vendor = Vendor::new([leads(&[3]), leads(&[])]).await;
    vendor.check(saved_of(Stream::Leads, 2), &["lead_3"]).await;
    vendor.check_paths(&[FIRST_LEADS, SECOND_LEADS]);
    let vendor = Vendor::new([leads(&[])]).await;
    let of_contacts = saved_of(Stream::Contacts, 7).resume_from;
    vendor.check(ReadRequest { resume_from: of_contacts, ..of_list(Stream::Leads) }, &[]).await;
    vendor.check_paths(&[FIRST_LEADS]);
}

#[tokio::test]
async fn no_list_is_requested_before_the_first_poll() {
    let vendor = Vendor::new([leads(&[1])]).await;
    let provider = vendor.provider();
    for list in LISTS {
        drop(provider.read(of_list(list)));
    }
    vendor.check_paths(&[]);
}

#[tokio::test]
async fn a_refused_list_does_not_prevent_the_other() {
    let refusal = (403, json!({"message": "Upgrade your plan"}));
    let vendor = Vendor::new([refusal.clone(), leads(&[1]), leads(&[])]).await;
    let (batches, errors) = vendor.people().await;
    assert_eq!(record_ids(&batches), ["leads lead_1"]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].kind(), ErrorKind::Forbidden);
    let line = "get contacts: the vendor answered 403 Forbidden: Upgrade your plan (source=shop)";
    assert_eq!(errors[0].to_string(), line);

    let vendor = Vendor::new([contacts(&["a", "b"], 2), leads(&[1]), refusal]).await;
    let (batches, errors) = vendor.people().await;
    assert_eq!(record_ids(&batches), ["contacts a", "contacts b", "leads lead_1"]);
    assert_eq!((errors.len(), errors[0].kind()), (1, ErrorKind::Forbidden));
}

#[tokio::test]
async fn a_response_without_a_list_of_people_is_malformed_and_not_empty() {
    let odd = |body: Value| (200, body);
    for body in [
        json!({}),
        json!({"message": "maintenance"}),
        json!({"data": null, "collectedCustomers": null}),
        json!({"data": {}, "collectedCustomers": {"data": null}}),
        json!({"data": "x", "collectedCustomers": "x"}),
    ] {
        // Each list is asked for its first page, the next one, and a single row.
        let vendor = Vendor::new(std::array::from_fn::<_, 6, _>(|_| odd(body.clone()))).await;
        let (batches, errors) = vendor.people().await;
        assert!(batches.is_empty(), "{body}: {batches:?}");
        let kinds: Vec<_> = errors.iter().map(Error::kind).collect();
        assert_eq!(kinds, [ErrorKind::Malformed; 2], "{body}: {errors:?}");
    }
}
