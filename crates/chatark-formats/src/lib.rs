//! Writers of the export files: JSON, JSON Lines, CSV, and the manifest with their hashes.
//!
//! [`Export`] takes a sorted stream of [`chatark_core::ArchivedConversation`] and writes all chosen
//! [`Format`]s in one pass, in constant memory. Each file is written under a temporary name and renamed when all
//! are complete and on disk: a reader never sees half a file. The same stream gives the same bytes.
//!
//! **This crate knows no vendor, no SQL and no clock, and prints nothing.** The contents of the files are specified
//! in `docs/schema`.

mod background;
mod bundle;
mod conversations_csv;
mod export;
mod failure;
mod file_writer;
mod folder;
mod format;
mod json;
mod manifest;
mod messages_csv;
mod output;
mod package;
mod table;

pub use bundle::{Bundle, NewFile};
pub use export::Export;
pub use format::{Format, Options};
pub use manifest::{
    ArchiveState, CsvDialect, ExportSelection, FileEntry, MANIFEST_SCHEMA, Manifest, SourceState,
};
pub use package::{Column, ColumnType, Resource, package};
pub use table::{Row, Table};
