//! Ctrl-C and SIGTERM: the first one asks the run to stop, the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chatark_engine::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::ui::Ui;

/// A request to stop, and the signal that caused it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
    terminated: Arc<AtomicBool>,
}

impl Stop {
    /// Starts to listen. Must be called inside the runtime.
    pub(crate) fn listen(ui: &Ui) -> std::io::Result<Self> {
        let stop = Self::default();
        let (mut interrupts, mut terminations) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (listening, ui) = (stop.clone(), ui.clone());
        tokio::spawn(async move {
            loop {
                let terminated = tokio::select! {
                    _ = interrupts.recv() => false,
                    _ = terminations.recv() => true,
                };
                if listening.token.is_cancelled() {
                    leave(if terminated { Exit::Terminated } else { Exit::Interrupted });
                }
                listening.terminated.store(terminated, Ordering::Relaxed);
                listening.token.cancel();
                ui.info("stopping after the current commit; press Ctrl-C again to end at once");
            }
        });
        Ok(stop)
    }

    /// Returns the exit of a stopped run: by Ctrl-C or by SIGTERM.
    pub(crate) fn exit(&self, otherwise: Exit) -> Exit {
        match otherwise {
            Exit::Interrupted if self.terminated.load(Ordering::Relaxed) => Exit::Terminated,
            other => other,
        }
    }
}

#[expect(clippy::exit, reason = "a second Ctrl-C ends the program at once; every commit is atomic")]
fn leave(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}
