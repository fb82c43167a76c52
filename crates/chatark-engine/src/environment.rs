//! What a run needs of the machine it runs on: the time, and threads for blocking work. Both are values, so that a
//! simulation can run everything else in one thread and in virtual time.

use chatark_core::{Clock, Error, ErrorKind, Result};
use tokio::task;

/// What a run needs of the machine.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The wall clock.
    pub clock: Clock,
    /// Where blocking work is done.
    pub workers: Workers,
}

/// Where blocking work is done: mapping, compression and everything that touches the archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Workers {
    /// In the runtime's threads for blocking work.
    #[default]
    Threads,
    /// Where it is asked for, one after the other, in an order that is the same each time.
    Inline,
}

impl Workers {
    /// Does blocking work and returns what came of it. What a panic said stays out of the error: it may hold what
    /// people wrote.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        operation: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Inline => work(),
            Self::Threads => task::spawn_blocking(work).await.unwrap_or_else(|_| Err(panicked(operation))),
        }
    }
}

/// Returns the error of work that panicked.
pub(crate) fn panicked(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, operation, "a part of Chatark panicked").hint("please report this")
}
