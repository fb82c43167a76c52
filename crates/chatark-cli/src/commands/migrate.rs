//! `chatark migrate`: the archive carried to another platform, with what is lost on the way.

use std::path::Path;

use chatark_archive::{Archive, Filter};
use chatark_core::{Error, ErrorKind, Loss, Result, Window};
use chatark_formats::{Bundle, Column, CsvDialect, FileEntry, Kind};
use chatark_migrate::{Plan, Selection, Written};
use serde::Serialize;

use crate::args::{Global, MigrateAction, MigrateArgs, MigrateRunArgs, Move};
use crate::exit::Exit;
use crate::session::{Failure, Session, names};
use crate::ui::{Ui, bytes, grouped, table};

#[derive(Serialize)]
struct PlanResult<'a> {
    target: &'static str,
    #[serde(flatten)]
    plan: &'a Plan,
}

#[derive(Serialize)]
struct RunResult<'a> {
    target: &'static str,
    folder: String,
    #[serde(flatten)]
    written: &'a Written,
}

pub(crate) fn run(args: &MigrateArgs, global: &Global, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    match &args.action {
        MigrateAction::Plan(args) => plan(&args.what, &session, ui),
        MigrateAction::Run(args) => write(args, &session, ui),
    }
}

fn plan(what: &Move, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let (archive, selection) = chosen(what, session)?;
    let plan = chatark_migrate::plan(&archive, &selection, what.to)?;
    write_losses(&plan.losses, what.loss_csv.as_deref())?;
    show(&plan, what, ui)?;
    if let Err(refused) = plan.refuse_nothing() {
        ui.say(&format!("a run would be refused: {}", refused.message()));
    }
    ui.result(&PlanResult { target: what.to.as_str(), plan: &plan })?;
    Ok(Exit::Complete)
}

fn write(args: &MigrateRunArgs, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let what = &args.what;
    let (archive, selection) = chosen(what, session)?;
    let output = &session.config.output;
    let dialect = CsvDialect { bom: args.csv_bom || output.csv_bom, safe: args.csv_safe || output.csv_safe };
    let written = chatark_migrate::run(&archive, &selection, what.to, &args.output, dialect)?;
    write_losses(&written.plan.losses, what.loss_csv.as_deref())?;
    show(&written.plan, what, ui)?;
    for file in written.files.iter().take(MOST_FILES) {
        ui.say(&wrote(&args.output, file));
    }
    let left_out = written.files.len().saturating_sub(MOST_FILES);
    if left_out > 0 {
        ui.say(&format!("wrote {} more files in {}", grouped(left_out as u64), args.output.display()));
    }
    let folder = args.output.display().to_string();
    ui.result(&RunResult { target: what.to.as_str(), folder, written: &written })?;
    Ok(Exit::Complete)
}

/// So many files are named.
const MOST_FILES: usize = 5;

fn wrote(folder: &Path, file: &FileEntry) -> String {
    format!("wrote {}: {}", folder.join(&file.name).display(), bytes(file.bytes))
}

fn chosen(what: &Move, session: &Session) -> Result<(Archive, Selection), Failure> {
    check_losses(what.loss_csv.as_deref())?;
    let chosen = session.chosen(&what.from)?;
    let window = Window::new(what.since, what.until)?;
    // Without names, sources that the config no longer has go too.
    let sources = if what.from.is_empty() { Vec::new() } else { names(&chosen) };
    let selection = Selection {
        filter: Filter { sources, window, channel: what.channel },
        status: what.status,
        feedback: what.feedback,
        min_messages: what.min_messages,
        tag: what.tag.clone(),
        sample: what.sample,
    };
    Ok((session.archive_to_read()?, selection))
}

/// Shows the numbers and the loss report, and writes it as a file where that is wanted.
fn show(plan: &Plan, what: &Move, ui: &Ui) -> Result<(), Failure> {
    let Plan { conversations, messages, items, losses } = plan;
    ui.line(&format!(
        "{} conversations with {} messages become {} in {}",
        grouped(*conversations),
        grouped(*messages),
        counted(*items),
        what.to.as_str()
    ))?;
    let mut rows = vec![["field", "fate", "count", "example", "why"].map(str::to_owned).to_vec()];
    rows.extend(losses.iter().map(|loss| loss.cells().to_vec()));
    if !losses.is_empty() {
        ui.line("")?;
    }
    for line in table(&rows, &[2]).iter().filter(|_| !losses.is_empty()) {
        ui.line(line)?;
    }
    Ok(())
}

fn counted(items: u64) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{} items", grouped(items)) }
}

/// Refuses a place for the loss report that can be none, before anything is written.
fn check_losses(path: Option<&Path>) -> Result<()> {
    let is_bad = path.is_some_and(|path| path.file_name().is_none() || path.is_dir());
    if !is_bad {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Usage, "write the loss report", "`--loss-csv` names no file");
    Err(error.hint("name a file such as `loss.csv`"))
}

fn write_losses(losses: &[Loss], path: Option<&Path>) -> Result<()> {
    let Some((folder, name)) = path.and_then(|path| Some((path.parent()?, path.file_name()?.to_str()?)))
    else {
        return Ok(());
    };
    let write = || {
        let mut bundle = Bundle::begin(folder, CsvDialect::default())?;
        let columns = Loss::COLUMNS.map(|name| Column::new(name, Kind::Text, ""));
        let mut table = bundle.table(name.to_owned(), &columns)?;
        for loss in losses {
            table.write(|row| loss.cells().iter().try_for_each(|cell| row.text(cell.as_str())))?;
        }
        bundle.add(table)?;
        bundle.finish()
    };
    write().map(drop).map_err(|error: Error| error.hint("choose another file with `--loss-csv`"))
}
