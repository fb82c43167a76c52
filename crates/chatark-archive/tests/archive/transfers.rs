//! The ledger of migrations.

use chatark_archive::{Archive, Filter, Transfer, TransferState};
use chatark_core::{ConversationId, SourceName};

use crate::support::{TestEnvironment, noon, written};

const HISTORY: &str = "history";

fn transfer(key: &str, state: TransferState, target_id: Option<&str>) -> Transfer {
    Transfer {
        idempotency_key: key.to_owned(),
        external_id: format!("external id of {key}"),
        state,
        target_id: target_id.map(str::to_owned),
        origin: Some((SourceName::new("shop").unwrap(), ConversationId::new(key))),
        messages: 3,
        digest: [7; 32],
        error: None,
        changed_at: Some(noon()),
    }
}

#[test]
fn a_transfer_is_found_by_each_of_its_keys_within_its_target_and_kind() {
    let mut env = TestEnvironment::new();
    let archive = &mut env.archive;
    let created = transfer("a", TransferState::Created, Some("t-1"));
    let refused = Transfer {
        origin: None,
        error: Some("400 Bad Request".to_owned()),
        ..transfer("b", TransferState::Refused, None)
    };
    archive.save_transfers("x 1", HISTORY, &[created.clone(), refused.clone()]).unwrap();
    archive.save_transfers("x 2", HISTORY, &[transfer("a", TransferState::Done, None)]).unwrap();

    assert_eq!(archive.transfer("x 1", HISTORY, "a").unwrap(), Some(created.clone()));
    assert_eq!(archive.transfer_by_external_id("x 1", HISTORY, "external id of b").unwrap(), Some(refused));
    assert_eq!(archive.transfer_by_target_id("x 1", HISTORY, "t-1").unwrap(), Some(created));
    assert_eq!(archive.transfer("x 1", "contacts", "a").unwrap(), None);
    assert_eq!(archive.transfer_by_target_id("x 2", HISTORY, "t-1").unwrap(), None);
    assert_eq!(archive.transfer("x 3", HISTORY, "a").unwrap(), None);
}

#[test]
fn saving_a_transfer_keeps_columns_of_later_versions() {
    let mut env = TestEnvironment::new();
    env.archive.save_transfers("x 1", HISTORY, &[transfer("a", TransferState::Created, None)]).unwrap();
    let connection = env.connect();
    connection.execute("UPDATE transfer SET adopted = 1, updated_at = 5", []).unwrap();
    let done = transfer("a", TransferState::Done, Some("t-1"));
    env.archive.save_transfers("x 1", HISTORY, std::slice::from_ref(&done)).unwrap();
    assert_eq!(env.archive.transfer("x 1", HISTORY, "a").unwrap(), Some(done));
    assert_eq!(env.count("SELECT count(*) FROM transfer WHERE adopted = 1 AND updated_at = 5"), 1);
}

#[test]
fn a_transfer_has_one_row_in_all_its_states() {
    let mut env = TestEnvironment::new();
    let archive = &mut env.archive;
    for (state, id) in [
        (TransferState::Intended, None),
        (TransferState::Created, Some("t-1")),
        (TransferState::Done, Some("t-1")),
    ] {
        archive.save_transfers("x 1", "knowledge", &[transfer("a", state, id)]).unwrap();
    }
    let mut rows = Vec::new();
    let reader = Archive::open_to_read(&env.path).unwrap();
    reader
        .each_transfer(|target, kind, transfer| {
            rows.push((target.to_owned(), kind.to_owned(), transfer.clone()));
            Ok(())
        })
        .unwrap();
    let archive = &env.archive;
    let expect = transfer("a", TransferState::Done, Some("t-1"));
    assert_eq!(rows, [("x 1".to_owned(), "knowledge".to_owned(), expect)]);
    assert_eq!(archive.count_transfers("x 1", "knowledge", TransferState::Done).unwrap(), 1);
    assert_eq!(archive.count_transfers("x 1", "knowledge", TransferState::Created).unwrap(), 0);
}

/// A migration reads for hours and writes all the time.
#[test]
fn the_log_stays_small_during_a_slow_read() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let batch = (0..200).map(|number| written(&format!("c{number:03}"), "one\ntwo")).collect();
    env.commit(&mut run, batch);
    let reader = Archive::open_to_read(&env.path).unwrap();
    let (mut snapshot, mut by_itself) = (Vec::new(), Vec::new());
    reader
        .each_conversation(&Filter::default(), |found| {
            snapshot.push(found.clone());
            Ok(())
        })
        .unwrap();
    let log = env.path.with_extension("db-wal");
    let mut largest = 0;
    reader
        .each_conversation_in_short_transactions(&Filter::default(), |found| {
            by_itself.push(found.clone());
            for number in 0..10 {
                let key = format!("{} {number}", found.conversation.id);
                let row = transfer(&key, TransferState::Done, Some(&key));
                env.archive.save_transfers("x 1", HISTORY, &[row])?;
            }
            largest = largest.max(std::fs::metadata(&log).map_or(0, |log| log.len()));
            Ok(())
        })
        .unwrap();
    assert_eq!(by_itself, snapshot);
    assert_eq!(env.archive.count_transfers("x 1", HISTORY, TransferState::Done).unwrap(), 2_000);
    // Two thousand commits of three pages or more would be a hundred megabytes.
    assert!(largest < 40_000_000, "the log grew to {largest} bytes");
}
