//! Counts the conversations of a list: the vendor gives no count, but any page of one conversation can be requested, so
//! the last one is found by a binary search.

use std::collections::BTreeMap;

use chatark_core::Result;

use crate::failure::is_refusal;
use crate::list::{NumberedList, key};

/// The first position that is not searched.
const TOO_FAR: u64 = 1 << 40;
/// The size of a page if the request has none, by the vendor's documents. A deployment that gives fewer rows to a larger
/// request has no more.
const DEFAULT_SIZE: u64 = 10;

/// Counts a list by requesting rows at some positions.
pub(crate) struct ListCounter<'a> {
    pub(crate) list: NumberedList<'a>,
    /// The number of requests so far.
    pub(crate) requests: u64,
    /// How many rows the deployment gave for each page of one row.
    lengths: BTreeMap<u64, u64>,
}

/// What is at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtPosition {
    /// A conversation, by its key.
    Row(u64),
    /// One that cannot be read.
    Failing,
    Nothing,
}

impl<'a> ListCounter<'a> {
    pub(crate) fn new(list: NumberedList<'a>) -> Self {
        Self { list, requests: 0, lengths: BTreeMap::new() }
    }

    /// Returns how many conversations there are, or `None` if the deployment ignores the page number.
    ///
    /// Some deployments send the last page for every later number: its row then comes a second time.
    pub(crate) async fn count(&mut self) -> Result<Option<u64>> {
        let mut found = self.at(1).await?;
        if found == AtPosition::Nothing {
            return Ok(Some(0));
        }
        // There are at least `some` conversations, and fewer than `too_many`.
        let (mut before, mut some, mut too_many) = (0, 1, 2);
        let mut last = None;
        while too_many < TOO_FAR {
            match self.at(too_many).await? {
                AtPosition::Nothing => break,
                repeated @ AtPosition::Row(_) if repeated == found => {
                    if some == 1 {
                        return self.one_page().await;
                    }
                    last = Some(repeated);
                    (some, too_many) = (before, some);
                    break;
                }
                other => {
                    (found, before) = (other, some);
                    (some, too_many) = (too_many, too_many * 2);
                }
            }
        }
        if too_many >= TOO_FAR {
            return Ok(None);
        }
        while too_many - some > 1 {
            let middle = some + (too_many - some) / 2;
            let found = self.at(middle).await?;
            if found == AtPosition::Nothing || Some(found) == last {
                too_many = middle;
            } else {
                some = middle;
            }
        }
        Ok(Some(self.rows_until(if last.is_some() { too_many } else { some })))
    }

    /// Returns how many rows there are up to a page. A deployment that ignores `size` gives more than one for each.
    fn rows_until(&self, page: u64) -> u64 {
        let length = |page| self.lengths.get(&page).copied().unwrap_or(1).max(1);
        (page - 1).saturating_mul(length(1)) + length(page)
    }

    /// Returns how many rows the first page has, if these must be all.
    async fn one_page(&mut self) -> Result<Option<u64>> {
        self.requests += 1;
        let rows = self.list.probe_page(self.list.largest_page(), 1).await?.len();
        Ok(Some(rows).filter(|rows| *rows < DEFAULT_SIZE))
    }

    /// Returns what is at a position, counted from 1.
    async fn at(&mut self, position: u64) -> Result<AtPosition> {
        self.requests += 1;
        match self.list.probe_page(1, position).await {
            Ok(rows) => {
                self.lengths.insert(position, rows.len());
                Ok(rows.elements.first().map_or(AtPosition::Nothing, |row| AtPosition::Row(key(row))))
            }
            Err(error) if position > 1 && is_refusal(&error) => Ok(AtPosition::Nothing),
            Err(error) if error.may_be_local() => {
                self.requests += 1;
                match self.list.probe_page(1, position + 1).await {
                    Ok(_) => Ok(AtPosition::Failing),
                    Err(other) if is_refusal(&other) => Ok(AtPosition::Failing),
                    Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}
