//! One export: all chosen files are written in one pass and published together.

use std::fmt;
use std::io::Write;
use std::path::Path;

use chatark_core::{ArchivedConversation, Error, ErrorKind, Result, StatsSummary};

use crate::conversations_csv::{self, ConversationsCsv};
use crate::data_package::{Resource, data_package};
use crate::file_writer::{ExportedConversation, FileWriter};
use crate::folder::OutputFolder;
use crate::format::{ExportOptions, Format};
use crate::json::{JsonArray, JsonLines};
use crate::manifest::{CsvDialect, ExportContext, FileEntry, MANIFEST_SCHEMA, Manifest};
use crate::messages_csv::{self, MessagesCsv};
use crate::output::{CompleteFile, OutputFile};

/// An export in progress. If it is dropped before [`Export::finish`], its files are removed.
pub struct Export {
    // Dropped in this order: the files, then the folder.
    files: Vec<Box<dyn FileWriter + Send>>,
    folder: OutputFolder,
    csv: Option<CsvDialect>,
    /// Whether a file needs each conversation as a JSON document.
    needs_document: bool,
    document: Vec<u8>,
    conversations: u64,
    messages: u64,
    /// Whether a conversation could not be written to every file.
    has_failed: bool,
}

impl Export {
    /// Begins an export into a folder, which is created if it does not exist.
    ///
    /// The files of an earlier export stay there until [`Export::finish`] replaces them.
    pub fn begin(directory: &Path, options: &ExportOptions) -> Result<Self> {
        if options.formats.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "choose a format", "no format was given")
                .hint(format!("name one or more of {}", Format::names())));
        }
        let chosen = |format| options.formats.contains(&format);
        let csv = chosen(Format::Csv).then_some(CsvDialect { bom: options.csv_bom, safe: options.csv_safe });
        let folder = OutputFolder::open(directory)?;
        let mut files: Vec<Box<dyn FileWriter + Send>> = Vec::new();
        if chosen(Format::Json) {
            files.push(Box::new(JsonArray::begin(folder.path())?));
        }
        if chosen(Format::Jsonl) {
            files.push(Box::new(JsonLines::begin(folder.path())?));
        }
        if let Some(dialect) = csv {
            files.push(Box::new(ConversationsCsv::begin(folder.path(), dialect)?));
            files.push(Box::new(MessagesCsv::begin(folder.path(), dialect)?));
        }
        Ok(Self {
            files,
            folder,
            csv,
            needs_document: chosen(Format::Json) || chosen(Format::Jsonl),
            document: Vec::new(),
            conversations: 0,
            messages: 0,
            has_failed: false,
        })
    }

    /// Adds one conversation with its statistics to every file.
    ///
    /// After an error, the export cannot continue.
    pub fn write(&mut self, conversation: &ArchivedConversation, stats: &StatsSummary) -> Result<()> {
        self.check_not_failed()?;
        self.has_failed = true;
        self.document.clear();
        if self.needs_document {
            serde_json::to_writer(&mut self.document, conversation).map_err(|error| {
                Error::new(ErrorKind::Unexpected, "write a conversation as JSON", &error)
                    .with("source", &conversation.origin.source)
                    .with("conversation", conversation.conversation.id.masked())
                    .because(error)
            })?;
        }
        let exported = ExportedConversation { conversation, stats, document: &self.document };
        for file in &mut self.files {
            file.write(&exported)?;
        }
        self.conversations += 1;
        self.messages += conversation.conversation.messages.len() as u64;
        self.has_failed = false;
        Ok(())
    }

    /// Syncs all files to disk, then renames each to its final name, `manifest.json` last.
    ///
    /// An error before the first rename leaves the folder as it was. Until `manifest.json` is replaced, the manifest of
    /// an earlier export does not match the files that have been replaced, but each file is complete.
    pub fn finish(mut self, context: ExportContext) -> Result<Manifest> {
        self.check_not_failed()?;
        let ExportContext { generator, selection, sources, undated_left_out } = context;
        let files = std::mem::take(&mut self.files);
        let mut complete = files.into_iter().map(FileWriter::finish).collect::<Result<Vec<_>>>()?;
        let entries: Vec<FileEntry> = complete.iter().map(|file| file.entry().clone()).collect();
        let manifest = Manifest {
            schema: MANIFEST_SCHEMA,
            generator,
            selection,
            sources,
            conversations: self.conversations,
            messages: self.messages,
            csv: self.csv,
            files: entries,
            undated_left_out,
        };
        if let Some(dialect) = self.csv {
            complete.push(write_data_package(self.folder.path(), dialect)?);
        }
        complete.push(write_manifest(self.folder.path(), &manifest)?);
        for file in complete {
            file.publish()?;
        }
        self.folder.keep()?;
        Ok(manifest)
    }

    /// Fails after an earlier error, because a file may end with half a conversation.
    fn check_not_failed(&self) -> Result<()> {
        if !self.has_failed {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Storage, "write an export", "an earlier conversation could not be written")
            .with("path", self.folder.path().display())
            .hint("run the export again"))
    }
}

/// Writes `datapackage.json`, which describes the columns of the CSV files.
fn write_data_package(folder: &Path, dialect: CsvDialect) -> Result<CompleteFile> {
    let resources = [
        Resource {
            file: "conversations.csv",
            title: "One row for each conversation",
            columns: conversations_csv::COLUMNS,
        },
        Resource { file: "messages.csv", title: "One row for each message", columns: messages_csv::COLUMNS },
    ];
    let text = data_package("chatark-export", "Conversations of chatbots", &resources, dialect);
    let mut output = OutputFile::begin(folder, "datapackage.json")?;
    output.write_all(text.as_bytes()).map_err(|error| output.error_for(error))?;
    output.finish(0)
}

/// Writes `manifest.json`.
fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<CompleteFile> {
    let mut output = OutputFile::begin(folder, "manifest.json")?;
    let written = serde_json::to_writer_pretty(&mut output, manifest).map_err(Into::into);
    written.and_then(|()| output.write_all(b"\n")).map_err(|error| output.error_for(error))?;
    output.finish(0)
}

impl fmt::Debug for Export {
    /// Leaves out the buffers, which hold what people wrote.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Export")
            .field("folder", &self.folder)
            .field("conversations", &self.conversations)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chatark_core::{Conversation, ConversationId, Origin, SourceName};

    use super::*;

    /// A file on a disk that is full for the second conversation only; counts the conversations.
    struct FullForSecond(u32);

    impl FileWriter for FullForSecond {
        fn write(&mut self, _: &ExportedConversation<'_>) -> Result<()> {
            self.0 += 1;
            if self.0 == 2 {
                return Err(Error::new(ErrorKind::Storage, "write x", "no storage space"));
            }
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<CompleteFile> {
            Err(Error::new(ErrorKind::Unexpected, "write x", "a failed export was finished"))
        }
    }

    fn conversation() -> ArchivedConversation {
        let origin = Origin {
            source: SourceName::new("shop").unwrap(),
            provider: "p".to_owned(),
            agent_id: "a".to_owned(),
        };
        ArchivedConversation {
            origin: Arc::new(origin),
            conversation: Conversation::empty(ConversationId::new("c")),
        }
    }

    #[test]
    fn an_export_that_failed_once_is_never_published() {
        let folder = tempfile::tempdir().unwrap();
        let options = ExportOptions { formats: vec![Format::Json], ..ExportOptions::default() };
        let mut export = Export::begin(folder.path(), &options).unwrap();
        export.files.push(Box::new(FullForSecond(0)));
        let conversation = conversation();
        let stats = StatsSummary::default();
        export.write(&conversation, &stats).unwrap();
        assert_eq!(export.write(&conversation, &stats).unwrap_err().message(), "no storage space");
        assert!(export.write(&conversation, &stats).is_err());
        let error = export.finish(ExportContext::default()).unwrap_err();
        assert_eq!(error.message(), "an earlier conversation could not be written");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_export_may_move_between_threads() {
        fn check<T: Send>() {}
        check::<Export>();
    }
}
