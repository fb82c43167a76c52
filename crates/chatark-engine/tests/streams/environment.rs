//! Blocking work in one thread gives the same archive as in many.

use std::collections::BTreeMap;
use std::path::Path;

use chatark_core::{ChangeDetection, Descriptor, Stream, StreamDescriptor};
use chatark_engine::Workers;
use rusqlite::Connection;

use crate::support::{PLAIN, Step, TestEnvironment, Vendor, conversation, message, people, stream};
use Stream::{Contacts, Conversations, Leads, Messages};

static OF_ALL_KINDS: Descriptor = Descriptor {
    streams: &[
        stream(Conversations, ChangeDetection::LookBack, false),
        StreamDescriptor {
            stream: Messages,
            parent: Some(Conversations),
            reports_total: false,
            changes: ChangeDetection::Unsupported,
        },
        stream(Contacts, ChangeDetection::Unsupported, false),
        stream(Leads, ChangeDetection::Unsupported, false),
    ],
    ..PLAIN
};

/// A vendor in one of two states.
fn vendor(state: usize) -> Vendor {
    let given = |stream, records| Step::Gives(stream, records, None);
    let conversations = |page: usize| {
        let of_page = (page * 20..page * 20 + 20).skip(state);
        of_page.map(|id| conversation(&format!("c{id}"), &format!("Title {}", id * state))).collect()
    };
    let messages = |page: usize| {
        let of_page = page * 20..page * 20 + 20 + state;
        of_page.map(|id| message(&format!("c{}", id % 97), &format!("m{id}"), "Hello")).collect()
    };
    let mut steps: Vec<_> = (0..12).map(|page| given(Conversations, conversations(page))).collect();
    steps.extend((0..12).map(|page| given(Messages, messages(page))));
    steps.extend([people(Contacts, &["Ada", "Odd"]), people(Contacts, &["Ada"]), people(Leads, &["Grace"])]);
    Vendor::new(&OF_ALL_KINDS, steps)
}

async fn pulled(workers: Workers) -> TestEnvironment {
    let env = TestEnvironment::with_workers(workers);
    for state in [0, 1] {
        let (outcome, _) = env.pull_from(vendor(state)).await;
        assert!(outcome.is_good(), "{outcome:?}");
        env.wait(7);
    }
    env
}

/// Returns every row of every table, without the random name of the archive.
fn rows(path: &Path, left_out: &[&str]) -> BTreeMap<String, Vec<String>> {
    let database = Connection::open(path).unwrap();
    let mut tables =
        database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let of_table = |table: String| {
        let mut statement = database.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let names: Vec<_> = statement.column_names().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row<'_>| {
            let kept = names.iter().enumerate().filter(|(_, name)| !left_out.contains(&name.as_str()));
            let cells: Vec<_> =
                kept.map(|(at, name)| format!("{name}={:?}", row.get_ref(at).unwrap())).collect();
            Ok(cells.join(" "))
        };
        let found = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        (table, found)
    };
    tables.into_iter().map(of_table).collect()
}

#[track_caller]
fn check_same(one: &TestEnvironment, other: &TestEnvironment, left_out: &[&str]) {
    let (one, other) = (rows(&one.path, left_out), rows(&other.path, left_out));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (table, rows) in &one {
        assert_eq!(rows, &other[table], "{table}");
    }
    assert_eq!((one["conversation"].len(), one["contact"].len()), (240, 3));
    assert!(one["message"].len() > 200 && one["run"].len() == 8 && one["raw"].len() > 480);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thread_gives_the_same_archive_as_many() {
    let (inline, threads) = (pulled(Workers::Inline).await, pulled(Workers::Threads).await);
    // The number of batches in a transaction depends on timing, and with it the number of changes.
    check_same(&inline, &threads, &["archive_id", "changes", "change"]);
    assert_eq!((inline.notes(), inline.transcripts()), (threads.notes(), threads.transcripts()));
}

#[tokio::test]
async fn one_thread_gives_the_same_archive_each_time() {
    let (first, second) = (pulled(Workers::Inline).await, pulled(Workers::Inline).await);
    check_same(&first, &second, &["archive_id"]);
    assert_eq!(first.notes(), second.notes());
}
