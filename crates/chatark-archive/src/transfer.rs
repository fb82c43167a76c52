//! The ledger of migrations: what was sent to which target, its id there, and its state.
//!
//! A row is written before anything is sent, so that what a killed run left at a target can be found.

use chatark_core::{ConversationId, Error, ErrorKind, Result, SourceName, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::archive::Archive;
use crate::statement::upsert;
use crate::values::{database_error, read_count, read_timestamp, stored_count};

/// An item that was sent to a target, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Distinguishes the item from all others of its kind; the same in every run.
    pub idempotency_key: String,
    /// The text by which it is found again at the target.
    pub external_id: String,
    /// Its state.
    pub state: TransferState,
    /// Its id at the target, if it is known.
    pub target_id: Option<String>,
    /// The conversation that it was made from, if it was made from one.
    pub origin: Option<(SourceName, ConversationId)>,
    /// The number of messages in it.
    pub messages: u64,
    /// The SHA-256 of what was sent.
    pub digest: [u8; 32],
    /// The vendor's error, if it refused the item.
    pub error: Option<String>,
    /// When the row last changed.
    pub changed_at: Option<Timestamp>,
}

/// The state of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    /// It was about to be sent; the outcome is not known.
    Intended,
    /// It is at the target, and not yet complete.
    Created,
    /// It is at the target, and complete.
    Done,
    /// The vendor refused it.
    Refused,
}

impl TransferState {
    const ALL: [Self; 4] = [Self::Intended, Self::Created, Self::Done, Self::Refused];

    /// Returns its word in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Created => "created",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// The columns that a transfer is read from.
const COLUMNS: &str =
    "mark, sign, state, target_id, source, conversation_id, messages, sha256, error, changed_at";
const KEY_COLUMNS: &str = "target, cargo, mark";
/// The columns that change with the state of a transfer.
const STATE_COLUMNS: &str =
    "sign, state, target_id, source, conversation_id, messages, sha256, error, changed_at, checksum";

impl Archive {
    /// Returns the transfer of an idempotency key. `kind` is the kind of data, such as `history`.
    pub fn transfer(&self, target: &str, kind: &str, key: &str) -> Result<Option<Transfer>> {
        self.find_transfer("transfer", "mark", target, kind, key)
    }

    /// Returns the transfer of an external id.
    pub fn transfer_by_external_id(&self, target: &str, kind: &str, id: &str) -> Result<Option<Transfer>> {
        self.find_transfer("transfer INDEXED BY transfer_by_sign", "sign", target, kind, id)
    }

    /// Returns the transfer of an id that the target has given.
    pub fn transfer_by_target_id(&self, target: &str, kind: &str, id: &str) -> Result<Option<Transfer>> {
        self.find_transfer("transfer INDEXED BY transfer_by_id", "target_id", target, kind, id)
    }

    /// Returns the transfer with this value in a column. `table` also names the index: without statistics, SQLite would read all
    /// rows of the target by their primary key.
    fn find_transfer(
        &self,
        table: &str,
        column: &str,
        target: &str,
        kind: &str,
        value: &str,
    ) -> Result<Option<Transfer>> {
        let failed = database_error("read the ledger of migrations");
        // If several have the same external id, the one whose outcome is not known is returned.
        let sql = format!(
            "SELECT {COLUMNS} FROM {table} WHERE target = ?1 AND cargo = ?2 AND {column} = ?3
             ORDER BY state = 'intended' DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let found = statement
            .query_row(params![target, kind, value], |row| Ok(read(row)))
            .optional()
            .map_err(&failed)?;
        found.transpose()
    }

    /// Writes or replaces transfers in one transaction.
    ///
    /// Intended transfers are on the disk when this returns, so that even after a power cut the ledger has everything that was
    /// sent.
    pub fn save_transfers(&mut self, target: &str, kind: &str, transfers: &[Transfer]) -> Result<()> {
        let is_intended = transfers.iter().any(|transfer| transfer.state == TransferState::Intended);
        if !is_intended {
            return self.write_transfers(target, kind, transfers);
        }
        let set_synchronous = |archive: &Self, level: &str| {
            let set = archive.connection.pragma_update(None, "synchronous", level);
            set.map_err(database_error("write the ledger of migrations"))
        };
        set_synchronous(self, "FULL")?;
        let written = self.write_transfers(target, kind, transfers);
        set_synchronous(self, "NORMAL")?;
        written
    }

    fn write_transfers(&mut self, target: &str, kind: &str, transfers: &[Transfer]) -> Result<()> {
        let failed = || database_error("write the ledger of migrations");
        let transaction = self.connection.transaction().map_err(failed())?;
        let sql = upsert("transfer", KEY_COLUMNS, "", STATE_COLUMNS);
        for transfer in transfers {
            let origin = transfer.origin.as_ref();
            let mut statement = transaction.prepare_cached(&sql).map_err(failed())?;
            let row = params![
                target,
                kind,
                transfer.idempotency_key,
                transfer.external_id,
                transfer.state.as_str(),
                transfer.target_id,
                origin.map(|(source, _)| source.as_str()),
                origin.map(|(_, id)| id.as_str()),
                stored_count(transfer.messages),
                transfer.digest,
                transfer.error,
                transfer.changed_at.map(Timestamp::microseconds).unwrap_or_default(),
                // Clears the checksum, which was that of the previous row.
                None::<[u8; 32]>,
            ];
            statement.execute(row).map_err(failed())?;
        }
        transaction.commit().map_err(failed())
    }

    /// Changes the idempotency key of a transfer.
    pub fn rekey_transfer(&mut self, target: &str, kind: &str, from: &str, to: &str) -> Result<()> {
        let sql = "UPDATE transfer SET mark = ?4 WHERE target = ?1 AND cargo = ?2 AND mark = ?3";
        let renamed = self.connection.execute(sql, params![target, kind, from, to]);
        renamed.map(drop).map_err(database_error("write the ledger of migrations"))
    }

    /// Deletes transfers that certainly had no effect: they were not sent, or were refused.
    pub fn delete_transfers(&mut self, target: &str, kind: &str, keys: &[&str]) -> Result<()> {
        let failed = || database_error("write the ledger of migrations");
        let transaction = self.connection.transaction().map_err(failed())?;
        for key in keys {
            let sql = "DELETE FROM transfer WHERE target = ?1 AND cargo = ?2 AND mark = ?3";
            transaction.execute(sql, params![target, kind, key]).map_err(failed())?;
        }
        transaction.commit().map_err(failed())
    }

    /// Deletes every transfer of a target, of one kind or of all, and returns their number.
    pub fn forget_target(&mut self, target: &str, kind: Option<&str>) -> Result<u64> {
        let sql = "DELETE FROM transfer WHERE target = ?1 AND (?2 IS NULL OR cargo = ?2)";
        let deleted = self.connection.execute(sql, params![target, kind]);
        Ok(deleted.map_err(database_error("write the ledger of migrations"))? as u64)
    }

    /// Counts the transfers of a kind in a state.
    pub fn count_transfers(&self, target: &str, kind: &str, state: TransferState) -> Result<u64> {
        let sql = "SELECT count(*) FROM transfer WHERE target = ?1 AND cargo = ?2 AND state = ?3";
        let number: i64 = self
            .connection
            .query_row(sql, params![target, kind, state.as_str()], |row| row.get(0))
            .map_err(database_error("read the ledger of migrations"))?;
        Ok(read_count(number))
    }

    /// Counts the transfers that were begun, and neither completed nor refused.
    pub fn count_unfinished_transfers(&self, target: &str, kind: &str) -> Result<u64> {
        let sql = "SELECT count(*) FROM transfer
            WHERE target = ?1 AND cargo = ?2 AND state IN ('intended', 'created') AND error IS NULL";
        let number: i64 = self
            .connection
            .query_row(sql, params![target, kind], |row| row.get(0))
            .map_err(database_error("read the ledger of migrations"))?;
        Ok(read_count(number))
    }

    /// Passes every transfer to `take`, with its target and kind, sorted by them, then by source, conversation and key.
    pub fn each_transfer(&self, mut take: impl FnMut(&str, &str, &Transfer) -> Result<()>) -> Result<()> {
        let failed = database_error("read the ledger of migrations");
        let sql = format!(
            "SELECT {COLUMNS}, target, cargo FROM transfer ORDER BY target, cargo, source, conversation_id, mark"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let target: String = row.get(10).map_err(&failed)?;
            let kind: String = row.get(11).map_err(&failed)?;
            take(&target, &kind, &read(row)?)?;
        }
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Transfer> {
    let failed = database_error("read the ledger of migrations");
    let state: String = row.get(2).map_err(&failed)?;
    let source: Option<String> = row.get(4).map_err(&failed)?;
    let conversation: Option<String> = row.get(5).map_err(&failed)?;
    let origin = source
        .zip(conversation)
        .map(|(source, id)| SourceName::new(source).map(|source| (source, ConversationId::new(id))));
    Ok(Transfer {
        idempotency_key: row.get(0).map_err(&failed)?,
        external_id: row.get(1).map_err(&failed)?,
        state: known_state(TransferState::ALL.into_iter().find(|known| known.as_str() == state))?,
        target_id: row.get(3).map_err(&failed)?,
        origin: origin.transpose()?,
        messages: read_count(row.get(6).map_err(&failed)?),
        digest: row.get(7).map_err(&failed)?,
        error: row.get(8).map_err(&failed)?,
        changed_at: read_timestamp(row.get(9).map_err(&failed)?),
    })
}

fn known_state<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        let message = "a stored word is not one that Chatark writes";
        Error::new(ErrorKind::Damaged, "read the ledger of migrations", message)
    })
}
