//! A request that has passed the gate, with everything that is needed to answer it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::ApiRequest;
use crate::world::Agent;

/// A request that has passed the gate.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a ApiRequest,
    /// The agent that the request names, where the key may see it.
    pub(crate) agent: Option<Arc<Agent>>,
    /// All agents that the key may see.
    pub(crate) account: Vec<Arc<Agent>>,
    /// What a fault does to the paging.
    pub(crate) twist: Twist,
    pub(crate) meter: Meter<'a>,
}

/// What Convocore counts.
pub(crate) struct Meter<'a> {
    pub(crate) remaining_hour: usize,
    pub(crate) included_quota: u64,
    pub(crate) billed: &'a AtomicU64,
}

impl Meter<'_> {
    /// Adds exported sessions, and returns how many there are in this period.
    pub(crate) fn bill(&self, sessions: u64) -> u64 {
        self.billed.fetch_add(sessions, Ordering::Relaxed) + sessions
    }
}

/// What a fault does to the end of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Twist {
    #[default]
    None,
    RepeatCursor,
    HasMoreNullCursor,
    EmptyPage,
}
