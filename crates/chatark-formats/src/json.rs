//! `conversations.json` and `conversations.jsonl`: the same documents, as an array and as lines.

use std::io::Write;
use std::path::Path;

use chatark_core::Result;

use crate::file_writer::{ExportedConversation, FileWriter};
use crate::output::{CompleteFile, OutputFile};

/// Writes one array with one compact document per line.
#[derive(Debug)]
pub(crate) struct JsonArray {
    output: OutputFile,
    rows: u64,
}

/// Writes one compact document per line.
#[derive(Debug)]
pub(crate) struct JsonLines {
    output: OutputFile,
    rows: u64,
}

impl JsonArray {
    pub(crate) fn begin(folder: &Path) -> Result<Self> {
        Ok(Self { output: OutputFile::begin(folder, "conversations.json")?, rows: 0 })
    }
}

impl FileWriter for JsonArray {
    fn write(&mut self, exported: &ExportedConversation<'_>) -> Result<()> {
        let lead: &[u8] = if self.rows == 0 { b"[\n" } else { b",\n" };
        let output = &mut self.output;
        let written = output.write_all(lead).and_then(|()| output.write_all(exported.document));
        written.map_err(|error| self.output.error_for(error))?;
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<CompleteFile> {
        let end: &[u8] = if self.rows == 0 { b"[]\n" } else { b"\n]\n" };
        self.output.write_all(end).map_err(|error| self.output.error_for(error))?;
        self.output.finish(self.rows)
    }
}

impl JsonLines {
    pub(crate) fn begin(folder: &Path) -> Result<Self> {
        Ok(Self { output: OutputFile::begin(folder, "conversations.jsonl")?, rows: 0 })
    }
}

impl FileWriter for JsonLines {
    fn write(&mut self, exported: &ExportedConversation<'_>) -> Result<()> {
        let output = &mut self.output;
        let written = output.write_all(exported.document).and_then(|()| output.write_all(b"\n"));
        written.map_err(|error| self.output.error_for(error))?;
        self.rows += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<CompleteFile> {
        self.output.finish(self.rows)
    }
}
