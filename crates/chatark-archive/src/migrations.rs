//! The archive's layout, one numbered step after the other, never edited once released.

use chatark_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::values::database;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_sweeps.sql"),
    include_str!("migrations/0003_transfers.sql"),
];

/// `ChAr` in ASCII: marks a SQLite file as an archive of Chatark.
const APPLICATION_ID: i64 = 0x4368_4172;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// An empty file.
    New,
    /// An archive of an older layout.
    Older(usize),
    /// An archive of the layout that this program writes.
    Current,
}

/// Looks at a file without changing it.
pub(crate) fn inspect(connection: &Connection) -> Result<Layout> {
    let number = |pragma: &str| -> Result<i64> {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .map_err(database("open the archive"))
    };
    let (id, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(database("open the archive"))?;
    match usize::try_from(version) {
        Ok(0) if id == 0 && tables == 0 => Ok(Layout::New),
        Ok(version) if id == APPLICATION_ID && version == MIGRATIONS.len() => Ok(Layout::Current),
        Ok(version) if id == APPLICATION_ID && (1..MIGRATIONS.len()).contains(&version) => {
            Ok(Layout::Older(version))
        }
        Ok(version) if id == APPLICATION_ID && version > MIGRATIONS.len() => Err(Error::new(
            ErrorKind::Usage,
            "open the archive",
            format!(
                "it has layout {version}, and this version of Chatark knows layouts up to {}",
                MIGRATIONS.len()
            ),
        )
        .hint("use the version of Chatark that wrote it, or a newer one")),
        _ => Err(Error::new(
            ErrorKind::Damaged,
            "open the archive",
            "the file is a database of another program",
        )
        .hint("set `archive` to another path")),
    }
}

/// Brings a file to the current layout, each step in a transaction of its own.
pub(crate) fn migrate(connection: &mut Connection, layout: Layout) -> Result<()> {
    let done = match layout {
        Layout::New => 0,
        Layout::Older(version) => version,
        Layout::Current => return Ok(()),
    };
    for (at, step) in MIGRATIONS.iter().enumerate().skip(done) {
        let failed = || database("migrate the archive");
        let transaction = connection.transaction().map_err(failed())?;
        transaction.execute_batch(step).map_err(failed())?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed())?;
        transaction
            .pragma_update(None, "user_version", i64::try_from(at + 1).unwrap_or(i64::MAX))
            .map_err(failed())?;
        transaction.commit().map_err(failed())?;
    }
    Ok(())
}
