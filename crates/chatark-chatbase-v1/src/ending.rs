//! Whether a list has ended, where the vendor does not say.

use chatark_core::{Error, Result, Stream};

use crate::failure::is_refusal;
use crate::list::{NumberedList, Rows};
use crate::parameters::Parameters;
use crate::sizes::row_at;

/// The size of a page if the request has none, by the vendor's documents. A deployment that gives fewer rows to a larger
/// request has no more.
const DEFAULT_SIZE: u64 = 10;

/// A number of pages or rows after which no list goes on.
pub(crate) const BEYOND_ANY_END: u64 = 1 << 24;

/// How often the first page of a growing list is read again before the list counts as one that goes on.
const MAX_LOOKS: u32 = 3;

/// Up to which position rows are compared with the first one: where rows change places, one may be the same by chance.
const MAX_POSITION: u64 = 3;

/// What a page means that repeats the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// The list has one page, and the deployment sends the last page for every later number.
    OnePage,
    /// The deployment ignores the page number, and the page is not full: there may be more.
    Doubtful,
    /// The deployment ignores the page number, and the page is full.
    NumberIgnored,
}

/// What follows where the vendor refused a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterRefusal {
    /// The list has ended.
    Nothing,
    /// Rows follow that the vendor gives in another way.
    Rows,
    /// Unknown: the vendor refuses every page from here on, in another way than pages after the end of a list.
    Unreachable,
}

/// Returns whether a page is full, so that its list may go on.
pub(crate) fn is_full(keys: &[u64], rows_per_page: u64) -> bool {
    keys.len() as u64 >= rows_per_page.max(DEFAULT_SIZE)
}

/// Returns whether a page is the last one once more, although rows that change places make it look like another one: it
/// is as short as the page before it, and the deployment answers as many rows where nothing can be. Also returns how many
/// requests that took.
pub(crate) async fn is_last_page_again(
    list: &NumberedList<'_>,
    (number, keys): (u64, &[u64]),
    before: &[u64],
    rows_per_page: u64,
) -> Result<(bool, u64)> {
    let is_short = keys.len() == before.len() && (keys.len() as u64) < rows_per_page;
    if !is_short || keys.iter().all(|key| before.contains(key)) {
        return Ok((false, 0));
    }
    match list.probe_page(list.largest_page(), number + BEYOND_ANY_END).await {
        Ok(rows) => Ok((rows.len() == keys.len() as u64, 1)),
        Err(error) if is_refusal(&error) || error.may_be_local() => Ok((false, 1)),
        Err(error) => Err(error),
    }
}

/// Returns whether a deployment sends its last page for every later number: it gives rows where nothing can be, and others
/// as the first and the second page of one row. Also returns how many requests that took.
pub(crate) async fn repeats_its_last_page(list: &NumberedList<'_>) -> Result<(bool, u64)> {
    match list.probe_page(list.largest_page(), BEYOND_ANY_END).await {
        Ok(rows) if rows.is_empty() => return Ok((false, 1)),
        Ok(_) => {}
        Err(error) if is_refusal(&error) || error.may_be_local() => return Ok((false, 1)),
        Err(error) => return Err(error),
    }
    let (honours_page_number, asked) = honours_page_number(list).await?;
    Ok((honours_page_number, 1 + asked))
}

/// Returns whether a deployment counts pages: it then gives different rows as the first pages of one row. Also returns how
/// many requests that took.
async fn honours_page_number(list: &NumberedList<'_>) -> Result<(bool, u64)> {
    let head = row_at(list, 1).await?;
    for position in 2..=MAX_POSITION {
        let row = row_at(list, position).await?;
        if row.is_none() || row != head {
            return Ok((row.is_some(), position));
        }
    }
    Ok((false, MAX_POSITION))
}

/// Returns what follows where the vendor refused a page, and how many requests that took. The rows before it go up to a
/// position, and the keys of the last of them are given.
pub(crate) async fn after_refused_page(
    list: &NumberedList<'_>,
    number: u64,
    rows_until: u64,
    before: &[u64],
) -> Result<(AfterRefusal, u64)> {
    let refusal = match list.probe_page(1, rows_until + 1).await {
        Err(refusal) if is_refusal(&refusal) => Some(refusal),
        next_row => {
            if has_new_row(next_row, before)? {
                return Ok((AfterRefusal::Rows, 1));
            }
            None
        }
    };
    if has_new_row(list.probe_page(list.largest_page(), number + 1).await, before)? {
        return Ok((AfterRefusal::Rows, 2));
    }
    // The row of a list that has ended is refused as the end is, whatever became of the page.
    let Some(refusal) = refusal else { return Ok((AfterRefusal::Nothing, 2)) };
    let (is_ceiling, asked) = is_ceiling(list, &refusal).await?;
    Ok((if is_ceiling { AfterRefusal::Unreachable } else { AfterRefusal::Nothing }, 2 + asked))
}

/// Returns whether a page was refused for its number and not because the list has ended: then the vendor answers a page
/// after the end of an empty list in another way. Also returns how many requests that took.
pub(crate) async fn is_ceiling(list: &NumberedList<'_>, refusal: &Error) -> Result<(bool, u64)> {
    if list.stream != Stream::Conversations {
        return Ok((false, 0));
    }
    let nothing = list.with(Parameters::nothing());
    // These rows do not belong to the walk: a deployment that ignores days sends any rows.
    match nothing.walk_page(1, 2).await {
        Ok(rows) => return Ok((rows.is_empty(), 1)),
        Err(error) if is_refusal(&error) && error.status() == refusal.status() => return Ok((false, 1)),
        Err(error) if is_refusal(&error) => {}
        // A failure does not show that the list has ended, neither here nor below.
        Err(error) if error.may_be_local() => return Ok((true, 1)),
        Err(error) => return Err(error),
    }
    // A deployment that refuses days says nothing about ends.
    match nothing.walk_page(1, 1).await {
        Ok(rows) => Ok((rows.is_empty(), 2)),
        Err(error) if is_refusal(&error) => Ok((false, 2)),
        Err(error) if error.may_be_local() => Ok((true, 2)),
        Err(error) => Err(error),
    }
}

/// Returns whether an answer holds a row that is not among the keys. A failure counts as one: something is there.
fn has_new_row(rows: Result<Rows>, keys: &[u64]) -> Result<bool> {
    match rows {
        Ok(rows) => Ok(rows.keys().iter().any(|key| !keys.contains(key))),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) if error.may_be_local() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Returns what it means that every page repeats the first one, whose keys are given, and how many requests that took.
pub(crate) async fn repetition_of_first(list: &NumberedList<'_>, first: &[u64]) -> Result<(Repetition, u64)> {
    if (first.len() as u64) < DEFAULT_SIZE {
        return Ok((Repetition::OnePage, 0));
    }
    let (honours_page_number, mut asked) = honours_page_number(list).await?;
    if !honours_page_number {
        let is_full = first.len() as u64 >= list.largest_page();
        return Ok((if is_full { Repetition::NumberIgnored } else { Repetition::Doubtful }, asked));
    }
    let mut keys = first.to_vec();
    for _ in 0..MAX_LOOKS {
        asked += 1;
        if !has_new_row(list.probe_page(1, keys.len() as u64 + 1).await, &keys)? {
            return Ok((Repetition::OnePage, asked));
        }
        // The row may have arrived meanwhile: it is then on the first page too.
        asked += 1;
        match list.probe_page(list.largest_page(), 1).await {
            // A page that has grown was not full before, and holds the whole list as long as it is not full now.
            Ok(rows) if (keys.len() as u64) < rows.len() && rows.len() < list.largest_page() => {
                return Ok((Repetition::OnePage, asked));
            }
            Ok(rows) => keys = rows.keys(),
            Err(error) if is_refusal(&error) || error.may_be_local() => break,
            Err(error) => return Err(error),
        }
    }
    Ok((Repetition::NumberIgnored, asked))
}
