//! `chatark migrate`: copies data from the archive to another platform, and reports what is lost.

mod agent;
mod files;
mod ledger;
mod shared;

use chatark_core::{Error, ErrorKind, Result};
use chatark_migrate::FileFormat;

use crate::args::{GlobalArgs, MigrateAction, MigrateArgs, MigrationArgs};
use crate::config::SourceConfig;
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::Ui;
use shared::check_file;

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
