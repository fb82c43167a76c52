//! The proof of an archive: offline by its own hashes, rows and counts, and live by the vendors' counts.

use std::sync::Arc;

use chatark_archive::{Archive, Checked, CheckedContact, Fault, Part, SourceKey};
use chatark_core::{Error, ErrorKind, Provider, PullRequest, Result, SourceName, Window};
use tokio_util::sync::CancellationToken;

use crate::cores::on_all_cores;
use crate::pull::Source;

/// How many versions are in memory at a time, at most.
const PAGE: u32 = 512;
/// How many findings are named; the others are counted.
const MOST_FINDINGS: usize = 100;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verification {
    /// What is wrong with the structure of the file. Where its pages or indexes are broken, nothing else is checked.
    pub structure: Vec<String>,
    /// Each source, by name.
    pub sources: Vec<SourceVerification>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// What was found of one source.
#[derive(Debug)]
pub struct SourceVerification {
    /// The source.
    pub source: SourceName,
    /// Conversations whose row was checked.
    pub conversations: u64,
    /// People apart from conversations whose row was checked.
    pub contacts: u64,
    /// Versions whose bytes were checked.
    pub versions: u64,
    /// The bytes that those have.
    pub bytes: u64,
    /// Whether the config names the source, so that its rows could be held against a fresh normalization.
    pub is_configured: bool,
    /// What is wrong with the counts.
    pub counts: Vec<String>,
    /// Versions whose bytes or rows are damaged.
    pub damaged: u64,
    /// Rows that a fresh normalization would make otherwise.
    pub outdated: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// One version that is not as it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The conversation, where it is one.
    pub conversation: Option<String>,
    /// The list and the id of the contact, where it is one, such as `leads/4711`.
    pub contact: Option<String>,
    /// The version, from 1.
    pub version: i64,
    /// What is wrong.
    pub what: &'static str,
}

impl SourceVerification {
    fn note(&mut self, checked: &Checked) {
        self.versions += 1;
        self.bytes += checked.size;
        self.conversations += u64::from(checked.is_shown);
        let what = match checked.fault {
            None => return,
            Some(Fault::Bytes(damage)) => damage.as_str(),
            Some(Fault::Row) => "the row of a conversation cannot be read",
            Some(Fault::Outdated) => "the row of a conversation is not what its bytes come to",
        };
        let conversation = Some(checked.id.to_string());
        self.find(checked.fault, Finding { conversation, contact: None, version: checked.version, what });
    }

    fn note_contact(&mut self, checked: &CheckedContact) {
        self.versions += 1;
        self.bytes += checked.size;
        self.contacts += u64::from(checked.is_latest);
        let what = match checked.fault {
            None => return,
            Some(Fault::Bytes(damage)) => damage.of_contact(),
            Some(Fault::Row) => "the row of a contact cannot be read",
            Some(Fault::Outdated) => "the row of a contact is not what its bytes come to",
        };
        let contact = Some(format!("{}/{}", checked.list, checked.id));
        self.find(checked.fault, Finding { conversation: None, contact, version: checked.version, what });
    }

    fn find(&mut self, fault: Option<Fault>, finding: Finding) {
        let is_outdated = fault == Some(Fault::Outdated);
        *(if is_outdated { &mut self.outdated } else { &mut self.damaged }) += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Checks the structure of the file, then each source: bytes, rows, and where all of it is checked the counts.
///
/// Sources that are not in `configured` have no mapper: their bytes are checked, and their rows as far as they can
/// be read. Writes nothing, and holds a few megabytes or the largest conversation.
pub fn verify(
    archive: &Archive,
    names: &[SourceName],
    configured: &[Source],
    part: Part,
    stop: &CancellationToken,
) -> Result<Verification> {
    let mut verification = Verification { structure: archive.structure()?, ..Verification::default() };
    if !verification.structure.is_empty() {
        // What is read through broken pages and indexes proves nothing.
        return Ok(verification);
    }
    verification.structure = archive.references()?;
    for (source, key) in archive.sources()? {
        if !names.is_empty() && !names.contains(&source) {
            continue;
        }
        let configured = configured.iter().find(|configured| configured.origin.source == source);
        let provider = configured.map(|configured| Arc::clone(&configured.provider));
        let mut found = SourceVerification {
            source,
            conversations: 0,
            contacts: 0,
            versions: 0,
            bytes: 0,
            is_configured: provider.is_some(),
            counts: Vec::new(),
            damaged: 0,
            outdated: 0,
            findings: Vec::new(),
        };
        if part == Part::WHOLE {
            found.counts = archive.counts(key)?;
        }
        let provider = provider.as_deref();
        let finished = versions(archive, key, part, provider, &mut found, stop)?
            && contact_versions(archive, key, part, provider, &mut found, stop)?;
        verification.sources.push(found);
        if !finished {
            verification.interrupted = true;
            break;
        }
    }
    Ok(verification)
}

/// Checks every version of a source, and returns whether it came to the end.
fn versions(
    archive: &Archive,
    key: SourceKey,
    part: Part,
    provider: Option<&dyn Provider>,
    found: &mut SourceVerification,
    stop: &CancellationToken,
) -> Result<bool> {
    each_page(
        |after| archive.versions(key, part, after, PAGE),
        |version| version.check(provider.map(|provider| |bytes: &[u8]| provider.normalize(bytes))),
        |checked| found.note(checked),
        stop,
    )
}

/// Checks every version of a source's contacts, and returns whether it came to the end.
fn contact_versions(
    archive: &Archive,
    key: SourceKey,
    part: Part,
    provider: Option<&dyn Provider>,
    found: &mut SourceVerification,
    stop: &CancellationToken,
) -> Result<bool> {
    each_page(
        |after| archive.contact_versions(key, part, after, PAGE),
        |version| {
            version.check(
                provider.map(|provider| move |list, bytes: &[u8]| provider.normalize_contact(list, bytes)),
            )
        },
        |checked| found.note_contact(checked),
        stop,
    )
}

/// Reads page after page, checks each on all cores, and returns whether it came to the end.
fn each_page<T: Send, C: Send>(
    read: impl Fn(i64) -> Result<(Vec<T>, i64)>,
    check: impl Fn(T) -> C + Sync,
    mut note: impl FnMut(&C),
    stop: &CancellationToken,
) -> Result<bool> {
    let mut after = 0;
    loop {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let (page, last) = read(after)?;
        if page.is_empty() {
            return Ok(true);
        }
        on_all_cores(page, |version| Ok(check(version)))?.iter().for_each(&mut note);
        after = last;
    }
}

/// What a vendor counts, and what the archive holds.
#[derive(Debug)]
pub struct Recount {
    /// Conversations by the vendor's count; `None` where it cannot be told.
    pub counted: Option<u64>,
    /// Conversations in the archive that the vendor still showed.
    pub held: u64,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Asks a vendor how many conversations it has, and holds that against the archive.
///
/// Where the vendor counts by dates, what began after the last good sweep is left out on both sides.
pub async fn recount(archive: &Archive, source: &Source) -> Result<Recount> {
    let named = |error: Error| {
        let is_named = error.facts().iter().any(|(name, _)| *name == "source");
        if is_named { error } else { error.with("source", &source.origin.source) }
    };
    let Some(key) = archive.find(&source.origin)? else {
        let error = Error::new(ErrorKind::Incomplete, "verify", "the archive holds nothing of it yet");
        return Err(named(error).hint("run `chatark pull` first"));
    };
    let whole = PullRequest::default();
    let swept = archive.swept(key, &whole.scope())?.any;
    let until = swept.filter(|_| source.provider.descriptor().reports_total);
    let request = PullRequest { window: Window { since: None, until }, ..whole };
    let estimate = source.provider.estimate(&request).await.map_err(named)?;
    let held = archive.held_before(key, until)?;
    Ok(Recount { counted: estimate.conversations, held, notes: estimate.notes })
}
