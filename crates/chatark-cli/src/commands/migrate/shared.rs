//! What plans, runs and the ledger share: the selection, confirmation, and CSV files.

use std::io::{self, IsTerminal};
use std::path::Path;

use chatark_archive::Filter;
use chatark_core::{Error, ErrorKind, Result, SourceName, Window};
use chatark_formats::{Bundle, Column, ColumnType, CsvDialect, Table};
use chatark_migrate::MigrationSelection;
use chatark_target::LossRow;

use crate::args::MigrationArgs;
use crate::session::{Session, names};
use crate::ui::{Ui, format_table};

/// Asks for confirmation of what cannot be undone, unless `yes` confirms it already. Without a terminal, nobody can be
/// asked, and it fails.
pub(super) fn confirm(yes: bool, question: &str, ui: &Ui) -> Result<()> {
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
pub(super) fn migration_selection(
    migration: &MigrationArgs,
    sources: Vec<SourceName>,
) -> Result<MigrationSelection> {
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
pub(super) fn requested_sources(migration: &MigrationArgs, session: &Session) -> Result<Vec<SourceName>> {
    let chosen = session.select_sources(&migration.from)?;
    Ok(if migration.from.is_empty() { Vec::new() } else { names(&chosen) })
}

pub(super) fn show_loss_report(loss_report: &[LossRow], ui: &Ui) -> io::Result<()> {
    if loss_report.is_empty() {
        return Ok(());
    }
    let mut rows = vec![LossRow::COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(loss_report.iter().map(|row| row.cells().to_vec()));
    ui.print_line("")?;
    format_table(&rows, &[2]).iter().try_for_each(|line| ui.print_line(line))
}

/// Fails if a path cannot be the name of a file, before anything is written.
pub(super) fn check_file(option: &str, path: Option<&Path>) -> Result<()> {
    let is_bad = path.is_some_and(|path| path.file_name().is_none() || path.is_dir());
    if !is_bad {
        return Ok(());
    }
    let message = format!("the value of `{option}` is not a file name");
    Err(Error::new(ErrorKind::Usage, "choose the file", message).hint("name a file such as `report.csv`"))
}

pub(super) fn write_loss_report<'a>(
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
pub(super) fn write_csv(
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
        let mut table = bundle.begin_table(name.to_owned(), &columns)?;
        fill(&mut table)?;
        bundle.add_table(table)?;
        bundle.finish()
    };
    write().map(drop).map_err(|error: Error| error.hint(format!("choose another file with `{option}`")))
}
