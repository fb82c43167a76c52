//! Reads what has changed: the list shows it without being metered, and only what changed is fetched.

use std::collections::HashSet;
use std::mem;

use chatark_core::{
    Batch, Checkpoint, GapBounds, HeldRecords, HeldSummary, ListRow, PageMetadata, RecordId, Result,
    ResumeToken,
};

use crate::account::ConvocoreV3;
use crate::fetch::IdRoute;
use crate::list::{ListPage, ListPlace, ListProblem, ListWalk};
use crate::price::Quota;
use crate::pull::{IDS, LIST, Pull};
use crate::rotation::{RotationWalk, seal};
use crate::row::{Row, RowState, Since};

/// The newest pages end with so many that bring nothing.
const QUIET_PAGES: u32 = 2;
const METERED: &str = "listing conversations costs units of the vendor's quota here, so changes are looked for in the recent conversations alone";

/// How a pull of changes has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangesEnd {
    /// Everything that the request asks for was read.
    Complete,
    /// The list cannot be read: recent conversations are to be read again.
    LookBack,
}

/// A pull of what has changed.
struct ChangeWalk<'p, 'a> {
    pull: &'p mut Pull<'a>,
    known: &'p dyn HeldRecords,
    since: Since,
    /// Conversations with a gap: those that are due were tried already, the others are not tried in this pull.
    passed_over: HashSet<RecordId>,
    /// What was requested already: the list may show it twice, and the archive may not hold it yet.
    fetched: HashSet<RecordId>,
    /// What is requested after the list has been read, since the deployment ignores ids, and whether it is held.
    deferred: Vec<(RecordId, bool)>,
    /// Where the list was read to meanwhile.
    rotation: Option<ResumeToken>,
}

/// Reads what has changed since what is known.
pub(crate) async fn read(pull: &mut Pull<'_>, known: &dyn HeldRecords) -> Result<ChangesEnd> {
    if pull.lacks(LIST) {
        pull.note("the list of conversations cannot be used here, so recent ones are read again");
        return Ok(ChangesEnd::LookBack);
    }
    let since = Since::of(pull.request);
    let gaps = pull.request.gaps.iter();
    let passed_over = gaps.filter_map(|gap| match &gap.bounds {
        GapBounds::Record { id } => Some(id.clone()),
        _ => None,
    });
    let passed_over = passed_over.collect();
    let mut walk = ChangeWalk {
        pull,
        known,
        since,
        passed_over,
        fetched: HashSet::new(),
        deferred: Vec::new(),
        rotation: None,
    };
    let read = walk.read().await;
    // Whatever has become of the list, what it has shown is read.
    if !matches!(read, Err(ListProblem::Other(_))) {
        walk.fetch_deferred().await?;
    }
    let end = match read {
        Ok(()) => ChangesEnd::Complete,
        Err(ListProblem::Other(error)) => return Err(error),
        Err(problem) => {
            explain(pull, &problem);
            return Ok(ChangesEnd::LookBack);
        }
    };
    let notes = pull.take_summary().into_iter().collect();
    let page = PageMetadata { notes, ..PageMetadata::default() };
    pull.send(Batch { checkpoint: Checkpoint::End, page, ..Batch::default() }).await;
    Ok(end)
}

/// Tells the user why the list is not used, and remembers it if that will not change by itself.
fn explain(pull: &mut Pull<'_>, problem: &ListProblem) {
    match problem {
        ListProblem::Refused(error) => {
            pull.learn(LIST, false);
            let reason = error.message();
            pull.note(format!(
                "the list of conversations is refused, so recent ones are read again: {reason}"
            ));
        }
        ListProblem::Broken(error) | ListProblem::Other(error) => {
            let reason = error.message();
            pull.note(format!("the list of conversations fails, so recent ones are read again: {reason}"));
        }
        ListProblem::Metered => {
            pull.learn(LIST, false);
            pull.note(METERED);
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
    async fn read_newest(&mut self, quota_before: Option<Quota>) -> Result<Option<ListPlace>, ListProblem> {
        let mut list = ListWalk::from(ListPlace::default());
        let (mut quiet, mut quota_before) = (0, quota_before);
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
            // What has been paid for is used.
            if let Err(ListProblem::Other(error)) = price {
                return Err(ListProblem::Other(error));
            }
            let brought = self.handle(&page, None).await?;
            price?;
            quiet = if brought { 0 } else { quiet + 1 };
        }
        Ok(list.place().cloned())
    }

    /// Reads the next part of the list behind its newest pages, and remembers where it ends.
    async fn rotate(&mut self, newest_end: Option<ListPlace>) -> Result<(), ListProblem> {
        let Some(rotation) = &self.pull.request.rotation else { return Ok(()) };
        let Some(newest_end) = newest_end else {
            // The newest pages were the whole list.
            return self.put_rotation(&ListPlace::default()).await;
        };
        let mut walk = RotationWalk::new(rotation.resume_from.as_ref(), newest_end);
        let mut rows = 0;
        while rows < rotation.rows {
            let page = match walk.next(self.pull.account).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(ListProblem::Other(error)) => return Err(ListProblem::Other(error)),
                Err(ListProblem::Metered) => {
                    explain(self.pull, &ListProblem::Metered);
                    return Ok(());
                }
                Err(ListProblem::Refused(error) | ListProblem::Broken(error)) => {
                    let reason = error.message();
                    self.pull.note(format!("a page of the list fails, and changes behind it wait for the next full sweep: {reason}"));
                    return self.put_rotation(&ListPlace::default()).await;
                }
            };
            rows += page.rows.len() as u64;
            self.handle(&page, Some(&page.next.clone().unwrap_or_default())).await?;
        }
        Ok(())
    }

    async fn put_rotation(&mut self, place: &ListPlace) -> Result<(), ListProblem> {
        let rotation = seal(place)?;
        if self.deferred.is_empty() {
            self.pull.send(Batch { rotation: Some(rotation), ..Batch::default() }).await;
        } else {
            self.rotation = Some(rotation);
        }
        Ok(())
    }

    /// Fetches what a page of the list shows as changed, and returns whether that brought anything.
    async fn handle(&mut self, page: &ListPage, next: Option<&ListPlace>) -> Result<bool, ListProblem> {
        let rows = rows_of(page);
        let ids: Vec<RecordId> = rows.iter().map(|(id, _)| id.clone()).collect();
        let held = self.known.summaries(&ids);
        let mut batch = Batch { rotation: next.map(seal).transpose()?, ..Batch::default() };
        batch.page.pages = 1;
        let mut changed = Vec::new();
        for ((id, row), held) in rows.into_iter().zip(&held) {
            batch.page.newest_change = batch.page.newest_change.max(self.pull.plausible(row.signs.newest()));
            match row.compare(held.as_ref(), self.since) {
                RowState::Unchanged { keep } => {
                    if keep {
                        batch.list_rows.push(row.kept(id.clone()));
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
            // The place in the list is saved once what it has shown is read.
            self.rotation = batch.rotation.take().or(self.rotation.take());
            self.pull.send(batch).await;
            return Ok(brings);
        }
        let brought = self.fetch(&changed, IdRoute::Bulk, batch).await;
        self.pull.forget_rows();
        brought.map_err(ListProblem::Other)
    }

    /// Requests what was put off.
    async fn fetch_deferred(&mut self) -> Result<()> {
        let (changed, rotation) = (mem::take(&mut self.deferred), self.rotation.take());
        self.fetch(&changed, IdRoute::BulkOrArray, Batch { rotation, ..Batch::default() }).await?;
        self.pull.forget_rows();
        Ok(())
    }

    fn is_wanted(&mut self, id: &RecordId) -> bool {
        !self.passed_over.contains(id) && self.fetched.insert(id.clone())
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
        // Rows are attached to the records that came. What is held and did not come is listed all the same.
        let is_held = |id: &RecordId| changed.iter().any(|(changed, is_held)| changed == id && *is_held);
        let absent: Vec<RecordId> = fetched.absent.into_iter().filter(is_held).collect();
        let rows = self.pull.take_rows_of(&absent).into_iter();
        batch.list_rows.extend(rows.map(|(id, row)| ListRow { id, row }));
        batch.unchanged.extend(absent);
        self.pull.send(batch).await;
        Ok(brought)
    }
}

/// Counts the conversations that the newest pages of the list show as changed, for an estimate. Returns how many, in
/// how many requests.
pub(crate) async fn count(
    account: &ConvocoreV3,
    known: &dyn HeldRecords,
    since: Since,
    pages: u64,
) -> Result<(u64, u64), ListProblem> {
    let mut list = ListWalk::from(ListPlace::default());
    let mut changed = 0;
    while list.pages < pages {
        let Some(page) = list.next(account).await? else { break };
        let rows = rows_of(&page);
        let ids: Vec<RecordId> = rows.iter().map(|(id, _)| id.clone()).collect();
        let held: Vec<Option<HeldSummary>> = known.summaries(&ids);
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
