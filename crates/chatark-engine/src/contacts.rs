//! The people whom a vendor lists apart from conversations: pulled after these, in a run of their own.
//!
//! The run of the conversations is closed by then, so that nothing that happens here takes its verdict away.

use std::sync::Arc;

use chatark_archive::{Archive, PreparedContact, Progress, Run, RunEnd, SourceKey, Start, SyncMode, Verdict};
use chatark_core::{ContactBatch, Error, ErrorKind, Result};
use futures_util::StreamExt;
use tokio::task;

use crate::clock::now;
use crate::cores::on_all_cores;
use crate::drift::Judgement;
use crate::outcome::{Event, Outcome};
use crate::pull::{Puller, Source};

/// The kind of these runs in the ledger, and the scope of all runs that read contacts.
const CONTACTS: &str = "contacts";
/// How many people are in memory at a time while they are normalized again.
const PAGE: u32 = 512;

/// What a run of contacts came to.
pub(crate) struct Contacts {
    progress: Progress,
    verdict: Verdict,
    error: Option<Error>,
}

impl Puller {
    /// Pulls the contacts of a source and adds what that came to.
    pub(crate) async fn add_contacts(&self, key: SourceKey, outcome: Outcome) -> Outcome {
        let contacts = self.pull_contacts(key).await.unwrap_or_else(|error| Contacts {
            progress: Progress::default(),
            verdict: Verdict::Failed,
            error: Some(error),
        });
        if let (Some(_), Some(error)) = (&outcome.error, &contacts.error) {
            self.tell(&Event::Note(&error.to_string()));
        }
        outcome.joined_by(contacts)
    }

    async fn pull_contacts(&self, key: SourceKey) -> Result<Contacts> {
        let begun = self.write(move |archive| begin(archive, key, CONTACTS)).await?;
        let (run, ended) = self.read_contacts(begun).await;
        let (verdict, error) = match ended {
            Ok(true) => (Verdict::Unprovable, None),
            Ok(false) => (Verdict::Interrupted, None),
            Err(error) if error.kind() == ErrorKind::Budget => (Verdict::Budget, Some(error)),
            Err(error) if run.progress.received == 0 => (Verdict::Failed, Some(error)),
            Err(error) => (Verdict::Partial, Some(error)),
        };
        self.end_contacts(run, verdict, error).await
    }

    /// Reads list after list, and returns whether it came to the end of all of them.
    ///
    /// A list that the vendor refuses does not keep the next one back; the first refusal is the error of the run.
    async fn read_contacts(&self, mut run: Run) -> (Run, Result<bool>) {
        let mut lists = self.source.provider.contacts();
        let mut refusal = None;
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return (run, Ok(false)),
                next = lists.next() => next,
            };
            match next {
                None => return (run, refusal.map_or(Ok(true), Err)),
                Some(Ok(batch)) => match self.commit_contacts(run.clone(), batch).await {
                    Ok(written) => run = written,
                    Err(error) => return (run, Err(error)),
                },
                Some(Err(error)) if error.is_transient() || error.kind() == ErrorKind::Budget => {
                    self.note(refusal.as_ref());
                    return (run, Err(error));
                }
                Some(Err(error)) if refusal.is_some() => self.note(Some(&error)),
                Some(Err(error)) => refusal = Some(explained(error)),
            }
        }
    }

    async fn commit_contacts(&self, mut run: Run, batch: ContactBatch) -> Result<Run> {
        for note in &batch.facts.notes {
            self.tell(&Event::Note(note));
        }
        let ContactBatch { contacts, facts } = batch;
        let provider = Arc::clone(&self.source.provider);
        let preparing = task::spawn_blocking(move || {
            let prepared = contacts
                .iter()
                .map(|raw| PreparedContact::new(raw, |list, bytes| provider.normalize_contact(list, bytes)));
            prepared.collect::<Result<Vec<_>>>()
        });
        let prepared =
            preparing.await.map_err(|error| Error::new(ErrorKind::Unexpected, "normalize", error))??;
        self.write(move |archive| {
            archive.commit_contacts(&mut run, &prepared, &facts, now())?;
            Ok(run)
        })
        .await
    }

    /// Looks for drift and closes the run in the ledger.
    async fn end_contacts(&self, run: Run, verdict: Verdict, error: Option<Error>) -> Result<Contacts> {
        let source = self.source.clone();
        let (contacts, note) = self
            .write(move |archive| {
                let (mut error, mut note) = (error, None);
                match source.drift.judge(archive, &run, &source.origin.source)? {
                    Judgement::Silent => {}
                    Judgement::Note(new) => note = Some(new),
                    Judgement::Failure(failure) => {
                        error.get_or_insert(failure);
                    }
                }
                let told = error.as_ref().map(ToString::to_string);
                archive.end_run(&run, &RunEnd { verdict, error: told, at: now() })?;
                Ok((Contacts { progress: run.progress, verdict, error }, note))
            })
            .await?;
        if let Some(note) = &note {
            self.tell(&Event::Note(note));
        }
        Ok(contacts)
    }

    fn note(&self, error: Option<&Error>) {
        if let Some(error) = error {
            self.tell(&Event::Note(&error.to_string()));
        }
    }
}

impl Outcome {
    /// Adds what the contacts came to: without them, a run that was good is not what was asked for.
    pub(crate) fn joined_by(self, contacts: Contacts) -> Self {
        let verdict = match (contacts.verdict, self.verdict) {
            (Verdict::Interrupted, _) => Verdict::Interrupted,
            (Verdict::Budget, good) if good.is_good() => Verdict::Budget,
            (Verdict::Failed | Verdict::Partial, good) if good.is_good() => Verdict::Partial,
            (_, own) => own,
        };
        Self { verdict, error: self.error.or(contacts.error), contacts: Some(contacts.progress), ..self }
    }
}

/// Normalizes every archived contact of a source again, and returns what that came to; `None` where it has none.
///
/// Each page is a transaction; `is_stopped` is asked before each of them.
pub(crate) fn rebuild_contacts(
    archive: &mut Archive,
    source: &Source,
    key: SourceKey,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<Contacts>> {
    let (mut page, mut after) = archive.stored_contacts(key, 0, PAGE)?;
    if page.is_empty() {
        return Ok(None);
    }
    let mut run = begin(archive, key, "rebuild")?;
    let verdict = loop {
        if is_stopped() {
            break Verdict::Interrupted;
        }
        if page.is_empty() {
            break Verdict::Complete;
        }
        let provider = &source.provider;
        let rebuilt = on_all_cores(page, |stored| {
            stored.normalize(|list, bytes| provider.normalize_contact(list, bytes))
        })?;
        archive.replace_contacts(&mut run, &rebuilt)?;
        (page, after) = archive.stored_contacts(key, after, PAGE)?;
    };
    archive.end_run(&run, &RunEnd { verdict, error: None, at: now() })?;
    Ok(Some(Contacts { progress: run.progress, verdict, error: None }))
}

fn begin(archive: &mut Archive, key: SourceKey, kind: &str) -> Result<Run> {
    let start = Start { kind, scope: CONTACTS, effort: SyncMode::Full, resume: None, at: now() };
    archive.begin_run(key, &start)
}

/// Says what to do about a refusal: the same key has just read the conversations.
fn explained(error: Error) -> Error {
    if !error.is_permanent() {
        return error;
    }
    error.hint(
        "the conversations are archived all the same; where your plan with the vendor has no such list, take `contacts = true` out of the source",
    )
}
