//! The ledger of migrations.

use chatark_archive::{Archive, Filter, Transfer, TransferState};
use chatark_core::{ConversationId, DataKind, SourceName};

use crate::support::{House, noon, written};

fn transfer(mark: &str, state: TransferState, target_id: Option<&str>) -> Transfer {
    Transfer {
        mark: mark.to_owned(),
        sign: format!("sign of {mark}"),
        state,
        target_id: target_id.map(str::to_owned),
        origin: Some((SourceName::new("shop").unwrap(), ConversationId::new(mark))),
        messages: 3,
        digest: [7; 32],
        error: None,
        changed_at: Some(noon()),
    }
}

#[test]
fn a_transfer_is_found_by_mark_sign_and_id_of_its_target_alone() {
    let mut house = House::new();
    let archive = &mut house.archive;
    let created = transfer("a", TransferState::Created, Some("t-1"));
    let refused = Transfer {
        origin: None,
        error: Some("400 Bad Request".to_owned()),
        ..transfer("b", TransferState::Refused, None)
    };
    archive.keep_transfers("x 1", DataKind::History, &[created.clone(), refused.clone()]).unwrap();
    archive.keep_transfers("x 2", DataKind::History, &[transfer("a", TransferState::Done, None)]).unwrap();

    let history = DataKind::History;
    assert_eq!(archive.transfer("x 1", history, "a").unwrap(), Some(created.clone()));
    assert_eq!(archive.transfer_by_sign("x 1", history, "sign of b").unwrap(), Some(refused));
    assert_eq!(archive.transfer_by_id("x 1", history, "t-1").unwrap(), Some(created));
    assert_eq!(archive.transfer("x 1", DataKind::Contacts, "a").unwrap(), None);
    assert_eq!(archive.transfer_by_id("x 2", history, "t-1").unwrap(), None);
    assert_eq!(archive.transfer("x 3", history, "a").unwrap(), None);
}

#[test]
fn a_transfer_has_one_row_however_far_it_comes() {
    let mut house = House::new();
    let archive = &mut house.archive;
    for (state, id) in [
        (TransferState::Intended, None),
        (TransferState::Created, Some("t-1")),
        (TransferState::Done, Some("t-1")),
    ] {
        archive.keep_transfers("x 1", DataKind::Knowledge, &[transfer("a", state, id)]).unwrap();
    }
    let mut rows = Vec::new();
    let reader = Archive::open_to_read(&house.path).unwrap();
    reader
        .each_transfer(|target, cargo, transfer| {
            rows.push((target.to_owned(), cargo, transfer.clone()));
            Ok(())
        })
        .unwrap();
    let archive = &house.archive;
    let expect = transfer("a", TransferState::Done, Some("t-1"));
    assert_eq!(rows, [("x 1".to_owned(), DataKind::Knowledge, expect)]);
    assert_eq!(archive.count_transfers("x 1", DataKind::Knowledge, TransferState::Done).unwrap(), 1);
    assert_eq!(archive.count_transfers("x 1", DataKind::Knowledge, TransferState::Created).unwrap(), 0);
}

/// Whoever carries conversations elsewhere reads for hours and writes all the while.
#[test]
fn a_slow_reader_does_not_keep_the_log_from_being_emptied() {
    let mut house = House::new();
    let mut run = house.run();
    let batch = (0..200).map(|number| written(&format!("c{number:03}"), "one\ntwo")).collect();
    house.commit(&mut run, batch);
    let reader = Archive::open_to_read(&house.path).unwrap();
    let (mut snapshot, mut by_itself) = (Vec::new(), Vec::new());
    reader
        .each(&Filter::default(), |found| {
            snapshot.push(found.clone());
            Ok(())
        })
        .unwrap();
    let log = house.path.with_extension("db-wal");
    let mut largest = 0;
    reader
        .each_by_itself(&Filter::default(), |found| {
            by_itself.push(found.clone());
            for number in 0..10 {
                let mark = format!("{} {number}", found.conversation.id);
                let row = transfer(&mark, TransferState::Done, Some(&mark));
                house.archive.keep_transfers("x 1", DataKind::History, &[row])?;
            }
            largest = largest.max(std::fs::metadata(&log).map_or(0, |log| log.len()));
            Ok(())
        })
        .unwrap();
    assert_eq!(by_itself, snapshot);
    assert_eq!(house.archive.count_transfers("x 1", DataKind::History, TransferState::Done).unwrap(), 2_000);
    // Two thousand commits of three pages or more would be a hundred megabytes.
    assert!(largest < 40_000_000, "the log grew to {largest} bytes");
}
