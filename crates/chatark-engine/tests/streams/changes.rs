//! A vendor that lists what has changed since an instant.

use chatark_archive::{SyncMode, Verdict};
use chatark_core::{ChangeDetection, Descriptor, Stream, Timestamp};

use crate::support::{BEGINNING, DAY, PLAIN, Step, TestEnvironment, Vendor, conversation, stream};
use Stream::Conversations;

static LISTS_CHANGES: Descriptor =
    Descriptor { streams: &[stream(Conversations, ChangeDetection::UpdatedSince, false)], ..PLAIN };

fn vendor(titles: impl IntoIterator<Item = (usize, &'static str)>) -> Vendor {
    let records = titles.into_iter().map(|(id, title)| conversation(&format!("c{id:02}"), title)).collect();
    Vendor::new(&LISTS_CHANGES, [Step::Gives(Conversations, records, None)])
}

#[tokio::test]
async fn changes_are_requested_since_shortly_before_the_last_pull_and_nothing_is_marked_missing() {
    let env = TestEnvironment::new();
    let (first, vendor_of_all) = env.pull_from(vendor((0..20).map(|id| (id, "Old")))).await;
    assert_eq!((first.mode, first.verdict, first.progress.added), (SyncMode::Full, Verdict::Unprovable, 20));
    let since = |vendor: &Vendor| vendor.requests(Conversations)[0].updated_since;
    assert_eq!(since(&vendor_of_all), None);

    env.wait(1);
    let (second, vendor_of_changes) = env.pull_from(vendor([(3, "New"), (20, "Added")])).await;
    assert_eq!(since(&vendor_of_changes), Timestamp::from_epoch(BEGINNING - 600).ok());
    assert_eq!(
        (second.mode, second.verdict, second.is_good()),
        (SyncMode::Changes, Verdict::Unprovable, true)
    );
    let progress = &second.progress;
    assert_eq!((progress.added, progress.changed, progress.missing), (1, 1, 0));
    assert_eq!(env.stream_status(Conversations).missing, 0);

    // A pull without any change is also a valid starting point.
    env.wait(1);
    let (third, vendor_of_nothing) = env.pull_from(vendor([])).await;
    assert_eq!(since(&vendor_of_nothing), Timestamp::from_epoch(BEGINNING + DAY - 600).ok());
    assert_eq!((third.mode, third.progress.missing), (SyncMode::Changes, 0));
    assert_eq!((env.transcripts().len(), env.notes().len()), (21, 0));
}

#[tokio::test]
async fn a_due_full_sweep_reads_everything_and_marks_what_is_missing() {
    let env = TestEnvironment::new();
    env.pull_from(vendor((0..20).map(|id| (id, "Old")))).await;
    env.wait(3);
    env.pull_from(vendor([])).await;
    env.wait(4);
    let (due, asked) = env.pull_from(vendor((1..20).map(|id| (id, "Old")))).await;
    assert_eq!((due.mode, asked.requests(Conversations)[0].updated_since), (SyncMode::Full, None));
    assert_eq!(
        (due.progress.missing, env.stream_status(Conversations).missing),
        (0, 0),
        "one sweep is no proof"
    );
    env.wait(7);
    let (again, _) = env.pull_from(vendor((1..20).map(|id| (id, "Old")))).await;
    assert_eq!((again.mode, again.progress.missing), (SyncMode::Full, 1));
    assert_eq!(env.stream_status(Conversations).missing, 1);
    // A list of changes marks nothing as missing, and what it lists again is no longer missing.
    env.wait(1);
    let (changes, _) = env.pull_from(vendor([(0, "Old")])).await;
    assert_eq!((changes.mode, changes.progress.returned), (SyncMode::Changes, 1));
    assert_eq!(env.stream_status(Conversations).missing, 0);
}
