//! `manifest.json`: the selection, the contents of the archive, and the hash of every file.

use chatark_core::{Channel, SourceName, Timestamp};
use serde::Serialize;

/// The name and version of the document that a [`Manifest`] serializes to.
pub const MANIFEST_SCHEMA: &str = "chatark.manifest/1";

/// What the caller of an export adds to the manifest: the program, the selection, and the state of the archive.
///
/// There is no time of the export in it: the same archive gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveState {
    /// The program and its version.
    pub generator: String,
    /// What was requested.
    pub selection: ExportSelection,
    /// The requested sources, in the order of the rows.
    pub sources: Vec<SourceState>,
    /// The number of conversations that the requested dates leave out because they have no date.
    pub undated_left_out: u64,
}

/// What was selected; everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExportSelection {
    /// The names of the sources; empty means all.
    pub sources: Vec<SourceName>,
    /// The first instant in the selection.
    pub since: Option<Timestamp>,
    /// The first instant after the selection.
    pub until: Option<Timestamp>,
    /// The only channel.
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
    /// The number of archived conversations, in the selection or not.
    pub conversations: u64,
    /// Their messages.
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
    /// What was requested.
    pub selection: ExportSelection,
    /// The contents of the archive for each source.
    pub sources: Vec<SourceState>,
    /// The number of conversations in each file.
    pub conversations: u64,
    /// Their messages.
    pub messages: u64,
    /// The dialect of the CSV files, if there are any.
    pub csv: Option<CsvDialect>,
    /// The files, without `manifest.json` and `datapackage.json`, which describe them.
    pub files: Vec<FileEntry>,
    /// The number of conversations that the requested dates leave out because they have no date.
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

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// The number of rows or conversations, without the header; 0 for a file that has none.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}
