//! The server answers as the vendors' documentation and clients describe.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::truth::{Channel, Content, Conversation, Message, Role};
use crate::{
    Agent, Dataset, Deployment, Expected, Fault, FaultKind, Generation, GeneratorSettings, LeadsShape,
    Limits, Person, RateLimitReset, ResetUnit, RetryAfter, Sandbox, Vendor, World, WriteBehaviour,
};

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |held| held.to_str().unwrap())
    }
}

fn key_of(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::ChatbaseV1 | Vendor::ChatbaseV2 => World::CHATBASE_KEY,
        Vendor::ConvocoreV3 => World::CONVOCORE_KEY,
    }
}

async fn send(sandbox: &Sandbox, vendor: Vendor, path: &str, key: Option<&str>) -> Answer {
    try_send(sandbox, vendor, path, key).await.unwrap()
}

async fn try_send(
    sandbox: &Sandbox,
    vendor: Vendor,
    path: &str,
    key: Option<&str>,
) -> reqwest::Result<Answer> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()?;
    let mut request = client.get(format!("{}{path}", sandbox.base_url(vendor)));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let response = request.send().await?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}

async fn get(sandbox: &Sandbox, vendor: Vendor, path: &str) -> Answer {
    send(sandbox, vendor, path, Some(key_of(vendor))).await
}

async fn v2(sandbox: &Sandbox, rest: &str) -> Answer {
    let path = format!("/agents/{}{rest}", World::CHATBASE_V2_AGENT);
    get(sandbox, Vendor::ChatbaseV2, &path).await
}

async fn v3(sandbox: &Sandbox, rest: &str) -> Answer {
    let path = format!("/agents/{}{rest}", World::CONVOCORE_AGENT);
    get(sandbox, Vendor::ConvocoreV3, &path).await
}

async fn v1(sandbox: &Sandbox, rest: &str) -> Answer {
    let path = format!("/get-conversations?chatbotId={}{rest}", World::CHATBASE_V1_AGENT);
    get(sandbox, Vendor::ChatbaseV1, &path).await
}

async fn sample() -> Sandbox {
    Sandbox::start(World::sample()).await.unwrap()
}

async fn with_generated(vendor: Vendor, settings: GeneratorSettings) -> Sandbox {
    let mut world = World::sample();
    for agent in &mut world.agents {
        if agent.vendor == vendor {
            agent.dataset = Dataset::generated(vendor, settings.clone());
        }
    }
    world.limits.chatbase_requests = 1_000_000;
    Sandbox::start(world).await.unwrap()
}

fn ids(data: &Value, pointer: &str) -> Vec<String> {
    let items = data.as_array().unwrap().iter();
    items.map(|item| item.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
}

fn expected_ids(expected: &[Expected]) -> Vec<String> {
    expected.iter().map(|held| held.id.clone()).collect()
}

/// Follows the cursors of Chatbase's second API to the end.
async fn export_v2(sandbox: &Sandbox, query: &str) -> Vec<Value> {
    let mut held = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = v2(sandbox, &format!("/conversations/export?{query}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let page = page.json();
        held.extend(page["data"].as_array().unwrap().clone());
        match page["pagination"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('=', "%3D").replace('+', "%2B")),
            None => return held,
        }
    }
}

#[tokio::test]
async fn a_missing_or_wrong_key_gets_the_vendors_error() {
    let sandbox = sample().await;
    let agents = format!("/agents/{}", World::CHATBASE_V2_AGENT);
    for (vendor, path, key, expected) in [
        (
            Vendor::ChatbaseV1,
            "/get-conversations?chatbotId=x",
            None,
            json!({ "message": "No API key provided." }),
        ),
        (
            Vendor::ChatbaseV2,
            &agents,
            None,
            json!({ "error": { "code": "AUTH_MISSING_API_KEY", "message": "Authentication required" } }),
        ),
        (
            Vendor::ChatbaseV2,
            &agents,
            Some("wrong"),
            json!({ "error": { "code": "AUTH_INVALID_API_KEY", "message": "The API key is not valid" } }),
        ),
        (
            Vendor::ConvocoreV3,
            &agents,
            Some("wrong"),
            json!({ "message": "Unauthorized", "code": "UNAUTHORIZED" }),
        ),
    ] {
        let answer = send(&sandbox, vendor, path, key).await;
        assert_eq!((answer.status, answer.json()), (401, expected));
    }
    let health = send(&sandbox, Vendor::ChatbaseV2, "/health", None).await;
    assert_eq!(health.status, 200);
    let seen = sandbox.requests();
    assert_eq!(seen.len(), 5);
    assert!(!seen[1].had_authorization && seen[2].had_authorization);
    assert_eq!(seen[2].status, Some(401));
    assert_eq!(seen[2].agent_id.as_deref(), Some(World::CHATBASE_V2_AGENT));
}

#[tokio::test]
async fn chatbase_v2_pages_through_everything_once() {
    let sandbox = sample().await;
    let expected = sandbox.expected(World::CHATBASE_V2_AGENT);
    let exported = export_v2(&sandbox, "limit=7").await;
    assert_eq!(ids(&json!(exported), "/id"), expected_ids(&expected));
    for (wire, expected) in exported.iter().zip(&expected) {
        check_v2(wire, expected);
    }
    assert_eq!(sandbox.export_count(World::CHATBASE_V2_AGENT), exported.len().div_ceil(7) as u64);
}

fn check_v2(wire: &Value, expected: &Expected) {
    assert_eq!(wire["createdAt"].as_i64(), expected.created_at);
    assert_eq!(wire["updatedAt"].as_i64(), expected.updated_at);
    assert_eq!(wire["title"].as_str(), expected.title.as_deref());
    assert_eq!(wire["status"].as_str(), expected.status);
    assert_eq!(wire["userId"].as_str(), expected.contact.id.as_deref());
    let messages = wire["messages"].as_array().unwrap();
    assert_eq!(messages.len(), expected.messages.len());
    for (wire, expected) in messages.iter().zip(&expected.messages) {
        assert_eq!(wire["id"].as_str(), expected.id.as_deref());
        assert_eq!(wire["role"].as_str(), Some(expected.role));
        assert_eq!(wire["createdAt"].as_i64(), expected.created_at);
        assert_eq!(wire["feedback"].as_str(), expected.feedback);
        assert_eq!(wire["metadata"]["score"].as_f64(), expected.score);
        let parts = wire["parts"].as_array().unwrap();
        let types: Vec<&str> = parts
            .iter()
            .map(|part| match part["type"].as_str().unwrap() {
                "tool-call" => "tool_call",
                "tool-result" => "tool_result",
                "text" => "text",
                _ => "other",
            })
            .collect();
        assert_eq!(types, expected.part_types);
        let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        assert_eq!(texts.join("\n"), expected.text);
        assert!(parts.iter().all(|part| part.get("input").is_none()));
    }
}

#[tokio::test]
async fn chatbase_v2_filters() {
    let sandbox = sample().await;
    let all = export_v2(&sandbox, "").await;
    let middle = &all[20];
    let at = middle["createdAt"].as_i64().unwrap();
    let day = crate::time::iso_milliseconds(at)[..10].to_owned();

    let on_day = export_v2(&sandbox, &format!("startDate={day}&endDate={day}")).await;
    assert!(ids(&json!(on_day), "/id").contains(&middle["id"].as_str().unwrap().to_owned()));
    let since = export_v2(&sandbox, &format!("startDate={day}")).await;
    let until = export_v2(&sandbox, &format!("endDate={day}")).await;
    assert_eq!(since.len() + until.len(), all.len() + on_day.len());

    let whatsapp = export_v2(&sandbox, "source=WhatsApp,Widget%20or%20Iframe&limit=3").await;
    let expected =
        all.iter().filter(|held| [json!("WhatsApp"), json!("Widget or Iframe")].contains(&held["source"]));
    assert_eq!(whatsapp.len(), expected.count());

    let one = v2(&sandbox, "/conversations/export?conversationId=a%2Fb%2Bc%2520d%26e%3Df%3F%23~").await;
    let one = one.json();
    assert_eq!(one["pagination"], json!({ "cursor": null, "hasMore": false, "total": 1 }));
    assert_eq!(one["data"][0]["id"], "a/b+c%20d&e=f?#~");

    let summary = v2(&sandbox, "/conversations/export?include=summary&limit=1").await;
    assert!(summary.json()["data"][0].get("messages").is_none());
}

#[tokio::test]
async fn chatbase_v2_refuses_invalid_requests() {
    let sandbox = sample().await;
    for (query, code) in [
        ("limit=21", "VALIDATION_INVALID_BODY"),
        ("limit=0", "VALIDATION_INVALID_BODY"),
        ("cursor=nonsense", "VALIDATION_INVALID_BODY"),
        ("startDate=2026-9-1", "VALIDATION_INVALID_BODY"),
        ("startDate=2026-09-02&endDate=2026-09-01", "VALIDATION_INVALID_DATE_RANGE"),
    ] {
        let answer = v2(&sandbox, &format!("/conversations/export?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["error"]["code"], code, "{query}");
    }
    let unknown = get(&sandbox, Vendor::ChatbaseV2, "/agents/nobody/conversations/export").await;
    let expected = json!({ "data": [], "pagination": { "cursor": null, "hasMore": false, "total": 0 } });
    assert_eq!((unknown.status, unknown.json()), (200, expected));
    let unknown = get(&sandbox, Vendor::ChatbaseV2, "/agents/nobody").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"]["code"], "AGENT_NOT_FOUND");
    let agents = get(&sandbox, Vendor::ChatbaseV2, "/agents").await.json();
    assert_eq!(ids(&agents["data"], "/id"), [World::CHATBASE_V2_AGENT]);
}

#[tokio::test]
async fn an_old_deployment_ignores_newer_parameters() {
    let mut world = World::sample();
    world.agents[1].deployment = Deployment::Old;
    let sandbox = Sandbox::start(world).await.unwrap();
    let query = "/conversations/export?endDate=2000-01-01&include=summary&conversationId=x&source=x";
    let answer = v2(&sandbox, query).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 20);
    assert!(answer["data"][0].get("messages").is_some());
}

#[tokio::test]
async fn a_users_conversations_and_their_messages_are_listed() {
    let sandbox = sample().await;
    let mut held = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = v2(&sandbox, &format!("/users/shop-user.0/conversations{query}")).await;
        let page = page.json();
        held.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["pagination"]["cursor"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={}", next.replace('=', "%3D"));
    }
    assert_eq!(held.len(), 4);
    assert!(held.is_sorted_by(|left, right| left["updatedAt"].as_i64() >= right["updatedAt"].as_i64()));
    assert!(held.iter().all(|one| one.get("source").is_none() && one.get("messages").is_none()));

    let mut by_title = held.iter();
    let about_invoice = by_title.find(|one| one["title"] == "Changing my invoice");
    let id = about_invoice.unwrap()["id"].as_str().unwrap();
    let newest = v2(&sandbox, &format!("/conversations/{id}/messages?limit=2")).await.json();
    let cursor = newest["pagination"]["cursor"].as_str().unwrap().replace('=', "%3D");
    let oldest = v2(&sandbox, &format!("/conversations/{id}/messages?limit=2&cursor={cursor}")).await;
    let oldest = oldest.json();
    assert_eq!(oldest["pagination"]["hasMore"], false);
    assert_eq!(oldest["data"][0]["role"], "user");
    assert_eq!(newest["data"][0]["parts"][0]["input"], json!({ "orderId": "1042" }));
    assert!(newest["data"][0]["parts"][1]["output"].get("debug").is_some());

    let expected = sandbox.expected(World::CHATBASE_V2_AGENT);
    let other = expected.iter().find(|held| held.channel == Some("website")).unwrap();
    let refused = v2(&sandbox, &format!("/conversations/{}/messages", other.id)).await;
    assert_eq!(refused.json()["error"]["code"], "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn chatbase_v1_pages_by_offset() {
    let sandbox = sample().await;
    let expected = sandbox.expected(World::CHATBASE_V1_AGENT);
    let mut held = Vec::new();
    for page in 1.. {
        let answer = v1(&sandbox, &format!("&page={page}&size=20")).await.json();
        let data = answer["data"].as_array().unwrap().clone();
        if data.is_empty() {
            break;
        }
        held.extend(data);
    }
    assert_eq!(ids(&json!(held), "/id"), expected_ids(&expected));
    assert_eq!(v1(&sandbox, "").await.json()["data"].as_array().unwrap().len(), 10);
    for (wire, expected) in held.iter().zip(&expected) {
        let created_at = crate::time::latest(wire["created_at"].as_str().unwrap());
        assert_eq!(created_at, expected.created_at);
        assert_eq!(wire["min_score"].as_f64(), expected.min_score);
        let messages = wire["messages"].as_array().unwrap();
        assert_eq!(messages.len(), expected.messages.len());
        for (wire, expected) in messages.iter().zip(&expected.messages) {
            assert_eq!(wire["id"].as_str(), expected.id.as_deref());
            if expected.part_types == ["text"] {
                assert_eq!(wire["content"].as_str(), Some(expected.text.as_str()));
            } else {
                assert!(!wire["content"].is_string());
            }
        }
    }
    for bad in ["&size=101", "&size=x", "&page=0", "&startDate=2026-9-1"] {
        let answer = v1(&sandbox, bad).await;
        assert_eq!((answer.status, answer.json()), (400, json!({ "message": "Invalid request data" })));
    }
    let unknown = get(&sandbox, Vendor::ChatbaseV1, "/get-conversations?chatbotId=x").await;
    assert_eq!((unknown.status, unknown.json()), (200, json!({ "data": [] })));
    let slack = v1(&sandbox, "&filteredSources=Slack&size=100").await.json();
    let expected = expected.iter().filter(|held| held.channel == Some("slack")).count();
    assert_eq!(slack["data"].as_array().unwrap().len(), expected);
}

#[tokio::test]
async fn convocore_pages_omit_conversations_without_a_customer() {
    let sandbox = sample().await;
    let expected = sandbox.expected(World::CONVOCORE_AGENT);
    let agent = sandbox.agent(World::CONVOCORE_AGENT).unwrap();
    for sort in ["desc", "asc"] {
        let mut held = Vec::new();
        let mut scanned = 0;
        let mut query = format!("limit=5&sort={sort}");
        loop {
            let page = v3(&sandbox, &format!("/convos/export?{query}")).await.json();
            held.extend(page["data"].as_array().unwrap().clone());
            scanned += page["scannedConvoCount"].as_u64().unwrap();
            if page["hasMore"] == json!(false) {
                assert_eq!(page["nextCursor"], Value::Null);
                break;
            }
            query = format!("limit=5&sort={sort}&cursor={}", page["nextCursor"].as_str().unwrap());
        }
        if sort == "asc" {
            held.reverse();
        }
        assert_eq!(scanned, agent.dataset.len() as u64);
        assert!(held.len() < agent.dataset.len());
        assert_eq!(ids(&json!(held), "/metadata/convo/id"), expected_ids(&expected));
        for (wire, expected) in held.iter().zip(&expected) {
            check_v3(wire, expected);
        }
    }
}

fn check_v3(wire: &Value, expected: &Expected) {
    let light = &wire["metadata"]["convo"];
    assert_eq!(light["ts"].as_i64(), expected.created_at);
    assert_eq!(light["userName"].as_str(), expected.contact.name.as_deref());
    assert_eq!(light["notes"].as_str(), expected.notes.as_deref());
    let past = wire["metadata"]["sessions"].as_array().unwrap().iter();
    let turns = past.flat_map(|session| session.as_array().unwrap());
    let turns = turns.chain(wire["turns"].as_array().unwrap());
    let messages: Vec<&Value> = turns.flat_map(|turn| turn["messages"].as_array().unwrap()).collect();
    assert_eq!(messages.len(), expected.messages.len());
    for (wire, expected) in messages.into_iter().zip(&expected.messages) {
        let payload = wire.get("payload").or_else(|| wire["item"].get("payload"));
        if expected.part_types == ["text"] && wire["type"] == "text" {
            assert_eq!(payload.unwrap()["message"].as_str(), Some(expected.text.as_str()));
        }
        assert_eq!(expected.role == "tool", wire["type"].as_str().unwrap().starts_with("debug"));
        assert_eq!(wire.get("ts").is_some(), expected.created_at.is_some());
    }
}

#[tokio::test]
async fn convocore_selects_windows_and_ids() {
    let sandbox = sample().await;
    let expected = sandbox.expected(World::CONVOCORE_AGENT);
    let (first, last) = (&expected[4], &expected[9]);
    let window = format!(
        "/convos/export?limit=50&fromTs={}&toTs={}000",
        last.created_at.unwrap(),
        first.created_at.unwrap()
    );
    let page = v3(&sandbox, &window).await.json();
    let in_window =
        expected.iter().filter(|held| (last.created_at..=first.created_at).contains(&held.created_at));
    let in_window: Vec<String> = in_window.map(|held| held.id.clone()).collect();
    assert_eq!(ids(&page["data"], "/metadata/convo/id"), in_window);
    assert_eq!(page["mode"], "paginated");

    // Only the first of several keys is read: this is how the vendor's own tool loses conversations.
    let [one, two] = [&expected[1].id, &expected[2].id].map(|id| id.replace('+', "%2B"));
    let comma = v3(&sandbox, &format!("/convos/export?convoIds={one},{two}")).await.json();
    assert_eq!(ids(&comma["data"], "/metadata/convo/id"), [expected[1].id.clone(), expected[2].id.clone()]);
    assert_eq!((&comma["mode"], &comma["hasMore"]), (&json!("selected"), &json!(false)));
    let twice = v3(&sandbox, &format!("/convos/export?convoIds={one}&convoIds={two}")).await.json();
    assert_eq!(twice["data"].as_array().unwrap().len(), 1);
    assert_eq!(twice["usage"]["billableUsedThisRequest"], 1);
    assert!(
        twice["usage"]["billableUsedThisPeriod"].as_u64() > comma["usage"]["billableUsedThisPeriod"].as_u64()
    );

    let single = v3(&sandbox, &format!("/convos/{one}/export")).await.json();
    assert_eq!(single["data"]["metadata"]["convo"]["id"], json!(expected[1].id));
    let missing = v3(&sandbox, "/convos/nobody/export").await;
    assert_eq!((missing.status, missing.json()["code"].clone()), (404, json!("NOT_FOUND")));
    assert_eq!(v3(&sandbox, "/convos/export?limit=51").await.status, 400);
    let agent = v3(&sandbox, "").await.json();
    assert_eq!(agent["data"]["ID"], World::CONVOCORE_AGENT);
    assert!(agent["data"].get("SECRET_API_KEY").is_some());
    let unknown = get(&sandbox, Vendor::ConvocoreV3, "/agents/nobody/convos/export").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn convocore_one_array_sends_everything() {
    let mut world = World::sample();
    world.agents[2].generation = Generation::OneArray;
    let sandbox = Sandbox::start(world).await.unwrap();
    let answer = v3(&sandbox, "/convos/export?limit=1&sort=asc").await.json();
    let expected = sandbox.expected(World::CONVOCORE_AGENT);
    assert_eq!(ids(&answer["data"], "/metadata/convo/id"), expected_ids(&expected));
    assert!(answer.get("hasMore").is_none());
    let dataset_length = sandbox.agent(World::CONVOCORE_AGENT).unwrap().dataset.len();
    assert_eq!(expected.len(), dataset_length);

    sandbox.update(World::CONVOCORE_AGENT, |dataset| *dataset = Dataset::default());
    let empty = v3(&sandbox, "/convos/export").await.json();
    assert_eq!(empty["data"], json!([]));
}

#[tokio::test]
async fn limits_are_enforced_and_reported() {
    let mut world = World::sample();
    world.limits = Limits {
        chatbase_requests: 2,
        chatbase_window: Duration::from_hours(1),
        reset_unit: ResetUnit::Seconds,
        convocore_requests_per_hour: 1,
        ..Limits::default()
    };
    let sandbox = Sandbox::start(world).await.unwrap();
    let first = v2(&sandbox, "").await;
    assert_eq!(first.header("x-ratelimit-limit"), "2");
    assert_eq!(first.header("x-ratelimit-remaining"), "1");
    assert!(first.header("x-ratelimit-reset").len() == 10);
    assert!(!first.header("x-request-id").is_empty());
    // Both Chatbase agents share the key, and so the window.
    assert_eq!(v1(&sandbox, "").await.status, 200);
    let refused = v2(&sandbox, "").await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 3_590);
    assert_eq!(refused.json()["error"]["code"], "RATE_LIMIT_TOO_MANY_REQUESTS");

    let page = v3(&sandbox, "/convos/export").await.json();
    assert_eq!(page["rateLimit"]["remainingHour"], 0);
    let refused = v3(&sandbox, "/convos/export").await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(v3(&sandbox, "").await.status, 200);
}

#[tokio::test]
async fn generated_data_has_realistic_sizes() {
    let settings = GeneratorSettings { conversations: 400, ..GeneratorSettings::default() };
    let sandbox = with_generated(Vendor::ChatbaseV2, settings).await;
    let exported = export_v2(&sandbox, "").await;
    let bytes: usize = exported.iter().map(|held| held.to_string().len()).sum();
    let messages: usize = exported.iter().map(|held| held["messages"].as_array().unwrap().len()).sum();
    let average = bytes / exported.len();
    assert!((2_700..3_100).contains(&average), "{average} bytes per conversation");
    assert!((4_200..4_600).contains(&messages), "{messages} messages");
    let distinct: HashSet<String> = ids(&json!(exported), "/id").into_iter().collect();
    assert_eq!(distinct.len(), 400);
}

#[tokio::test]
async fn faults_use_the_vendors_error_format() {
    let sandbox = sample().await;
    let agent = World::CHATBASE_V2_AGENT;
    let too_many = |retry_after, reset| FaultKind::TooManyRequests { retry_after, reset };
    let kinds = [
        too_many(RetryAfter::Seconds(3), RateLimitReset::None),
        too_many(RetryAfter::HttpDate(3), RateLimitReset::Milliseconds(3)),
        too_many(RetryAfter::None, RateLimitReset::Seconds(3)),
        FaultKind::PlanGate,
        FaultKind::InsufficientScope,
        FaultKind::ExpiredKey,
        FaultKind::ServerError,
        FaultKind::Maintenance,
        FaultKind::HtmlWithStatus200,
        FaultKind::Redirect { location: "http://127.0.0.1:9/".to_owned() },
        FaultKind::Status { code: 418, body: "tea".to_owned(), content_type: "text/plain".to_owned() },
        FaultKind::ErrorWithStatus200 { message: "Invalid request input.".to_owned() },
    ];
    let statuses = [429, 429, 429, 403, 403, 401, 500, 503, 200, 302, 418, 200];
    for (nth, kind) in (0..).zip(kinds) {
        assert!(sandbox.add_fault(agent, Fault::at(nth, kind)));
    }
    let mut answers = Vec::new();
    for status in statuses {
        let answer = v2(&sandbox, "/conversations/export").await;
        assert_eq!(answer.status, status, "{}", answer.text);
        answers.push(answer);
    }
    assert_eq!(answers[0].header("retry-after"), "3");
    assert_eq!(answers[0].header("x-ratelimit-reset"), "");
    assert!(answers[1].header("retry-after").ends_with(" GMT"));
    assert_eq!(answers[1].header("x-ratelimit-reset").len(), 13);
    assert_eq!(answers[2].header("x-ratelimit-reset").len(), 10);
    assert_eq!(answers[3].json()["error"]["code"], "SUBSCRIPTION_API_RESTRICTED_PLAN");
    assert!(answers[8].header("content-type").starts_with("text/html"));
    assert_eq!(answers[9].header("location"), "http://127.0.0.1:9/");
    assert_eq!(answers[11].json()["success"], false);
    assert_eq!(v2(&sandbox, "/conversations/export").await.status, 200);
}

#[tokio::test]
async fn faults_change_bodies() {
    let sandbox = sample().await;
    let agent = World::CHATBASE_V2_AGENT;
    let key = Some(World::CHATBASE_KEY);
    let path = format!("/agents/{agent}/conversations/export");
    sandbox.add_fault(agent, Fault::at(0, FaultKind::CutBody));
    sandbox.add_fault(agent, Fault::at(1, FaultKind::MalformedJson));
    sandbox.add_fault(agent, Fault::at(2, FaultKind::MillisecondTimes));
    sandbox.add_fault(agent, Fault::at(3, FaultKind::SchemaDrift));
    let drip = FaultKind::SlowBody { chunk: 20_000, delay: Duration::from_millis(20) };
    sandbox.add_fault(agent, Fault::at(4, drip));

    assert!(try_send(&sandbox, Vendor::ChatbaseV2, &path, key).await.is_err());
    let malformed = v2(&sandbox, "/conversations/export").await;
    assert!(serde_json::from_str::<Value>(&malformed.text).is_err());
    let late = v2(&sandbox, "/conversations/export").await.json();
    assert!(late["data"][0]["createdAt"].as_i64().unwrap() > 1_000_000_000_000);
    let drifted = v2(&sandbox, "/conversations/export").await.json();
    assert_eq!(drifted["data"][0]["source"], "Carrier pigeon");
    assert_eq!(drifted["data"][0]["messages"][0]["role"], "supervisor");
    let started = Instant::now();
    let slow = v2(&sandbox, "/conversations/export").await;
    assert_eq!(slow.json()["data"].as_array().unwrap().len(), 20);
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn faults_change_the_paging() {
    let sandbox = sample().await;
    let agent = World::CHATBASE_V2_AGENT;
    sandbox.add_fault(agent, Fault::at(0, FaultKind::HasMoreNullCursor));
    sandbox.add_fault(agent, Fault::at(2, FaultKind::RepeatCursor));
    sandbox.add_fault(agent, Fault::at(3, FaultKind::EmptyPage));
    sandbox.add_fault(agent, Fault::at(7, FaultKind::AddNewest { conversations: 2 }));
    let lost = v2(&sandbox, "/conversations/export").await.json();
    assert_eq!(lost["pagination"]["cursor"], Value::Null);
    assert_eq!(lost["pagination"]["hasMore"], true);
    let first = v2(&sandbox, "/conversations/export").await.json();
    let cursor = first["pagination"]["cursor"].as_str().unwrap().to_owned();
    let next = format!("/conversations/export?cursor={}", cursor.replace('=', "%3D"));
    let repeated = v2(&sandbox, &next).await.json();
    assert_eq!(repeated["pagination"]["cursor"], json!(cursor));
    let all = export_v2(&sandbox, "").await;
    let expected = sandbox.expected(agent);
    assert_eq!(ids(&json!(all), "/id"), expected_ids(&expected));
    let shifted = v2(&sandbox, "/conversations/export?limit=2").await.json();
    assert_eq!(ids(&shifted["data"], "/id"), ["arrived-000001", "arrived-000000"]);

    let convocore = World::CONVOCORE_AGENT;
    for sort in ["desc", "asc"] {
        sandbox.clear_faults(convocore);
        sandbox.add_fault(convocore, Fault::at(sandbox.export_count(convocore), FaultKind::EmptyPage));
        let empty = v3(&sandbox, &format!("/convos/export?sort={sort}&limit=9")).await.json();
        assert_eq!((&empty["data"], &empty["hasMore"]), (&json!([]), &json!(true)));
        let cursor = empty["nextCursor"].as_str().unwrap();
        let after = v3(&sandbox, &format!("/convos/export?sort={sort}&limit=9&cursor={cursor}")).await;
        let plain = v3(&sandbox, &format!("/convos/export?sort={sort}&limit=9")).await;
        assert_eq!(after.json()["data"], plain.json()["data"]);
    }
}

#[tokio::test]
async fn a_hanging_response_ends_when_the_server_stops() {
    let sandbox = sample().await;
    let agent = World::CHATBASE_V2_AGENT;
    sandbox.add_fault(agent, Fault::from(0, FaultKind::NoResponse).on_any_route());
    let url = format!("{}/agents/{agent}", sandbox.base_url(Vendor::ChatbaseV2));
    let request =
        reqwest::Client::new().get(&url).bearer_auth(World::CHATBASE_KEY).timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(sandbox.requests()[0].status, None);
    sandbox.stop().await;
    assert!(reqwest::get(&url).await.is_err());
}

#[tokio::test]
async fn tests_can_use_their_own_data() {
    let own = Conversation {
        id: "own".to_owned(),
        channel: Channel::Api,
        created_at: 1_790_000_000,
        messages: vec![Message {
            content: vec![Content::Text("a".to_owned()), Content::Text("b".to_owned())],
            ..Message::text(Role::User, "")
        }],
        ..Conversation::default()
    };
    let dataset = Dataset::of(vec![own]);
    let agent = Agent::new(Vendor::ChatbaseV2, World::CHATBASE_V2_AGENT, World::CHATBASE_KEY, dataset);
    let sandbox = Sandbox::start(World::of(vec![agent])).await.unwrap();
    assert_eq!(sandbox.expected(World::CHATBASE_V2_AGENT)[0].messages[0].text, "a\nb");
    let raw = "{\"id\": \"own\", \"messages\": \"oops\"}";
    sandbox.update(World::CHATBASE_V2_AGENT, |held| held.override_raw("own", raw));
    let answer = v2(&sandbox, "/conversations/export").await;
    assert!(answer.text.contains(raw));
    sandbox.update(World::CHATBASE_V2_AGENT, |held| held.remove("own"));
    assert_eq!(v2(&sandbox, "/conversations/export").await.json()["data"], json!([]));
}

#[tokio::test]
async fn the_request_counter_notices_keys() {
    let counter = Sandbox::start_request_counter().await.unwrap();
    reqwest::get(counter.url()).await.unwrap();
    assert_eq!(counter.request_count(), 1);
    assert!(!counter.saw_authorization());
    let with_key = reqwest::Client::new().get(counter.url()).bearer_auth("x");
    with_key.send().await.unwrap();
    assert!(counter.saw_authorization());
}

#[test]
fn the_sample_covers_all_features() {
    for vendor in [Vendor::ChatbaseV1, Vendor::ChatbaseV2, Vendor::ConvocoreV3] {
        let held: Vec<Conversation> = Dataset::sample(vendor).iter().collect();
        assert!((48..=64).contains(&held.len()), "{vendor:?}: {}", held.len());
        let distinct: HashSet<&str> = held.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(distinct.len(), held.len());
        assert!(held.iter().any(|one| one.messages.is_empty()));
        assert!(held.iter().any(|one| one.messages.len() == 120));
        assert!(held.windows(2).any(|pair| pair[0].created_at == pair[1].created_at));
        assert!(held.iter().all(|one| one.updated_at >= one.created_at));
    }
}

/// Writes to the sample agent of Convocore.
async fn write(sandbox: &Sandbox, method: Method, rest: &str, body: &Value) -> (u16, Value) {
    let path = format!("/agents/{}{rest}", World::CONVOCORE_AGENT);
    let url = format!("{}{path}", sandbox.base_url(Vendor::ConvocoreV3));
    let request = reqwest::Client::new().request(method, url).bearer_auth(World::CONVOCORE_KEY);
    let request = request.header("content-type", "application/json").body(body.to_string());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn turns(texts: &[(&str, &str, i64)]) -> Value {
    let turn = |(from, text, ts): &(&str, &str, i64)| {
        json!({"from": from, "ts": ts, "messages": [
            {"from": from, "type": "text", "ts": ts, "item": {"type": "text", "payload": {"message": text}}},
        ]})
    };
    json!({"turns": texts.iter().map(turn).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_written_conversation_is_exported() {
    let sandbox = Sandbox::start(World::sample()).await.unwrap();
    let light = json!({"conversation": {"ts": 1_780_000_000, "userName": "Ada", "tags": ["migrated"]}});
    let (status, created) = write(&sandbox, Method::POST, "/convos", &light).await;
    assert_eq!((status, &created["success"]), (200, &json!(true)));
    let id = created["data"]["ID"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&format!("{}_", World::CONVOCORE_AGENT)));
    let more = json!({"conversation": {"tags": ["vip", "migrated"], "notes": "from elsewhere"}});
    assert_eq!(write(&sandbox, Method::PATCH, &format!("/convos/{id}"), &more).await.0, 200);
    let said = [("human", "Hello!", 1_780_000_001), ("bot", "Hi Ada.", 1_780_000_003)];
    for _ in 0..2 {
        let (status, replaced) =
            write(&sandbox, Method::PATCH, &format!("/convos/{id}/messages"), &turns(&said)).await;
        assert_eq!(
            (status, &replaced["data"]["messagesNum"]),
            (200, &json!(2)),
            "turns replace what was there"
        );
    }
    let expected =
        sandbox.expected(World::CONVOCORE_AGENT).into_iter().find(|expected| expected.id == id).unwrap();
    let found: Vec<_> = expected
        .messages
        .iter()
        .map(|message| (message.role, message.text.as_str(), message.created_at))
        .collect();
    let expect = [("user", "Hello!", Some(1_780_000_001)), ("assistant", "Hi Ada.", Some(1_780_000_003))];
    assert_eq!(found, expect);
    assert_eq!(
        (expected.contact.name.as_deref(), expected.tags.len()),
        (Some("Ada"), 2),
        "labels are added up"
    );
    let light = v3(&sandbox, &format!("/convos/{id}")).await.json();
    assert_eq!(
        (&light["data"]["messagesNum"], &light["data"]["notes"]),
        (&json!(2), &json!("from elsewhere"))
    );
    let exported = v3(&sandbox, &format!("/convos/{id}/export")).await.json();
    assert_eq!(exported["data"]["turns"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.delivered_message_count(World::CONVOCORE_AGENT), 0);
}

#[tokio::test]
async fn created_conversations_can_answer_404() {
    let mut world = World::sample();
    for agent in &mut world.agents {
        agent.writes = WriteBehaviour::CreatedAnswers404;
    }
    let sandbox = Sandbox::start(world).await.unwrap();
    let light = json!({"conversation": {"ts": 1_780_000_000}});
    let (_, created) = write(&sandbox, Method::POST, "/convos", &light).await;
    let id = created["data"]["ID"].as_str().unwrap().to_owned();
    for (method, rest) in [(Method::PATCH, "/messages"), (Method::PATCH, ""), (Method::GET, "")] {
        let (status, refused) = write(&sandbox, method, &format!("/convos/{id}{rest}"), &turns(&[])).await;
        assert_eq!((status, &refused["code"]), (404, &json!("NOT_FOUND")));
    }
}

#[tokio::test]
async fn invalid_writes_are_refused() {
    let sandbox = Sandbox::start(World::sample()).await.unwrap();
    let id = sandbox.expected(World::CONVOCORE_AGENT)[0].id.clone();
    let messages = format!("/convos/{id}/messages");
    let form = json!({"turns": [{"from": "bot", "messages": [{"from": "bot", "type": "form", "item": {}}]}]});
    let large = turns(&[("human", &"x".repeat(100_000), 1_780_000_000)]);
    for (method, rest, body, status, code) in [
        (Method::POST, "/convos", json!({"conversation": {}}), 400, "BAD_REQUEST"),
        (Method::PATCH, messages.as_str(), json!({}), 400, "BAD_REQUEST"),
        (Method::PATCH, messages.as_str(), turns(&[("user", "x", 1)]), 400, "BAD_REQUEST"),
        (Method::PATCH, messages.as_str(), form, 400, "BAD_REQUEST"),
        (Method::PATCH, messages.as_str(), large, 413, "PAYLOAD_TOO_LARGE"),
        (Method::PATCH, "/convos/nobody/messages", turns(&[]), 404, "NOT_FOUND"),
        (Method::POST, "/nothing", json!({}), 404, "NOT_FOUND"),
        (Method::DELETE, messages.as_str(), json!({}), 404, "NOT_FOUND"),
    ] {
        let (found, refused) = write(&sandbox, method.clone(), rest, &body).await;
        assert_eq!((found, refused["code"].as_str()), (status, Some(code)), "{method} {rest}");
    }
    let leads = json!({"leads": [{"userName": "Ada"}, {"userEmail": "grace@example.com"}]});
    assert_eq!(write(&sandbox, Method::POST, "/leads/bulk", &leads).await.1["count"], 2);
    assert_eq!(sandbox.written_leads(World::CONVOCORE_AGENT).len(), 2);
    write(&sandbox, Method::POST, &format!("/convos/{id}/send"), &json!({"message": "hi"})).await;
    assert_eq!(
        sandbox.delivered_message_count(World::CONVOCORE_AGENT),
        1,
        "what reaches a customer is counted"
    );
}

/// Sends a body, which need not be JSON.
async fn try_post(
    sandbox: &Sandbox,
    vendor: Vendor,
    method: Method,
    path: &str,
    body: String,
) -> reqwest::Result<Answer> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let request = client.request(method, format!("{}{path}", sandbox.base_url(vendor)));
    let request = request.bearer_auth(key_of(vendor)).header("content-type", "application/json");
    let response = request.body(body).send().await?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}

async fn post(sandbox: &Sandbox, vendor: Vendor, path: &str, body: &Value) -> Answer {
    try_post(sandbox, vendor, Method::POST, path, body.to_string()).await.unwrap()
}

fn sources_path() -> String {
    format!("/agents/{}/sources", World::CHATBASE_V2_AGENT)
}

fn contacts_path() -> String {
    format!("/chatbots/{}/contacts", World::CHATBASE_V1_AGENT)
}

async fn v1_leads(sandbox: &Sandbox, rest: &str) -> Answer {
    let path = format!("/get-leads?chatbotId={}{rest}", World::CHATBASE_V1_AGENT);
    get(sandbox, Vendor::ChatbaseV1, &path).await
}

fn qna(name: &str) -> Value {
    json!({"type": "qna", "name": name, "questions": ["Do you ship to Graz?"], "answer": "Yes."})
}

fn user(email: &str) -> Value {
    json!({"users": [{"email": email}]})
}

#[tokio::test]
async fn convocore_lists_conversations_without_turns() {
    let message = |role, text: &str, at| Message { created_at: Some(at), ..Message::text(role, text) };
    let spoken = Conversation {
        id: "spoken".to_owned(),
        created_at: 1_780_000_000,
        updated_at: 1_780_000_009,
        channel: Channel::WhatsApp,
        notes: Some("secret".to_owned()),
        tags: vec!["vip".to_owned()],
        messages: vec![
            message(Role::Assistant, "Hi!", 1_780_000_002),
            message(Role::User, "Hm", 1_780_000_009),
        ],
        ..Conversation::default()
    };
    let silent =
        Conversation { id: "silent".to_owned(), created_at: 1_780_000_001, ..Conversation::default() };
    let dataset = Dataset::of(vec![spoken, silent]);
    let agent = Agent::new(Vendor::ConvocoreV3, World::CONVOCORE_AGENT, World::CONVOCORE_KEY, dataset);
    let mut world = World::of(vec![Agent { writes: WriteBehaviour::CreatedAnswers404, ..agent }]);
    world.limits.convocore_requests_per_hour = 1;
    let sandbox = Sandbox::start(world).await.unwrap();
    let light = json!({"conversation": {"ts": 1_770_000_000, "userName": "Ada", "notes": "secret"}});
    let (_, created) = write(&sandbox, Method::POST, "/convos", &light).await;
    let created = &created["data"]["ID"];

    let expected = json!({
        "success": true,
        "message": "Conversations retrieved successfully",
        "limit": 20,
        "hasMore": false,
        "data": [
            {
                "ID": "spoken", "userID": "spoken", "ts": 1_780_000_000, "messagesNum": 2, "origin": "whatsapp",
                "tags": ["vip"], "firstMessageTS": 1_780_000_002, "lastMessageTS": 1_780_000_009,
            },
            {
                "ID": created, "userID": created, "ts": 1_770_000_000, "origin": "web-chat", "userName": "Ada",
                "tags": [],
            },
        ],
    });
    for _ in 0..3 {
        assert_eq!(v3(&sandbox, "/convos").await.json(), expected);
    }
    assert_eq!(v3(&sandbox, &format!("/convos/{}", created.as_str().unwrap())).await.status, 404);
    assert_eq!(v3(&sandbox, "/convos/export").await.status, 200, "lists do not count against the hour");
    assert_eq!(v3(&sandbox, "/convos/export").await.status, 429);
    assert_eq!(v3(&sandbox, "/convos").await.status, 200);
}

#[tokio::test]
async fn convocore_lists_are_paged_by_cursor_only() {
    let sandbox = sample().await;
    let agent = sandbox.agent(World::CONVOCORE_AGENT).unwrap();
    let spoken = agent.dataset.iter().filter(|held| !held.messages.is_empty());
    let expected: Vec<String> = spoken.map(|held| held.id).collect();
    assert!(expected.len() > 40 && expected.len() < agent.dataset.len());
    let mut held = Vec::new();
    let mut query = "limit=7".to_owned();
    loop {
        let page = v3(&sandbox, &format!("/convos?{query}")).await.json();
        assert_eq!(page["limit"], 7);
        held.extend(ids(&page["data"], "/ID"));
        assert_eq!(page["hasMore"], json!(page.get("nextCursor").is_some()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        query = format!("limit=7&page=2&cursor={next}");
    }
    assert_eq!(held, expected);
    let most = v3(&sandbox, "/convos?limit=500&page=1").await.json();
    assert_eq!((&most["limit"], most["data"].as_array().unwrap().len()), (&json!(20), 20));
    for bad in ["page=2", "page=0", "limit=0", "limit=x", "cursor=nonsense"] {
        let refused = v3(&sandbox, &format!("/convos?{bad}")).await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("BAD_REQUEST")), "{bad}");
    }
    let asked = sandbox.request_count(World::CONVOCORE_AGENT);
    sandbox.add_fault(World::CONVOCORE_AGENT, Fault::at(asked, FaultKind::EmptyPage).on_any_route());
    let empty = v3(&sandbox, "/convos?limit=3").await.json();
    assert_eq!((&empty["data"], &empty["hasMore"]), (&json!([]), &json!(true)));
    let cursor = empty["nextCursor"].as_str().unwrap();
    let after = v3(&sandbox, &format!("/convos?limit=3&cursor={cursor}")).await.json();
    assert_eq!(ids(&after["data"], "/ID"), expected[..3]);
}

#[tokio::test]
async fn written_leads_are_listed() {
    let sandbox = sample().await;
    let lead = json!({
        "userEmail": "ada@example.com", "userName": "Ada", "userPhone": "+49 30 23125 001", "userAddress": "Graz",
        "userCompany": "Engines Ltd", "userWebsite": "https://example.com", "notes": "VIP",
        "userProfilePic": "https://example.com/ada.png",
    });
    let sent = [lead, json!({"userName": "Grace"}), json!({"userEmail": "lin@example.com"})];
    let (_, expected) = write(&sandbox, Method::POST, "/leads/bulk", &json!({"leads": sent})).await;
    assert_eq!(expected, json!({"success": true, "count": 3}));
    assert_eq!(sandbox.written_leads(World::CONVOCORE_AGENT), sent);

    let mut page = v3(&sandbox, "/leads?page=1&limit=2").await.json();
    assert_eq!((&page["total"], &page["page"], &page["limit"]), (&json!(3), &json!(1), &json!(2)));
    assert_eq!(ids(&page["leads"], "/id"), ["lead_1", "lead_2"]);
    let ts = page["leads"][0].as_object_mut().unwrap().remove("ts").unwrap();
    assert!(ts.as_i64().unwrap() > 1_700_000_000);
    let expected = json!({
        "id": "lead_1", "agentId": World::CONVOCORE_AGENT, "name": "Ada", "email": "ada@example.com",
        "phone": "+49 30 23125 001",
        "metaData": {
            "address": "Graz", "company": "Engines Ltd", "notes": "VIP", "website": "https://example.com",
        },
    });
    assert_eq!(page["leads"][0], expected);
    let rest = v3(&sandbox, "/leads?page=2&limit=2").await.json();
    assert_eq!(ids(&rest["leads"], "/id"), ["lead_3"]);
    assert_eq!(v3(&sandbox, "/leads").await.json()["limit"], 20);
    for bad in ["limit=101", "limit=0", "page=0", "page=x"] {
        assert_eq!(v3(&sandbox, &format!("/leads?{bad}")).await.status, 400, "{bad}");
    }
    let hundred = vec![json!({"userName": "Ada"}); 100];
    let mut more = hundred.clone();
    more.push(json!({"userName": "Ada"}));
    let (status, refused) = write(&sandbox, Method::POST, "/leads/bulk", &json!({"leads": more})).await;
    assert_eq!((status, &refused["code"]), (400, &json!("BAD_REQUEST")));
    assert_eq!(sandbox.written_leads(World::CONVOCORE_AGENT).len(), 3);
    let (status, expected) = write(&sandbox, Method::POST, "/leads/bulk", &json!({"leads": hundred})).await;
    assert_eq!((status, &expected["count"]), (200, &json!(100)));
    assert_eq!(v3(&sandbox, "/leads?page=2&limit=100").await.json()["leads"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn sources_can_be_written_and_read_back() {
    let sandbox = sample().await;
    let path = sources_path();
    let text = json!({"type": "text", "name": "Shipping", "content": "We ship on Mondays."});
    let sent = [qna("Graz"), text, qna("Linz")];
    for (place, source) in sent.iter().enumerate() {
        let created = post(&sandbox, Vendor::ChatbaseV2, &path, source).await;
        let expected = json!({"data": {
            "id": format!("src_{}", place + 1), "type": source["type"], "name": source["name"], "status": "untrained",
        }});
        assert_eq!((created.status, created.json()), (201, expected));
    }
    assert_eq!(sandbox.written_sources(World::CHATBASE_V2_AGENT), sent);
    assert_eq!(sandbox.written_sources("nobody"), [] as [Value; 0]);

    let first = v2(&sandbox, "/sources?limit=2").await.json();
    let expected = json!([
        {"id": "src_1", "type": "qna", "name": "Graz", "status": "trained"},
        {"id": "src_2", "type": "text", "name": "Shipping", "status": "trained"},
    ]);
    assert_eq!(first["data"], expected);
    assert_eq!((&first["pagination"]["hasMore"], &first["pagination"]["total"]), (&json!(true), &json!(3)));
    let cursor = first["pagination"]["cursor"].as_str().unwrap().replace('=', "%3D");
    let second = v2(&sandbox, &format!("/sources?limit=2&cursor={cursor}")).await.json();
    assert_eq!(ids(&second["data"], "/id"), ["src_3"]);
    assert_eq!(second["pagination"], json!({"cursor": null, "hasMore": false, "total": 3}));

    let single = v2(&sandbox, "/sources/src_1").await.json();
    let expected = json!({"data": {
        "id": "src_1", "type": "qna", "name": "Graz", "status": "trained",
        "questions": ["Do you ship to Graz?"], "answer": "Yes.",
    }});
    assert_eq!(single, expected);
    assert_eq!(v2(&sandbox, "/sources/src_2").await.json()["data"]["content"], "We ship on Mondays.");
    for missing in ["src_0", "src_4", "src_01", "x"] {
        let refused = v2(&sandbox, &format!("/sources/{missing}")).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (404, &json!("RESOURCE_NOT_FOUND")));
    }
    for bad in ["limit=0", "limit=101", "cursor=nonsense"] {
        let refused = v2(&sandbox, &format!("/sources?{bad}")).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (400, &json!("VALIDATION_INVALID_BODY"))
        );
    }
    let unknown = post(&sandbox, Vendor::ChatbaseV2, "/agents/nobody/sources", &qna("x")).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!("AGENT_NOT_FOUND")));
}

#[tokio::test]
async fn sources_have_limits() {
    let mut world = World::sample();
    world.limits.chatbase_requests = 16;
    world.limits.chatbase_window = Duration::from_hours(1);
    let sandbox = Sandbox::start(world).await.unwrap();
    let path = sources_path();
    let with = |field: &str, value: Value| {
        let mut source = qna("Graz");
        source[field] = value;
        source
    };
    let text = |length| json!({"type": "text", "name": "Long", "content": "ä".repeat(length)});
    for (source, field) in [
        (with("name", json!("")), "name"),
        (with("name", json!("ä".repeat(101))), "name"),
        (with("name", json!(7)), "name"),
        (with("questions", json!([])), "questions"),
        (with("questions", json!(vec!["?"; 51])), "questions"),
        (with("questions", json!(["?", ""])), "questions"),
        (with("answer", Value::Null), "answer"),
        (with("type", json!("link")), "type"),
        (text(0), "content"),
        (text(1_048_577), "content"),
    ] {
        let refused = post(&sandbox, Vendor::ChatbaseV2, &path, &source).await;
        assert_eq!(refused.status, 400, "{field}");
        let error = &refused.json()["error"];
        assert_eq!(error["code"], "VALIDATION_INVALID_BODY");
        assert!(error["details"][field].is_string(), "{error}");
    }
    let broken = try_post(&sandbox, Vendor::ChatbaseV2, Method::POST, &path, "{".to_owned()).await.unwrap();
    assert_eq!((broken.status, &broken.json()["error"]["code"]), (400, &json!("VALIDATION_INVALID_JSON")));
    // The longest accepted content: the limit counts characters, of which each has two bytes here.
    assert_eq!(post(&sandbox, Vendor::ChatbaseV2, &path, &text(1_048_576)).await.status, 201);
    let mut most = with("questions", json!(vec!["?"; 50]));
    most["name"] = json!("ä".repeat(100));
    most["answer"] = json!("");
    let padding = 4_500_000 - most.to_string().len();
    most["answer"] = json!("x".repeat(padding));
    assert_eq!(post(&sandbox, Vendor::ChatbaseV2, &path, &most).await.status, 201);
    most["answer"] = json!("x".repeat(padding + 1));
    assert_eq!(post(&sandbox, Vendor::ChatbaseV2, &path, &most).await.status, 413);
    assert_eq!(sandbox.written_sources(World::CHATBASE_V2_AGENT).len(), 2);

    // Fourteen requests so far.
    assert_eq!(v2(&sandbox, "/sources").await.header("x-ratelimit-remaining"), "1");
    let last = post(&sandbox, Vendor::ChatbaseV1, &contacts_path(), &user("ada@example.com")).await;
    assert_eq!((last.status, last.header("x-ratelimit-remaining")), (200, "0"));
    assert_eq!(post(&sandbox, Vendor::ChatbaseV2, &path, &qna("x")).await.status, 429);
    assert_eq!(v1_leads(&sandbox, "").await.status, 429);
    assert_eq!(sandbox.written_sources(World::CHATBASE_V2_AGENT).len(), 2);
}

#[tokio::test]
async fn contacts_are_paged_by_number() {
    let sandbox = sample().await;
    let path = contacts_path();
    let all = get(&sandbox, Vendor::ChatbaseV1, &path).await;
    assert_eq!(all.header("x-ratelimit-limit"), "1000");
    let all = all.json();
    assert_eq!((&all["message"], &all["total"]), (&json!("Success"), &json!(4)));
    assert_eq!(all["pages"], json!({"page": 1, "per_page": 10, "total_pages": 1}));
    let expected = json!({
        "id": "contact_6b02de41", "external_id": "shop-customer-1002", "name": "Hannah Schäfer",
        "email": "einkauf@cafe-schaefer.example.com", "phonenumber": "+49 30 23125 033", "stripe_accounts": [],
        "custom_attributes": {"company": "Café Schäfer GmbH"}, "created_at": 1_771_056_900,
        "updated_at": 1_771_056_900,
    });
    assert_eq!(all["data"][1], expected);
    assert_eq!(all["data"][2]["external_id"], Value::Null);
    assert_eq!(json!(sandbox.contacts(World::CHATBASE_V1_AGENT)), all["data"]);

    let users: Vec<Value> = (0..19).map(|number| json!({"external_id": format!("new-{number}")})).collect();
    assert_eq!(post(&sandbox, Vendor::ChatbaseV1, &path, &json!({"users": users})).await.status, 200);
    for (page, length) in [(1, 10), (2, 10), (3, 3), (4, 0)] {
        let held = get(&sandbox, Vendor::ChatbaseV1, &format!("{path}?page={page}")).await.json();
        assert_eq!(held["data"].as_array().unwrap().len(), length);
        assert_eq!(held["pages"], json!({"page": page, "per_page": 10, "total_pages": 3}));
    }
    for bad in ["per_page=9", "per_page=1001", "page=0", "page=x"] {
        let refused = get(&sandbox, Vendor::ChatbaseV1, &format!("{path}?{bad}")).await;
        assert_eq!((refused.status, refused.json()), (400, json!({"message": "Invalid request data"})));
    }
    let most = get(&sandbox, Vendor::ChatbaseV1, &format!("{path}?per_page=1000")).await.json();
    assert_eq!(most["data"].as_array().unwrap().len(), 23);
    let unknown = get(&sandbox, Vendor::ChatbaseV1, "/chatbots/nobody/contacts").await;
    assert_eq!((unknown.status, unknown.json()), (404, json!({"message": "Chatbot not found"})));
    let seen = sandbox.requests();
    assert_eq!(seen[0].agent_id.as_deref(), Some(World::CHATBASE_V1_AGENT));
    assert_eq!(seen.last().unwrap().agent_id.as_deref(), Some("nobody"));
}

#[tokio::test]
async fn written_contacts_lose_unknown_fields() {
    let mut world = World::sample();
    world.agents[0].attributes = vec!["company".to_owned()];
    let sandbox = Sandbox::start(world).await.unwrap();
    let path = contacts_path();
    let stripe = json!([{"label": "main", "stripe_id": "cus_1"}]);
    let ada = json!({
        "external_id": "ada-1", "name": "Ada", "email": "ada@example.com", "phonenumber": "+49 30 23125 001",
        "stripe_accounts": stripe, "custom_attributes": {"company": "Engines Ltd", "mood": "good"}, "notes": "VIP",
    });
    let before = crate::time::now_seconds();
    let reply = post(&sandbox, Vendor::ChatbaseV1, &path, &json!({"users": [ada, {"name": "Grace"}]})).await;
    let after = crate::time::now_seconds();
    let mut reply = reply.json();
    assert_eq!(reply["message"], "Success");
    assert_eq!(reply["data"], json!(sandbox.contacts(World::CHATBASE_V1_AGENT)[4..]));
    for time in ["created_at", "updated_at"] {
        let at = reply["data"][0].as_object_mut().unwrap().remove(time).unwrap();
        assert!((before..=after).contains(&at.as_i64().unwrap()), "times are Unix seconds");
    }
    let expected = json!({
        "id": "contact_00000001", "external_id": "ada-1", "name": "Ada", "email": "ada@example.com",
        "phonenumber": "+49 30 23125 001", "stripe_accounts": stripe,
        "custom_attributes": {"company": "Engines Ltd"},
    });
    assert_eq!(reply["data"][0], expected);
    assert_eq!(
        (&reply["data"][1]["email"], &reply["data"][1]["stripe_accounts"]),
        (&Value::Null, &json!([]))
    );
}

#[tokio::test]
async fn one_invalid_contact_refuses_all() {
    let sandbox = sample().await;
    let path = contacts_path();
    let new = json!({"email": "new@example.com", "external_id": "new"});
    for (second, field) in [
        // An existing contact has the address.
        (json!({"email": "jonas.weber@example.com"}), "email"),
        (json!({"external_id": "shop-customer-1017"}), "external_id"),
        // The first contact of the request has the address.
        (json!({"email": "new@example.com"}), "email"),
    ] {
        let refused = post(&sandbox, Vendor::ChatbaseV1, &path, &json!({"users": [new, second]})).await;
        let message = format!("A contact with this {field} already exists");
        assert_eq!((refused.status, refused.json()), (400, json!({"message": message})));
    }
    assert_eq!(sandbox.contacts(World::CHATBASE_V1_AGENT).len(), 4);
    let plain = json!({"name": "Ada"});
    for users in [
        json!([]),
        json!(vec![&plain; 1_001]),
        json!({}),
        Value::Null,
        json!([plain, 7]),
        json!([{"email": 7}]),
        json!([{"custom_attributes": []}]),
    ] {
        let refused = post(&sandbox, Vendor::ChatbaseV1, &path, &json!({"users": users})).await;
        assert_eq!((refused.status, refused.json()), (400, json!({"message": "Invalid request data"})));
    }
    assert_eq!(sandbox.contacts(World::CHATBASE_V1_AGENT).len(), 4);
    let most = post(&sandbox, Vendor::ChatbaseV1, &path, &json!({"users": vec![&plain; 1_000]})).await;
    assert_eq!(most.json()["data"].as_array().unwrap().len(), 1_000, "absent fields are not compared");
    assert_eq!(post(&sandbox, Vendor::ChatbaseV1, &path, &user("new@example.com")).await.status, 200);
    assert_eq!(post(&sandbox, Vendor::ChatbaseV1, &path, &user("new@example.com")).await.status, 400);
}

#[tokio::test]
async fn chatbase_v1_lists_leads_as_observed() {
    let sandbox = sample().await;
    let all = v1_leads(&sandbox, "").await.json();
    let data = &all["collectedCustomers"]["data"];
    let expected = json!([
        {"id": 4715, "name": "Jonas Weber", "email": "jonas.weber@example.com", "phone": "+49 30 23125 014",
            "created_at": "2026-11-18T09:12:05.000Z"},
        {"id": 4714, "name": "Emily Carter", "email": "emily.carter@example.com", "phone": null,
            "created_at": "2026-11-11T15:40:30.000Z"},
        {"id": 4713, "name": null, "email": "lampen.fan@example.com", "phone": null,
            "created_at": "2026-11-02T20:05:00.000Z"},
        {"id": 4712, "name": "Käthe Großmann", "email": null, "phone": "+49 30 23125 027",
            "created_at": "2026-10-17T07:30:45.000Z"},
        {"id": 4711, "name": "Oliver Bennett", "email": "oliver.bennett@example.com", "phone": "+44 20 7946 0018",
            "created_at": "2026-09-03T12:00:00.000Z"},
    ]);
    assert_eq!(*data, expected);
    let numbers = |answer: &Answer| -> Vec<u64> {
        let answer = answer.json();
        let data = answer["collectedCustomers"]["data"].as_array().unwrap().iter();
        data.map(|lead| lead["id"].as_u64().unwrap()).collect()
    };
    for (query, expected) in [
        ("&size=2", vec![4715, 4714]),
        ("&size=2&page=3", vec![4711]),
        ("&size=2&page=4", vec![]),
        ("&startDate=2026-11-02&endDate=2026-11-11", vec![4714, 4713]),
        ("&startDate=2026-11-12", vec![4715]),
        ("&endDate=2026-10-16", vec![4711]),
    ] {
        assert_eq!(numbers(&v1_leads(&sandbox, query).await), expected, "{query}");
    }
    for bad in ["&size=101", "&size=0", "&page=0", "&endDate=2026-9-1"] {
        let refused = v1_leads(&sandbox, bad).await;
        assert_eq!(
            (refused.status, refused.json()),
            (400, json!({"message": "Invalid request data"})),
            "{bad}"
        );
    }
    let unknown = get(&sandbox, Vendor::ChatbaseV1, "/get-leads?chatbotId=x").await;
    assert_eq!((unknown.status, unknown.json()), (200, json!({"collectedCustomers": {"data": []}})));
    assert_eq!(get(&sandbox, Vendor::ChatbaseV1, "/get-leads").await.status, 400);
    let names = |people: &[Person]| -> HashSet<String> {
        people.iter().filter_map(|person| person.email.clone()).collect()
    };
    let agent = sandbox.agent(World::CHATBASE_V1_AGENT).unwrap();
    let both: Vec<String> = names(&agent.leads).intersection(&names(&agent.contacts)).cloned().collect();
    assert_eq!(both, ["jonas.weber@example.com"]);
}

#[tokio::test]
async fn chatbase_v1_lists_leads_as_documented() {
    let mut world = World::sample();
    world.agents[0].leads_shape = LeadsShape::Documented;
    world.agents[0].leads = vec![
        Person { id: "122".to_owned(), created_at: 1_704_110_399, ..Person::default() },
        Person { id: "123".to_owned(), created_at: 1_704_110_400, ..Person::default() },
    ];
    let sandbox = Sandbox::start(world).await.unwrap();
    let leads = v1_leads(&sandbox, "&size=1").await.json();
    let expected = json!({"collectedCustomers": [{
        "id": "lead_123", "name": null, "email": null, "phone": null, "created_at": "2024-01-01T12:00:00Z",
        "chatbot_id": World::CHATBASE_V1_AGENT, "account_id": "sandbox-account",
    }]});
    assert_eq!(leads, expected);
}

#[tokio::test]
async fn a_write_can_succeed_and_answer_502() {
    let sandbox = sample().await;
    let faults = [
        FaultKind::BadGatewayAfterSuccess,
        FaultKind::CutBody,
        FaultKind::MalformedJson,
        FaultKind::SlowBody { chunk: 8, delay: Duration::from_millis(1) },
    ];
    for (vendor, agent, path) in [
        (Vendor::ChatbaseV1, World::CHATBASE_V1_AGENT, contacts_path()),
        (Vendor::ChatbaseV2, World::CHATBASE_V2_AGENT, sources_path()),
        (
            Vendor::ConvocoreV3,
            World::CONVOCORE_AGENT,
            format!("/agents/{}/leads/bulk", World::CONVOCORE_AGENT),
        ),
    ] {
        let count = || match vendor {
            Vendor::ChatbaseV1 => sandbox.contacts(agent).len() - 4,
            Vendor::ChatbaseV2 => sandbox.written_sources(agent).len(),
            Vendor::ConvocoreV3 => sandbox.written_leads(agent).len(),
        };
        let body = |number: u64| match vendor {
            Vendor::ChatbaseV1 => user(&format!("{number}@example.com")),
            Vendor::ChatbaseV2 => qna("Graz"),
            Vendor::ConvocoreV3 => json!({"leads": [{"userName": "Ada"}]}),
        };
        sandbox.add_fault(agent, Fault::at(0, FaultKind::ServerError).on_any_route());
        for (nth, kind) in (1..).zip(faults.clone()) {
            sandbox.add_fault(agent, Fault::at(nth, kind).on_any_route());
        }
        assert_eq!(post(&sandbox, vendor, &path, &body(0)).await.status, 500);
        assert_eq!(count(), 0, "a refusal comes before the work");
        let lost = post(&sandbox, vendor, &path, &body(1)).await;
        assert_eq!((lost.status, count()), (502, 1));
        assert_eq!(
            (lost.header("content-type"), lost.header("x-request-id")),
            ("text/html; charset=utf-8", "")
        );
        let cut = try_post(&sandbox, vendor, Method::POST, &path, body(2).to_string()).await;
        assert!(cut.is_err());
        let broken = post(&sandbox, vendor, &path, &body(3)).await;
        assert!(serde_json::from_str::<Value>(&broken.text).is_err());
        let slow = post(&sandbox, vendor, &path, &body(4)).await;
        assert!(slow.json().is_object());
        assert_eq!(count(), 4);
    }
}

#[tokio::test]
async fn a_write_can_succeed_without_a_response() {
    let sandbox = sample().await;
    let agent = World::CHATBASE_V2_AGENT;
    sandbox.add_fault(agent, Fault::at(0, FaultKind::NoResponse).on_any_route());
    let url = format!("{}{}", sandbox.base_url(Vendor::ChatbaseV2), sources_path());
    let request = reqwest::Client::new().post(&url).bearer_auth(World::CHATBASE_KEY);
    let request = request.body(qna("Graz").to_string()).timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(sandbox.written_sources(agent), [qna("Graz")]);
    assert_eq!(sandbox.requests()[0].status, None);
}

#[tokio::test]
async fn faults_change_the_paging_of_people_and_sources() {
    let sandbox = sample().await;
    let (first, second) = (World::CHATBASE_V1_AGENT, World::CHATBASE_V2_AGENT);
    sandbox.add_fault(first, Fault::times(0, 2, FaultKind::EmptyPage).on_any_route());
    sandbox.add_fault(first, Fault::at(2, FaultKind::RepeatCursor).on_any_route());
    sandbox.add_fault(first, Fault::at(3, FaultKind::SchemaDrift).on_any_route());
    assert_eq!(v1_leads(&sandbox, "").await.json(), json!({"collectedCustomers": {"data": []}}));
    assert_eq!(get(&sandbox, Vendor::ChatbaseV1, &contacts_path()).await.json()["data"], json!([]));
    let repeated = v1_leads(&sandbox, "&size=2&page=2").await.json();
    assert_eq!(repeated["collectedCustomers"]["data"][0]["id"], 4715);
    let drifted = v1_leads(&sandbox, "").await.json();
    assert!(
        drifted["collectedCustomers"]["data"][0]["futureField"].is_object() && drifted.get("data").is_none()
    );

    for name in ["Graz", "Linz"] {
        post(&sandbox, Vendor::ChatbaseV2, &sources_path(), &qna(name)).await;
    }
    sandbox.add_fault(second, Fault::at(2, FaultKind::EmptyPage).on_any_route());
    sandbox.add_fault(second, Fault::at(4, FaultKind::HasMoreNullCursor).on_any_route());
    let empty = v2(&sandbox, "/sources?limit=1").await.json();
    assert_eq!((&empty["data"], &empty["pagination"]["hasMore"]), (&json!([]), &json!(true)));
    let cursor = empty["pagination"]["cursor"].as_str().unwrap().replace('=', "%3D");
    let after = v2(&sandbox, &format!("/sources?limit=1&cursor={cursor}")).await.json();
    assert_eq!(ids(&after["data"], "/name"), ["Graz"]);
    let lost = v2(&sandbox, "/sources?limit=1").await.json();
    assert_eq!(lost["pagination"], json!({"cursor": null, "hasMore": true, "total": 2}));
}

#[tokio::test]
async fn unsupported_writes_have_no_route() {
    let sandbox = sample().await;
    let (contacts, sources) = (contacts_path(), sources_path());
    let agent = format!("/agents/{}", World::CONVOCORE_AGENT);
    for (vendor, method, path) in [
        (Vendor::ChatbaseV1, Method::PUT, contacts.as_str()),
        (Vendor::ChatbaseV1, Method::PATCH, contacts.as_str()),
        (Vendor::ChatbaseV1, Method::DELETE, contacts.as_str()),
        (Vendor::ChatbaseV1, Method::POST, "/get-leads?chatbotId=x"),
        (Vendor::ChatbaseV2, Method::PUT, sources.as_str()),
        (Vendor::ChatbaseV2, Method::PATCH, sources.as_str()),
        (Vendor::ChatbaseV2, Method::DELETE, sources.as_str()),
        (Vendor::ChatbaseV2, Method::POST, "/agents"),
        (Vendor::ConvocoreV3, Method::DELETE, agent.as_str()),
        (Vendor::ConvocoreV3, Method::POST, agent.as_str()),
    ] {
        let refused = try_post(&sandbox, vendor, method.clone(), path, "{}".to_owned()).await.unwrap();
        assert_eq!(refused.status, 404, "{method} {path}");
    }
    let elsewhere = format!("/x/y/contacts?chatbotId={}", World::CHATBASE_V1_AGENT);
    assert_eq!(get(&sandbox, Vendor::ChatbaseV1, &elsewhere).await.status, 404);
}
