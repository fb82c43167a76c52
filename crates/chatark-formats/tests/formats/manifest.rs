//! `manifest.json`: its contents match the files.

use std::fs;

use chatark_core::Channel;
use chatark_formats::{Export, Format, MANIFEST_SCHEMA};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::helpers::{export, export_into, names, options, state, text};
use crate::samples;

#[test]
fn the_manifest_matches_the_files() {
    let (folder, manifest) = export(&samples::all());
    let rows: Vec<(&str, u64)> = manifest.files.iter().map(|file| (file.name.as_str(), file.rows)).collect();
    assert_eq!(
        rows,
        [
            ("conversations.json", 3),
            ("conversations.jsonl", 3),
            ("conversations.csv", 3),
            ("messages.csv", 6)
        ]
    );
    for file in &manifest.files {
        let bytes = fs::read(folder.path().join(&file.name)).unwrap();
        assert_eq!(file.bytes, bytes.len() as u64);
        let digest: Vec<String> = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(file.sha256, digest.concat(), "{}", file.name);
    }
    let written: Value = serde_json::from_str(&text(folder.path(), "manifest.json")).unwrap();
    assert_eq!(serde_json::to_value(&manifest).unwrap(), written);
}

/// The digests of an empty file and of `[]` and a newline are the ones that `sha256sum` prints.
#[test]
fn a_manifest_has_fixed_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let export =
        Export::begin(folder.path(), &options(&[Format::Jsonl, Format::Json, Format::Json])).unwrap();
    let mut state = state();
    state.selection.since = samples::time(samples::NOON);
    state.selection.channel = Some(Channel::WhatsApp);
    export.finish(state).unwrap();
    let expect = r#"{
  "schema": "chatark.manifest/1",
  "generator": "chatark 0.1.0",
  "selection": {
    "sources": [
      "shop"
    ],
    "since": "2024-12-01T12:00:00Z",
    "until": null,
    "channel": "whatsapp"
  },
  "sources": [
    {
      "source": "shop",
      "provider": "chatbase-v2",
      "agent_id": "5QHA6VB",
      "conversations": 4,
      "messages": 9,
      "verdict": "complete"
    }
  ],
  "conversations": 0,
  "messages": 0,
  "csv": null,
  "files": [
    {
      "name": "conversations.json",
      "rows": 0,
      "bytes": 3,
      "sha256": "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570"
    },
    {
      "name": "conversations.jsonl",
      "rows": 0,
      "bytes": 0,
      "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
  ],
  "undated_left_out": 3
}
"#;
    assert_eq!(text(folder.path(), "manifest.json"), expect);
    assert_eq!(MANIFEST_SCHEMA, "chatark.manifest/1");
}

#[test]
fn the_same_conversations_give_the_same_bytes() {
    let (first, _) = export(&samples::all());
    let (second, _) = export(&samples::all());
    // A third time, over existing files.
    export_into(second.path(), &options(Format::ALL), &samples::all());
    assert_eq!(names(first.path()), names(second.path()));
    assert_eq!(names(first.path()).len(), 6);
    for name in names(first.path()) {
        assert_eq!(fs::read(first.path().join(&name)).unwrap(), fs::read(second.path().join(&name)).unwrap());
    }
}
