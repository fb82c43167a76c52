//! Authorized requests, with everything needed to answer them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use bytes::Bytes;

use crate::exchange::ApiRequest;
use crate::world::Agent;

/// A request that passed authorization, faults and limits, with what is needed to answer it.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a ApiRequest,
    /// The agent that the request names, if the key has access.
    pub(crate) agent: Option<Arc<Agent>>,
    /// All agents that the key has access to.
    pub(crate) account: Vec<Arc<Agent>>,
    /// How a fault changes the paging.
    pub(crate) paging_fault: PagingFault,
    pub(crate) meter: Meter<'a>,
}

/// A request to a route below an agent: it writes to the agent, or reads what was written to it.
pub(crate) struct AgentCall<'a> {
    pub(crate) request: &'a ApiRequest,
    pub(crate) method: &'a Method,
    /// The segments of the path after the agent's id.
    pub(crate) route: &'a [&'a str],
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: &'a Bytes,
    /// How a fault changes the paging.
    pub(crate) paging_fault: PagingFault,
}

/// Convocore's limits and its counter of billed sessions.
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

/// How a fault changes the paging.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PagingFault {
    #[default]
    None,
    RepeatCursor,
    HasMoreNullCursor,
    EmptyPage,
}

impl PagingFault {
    /// Returns the number of the page to send: a list without cursors repeats the previous page.
    pub(crate) fn page(self, requested: usize) -> usize {
        match self {
            Self::RepeatCursor => requested.saturating_sub(1).max(1),
            Self::None | Self::HasMoreNullCursor | Self::EmptyPage => requested,
        }
    }

    /// Returns whether the page must be empty.
    pub(crate) fn is_empty_page(self) -> bool {
        self == Self::EmptyPage
    }
}
