//! Migrations into files.

use std::path::Path;

use chatark_formats::{CsvDialect, FileEntry};
use chatark_migrate::{FileFormat, FilePlan, WrittenFiles, plan_files, refuse_empty, write_files};
use serde::Serialize;

use super::{selection, show_loss_report, source_names, write_loss_report};
use crate::args::{MigrateRunArgs, MigrationArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, bytes, with_commas};

#[derive(Serialize)]
struct PlanResult<'a> {
    target: &'static str,
    #[serde(flatten)]
    plan: &'a FilePlan,
    undated_left_out: u64,
}

#[derive(Serialize)]
struct RunResult<'a> {
    target: &'static str,
    folder: String,
    #[serde(flatten)]
    written: &'a WrittenFiles,
    undated_left_out: u64,
}

pub(super) fn plan(
    request: &MigrationArgs,
    target: FileFormat,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let selection = selection(request, source_names(request, session)?)?;
    let archive = session.archive_to_read(ui)?;
    let undated_left_out = archive.count_undated_left_out(&selection.filter)?;
    let plan = plan_files(&archive, &selection, target)?;
    write_loss_report(&plan.loss_report, request.loss_csv.as_deref())?;
    show(&plan, target, ui)?;
    ui.say_undated(undated_left_out);
    if let Err(refused) = refuse_empty(plan.conversations, plan.items) {
        ui.say(&format!("a run would fail: {}", refused.message()));
    }
    ui.result(&PlanResult { target: target.as_str(), plan: &plan, undated_left_out })?;
    Ok(Exit::Complete)
}

pub(super) fn run(
    args: &MigrateRunArgs,
    target: FileFormat,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let request = &args.request;
    let selection = selection(request, source_names(request, session)?)?;
    let output = &session.config.output;
    let dialect = CsvDialect { bom: args.csv_bom || output.csv_bom, safe: args.csv_safe || output.csv_safe };
    let archive = session.archive_to_read(ui)?;
    let undated_left_out = archive.count_undated_left_out(&selection.filter)?;
    ui.say_undated(undated_left_out);
    let written = write_files(&archive, &selection, target, &args.output, dialect)?;
    write_loss_report(&written.plan.loss_report, request.loss_csv.as_deref())?;
    show(&written.plan, target, ui)?;
    for file in written.files.iter().take(MAX_FILES) {
        ui.say(&wrote(&args.output, file));
    }
    let left_out = written.files.len().saturating_sub(MAX_FILES);
    if left_out > 0 {
        ui.say(&format!("wrote {} more files in {}", with_commas(left_out as u64), args.output.display()));
    }
    let folder = args.output.display().to_string();
    ui.result(&RunResult { target: target.as_str(), folder, written: &written, undated_left_out })?;
    Ok(Exit::Complete)
}

/// The maximum number of files that are listed by name.
const MAX_FILES: usize = 5;

fn wrote(folder: &Path, file: &FileEntry) -> String {
    format!("wrote {}: {}", folder.join(&file.name).display(), bytes(file.bytes))
}

/// Shows the numbers and the loss report.
fn show(plan: &FilePlan, target: FileFormat, ui: &Ui) -> Result<(), Failure> {
    ui.line(&format!(
        "{} conversations with {} messages become {} in {}",
        with_commas(plan.conversations),
        with_commas(plan.messages),
        counted(plan.items),
        target.as_str()
    ))?;
    show_loss_report(&plan.loss_report, ui)?;
    Ok(())
}

fn counted(items: u64) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{} items", with_commas(items)) }
}
