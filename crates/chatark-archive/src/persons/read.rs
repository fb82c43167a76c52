//! Reads resolved identities: the person of a record, and the owner of each identifier.

use chatark_core::{IdentifierKind, Result, SourceName, Stream};
use rusqlite::{OptionalExtension, Row, params};

use super::OWNERS;
use crate::archive::Archive;
use crate::values::{database_error, known_word};

/// An identifier of a customer, in its normalized form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// An e-mail address.
    Email(String),
    /// The digits of a telephone number.
    Phone(String),
    /// A vendor's id, which is valid only within its source.
    Id(SourceName, String),
}

/// An identifier of a record, and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedIdentifier {
    /// The identifier.
    pub identifier: Identifier,
    /// The archive's number for it.
    pub number: i64,
    /// The number of the identifier that owns it; its own number if no other does.
    pub owner: i64,
}

impl Identifier {
    /// Returns an e-mail address, or `None` if the text is not one.
    pub fn email(text: &str) -> Option<Self> {
        IdentifierKind::Email.normalize(text).map(Self::Email)
    }

    /// Returns a telephone number, or `None` if the text is not one.
    pub fn phone(text: &str) -> Option<Self> {
        IdentifierKind::Phone.normalize(text).map(Self::Phone)
    }

    /// Returns the id of a record of a stream. An id of a lead differs from the same id elsewhere, because no conversation
    /// refers to leads.
    pub fn id(source: &SourceName, stream: Stream, id: &str) -> Self {
        let id = if stream == Stream::Leads { format!("leads/{id}") } else { id.to_owned() };
        Self::Id(source.clone(), id)
    }
}

impl Archive {
    /// Returns the number of the identifier that stands for a record's person; `None` without any identifier.
    pub fn person(&self, source: &SourceName, stream: Stream, id: &str) -> Result<Option<i64>> {
        let sql =
            "SELECT person_key FROM source JOIN record USING (source_key) JOIN person USING (record_key)
            WHERE name = ?1 AND stream = ?2 AND parent = '' AND record.id = ?3";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                let found =
                    statement.query_row(params![source.as_str(), stream.as_str(), id], |row| row.get(0));
                found.optional()
            })
            .map_err(database_error("read a person"))
    }

    /// Passes the identifiers of every record to `take`, and updates the persons that [`Archive::person`] reads.
    ///
    /// Reads one state of the archive, whatever is written meanwhile. An identifier of several records is passed once for each.
    pub fn each_identifier(&self, mut take: impl FnMut(ResolvedIdentifier)) -> Result<()> {
        let failed = || database_error("read the identifiers");
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        self.resolve_persons_to_read()?;
        self.connection.execute_batch(OWNERS).map_err(failed())?;
        let mut statement = self.connection.prepare(include_str!("identifiers.sql")).map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            pass_identifiers(row, &mut take)?;
        }
        drop(rows);
        drop(statement);
        let dropped = self.connection.execute_batch("DROP TABLE phone_owner; DROP TABLE id_owner;");
        dropped.and_then(|()| snapshot.commit()).map_err(failed())
    }
}

/// Passes the identifiers of one row to `take`. Each has three columns: text, number and owner.
fn pass_identifiers(row: &Row<'_>, take: &mut impl FnMut(ResolvedIdentifier)) -> Result<()> {
    let failed = database_error("read the identifiers");
    let text = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&failed);
    let source = SourceName::new(text(0)?.unwrap_or_default())?;
    let stream = known_word(Stream::from_word(text(1)?.unwrap_or_default()))?;
    let identifiers = [
        text(2)?.and_then(Identifier::email),
        text(5)?.and_then(Identifier::phone),
        text(8)?.map(|id| Identifier::id(&source, stream, id)),
        text(11)?.map(|id| Identifier::Id(source.clone(), id.to_owned())),
    ];
    for (at, identifier) in (3..).step_by(3).zip(identifiers) {
        let number: Option<i64> = row.get(at).map_err(&failed)?;
        let Some((identifier, number)) = identifier.zip(number) else { continue };
        let owner: Option<i64> = row.get(at + 1).map_err(&failed)?;
        take(ResolvedIdentifier { identifier, number, owner: owner.unwrap_or(number) });
    }
    Ok(())
}
