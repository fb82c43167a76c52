//! What a run needs from the machine: the time, and threads for blocking work. Both are values, so that a simulation
//! can run everything else in one thread and in virtual time.

use chatark_core::{Clock, Error, Result};
use tokio::task;

/// What a run needs from the machine.
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
    /// In the calling task, one after the other, always in the same order.
    Inline,
}

impl Workers {
    /// Does blocking work and returns its result. A panic becomes an error without the text of the panic, because that
    /// may contain message text.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        operation: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Inline => work(),
            Self::Threads => {
                task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Error::panicked(operation)))
            }
        }
    }
}
