//! The commands, one file each.

mod check;
mod completions;
mod demo;
mod drift;
mod export;
mod init;
mod migrate;
mod plan;
mod pull;
mod rebuild;
mod report;
mod status;
mod verify;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::session::Failure;
use crate::ui::Ui;

/// Runs the command.
pub(crate) fn run(cli: &Cli, ui: &Ui) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Demo(args) => demo::run(args, ui),
        Command::Init(args) => init::run(args, ui),
        Command::Check(args) => check::run(args, &cli.global, ui),
        Command::Plan(args) => plan::run(args, &cli.global, ui),
        Command::Pull(args) => pull::run(args, &cli.global, ui),
        Command::Export(args) => export::run(args, &cli.global, ui),
        Command::Report(args) => report::run(args, &cli.global, ui),
        Command::Migrate(args) => migrate::run(args, &cli.global, ui),
        Command::Status => status::run(&cli.global, ui),
        Command::Drift(args) => drift::run(args, &cli.global, ui),
        Command::Verify(args) => verify::run(args, &cli.global, ui),
        Command::Rebuild(args) => rebuild::run(args, &cli.global, ui),
        Command::Completions(args) => completions::run(args, ui),
    }
}
