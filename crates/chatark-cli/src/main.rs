//! `chatark`: one archive for every chatbot you run.
//!
//! The command line reads the config, connects the sources, and calls the crates that do the work. Each command is one file under `commands`; `ui` is the only place that prints.

mod args;
mod commands;
mod config;
mod exit;
mod key;
mod registry;
mod session;
mod stop;
mod ui;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use chatark_core::Error;
use clap::Parser;

use crate::args::Cli;
use crate::exit::Exit;
use crate::session::Failure;
use crate::ui::{ErrorResult, Ui};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors. If the pipe is closed, nobody reads the message.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Complete };
            return ExitCode::from(exit.code());
        }
    };
    let ui = Ui::new(cli.global.quiet, cli.global.json);
    panic::set_hook(Box::new(ui::print_panic));
    log_to_stderr(cli.global.verbose);
    // The hook has already printed the panic, without its text, which may contain what people wrote.
    let run = panic::catch_unwind(AssertUnwindSafe(|| commands::run(&cli, &ui)));
    let exit = match run.unwrap_or_else(|_| Err(Failure::Error(Error::panicked(cli.command.name())))) {
        Ok(exit) => exit,
        Err(failure) => print_failure(&cli, &ui, failure),
    };
    ExitCode::from(exit.code())
}

/// Prints the error that ended the command, and returns the exit.
fn print_failure(cli: &Cli, ui: &Ui, failure: Failure) -> Exit {
    let (error, mistakes) = match failure {
        Failure::Error(error) => (error, Vec::new()),
        Failure::Config(mistakes) => (mistakes.error(), mistakes.lines()),
        // The reader of the output has closed it, such as `head`.
        Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Exit::Complete,
        Failure::Output(error) => (session::output_error(&error), Vec::new()),
    };
    let exit = Exit::of_error(&error);
    for mistake in &mistakes {
        ui.config_mistake(mistake);
    }
    ui.error(&error, cli.global.verbose > 0);
    let _ = ui.print_result(&ErrorResult::new(cli.command.name(), &error, exit, mistakes));
    exit
}

/// Logs to standard error. Logs contain ids, counts and durations, never message text and never a key.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "warn,chatark_http=debug,chatark_engine=debug,chatark_archive=debug",
        _ => "info,chatark_http=trace,chatark_engine=trace,chatark_archive=trace",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
