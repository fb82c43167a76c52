//! `conversations.json` and `conversations.jsonl`.

use crate::helpers::{export, json_array, json_lines, text};
use crate::samples;

#[test]
fn both_files_hold_the_same_documents() {
    let (folder, _) = export(&samples::all());
    assert_eq!(json_array(folder.path()), samples::documents());
    assert_eq!(json_lines(folder.path()), samples::documents());
}

#[test]
fn a_document_has_fixed_bytes() {
    let (folder, _) = export(&[samples::bare(), samples::bare()]);
    let document = r#"{"schema":"chatark.conversation/1","source":"shop","provider":"chatbase-v2","agent_id":"a","id":"conv_0","title":null,"channel":null,"channel_raw":null,"status":null,"status_raw":null,"created_at":null,"updated_at":null,"contact":{"id":null,"name":null,"email":null,"phone":null,"company":null,"address":null,"website":null},"tags":[],"notes":null,"feedback":null,"messages":[{"position":0,"id":null,"role":"system","created_at":null,"text":"","parts":[],"feedback":null,"score":null,"author":{"kind":"system","id":null,"name":null},"internal":false}],"extra":{},"rating":null}"#;
    assert_eq!(text(folder.path(), "conversations.json"), format!("[\n{document},\n{document}\n]\n"));
    assert_eq!(text(folder.path(), "conversations.jsonl"), format!("{document}\n{document}\n"));
}

#[test]
fn each_document_is_one_line() {
    let (folder, _) = export(&samples::all());
    assert_eq!(text(folder.path(), "conversations.jsonl").lines().count(), 3);
    assert_eq!(text(folder.path(), "conversations.json").lines().count(), 5);
}

#[test]
fn an_empty_export_is_an_empty_array() {
    let (folder, _) = export(&[]);
    assert_eq!(text(folder.path(), "conversations.json"), "[]\n");
    assert_eq!(text(folder.path(), "conversations.jsonl"), "");
}
