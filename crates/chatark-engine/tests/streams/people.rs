//! Listed contacts and leads: each list is a stream with a run, checkpoints and a verdict of its own.

use std::sync::Arc;

use chatark_archive::{SyncMode, Verdict};
use chatark_core::{ConversationId, ErrorKind, ReadRequest, Selection, Stream};
use chatark_engine::{CancellationToken, DriftPolicy, PullParameters, Source, plan};

use crate::support::{
    LISTS_PEOPLE, Step, TestEnvironment, TestMapper, Vendor, counted, never_stopped, people, source,
};
use Stream::{Contacts, Conversations, Leads};

fn vendor<const N: usize>(steps: [Step; N]) -> Vendor {
    Vendor::new(&LISTS_PEOPLE, steps)
}

#[tokio::test]
async fn contacts_are_pulled_after_the_conversations_if_enabled() {
    let env = TestEnvironment::new();
    let steps =
        [people(Contacts, &["Ada", "Grace"]), people(Contacts, &["Alan", "Ada"]), people(Leads, &["Ada"])];
    let (with, vendor) = source(vendor(steps));
    let without = Source { contacts: false, ..with.clone() };
    let outcome = env.pull(&without, never_stopped()).await;
    assert!(outcome.contacts().is_none() && outcome.is_good());
    assert_eq!(vendor.steps_used(), 0);

    let one = Selection::Conversations(vec![ConversationId::new("c")]);
    let outcome = env
        .pull_with(&with, PullParameters { selection: one, ..PullParameters::default() }, never_stopped())
        .await;
    assert!(outcome.contacts().is_none() && outcome.is_good());
    assert_eq!(vendor.steps_used(), 0, "one conversation is not all people");

    let outcome = env.pull(&with, never_stopped()).await;
    assert_eq!((outcome.verdict, outcome.is_good()), (Verdict::Unprovable, true));
    let of_streams: Vec<_> =
        outcome.other_streams.iter().map(|other| (other.stream, other.verdict)).collect();
    assert_eq!(of_streams, [(Contacts, Verdict::Unprovable), (Leads, Verdict::Unprovable)]);
    let contacts = outcome.contacts().unwrap();
    assert_eq!((contacts.seen, contacts.added, contacts.received, contacts.repeated), (4, 4, 5, 1));
    assert_eq!((outcome.progress.seen, outcome.progress.received), (1, 1), "conversations alone");
    assert_eq!(env.names(), ["Ada", "Alan", "Grace", "Ada"]);

    let again = env.pull(&with, never_stopped()).await.contacts().unwrap();
    assert_eq!((again.seen, again.added, again.changed, again.unchanged), (4, 0, 0, 5));
    assert_eq!(env.notes(), Vec::<String>::new());
    let plans = plan(None, &[with, without], &PullParameters::default(), &env.clock()).await.unwrap();
    let notes: Vec<_> = plans.iter().map(|plan| plan.as_ref().unwrap().estimate.notes.len()).collect();
    assert_eq!(notes, [1, 0]);
}

#[tokio::test]
async fn a_refused_list_affects_neither_the_other_nor_the_verdict_of_the_conversations() {
    let env = TestEnvironment::new();
    let steps = [
        people(Contacts, &["Ada"]),
        Step::Fails(Contacts, ErrorKind::Forbidden, "the plan has no contacts"),
        people(Leads, &["Grace"]),
        Step::Fails(Leads, ErrorKind::NotFound, "no such list"),
    ];
    let (source, _) = source(vendor(steps));
    let outcome = env.pull(&source, never_stopped()).await;
    assert_eq!((outcome.verdict, outcome.is_good()), (Verdict::Partial, false));
    let error = outcome.error.unwrap();
    assert_eq!(error.to_string(), "get people: the plan has no contacts (source=shop)");
    assert!(error.hint_text().unwrap().contains("`contacts = true`"), "{error}");
    assert_eq!(env.notes(), ["get people: no such list"]);
    assert_eq!(env.names(), ["Ada", "Grace"]);
    let status = env.archive().status().unwrap().remove(0);
    assert_eq!((status.conversations, status.contacts), (1, 2));
    let (pull, contacts) = (status.last_pull.unwrap(), status.last_contacts.unwrap());
    assert_eq!((pull.verdict.as_deref(), pull.error), (Some("unprovable"), None));
    assert_eq!((contacts.verdict.as_deref(), contacts.added), (Some("partial"), 2));
    assert!(contacts.error.unwrap().contains("the plan has no contacts"));
    let archive = env.archive();
    let key = archive.find_source(&source.origin).unwrap().unwrap();
    assert!(
        archive
            .sweep_history(key, Conversations, &ReadRequest::default().scope())
            .unwrap()
            .full_began_at
            .is_some()
    );
}

#[tokio::test]
async fn nothing_more_is_requested_after_a_failure_or_a_spent_budget() {
    for (kind, verdict, of_contacts) in [
        (ErrorKind::Network, Verdict::Partial, "partial"),
        (ErrorKind::RateLimited, Verdict::Partial, "partial"),
        (ErrorKind::Budget, Verdict::Budget, "budget"),
    ] {
        let env = TestEnvironment::new();
        let steps = [
            people(Contacts, &["Ada"]),
            Step::Fails(Contacts, kind, "no more of this"),
            people(Leads, &["Grace"]),
        ];
        let (source, vendor) = source(vendor(steps));
        let outcome = env.pull(&source, never_stopped()).await;
        assert_eq!((outcome.verdict, outcome.error.unwrap().kind()), (verdict, kind));
        assert_eq!(vendor.steps_used(), 2, "{kind:?}");
        assert_eq!(env.names(), ["Ada"]);
        let status = env.archive().status().unwrap().remove(0);
        assert_eq!(status.last_contacts.unwrap().verdict.as_deref(), Some(of_contacts));
        assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("unprovable"));
    }
}

#[tokio::test]
async fn a_stop_keeps_the_people_that_were_fetched() {
    let env = TestEnvironment::new();
    let stop = CancellationToken::new();
    let steps = [people(Contacts, &["Ada"]), Step::Stops(Contacts, stop.clone()), people(Leads, &["Grace"])];
    let (source, _) = source(vendor(steps));
    let outcome = env.pull(&source, stop).await;
    assert_eq!((outcome.verdict, outcome.error.is_none()), (Verdict::Interrupted, true));
    assert_eq!((env.names(), outcome.contacts().unwrap().added), (vec!["Ada".to_owned()], 1));
    let status = env.archive().status().unwrap().remove(0);
    assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("unprovable"));
    assert_eq!(status.last_contacts.unwrap().verdict.as_deref(), Some("interrupted"));
}

#[tokio::test]
async fn contacts_are_left_for_the_next_pull_if_conversations_are_not_finished() {
    let env = TestEnvironment::new();
    let (source, vendor) = source(vendor([people(Contacts, &["Ada"])]).breaking_off());
    let outcome = env.pull(&source, never_stopped()).await;
    assert_eq!((outcome.verdict, outcome.contacts().is_none()), (Verdict::Partial, true));
    assert_eq!(vendor.steps_used(), 0);
}

#[tokio::test]
async fn unknown_fields_of_a_list_are_reported_as_drift() {
    let steps = || [people(Contacts, &["Odd"])];
    let env = TestEnvironment::new();
    let (warns, _) = source(vendor(steps()));
    let outcome = env.pull(&warns, never_stopped()).await;
    assert_eq!((outcome.is_good(), outcome.issues()), (true, 1));
    let notes = env.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("unknown-field at `contacts.hat`"), "{notes:?}");

    let env = TestEnvironment::new();
    let (fails, _) = source(vendor(steps()));
    let fails = Source { drift: DriftPolicy::Fail, ..fails };
    let outcome = env.pull(&fails, never_stopped()).await;
    assert_eq!(outcome.error.as_ref().unwrap().kind(), ErrorKind::Incomplete);
    assert_eq!((outcome.is_good(), env.names().len()), (false, 1));
}

#[tokio::test]
async fn rows_are_rebuilt_and_verified() {
    let env = TestEnvironment::new();
    let (source, _) = source(vendor([people(Contacts, &["Ada"]), people(Leads, &["Grace"])]));
    env.pull(&source, never_stopped()).await;
    let again = env.rebuild(&source).contacts().unwrap();
    assert_eq!((again.seen, again.unchanged, again.changed), (2, 2, 0));

    let other = Source { mapper: Arc::new(TestMapper { prefix: "Dr " }), ..source };
    let outdated = env.verify(&other);
    assert_eq!((outdated.outdated, outdated.damaged, outdated.contacts), (2, 0, 2));
    assert_eq!(outdated.findings[0].contact.as_deref(), Some("contacts/Ada"));
    let rebuilt = env.rebuild(&other);
    assert_eq!((rebuilt.verdict, rebuilt.contacts().unwrap().changed), (Verdict::Complete, 2));
    assert_eq!(env.names(), ["Dr Ada", "Dr Grace"]);
    let sound = env.verify(&other);
    assert_eq!((sound.outdated, sound.damaged, sound.conversations, sound.versions), (0, 0, 1, 3));
    assert!(sound.counts.is_empty(), "{:?}", sound.counts);

    let connection = rusqlite::Connection::open(&env.path).unwrap();
    let damage = "UPDATE raw SET sha256 = zeroblob(32)
                  WHERE record_key IN (SELECT record_key FROM record WHERE stream = 'leads')";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    let damaged = env.verify(&other);
    assert_eq!((damaged.outdated, damaged.damaged), (0, 1));
    let finding = &damaged.findings[0];
    assert_eq!((finding.contact.as_deref(), finding.version), (Some("leads/Grace"), 1));
    assert_eq!(finding.what, "the archived bytes of a contact are not those that the vendor sent");
}

#[tokio::test]
async fn a_list_with_fewer_people_than_the_vendor_counts_is_short_and_so_is_its_source() {
    let env = TestEnvironment::new();
    let (outcome, _) =
        env.pull_from(vendor([counted(Contacts, &["Ada"], 10), people(Leads, &["Grace"])])).await;
    assert_eq!((outcome.verdict, outcome.is_good(), outcome.error.is_none()), (Verdict::Short, false, true));
    let of_streams: Vec<_> =
        outcome.other_streams.iter().map(|other| (other.stream, other.verdict, other.is_good())).collect();
    let expect = [(Contacts, Verdict::Short, false), (Leads, Verdict::Unprovable, true)];
    assert_eq!(of_streams, expect, "the other list is still read");
    assert_eq!(env.notes(), Vec::<String>::new(), "the verdict says it");
    assert_eq!(env.names(), ["Ada", "Grace"]);
    let status = env.archive().status().unwrap().remove(0);
    assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("unprovable"));
    assert_eq!(status.last_contacts.unwrap().verdict.as_deref(), Some("short"));
    let of_contacts = env.stream_status(Contacts).last_pull.unwrap();
    assert_eq!((of_contacts.total_last, of_contacts.seen), (Some(10), 1));

    let whole = vendor([counted(Contacts, &["Ada", "Alan"], 2), people(Leads, &["Grace"])]);
    let (outcome, _) = env.pull_from(whole).await;
    assert_eq!((outcome.verdict, outcome.other_streams[0].verdict), (Verdict::Unprovable, Verdict::Complete));
}

#[tokio::test]
async fn an_interrupted_list_resumes_where_it_stopped() {
    let stop = CancellationToken::new();
    let ends = [
        (Step::Stops(Contacts, stop.clone()), Verdict::Interrupted),
        (Step::Fails(Contacts, ErrorKind::Network, "cut"), Verdict::Partial),
    ];
    for (end, verdict) in ends {
        let env = TestEnvironment::new();
        let [first, second] = [counted(Contacts, &["Ada"], 3), counted(Contacts, &["Grace"], 3)];
        let (broken, _) = source(vendor([first.clone(), second.clone(), end, people(Leads, &["Ada"])]));
        let stop = if verdict == Verdict::Interrupted { stop.clone() } else { never_stopped() };
        let outcome = env.pull(&broken, stop).await;
        assert_eq!((outcome.verdict, outcome.resumable), (verdict, true));
        assert_eq!(outcome.other_streams.len(), 1, "the leads are not requested");
        assert_eq!((outcome.other_streams[0].verdict, outcome.other_streams[0].resumable), (verdict, true));
        assert_eq!(env.archive().status().unwrap()[0].unfinished, ["contacts *..* * all"]);

        let third = counted(Contacts, &["Alan"], 3);
        let (whole, vendor) = source(vendor([first, second, third, people(Leads, &["Ada"])]));
        let outcome = env.pull(&whole, never_stopped()).await;
        assert_eq!((outcome.verdict, outcome.resumable), (Verdict::Unprovable, false));
        assert!(vendor.requests(Contacts)[0].resume_from.is_some());
        assert_eq!(vendor.steps_used(), 2, "the third page of contacts, and the leads");
        let contacts = &outcome.other_streams[0];
        assert_eq!((contacts.verdict, contacts.mode), (Verdict::Complete, SyncMode::Full));
        let progress = &contacts.progress;
        assert_eq!((progress.seen, progress.received, progress.added), (3, 1, 1), "seen by both runs");
        assert_eq!(progress.missing, 0, "who was seen before the stop is not missing");
        assert!(env.stream_status(Contacts).last_pull.unwrap().resumed);
        assert_eq!(env.names(), ["Ada", "Alan", "Grace", "Ada"]);
        assert!(env.archive().status().unwrap()[0].unfinished.is_empty());
    }
}

#[tokio::test]
async fn people_who_are_no_longer_listed_are_marked_and_come_back() {
    let env = TestEnvironment::new();
    let names: Vec<String> = (0..20).map(|id| format!("p{id:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let listed = |names: &[&str]| vendor([people(Contacts, names), people(Leads, &["p00"])]);
    env.pull_from(listed(&names)).await;
    for marked in [0, 2] {
        env.wait(1);
        let (outcome, _) = env.pull_from(listed(&names[2..])).await;
        assert_eq!((outcome.is_good(), outcome.contacts().unwrap().missing), (true, marked));
    }
    let missing = || [Contacts, Leads, Conversations].map(|stream| env.stream_status(stream).missing);
    assert_eq!(missing(), [2, 0, 0], "a lead of the same id is another one");
    assert_eq!(env.names().len(), 21, "nothing is deleted");
    env.wait(1);
    let (outcome, _) = env.pull_from(listed(&names[1..])).await;
    assert_eq!((outcome.contacts().unwrap().returned, missing()), (1, [1, 0, 0]));

    // More than a tenth at once may be a fault of the vendor.
    let (far_fewer, _) = source(listed(&names[10..]));
    let outcome = env.pull(&far_fewer, never_stopped()).await;
    assert_eq!((outcome.verdict, outcome.other_streams[0].verdict), (Verdict::Short, Verdict::Short));
    let error = outcome.error.unwrap();
    assert!(error.message().contains("no longer shows 9 of 19 archived contacts"), "{error}");
    assert_eq!(missing(), [1, 0, 0]);
    env.wait(1);
    let accepting = PullParameters { accept_missing: true, ..PullParameters::default() };
    assert!(env.pull_with(&far_fewer, accepting, never_stopped()).await.is_good());
    assert_eq!(missing(), [10, 0, 0]);
}
