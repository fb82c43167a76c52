//! Copies SQLite's write-ahead log (WAL) into the file on a thread of its own, so that a pull does not wait for the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use crate::connection::connect;

/// How many bytes of records are written between two copies of the log.
const BYTES_BETWEEN_COPIES: u64 = 8 << 20;
/// The size of the log, in pages, at which the writer copies it itself and waits: the disk is slower than the vendor.
pub(crate) const MAX_WAL_PAGES: u32 = 2_000;

/// Copies the write-ahead log of an archive that is being written to.
#[derive(Debug, Default)]
pub(crate) struct WalCopier {
    /// Bytes of records that were written since the last copy was requested.
    written: u64,
    thread: Option<CopyThread>,
}

/// The thread that copies. It starts with the first copy and ends when the sender is dropped.
#[derive(Debug)]
struct CopyThread {
    requests: SyncSender<()>,
    handle: JoinHandle<()>,
}

impl WalCopier {
    /// Adds the bytes of records that a transaction has written, and requests a copy once there are enough.
    pub(crate) fn add_written(&mut self, path: &Path, bytes: u64) {
        self.written += bytes;
        if self.written < BYTES_BETWEEN_COPIES {
            return;
        }
        self.written = 0;
        if self.thread.is_none() {
            // If no thread can be started, the writer copies.
            self.thread = CopyThread::start(path.to_owned()).ok();
        }
        // While a copy is running, one more can be requested; further requests change nothing.
        let _ = self.thread.as_ref().map(|thread| thread.requests.try_send(()));
    }

    /// Waits for the copies that were requested, and ends the thread.
    pub(crate) fn finish(&mut self) {
        if let Some(CopyThread { requests, handle }) = self.thread.take() {
            drop(requests);
            let _ = handle.join();
        }
    }
}

impl CopyThread {
    fn start(path: PathBuf) -> io::Result<Self> {
        let (requests, received) = mpsc::sync_channel(1);
        let handle = thread::Builder::new().spawn(move || {
            let Ok(connection) = connect(&path) else { return };
            while received.recv().is_ok() {
                // If a copy fails here, the writer copies later and reports the error.
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            }
        })?;
        Ok(Self { requests, handle })
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
    fn the_log_is_copied_while_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.db");
        let archive = Archive::open(&path, Timestamp::EARLIEST).unwrap();
        archive.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        archive.connection.execute_batch("CREATE TABLE filled (bytes BLOB)").unwrap();
        let mut log = WalCopier::default();
        log.add_written(&path, BYTES_BETWEEN_COPIES - 1);
        log.finish();
        let (pages_before, copied) = pages(&archive.connection);
        assert!(pages_before > 0 && copied == 0, "{copied} of {pages_before} pages are copied too early");
        log.add_written(&path, 1);
        log.finish();
        assert_eq!(pages(&archive.connection), (pages_before, pages_before));
    }
}
