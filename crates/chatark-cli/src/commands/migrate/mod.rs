//! `chatark migrate`: copies data from the archive to another platform, and reports what is lost.

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
            check_file("--loss-csv", args.migration.loss_csv.as_deref())?;
            match destination(&args.migration, &session)? {
                Destination::Files(format) => files::plan(&args.migration, format, &session, ui),
                Destination::Agent(source) => agent::plan(&args.migration, source, &session, ui),
            }
        }
        MigrateAction::Run(args) => {
            check_file("--loss-csv", args.migration.loss_csv.as_deref())?;
            session.set_budget(args.budget());
            match destination(&args.migration, &session)? {
                Destination::Files(format) => files::run(args, format, &session, ui),
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

/// Returns the destination that `--to` names: a file format, or the agent of a source.
fn destination<'a>(migration: &MigrationArgs, session: &'a Session) -> Result<Destination<'a>> {
    if let Some(format) = FileFormat::from_word(&migration.to) {
        if migration.only.is_some() || migration.as_text {
            let message = "`--only` and `--as-text` are for agents, not for files";
            return Err(Error::new(ErrorKind::Usage, "choose the target", message)
                .hint("leave them out, or name a source of the config with `--to`"));
        }
        return Ok(Destination::Files(format));
    }
    let sources = &session.config.sources;
    let named = sources.iter().find(|source| source.name.as_str() == migration.to);
    named.map(Destination::Agent).ok_or_else(|| {
        let formats: Vec<_> = FileFormat::ALL.iter().map(|format| format.as_str()).collect();
        let agents: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        let message = format!("`{}` is neither a format nor a source of the config", migration.to);
        Error::new(ErrorKind::Usage, "choose the target", message)
            .with("config", session.config.path.display())
            .hint(format!("the formats are {}; the sources are {}", formats.join(", "), agents.join(", ")))
    })
}

/// Asks for confirmation of what cannot be undone, unless `yes` confirms it already. Without a terminal, nobody can be
/// asked, and it fails.
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

/// Returns which conversations of these sources are migrated.
fn migration_selection(migration: &MigrationArgs, sources: Vec<SourceName>) -> Result<MigrationSelection> {
    let window = Window::new(migration.since, migration.until)?;
    Ok(MigrationSelection {
        filter: Filter { sources, window, undated: migration.undated, channel: migration.channel },
        status: migration.status,
        feedback: migration.feedback,
        min_messages: migration.min_messages,
        tag: migration.tag.clone(),
        sample: migration.sample,
    })
}

/// Returns the names of the sources that `--from` lists. Without `--from`, the list is empty: it stands for the whole
/// archive, including sources that the config no longer has.
fn requested_sources(migration: &MigrationArgs, session: &Session) -> Result<Vec<SourceName>> {
    let chosen = session.select_sources(&migration.from)?;
    Ok(if migration.from.is_empty() { Vec::new() } else { names(&chosen) })
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

/// Fails if a path cannot be the name of a file, before anything is written.
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

/// Writes a CSV file if a path is given. The file is written completely or not at all.
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
