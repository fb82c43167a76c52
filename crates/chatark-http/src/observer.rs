//! Events of a client, for progress displays and logs: waits before requests, and responses.

use std::fmt;
use std::time::Duration;

/// Receives the events of all requests, as they happen.
pub trait HttpObserver: fmt::Debug + Send + Sync {
    /// Takes an event of a source. It must not block.
    fn on_event(&self, source: &str, event: &HttpEvent);
}

/// A wait before a request, or a response that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpEvent {
    /// The client waits before it sends the next request.
    Waiting {
        /// Why, in a few words.
        reason: String,
        /// How long.
        wait: Duration,
    },
    /// A response has arrived completely.
    Received {
        /// Its size after decompression.
        bytes: usize,
    },
}

/// Ignores all events.
#[derive(Debug)]
pub(crate) struct NoObserver;

impl HttpObserver for NoObserver {
    fn on_event(&self, _source: &str, _event: &HttpEvent) {}
}
