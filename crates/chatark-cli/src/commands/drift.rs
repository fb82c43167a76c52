//! `chatark drift`: lists the fields and values that Chatark does not know, by path and count, never the values.

use chatark_archive::IssueRecord;
use chatark_core::{Result, Timestamp, identifier};
use serde::Serialize;

use crate::args::{DriftArgs, GlobalArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session};
use crate::ui::{Ui, format_table, with_commas};

#[derive(Serialize)]
struct DriftResult {
    issues: Vec<IssueRecord>,
}

pub(crate) fn run(args: &DriftArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let chosen = session.select_sources(&args.sources)?;
    let archive = session.open_archive_to_read(ui)?;
    let mut issues = archive.issues()?;
    issues.retain(|issue| {
        // Without names, sources that the config no longer has are shown too.
        let is_requested =
            args.sources.is_empty() || chosen.iter().any(|source| source.name.as_str() == issue.source);
        is_requested && (args.all || issue.is_drift())
    });
    if issues.is_empty() {
        ui.print_line("no drift: everything that the vendors sent is known")?;
    } else {
        let heading = ["source", "what", "where", "count", "runs", "first seen", "last seen", "for example"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(issues.iter().map(row));
        for line in format_table(&rows, &[3, 4]) {
            ui.print_line(&line)?;
        }
    }
    ui.print_result(&DriftResult { issues })?;
    Ok(Exit::Complete)
}

fn row(issue: &IssueRecord) -> Vec<String> {
    let day = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), Timestamp::day);
    vec![
        issue.source.clone(),
        issue.kind.clone(),
        if issue.place.is_empty() {
            "the whole record".to_owned()
        } else {
            identifier::masked(&issue.place).into_owned()
        },
        with_commas(issue.count),
        with_commas(issue.runs),
        day(issue.first_seen),
        day(issue.last_seen),
        format!(
            "{} in {}",
            identifier::masked(&issue.sample_path),
            identifier::masked(&issue.sample_conversation)
        ),
    ]
}
