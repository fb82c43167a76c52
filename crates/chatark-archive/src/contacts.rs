//! People whom a vendor lists apart from conversations: every version with its bytes, and the row made from it.

use chatark_core::{
    Contact, ContactList, Error, ErrorKind, Issue, IssueKind, ListedContact, Origin, PageMetadata,
    RawContact, Result, SourceName, Timestamp,
};
use rusqlite::{OptionalExtension, Params, Row, Transaction, params};
use sha2::{Digest, Sha256};

use crate::ledger::{Progress, Run, SourceKey, save_progress};
use crate::open::Archive;
use crate::prepare::{compress, unidentified};
use crate::stored::{Damage, PAGE_BYTES, unpack};
use crate::sweep;
use crate::values::{count, database, from_json, json, timestamp, uncount};
use crate::verify::{Fault, Part};
use crate::write::IssueCounts;

/// A person of a list, ready to be written.
#[derive(Debug, Clone)]
pub struct PreparedContact {
    list: ContactList,
    id: String,
    sha256: [u8; 32],
    size: u64,
    zstd: Vec<u8>,
    understood: Understood,
}

/// One version of a person of a list, compressed, with the row that was made from it.
#[derive(Debug)]
pub struct StoredContact {
    contact_key: i64,
    list: String,
    id: String,
    version: i64,
    is_latest: bool,
    sha256: [u8; 32],
    size: u64,
    zstd: Vec<u8>,
    row: Result<ListedContact>,
}

/// A person of a list who was normalized again.
#[derive(Debug)]
pub struct RebuiltContact {
    contact_key: i64,
    id: String,
    size: u64,
    understood: Understood,
    is_changed: bool,
}

/// A version of a person of a list that was checked.
#[derive(Debug)]
pub struct CheckedContact {
    /// The vendor's list, as the archive names it.
    pub list: String,
    /// The id in that list.
    pub id: String,
    /// The version, from 1.
    pub version: i64,
    /// How many bytes it has.
    pub size: u64,
    /// Whether it is the latest version.
    pub is_latest: bool,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// What the bytes of a person come to.
#[derive(Debug, Clone)]
struct Understood {
    contact: ListedContact,
    issues: Vec<Issue>,
    readable: bool,
}

impl PreparedContact {
    /// Hashes, normalizes and compresses. Bytes that cannot be normalized are archived all the same, and a person
    /// without an id is named after the hash.
    pub fn new(
        raw: &RawContact,
        normalize: impl FnOnce(ContactList, &[u8]) -> Result<(ListedContact, Vec<Issue>)>,
    ) -> Result<Self> {
        let sha256: [u8; 32] = Sha256::digest(&raw.bytes).into();
        let id = raw.id.clone().unwrap_or_else(|| unidentified(&sha256));
        let mut understood = Understood::of(raw.list, &id, normalize(raw.list, &raw.bytes));
        if raw.id.is_none() && understood.readable {
            understood.issues.push(placed(raw.list, &Issue::new(IssueKind::Missing, "id")));
        }
        let zstd = compress(&raw.bytes)?;
        Ok(Self { list: raw.list, id, sha256, size: raw.bytes.len() as u64, zstd, understood })
    }
}

impl Understood {
    /// Takes what a mapper made of a person: one that cannot be read keeps the id and says why, and nothing else.
    fn of(list: ContactList, id: &str, normalized: Result<(ListedContact, Vec<Issue>)>) -> Self {
        let (mut contact, issues, readable) = match normalized {
            Ok((contact, issues)) => (contact, issues, true),
            Err(error) => {
                let mut contact = ListedContact::default();
                contact.extra.insert("unreadable".to_owned(), error.message().into());
                (contact, vec![Issue::new(IssueKind::Unreadable, "")], false)
            }
        };
        contact.id = Some(id.to_owned());
        contact.contact.id = None;
        Self { contact, issues: issues.iter().map(|issue| placed(list, issue)).collect(), readable }
    }
}

/// Puts the list before the place of an issue, so that it is told from the same place in a conversation.
fn placed(list: ContactList, issue: &Issue) -> Issue {
    let list = list.as_str();
    let path = if issue.path.is_empty() { list.to_owned() } else { format!("{list}.{}", issue.path) };
    Issue::new(issue.kind, path)
}

impl Archive {
    /// Writes people of a list and counts them in the run, all or nothing.
    ///
    /// Who is held with the same bytes is not written; other bytes are a new version, and the former one stays.
    pub fn commit_contacts(
        &mut self,
        run: &mut Run,
        batch: &[PreparedContact],
        facts: &PageMetadata,
        now: Timestamp,
    ) -> Result<()> {
        let failed = || database("write contacts");
        let mut progress = run.progress.clone();
        progress.facts.add(facts);
        let transaction = self.connection.transaction().map_err(failed())?;
        let mut issues = IssueCounts::default();
        for person in batch {
            see(&transaction, run.source, person, &mut progress)?;
            if write(&transaction, run, person, now, &mut progress)? {
                issues.add(&person.id, &person.understood.issues);
            }
        }
        progress.issues += issues.total();
        issues.write(&transaction, run.key)?;
        save_progress(&transaction, run.key, &progress)?;
        transaction.commit().map_err(failed())?;
        run.progress = progress;
        Ok(())
    }

    /// Gives the latest version of every person of these sources, or of all where none is named, to `take` with the
    /// vendor's list, sorted by source, list and id.
    ///
    /// Reads one state of the archive, whatever is written meanwhile, and holds one person at a time.
    pub fn each_contact(
        &self,
        sources: &[SourceName],
        mut take: impl FnMut(&Origin, ContactList, &ListedContact) -> Result<()>,
    ) -> Result<()> {
        let failed = database("read the contacts");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let sql = format!(
            "SELECT {COLUMNS}, list FROM listed_contact WHERE source_key = ?1 AND is_latest = 1 ORDER BY list, id"
        );
        for (key, origin) in self.origins(sources)? {
            let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
            let mut rows = statement.query([key]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let list: String = row.get(11).map_err(&failed)?;
                let list = ContactList::from_word(&list).ok_or_else(|| {
                    let message = "a stored word is not one that Chatark writes";
                    Error::new(ErrorKind::Damaged, "read the contacts", message)
                })?;
                take(&origin, list, &read(row)?)?;
            }
        }
        snapshot.finish().map_err(&failed)
    }

    /// Returns the latest versions of the next people of a source, and the number to ask for more with.
    pub fn stored_contacts(
        &self,
        source: SourceKey,
        after: i64,
        most: u32,
    ) -> Result<(Vec<StoredContact>, i64)> {
        let wanted = "source_key = ?1 AND is_latest = 1 AND contact_key > ?2 ORDER BY contact_key LIMIT ?3";
        self.contact_page(wanted, params![source.0, after, most], after)
    }

    /// Returns the next versions of a source's people in a part, and the number to ask for more with.
    pub fn contact_versions(
        &self,
        source: SourceKey,
        part: Part,
        after: i64,
        most: u32,
    ) -> Result<(Vec<StoredContact>, i64)> {
        let wanted = "source_key = ?1 AND contact_key % ?2 = ?3 AND contact_key > ?4
            ORDER BY contact_key LIMIT ?5";
        self.contact_page(wanted, params![source.0, part.of, part.number - 1, after, most], after)
    }

    fn contact_page(
        &self,
        wanted: &str,
        parameters: impl Params,
        after: i64,
    ) -> Result<(Vec<StoredContact>, i64)> {
        let failed = database("read the archived bytes");
        let sql = format!(
            "SELECT {COLUMNS}, contact_key, list, version, is_latest, sha256, size, zstd
             FROM listed_contact WHERE {wanted}"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement.query(parameters).map_err(&failed)?;
        let (mut page, mut size) = (Vec::new(), 0_u64);
        while size < PAGE_BYTES
            && let Some(row) = rows.next().map_err(&failed)?
        {
            let next = stored(row).map_err(&failed)?;
            size = size.saturating_add(next.size);
            page.push(next);
        }
        let last = page.last().map_or(after, |stored| stored.contact_key);
        Ok((page, last))
    }

    /// Replaces the rows that came out differently, in one transaction, and counts all of them in the run.
    pub fn replace_contacts(&mut self, run: &mut Run, rebuilt: &[RebuiltContact]) -> Result<()> {
        let failed = || database("rebuild");
        let mut progress = run.progress.clone();
        let transaction = self.connection.transaction().map_err(failed())?;
        let mut issues = IssueCounts::default();
        for person in rebuilt {
            progress.received += 1;
            progress.seen += 1;
            progress.bytes += person.size;
            progress.unreadable += u64::from(!person.understood.readable);
            issues.add(&person.id, &person.understood.issues);
            *(if person.is_changed { &mut progress.changed } else { &mut progress.unchanged }) += 1;
            if person.is_changed {
                update(&transaction, person.contact_key, &person.understood.contact)?;
            }
        }
        progress.issues += issues.total();
        issues.write(&transaction, run.key)?;
        save_progress(&transaction, run.key, &progress)?;
        transaction.commit().map_err(failed())?;
        run.progress = progress;
        Ok(())
    }

    /// Returns how many people of a source are archived.
    pub(crate) fn held_contacts(&self, source: SourceKey) -> Result<u64> {
        let sql = "SELECT count(*) FROM listed_contact WHERE source_key = ?1 AND is_latest = 1";
        let number = self.connection.query_row(sql, [source.0], |row| row.get(0));
        number.map(uncount).map_err(database("read the status"))
    }
}

impl StoredContact {
    /// Decompresses and normalizes. Damaged bytes are an error; bytes that cannot be normalized are not.
    pub fn normalize(
        self,
        normalize: impl FnOnce(ContactList, &[u8]) -> Result<(ListedContact, Vec<Issue>)>,
    ) -> Result<RebuiltContact> {
        let damaged = |what: &str| {
            Error::new(ErrorKind::Damaged, "rebuild", what)
                .with("contact", format_args!("{}/{}", self.list, self.id))
                .hint("restore the archive from a copy")
        };
        let bytes = self.bytes().map_err(|damage| damaged(damage.of_contact()))?;
        let list =
            ContactList::from_word(&self.list).ok_or_else(|| damaged("the list is none that is known"))?;
        let understood = Understood::of(list, &self.id, normalize(list, &bytes));
        let is_changed = understood.contact != self.row?;
        let Self { contact_key, id, size, .. } = self;
        Ok(RebuiltContact { contact_key, id, size, understood, is_changed })
    }

    /// Holds the bytes against their hash, and the row of the latest version against a fresh normalization where
    /// there is a mapper.
    pub fn check(
        self,
        normalize: Option<impl FnOnce(ContactList, &[u8]) -> Result<(ListedContact, Vec<Issue>)>>,
    ) -> CheckedContact {
        let fault = match self.bytes() {
            Err(damage) => Some(Fault::Bytes(damage)),
            Ok(bytes) => self.fault_of_row(&bytes, normalize),
        };
        let Self { list, id, version, size, is_latest, .. } = self;
        CheckedContact { list, id, version, size, is_latest, fault }
    }

    fn fault_of_row(
        &self,
        bytes: &[u8],
        normalize: Option<impl FnOnce(ContactList, &[u8]) -> Result<(ListedContact, Vec<Issue>)>>,
    ) -> Option<Fault> {
        let (Some(list), Ok(row)) = (ContactList::from_word(&self.list), &self.row) else {
            return Some(Fault::Row);
        };
        let normalize = normalize.filter(|_| self.is_latest)?;
        let fresh = Understood::of(list, &self.id, normalize(list, bytes));
        (fresh.contact != *row).then_some(Fault::Outdated)
    }

    fn bytes(&self) -> Result<Vec<u8>, Damage> {
        unpack(&self.zstd, self.size, &self.sha256)
    }
}

/// Counts a person of the vendor's answer.
fn see(
    transaction: &Transaction<'_>,
    source: SourceKey,
    person: &PreparedContact,
    progress: &mut Progress,
) -> Result<()> {
    progress.received += 1;
    progress.bytes += person.size;
    let is_new = sweep::see(transaction, source, &format!("{}/{}", person.list.as_str(), person.id))?;
    *(if is_new { &mut progress.seen } else { &mut progress.repeated }) += 1;
    Ok(())
}

/// Writes a version of a person where the archive has other bytes, and returns whether it did.
fn write(
    transaction: &Transaction<'_>,
    run: &Run,
    person: &PreparedContact,
    now: Timestamp,
    progress: &mut Progress,
) -> Result<bool> {
    let Some(latest) = latest(transaction, run.source, person)? else {
        insert(transaction, run, person, 1, now)?;
        progress.added += 1;
        progress.unreadable += u64::from(!person.understood.readable);
        return Ok(true);
    };
    if latest.sha256 == Some(person.sha256) {
        progress.unchanged += 1;
        return Ok(false);
    }
    transaction
        .prepare_cached(
            "UPDATE listed_contact SET is_latest = 0
             WHERE source_key = ?1 AND list = ?2 AND id = ?3 AND is_latest = 1",
        )
        .and_then(|mut statement| statement.execute(params![run.source.0, person.list.as_str(), person.id]))
        .map_err(database("write a contact"))?;
    insert(transaction, run, person, latest.version + 1, now)?;
    progress.changed += 1;
    progress.unreadable += u64::from(!person.understood.readable);
    Ok(true)
}

/// The newest version of a person that the archive holds.
struct Latest {
    version: i64,
    sha256: Option<[u8; 32]>,
}

fn latest(
    transaction: &Transaction<'_>,
    source: SourceKey,
    person: &PreparedContact,
) -> Result<Option<Latest>> {
    transaction
        .prepare_cached(
            "SELECT version, sha256 FROM listed_contact WHERE source_key = ?1 AND list = ?2 AND id = ?3
             ORDER BY version DESC LIMIT 1",
        )
        .and_then(|mut statement| {
            let read = |row: &Row<'_>| {
                Ok(Latest { version: row.get(0)?, sha256: row.get_ref(1)?.as_blob()?.try_into().ok() })
            };
            statement.query_row(params![source.0, person.list.as_str(), person.id], read).optional()
        })
        .map_err(database("look up a contact"))
}

/// The columns of a person that normalization decides, and the id.
const COLUMNS: &str =
    "id, external_id, name, email, phone, company, address, website, created_at, updated_at, extra";

fn insert(
    transaction: &Transaction<'_>,
    run: &Run,
    person: &PreparedContact,
    version: i64,
    now: Timestamp,
) -> Result<()> {
    let (listed, contact) = (&person.understood.contact, &person.understood.contact.contact);
    let sql = format!(
        "INSERT INTO listed_contact
             ({COLUMNS}, source_key, list, version, is_latest, run_key, fetched_at, sha256, size, zstd)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 1, ?15, ?16, ?17, ?18, ?19)"
    );
    let row = params![
        person.id,
        listed.external_id,
        contact.name,
        contact.email,
        contact.phone,
        contact.company,
        contact.address,
        contact.website,
        listed.created_at.map(Timestamp::microseconds),
        listed.updated_at.map(Timestamp::microseconds),
        json(&listed.extra, listed.extra.is_empty()),
        run.source.0,
        person.list.as_str(),
        version,
        run.key,
        now.microseconds(),
        person.sha256,
        count(person.size),
        person.zstd,
    ];
    let inserted = transaction.prepare_cached(&sql).and_then(|mut statement| statement.execute(row));
    inserted.map(|_| ()).map_err(database("write a contact"))
}

/// Replaces what normalization decides of a version.
fn update(transaction: &Transaction<'_>, contact_key: i64, listed: &ListedContact) -> Result<()> {
    let contact = &listed.contact;
    let sql = "UPDATE listed_contact SET external_id = ?2, name = ?3, email = ?4, phone = ?5, company = ?6,
                   address = ?7, website = ?8, created_at = ?9, updated_at = ?10, extra = ?11
               WHERE contact_key = ?1";
    let row = params![
        contact_key,
        listed.external_id,
        contact.name,
        contact.email,
        contact.phone,
        contact.company,
        contact.address,
        contact.website,
        listed.created_at.map(Timestamp::microseconds),
        listed.updated_at.map(Timestamp::microseconds),
        json(&listed.extra, listed.extra.is_empty()),
    ];
    let updated = transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(row));
    updated.map(|_| ()).map_err(database("rebuild"))
}

/// Reads a person out of the columns that [`COLUMNS`] names.
fn read(row: &Row<'_>) -> Result<ListedContact> {
    let failed = database("read a contact");
    let text = |at: usize| row.get::<_, Option<String>>(at).map_err(&failed);
    let time = |at: usize| Ok::<_, Error>(timestamp(row.get(at).map_err(&failed)?));
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

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredContact> {
    Ok(StoredContact {
        id: row.get(0)?,
        row: read(row),
        contact_key: row.get(11)?,
        list: row.get(12)?,
        version: row.get(13)?,
        is_latest: row.get(14)?,
        // A hash of another length is no hash: it fits no bytes.
        sha256: row.get_ref(15)?.as_blob()?.try_into().unwrap_or_default(),
        size: uncount(row.get(16)?),
        zstd: row.get(17)?,
    })
}
