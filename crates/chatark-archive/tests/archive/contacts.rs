//! People whom a vendor lists apart from conversations.

use bytes::Bytes;
use chatark_archive::{CheckedContact, Damage, Fault, Part, PreparedContact, Run, RunEnd, Verdict};
use chatark_core::{
    Contact, ContactList, Error, ErrorKind, Issue, IssueKind, ListedContact, PageMetadata, RawContact,
    Result, SourceName, Timestamp,
};
use serde_json::json;

use crate::support::{House, noon, start};

type Mapper = fn(ContactList, &[u8]) -> Result<(ListedContact, Vec<Issue>)>;

/// A mapper whose vendor sends a name, and after it words that nobody knows; `!` cannot be read.
fn mapped(list: ContactList, raw: &[u8]) -> Result<(ListedContact, Vec<Issue>)> {
    let text = std::str::from_utf8(raw).unwrap();
    if text.starts_with('!') {
        return Err(Error::new(ErrorKind::Malformed, "read a record", "the record is no object"));
    }
    let mut words = text.split(' ');
    let mut listed =
        ListedContact { external_id: Some(list.as_str().to_uppercase()), ..ListedContact::default() };
    listed.contact.name = words.next().map(str::to_owned);
    listed.contact.id = Some("not this one".to_owned());
    let mut issues = Vec::new();
    for word in words {
        listed.extra.insert(word.to_owned(), json!({"word": word}));
        issues.push(Issue::new(IssueKind::UnknownField, word));
    }
    Ok((listed, issues))
}

fn person(list: ContactList, id: Option<&str>, text: &str) -> PreparedContact {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    PreparedContact::new(&RawContact { list, id: id.map(str::to_owned), bytes }, mapped).unwrap()
}

fn lead(id: &str, text: &str) -> PreparedContact {
    person(ContactList::Leads, Some(id), text)
}

fn contact(id: &str, text: &str) -> PreparedContact {
    person(ContactList::Contacts, Some(id), text)
}

impl House {
    fn run_of_contacts(&mut self, source: &str) -> Run {
        let source = self.source(source);
        self.archive.begin_run(source, &start("contacts", "contacts", None)).unwrap()
    }

    /// Writes people of the source `shop`, in a run of their own.
    fn people(&mut self, batch: &[PreparedContact]) -> Run {
        let mut run = self.run_of_contacts("shop");
        self.archive.commit_contacts(&mut run, batch, &PageMetadata::default(), noon()).unwrap();
        run
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

    fn checked(&mut self, part: Part) -> Vec<CheckedContact> {
        let source = self.source("shop");
        let (mut checked, mut after) = (Vec::new(), 0);
        loop {
            let (page, last) = self.archive.contact_versions(source, part, after, 2).unwrap();
            if page.is_empty() {
                return checked;
            }
            checked.extend(page.into_iter().map(|stored| stored.check(Some(mapped))));
            after = last;
        }
    }
}

#[test]
fn who_is_held_with_the_same_bytes_is_not_written_and_other_bytes_are_a_version() {
    let mut house = House::new();
    let first = house.people(&[lead("1", "Ada"), lead("2", "Grace new")]);
    assert_eq!((first.progress.added, first.progress.seen, first.progress.issues), (2, 2, 1));
    let before = house.listed(&[]);

    let again = house.people(&[lead("1", "Ada"), lead("2", "Grace new")]);
    assert_eq!((again.progress.unchanged, again.progress.added, again.progress.issues), (2, 0, 0));
    assert_eq!(house.count("SELECT count(*) FROM listed_contact"), 2);
    assert_eq!(house.listed(&[]), before);

    let changed = house.people(&[lead("1", "Augusta"), lead("2", "Grace new"), contact("1", "Alan")]);
    let progress = &changed.progress;
    assert_eq!((progress.changed, progress.unchanged, progress.added, progress.seen), (1, 1, 1, 3));
    assert_eq!(house.names(), ["Alan", "Augusta", "Grace"]);
    let versions = "SELECT group_concat(version || ' ' || is_latest || ' ' || name, ', ') FROM
        (SELECT * FROM listed_contact WHERE list = 'leads' AND id = '1' ORDER BY version)";
    let told: String = house.beside().query_row(versions, [], |row| row.get(0)).unwrap();
    assert_eq!(told, "1 0 Ada, 2 1 Augusta");
    // The bytes of every version are there as they were sent.
    assert_eq!(house.count("SELECT sum(size) FROM listed_contact"), 3 + 7 + 9 + 4);

    // What changes back is a third version, since that is what happened.
    assert_eq!(house.people(&[lead("1", "Ada")]).progress.changed, 1);
    assert_eq!(house.count("SELECT max(version) FROM listed_contact"), 3);
    assert_eq!(house.names(), ["Alan", "Ada", "Grace"]);
    assert_eq!(house.archive.status().unwrap()[0].contacts, 3);
}

#[test]
fn people_come_back_as_they_were_understood_in_order() {
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
    let raw = RawContact {
        list: ContactList::Contacts,
        id: whole.id.clone(),
        bytes: Bytes::from_static(b"whatever it was"),
    };
    let prepared = PreparedContact::new(&raw, |_, _| Ok((whole.clone(), Vec::new()))).unwrap();

    let mut house = House::new();
    house.people(&[lead("a", "Zoe"), contact("c", "Bea"), prepared, contact("B", "Abe")]);
    let mut run = house.run_of_contacts("a-shop");
    house.archive.commit_contacts(&mut run, &[lead("z", "Eve")], &PageMetadata::default(), noon()).unwrap();

    let told: Vec<_> = house
        .listed(&[])
        .into_iter()
        .map(|(source, listed)| format!("{source} {}", listed.id.unwrap()))
        .collect();
    assert_eq!(told, ["a-shop z", "shop B", "shop b", "shop c", "shop a"]);
    assert_eq!(house.listed(&["shop"])[1].1, whole);
    assert_eq!(house.listed(&["a-shop"]).len(), 1);
    assert_eq!(house.listed(&["nobody"]).len(), 0);
    // An id that the mapper gives is not taken for that of a conversation's customer.
    assert_eq!(house.listed(&["a-shop"])[0].1.contact.id, None);
}

#[test]
fn what_cannot_be_read_or_has_no_id_is_archived_all_the_same() {
    let mut house = House::new();
    let odd = || {
        vec![
            lead("1", "!"),
            person(ContactList::Leads, None, "Nobody"),
            person(ContactList::Leads, None, "Anybody"),
            person(ContactList::Leads, None, "Nobody"),
        ]
    };
    let run = house.people(&odd());
    let progress = &run.progress;
    assert_eq!((progress.added, progress.unreadable, progress.unchanged), (3, 1, 1));
    assert_eq!((progress.received, progress.seen, progress.repeated), (4, 3, 1));
    assert_eq!(house.people(&odd()).progress.added, 0);
    let unreadable = house.listed(&[]).remove(0).1;
    assert_eq!(unreadable.id.as_deref(), Some("1"));
    assert_eq!(serde_json::Value::Object(unreadable.extra), json!({"unreadable": "the record is no object"}));
    let issues: Vec<_> = house
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
fn issues_name_the_list_and_an_unchanged_person_has_none() {
    let mut house = House::new();
    house.people(&[lead("1", "Ada nickname"), lead("2", "Grace nickname"), contact("1", "Alan nickname")]);
    let run = house.people(&[lead("1", "Ada nickname")]);
    assert_eq!(run.progress.issues, 0);
    let mut places: Vec<_> = house
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
    let mut house = House::new();
    house.people(&[lead("1", "Ada")]);
    house
        .beside()
        .execute_batch("CREATE TRIGGER t BEFORE INSERT ON listed_contact WHEN new.id = '9' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let mut run = house.run_of_contacts("shop");
    let before = run.progress.clone();
    let batch = [lead("1", "Augusta"), lead("9", "Grace")];
    house.archive.commit_contacts(&mut run, &batch, &PageMetadata::default(), noon()).unwrap_err();
    assert_eq!((run.progress, house.names()), (before, vec!["Ada".to_owned()]));
    assert_eq!(house.count("SELECT count(*) FROM listed_contact WHERE is_latest = 1"), 1);
}

#[test]
fn whatever_is_spoilt_is_found() {
    for (sql, fault) in [
        ("sha256 = zeroblob(32) WHERE id = '1' AND version = 1", Fault::Bytes(Damage::Hash)),
        ("size = size + 1 WHERE id = '1' AND version = 1", Fault::Bytes(Damage::Size)),
        ("zstd = x'00' WHERE id = '1' AND version = 1", Fault::Bytes(Damage::Compression)),
        ("name = 'x' WHERE id = '1' AND version = 2", Fault::Outdated),
        ("extra = 'x' WHERE id = '1' AND version = 2", Fault::Row),
        ("list = 'friends' WHERE id = '1' AND version = 2", Fault::Row),
    ] {
        let mut house = House::new();
        house.people(&[lead("1", "Ada"), lead("2", "Grace new")]);
        house.people(&[lead("1", "Augusta")]);
        let sound: Vec<_> = house.checked(Part::WHOLE);
        assert_eq!(sound.len(), 3);
        assert!(sound.iter().all(|checked| checked.fault.is_none()), "{sound:?}");
        let of_parts = (1..=3).map(|number| house.checked(Part { number, of: 3 }).len()).sum::<usize>();
        assert_eq!(of_parts, 3, "each version is in one part");

        assert_eq!(house.beside().execute(&format!("UPDATE listed_contact SET {sql}"), []).unwrap(), 1);
        let found: Vec<_> = house.checked(Part::WHOLE);
        let faults: Vec<_> = found.iter().filter(|checked| checked.fault.is_some()).collect();
        assert_eq!(faults.len(), 1, "{sql}: {found:?}");
        assert_eq!((faults[0].fault, faults[0].id.as_str()), (Some(fault), "1"), "{sql}");
    }
}

/// A byte that flipped in the middle of what is stored.
#[test]
fn a_flipped_byte_is_found() {
    let mut house = House::new();
    house.people(&[lead("1", "Ada who has so long a name that nothing of it is the same twice")]);
    let whole: Vec<u8> =
        house.beside().query_row("SELECT zstd FROM listed_contact", [], |row| row.get(0)).unwrap();
    for at in [whole.len() / 2, whole.len() - 1] {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x10;
        house.beside().execute("UPDATE listed_contact SET zstd = ?1", [&spoilt]).unwrap();
        let found = house.checked(Part::WHOLE);
        assert!(matches!(found[0].fault, Some(Fault::Bytes(_))), "{at}: {found:?}");
        let source = house.source("shop");
        let stored = house.archive.stored_contacts(source, 0, 10).unwrap().0.remove(0);
        let error = stored.normalize(mapped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("the archived bytes of a contact"), "{error}");
        assert!(error.to_string().ends_with("(contact=leads/1)"), "{error}");
    }
}

#[test]
fn a_person_who_does_not_show_the_latest_version_is_counted() {
    for is_latest in ["0", "1", "2 - version"] {
        let mut house = House::new();
        house.people(&[lead("1", "Ada"), contact("1", "Alan")]);
        house.people(&[lead("1", "Augusta")]);
        let source = house.source("shop");
        assert_eq!(house.archive.counts(source).unwrap(), Vec::<String>::new());
        let sql = format!("UPDATE listed_contact SET is_latest = {is_latest} WHERE list = 'leads'");
        house.beside().execute(&sql, []).unwrap();
        let faults = house.archive.counts(source).unwrap();
        assert_eq!(faults, ["1 contacts do not show their latest version, and it alone"], "{sql}");
    }
}

#[test]
fn rows_are_made_anew_from_the_latest_bytes() {
    let mut house = House::new();
    house.people(&[lead("1", "Ada"), lead("2", "Grace new"), contact("3", "! no")]);
    house.people(&[lead("1", "Augusta")]);
    let mut other = |mapper: Mapper| {
        let source = house.source("shop");
        let mut run = house.archive.begin_run(source, &start("rebuild", "contacts", None)).unwrap();
        let mut after = 0;
        loop {
            let (stored, last) = house.archive.stored_contacts(source, after, 2).unwrap();
            if stored.is_empty() {
                break (run.progress, house.names());
            }
            let rebuilt: Vec<_> =
                stored.into_iter().map(|stored| stored.normalize(mapper).unwrap()).collect();
            house.archive.replace_contacts(&mut run, &rebuilt).unwrap();
            after = last;
        }
    };
    let (progress, names) = other(mapped);
    assert_eq!((progress.unchanged, progress.changed, progress.unreadable), (3, 0, 1));
    assert_eq!(names, ["", "Augusta", "Grace"]);
    let (progress, names) = other(|list, raw| {
        let text = std::str::from_utf8(raw).unwrap();
        let (mut listed, issues) = mapped(list, text.trim_start_matches("! ").as_bytes())?;
        listed.contact.name = listed.contact.name.map(|name| name.to_uppercase());
        Ok((listed, issues))
    });
    assert_eq!((progress.unchanged, progress.changed, progress.issues), (0, 3, 1));
    assert_eq!(names, ["NO", "AUGUSTA", "GRACE"]);
    let former: String = house
        .beside()
        .query_row("SELECT name FROM listed_contact WHERE is_latest = 0", [], |row| row.get(0))
        .unwrap();
    assert_eq!(former, "Ada", "a former version is left as it is");
}

#[test]
fn a_pull_of_contacts_is_a_run_of_its_own_and_not_the_last_pull() {
    let mut house = House::new();
    let pull = house.run();
    let end = |verdict, error: Option<&str>| RunEnd { verdict, error: error.map(str::to_owned), at: noon() };
    house.archive.end_run(&pull, &end(Verdict::Complete, None)).unwrap();
    let swept = house.archive.swept(pull.source(), crate::support::SCOPE).unwrap();
    let contacts = house.people(&[lead("1", "Ada")]);
    house.archive.end_run(&contacts, &end(Verdict::Partial, Some("get leads: 403"))).unwrap();
    let status = house.status();
    assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("complete"));
    let last = status.last_contacts.unwrap();
    assert_eq!((last.verdict.as_deref(), last.added), (Some("partial"), 1));
    assert_eq!(last.error.as_deref(), Some("get leads: 403"));
    assert_eq!(house.archive.swept(pull.source(), crate::support::SCOPE).unwrap(), swept);
    assert!(swept.full.is_some());
}
