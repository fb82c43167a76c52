//! Migrations into an agent through the API of its vendor.

use std::fmt::Write as _;
use std::sync::Arc;

use chatark_archive::{Archive, SourceStatus};
use chatark_core::{Error, ErrorKind, Result, SourceName, identifier};
use chatark_migrate::{
    AgentMigration, AgentPlan, KindResult, MigrationOptions, ReadBack, migrate, plan_agent, refuse_empty,
};
use chatark_target::{Capabilities, DataKind};
use serde::Serialize;

use super::shared::{confirm, migration_selection, requested_sources, show_loss_report, write_loss_report};
use crate::args::{MigrateRunArgs, MigrationArgs};
use crate::config::SourceConfig;
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::stop::StopSignal;
use crate::ui::{Severity, Ui, counted, label, with_commas};

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
    migration: &MigrationArgs,
    destination: &SourceConfig,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let target = session.connect_target_offline(destination, ui)?;
    let kinds = selected_kinds(migration, target.capabilities())?;
    let archive = session.open_archive_to_read(ui)?;
    let options = options(migration, destination, session, &archive)?;
    let undated_left_out = archive.count_undated_left_out(&options.selection.filter)?;
    ui.info_undated(undated_left_out);
    let plans = plan_agent(&archive, &options, &*target, &ledger_name(destination), &kinds)?;
    write_loss_report(plans.iter().flat_map(|plan| &plan.loss_report), migration.loss_csv.as_deref())?;
    show_plans(&plans, destination, target.capabilities(), ui)?;
    if let Err(refused) = refuse_empty_plans(&plans) {
        ui.info(&format!("a run would fail: {}", refused.message()));
    }
    ui.print_result(&PlanResult {
        target: destination.name.as_str(),
        provider: destination.provider.descriptor.name,
        agent_id: agent_id(destination),
        plans: &plans,
        notes: target.capabilities().notes,
        undated_left_out,
    })?;
    Ok(Exit::Complete)
}

pub(super) fn run(
    args: &MigrateRunArgs,
    destination: &SourceConfig,
    session: &Session,
    ui: &Ui,
    verbose: bool,
) -> Result<Exit, Failure> {
    let migration = &args.migration;
    let target = session.connect_target(destination, ui)?;
    let kinds = selected_kinds(migration, target.capabilities())?;
    let archive = open_existing_archive(session, ui)?;
    let options = options(migration, destination, session, &archive)?;
    let undated_left_out = archive.count_undated_left_out(&options.selection.filter)?;
    ui.info_undated(undated_left_out);
    let plans = plan_agent(&archive, &options, &*target, &ledger_name(destination), &kinds)?;
    write_loss_report(plans.iter().flat_map(|plan| &plan.loss_report), migration.loss_csv.as_deref())?;
    ignore_closed_output(show_plans(&plans, destination, target.capabilities(), ui))?;
    refuse_empty_plans(&plans)?;
    let new: u64 = plans.iter().map(|plan| plan.items - plan.already).sum();
    confirm(args.yes || new == 0, &confirmation_question(new, destination), ui)?;
    let agent_migration = AgentMigration {
        target,
        name: ledger_name(destination),
        kinds,
        options,
        clock: session.clock.clone(),
    };
    let (archive, results, exit) = migrate_all(archive, agent_migration, plans, ui)?;
    archive.close()?;
    show_errors(&results, ui, verbose);
    let error = results.iter().find_map(|result| result.error.as_ref());
    ignore_closed_output(
        results.iter().try_for_each(|result| ui.print_line(&result_line(result))).map_err(Failure::Output),
    )?;
    ui.print_result(&RunResult {
        target: destination.name.as_str(),
        provider: destination.provider.descriptor.name,
        agent_id: agent_id(destination),
        results: &results,
        error: error.map(ToString::to_string),
        hint: error.and_then(Error::hint_text).map(str::to_owned),
        exit_code: exit.code(),
        undated_left_out,
    })?;
    Ok(exit)
}

/// Ignores a closed standard output: the migration matters more than its report.
fn ignore_closed_output(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Fills in the numbers of a run that ended early from its plan, and the number of items that remain.
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
        let stop = StopSignal::listen(ui)?;
        let migrated = migrate(archive, migration, Arc::new(ui.clone()), stop.token.clone()).await;
        ui.end_migration();
        let (archive, mut results) = migrated?;
        fill_from_plans(&mut results, plans);
        let exit = stop.with_signal(exit_of(&results));
        Ok((archive, results, exit))
    })
}

fn exit_of(results: &[KindResult]) -> Exit {
    match results.iter().find_map(|result| result.error.as_ref()) {
        Some(error) => Exit::of_error(error),
        None if results.iter().all(KindResult::is_complete) => Exit::Complete,
        None => Exit::Incomplete,
    }
}

/// Opens the archive for writing the ledger. Fails if it is missing, instead of creating it.
fn open_existing_archive(session: &Session, ui: &Ui) -> Result<Archive> {
    if session.config.archive.exists() { session.open_archive(ui) } else { session.open_archive_to_read(ui) }
}

/// Returns the data kinds to migrate, in the order in which the target takes them.
fn selected_kinds(migration: &MigrationArgs, capabilities: &Capabilities) -> Result<Vec<DataKind>> {
    let supported: Vec<_> = capabilities.kinds.iter().map(|limits| limits.kind).collect();
    let chosen: Vec<_> =
        supported.iter().copied().filter(|kind| migration.only.is_none_or(|only| only == *kind)).collect();
    let words: Vec<_> = supported.iter().map(|kind| kind.as_str()).collect();
    let hint = format!("{} takes {}", capabilities.title, words.join(" and "));
    let refused =
        |message: String| Err(Error::new(ErrorKind::Usage, "choose what to migrate", message).hint(&hint));
    if let (Some(only), []) = (migration.only, chosen.as_slice()) {
        return refused(format!("{} takes no {}", capabilities.title, only.as_str()));
    }
    let takes_texts = capabilities.kinds.iter().any(|limits| limits.text_characters.is_some());
    if migration.as_text && !takes_texts {
        return refused(format!("{} takes no texts", capabilities.title));
    }
    Ok(chosen)
}

/// Returns what to migrate: the requested sources, or all sources of the archive but those of the target's own agent.
fn options(
    migration: &MigrationArgs,
    destination: &SourceConfig,
    session: &Session,
    archive: &Archive,
) -> Result<MigrationOptions> {
    let mut sources = requested_sources(migration, session)?;
    let archived = archive.status()?;
    let is_target = |name: &str| {
        // Agents are compared by id alone: one agent may be read through two APIs of its vendor.
        let named = |status: &&SourceStatus| status.source == name;
        let of_archive = archived.iter().find(named).map(|status| status.agent_id.clone());
        let of_config = session.config.sources.iter().find(|source| source.name.as_str() == name);
        of_archive.or_else(|| of_config.map(agent_id)).is_some_and(|agent| agent == agent_id(destination))
    };
    if let Some(itself) = sources.iter().find(|source| is_target(source.as_str())) {
        let message = format!(
            "`{itself}` is the agent of `{}`, which cannot be migrated into itself",
            destination.name
        );
        return Err(Error::new(ErrorKind::Usage, "choose the sources", message)
            .hint("leave it out of `--from`, or choose another target"));
    }
    if sources.is_empty() {
        let others = archived.iter().filter(|status| !is_target(&status.source));
        sources = others.map(|status| SourceName::new(status.source.as_str())).collect::<Result<_>>()?;
    }
    if sources.is_empty() {
        let message = "the archive has no other source than the target itself";
        return Err(
            Error::new(ErrorKind::Usage, "choose the sources", message).hint("pull another source first")
        );
    }
    let (selection, as_text) = (migration_selection(migration, sources)?, migration.as_text);
    Ok(MigrationOptions { selection, as_text, agent_id: agent_id(destination) })
}

/// Returns the name of a target in the ledger, which does not depend on the config.
pub(super) fn ledger_name(destination: &SourceConfig) -> String {
    format!("{} {}", destination.provider.descriptor.name, agent_id(destination))
}

fn agent_id(destination: &SourceConfig) -> String {
    destination.settings.text("agent_id").unwrap_or_default()
}

fn show_plans(
    plans: &[AgentPlan],
    destination: &SourceConfig,
    capabilities: &Capabilities,
    ui: &Ui,
) -> Result<(), Failure> {
    for plan in plans {
        ui.print_line(&plan_line(plan, destination))?;
        show_loss_report(&plan.loss_report, ui)?;
        ui.print_line("")?;
    }
    capabilities.notes.iter().for_each(|note| ui.info(&format!("note: {note}")));
    for plan in plans.iter().filter(|plan| plan.kind == DataKind::Knowledge && plan.others > 0) {
        ui.warn(&format!(
            "{} written before; what is in both will be in the agent twice",
            counted(plan.others, "other source of knowledge was", "other sources of knowledge were")
        ));
    }
    Ok(())
}

fn plan_line(plan: &AgentPlan, destination: &SourceConfig) -> String {
    let items = match plan.kind {
        DataKind::History => counted(plan.items, "conversation", "conversations"),
        DataKind::Contacts => counted(plan.items, "person", "people"),
        DataKind::Knowledge => counted(plan.items, "source of knowledge", "sources of knowledge"),
    };
    let mut text = format!(
        "{}: {} with {} become {items} in {}",
        plan.kind.as_str(),
        counted(plan.conversations, "conversation", "conversations"),
        counted(plan.messages, "message", "messages"),
        destination.name
    );
    if plan.already > 0 {
        let _ = write!(text, ", {} of them already there", with_commas(plan.already));
    }
    if plan.changed > 0 {
        let _ = write!(
            text,
            " ({} changed in the archive since and stay unchanged there)",
            with_commas(plan.changed)
        );
    }
    let time = match plan.seconds {
        Some(seconds) => format!("at least {seconds} s by the rate limit"),
        None => "as fast as the vendor responds".to_owned(),
    };
    format!(
        "{text}; about {}, {time}, {}",
        counted(plan.requests, "request", "requests"),
        counted(plan.credits, "credit", "credits")
    )
}

/// Fails if a run would write nothing.
fn refuse_empty_plans(plans: &[AgentPlan]) -> Result<()> {
    let chosen = plans.iter().map(|plan| plan.conversations).max().unwrap_or(0);
    refuse_empty(chosen, plans.iter().map(|plan| plan.items).sum())
}

/// Returns the question that is asked before anything is written into an account.
fn confirmation_question(new: u64, destination: &SourceConfig) -> String {
    let (agent, title) = (agent_id(destination), destination.provider.descriptor.title);
    let items = counted(new, "item", "items");
    format!("Write {items} into `{}` ({agent}) at {title}? [y/N] ", destination.name)
}

/// Returns a line with the result of a kind.
fn result_line(result: &KindResult) -> String {
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

/// Prints what went wrong, and what to do about it.
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
                "{} unfinished and not selected now: run it again without filters",
                counted(result.unfinished, "item of an earlier run is", "items of an earlier run are")
            ));
        }
        if let Some(read_back) = result.read_back.as_ref().filter(|read_back| !read_back.is_complete()) {
            // The idempotency keys of people may be their addresses.
            if let (DataKind::History, Some(missing)) = (result.kind, read_back.missing.first()) {
                let missing = identifier::masked(missing);
                ui.info(&format!("the target does not show {missing}, for example"));
            }
            ui.hint("the vendor may show the last items later: run the same command to count again, nothing is written twice. Items that were deleted at the target are not written again: after you have emptied the agent, run `chatark migrate forget`, then migrate again");
        }
    }
}
