//! `chatark export`: pulls, then writes the archive to files.

use std::path::Path;

use chatark_archive::{Archive, Filter};
use chatark_core::{Error, ErrorKind, Result, SourceName};
use chatark_formats::{Export, ExportContext, ExportOptions, ExportSelection, Manifest, SourceState};
use serde::Serialize;

use crate::args::{ArchiveFilterArgs, ExportArgs, FilterArgs, GlobalArgs, PullOptions};
use crate::commands::pull::{PullResult, pull_all, pull_of_filters, source_result};
use crate::exit::Exit;
use crate::session::{Failure, Session, names};
use crate::ui::{Ui, counted, format_bytes};

#[derive(Serialize)]
struct ExportResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pull: Option<PullResult>,
    folder: Option<String>,
    manifest: Option<Manifest>,
    exit_code: u8,
}

pub(crate) fn run(args: &ExportArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut session = Session::open(global)?;
    session.set_budget(args.pull_options.budget());
    let options = options(args, &session);
    let folder = args.output.clone().unwrap_or_else(|| session.config.output.folder.clone());
    let pull_options = if args.offline { None } else { Some(args.pull_options) };
    export(&session, &args.filters, pull_options, &folder, &options, ui, global.verbose > 0)
        .map(|(exit, _)| exit)
}

/// Pulls if there are options for it, writes the files, and says where they are.
pub(crate) fn export(
    session: &Session,
    filters: &ArchiveFilterArgs,
    pull_options: Option<PullOptions>,
    folder: &Path,
    options: &ExportOptions,
    ui: &Ui,
    verbose: bool,
) -> Result<(Exit, Option<Manifest>), Failure> {
    let chosen = session.select_sources(&filters.common.sources)?;
    let request = pull_of_filters(&filters.common, pull_options.unwrap_or_default())?;
    let (archive, pull, mut exit) = if pull_options.is_none() {
        (session.open_archive_to_read(ui)?, None, Exit::Complete)
    } else {
        let sources = session.connect_sources(&chosen, ui)?;
        let (archive, outcomes, exit) = pull_all(session.open_archive(ui)?, sources, request, ui, verbose)?;
        let pull = PullResult {
            archive: session.config.archive.display().to_string(),
            sources: outcomes.iter().map(source_result).collect(),
            exit_code: exit.code(),
        };
        (archive, Some(pull), exit)
    };
    let filter = filters.to_filter(names(&chosen))?;
    let manifest = if may_write(&archive, &filter, exit, ui)? {
        Some(write_files(&archive, &filter, &filters.common, folder, options)?)
    } else {
        None
    };
    archive.close()?;
    if let Some(manifest) = &manifest {
        for file in &manifest.files {
            let place = folder.join(&file.name);
            ui.info(&format!(
                "wrote {}: {}, {}",
                place.display(),
                counted(file.rows, "row", "rows"),
                format_bytes(file.bytes)
            ));
        }
        ui.info_undated(manifest.undated_left_out);
    } else if exit == Exit::Complete {
        exit = Exit::Incomplete;
    }
    let folder = manifest.is_some().then(|| folder.display().to_string());
    let result = ExportResult { pull, folder, manifest, exit_code: exit.code() };
    ui.print_result(&result)?;
    Ok((exit, result.manifest))
}

fn options(args: &ExportArgs, session: &Session) -> ExportOptions {
    let output = &session.config.output;
    ExportOptions {
        formats: if args.format.is_empty() { output.formats.clone() } else { args.format.clone() },
        csv_bom: args.csv_bom || output.csv_bom,
        csv_safe: args.csv_safe || output.csv_safe,
    }
}

/// Returns whether to write files: not after an interrupted run, and never empty files after a failed one.
fn may_write(archive: &Archive, filter: &Filter, exit: Exit, ui: &Ui) -> Result<bool> {
    match exit {
        Exit::Complete => return Ok(true),
        Exit::Interrupted | Exit::Terminated => {
            ui.info("no files were written; the files of an earlier export were not changed");
            return Ok(false);
        }
        _ => {}
    }
    let archived: u64 =
        source_states(archive, &filter.sources)?.iter().map(|state| state.conversations).sum();
    if archived == 0 {
        ui.info("no files were written, because the archive holds no conversations of these sources");
        return Ok(false);
    }
    match exit {
        Exit::Budget => ui.info("the files contain what the archive holds so far"),
        _ => ui.warn("the pull did not succeed: the files contain what the archive holds"),
    }
    Ok(true)
}

fn write_files(
    archive: &Archive,
    filter: &Filter,
    filters: &FilterArgs,
    folder: &Path,
    options: &ExportOptions,
) -> Result<Manifest> {
    let mut export = Export::begin(folder, options)?;
    archive
        .each_conversation_with_stats(filter, |conversation, stats| export.write(&conversation, &stats))?;
    let requested: Result<Vec<_>> =
        filters.sources.iter().map(|name| SourceName::new(name.as_str())).collect();
    export.finish(ExportContext {
        generator: concat!("chatark ", env!("CARGO_PKG_VERSION")).to_owned(),
        selection: ExportSelection {
            sources: requested?,
            since: filters.since,
            until: filters.until,
            channel: filters.channel,
        },
        sources: source_states(archive, &filter.sources)?,
        undated_left_out: archive.count_undated_left_out(filter)?,
    })
}

fn source_states(archive: &Archive, sources: &[SourceName]) -> Result<Vec<SourceState>> {
    let mut states = Vec::new();
    for status in archive.status()? {
        let source = SourceName::new(status.source).map_err(|_| {
            Error::new(ErrorKind::Damaged, "read the sources", "a name is not one that Chatark writes")
        })?;
        if sources.contains(&source) {
            states.push(SourceState {
                source,
                provider: status.provider,
                agent_id: status.agent_id,
                conversations: status.conversations,
                messages: status.messages,
                verdict: status.last_pull.and_then(|run| run.verdict),
            });
        }
    }
    Ok(states)
}
