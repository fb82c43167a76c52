//! Deployments that refuse dates or sources.

use chatark_core::{Channel, Checkpoint, ErrorKind, Features, ReadRequest, Timestamp, Window};

use crate::vendor::{DAY, Dates, End, NOW, Vendor, World, ids, world};

fn recent() -> ReadRequest {
    let since = Timestamp::from_epoch(NOW - 2 * DAY).ok();
    ReadRequest { window: Window { since, until: None }, ..ReadRequest::default() }
}

fn features(pulled: &crate::vendor::Pulled) -> Vec<(String, bool)> {
    let mut all = Features::default();
    pulled.batches.iter().for_each(|batch| all.add(&batch.page.features));
    all.iter().map(|(feature, is_supported)| (feature.to_owned(), is_supported)).collect()
}

#[tokio::test]
async fn a_deployment_that_refuses_dates_is_read_without_them_and_remembered() {
    let vendor = Vendor::new(World { dates: Dates::Refused, ..world(230) });
    let pulled = vendor.pull(recent()).await.ended();
    assert_eq!(pulled.distinct(), ids(1..=230));
    assert_eq!(features(&pulled), [("dates".to_owned(), false)]);
    assert!(pulled.notes()[0].contains("refuses `startDate`"), "{:?}", pulled.notes());
    assert!(pulled.asked.len() <= 3 + 4, "{:?}", pulled.asked);
    let before = pulled.asked.len();
    let mut features = Features::default();
    features.set("dates", false);
    let again = vendor.pull(ReadRequest { features, ..recent() }).await.ended();
    assert_eq!(again.distinct(), ids(1..=230));
    assert!(again.asked[before..].iter().all(|query| !query.contains("Date")), "{:?}", again.asked);
    assert!(again.notes().is_empty());
}

#[tokio::test]
async fn a_deployment_that_refuses_sources_is_read_without_them() {
    let vendor = Vendor::new(World { refuses_sources: true, ..world(130) });
    let request = ReadRequest { channel: Some(Channel::WhatsApp), ..recent() };
    let pulled = vendor.pull(request.clone()).await.ended();
    assert_eq!(features(&pulled), [("sources".to_owned(), false)]);
    // The dates are kept: only what they select is read.
    assert!(pulled.distinct().len() < 100 && pulled.distinct().len() >= 48, "{:?}", pulled.distinct());
    let both = Vendor::new(World { dates: Dates::Refused, refuses_sources: true, ..world(130) });
    let pulled = both.pull(request).await.ended();
    assert_eq!(features(&pulled), [("dates".to_owned(), false), ("sources".to_owned(), false)]);
    assert_eq!(pulled.distinct(), ids(1..=130));
}

/// A host that answers 404 or 400 past the end does so on the first page of a window in which nothing began.
#[tokio::test]
async fn an_empty_window_is_not_taken_for_a_refusal_of_dates() {
    for status in [400, 404, 416] {
        let vendor = Vendor::new(World { end: End::Status(status), ..world(130) });
        let since = Timestamp::from_epoch(NOW + 30 * DAY).ok();
        let pulled = vendor
            .pull(ReadRequest { window: Window { since, until: None }, ..ReadRequest::default() })
            .await
            .ended();
        assert!(pulled.distinct().is_empty() && features(&pulled).is_empty(), "{status} {pulled:?}");
        assert_eq!(pulled.batches[0].checkpoint, Checkpoint::End);
        assert!(pulled.notes().is_empty());
    }
}

#[tokio::test]
async fn a_deployment_that_ignores_dates_is_read_whole() {
    let vendor = Vendor::new(World { dates: Dates::Ignored, ..world(230) });
    let pulled = vendor.pull(recent()).await.ended();
    assert_eq!(pulled.distinct(), ids(1..=230));
    assert!(features(&pulled).is_empty());
}

#[tokio::test]
async fn an_agent_that_is_refused_whatever_is_asked_is_an_error() {
    let vendor = Vendor::new(World { end: End::Status(404), ..world(0) });
    let pulled = vendor.pull(recent()).await;
    assert_eq!(pulled.error.unwrap().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_newest_change_is_the_latest_time_of_the_rows() {
    let pulled = Vendor::new(world(130)).pull(ReadRequest::default()).await.ended();
    let newest = pulled.batches.iter().filter_map(|batch| batch.page.newest_change).max();
    assert_eq!(newest, Timestamp::from_epoch(NOW - 3_600).ok());
}

#[tokio::test]
async fn a_plan_of_a_deployment_that_refuses_dates_counts_everything() {
    let vendor = Vendor::new(World { dates: Dates::Refused, ..world(230) });
    let estimate = vendor.provider().estimate(&recent()).await.unwrap();
    assert_eq!(estimate.conversations, Some(230));
    assert!(estimate.notes[0].contains("refuses dates"), "{:?}", estimate.notes);
}
