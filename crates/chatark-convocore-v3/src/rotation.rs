//! The rotation: each pull reads another part of the list after its newest pages.

use chatark_core::{Result, ResumeToken};

use crate::account::ConvocoreV3;
use crate::descriptor::DESCRIPTOR;
use crate::list::{ListCursor, ListPage, ListProblem, ListWalk};

/// The version of the sealed cursors of the rotation.
const TOKEN_VERSION: u32 = 1;
const SCOPE: &str = "list";

/// A walk through the list that goes on where the pull before it stopped, and at the end begins again once.
#[derive(Debug)]
pub(crate) struct RotationWalk {
    list: ListWalk,
    start: ListCursor,
    /// Where the newest pages end, which were read already.
    newest_end: ListCursor,
    /// Whether the walk begins at a saved cursor that the vendor has not accepted yet.
    is_saved: bool,
    has_wrapped: bool,
}

impl RotationWalk {
    /// Begins at a saved cursor, or after the newest pages.
    pub(crate) fn new(saved: Option<&ResumeToken>, newest_end: ListCursor) -> Self {
        let saved: Option<ListCursor> =
            saved.and_then(|token| token.open(DESCRIPTOR.name, TOKEN_VERSION, SCOPE));
        let saved = saved.filter(|cursor| *cursor != ListCursor::default());
        let is_saved = saved.is_some();
        let start = saved.unwrap_or_else(|| newest_end.clone());
        Self { list: ListWalk::from(start.clone()), start, newest_end, is_saved, has_wrapped: !is_saved }
    }

    /// Returns the next page, or `None` once all of the list has been read.
    pub(crate) async fn next(&mut self, account: &ConvocoreV3) -> Result<Option<ListPage>, ListProblem> {
        loop {
            if self.has_wrapped && self.list.pages > 0 && self.list.next_cursor() == Some(&self.start) {
                return Ok(None);
            }
            match self.list.next(account).await {
                Ok(None) if self.has_wrapped => return Ok(None),
                // The end of the list, or a saved cursor that the vendor no longer knows.
                Ok(None) => self.begin_again(),
                Err(ListProblem::Refused(_)) if self.is_saved => self.begin_again(),
                page => {
                    self.is_saved = false;
                    return page;
                }
            }
        }
    }

    fn begin_again(&mut self) {
        self.list = ListWalk::from(self.newest_end.clone());
        (self.is_saved, self.has_wrapped) = (false, true);
    }
}

/// Seals a cursor for the next pull.
pub(crate) fn seal(cursor: &ListCursor) -> Result<ResumeToken> {
    ResumeToken::seal(DESCRIPTOR.name, TOKEN_VERSION, SCOPE.to_owned(), cursor)
}
