//! Each type of message: payloads as the vendor sends them, and the expected parts, worked out by hand.

use chatark_core::Issues;
use chatark_core::issue::Path;
use serde_json::{Value, json};

use super::form::SUBMISSION;
use super::{OPAQUE, is_known, read};

const URL: &str = "https://cdn.example.com/a";

fn read_payload(kind: &str, payload: Value) -> (Value, Value, Vec<String>) {
    let issues = Issues::default();
    let payload = Some(payload).filter(|payload| !payload.is_null());
    let (parts, leftovers) = read(kind, payload, Path::Key(&Path::Root, "payload"), &issues);
    let parts = serde_json::to_value(parts).unwrap();
    let issues = issues.into_vec();
    let issues = issues.iter().map(|issue| format!("{} {}", issue.kind.as_str(), issue.path)).collect();
    (parts, Value::Object(leftovers), issues)
}

/// Checks a payload that the model has a place for.
#[track_caller]
fn check(kind: &str, payload: Value, expect: Value) {
    assert_eq!(read_payload(kind, payload), (expect, json!({}), vec![]), "{kind}");
}

/// Checks what is kept beside the parts, and the issues.
#[track_caller]
fn check_leftovers(kind: &str, payload: Value, leftovers: Value, issues: &[&str]) {
    let (_, rest, found) = read_payload(kind, payload);
    assert_eq!((rest, found), (leftovers, issues.iter().map(ToString::to_string).collect()), "{kind}");
}

/// Checks a payload that is kept as it is, without an issue.
#[track_caller]
fn check_kept_whole(kind: &str, payload: Value) {
    let expect = json!([{"type": "other", "kind": kind, "data": payload}]);
    check(kind, payload, expect);
}

#[test]
fn texts_and_notices_become_text() {
    check("text", json!({"message": "Hi"}), json!([{"type": "text", "text": "Hi"}]));
    check("text", json!("Hi"), json!([{"type": "text", "text": "Hi"}]));
    check("text", json!({"message": ""}), json!([{"type": "text", "text": ""}]));
    check("text", json!({}), json!([]));
    check("text", Value::Null, json!([]));
    for kind in ["info:default", "info:success", "info:danger", "info:primary", "info:new"] {
        check(kind, json!("Sent"), json!([{"type": "text", "text": "Sent"}]));
        check(kind, json!({"message": "Sent"}), json!([{"type": "text", "text": "Sent"}]));
    }
    check_leftovers(
        "text",
        json!({"message": 1, "tone": "warm"}),
        json!({"payload.message": 1, "payload.tone": "warm"}),
        &["wrong-type payload.message", "unknown-field payload.tone"],
    );
    let (parts, rest, issues) = read_payload("text", json!(["a"]));
    assert_eq!(parts, json!([{"type": "other", "kind": "text", "data": ["a"]}]));
    assert_eq!((rest, issues), (json!({}), vec!["wrong-type payload".to_owned()]));
}

#[test]
fn buttons_become_choices() {
    let buttons = json!([
        {"name": "Prices", "request": {"type": "text", "payload": {"message": "Tell me"}}},
        {"label": "Docs", "request": {"type": "open_url", "payload": {"url": URL}}},
        {"name": "Yes", "request": {"type": "text", "payload": "yes"}},
        {"name": "Bare"}, "Plain",
    ]);
    let expect = json!([{"type": "choice", "options": [
        {"label": "Prices", "value": "Tell me", "url": null},
        {"label": "Docs", "value": null, "url": URL},
        {"label": "Yes", "value": "yes", "url": null},
        {"label": "Bare", "value": null, "url": null},
        {"label": "Plain", "value": null, "url": null},
    ]}]);
    for kind in ["choice", "MultiSelect", "MultiDropdown"] {
        check(kind, json!({"buttons": buttons}), expect.clone());
        check(kind, buttons.clone(), expect.clone());
        check_kept_whole(kind, json!({"choices": []}));
    }
    let odd = json!([{"name": "Call", "request": {"type": "dial", "payload": {"number": 1}}}, 7]);
    let (parts, rest, issues) = read_payload("choice", json!({"buttons": odd, "max": 2}));
    assert_eq!(parts[0]["options"], json!([{"label": "Call", "value": null, "url": null}]));
    assert_eq!(rest, json!({"payload.buttons": odd, "payload.max": 2}));
    let expect = [
        "unknown-value payload.buttons[0].request.type",
        "wrong-type payload.buttons[1]",
        "unknown-field payload.max",
    ];
    assert_eq!(issues, expect);
    let icon = json!([{"name": "A", "icon": "star"}]);
    check_leftovers("choice", icon.clone(), json!({"payload": icon}), &["unknown-field payload[0].icon"]);
}

#[test]
fn pictures_follow_their_text() {
    let image = |url: &str| json!({"type": "image", "url": url});
    check("visual", json!({"image": URL}), json!([image(URL)]));
    check("visual", json!(URL), json!([image(URL)]));
    let text = json!({"type": "text", "text": "Look"});
    check("visual", json!({"images": ["a", "b"], "message": "Look"}), json!([text, image("a"), image("b")]));
    check("visual", json!({"image": "a", "images": ["a", "b"]}), json!([image("a"), image("b")]));
    check_kept_whole("visual", json!({"video": "a"}));
    check_leftovers(
        "visual",
        json!({"images": ["a"], "imageCount": 1}),
        json!({"payload.imageCount": 1}),
        &[],
    );
}

#[test]
fn cards_and_carousels_become_cards() {
    let button = json!({"name": "Buy", "request": {"type": "open_url", "payload": {"url": URL}}});
    let sent = json!({
        "title": "Pro", "imageUrl": URL, "description": {"text": "All of it"}, "buttons": [button],
    });
    let card = json!({
        "type": "card", "title": "Pro", "text": "All of it", "image_url": URL,
        "options": [{"label": "Buy", "value": null, "url": URL}],
    });
    let small = json!({"type": "card", "title": "S", "text": "T", "image_url": null, "options": []});
    check("cardV2", sent.clone(), json!([card]));
    check("cardV2", json!({"title": "S", "description": "T"}), json!([small]));
    let two = json!([sent, {"title": "S", "description": "T"}]);
    check("carousel", json!({"cards": two}), json!([card, small]));
    check("carousel", two, json!([card, small]));
    check_kept_whole("carousel", json!({"slides": []}));
    let (parts, rest, issues) =
        read_payload("carousel", json!({"cards": ["x", {"description": {"html": "h"}, "price": 1}]}));
    assert_eq!(parts[0], json!({"type": "other", "kind": "carousel", "data": "x"}));
    assert_eq!(rest, json!({"payload.cards[1].description.html": "h", "payload.cards[1].price": 1}));
    assert_eq!(issues.len(), 3);
}

#[test]
fn voice_notes_and_files_keep_their_url_and_name() {
    let audio = |transcript: Value| json!([{"type": "audio", "url": URL, "transcript": transcript}]);
    check("VoiceNote", json!(URL), audio(Value::Null));
    check("VoiceNote", json!({"url": URL, "transcription": "Hello"}), audio(json!("Hello")));
    check("VoiceNote", json!({"audio": URL, "text": "Hello"}), audio(json!("Hello")));
    check_kept_whole("VoiceNote", json!({"seconds": 3}));
    let file = |url: &str, name: Value| json!({"type": "file", "url": url, "name": name});
    for kind in ["file", "FileUpload", "MultiFileUpload", "Attachment"] {
        check(kind, json!(URL), json!([file(URL, Value::Null)]));
        check(kind, json!({"link": URL, "fileName": "a.pdf"}), json!([file(URL, json!("a.pdf"))]));
        let several = json!([file("a", Value::Null), file("b", json!("b.pdf"))]);
        check(kind, json!({"files": ["a", {"url": "b", "name": "b.pdf"}]}), several.clone());
        check(kind, json!({"urls": ["a", {"fileUrl": "b", "name": "b.pdf"}]}), several.clone());
        check(kind, json!(["a", {"url": "b", "name": "b.pdf"}]), several);
        check_kept_whole(kind, json!({"prompt": "Send a photo"}));
    }
    let sized = json!([{"url": "a", "size": 9}]);
    check_leftovers(
        "file",
        json!({"files": sized, "page": 1}),
        json!({"payload.files": sized, "payload.page": 1}),
        &["unknown-field payload.page"],
    );
    check_leftovers("file", sized.clone(), json!({"payload": sized}), &[]);
}

#[test]
fn a_form_has_its_answers() {
    let payload = json!({
        "title": "Contact",
        "fields": [{"id": "f1", "type": "email", "label": "E-mail"}, {"id": 2, "type": "text", "label": "Name"}],
        "submittedData": [
            {"index": 0, "label": "E-mail", "value": "j@example.com", "field_id": "f1", "field_type": "email"},
            {"index": 1, "label": "Age", "value": 41, "field_id": "f3", "field_type": "number"},
        ],
        "isSubmitted": true,
    });
    let expect = json!([{"type": "form", "title": "Contact", "submitted": true, "fields": [
        {"id": "f1", "label": "E-mail", "kind": "email", "value": "j@example.com"},
        {"id": "2", "label": "Name", "kind": "text", "value": null},
        {"id": "f3", "label": "Age", "kind": "number", "value": 41},
    ]}]);
    for kind in ["form", "ui_engine_form", "GoogleForm", "EmailForm", SUBMISSION] {
        check(kind, payload.clone(), expect.clone());
    }
    check_kept_whole("GoogleForm", json!({"url": URL}));
    check_kept_whole("EmailForm", json!({"subject": "Hi"}));
    let fields = json!([{"id": "f1", "label": "Size", "type": "select", "options": ["S", "M"]}]);
    check_leftovers(
        "form",
        json!({"fields": fields, "description": "d", "onSubmit": {"type": "submit_form"}}),
        json!({"payload.fields": fields, "payload.description": "d", "payload.onSubmit": {"type": "submit_form"}}),
        &[],
    );
    check_leftovers(
        "form",
        json!({"fields": ["x"], "submittedData": [{"value": 1, "mood": 2}, 3]}),
        json!({"payload.fields": ["x"], "payload.submittedData": [{"value": 1, "mood": 2}, 3]}),
        &[
            "wrong-type payload.fields[0]",
            "unknown-field payload.submittedData[0].mood",
            "wrong-type payload.submittedData[1]",
        ],
    );
}

#[test]
fn inputs_and_email_forms_become_forms() {
    let field = |id: &str, value: Value| json!({"id": id, "label": null, "kind": null, "value": value});
    let form = |fields: Value| json!([{"type": "form", "title": null, "fields": fields, "submitted": null}]);
    let mail = json!({"email": "j@example.com", "message": "Call me", "attachmentLinks": []});
    let fields = json!([field("email", json!("j@example.com")), field("message", json!("Call me"))]);
    check("EmailForm", mail, form(fields));
    let links = json!({"email": "j@example.com", "attachmentLinks": [URL]});
    check_leftovers("EmailForm", links, json!({"payload.attachmentLinks": [URL]}), &[]);
    let declared = json!({"id": "f", "label": "Name", "type": "text"});
    let input = json!({"field": declared, "submittedValue": "Jane", "isSubmitted": true});
    let expect = json!([{"type": "form", "title": null, "submitted": true, "fields": [
        {"id": "f", "label": "Name", "kind": "text", "value": "Jane"},
    ]}]);
    check("input", input.clone(), expect.clone());
    check("ui_engine_input", input, expect);
    check_kept_whole("input", json!({"submitOnEnter": true}));
    let answers = json!({"name": "Jane", "age": 41, "news": false, "none": null});
    let fields = json!([field("age", json!(41)), field("name", json!("Jane")), field("news", json!(false))]);
    check(SUBMISSION, answers, form(fields));
    check_leftovers(SUBMISSION, json!({"a": 1, "b": {"c": 2}}), json!({"payload.b": {"c": 2}}), &[]);
    check_kept_whole(SUBMISSION, json!({"b": {"c": 2}}));
    check_leftovers(SUBMISSION, json!(["a"]), json!({}), &["wrong-type payload"]);
}

#[test]
fn traces_become_tool_results() {
    let result = |name: &str, data: Value| json!([{"type": "tool_result", "id": null, "name": name, "status": null, "data": data, "error": null}]);
    let trace = json!({"message": "Tool ended: recommend [{\"title\":\"Pr"});
    check("debug:tell", trace, result("recommend", json!("[{\"title\":\"Pr")));
    check("debug:tell", json!({"message": "Tool ended: KB-Search"}), result("KB-Search", Value::Null));
    check("debug:tell", json!("Tool ended:  x   y z "), result("x", json!("y z")));
    check_kept_whole("debug:tell", json!({"message": "Tool ended: "}));
    check_kept_whole("debug:tell", json!({"message": "Searching"}));
    check_kept_whole("debug:tell", json!(["Tool ended: x"]));
    let timed = json!({"message": "Tool ended: x", "ms": 3});
    check_leftovers("debug:tell", timed, json!({"payload.ms": 3}), &["unknown-field payload.ms"]);
}

#[test]
fn other_known_types_are_kept_whole() {
    for kind in OPAQUE {
        assert!(is_known(kind));
        check_kept_whole(kind, json!({"a": [1]}));
        check_kept_whole(kind, json!({}));
        check_kept_whole(kind, Value::Null);
    }
    assert!(!is_known("hologram"));
    check_kept_whole("hologram", json!({"shape": 1}));
    for kind in ["choice", "visual", "cardV2", "carousel", "VoiceNote", "file", "form", "EmailForm", "input"]
    {
        check_kept_whole(kind, Value::Null);
        check_leftovers(
            kind,
            json!(true),
            json!({}),
            if kind == "file" { &[] } else { &["wrong-type payload"] },
        );
    }
}

/// The 41 types that the vendor's own code accepts, and the four of its WebSocket API.
#[test]
fn every_type_of_the_vendor_is_known() {
    let types = "launch text choice MultiSelect cardV2 carousel visual GetBrowserData Embed location iFrame \
        FileUpload MultiFileUpload GoogleForm EmailForm SetConvoData VoiceNote SetRuntime no-reply VGVF_Channel \
        VFVG_Channel VG_Response knowledgeBase jsx Flowise MultiDropdown Slider Attachment info:default \
        info:success info:danger info:primary end debug stealth debug:success debug:error debug:tell \
        context:form_submission file browser_capture form input ui_engine_form ui_engine_input";
    let types: Vec<_> = types.split_whitespace().collect();
    assert_eq!(types.len(), 45);
    for kind in types {
        assert!(is_known(kind), "{kind}");
    }
}
