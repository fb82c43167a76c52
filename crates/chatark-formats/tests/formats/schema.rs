//! The published schemas: every export is valid, and broken documents are not.

use chatark_core::{AuthorKind, Channel, Feedback, Role, Status};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::helpers::{export, json_lines, text};
use crate::samples;

fn schema(text: &str) -> (Value, Validator) {
    let schema: Value = serde_json::from_str(text).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    (schema, validator)
}

pub(crate) fn conversation_schema() -> (Value, Validator) {
    schema(include_str!("../../../../docs/schema/conversation.schema.json"))
}

fn manifest_schema() -> (Value, Validator) {
    schema(include_str!("../../../../docs/schema/manifest.schema.json"))
}

#[test]
fn every_document_is_valid() {
    let (_, validator) = conversation_schema();
    let (folder, _) = export(&samples::all());
    for document in json_lines(folder.path()) {
        validator.validate(&document).unwrap();
    }
}

#[test]
fn every_manifest_is_valid() {
    let (_, validator) = manifest_schema();
    for conversations in [samples::all(), vec![]] {
        let (folder, _) = export(&conversations);
        let manifest = serde_json::from_str(&text(folder.path(), "manifest.json")).unwrap();
        validator.validate(&manifest).unwrap();
    }
}

#[test]
fn broken_documents_are_rejected() {
    let (_, validator) = conversation_schema();
    let good = &samples::documents()[0];
    assert!(validator.is_valid(good));
    let breakages = [
        ("/schema", json!("chatark.conversation/2")),
        ("/source", json!("-shop")),
        ("/source", json!("shop\n")),
        ("/id", json!(7)),
        ("/channel", json!("WhatsApp")),
        ("/status", json!("resolved")),
        ("/created_at", json!("2024-12-01T12:00:00+01:00")),
        ("/created_at", json!("2024-12-01T12:00:00.1Z")),
        ("/updated_at", json!(1_733_054_400)),
        ("/contact/name", json!(["Jane"])),
        ("/tags", json!([1])),
        ("/feedback", json!("good")),
        ("/extra", json!(null)),
        ("/derived", json!([])),
        ("/messages/0/position", json!(-1)),
        ("/messages/0/role", json!("bot")),
        ("/messages/0/score", json!(1.5)),
        ("/messages/0/text", json!(null)),
        ("/messages/1/extra", json!({})),
        ("/messages/2/parts/0/type", json!("call")),
        ("/messages/2/parts/3/options", json!(null)),
        ("/messages/2/parts/8/fields/0/label", json!(1)),
        ("/messages/0/author", json!(null)),
        ("/messages/0/author/kind", json!("assistant")),
        ("/messages/2/author/name", json!(7)),
        ("/messages/0/internal", json!(null)),
        ("/rating", json!(4.5)),
        ("/rating/value", json!(-1)),
        ("/rating/scale", json!(0)),
    ];
    for (pointer, value) in breakages {
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).unwrap() = value.clone();
        assert!(!validator.is_valid(&broken), "{pointer} = {value}");
    }
}

#[test]
fn no_field_may_be_missing_or_unknown() {
    let (_, validator) = conversation_schema();
    let good = &samples::documents()[0];
    let optional = ["derived", "role_raw", "input"];
    // Every object that the schema owns: all but the two `extra` and the values that are any JSON.
    let mut owned: Vec<String> = ["", "/contact", "/rating"].map(str::to_owned).to_vec();
    for message in 0..4 {
        owned.push(format!("/messages/{message}"));
        owned.push(format!("/messages/{message}/author"));
    }
    for part in 0..10 {
        owned.push(format!("/messages/2/parts/{part}"));
    }
    for inner in ["/messages/1/parts/0", "/messages/2/parts/3/options/0", "/messages/2/parts/8/fields/0"] {
        owned.push(inner.to_owned());
    }
    for place in owned {
        let mut more = good.clone();
        more.pointer_mut(&place).unwrap()["surprise"] = json!(null);
        assert!(!validator.is_valid(&more), "unknown field in {place}");
        let keys: Vec<String> = good.pointer(&place).unwrap().as_object().unwrap().keys().cloned().collect();
        for key in keys {
            let mut less = good.clone();
            less.pointer_mut(&place).unwrap().as_object_mut().unwrap().remove(&key);
            let may_be_missing = optional.contains(&key.as_str()) || (key == "extra" && !place.is_empty());
            assert_eq!(validator.is_valid(&less), may_be_missing, "{place} without {key}");
        }
    }
}

#[test]
fn broken_manifests_are_rejected() {
    let (_, validator) = manifest_schema();
    let (folder, _) = export(&samples::all());
    let good: Value = serde_json::from_str(&text(folder.path(), "manifest.json")).unwrap();
    assert!(validator.is_valid(&good));
    let breakages = [
        ("/schema", json!("chatark.conversation/1")),
        ("/selection/since", json!("yesterday")),
        ("/selection/channel", json!("fax")),
        ("/sources/0/conversations", json!(-1)),
        ("/csv", json!({})),
        ("/files", json!([])),
        ("/files/0/sha256", json!("00")),
        ("/files/0/name", json!("../conversations.json")),
    ];
    for (pointer, value) in breakages {
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).unwrap() = value.clone();
        assert!(!validator.is_valid(&broken), "{pointer} = {value}");
    }
}

#[test]
fn the_schemas_list_the_words_of_the_model() {
    let words = |words: Vec<&str>, nullable: bool| {
        let null = nullable.then_some(Value::Null);
        Value::Array(null.into_iter().chain(words.into_iter().map(Value::from)).collect())
    };
    let channels = words(Channel::ALL.iter().map(|channel| channel.as_str()).collect(), true);
    let (conversation, _) = conversation_schema();
    assert_eq!(conversation["properties"]["channel"]["enum"], channels);
    let statuses = words(Status::ALL.iter().map(|status| status.as_str()).collect(), true);
    assert_eq!(conversation["properties"]["status"]["enum"], statuses);
    let feedback = words(Feedback::ALL.iter().map(|feedback| feedback.as_str()).collect(), true);
    assert_eq!(conversation["$defs"]["feedback"]["enum"], feedback);
    let roles = words(Role::ALL.iter().map(|role| role.as_str()).collect(), false);
    assert_eq!(conversation["$defs"]["message"]["properties"]["role"]["enum"], roles);
    let kinds = words(AuthorKind::ALL.iter().map(|kind| kind.as_str()).collect(), true);
    assert_eq!(conversation["$defs"]["author"]["properties"]["kind"]["enum"], kinds);
    let (manifest, _) = manifest_schema();
    assert_eq!(manifest["properties"]["selection"]["properties"]["channel"]["enum"], channels);
}
