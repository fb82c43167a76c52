//! Opens and closes the archive: to write, with its lock, or to read while another process writes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chatark_core::{Error, ErrorKind, Result, Timestamp};
use rusqlite::Connection;

use crate::archive::Archive;
use crate::computed;
use crate::connection::{connect, connect_immutable};
use crate::layout::{self, Layout};
use crate::lock::{Lock, storage_error};
use crate::sweep;
use crate::values::database_error;
use crate::wal::{MAX_WAL_PAGES, WalCopier};

/// An upgrade from the layout of an older version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// The layout that the file has.
    pub from: usize,
    /// The layout that it will have.
    pub to: usize,
    /// The most disk space that the upgrade needs while it runs, in bytes.
    pub needs: u64,
    /// The free disk space, in bytes; `None` if the system does not report it.
    pub free: Option<u64>,
}

impl Upgrade {
    /// Fails if there is not enough free disk space.
    fn check_space(&self, path: &Path) -> Result<()> {
        let Some(free) = self.free.filter(|free| *free < self.needs) else { return Ok(()) };
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let message = format!(
            "the upgrade to layout {} takes up to {} MiB, and {} MiB are free; nothing was changed",
            self.to,
            mebibytes(self.needs),
            free >> 20
        );
        Err(Error::new(ErrorKind::Storage, "upgrade the archive", message)
            .with("archive", path.display())
            .hint("make room on the disk, then run the same command again"))
    }
}

impl Archive {
    /// Opens an archive to write, creates it if it does not exist, and upgrades it to the current layout.
    ///
    /// Fails if another process holds it, if the file is not an archive, or if it is damaged.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self> {
        create_private_file(path)?;
        let lock = Lock::take(path, now)?;
        let mut connection = connect(path)?;
        let layout = layout::inspect(&connection)?;
        if layout == Layout::New {
            // Most messages fit into a page of this size, so that a conversation stays together in the file.
            connection
                .pragma_update(None, "page_size", 16_384)
                .map_err(database_error("create the archive"))?;
        }
        let configured = connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = {};
             PRAGMA temp.cache_size = -256;
             PRAGMA wal_autocheckpoint = {MAX_WAL_PAGES};
             {}",
            layout::CHECKS_REFERENCES,
            sweep::CREATE_SEEN
        ));
        configured.map_err(database_error("open the archive"))?;
        if let Some(upgrade) = find_upgrade(path, &connection, layout)? {
            upgrade.check_space(path)?;
        }
        layout::upgrade(&mut connection, layout)?;
        computed::fill(&mut connection)?;
        Ok(Self { connection, path: path.to_owned(), lock: Some(lock), wal: WalCopier::default() })
    }

    /// Returns the upgrade that [`Archive::open`] would run; `None` if the file is current or does not exist.
    pub fn pending_upgrade(path: &Path) -> Result<Option<Upgrade>> {
        if !path.exists() {
            return Ok(None);
        }
        let (layout, connection) = connect_and_inspect(path)?;
        find_upgrade(path, &connection, layout)
    }

    /// Opens an archive to read, also while another process writes to it.
    ///
    /// Fails if the file does not exist, is empty, or has an older layout.
    pub fn open_to_read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::new(ErrorKind::Usage, "open the archive", "it does not exist yet")
                .with("archive", path.display())
                .hint("run `chatark pull` first, or check `archive` in the config"));
        }
        let (layout, connection) = connect_and_inspect(path)?;
        match layout {
            Layout::Current => {
                Ok(Self { connection, path: path.to_owned(), lock: None, wal: WalCopier::default() })
            }
            Layout::New => Err(Error::new(ErrorKind::Usage, "open the archive", "the file is empty")
                .with("archive", path.display())
                .hint("run `chatark pull` first, or check `archive` in the config")),
            Layout::Older(_) => Err(Error::new(
                ErrorKind::Usage,
                "open the archive",
                "its layout is older than this version's, and it has not been upgraded",
            )
            .with("archive", path.display())
            .hint("run `chatark status` where the archive can be written: it upgrades the archive")),
        }
    }

    /// Closes the archive. A writer first resolves persons, and copies the write-ahead log into the file.
    ///
    /// If the disk is full, the data stays in the log, which is part of the archive, and the next writer does both.
    pub fn close(mut self) -> Result<()> {
        self.wal.finish();
        if self.lock.is_some() {
            defer_storage_errors(self.resolve_persons())?;
            let copied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            defer_storage_errors(copied.map_err(database_error("close the archive")))?;
        }
        self.connection.close().map_err(|(_, error)| database_error("close the archive")(error))
    }
}

/// Turns an error of the disk into a warning: the data is safe in the write-ahead log, and the next writer tries again.
fn defer_storage_errors(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::Storage => {
            tracing::warn!(%error, "the archive could not be written: the next session will do this");
            Ok(())
        }
        result => result,
    }
}

/// Connects to a file and returns its layout, also in a folder that cannot be written.
fn connect_and_inspect(path: &Path) -> Result<(Layout, Connection)> {
    let inspected = connect(path).and_then(|connection| Ok((layout::inspect(&connection)?, connection)));
    match inspected {
        Err(error) if error.kind() == ErrorKind::Storage => {
            let Some(connection) = connect_immutable(path) else { return Err(error) };
            Ok((layout::inspect(&connection)?, connection))
        }
        inspected => inspected,
    }
}

/// Returns the upgrade that a file needs; `None` if its layout is not an older one.
fn find_upgrade(path: &Path, connection: &Connection, layout: Layout) -> Result<Option<Upgrade>> {
    let Layout::Older(from) = layout else { return Ok(None) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(Some(Upgrade {
        from,
        to: Layout::CURRENT,
        needs: layout::space_needed(connection, layout)?,
        free: fs4::available_space(folder).ok(),
    }))
}

/// Creates the file, readable only by its owner, before SQLite opens it. SQLite gives its companion files the same mode.
fn create_private_file(path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| storage_error("create the archive", path, &error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let created = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    created.map(|_| ()).map_err(failed)
}
