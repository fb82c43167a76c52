//! An archive of the layout before streams: it is upgraded without losses, or not changed.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chatark_archive::{
    Archive, RunEnd, Subset, SweepHistory, TransferState, Upgrade, Verdict, VersionFault, WriteOp,
};
use chatark_core::{
    Checkpoint, Conversation, Document, ErrorKind, Issue, ListedContact, Mapper, Origin, PageMetadata,
    Rating, Record, RecordId, Result, Stream, Timestamp,
};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{Gone, Lines, SCOPE, all, cursor, mapped, mark_missing, noon, origin, start, start_of};

const STREAMS: &str = include_str!("../../src/layout/0004_streams.sql");

/// Understands conversations as [`Lines`] does, with the time at which the first one began, and of people the name.
#[derive(Debug)]
struct Everything;

impl Mapper for Everything {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        if records[0].stream == Stream::Conversations {
            let (mut conversation, issues) = mapped(&records[0].bytes)?;
            conversation.created_at = (conversation.title.as_deref() == Some("one")).then(noon);
            return Ok((Document::Conversation(conversation), issues));
        }
        // What cannot be read is the same in conversations and people.
        let Conversation { title: name, .. } = mapped(&records[0].bytes)?.0;
        let mut listed = ListedContact::default();
        listed.contact.name = name;
        Ok((Document::Contact(listed), Vec::new()))
    }
}

fn later(seconds: i64) -> Timestamp {
    noon().shifted(seconds).unwrap()
}

/// Builds an archive as the previous version wrote it, with at least one row in every table.
fn of_layout_three(path: &Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch("PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;")
        .unwrap();
    for step in [
        include_str!("../../src/layout/0001_first.sql"),
        include_str!("../../src/layout/0002_sweeps.sql"),
        include_str!("../../src/layout/0003_transfers.sql"),
    ] {
        old.execute_batch(step).unwrap();
    }
    old.pragma_update(None, "application_id", 0x4368_4172).unwrap();
    old.pragma_update(None, "user_version", 3).unwrap();
    let (noon, cursor) = (noon().microseconds(), serde_json::to_string(&cursor(4)).unwrap());
    old.execute_batch(&format!(
        "INSERT INTO source VALUES (1, 'shop', 'vendor-v1', 'agent of shop', 2, 3),
                                   (2, 'help', 'vendor-v1', 'agent of help', 0, 0);
         INSERT INTO run (run_key, source_key, kind, scope, started_at, ended_at, verdict, error, seen, added, swept_from)
             VALUES (1, 1, 'pull', '{SCOPE}', {noon}, {noon} + 1, 'complete', NULL, 2, 2, {noon}),
                    (2, 1, 'contacts', 'contacts', {noon} + 2, {noon} + 3, 'partial', 'get leads: 403', 3, 2, {noon} + 2),
                    (3, 1, 'rebuild', 'rebuild', {noon} + 4, {noon} + 5, 'complete', NULL, 2, 0, {noon} + 4),
                    (4, 1, 'rebuild', 'contacts', {noon} + 4, {noon} + 5, 'complete', NULL, 2, 0, {noon} + 4),
                    (5, 1, 'pull', '{SCOPE}', {noon} + 6, NULL, NULL, NULL, 1, 0, {noon} + 6);
         INSERT INTO conversation (conversation_key, source_key, id, raw_version, readable, title, created_at, message_count)
             VALUES (7, 1, 'a', 2, 1, 'one', {noon}, 2), (9, 1, 'b', 1, 1, 'two', NULL, 1);
         UPDATE conversation SET missing_since = {noon} + 1 WHERE id = 'b';
         INSERT INTO message (conversation_key, position, role, text)
             VALUES (7, 0, 'user', 'x'), (7, 1, 'user', 'y'), (9, 0, 'user', 'z');
         INSERT INTO checkpoint VALUES (1, '{SCOPE}', '{cursor}', 1, 2, {noon} + 7, 'full', {noon} + 6);
         INSERT INTO sighting VALUES (1, '{SCOPE}', 1, '[\"a\"]');
         INSERT INTO issue VALUES (1, 'unknown-field', 'odd', 3, 'a', 'odd');
         INSERT INTO transfer VALUES ('x 1', 'history', 'm', 's', 'done', 't-1', 'shop', 'a', 2, zeroblob(32), NULL, {noon});"
    ))
    .unwrap();
    let packed = |text: &str| {
        let hash: [u8; 32] = Sha256::digest(text).into();
        (hash, zstd::bulk::compress(text.as_bytes(), 1).unwrap())
    };
    for (key, version, surface, text) in
        [(7, 1, "export", "former\nx"), (7, 2, "user", "one\nx\ny"), (9, 1, "export", "two\nz")]
    {
        let (hash, zstd) = packed(text);
        let row = params![key, version, surface, noon, hash, i64::try_from(text.len()).unwrap(), zstd];
        let sql =
            "INSERT INTO raw (conversation_key, version, surface, run_key, fetched_at, sha256, size, zstd)
                   VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7)";
        old.execute(sql, row).unwrap();
    }
    for (list, id, version, is_latest, text) in [
        ("leads", "1", 1, false, "Ada"),
        ("leads", "1", 2, true, "Augusta"),
        // The same id as that of another list, and as that of a conversation.
        ("contacts", "1", 1, true, "! no"),
        ("contacts", "a", 1, true, "Alan"),
    ] {
        let (hash, zstd) = packed(text);
        let readable = !text.starts_with('!');
        let row = params![
            list,
            id,
            version,
            is_latest,
            readable.then_some(text),
            (!readable).then_some(r#"{"unreadable":"the record is no object"}"#),
            noon,
            hash,
            i64::try_from(text.len()).unwrap(),
            zstd
        ];
        let sql = "INSERT INTO listed_contact (source_key, list, id, version, is_latest, name, extra, run_key, fetched_at, sha256, size, zstd)
                   VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, 2, ?7, ?8, ?9, ?10)";
        old.execute(sql, row).unwrap();
    }
    old.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    old.close().unwrap();
}

fn old() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.db");
    of_layout_three(&path);
    (folder, path)
}

fn people(archive: &Archive) -> Vec<(Stream, String, Option<String>)> {
    let mut found = Vec::new();
    let take = |_: &Origin, stream, listed: &ListedContact| {
        found.push((stream, listed.id.clone().unwrap(), listed.contact.name.clone()));
        Ok(())
    };
    archive.each_contact(&[], take).unwrap();
    found
}

/// Expects an upgraded archive to hold everything, where it was.
fn check(archive: &mut Archive) {
    let source = archive.register_source(&origin("shop")).unwrap();
    let found: Vec<_> = all(archive).into_iter().map(|found| found.conversation).collect();
    let described = |conversation: &Conversation| {
        let texts: Vec<_> = conversation.messages.iter().map(chatark_core::Message::text).collect();
        (
            conversation.id.to_string(),
            conversation.title.clone().unwrap(),
            texts.concat(),
            conversation.created_at,
        )
    };
    let expect = [("a", "one", "xy", Some(noon())), ("b", "two", "z", None)]
        .map(|(id, title, texts, at)| (id.to_owned(), title.to_owned(), texts.to_owned(), at));
    assert_eq!(found.iter().map(described).collect::<Vec<_>>(), expect);
    let name = |name: &str| Some(name.to_owned());
    let expect = [
        (Stream::Contacts, "1".to_owned(), None),
        (Stream::Contacts, "a".to_owned(), name("Alan")),
        (Stream::Leads, "1".to_owned(), name("Augusta")),
    ];
    assert_eq!(people(archive), expect);

    let status = archive.status().unwrap();
    assert_eq!((status[0].source.as_str(), status[0].conversations, status[0].streams.len()), ("help", 0, 0));
    let shop = &status[1];
    assert_eq!((shop.conversations, shop.messages, shop.missing, shop.contacts), (2, 3, 1, 3));
    let last = shop.last_pull.as_ref().unwrap();
    assert_eq!(
        (last.started_at, &last.verdict, last.seen),
        (Timestamp::from_microseconds(noon().microseconds() + 6).ok(), &None, 1)
    );
    let last = shop.last_contacts.as_ref().unwrap();
    assert_eq!((last.verdict.as_deref(), last.error.as_deref()), (Some("partial"), Some("get leads: 403")));
    assert_eq!((last.seen, last.added), (3, 2));
    assert_eq!(shop.unfinished, [SCOPE]);
    let swept = Some(noon());
    let of_conversations = archive.sweep_history(source, Stream::Conversations, SCOPE).unwrap();
    assert_eq!(
        of_conversations,
        SweepHistory { full_began_at: swept, any_began_at: swept, ..SweepHistory::default() }
    );

    assert_eq!(archive.structure_faults().unwrap(), [""; 0]);
    assert_eq!(archive.reference_faults().unwrap(), [""; 0]);
    assert_eq!(archive.count_faults(source).unwrap(), [""; 0]);
    let versions = archive.stored_versions(source, Subset::WHOLE, 0, 100).unwrap().0;
    let checked: Vec<_> = versions.into_iter().map(|version| version.check(Some(&Everything))).collect();
    let shown = checked.iter().filter(|checked| checked.is_shown).count();
    assert_eq!((checked.len(), shown), (3 + 4, 2 + 3));
    // Bytes and hashes are what they were, and the rows are what a mapper makes of the bytes.
    assert!(checked.iter().all(|checked| checked.fault.is_none()), "{checked:?}");

    let transfer = archive.transfer("x 1", "history", "m").unwrap().unwrap();
    assert_eq!((transfer.state, transfer.target_id.as_deref()), (TransferState::Done, Some("t-1")));
    let issues = archive.issues().unwrap();
    assert_eq!((issues.len(), issues[0].place.as_str(), issues[0].count), (1, "odd", 3));
}

fn count(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Returns the tables, rows and layout of a file.
fn dump(path: &Path) -> (i64, Vec<String>) {
    let file = Connection::open(path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = file.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        rows.map(|row| row.unwrap().unwrap_or_default()).collect()
    };
    let mut contents = texts("SELECT name || ': ' || sql FROM sqlite_schema ORDER BY name");
    for table in texts(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    ) {
        let columns = texts(&format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"));
        contents.extend(texts(&format!(
            "SELECT '{table}: ' || concat_ws(',', {}) FROM \"{table}\"",
            columns.join(",")
        )));
    }
    (file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap(), contents)
}

#[test]
fn an_archive_of_the_previous_layout_keeps_everything() {
    let (_folder, path) = old();
    let mut archive = Archive::open(&path, noon()).unwrap();
    check(&mut archive);
    archive.close().unwrap();
    let mut again = Archive::open(&path, noon()).unwrap();
    check(&mut again);
    let (version, _) = dump(&path);
    assert_eq!(version, 5);
    // The names that queries use still exist.
    assert_eq!(count(&path, "SELECT count(*) FROM raw WHERE conversation_key = 7"), 2);
    let affected =
        "SELECT count(*) FROM listed_contact WHERE list = 'leads' AND id = '1' AND is_latest = (version = 2)";
    assert_eq!(count(&path, affected), 2);
    assert_eq!(count(&path, "SELECT count(*) FROM run WHERE kind = 'contacts'"), 0);
    let of_people = "SELECT count(*) FROM run WHERE (stream = 'contacts') = (run_key IN (2, 4))";
    assert_eq!(count(&path, of_people), 5);
    assert_eq!(count(&path, "SELECT count(*) FROM contact WHERE readable = 0"), 1);
    assert_eq!(
        count(
            &path,
            "SELECT missing_since = unseen_since FROM conversation JOIN record ON record_key = conversation_key WHERE conversation.id = 'b'"
        ),
        1
    );
}

#[test]
fn statistics_of_the_previous_layout_are_computed_and_an_interrupted_run_continues() {
    let (_folder, path) = old();
    let check = || {
        Archive::open(&path, noon()).unwrap().close().unwrap();
        let sum = |key: i64| {
            format!(
                "SELECT messages * 100 + user_messages * 10 + last_position FROM conversation_stats
             WHERE last_speaker = 'user' AND conversation_key = {key}"
            )
        };
        assert_eq!((count(&path, &sum(7)), count(&path, &sum(9))), (221, 110));
        assert_eq!(
            count(&path, "SELECT count(*) FROM identifier JOIN contact ON contact_key = record_key"),
            3
        );
        assert_eq!(count(&path, "SELECT count(*) FROM person"), 3);
    };
    check();
    // As if it had been interrupted after the first conversation.
    let ended = "DELETE FROM conversation_stats WHERE conversation_key = 9; DELETE FROM identifier;
                 UPDATE archive SET is_derived = 0";
    Connection::open(&path).unwrap().execute_batch(ended).unwrap();
    assert_eq!(Archive::open_to_read(&path).unwrap_err().kind(), ErrorKind::Usage);
    check();
}

#[test]
fn an_unfinished_sweep_of_the_previous_layout_resumes_with_its_sightings() {
    let (_folder, path) = old();
    let mut archive = Archive::open(&path, noon()).unwrap();
    let source = archive.register_source(&origin("shop")).unwrap();
    for stream in [Stream::Contacts, Stream::Leads] {
        assert_eq!(archive.resume_point(source, stream, SCOPE).unwrap(), None);
    }
    let resume = archive.resume_point(source, Stream::Conversations, SCOPE).unwrap().unwrap();
    assert_eq!((&resume.resume_token, resume.saved_at.is_some()), (&cursor(4), true));
    let mut run = archive.begin_run(source, &start("pull", SCOPE, Some(&resume))).unwrap();
    assert_eq!((run.counts.seen, run.counts.total_first), (1, Some(2)));
    let unchanged = ["a", "b"].map(|id| WriteOp::ListedUnchanged(RecordId::new(id)));
    let page = PageMetadata { total: Some(2), ..PageMetadata::default() };
    archive.commit(&mut run, unchanged.into(), &Checkpoint::End, &page, &Lines, noon()).unwrap();
    archive.unmark_returned(&mut run).unwrap();
    let counts = &run.counts;
    assert_eq!((counts.seen, counts.repeated, counts.returned), (2, 1, 1));
    assert_eq!(Verdict::of(counts), Verdict::Complete);
    assert_eq!(mark_missing(&mut archive, &mut run, false, noon()).unwrap(), Gone::Marked(0));
    let end = RunEnd { verdict: Verdict::Complete, reached_end: true, error: None, at: later(9) };
    archive.end_run(&run, &end).unwrap();
    let shop = archive.status().unwrap().remove(1);
    assert_eq!((shop.missing, shop.unfinished.len()), (0, 0));
}

#[test]
fn what_was_archived_before_the_upgrade_is_unchanged_when_it_comes_again() {
    let (_folder, path) = old();
    let mut archive = Archive::open(&path, noon()).unwrap();
    let source = archive.register_source(&origin("shop")).unwrap();
    for (stream, surface, id, text) in [
        (Stream::Conversations, chatark_core::Surface::User, "a", "one\nx\ny"),
        (Stream::Conversations, chatark_core::Surface::Export, "b", "two\nz"),
        (Stream::Leads, chatark_core::Surface::Export, "1", "Augusta"),
        (Stream::Contacts, chatark_core::Surface::Export, "1", "! no"),
        (Stream::Contacts, chatark_core::Surface::Export, "a", "Alan"),
    ] {
        let id = Some(RecordId::new(id));
        let own = Record { stream, id, parent: None, surface, bytes: Bytes::from_static(text.as_bytes()) };
        let own = chatark_archive::HashedRecord::new(own);
        let document = chatark_archive::HashedDocument::new(own, Vec::new());
        assert_eq!(archive.holds(source, [&document]).unwrap(), [true], "{stream:?} {text}");
        let mut run = archive.begin_run(source, &start_of(stream, "pull", "again", None)).unwrap();
        let batch = vec![WriteOp::Document(Box::new(document.encode(&Everything).unwrap()))];
        let page = PageMetadata::default();
        archive.commit(&mut run, batch, &Checkpoint::End, &page, &Everything, noon()).unwrap();
        assert_eq!((run.counts.unchanged, run.counts.added), (1, 0), "{stream:?} {text}");
    }
    assert_eq!(count(&path, "SELECT count(*) FROM raw"), 7);
}

#[test]
fn an_upgrade_announces_the_space_it_needs() {
    let (_folder, path) = old();
    let before = fs::read(&path).unwrap();
    let Upgrade { from, to, needs, free } = Archive::pending_upgrade(&path).unwrap().unwrap();
    assert_eq!((from, to, free.is_some()), (3, 5, true));
    assert!(needs > 4 << 20, "{needs}");
    assert_eq!(fs::read(&path).unwrap(), before);
    Archive::open(&path, noon()).unwrap().close().unwrap();
    assert_eq!(Archive::pending_upgrade(&path).unwrap(), None);
    assert_eq!(Archive::pending_upgrade(&path.with_extension("none")).unwrap(), None);
}

#[test]
fn an_upgrade_that_fails_changes_nothing_and_succeeds_once_it_can() {
    let (_folder, path) = old();
    // What has already been copied by then is rolled back, people included.
    let sql = "CREATE TRIGGER refuses BEFORE UPDATE ON run BEGIN SELECT RAISE(ABORT, 'no more'); END";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let before = dump(&path);
    let error = Archive::open(&path, noon()).unwrap_err();
    assert!(error.message().contains("no more"), "{error}");
    assert_eq!(dump(&path), before);
    Connection::open(&path).unwrap().execute_batch("DROP TRIGGER refuses").unwrap();
    check(&mut Archive::open(&path, noon()).unwrap());
}

#[test]
fn an_archive_with_broken_references_is_not_upgraded() {
    let (_folder, path) = old();
    let broken = "PRAGMA foreign_keys = OFF; UPDATE raw SET conversation_key = 99 WHERE raw_key = 1";
    Connection::open(&path).unwrap().execute_batch(broken).unwrap();
    let before = dump(&path);
    let error = Archive::open(&path, noon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(
        error.message().contains("1 rows refer to rows that are not there; nothing was changed"),
        "{error}"
    );
    assert_eq!(dump(&path), before);
}

/// An upgrade that was killed has left pages in the log that nothing commits.
#[test]
fn a_killed_upgrade_changes_nothing_and_starts_again() {
    let (folder, path) = old();
    let before = dump(&path);
    let killed = Connection::open(&path).unwrap();
    // So small a cache that the pages of the unfinished upgrade are in the log.
    killed
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN")
        .unwrap();
    killed.execute_batch(STREAMS).unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let log = fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    assert!(log > 0, "nothing was in the log");
    drop(killed);
    assert_eq!(dump(&copy), before);
    check(&mut Archive::open(&copy, noon()).unwrap());
}

/// The previous version reported a person without a latest version, or with two, as damaged; that is no longer an
/// error.
#[test]
fn a_contact_without_a_marked_latest_version_shows_the_last_one() {
    for is_latest in ["0", "1", "2 - version"] {
        let (_folder, path) = old();
        let sql = format!("UPDATE listed_contact SET is_latest = {is_latest} WHERE list = 'leads'");
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        check(&mut Archive::open(&path, noon()).unwrap());
    }
}

/// Reads more than the previous version: a rating of one of the two conversations.
#[derive(Debug)]
struct WithRatings;

impl Mapper for WithRatings {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (mut document, issues) = Everything.map(records)?;
        if let Document::Conversation(conversation) = &mut document
            && conversation.title.as_deref() == Some("one")
        {
            conversation.rating = Some(Rating { value: 4.0, scale: 5.0 });
        }
        Ok((document, issues))
    }
}

#[test]
fn a_row_of_the_previous_mapping_version_is_not_damaged() {
    let (_folder, path) = old();
    let mut archive = Archive::open(&path, noon()).unwrap();
    let source = archive.register_source(&origin("shop")).unwrap();
    let faults = |archive: &Archive| -> Vec<_> {
        let (versions, _) = archive.stored_versions(source, Subset::WHOLE, 0, 100).unwrap();
        versions.into_iter().filter_map(|version| version.check(Some(&WithRatings)).fault).collect()
    };
    assert_eq!(faults(&archive), [VersionFault::EarlierMapping]);

    let mut run = archive.begin_run(source, &start("rebuild", "rebuild", None)).unwrap();
    let (stored, _) = archive.stored_documents(source, Stream::Conversations, 0, 100).unwrap();
    let rebuilt: Vec<_> = stored.into_iter().map(|stored| stored.rebuild(&WithRatings).unwrap()).collect();
    archive.replace_rebuilt(&mut run, &rebuilt).unwrap();
    assert_eq!((run.counts.changed, run.counts.unchanged), (1, 1));
    let ratings: Vec<_> = all(&archive).into_iter().map(|found| found.conversation.rating).collect();
    assert_eq!(ratings, [Some(Rating { value: 4.0, scale: 5.0 }), None]);
    assert_eq!(faults(&archive), []);

    // From here on a row that differs is one that somebody changed, also where the rebuild left it as it was.
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE conversation SET rating_value = 1 WHERE id = 'a'; UPDATE conversation SET title = 'x' WHERE id = 'b'").unwrap();
    assert_eq!(faults(&archive), [VersionFault::Outdated, VersionFault::Outdated]);
}
