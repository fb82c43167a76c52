//! The ids of conversations by the second in which they began, from the list.

use chatark_core::{PageMetadata, RecordId, Result};

use crate::list::{ListPage, ListPlace, ListProblem, ListWalk};
use crate::pull::{LIST, Pull};
use crate::span::second_of;

/// So many pages of the list are read at most.
const MOST_PAGES: u64 = 100;

/// Which conversations there are, by the list.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// When each began, in seconds, and its id; oldest first.
    rows: Vec<(i64, RecordId)>,
    /// Those that do not say when they began.
    undated: Vec<RecordId>,
    /// The first second from which on it has all of them; `None` if it has none.
    complete_from: Option<i64>,
    order: Order,
}

/// In which order the list comes: the documents call it newest first, which may mean the start or the last change.
#[derive(Debug, Default)]
struct Order {
    previous: Option<(i64, i64)>,
    /// Whether a row began after the one before it.
    contradicts_start: bool,
    /// Whether a row changed after the one before it.
    contradicts_change: bool,
}

impl Order {
    fn add(&mut self, start: i64, change: i64) {
        if let Some((previous_start, previous_change)) = self.previous.replace((start, change)) {
            self.contradicts_start |= start > previous_start;
            self.contradicts_change |= change > previous_change;
        }
    }

    /// Returns whether the rows come by their start. Where they could come by either, that is not known.
    fn is_by_start(&self) -> bool {
        !self.contradicts_start && self.contradicts_change
    }
}

impl Directory {
    /// Reads the list back to a second, or as far as it is worth it.
    pub(crate) async fn read(pull: &mut Pull<'_>, low: i64) -> Result<Self> {
        let mut directory = Self::default();
        if pull.lacks(LIST) {
            return Ok(directory);
        }
        let mut quota_before = pull.quota_before_listing().await?;
        let mut list = ListWalk::from(ListPlace::default());
        while list.pages < MOST_PAGES {
            let page = match list.next(pull.account).await {
                Ok(page) => page,
                Err(ListProblem::Other(error)) => return Err(error),
                Err(ListProblem::Metered) => {
                    pull.learn(LIST, false);
                    break;
                }
                Err(ListProblem::Refused(_) | ListProblem::Broken(_)) => break,
            };
            let Some(page) = page else {
                directory.complete_from = Some(i64::MIN);
                break;
            };
            pull.say(&PageMetadata { pages: 1, ..PageMetadata::default() });
            directory.add(page);
            match quota_before.take() {
                None => {}
                Some(before) => match pull.check_price(before).await {
                    Ok(()) => {}
                    Err(ListProblem::Other(error)) => return Err(error),
                    Err(_) => break,
                },
            }
            let oldest = directory.rows.last().map(|(second, _)| *second);
            if directory.order.is_by_start() && oldest.is_some_and(|oldest| oldest < low) {
                break;
            }
        }
        if directory.complete_from.is_none() && directory.order.is_by_start() {
            directory.complete_from = directory.rows.last().map(|(second, _)| second + 1);
        }
        directory.rows.sort();
        Ok(directory)
    }

    fn add(&mut self, page: ListPage) {
        for row in page.rows {
            let Some(id) = row.id else { continue };
            let Some(start) = row.signs.start.map(second_of) else {
                self.undated.push(id);
                continue;
            };
            self.order.add(start, row.signs.newest().map_or(start, second_of));
            self.rows.push((start, id));
        }
    }

    /// Returns what does not say when it began.
    pub(crate) fn undated(&self) -> impl Iterator<Item = &RecordId> {
        self.undated.iter()
    }

    /// Returns what began in these seconds, both included, oldest first; nothing if the list does not reach back so far.
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
        let mut order = Order::default();
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
