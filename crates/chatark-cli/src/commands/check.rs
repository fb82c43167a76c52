//! `chatark check`: one cheap request for each source, and a check of this machine.

use chatark_archive::Archive;
use chatark_core::{AgentInfo, Error, Result};
use chatark_engine::Source;
use serde::Serialize;

use crate::args::{CheckArgs, GlobalArgs};
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::ui::{Severity, Ui, format_bytes, label};

/// A clock that differs from the vendor's by more than this is reported.
const CLOCK_TOLERANCE_SECONDS: i64 = 120;
/// Less free space than this is reported as a warning.
const LOW_SPACE_BYTES: u64 = 1 << 30;

#[derive(Serialize)]
struct CheckResult {
    sources: Vec<SourceCheck>,
    archive: String,
    free_bytes: Option<u64>,
    exit_code: u8,
}

#[derive(Serialize)]
struct SourceCheck {
    source: String,
    provider: &'static str,
    ok: bool,
    agent_name: Option<String>,
    agent_confirmed: bool,
    clock_ahead_seconds: Option<i64>,
    error: Option<String>,
    hint: Option<String>,
}

pub(crate) fn run(args: &CheckArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let sources = session.connect_sources(&session.select_sources(&args.sources)?, ui)?;
    let results = runtime()?.block_on(check_all(&sources));
    let mut errors = Vec::new();
    let mut checks = Vec::new();
    for (source, result) in sources.iter().zip(results) {
        ui.print_line(&source_line(source, &result))?;
        if let Err(error) = &result
            && let Some(hint) = error.hint_text()
        {
            ui.print_line(&format!("      hint: {hint}"))?;
        }
        checks.push(source_check(source, &result));
        errors.extend(result.err());
    }
    let free_bytes = check_disk(&session, ui)?;
    let errors: Vec<_> = errors.iter().collect();
    let exit = Exit::of_errors(&errors, sources.len());
    let archive = session.config.archive.display().to_string();
    ui.print_result(&CheckResult { sources: checks, archive, free_bytes, exit_code: exit.code() })?;
    Ok(exit)
}

async fn check_all(sources: &[Source]) -> Vec<Result<AgentInfo>> {
    let mut results = Vec::new();
    for source in sources {
        results.push(source.provider.check().await);
    }
    results
}

fn source_line(source: &Source, result: &Result<AgentInfo>) -> String {
    let name = &source.origin.source;
    let title = source.provider.descriptor().title;
    match result {
        Ok(info) if info.confirmed => {
            let agent = info.name.as_deref().map_or_else(String::new, |name| format!(", agent \"{name}\""));
            format!("{}{name}: {title}{agent}{}", label(Severity::Ok), clock_warning(info))
        }
        Ok(info) => format!(
            "{}{name}: {title}: the key works, but the agent cannot be confirmed: the vendor gives the same answer for an unknown agent{}",
            label(Severity::Warning),
            clock_warning(info)
        ),
        Err(error) => format!("{}{name}: {title}: {error}", label(Severity::Failure)),
    }
}

fn clock_warning(info: &AgentInfo) -> String {
    match info.clock_skew_seconds {
        Some(ahead) if ahead.abs() > CLOCK_TOLERANCE_SECONDS => {
            format!("; this machine's clock differs from the vendor's by {} s: correct it", ahead.abs())
        }
        _ => String::new(),
    }
}

fn source_check(source: &Source, result: &Result<AgentInfo>) -> SourceCheck {
    let info = result.as_ref().ok();
    let error = result.as_ref().err();
    SourceCheck {
        source: source.origin.source.to_string(),
        provider: source.provider.descriptor().name,
        ok: error.is_none(),
        agent_name: info.and_then(|info| info.name.clone()),
        agent_confirmed: info.is_some_and(|info| info.confirmed),
        clock_ahead_seconds: info.and_then(|info| info.clock_skew_seconds),
        error: error.map(ToString::to_string),
        hint: error.and_then(Error::hint_text).map(str::to_owned),
    }
}

/// Checks the archive and the disk that it is on. Returns the free space in bytes, if it is known.
fn check_disk(session: &Session, ui: &Ui) -> Result<Option<u64>, Failure> {
    let path = &session.config.archive;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let free = fs4::available_space(folder).ok();
    let opened = path.exists().then(|| Archive::open_to_read(path).map(|_| ()));
    let (severity, description) = match &opened {
        None => (Severity::Ok, "will be created".to_owned()),
        Some(Ok(())) => (Severity::Ok, "is readable".to_owned()),
        Some(Err(error)) => (Severity::Failure, error.to_string()),
    };
    let severity = if free.is_some_and(|free| free < LOW_SPACE_BYTES) && severity == Severity::Ok {
        Severity::Warning
    } else {
        severity
    };
    let free_space = free.map_or_else(String::new, |free| format!(", {} free", format_bytes(free)));
    ui.print_line(&format!("{}archive {}: {description}{free_space}", label(severity), path.display()))?;
    match opened {
        Some(Err(error)) => Err(error.into()),
        _ => Ok(free),
    }
}
