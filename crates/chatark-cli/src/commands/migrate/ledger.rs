//! Where everything went that was carried into an agent.

use chatark_archive::Transfer;
use chatark_core::{Cargo, Result};
use serde::Serialize;

use super::{agent, confirm, write_csv};
use crate::args::{MigrateForgetArgs, MigrateLedgerArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, grouped, table};

/// The columns of the table and the CSV file.
const COLUMNS: [&str; 10] = [
    "target",
    "cargo",
    "source",
    "conversation_id",
    "mark",
    "state",
    "target_id",
    "messages",
    "changed_at",
    "error",
];

#[derive(Serialize)]
struct LedgerResult {
    transfers: Vec<Row>,
}

#[derive(Serialize)]
struct ForgetResult {
    target: String,
    forgotten: u64,
}

#[derive(Serialize)]
struct Row {
    target: String,
    cargo: Cargo,
    source: Option<String>,
    conversation_id: Option<String>,
    mark: String,
    state: &'static str,
    target_id: Option<String>,
    messages: u64,
    changed_at: Option<String>,
    error: Option<String>,
}

pub(super) fn show(args: &MigrateLedgerArgs, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let into = args.to.as_ref().map(|to| target(to, session));
    let mut transfers = Vec::new();
    session.archive_to_read()?.each_transfer(|target, cargo, transfer| {
        let source = transfer.origin.as_ref().map(|(source, _)| source.as_str());
        let is_from =
            args.from.is_empty() || source.is_some_and(|source| args.from.iter().any(|from| from == source));
        if is_from && into.as_ref().is_none_or(|into| into == target) {
            transfers.push(row(target, cargo, transfer));
        }
        Ok(())
    })?;
    write_csv("--csv", args.csv.as_deref(), &COLUMNS, |table| {
        transfers.iter().try_for_each(|transfer| {
            table.write(|row| cells(transfer).iter().try_for_each(|cell| row.text(cell.as_str())))
        })
    })?;
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(transfers.iter().map(|transfer| cells(transfer).to_vec()));
    if transfers.is_empty() {
        ui.say("nothing was carried into an agent yet");
    } else {
        table(&rows, &[7]).iter().try_for_each(|line| ui.line(line))?;
    }
    ui.result(&LedgerResult { transfers })?;
    Ok(Exit::Complete)
}

/// Returns the name of a target in the ledger, which may know some that the config no longer has.
fn target(to: &str, session: &Session) -> String {
    let named = session.config.sources.iter().find(|source| source.name.as_str() == to);
    named.map_or_else(|| to.to_owned(), agent::name)
}

/// Forgets what was carried into an agent; what is there stays there.
pub(super) fn forget(args: &MigrateForgetArgs, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let into = target(&args.to, session);
    // An archive that is not there is not made.
    session.archive_to_read()?;
    let question =
        format!("Forget what was carried into `{into}`, so that it would all go there again? [y/N] ");
    confirm(args.yes, &question, ui)?;
    let mut archive = session.archive()?;
    let forgotten = archive.forget_target(&into, args.only)?;
    archive.close()?;
    ui.line(&format!(
        "{} rows of the ledger are forgotten; what is in {into} stays there",
        grouped(forgotten)
    ))?;
    ui.result(&ForgetResult { target: into, forgotten })?;
    Ok(Exit::Complete)
}

fn row(target: &str, cargo: Cargo, transfer: &Transfer) -> Row {
    let (source, conversation_id) =
        transfer.origin.as_ref().map(|(source, id)| (source.to_string(), id.to_string())).unzip();
    Row {
        target: target.to_owned(),
        cargo,
        source,
        conversation_id,
        mark: transfer.mark.clone(),
        state: transfer.state.as_str(),
        target_id: transfer.target_id.clone(),
        messages: transfer.messages,
        changed_at: transfer.changed_at.map(|at| at.to_string()),
        error: transfer.error.clone(),
    }
}

fn cells(row: &Row) -> [String; 10] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        row.target.clone(),
        row.cargo.as_str().to_owned(),
        text(&row.source),
        text(&row.conversation_id),
        row.mark.clone(),
        row.state.to_owned(),
        text(&row.target_id),
        row.messages.to_string(),
        text(&row.changed_at),
        text(&row.error),
    ]
}
