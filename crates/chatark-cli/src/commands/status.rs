//! `chatark status`: what the archive holds, and how the last pulls ended.

use chatark_archive::{GapRecord, RunRecord, SourceStatus};
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, counted, format_bytes, format_table, red, with_commas};

#[derive(Serialize)]
struct StatusResult {
    archive: String,
    bytes: Option<u64>,
    sources: Vec<SourceStatus>,
    not_pulled: Vec<String>,
}

pub(crate) fn run(global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let archive = session.open_archive_to_read(ui)?;
    let sources = archive.status()?;
    let size = std::fs::metadata(archive.path()).map(|meta| meta.len()).ok();
    let is_archived = |name: &str| sources.iter().any(|status| status.source == name);
    let not_pulled: Vec<_> = session
        .config
        .sources
        .iter()
        .map(|source| source.name.to_string())
        .filter(|name| !is_archived(name))
        .collect();
    let path = archive.path().display().to_string();
    ui.print_line(&format!(
        "archive {path}{}",
        size.map_or_else(String::new, |size| format!(", {}", format_bytes(size)))
    ))?;
    ui.print_line("")?;
    for line in status_table(&sources, &not_pulled) {
        ui.print_line(&line)?;
    }
    for status in &sources {
        if status.missing > 0 {
            let missing = counted(status.missing, "conversation is", "conversations are");
            ui.print_line(&format!("{}: {missing} no longer shown by the vendor", status.source))?;
        }
        if status.contacts > 0 {
            let contacts = counted(status.contacts, "contact is", "contacts are");
            ui.print_line(&format!("{}: {contacts} also archived", status.source))?;
        }
        if !status.unfinished.is_empty() {
            ui.print_line(&format!(
                "{}: an unfinished pull can be resumed with `chatark pull {}`",
                status.source, status.source
            ))?;
        }
        for gap in &status.gaps {
            ui.print_line(&format!("{}: {}", status.source, gap_line(gap)))?;
        }
        for run in status.last_pull.iter().chain(&status.last_contacts) {
            if let Some(error) = &run.error {
                ui.print_line(&format!("{}: {error}", status.source))?;
            }
        }
    }
    ui.print_result(&StatusResult { archive: path, bytes: size, sources, not_pulled })?;
    Ok(Exit::Complete)
}

fn status_table(sources: &[SourceStatus], not_pulled: &[String]) -> Vec<String> {
    let heading = ["source", "provider", "conversations", "messages", "last pull", "verdict"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for status in sources {
        let last = status.last_pull.as_ref();
        let at = last.and_then(|run| run.ended_at.or(run.started_at));
        rows.push(vec![
            status.source.clone(),
            status.provider.clone(),
            with_commas(status.conversations),
            with_commas(status.messages),
            at.map_or_else(|| "never".to_owned(), |at| short_time(&at.to_string())),
            last.map_or_else(|| "-".to_owned(), verdict_cell),
        ]);
    }
    for name in not_pulled {
        rows.push(vec![
            name.clone(),
            String::new(),
            "0".to_owned(),
            "0".to_owned(),
            "never".to_owned(),
            "-".to_owned(),
        ]);
    }
    let mut lines = format_table(&rows, &[2, 3]);
    for (line, status) in lines.iter_mut().skip(1).zip(sources) {
        if status.last_pull.as_ref().is_some_and(is_bad) {
            *line = red(line);
        }
    }
    lines
}

/// Returns a line about a gap: where it is, how often it was tried, and whether it was accepted.
pub(crate) fn gap_line(gap: &GapRecord) -> String {
    let tried =
        if gap.attempts == 1 { "once".to_owned() } else { format!("{} times", with_commas(gap.attempts)) };
    let last = gap.tried_at.map_or_else(String::new, |at| format!(", last {}", short_time(&at.to_string())));
    let accepted = if gap.accepted_at.is_some() { "; accepted" } else { "" };
    let stream = gap.stream.as_str();
    format!("{stream}: {} cannot be read (tried {tried}{last}){accepted}: {}", gap.bounds, gap.error)
}

fn is_bad(run: &RunRecord) -> bool {
    matches!(run.verdict.as_deref(), Some("short" | "partial" | "failed"))
}

/// Returns the verdict with its counts.
fn verdict_cell(run: &RunRecord) -> String {
    let word = run.verdict.as_deref().unwrap_or("running or killed");
    match run.total_last {
        Some(total) => format!("{word} ({} of {})", with_commas(run.seen), with_commas(total)),
        None => word.to_owned(),
    }
}

/// Returns a time to the second.
fn short_time(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}
