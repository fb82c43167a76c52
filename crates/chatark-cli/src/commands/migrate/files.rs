//! Migrations into files.

use std::path::Path;

use chatark_formats::{CsvDialect, FileEntry};
use chatark_migrate::{FileFormat, FilePlan, WrittenFiles, plan_files, refuse_empty, write_files};
use serde::Serialize;

use super::shared::{migration_selection, requested_sources, show_loss_report, write_loss_report};
use crate::args::{MigrateRunArgs, MigrationArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, counted, format_bytes};

/// The maximum number of files that are listed by name.
const MAX_LISTED_FILES: usize = 5;

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
    migration: &MigrationArgs,
    format: FileFormat,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let selection = migration_selection(migration, requested_sources(migration, session)?)?;
    let archive = session.open_archive_to_read(ui)?;
    let undated_left_out = archive.count_undated_left_out(&selection.filter)?;
    let plan = plan_files(&archive, &selection, format)?;
    write_loss_report(&plan.loss_report, migration.loss_csv.as_deref())?;
    show_plan(&plan, format, ui)?;
    ui.info_undated(undated_left_out);
    if let Err(refused) = refuse_empty(plan.conversations, plan.items) {
        ui.info(&format!("a run would fail: {}", refused.message()));
    }
    ui.print_result(&PlanResult { target: format.as_str(), plan: &plan, undated_left_out })?;
    Ok(Exit::Complete)
}

pub(super) fn run(
    args: &MigrateRunArgs,
    format: FileFormat,
    session: &Session,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let migration = &args.migration;
    let selection = migration_selection(migration, requested_sources(migration, session)?)?;
    let output = &session.config.output;
    let dialect = CsvDialect { bom: args.csv_bom || output.csv_bom, safe: args.csv_safe || output.csv_safe };
    let archive = session.open_archive_to_read(ui)?;
    let undated_left_out = archive.count_undated_left_out(&selection.filter)?;
    ui.info_undated(undated_left_out);
    let written = write_files(&archive, &selection, format, &args.output, dialect)?;
    write_loss_report(&written.plan.loss_report, migration.loss_csv.as_deref())?;
    show_plan(&written.plan, format, ui)?;
    for file in written.files.iter().take(MAX_LISTED_FILES) {
        ui.info(&file_line(&args.output, file));
    }
    let left_out = written.files.len().saturating_sub(MAX_LISTED_FILES);
    if left_out > 0 {
        ui.info(&format!(
            "wrote {} in {}",
            counted(left_out as u64, "more file", "more files"),
            args.output.display()
        ));
    }
    let folder = args.output.display().to_string();
    ui.print_result(&RunResult { target: format.as_str(), folder, written: &written, undated_left_out })?;
    Ok(Exit::Complete)
}

fn file_line(folder: &Path, file: &FileEntry) -> String {
    format!("wrote {}: {}", folder.join(&file.name).display(), format_bytes(file.bytes))
}

/// Prints how much becomes how many items, and the loss report.
fn show_plan(plan: &FilePlan, format: FileFormat, ui: &Ui) -> Result<(), Failure> {
    ui.print_line(&format!(
        "{} with {} become {} in {}",
        counted(plan.conversations, "conversation", "conversations"),
        counted(plan.messages, "message", "messages"),
        counted(plan.items, "item", "items"),
        format.as_str()
    ))?;
    show_loss_report(&plan.loss_report, ui)?;
    Ok(())
}
