//! Reading back who is who: the person of a record, and whose each identifier is.

use chatark_core::{IdentifierKind, Result, SourceName, Stream};
use rusqlite::{OptionalExtension, Row, params};

use super::OWNERS;
use crate::open::Archive;
use crate::values::{database, known};

/// An identifier of a customer, in its one form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// An e-mail address.
    Email(String),
    /// The digits of a telephone number.
    Phone(String),
    /// A vendor's id, which is good within its source alone.
    Id(SourceName, String),
}

/// An identifier of a record, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldIdentifier {
    /// The identifier.
    pub identifier: Identifier,
    /// The archive's own number of it.
    pub number: i64,
    /// The number of the identifier that it belongs to: its own where it belongs to no other.
    pub owner: i64,
}

impl Identifier {
    /// Returns an e-mail address, or `None` where the text is none.
    pub fn email(text: &str) -> Option<Self> {
        IdentifierKind::Email.normalize(text).map(Self::Email)
    }

    /// Returns a telephone number, or `None` where the text is none.
    pub fn phone(text: &str) -> Option<Self> {
        IdentifierKind::Phone.normalize(text).map(Self::Phone)
    }

    /// Returns the id that a stream gives: conversations may know those of contacts, never those of leads.
    pub fn id(source: &SourceName, stream: Stream, id: &str) -> Self {
        let id = if stream == Stream::Leads { format!("leads/{id}") } else { id.to_owned() };
        Self::Id(source.clone(), id)
    }
}

impl Archive {
    /// Returns the number of the identifier that a record's person goes by; `None` where nothing tells them from others.
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
            .map_err(database("read a person"))
    }

    /// Passes the identifiers of every record to `take`, and lets [`Archive::person`] see persons that are up to date.
    ///
    /// Reads one state of the archive, whatever is written meanwhile. What several records hold comes several times.
    pub fn each_identifier(&self, mut take: impl FnMut(HeldIdentifier)) -> Result<()> {
        let failed = || database("read the identifiers");
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        self.refresh_persons_to_read()?;
        self.connection.execute_batch(OWNERS).map_err(failed())?;
        let mut statement = self.connection.prepare(include_str!("identifiers.sql")).map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            held(row, &mut take)?;
        }
        drop(rows);
        drop(statement);
        let dropped = self.connection.execute_batch("DROP TABLE phone_owner; DROP TABLE id_owner;");
        dropped.and_then(|()| snapshot.commit()).map_err(failed())
    }
}

/// Passes on the identifiers of a record: of each, the row has the text, the number and the owner.
fn held(row: &Row<'_>, take: &mut impl FnMut(HeldIdentifier)) -> Result<()> {
    let failed = database("read the identifiers");
    let text = |at: usize| row.get_ref(at).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&failed);
    let source = SourceName::new(text(0)?.unwrap_or_default())?;
    let stream = known(Stream::from_word(text(1)?.unwrap_or_default()))?;
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
        take(HeldIdentifier { identifier, number, owner: owner.unwrap_or(number) });
    }
    Ok(())
}
