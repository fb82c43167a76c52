//! One CSV file and its rows: RFC 4180 in UTF-8; a missing value is an empty cell.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use chatark_core::Result;
use csv::Terminator;
use serde::{Serialize, Serializer};

use crate::data_package::Column;
use crate::manifest::CsvDialect;
use crate::output::{CompleteFile, OutputFile};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Characters that begin a formula in a spreadsheet.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A CSV file that is being written.
pub struct Table {
    row: Row,
    rows: u64,
}

/// The current row, which is filled from left to right.
pub struct Row {
    writer: csv::Writer<OutputFile>,
    safe: bool,
    cell: Vec<u8>,
}

impl fmt::Debug for Table {
    /// Leaves out the buffers, which hold what people wrote.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl fmt::Debug for Row {
    /// Leaves out the cells, which hold what people wrote.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Row").finish_non_exhaustive()
    }
}

impl Table {
    /// Begins a file and writes the header row.
    pub(crate) fn begin(
        folder: &Path,
        name: impl Into<Cow<'static, str>>,
        columns: &[Column],
        dialect: CsvDialect,
    ) -> Result<Self> {
        let mut output = OutputFile::begin(folder, name)?;
        if dialect.bom {
            output.write_all(BYTE_ORDER_MARK).map_err(|error| output.error_for(error))?;
        }
        let writer = csv::WriterBuilder::new().terminator(Terminator::CRLF).from_writer(output);
        let mut row = Row { writer, safe: dialect.safe, cell: Vec::new() };
        let header = columns.iter().map(|column| column.name);
        row.writer.write_record(header).map_err(|error| row.error_for(error))?;
        Ok(Self { row, rows: 0 })
    }

    /// Writes one row with the cells that `write_cells` adds.
    pub fn write(&mut self, write_cells: impl FnOnce(&mut Row) -> io::Result<()>) -> Result<()> {
        let written = write_cells(&mut self.row).and_then(|()| self.row.end());
        written.map_err(|error| self.row.error_for(error))?;
        self.rows += 1;
        Ok(())
    }

    /// Completes the file and syncs it to disk.
    pub(crate) fn finish(mut self) -> Result<CompleteFile> {
        self.row.writer.flush().map_err(|error| self.row.error_for(error))?;
        let output = self.row.writer.into_inner().map_err(|failure| {
            let error = io::Error::from(failure.error().kind());
            failure.into_inner().get_ref().error_for(error)
        })?;
        output.finish(self.rows)
    }
}

impl Row {
    /// Adds text from people or vendors. If the dialect is safe, a formula gets a leading apostrophe.
    pub fn text<'a>(&mut self, text: impl Into<Option<&'a str>>) -> io::Result<()> {
        let text = text.into().unwrap_or_default();
        if !(self.safe && text.starts_with(FORMULA_STARTS)) {
            return Ok(self.writer.write_field(text)?);
        }
        self.cell.clear();
        self.cell.push(b'\'');
        self.cell.extend_from_slice(text.as_bytes());
        Ok(self.writer.write_field(&self.cell)?)
    }

    /// Adds a word of Chatark's, such as a role or a status, which cannot be a formula.
    pub(crate) fn word(&mut self, word: Option<&'static str>) -> io::Result<()> {
        Ok(self.writer.write_field(word.unwrap_or_default())?)
    }

    /// Adds a value that Chatark formats, such as a time, and that cannot be a formula.
    pub fn value(&mut self, value: Option<impl fmt::Display>) -> io::Result<()> {
        self.cell.clear();
        if let Some(value) = value {
            write!(self.cell, "{value}")?;
        }
        Ok(self.writer.write_field(&self.cell)?)
    }

    /// Adds a whole number.
    pub fn count(&mut self, count: usize) -> io::Result<()> {
        self.value(Some(count))
    }

    /// Adds a decimal number without an exponent; NaN and infinity become an empty cell, as JSON has neither.
    pub fn number(&mut self, number: Option<f64>) -> io::Result<()> {
        self.value(number.filter(|number| number.is_finite()))
    }

    /// Adds a list as a compact JSON array; an empty list becomes an empty cell.
    pub(crate) fn list<T: Serialize>(&mut self, items: impl Iterator<Item = T>) -> io::Result<()> {
        self.cell.clear();
        let mut items = items.peekable();
        if items.peek().is_some() {
            serde_json::Serializer::new(&mut self.cell).collect_seq(items)?;
        }
        Ok(self.writer.write_field(&self.cell)?)
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    fn error_for(&self, error: impl Into<io::Error>) -> chatark_core::Error {
        self.writer.get_ref().error_for(error)
    }
}
