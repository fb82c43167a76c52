//! What messages about failures must not contain: identifiers of people, and keys in any spelling.

use std::fmt::Write as _;

use chatark_sandbox::{Fault, FaultKind, Vendor};
use chatark_tests::{Run, TestEnvironment};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{agent, agent_with, sample};

const PHONE: &str = "+4915112345617";
const DIGITS: &str = "15112345617";
const ADDRESS: &str = "jane.doe@example.com";

/// Checks that a run shows masked ids alone, on both outputs.
#[track_caller]
fn assert_only_masked_ids(run: &Run) {
    let shown = format!("{}{}", run.stdout, run.stderr);
    assert!(shown.contains("+49…17") && shown.contains("j…@…"), "{shown}");
    assert!(!shown.contains(DIGITS) && !shown.contains("jane.doe"), "{shown}");
}

/// An environment of one source whose conversations have identifiers of people as their ids, each with an unknown field.
fn environment_with_personal_ids() -> TestEnvironment {
    let mut conversations: Vec<_> = agent(Vendor::ChatbaseV1, 2).dataset.iter().collect();
    for (conversation, id) in conversations.iter_mut().zip([PHONE, ADDRESS]) {
        conversation.id = id.to_owned();
    }
    let agent = agent_with(Vendor::ChatbaseV1, conversations);
    let env = TestEnvironment::of(vec![agent.clone()]);
    for (id, field) in [(PHONE, "mood"), (ADDRESS, "weather")] {
        let record = json!({ "id": id, field: "good", "created_at": "2026-01-01T00:00:00Z", "messages": [] });
        env.sandbox().update(&agent.id, |dataset| dataset.override_raw(id, record.to_string()));
    }
    env
}

#[test]
fn samples_of_drift_show_no_telephone_number_and_no_address() {
    let env = environment_with_personal_ids();
    env.expect(0, &["pull"]);
    assert_only_masked_ids(&env.expect(0, &["drift"]));
    let result = env.expect(0, &["drift", "--json"]).json();
    let ids: Vec<_> =
        result["issues"].as_array().unwrap().iter().map(|one| &one["sample_conversation"]).collect();
    assert!(
        ids.contains(&&json!(PHONE)) && ids.contains(&&json!(ADDRESS)),
        "ids for machines are whole: {ids:?}"
    );
}

#[test]
fn findings_of_verify_show_no_telephone_number_and_no_address() {
    let env = environment_with_personal_ids();
    env.expect(0, &["pull"]);
    let archive = Connection::open(env.path("chatark.db")).unwrap();
    assert_eq!(archive.execute("UPDATE conversation SET title = 'spoilt'", []).unwrap(), 2);
    archive.close().unwrap();
    assert_only_masked_ids(&env.run(&["verify"]));
    let result = env.run(&["verify", "--json"]).json();
    let findings = result["sources"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["conversation"] == PHONE), "{findings:?}");
    assert!(findings.iter().all(|finding| !finding["what"].as_str().unwrap().contains(DIGITS)));
}

#[test]
fn notes_and_errors_about_single_conversations_show_no_telephone_number_and_no_address() {
    for vendor in [Vendor::ChatbaseV2, Vendor::ConvocoreV3] {
        let env = TestEnvironment::of(vec![sample(vendor)]);
        let asked = ["pull", "source-1", "--conversation", PHONE, "--conversation", ADDRESS];
        assert_only_masked_ids(&env.expect(3, &asked));
        assert_only_masked_ids(&env.expect(3, &[&asked[..], &["-vv", "--json"]].concat()));
        // The vendor repeats what it was asked for.
        let words = format!("no conversation {PHONE} and none {ADDRESS}");
        let body = match vendor {
            Vendor::ConvocoreV3 => json!({ "message": words, "code": "BAD_REQUEST" }),
            _ => json!({ "error": { "code": "RESOURCE_NOT_FOUND", "message": words } }),
        };
        let kind = FaultKind::Status {
            code: 400,
            body: body.to_string(),
            content_type: "application/json".to_owned(),
        };
        let agent = sample(vendor);
        env.sandbox().add_fault(&agent.id, Fault::from(0, kind).on_any_route());
        for id in [PHONE, ADDRESS] {
            let run = env.run(&["pull", "source-1", "--conversation", id, "--json"]);
            let shown = format!("{}{}", run.stdout, run.stderr);
            let masked = if id == PHONE { "+49…17" } else { "j…@…" };
            assert!(run.code != Some(0) && shown.contains(masked) && !shown.contains(id), "{shown}");
        }
    }
}

/// Returns a key in the spellings of JSON, URLs and HTML.
fn spellings(key: &str) -> [String; 5] {
    let mut spelled: [String; 5] = Default::default();
    for byte in key.bytes() {
        let [json, twice, percent, again, html] = &mut spelled;
        write!(json, "\\u{byte:04x}").unwrap();
        write!(twice, "\\\\u{byte:04X}").unwrap();
        write!(percent, "%{byte:02X}").unwrap();
        write!(again, "%25{byte:02x}").unwrap();
        write!(html, "&#x{byte:x};").unwrap();
    }
    spelled
}

#[test]
fn a_key_that_a_vendor_repeats_in_any_spelling_reaches_no_error_log_or_result() {
    for vendor in crate::support::VENDORS {
        let agent = sample(vendor);
        let key = &agent.key;
        for spelled in spellings(key) {
            let words = format!("the key {spelled} and {key} may not do this");
            let body = match vendor {
                Vendor::ChatbaseV2 => json!({ "error": { "code": spelled, "message": words } }),
                _ => json!({ "message": words, "code": spelled }),
            };
            let env = TestEnvironment::of(vec![agent.clone()]);
            let content_type = "application/json".to_owned();
            let kind = FaultKind::Status { code: 403, body: body.to_string(), content_type };
            env.sandbox().add_fault(&agent.id, Fault::from(0, kind).on_any_route());
            let run = env.expect(7, &["pull", "-vv", "--json"]);
            let shown = format!("{}{}", run.stdout, run.stderr);
            let in_json = spelled.replace('\\', "\\\\");
            assert!(shown.contains("****") && !shown.contains(key.as_str()), "{shown}");
            assert!(!shown.contains(&spelled) && !shown.contains(&in_json), "{shown}");
        }
    }
}

/// Convocore's text about the quota is shown after a pull that succeeds.
#[test]
fn a_key_in_a_text_about_the_quota_is_not_shown() {
    let agent = sample(Vendor::ConvocoreV3);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let key = &agent.key;
    let escaped = &spellings(key)[0];
    let page: Value = json!({
        "success": true, "mode": "paged", "data": [], "hasMore": false, "nextCursor": null,
        "usage": { "billableUsedThisRequest": 0, "summary": format!("used by {key} and {escaped}\u{1b}[31m") },
    });
    let content_type = "application/json".to_owned();
    let kind = FaultKind::Status { code: 200, body: page.to_string(), content_type };
    env.sandbox().add_fault(&agent.id, Fault::from(0, kind));
    let run = env.expect(0, &["pull"]);
    assert!(run.stderr.contains("used by **** and ****"), "{}", run.stderr);
    assert!(!run.stderr.contains(key.as_str()) && !run.stderr.contains(escaped.as_str()), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn a_key_in_the_target_of_a_redirect_is_not_shown() {
    let agent = sample(Vendor::ChatbaseV2);
    let env = TestEnvironment::of(vec![agent.clone()]);
    let key = &agent.key;
    for location in [format!("https://{key}.example.com/"), format!("https://{key}:{key}@example.com/{key}")]
    {
        let fault = Fault::from(0, FaultKind::Redirect { location }).on_any_route();
        env.sandbox().add_fault(&agent.id, fault);
        let run = env.expect(7, &["pull", "-vv", "--json"]);
        let shown = format!("{}{}", run.stdout, run.stderr).to_lowercase();
        assert!(shown.contains("a redirect to") && shown.contains("example.com"), "{shown}");
        assert!(!shown.contains(&key.to_lowercase()), "{shown}");
    }
}
