//! Ctrl-C and SIGTERM: the first signal asks the run to stop, the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chatark_core::{Error, ErrorKind, Result};
use chatark_engine::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::ui::Ui;

/// A request to stop, and the signal that caused it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSignal {
    pub(crate) token: CancellationToken,
    is_sigterm: Arc<AtomicBool>,
}

impl StopSignal {
    /// Starts to listen for signals. Must be called inside the runtime.
    pub(crate) fn listen(ui: &Ui) -> Result<Self> {
        let stop = Self::default();
        let listen_for = |kind| {
            signal(kind).map_err(|error| Error::new(ErrorKind::Unexpected, "listen for signals", error))
        };
        let (mut interrupts, mut terminations) =
            (listen_for(SignalKind::interrupt())?, listen_for(SignalKind::terminate())?);
        let (shared, ui) = (stop.clone(), ui.clone());
        tokio::spawn(async move {
            loop {
                let is_sigterm = tokio::select! {
                    _ = interrupts.recv() => false,
                    _ = terminations.recv() => true,
                };
                if shared.token.is_cancelled() {
                    exit_at_once(if is_sigterm { Exit::Terminated } else { Exit::Interrupted });
                }
                shared.is_sigterm.store(is_sigterm, Ordering::Relaxed);
                shared.token.cancel();
                ui.info("stopping after the current commit; press Ctrl-C again to end at once");
            }
        });
        Ok(stop)
    }

    /// Returns the exit that names the signal: `Interrupted` becomes `Terminated` after SIGTERM.
    pub(crate) fn with_signal(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Interrupted if self.is_sigterm.load(Ordering::Relaxed) => Exit::Terminated,
            other => other,
        }
    }
}

#[expect(clippy::exit, reason = "a second Ctrl-C ends the program at once; every commit is atomic")]
fn exit_at_once(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}
