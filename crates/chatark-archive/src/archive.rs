//! An open archive: its connection, and what a writer holds beside it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::lock::Lock;
use crate::wal::WalCopier;

/// An open archive.
#[derive(Debug)]
pub struct Archive {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// `None` for a reader.
    pub(crate) lock: Option<Lock>,
    pub(crate) wal: WalCopier,
}

impl Archive {
    /// Returns the path of the archive.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
