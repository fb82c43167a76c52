//! Identity resolution: identifiers are written with each record, and persons are computed from all of them when a writer
//! closes the archive.
//!
//! Each e-mail address is a person. A telephone number belongs to an address if it came with only that one; otherwise it
//! is a person of its own. A vendor's id is valid only within its source, and belongs to an address or number by the
//! same rule. A record without any identifier has no person.

mod read;

use std::collections::BTreeMap;

use chatark_core::{Contact, Conversation, IdentifierKind, ListedContact, Result, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::values::{database_error, stored_count};

pub use read::{Identifier, ResolvedIdentifier};

/// Creates `temp.phone_owner` and `temp.id_owner`: the owners of telephone numbers and of vendors' ids.
const OWNERS: &str = include_str!("persons/owners.sql");
/// Drops the temporary tables that hide the archive's own tables of these names.
const DROP_RESOLVED: &str = "DROP TABLE IF EXISTS temp.person; DROP TABLE IF EXISTS temp.twin;";

/// The identifiers of the customer of a record, each as the number that stands for its normalized form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Identifiers {
    email: Option<i64>,
    phone: Option<i64>,
    contact_id: Option<i64>,
    external_id: Option<i64>,
    /// When the conversation began, in microseconds; 0 without a date, `None` for listed contacts.
    began: Option<i64>,
}

impl Identifiers {
    pub(crate) fn of_conversation(conversation: &Conversation) -> Self {
        let contact = &conversation.contact;
        Self {
            contact_id: contact.id.as_ref().map(|id| number("id", id)),
            began: Some(conversation.created_at.map_or(0, Timestamp::microseconds)),
            ..Self::of(contact)
        }
    }

    /// Returns the identifiers of a listed contact. Conversations refer to contacts by their ids, and never to leads.
    pub(crate) fn of_contact(is_lead: bool, listed: &ListedContact) -> Self {
        let own = |id: &String| if is_lead { format!("leads/{id}") } else { id.clone() };
        Self {
            contact_id: listed.id.as_ref().map(|id| number("id", &own(id))),
            external_id: listed.external_id.as_ref().map(|id| number("id", id)),
            ..Self::of(&listed.contact)
        }
    }

    fn of(contact: &Contact) -> Self {
        let read = |kind: IdentifierKind, text: &Option<String>| kind.normalize(text.as_deref()?);
        Self {
            email: read(IdentifierKind::Email, &contact.email).map(|email| number("email", &email)),
            phone: read(IdentifierKind::Phone, &contact.phone).map(|phone| number("phone", &phone)),
            ..Self::default()
        }
    }

    fn is_empty(&self) -> bool {
        [self.email, self.phone, self.contact_id, self.external_id].iter().all(Option::is_none)
    }

    /// Replaces the identifiers of a record, and returns whether they changed.
    pub(crate) fn write(
        &self,
        transaction: &Transaction<'_>,
        source: SourceKey,
        record_key: i64,
        is_new: bool,
    ) -> Result<bool> {
        let scoped = |id: Option<i64>| id.map(|id| number_within(source, id));
        let own =
            Self { contact_id: scoped(self.contact_id), external_id: scoped(self.external_id), ..*self };
        own.write_scoped(transaction, record_key, is_new)
    }

    fn write_scoped(&self, transaction: &Transaction<'_>, record_key: i64, is_new: bool) -> Result<bool> {
        if !is_new && !self.remove_if_different(transaction, record_key)? {
            return Ok(false);
        }
        if !self.is_empty() {
            let row =
                params![record_key, self.email, self.phone, self.contact_id, self.external_id, self.began];
            transaction
                .prepare_cached(
                    "INSERT INTO identifier (record_key, email, phone, contact_id, external_id, began)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .and_then(|mut statement| statement.execute(row))
                .map_err(database_error("write the identifiers of a record"))?;
        }
        Ok(true)
    }

    /// Deletes the stored identifiers of a record if they differ, and returns whether they do.
    fn remove_if_different(&self, transaction: &Transaction<'_>, record_key: i64) -> Result<bool> {
        let failed = || database_error("look up the identifiers of a record");
        let held = transaction
            .prepare_cached(
                "SELECT email, phone, contact_id, external_id, began FROM identifier WHERE record_key = ?1",
            )
            .and_then(|mut statement| {
                let read = |row: &Row<'_>| {
                    Ok(Self {
                        email: row.get(0)?,
                        phone: row.get(1)?,
                        contact_id: row.get(2)?,
                        external_id: row.get(3)?,
                        began: row.get(4)?,
                    })
                };
                statement.query_row([record_key], read).optional()
            })
            .map_err(failed())?;
        let is_same = held.as_ref().map_or_else(|| self.is_empty(), |held| held == self);
        if !is_same && held.is_some() {
            transaction
                .prepare_cached("DELETE FROM identifier WHERE record_key = ?1")
                .and_then(|mut statement| statement.execute([record_key]))
                .map_err(failed())?;
        }
        Ok(!is_same)
    }
}

/// Marks the persons as out of date: they are resolved when the writer closes the archive.
pub(crate) fn mark_outdated(transaction: &Transaction<'_>) -> Result<()> {
    transaction
        .prepare_cached("UPDATE archive SET persons_outdated = 1 WHERE persons_outdated = 0")
        .and_then(|mut statement| statement.execute([]))
        .map_err(database_error("write the identifiers of a record"))?;
    Ok(())
}

/// Returns the number that stands for an identifier: a hash, from which it cannot be read.
fn number(kind: &str, value: &str) -> i64 {
    let digest = Sha256::new().chain_update(kind).chain_update(":").chain_update(value).finalize();
    let start = digest.iter().take(8).fold(0_u64, |start, byte| start << 8 | u64::from(*byte));
    start.cast_signed()
}

/// Returns the number of a vendor's id within its source.
fn number_within(source: SourceKey, id: i64) -> i64 {
    // Multiples of the golden ratio make the numbers of one id in several sources differ widely.
    id.wrapping_add(source.0.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()))
}

impl Archive {
    /// Resolves persons and twins over the whole archive, if identifiers have changed since the last time.
    ///
    /// Takes time in proportion to the archive, but a fixed amount of memory.
    pub fn resolve_persons(&mut self) -> Result<()> {
        if !self.are_persons_outdated()? {
            return Ok(());
        }
        let failed = || database_error("resolve persons");
        let transaction = self.connection.transaction().map_err(failed())?;
        resolve(&transaction)?;
        transaction.execute_batch(include_str!("persons/store.sql")).map_err(failed())?;
        transaction.commit().map_err(failed())
    }

    /// Lets a reader see persons that are up to date: if the last writer was interrupted, resolves them into temporary tables.
    pub(crate) fn resolve_persons_to_read(&self) -> Result<()> {
        if self.are_persons_outdated()? {
            return resolve(&self.connection);
        }
        self.connection.execute_batch(DROP_RESOLVED).map_err(database_error("resolve persons"))
    }

    fn are_persons_outdated(&self) -> Result<bool> {
        self.connection
            .query_row("SELECT persons_outdated FROM archive", [], |row| row.get(0))
            .map_err(database_error("resolve persons"))
    }
}

/// Creates `temp.person` and `temp.twin`, which hide the archive's own tables of these names.
fn resolve(connection: &Connection) -> Result<()> {
    let failed = || database_error("resolve persons");
    connection
        .execute_batch(&format!(
            "PRAGMA temp.cache_size = -1024;
             {DROP_RESOLVED}
             CREATE TEMP TABLE twin_source (source_key INTEGER PRIMARY KEY, family INTEGER, place INTEGER);"
        ))
        .map_err(failed())?;
    for (family, members) in families(connection)?.into_iter().enumerate() {
        for (place, source_key) in members.into_iter().enumerate() {
            let row = params![source_key, stored_count(family as u64), stored_count(place as u64)];
            connection.execute("INSERT INTO temp.twin_source VALUES (?1, ?2, ?3)", row).map_err(failed())?;
        }
    }
    connection.execute_batch(OWNERS).map_err(failed())?;
    connection.execute_batch(include_str!("persons/resolve.sql")).map_err(failed())?;
    tracing::debug!("persons resolved");
    Ok(())
}

/// Returns groups of sources that show the same agent of the same vendor, the newest API first, without groups of one.
fn families(connection: &Connection) -> Result<Vec<Vec<i64>>> {
    let failed = || database_error("resolve persons");
    let mut statement = connection
        .prepare("SELECT source_key, provider, agent_id FROM source ORDER BY provider DESC, name")
        .map_err(failed())?;
    let mut rows = statement.query([]).map_err(failed())?;
    let mut families: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed())? {
        let provider: String = row.get(1).map_err(failed())?;
        let family = (vendor(&provider).to_owned(), row.get(2).map_err(failed())?);
        families.entry(family).or_default().push(row.get(0).map_err(failed())?);
    }
    Ok(families.into_values().filter(|members| members.len() > 1).collect())
}

/// Returns the name of a provider without its version, such as `chatbase` of `chatbase-v2`.
fn vendor(provider: &str) -> &str {
    let parts = provider.rsplit_once("-v");
    let vendor = parts.filter(|(_, version)| version.bytes().all(|letter| letter.is_ascii_digit()));
    vendor.map_or(provider, |(vendor, _)| vendor)
}
