//! How long and how often a client tries.

use std::time::Duration;

use crate::framer::SizeLimits;

/// How long and how often one client tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The most attempts for one request, the first one included.
    pub max_attempts: u32,
    /// The first wait between two attempts; each later one is twice as long.
    pub backoff: Duration,
    /// The longest wait between two attempts if the vendor does not ask for one.
    pub max_backoff: Duration,
    /// The longest wait that the vendor may ask for. If it asks for more, the request fails at once.
    pub max_wait: Duration,
    /// How long after a request without a response its effect may still appear at the vendor.
    pub late_effect_wait: Duration,
    /// The time limit for connecting, for the headers of a response, and for each further kilobyte of its body.
    pub timeout: Duration,
    /// How large responses may be.
    pub size_limits: SizeLimits,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(30),
            max_wait: Duration::from_mins(15),
            late_effect_wait: Duration::from_secs(30),
            timeout: Duration::from_mins(1),
            size_limits: SizeLimits::default(),
        }
    }
}
