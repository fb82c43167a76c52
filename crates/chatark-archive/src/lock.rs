//! One writer at a time: a lock that the operating system releases when its holder ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chatark_core::{Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};

/// The lock of an archive, held until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// What the holder writes into the lock file, so that other processes can name it.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    since: String,
}

impl Lock {
    /// Takes the lock of an archive, or returns an error that names its holder.
    pub(crate) fn take(archive: &Path, now: Timestamp) -> Result<Self> {
        let path = lock_path(archive);
        let failed = |error: std::io::Error| storage_error("lock the archive", &path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held_by_another(&mut file, archive)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let holder = Holder { pid: std::process::id(), since: now.to_string() };
        let text = serde_json::to_string(&holder)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "lock the archive", error))?;
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Returns the error that names the holder of a lock.
fn held_by_another(file: &mut File, archive: &Path) -> Error {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(4_096).read_to_string(&mut text));
    let holder = read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let message = match &holder {
        Some(holder) => format!("process {} has held it since {}", holder.pid, holder.since),
        None => "another process holds it".to_owned(),
    };
    Error::new(ErrorKind::Locked, "open the archive", message)
        .with("archive", archive.display())
        .hint("wait for that process, or end it; the lock frees itself when it ends")
}

fn lock_path(archive: &Path) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Returns an error about a file or folder.
pub(crate) fn storage_error(operation: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, operation, error)
        .with("path", path.display())
        .hint("check that the folder exists, is writable, and that the disk is not full")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.db");
        let now = Timestamp::from_epoch(1_790_000_000).unwrap();
        let first = Lock::take(&archive, now).unwrap();
        let error = Lock::take(&archive, now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        let expect = format!("process {} has held it since 2026-09-21T14:13:20Z", std::process::id());
        assert_eq!(error.message(), expect);
        drop(first);
        assert!(Lock::take(&archive, now).is_ok());
    }
}
