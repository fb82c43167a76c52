//! Migrations into an agent, over its vendor's API.

use std::fmt::Write as _;
use std::sync::Arc;

use chatark_archive::{Archive, SourceStatus};
use chatark_core::{Error, ErrorKind, Result, SourceName};
use chatark_migrate::{Carried, Forecast, Job, Order, ReadBack, carry, forecast};
use chatark_target::{Capabilities, DataKind};
use serde::Serialize;

use super::{confirm, selection, show_loss_report, taken_from, write_loss_report};
use crate::args::{MigrateRunArgs, Move};
use crate::config::SourceConfig;
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::stop::Stop;
use crate::ui::{Mark, Ui, grouped, mark};

#[derive(Serialize)]
struct PlanResult<'a> {
    target: &'a str,
    provider: &'static str,
    agent_id: String,
    plans: &'a [Forecast],
    notes: &'static [&'static str],
}

#[derive(Serialize)]
struct RunResult<'a> {
    target: &'a str,
    provider: &'static str,
    agent_id: String,
    carried: &'a [Carried],
    error: Option<String>,
    hint: Option<String>,
    exit_code: u8,
}

pub(super) fn plan(what: &Move, into: &SourceConfig, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let target = session.connect_target_offline(into, ui)?;
    let kinds = kinds(what, target.capabilities())?;
    let archive = session.archive_to_read(ui)?;
    let order = order(what, into, session, &archive)?;
    let plans = forecast(&archive, &order, &*target, &name(into), &kinds)?;
    write_loss_report(plans.iter().flat_map(|plan| &plan.loss_report), what.loss_csv.as_deref())?;
    show_plans(&plans, into, target.capabilities(), ui)?;
    if let Err(refused) = refuse_nothing(&plans) {
        ui.say(&format!("a run would be refused: {}", refused.message()));
    }
    ui.result(&PlanResult {
        target: into.name.as_str(),
        provider: into.entry.descriptor.name,
        agent_id: agent_id(into),
        plans: &plans,
        notes: target.capabilities().notes,
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
    let what = &args.what;
    let target = session.connect_target(into, ui)?;
    let kinds = kinds(what, target.capabilities())?;
    let archive = open(session, ui)?;
    let order = order(what, into, session, &archive)?;
    let plans = forecast(&archive, &order, &*target, &name(into), &kinds)?;
    write_loss_report(plans.iter().flat_map(|plan| &plan.loss_report), what.loss_csv.as_deref())?;
    heard(show_plans(&plans, into, target.capabilities(), ui))?;
    refuse_nothing(&plans)?;
    let new: u64 = plans.iter().map(|plan| plan.items - plan.already).sum();
    confirm(args.yes || new == 0, &question(new, into), ui)?;
    let job = Job { target, name: name(into), kinds, order, clock: session.clock.clone() };
    let (archive, carried, exit) = carry_all(archive, job, plans, ui)?;
    archive.close()?;
    tell(&carried, ui, verbose);
    let error = carried.iter().find_map(|carried| carried.error.as_ref());
    heard(carried.iter().try_for_each(|carried| ui.line(&summary(carried))).map_err(Failure::Output))?;
    ui.result(&RunResult {
        target: into.name.as_str(),
        provider: into.entry.descriptor.name,
        agent_id: agent_id(into),
        carried: &carried,
        error: error.map(ToString::to_string),
        hint: error.and_then(Error::next_step).map(str::to_owned),
        exit_code: exit.code(),
    })?;
    Ok(exit)
}

/// Goes on where nobody reads standard output any more: what is written elsewhere matters more than who hears of it.
fn heard(said: Result<(), Failure>) -> Result<(), Failure> {
    match said {
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Says of a run that ended early what was planned, since it did not come to its own end.
fn fill(carried: &mut [Carried], plans: Vec<Forecast>) {
    for plan in plans {
        let ended = carried.iter_mut().find(|carried| carried.kind == plan.kind && carried.error.is_some());
        if let Some(ended) = ended {
            (ended.conversations, ended.messages, ended.loss_report) =
                (plan.conversations, plan.messages, plan.loss_report);
            (ended.tally.items, ended.tally.already) = (plan.items, plan.already);
        }
    }
    for Carried { tally, left, .. } in carried {
        *left = tally.items.saturating_sub(tally.written + tally.already + tally.theirs + tally.refused);
    }
}

fn carry_all(
    archive: Archive,
    job: Job,
    plans: Vec<Forecast>,
    ui: &Ui,
) -> Result<(Archive, Vec<Carried>, Exit)> {
    runtime()?.block_on(async {
        let stop = Stop::listen(ui)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "listen for signals", error))?;
        let carried = carry(archive, job, Arc::new(ui.clone()), stop.token.clone()).await;
        ui.end_migration();
        let (archive, mut carried) = carried?;
        fill(&mut carried, plans);
        let exit = stop.exit(exit_of(&carried));
        Ok((archive, carried, exit))
    })
}

fn exit_of(carried: &[Carried]) -> Exit {
    match carried.iter().find_map(|carried| carried.error.as_ref()) {
        Some(error) => Exit::of_error(error),
        None if carried.iter().all(Carried::is_good) => Exit::Complete,
        None => Exit::Partial,
    }
}

/// Opens the archive to write into its ledger. An archive that is not there is not made.
fn open(session: &Session, ui: &Ui) -> Result<Archive> {
    if session.config.archive.exists() { session.archive(ui) } else { session.archive_to_read(ui) }
}

/// Returns the kinds that go, in the order in which they do.
fn kinds(what: &Move, capabilities: &Capabilities) -> Result<Vec<DataKind>> {
    let taken: Vec<_> = capabilities.kinds.iter().map(|limits| limits.kind).collect();
    let chosen: Vec<_> =
        taken.iter().copied().filter(|kind| what.only.is_none_or(|only| only == *kind)).collect();
    let words: Vec<_> = taken.iter().map(|kind| kind.as_str()).collect();
    let hint = format!("{} takes {}", capabilities.title, words.join(" and "));
    let refused =
        |message: String| Err(Error::new(ErrorKind::Usage, "choose what goes", message).hint(&hint));
    if let (Some(only), []) = (what.only, chosen.as_slice()) {
        return refused(format!("{} takes no {}", capabilities.title, only.as_str()));
    }
    let takes_texts = capabilities.kinds.iter().any(|limits| limits.text_characters.is_some());
    if what.as_text && !takes_texts {
        return refused(format!("{} takes no texts", capabilities.title));
    }
    Ok(chosen)
}

/// Returns what goes: of the chosen sources, or of all of the archive; never of the agent that it goes into, whatever
/// the archive and the config call it.
fn order(what: &Move, into: &SourceConfig, session: &Session, archive: &Archive) -> Result<Order> {
    let mut sources = taken_from(what, session)?;
    let held = archive.status()?;
    let is_target = |name: &str| {
        let named = |status: &&SourceStatus| status.source == name;
        // By its id alone: one agent may be read through two of its vendor's APIs.
        let of_archive = held.iter().find(named).map(|status| status.agent_id.clone());
        let of_config = session.config.sources.iter().find(|source| source.name.as_str() == name);
        of_archive.or_else(|| of_config.map(agent_id)).is_some_and(|agent| agent == agent_id(into))
    };
    if let Some(itself) = sources.iter().find(|source| is_target(source.as_str())) {
        let message = format!("`{itself}` is the agent of `{}`, which cannot go into itself", into.name);
        return Err(Error::new(ErrorKind::Usage, "choose the sources", message)
            .hint("leave it out of `--from`, or choose another target"));
    }
    if sources.is_empty() {
        let others = held.iter().filter(|status| !is_target(&status.source));
        sources = others.map(|status| SourceName::new(status.source.as_str())).collect::<Result<_>>()?;
    }
    if sources.is_empty() {
        let message = "the archive has no source but the target itself";
        return Err(
            Error::new(ErrorKind::Usage, "choose the sources", message).hint("pull another source first")
        );
    }
    let (selection, as_text) = (selection(what, sources)?, what.as_text);
    Ok(Order { selection, as_text, agent_id: agent_id(into) })
}

/// Returns the name of a target in the ledger: the same whatever the config calls it.
pub(super) fn name(into: &SourceConfig) -> String {
    format!("{} {}", into.entry.descriptor.name, agent_id(into))
}

fn agent_id(into: &SourceConfig) -> String {
    into.settings.text("agent_id").unwrap_or_default()
}

fn show_plans(
    plans: &[Forecast],
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
            "{} other sources of knowledge went there before; what those have in common with these is taught twice",
            grouped(plan.others)
        ));
    }
    Ok(())
}

fn planned(plan: &Forecast, into: &SourceConfig) -> String {
    let what = match plan.kind {
        DataKind::History => "conversations",
        DataKind::Contacts => "people",
        DataKind::Knowledge => "sources of knowledge",
    };
    let mut text = format!(
        "{}: {} conversations with {} messages become {} {what} in {}",
        plan.kind.as_str(),
        grouped(plan.conversations),
        grouped(plan.messages),
        grouped(plan.items),
        into.name
    );
    if plan.already > 0 {
        let _ = write!(text, ", {} of them there already", grouped(plan.already));
    }
    if plan.changed > 0 {
        let _ = write!(
            text,
            " ({} have changed here since and are left as they are there)",
            grouped(plan.changed)
        );
    }
    let time = match plan.seconds {
        Some(seconds) => format!("at least {seconds} s by the rate limit"),
        None => "as fast as the vendor answers".to_owned(),
    };
    format!("{text}; about {} requests, {time}, {} credits", grouped(plan.requests), plan.credits)
}

/// Refuses a run of which nothing would come.
fn refuse_nothing(plans: &[Forecast]) -> Result<()> {
    let chosen = plans.iter().map(|plan| plan.conversations).max().unwrap_or(0);
    chatark_migrate::refuse_nothing(chosen, plans.iter().map(|plan| plan.items).sum())
}

/// Returns what is asked before anything is written into somebody's account.
fn question(new: u64, into: &SourceConfig) -> String {
    let (agent, title) = (agent_id(into), into.entry.descriptor.title);
    format!("Write {} things into `{}` ({agent}) at {title}? [y/N] ", grouped(new), into.name)
}

/// Returns the line that says what a kind came to, with the numbers that prove it.
fn summary(carried: &Carried) -> String {
    let tally = &carried.tally;
    let mut text = format!(
        "{}: {} chosen, {} written, {} there already",
        carried.kind.as_str(),
        grouped(tally.items),
        grouped(tally.written),
        grouped(tally.already)
    );
    for (number, what) in [
        (tally.theirs, "there without Chatark, and left as they are"),
        (tally.changed, "changed here since"),
        (tally.recovered, "found again after an answer that did not arrive"),
        (tally.refused, "refused"),
        (carried.left, "left for the next run"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {} {what}", grouped(number));
        }
    }
    if let Some(ReadBack { expected, found, differing, .. }) = &carried.read_back {
        let _ = write!(text, "; the agent shows {} of the {} in all", grouped(*found), grouped(*expected));
        if *differing > 0 {
            let _ = write!(text, ", {} with another number of messages", grouped(*differing));
        }
    }
    let is_stopped = carried
        .error
        .as_ref()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::Budget | ErrorKind::Interrupted));
    let judged = match carried.is_good() {
        true => Mark::Good,
        false if is_stopped => Mark::Warning,
        false => Mark::Bad,
    };
    format!("{}{text}", mark(judged))
}

/// Says what went wrong, and what to do about it.
fn tell(carried: &[Carried], ui: &Ui, verbose: bool) {
    for carried in carried {
        match (&carried.error, &carried.refusal) {
            (Some(error), _) => ui.error(error, verbose),
            (None, Some(error)) => {
                ui.error(error, verbose);
                ui.hint(
                    "`chatark migrate ledger` says of each one why; the next run tries them again at its end",
                );
            }
            (None, None) => {}
        }
        if carried.error.is_none() && carried.unfinished > 0 {
            ui.warn(&format!(
                "{} that an earlier run began are not among what was chosen now: run it again without filters",
                grouped(carried.unfinished)
            ));
        }
        if let Some(read_back) = carried.read_back.as_ref().filter(|read_back| !read_back.is_whole()) {
            // The marks of people may be their addresses.
            if let (DataKind::History, Some(missing)) = (carried.kind, read_back.missing.first()) {
                ui.say(&format!("the target does not show {missing}, for one"));
            }
            ui.hint("the vendor may show the last ones later: run the same command again to count again, nothing is written twice; what was deleted there can go again after `chatark migrate forget`");
        }
    }
}
