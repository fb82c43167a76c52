//! Writing the files of a target.

use std::io::{self, Write};
use std::path::Path;

use chatark_archive::Archive;
use chatark_core::{Error, ErrorKind, Result};
use chatark_formats::{Bundle, Column, CsvDialect, FileEntry, Kind, NewFile, Table};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::files::{contacts, questions};
use crate::plan::{Plan, walk};
use crate::selection::Selection;
use crate::target::{FileTarget, Item};

/// What a run wrote.
#[derive(Debug, serde::Serialize)]
pub struct Written {
    /// What went, and what became of it.
    #[serde(flatten)]
    pub plan: Plan,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// Writes the files of a target into a folder. They appear together when all are complete; documents of their own
/// appear one by one, each of them whole.
///
/// A run in which nothing goes is refused, and leaves earlier files as they are.
pub fn run(
    archive: &Archive,
    selection: &Selection,
    target: FileTarget,
    folder: &Path,
    dialect: CsvDialect,
) -> Result<Written> {
    let mut sink = Sink::begin(target, folder, dialect)?;
    let plan = walk(archive, selection, target, |item| sink.write(item))?;
    plan.refuse_nothing()?;
    Ok(Written { plan, files: sink.finish()? })
}

/// Where items go.
struct Sink {
    bundle: Bundle,
    form: Form,
    documents: Vec<FileEntry>,
}

enum Form {
    Lines { file: Box<NewFile>, rows: u64 },
    Rows(Box<Table>),
    Documents,
    Zip(Box<Zipped>),
}

/// A ZIP archive of JSON arrays.
struct Zipped {
    zip: ZipWriter<zip::write::StreamWriter<NewFile>>,
    /// The path of the array that is being written.
    open: Option<String>,
}

impl Sink {
    fn begin(target: FileTarget, folder: &Path, dialect: CsvDialect) -> Result<Self> {
        let bundle = Bundle::begin(folder, dialect)?;
        let form = match target {
            FileTarget::OpenAi => Form::Lines { file: Box::new(bundle.file("openai.jsonl")?), rows: 0 },
            FileTarget::ShareGpt => Form::Lines { file: Box::new(bundle.file("sharegpt.jsonl")?), rows: 0 },
            FileTarget::Contacts => {
                Form::Rows(Box::new(bundle.table("contacts.csv", &columns(contacts::COLUMNS))?))
            }
            FileTarget::Questions => {
                Form::Rows(Box::new(bundle.table("questions.csv", &columns(questions::COLUMNS))?))
            }
            FileTarget::Vcon => Form::Documents,
            FileTarget::Slack => {
                let zip = ZipWriter::new_stream(bundle.file("slack.zip")?);
                Form::Zip(Box::new(Zipped { zip, open: None }))
            }
        };
        Ok(Self { bundle, form, documents: Vec::new() })
    }

    fn write(&mut self, item: Item) -> Result<()> {
        match (&mut self.form, item) {
            (Form::Lines { file, rows }, Item::Line(value)) => {
                *rows += 1;
                let line = format!("{value}\n");
                file.write_all(line.as_bytes()).map_err(|error| file.failed(error))
            }
            (Form::Rows(table), Item::Row(cells)) => {
                table.write(|row| cells.iter().try_for_each(|cell| row.text(cell.as_str())))
            }
            (Form::Documents, Item::Document { name, value }) => {
                let mut file = self.bundle.file(name)?;
                let text = value.to_string();
                file.write_all(text.as_bytes()).map_err(|error| file.failed(error))?;
                self.documents.push(self.bundle.publish(file, 1)?);
                Ok(())
            }
            (Form::Zip(zipped), Item::Elements { path, values }) => {
                zipped.write(path, &values).map_err(|error| failed(&error))
            }
            _ => Err(Error::new(ErrorKind::Unexpected, "migrate", "a target made an item of another's form")),
        }
    }

    fn finish(self) -> Result<Vec<FileEntry>> {
        let Self { mut bundle, form, documents } = self;
        match form {
            Form::Lines { file, rows } => bundle.add_file(*file, rows)?,
            Form::Rows(table) => bundle.add(*table)?,
            Form::Documents => {}
            Form::Zip(zipped) => bundle.add_file(zipped.finish().map_err(|error| failed(&error))?, 0)?,
        }
        let mut files = documents;
        files.extend(bundle.finish()?);
        Ok(files)
    }
}

impl Zipped {
    fn write(&mut self, path: String, values: &[Value]) -> io::Result<()> {
        if self.open.as_ref() != Some(&path) {
            self.close()?;
            // The same archive gives the same bytes, so no file has the time at which it was written.
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

    fn finish(mut self) -> io::Result<NewFile> {
        self.close()?;
        Ok(self.zip.finish()?.into_inner())
    }
}

fn failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Storage, "write slack.zip", error).hint("check that the disk is not full")
}

fn columns(names: &[&'static str]) -> Vec<Column> {
    names.iter().map(|name| Column::new(name, Kind::Text, "")).collect()
}
