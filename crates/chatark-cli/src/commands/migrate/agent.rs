//! Migrations into an agent over its vendor's API.

use std::fmt::Write as _;
use std::sync::Arc;

use chatark_archive::{Archive, SourceStatus};
use chatark_core::{Error, ErrorKind, Result, SourceName, identifier};
use chatark_migrate::{
    AgentMigration, AgentPlan, KindResult, MigrationOptions, ReadBack, migrate, plan_agent, refuse_empty,
};
use chatark_target::{Capabilities, DataKind};
use serde::Serialize;

use super::{confirm, selection, show_loss_report, source_names, write_loss_report};
use crate::args::{MigrateRunArgs, MigrationArgs};
use crate::config::SourceConfig;
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::stop::Stop;
use crate::ui::{Severity, Ui, label, with_commas};

#[derive(Serialize)]
struct PlanResult<'a> {
    target: &'a str,
    provider: &'static str,
    agent_id: String,
    plans: &'a [AgentPlan],
    notes: &'static [&'static str],
    undated_left_out: u64,
}

#[derive(Serialize)]
struct RunResult<'a> {
    target: &'a str,
    provider: &'static str,
    agent_id: String,
    #[serde(rename = "carried")]
    results: &'a [KindResult],
    error: Option<String>,
    hint: Option<String>,
    exit_code: u8,
    undated_left_out: u64,
}

pub(super) fn plan(
    request: &MigrationArgs,
    into: &SourceConfig,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let target = session.connect_target_offline(into, ui)?;
    let kinds = kinds(request, target.capabilities())?;
    let archive = session.archive_to_read(ui)?;
    let options = options(request, into, session, &archive)?;
    let undated_left_out = archive.count_undated_left_out(&options.selection.filter)?;
    ui.say_undated(undated_left_out);
    let plans = plan_agent(&archive, &options, &*target, &name(into), &kinds)?;
    write_loss_report(plans.iter().flat_map(|plan| &plan.loss_report), request.loss_csv.as_deref())?;
    show_plans(&plans, into, target.capabilities(), ui)?;
    if let Err(refused) = refuse_empty_plans(&plans) {
        ui.say(&format!("a run would fail: {}", refused.message()));
    }
    ui.result(&PlanResult {
        target: into.name.as_str(),
        provider: into.entry.descriptor.name,
        agent_id: agent_id(into),
        plans: &plans,
        notes: target.capabilities().notes,
        undated_left_out,
    })?;
    Ok(Exit::Complete)
}

pub(super) fn run(
    args: &MigrateRunArgs,
    into: &SourceConfig,
    session: &Session,
    ui: &Ui,
    verbose: bool,
) -> Result<Exit, Failure> {
    let request = &args.request;
    let target = session.connect_target(into, ui)?;
    let kinds = kinds(request, target.capabilities())?;
    let archive = open(session, ui)?;
    let options = options(request, into, session, &archive)?;
    let undated_left_out = archive.count_undated_left_out(&options.selection.filter)?;
    ui.say_undated(undated_left_out);
    let plans = plan_agent(&archive, &options, &*target, &name(into), &kinds)?;
    write_loss_report(plans.iter().flat_map(|plan| &plan.loss_report), request.loss_csv.as_deref())?;
    unless_closed(show_plans(&plans, into, target.capabilities(), ui))?;
    refuse_empty_plans(&plans)?;
    let new: u64 = plans.iter().map(|plan| plan.items - plan.already).sum();
    confirm(args.yes || new == 0, &question(new, into), ui)?;
    let migration = AgentMigration { target, name: name(into), kinds, options, clock: session.clock.clone() };
    let (archive, results, exit) = migrate_all(archive, migration, plans, ui)?;
    archive.close()?;
    show_errors(&results, ui, verbose);
    let error = results.iter().find_map(|result| result.error.as_ref());
    unless_closed(results.iter().try_for_each(|result| ui.line(&summary(result))).map_err(Failure::Output))?;
    ui.result(&RunResult {
        target: into.name.as_str(),
        provider: into.entry.descriptor.name,
        agent_id: agent_id(into),
        results: &results,
        error: error.map(ToString::to_string),
        hint: error.and_then(Error::next_step).map(str::to_owned),
        exit_code: exit.code(),
        undated_left_out,
    })?;
    Ok(exit)
}

/// Ignores a closed standard output: the migration matters more than its report.
fn unless_closed(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Completes the result of a run that ended early with the numbers of its plan.
fn fill_from_plans(results: &mut [KindResult], plans: Vec<AgentPlan>) {
    for plan in plans {
        let ended = results.iter_mut().find(|result| result.kind == plan.kind && result.error.is_some());
        if let Some(ended) = ended {
            (ended.conversations, ended.messages, ended.loss_report) =
                (plan.conversations, plan.messages, plan.loss_report);
            (ended.counts.items, ended.counts.already) = (plan.items, plan.already);
        }
    }
    for KindResult { counts, remaining, .. } in results {
        *remaining =
            counts.items.saturating_sub(counts.written + counts.already + counts.existing + counts.refused);
    }
}

fn migrate_all(
    archive: Archive,
    migration: AgentMigration,
    plans: Vec<AgentPlan>,
    ui: &Ui,
) -> Result<(Archive, Vec<KindResult>, Exit)> {
    runtime()?.block_on(async {
        let stop = Stop::listen(ui)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "listen for signals", error))?;
        let migrated = migrate(archive, migration, Arc::new(ui.clone()), stop.token.clone()).await;
        ui.end_migration();
        let (archive, mut results) = migrated?;
        fill_from_plans(&mut results, plans);
        let exit = stop.exit(exit_of(&results));
        Ok((archive, results, exit))
    })
}

fn exit_of(results: &[KindResult]) -> Exit {
    match results.iter().find_map(|result| result.error.as_ref()) {
        Some(error) => Exit::of_error(error),
        None if results.iter().all(KindResult::is_complete) => Exit::Complete,
        None => Exit::Partial,
    }
}

/// Opens the archive for writing the ledger. A missing archive is an error, and is not created.
fn open(session: &Session, ui: &Ui) -> Result<Archive> {
    if session.config.archive.exists() { session.archive(ui) } else { session.archive_to_read(ui) }
}

/// Returns the kinds to migrate, in their order.
fn kinds(request: &MigrationArgs, capabilities: &Capabilities) -> Result<Vec<DataKind>> {
    let taken: Vec<_> = capabilities.kinds.iter().map(|limits| limits.kind).collect();
    let chosen: Vec<_> =
        taken.iter().copied().filter(|kind| request.only.is_none_or(|only| only == *kind)).collect();
    let words: Vec<_> = taken.iter().map(|kind| kind.as_str()).collect();
    let hint = format!("{} takes {}", capabilities.title, words.join(" and "));
    let refused =
        |message: String| Err(Error::new(ErrorKind::Usage, "choose what to migrate", message).hint(&hint));
    if let (Some(only), []) = (request.only, chosen.as_slice()) {
        return refused(format!("{} takes no {}", capabilities.title, only.as_str()));
    }
    let takes_texts = capabilities.kinds.iter().any(|limits| limits.text_characters.is_some());
    if request.as_text && !takes_texts {
        return refused(format!("{} takes no texts", capabilities.title));
    }
    Ok(chosen)
}

/// Returns what to migrate: the chosen sources or all of the archive, without the target's own agent under any name.
fn options(
    request: &MigrationArgs,
    into: &SourceConfig,
    session: &Session,
    archive: &Archive,
) -> Result<MigrationOptions> {
    let mut sources = source_names(request, session)?;
    let held = archive.status()?;
    let is_target = |name: &str| {
        let named = |status: &&SourceStatus| status.source == name;
        // Compared by id alone: an agent may be read through two APIs of its vendor.
        let of_archive = held.iter().find(named).map(|status| status.agent_id.clone());
        let of_config = session.config.sources.iter().find(|source| source.name.as_str() == name);
        of_archive.or_else(|| of_config.map(agent_id)).is_some_and(|agent| agent == agent_id(into))
    };
    if let Some(itself) = sources.iter().find(|source| is_target(source.as_str())) {
        let message =
            format!("`{itself}` is the agent of `{}`, which cannot be migrated into itself", into.name);
        return Err(Error::new(ErrorKind::Usage, "choose the sources", message)
            .hint("leave it out of `--from`, or choose another target"));
    }
    if sources.is_empty() {
        let others = held.iter().filter(|status| !is_target(&status.source));
        sources = others.map(|status| SourceName::new(status.source.as_str())).collect::<Result<_>>()?;
    }
    if sources.is_empty() {
        let message = "the archive has no other source than the target itself";
        return Err(
            Error::new(ErrorKind::Usage, "choose the sources", message).hint("pull another source first")
        );
    }
    let (selection, as_text) = (selection(request, sources)?, request.as_text);
    Ok(MigrationOptions { selection, as_text, agent_id: agent_id(into) })
}

/// Returns the name of a target in the ledger, which does not depend on the config.
pub(super) fn name(into: &SourceConfig) -> String {
    format!("{} {}", into.entry.descriptor.name, agent_id(into))
}

fn agent_id(into: &SourceConfig) -> String {
    into.settings.text("agent_id").unwrap_or_default()
}

fn show_plans(
    plans: &[AgentPlan],
    into: &SourceConfig,
    capabilities: &Capabilities,
    ui: &Ui,
) -> Result<(), Failure> {
    for plan in plans {
        ui.line(&planned(plan, into))?;
        show_loss_report(&plan.loss_report, ui)?;
        ui.line("")?;
    }
    capabilities.notes.iter().for_each(|note| ui.say(&format!("note: {note}")));
    for plan in plans.iter().filter(|plan| plan.kind == DataKind::Knowledge && plan.others > 0) {
        ui.warn(&format!(
            "{} other sources of knowledge were written before; what they share with these will be in the agent twice",
            with_commas(plan.others)
        ));
    }
    Ok(())
}

fn planned(plan: &AgentPlan, into: &SourceConfig) -> String {
    let what = match plan.kind {
        DataKind::History => "conversations",
        DataKind::Contacts => "people",
        DataKind::Knowledge => "sources of knowledge",
    };
    let mut text = format!(
        "{}: {} conversations with {} messages become {} {what} in {}",
        plan.kind.as_str(),
        with_commas(plan.conversations),
        with_commas(plan.messages),
        with_commas(plan.items),
        into.name
    );
    if plan.already > 0 {
        let _ = write!(text, ", {} of them already there", with_commas(plan.already));
    }
    if plan.changed > 0 {
        let _ = write!(
            text,
            " ({} have changed in the archive since and stay unchanged there)",
            with_commas(plan.changed)
        );
    }
    let time = match plan.seconds {
        Some(seconds) => format!("at least {seconds} s by the rate limit"),
        None => "as fast as the vendor responds".to_owned(),
    };
    format!("{text}; about {} requests, {time}, {} credits", with_commas(plan.requests), plan.credits)
}

/// Fails if a run would write nothing.
fn refuse_empty_plans(plans: &[AgentPlan]) -> Result<()> {
    let chosen = plans.iter().map(|plan| plan.conversations).max().unwrap_or(0);
    refuse_empty(chosen, plans.iter().map(|plan| plan.items).sum())
}

/// Returns the question before anything is written into an account.
fn question(new: u64, into: &SourceConfig) -> String {
    let (agent, title) = (agent_id(into), into.entry.descriptor.title);
    format!("Write {} items into `{}` ({agent}) at {title}? [y/N] ", with_commas(new), into.name)
}

/// Returns a line with the result of a kind.
fn summary(result: &KindResult) -> String {
    let counts = &result.counts;
    let mut text = format!(
        "{}: {} selected, {} written, {} already there",
        result.kind.as_str(),
        with_commas(counts.items),
        with_commas(counts.written),
        with_commas(counts.already)
    );
    for (number, what) in [
        (counts.existing, "already there without Chatark and left unchanged"),
        (counts.changed, "changed in the archive since"),
        (counts.recovered, "found there after an ambiguous request"),
        (counts.refused, "refused"),
        (result.remaining, "left for the next run"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {} {what}", with_commas(number));
        }
    }
    if let Some(ReadBack { expected, found, differing, .. }) = &result.read_back {
        let _ = write!(
            text,
            "; the agent shows {} of {} in the ledger",
            with_commas(*found),
            with_commas(*expected)
        );
        if *differing > 0 {
            let _ = write!(text, ", {} with another number of messages", with_commas(*differing));
        }
    }
    let is_stopped = result
        .error
        .as_ref()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::Budget | ErrorKind::Interrupted));
    let severity = match result.is_complete() {
        true => Severity::Ok,
        false if is_stopped => Severity::Warning,
        false => Severity::Failure,
    };
    format!("{}{text}", label(severity))
}

/// Shows what went wrong, and what to do about it.
fn show_errors(results: &[KindResult], ui: &Ui, verbose: bool) {
    for result in results {
        match (&result.error, &result.refusal) {
            (Some(error), _) => ui.error(error, verbose),
            (None, Some(error)) => {
                ui.error(error, verbose);
                ui.hint(
                    "`chatark migrate ledger` shows the error of each item; the next run tries them again at its end",
                );
            }
            (None, None) => {}
        }
        if result.error.is_none() && result.unfinished > 0 {
            ui.warn(&format!(
                "{} items of an earlier run are unfinished and not selected now: run it again without filters",
                with_commas(result.unfinished)
            ));
        }
        if let Some(read_back) = result.read_back.as_ref().filter(|read_back| !read_back.is_complete()) {
            // The idempotency keys of people may be their addresses.
            if let (DataKind::History, Some(missing)) = (result.kind, read_back.missing.first()) {
                let missing = identifier::masked(missing);
                ui.say(&format!("the target does not show {missing}, for example"));
            }
            ui.hint("the vendor may show the last items later: run the same command to count again, nothing is written twice. Items that were deleted at the target are not written again: after you have emptied the agent, run `chatark migrate forget`, then migrate again");
        }
    }
}
