//! An index of the list: the ids of conversations by the second in which they began.

use chatark_core::{PageMetadata, RecordId, Result};

use crate::list::{ListCursor, ListPage, ListProblem, ListWalk};
use crate::pull::{LIST, Pull};
use crate::span::second_of;

/// The most pages of the list that are read.
const MAX_PAGES: u64 = 100;

/// The conversations in the list.
#[derive(Debug, Default)]
pub(crate) struct ListIndex {
    /// The second in which each began, and its id; oldest first.
    rows: Vec<(i64, RecordId)>,
    /// The conversations without a start time.
    undated: Vec<RecordId>,
    /// The first second from which on the index is complete; `None` if it never is.
    complete_from: Option<i64>,
    order: ListOrder,
}

/// The order of the list: the vendor's documents call it newest first, by the start or by the last change.
#[derive(Debug, Default)]
struct ListOrder {
    previous: Option<(i64, i64)>,
    /// Whether a row began after the one before it.
    contradicts_start: bool,
    /// Whether a row changed after the one before it.
    contradicts_change: bool,
}

impl ListOrder {
    fn add(&mut self, start: i64, change: i64) {
        if let Some((previous_start, previous_change)) = self.previous.replace((start, change)) {
            self.contradicts_start |= start > previous_start;
            self.contradicts_change |= change > previous_change;
        }
    }

    /// Returns whether the rows are certainly ordered by their start, and not by their last change.
    fn is_by_start(&self) -> bool {
        !self.contradicts_start && self.contradicts_change
    }
}

impl ListIndex {
    /// Reads the list down to a second, or as many pages as are allowed.
    pub(crate) async fn read(pull: &mut Pull<'_>, low: i64) -> Result<Self> {
        let mut index = Self::default();
        if pull.lacks(LIST) {
            return Ok(index);
        }
        let mut quota_before = pull.quota_before_listing().await?;
        let mut list = ListWalk::from(ListCursor::default());
        while list.pages < MAX_PAGES {
            let page = match list.next(pull.account).await {
                Ok(page) => page,
                Err(ListProblem::Other(error)) => return Err(error),
                Err(ListProblem::Metered) => {
                    pull.remember_feature(LIST, false);
                    break;
                }
                Err(ListProblem::Refused(_) | ListProblem::Broken(_)) => break,
            };
            let Some(page) = page else {
                index.complete_from = Some(i64::MIN);
                break;
            };
            pull.add_metadata(&PageMetadata { pages: 1, ..PageMetadata::default() });
            index.add(page);
            match quota_before.take() {
                None => {}
                Some(before) => match pull.check_price(before).await {
                    Ok(()) => {}
                    Err(ListProblem::Other(error)) => return Err(error),
                    Err(_) => break,
                },
            }
            let oldest = index.rows.last().map(|(second, _)| *second);
            if index.order.is_by_start() && oldest.is_some_and(|oldest| oldest < low) {
                break;
            }
        }
        if index.complete_from.is_none() && index.order.is_by_start() {
            index.complete_from = index.rows.last().map(|(second, _)| second + 1);
        }
        index.rows.sort();
        Ok(index)
    }

    fn add(&mut self, page: ListPage) {
        for row in page.rows {
            let Some(id) = row.id else { continue };
            let Some(start) = row.change_fields.start.map(second_of) else {
                self.undated.push(id);
                continue;
            };
            self.order.add(start, row.change_fields.newest().map_or(start, second_of));
            self.rows.push((start, id));
        }
    }

    /// Returns the conversations without a start time.
    pub(crate) fn undated(&self) -> impl Iterator<Item = &RecordId> {
        self.undated.iter()
    }

    /// Returns what began in these seconds, both included, oldest first; nothing if the index is not complete there.
    pub(crate) fn between(&self, first: i64, last: i64) -> impl Iterator<Item = &(i64, RecordId)> {
        let is_complete = self.complete_from.is_some_and(|from| from <= first);
        let is_inside = move |row: &&(i64, RecordId)| is_complete && (first..=last).contains(&row.0);
        self.rows.iter().filter(is_inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[(i64, i64)], is_by_start: bool) {
        let mut order = ListOrder::default();
        for (start, change) in rows {
            order.add(*start, *change);
        }
        assert_eq!(order.is_by_start(), is_by_start, "{rows:?}");
    }

    #[test]
    fn an_order_is_known_once_it_cannot_be_the_other_one() {
        check(&[(9, 10), (5, 20), (1, 1)], true);
        check(&[(9, 10), (5, 9), (1, 1)], false);
        check(&[(5, 20), (9, 10), (1, 1)], false);
        check(&[(5, 5), (9, 9)], false);
        check(&[], false);
    }
}
