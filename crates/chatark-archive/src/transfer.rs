//! The ledger of migrations: what was carried to which target, under which id it is there, and how far it came.
//!
//! A row is written before anything is sent, so that what a killed run left at a target can be looked for.

use chatark_core::{ConversationId, DataKind, Error, ErrorKind, Result, SourceName, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::open::Archive;
use crate::values::{count, database, timestamp, uncount};

/// Something that was carried to a target, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What tells it from others of its kind; the same in every run.
    pub mark: String,
    /// The text by which it is found again at the target.
    pub sign: String,
    /// How far it came.
    pub state: TransferState,
    /// The target's id, where it is known.
    pub target_id: Option<String>,
    /// The conversation that it was made of, where it was made of one.
    pub origin: Option<(SourceName, ConversationId)>,
    /// How many messages it carries.
    pub messages: u64,
    /// The SHA-256 of what was sent.
    pub digest: [u8; 32],
    /// What the vendor said, where it refused.
    pub error: Option<String>,
    /// When the row was last changed.
    pub changed_at: Option<Timestamp>,
}

/// How far a transfer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    /// It was about to be created; whether it was is not known.
    Intended,
    /// It is there, and not yet complete.
    Created,
    /// It is there, complete.
    Done,
    /// The vendor refused it.
    Refused,
}

impl TransferState {
    const ALL: [Self; 4] = [Self::Intended, Self::Created, Self::Done, Self::Refused];

    /// Returns the word that the archive holds.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Created => "created",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

const COLUMNS: &str =
    "mark, sign, state, target_id, source, conversation_id, messages, sha256, error, changed_at";

impl Archive {
    /// Returns what is known of the transfer of a mark.
    pub fn transfer(&self, target: &str, cargo: DataKind, mark: &str) -> Result<Option<Transfer>> {
        self.find_transfer("transfer", "mark", target, cargo, mark)
    }

    /// Returns the transfer that is found by a sign.
    pub fn transfer_by_sign(&self, target: &str, cargo: DataKind, sign: &str) -> Result<Option<Transfer>> {
        self.find_transfer("transfer INDEXED BY transfer_by_sign", "sign", target, cargo, sign)
    }

    /// Returns the transfer that the target knows by an id.
    pub fn transfer_by_id(&self, target: &str, cargo: DataKind, id: &str) -> Result<Option<Transfer>> {
        self.find_transfer("transfer INDEXED BY transfer_by_id", "target_id", target, cargo, id)
    }

    /// The index is named, since without statistics SQLite takes the primary key and reads all of a target's rows.
    fn find_transfer(
        &self,
        table: &str,
        column: &str,
        target: &str,
        cargo: DataKind,
        value: &str,
    ) -> Result<Option<Transfer>> {
        let failed = database("read the ledger of migrations");
        // Where two share a sign, the one that is being looked for comes first.
        let sql = format!(
            "SELECT {COLUMNS} FROM {table} WHERE target = ?1 AND cargo = ?2 AND {column} = ?3
             ORDER BY state = 'intended' DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let found = statement
            .query_row(params![target, cargo.as_str(), value], |row| Ok(read(row)))
            .optional()
            .map_err(&failed)?;
        found.transpose()
    }

    /// Writes transfers, whatever was known of them, in one transaction.
    ///
    /// What is intended is on the disk before this returns, so that a power cut cannot hide what was sent after it.
    pub fn keep_transfers(&mut self, target: &str, cargo: DataKind, transfers: &[Transfer]) -> Result<()> {
        let is_intended = transfers.iter().any(|transfer| transfer.state == TransferState::Intended);
        if !is_intended {
            return self.write_transfers(target, cargo, transfers);
        }
        let force = |archive: &Self, level: &str| {
            let set = archive.connection.pragma_update(None, "synchronous", level);
            set.map_err(database("write the ledger of migrations"))
        };
        force(self, "FULL")?;
        let written = self.write_transfers(target, cargo, transfers);
        force(self, "NORMAL")?;
        written
    }

    fn write_transfers(&mut self, target: &str, cargo: DataKind, transfers: &[Transfer]) -> Result<()> {
        let failed = || database("write the ledger of migrations");
        let transaction = self.connection.transaction().map_err(failed())?;
        let sql = format!(
            "INSERT OR REPLACE INTO transfer (target, cargo, {COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        );
        for transfer in transfers {
            let origin = transfer.origin.as_ref();
            let mut statement = transaction.prepare_cached(&sql).map_err(failed())?;
            let row = params![
                target,
                cargo.as_str(),
                transfer.mark,
                transfer.sign,
                transfer.state.as_str(),
                transfer.target_id,
                origin.map(|(source, _)| source.as_str()),
                origin.map(|(_, id)| id.as_str()),
                count(transfer.messages),
                transfer.digest,
                transfer.error,
                transfer.changed_at.map(Timestamp::microseconds).unwrap_or_default(),
            ];
            statement.execute(row).map_err(failed())?;
        }
        transaction.commit().map_err(failed())
    }

    /// Gives a transfer another mark; what is known of it stays.
    pub fn rename_transfer(&mut self, target: &str, cargo: DataKind, from: &str, to: &str) -> Result<()> {
        let sql = "UPDATE transfer SET mark = ?4 WHERE target = ?1 AND cargo = ?2 AND mark = ?3";
        let renamed = self.connection.execute(sql, params![target, cargo.as_str(), from, to]);
        renamed.map(drop).map_err(database("write the ledger of migrations"))
    }

    /// Takes back transfers of which nothing was sent.
    pub fn forget_transfers(&mut self, target: &str, cargo: DataKind, marks: &[&str]) -> Result<()> {
        let failed = || database("write the ledger of migrations");
        let transaction = self.connection.transaction().map_err(failed())?;
        for mark in marks {
            let sql = "DELETE FROM transfer WHERE target = ?1 AND cargo = ?2 AND mark = ?3";
            transaction.execute(sql, params![target, cargo.as_str(), mark]).map_err(failed())?;
        }
        transaction.commit().map_err(failed())
    }

    /// Forgets everything of a kind that was carried to a target, or of all kinds, and returns how much that was.
    pub fn forget_target(&mut self, target: &str, cargo: Option<DataKind>) -> Result<u64> {
        let sql = "DELETE FROM transfer WHERE target = ?1 AND (?2 IS NULL OR cargo = ?2)";
        let deleted = self.connection.execute(sql, params![target, cargo.map(DataKind::as_str)]);
        Ok(deleted.map_err(database("write the ledger of migrations"))? as u64)
    }

    /// Counts the transfers of a kind that reached a state.
    pub fn count_transfers(&self, target: &str, cargo: DataKind, state: TransferState) -> Result<u64> {
        let sql = "SELECT count(*) FROM transfer WHERE target = ?1 AND cargo = ?2 AND state = ?3";
        let number: i64 = self
            .connection
            .query_row(sql, params![target, cargo.as_str(), state.as_str()], |row| row.get(0))
            .map_err(database("read the ledger of migrations"))?;
        Ok(uncount(number))
    }

    /// Counts what was begun and neither completed nor refused.
    pub fn count_begun(&self, target: &str, cargo: DataKind) -> Result<u64> {
        let sql = "SELECT count(*) FROM transfer
            WHERE target = ?1 AND cargo = ?2 AND state IN ('intended', 'created') AND error IS NULL";
        let number: i64 = self
            .connection
            .query_row(sql, params![target, cargo.as_str()], |row| row.get(0))
            .map_err(database("read the ledger of migrations"))?;
        Ok(uncount(number))
    }

    /// Gives every transfer to `take`, with its target and kind, sorted by them, then source, conversation and mark.
    pub fn each_transfer(&self, mut take: impl FnMut(&str, DataKind, &Transfer) -> Result<()>) -> Result<()> {
        let failed = database("read the ledger of migrations");
        let sql = format!(
            "SELECT {COLUMNS}, target, cargo FROM transfer ORDER BY target, cargo, source, conversation_id, mark"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let target: String = row.get(10).map_err(&failed)?;
            let cargo: String = row.get(11).map_err(&failed)?;
            take(&target, known(DataKind::from_word(&cargo))?, &read(row)?)?;
        }
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Transfer> {
    let failed = database("read the ledger of migrations");
    let state: String = row.get(2).map_err(&failed)?;
    let source: Option<String> = row.get(4).map_err(&failed)?;
    let conversation: Option<String> = row.get(5).map_err(&failed)?;
    let origin = source
        .zip(conversation)
        .map(|(source, id)| SourceName::new(source).map(|source| (source, ConversationId::new(id))));
    Ok(Transfer {
        mark: row.get(0).map_err(&failed)?,
        sign: row.get(1).map_err(&failed)?,
        state: known(TransferState::ALL.into_iter().find(|held| held.as_str() == state))?,
        target_id: row.get(3).map_err(&failed)?,
        origin: origin.transpose()?,
        messages: uncount(row.get(6).map_err(&failed)?),
        digest: row.get(7).map_err(&failed)?,
        error: row.get(8).map_err(&failed)?,
        changed_at: timestamp(row.get(9).map_err(&failed)?),
    })
}

fn known<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        let message = "a stored word is not one that Chatark writes";
        Error::new(ErrorKind::Damaged, "read the ledger of migrations", message)
    })
}
