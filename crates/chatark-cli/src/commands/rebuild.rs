//! `chatark rebuild`: maps every archived conversation and contact again.

use chatark_engine::rebuild;
use serde::Serialize;

use crate::args::{GlobalArgs, RebuildArgs};
use crate::commands::pull::{SourceResult, source_result};
use crate::exit::Exit;
use crate::session::{Failure, Session, mapped_sources, names, runtime};
use crate::stop::StopSignal;
use crate::ui::Ui;

#[derive(Serialize)]
struct RebuildResult {
    sources: Vec<SourceResult>,
    /// Sources of the archive that the config no longer names. They are not changed.
    left_alone: Vec<String>,
    exit_code: u8,
}

pub(crate) fn run(args: &RebuildArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let chosen = session.select_sources(&args.sources)?;
    let sources = mapped_sources(&chosen);
    let mut archive = session.open_archive(ui)?;
    let runtime = runtime()?;
    let stop = runtime.block_on(async { StopSignal::listen(ui) })?;
    let mut outcomes = Vec::new();
    for source in &sources {
        outcomes.push(rebuild(&mut archive, source, ui, &session.clock, &stop.token)?);
    }
    let known = names(&session.select_sources(&[])?);
    let left_alone: Vec<_> = archive
        .status()?
        .into_iter()
        .map(|status| status.source)
        .filter(|name| !known.iter().any(|known| known.as_str() == name))
        .collect();
    for name in &left_alone {
        ui.warn(&format!("{name}: is not in the config, so its provider is not known: left as it is"));
    }
    archive.close()?;
    let exit = stop.with_signal(Exit::of_outcomes(&outcomes));
    let sources = outcomes.iter().map(source_result).collect();
    ui.print_result(&RebuildResult { sources, left_alone, exit_code: exit.code() })?;
    Ok(exit)
}
