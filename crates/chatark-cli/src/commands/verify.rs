//! `chatark verify`: verifies the archive by its own hashes, rows and counts, and with `--live` by the vendors' counts.

use chatark_archive::{Archive, GapRecord, Subset};
use chatark_core::{Error, Result, SourceName, identifier};
use chatark_engine::{Finding, LiveCount, Source, SourceVerification, Verification, live_count, verify};
use serde::Serialize;

use crate::args::{GlobalArgs, VerifyArgs};
use crate::commands::status::gap_line;
use crate::exit::Exit;
use crate::session::{Failure, Session, mapped_sources, names, runtime};
use crate::stop::StopSignal;
use crate::ui::{Severity, Ui, counted, format_bytes, label, red, with_commas};

#[derive(Serialize)]
struct VerifyResult {
    archive: String,
    part: String,
    structure: Vec<String>,
    sources: Vec<SourceResult>,
    interrupted: bool,
    exit_code: u8,
}

#[derive(Serialize)]
struct SourceResult {
    source: String,
    conversations: u64,
    versions: u64,
    bytes: u64,
    rows_compared: bool,
    damaged: u64,
    outdated: u64,
    counts: Vec<String>,
    findings: Vec<FindingResult>,
    live: Option<LiveResult>,
    contacts: u64,
    earlier_mapping: u64,
    gaps: Vec<GapRecord>,
}

#[derive(Serialize)]
struct FindingResult {
    conversation: Option<String>,
    version: i64,
    what: String,
    contact: Option<String>,
}

#[derive(Serialize)]
struct LiveResult {
    counted: Option<u64>,
    held: Option<u64>,
    notes: Vec<String>,
    error: Option<String>,
    hint: Option<String>,
}

pub(crate) fn run(args: &VerifyArgs, global: &GlobalArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    let chosen = session.select_sources(&args.sources)?;
    let sources = if args.live { session.connect_sources(&chosen, ui)? } else { Vec::new() };
    let archive = session.open_archive_to_read(ui)?;
    // Without names, sources that the config no longer has are verified too.
    let requested = if args.sources.is_empty() { Vec::new() } else { names(&chosen) };
    let runtime = runtime()?;
    let stop = runtime.block_on(async { StopSignal::listen(ui) })?;
    let subset = args.subset.unwrap_or(Subset::WHOLE);
    let verification = verify(&archive, &requested, &mapped_sources(&chosen), subset, &stop.token)?;
    show_verification(&verification, subset, ui)?;
    let recounts = if args.live && !verification.interrupted {
        runtime.block_on(recount_all(&archive, &sources))
    } else {
        Vec::new()
    };
    for (source, found) in &recounts {
        show_recount(source, found, ui)?;
    }
    let exit = stop.with_signal(exit_of(&verification, &recounts));
    show_next_step(&verification, exit, ui);
    ui.print_result(&VerifyResult {
        archive: archive.path().display().to_string(),
        part: format!("{}/{}", subset.number, subset.of),
        structure: verification.structure.clone(),
        sources: verification.sources.iter().map(|found| source_result(found, &recounts)).collect(),
        interrupted: verification.interrupted,
        exit_code: exit.code(),
    })?;
    Ok(exit)
}

type Recounts = Vec<(SourceName, Result<LiveCount>)>;

async fn recount_all(archive: &Archive, sources: &[Source]) -> Recounts {
    let mut recounts = Vec::new();
    for source in sources {
        recounts.push((source.origin.source.clone(), live_count(archive, source).await));
    }
    recounts
}

fn show_verification(verification: &Verification, subset: Subset, ui: &Ui) -> std::io::Result<()> {
    match verification.structure.as_slice() {
        [] => ui.print_line(&format!("{}the structure of the file is sound", label(Severity::Ok)))?,
        faults => {
            for fault in faults {
                ui.print_line(&format!(
                    "{}{}",
                    label(Severity::Failure),
                    red(&format!("the structure of the file: {fault}"))
                ))?;
            }
        }
    }
    for found in &verification.sources {
        for line in source_lines(found, subset) {
            ui.print_line(&line)?;
        }
        for gap in &found.gaps {
            ui.print_line(&format!("      {}", gap_line(gap)))?;
        }
    }
    Ok(())
}

fn source_lines(found: &SourceVerification, subset: Subset) -> Vec<String> {
    let contacts = match found.contacts {
        0 => String::new(),
        contacts => format!("{}, ", counted(contacts, "contact", "contacts")),
    };
    let checked = format!(
        "{}: {}, {}{}, {}{}",
        found.source,
        counted(found.conversations, "conversation", "conversations"),
        contacts,
        counted(found.versions, "version", "versions"),
        format_bytes(found.bytes),
        if subset == Subset::WHOLE {
            String::new()
        } else {
            format!(", part {} of {}", subset.number, subset.of)
        },
    );
    if found.damaged == 0 && found.outdated == 0 && found.counts.is_empty() {
        let agree = match (found.is_configured, subset == Subset::WHOLE) {
            (true, true) => "hashes, rows and counts agree",
            (true, false) => "hashes and rows agree",
            (false, _) => {
                "hashes agree; the rows were not compared, because the config no longer names the source"
            }
        };
        let mut lines = vec![format!("{}{checked}: {agree}", label(Severity::Ok))];
        lines.extend(earlier_mapping_line(found));
        return lines;
    }
    let damaged = format!("{} damaged, {} outdated", with_commas(found.damaged), with_commas(found.outdated));
    let mut lines = vec![format!("{}{}", label(Severity::Failure), red(&format!("{checked}: {damaged}")))];
    lines.extend(found.counts.iter().map(|fault| format!("      {fault}")));
    lines.extend(found.findings.iter().map(finding_line));
    let unnamed = (found.damaged + found.outdated).saturating_sub(found.findings.len() as u64);
    if unnamed > 0 {
        lines.push(format!("      and {} more", with_commas(unnamed)));
    }
    lines.extend(earlier_mapping_line(found));
    lines
}

fn earlier_mapping_line(found: &SourceVerification) -> Option<String> {
    (found.earlier_mapping > 0).then(|| {
        let rows = counted(found.earlier_mapping, "row was", "rows were");
        format!("      {rows} mapped by an earlier version; `chatark rebuild` applies the current rules")
    })
}

fn finding_line(finding: &Finding) -> String {
    let Finding { conversation, contact, version, what } = finding;
    let (kind, name) = match contact {
        Some(contact) => ("contact", Some(contact)),
        None => ("conversation", conversation.as_ref()),
    };
    format!(
        "      {what} ({kind}={}, version={version})",
        identifier::masked(name.map_or("", String::as_str))
    )
}

fn show_recount(source: &SourceName, found: &Result<LiveCount>, ui: &Ui) -> std::io::Result<()> {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            ui.error(error, false);
            return Ok(());
        }
    };
    let held = counted(found.held, "conversation", "conversations");
    let line = match found.counted {
        None => format!(
            "{}{source}: the archive holds {held}, and the vendor gives no count",
            label(Severity::Warning)
        ),
        Some(total) => {
            let text = format!(
                "{source}: the vendor counts {}, the archive holds {}",
                counted(total, "conversation", "conversations"),
                with_commas(found.held)
            );
            if total == found.held {
                format!("{}{text}", label(Severity::Ok))
            } else {
                format!("{}{}", label(Severity::Failure), red(&text))
            }
        }
    };
    ui.print_line(&line)?;
    found.notes.iter().try_for_each(|note| ui.print_line(&format!("      {note}")))
}

/// Returns the exit of a verification: damage takes precedence, then errors of a vendor, then differences.
fn exit_of(verification: &Verification, recounts: &Recounts) -> Exit {
    let any_source = |test: fn(&SourceVerification) -> bool| verification.sources.iter().any(test);
    if verification.interrupted {
        return Exit::Interrupted;
    }
    if !verification.structure.is_empty() || any_source(|found| found.damaged > 0 || !found.counts.is_empty())
    {
        return Exit::Damaged;
    }
    let differs = |found: &LiveCount| found.counted.is_some_and(|total| total != found.held);
    match recounts.as_slice() {
        [(_, Err(error))] => return Exit::of_error(error),
        recounts if recounts.iter().any(|(_, found)| found.as_ref().map_or(true, differs)) => {
            return Exit::Incomplete;
        }
        _ => {}
    }
    if any_source(|found| found.outdated > 0) { Exit::Incomplete } else { Exit::Complete }
}

fn show_next_step(verification: &Verification, exit: Exit, ui: &Ui) {
    match exit {
        Exit::Damaged => ui.hint(
            "keep the file and restore a backup, or run `chatark pull --full` to fetch what the vendors still have",
        ),
        Exit::Incomplete if verification.sources.iter().any(|found| found.outdated > 0) => {
            ui.hint("run `chatark rebuild`: it maps the archived bytes again");
        }
        Exit::Incomplete => ui.hint("run `chatark pull`: it fetches what is new; what two full sweeps in a row do not show is marked as missing"),
        _ => {}
    }
}

fn source_result(found: &SourceVerification, recounts: &Recounts) -> SourceResult {
    let live = recounts.iter().find(|(source, _)| *source == found.source);
    let finding = |finding: &Finding| FindingResult {
        conversation: finding.conversation.clone(),
        version: finding.version,
        what: finding.what.clone(),
        contact: finding.contact.clone(),
    };
    SourceResult {
        source: found.source.to_string(),
        conversations: found.conversations,
        versions: found.versions,
        bytes: found.bytes,
        rows_compared: found.is_configured,
        damaged: found.damaged,
        outdated: found.outdated,
        counts: found.counts.clone(),
        findings: found.findings.iter().map(finding).collect(),
        live: live.map(|(_, found)| live_result(found)),
        contacts: found.contacts,
        earlier_mapping: found.earlier_mapping,
        gaps: found.gaps.clone(),
    }
}

fn live_result(found: &Result<LiveCount>) -> LiveResult {
    let error = found.as_ref().err();
    let found = found.as_ref().ok();
    LiveResult {
        counted: found.and_then(|found| found.counted),
        held: found.map(|found| found.held),
        notes: found.map(|found| found.notes.clone()).unwrap_or_default(),
        error: error.map(ToString::to_string),
        hint: error.and_then(Error::hint_text).map(str::to_owned),
    }
}
