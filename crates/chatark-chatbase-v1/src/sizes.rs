//! Whether a deployment gives as many rows as are asked for: only then are the positions of a smaller page known.

use std::collections::HashMap;

use chatark_core::Result;

use crate::failure::is_refusal;
use crate::list::{NumberedList, Rows};

/// What smaller pages show of whether sizes are honoured.
#[derive(Debug, Default)]
pub(crate) struct SizeEvidence {
    is_shown: bool,
    /// The first row of a full page of each size.
    full: HashMap<u64, u64>,
}

impl SizeEvidence {
    /// Notes what was shown before.
    pub(crate) fn set(&mut self, is_shown: bool) {
        self.is_shown |= is_shown;
    }

    /// Notes a page. Two different full pages of one size show that sizes are honoured: a deployment that ignores them has at
    /// most one page that is shorter than the others.
    pub(crate) fn add_page(&mut self, size: u64, rows: &Rows) {
        if rows.len() == size
            && let Some(first) = rows.keys().first()
        {
            let before = *self.full.entry(size).or_insert(*first);
            self.is_shown |= before != *first;
        }
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown
    }
}

/// Returns whether the deployment gives one row where one is asked for, and how many requests that took. Where the first row
/// fails, the second one may not. A list without rows honours every size.
pub(crate) async fn gives_single_rows(list: &NumberedList<'_>) -> Result<(bool, u64)> {
    match list.probe_page(1, 1).await {
        Ok(rows) if rows.len() <= 1 => Ok((true, 1)),
        Err(error) if !(is_refusal(&error) || error.may_be_local()) => Err(error),
        _ => Ok((gives_one_row(list, 2, None).await?, 2)),
    }
}

/// Returns whether the deployment gives one row where one is asked for, at a position whose row is among the known ones.
pub(crate) async fn gives_one_row(
    list: &NumberedList<'_>,
    position: u64,
    known: Option<&[u64]>,
) -> Result<bool> {
    let row = row_at(list, position).await?;
    Ok(row.is_some_and(|row| known.is_none_or(|known| known.contains(&row))))
}

/// Returns the key of the row at a position, if the deployment gives one row alone.
pub(crate) async fn row_at(list: &NumberedList<'_>, position: u64) -> Result<Option<u64>> {
    match list.probe_page(1, position).await {
        Ok(rows) if rows.len() == 1 => Ok(rows.keys().first().copied()),
        Ok(_) => Ok(None),
        Err(error) if is_refusal(&error) || error.may_be_local() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns how many rows come before a page, from its keys, and how many requests that took; `None` if the deployment does
/// not give single rows. `most` is the most that there can be.
pub(crate) async fn rows_before(
    list: &NumberedList<'_>,
    keys: &[u64],
    most: u64,
) -> Result<(Option<u64>, u64)> {
    // There are at least `some` rows before the page, and fewer than `too_many`.
    let (mut some, mut too_many, mut requests) = (keys.len() as u64, most + 1, 0);
    let mut has_seen_before = false;
    while too_many - some > 1 {
        let middle = some + (too_many - some) / 2;
        requests += 1;
        let is_before = match list.probe_page(1, middle).await {
            Ok(rows) if rows.len() > 1 => return Ok((None, requests)),
            Ok(rows) => {
                let is_before = rows.keys().first().is_some_and(|key| !keys.contains(key));
                has_seen_before |= is_before;
                is_before
            }
            Err(error) if error.may_be_local() => true,
            Err(error) if is_refusal(&error) => false,
            Err(error) => return Err(error),
        };
        if is_before {
            some = middle;
        } else {
            too_many = middle;
        }
    }
    // A deployment that ignores sizes answers other pages: the page must begin where it was found, after another row.
    if !has_seen_before {
        requests += 1;
        has_seen_before = matches!(row_at(list, some).await?, Some(row) if !keys.contains(&row));
    }
    let is_found = has_seen_before && gives_one_row(list, some + 1, keys.get(..1)).await?;
    Ok((is_found.then_some(some), requests + 1))
}
