//! What a command may spend: requests, units of a metered quota, and time; shared by all of its clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The most that a command may spend; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Requests to vendors, retries included.
    pub requests: Option<u64>,
    /// Units of a metered quota. Only a response tells its cost, so a run may exceed the limit by the cost of one
    /// response.
    pub quota: Option<u64>,
    /// Time since the budget was created.
    pub duration: Option<Duration>,
}

/// A budget and what has been spent of it. The default has no limits.
#[derive(Debug)]
pub struct Budget {
    limits: BudgetLimits,
    deadline: Option<Instant>,
    requests: AtomicU64,
    quota: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BudgetLimits::default())
    }
}

impl Budget {
    /// Creates a budget. Its time begins now.
    pub fn new(limits: BudgetLimits) -> Self {
        let deadline = limits.duration.and_then(|duration| Instant::now().checked_add(duration));
        Self { limits, deadline, requests: AtomicU64::new(0), quota: AtomicU64::new(0) }
    }

    /// Returns how many requests have been sent.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts what a response cost.
    pub(crate) fn spend_quota(&self, units: u64) {
        self.quota.fetch_add(units, Ordering::Relaxed);
    }

    /// Takes one request, or returns a message that names the limit that is spent.
    pub(crate) fn take_request(&self) -> Result<(), String> {
        if let Some(quota) = self.limits.quota.filter(|quota| self.quota.load(Ordering::Relaxed) >= *quota) {
            return Err(format!("the budget of {quota} units of the vendor's quota is spent"));
        }
        if self.is_over(Instant::now()) {
            return Err(self.out_of_time_message());
        }
        let most = self.limits.requests.unwrap_or(u64::MAX);
        let taken = self
            .requests
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| (sent < most).then(|| sent + 1));
        let plural = if most == 1 { "" } else { "s" };
        taken.map(|_| ()).map_err(|_| format!("the budget of {most} request{plural} is spent"))
    }

    /// Returns a deadline, or the end of the budget's time if that is earlier.
    pub(crate) fn cap_deadline(&self, deadline: Instant) -> Instant {
        self.deadline.map_or(deadline, |end| end.min(deadline))
    }

    /// Returns whether the budget's time is over at an instant.
    pub(crate) fn is_over(&self, instant: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= instant)
    }

    /// Returns the message for a budget whose time is over.
    pub(crate) fn out_of_time_message(&self) -> String {
        let duration = humantime::format_duration(self.limits.duration.unwrap_or_default());
        format!("the budget of {duration} is spent")
    }
}
