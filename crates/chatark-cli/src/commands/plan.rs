//! `chatark plan`: what a pull would read and cost, before it begins.

use std::time::Duration;

use chatark_archive::SyncMode;
use chatark_core::{Error, RateLimit, Result, Timestamp};
use chatark_engine::{PullPlan, plan};
use serde::Serialize;

use crate::args::{GlobalArgs, PlanArgs, PullOptions};
use crate::commands::pull::pull_of_filters;
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::ui::{Ui, counted, format_table, with_commas};

#[derive(Serialize)]
struct PlanResult {
    archive: String,
    sources: Vec<SourcePlan>,
    exit_code: u8,
}

/// The plan of one source. What is not known is `null`; `effort` is the sync mode.
#[derive(Serialize)]
struct SourcePlan {
    source: String,
    effort: Option<&'static str>,
    since: Option<Timestamp>,
    resumes_from: Option<Timestamp>,
    held: u64,
    conversations: Option<u64>,
    requests: Option<u64>,
    seconds: Option<u64>,
    requests_allowed: Option<u64>,
    in_seconds: Option<u64>,
    quota_left: Option<u64>,
    quota_used_before: Option<u64>,
    requests_made_for_this_plan: u64,
    notes: Vec<String>,
    error: Option<String>,
    hint: Option<String>,
}

pub(crate) fn run(args: &PlanArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let chosen = session.select_sources(&args.filters.sources)?;
    let sources = session.connect_sources(&chosen, ui)?;
    let pull = pull_of_filters(&args.filters, PullOptions { full: args.full, ..PullOptions::default() })?;
    let archive = session.config.archive.exists().then(|| session.open_archive_to_read(ui)).transpose()?;
    let plans = runtime()?.block_on(plan(archive.as_ref(), &sources, &pull, &session.clock))?;
    let mut rows = vec![
        ["source", "reads", "archived", "at the vendor", "requests", "takes about", "quota left"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut lines = Vec::new();
    for (source, planned) in sources.iter().zip(&plans) {
        match planned {
            Ok(planned) => {
                rows.push(row(planned));
                lines.extend(note_lines(planned));
            }
            Err(error) => ui.error(error, global.verbose > 0),
        }
        if planned.is_err() {
            let name = source.origin.source.to_string();
            rows.push([name, "-".to_owned()].into_iter().chain(["-"; 5].map(str::to_owned)).collect());
        }
    }
    for line in format_table(&rows, &[2, 3, 4, 6]).into_iter().chain(lines) {
        ui.print_line(&line)?;
    }
    let errors: Vec<_> = plans.iter().filter_map(|planned| planned.as_ref().err()).collect();
    let exit = Exit::of_errors(&errors, plans.len());
    let archive = session.config.archive.display().to_string();
    let names = sources.iter().map(|source| source.origin.source.to_string());
    let sources = names.zip(&plans).map(|(name, planned)| source_plan(name, planned)).collect();
    ui.print_result(&PlanResult { archive, sources, exit_code: exit.code() })?;
    Ok(exit)
}

fn row(planned: &PullPlan) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "not known".to_owned(), with_commas);
    let estimate = &planned.estimate;
    vec![
        planned.source.to_string(),
        what_is_read(planned),
        with_commas(planned.held),
        number(estimate.conversations),
        number(planned.requests()),
        planned.duration().map_or_else(|| "not known".to_owned(), rounded),
        estimate.quota_left.map_or_else(|| "-".to_owned(), with_commas),
    ]
}

fn what_is_read(planned: &PullPlan) -> String {
    match (planned.mode, planned.recent_since) {
        (SyncMode::Full, _) => "everything".to_owned(),
        (SyncMode::Changes, _) => "what changed".to_owned(),
        (SyncMode::Recent, None) => "what began recently".to_owned(),
        (SyncMode::Recent, Some(since)) => format!("since {}", since.day()),
    }
}

/// Returns a duration in words, rounded to seconds, minutes or ten minutes by its length; at least one second.
fn rounded(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let seconds = match seconds {
        0..=89 => seconds,
        90..=5_399 => (seconds + 30) / 60 * 60,
        _ => (seconds + 300) / 600 * 600,
    };
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn note_lines(planned: &PullPlan) -> Vec<String> {
    let source = &planned.source;
    let mut lines = Vec::new();
    if let Some(at) = planned.resumes_from {
        lines.push(format!("{source}: resumes where an earlier run stopped, saved {at}"));
    }
    if let Some(RateLimit { requests, seconds }) = planned.estimate.rate_limit {
        let requests = counted(requests, "request", "requests");
        lines.push(format!(
            "{source}: the vendor documents a limit of {requests} in {}",
            rounded(Duration::from_secs(seconds))
        ));
    }
    if let Some(used) = planned.quota_used_before {
        lines.push(format!(
            "{source}: the last pull of this kind used {} of the quota",
            counted(used, "unit", "units")
        ));
    }
    lines.extend(planned.estimate.notes.iter().map(|note| format!("{source}: {note}")));
    lines
}

fn source_plan(source: String, planned: &Result<PullPlan>) -> SourcePlan {
    let found = planned.as_ref().ok();
    let error = planned.as_ref().err();
    let estimate = found.map(|planned| &planned.estimate);
    let rate_limit = estimate.and_then(|estimate| estimate.rate_limit);
    SourcePlan {
        source,
        effort: found.map(|planned| planned.mode.as_str()),
        since: found.and_then(|planned| planned.recent_since),
        resumes_from: found.and_then(|planned| planned.resumes_from),
        held: found.map_or(0, |planned| planned.held),
        conversations: estimate.and_then(|estimate| estimate.conversations),
        requests: found.and_then(PullPlan::requests),
        seconds: found.and_then(PullPlan::duration).map(|duration| duration.as_secs().max(1)),
        requests_allowed: rate_limit.map(|rate_limit| rate_limit.requests),
        in_seconds: rate_limit.map(|rate_limit| rate_limit.seconds),
        quota_left: estimate.and_then(|estimate| estimate.quota_left),
        quota_used_before: found.and_then(|planned| planned.quota_used_before),
        requests_made_for_this_plan: estimate.map_or(0, |estimate| estimate.requests_sent),
        notes: estimate.map(|estimate| estimate.notes.clone()).unwrap_or_default(),
        error: error.map(ToString::to_string),
        hint: error.and_then(Error::hint_text).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_duration_is_rounded() {
        let rough = |seconds| rounded(Duration::from_secs(seconds));
        let found = [0, 42, 89, 100, 3_000, 5_400, 9_000].map(rough);
        assert_eq!(found, ["1s", "42s", "1m 29s", "2m", "50m", "1h 30m", "2h 30m"]);
    }
}
