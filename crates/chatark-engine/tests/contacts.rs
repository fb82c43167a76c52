//! People apart from conversations, from a vendor of a few answers to the archive and the ledger.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chatark_archive::{Archive, Part, Verdict};
use chatark_core::{
    AgentInfo, Batch, BatchStream, Checkpoint, ContactBatch, ContactList, ContactStream, Conversation,
    ConversationId, Descriptor, Error, ErrorKind, Estimate, Increments, Issue, IssueKind, ListedContact,
    Origin, PageMetadata, Provider, PullRequest, RawContact, RawConversation, Result, Selection, SourceName,
    Surface,
};
use chatark_engine::{
    CancellationToken, DriftPolicy, Event, Observer, Outcome, Pull, Refresh, Source, now, plan, pull,
    rebuild, verify,
};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tempfile::TempDir;

use ContactList::{Contacts, Leads};
use Step::{Fails, People, Stops};

static DESCRIPTOR: Descriptor = Descriptor {
    name: "vendor-v1",
    title: "Vendor",
    settings: &[],
    reports_total: false,
    selects_user: false,
    selects_conversations: true,
    lists_contacts: true,
    increments: Increments::LookBack,
    full_sweep_days: 7,
};

/// What the vendor does when it is asked for the next people.
#[derive(Debug, Clone)]
enum Step {
    /// Gives people of a list, each with a name that is also the id.
    People(ContactList, &'static [&'static str]),
    /// Says no.
    Fails(ErrorKind, &'static str),
    /// Is overtaken by the user, who stops the run.
    Stops(CancellationToken),
}

/// A vendor with one conversation, and lists of people.
#[derive(Debug)]
struct Vendor {
    steps: Vec<Step>,
    asked: AtomicUsize,
    /// What the mapper puts before each name.
    title: &'static str,
    /// Whether the conversations end with an error.
    breaks_off: bool,
}

#[async_trait]
impl Provider for Vendor {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn check(&self) -> Result<AgentInfo> {
        Ok(AgentInfo::default())
    }

    async fn estimate(&self, _request: &PullRequest) -> Result<Estimate> {
        Ok(Estimate::default())
    }

    fn pull(&self, _request: PullRequest) -> BatchStream<'_> {
        let bytes = Bytes::from_static(b"{\"id\":\"c\"}");
        let conversations = vec![RawConversation::with_top_level_id(bytes, Surface::Export)];
        let batch = |checkpoint| Batch { conversations, checkpoint, ..Batch::default() };
        let batches = if self.breaks_off {
            vec![Ok(batch(Checkpoint::None)), Err(Error::new(ErrorKind::Network, "get conversations", "cut"))]
        } else {
            vec![Ok(batch(Checkpoint::End))]
        };
        Box::pin(stream::iter(batches))
    }

    fn normalize(&self, _raw: &[u8]) -> Result<(Conversation, Vec<Issue>)> {
        Ok((Conversation::empty(ConversationId::new("c")), Vec::new()))
    }

    fn contacts(&self) -> ContactStream<'_> {
        let steps = stream::iter(&self.steps).then(|step| async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match step {
                People(list, names) => {
                    let raw = |name: &&str| {
                        let bytes = Bytes::from(format!("{{\"id\":\"{name}\",\"name\":\"{name}\"}}"));
                        RawContact::with_top_level_id(*list, bytes)
                    };
                    let facts = PageMetadata { pages: 1, ..PageMetadata::default() };
                    Ok(ContactBatch { contacts: names.iter().map(raw).collect(), facts })
                }
                Fails(kind, message) => Err(Error::new(*kind, "get people", message)),
                Stops(stop) => {
                    stop.cancel();
                    std::future::pending().await
                }
            }
        });
        Box::pin(steps)
    }

    fn normalize_contact(&self, _list: ContactList, raw: &[u8]) -> Result<(ListedContact, Vec<Issue>)> {
        let value: Value = serde_json::from_slice(raw).unwrap();
        let name = value["name"].as_str().unwrap();
        let mut listed = ListedContact::default();
        listed.contact.name = Some(format!("{}{name}", self.title));
        let issues =
            if name == "Odd" { vec![Issue::new(IssueKind::UnknownField, "hat")] } else { Vec::new() };
        Ok((listed, issues))
    }
}

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn event(&self, _source: &SourceName, event: &Event<'_>) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push((*note).to_owned());
        }
    }
}

struct House {
    path: PathBuf,
    notes: Arc<Notes>,
    _folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.db");
        Self { path, notes: Arc::default(), _folder: folder }
    }

    fn archive(&self) -> Archive {
        Archive::open(&self.path, now()).unwrap()
    }

    async fn pull(&self, source: &Source, stop: CancellationToken) -> Outcome {
        self.pull_this(source, Pull::default(), stop).await
    }

    async fn pull_this(&self, source: &Source, what: Pull, stop: CancellationToken) -> Outcome {
        let observer = Arc::clone(&self.notes) as Arc<dyn Observer>;
        let (archive, mut outcomes) =
            pull(self.archive(), vec![source.clone()], what, observer, stop).await.unwrap();
        archive.close().unwrap();
        outcomes.remove(0)
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let take = |_: &Origin, _, listed: &ListedContact| {
            names.extend(listed.contact.name.clone());
            Ok(())
        };
        self.archive().each_contact(&[], take).unwrap();
        names
    }

    fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.0.lock().unwrap())
    }
}

fn vendor<const N: usize>(steps: [Step; N]) -> Vendor {
    Vendor { steps: steps.into(), asked: AtomicUsize::new(0), title: "", breaks_off: false }
}

fn source(vendor: Vendor) -> (Source, Arc<Vendor>) {
    let name = SourceName::new("shop").unwrap();
    let origin = Origin { source: name, provider: "vendor-v1".to_owned(), agent_id: "a".to_owned() };
    let vendor = Arc::new(vendor);
    let source = Source {
        origin: Arc::new(origin),
        provider: Arc::clone(&vendor) as Arc<dyn Provider>,
        refresh: Refresh { full_sweep_days: 7, look_back_days: 30 },
        drift: DriftPolicy::default(),
        contacts: true,
    };
    (source, vendor)
}

fn go_on() -> CancellationToken {
    CancellationToken::new()
}

#[tokio::test]
async fn people_are_pulled_after_the_conversations_where_they_are_asked_for() {
    let house = House::new();
    let steps =
        [People(Contacts, &["Ada", "Grace"]), People(Contacts, &["Alan", "Ada"]), People(Leads, &["Ada"])];
    let (with, vendor) = source(vendor(steps));
    let without = Source { contacts: false, ..with.clone() };
    let outcome = house.pull(&without, go_on()).await;
    assert!(outcome.contacts.is_none() && outcome.is_good());
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 0);

    let one = Selection::Conversations(vec![ConversationId::new("c")]);
    let outcome = house.pull_this(&with, Pull { selection: one, ..Pull::default() }, go_on()).await;
    assert!(outcome.contacts.is_none() && outcome.is_good());
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 0, "one conversation is not all people");

    let outcome = house.pull(&with, go_on()).await;
    assert_eq!((outcome.verdict, outcome.is_good()), (Verdict::Unprovable, true));
    let contacts = outcome.contacts.unwrap();
    assert_eq!((contacts.seen, contacts.added, contacts.received, contacts.repeated), (4, 4, 5, 1));
    assert_eq!((outcome.progress.seen, outcome.progress.received), (1, 1), "conversations alone");
    assert_eq!(house.names(), ["Ada", "Alan", "Grace", "Ada"]);

    let again = house.pull(&with, go_on()).await.contacts.unwrap();
    assert_eq!((again.seen, again.added, again.changed, again.unchanged), (4, 0, 0, 5));
    assert_eq!(house.notes(), Vec::<String>::new());
    let plans = plan(None, &[with, without], &Pull::default()).await.unwrap();
    let notes: Vec<_> = plans.iter().map(|plan| plan.as_ref().unwrap().estimate.notes.len()).collect();
    assert_eq!(notes, [1, 0]);
}

#[tokio::test]
async fn a_list_that_is_refused_keeps_neither_the_other_nor_the_verdict_of_the_conversations() {
    let house = House::new();
    let steps = [
        People(Contacts, &["Ada"]),
        Fails(ErrorKind::Forbidden, "the plan has no contacts"),
        People(Leads, &["Grace"]),
        Fails(ErrorKind::NotFound, "no such list"),
    ];
    let (source, _) = source(vendor(steps));
    let outcome = house.pull(&source, go_on()).await;
    assert_eq!((outcome.verdict, outcome.is_good()), (Verdict::Partial, false));
    let error = outcome.error.unwrap();
    assert_eq!(error.to_string(), "get people: the plan has no contacts (source=shop)");
    assert!(error.next_step().unwrap().contains("`contacts = true`"), "{error}");
    assert_eq!(house.notes(), ["get people: no such list"]);
    assert_eq!(house.names(), ["Ada", "Grace"]);
    let status = house.archive().status().unwrap().remove(0);
    assert_eq!((status.conversations, status.contacts), (1, 2));
    let (pull, contacts) = (status.last_pull.unwrap(), status.last_contacts.unwrap());
    assert_eq!((pull.verdict.as_deref(), pull.error), (Some("unprovable"), None));
    assert_eq!((contacts.verdict.as_deref(), contacts.added), (Some("partial"), 2));
    assert!(contacts.error.unwrap().contains("the plan has no contacts"));
    let archive = house.archive();
    let key = archive.find(&source.origin).unwrap().unwrap();
    assert!(archive.swept(key, &PullRequest::default().scope()).unwrap().full.is_some());
}

#[tokio::test]
async fn nothing_more_is_asked_where_the_vendor_fails_or_the_budget_is_spent() {
    for (kind, verdict, of_contacts) in [
        (ErrorKind::Network, Verdict::Partial, "partial"),
        (ErrorKind::RateLimited, Verdict::Partial, "partial"),
        (ErrorKind::Budget, Verdict::Budget, "budget"),
    ] {
        let house = House::new();
        let steps = [People(Contacts, &["Ada"]), Fails(kind, "no more of this"), People(Leads, &["Grace"])];
        let (source, vendor) = source(vendor(steps));
        let outcome = house.pull(&source, go_on()).await;
        assert_eq!((outcome.verdict, outcome.error.unwrap().kind()), (verdict, kind));
        assert_eq!(vendor.asked.load(Ordering::SeqCst), 2, "{kind:?}");
        assert_eq!(house.names(), ["Ada"]);
        let status = house.archive().status().unwrap().remove(0);
        assert_eq!(status.last_contacts.unwrap().verdict.as_deref(), Some(of_contacts));
        assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("unprovable"));
    }
}

#[tokio::test]
async fn a_stop_keeps_the_people_that_were_fetched() {
    let house = House::new();
    let stop = CancellationToken::new();
    let steps = [People(Contacts, &["Ada"]), Stops(stop.clone()), People(Leads, &["Grace"])];
    let (source, _) = source(vendor(steps));
    let outcome = house.pull(&source, stop).await;
    assert_eq!((outcome.verdict, outcome.error.is_none()), (Verdict::Interrupted, true));
    assert_eq!((house.names(), outcome.contacts.unwrap().added), (vec!["Ada".to_owned()], 1));
    let status = house.archive().status().unwrap().remove(0);
    assert_eq!(status.last_pull.unwrap().verdict.as_deref(), Some("unprovable"));
    assert_eq!(status.last_contacts.unwrap().verdict.as_deref(), Some("interrupted"));
}

#[tokio::test]
async fn conversations_that_do_not_come_to_their_end_leave_the_people_for_the_next_pull() {
    let house = House::new();
    let (source, vendor) = source(Vendor { breaks_off: true, ..vendor([People(Contacts, &["Ada"])]) });
    let outcome = house.pull(&source, go_on()).await;
    assert_eq!((outcome.verdict, outcome.contacts.is_none()), (Verdict::Partial, true));
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_new_in_a_list_is_drift_like_any_other() {
    let steps = || [People(Contacts, &["Odd"])];
    let house = House::new();
    let (warns, _) = source(vendor(steps()));
    let outcome = house.pull(&warns, go_on()).await;
    assert_eq!((outcome.is_good(), outcome.issues()), (true, 1));
    let notes = house.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("unknown-field at `contacts.hat`"), "{notes:?}");

    let house = House::new();
    let (fails, _) = source(vendor(steps()));
    let fails = Source { drift: DriftPolicy::Fail, ..fails };
    let outcome = house.pull(&fails, go_on()).await;
    assert_eq!(outcome.error.as_ref().unwrap().kind(), ErrorKind::Incomplete);
    assert_eq!((outcome.is_good(), house.names().len()), (false, 1));
}

#[tokio::test]
async fn rows_are_made_anew_and_proved() {
    let house = House::new();
    let (source, _) = source(vendor([People(Contacts, &["Ada"]), People(Leads, &["Grace"])]));
    house.pull(&source, go_on()).await;
    let (mut archive, stop) = (house.archive(), go_on());
    let again = rebuild(&mut archive, &source, &Notes::default(), &stop).unwrap().contacts.unwrap();
    assert_eq!((again.seen, again.unchanged, again.changed), (2, 2, 0));

    let (other, _) = self::source(Vendor { title: "Dr ", ..vendor([]) });
    let proof = |archive: &Archive, source: &Source| {
        verify(archive, &[], std::slice::from_ref(source), Part::WHOLE, &go_on()).unwrap().sources.remove(0)
    };
    let outdated = proof(&archive, &other);
    assert_eq!((outdated.outdated, outdated.damaged, outdated.contacts), (2, 0, 2));
    assert_eq!(outdated.findings[0].contact.as_deref(), Some("contacts/Ada"));
    let anew = rebuild(&mut archive, &other, &Notes::default(), &stop).unwrap();
    assert_eq!((anew.verdict, anew.contacts.unwrap().changed), (Verdict::Complete, 2));
    archive.close().unwrap();
    assert_eq!(house.names(), ["Dr Ada", "Dr Grace"]);
    let sound = proof(&house.archive(), &other);
    assert_eq!((sound.outdated, sound.damaged, sound.conversations, sound.versions), (0, 0, 1, 3));
    assert!(sound.counts.is_empty(), "{:?}", sound.counts);

    let beside = rusqlite::Connection::open(&house.path).unwrap();
    beside.execute("UPDATE listed_contact SET sha256 = zeroblob(32) WHERE list = 'leads'", []).unwrap();
    let damaged = proof(&house.archive(), &other);
    assert_eq!((damaged.outdated, damaged.damaged), (0, 1));
    let finding = &damaged.findings[0];
    assert_eq!((finding.contact.as_deref(), finding.version), (Some("leads/Grace"), 1));
    assert_eq!(finding.what, "the archived bytes of a contact are not those that the vendor sent");
}
