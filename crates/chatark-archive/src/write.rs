//! Writing: everything of one batch is one transaction.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chatark_core::{
    Checkpoint, ConversationId, Held, Issue, Message, PageMetadata, Part, Result, Surface, Timestamp,
};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::ledger::{Progress, Run, SourceKey, save_checkpoint, save_progress};
use crate::open::Archive;
use crate::prepare::{EncodedRecord, HashedRecord};
use crate::sweep;
use crate::values::{count, database, json, timestamp};

/// What a batch came to: one conversation of the vendor's answer each.
#[derive(Debug)]
pub enum WriteOp {
    /// To be written where the archive has other bytes.
    Write(Box<EncodedRecord>),
    /// Known to be held already, byte for byte.
    Held(HashedRecord),
    /// Listed by the vendor, and known to be held as it is.
    Unchanged(ConversationId),
    /// Outside the window or channel that was asked for: counted, and not kept.
    Outside(HashedRecord),
}

impl Archive {
    /// Returns what is held of conversations, in their order; `None` where nothing is.
    pub fn held(&self, source: SourceKey, ids: &[ConversationId]) -> Result<Vec<Option<Held>>> {
        let failed = || database("look up a conversation");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT updated_at, title, status_raw FROM conversation WHERE source_key = ?1 AND id = ?2",
            )
            .map_err(failed())?;
        let mut held = |id: &ConversationId| {
            let found = statement.query_row(params![source.0, id.as_str()], |row| {
                Ok(Held { updated_at: timestamp(row.get(0)?), title: row.get(1)?, status_raw: row.get(2)? })
            });
            found.optional().map_err(failed())
        };
        ids.iter().map(&mut held).collect()
    }

    /// Returns whether the archive's latest bytes of a conversation are these.
    pub fn holds(&self, source: SourceKey, conversation: &HashedRecord) -> Result<bool> {
        let latest = latest(&self.connection, source, conversation.id().as_str(), conversation.surface())?;
        Ok(latest.is_some_and(|latest| latest.sha256.as_ref() == Some(conversation.sha256())))
    }

    /// Writes a batch and its checkpoint, all or nothing, and returns how many conversations were written.
    ///
    /// Writing the same batch again changes nothing but the counts of the run.
    pub fn commit(
        &mut self,
        run: &mut Run,
        batch: Vec<WriteOp>,
        checkpoint: &Checkpoint,
        facts: &PageMetadata,
        now: Timestamp,
    ) -> Result<()> {
        let failed = || database("write a batch");
        let mut progress = run.progress.clone();
        if facts.restarted {
            // What was seen so far comes again and must not be counted twice.
            (progress.seen, progress.total_first) = (0, None);
        }
        progress.facts.add(facts);
        progress.total_first = progress.total_first.or(facts.total);
        progress.total_last = facts.total.or(progress.total_last);
        let transaction = self.connection.transaction().map_err(failed())?;
        if facts.restarted {
            sweep::forget(&transaction, run.source, &run.scope)?;
        }
        let mut fresh = Vec::new();
        let mut issues = IssueCounts::default();
        let mut counts = Counts::default();
        for committed in batch {
            fresh.extend(see(&transaction, run.source, &committed, &mut progress)?);
            match committed {
                WriteOp::Outside(_) => progress.outside += 1,
                WriteOp::Held(_) | WriteOp::Unchanged(_) => progress.unchanged += 1,
                WriteOp::Write(prepared) => {
                    write(&transaction, run, &prepared, now, &mut progress, &mut counts)?;
                    issues.add(prepared.id.as_str(), &prepared.issues);
                }
            }
        }
        progress.issues += issues.total();
        issues.write(&transaction, run.key)?;
        counts.write(&transaction, run.source)?;
        sweep::note(&transaction, run.source, &run.scope, &fresh)?;
        save_checkpoint(&transaction, run, checkpoint, &progress, now)?;
        save_progress(&transaction, run.key, &progress)?;
        transaction.commit().map_err(failed())?;
        run.progress = progress;
        Ok(())
    }
}

/// What the archive holds of a conversation, and the latest bytes of one surface.
struct Latest {
    conversation_key: i64,
    message_count: i64,
    /// When something last happened in what the row shows.
    updated_at: Option<i64>,
    /// The surface that the row shows.
    shown: String,
    /// `None` where the archive has no bytes of this surface.
    sha256: Option<[u8; 32]>,
    newest_version: i64,
}

impl Latest {
    /// Returns whether something has happened since what the row shows.
    fn is_before(&self, prepared: &EncodedRecord) -> bool {
        self.updated_at < prepared.conversation.updated_at.map(Timestamp::microseconds)
    }

    /// Returns whether the row is to show these bytes, which differ from the latest of their surface: a change that
    /// was seen through one surface, a newer state, or the same state through the user's surface, which tells more.
    fn yields_to(&self, prepared: &EncodedRecord) -> bool {
        let updated_at = prepared.conversation.updated_at.map(Timestamp::microseconds);
        self.shown == prepared.surface.as_str()
            || self.sha256.is_some()
            || self.is_before(prepared)
            || (prepared.surface == Surface::User && self.updated_at == updated_at)
    }
}

fn latest(
    connection: &rusqlite::Connection,
    source: SourceKey,
    id: &str,
    surface: Surface,
) -> Result<Option<Latest>> {
    connection
        .prepare_cached(
            "SELECT c.conversation_key, c.message_count,
                    (SELECT sha256 FROM raw r WHERE r.conversation_key = c.conversation_key AND surface = ?3
                     ORDER BY version DESC LIMIT 1),
                    (SELECT max(version) FROM raw r WHERE r.conversation_key = c.conversation_key),
                    c.updated_at,
                    (SELECT surface FROM raw r WHERE r.conversation_key = c.conversation_key AND version = c.raw_version)
             FROM conversation c WHERE c.source_key = ?1 AND c.id = ?2",
        )
        .and_then(|mut statement| {
            statement
                .query_row(params![source.0, id, surface.as_str()], |row| {
                    Ok(Latest {
                        conversation_key: row.get(0)?,
                        message_count: row.get(1)?,
                        sha256: row.get(2)?,
                        newest_version: row.get(3)?,
                        updated_at: row.get(4)?,
                        shown: row.get(5)?,
                    })
                })
                .optional()
        })
        .map_err(database("look up a conversation"))
}

/// Counts a conversation of the vendor's answer, and returns its id where this sweep had not seen it.
fn see(
    transaction: &Transaction<'_>,
    source: SourceKey,
    committed: &WriteOp,
    progress: &mut Progress,
) -> Result<Option<ConversationId>> {
    let (id, size) = match committed {
        WriteOp::Write(prepared) => (&prepared.id, prepared.size),
        WriteOp::Held(raw) | WriteOp::Outside(raw) => (raw.id(), raw.size() as u64),
        WriteOp::Unchanged(id) => (id, 0),
    };
    progress.received += 1;
    progress.bytes += size;
    if sweep::see(transaction, source, id.as_str())? {
        progress.seen += 1;
        return Ok(Some(id.clone()));
    }
    progress.repeated += 1;
    Ok(None)
}

/// The change in what a source holds.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) conversations: i64,
    pub(crate) messages: i64,
}

impl Counts {
    pub(crate) fn write(&self, transaction: &Transaction<'_>, source: SourceKey) -> Result<()> {
        if self.conversations == 0 && self.messages == 0 {
            return Ok(());
        }
        transaction
            .prepare_cached(
                "UPDATE source SET conversations = conversations + ?2, messages = messages + ?3 WHERE source_key = ?1",
            )
            .and_then(|mut statement| statement.execute(params![source.0, self.conversations, self.messages]))
            .map_err(database("write a batch"))?;
        Ok(())
    }
}

fn write(
    transaction: &Transaction<'_>,
    run: &Run,
    prepared: &EncodedRecord,
    now: Timestamp,
    progress: &mut Progress,
    counts: &mut Counts,
) -> Result<()> {
    let held = latest(transaction, run.source, prepared.id.as_str(), prepared.surface)?;
    if held.as_ref().is_some_and(|held| held.sha256 == Some(prepared.sha256)) {
        progress.unchanged += 1;
        return Ok(());
    }
    let version = held.as_ref().map_or(1, |held| held.newest_version + 1);
    let key = match &held {
        None => {
            progress.added += 1;
            counts.conversations += 1;
            let key = insert_conversation(transaction, run.source, prepared)?;
            insert_messages(transaction, key, &prepared.conversation.messages)?;
            counts.messages += count(prepared.conversation.messages.len() as u64);
            key
        }
        Some(held) => {
            // The same state seen through another part of the vendor's API is no change of the conversation.
            let is_change = held.sha256.is_some() || held.is_before(prepared);
            *(if is_change { &mut progress.changed } else { &mut progress.unchanged }) += 1;
            if held.yields_to(prepared) {
                counts.messages += count(prepared.conversation.messages.len() as u64) - held.message_count;
                update_conversation(transaction, held.conversation_key, version, prepared)?;
            }
            held.conversation_key
        }
    };
    progress.unreadable += u64::from(!prepared.readable);
    transaction
        .prepare_cached(
            "INSERT INTO raw (conversation_key, version, surface, run_key, fetched_at, sha256, size, zstd)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                key,
                version,
                prepared.surface.as_str(),
                run.key,
                now.microseconds(),
                prepared.sha256,
                count(prepared.size),
                prepared.zstd
            ])
        })
        .map_err(database("write a conversation"))?;
    Ok(())
}

/// The columns of a conversation that normalization decides, with the version of `raw` that they come from.
const COLUMNS: &str = "raw_version, readable, title, channel, channel_raw, status, status_raw, created_at, updated_at, contact_id, contact_name, contact_email, contact_phone, contact_company, contact_address, contact_website, tags, notes, feedback, extra, derived, message_count";
const VALUES: &str =
    "?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24";

fn insert_conversation(
    transaction: &Transaction<'_>,
    source: SourceKey,
    prepared: &EncodedRecord,
) -> Result<i64> {
    static INSERT: LazyLock<String> = LazyLock::new(|| {
        format!("INSERT INTO conversation (source_key, id, {COLUMNS}) VALUES (?1, ?2, {VALUES})")
    });
    write_conversation(transaction, &INSERT, source.0, 1, prepared)?;
    Ok(transaction.last_insert_rowid())
}

/// Replaces a row and its messages.
pub(crate) fn update_conversation(
    transaction: &Transaction<'_>,
    key: i64,
    version: i64,
    prepared: &EncodedRecord,
) -> Result<()> {
    static UPDATE: LazyLock<String> = LazyLock::new(|| {
        format!("UPDATE conversation SET (id, {COLUMNS}) = (?2, {VALUES}) WHERE conversation_key = ?1")
    });
    write_conversation(transaction, &UPDATE, key, version, prepared)?;
    transaction
        .prepare_cached("DELETE FROM message WHERE conversation_key = ?1")
        .and_then(|mut statement| statement.execute([key]))
        .map_err(database("write a conversation"))?;
    insert_messages(transaction, key, &prepared.conversation.messages)
}

/// Runs a statement that writes every column; its first value is the key that it goes by.
fn write_conversation(
    transaction: &Transaction<'_>,
    sql: &str,
    key: i64,
    version: i64,
    prepared: &EncodedRecord,
) -> Result<()> {
    let conversation = &prepared.conversation;
    let contact = &conversation.contact;
    transaction
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.execute(params![
                key,
                prepared.id.as_str(),
                version,
                prepared.readable,
                conversation.title,
                conversation.channel.map(chatark_core::Channel::as_str),
                conversation.channel_raw,
                conversation.status.map(chatark_core::Status::as_str),
                conversation.status_raw,
                conversation.created_at.map(Timestamp::microseconds),
                conversation.updated_at.map(Timestamp::microseconds),
                contact.id,
                contact.name,
                contact.email,
                contact.phone,
                contact.company,
                contact.address,
                contact.website,
                json(&conversation.tags, conversation.tags.is_empty()),
                conversation.notes,
                conversation.feedback.map(chatark_core::Feedback::as_str),
                json(&conversation.extra, conversation.extra.is_empty()),
                json(&conversation.derived, conversation.derived.is_empty()),
                count(conversation.messages.len() as u64),
            ])
        })
        .map_err(database("write a conversation"))?;
    Ok(())
}

fn insert_messages(transaction: &Transaction<'_>, key: i64, messages: &[Message]) -> Result<()> {
    let failed = || database("write a message");
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO message (conversation_key, position, id, role, role_raw, created_at, text, parts, feedback, score, extra)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .map_err(failed())?;
    for (position, message) in messages.iter().enumerate() {
        let joined;
        let (text, parts) = match message.parts.as_slice() {
            [Part::Text { text }] => (text.as_str(), None),
            parts => {
                joined = message.text();
                (joined.as_str(), json(&parts, false))
            }
        };
        statement
            .execute(params![
                key,
                count(position as u64),
                message.id,
                message.role.as_str(),
                message.role_raw,
                message.created_at.map(Timestamp::microseconds),
                text,
                parts,
                message.feedback.map(chatark_core::Feedback::as_str),
                message.score,
                json(&message.extra, message.extra.is_empty()),
            ])
            .map_err(failed())?;
    }
    Ok(())
}

/// The issues of a batch, counted by kind and place.
#[derive(Debug, Default)]
pub(crate) struct IssueCounts(BTreeMap<(&'static str, String), (u64, String, String)>);

impl IssueCounts {
    pub(crate) fn add(&mut self, id: &str, issues: &[Issue]) {
        for issue in issues {
            let Issue { kind, path } = issue;
            let sample = || (0, id.to_owned(), path.clone());
            self.0.entry((kind.as_str(), issue.place())).or_insert_with(sample).0 += 1;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().map(|(number, _, _)| number).sum()
    }

    pub(crate) fn write(&self, transaction: &Transaction<'_>, run_key: i64) -> Result<()> {
        for ((kind, place), (number, conversation, path)) in &self.0 {
            transaction
                .prepare_cached(
                    "INSERT INTO issue (run_key, kind, place, count, sample_conversation, sample_path)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (run_key, kind, place) DO UPDATE SET count = count + excluded.count",
                )
                .and_then(|mut statement| {
                    statement.execute(params![run_key, kind, place, count(*number), conversation, path])
                })
                .map_err(database("write the issues"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatark_core::{Conversation, Cursor, ErrorKind, Origin, RawConversation, Role, SourceName};
    use serde_json::{Value, json};

    use super::*;
    use crate::ledger::{Start, SyncMode};
    use crate::read::Filter;

    fn now() -> Timestamp {
        Timestamp::from_epoch(1_733_054_400).unwrap()
    }

    fn open(folder: &tempfile::TempDir) -> (Archive, Run) {
        let mut archive = Archive::open(&folder.path().join("archive.db"), now()).unwrap();
        let source = SourceName::new("shop").unwrap();
        let origin = Origin { source, provider: "vendor-v1".to_owned(), agent_id: "agent".to_owned() };
        let key = archive.source(&origin).unwrap();
        let start = Start { kind: "pull", scope: "all", effort: SyncMode::Full, resume: None, at: now() };
        let run = archive.begin_run(key, &start).unwrap();
        (archive, run)
    }

    fn written(conversation: &Conversation) -> WriteOp {
        let raw = RawConversation {
            id: Some(conversation.id.clone()),
            surface: Surface::Export,
            bytes: Bytes::copy_from_slice(conversation.id.as_str().as_bytes()),
        };
        let prepared = HashedRecord::new(raw).prepare(|_| Ok((conversation.clone(), Vec::new())));
        WriteOp::Write(Box::new(prepared.unwrap()))
    }

    fn ids(archive: &Archive) -> Vec<String> {
        let mut ids = Vec::new();
        let take = |found: &chatark_core::ArchivedConversation| {
            ids.push(found.conversation.id.to_string());
            Ok(())
        };
        archive.each(&Filter::default(), take).unwrap();
        ids
    }

    #[test]
    fn a_full_disk_takes_a_batch_back_and_the_same_batch_succeeds_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (mut archive, mut run) = open(&folder);
        let cursor =
            |place: &str| Checkpoint::At(Cursor::seal("vendor-v1", 1, "all".to_owned(), &place).unwrap());
        let small = || vec![written(&Conversation::empty(ConversationId::new("small")))];
        archive.commit(&mut run, small(), &cursor("first"), &PageMetadata::default(), now()).unwrap();
        let before = run.progress.clone();
        let pages: i64 = archive.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = |archive: &Archive, pages: i64| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            archive.connection.query_row(&sql, [], |_| Ok(())).unwrap();
        };
        limit(&archive, pages + 2);
        let message = Message { parts: vec![Part::text("x".repeat(200_000))], ..Message::empty(Role::User) };
        let id = ConversationId::new("large");
        let large = Conversation { messages: vec![message; 3], ..Conversation::empty(id) };
        let batch = || vec![written(&Conversation::empty(ConversationId::new("tiny"))), written(&large)];
        let failed = archive.commit(&mut run, batch(), &cursor("second"), &PageMetadata::default(), now());
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        assert!(error.next_step().unwrap().contains("make room on the disk"), "{error}");
        let place = |archive: &Archive| archive.resume(run.source, "all").unwrap().unwrap().cursor;
        assert_eq!((ids(&archive), &run.progress), (vec!["small".to_owned()], &before));
        assert_eq!(place(&archive).open::<String>("vendor-v1", 1, "all").unwrap(), "first");

        limit(&archive, 1 << 30);
        archive.commit(&mut run, batch(), &cursor("second"), &PageMetadata::default(), now()).unwrap();
        assert_eq!((run.progress.added, run.progress.repeated), (3, 0));
        assert_eq!(ids(&archive), ["large", "small", "tiny"]);
    }

    /// JSON is read down to 127 levels: a record that could be read must not become one that cannot be read back.
    #[test]
    fn values_as_deep_as_json_is_read_come_back() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| Value::Array(vec![inner]));
        let folder = tempfile::tempdir().unwrap();
        let (mut archive, mut run) = open(&folder);
        let mut conversation = Conversation::empty(ConversationId::new("deep"));
        // Where a mapper finds them: an unknown field of the record, and an unknown part of a message.
        conversation.extra.insert("unknown".to_owned(), deep(126));
        let parts = vec![Part::Other { kind: "unknown".to_owned(), data: deep(123) }];
        conversation.messages.push(Message { parts, ..Message::empty(Role::Other) });
        let batch = vec![written(&conversation)];
        archive.commit(&mut run, batch, &Checkpoint::None, &PageMetadata::default(), now()).unwrap();
        let take = |found: &chatark_core::ArchivedConversation| {
            assert_eq!(found.conversation, conversation);
            Ok(())
        };
        archive.each(&Filter::default(), take).unwrap();
        assert_eq!(ids(&archive), ["deep"]);
    }
}
