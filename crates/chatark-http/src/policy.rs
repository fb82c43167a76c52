//! How long and how often a client tries.

use std::time::Duration;

use crate::framer::Limits;

/// How long and how often one client tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The most attempts for one request, the first one included.
    pub attempts: u32,
    /// The first wait between two attempts; each later one is twice as long.
    pub backoff: Duration,
    /// The longest wait between two attempts if the vendor does not ask for one.
    pub longest_backoff: Duration,
    /// The longest wait that the vendor may ask for. If it asks for more, the request fails at once.
    pub longest_wait: Duration,
    /// How long after a lost response the effect of its request may still appear at the vendor.
    pub settle: Duration,
    /// The time limit for connecting, for the headers of a response, and for each further kilobyte of its body.
    pub timeout: Duration,
    /// How large responses may be.
    pub limits: Limits,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 6,
            backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(30),
            longest_wait: Duration::from_mins(15),
            settle: Duration::from_secs(30),
            timeout: Duration::from_mins(1),
            limits: Limits::default(),
        }
    }
}
