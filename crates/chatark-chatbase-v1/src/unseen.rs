//! Looks for conversations that a walk did not list, by asking for the days on which they began.
//!
//! Deletions between two pages move conversations past a walk. A day is short, so little can move in it; where it has
//! several pages, they are read forwards and then backwards, since a deletion moves nothing past a reader who comes
//! from the end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem;

use bytes::Bytes;
use chatark_core::{
    Batch, Error, ErrorKind, PageMetadata, Record, RecordId, Result, Stream, Surface, Timestamp,
    UnseenRecord, fields,
};

use crate::account::ChatbaseV1;
use crate::ending::{AfterRefusal, Repetition, after_refused_page, is_ceiling, is_full, repetition_of_first};
use crate::failure::is_refusal;
use crate::list::{NumberedList, PAGE_SIZE, Rows};
use crate::parameters::{Parameters, began};

/// The most days that one call asks for.
const MAX_DAYS: usize = 100;
/// The most pages of one day that are read.
const MAX_PAGES: u64 = 200;
/// How often the pages of one day are read backwards. Where rows change places, once may not bring all of them.
const MAX_ROUNDS: u32 = 2;
/// After so many failures, nothing more is asked for.
const MAX_FAILURES: u32 = 3;
/// The most bytes of extra records that are kept.
const MAX_EXTRA_BYTES: usize = 64 << 20;
const DAY_SECONDS: i64 = 86_400;
/// How far from its day a conversation may have begun, for zones and inclusive ends.
const TOLERANCE_SECONDS: f64 = 5.0 * 86_400.0;

/// Returns those of the conversations that the vendor still has, and the ids of those that cannot be asked for.
pub(crate) async fn find(account: &ChatbaseV1, unseen: &[UnseenRecord]) -> Result<Batch> {
    let mut search = UnseenSearch {
        whole: NumberedList::new(account, Stream::Conversations),
        takes_days: None,
        status_of_end: None,
        failures: 0,
        is_given_up: false,
        found: BTreeMap::new(),
        extra_records: BTreeMap::new(),
        extra_bytes: 0,
        read_until: None,
        rounds: MAX_ROUNDS,
    };
    let mut page = PageMetadata::default();
    let mut unchanged = match search.look_for(unseen).await {
        Err(error) if search.found.is_empty() && search.extra_records.is_empty() => return Err(error),
        // What has come is kept; the others count as unchanged.
        Err(error) => {
            let note = format!("not all that the vendor no longer lists could be looked for: {error}");
            page.notes.push(note);
            unseen.iter().map(|record| record.id.clone()).collect()
        }
        Ok(unchanged) => unchanged,
    };
    unchanged.retain(|id| !search.found.contains_key(id));
    search.found.append(&mut search.extra_records);
    let record = |bytes| Record::with_top_level_id(Stream::Conversations, Surface::Export, bytes);
    let records = search.found.into_values().map(record).collect();
    Ok(Batch { records, unchanged, page, ..Batch::default() })
}

fn by_day(unseen: &[UnseenRecord]) -> BTreeMap<String, (Timestamp, BTreeSet<RecordId>)> {
    let mut days = BTreeMap::new();
    for record in unseen {
        if let Some(at) = record.created_at {
            let (_, ids) = days.entry(at.day()).or_insert_with(|| (at, BTreeSet::new()));
            ids.insert(record.id.clone());
        }
    }
    days
}

struct UnseenSearch<'a> {
    whole: NumberedList<'a>,
    /// Whether the deployment filters by days, once that is known.
    takes_days: Option<bool>,
    /// The status with which the vendor refuses pages past the end of a list, once that is known.
    status_of_end: Option<u16>,
    failures: u32,
    is_given_up: bool,
    /// The conversations that the vendor still has, as it sent them.
    found: BTreeMap<RecordId, Bytes>,
    /// Other conversations of the same days: where rows change places, the sweep may have missed them too.
    extra_records: BTreeMap<RecordId, Bytes>,
    /// How large these are. Above [`MAX_EXTRA_BYTES`], the rest was not kept.
    extra_bytes: usize,
    /// The last of the days that were read with those around one, and whether everything of them was found.
    read_until: Option<(String, bool)>,
    /// How often the pages of days are read backwards: once, after all rounds did not bring everything of some days.
    rounds: u32,
}

/// How much of a day was read.
enum DayOutcome {
    /// All of it, or all that was looked for.
    Everything,
    /// All of its pages, but some row was on two of them, so another may have been on none.
    Partly,
    /// Not all, or not that day alone.
    Unsure,
}

/// The rows of a list that is narrowed to some days.
#[derive(Default)]
struct DayRows {
    keys: HashSet<u64>,
    /// How many rows its pages have.
    rows: u64,
    rows_per_page: u64,
}

impl DayRows {
    fn add_page(&mut self, keys: &[u64]) {
        self.keys.extend(keys);
        self.rows += keys.len() as u64;
        self.rows_per_page = self.rows_per_page.max(keys.len() as u64);
    }

    /// Returns whether a page is the last one once more, with other rows because they change places: only the last page
    /// is shorter than the others, and its rows are not all new.
    fn is_last_again(&self, keys: &[u64], before: &[u64]) -> bool {
        keys.len() == before.len()
            && (keys.len() as u64) < self.rows_per_page
            && keys.iter().any(|key| self.keys.contains(key))
    }

    /// Returns whether there were as many different rows as the pages have. Otherwise some row was on two of them, and
    /// another may have been on none.
    fn is_everything(&self) -> bool {
        self.keys.len() as u64 >= self.rows
    }
}

impl UnseenSearch<'_> {
    /// Asks for the days of conversations, and returns those that are there or cannot be asked for.
    async fn look_for(&mut self, unseen: &[UnseenRecord]) -> Result<Vec<RecordId>> {
        let undated = unseen.iter().filter(|record| record.created_at.is_none());
        let mut unchanged: Vec<_> = undated.map(|record| record.id.clone()).collect();
        for (number, (day, (at, ids))) in by_day(unseen).into_iter().enumerate() {
            if number >= MAX_DAYS || self.is_given_up {
                unchanged.extend(ids);
            } else {
                unchanged.extend(self.look_for_on_day(&day, at, ids).await?);
            }
        }
        Ok(unchanged)
    }

    /// Looks for the conversations of a day. Returns those that are there or cannot be asked for.
    async fn look_for_on_day(
        &mut self,
        day: &str,
        at: Timestamp,
        ids: BTreeSet<RecordId>,
    ) -> Result<BTreeSet<RecordId>> {
        let mut missing = ids.clone();
        self.take_from_extra_records(&mut missing);
        if let Some(is_everything) = self.was_read_with_others(day) {
            return Ok(if is_everything { ids.difference(&missing).cloned().collect() } else { ids });
        }
        // The vendor documents neither the zone of its days nor whether the last one is included, so what is not found
        // on its day may be on one around it. The day alone is short, and often enough.
        let on_day = self.whole.with(Parameters::on(day));
        if let DayOutcome::Unsure = self.read_days(&on_day, at, 0, &mut missing).await? {
            return Ok(ids);
        }
        if !missing.is_empty() {
            let around = self.whole.with(Parameters::around(at));
            let is_everything = match self.read_days(&around, at, self.rounds, &mut missing).await? {
                DayOutcome::Everything => true,
                DayOutcome::Partly => false,
                DayOutcome::Unsure => return Ok(ids),
            };
            if !missing.is_empty() {
                // The days around it hold all of the next one, whatever the zone.
                self.read_until = at.shifted(DAY_SECONDS).map(|next| (next.day(), is_everything));
            }
            if !is_everything {
                self.rounds = 1;
                return Ok(ids);
            }
        }
        Ok(ids.difference(&missing).cloned().collect())
    }

    /// Returns whether everything of a day is among the conversations that were found, or nothing if it was not read
    /// with those around another.
    fn was_read_with_others(&self, day: &str) -> Option<bool> {
        let has_kept_all = self.extra_bytes <= MAX_EXTRA_BYTES;
        let (until, is_everything) = self.read_until.as_ref().filter(|_| has_kept_all)?;
        (day <= until.as_str()).then_some(*is_everything)
    }

    /// Takes out the missing conversations that came with other days.
    fn take_from_extra_records(&mut self, missing: &mut BTreeSet<RecordId>) {
        for id in mem::take(missing) {
            match self.extra_records.remove(&id) {
                Some(row) => drop(self.found.insert(id, row)),
                None => drop(missing.insert(id)),
            }
        }
    }

    /// Reads the pages of a list of days, and takes out what is on them; in the end backwards, in so many rounds at
    /// most.
    async fn read_days(
        &mut self,
        list: &NumberedList<'_>,
        at: Timestamp,
        rounds: u32,
        missing: &mut BTreeSet<RecordId>,
    ) -> Result<DayOutcome> {
        let mut before: Vec<u64> = Vec::new();
        let mut seen = DayRows::default();
        let mut number = 1;
        loop {
            let rows = match list.probe_page(PAGE_SIZE, number).await {
                Ok(rows) => rows,
                Err(error) if is_refusal(&error) && number > 1 => {
                    if !self.is_end(list, &error, number, &seen, &before).await? {
                        return Ok(DayOutcome::Unsure);
                    }
                    break;
                }
                Err(error) if is_refusal(&error) => return self.meaning_of_refusal().await,
                Err(error) => return self.count_failure(error),
            };
            self.failures = 0;
            if rows.elements.iter().any(|row| is_far_from(row, at)) {
                // The deployment ignores the days, or compares another time.
                self.is_given_up = true;
                return Ok(DayOutcome::Unsure);
            }
            let keys = rows.keys();
            self.take_out(&rows, missing);
            if rows.is_empty() || missing.is_empty() {
                break;
            }
            if seen.is_last_again(&keys, &before) {
                break;
            }
            // The same page again has as many rows. A shorter one that holds some of them is another page, where rows
            // change places.
            if keys.len() == before.len() && keys.iter().all(|key| before.contains(key)) {
                // Page 1 again may be a deployment that ignores the number.
                let is_sure =
                    number > 2 || repetition_of_first(list, &before).await?.0 == Repetition::OnePage;
                if !is_sure {
                    return Ok(DayOutcome::Unsure);
                }
                break;
            }
            if number == MAX_PAGES {
                return Ok(DayOutcome::Unsure);
            }
            seen.add_page(&keys);
            before = keys;
            number += 1;
        }
        // With a single page, nothing can have moved to another one.
        let rounds = if number > 2 { rounds } else { 0 };
        self.backwards(list, (number, rounds), seen, missing).await
    }

    /// Reads the pages before one, the last one first, until every row of them was seen.
    async fn backwards(
        &mut self,
        list: &NumberedList<'_>,
        (end, rounds): (u64, u32),
        mut seen: DayRows,
        missing: &mut BTreeSet<RecordId>,
    ) -> Result<DayOutcome> {
        for round in 0..rounds {
            if round > 0 && seen.is_everything() {
                break;
            }
            for number in (1..end).rev() {
                if missing.is_empty() {
                    return Ok(DayOutcome::Everything);
                }
                match list.probe_page(PAGE_SIZE, number).await {
                    Ok(rows) => {
                        seen.keys.extend(rows.keys());
                        self.take_out(&rows, missing);
                    }
                    Err(error) if is_refusal(&error) => {}
                    Err(error) => return self.count_failure(error),
                }
            }
        }
        Ok(if seen.is_everything() || missing.is_empty() {
            DayOutcome::Everything
        } else {
            DayOutcome::Partly
        })
    }

    /// Returns whether a page is refused because the list has ended.
    async fn is_end(
        &mut self,
        list: &NumberedList<'_>,
        refusal: &Error,
        number: u64,
        seen: &DayRows,
        before: &[u64],
    ) -> Result<bool> {
        if self.status_of_end == refusal.status() {
            return Ok(true);
        }
        if !is_ceiling(list, refusal).await?.0 {
            self.status_of_end = refusal.status();
            return Ok(true);
        }
        if !is_full(before, seen.rows_per_page) {
            return Ok(true);
        }
        let rows_until = (number - 1) * seen.rows_per_page;
        let (after, _) = after_refused_page(list, number, rows_until, before).await?;
        Ok(after == AfterRefusal::Nothing)
    }

    /// Keeps the conversations of a page that were missing.
    fn take_out(&mut self, rows: &Rows, missing: &mut BTreeSet<RecordId>) {
        for row in &rows.elements {
            let [id] = fields::peek(row, ["id"]);
            let Some(id) = RecordId::from_json(&id) else { continue };
            if missing.remove(&id) {
                self.found.insert(id, row.clone());
            } else if !self.found.contains_key(&id) && !self.extra_records.contains_key(&id) {
                self.extra_bytes = self.extra_bytes.saturating_add(row.len());
                if self.extra_bytes <= MAX_EXTRA_BYTES {
                    self.extra_records.insert(id, row.clone());
                }
            }
        }
    }

    /// Returns what it means that the first page of a day was refused: on some deployments, that it is empty.
    async fn meaning_of_refusal(&mut self) -> Result<DayOutcome> {
        let takes_days = match self.takes_days {
            Some(takes_days) => takes_days,
            None => self.takes_days().await?,
        };
        self.takes_days = Some(takes_days);
        self.is_given_up |= !takes_days;
        Ok(if takes_days { DayOutcome::Everything } else { DayOutcome::Unsure })
    }

    /// Finds out whether the deployment filters by days, with the day of a conversation that exists.
    async fn takes_days(&self) -> Result<bool> {
        let Some(row) = first_row(self.whole.probe_page(1, 1).await)? else { return Ok(false) };
        let Some(at) = began(&row) else { return Ok(false) };
        let around = self.whole.with(Parameters::around(at));
        Ok(first_row(around.probe_page(1, 1).await)?.is_some())
    }

    /// Counts a failure, or returns an error that ends the search.
    fn count_failure(&mut self, error: Error) -> Result<DayOutcome> {
        if !error.may_be_local() && error.kind() != ErrorKind::RateLimited {
            return Err(error);
        }
        self.failures += 1;
        self.is_given_up |= self.failures >= MAX_FAILURES;
        Ok(DayOutcome::Unsure)
    }
}

fn first_row(rows: Result<Rows>) -> Result<Option<Bytes>> {
    match rows {
        Ok(rows) => Ok(rows.elements.into_iter().next()),
        Err(error) if is_refusal(&error) || error.may_be_local() => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_far_from(row: &[u8], at: Timestamp) -> bool {
    began(row).is_some_and(|began| began.seconds_since(at).abs() > TOLERANCE_SECONDS)
}
