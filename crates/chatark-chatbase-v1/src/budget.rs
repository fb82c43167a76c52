//! The budget of a walk: how many requests it may make for the rows that it has found.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chatark_core::{Error, ErrorKind, Result};

use crate::list::NumberedList;

/// Requests that every walk may make beyond those that its rows need.
const SPARE_REQUESTS: u64 = 40;

/// The rows that a walk has found, and the requests that it has made. Holds a few bytes for each page.
#[derive(Debug, Default)]
pub(crate) struct RequestBudget {
    requests: u64,
    rows: u64,
    /// The most rows that a page had.
    pub(crate) rows_per_page: u64,
    /// Whether some rows were on several pages, so that others may have been on none.
    pub(crate) is_moving: bool,
    pages: HashSet<u64>,
}

impl RequestBudget {
    /// Counts a page and those of its rows that are new. A page that was there before does not count again.
    pub(crate) fn count_page(&mut self, keys: &[u64], new_rows: u64) {
        self.count_failing_page(keys, new_rows);
        self.rows_per_page = self.rows_per_page.max(keys.len() as u64);
    }

    /// Counts the rows of a page that fails; `keys` are those of the rows that could be read.
    pub(crate) fn count_failing_page(&mut self, keys: &[u64], rows: u64) {
        let mut hasher = DefaultHasher::new();
        keys.hash(&mut hasher);
        if self.pages.insert(hasher.finish()) {
            self.rows += rows;
        }
    }

    /// Counts all positions up to one as found, if rows change places: each row that comes twice stands in for another.
    pub(crate) fn count_positions_until(&mut self, position: u64) {
        if self.is_moving {
            self.rows = self.rows.max(position);
        }
    }

    /// Starts the budget of another list, whose pages may be shorter.
    pub(crate) fn begin_list(&mut self) {
        (self.requests, self.rows, self.rows_per_page) = (0, 0, 0);
        self.pages.clear();
    }

    /// Notes how many rows the deployment puts on a page.
    pub(crate) fn note_page_size(&mut self, rows_per_page: Option<u64>) {
        self.rows_per_page = self.rows_per_page.max(rows_per_page.unwrap_or(0));
    }

    /// Gives back requests that do not count, such as those that a failing page has cost.
    pub(crate) fn give_back(&mut self, requests: u64) {
        self.requests = self.requests.saturating_sub(requests);
    }

    /// Returns how many pages the rows need.
    pub(crate) fn pages(&self) -> u64 {
        self.rows.div_ceil(self.rows_per_page.max(1))
    }

    /// Returns how many requests the walk may make: a quarter more than its rows need, and some.
    pub(crate) fn bound(&self) -> u64 {
        let pages = self.pages();
        pages + pages / 4 + SPARE_REQUESTS
    }

    /// Returns whether so many more requests would exceed the bound.
    pub(crate) fn would_be_exceeded_by(&self, requests: u64) -> bool {
        self.requests + requests > self.bound()
    }

    /// Counts requests, and fails if they exceed the bound.
    pub(crate) fn spend(&mut self, list: &NumberedList<'_>, page: u64, requests: u64) -> Result<()> {
        self.requests += requests;
        let bound = self.bound();
        if self.requests <= bound {
            return Ok(());
        }
        Err(self.exceeded(list, page, bound))
    }

    fn exceeded(&self, list: &NumberedList<'_>, page: u64, bound: u64) -> Error {
        let call = list.call(list.largest_page(), page);
        let message = format!(
            "{} rows were found within {bound} requests, and the list still does not end at page {page}",
            self.rows
        );
        // Nothing is wrong with this page: no other size and no gap gets past it.
        let error = list.account.client.error(&call, ErrorKind::Incomplete, message, None);
        error.hint("the pages of this host do not make progress; report it to the vendor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_a_quarter_more_than_the_rows_need_and_forty() {
        let mut budget = RequestBudget::default();
        assert_eq!(budget.bound(), 40);
        for page in 0..40 {
            budget.count_page(&(page * 100..page * 100 + 100).collect::<Vec<_>>(), 100);
        }
        budget.count_page(&[1, 2, 3], 3);
        assert_eq!((budget.pages(), budget.bound()), (41, 91));
        budget.count_page(&[1, 2, 3], 3);
        assert_eq!(budget.pages(), 41, "a page that was there before is no progress");
        budget.count_positions_until(6_000);
        assert_eq!(budget.pages(), 41);
        budget.is_moving = true;
        budget.count_positions_until(6_000);
        assert_eq!(budget.pages(), 60, "a row that is on two pages takes the place of another");
    }
}
