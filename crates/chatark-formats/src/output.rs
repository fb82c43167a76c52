//! One file that is written under a temporary name, counted and hashed, and renamed when it is complete.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use chatark_core::Result;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::failure::storage_error;
use crate::manifest::FileEntry;

const BUFFER_BYTES: usize = 256 * 1024;

/// The suffix of temporary names, which no other program uses.
const UNFINISHED: &str = ".chatark-part";

/// A file that is being written under a temporary name; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Output {
    destination: Destination,
    stream: BufWriter<Hashed<NamedTempFile>>,
}

/// A file that is complete and on disk, but not yet renamed.
#[derive(Debug)]
pub(crate) struct Complete {
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

/// A writer that counts and hashes what it writes.
#[derive(Debug)]
struct Hashed<W> {
    inner: W,
    sha256: Sha256,
    bytes: u64,
}

/// Removes the temporary files of processes that were killed, as far as possible.
pub(crate) fn clear_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_unfinished = entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED));
        if is_unfinished && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Output {
    /// Begins a file that only the user may read.
    pub(crate) fn begin(folder: &Path, name: impl Into<Cow<'static, str>>) -> Result<Self> {
        let name = name.into();
        let destination = Destination { path: folder.join(name.as_ref()), name };
        // A temporary file has mode 0600 from the beginning and keeps it when it is renamed.
        let file = tempfile::Builder::new()
            .prefix(&format!(".{}.", destination.name))
            .suffix(UNFINISHED)
            .tempfile_in(folder)
            .map_err(|error| destination.failed(error))?;
        // The lock tells other processes that the file is still being written. On a file system without locks, temporary
        // files are never removed.
        let _ = file.as_file().try_lock();
        let hashed = Hashed { inner: file, sha256: Sha256::new(), bytes: 0 };
        Ok(Self { destination, stream: BufWriter::with_capacity(BUFFER_BYTES, hashed) })
    }

    /// Turns an I/O error into one that names this file.
    pub(crate) fn failed(&self, error: impl Into<io::Error>) -> chatark_core::Error {
        self.destination.failed(error.into())
    }

    /// Syncs the file to disk.
    pub(crate) fn finish(self, rows: u64) -> Result<Complete> {
        let Self { destination, stream } = self;
        let hashed = stream.into_inner().map_err(|error| destination.failed(error.into_error()))?;
        let Hashed { inner: file, sha256, bytes } = hashed;
        file.as_file().sync_all().map_err(|error| destination.failed(error))?;
        let entry =
            FileEntry { name: destination.name.to_string(), rows, bytes, sha256: hex(&sha256.finalize()) };
        Ok(Complete { destination, file, entry })
    }
}

impl Write for Output {
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

impl Complete {
    /// Returns the entry of the file in the manifest.
    pub(crate) fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Renames the file to its final name.
    pub(crate) fn publish(self) -> Result<()> {
        let Self { destination, file, .. } = self;
        file.persist(&destination.path).map_err(|failure| destination.failed(failure.error))?;
        Ok(())
    }
}

impl Destination {
    fn failed(&self, error: io::Error) -> chatark_core::Error {
        storage_error(format!("write {}", self.name), &self.path, error)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes at most three bytes at a time, as a pipe may.
    struct ShortWriter(Vec<u8>);

    impl Write for ShortWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn hashes_only_what_was_written() {
        let mut hashed = Hashed { inner: ShortWriter(Vec::new()), sha256: Sha256::new(), bytes: 0 };
        hashed.write_all(b"hello world").unwrap();
        assert_eq!((hashed.bytes, hashed.inner.0.as_slice()), (11, b"hello world".as_slice()));
        // The digest is the one that `printf 'hello world' | sha256sum` prints.
        assert_eq!(
            hex(&hashed.sha256.finalize()),
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
        );
    }
}
