//! Writes and reads the rows of listed contacts: people whom a vendor lists in a stream of their own.

use std::sync::LazyLock;

use chatark_core::{Contact, Error, ListedContact, MAPPING_VERSION, Result, Stream, Timestamp};
use rusqlite::{Connection, Row, Transaction, params};

use crate::keys::RowKey;
use crate::statement::upsert;
use crate::values::{database_error, from_json, read_timestamp, to_json};

/// The columns that a listed contact is read from.
pub(crate) const COLUMNS: &str =
    "id, external_id, name, email, phone, company, address, website, created_at, updated_at, extra";

/// The columns that a new version or mapping changes.
const MAPPED: &str = "raw_version, readable, external_id, name, email, phone, company, address, website, created_at, updated_at, extra, mapping";

/// Writes or replaces the row of a listed contact.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    stream: Stream,
    row: RowKey<'_>,
    listed: &ListedContact,
) -> Result<()> {
    static UPSERT: LazyLock<String> =
        LazyLock::new(|| upsert("contact", "contact_key", "source_key, stream, id", MAPPED));
    let contact = &listed.contact;
    transaction
        .prepare_cached(&UPSERT)
        .and_then(|mut statement| {
            statement.execute(params![
                row.record_key,
                row.source.0,
                stream.as_str(),
                row.id,
                row.version,
                row.readable,
                listed.external_id,
                contact.name,
                contact.email,
                contact.phone,
                contact.company,
                contact.address,
                contact.website,
                listed.created_at.map(Timestamp::microseconds),
                listed.updated_at.map(Timestamp::microseconds),
                to_json(&listed.extra, listed.extra.is_empty()),
                MAPPING_VERSION,
            ])
        })
        .map_err(database_error("write a contact"))?;
    Ok(())
}

/// Reads a listed contact, and the version of the mapping rules that made the row. A row whose stream differs from its
/// record's is treated as absent.
pub(crate) fn read(connection: &Connection, key: i64) -> Result<(ListedContact, u32)> {
    let failed = || database_error("read a contact");
    let sql = format!(
        "SELECT {COLUMNS}, mapping FROM contact WHERE contact_key = ?1
         AND stream = (SELECT stream FROM record WHERE record_key = ?1)"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(failed())?;
    let found = statement.query_row([key], |row| Ok((read_contact(row), row.get(11)?)));
    let (contact, mapping) = found.map_err(failed())?;
    Ok((contact?, mapping))
}

/// Reads a listed contact from the columns that [`COLUMNS`] names.
pub(crate) fn read_contact(row: &Row<'_>) -> Result<ListedContact> {
    let failed = database_error("read a contact");
    let text = |at: usize| row.get::<_, Option<String>>(at).map_err(&failed);
    let time = |at: usize| Ok::<_, Error>(read_timestamp(row.get(at).map_err(&failed)?));
    Ok(ListedContact {
        id: text(0)?,
        external_id: text(1)?,
        contact: Contact {
            id: None,
            name: text(2)?,
            email: text(3)?,
            phone: text(4)?,
            company: text(5)?,
            address: text(6)?,
            website: text(7)?,
        },
        created_at: time(8)?,
        updated_at: time(9)?,
        extra: from_json(text(10)?.as_deref())?,
    })
}
