//! Several files that are published together, when all of them are complete.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use chatark_core::{Error, Result};

use crate::folder::Folder;
use crate::manifest::{CsvDialect, FileEntry};
use crate::output::{Complete, Output};
use crate::package::Column;
use crate::table::Table;

/// Files that are being written; without [`Bundle::finish`] they are removed.
#[derive(Debug)]
pub struct Bundle {
    // Dropped in this order: the files, then the folder.
    complete: Vec<Complete>,
    folder: Folder,
    dialect: CsvDialect,
}

/// A file of any format that is being written; it is removed unless it is added or published.
#[derive(Debug)]
pub struct NewFile(Output);

impl Bundle {
    /// Begins in a folder, which is created if it does not exist.
    pub fn begin(directory: &Path, dialect: CsvDialect) -> Result<Self> {
        Ok(Self { complete: Vec::new(), folder: Folder::open(directory)?, dialect })
    }

    /// Begins a CSV file, which [`Bundle::add`] takes when it is complete.
    pub fn table(&self, name: impl Into<Cow<'static, str>>, columns: &[Column]) -> Result<Table> {
        Table::begin(self.folder.path(), name, columns, self.dialect)
    }

    /// Adds a complete CSV file.
    pub fn add(&mut self, table: Table) -> Result<()> {
        self.complete.push(table.finish()?);
        Ok(())
    }

    /// Adds a text file.
    pub fn text(&mut self, name: &'static str, text: &str) -> Result<()> {
        let mut output = Output::begin(self.folder.path(), name)?;
        output.write_all(text.as_bytes()).map_err(|error| output.failed(error))?;
        self.complete.push(output.finish(0)?);
        Ok(())
    }

    /// Begins a file of any format, for [`Bundle::add_file`] or [`Bundle::publish`].
    pub fn file(&self, name: impl Into<Cow<'static, str>>) -> Result<NewFile> {
        Ok(NewFile(Output::begin(self.folder.path(), name)?))
    }

    /// Adds a complete file.
    pub fn add_file(&mut self, file: NewFile, rows: u64) -> Result<()> {
        self.complete.push(file.0.finish(rows)?);
        Ok(())
    }

    /// Publishes one file at once, whatever happens to the others.
    pub fn publish(&self, file: NewFile, rows: u64) -> Result<FileEntry> {
        let complete = file.0.finish(rows)?;
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
