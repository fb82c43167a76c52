//! A vendor that lists what has changed since an instant.

use chatark_archive::{SyncMode, Verdict};
use chatark_core::{ChangeDetection, Descriptor, Stream, Timestamp};

use crate::support::{BEGINNING, DAY, House, PLAIN, Step, Vendor, conversation, stream};
use Stream::Conversations;

static LISTS_CHANGES: Descriptor =
    Descriptor { streams: &[stream(Conversations, ChangeDetection::UpdatedSince, false)], ..PLAIN };

fn vendor(titles: impl IntoIterator<Item = (usize, &'static str)>) -> Vendor {
    let records = titles.into_iter().map(|(id, title)| conversation(&format!("c{id:02}"), title)).collect();
    Vendor::new(&LISTS_CHANGES, [Step::Gives(Conversations, records, None)])
}

#[tokio::test]
async fn what_changed_since_shortly_before_the_last_pull_is_asked_for_and_nothing_is_taken_for_gone() {
    let house = House::new();
    let (first, vendor_of_all) = house.pull_from(vendor((0..20).map(|id| (id, "Old")))).await;
    assert_eq!((first.mode, first.verdict, first.progress.added), (SyncMode::Full, Verdict::Unprovable, 20));
    let since = |vendor: &Vendor| vendor.requests(Conversations)[0].updated_since;
    assert_eq!(since(&vendor_of_all), None);

    house.wait(1);
    let (second, vendor_of_changes) = house.pull_from(vendor([(3, "New"), (20, "Added")])).await;
    assert_eq!(since(&vendor_of_changes), Timestamp::from_epoch(BEGINNING - 600).ok());
    assert_eq!(
        (second.mode, second.verdict, second.is_good()),
        (SyncMode::Changes, Verdict::Unprovable, true)
    );
    let progress = &second.progress;
    assert_eq!((progress.added, progress.changed, progress.missing), (1, 1, 0));
    assert_eq!(house.stream_status(Conversations).missing, 0);

    // A pull without any change is one to go on from, too.
    house.wait(1);
    let (third, vendor_of_nothing) = house.pull_from(vendor([])).await;
    assert_eq!(since(&vendor_of_nothing), Timestamp::from_epoch(BEGINNING + DAY - 600).ok());
    assert_eq!((third.mode, third.progress.missing), (SyncMode::Changes, 0));
    assert_eq!((house.talk().len(), house.notes().len()), (21, 0));
}

#[tokio::test]
async fn everything_is_read_again_when_it_is_due_and_what_is_gone_is_marked_then() {
    let house = House::new();
    house.pull_from(vendor((0..20).map(|id| (id, "Old")))).await;
    house.wait(3);
    house.pull_from(vendor([])).await;
    house.wait(4);
    let (due, asked) = house.pull_from(vendor((1..20).map(|id| (id, "Old")))).await;
    assert_eq!((due.mode, asked.requests(Conversations)[0].updated_since), (SyncMode::Full, None));
    assert_eq!((due.progress.missing, house.stream_status(Conversations).missing), (1, 1));
    // A list of changes marks nothing, and what it shows again is there again.
    house.wait(1);
    let (changes, _) = house.pull_from(vendor([(0, "Old")])).await;
    assert_eq!((changes.mode, changes.progress.returned), (SyncMode::Changes, 1));
    assert_eq!(house.stream_status(Conversations).missing, 0);
}
