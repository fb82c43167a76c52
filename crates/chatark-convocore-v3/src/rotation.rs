//! The part of the list that one pull reads in turn, behind its newest pages.

use chatark_core::{Result, ResumeToken};

use crate::account::ConvocoreV3;
use crate::descriptor::DESCRIPTOR;
use crate::list::{ListPage, ListPlace, ListProblem, ListWalk};

/// The version of the cursors of the rotation.
const CURSOR_VERSION: u32 = 1;
const SCOPE: &str = "list";

/// A walk through the list that goes on where the pull before it stopped, and at the end begins again once.
#[derive(Debug)]
pub(crate) struct RotationWalk {
    list: ListWalk,
    start: ListPlace,
    /// Where the newest pages end, which have been read already.
    newest_end: ListPlace,
    /// Whether the saved place has not been accepted yet.
    is_saved: bool,
    has_wrapped: bool,
}

impl RotationWalk {
    /// Begins at a saved place, or behind the newest pages.
    pub(crate) fn new(saved: Option<&ResumeToken>, newest_end: ListPlace) -> Self {
        let saved: Option<ListPlace> =
            saved.and_then(|cursor| cursor.open(DESCRIPTOR.name, CURSOR_VERSION, SCOPE));
        let saved = saved.filter(|place| *place != ListPlace::default());
        let is_saved = saved.is_some();
        let start = saved.unwrap_or_else(|| newest_end.clone());
        Self { list: ListWalk::from(start.clone()), start, newest_end, is_saved, has_wrapped: !is_saved }
    }

    /// Returns the next page, or `None` once all of the list has been read.
    pub(crate) async fn next(&mut self, account: &ConvocoreV3) -> Result<Option<ListPage>, ListProblem> {
        loop {
            if self.has_wrapped && self.list.pages > 0 && self.list.place() == Some(&self.start) {
                return Ok(None);
            }
            match self.list.next(account).await {
                Ok(None) if self.has_wrapped => return Ok(None),
                // The end of the list, or a saved place that is no longer known.
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

/// Seals a place for the next pull.
pub(crate) fn seal(place: &ListPlace) -> Result<ResumeToken> {
    ResumeToken::seal(DESCRIPTOR.name, CURSOR_VERSION, SCOPE.to_owned(), place)
}
