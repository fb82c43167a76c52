//! Lets one async function hand over batches as it goes, since an answer that is still arriving borrows its
//! call: a stream that keeps both in its state would have to point into itself.

use std::future;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use chatark_core::{Batch, BatchStream, Result};
use futures_util::stream;

/// Where a walk puts its batches, one at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlet(Arc<Mutex<Option<Batch>>>);

impl Outlet {
    /// Hands a batch over, and goes on once the next one is asked for.
    pub(crate) async fn give(&self, batch: Batch) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch);
        let mut is_taken = false;
        future::poll_fn(|_| if mem::replace(&mut is_taken, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    fn take(&self) -> Option<Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns the batches that a walk hands over, and its error at the end where there is one.
pub(crate) fn batches<'a, W>(walk: impl FnOnce(Outlet) -> W) -> BatchStream<'a>
where
    W: Future<Output = Result<()>> + Send + 'a,
{
    let outlet = Outlet::default();
    let mut running = Some(Box::pin(walk(outlet.clone())));
    Box::pin(stream::poll_fn(move |context| {
        let Some(walk) = &mut running else {
            return Poll::Ready(None);
        };
        let end = walk.as_mut().poll(context);
        if let Some(batch) = outlet.take() {
            return Poll::Ready(Some(Ok(batch)));
        }
        let Poll::Ready(end) = end else {
            return Poll::Pending;
        };
        running = None;
        Poll::Ready(end.err().map(Err))
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use chatark_core::{Error, ErrorKind, PageMetadata};
    use futures_util::StreamExt;

    use super::*;

    fn batch(pages: u64) -> Batch {
        let metadata = PageMetadata { pages, ..PageMetadata::default() };
        Batch { page: metadata, ..Batch::default() }
    }

    #[tokio::test]
    async fn batches_come_one_by_one_and_the_error_last() {
        let steps = &AtomicU64::new(0);
        let mut stream = batches(|outlet| async move {
            for pages in 1..=2 {
                steps.store(pages, Ordering::Relaxed);
                tokio::task::yield_now().await;
                outlet.give(batch(pages)).await;
            }
            Err(Error::new(ErrorKind::Refused, "walk", "no"))
        });
        assert_eq!(steps.load(Ordering::Relaxed), 0);
        assert_eq!(stream.next().await.unwrap().unwrap(), batch(1));
        assert_eq!(steps.load(Ordering::Relaxed), 1);
        assert_eq!(stream.next().await.unwrap().unwrap(), batch(2));
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Refused);
        assert!(stream.next().await.is_none());
    }
}
