//! Migrations into files.

use std::path::Path;

use chatark_formats::{CsvDialect, FileEntry};
use chatark_migrate::{FileTarget, Plan, Written};
use serde::Serialize;

use super::{selection, show_loss_report, taken_from, write_loss_report};
use crate::args::{MigrateRunArgs, Move};
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, bytes, grouped};

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

pub(super) fn plan(what: &Move, target: FileTarget, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let selection = selection(what, taken_from(what, session)?)?;
    let plan = chatark_migrate::plan(&session.archive_to_read(ui)?, &selection, target)?;
    write_loss_report(&plan.loss_report, what.loss_csv.as_deref())?;
    show(&plan, target, ui)?;
    if let Err(refused) = plan.refuse_nothing() {
        ui.say(&format!("a run would be refused: {}", refused.message()));
    }
    ui.result(&PlanResult { target: target.as_str(), plan: &plan })?;
    Ok(Exit::Complete)
}

pub(super) fn run(
    args: &MigrateRunArgs,
    target: FileTarget,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let what = &args.what;
    let selection = selection(what, taken_from(what, session)?)?;
    let output = &session.config.output;
    let dialect = CsvDialect { bom: args.csv_bom || output.csv_bom, safe: args.csv_safe || output.csv_safe };
    let archive = session.archive_to_read(ui)?;
    let written = chatark_migrate::run(&archive, &selection, target, &args.output, dialect)?;
    write_loss_report(&written.plan.loss_report, what.loss_csv.as_deref())?;
    show(&written.plan, target, ui)?;
    for file in written.files.iter().take(MOST_FILES) {
        ui.say(&wrote(&args.output, file));
    }
    let left_out = written.files.len().saturating_sub(MOST_FILES);
    if left_out > 0 {
        ui.say(&format!("wrote {} more files in {}", grouped(left_out as u64), args.output.display()));
    }
    let folder = args.output.display().to_string();
    ui.result(&RunResult { target: target.as_str(), folder, written: &written })?;
    Ok(Exit::Complete)
}

/// So many files are named.
const MOST_FILES: usize = 5;

fn wrote(folder: &Path, file: &FileEntry) -> String {
    format!("wrote {}: {}", folder.join(&file.name).display(), bytes(file.bytes))
}

/// Shows the numbers and the loss report.
fn show(plan: &Plan, target: FileTarget, ui: &Ui) -> Result<(), Failure> {
    ui.line(&format!(
        "{} conversations with {} messages become {} in {}",
        grouped(plan.conversations),
        grouped(plan.messages),
        counted(plan.items),
        target.as_str()
    ))?;
    show_loss_report(&plan.loss_report, ui)?;
    Ok(())
}

fn counted(items: u64) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{} items", grouped(items)) }
}
