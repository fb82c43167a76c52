//! Several files that are published together.

use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;

use chatark_core::Result;

use crate::data_package::Column;
use crate::folder::OutputFolder;
use crate::manifest::{CsvDialect, FileEntry};
use crate::output::{CompleteFile, OutputFile};
use crate::table::Table;

/// Files that are published together once all of them are complete. If it is dropped before [`Bundle::finish`], they
/// are removed.
#[derive(Debug)]
pub struct Bundle {
    // Dropped in this order: the files, then the folder.
    complete: Vec<CompleteFile>,
    folder: OutputFolder,
    dialect: CsvDialect,
}

impl Bundle {
    /// Opens the folder of the files, which is created if it does not exist.
    pub fn begin(directory: &Path, dialect: CsvDialect) -> Result<Self> {
        Ok(Self { complete: Vec::new(), folder: OutputFolder::open(directory)?, dialect })
    }

    /// Begins a CSV file, for [`Bundle::add_table`].
    pub fn begin_table(&self, name: impl Into<Cow<'static, str>>, columns: &[Column]) -> Result<Table> {
        Table::begin(self.folder.path(), name, columns, self.dialect)
    }

    /// Adds a complete CSV file.
    pub fn add_table(&mut self, table: Table) -> Result<()> {
        self.complete.push(table.finish()?);
        Ok(())
    }

    /// Writes and adds a text file.
    pub fn add_text(&mut self, name: &'static str, text: &str) -> Result<()> {
        let mut output = OutputFile::begin(self.folder.path(), name)?;
        output.write_all(text.as_bytes()).map_err(|error| output.error_for(error))?;
        self.complete.push(output.finish(0)?);
        Ok(())
    }

    /// Begins a file of any format, for [`Bundle::add_file`] or [`Bundle::publish_file`].
    pub fn begin_file(&self, name: impl Into<Cow<'static, str>>) -> Result<OutputFile> {
        OutputFile::begin(self.folder.path(), name)
    }

    /// Adds a complete file.
    pub fn add_file(&mut self, file: OutputFile, rows: u64) -> Result<()> {
        self.complete.push(file.finish(rows)?);
        Ok(())
    }

    /// Publishes one file now, independently of the others.
    pub fn publish_file(&self, file: OutputFile, rows: u64) -> Result<FileEntry> {
        let complete = file.finish(rows)?;
        let entry = complete.entry().clone();
        complete.publish()?;
        Ok(entry)
    }

    /// Publishes all files and returns their entries.
    pub fn finish(self) -> Result<Vec<FileEntry>> {
        let entries = self.complete.iter().map(|file| file.entry().clone()).collect();
        for file in self.complete {
            file.publish()?;
        }
        self.folder.keep()?;
        Ok(entries)
    }
}
