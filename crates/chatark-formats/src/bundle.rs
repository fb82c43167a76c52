//! A few files that belong together, written beside their places and published when all of them are complete.

use std::io::Write;
use std::path::Path;

use chatark_core::Result;

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

impl Bundle {
    /// Begins in a folder, which is created where it is missing.
    pub fn begin(directory: &Path, dialect: CsvDialect) -> Result<Self> {
        Ok(Self { complete: Vec::new(), folder: Folder::open(directory)?, dialect })
    }

    /// Begins a CSV file, to be given back to [`Bundle::add`].
    pub fn table(&self, name: &'static str, columns: &[Column]) -> Result<Table> {
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
