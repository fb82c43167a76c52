//! Reads what has changed: the list, which is not metered, shows that, and only changed conversations are fetched.

use std::collections::HashSet;
use std::mem;

use chatark_core::{
    Batch, Checkpoint, Error, ErrorKind, GapBounds, HeldRecords, HeldSummary, ListRow, PageMetadata,
    RecordId, Result, ResumeToken,
};

use crate::account::ConvocoreV3;
use crate::fetch::IdRoute;
use crate::list::{LIST_CONVERSATIONS, ListCursor, ListPage, ListProblem, ListWalk};
use crate::pull::{IDS, LIST, Pull};
use crate::quota::Quota;
use crate::rotation::{RotationWalk, seal};
use crate::row::{Row, RowState, Since};

/// Reading the newest pages ends after so many in a row without a change.
const QUIET_PAGES: u32 = 2;
const METERED: &str = "listing conversations costs units of the vendor's quota here, so changes are looked for in the recent conversations alone";

/// How a pull of changes has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangesEnd {
    /// Everything that the request asks for was read.
    Complete,
    /// The list cannot be read, so recent conversations have to be read again.
    LookBack,
}

/// A pull of what has changed.
struct ChangeWalk<'p, 'a> {
    pull: &'p mut Pull<'a>,
    held_records: &'p dyn HeldRecords,
    since: Since,
    /// The ids of gaps: those that are due were tried already, the others are not tried in this pull.
    ids_with_gaps: HashSet<RecordId>,
    /// The ids that were requested already: the list may show them twice, and the archive may not hold them yet.
    fetched: HashSet<RecordId>,
    /// The ids that are requested after the list has been read, because the deployment ignores ids, and whether the
    /// archive holds them.
    deferred: Vec<(RecordId, bool)>,
    /// Where the rotation goes on, to be saved after the deferred requests.
    rotation: Option<ResumeToken>,
}

/// Reads what has changed compared with the records that the archive holds.
pub(crate) async fn read(pull: &mut Pull<'_>, held_records: &dyn HeldRecords) -> Result<ChangesEnd> {
    if pull.lacks(LIST) {
        pull.add_note("the list of conversations cannot be used here, so recent ones are read again");
        return Ok(ChangesEnd::LookBack);
    }
    let since = Since::of(pull.request);
    let gaps = pull.request.gaps.iter();
    let ids_with_gaps = gaps.filter_map(|gap| match &gap.bounds {
        GapBounds::Record { id } => Some(id.clone()),
        _ => None,
    });
    let ids_with_gaps = ids_with_gaps.collect();
    let mut walk = ChangeWalk {
        pull,
        held_records,
        since,
        ids_with_gaps,
        fetched: HashSet::new(),
        deferred: Vec::new(),
        rotation: None,
    };
    let read = walk.read().await;
    // Even if the list has failed, the changes that it has shown are read.
    if !matches!(read, Err(ListProblem::Other(_))) {
        walk.fetch_deferred().await?;
    }
    let end = match read {
        Ok(()) => ChangesEnd::Complete,
        Err(ListProblem::Other(error)) => return Err(error),
        Err(problem) => {
            report_list_problem(pull, &problem);
            return Ok(ChangesEnd::LookBack);
        }
    };
    let notes = pull.take_quota_message().into_iter().collect();
    let page = PageMetadata { notes, ..PageMetadata::default() };
    pull.send(Batch { checkpoint: Checkpoint::End, page, ..Batch::default() }).await;
    Ok(end)
}

/// Notes why the list is not used, and remembers that if it is permanent.
fn report_list_problem(pull: &mut Pull<'_>, problem: &ListProblem) {
    match problem {
        ListProblem::Refused(error) => {
            pull.remember_feature(LIST, false);
            let reason = error.message();
            pull.add_note(format!(
                "the list of conversations is refused, so recent ones are read again: {reason}"
            ));
        }
        ListProblem::Broken(error) | ListProblem::Other(error) => {
            let reason = error.message();
            pull.add_note(format!(
                "the list of conversations fails, so recent ones are read again: {reason}"
            ));
        }
        ListProblem::Metered => {
            pull.remember_feature(LIST, false);
            pull.add_note(METERED);
        }
    }
}

impl ChangeWalk<'_, '_> {
    async fn read(&mut self) -> Result<(), ListProblem> {
        let quota_before = self.pull.quota_before_listing().await.map_err(ListProblem::Other)?;
        let newest_end = self.read_newest(quota_before).await?;
        self.rotate(newest_end).await
    }

    /// Reads the newest pages until nothing has changed in two of them, and returns where they end.
    async fn read_newest(&mut self, quota_before: Option<Quota>) -> Result<Option<ListCursor>, ListProblem> {
        let mut list = ListWalk::from(ListCursor::default());
        let (mut quiet, mut rows, mut quota_before) = (0, 0, quota_before);
        while quiet < QUIET_PAGES {
            let page = match list.next(self.pull.account).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(problem) => return Err(problem),
            };
            let price = match quota_before.take() {
                Some(before) => self.pull.check_price(before).await,
                None => Ok(()),
            };
            // The page may have been paid for, so its rows are used before a price ends the listing.
            if let Err(ListProblem::Other(error)) = price {
                return Err(ListProblem::Other(error));
            }
            rows += page.rows.len();
            let is_useful = self.fetch_changed(&page, None).await?;
            price?;
            quiet = if is_useful { 0 } else { quiet + 1 };
        }
        if rows == 0 && self.pull.has_any_conversation().await.map_err(ListProblem::Other)? {
            let message = "it shows nothing, although the export shows conversations";
            return Err(ListProblem::Broken(Error::new(ErrorKind::Incomplete, LIST_CONVERSATIONS, message)));
        }
        Ok(list.next_cursor().cloned())
    }

    /// Reads the next part of the list after its newest pages, and saves where it ends.
    async fn rotate(&mut self, newest_end: Option<ListCursor>) -> Result<(), ListProblem> {
        let Some(rotation) = &self.pull.request.rotation else { return Ok(()) };
        let Some(newest_end) = newest_end else {
            // The newest pages were the whole list.
            return self.save_rotation(&ListCursor::default()).await;
        };
        let mut walk = RotationWalk::new(rotation.resume_from.as_ref(), newest_end);
        let mut rows = 0;
        while rows < rotation.rows {
            let page = match walk.next(self.pull.account).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(ListProblem::Other(error)) => return Err(ListProblem::Other(error)),
                Err(ListProblem::Metered) => {
                    report_list_problem(self.pull, &ListProblem::Metered);
                    return Ok(());
                }
                Err(ListProblem::Refused(error) | ListProblem::Broken(error)) => {
                    let reason = error.message();
                    self.pull.add_note(format!("a page of the list fails, so the next full sweep reads the changes after it: {reason}"));
                    return self.save_rotation(&ListCursor::default()).await;
                }
            };
            rows += page.rows.len() as u64;
            self.fetch_changed(&page, Some(&page.next.clone().unwrap_or_default())).await?;
        }
        Ok(())
    }

    async fn save_rotation(&mut self, cursor: &ListCursor) -> Result<(), ListProblem> {
        let rotation = seal(cursor)?;
        if self.deferred.is_empty() {
            self.pull.send(Batch { rotation: Some(rotation), ..Batch::default() }).await;
        } else {
            self.rotation = Some(rotation);
        }
        Ok(())
    }

    /// Fetches what a page of the list shows as changed, and returns whether there was anything.
    async fn fetch_changed(
        &mut self,
        page: &ListPage,
        next: Option<&ListCursor>,
    ) -> Result<bool, ListProblem> {
        let rows = rows_of(page);
        let ids: Vec<RecordId> = rows.iter().map(|(id, _)| id.clone()).collect();
        let held = self.held_records.summaries(&ids);
        let mut batch = Batch { rotation: next.map(seal).transpose()?, ..Batch::default() };
        batch.page.pages = 1;
        let mut changed = Vec::new();
        for ((id, row), held) in rows.into_iter().zip(&held) {
            batch.page.newest_change =
                batch.page.newest_change.max(self.pull.if_plausible(row.change_fields.newest()));
            match row.compare(held.as_ref(), self.since) {
                RowState::Unchanged { keep } => {
                    if keep {
                        batch.list_rows.push(row.to_list_row(id.clone()));
                    }
                    batch.unchanged.push(id);
                }
                RowState::Changed if self.is_wanted(&id) => {
                    self.pull.keep_row(id.clone(), row.bytes.clone());
                    changed.push((id, held.is_some()));
                }
                RowState::Changed | RowState::NotExported => {}
            }
        }
        if self.pull.lacks(IDS) {
            let brings = !changed.is_empty();
            self.deferred.extend(changed);
            // The rotation is saved after the changes that it has shown are read.
            self.rotation = batch.rotation.take().or(self.rotation.take());
            self.pull.send(batch).await;
            return Ok(brings);
        }
        let brought = self.fetch(&changed, IdRoute::Bulk, batch).await;
        self.pull.forget_rows();
        brought.map_err(ListProblem::Other)
    }

    /// Requests what was deferred.
    async fn fetch_deferred(&mut self) -> Result<()> {
        let (changed, rotation) = (mem::take(&mut self.deferred), self.rotation.take());
        self.fetch(&changed, IdRoute::BulkOrArray, Batch { rotation, ..Batch::default() }).await?;
        self.pull.forget_rows();
        Ok(())
    }

    fn is_wanted(&mut self, id: &RecordId) -> bool {
        !self.ids_with_gaps.contains(id) && self.fetched.insert(id.clone())
    }

    async fn fetch(
        &mut self,
        changed: &[(RecordId, bool)],
        route: IdRoute,
        mut batch: Batch,
    ) -> Result<bool> {
        let ids: Vec<RecordId> = changed.iter().map(|(id, _)| id.clone()).collect();
        let fetched = self.pull.fetch(&ids, route).await?;
        batch.gaps = fetched.gaps;
        let brought = !fetched.found.is_empty() || !batch.gaps.is_empty();
        // The rows of records that came are sent with them. A held conversation that did not come is still in the list.
        let is_held = |id: &RecordId| changed.iter().any(|(changed, is_held)| changed == id && *is_held);
        let absent: Vec<RecordId> = fetched.absent.into_iter().filter(is_held).collect();
        let rows = self.pull.take_rows_of(&absent).into_iter();
        batch.list_rows.extend(rows.map(|(id, row)| ListRow { id, row }));
        batch.unchanged.extend(absent);
        self.pull.send(batch).await;
        Ok(brought)
    }
}

/// Counts the conversations that the newest pages of the list show as changed, for an estimate. Returns their number
/// and that of the requests.
pub(crate) async fn count_changed(
    account: &ConvocoreV3,
    held_records: &dyn HeldRecords,
    since: Since,
    pages: u64,
) -> Result<(u64, u64), ListProblem> {
    let mut list = ListWalk::from(ListCursor::default());
    let mut changed = 0;
    while list.pages < pages {
        let Some(page) = list.next(account).await? else { break };
        let rows = rows_of(&page);
        let ids: Vec<RecordId> = rows.iter().map(|(id, _)| id.clone()).collect();
        let held: Vec<Option<HeldSummary>> = held_records.summaries(&ids);
        let states = rows.iter().zip(&held).map(|((_, row), held)| row.compare(held.as_ref(), since));
        changed += states.filter(|state| *state == RowState::Changed).count() as u64;
    }
    Ok((changed, list.pages))
}

/// Returns the rows of a page that have an id, each id once.
fn rows_of(page: &ListPage) -> Vec<(RecordId, &Row)> {
    let mut ids = HashSet::new();
    let rows = page.rows.iter().filter_map(|row| Some((row.id.clone()?, row)));
    rows.filter(|(id, _)| ids.insert(id.clone())).collect()
}
