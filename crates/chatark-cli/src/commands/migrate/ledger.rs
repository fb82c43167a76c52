//! `chatark migrate ledger` and `chatark migrate forget`: the ledger of what was written into which agent.

use std::collections::BTreeSet;

use chatark_archive::{Archive, Transfer};
use chatark_core::{Error, ErrorKind, Result, identifier};
use chatark_target::DataKind;
use serde::Serialize;

use super::agent;
use super::shared::{confirm, write_csv};
use crate::args::{MigrateForgetArgs, MigrateLedgerArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, counted, format_table};

/// The headings of the table and the CSV file. They keep the words of the first release: `cargo` is the data kind, and
/// `mark` the idempotency key.
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
    #[serde(rename = "cargo")]
    kind: String,
    source: Option<String>,
    conversation_id: Option<String>,
    #[serde(rename = "mark")]
    idempotency_key: String,
    state: &'static str,
    target_id: Option<String>,
    messages: Option<u64>,
    changed_at: Option<String>,
    error: Option<String>,
}

pub(super) fn show(args: &MigrateLedgerArgs, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    let archive = session.open_archive_to_read(ui)?;
    let known = KnownNames::of(&archive, session)?;
    let to = args.to.as_ref().map(|to| known.target(to, session)).transpose()?;
    args.from.iter().try_for_each(|from| known.require_source(from))?;
    let mut transfers = Vec::new();
    archive.each_transfer(|target, kind, transfer| {
        let source = transfer.origin.as_ref().map(|(source, _)| source.as_str());
        let is_of_source =
            args.from.is_empty() || source.is_some_and(|source| args.from.iter().any(|from| from == source));
        if is_of_source && to.as_ref().is_none_or(|to| to == target) {
            transfers.push(row(target, kind, transfer));
        }
        Ok(())
    })?;
    write_csv("--csv", args.csv.as_deref(), &COLUMNS, |table| {
        transfers.iter().try_for_each(|transfer| {
            table.write(|row| cells(transfer).iter().try_for_each(|cell| row.text(cell.as_str())))
        })
    })?;
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(transfers.iter().map(|transfer| masked_cells(cells(transfer)).to_vec()));
    if !transfers.is_empty() {
        format_table(&rows, &[7]).iter().try_for_each(|line| ui.print_line(line))?;
    } else if known.targets.is_empty() {
        ui.info("nothing was migrated into an agent yet");
    } else {
        ui.info("nothing in the ledger matches");
    }
    if !args.from.is_empty() {
        ui.info("`--from` leaves out people and knowledge, which come from many conversations");
    }
    if let Some(path) = &args.csv {
        ui.info(&format!("wrote {}", path.display()));
    }
    ui.print_result(&LedgerResult { transfers })?;
    Ok(Exit::Complete)
}

/// The names that the ledger or the config knows.
struct KnownNames {
    targets: BTreeSet<String>,
    sources: BTreeSet<String>,
}

impl KnownNames {
    fn of(archive: &Archive, session: &Session) -> Result<Self> {
        let sources = session.config.sources.iter().map(|source| source.name.to_string()).collect();
        let mut known = Self { targets: BTreeSet::new(), sources };
        archive.each_transfer(|target, _, transfer| {
            if !known.targets.contains(target) {
                known.targets.insert(target.to_owned());
            }
            if let Some((source, _)) = &transfer.origin
                && !known.sources.contains(source.as_str())
            {
                known.sources.insert(source.to_string());
            }
            Ok(())
        })?;
        Ok(known)
    }

    /// Returns the name of a target in the ledger. It is given by that name or as a source of the config.
    fn target(&self, to: &str, session: &Session) -> Result<String> {
        let named = session.config.sources.iter().find(|source| source.name.as_str() == to);
        let target = named.map_or_else(|| to.to_owned(), agent::ledger_name);
        if named.is_some() || self.targets.contains(&target) {
            return Ok(target);
        }
        Err(unknown(to, self.sources.iter().chain(&self.targets)))
    }

    fn require_source(&self, from: &str) -> Result<()> {
        if self.sources.contains(from) { Ok(()) } else { Err(unknown(from, &self.sources)) }
    }
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> Error {
    let names: Vec<_> = known.into_iter().map(String::as_str).collect();
    let message = format!("`{name}` is neither in the config nor in the ledger");
    Error::new(ErrorKind::Usage, "choose from the ledger", message)
        .hint(format!("the known names are {}", names.join(", ")))
}

/// Deletes the rows of an agent from the ledger. The agent keeps what it holds.
pub(super) fn forget(args: &MigrateForgetArgs, session: &Session, ui: &Ui) -> Result<Exit, Failure> {
    // For writing, a missing archive would be created.
    let archive = session.open_archive_to_read(ui)?;
    let to = KnownNames::of(&archive, session)?.target(&args.to, session)?;
    let mut matching = 0_u64;
    archive.each_transfer(|target, kind, _| {
        matching += u64::from(target == to && args.only.is_none_or(|only| only.as_str() == kind));
        Ok(())
    })?;
    drop(archive);
    let question = format!(
        "Forget {} of `{to}`? The next run writes these items again: empty the agent first. [y/N] ",
        counted(matching, "row", "rows")
    );
    confirm(args.yes || matching == 0, &question, ui)?;
    let mut archive = session.open_archive(ui)?;
    let forgotten = archive.forget_target(&to, args.only.map(DataKind::as_str))?;
    archive.close()?;
    let rows = counted(forgotten, "row", "rows");
    ui.print_line(&format!("{rows} of the ledger forgotten; {to} keeps what it holds"))?;
    ui.print_result(&ForgetResult { target: to, forgotten })?;
    Ok(Exit::Complete)
}

fn row(target: &str, kind: &str, transfer: &Transfer) -> Row {
    let (source, conversation_id) =
        transfer.origin.as_ref().map(|(source, id)| (source.to_string(), id.to_string())).unzip();
    Row {
        target: target.to_owned(),
        kind: kind.to_owned(),
        source,
        conversation_id,
        idempotency_key: transfer.idempotency_key.clone(),
        state: transfer.state.as_str(),
        target_id: transfer.target_id.clone(),
        messages: Some(transfer.messages).filter(|_| kind == DataKind::History.as_str()),
        changed_at: transfer.changed_at.map(|at| at.to_string()),
        error: transfer.error.clone(),
    }
}

/// Masks the ids in cells for the terminal, since they may contain telephone numbers and addresses.
fn masked_cells(mut cells: [String; 10]) -> [String; 10] {
    for (cell, column) in cells.iter_mut().zip(COLUMNS) {
        if matches!(column, "conversation_id" | "mark" | "target_id") {
            *cell = identifier::masked(cell).into_owned();
        }
    }
    cells
}

fn cells(row: &Row) -> [String; 10] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        row.target.clone(),
        row.kind.clone(),
        text(&row.source),
        text(&row.conversation_id),
        row.idempotency_key.clone(),
        row.state.to_owned(),
        text(&row.target_id),
        row.messages.map(|messages| messages.to_string()).unwrap_or_default(),
        text(&row.changed_at),
        text(&row.error),
    ]
}
