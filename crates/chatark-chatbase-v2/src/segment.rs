//! Cuts the export into windows of time with about the same number of conversations each, by the vendor's counts.
//!
//! A list of pages can only be read one page after another, so a long one is cut before it is read: several parts of a
//! window are counted, and those with enough conversations become segments, each with a list of pages of its own.
//! Nothing depends on the order of a list.
//!
//! A part that will hardly be cut again is counted by its first page, with which its list then begins.

use std::collections::HashSet;
use std::iter;

use chatark_core::{ErrorKind, Features, HeldRecords, RecordId, Result, Timestamp, Window};
use chatark_http::CursorGuard;
use futures_util::future::{join, join_all};

use crate::export::{DATES, EXPORT_LIMIT, Element, Export, ExportPage, MARGIN_SECONDS, Query, SUMMARIES};

/// The most lists of pages that are read at the same time.
pub(crate) const MAX_LISTS: usize = 16;
/// The most segments: more than lists, since they differ in length.
const MAX_SEGMENTS: usize = 2 * MAX_LISTS;
/// The fewest conversations that are worth a segment: each may end with a page that is not full.
const MIN_CONVERSATIONS: u64 = 5 * EXPORT_LIMIT as u64;
/// One cut is tried for every so many pages after the first few …
const PAGES_FOR_EACH_CUT: u64 = 3;
const FEW_PAGES: u64 = 15;
/// … as far as the estimated number of requests allows: a cut costs two requests at most, and its segment may end with
/// a page that is not full.
const REQUESTS_FOR_EACH_CUT: u64 = 3;
const REQUESTS_FOR_CUTS: u64 = 36;
/// Larger pages are not kept in memory until their list begins: a segment is then counted without its conversations.
const MAX_HELD_BYTES: usize = 256 << 10;
/// The conversations in the overlap of two segments come twice; no cut is made where there are more of them.
const MAX_OVERLAP: u64 = EXPORT_LIMIT as u64;
const DAY_SECONDS: i64 = 86_400;
/// One second in microseconds.
const SECOND: i64 = 1_000_000;

/// A window of time: conversations that began from `since` (inclusive) to `until` (exclusive); open if a bound is
/// missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// The first page of a list, read before the list begins, with the guard that knows its cursor.
#[derive(Debug)]
pub(crate) struct FirstPage {
    pub(crate) page: ExportPage,
    pub(crate) guard: CursorGuard,
}

/// A segment that may be cut further.
#[derive(Debug)]
pub(crate) struct CandidateSegment {
    segment: Segment,
    count: u64,
    first: Option<FirstPage>,
    /// The times between which the next cut is tried, in microseconds; `lower` is open at first.
    lower: Option<i64>,
    upper: i64,
    /// How far before `upper` the middle of the next cuts is while `lower` is open, in microseconds.
    search_distance: i64,
    may_be_cut: bool,
}

/// What the vendor says of one part of a candidate.
struct CountedPart {
    count: Option<u64>,
    /// Whether it has a conversation that began outside of it.
    is_contradicted: bool,
    first: Option<FirstPage>,
    requests: u64,
}

/// What becomes of a candidate after its parts were counted.
enum CutOutcome {
    /// The new candidates, oldest first, and the first pages of parts that are too small for a candidate of their own.
    Cut(Vec<CandidateSegment>, Vec<FirstPage>),
    /// The candidate, to be cut elsewhere or not at all, and the first pages of its parts.
    NotCut(CandidateSegment, Vec<FirstPage>),
}

/// Cuts an export into segments.
pub(crate) struct SegmentPlanner<'a> {
    export: Export<'a>,
    query: &'a Query,
    held_records: Option<&'a dyn HeldRecords>,
    /// Whether first pages are small enough to be kept until their lists begin.
    keeps_first_pages: bool,
    /// The whole conversations that have come already: on the first page of the export, and on pages with which no list
    /// begins.
    pub(crate) read: HashSet<RecordId>,
    /// The wanted number of conversations of a segment: a candidate with a quarter more is cut.
    target: u64,
    candidates: Vec<CandidateSegment>,
    requests: u64,
    /// Whether a conversation came that began outside of the requested dates.
    ignores_dates: bool,
}

/// A segment with its count and, if it was read, its first page.
pub(crate) struct CountedSegment {
    pub(crate) segment: Segment,
    /// The number of its conversations, by the vendor's count.
    pub(crate) conversations: u64,
    pub(crate) first: Option<FirstPage>,
}

/// The segments of an export, and the requests that it took to find them.
pub(crate) struct Segments {
    pub(crate) counted: Vec<CountedSegment>,
    /// How many requests were made.
    pub(crate) requests: u64,
    /// Whether the deployment counts or sends conversations outside the requested dates: then there are no segments.
    pub(crate) ignores_dates: bool,
}

impl From<Segment> for Window {
    fn from(Segment { since, until }: Segment) -> Self {
        Self { since, until }
    }
}

impl Segment {
    /// Returns whether a conversation belongs to this segment. One without a date belongs to every segment.
    pub(crate) fn owns(&self, began: Option<Timestamp>) -> bool {
        let Some(began) = began else { return true };
        self.since.is_none_or(|since| began >= since) && self.until.is_none_or(|until| began < until)
    }

    /// Returns whether a conversation may come with the list of a neighbour as well.
    pub(crate) fn is_near_edge(&self, began: Option<Timestamp>) -> bool {
        let Some(began) = began else { return false };
        let is_near = |edge: Timestamp| {
            (began.microseconds() - edge.microseconds()).abs() <= 2 * MARGIN_SECONDS * SECOND
        };
        !self.owns(Some(began)) || self.since.is_some_and(is_near) || self.until.is_some_and(is_near)
    }

    /// Returns the parts between some times, oldest first.
    pub(crate) fn cut_at(self, points: &[Timestamp]) -> Vec<Self> {
        let points = || points.iter().copied().map(Some);
        let since = iter::once(self.since).chain(points());
        let until = points().chain(iter::once(self.until));
        since.zip(until).map(|(since, until)| Self { since, until }).collect()
    }

    /// Returns the query of the conversations in this segment: a little wider, since the vendor may treat a bound as
    /// inclusive or exclusive.
    pub(crate) fn query(&self, whole: &Query) -> Query {
        let earlier = |since: Timestamp| since.shifted(-MARGIN_SECONDS).unwrap_or(since);
        Query {
            since: self.since.map(earlier).or(whole.since),
            until: self.until.or(whole.until),
            ..whole.clone()
        }
    }
}

/// Returns how many requests it takes at most to read `total` conversations, if none is fetched by its id.
pub(crate) fn requests(total: u64) -> u64 {
    let pages = total.div_ceil(EXPORT_LIMIT.into()).max(1);
    if !is_worth_cutting(total) {
        return pages;
    }
    let cuts = planned_cuts(total);
    let segments = cuts.min(MAX_SEGMENTS as u64 - 1) + 1;
    // The first page, two counts for each cut, a page that is not full for each segment, and the last count.
    pages + 2 + 2 * cuts + segments
}

fn is_worth_cutting(total: u64) -> bool {
    total >= 2 * MIN_CONVERSATIONS + u64::from(EXPORT_LIMIT)
}

fn planned_cuts(total: u64) -> u64 {
    let pages = total.div_ceil(EXPORT_LIMIT.into());
    let wanted = pages.saturating_sub(FEW_PAGES) / PAGES_FOR_EACH_CUT;
    let affordable = (pages / 4 + REQUESTS_FOR_CUTS) / REQUESTS_FOR_EACH_CUT;
    wanted.min(affordable).clamp(1, MAX_SEGMENTS as u64 - 1)
}

/// Returns the number of parts into which a candidate that is worth a cut is counted.
fn wanted_parts(conversations: u64, target: u64) -> usize {
    usize::try_from((conversations + target / 2) / target).map_or(MAX_SEGMENTS, |parts| parts.max(2))
}

impl<'a> SegmentPlanner<'a> {
    /// Prepares to cut an export whose first page was read: `page_bytes` is its size, and `read` the conversations on
    /// it.
    pub(crate) fn new(
        export: Export<'a>,
        query: &'a Query,
        held_records: Option<&'a dyn HeldRecords>,
        page_bytes: usize,
        read: HashSet<RecordId>,
    ) -> Self {
        let keeps_first_pages = page_bytes <= MAX_HELD_BYTES;
        let (candidates, ignores_dates) = (Vec::new(), false);
        Self {
            export,
            query,
            held_records,
            keeps_first_pages,
            read,
            target: 0,
            candidates,
            requests: 0,
            ignores_dates,
        }
    }

    /// Cuts an export that is worth it. Returns one segment if it cannot be cut.
    pub(crate) async fn plan(
        &mut self,
        whole: CandidateSegment,
        features: &mut Features,
    ) -> Result<Segments> {
        self.target = (whole.count / MAX_LISTS as u64).max(MIN_CONVERSATIONS);
        self.candidates.push(whole);
        let ran = self.run(features).await;
        // If it fails, no list begins with the pages read so far, but their conversations are archived.
        if self.ignores_dates || ran.is_err() {
            let candidates = std::mem::take(&mut self.candidates);
            self.keep_extra_records(candidates.into_iter().filter_map(|candidate| candidate.first));
        }
        ran?;
        let counted = |CandidateSegment { segment, count: conversations, first, .. }| CountedSegment {
            segment,
            conversations,
            first,
        };
        Ok(Segments {
            counted: std::mem::take(&mut self.candidates).into_iter().map(counted).collect(),
            requests: self.requests,
            ignores_dates: self.ignores_dates,
        })
    }

    /// Cuts the candidates that are large enough.
    async fn run(&mut self, features: &mut Features) -> Result<()> {
        let total = self.candidates.iter().map(|candidate| candidate.count).sum();
        let mut left = usize::try_from(planned_cuts(total)).unwrap_or(MAX_SEGMENTS);
        while left > 0 && self.candidates.len() < MAX_SEGMENTS && !features.lacks(DATES) {
            let asked_with = features.clone();
            let chosen = self.choose(&mut left, &asked_with);
            if chosen.is_empty() {
                break;
            }
            let parts = chosen.iter().map(|(candidate, parts)| {
                let reads =
                    self.keeps_first_pages && (left == 0 || candidate.count <= *parts as u64 * self.target);
                self.count_parts(candidate, *parts, reads, &asked_with)
            });
            // All are awaited even if one fails: the requests in flight have been made.
            let newest = chosen.iter().map(|(candidate, _)| candidate.upper).max();
            let (parts, learned) = join(join_all(parts), self.learn_features(newest, features)).await;
            let mut failed = learned.map(|requests| self.requests += requests).err();
            let is_refused = |feature| features.lacks(feature) && !asked_with.lacks(feature);
            let may_refuse = [DATES, SUMMARIES].into_iter().any(is_refused);
            for ((candidate, _), parts) in chosen.into_iter().zip(parts) {
                match parts {
                    Ok((points, parts)) => self.cut_at(candidate, &points, parts, features),
                    // It is counted again without the refused parameter.
                    Err(error) if may_refuse && error.kind() == ErrorKind::Refused => {
                        self.candidates.push(candidate);
                    }
                    Err(error) => {
                        failed.get_or_insert(error);
                        self.candidates.push(candidate);
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if self.ignores_dates {
                break;
            }
        }
        Ok(())
    }

    /// Takes out the largest candidates that are worth a cut, each with the number of parts to be counted: two, until
    /// it is known that the deployment accepts dates. `left` is the number of cuts that may still be tried.
    fn choose(&mut self, left: &mut usize, features: &Features) -> Vec<(CandidateSegment, usize)> {
        let target = self.target;
        let is_worth =
            |candidate: &CandidateSegment| candidate.may_be_cut && candidate.count > target + target / 4;
        self.candidates.sort_by_key(|candidate| (is_worth(candidate), candidate.count));
        let mut room = MAX_SEGMENTS - self.candidates.len();
        let mut chosen = Vec::new();
        while let Some(candidate) =
            self.candidates.pop_if(|candidate| is_worth(candidate) && *left > 0 && room > 0)
        {
            let wanted = if features.supports(DATES) == Some(true) {
                wanted_parts(candidate.count, target)
            } else {
                2
            };
            let cuts = (wanted - 1).min(*left).min(room);
            (*left, room) = (*left - cuts, room - cuts);
            chosen.push((candidate, cuts + 1));
        }
        chosen
    }

    /// Finds out whether the deployment accepts the parameters with which segments are counted, unless that is known.
    /// `newest` is when the newest conversation began, in microseconds. Returns the number of requests.
    async fn learn_features(&self, newest: Option<i64>, features: &mut Features) -> Result<u64> {
        let Some(newest) = newest.and_then(|newest| Timestamp::from_microseconds(newest).ok()) else {
            return Ok(0);
        };
        if features.supports(DATES).is_some() && features.supports(SUMMARIES).is_some() {
            return Ok(0);
        }
        // After the newest conversation there is little or nothing, unless the deployment ignores the time of day.
        let since = newest.shifted(2 * MARGIN_SECONDS);
        let until = self.query.until.or(newest.shifted(2 * DAY_SECONDS)).max(since);
        let mut probe = Query { since, until, ..self.query.counting(features) };
        let page = self.export.first_page(&mut probe, features, &mut CursorGuard::default(), None).await?;
        let began = self.export.keep_extra_records(page).began;
        if began.into_iter().any(|began| probe.is_contradicted(began)) {
            features.set(DATES, false);
        }
        for feature in [DATES, SUMMARIES] {
            if features.supports(feature).is_none() {
                features.set(feature, true);
            }
        }
        Ok(1)
    }

    /// Counts the parts of a candidate, oldest first. Returns them with the times between them: none, if the candidate
    /// has no second at which it can be cut.
    async fn count_parts(
        &self,
        candidate: &CandidateSegment,
        parts: usize,
        reads: bool,
        features: &Features,
    ) -> Result<(Vec<Timestamp>, Vec<CountedPart>)> {
        let points = candidate.cut_points(parts);
        if points.is_empty() {
            return Ok((points, Vec::new()));
        }
        let segments = candidate.segment.cut_at(&points);
        let counted = join_all(segments.into_iter().map(|part| self.count(part, reads, features))).await;
        let (counted, failed): (Vec<_>, Vec<_>) = counted.into_iter().partition(Result::is_ok);
        let counted: Vec<CountedPart> = counted.into_iter().flatten().collect();
        let Some(error) = failed.into_iter().find_map(Result::err) else { return Ok((points, counted)) };
        // Their requests have been made: what came is kept.
        let firsts = counted.into_iter().filter_map(|part| part.first);
        firsts.for_each(|first| drop(self.export.keep_extra_records(first.page)));
        Err(error)
    }

    /// Counts a part by its first page if `reads`, otherwise without its conversations.
    async fn count(&self, part: Segment, reads: bool, features: &Features) -> Result<CountedPart> {
        let mut query = part.query(self.query);
        let mut requests = 0;
        if reads {
            let mut guard = CursorGuard::default();
            requests += 1;
            match self.export.page(&query, None, &mut guard, self.held_records).await {
                // The place that cannot be read is found when the list is read.
                Err(error) if error.may_be_local() => {}
                Err(error) => return Err(error),
                Ok(page) => {
                    let is_outside = |element: &Element| query.is_contradicted(element.summary.created_at);
                    let is_contradicted = page.elements.iter().any(is_outside);
                    let count = page.total;
                    let first = (!page.is_empty_but_continues()).then_some(FirstPage { page, guard });
                    return Ok(CountedPart { count, is_contradicted, first, requests });
                }
            }
        }
        query = query.counting(features);
        let probe = self.export.probe(&query).await?;
        let is_contradicted = probe.began.iter().any(|began| query.is_contradicted(*began));
        Ok(CountedPart { count: probe.total, is_contradicted, first: None, requests: requests + 1 })
    }

    /// Cuts a candidate by the counts of its parts, or marks it as one that cannot be cut.
    fn cut_at(
        &mut self,
        mut candidate: CandidateSegment,
        points: &[Timestamp],
        parts: Vec<CountedPart>,
        features: &Features,
    ) {
        self.requests += parts.iter().map(|part| part.requests).sum::<u64>();
        let is_outside = parts.iter().any(|part| part.is_contradicted);
        self.ignores_dates |= is_outside && !features.lacks(DATES);
        let counts: Option<Vec<u64>> = parts.iter().map(|part| part.count).collect();
        let firsts = parts.into_iter().map(|part| part.first);
        let usable = |counts: &Vec<u64>| !counts.is_empty() && !is_outside && !features.lacks(DATES);
        let Some(counts) = counts.filter(usable) else {
            self.keep_extra_records(firsts.flatten());
            return self.candidates.push(CandidateSegment { may_be_cut: false, ..candidate });
        };
        let first = candidate.first.take();
        let parts = candidate.parts(points, counts.into_iter().zip(firsts));
        match candidate.cut_into(parts) {
            CutOutcome::Cut(candidates, left_over) => {
                self.keep_extra_records(first.into_iter().chain(left_over));
                self.candidates.extend(candidates);
            }
            CutOutcome::NotCut(candidate, left_over) => {
                self.keep_extra_records(left_over);
                self.candidates.push(CandidateSegment { first, ..candidate });
            }
        }
    }

    /// Keeps the conversations of pages with which no list begins.
    fn keep_extra_records(&mut self, pages: impl IntoIterator<Item = FirstPage>) {
        for FirstPage { mut page, .. } in pages {
            page.elements.retain(|element| {
                let is_read_before = |id: &RecordId| !self.read.insert(id.clone());
                element.summary.is_whole && !element.summary.id.as_ref().is_some_and(is_read_before)
            });
            self.export.keep_extra_records(page);
        }
    }
}

impl CandidateSegment {
    /// Returns the whole export as one candidate, or `None` if its first page shows that it is too small or has no
    /// dates.
    pub(crate) fn whole(query: &Query, first: &ExportPage, features: &Features) -> Option<Self> {
        let is_worth_it = first.total.is_some_and(is_worth_cutting) && matches!(first.next, Ok(Some(_)));
        if !is_worth_it || features.lacks(DATES) {
            return None;
        }
        let began = || first.elements.iter().filter_map(|element| element.summary.created_at);
        let (newest, oldest) = (began().max()?.microseconds(), began().min()?.microseconds());
        let total = first.total?;
        let each = (newest - oldest) / i64::try_from(first.elements.len()).ok()?;
        let half = each.saturating_mul(i64::try_from(total / 2).unwrap_or(i64::MAX));
        Some(Self {
            segment: Segment::default(),
            count: total,
            first: None,
            lower: query.since.map(Timestamp::microseconds),
            upper: newest,
            search_distance: half.max(SECOND),
            may_be_cut: true,
        })
    }

    /// Returns the whole seconds at which the candidate is cut into so many parts, oldest first; fewer if it is too
    /// short.
    fn cut_points(&self, parts: usize) -> Vec<Timestamp> {
        let search_distance = || self.upper.saturating_sub(self.search_distance.saturating_mul(2));
        let lowest = self.lower.unwrap_or_else(search_distance).max(Timestamp::EARLIEST.microseconds());
        let (Ok(parts), width) = (i64::try_from(parts), self.upper.saturating_sub(lowest)) else {
            return Vec::new();
        };
        let points = (1..parts).map(|number| (lowest + width / parts * number).div_euclid(SECOND) * SECOND);
        let is_inside = |point: &i64| *point < self.upper && self.lower.is_none_or(|lower| *point > lower);
        let mut points: Vec<_> = points.filter(is_inside).collect();
        points.dedup();
        points.into_iter().filter_map(|point| Timestamp::from_microseconds(point).ok()).collect()
    }

    /// Returns the parts between some times, oldest first, each with its count and its first page.
    fn parts(
        &self,
        points: &[Timestamp],
        counted: impl IntoIterator<Item = (u64, Option<FirstPage>)>,
    ) -> Vec<Self> {
        let at = || points.iter().map(|point| point.microseconds());
        let lower = iter::once(self.lower).chain(at().map(Some));
        let bounds = lower.zip(at().chain(iter::once(self.upper)));
        let segments = self.segment.cut_at(points).into_iter().zip(bounds);
        let (may_be_cut, each) =
            (self.may_be_cut, self.search_distance / i64::try_from(self.count.max(1)).unwrap_or(i64::MAX));
        let part = |((segment, (lower, upper)), (count, first))| Self {
            segment,
            count,
            first,
            lower,
            upper,
            search_distance: each.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)).max(SECOND),
            may_be_cut,
        };
        segments.zip(counted).map(part).collect()
    }

    /// Cuts a candidate into its parts. A part that is too small stays with its neighbour.
    fn cut_into(mut self, parts: Vec<Self>) -> CutOutcome {
        let most = MAX_OVERLAP * (parts.len() as u64 - 1);
        let enough = MIN_CONVERSATIONS.min(self.count / (2 * parts.len() as u64));
        let is_double = parts.iter().map(|part| part.count).sum::<u64>() > self.count + most;
        let largest = parts.iter().max_by_key(|part| part.count).map(|part| (part.lower, part.upper));
        let (mut candidates, mut left_over) = (Vec::<Self>::new(), Vec::new());
        for part in parts {
            match candidates.pop_if(|before| before.count.min(part.count) < enough) {
                Some(before) => candidates.push(before.joined(part, &mut left_over)),
                None => candidates.push(part),
            }
        }
        if candidates.len() > 1 && !is_double {
            return CutOutcome::Cut(candidates, left_over);
        }
        left_over.extend(candidates.into_iter().filter_map(|candidate| candidate.first));
        // Most conversations are in one part: the next cuts are tried there.
        if let Some((lower, upper)) = largest {
            (self.lower, self.upper) = (lower, upper);
        }
        if self.lower.is_none() {
            self.search_distance = self.search_distance.saturating_mul(4);
        }
        CutOutcome::NotCut(self, left_over)
    }

    /// Joins two neighbours. The next cut is tried in the larger one.
    fn joined(self, newer: Self, left_over: &mut Vec<FirstPage>) -> Self {
        let segment = Segment { since: self.segment.since, until: newer.segment.until };
        let count = self.count + newer.count;
        let (mut larger, smaller) = if newer.count > self.count { (newer, self) } else { (self, newer) };
        left_over.extend([larger.first.take(), smaller.first].into_iter().flatten());
        Self { segment, count, ..larger }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_epoch(1_733_000_000 + seconds).unwrap()
    }

    fn candidate(lower: i64, upper: i64, count: u64) -> CandidateSegment {
        let instant = |seconds| at(seconds).microseconds();
        CandidateSegment {
            segment: Segment::default(),
            count,
            lower: Some(instant(lower)),
            upper: instant(upper),
            search_distance: SECOND,
            may_be_cut: true,
            first: None,
        }
    }

    #[test]
    fn a_conversation_belongs_to_one_segment() {
        let newer = Segment { since: Some(at(10)), until: None };
        let older = Segment { since: None, until: Some(at(10)) };
        for seconds in [0, 9, 10, 11] {
            assert_ne!(newer.owns(Some(at(seconds))), older.owns(Some(at(seconds))), "{seconds}");
        }
        assert!(newer.owns(None) && older.owns(None), "one without a date is kept wherever it comes");
    }

    /// Cuts a candidate with parts of these counts between some times.
    fn cut(candidate: CandidateSegment, points: &[i64], counts: &[u64]) -> CutOutcome {
        let points: Vec<_> = points.iter().copied().map(at).collect();
        let parts = candidate.parts(&points, counts.iter().map(|count| (*count, None)));
        candidate.cut_into(parts)
    }

    #[test]
    fn a_cut_needs_enough_on_both_sides_and_little_between() {
        let whole = || candidate(0, 100, 1_000);
        assert!(matches!(cut(whole(), &[50], &[500, 505]), CutOutcome::Cut(..)));
        // 400 conversations began in the second of the cut.
        assert!(matches!(cut(whole(), &[50], &[700, 700]), CutOutcome::NotCut(..)));
        let CutOutcome::NotCut(next, _) = cut(whole(), &[50], &[990, 10]) else {
            panic!("ten are not worth a segment")
        };
        assert_eq!((next.lower, next.upper), (whole().lower, at(50).microseconds()));
        assert_eq!(next.segment, Segment::default(), "all of it is still read");
    }

    #[test]
    fn a_part_that_is_too_small_stays_with_its_neighbour() {
        let CutOutcome::Cut(candidates, _) =
            cut(candidate(0, 100, 1_000), &[20, 40, 60, 80], &[5, 300, 10, 680, 5])
        else {
            panic!("two parts have enough");
        };
        let found = |candidate: &CandidateSegment| {
            (candidate.segment, candidate.count, candidate.lower, candidate.upper)
        };
        let micro = |seconds| at(seconds).microseconds();
        let older = Segment { since: None, until: Some(at(60)) };
        let newer = Segment { since: Some(at(60)), until: None };
        // The next cuts are looked for where most is.
        let expected = [(older, 315, Some(micro(20)), micro(40)), (newer, 685, Some(micro(60)), micro(80))];
        assert_eq!(candidates.iter().map(found).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_cut_looks_further_back_for_an_open_beginning() {
        let open = CandidateSegment { lower: None, search_distance: 10 * SECOND, ..candidate(0, 100, 1_000) };
        assert_eq!(open.cut_points(2), [at(90)]);
        assert_eq!(open.cut_points(4), [at(85), at(90), at(95)]);
        let CutOutcome::NotCut(next, _) = cut(open, &[85, 90, 95], &[995, 1, 2, 2]) else {
            panic!("nearly all is older")
        };
        assert_eq!((next.lower, next.upper, next.cut_points(2)), (None, at(85).microseconds(), vec![at(45)]));
    }

    #[test]
    fn a_candidate_that_is_cut_has_two_parts_at_least() {
        assert_eq!([827, 937, 938, 1_600, 5_000].map(|count| wanted_parts(count, 625)), [2, 2, 2, 3, 8]);
    }

    #[test]
    fn a_candidate_has_no_more_parts_than_seconds() {
        assert_eq!(candidate(0, 1, 1_000).cut_points(2), []);
        assert_eq!(candidate(0, 2, 1_000).cut_points(2), [at(1)]);
        assert_eq!(candidate(0, 3, 1_000).cut_points(10), [at(1), at(2)]);
    }

    #[test]
    fn the_requests_stay_within_the_bound_of_a_walk() {
        for total in [0_u64, 1, 20, 21, 219, 220, 400, 1_000, 2_400, 3_600, 10_000, 1_000_000] {
            let pages = total.div_ceil(20).max(1);
            assert!(requests(total) <= pages + pages / 4 + 40, "{total}: {}", requests(total));
        }
        assert_eq!((requests(0), requests(219)), (1, 11));
    }
}
