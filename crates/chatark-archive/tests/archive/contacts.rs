//! Contacts and leads, which a vendor lists separately from conversations.

use chatark_archive::{
    Archive, CheckedVersion, Damage, EncodedDocument, HashedDocument, Run, RunCounts, RunEnd, RunStart,
    SourceKey, Subset, Verdict, VersionFault, WriteOp,
};
use chatark_core::{
    Checkpoint, Contact, Document, Error, ErrorKind, HeldSummary, Issue, IssueKind, ListedContact, Mapper,
    PageMetadata, Record, RecordId, Result, SourceName, Stream, Surface, Timestamp,
};
use serde_json::json;

use crate::support::{
    Fixed, Gone, Lines, TestEnvironment, all, at, cursor, mark_missing, noon, record, start, start_of,
    written,
};

/// A mapper whose vendor sends a name followed by unknown words; `!` cannot be read.
#[derive(Debug)]
struct Names;

/// A later version of the same mapper: a leading `! ` is skipped, and names are in capitals.
#[derive(Debug)]
struct Capitals;

impl Mapper for Names {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let (listed, issues) = mapped(records[0].stream, &records[0].bytes)?;
        Ok((Document::Contact(listed), issues))
    }
}

impl Mapper for Capitals {
    fn map(&self, records: &[Record]) -> Result<(Document, Vec<Issue>)> {
        let text = std::str::from_utf8(&records[0].bytes).unwrap();
        let (mut listed, issues) = mapped(records[0].stream, text.trim_start_matches("! ").as_bytes())?;
        listed.contact.name = listed.contact.name.map(|name| name.to_uppercase());
        Ok((Document::Contact(listed), issues))
    }
}

fn mapped(stream: Stream, raw: &[u8]) -> Result<(ListedContact, Vec<Issue>)> {
    let text = std::str::from_utf8(raw).unwrap();
    if text.starts_with('!') {
        return Err(Error::new(ErrorKind::Malformed, "read a record", "the record is no object"));
    }
    let mut words = text.split(' ');
    let mut listed =
        ListedContact { external_id: Some(stream.as_str().to_uppercase()), ..ListedContact::default() };
    listed.contact.name = words.next().map(str::to_owned);
    listed.contact.id = Some("not this one".to_owned());
    let mut issues = Vec::new();
    for word in words {
        listed.extra.insert(word.to_owned(), json!({"word": word}));
        issues.push(Issue::new(IssueKind::UnknownField, word));
    }
    Ok((listed, issues))
}

/// A person in a list, ready to be committed in a run of that list.
#[derive(Clone)]
struct TestContact {
    stream: Stream,
    encoded: EncodedDocument,
}

fn person(stream: Stream, id: Option<&str>, text: &str) -> TestContact {
    mapped_with(stream, id, text, &Names)
}

fn mapped_with(stream: Stream, id: Option<&str>, text: &str, mapper: &dyn Mapper) -> TestContact {
    let own = record(stream, None, id, Surface::Export, text);
    let encoded = HashedDocument::new(own, Vec::new()).encode(mapper).unwrap();
    TestContact { stream, encoded }
}

fn lead(id: &str, text: &str) -> TestContact {
    person(Stream::Leads, Some(id), text)
}

fn contact(id: &str, text: &str) -> TestContact {
    person(Stream::Contacts, Some(id), text)
}

const LISTS: [Stream; 2] = [Stream::Leads, Stream::Contacts];

impl TestEnvironment {
    fn run_of_list(&mut self, source: &str, stream: Stream) -> Run {
        let source = self.source(source);
        self.archive.begin_run(source, &start_of(stream, "pull", stream.as_str(), None)).unwrap()
    }

    fn try_people(&mut self, run: &mut Run, batch: &[TestContact], place: &Checkpoint) -> Result<()> {
        let batch = batch.iter().map(|person| WriteOp::Document(Box::new(person.encoded.clone()))).collect();
        self.archive.commit(run, batch, place, &PageMetadata::default(), &Names, noon())
    }

    /// Writes people of a source, those of each list in a run of their own, and returns the counts of all runs.
    fn people_of(&mut self, source: &str, batch: &[TestContact]) -> RunCounts {
        let mut sum = RunCounts::default();
        for stream in LISTS {
            let batch: Vec<_> = batch.iter().filter(|person| person.stream == stream).cloned().collect();
            if batch.is_empty() {
                continue;
            }
            let mut run = self.run_of_list(source, stream);
            self.try_people(&mut run, &batch, &Checkpoint::None).unwrap();
            for (total, of_run) in [
                (&mut sum.received, run.counts.received),
                (&mut sum.seen, run.counts.seen),
                (&mut sum.repeated, run.counts.repeated),
                (&mut sum.added, run.counts.added),
                (&mut sum.changed, run.counts.changed),
                (&mut sum.unchanged, run.counts.unchanged),
                (&mut sum.unreadable, run.counts.unreadable),
                (&mut sum.issues, run.counts.issues),
            ] {
                *total += of_run;
            }
        }
        sum
    }

    /// Writes people of the source `shop`.
    fn people(&mut self, batch: &[TestContact]) -> RunCounts {
        self.people_of("shop", batch)
    }

    fn listed(&self, sources: &[&str]) -> Vec<(String, ListedContact)> {
        let sources: Vec<_> = sources.iter().map(|name| SourceName::new(*name).unwrap()).collect();
        let mut found = Vec::new();
        let take = |origin: &chatark_core::Origin, _, listed: &ListedContact| {
            found.push((origin.source.to_string(), listed.clone()));
            Ok(())
        };
        self.archive.each_contact(&sources, take).unwrap();
        found
    }

    fn names(&self) -> Vec<String> {
        self.listed(&[]).into_iter().map(|(_, listed)| listed.contact.name.unwrap_or_default()).collect()
    }

    fn checked(&mut self, subset: Subset) -> Vec<CheckedVersion> {
        let source = self.source("shop");
        let (mut checked, mut after) = (Vec::new(), 0);
        loop {
            let (page, last) = self.archive.stored_versions(source, subset, after, 2).unwrap();
            if page.is_empty() {
                return checked;
            }
            checked.extend(page.into_iter().map(|version| version.check(Some(&Names))));
            after = last;
        }
    }

    /// Returns the ids of a list that are marked as missing.
    fn missing_of(&self, stream: Stream) -> Vec<String> {
        let connection = self.connect();
        let sql = "SELECT id FROM contact WHERE stream = ?1 AND missing_since IS NOT NULL ORDER BY id";
        let mut statement = connection.prepare(sql).unwrap();
        let ids = statement.query_map([stream.as_str()], |row| row.get(0)).unwrap();
        ids.map(std::result::Result::unwrap).collect()
    }
}

#[test]
fn unchanged_contacts_are_not_written_and_other_bytes_are_a_new_version() {
    let mut env = TestEnvironment::new();
    let first = env.people(&[lead("1", "Ada"), lead("2", "Grace new")]);
    assert_eq!((first.added, first.seen, first.issues), (2, 2, 1));
    let before = env.listed(&[]);

    let again = env.people(&[lead("1", "Ada"), lead("2", "Grace new")]);
    assert_eq!((again.unchanged, again.added, again.issues), (2, 0, 0));
    assert_eq!(env.count("SELECT count(*) FROM listed_contact"), 2);
    assert_eq!(env.listed(&[]), before);

    let counts = env.people(&[lead("1", "Augusta"), lead("2", "Grace new"), contact("1", "Alan")]);
    assert_eq!((counts.changed, counts.unchanged, counts.added, counts.seen), (1, 1, 1, 3));
    assert_eq!(env.names(), ["Alan", "Augusta", "Grace"]);
    assert_eq!(versions_of(&env, "leads", "1"), [(1, false, "Ada"), (2, true, "Augusta")].map(version_row));
    // The bytes of every version are there as they were sent.
    assert_eq!(env.count("SELECT sum(size) FROM listed_contact"), 3 + 7 + 9 + 4);

    // Changing back is a third version.
    assert_eq!(env.people(&[lead("1", "Ada")]).changed, 1);
    assert_eq!(env.count("SELECT max(version) FROM listed_contact"), 3);
    assert_eq!(env.names(), ["Alan", "Ada", "Grace"]);
    assert_eq!(env.archive.status().unwrap()[0].contacts, 3);
}

#[test]
fn contacts_are_read_back_in_order() {
    let at = |seconds| Timestamp::from_epoch(seconds).ok();
    let whole = ListedContact {
        id: Some("b".to_owned()),
        external_id: Some("user_123".to_owned()),
        contact: Contact {
            id: None,
            name: Some("Ada".to_owned()),
            email: Some("ada@example.com".to_owned()),
            phone: Some("+15550100".to_owned()),
            company: Some("Example Ltd".to_owned()),
            address: Some("Ulm".to_owned()),
            website: Some("https://example.com".to_owned()),
        },
        created_at: at(1_704_067_200),
        updated_at: at(1_704_153_600),
        extra: serde_json::Map::from_iter([("custom_attributes".to_owned(), json!({"n": 0.1, "x": [null]}))]),
    };
    let mapper = Fixed(Document::Contact(whole.clone()));
    let prepared = mapped_with(Stream::Contacts, Some("b"), "whatever it was", &mapper);

    let mut env = TestEnvironment::new();
    env.people(&[lead("a", "Zoe"), contact("c", "Bea"), prepared, contact("B", "Abe")]);
    env.people_of("a-shop", &[lead("z", "Eve")]);

    let order: Vec<_> = env
        .listed(&[])
        .into_iter()
        .map(|(source, listed)| format!("{source} {}", listed.id.unwrap()))
        .collect();
    assert_eq!(order, ["a-shop z", "shop B", "shop b", "shop c", "shop a"]);
    assert_eq!(env.listed(&["shop"])[1].1, whole);
    assert_eq!(env.listed(&["a-shop"]).len(), 1);
    assert_eq!(env.listed(&["nobody"]).len(), 0);
    // An id from the mapper is not taken for the id of a conversation's customer.
    assert_eq!(env.listed(&["a-shop"])[0].1.contact.id, None);
}

#[test]
fn unreadable_records_and_records_without_an_id_are_archived() {
    let mut env = TestEnvironment::new();
    let odd = || {
        vec![
            lead("1", "!"),
            person(Stream::Leads, None, "Nobody"),
            person(Stream::Leads, None, "Anybody"),
            person(Stream::Leads, None, "Nobody"),
        ]
    };
    let counts = env.people(&odd());
    assert_eq!((counts.added, counts.unreadable, counts.unchanged), (3, 1, 1));
    assert_eq!((counts.received, counts.seen, counts.repeated), (4, 3, 1));
    assert_eq!(env.people(&odd()).added, 0);
    let unreadable = env.listed(&[]).remove(0).1;
    assert_eq!(unreadable.id.as_deref(), Some("1"));
    assert_eq!(serde_json::Value::Object(unreadable.extra), json!({"unreadable": "the record is no object"}));
    let issues: Vec<_> = env
        .archive
        .issues()
        .unwrap()
        .into_iter()
        .map(|issue| (issue.kind, issue.place, issue.count))
        .collect();
    let expect = [("unreadable", "leads", 1), ("missing", "leads.id", 2)];
    assert_eq!(issues, expect.map(|(kind, place, count)| (kind.to_owned(), place.to_owned(), count)));
}

#[test]
fn issues_name_the_list_and_an_unchanged_contact_has_none() {
    let mut env = TestEnvironment::new();
    env.people(&[lead("1", "Ada nickname"), lead("2", "Grace nickname"), contact("1", "Alan nickname")]);
    let again = env.people(&[lead("1", "Ada nickname")]);
    assert_eq!(again.issues, 0);
    let mut places: Vec<_> = env
        .archive
        .issues()
        .unwrap()
        .into_iter()
        .map(|issue| (issue.place, issue.count, issue.sample_conversation))
        .collect();
    places.sort();
    let expect = [("contacts.nickname", 1, "1"), ("leads.nickname", 2, "1")];
    assert_eq!(places, expect.map(|(place, count, id)| (place.to_owned(), count, id.to_owned())));
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    for table in ["contact", "raw"] {
        let mut env = TestEnvironment::new();
        env.people(&[lead("1", "Ada")]);
        env.connect()
            .execute_batch(&format!(
                "CREATE TRIGGER t BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
            ))
            .unwrap();
        let mut run = env.run_of_list("shop", Stream::Leads);
        let before = run.counts.clone();
        let batch = [lead("9", "Grace"), lead("1", "Augusta")];
        env.try_people(&mut run, &batch, &at(1)).unwrap_err();
        assert_eq!((&run.counts, env.names()), (&before, vec!["Ada".to_owned()]), "{table}");
        assert_eq!(env.count("SELECT count(*) FROM listed_contact"), 1, "{table}");
        assert_eq!(env.count("SELECT count(*) FROM record"), 1, "{table}");
        assert_eq!(env.archive.unfinished_scopes(run.source(), Stream::Leads).unwrap(), [""; 0], "{table}");
    }
}

#[test]
fn every_kind_of_damage_is_found() {
    const FIRST: &str = "WHERE version = 1 AND record_key = (SELECT record_key FROM record WHERE stream = 'leads' AND id = '1')";
    for (sql, fault) in [
        (format!("raw SET sha256 = zeroblob(32) {FIRST}"), VersionFault::Bytes(Damage::Hash)),
        (format!("raw SET size = size + 1 {FIRST}"), VersionFault::Bytes(Damage::Size)),
        (format!("raw SET zstd = x'00' {FIRST}"), VersionFault::Bytes(Damage::Compression)),
        ("contact SET name = 'x' WHERE id = '1'".to_owned(), VersionFault::Outdated),
        ("contact SET raw_version = 1 WHERE id = '1'".to_owned(), VersionFault::Outdated),
        ("contact SET extra = 'x' WHERE id = '1'".to_owned(), VersionFault::Row),
        ("contact SET stream = 'friends' WHERE id = '1'".to_owned(), VersionFault::Row),
        ("contact SET stream = 'contacts' WHERE id = '1'".to_owned(), VersionFault::Row),
    ] {
        let mut env = TestEnvironment::new();
        env.people(&[lead("1", "Ada"), lead("2", "Grace new")]);
        env.people(&[lead("1", "Augusta")]);
        let sound: Vec<_> = env.checked(Subset::WHOLE);
        assert_eq!(sound.len(), 3);
        assert!(sound.iter().all(|checked| checked.fault.is_none()), "{sound:?}");
        let of_subsets = (1..=3).map(|number| env.checked(Subset { number, of: 3 }).len()).sum::<usize>();
        assert_eq!(of_subsets, 3, "each version is in one subset");

        assert_eq!(env.connect().execute(&format!("UPDATE {sql}"), []).unwrap(), 1);
        let found: Vec<_> = env.checked(Subset::WHOLE);
        let faults: Vec<_> = found.iter().filter(|checked| checked.fault.is_some()).collect();
        assert_eq!(faults.len(), 1, "{sql}: {found:?}");
        assert_eq!((faults[0].fault, faults[0].id.as_str()), (Some(fault), "1"), "{sql}");
    }
}

#[test]
fn a_record_of_an_unknown_stream_is_a_fault() {
    let mut env = TestEnvironment::new();
    env.people(&[lead("1", "Ada"), lead("2", "Grace")]);
    env.connect().execute("UPDATE record SET stream = 'friends' WHERE id = '1'", []).unwrap();
    let faults: Vec<_> = env.checked(Subset::WHOLE).into_iter().map(|checked| checked.fault).collect();
    assert_eq!(faults, [Some(VersionFault::Row), None]);
}

/// A flipped byte in the middle of the stored bytes.
#[test]
fn a_flipped_byte_is_found() {
    let mut env = TestEnvironment::new();
    env.people(&[lead("1", "Ada who has so long a name that nothing of it is the same twice")]);
    let whole: Vec<u8> =
        env.connect().query_row("SELECT zstd FROM listed_contact", [], |row| row.get(0)).unwrap();
    for at in [whole.len() / 2, whole.len() - 1] {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x10;
        env.connect().execute("UPDATE raw SET zstd = ?1", [&spoilt]).unwrap();
        let found = env.checked(Subset::WHOLE);
        assert!(matches!(found[0].fault, Some(VersionFault::Bytes(_))), "{at}: {found:?}");
        let source = env.source("shop");
        let stored = env.archive.stored_documents(source, Stream::Leads, 0, 10).unwrap().0.remove(0);
        let error = stored.rebuild(&Names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("the archived bytes of a contact"), "{error}");
        assert!(error.to_string().ends_with("(contact=leads/1)"), "{error}");
    }
}

#[test]
fn a_contact_whose_row_has_no_bytes_is_counted() {
    for version in ["0", "3"] {
        let mut env = TestEnvironment::new();
        env.people(&[lead("1", "Ada"), contact("1", "Alan")]);
        env.people(&[lead("1", "Augusta")]);
        let source = env.source("shop");
        assert_eq!(env.archive.count_faults(source).unwrap(), Vec::<String>::new());
        let sql = format!("UPDATE contact SET raw_version = {version} WHERE stream = 'leads'");
        env.connect().execute(&sql, []).unwrap();
        let faults = env.archive.count_faults(source).unwrap();
        assert_eq!(faults, ["1 contacts lack the bytes that their row was made from"], "{sql}");
    }
    let mut env = TestEnvironment::new();
    env.people(&[lead("1", "Ada"), contact("1", "Alan")]);
    env.connect().execute("DELETE FROM contact WHERE stream = 'leads'", []).unwrap();
    let source = env.source("shop");
    assert_eq!(env.archive.count_faults(source).unwrap(), ["1 records have no row"]);
}

#[test]
fn rows_are_rebuilt_from_the_latest_bytes() {
    let mut env = TestEnvironment::new();
    env.people(&[lead("1", "Ada"), lead("2", "Grace new"), contact("3", "! no")]);
    env.people(&[lead("1", "Augusta")]);
    let mut rebuild = |mapper: &dyn Mapper| {
        let source = env.source("shop");
        let mut sum = RunCounts::default();
        for stream in LISTS {
            let mut run =
                env.archive.begin_run(source, &start_of(stream, "rebuild", "rebuild", None)).unwrap();
            let mut after = 0;
            loop {
                let (stored, last) = env.archive.stored_documents(source, stream, after, 1).unwrap();
                if stored.is_empty() {
                    break;
                }
                let rebuilt: Vec<_> =
                    stored.into_iter().map(|stored| stored.rebuild(mapper).unwrap()).collect();
                env.archive.replace_rebuilt(&mut run, &rebuilt).unwrap();
                after = last;
            }
            sum.unchanged += run.counts.unchanged;
            sum.changed += run.counts.changed;
            sum.unreadable += run.counts.unreadable;
            sum.issues += run.counts.issues;
        }
        (sum, env.names())
    };
    let (counts, names) = rebuild(&Names);
    assert_eq!((counts.unchanged, counts.changed, counts.unreadable), (3, 0, 1));
    assert_eq!(names, ["", "Augusta", "Grace"]);
    let (counts, names) = rebuild(&Capitals);
    assert_eq!((counts.unchanged, counts.changed, counts.issues), (0, 3, 1));
    assert_eq!(names, ["NO", "AUGUSTA", "GRACE"]);
    let former = versions_of(&env, "leads", "1").remove(0);
    assert_eq!(former, version_row((1, false, "Ada")), "an earlier version does not change");
}

#[test]
fn a_pull_of_contacts_is_a_run_of_its_own_and_not_the_last_pull() {
    let mut env = TestEnvironment::new();
    let pull = env.run();
    let end = |verdict, error: Option<&str>| RunEnd {
        verdict,
        reached_end: error.is_none(),
        error: error.map(str::to_owned),
        at: noon(),
    };
    env.archive.end_run(&pull, &end(Verdict::Complete, None)).unwrap();
    let swept = |env: &TestEnvironment| {
        env.archive.sweep_history(pull.source(), Stream::Conversations, crate::support::SCOPE).unwrap()
    };
    let before = swept(&env);
    let mut leads = env.run_of_list("shop", Stream::Leads);
    env.try_people(&mut leads, &[lead("1", "Ada")], &Checkpoint::None).unwrap();
    env.archive.end_run(&leads, &end(Verdict::Partial, Some("get leads: 403"))).unwrap();
    let status = env.status();
    assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("complete"));
    let last = status.last_contacts.unwrap();
    assert_eq!((last.verdict.as_deref(), last.added), (Some("partial"), 1));
    assert_eq!(last.error.as_deref(), Some("get leads: 403"));
    let streams: Vec<_> = status.streams.iter().map(|of| (of.stream, of.records)).collect();
    assert_eq!(streams, [(Stream::Conversations, 0), (Stream::Leads, 1)]);
    assert_eq!(swept(&env), before);
    assert!(before.full_began_at.is_some());
}

#[test]
fn the_latest_pulls_of_all_lists_are_reported_as_one_with_the_worse_verdict() {
    let mut env = TestEnvironment::new();
    for (stream, id, verdict, error) in [
        (Stream::Contacts, "1", Verdict::Unprovable, None),
        (Stream::Leads, "2", Verdict::Partial, Some("get leads: 403")),
    ] {
        let mut run = env.run_of_list("shop", stream);
        env.try_people(&mut run, &[person(stream, Some(id), "Ada")], &Checkpoint::None).unwrap();
        let error = error.map(str::to_owned);
        let end = RunEnd { verdict, reached_end: error.is_none(), error, at: noon() };
        env.archive.end_run(&run, &end).unwrap();
    }
    let last = env.status().last_contacts.unwrap();
    assert_eq!((last.verdict.as_deref(), last.error.as_deref()), (Some("partial"), Some("get leads: 403")));
    assert_eq!((last.added, last.received, last.seen), (2, 2, 2));
}

/// Fills the lists of a source with as many people each, of the same ids, and ends both sweeps.
fn two_lists(number: usize) -> (TestEnvironment, SourceKey) {
    let mut env = TestEnvironment::new();
    for stream in LISTS {
        let mut run = env.run_of_list("shop", stream);
        let batch: Vec<_> = (0..number).map(|id| person(stream, Some(&id.to_string()), "Ada")).collect();
        env.try_people(&mut run, &batch, &Checkpoint::End).unwrap();
    }
    let source = env.source("shop");
    (env, source)
}

/// Runs a sweep of a list that begins some seconds after noon and sees these people.
fn sweep(env: &mut TestEnvironment, stream: Stream, seconds: i64, ids: impl Iterator<Item = usize>) -> Run {
    let source = env.source("shop");
    let at = noon().shifted(seconds).unwrap();
    let begin = RunStart { at, ..start_of(stream, "pull", stream.as_str(), None) };
    let mut run = env.archive.begin_run(source, &begin).unwrap();
    let batch: Vec<_> = ids.map(|id| WriteOp::ListedUnchanged(RecordId::new(id.to_string()))).collect();
    let page = PageMetadata::default();
    env.archive.commit(&mut run, batch, &Checkpoint::End, &page, &Names, noon()).unwrap();
    env.archive.unmark_returned(&mut run).unwrap();
    run
}

#[test]
fn a_full_sweep_of_a_list_marks_contacts_only_in_that_list() {
    let (mut env, source) = two_lists(20);
    let mut conversations = env.run();
    env.try_commit(&mut conversations, vec![written("7", "one\nx")], &Checkpoint::End).unwrap();

    let later = noon().shifted(60).unwrap();
    let mut run = sweep(&mut env, Stream::Leads, 50, (0..20).filter(|id| *id != 7 && *id != 11));
    assert_eq!((run.counts.seen, run.counts.unchanged, run.counts.returned), (18, 18, 0));
    assert_eq!(mark_missing(&mut env.archive, &mut run, false, later).unwrap(), Gone::Marked(0));
    let mut run = sweep(&mut env, Stream::Leads, 70, (0..20).filter(|id| *id != 7 && *id != 11));
    let again = noon().shifted(80).unwrap();
    assert_eq!(mark_missing(&mut env.archive, &mut run, false, again).unwrap(), Gone::Marked(2));
    assert_eq!(run.counts.missing, 2);
    assert_eq!(env.missing_of(Stream::Leads), ["11", "7"]);
    assert_eq!(env.missing_of(Stream::Contacts), [""; 0]);
    assert_eq!(env.names().len(), 40, "their rows stay");
    let status = env.status();
    assert_eq!((status.contacts, status.missing), (40, 0), "no conversation is missing");
    let streams: Vec<_> = status.streams.iter().map(|of| (of.stream, of.records, of.missing)).collect();
    let expect = [(Stream::Conversations, 1, 0), (Stream::Contacts, 20, 0), (Stream::Leads, 20, 2)];
    assert_eq!(streams, expect);

    // The other list has both ids, which does not affect this list.
    let mut other = sweep(&mut env, Stream::Contacts, 90, 0..20);
    assert_eq!(other.counts.returned, 0);
    assert_eq!(mark_missing(&mut env.archive, &mut other, false, later).unwrap(), Gone::Marked(0));
    assert_eq!(env.missing_of(Stream::Leads), ["11", "7"]);

    // One of them comes back; the other one keeps the time at which it was first missed.
    let mut run = sweep(&mut env, Stream::Leads, 110, (0..20).filter(|id| *id != 7));
    assert_eq!(run.counts.returned, 1);
    let last = noon().shifted(120).unwrap();
    assert_eq!(mark_missing(&mut env.archive, &mut run, false, last).unwrap(), Gone::Marked(0));
    assert_eq!(env.missing_of(Stream::Leads), ["7"]);
    let since = env.count("SELECT missing_since FROM contact WHERE stream = 'leads' AND id = '7'");
    assert_eq!(since, u64::try_from(later.microseconds()).unwrap());

    // A full sweep of a list does not affect conversations.
    assert_eq!(all(&env.archive).len(), 1);
    assert_eq!(env.count("SELECT count(*) FROM conversation WHERE missing_since IS NOT NULL"), 0);
    assert_eq!(env.archive.count_held_before(source, None).unwrap(), 1);
}

#[test]
fn more_than_a_tenth_of_a_list_is_marked_only_if_accepted() {
    let (mut env, _) = two_lists(20);
    let mut run = sweep(&mut env, Stream::Contacts, 10, 3..20);
    // The tenth refers to the list, not to all people of the source.
    let refused = Gone::Refused { gone: 3, held: 20 };
    assert_eq!(mark_missing(&mut env.archive, &mut run, false, noon()).unwrap(), refused);
    assert_eq!((env.missing_of(Stream::Contacts).len(), run.counts.missing), (0, 0));
    let mut run = sweep(&mut env, Stream::Contacts, 20, 3..20);
    assert_eq!(mark_missing(&mut env.archive, &mut run, true, noon()).unwrap(), Gone::Marked(3));
    assert_eq!(env.missing_of(Stream::Contacts), ["0", "1", "2"]);
}

/// A record that was seen but not archived is lost: the sweep must not look complete.
#[test]
fn a_contact_that_was_seen_but_is_not_archived_is_an_error() {
    let (mut env, _) = two_lists(20);
    let mut run = sweep(&mut env, Stream::Leads, 10, 0..21);
    let error = mark_missing(&mut env.archive, &mut run, false, noon()).unwrap_err();
    assert!(error.message().contains("21 leads were seen and 20"), "{error}");
}

#[test]
fn each_stream_resumes_from_its_own_checkpoint_in_the_same_scope() {
    let mut env = TestEnvironment::new();
    let source = env.source("shop");
    let begin = |archive: &mut Archive, stream| {
        let resume = archive.resume_point(source, stream, "all").unwrap();
        archive.begin_run(source, &start_of(stream, "pull", "all", resume.as_ref())).unwrap()
    };
    let mut leads = begin(&mut env.archive, Stream::Leads);
    env.try_people(&mut leads, &[lead("1", "Ada"), lead("2", "Grace")], &at(1)).unwrap();
    let mut contacts = begin(&mut env.archive, Stream::Contacts);
    env.try_people(&mut contacts, &[contact("1", "Alan")], &at(2)).unwrap();
    let mut conversations = begin(&mut env.archive, Stream::Conversations);
    env.try_commit(&mut conversations, vec![written("1", "one")], &at(3)).unwrap();

    let path = env.path.clone();
    drop(env.archive);
    // A new process, which remembers nothing.
    env.archive = Archive::open(&path, noon()).unwrap();
    let place = |env: &TestEnvironment, stream| {
        env.archive.resume_point(source, stream, "all").unwrap().map(|resume| resume.resume_token)
    };
    assert_eq!(place(&env, Stream::Leads), Some(cursor(1)));
    assert_eq!(place(&env, Stream::Contacts), Some(cursor(2)));
    assert_eq!(place(&env, Stream::Conversations), Some(cursor(3)));
    assert_eq!(env.status().unfinished, ["all"; 3]);

    // The ids of one stream are not taken for those of another one, whichever begins first.
    let mut contacts = begin(&mut env.archive, Stream::Contacts);
    let mut leads = begin(&mut env.archive, Stream::Leads);
    assert_eq!((contacts.counts.seen, leads.counts.seen), (1, 2));
    env.try_people(&mut contacts, &[contact("2", "Edsger"), contact("1", "Alan")], &Checkpoint::End).unwrap();
    assert_eq!((contacts.counts.seen, contacts.counts.repeated), (2, 1));
    assert_eq!(mark_missing(&mut env.archive, &mut contacts, false, noon()).unwrap(), Gone::Marked(0));
    assert_eq!(place(&env, Stream::Contacts), None);
    assert_eq!(place(&env, Stream::Leads), Some(cursor(1)));
    assert_eq!(env.count("SELECT count(*) FROM sighting WHERE stream = 'contacts'"), 0);
    assert_eq!(env.count("SELECT count(*) FROM sighting WHERE stream = 'leads'"), 1);
    env.try_people(&mut leads, &[lead("2", "Grace"), lead("3", "Barbara")], &Checkpoint::End).unwrap();
    assert_eq!((leads.counts.seen, leads.counts.repeated, leads.counts.added), (3, 1, 1));
    assert_eq!(mark_missing(&mut env.archive, &mut leads, false, noon()).unwrap(), Gone::Marked(0));

    env.archive.delete_checkpoint(source, Stream::Leads, "all").unwrap();
    assert_eq!(place(&env, Stream::Conversations), Some(cursor(3)));
    assert_eq!(env.count("SELECT count(*) FROM sighting WHERE stream = 'conversations'"), 1);
}

#[test]
fn the_latest_sweeps_are_those_of_one_stream() {
    let mut env = TestEnvironment::new();
    let source = env.source("shop");
    let leads = env.archive.begin_run(source, &start_of(Stream::Leads, "pull", "all", None)).unwrap();
    let end = RunEnd { verdict: Verdict::Unprovable, reached_end: true, error: None, at: noon() };
    env.archive.end_run(&leads, &end).unwrap();
    let full = |stream| env.archive.sweep_history(source, stream, "all").unwrap().full_began_at;
    assert_eq!(full(Stream::Leads), Some(noon()));
    assert_eq!((full(Stream::Contacts), full(Stream::Conversations)), (None, None));
}

#[test]
fn streams_of_one_source_do_not_share_ids() {
    let mut env = TestEnvironment::new();
    env.people(&[lead("1", "Ada")]);
    let mut run = env.run();
    env.commit(&mut run, vec![written("2", "two\nx")]);
    let source = env.source("shop");
    let ids = ["1", "2"].map(RecordId::new);
    let held = |stream| {
        let held = env.archive.held_summaries(source, stream, &ids).unwrap();
        held.into_iter().map(|held: Option<HeldSummary>| held.and_then(|held| held.title)).collect::<Vec<_>>()
    };
    assert_eq!(held(Stream::Leads), [Some("Ada".to_owned()), None]);
    assert_eq!(held(Stream::Contacts), [None, None]);
    assert_eq!(held(Stream::Conversations), [None, Some("two".to_owned())]);
    assert_eq!(held(Stream::Messages), [None, None]);

    let alike = |stream, id: &str, text: &str| {
        HashedDocument::new(record(stream, None, Some(id), Surface::Export, text), Vec::new())
    };
    assert!(env.holds(source, &alike(Stream::Leads, "1", "Ada")));
    assert!(!env.holds(source, &alike(Stream::Contacts, "1", "Ada")));
    assert!(!env.holds(source, &alike(Stream::Conversations, "1", "Ada")));

    // The same id with the same bytes in three streams is three documents.
    assert_eq!(env.people(&[contact("1", "Ada")]).added, 1);
    let mut run = env.archive.begin_run(source, &start("pull", "all", None)).unwrap();
    env.commit(&mut run, vec![written("1", "Ada")]);
    assert_eq!((run.counts.added, run.counts.unchanged), (1, 0));
    assert_eq!(env.names(), ["Ada", "Ada"]);
    assert_eq!(all(&env.archive).len(), 2);
    let stored = |stream| env.archive.stored_documents(source, stream, 0, 10).unwrap().0.len();
    assert_eq!(Stream::ALL.iter().map(|stream| stored(*stream)).collect::<Vec<_>>(), [2, 1, 1, 0, 0]);
    let conversations = env.archive.stored_documents(source, Stream::Conversations, 0, 10).unwrap().0;
    assert!(conversations.into_iter().all(|stored| stored.rebuild(&Lines).is_ok()));
}

/// A version of a person: its number, whether the row shows it, and the bytes.
type VersionRow = (i64, bool, String);

fn version_row((version, is_latest, bytes): (i64, bool, &str)) -> VersionRow {
    (version, is_latest, bytes.to_owned())
}

/// Returns the versions of a person, in their order.
fn versions_of(env: &TestEnvironment, list: &str, id: &str) -> Vec<VersionRow> {
    let connection = env.connect();
    let sql = "SELECT version, is_latest, zstd, size FROM listed_contact WHERE list = ?1 AND id = ?2 ORDER BY version";
    let mut statement = connection.prepare(sql).unwrap();
    let versions = statement.query_map([list, id], |row| {
        let (packed, size): (Vec<u8>, u32) = (row.get(2)?, row.get(3)?);
        let bytes = zstd::bulk::decompress(&packed, size as usize).unwrap();
        Ok((row.get(0)?, row.get(1)?, String::from_utf8(bytes).unwrap()))
    });
    versions.unwrap().map(std::result::Result::unwrap).collect()
}
