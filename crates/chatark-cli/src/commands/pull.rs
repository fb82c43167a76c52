//! `chatark pull`: pulls conversations from the vendors into the archive.

use std::sync::Arc;

use chatark_archive::{Archive, Verdict};
use chatark_core::{ConversationId, Error, ErrorKind, Result, Selection, Window};
use chatark_engine::{Environment, Outcome, PullParameters, Source, pull};
use serde::Serialize;

use crate::args::{FilterArgs, GlobalArgs, PullArgs, PullOptions};
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::stop::StopSignal;
use crate::ui::{Ui, counted};

/// The outcome of a pull, for `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct PullResult {
    pub(crate) archive: String,
    pub(crate) sources: Vec<SourceResult>,
    pub(crate) exit_code: u8,
}

/// The outcome of a pull or a rebuild of one source. `effort` is the sync mode.
#[derive(Debug, Serialize)]
pub(crate) struct SourceResult {
    source: String,
    verdict: &'static str,
    effort: &'static str,
    total_first: Option<u64>,
    total_last: Option<u64>,
    seen: u64,
    received: u64,
    repeated: u64,
    outside: u64,
    added: u64,
    changed: u64,
    unchanged: u64,
    unreadable: u64,
    missing: u64,
    returned: u64,
    issues: u64,
    pages: u64,
    empty_pages: u64,
    skipped: u64,
    bytes: u64,
    quota_used: Option<u64>,
    quota_left: Option<u64>,
    resumable: bool,
    error: Option<String>,
    hint: Option<String>,
    /// Contacts from the vendor's separate lists; `null` if they were not requested.
    contacts: Option<u64>,
    contacts_added: Option<u64>,
    contacts_changed: Option<u64>,
    /// Gaps of this run: what could not be read, or was passed over because an earlier run could not read it.
    gaps: u64,
}

pub(crate) fn run(args: &PullArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let request = requested_pull(args)?;
    let mut session = Session::open(global)?;
    session.set_budget(args.pull_options.budget());
    let chosen = session.select_sources(&args.filters.sources)?;
    let sources = session.connect_sources(&chosen, ui)?;
    refuse_unsupported(&sources, &request.selection)?;
    let (archive, outcomes, exit) =
        pull_all(session.open_archive(ui)?, sources, request, ui, global.verbose > 0)?;
    archive.close()?;
    ui.print_result(&PullResult {
        archive: session.config.archive.display().to_string(),
        sources: outcomes.iter().map(source_result).collect(),
        exit_code: exit.code(),
    })?;
    Ok(exit)
}

/// Pulls sources until they end or the user stops them, then prints what went wrong and how to resume.
pub(crate) fn pull_all(
    archive: Archive,
    sources: Vec<Source>,
    request: PullParameters,
    ui: &Ui,
    verbose: bool,
) -> Result<(Archive, Vec<Outcome>, Exit), Failure> {
    let (archive, outcomes, exit) = runtime()?.block_on(async {
        let stop = StopSignal::listen(ui)?;
        let (archive, outcomes) =
            pull(archive, sources, request, Arc::new(ui.clone()), Environment::default(), stop.token.clone())
                .await?;
        let exit = stop.with_signal(Exit::of_outcomes(&outcomes));
        Ok::<_, Error>((archive, outcomes, exit))
    })?;
    for outcome in &outcomes {
        match &outcome.error {
            // The user has set this limit, so reaching it is not an error.
            Some(error) if outcome.verdict == Verdict::Budget => {
                ui.info(&format!("{}: {}", outcome.source, error.message()));
            }
            Some(error) => ui.error(error, verbose),
            None => {}
        }
    }
    report_what_is_safe(&outcomes, exit, ui);
    Ok((archive, outcomes, exit))
}

fn report_what_is_safe(outcomes: &[Outcome], exit: Exit, ui: &Ui) {
    if exit == Exit::Complete {
        return;
    }
    let written: u64 = outcomes.iter().map(|outcome| outcome.progress.added + outcome.progress.changed).sum();
    let resumable: Vec<_> =
        outcomes.iter().filter(|outcome| outcome.resumable).map(|outcome| outcome.source.as_str()).collect();
    if written > 0 {
        let conversations = counted(written, "conversation of this run is", "conversations of this run are");
        ui.info(&format!("{conversations} safe in the archive"));
    }
    if !resumable.is_empty() {
        let sources = resumable.join(", ");
        ui.info(&format!("to resume where it stopped, run the same command again (unfinished: {sources})"));
    }
}

/// Returns the pull that the arguments request.
fn requested_pull(args: &PullArgs) -> Result<PullParameters> {
    let selection = match (&args.user, args.conversations.as_slice()) {
        (Some(user), _) => Selection::User(user.clone()),
        (None, []) => Selection::All,
        (None, ids) => {
            let mut ids: Vec<_> = ids.iter().map(|id| ConversationId::new(id.as_str())).collect();
            ids.sort();
            ids.dedup();
            Selection::Conversations(ids)
        }
    };
    if selection != Selection::All && args.filters.sources.len() != 1 {
        let message = "a customer or a conversation belongs to one source";
        return Err(Error::new(ErrorKind::Usage, "choose the sources", message)
            .hint("name the source: `chatark pull SOURCE --user ID`"));
    }
    Ok(PullParameters { selection, ..pull_of_filters(&args.filters, args.pull_options)? })
}

/// Returns a pull of everything that the filters select.
pub(crate) fn pull_of_filters(filters: &FilterArgs, pull_options: PullOptions) -> Result<PullParameters> {
    let window = Window::new(filters.since, filters.until)?;
    let PullOptions { full, accept_missing, accept_gap: accept_gaps, .. } = pull_options;
    Ok(PullParameters {
        window,
        channel: filters.channel,
        full,
        accept_missing,
        accept_gaps,
        ..PullParameters::default()
    })
}

/// Rejects a selection that a vendor's API does not support, before any request.
fn refuse_unsupported(sources: &[Source], selection: &Selection) -> Result<()> {
    for source in sources {
        let descriptor = source.provider.descriptor();
        let unsupported = match selection {
            Selection::User(_) if !descriptor.selects_user => "--user",
            Selection::Conversations(_) if !descriptor.selects_conversations => "--conversation",
            _ => continue,
        };
        let message = format!("{} does not support `{unsupported}`", descriptor.title);
        return Err(Error::new(ErrorKind::Usage, "choose the conversations", message)
            .with("source", &source.origin.source)
            .hint(format!("leave out `{unsupported}` to pull the whole source")));
    }
    Ok(())
}

pub(crate) fn source_result(outcome: &Outcome) -> SourceResult {
    let progress = &outcome.progress;
    let contacts = outcome.contacts();
    let contacts = contacts.as_ref();
    SourceResult {
        source: outcome.source.to_string(),
        verdict: outcome.verdict.as_str(),
        effort: outcome.mode.as_str(),
        total_first: progress.total_first,
        total_last: progress.total_last,
        seen: progress.seen,
        received: progress.received,
        repeated: progress.repeated,
        outside: progress.outside,
        added: progress.added,
        changed: progress.changed,
        unchanged: progress.unchanged,
        unreadable: progress.unreadable,
        missing: progress.missing,
        returned: progress.returned,
        issues: outcome.issues(),
        pages: progress.page.pages,
        empty_pages: progress.page.empty_pages,
        skipped: progress.page.skipped,
        bytes: progress.bytes,
        quota_used: progress.page.quota_used,
        quota_left: progress.page.quota_left,
        resumable: outcome.resumable,
        error: outcome.error.as_ref().map(ToString::to_string),
        hint: outcome.error.as_ref().and_then(Error::hint_text).map(str::to_owned),
        contacts: contacts.map(|contacts| contacts.seen),
        contacts_added: contacts.map(|contacts| contacts.added),
        contacts_changed: contacts.map(|contacts| contacts.changed),
        gaps: progress.gaps,
    }
}
