//! What a pull would read and cost, found out before it begins.

use std::time::{Duration, Instant};

use chatark_archive::{Archive, SourceStatus, SyncMode};
use chatark_core::{Estimate, PullRequest, Result, SourceName, Timestamp};
use futures_util::future;

use crate::pull::{Pull, Source};

/// What a pull of one source would read and cost.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The source.
    pub source: SourceName,
    /// How much the pull would read.
    pub effort: SyncMode,
    /// The beginning of the window, where only what began lately would be read.
    pub recent_since: Option<Timestamp>,
    /// When the checkpoint was saved that it would go on from.
    pub resumes_from: Option<Timestamp>,
    /// How many conversations the archive holds that the vendor still showed.
    pub held: u64,
    /// What the last pull of the same effort cost of a metered quota.
    pub quota_used_before: Option<u64>,
    /// What the provider says of it.
    pub estimate: Estimate,
    /// How long one of its requests took on average.
    pub round_trip: Duration,
}

/// Plans the pull of every source, side by side; an error of one does not stop the others.
pub async fn plan(
    archive: Option<&Archive>,
    sources: &[Source],
    pull: &Pull,
) -> Result<Vec<Result<Planned>>> {
    let held = archive.map(Archive::status).transpose()?.unwrap_or_default();
    let mut plans = Vec::new();
    for source in sources {
        plans.push(prepared(archive, source, pull, &held));
    }
    let asking = sources.iter().zip(plans).map(|(source, planned)| async move {
        let (request, planned) = planned?;
        let began = Instant::now();
        let mut estimate = source.provider.estimate(&request).await?;
        if source.contacts {
            estimate.notes.push("the lists of contacts take a few requests more".to_owned());
        }
        let round_trip = began.elapsed() / u32::try_from(estimate.asked.max(1)).unwrap_or(u32::MAX);
        Ok(Planned { estimate, round_trip, ..planned })
    });
    Ok(future::join_all(asking).await)
}

/// Decides what would be read, as the pull itself does.
fn prepared(
    archive: Option<&Archive>,
    source: &Source,
    pull: &Pull,
    held: &[SourceStatus],
) -> Result<(PullRequest, Planned)> {
    let request = pull.request();
    let found = archive.map(|archive| Ok((archive, archive.find(&source.origin)?))).transpose()?;
    let known = found.and_then(|(archive, key)| Some((archive, key?)));
    let decided = known.map(|(archive, key)| source.decide(archive, key, &request, pull.full)).transpose()?;
    let (effort, window, resume) = decided.unwrap_or((SyncMode::Full, request.window, None));
    let status = held.iter().find(|status| status.source == source.origin.source.as_str());
    let last = status.and_then(|status| status.last_pull.as_ref());
    let planned = Planned {
        source: source.origin.source.clone(),
        effort,
        recent_since: window.since.filter(|_| effort == SyncMode::Recent),
        resumes_from: resume.and_then(|resume| resume.saved_at),
        held: status.map_or(0, |status| status.conversations - status.missing),
        quota_used_before: last
            .filter(|last| last.effort == effort.as_str())
            .and_then(|last| last.quota_used),
        estimate: Estimate::default(),
        round_trip: Duration::ZERO,
    };
    Ok((PullRequest { window, ..request }, planned))
}

impl Planned {
    /// Returns how many requests the pull would take, roughly: new conversations are fetched, others listed.
    pub fn requests(&self) -> Option<u64> {
        let Estimate { conversations, requests, requests_unchanged, .. } = self.estimate;
        let (SyncMode::Changes, Some(listing)) = (self.effort, requests_unchanged) else { return requests };
        let new = conversations?.saturating_sub(self.held);
        let pages = requests?.saturating_mul(new).div_ceil(conversations?.max(1));
        Some(listing + pages)
    }

    /// Returns how long the pull would take, roughly: a request after the other, at the vendor's pace.
    pub fn duration(&self) -> Option<Duration> {
        let pace = self.estimate.pace.map_or(Duration::ZERO, |pace| {
            Duration::from_secs(pace.seconds) / u32::try_from(pace.requests.max(1)).unwrap_or(u32::MAX)
        });
        let each = self.round_trip.max(pace);
        Some(each.saturating_mul(u32::try_from(self.requests()?).unwrap_or(u32::MAX)))
    }
}
