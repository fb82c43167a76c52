//! The proof of the archive: its structure, its bytes, its rows and its counts. Nothing is written.

use chatark_core::{Conversation, ConversationId, Error, ErrorKind, Issue, Result, SourceName, Timestamp};
use rusqlite::{OptionalExtension, params};

use crate::ledger::SourceKey;
use crate::open::Archive;
use crate::prepare::understood;
use crate::read::{read_conversation, read_messages};
use crate::stored::{self, Stored};
use crate::values::{database, uncount};

/// How many faults of the file's structure are named at most.
const MOST_FAULTS: u32 = 20;

/// A part of an archive: one of so many, so that as many runs check all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl Part {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, of: 1 };
}

/// One version of a conversation, and the row that was made from it where it is the one that the row shows.
#[derive(Debug)]
pub struct Version {
    stored: Stored,
    row: Option<Result<Conversation>>,
}

/// What a check of one version found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are damaged.
    Bytes(stored::Damage),
    /// The row cannot be read.
    Row,
    /// The row is not what the bytes come to today.
    Outdated,
}

/// A version that was checked.
#[derive(Debug)]
pub struct Checked {
    /// The conversation.
    pub id: ConversationId,
    /// Its version, from 1.
    pub version: i64,
    /// How many bytes it has.
    pub size: u64,
    /// Whether it is the version that the row shows.
    pub is_shown: bool,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

impl Version {
    /// Holds the bytes against their hash, and the row against a fresh normalization where there is a mapper.
    pub fn check(
        self,
        normalize: Option<impl FnOnce(&[u8]) -> Result<(Conversation, Vec<Issue>)>>,
    ) -> Checked {
        let (is_shown, Stored { id, version, size, .. }) = (self.row.is_some(), &self.stored);
        let (id, version, size) = (id.clone(), *version, *size);
        let fault = match self.stored.bytes() {
            Err(damage) => Some(Fault::Bytes(damage)),
            Ok(bytes) => match (self.row, normalize) {
                (Some(Err(_)), _) => Some(Fault::Row),
                (Some(Ok(row)), Some(normalize)) => {
                    let (fresh, ..) = understood(&id, normalize(&bytes), false);
                    (fresh != row).then_some(Fault::Outdated)
                }
                _ => None,
            },
        };
        Checked { id, version, size, is_shown, fault }
    }
}

impl Archive {
    /// Returns what is wrong with the pages and indexes of the file.
    pub fn structure(&self) -> Result<Vec<String>> {
        self.faults("SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
    }

    /// Returns what is wrong with the references between tables.
    pub fn references(&self) -> Result<Vec<String>> {
        self.faults(
            "SELECT 'a row of ' || \"table\" || ' refers to a row of ' || parent || ' that is not there'
             FROM pragma_foreign_key_check",
        )
    }

    fn faults(&self, check: &str) -> Result<Vec<String>> {
        let failed = || database("verify the archive");
        let sql = format!("{check} LIMIT {MOST_FAULTS}");
        let mut statement = self.connection.prepare(&sql).map_err(failed())?;
        let found = statement.query_map([], |row| row.get(0)).map_err(failed())?;
        found.collect::<rusqlite::Result<_>>().map_err(failed())
    }

    /// Returns the names and numbers of all sources, sorted by name.
    pub fn sources(&self) -> Result<Vec<(SourceName, SourceKey)>> {
        let failed = || database("read the sources");
        let mut statement = self
            .connection
            .prepare_cached("SELECT name, source_key FROM source ORDER BY name")
            .map_err(failed())?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, SourceKey(row.get(1)?))))
            .map_err(failed())?;
        let mut sources = Vec::new();
        for row in rows {
            let (name, key) = row.map_err(failed())?;
            sources.push((SourceName::new(name)?, key));
        }
        Ok(sources)
    }

    /// Returns the next versions of a source's conversations in a part, and the number to ask for more with.
    pub fn versions(
        &self,
        source: SourceKey,
        part: Part,
        after: i64,
        most: u32,
    ) -> Result<(Vec<Version>, i64)> {
        let failed = || database("verify the archive");
        // Bytes and rows of one state, whatever is written meanwhile.
        let snapshot = self.connection.unchecked_transaction().map_err(failed())?;
        let sql = format!(
            "SELECT {} FROM raw r CROSS JOIN conversation c USING (conversation_key)
             WHERE c.source_key = ?1 AND c.conversation_key % ?2 = ?3 AND r.raw_key > ?4
             ORDER BY r.raw_key LIMIT ?5",
            stored::COLUMNS
        );
        let wanted = params![source.0, part.of, part.number - 1, after, most];
        let stored = stored::page(&self.connection, &sql, wanted)?;
        let last = stored.last().map_or(after, |stored| stored.raw_key);
        let versions = stored.into_iter().map(|stored| Ok(Version { row: self.row_of(&stored)?, stored }));
        let versions = versions.collect::<Result<_>>()?;
        snapshot.finish().map_err(failed())?;
        Ok((versions, last))
    }

    /// Returns the row that was made from a version, or `None` where the row shows another one.
    fn row_of(&self, stored: &Stored) -> Result<Option<Result<Conversation>>> {
        let failed = || database("verify the archive");
        let sql = format!(
            "SELECT {} FROM conversation WHERE conversation_key = ?1 AND raw_version = ?2",
            crate::read::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed())?;
        let mut rows = statement.query([stored.conversation_key, stored.version]).map_err(failed())?;
        let Some(row) = rows.next().map_err(failed())? else { return Ok(None) };
        let read = read_conversation(row).and_then(|mut conversation| {
            let mut messages = self.connection.prepare_cached(crate::read::MESSAGES).map_err(failed())?;
            read_messages(&mut messages, stored.conversation_key, &mut conversation.messages)?;
            Ok(conversation)
        });
        Ok(Some(read))
    }

    /// Returns what is wrong with the counts that the writer keeps of a source.
    pub fn counts(&self, source: SourceKey) -> Result<Vec<String>> {
        let failed = || database("verify the archive");
        let number = |sql: &str| -> Result<u64> {
            let found: Option<i64> = self
                .connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row([source.0], |row| row.get(0)).optional())
                .map_err(failed())?;
            Ok(uncount(found.unwrap_or(0)))
        };
        let mut faults = Vec::new();
        for (what, kept, real) in [
            (
                "conversations",
                "SELECT conversations FROM source WHERE source_key = ?1",
                "SELECT count(*) FROM conversation WHERE source_key = ?1",
            ),
            (
                "messages",
                "SELECT messages FROM source WHERE source_key = ?1",
                "SELECT count(*) FROM message JOIN conversation USING (conversation_key) WHERE source_key = ?1",
            ),
        ] {
            let (kept, real) = (number(kept)?, number(real)?);
            if kept != real {
                faults.push(format!("the archive counts {kept} {what} and holds {real}"));
            }
        }
        let uncounted = number(
            "SELECT count(*) FROM conversation c WHERE source_key = ?1 AND message_count <>
                 (SELECT count(*) FROM message m WHERE m.conversation_key = c.conversation_key)",
        )?;
        if uncounted > 0 {
            faults.push(format!("{uncounted} conversations have more or fewer messages than they count"));
        }
        let without_bytes = number(
            "SELECT count(*) FROM conversation c WHERE source_key = ?1 AND NOT EXISTS
                 (SELECT 1 FROM raw r WHERE r.conversation_key = c.conversation_key AND r.version = c.raw_version)",
        )?;
        if without_bytes > 0 {
            faults.push(format!("{without_bytes} conversations have no bytes that their row was made from"));
        }
        let without_latest = number(
            "SELECT count(*) FROM (SELECT 1 FROM listed_contact WHERE source_key = ?1 GROUP BY list, id
                 HAVING sum(is_latest) <> 1 OR max(version) <> max(is_latest * version))",
        )?;
        if without_latest > 0 {
            faults.push(format!("{without_latest} contacts do not show their latest version, and it alone"));
        }
        Ok(faults)
    }

    /// Returns how many conversations of a source that are not missing began before an instant, or have no date.
    pub fn held_before(&self, source: SourceKey, until: Option<Timestamp>) -> Result<u64> {
        let row = params![source.0, until.map(Timestamp::microseconds)];
        self.connection
            .query_row(
                "SELECT count(*) FROM conversation WHERE source_key = ?1 AND missing_since IS NULL
                     AND (?2 IS NULL OR created_at IS NULL OR created_at < ?2)",
                row,
                |row| row.get(0),
            )
            .map(uncount)
            .map_err(database("verify the archive"))
    }
}

/// Reads a part as `N/T`.
impl std::str::FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = |(number, of): (&str, &str)| {
            Some(Self { number: number.trim().parse().ok()?, of: of.trim().parse().ok()? })
        };
        let part = text.split_once('/').and_then(read);
        part.filter(|part| (1..=1_000).contains(&part.of) && (1..=part.of).contains(&part.number)).ok_or_else(
            || {
                Error::new(ErrorKind::Usage, "choose a part", "a part is one of at most 1,000")
                    .hint("write it as 1/7, 2/7 and so on to 7/7")
            },
        )
    }
}
