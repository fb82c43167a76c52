//! Verifies an archive: offline against its own hashes, rows and counts, or live against the vendors' counts.

use std::mem;
use std::path::Path;
use std::thread;

use chatark_archive::{Archive, CheckedVersion, GapRecord, SourceKey, Subset, VersionFault};
use chatark_core::{
    DocumentKind, Error, ErrorKind, Mapper, Origin, ReadRequest, Result, SourceName, Stream, Window,
};
use tokio_util::sync::CancellationToken;

use crate::cores::on_all_cores;
use crate::pull::{Source, with_source};
use crate::rebuild::MappedSource;

/// How many versions are read at a time, while the previous ones are checked.
const PAGE: u32 = 256;
/// The most findings that are named; the others are counted.
const MAX_FINDINGS: usize = 100;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verification {
    /// What is wrong with the structure of the file. If its pages or indexes are broken, nothing else is reported.
    pub structure: Vec<String>,
    /// Each source, by name.
    pub sources: Vec<SourceVerification>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// What was found in one source.
#[derive(Debug)]
pub struct SourceVerification {
    /// The source.
    pub source: SourceName,
    /// Conversations whose row was checked.
    pub conversations: u64,
    /// Listed contacts whose row was checked.
    pub contacts: u64,
    /// Versions whose bytes were checked.
    pub versions: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Whether the config names the source, so that its rows could be compared with a new mapping.
    pub is_configured: bool,
    /// What is wrong with the counts.
    pub counts: Vec<String>,
    /// Versions whose bytes or rows are damaged.
    pub damaged: u64,
    /// Rows that a new mapping of their bytes would change, although the present rules made them.
    pub outdated: u64,
    /// The first findings, damaged or outdated.
    pub findings: Vec<Finding>,
    /// Rows from an earlier version of the mapping rules that the current rules would change.
    pub earlier_mapping: u64,
    /// Gaps that no pull could read so far, including accepted ones.
    pub gaps: Vec<GapRecord>,
}

/// One version with a fault.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The conversation, if the version is one or a part of one.
    pub conversation: Option<String>,
    /// The list and the id of the contact, if it is one, such as `leads/4711`.
    pub contact: Option<String>,
    /// The version, from 1.
    pub version: i64,
    /// What is wrong.
    pub what: String,
}

impl SourceVerification {
    fn add(&mut self, checked: &CheckedVersion) {
        self.versions += 1;
        self.bytes += checked.size;
        let kind = checked.stream.and_then(Stream::document);
        match kind {
            Some(DocumentKind::Conversation) => self.conversations += u64::from(checked.is_shown),
            Some(DocumentKind::Contact) => self.contacts += u64::from(checked.is_shown),
            None => {}
        }
        self.earlier_mapping += u64::from(checked.fault == Some(VersionFault::EarlierMapping));
        let Some(what) = checked.message() else { return };
        let (conversation, contact) = match kind {
            Some(DocumentKind::Contact) => (None, Some(checked.name())),
            _ => (Some(checked.parent.as_ref().unwrap_or(&checked.id).to_string()), None),
        };
        self.add_finding(checked.fault, Finding { conversation, contact, version: checked.version, what });
    }

    fn add_finding(&mut self, fault: Option<VersionFault>, finding: Finding) {
        let is_outdated = fault == Some(VersionFault::Outdated);
        *(if is_outdated { &mut self.outdated } else { &mut self.damaged }) += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Checks the structure of the file, then each source: bytes, rows, and in a full check the counts.
///
/// Without a mapper, a source's rows are not compared, only read. Writes nothing. Needs memory for a few megabytes or
/// the largest document.
pub fn verify(
    archive: &Archive,
    names: &[SourceName],
    configured: &[MappedSource],
    subset: Subset,
    stop: &CancellationToken,
) -> Result<Verification> {
    let path = archive.path();
    let (structure, checked) = thread::scope(|scope| {
        let structure = scope.spawn(|| check_structure(path));
        let checked = verify_sources(archive, names, configured, subset, stop);
        (structure.join().unwrap_or_else(|_| Err(Error::panicked("verify"))), checked)
    });
    let structure = structure?;
    if !structure.broken.is_empty() {
        // What is read through broken pages and indexes proves nothing.
        return Ok(Verification { structure: structure.broken, ..Verification::default() });
    }
    Ok(Verification { structure: structure.dangling, ..checked? })
}

/// What is wrong with the structure of the file.
struct Structure {
    /// Its pages and indexes.
    broken: Vec<String>,
    /// References between its tables.
    dangling: Vec<String>,
}

/// Checks the structure of the file over a connection of its own. It takes one core, so the sources are checked
/// meanwhile.
fn check_structure(path: &Path) -> Result<Structure> {
    let archive = Archive::open_to_read(path)?;
    Ok(Structure { broken: archive.structure_faults()?, dangling: archive.reference_faults()? })
}

fn verify_sources(
    archive: &Archive,
    names: &[SourceName],
    configured: &[MappedSource],
    subset: Subset,
    stop: &CancellationToken,
) -> Result<Verification> {
    let mut verification = Verification::default();
    for (key, Origin { source, .. }) in archive.sources(names)? {
        let found_source = configured.iter().find(|configured| configured.origin.source == source);
        let mapper = found_source.map(|source| &*source.mapper);
        let mut found = SourceVerification {
            source,
            conversations: 0,
            contacts: 0,
            versions: 0,
            bytes: 0,
            is_configured: mapper.is_some(),
            counts: Vec::new(),
            damaged: 0,
            outdated: 0,
            findings: Vec::new(),
            earlier_mapping: 0,
            gaps: archive.open_gaps(key)?,
        };
        if subset == Subset::WHOLE {
            found.counts = archive.count_faults(key)?;
        }
        let finished = check_versions(archive, key, subset, mapper, &mut found, stop)?;
        verification.sources.push(found);
        if !finished {
            verification.interrupted = true;
            break;
        }
    }
    Ok(verification)
}

/// Checks every version of a source on all cores, and returns whether it reached the end. A page is read while the one
/// before it is checked.
fn check_versions(
    archive: &Archive,
    key: SourceKey,
    subset: Subset,
    mapper: Option<&dyn Mapper>,
    found: &mut SourceVerification,
    stop: &CancellationToken,
) -> Result<bool> {
    thread::scope(|scope| {
        let (mut after, mut checking) = (0, None);
        loop {
            let is_stopped = stop.is_cancelled();
            let (page, last) = if is_stopped {
                (Vec::new(), after)
            } else {
                archive.stored_versions(key, subset, after, PAGE)?
            };
            let is_last = page.is_empty();
            let check = move || on_all_cores(page, |version| Ok(version.check(mapper)));
            let next = (!is_last).then(|| scope.spawn(check));
            // What has been read is checked even if the user stops.
            if let Some(previous) = mem::replace(&mut checking, next) {
                let checked: Result<Vec<CheckedVersion>> =
                    previous.join().unwrap_or_else(|_| Err(Error::panicked("verify")));
                checked?.iter().for_each(|checked| found.add(checked));
            }
            if is_last {
                return Ok(!is_stopped);
            }
            after = last;
        }
    })
}

/// How many conversations a vendor counts now, and how many the archive holds.
#[derive(Debug)]
pub struct LiveCount {
    /// Conversations by the vendor's count; `None` if the vendor gives none.
    pub counted: Option<u64>,
    /// Conversations in the archive that the vendor still showed.
    pub held: u64,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Asks a vendor how many conversations it has, and counts those of the archive.
///
/// If the vendor reports totals, both counts leave out what began after the last finished sweep began.
pub async fn live_count(archive: &Archive, source: &Source) -> Result<LiveCount> {
    let with_source = |error| with_source(error, &source.origin.source);
    let Some(key) = archive.find_source(&source.origin)? else {
        let error =
            Error::new(ErrorKind::Incomplete, "verify", "the archive holds nothing of this source yet");
        return Err(with_source(error).hint("run `chatark pull` first"));
    };
    let main = source.provider.descriptor().main_stream();
    let whole = ReadRequest::whole(main.stream);
    let swept_at = archive.sweep_history(key, main.stream, &whole.scope())?.any_began_at;
    let until = swept_at.filter(|_| main.reports_total);
    let request = ReadRequest { window: Window { since: None, until }, ..whole };
    let estimate = source.provider.estimate(&request).await.map_err(with_source)?;
    let held = archive.count_held_before(key, until)?;
    Ok(LiveCount { counted: estimate.conversations, held, notes: estimate.notes })
}
