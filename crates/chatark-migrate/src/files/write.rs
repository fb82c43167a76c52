//! Writes the files of a format.

use std::io::{self, Write};
use std::path::Path;

use chatark_archive::Archive;
use chatark_core::{Error, ErrorKind, Result};
use chatark_formats::{Bundle, Column, ColumnType, CsvDialect, FileEntry, OutputFile, Table};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::converter::FileItem;
use super::format::FileFormat;
use super::plan::{FilePlan, convert_all};
use super::{contacts, questions};
use crate::empty::refuse_empty;
use crate::selection::MigrationSelection;

/// What was written.
#[derive(Debug, serde::Serialize)]
pub struct WrittenFiles {
    /// What was converted, and what was lost.
    #[serde(flatten)]
    pub plan: FilePlan,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// Writes the files of a format into a folder.
///
/// They appear together when all are complete; vCon documents appear one by one, each of them complete. A run without items
/// fails and leaves earlier files as they are.
pub fn write_files(
    archive: &Archive,
    selection: &MigrationSelection,
    target: FileFormat,
    folder: &Path,
    dialect: CsvDialect,
) -> Result<WrittenFiles> {
    let mut sink = Sink::begin(target, folder, dialect)?;
    let plan = convert_all(archive, selection, target, |item| sink.write(item))?;
    refuse_empty(plan.conversations, plan.items)?;
    Ok(WrittenFiles { plan, files: sink.finish()? })
}

/// The files that items are written to.
struct Sink {
    bundle: Bundle,
    output: Output,
    documents: Vec<FileEntry>,
}

enum Output {
    Lines { file: Box<OutputFile>, rows: u64 },
    Rows(Box<Table>),
    Documents,
    Zip(Box<ZippedArrays>),
}

/// A ZIP archive of JSON arrays.
struct ZippedArrays {
    zip: ZipWriter<zip::write::StreamWriter<OutputFile>>,
    /// The path of the array that is being written.
    open: Option<String>,
}

impl Sink {
    fn begin(target: FileFormat, folder: &Path, dialect: CsvDialect) -> Result<Self> {
        let bundle = Bundle::begin(folder, dialect)?;
        let output = match target {
            FileFormat::OpenAi => {
                Output::Lines { file: Box::new(bundle.begin_file("openai.jsonl")?), rows: 0 }
            }
            FileFormat::ShareGpt => {
                Output::Lines { file: Box::new(bundle.begin_file("sharegpt.jsonl")?), rows: 0 }
            }
            FileFormat::Contacts => {
                Output::Rows(Box::new(bundle.begin_table("contacts.csv", &columns(contacts::COLUMNS))?))
            }
            FileFormat::Questions => {
                Output::Rows(Box::new(bundle.begin_table("questions.csv", &columns(questions::COLUMNS))?))
            }
            FileFormat::Vcon => Output::Documents,
            FileFormat::Slack => {
                let zip = ZipWriter::new_stream(bundle.begin_file("slack.zip")?);
                Output::Zip(Box::new(ZippedArrays { zip, open: None }))
            }
        };
        Ok(Self { bundle, output, documents: Vec::new() })
    }

    fn write(&mut self, item: FileItem) -> Result<()> {
        match (&mut self.output, item) {
            (Output::Lines { file, rows }, FileItem::Line(value)) => {
                *rows += 1;
                let line = format!("{value}\n");
                file.write_all(line.as_bytes()).map_err(|error| file.failed(error))
            }
            (Output::Rows(table), FileItem::Row(cells)) => {
                table.write(|row| cells.iter().try_for_each(|cell| row.text(cell.as_str())))
            }
            (Output::Documents, FileItem::Document { name, value }) => {
                let mut file = self.bundle.begin_file(name)?;
                let text = value.to_string();
                file.write_all(text.as_bytes()).map_err(|error| file.failed(error))?;
                self.documents.push(self.bundle.publish_file(file, 1)?);
                Ok(())
            }
            (Output::Zip(arrays), FileItem::Elements { path, values }) => {
                arrays.write(path, &values).map_err(|error| failed(&error))
            }
            _ => Err(Error::new(
                ErrorKind::Unexpected,
                "migrate",
                "the item does not fit the format of the file",
            )),
        }
    }

    fn finish(self) -> Result<Vec<FileEntry>> {
        let Self { mut bundle, output, documents } = self;
        match output {
            Output::Lines { file, rows } => bundle.add_file(*file, rows)?,
            Output::Rows(table) => bundle.add_table(*table)?,
            Output::Documents => {}
            Output::Zip(arrays) => bundle.add_file(arrays.finish().map_err(|error| failed(&error))?, 0)?,
        }
        let mut files = documents;
        files.extend(bundle.finish()?);
        Ok(files)
    }
}

impl ZippedArrays {
    fn write(&mut self, path: String, values: &[Value]) -> io::Result<()> {
        if self.open.as_ref() != Some(&path) {
            self.close()?;
            // The time of writing is left out, so that the same archive gives the same bytes.
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                .last_modified_time(DateTime::default());
            self.zip.start_file(path.as_str(), options)?;
            self.zip.write_all(b"[")?;
            self.open = Some(path);
        } else if !values.is_empty() {
            self.zip.write_all(b",\n")?;
        }
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.zip.write_all(b",\n")?;
            }
            serde_json::to_writer(&mut self.zip, value)?;
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some(_) => self.zip.write_all(b"]"),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<OutputFile> {
        self.close()?;
        Ok(self.zip.finish()?.into_inner())
    }
}

fn failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Storage, "write slack.zip", error).hint("check that the disk is not full")
}

fn columns(names: &[&'static str]) -> Vec<Column> {
    names.iter().map(|name| Column::new(name, ColumnType::Text, "")).collect()
}
