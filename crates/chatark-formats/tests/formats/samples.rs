//! Conversations written by hand, and the expected documents, also written by hand.

use std::sync::Arc;

use chatark_core::{
    ArchivedConversation, Author, AuthorKind, Card, Channel, ChoiceOption, Contact, Conversation,
    ConversationId, Feedback, FormField, Message, Origin, Part, Rating, Role, SourceName, Status, Timestamp,
};
use serde_json::{Map, Value, json};

/// 2024-12-01T12:00:00Z.
pub(crate) const NOON: i64 = 1_733_054_400;

pub(crate) fn time(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_epoch(seconds).ok()
}

pub(crate) fn archived(agent_id: &str, conversation: Conversation) -> ArchivedConversation {
    let origin = Origin {
        source: SourceName::new("shop").unwrap(),
        provider: "chatbase-v2".to_owned(),
        agent_id: agent_id.to_owned(),
    };
    ArchivedConversation { origin: Arc::new(origin), conversation }
}

pub(crate) fn message(role: Role, created_at: Option<Timestamp>, parts: Vec<Part>) -> Message {
    Message { created_at, parts, ..Message::empty(role) }
}

/// The samples in the order of the files.
pub(crate) fn all() -> Vec<ArchivedConversation> {
    vec![rich(), formulas(), bare()]
}

/// Every field, every kind of part, several languages, quotes and line breaks.
pub(crate) fn rich() -> ArchivedConversation {
    let text = |text: &str| Some(text.to_owned());
    let mut greeting = message(Role::Assistant, None, vec![Part::text("Hi — how can I help?")]);
    greeting.score = Some(0.25);
    let mut question = message(
        Role::User,
        time(NOON),
        vec![Part::text("Wo ist \"meine\" Bestellung,\r\nbitte?"), Part::text("注文はどこ?\n🧡 שלום\u{0}")],
    );
    question.id = text("msg_1");
    question.feedback = Some(Feedback::Negative);
    question.extra = object(&json!({"lang": "de"}));
    let mut transfer = message(Role::Other, None, vec![]);
    transfer.role_raw = text("supervisor");
    transfer.author.kind = Some(AuthorKind::Agent);
    transfer.internal = true;
    let answer_time = Timestamp::from_microseconds(NOON * 1_000_000 + 2_500_000).ok();
    let mut answer = message(Role::HumanAgent, answer_time, every_other_part());
    answer.author = Author { kind: None, id: text("op-1"), name: text("Zoë, \"Z\"") };
    archived(
        "5QHA6VB",
        Conversation {
            id: ConversationId::new("conv_1"),
            title: text("Commande n° 7, «urgent»"),
            channel: Some(Channel::GoogleBusiness),
            channel_raw: text("Google Business"),
            status: Some(Status::TakenOver),
            status_raw: text("taken-over"),
            created_at: time(NOON - 30),
            updated_at: time(NOON + 60),
            contact: Contact {
                id: text("c-1"),
                name: text("Jürgen, Ö."),
                email: text("j@example.com"),
                phone: text("0049 30 1234"),
                company: text("ООО «Ромашка»"),
                address: text("Main St 1\nBerlin"),
                website: text("https://example.com"),
            },
            tags: vec!["vip".to_owned(), "a,b".to_owned(), "say \"hi\"".to_owned()],
            notes: text("line one\nline two"),
            feedback: Some(Feedback::Positive),
            messages: vec![greeting, question, answer, transfer],
            extra: object(&json!({"geo": {"country": "DE"}, "n": null})),
            derived: vec!["updated_at".to_owned()],
            rating: Some(Rating { value: 4.5, scale: 5.0 }),
        },
    )
}

/// One of each kind of part that is not text.
fn every_other_part() -> Vec<Part> {
    let text = |text: &str| Some(text.to_owned());
    let button = ChoiceOption { label: text("Yes"), value: None, url: text("https://example.com/yes") };
    vec![
        Part::ToolCall { id: text("t1"), name: text("lookup"), input: Some(json!({"order": 7})) },
        Part::ToolCall { id: None, name: None, input: None },
        Part::ToolResult {
            id: text("t1"),
            name: None,
            status: text("success"),
            data: Some(json!([1, 2.5, "x"])),
            error: None,
        },
        Part::Choice { options: vec![button.clone()] },
        Part::Image { url: None },
        Part::File { url: text("https://example.com/a.pdf"), name: text("a.pdf") },
        Part::Audio { url: None, transcript: text("hello") },
        Part::Card(Card { title: text("Shoe"), text: None, image_url: None, options: vec![button] }),
        Part::Form {
            title: None,
            fields: vec![FormField {
                id: text("f"),
                label: None,
                kind: text("email"),
                value: Some(json!(true)),
            }],
            submitted: Some(false),
        },
        Part::Other { kind: "carousel".to_owned(), data: json!({"deep": [null]}) },
    ]
}

/// Text that a spreadsheet would run as a formula, in every field that takes text.
pub(crate) fn formulas() -> ArchivedConversation {
    let text = |text: &str| Some(text.to_owned());
    let mut answer = message(Role::Assistant, time(NOON), vec![Part::text("\tTAB")]);
    answer.id = text("\rCR");
    answer.score = Some(1.0);
    answer.author = Author { kind: None, id: text("+1"), name: text("@bot") };
    archived(
        "-agent",
        Conversation {
            title: text("=HYPERLINK(\"http://x\",\"y\")"),
            channel: Some(Channel::Other),
            channel_raw: text("@channel"),
            created_at: time(NOON),
            updated_at: time(NOON - 1),
            contact: Contact { phone: text("+49 30 1234"), name: text("a=b"), ..Contact::default() },
            notes: text("-1+1"),
            tags: vec!["=tag".to_owned()],
            messages: vec![answer],
            ..Conversation::empty(ConversationId::new("=id"))
        },
    )
}

/// A conversation with an id and one message, and no other field.
pub(crate) fn bare() -> ArchivedConversation {
    let messages = vec![Message::empty(Role::System)];
    archived("a", Conversation { messages, ..Conversation::empty(ConversationId::new("conv_0")) })
}

/// The documents of [`all`].
pub(crate) fn documents() -> Vec<Value> {
    vec![rich_document(), formulas_document(), bare_document()]
}

fn rich_document() -> Value {
    json!({
        "schema": "chatark.conversation/1",
        "source": "shop", "provider": "chatbase-v2", "agent_id": "5QHA6VB", "id": "conv_1",
        "title": "Commande n° 7, «urgent»",
        "channel": "google-business", "channel_raw": "Google Business",
        "status": "taken_over", "status_raw": "taken-over",
        "created_at": "2024-12-01T11:59:30Z", "updated_at": "2024-12-01T12:01:00Z",
        "contact": {
            "id": "c-1", "name": "Jürgen, Ö.", "email": "j@example.com", "phone": "0049 30 1234",
            "company": "ООО «Ромашка»", "address": "Main St 1\nBerlin", "website": "https://example.com",
        },
        "tags": ["vip", "a,b", "say \"hi\""],
        "notes": "line one\nline two",
        "feedback": "positive",
        "messages": [
            {
                "position": 0, "id": null, "role": "assistant", "created_at": null,
                "text": "Hi — how can I help?", "parts": [{"type": "text", "text": "Hi — how can I help?"}],
                "feedback": null, "score": 0.25,
                "author": {"kind": "bot", "id": null, "name": null}, "internal": false,
            },
            {
                "position": 1, "id": "msg_1", "role": "user", "created_at": "2024-12-01T12:00:00Z",
                "text": "Wo ist \"meine\" Bestellung,\r\nbitte?\n注文はどこ?\n🧡 שלום\u{0}",
                "parts": [
                    {"type": "text", "text": "Wo ist \"meine\" Bestellung,\r\nbitte?"},
                    {"type": "text", "text": "注文はどこ?\n🧡 שלום\u{0}"},
                ],
                "feedback": "negative", "score": null, "extra": {"lang": "de"},
                "author": {"kind": "customer", "id": null, "name": null}, "internal": false,
            },
            {
                "position": 2, "id": null, "role": "human_agent", "created_at": "2024-12-01T12:00:02.500Z",
                "text": "", "parts": other_parts_document(), "feedback": null, "score": null,
                "author": {"kind": "agent", "id": "op-1", "name": "Zoë, \"Z\""}, "internal": false,
            },
            {
                "position": 3, "id": null, "role": "other", "role_raw": "supervisor", "created_at": null,
                "text": "", "parts": [], "feedback": null, "score": null,
                "author": {"kind": "agent", "id": null, "name": null}, "internal": true,
            },
        ],
        "extra": {"geo": {"country": "DE"}, "n": null},
        "derived": ["updated_at"],
        "rating": {"value": 4.5, "scale": 5.0},
    })
}

/// The parts of [`every_other_part`].
pub(crate) fn other_parts_document() -> Value {
    let button = json!({"label": "Yes", "value": null, "url": "https://example.com/yes"});
    json!([
        {"type": "tool_call", "id": "t1", "name": "lookup", "input": {"order": 7}},
        {"type": "tool_call", "id": null, "name": null},
        {"type": "tool_result", "id": "t1", "name": null, "status": "success", "data": [1, 2.5, "x"], "error": null},
        {"type": "choice", "options": [button]},
        {"type": "image", "url": null},
        {"type": "file", "url": "https://example.com/a.pdf", "name": "a.pdf"},
        {"type": "audio", "url": null, "transcript": "hello"},
        {"type": "card", "title": "Shoe", "text": null, "image_url": null, "options": [button]},
        {
            "type": "form", "title": null, "submitted": false,
            "fields": [{"id": "f", "label": null, "kind": "email", "value": true}],
        },
        {"type": "other", "kind": "carousel", "data": {"deep": [null]}},
    ])
}

fn formulas_document() -> Value {
    json!({
        "schema": "chatark.conversation/1",
        "source": "shop", "provider": "chatbase-v2", "agent_id": "-agent", "id": "=id",
        "title": "=HYPERLINK(\"http://x\",\"y\")",
        "channel": "other", "channel_raw": "@channel", "status": null, "status_raw": null,
        "created_at": "2024-12-01T12:00:00Z", "updated_at": "2024-12-01T11:59:59Z",
        "contact": {
            "id": null, "name": "a=b", "email": null, "phone": "+49 30 1234",
            "company": null, "address": null, "website": null,
        },
        "tags": ["=tag"], "notes": "-1+1", "feedback": null,
        "messages": [{
            "position": 0, "id": "\rCR", "role": "assistant", "created_at": "2024-12-01T12:00:00Z",
            "text": "\tTAB", "parts": [{"type": "text", "text": "\tTAB"}], "feedback": null, "score": 1.0,
            "author": {"kind": "bot", "id": "+1", "name": "@bot"}, "internal": false,
        }],
        "extra": {},
        "rating": null,
    })
}

fn bare_document() -> Value {
    json!({
        "schema": "chatark.conversation/1",
        "source": "shop", "provider": "chatbase-v2", "agent_id": "a", "id": "conv_0",
        "title": null, "channel": null, "channel_raw": null, "status": null, "status_raw": null,
        "created_at": null, "updated_at": null,
        "contact": {
            "id": null, "name": null, "email": null, "phone": null, "company": null, "address": null, "website": null,
        },
        "tags": [], "notes": null, "feedback": null,
        "messages": [{
            "position": 0, "id": null, "role": "system", "created_at": null,
            "text": "", "parts": [], "feedback": null, "score": null,
            "author": {"kind": "system", "id": null, "name": null}, "internal": false,
        }],
        "extra": {},
        "rating": null,
    })
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
