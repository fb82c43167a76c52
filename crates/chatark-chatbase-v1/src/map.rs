//! Chatbase v1's JSON to the shared model. Pure: no client, no clock, no order.
//!
//! The fields and their meaning are from the vendor's v1 documents and from working clients, 2024 to 2026; see
//! `docs/vendors/chatbase-v1.md`.

use chatark_core::fields::{self, Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{
    Contact, Conversation, ConversationId, Issue, IssueKind, Issues, ListedContact, Message, Part, Result,
    Role, Stream, Zone,
};
use serde_json::{Map, Value};

/// Fields that the vendor is known to send and the schema has no place for.
const UNMAPPED: &[&str] = &["chatbot_id", "country", "min_score", "metadata"];
/// The same in leads, by the vendor's documents of 2026.
const UNMAPPED_IN_LEADS: &[&str] = &["chatbot_id", "account_id"];
/// The same in contacts, by the vendor's documents of 2026.
const UNMAPPED_IN_CONTACTS: &[&str] = &["stripe_accounts", "custom_attributes"];

/// Maps one conversation.
pub(crate) fn normalize(raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
    let issues = Issues::default();
    let record = fields::parse(raw, &issues)?;
    let mut conversation = conversation(Fields::of(record, &issues));
    conversation.derive_missing_times();
    Ok((conversation, issues.into_vec()))
}

fn conversation(mut fields: Fields<'_>) -> Conversation {
    let id = fields.id("id").unwrap_or_default();
    let mut conversation = Conversation::empty(ConversationId::new(id));
    conversation.created_at = fields.time("created_at", Zone::UTC);
    // The documents have `updated_at`, working clients read `last_message_at`: the later one is the last activity.
    let updated_at = fields.time("updated_at", Zone::UTC);
    let last_message_at = fields.time("last_message_at", Zone::UTC);
    conversation.updated_at = updated_at.max(last_message_at);
    (conversation.channel, conversation.channel_raw) = fields.channel("source");
    conversation.contact = contact(&mut fields);
    match fields.list("messages") {
        Some(messages) => {
            let path = Path::Key(fields.path(), "messages");
            conversation.messages = messages
                .into_iter()
                .enumerate()
                .map(|(at, value)| message(value, Path::Index(&path, at), fields.issues()))
                .collect();
        }
        None if fields.has("messages") => {}
        None => fields.report(IssueKind::Missing, "messages"),
    }
    conversation.extra = fields.finish(UNMAPPED);
    conversation
}

/// Reads the customer: `customer` is an id or an object, `form_submission` is a submitted lead form.
///
/// The form adds only what `customer` leaves out.
fn contact(fields: &mut Fields<'_>) -> Contact {
    let mut contact = Contact::default();
    match fields.take("customer") {
        Some(Value::String(id)) => contact.id = (!id.trim().is_empty()).then_some(id),
        Some(Value::Number(id)) => contact.id = Some(id.to_string()),
        Some(value) => person(fields, "customer", value, &mut contact),
        None => {}
    }
    if let Some(form) = fields.take("form_submission") {
        person(fields, "form_submission", form, &mut contact);
    }
    contact
}

/// Reads a person from a nested object; its other fields stay under `extra`.
fn person(fields: &mut Fields<'_>, key: &str, value: Value, contact: &mut Contact) {
    let mut rest = match Fields::open(value, Path::Key(fields.path(), key), fields.issues()) {
        Ok(person) => person,
        Err(value) => return fields.keep(key, value),
    };
    let slots = [
        (&mut contact.id, &["id", "external_id", "user_id"][..]),
        (&mut contact.name, &["name"]),
        (&mut contact.email, &["email"]),
        (&mut contact.phone, &["phone", "phonenumber"]),
        (&mut contact.company, &["company"]),
        (&mut contact.address, &["address"]),
        (&mut contact.website, &["website"]),
    ];
    for (slot, names) in slots {
        for name in names {
            if slot.is_some() {
                break;
            }
            *slot = rest.filled_in(name);
        }
    }
    // A lead form may ask for anything, so its other answers are not unknown fields.
    let mut leftovers = Map::new();
    nest(&mut leftovers, key, rest.finish_quietly());
    for (name, value) in leftovers {
        fields.keep(&name, value);
    }
}

/// Maps one entry of the list of contacts or leads.
pub(crate) fn listed_contact(stream: Stream, raw: &[u8]) -> Result<(ListedContact, Vec<Issue>)> {
    let issues = Issues::default();
    let fields = Fields::of(fields::parse(raw, &issues)?, &issues);
    let listed = match stream {
        Stream::Leads => lead(fields),
        _ => contact_entry(fields),
    };
    Ok((listed, issues.into_vec()))
}

/// Reads a lead, which refers to no conversation and no customer (vendor's documents of 2026).
fn lead(mut fields: Fields<'_>) -> ListedContact {
    ListedContact {
        id: fields.id("id"),
        contact: name_and_addresses(&mut fields, "phone"),
        created_at: fields.time("created_at", Zone::UTC),
        extra: fields.finish(UNMAPPED_IN_LEADS),
        ..ListedContact::default()
    }
}

/// Reads a contact. Its times are Unix seconds, unlike those of conversations (vendor's documents of 2026).
fn contact_entry(mut fields: Fields<'_>) -> ListedContact {
    let mut contact = name_and_addresses(&mut fields, "phonenumber");
    read_attributes(&fields, &mut contact);
    ListedContact {
        id: fields.id("id"),
        external_id: fields.id("external_id"),
        contact,
        created_at: fields.time("created_at", Zone::UTC),
        updated_at: fields.time("updated_at", Zone::UTC),
        extra: fields.finish(UNMAPPED_IN_CONTACTS),
    }
}

/// Reads name, e-mail address and phone number, the last one from the key `phone`.
fn name_and_addresses(fields: &mut Fields<'_>, phone: &str) -> Contact {
    Contact {
        name: fields.filled_in("name"),
        email: fields.filled_in("email"),
        phone: fields.filled_in(phone),
        ..Contact::default()
    }
}

/// Reads company, address and website from the custom attributes, if these are strings.
///
/// The attributes themselves stay under `extra`.
fn read_attributes(fields: &Fields<'_>, contact: &mut Contact) {
    let Some(attributes) = fields.peek("custom_attributes") else { return };
    if !attributes.is_object() {
        return fields.report(IssueKind::WrongType, "custom_attributes");
    }
    let text = |name: &str| {
        let text = attributes.get(name)?.as_str()?;
        (!text.trim().is_empty()).then(|| text.to_owned())
    };
    contact.company = text("company");
    contact.address = text("address");
    contact.website = text("website");
}

fn message(value: Value, path: Path<'_>, issues: &Issues) -> Message {
    let mut fields = match Fields::open(value, path, issues) {
        Ok(fields) => fields,
        Err(value) => return Message::unreadable(value),
    };
    let mut message = Message::empty(Role::Other);
    message.id = fields.id("id");
    match fields.word("role", role) {
        Some((Some(role), _)) => message.role = role,
        Some((None, raw)) => message.role_raw = Some(raw),
        None => fields.report(IssueKind::Missing, "role"),
    }
    message.score = fields.fraction("score");
    if let Some(kind) = fields.text("type").filter(|kind| kind != "text") {
        fields.report(IssueKind::UnknownValue, "type");
        fields.keep("type", kind.into());
    }
    message.parts = content(&mut fields);
    message.extra = fields.finish(&[]);
    message
}

fn role(word: &str) -> Option<Role> {
    match word {
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        "system" => Some(Role::System),
        _ => None,
    }
}

/// Reads the content: a string, or a list of blocks, which some clients have seen. Anything else is kept as it is.
fn content(fields: &mut Fields<'_>) -> Vec<Part> {
    match fields.take("content") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![Part::text(text)],
        Some(Value::Array(blocks)) if blocks.iter().all(|block| block.is_object() || block.is_string()) => {
            blocks.into_iter().map(|block| self::block(fields, block)).collect()
        }
        Some(other) => {
            fields.report(IssueKind::WrongType, "content");
            vec![Part::Other { kind: "content".to_owned(), data: other }]
        }
    }
}

fn block(fields: &Fields<'_>, block: Value) -> Part {
    match &block {
        Value::String(text) => Part::text(text),
        Value::Object(map) if map.get("type").is_some_and(|kind| kind == "text") && map.len() == 2 => {
            match map.get("text").and_then(Value::as_str) {
                Some(text) => Part::text(text),
                None => Part::Other { kind: "content".to_owned(), data: block },
            }
        }
        _ => {
            fields.report(IssueKind::WrongType, "content");
            let kind = block.get("type").and_then(Value::as_str).unwrap_or("content").to_owned();
            Part::Other { kind, data: block }
        }
    }
}

#[cfg(test)]
mod tests {
    use chatark_core::{Author, AuthorKind, Channel};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> (Conversation, Vec<Issue>) {
        normalize(&serde_json::to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn maps_the_sample() {
        let sample: Value =
            serde_json::from_str(include_str!("../tests/fixtures/chatbase-v1-get-conversations.json"))
                .unwrap();
        let page = sample["response"]["body"]["data"].as_array().unwrap();
        assert_eq!(page.len(), 2);

        let (order, issues) = read(&page[0]);
        assert_eq!(issues, []);
        assert_eq!(order.id.as_str(), "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d");
        assert_eq!((order.title, order.status, order.feedback), (None, None, None));
        assert_eq!(order.created_at.unwrap().to_string(), "2026-09-21T14:13:20Z");
        assert_eq!(order.updated_at.unwrap().to_string(), "2026-09-21T14:20:12.114Z");
        assert_eq!(
            (order.channel, order.channel_raw.as_deref()),
            (Some(Channel::Website), Some("Widget or Iframe"))
        );
        assert_eq!(order.contact.id, None);
        assert_eq!(order.contact.name.as_deref(), Some("Ada Example"));
        assert_eq!(order.contact.email.as_deref(), Some("ada@example.com"));
        assert_eq!(order.contact.phone.as_deref(), Some("+15550100"));
        assert_eq!(
            Value::Object(order.extra),
            json!({"chatbot_id": "5QHA6VB-DIAbBhxwqxfdi", "country": "DE", "min_score": 0.31})
        );
        let summary: Vec<_> = order
            .messages
            .iter()
            .map(|message| (message.id.as_deref(), message.role.as_str(), message.text(), message.score))
            .collect();
        assert_eq!(
            summary,
            [
                (None, "assistant", "Hi! What can I help you with?".to_owned(), None),
                (Some("msg_02"), "user", "Wo bleibt meine Bestellung #1042? 📦".to_owned(), None),
                (
                    Some("msg_03"),
                    "assistant",
                    "Your order is on its way.\nExpected: **24 Sept**.".to_owned(),
                    Some(0.82)
                ),
            ]
        );
        assert!(order.messages.iter().all(|message| message.created_at.is_none()));
        // The vendor names no author: the kind follows from the role, and the customer is the contact.
        let kinds: Vec<_> = order.messages.iter().map(Message::author_kind).collect();
        assert_eq!(kinds, [Some(AuthorKind::Bot), Some(AuthorKind::Customer), Some(AuthorKind::Bot)]);
        assert!(
            order.messages.iter().all(|message| message.author == Author::default() && !message.internal)
        );

        let (empty, issues) = read(&page[1]);
        assert_eq!(issues, []);
        assert_eq!(empty.created_at.unwrap().to_string(), "2026-09-21T08:40:00.512345Z");
        assert_eq!((empty.channel, empty.messages.len()), (Some(Channel::Api), 0));
        assert_eq!(Value::Object(empty.extra), json!({"chatbot_id": "5QHA6VB-DIAbBhxwqxfdi"}));
    }

    #[test]
    fn a_customer_is_an_id_or_an_object() {
        let (text, _) = read(&json!({"id": "a", "customer": "user_9", "messages": []}));
        assert_eq!(text.contact.id.as_deref(), Some("user_9"));
        let (both, issues) = read(&json!({
            "id": "a", "messages": [],
            "customer": {"id": 12, "name": "", "email": "a@example.com", "vip": true},
            "form_submission": {"name": "Ada", "email": "other@example.com", "size": "XL"},
        }));
        assert_eq!(issues, []);
        assert_eq!(both.contact.id.as_deref(), Some("12"));
        assert_eq!(
            (both.contact.name.as_deref(), both.contact.email.as_deref()),
            (Some("Ada"), Some("a@example.com"))
        );
        assert_eq!(
            Value::Object(both.extra),
            json!({"customer.vip": true, "form_submission.email": "other@example.com", "form_submission.size": "XL"})
        );
    }

    fn listed(stream: Stream, value: &Value) -> (ListedContact, Vec<String>) {
        let (listed, issues) = listed_contact(stream, &serde_json::to_vec(value).unwrap()).unwrap();
        let described = |issue: &Issue| format!("{} {}", issue.kind.as_str(), issue.path);
        (listed, issues.iter().map(described).collect())
    }

    #[test]
    fn maps_leads_as_documented_and_as_found() {
        let (documented, issues) = listed(
            Stream::Leads,
            &json!({
                "id": "lead_123", "name": "Ada Example", "email": "ada@example.com", "phone": "+15550100",
                "created_at": "2024-01-01T12:00:00Z", "chatbot_id": "bot", "account_id": null,
            }),
        );
        assert_eq!(issues, Vec::<String>::new());
        let contact = Contact {
            name: Some("Ada Example".to_owned()),
            email: Some("ada@example.com".to_owned()),
            phone: Some("+15550100".to_owned()),
            ..Contact::default()
        };
        let expect = ListedContact {
            id: Some("lead_123".to_owned()),
            contact,
            // 2024-01-01T12:00:00Z.
            created_at: chatark_core::Timestamp::from_epoch(1_704_110_400).ok(),
            extra: Map::from_iter([("chatbot_id".to_owned(), json!("bot"))]),
            ..ListedContact::default()
        };
        assert_eq!(documented, expect);

        let found = json!({
            "id": 4711, "name": null, "email": "john@example.com", "phone": null,
            "created_at": "2026-04-21T15:11:53.000Z", "consent": {"given": true},
        });
        let (found, issues) = listed(Stream::Leads, &found);
        assert_eq!(issues, ["unknown-field consent"]);
        assert_eq!(
            (found.id.as_deref(), found.contact.name, found.contact.phone),
            (Some("4711"), None, None)
        );
        assert_eq!(found.contact.email.as_deref(), Some("john@example.com"));
        assert_eq!(found.created_at.unwrap().to_string(), "2026-04-21T15:11:53Z");
        assert_eq!(Value::Object(found.extra), json!({"consent": {"given": true}}));
    }

    #[test]
    fn maps_a_contact_and_keeps_its_attributes() {
        let attributes = json!({"department": "Sales", "company": "Example Ltd", "address": {"city": "Ulm"}, "website": " "});
        let (found, issues) = listed(
            Stream::Contacts,
            &json!({
                "id": "contact_internal_123", "external_id": "user_123", "name": "Ada", "email": null,
                "phonenumber": 15_550_100, "stripe_accounts": [{"label": "main", "stripe_id": "cus_1"}],
                "custom_attributes": attributes, "created_at": 1_704_067_200, "updated_at": 1_704_153_600,
            }),
        );
        assert_eq!(issues, Vec::<String>::new());
        assert_eq!(found.id.as_deref(), Some("contact_internal_123"));
        assert_eq!(found.external_id.as_deref(), Some("user_123"));
        let expect = Contact {
            name: Some("Ada".to_owned()),
            phone: Some("15550100".to_owned()),
            company: Some("Example Ltd".to_owned()),
            ..Contact::default()
        };
        assert_eq!(found.contact, expect);
        assert_eq!(found.created_at.unwrap().to_string(), "2024-01-01T00:00:00Z");
        assert_eq!(found.updated_at.unwrap().to_string(), "2024-01-02T00:00:00Z");
        assert_eq!(
            Value::Object(found.extra),
            json!({"custom_attributes": attributes, "stripe_accounts": [{"label": "main", "stripe_id": "cus_1"}]})
        );
        let odd = json!({"id": 7, "custom_attributes": ["x"], "created_at": "soon", "name": ["Ada"]});
        let (odd, issues) = listed(Stream::Contacts, &odd);
        assert_eq!(issues, ["wrong-type name", "wrong-type custom_attributes", "time-unreadable created_at"]);
        assert_eq!(
            Value::Object(odd.extra),
            json!({"custom_attributes": ["x"], "created_at": "soon", "name": ["Ada"]})
        );
    }

    #[test]
    fn content_is_a_string_or_a_list_of_blocks() {
        let (found, issues) = read(&json!({"id": "a", "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one"}, "two", {"type": "image", "url": "x"}]},
            {"role": "user", "content": {"card": 1}},
            {"role": "user", "content": 42},
            {"role": "user", "content": null},
            {"role": "wizard", "content": "hex", "type": "spell"},
            17,
        ]}));
        let texts: Vec<_> = found.messages.iter().map(Message::text).collect();
        assert_eq!(texts, ["one\ntwo", "", "", "", "hex", ""]);
        assert!(
            matches!(&found.messages[0].parts[2], Part::Other { kind, data } if kind == "image" && data["url"] == "x")
        );
        assert!(matches!(&found.messages[1].parts[0], Part::Other { data, .. } if data["card"] == 1));
        assert!(matches!(&found.messages[2].parts[0], Part::Other { data, .. } if data == 42));
        assert_eq!(
            (found.messages[4].role, found.messages[4].role_raw.as_deref()),
            (Role::Other, Some("wizard"))
        );
        assert!(matches!(&found.messages[5].parts[0], Part::Other { data, .. } if data == 17));
        let found: Vec<_> =
            issues.iter().map(|issue| format!("{} {}", issue.kind.as_str(), issue.path)).collect();
        assert_eq!(
            found,
            [
                "wrong-type messages[0].content",
                "wrong-type messages[1].content",
                "wrong-type messages[2].content",
                "unknown-value messages[4].role",
                "unknown-value messages[4].type",
                "wrong-type messages[5]",
            ]
        );
    }

    #[test]
    fn reads_times_in_every_form_that_clients_have_seen() {
        for (written, expect) in [
            (json!("2026-09-21T14:13:20.000Z"), "2026-09-21T14:13:20Z"),
            (json!("2026-09-21T14:13:20+00:00"), "2026-09-21T14:13:20Z"),
            (json!(1_790_000_000), "2026-09-21T14:13:20Z"),
            (json!("2024-01-01 12:00:00+00"), "2024-01-01T12:00:00Z"),
            (json!("2024-01-01 12:00:00.25+00:00"), "2024-01-01T12:00:00.250Z"),
            (json!("2024-01-01 12:00:00+0530"), "2024-01-01T06:30:00Z"),
            (json!("2024-01-01T12:00Z"), "2024-01-01T12:00:00Z"),
            (json!("2024-01-01T12:00"), "2024-01-01T12:00:00Z"),
            (json!("2024-01-01"), "2024-01-01T00:00:00Z"),
            (json!("Mon, 01 Jan 2024 12:00:00 +0100"), "2024-01-01T11:00:00Z"),
            (
                json!("Mon Jan 01 2024 12:00:00 GMT+0100 (Central European Standard Time)"),
                "2024-01-01T11:00:00Z",
            ),
            (json!({"_seconds": 1_704_110_400, "_nanoseconds": 500_000_000}), "2024-01-01T12:00:00.500Z"),
            (json!(1_790_000_000_000_i64), "2026-09-21T14:13:20Z"),
        ] {
            let (found, issues) = read(&json!({"id": "a", "created_at": written, "messages": []}));
            assert_eq!((found.created_at.unwrap().to_string().as_str(), issues.len()), (expect, 0));
        }
    }

    proptest! {
        #[test]
        fn no_json_panics(value in any_json()) {
            let raw = serde_json::to_vec(&value).unwrap();
            let _ = normalize(&raw);
            for stream in [Stream::Contacts, Stream::Leads] {
                let _ = listed_contact(stream, &raw);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = normalize(&bytes);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            "(text|user|assistant|API)".prop_map(Value::from),
        ];
        let key = "(id|created_at|updated_at|last_message_at|source|customer|form_submission|name|email|messages|role|content|type|text|score|phonenumber|custom_attributes|company|x)";
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
