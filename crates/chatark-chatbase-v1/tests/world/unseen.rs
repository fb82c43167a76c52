//! The search for conversations that a sweep did not list.

use std::collections::BTreeSet;

use chatark_core::{ErrorKind, RecordId, UnseenRecord};

use crate::vendor::{DAY, Dates, End, Fault, Vendor, World, began, ids, world};

fn unseen(world: &World, wanted: &[u32]) -> Vec<UnseenRecord> {
    let record =
        |id: &u32| UnseenRecord { id: RecordId::new(id.to_string()), created_at: Some(began(world, *id)) };
    wanted.iter().map(record).collect()
}

/// Returns which of the conversations are there by the search, without others of their days, and what it asked.
async fn found(world: World, wanted: &[u32]) -> (BTreeSet<u32>, Vec<String>) {
    let unseen = unseen(&world, wanted);
    let vendor = Vendor::new(world);
    let found = vendor.provider().find_unseen(&unseen).await.unwrap();
    let records = found.records.into_iter().filter_map(|record| record.id);
    let ids = records.chain(found.unchanged).map(|id| id.as_str().parse().unwrap());
    (ids.filter(|id| wanted.contains(id)).collect(), vendor.asked())
}

#[tokio::test]
async fn what_is_there_on_its_day_is_found_and_what_is_gone_is_not() {
    for hours_ahead in [-11, 0, 13] {
        for includes_end in [true, false] {
            for end in [End::Empty, End::Status(404), End::Clamped] {
                let world = World { dates: Dates::Taken { hours_ahead, includes_end }, end, ..world(400) };
                // 9001 to 9003 began within days that others began on; 700 on a day without any.
                let mut wanted = vec![30, 31, 200, 399];
                let mut gone = world.clone();
                gone.rows.retain(|id| ![100, 101, 300].contains(id));
                wanted.extend([100, 101, 300, 700]);
                let (there, asked) = found(gone, &wanted).await;
                let context = format!("{hours_ahead} {includes_end} {end:?} {asked:?}");
                assert_eq!(there, ids([30, 31, 200, 399]), "{context}");
                // Where every later page is the last one, single rows show that it is.
                let most = if end == End::Clamped { 70 } else { 30 };
                assert!(asked.len() <= most, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn a_day_of_several_pages_is_read_to_its_end_even_while_rows_are_deleted() {
    let spacing = DAY / 500;
    let world = World { spacing, ..world(2_000) };
    let (there, asked) = found(world.clone(), &[1_490]).await;
    assert_eq!(there, ids([1_490]));
    assert!(asked.iter().all(|query| query.contains("Date=")), "{asked:?}");
    // A deletion in front of the reader moves the row to a page that was read already.
    for at in 1..8 {
        let changes = (0..40).map(|_| (at, crate::vendor::Change::Delete(1_050))).collect();
        let wanted = 1_401 + u32::try_from(at).unwrap();
        let (there, _) = found(World { changes, ..world.clone() }, &[wanted]).await;
        assert_eq!(there, ids([wanted]), "{at}");
    }
}

#[tokio::test]
async fn others_of_the_same_days_are_returned_too() {
    let world = world(400);
    let found = Vendor::new(world.clone()).provider().find_unseen(&unseen(&world, &[30])).await.unwrap();
    let ids: BTreeSet<_> = found.records.iter().map(|record| record.id.clone().unwrap()).collect();
    assert!(ids.contains(&RecordId::new("30")) && ids.contains(&RecordId::new("31")), "{ids:?}");
    assert_eq!(ids.len(), found.records.len());
}

#[tokio::test]
async fn what_cannot_be_asked_for_counts_as_there() {
    for world in [
        World { dates: Dates::Refused, ..world(400) },
        World { dates: Dates::Ignored, ..world(400) },
        World { dead: ids([100]), fault: Fault::Status(500), ..world(400) },
        World { down_from: 0, ..world(400) },
    ] {
        let (there, asked) = found(world.clone(), &[100, 9_000]).await;
        assert!(there.contains(&100), "{world:?}");
        assert!(asked.len() <= 12, "{asked:?}");
    }
    let undated = UnseenRecord { id: RecordId::new("x"), created_at: None };
    let there = Vendor::new(world(400)).provider().find_unseen(std::slice::from_ref(&undated)).await.unwrap();
    assert_eq!((there.unchanged, there.records.len()), (vec![undated.id], 0));
}

#[tokio::test]
async fn one_call_asks_for_a_hundred_days_at_most() {
    let world = World { spacing: DAY, ..world(300) };
    let mut gone = world.clone();
    gone.rows.clear();
    let wanted: Vec<u32> = (1..=300).collect();
    let (there, asked) = found(gone, &wanted).await;
    assert_eq!(there.len(), 200);
    assert_eq!(
        asked.len(),
        100,
        "every second day by its name, and with the days around it: these hold the next one"
    );
}

#[tokio::test]
async fn a_key_that_has_expired_is_an_error() {
    let world = World { dead: ids(1..=400), fault: Fault::Status(401), ..world(400) };
    let unseen = unseen(&world, &[100]);
    let error = Vendor::new(world).provider().find_unseen(&unseen).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}
