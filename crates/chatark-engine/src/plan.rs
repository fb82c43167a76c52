//! The plan of a pull: what it would read and cost.

use std::time::{Duration, Instant};

use chatark_archive::{Archive, SourceStatus, SyncMode};
use chatark_core::{Clock, Estimate, ReadRequest, Result, SourceName, Timestamp};
use futures_util::future;

use crate::pull::{PullParameters, Source, SyncPlan};

/// What a pull of one source would read and cost.
#[derive(Debug, Clone)]
pub struct PullPlan {
    /// The source.
    pub source: SourceName,
    /// How much the pull would read.
    pub mode: SyncMode,
    /// The beginning of the look-back window, if only recent conversations would be read.
    pub recent_since: Option<Timestamp>,
    /// When the checkpoint from which it would resume was saved.
    pub resumes_from: Option<Timestamp>,
    /// How many conversations the archive holds that the vendor still showed.
    pub held: u64,
    /// How many units of a metered quota the last pull used, if it had the same mode.
    pub quota_used_before: Option<u64>,
    /// The provider's estimate.
    pub estimate: Estimate,
    /// The average duration of a request of the estimate.
    pub round_trip: Duration,
}

/// Plans the pull of every source, side by side. An error of one source does not stop the others.
pub async fn plan(
    archive: Option<&Archive>,
    sources: &[Source],
    pull: &PullParameters,
    clock: &Clock,
) -> Result<Vec<Result<PullPlan>>> {
    let held = archive.map(Archive::status).transpose()?.unwrap_or_default();
    let mut plans = Vec::new();
    for source in sources {
        plans.push(plan_source(archive, source, pull, &held, clock));
    }
    let estimates = sources.iter().zip(plans).map(|(source, planned)| async move {
        let (request, planned) = planned?;
        let began = Instant::now();
        let mut estimate = source.provider.estimate(&request).await?;
        if source.contacts {
            estimate.notes.push("the lists of contacts take a few more requests".to_owned());
        }
        let round_trip = began.elapsed() / u32::try_from(estimate.requests_sent.max(1)).unwrap_or(u32::MAX);
        Ok(PullPlan { estimate, round_trip, ..planned })
    });
    Ok(future::join_all(estimates).await)
}

/// Decides what would be read, as the pull itself does.
fn plan_source(
    archive: Option<&Archive>,
    source: &Source,
    pull: &PullParameters,
    held: &[SourceStatus],
    clock: &Clock,
) -> Result<(ReadRequest, PullPlan)> {
    let request = pull.request(source.provider.descriptor().main_stream().stream);
    let found = archive.map(|archive| Ok((archive, archive.find_source(&source.origin)?))).transpose()?;
    let known = found.and_then(|(archive, key)| Some((archive, key?)));
    let sync_plan = known
        .map(|(archive, key)| source.sync_plan(archive, key, &request, pull.full, clock.now()))
        .transpose()?
        .unwrap_or_else(|| SyncPlan::everything(request));
    let SyncPlan { mode, resume, request } = sync_plan;
    let status = held.iter().find(|status| status.source == source.origin.source.as_str());
    let last = status.and_then(|status| status.last_pull.as_ref());
    let planned = PullPlan {
        source: source.origin.source.clone(),
        mode,
        recent_since: request.window.since.filter(|_| mode == SyncMode::Recent),
        resumes_from: resume.and_then(|resume| resume.saved_at),
        held: status.map_or(0, |status| status.conversations - status.missing),
        quota_used_before: last.filter(|last| last.effort == mode.as_str()).and_then(|last| last.quota_used),
        estimate: Estimate::default(),
        round_trip: Duration::ZERO,
    };
    Ok((request, planned))
}

impl PullPlan {
    /// Returns roughly how many requests the pull would take: new conversations are fetched, all others only listed.
    pub fn requests(&self) -> Option<u64> {
        let Estimate { conversations, requests, requests_for_changes, .. } = self.estimate;
        let (SyncMode::Changes, Some(listing)) = (self.mode, requests_for_changes) else { return requests };
        let new = conversations?.saturating_sub(self.held);
        let pages = requests?.saturating_mul(new).div_ceil(conversations?.max(1));
        Some(listing + pages)
    }

    /// Returns roughly how long the pull would take: one request after another, within the vendor's rate limit.
    pub fn duration(&self) -> Option<Duration> {
        let interval = self.estimate.rate_limit.map_or(Duration::ZERO, |rate_limit| {
            Duration::from_secs(rate_limit.seconds)
                / u32::try_from(rate_limit.requests.max(1)).unwrap_or(u32::MAX)
        });
        let each = self.round_trip.max(interval);
        Some(each.saturating_mul(u32::try_from(self.requests()?).unwrap_or(u32::MAX)))
    }
}
