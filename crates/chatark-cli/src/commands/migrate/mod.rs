//! `chatark migrate`: copies the archive to another platform, and reports what is lost.

mod agent;
mod files;
mod ledger;

use std::io::{self, IsTerminal};
use std::path::Path;

use chatark_archive::Filter;
use chatark_core::{Error, ErrorKind, Result, SourceName, Window};
use chatark_formats::{Bundle, Column, ColumnType, CsvDialect, Table};
use chatark_migrate::{FileFormat, MigrationSelection};
use chatark_target::LossRow;

use crate::args::{GlobalArgs, MigrateAction, MigrateArgs, MigrationArgs};
use crate::config::SourceConfig;
use crate::exit::Exit;
use crate::session::{Failure, Session, names};
use crate::ui::{Ui, format_table};

/// Where a migration goes.
enum Destination<'a> {
    /// Into files of a format.
    Files(FileFormat),
    /// Into the agent of a source.
    Agent(&'a SourceConfig),
}

pub(crate) fn run(args: &MigrateArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut session = Session::open(global)?;
    match &args.action {
        MigrateAction::Plan(args) => {
            check_file("--loss-csv", args.request.loss_csv.as_deref())?;
            match destination(&args.request, &session)? {
                Destination::Files(target) => files::plan(&args.request, target, &session, ui),
                Destination::Agent(source) => agent::plan(&args.request, source, &session, ui),
            }
        }
        MigrateAction::Run(args) => {
            check_file("--loss-csv", args.request.loss_csv.as_deref())?;
            session.set_budget(args.budget());
            match destination(&args.request, &session)? {
                Destination::Files(target) => files::run(args, target, &session, ui),
                Destination::Agent(source) => agent::run(args, source, &session, ui, global.verbose > 0),
            }
        }
        MigrateAction::Ledger(args) => {
            check_file("--csv", args.csv.as_deref())?;
            ledger::show(args, &session, ui)
        }
        MigrateAction::Forget(args) => ledger::forget(args, &session, ui),
    }
}

/// Returns the target: a format, or the agent of a source.
fn destination<'a>(request: &MigrationArgs, session: &'a Session) -> Result<Destination<'a>> {
    if let Some(target) = FileFormat::from_word(&request.to) {
        if request.only.is_some() || request.as_text {
            let message = "`--only` and `--as-text` are for agents, not for files";
            return Err(Error::new(ErrorKind::Usage, "choose the target", message)
                .hint("leave them out, or name a source of the config with `--to`"));
        }
        return Ok(Destination::Files(target));
    }
    let sources = &session.config.sources;
    let named = sources.iter().find(|source| source.name.as_str() == request.to);
    named.map(Destination::Agent).ok_or_else(|| {
        let formats: Vec<_> = FileFormat::ALL.iter().map(|target| target.as_str()).collect();
        let agents: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        let message = format!("`{}` is neither a format nor a source of the config", request.to);
        Error::new(ErrorKind::Usage, "choose the target", message)
            .with("config", session.config.path.display())
            .hint(format!("the formats are {}; the sources are {}", formats.join(", "), agents.join(", ")))
    })
}

/// Asks for confirmation of what cannot be undone. Without a terminal, `yes` is required.
fn confirm(yes: bool, question: &str, ui: &Ui) -> Result<()> {
    if yes {
        return Ok(());
    }
    let refused = |message: &str| Error::new(ErrorKind::Usage, "migrate", message);
    if !io::stdin().is_terminal() {
        return Err(refused("confirmation is needed and there is no terminal; nothing was done")
            .hint("check the plan or the ledger, then run the same command with `--yes`"));
    }
    if ui.ask_yes_no(question) { Ok(()) } else { Err(refused("not confirmed; nothing was done")) }
}

/// Returns the selection of these sources.
fn selection(request: &MigrationArgs, sources: Vec<SourceName>) -> Result<MigrationSelection> {
    let window = Window::new(request.since, request.until)?;
    Ok(MigrationSelection {
        filter: Filter { sources, window, undated: request.undated, channel: request.channel },
        status: request.status,
        feedback: request.feedback,
        min_messages: request.min_messages,
        tag: request.tag.clone(),
        sample: request.sample,
    })
}

/// Returns the names of the chosen sources; an empty list means the whole archive, including sources that the config no
/// longer has.
fn source_names(request: &MigrationArgs, session: &Session) -> Result<Vec<SourceName>> {
    let chosen = session.select_sources(&request.from)?;
    Ok(if request.from.is_empty() { Vec::new() } else { names(&chosen) })
}

fn show_loss_report(loss_report: &[LossRow], ui: &Ui) -> io::Result<()> {
    if loss_report.is_empty() {
        return Ok(());
    }
    let mut rows = vec![LossRow::COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(loss_report.iter().map(|row| row.cells().to_vec()));
    ui.print_line("")?;
    format_table(&rows, &[2]).iter().try_for_each(|line| ui.print_line(line))
}

/// Fails for a path that is not a file, before anything is written.
fn check_file(option: &str, path: Option<&Path>) -> Result<()> {
    let is_bad = path.is_some_and(|path| path.file_name().is_none() || path.is_dir());
    if !is_bad {
        return Ok(());
    }
    let message = format!("the value of `{option}` is not a file name");
    Err(Error::new(ErrorKind::Usage, "choose the file", message).hint("name a file such as `report.csv`"))
}

fn write_loss_report<'a>(
    loss_report: impl IntoIterator<Item = &'a LossRow>,
    path: Option<&Path>,
) -> Result<()> {
    write_csv("--loss-csv", path, &LossRow::COLUMNS, |table| {
        loss_report.into_iter().try_for_each(|loss| {
            table.write(|row| loss.cells().iter().try_for_each(|cell| row.text(cell.as_str())))
        })
    })
}

/// Writes a CSV file if a path is given, completely or not at all.
fn write_csv(
    option: &str,
    path: Option<&Path>,
    columns: &[&'static str],
    fill: impl FnOnce(&mut Table) -> Result<()>,
) -> Result<()> {
    let Some((folder, name)) = path.and_then(|path| Some((path.parent()?, path.file_name()?.to_str()?)))
    else {
        return Ok(());
    };
    let columns: Vec<_> = columns.iter().map(|name| Column::new(name, ColumnType::Text, "")).collect();
    let write = || {
        let mut bundle = Bundle::begin(folder, CsvDialect::default())?;
        let mut table = bundle.table(name.to_owned(), &columns)?;
        fill(&mut table)?;
        bundle.add(table)?;
        bundle.finish()
    };
    write().map(drop).map_err(|error: Error| error.hint(format!("choose another file with `{option}`")))
}
