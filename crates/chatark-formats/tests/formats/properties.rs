//! Any text in any field is read back from the files unchanged.

use std::sync::LazyLock;

use chatark_core::{
    Author, AuthorKind, Channel, Contact, Conversation, ConversationId, Feedback, Message, Part, Rating,
    Role, Status, Timestamp,
};
use chatark_formats::Format;
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::helpers::{csv_rows, export_into, json_array, json_lines, options};
use crate::samples;
use crate::schema::conversation_schema;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| conversation_schema().1);

/// Any text, rich in what CSV and JSON must escape.
fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "\"", ",", "\n", "\r\n", "\r", "\0", "\u{feff}", "\u{2028}", "'", "=", " ", "\\", "🧡", "", "[", "\t",
    ]);
    prop_oneof![any::<String>(), proptest::collection::vec(odd, 0..6).prop_map(|pieces| pieces.concat())]
}

fn maybe_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(text())
}

fn maybe_time() -> impl Strategy<Value = Option<Timestamp>> {
    let microseconds = 946_684_800_000_000_i64..4_102_444_800_000_000;
    proptest::option::of(microseconds.prop_map(|at| Timestamp::from_microseconds(at).unwrap()))
}

fn contact() -> impl Strategy<Value = Contact> {
    let six = (maybe_text(), maybe_text(), maybe_text(), maybe_text(), maybe_text(), maybe_text());
    (six, maybe_text()).prop_map(|((id, name, email, phone, company, address), website)| Contact {
        id,
        name,
        email,
        phone,
        company,
        address,
        website,
    })
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        text().prop_map(Part::text),
        (text(), maybe_text()).prop_map(|(kind, data)| Part::Other { kind, data: json!(data) }),
        (maybe_text(), maybe_text()).prop_map(|(url, name)| Part::File { url, name }),
    ]
}

fn author() -> impl Strategy<Value = Author> {
    let kind = proptest::option::of(select(AuthorKind::ALL));
    (kind, maybe_text(), maybe_text()).prop_map(|(kind, id, name)| Author { kind, id, name })
}

fn rating() -> impl Strategy<Value = Rating> {
    (0..=50_u8, 50..=100_u8)
        .prop_map(|(value, scale)| Rating { value: f64::from(value) / 10.0, scale: f64::from(scale) / 10.0 })
}

fn message() -> impl Strategy<Value = Message> {
    let fields = (
        maybe_text(),
        select(Role::ALL),
        maybe_text(),
        maybe_time(),
        proptest::collection::vec(part(), 0..4),
        proptest::option::of(select(Feedback::ALL)),
        proptest::option::of(0..=1000_i32),
        maybe_text(),
        (author(), any::<bool>()),
    );
    fields.prop_map(|(id, role, role_raw, created_at, parts, feedback, score, extra, author)| Message {
        id,
        role,
        role_raw,
        created_at,
        parts,
        feedback,
        score: score.map(|thousandths| f64::from(thousandths) / 1000.0),
        extra: extra.into_iter().map(|key| (key.clone(), json!(key))).collect(),
        author: author.0,
        internal: author.1,
    })
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let texts = (text(), maybe_text(), maybe_text(), maybe_text(), maybe_text());
    let words = (
        proptest::option::of(select(Channel::ALL)),
        proptest::option::of(select(Status::ALL)),
        proptest::option::of(select(Feedback::ALL)),
        proptest::option::of(rating()),
    );
    let lists = (proptest::collection::vec(text(), 0..3), proptest::collection::vec(message(), 0..4));
    (texts, words, (maybe_time(), maybe_time()), lists, contact()).prop_map(
        |(texts, words, times, lists, contact)| {
            let (id, title, channel_raw, status_raw, notes) = texts;
            let (channel, status, feedback, rating) = words;
            Conversation {
                title,
                channel,
                channel_raw,
                status,
                status_raw,
                created_at: times.0,
                updated_at: times.1,
                contact,
                tags: lists.0,
                notes,
                feedback,
                messages: lists.1,
                rating,
                ..Conversation::empty(ConversationId::new(id))
            }
        },
    )
}

/// Returns what a cell holds of an optional text.
fn cell(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_back_unchanged(agent in text(), conversations in proptest::collection::vec(conversation(), 0..4)) {
        let archived: Vec<_> =
            conversations.iter().map(|one| samples::archived(&agent, one.clone())).collect();
        let folder = tempfile::tempdir().unwrap();
        let manifest = export_into(folder.path(), &options(Format::ALL), &archived);

        let documents = json_array(folder.path());
        prop_assert_eq!(&documents, &json_lines(folder.path()));
        prop_assert_eq!(documents.len(), conversations.len());
        let rows = csv_rows(folder.path(), "conversations.csv");
        prop_assert_eq!(rows.len(), conversations.len() + 1);
        let mut message_rows = csv_rows(folder.path(), "messages.csv").into_iter().skip(1);
        for ((one, document), row) in conversations.iter().zip(&documents).zip(&rows[1..]) {
            prop_assert!(SCHEMA.is_valid(document));
            prop_assert_eq!(&document["agent_id"], &json!(agent));
            prop_assert_eq!(&document["id"], &json!(one.id.as_str()));
            prop_assert_eq!(&document["title"], &json!(one.title));
            prop_assert_eq!(&document["channel_raw"], &json!(one.channel_raw));
            prop_assert_eq!(&document["status_raw"], &json!(one.status_raw));
            prop_assert_eq!(&document["tags"], &json!(one.tags));
            prop_assert_eq!(&document["notes"], &json!(one.notes));
            prop_assert_eq!(&document["contact"]["address"], &json!(one.contact.address));
            prop_assert_eq!(&document["contact"]["website"], &json!(one.contact.website));
            let rating = one.rating.map(|rating| json!({"value": rating.value, "scale": rating.scale}));
            prop_assert_eq!(&document["rating"], &json!(rating));
            prop_assert_eq!(row[24].parse().ok(), one.rating.map(|rating| rating.value));
            prop_assert_eq!(row[25].parse().ok(), one.rating.map(|rating| rating.scale));
            let tags = if one.tags.is_empty() { String::new() } else { json!(one.tags).to_string() };
            let contact = &one.contact;
            let texts = [
                (2, agent.as_str()),
                (3, one.id.as_str()),
                (4, cell(one.title.as_ref())),
                (6, cell(one.channel_raw.as_ref())),
                (10, cell(contact.id.as_ref())),
                (11, cell(contact.name.as_ref())),
                (12, cell(contact.email.as_ref())),
                (13, cell(contact.phone.as_ref())),
                (14, cell(contact.company.as_ref())),
                (15, tags.as_str()),
                (16, cell(one.notes.as_ref())),
            ];
            for (column, expect) in texts {
                prop_assert_eq!(&row[column], expect, "column {}", column);
            }
            for (at, (message, document)) in one.messages.iter().zip(document["messages"].as_array().unwrap()).enumerate() {
                let row = message_rows.next().unwrap();
                let texts: Vec<&str> = message.parts.iter().filter_map(Part::as_text).collect();
                let text = texts.join("\n");
                prop_assert_eq!(&document["text"], &json!(text));
                prop_assert_eq!(document.get("role_raw").cloned(), message.role_raw.as_ref().map(|raw| json!(raw)));
                let parts: Vec<Part> = serde_json::from_value(document["parts"].clone()).unwrap();
                prop_assert_eq!(&parts, &message.parts);
                let rest: Vec<&Part> = message.parts.iter().filter(|part| part.as_text().is_none()).collect();
                let cells = [
                    (3, one.id.as_str().to_owned()),
                    (4, at.to_string()),
                    (5, cell(message.id.as_ref()).to_owned()),
                    (7, message.created_at.map(|at| at.to_string()).unwrap_or_default()),
                    (8, text),
                    (12, message.author_kind().map_or("", AuthorKind::as_str).to_owned()),
                    (13, cell(message.author.id.as_ref()).to_owned()),
                    (14, cell(message.author.name.as_ref()).to_owned()),
                    (15, message.internal.to_string()),
                ];
                for (column, expect) in cells {
                    prop_assert_eq!(&row[column], &expect, "column {}", column);
                }
                let author = json!({
                    "kind": message.author_kind().map(AuthorKind::as_str),
                    "id": message.author.id,
                    "name": message.author.name,
                });
                prop_assert_eq!(&document["author"], &author);
                prop_assert_eq!(&document["internal"], &json!(message.internal));
                prop_assert_eq!(row[10].parse().ok(), message.score);
                if rest.is_empty() {
                    prop_assert_eq!(&row[11], "");
                } else {
                    prop_assert_eq!(serde_json::from_str::<Value>(&row[11]).unwrap(), serde_json::to_value(rest).unwrap());
                }
            }
        }
        prop_assert!(message_rows.next().is_none());
        prop_assert_eq!(manifest.messages, conversations.iter().map(|one| one.messages.len() as u64).sum::<u64>());
    }
}
