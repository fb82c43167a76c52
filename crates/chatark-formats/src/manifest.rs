//! The contents of `manifest.json`: the selection, the contents of the archive, and the hash of every file.

use chatark_core::{Channel, SourceName, Timestamp};
use serde::Serialize;

/// The name and version of the document that a [`Manifest`] serializes to.
pub const MANIFEST_SCHEMA: &str = "chatark.manifest/1";

/// What the caller of an export adds to the manifest: the program, the selection, and the state of the archive.
///
/// It has no time of the export, so that the same archive gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportContext {
    /// The program and its version.
    pub generator: String,
    /// The selection.
    pub selection: ExportSelection,
    /// The selected sources, in the order of the rows.
    pub sources: Vec<SourceState>,
    /// The number of conversations that the selected dates leave out because they have no date.
    pub undated_left_out: u64,
}

/// What was selected. The default is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExportSelection {
    /// The names of the sources; empty means all.
    pub sources: Vec<SourceName>,
    /// The start of the selection, inclusive.
    pub since: Option<Timestamp>,
    /// The end of the selection, exclusive.
    pub until: Option<Timestamp>,
    /// The only selected channel; `None` means all.
    pub channel: Option<Channel>,
}

/// The contents of the archive for one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceState {
    /// The name of the source in the config.
    pub source: SourceName,
    /// The name of the provider, such as `chatbase-v2`.
    pub provider: String,
    /// The vendor's id of the agent.
    pub agent_id: String,
    /// The number of archived conversations, selected or not.
    pub conversations: u64,
    /// The number of their messages.
    pub messages: u64,
    /// The verdict of the last pull, if there was one.
    pub verdict: Option<String>,
}

/// The contents of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: &'static str,
    /// The program and its version.
    pub generator: String,
    /// The selection.
    pub selection: ExportSelection,
    /// The contents of the archive for each source.
    pub sources: Vec<SourceState>,
    /// The number of exported conversations.
    pub conversations: u64,
    /// The number of their messages.
    pub messages: u64,
    /// The dialect of the CSV files, if there are any.
    pub csv: Option<CsvDialect>,
    /// The files, except `manifest.json` and `datapackage.json`, which describe them.
    pub files: Vec<FileEntry>,
    /// The number of conversations that the selected dates leave out because they have no date.
    pub undated_left_out: u64,
}

/// How CSV files are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CsvDialect {
    /// Whether they begin with a byte order mark.
    pub bom: bool,
    /// Whether text that a spreadsheet would run as a formula has a leading apostrophe.
    pub safe: bool,
}

/// A file of an export, a report or a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// The number of its rows or conversations, without the header; 0 if it has neither.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}
