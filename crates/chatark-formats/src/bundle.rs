//! A few files that belong together, written beside their places and published when all of them are complete.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use chatark_core::{Error, Result};

use crate::folder::Folder;
use crate::manifest::{CsvDialect, FileEntry};
use crate::output::{Complete, Output};
use crate::package::Column;
use crate::table::Table;

/// Files in the making; dropped before [`Bundle::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Bundle {
    // Temporary files go before the folder that they are in.
    complete: Vec<Complete>,
    folder: Folder,
    dialect: CsvDialect,
}

/// A file of any form while it is being written; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile(Output);

impl Bundle {
    /// Begins in a folder, which is created where it is missing.
    pub fn begin(directory: &Path, dialect: CsvDialect) -> Result<Self> {
        Ok(Self { complete: Vec::new(), folder: Folder::open(directory)?, dialect })
    }

    /// Begins a CSV file, to be given back to [`Bundle::add`].
    pub fn table(&self, name: impl Into<Cow<'static, str>>, columns: &[Column]) -> Result<Table> {
        Table::begin(self.folder.path(), name, columns, self.dialect)
    }

    /// Adds a CSV file whose rows are all written.
    pub fn add(&mut self, table: Table) -> Result<()> {
        self.complete.push(table.finish()?);
        Ok(())
    }

    /// Adds a file that holds a text.
    pub fn text(&mut self, name: &'static str, text: &str) -> Result<()> {
        let mut output = Output::begin(self.folder.path(), name)?;
        output.write_all(text.as_bytes()).map_err(|error| output.failed(error))?;
        self.complete.push(output.finish(0)?);
        Ok(())
    }

    /// Begins a file of any form, to be given back to [`Bundle::add_file`] or [`Bundle::publish`].
    pub fn file(&self, name: impl Into<Cow<'static, str>>) -> Result<NewFile> {
        Ok(NewFile(Output::begin(self.folder.path(), name)?))
    }

    /// Adds a file that is written.
    pub fn add_file(&mut self, file: NewFile, rows: u64) -> Result<()> {
        self.complete.push(file.0.finish(rows)?);
        Ok(())
    }

    /// Renames a file over its place at once, whatever becomes of the others.
    pub fn publish(&self, file: NewFile, rows: u64) -> Result<FileEntry> {
        let complete = file.0.finish(rows)?;
        let entry = complete.entry().clone();
        complete.publish()?;
        Ok(entry)
    }

    /// Renames every file over its place, and returns what they are.
    pub fn finish(self) -> Result<Vec<FileEntry>> {
        let entries = self.complete.iter().map(|file| file.entry().clone()).collect();
        for file in self.complete {
            file.publish()?;
        }
        self.folder.keep()?;
        Ok(entries)
    }
}

impl NewFile {
    /// Turns a failed write into an error that names this file.
    pub fn failed(&self, error: impl Into<io::Error>) -> Error {
        self.0.failed(error)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
