//! `manifest.json`: what was asked for, what the archive held, and a proof of every file.

use std::io::Write;
use std::path::Path;

use chatark_core::{Channel, Result, SourceName, Timestamp};
use serde::Serialize;

use crate::output::{Complete, Output};

/// The name and version of the document that a serialized [`Manifest`] is.
pub const MANIFEST_SCHEMA: &str = "chatark.manifest/1";

/// What only the caller of an export knows: who writes it, what was asked for, and the state of the archive.
///
/// It holds no time of its own: the same archive gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveState {
    /// The program and its version.
    pub generator: String,
    /// What was asked for.
    pub selection: Selection,
    /// The sources that were asked for, in the order of the files.
    pub sources: Vec<SourceState>,
}

/// What was asked for: everything, unless something narrows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// The names of the sources; empty means all.
    pub sources: Vec<SourceName>,
    /// The first instant inside.
    pub since: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
    /// The one channel.
    pub channel: Option<Channel>,
}

/// What the archive holds of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceState {
    /// The name of the source in the config.
    pub source: SourceName,
    /// The name of the provider, such as `chatbase-v2`.
    pub provider: String,
    /// The vendor's id of the agent.
    pub agent_id: String,
    /// The conversations that the archive holds, in the selection or not.
    pub conversations: u64,
    /// Their messages.
    pub messages: u64,
    /// The word for how complete the last pull was, where there was one.
    pub verdict: Option<String>,
}

/// What an export wrote, as `manifest.json` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: &'static str,
    /// The program and its version.
    pub generator: String,
    /// What was asked for.
    pub selection: Selection,
    /// What the archive holds of each source.
    pub sources: Vec<SourceState>,
    /// The conversations in each of the files.
    pub conversations: u64,
    /// Their messages.
    pub messages: u64,
    /// How the CSV files are written, where there are any.
    pub csv: Option<CsvDialect>,
    /// The files, apart from `manifest.json` itself and `datapackage.json`, which describe them.
    pub files: Vec<FileEntry>,
}

/// How CSV files are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CsvDialect {
    /// Whether they begin with a byte order mark.
    pub bom: bool,
    /// Whether cells that a spreadsheet would run as a formula have a leading apostrophe.
    pub safe: bool,
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its conversations, or messages in `messages.csv`; headers do not count.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Brings the manifest to disk beside its place.
    pub(crate) fn write(&self, folder: &Path) -> Result<Complete> {
        let mut output = Output::begin(folder, "manifest.json")?;
        let written = serde_json::to_writer_pretty(&mut output, self).map_err(Into::into);
        written.and_then(|()| output.write_all(b"\n")).map_err(|error| output.failed(error))?;
        output.finish(0)
    }
}
