//! One file: written under a temporary name, hashed, and renamed when it is complete.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chatark_core::Result;
use sha2::Digest;
use tempfile::NamedTempFile;

use crate::background::{BackgroundWriter, HashingWriter, hex};
use crate::failure::storage_error;
use crate::manifest::FileEntry;

/// The suffix of temporary names, which no other program uses.
const TEMPORARY_SUFFIX: &str = ".chatark-part";

/// A file that is being written under a temporary name. If it is dropped, it is removed.
#[derive(Debug)]
pub struct OutputFile {
    destination: Destination,
    stream: BackgroundWriter<NamedTempFile>,
}

/// A file that is complete and on disk, but not yet renamed.
#[derive(Debug)]
pub(crate) struct CompleteFile {
    destination: Destination,
    file: NamedTempFile,
    entry: FileEntry,
}

/// The final name and path of a file.
#[derive(Debug)]
struct Destination {
    name: Cow<'static, str>,
    path: PathBuf,
}

/// Removes the temporary files of killed processes. Errors are ignored.
pub(crate) fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_unfinished = entry.file_name().to_str().is_some_and(|name| name.ends_with(TEMPORARY_SUFFIX));
        if is_unfinished && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl OutputFile {
    /// Begins a file that only the user can read.
    pub(crate) fn begin(folder: &Path, name: impl Into<Cow<'static, str>>) -> Result<Self> {
        let name = name.into();
        let destination = Destination { path: folder.join(name.as_ref()), name };
        // A temporary file has mode 0600 from the beginning and keeps it when it is renamed.
        let file = tempfile::Builder::new()
            .prefix(&format!(".{}.", destination.name))
            .suffix(TEMPORARY_SUFFIX)
            .tempfile_in(folder)
            .map_err(|error| destination.error_for(error))?;
        // The lock tells other processes that the file is still being written. On a file system without locks,
        // temporary files are never removed.
        let _ = file.as_file().try_lock();
        let stream = BackgroundWriter::start(file).map_err(|error| destination.error_for(error))?;
        Ok(Self { destination, stream })
    }

    /// Turns an I/O error into an error that names this file.
    pub fn error_for(&self, error: impl Into<io::Error>) -> chatark_core::Error {
        self.destination.error_for(error.into())
    }

    /// Writes the rest of the file, and syncs it to disk.
    pub(crate) fn finish(self, rows: u64) -> Result<CompleteFile> {
        let Self { destination, stream } = self;
        let HashingWriter { inner: file, sha256, bytes } =
            stream.finish().map_err(|error| destination.error_for(error))?;
        file.as_file().sync_all().map_err(|error| destination.error_for(error))?;
        let entry =
            FileEntry { name: destination.name.to_string(), rows, bytes, sha256: hex(&sha256.finalize()) };
        Ok(CompleteFile { destination, file, entry })
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl CompleteFile {
    /// Returns the entry of the file for a manifest.
    pub(crate) fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Renames the file to its final name.
    pub(crate) fn publish(self) -> Result<()> {
        let Self { destination, file, .. } = self;
        file.persist(&destination.path).map_err(|failure| destination.error_for(failure.error))?;
        Ok(())
    }
}

impl Destination {
    fn error_for(&self, error: io::Error) -> chatark_core::Error {
        storage_error(format!("write {}", self.name), &self.path, error)
    }
}
