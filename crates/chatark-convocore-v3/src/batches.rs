//! Turns a walk, written as one async function, into a stream of batches.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use chatark_core::{Batch, BatchStream, Result};
use futures_util::stream;

/// Hands batches over to the reader of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct BatchSender(Arc<Mutex<Option<Batch>>>);

impl BatchSender {
    /// Hands a batch over. The walk pauses here until the next batch is polled.
    pub(crate) async fn send(&self, batch: Batch) {
        self.put(Some(batch));
        let mut has_paused = false;
        poll_fn(|_| if mem::replace(&mut has_paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn put(&self, batch: Option<Batch>) -> Option<Batch> {
        mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), batch)
    }
}

/// Makes a stream of what a walk sends. Nothing happens before it is polled, and nothing between two polls.
pub(crate) fn batches<'a, F>(walk: impl FnOnce(BatchSender) -> F) -> BatchStream<'a>
where
    F: Future<Output = Result<()>> + Send + 'a,
{
    let sender = BatchSender::default();
    let mut walk = Some(Box::pin(walk(sender.clone())));
    Box::pin(stream::poll_fn(move |context| {
        let Some(running) = walk.as_mut() else { return Poll::Ready(None) };
        let progress = running.as_mut().poll(context);
        if progress.is_ready() {
            walk = None;
        }
        match (sender.put(None), progress) {
            (Some(batch), _) => Poll::Ready(Some(Ok(batch))),
            (None, Poll::Ready(end)) => Poll::Ready(end.err().map(Err)),
            (None, Poll::Pending) => Poll::Pending,
        }
    }))
}
