//! Writes the files of an export: JSON, JSON Lines, CSV, and a manifest with their hashes.
//!
//! [`Export`] takes sorted [`chatark_core::ArchivedConversation`]s and writes all chosen [`Format`]s in one pass, in
//! constant memory. Each file is written under a temporary name, and all files are renamed once they are complete and
//! on disk: a reader never sees half a file. The same conversations give the same bytes. [`Bundle`] publishes the
//! files of reports and migrations in the same way.
//!
//! **This crate knows no vendor, no SQL and no clock, and prints nothing.** The contents of the files are specified
//! in `docs/schema`.

mod background;
mod bundle;
mod conversations_csv;
mod data_package;
mod export;
mod failure;
mod file_writer;
mod folder;
mod format;
mod json;
mod manifest;
mod messages_csv;
mod output;
mod table;

pub use bundle::Bundle;
pub use data_package::{Column, ColumnType, Resource, data_package};
pub use export::Export;
pub use format::{ExportOptions, Format};
pub use manifest::{
    CsvDialect, ExportContext, ExportSelection, FileEntry, MANIFEST_SCHEMA, Manifest, SourceState,
};
pub use output::OutputFile;
pub use table::{Row, Table};
