//! Whether a list has ended, where the vendor does not say.

use chatark_core::Result;

use crate::failure::{is_refusal, may_be_local};
use crate::list::{NumberedList, Rows};
use crate::sizes::row_at;

/// The size of a page if none is asked for, by the vendor's documents. A host that gives fewer rows to a larger request
/// has no more.
const DEFAULT_SIZE: u64 = 10;

/// How often a list that grows is looked at before it counts as one that goes on.
const MAX_LOOKS: u32 = 3;

/// What a page means that repeats the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// The list has one page, and the host answers the last page for every later number.
    OnePage,
    /// The host ignores the page number, and the page is not full: there may be more.
    Doubtful,
    /// The host ignores the page number, and the page is full.
    NumberIgnored,
}

/// Returns whether a page that the vendor refused is behind the end, and how many requests that took.
///
/// After a page that is not full, it is. Otherwise rows may follow that the vendor gives in another way.
pub(crate) async fn is_behind_end(
    list: &NumberedList<'_>,
    number: u64,
    rows_per_page: u64,
    before: &[u64],
) -> Result<(bool, u64)> {
    if (before.len() as u64) < rows_per_page.max(DEFAULT_SIZE) {
        return Ok((true, 0));
    }
    let next_row = (number - 1) * rows_per_page + 1;
    if brings_more(list.page(1, next_row).await, before)? {
        return Ok((false, 1));
    }
    let is_followed = brings_more(list.page(list.largest_page(), number + 1).await, before)?;
    Ok((!is_followed, 2))
}

/// Returns whether an answer holds a row that is not among the keys. A failure counts as one: something is there.
fn brings_more(rows: Result<Rows>, keys: &[u64]) -> Result<bool> {
    match rows {
        Ok(rows) => Ok(rows.keys().iter().any(|key| !keys.contains(key))),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) if may_be_local(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Returns what it means that every page repeats the first one, whose keys are given, and how many requests that took.
pub(crate) async fn repetition_of_first(list: &NumberedList<'_>, first: &[u64]) -> Result<(Repetition, u64)> {
    if (first.len() as u64) < DEFAULT_SIZE {
        return Ok((Repetition::OnePage, 0));
    }
    // A host that counts pages gives different rows as the first and the second page of one row.
    let [second, head] = [row_at(list, 2).await?, row_at(list, 1).await?];
    if second.is_none() || second == head {
        let is_full = first.len() as u64 >= list.largest_page();
        return Ok((if is_full { Repetition::NumberIgnored } else { Repetition::Doubtful }, 2));
    }
    let mut asked = 2;
    let mut keys = first.to_vec();
    for _ in 0..MAX_LOOKS {
        asked += 1;
        if !brings_more(list.page(1, keys.len() as u64 + 1).await, &keys)? {
            return Ok((Repetition::OnePage, asked));
        }
        // The row may have arrived meanwhile: it is then on the first page too.
        asked += 1;
        match list.page(list.largest_page(), 1).await {
            Ok(rows) => keys = rows.keys(),
            Err(error) if is_refusal(&error) || may_be_local(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok((Repetition::NumberIgnored, asked))
}
