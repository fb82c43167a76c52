//! Copies the write-ahead log into the file on a thread of its own, so that a pull does not wait for the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use crate::open::connect;

/// The log is copied each time that records of so many bytes have been written.
const BYTES_BETWEEN_COPIES: u64 = 8 << 20;
/// At so many pages, the writer copies the log itself before it goes on: the disk is slower than the vendor.
pub(crate) const MOST_PAGES: u32 = 2_000;

/// Copies the log of an archive that is being written to.
#[derive(Debug, Default)]
pub(crate) struct LogCopier {
    /// Bytes of records that were written since the log was last copied.
    written: u64,
    thread: Option<Thread>,
}

/// The thread that copies, once there was anything to copy. It ends when the sender is dropped.
#[derive(Debug)]
struct Thread {
    copy: SyncSender<()>,
    handle: JoinHandle<()>,
}

impl LogCopier {
    /// Notes how many bytes of records a transaction has written, and has the log copied if it has grown enough.
    pub(crate) fn wrote(&mut self, path: &Path, bytes: u64) {
        self.written += bytes;
        if self.written < BYTES_BETWEEN_COPIES {
            return;
        }
        self.written = 0;
        if self.thread.is_none() {
            // Without a thread, the writer copies.
            self.thread = Thread::start(path.to_owned()).ok();
        }
        // If it still copies, it copies once more after that.
        let _ = self.thread.as_ref().map(|thread| thread.copy.try_send(()));
    }

    /// Waits until the log is copied no more.
    pub(crate) fn finish(&mut self) {
        if let Some(Thread { copy, handle }) = self.thread.take() {
            drop(copy);
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start(path: PathBuf) -> io::Result<Self> {
        let (copy, asked) = mpsc::sync_channel(1);
        let handle = thread::Builder::new().spawn(move || {
            let Ok(connection) = connect(&path) else { return };
            while asked.recv().is_ok() {
                // What fails here, the writer does later by itself, and reports.
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            }
        })?;
        Ok(Self { copy, handle })
    }
}

#[cfg(test)]
mod tests {
    use chatark_core::Timestamp;
    use rusqlite::Connection;

    use super::*;
    use crate::Archive;

    /// Returns how many pages the log has, and how many of them are in the file.
    fn pages(connection: &Connection) -> (i64, i64) {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
        connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], read).unwrap()
    }

    #[test]
    fn the_log_is_copied_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.db");
        let archive = Archive::open(&path, Timestamp::EARLIEST).unwrap();
        archive.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        archive.connection.execute_batch("CREATE TABLE filled (bytes BLOB)").unwrap();
        let mut log = LogCopier::default();
        log.wrote(&path, BYTES_BETWEEN_COPIES - 1);
        log.finish();
        let (pages_before, copied) = pages(&archive.connection);
        assert!(pages_before > 0 && copied == 0, "{copied} of {pages_before} pages are copied too early");
        log.wrote(&path, 1);
        log.finish();
        assert_eq!(pages(&archive.connection), (pages_before, pages_before));
    }
}
