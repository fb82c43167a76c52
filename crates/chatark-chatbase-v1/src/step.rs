//! The loop that all walks share: gaps of earlier pulls first, then page after page until the list ends.

use chatark_core::{Batch, Error, PageMetadata, Result};

use crate::ending::AfterRefusal;
use crate::failure::is_refusal;
use crate::list::Rows;

/// A batch, and the walk that goes on after it.
pub(crate) type Step<W> = Result<(Batch, Option<W>)>;

/// Why the first page of a list is refused.
pub(crate) enum FirstRefused {
    /// A row on the page fails: the error of the page.
    Failing(Error),
    /// The list is empty.
    Empty,
    /// The deployment refuses a parameter: the page has to be requested again without it.
    Parameter,
}

/// A walk through the pages of a list.
pub(crate) trait Walk: Sized {
    /// Returns whether gaps of earlier pulls are due to be tried again.
    fn has_due_gaps(&self) -> bool;

    /// Tries the gaps that are due. The checkpoint stays where it is.
    async fn try_gaps(self) -> Step<Self>;

    /// Returns the number of the current page, from 1.
    fn page(&self) -> u64;

    /// Returns whether that page comes from a resume token and has not arrived yet.
    fn is_resuming(&self) -> bool;

    /// Restarts at page 1, because the saved page is refused or no longer exists.
    fn restart(&mut self, metadata: &mut PageMetadata);

    /// Returns the current page.
    async fn current(&mut self, metadata: &mut PageMetadata) -> Result<Rows>;

    /// Returns a batch with the rows of the current page.
    async fn deliver(self, rows: Rows, metadata: PageMetadata) -> Step<Self>;

    /// Finds out why page 1 is refused.
    async fn first_refused(&mut self, error: Error, metadata: &mut PageMetadata) -> Result<FirstRefused>;

    /// Finds out what follows from the current page on, which is refused.
    async fn after_refusal(&mut self, metadata: &mut PageMetadata) -> Result<AfterRefusal>;

    /// Returns a batch with what can be read of the current page, which fails, and the gap.
    async fn read_around(self, error: Error, metadata: PageMetadata) -> Step<Self>;

    /// Notes that the vendor gives no page from the current one on.
    fn note_ceiling(&mut self, refusal: &Error);

    /// Ends the list.
    async fn end(self, metadata: PageMetadata) -> Step<Self>;
}

/// Takes the next step of a walk.
pub(crate) async fn next<W: Walk>(mut walk: W) -> Step<W> {
    if walk.has_due_gaps() {
        return walk.try_gaps().await;
    }
    let mut metadata = PageMetadata::default();
    loop {
        match walk.current(&mut metadata).await {
            Ok(rows) if rows.is_empty() && walk.is_resuming() => walk.restart(&mut metadata),
            Ok(rows) if rows.is_empty() => return walk.end(metadata).await,
            Ok(rows) => return walk.deliver(rows, metadata).await,
            Err(error) if is_refusal(&error) && walk.is_resuming() => walk.restart(&mut metadata),
            Err(error) if is_refusal(&error) && walk.page() == 1 => {
                match walk.first_refused(error, &mut metadata).await? {
                    FirstRefused::Failing(error) => return walk.read_around(error, metadata).await,
                    FirstRefused::Empty => return walk.end(metadata).await,
                    FirstRefused::Parameter => {}
                }
            }
            Err(error) if is_refusal(&error) => {
                return match walk.after_refusal(&mut metadata).await? {
                    AfterRefusal::Nothing => walk.end(metadata).await,
                    AfterRefusal::Rows => walk.read_around(error, metadata).await,
                    AfterRefusal::Unreachable => {
                        walk.note_ceiling(&error);
                        walk.end(metadata).await
                    }
                };
            }
            Err(error) if error.may_be_local() => return walk.read_around(error, metadata).await,
            Err(error) => return Err(error),
        }
    }
}
