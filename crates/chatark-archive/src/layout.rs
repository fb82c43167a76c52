//! The layout of the archive's tables: recognizes it, creates it in a new file, and upgrades older files to it.

use chatark_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, Transaction};

use crate::computed;
use crate::values::database_error;

/// The steps of the layout: each upgrades the layout before it. A released step is never edited.
const STEPS: &[&str] = &[
    include_str!("layout/0001_first.sql"),
    include_str!("layout/0002_sweeps.sql"),
    include_str!("layout/0003_transfers.sql"),
    include_str!("layout/0004_streams.sql"),
    include_str!("layout/0005_gaps.sql"),
];

/// The layout that all steps together give: a new file is created from it at once.
const CURRENT: &str = include_str!("layout/current.sql");

/// `ChAr` in ASCII: marks a SQLite file as an archive of Chatark.
const APPLICATION_ID: i64 = 0x4368_4172;

/// The steps up to this layout copy tables and leave statistics to be computed.
const LAST_COPYING_STEP: usize = 4;

/// The most bytes that the statistics of one conversation take, in the write-ahead log and in the file together.
const STATS_BYTES: u64 = 2_048;

/// The layout of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// None: the file is empty.
    New,
    /// An archive of an older layout.
    Older(usize),
    /// An archive of the layout that this program writes.
    Current,
}

impl Layout {
    /// The number of the layout that this program writes.
    pub(crate) const CURRENT: usize = STEPS.len();
}

/// Returns the layout of a file without changing it.
pub(crate) fn inspect(connection: &Connection) -> Result<Layout> {
    let number = |pragma: &str| -> Result<i64> {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .map_err(database_error("open the archive"))
    };
    let (id, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(database_error("open the archive"))?;
    match usize::try_from(version) {
        Ok(0) if id == 0 && tables == 0 => Ok(Layout::New),
        Ok(version) if id == APPLICATION_ID && version == STEPS.len() => {
            // An upgrade that was interrupted before all derived rows were written is not complete.
            Ok(if computed::is_filled(connection)? { Layout::Current } else { Layout::Older(version) })
        }
        Ok(version) if id == APPLICATION_ID && (1..STEPS.len()).contains(&version) => {
            Ok(Layout::Older(version))
        }
        Ok(version) if id == APPLICATION_ID && version > STEPS.len() => Err(Error::new(
            ErrorKind::Usage,
            "open the archive",
            format!(
                "it has layout {version}, and this version of Chatark knows layouts up to {}",
                STEPS.len()
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

/// Whether SQLite checks each reference between tables while it is written.
///
/// Only debug builds do: a check is a search of the other table for each row, every key comes from the insert before it,
/// and `verify` checks the references of the whole file.
pub(crate) const CHECKS_REFERENCES: bool = cfg!(debug_assertions);

/// Creates the tables of a new file, or upgrades those of an older one, each step in a transaction of its own.
///
/// A step may rebuild tables that others refer to, so references are checked before each commit.
pub(crate) fn upgrade(connection: &mut Connection, layout: Layout) -> Result<()> {
    let version = match layout {
        Layout::New => return create(connection),
        Layout::Older(version) => version,
        Layout::Current => return Ok(()),
    };
    let failed = || database_error("upgrade the archive");
    connection.pragma_update(None, "foreign_keys", false).map_err(failed())?;
    for (index, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction().map_err(failed())?;
        transaction.execute_batch(step).map_err(failed())?;
        check_references(&transaction)?;
        write_header(&transaction, index + 1).map_err(failed())?;
        transaction.commit().map_err(failed())?;
    }
    connection.pragma_update(None, "foreign_keys", CHECKS_REFERENCES).map_err(failed())
}

/// Creates the tables of a new archive.
fn create(connection: &mut Connection) -> Result<()> {
    let failed = || database_error("create the archive");
    let transaction = connection.transaction().map_err(failed())?;
    transaction.execute_batch(CURRENT).map_err(failed())?;
    write_header(&transaction, Layout::CURRENT).map_err(failed())?;
    transaction.commit().map_err(failed())
}

/// Marks the file as an archive of this layout.
fn write_header(transaction: &Transaction<'_>, layout: usize) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(layout).unwrap_or(i64::MAX))
}

fn check_references(transaction: &Transaction<'_>) -> Result<()> {
    let broken: i64 = transaction
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .map_err(database_error("upgrade the archive"))?;
    if broken == 0 {
        return Ok(());
    }
    let message = format!("{broken} rows refer to rows that are not there; nothing was changed");
    Err(Error::new(ErrorKind::Damaged, "upgrade the archive", message)
        .hint("restore a copy of the archive, or set `archive` to another path and pull again"))
}

/// Returns the most disk space that the upgrade from a layout needs while it runs, in bytes.
///
/// What a step writes is first in the write-ahead log and then in the file. Raw bytes and messages are not copied.
pub(crate) fn space_needed(connection: &Connection, layout: Layout) -> Result<u64> {
    let Layout::Older(version) = layout else { return Ok(0) };
    let number = |sql: &str| -> Result<u64> {
        let found: i64 =
            connection.query_row(sql, [], |row| row.get(0)).map_err(database_error("upgrade the archive"))?;
        Ok(u64::try_from(found).unwrap_or(0))
    };
    if version >= LAST_COPYING_STEP {
        return Ok(4 << 20);
    }
    let copied = number(
        "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE aggregate = TRUE AND name IN (
             'conversation', 'conversation_in_order', 'conversation_missing', 'sqlite_autoindex_conversation_1',
             'listed_contact', 'latest_contact', 'sqlite_autoindex_listed_contact_1')",
    )?;
    let conversations = number("SELECT coalesce(sum(conversations), 0) FROM source")?;
    Ok(4 * copied + STATS_BYTES * conversations + (4 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the version of a file's layout, its tables and its conversations.
    fn state(connection: &Connection) -> (i64, Vec<String>, Vec<String>) {
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        };
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        let conversations = texts("SELECT id || ' ' || title FROM conversation ORDER BY conversation_key");
        (version, texts("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name"), conversations)
    }

    /// Returns each table, column, index and reference of a file, as SQLite understands them.
    fn structure(connection: &Connection) -> Vec<String> {
        let rows = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
                Ok(format!("{:?}", values.collect::<rusqlite::Result<Vec<_>>>()?))
            });
            rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
        };
        [
            "SELECT type, name, ncol, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'
             ORDER BY name",
            "SELECT t.name, c.* FROM pragma_table_list t, pragma_table_xinfo(t.name) c
             WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%' ORDER BY t.name, c.cid",
            "SELECT t.name, i.name, i.\"unique\", i.origin, i.partial, c.* FROM pragma_table_list t, pragma_index_list(t.name) i,
             pragma_index_xinfo(i.name) c WHERE t.schema = 'main' ORDER BY i.name, c.seqno",
            "SELECT t.name, f.* FROM pragma_table_list t, pragma_foreign_key_list(t.name) f WHERE t.schema = 'main'
             ORDER BY t.name, f.\"from\"",
            "SELECT type, name, sql FROM sqlite_schema WHERE type <> 'table' ORDER BY name",
            "SELECT count(*), max(changes) FROM archive",
        ]
        .into_iter()
        .flat_map(rows)
        .collect()
    }

    #[test]
    fn a_new_archive_has_the_layout_that_all_steps_give() {
        let mut created = Connection::open_in_memory().unwrap();
        upgrade(&mut created, Layout::New).unwrap();
        let mut upgraded = Connection::open_in_memory().unwrap();
        upgraded.execute_batch(STEPS[0]).unwrap();
        upgrade(&mut upgraded, Layout::Older(1)).unwrap();
        assert_eq!(structure(&created), structure(&upgraded));
        assert_eq!(inspect(&created).unwrap(), Layout::Current);
    }

    #[test]
    fn a_full_disk_rolls_back_an_upgrade_and_it_succeeds_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join("archive.db")).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        for step in &STEPS[..3] {
            connection.execute_batch(step).unwrap();
        }
        connection
            .execute_batch(
                "PRAGMA user_version = 3;
                 INSERT INTO source VALUES (1, 'shop', 'vendor-v1', 'agent', 2000, 0);
                 WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2000)
                     INSERT INTO conversation (source_key, id, raw_version, readable, title, message_count)
                     SELECT 1, 'c' || n, 1, 1, 'a title of some length ' || n, 0 FROM number;",
            )
            .unwrap();
        let before = state(&connection);
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = |connection: &Connection, pages: i64| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        };
        // In the middle of a table, and shortly before the end.
        for more in [0, 5, 40] {
            limit(&connection, pages + more);
            let error = upgrade(&mut connection, Layout::Older(3)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
            assert!(error.hint_text().unwrap().contains("make room on the disk"), "{error}");
            assert_eq!(state(&connection), before);
        }
        limit(&connection, 1 << 30);
        upgrade(&mut connection, Layout::Older(3)).unwrap();
        let (version, _, conversations) = state(&connection);
        assert_eq!((version, conversations), (5, before.2));
    }
}
