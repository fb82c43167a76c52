//! Writing an export into a temporary folder, and reading its files back.

use std::fs;
use std::path::Path;

use chatark_core::{ArchivedConversation, ConversationStats, SourceName, StatsSummary};
use chatark_formats::{Export, ExportContext, ExportOptions, ExportSelection, Format, Manifest, SourceState};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn options(formats: &[Format]) -> ExportOptions {
    ExportOptions { formats: formats.to_vec(), ..ExportOptions::default() }
}

pub(crate) fn state() -> ExportContext {
    let shop = SourceName::new("shop").unwrap();
    ExportContext {
        generator: "chatark 0.1.0".to_owned(),
        selection: ExportSelection { sources: vec![shop.clone()], ..ExportSelection::default() },
        sources: vec![SourceState {
            source: shop,
            provider: "chatbase-v2".to_owned(),
            agent_id: "5QHA6VB".to_owned(),
            conversations: 4,
            messages: 9,
            verdict: Some("complete".to_owned()),
        }],
        undated_left_out: 3,
    }
}

pub(crate) fn add(export: &mut Export, conversation: &ArchivedConversation) {
    export
        .write(conversation, &StatsSummary::from(&ConversationStats::of(&conversation.conversation)))
        .unwrap();
}

pub(crate) fn export_into(
    folder: &Path,
    options: &ExportOptions,
    conversations: &[ArchivedConversation],
) -> Manifest {
    let mut export = Export::begin(folder, options).unwrap();
    for conversation in conversations {
        add(&mut export, conversation);
    }
    export.finish(state()).unwrap()
}

/// Writes all formats into a new folder.
pub(crate) fn export(conversations: &[ArchivedConversation]) -> (TempDir, Manifest) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = export_into(folder.path(), &options(Format::ALL), conversations);
    (folder, manifest)
}

pub(crate) fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

pub(crate) fn json_array(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&text(folder, "conversations.json")).unwrap()
}

pub(crate) fn json_lines(folder: &Path) -> Vec<Value> {
    let text = text(folder, "conversations.jsonl");
    text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the rows of a CSV file, its header row first.
pub(crate) fn csv_rows(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let bytes = fs::read(folder.join(name)).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Returns the names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
