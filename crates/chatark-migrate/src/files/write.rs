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

/// The result of a migration to files.
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
/// All files are published together once they are complete; vCon documents are published one by one, each of them
/// complete. A run without items fails and leaves earlier files unchanged.
pub fn write_files(
    archive: &Archive,
    selection: &MigrationSelection,
    format: FileFormat,
    folder: &Path,
    dialect: CsvDialect,
) -> Result<WrittenFiles> {
    let mut writer = ItemWriter::begin(format, folder, dialect)?;
    let plan = convert_all(archive, selection, format, |item| writer.write(item))?;
    refuse_empty(plan.conversations, plan.items)?;
    Ok(WrittenFiles { plan, files: writer.finish()? })
}

/// Writes items to the files of a format.
struct ItemWriter {
    bundle: Bundle,
    output: OutputFiles,
    /// The published documents.
    documents: Vec<FileEntry>,
}

/// The files that are being written, by the kind of item that they take.
enum OutputFiles {
    Lines { file: Box<OutputFile>, rows: u64 },
    Rows(Box<Table>),
    Documents,
    Zip(Box<ZipOfArrays>),
}

/// A ZIP archive of JSON arrays.
struct ZipOfArrays {
    zip: ZipWriter<zip::write::StreamWriter<OutputFile>>,
    /// The path of the array that is being written.
    open_path: Option<String>,
}

impl ItemWriter {
    fn begin(format: FileFormat, folder: &Path, dialect: CsvDialect) -> Result<Self> {
        let bundle = Bundle::begin(folder, dialect)?;
        let output = match format {
            FileFormat::OpenAi => {
                OutputFiles::Lines { file: Box::new(bundle.begin_file("openai.jsonl")?), rows: 0 }
            }
            FileFormat::ShareGpt => {
                OutputFiles::Lines { file: Box::new(bundle.begin_file("sharegpt.jsonl")?), rows: 0 }
            }
            FileFormat::Contacts => OutputFiles::Rows(Box::new(
                bundle.begin_table("contacts.csv", &text_columns(contacts::COLUMNS))?,
            )),
            FileFormat::Questions => OutputFiles::Rows(Box::new(
                bundle.begin_table("questions.csv", &text_columns(questions::COLUMNS))?,
            )),
            FileFormat::Vcon => OutputFiles::Documents,
            FileFormat::Slack => {
                let zip = ZipWriter::new_stream(bundle.begin_file("slack.zip")?);
                OutputFiles::Zip(Box::new(ZipOfArrays { zip, open_path: None }))
            }
        };
        Ok(Self { bundle, output, documents: Vec::new() })
    }

    fn write(&mut self, item: FileItem) -> Result<()> {
        match (&mut self.output, item) {
            (OutputFiles::Lines { file, rows }, FileItem::Line(value)) => {
                *rows += 1;
                let line = format!("{value}\n");
                file.write_all(line.as_bytes()).map_err(|error| file.error_for(error))
            }
            (OutputFiles::Rows(table), FileItem::Row(cells)) => {
                table.write(|row| cells.iter().try_for_each(|cell| row.text(cell.as_str())))
            }
            (OutputFiles::Documents, FileItem::Document { name, value }) => {
                let mut file = self.bundle.begin_file(name)?;
                let text = value.to_string();
                file.write_all(text.as_bytes()).map_err(|error| file.error_for(error))?;
                self.documents.push(self.bundle.publish_file(file, 1)?);
                Ok(())
            }
            (OutputFiles::Zip(arrays), FileItem::Elements { path, values }) => {
                arrays.write(path, &values).map_err(|error| zip_error(&error))
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
            OutputFiles::Lines { file, rows } => bundle.add_file(*file, rows)?,
            OutputFiles::Rows(table) => bundle.add_table(*table)?,
            OutputFiles::Documents => {}
            OutputFiles::Zip(arrays) => {
                bundle.add_file(arrays.finish().map_err(|error| zip_error(&error))?, 0)?;
            }
        }
        let mut files = documents;
        files.extend(bundle.finish()?);
        Ok(files)
    }
}

impl ZipOfArrays {
    fn write(&mut self, path: String, values: &[Value]) -> io::Result<()> {
        if self.open_path.as_ref() != Some(&path) {
            self.close()?;
            // Without the time of writing, the same archive gives the same bytes.
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                .last_modified_time(DateTime::default());
            self.zip.start_file(path.as_str(), options)?;
            self.zip.write_all(b"[")?;
            self.open_path = Some(path);
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
        match self.open_path.take() {
            Some(_) => self.zip.write_all(b"]"),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<OutputFile> {
        self.close()?;
        Ok(self.zip.finish()?.into_inner())
    }
}

fn zip_error(error: &io::Error) -> Error {
    Error::new(ErrorKind::Storage, "write slack.zip", error).hint("check that the disk is not full")
}

fn text_columns(names: &[&'static str]) -> Vec<Column> {
    names.iter().map(|name| Column::new(name, ColumnType::Text, "")).collect()
}
