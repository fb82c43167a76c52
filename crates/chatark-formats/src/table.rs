//! One CSV file and its rows: RFC 4180, UTF-8, an empty cell where there is no value.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use chatark_core::Result;
use csv::Terminator;
use serde::{Serialize, Serializer};

use crate::manifest::CsvDialect;
use crate::output::{Complete, Output};
use crate::package::Column;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// What a spreadsheet takes as the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A CSV file that is being written.
pub struct Table {
    row: Row,
    rows: u64,
}

/// The cells of the current row, filled from left to right.
pub struct Row {
    writer: csv::Writer<Output>,
    safe: bool,
    cell: Vec<u8>,
}

impl fmt::Debug for Table {
    /// Tells no text that people wrote, which the buffers are full of.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl fmt::Debug for Row {
    /// Tells no text that people wrote.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Row").finish_non_exhaustive()
    }
}

impl Table {
    /// Begins a file with its header row.
    pub(crate) fn begin(
        folder: &Path,
        name: impl Into<Cow<'static, str>>,
        columns: &[Column],
        dialect: CsvDialect,
    ) -> Result<Self> {
        let mut output = Output::begin(folder, name)?;
        if dialect.bom {
            output.write_all(BYTE_ORDER_MARK).map_err(|error| output.failed(error))?;
        }
        let writer = csv::WriterBuilder::new().terminator(Terminator::CRLF).from_writer(output);
        let mut row = Row { writer, safe: dialect.safe, cell: Vec::new() };
        let header = columns.iter().map(|column| column.name);
        row.writer.write_record(header).map_err(|error| row.failed(error))?;
        Ok(Self { row, rows: 0 })
    }

    /// Writes one row, whose cells `fill` gives.
    pub fn write(&mut self, fill: impl FnOnce(&mut Row) -> io::Result<()>) -> Result<()> {
        let written = fill(&mut self.row).and_then(|()| self.row.end());
        written.map_err(|error| self.row.failed(error))?;
        self.rows += 1;
        Ok(())
    }

    /// Brings the file to disk.
    pub(crate) fn finish(mut self) -> Result<Complete> {
        self.row.writer.flush().map_err(|error| self.row.failed(error))?;
        let output = self.row.writer.into_inner().map_err(|failure| {
            let error = io::Error::from(failure.error().kind());
            failure.into_inner().get_ref().failed(error)
        })?;
        output.finish(self.rows)
    }
}

impl Row {
    /// Adds text from people or vendors, as it is or guarded.
    pub fn text<'a>(&mut self, text: impl Into<Option<&'a str>>) -> io::Result<()> {
        let text = text.into().unwrap_or_default();
        if !(self.safe && text.starts_with(FORMULA)) {
            return Ok(self.writer.write_field(text)?);
        }
        self.cell.clear();
        self.cell.push(b'\'');
        self.cell.extend_from_slice(text.as_bytes());
        Ok(self.writer.write_field(&self.cell)?)
    }

    /// Adds a time or a word of our own, which needs no guard.
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

    /// Adds a decimal number without an exponent; what is not a number is left out, as in JSON.
    pub fn number(&mut self, number: Option<f64>) -> io::Result<()> {
        self.value(number.filter(|number| number.is_finite()))
    }

    /// Adds a list as a compact JSON array, or an empty cell where the list is empty.
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

    fn failed(&self, error: impl Into<io::Error>) -> chatark_core::Error {
        self.writer.get_ref().failed(error)
    }
}
