//! The export cut into windows of time with about as many conversations each, by the vendor's own counts.
//!
//! A list of pages is sequential. So a long one is cut before it is read: a window is counted in several parts, and those
//! with enough become segments with lists of pages of their own. Nothing depends on the order of a list.
//!
//! Parts that will hardly be cut again are counted by their first page, with which their lists begin.

use std::collections::HashSet;
use std::iter;

use chatark_core::{ErrorKind, Features, HeldRecords, RecordId, Result, Timestamp, Window};
use chatark_http::CursorGuard;
use futures_util::future::{join, join_all};

use crate::export::{DATES, EXPORT_LIMIT, Element, Export, ExportPage, MARGIN_SECONDS, Query, SUMMARIES};

/// The most lists of pages that are read at the same time.
pub(crate) const MAX_LISTS: usize = 16;
/// The most segments: more than lists, since they do not come out alike.
const MAX_SEGMENTS: usize = 2 * MAX_LISTS;
/// The fewest conversations that are worth a segment: each may end with a page that is not full.
const MIN_CONVERSATIONS: u64 = 5 * EXPORT_LIMIT as u64;
/// A cut is tried for each of so many pages beyond the first few …
const PAGES_FOR_EACH_CUT: u64 = 3;
const FEW_PAGES: u64 = 15;
/// … as far as the promised bound of requests has room for them: a cut costs two requests at most, and its segment may end
/// with a page that is not full.
const REQUESTS_FOR_EACH_CUT: u64 = 3;
const REQUESTS_FOR_CUTS: u64 = 36;
/// Larger pages are not kept until their list begins: a segment is then counted without its conversations.
const MAX_HELD_BYTES: usize = 256 << 10;
/// The conversations in the overlap of two segments come twice; a cut through more than these is not made.
const MAX_OVERLAP: u64 = EXPORT_LIMIT as u64;
const DAY_SECONDS: i64 = 86_400;
/// One second in microseconds.
const SECOND: i64 = 1_000_000;

/// A window of time: what began from `since`, inclusive, to `until`, exclusive; open if a bound is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// The first page of a list, which has been read already.
#[derive(Debug)]
pub(crate) struct FirstPage {
    pub(crate) page: ExportPage,
    pub(crate) guard: CursorGuard,
}

/// A segment that may be cut further.
#[derive(Debug)]
pub(crate) struct Piece {
    segment: Segment,
    count: u64,
    first: Option<FirstPage>,
    /// Where the next cut is looked for; `lower` is open at first.
    lower: Option<i64>,
    upper: i64,
    /// How far below `upper` the middle of the next cuts is while `lower` is open, in microseconds.
    reach: i64,
    may_be_cut: bool,
}

/// What the vendor says of one part of a piece.
struct Part {
    count: Option<u64>,
    /// Whether something in it began outside of it.
    is_contradicted: bool,
    first: Option<FirstPage>,
    requests: u64,
}

/// What becomes of a piece whose parts were counted.
enum Cut {
    /// The pieces, the oldest first, and the first pages of parts that are too small for a piece of their own.
    Made(Vec<Piece>, Vec<FirstPage>),
    /// It is tried elsewhere, or not at all. The first pages are those of the parts.
    Not(Piece, Vec<FirstPage>),
}

/// An export that is being cut.
pub(crate) struct Cutter<'a> {
    export: Export<'a>,
    query: &'a Query,
    known: Option<&'a dyn HeldRecords>,
    /// Whether pages are small enough to be kept until their lists begin.
    holds_pages: bool,
    /// Whole conversations that have come already: those before, and those on pages with which no list begins.
    pub(crate) read: HashSet<RecordId>,
    /// The wanted number of conversations of a piece: those with a quarter more are cut.
    target: u64,
    pieces: Vec<Piece>,
    requests: u64,
    /// Whether something came that began outside of the requested dates.
    ignores_dates: bool,
}

/// A segment, and what is known of it.
pub(crate) struct Counted {
    pub(crate) segment: Segment,
    /// The number of its conversations, by the vendor's count.
    pub(crate) conversations: u64,
    pub(crate) first: Option<FirstPage>,
}

/// The segments of an export, and what it cost to find them.
pub(crate) struct Segments {
    pub(crate) counted: Vec<Counted>,
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
    /// Returns whether a conversation belongs to this segment alone. One without a date belongs to any.
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

    /// Returns the parts between some times, the oldest first.
    pub(crate) fn cut_at(self, points: &[Timestamp]) -> Vec<Self> {
        let points = || points.iter().copied().map(Some);
        let since = iter::once(self.since).chain(points());
        let until = points().chain(iter::once(self.until));
        since.zip(until).map(|(since, until)| Self { since, until }).collect()
    }

    /// Returns the query of the conversations in this segment: wider, so that no bound depends on how the vendor
    /// treats it.
    pub(crate) fn query(&self, whole: &Query) -> Query {
        let earlier = |since: Timestamp| since.shifted(-MARGIN_SECONDS).unwrap_or(since);
        Query {
            since: self.since.map(earlier).or(whole.since),
            until: self.until.or(whole.until),
            ..whole.clone()
        }
    }
}

/// Returns how many requests it takes at most to read so many conversations, if nothing has changed.
pub(crate) fn requests(total: u64) -> u64 {
    let pages = total.div_ceil(EXPORT_LIMIT.into()).max(1);
    if !is_worth_cutting(total) {
        return pages;
    }
    let cuts = cuts(total);
    let segments = cuts.min(MAX_SEGMENTS as u64 - 1) + 1;
    // The first page, two counts for each cut, a page that is not full for each segment, and the last count.
    pages + 2 + 2 * cuts + segments
}

fn is_worth_cutting(total: u64) -> bool {
    total >= 2 * MIN_CONVERSATIONS + u64::from(EXPORT_LIMIT)
}

fn cuts(total: u64) -> u64 {
    let pages = total.div_ceil(EXPORT_LIMIT.into());
    let wanted = pages.saturating_sub(FEW_PAGES) / PAGES_FOR_EACH_CUT;
    let affordable = (pages / 4 + REQUESTS_FOR_CUTS) / REQUESTS_FOR_EACH_CUT;
    wanted.min(affordable).clamp(1, MAX_SEGMENTS as u64 - 1)
}

/// Returns the number of parts into which a piece that is worth a cut is counted.
fn wanted_parts(conversations: u64, target: u64) -> usize {
    usize::try_from((conversations + target / 2) / target).map_or(MAX_SEGMENTS, |parts| parts.max(2))
}

impl<'a> Cutter<'a> {
    /// Prepares to cut an export of which a first page was read, with the size of that page in bytes and the conversations
    /// on it.
    pub(crate) fn new(
        export: Export<'a>,
        query: &'a Query,
        known: Option<&'a dyn HeldRecords>,
        page_bytes: usize,
        read: HashSet<RecordId>,
    ) -> Self {
        let holds_pages = page_bytes <= MAX_HELD_BYTES;
        let (pieces, ignores_dates) = (Vec::new(), false);
        Self { export, query, known, holds_pages, read, target: 0, pieces, requests: 0, ignores_dates }
    }

    /// Cuts an export that is worth it. Returns one segment if it cannot be cut.
    pub(crate) async fn cut(&mut self, whole: Piece, features: &mut Features) -> Result<Segments> {
        self.target = (whole.count / MAX_LISTS as u64).max(MIN_CONVERSATIONS);
        self.pieces.push(whole);
        let ran = self.run(features).await;
        // If it fails, no list begins with the pages so far, but what they have is archived.
        if self.ignores_dates || ran.is_err() {
            let pieces = std::mem::take(&mut self.pieces);
            self.put_aside(pieces.into_iter().filter_map(|piece| piece.first));
        }
        ran?;
        let counted =
            |Piece { segment, count: conversations, first, .. }| Counted { segment, conversations, first };
        Ok(Segments {
            counted: std::mem::take(&mut self.pieces).into_iter().map(counted).collect(),
            requests: self.requests,
            ignores_dates: self.ignores_dates,
        })
    }

    /// Cuts what is worth it.
    async fn run(&mut self, features: &mut Features) -> Result<()> {
        let total = self.pieces.iter().map(|piece| piece.count).sum();
        let mut left = usize::try_from(cuts(total)).unwrap_or(MAX_SEGMENTS);
        while left > 0 && self.pieces.len() < MAX_SEGMENTS && !features.lacks(DATES) {
            let asked_with = features.clone();
            let chosen = self.choose(&mut left, &asked_with);
            if chosen.is_empty() {
                break;
            }
            let parts = chosen.iter().map(|(piece, parts)| {
                let reads = self.holds_pages && (left == 0 || piece.count <= *parts as u64 * self.target);
                self.count_parts(piece, *parts, reads, &asked_with)
            });
            // All are waited for, even if one fails: what is in flight has been paid for.
            let newest = chosen.iter().map(|(piece, _)| piece.upper).max();
            let (parts, learned) = join(join_all(parts), self.learn(newest, features)).await;
            let mut failed = learned.map(|requests| self.requests += requests).err();
            let is_refused = |feature| features.lacks(feature) && !asked_with.lacks(feature);
            let may_refuse = [DATES, SUMMARIES].into_iter().any(is_refused);
            for ((piece, _), parts) in chosen.into_iter().zip(parts) {
                match parts {
                    Ok((points, parts)) => self.cut_at(piece, &points, parts, features),
                    // It is asked again without what is refused.
                    Err(error) if may_refuse && error.kind() == ErrorKind::Refused => self.pieces.push(piece),
                    Err(error) => {
                        failed.get_or_insert(error);
                        self.pieces.push(piece);
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

    /// Takes the largest pieces out that are worth a cut, with the number of parts in which each is counted: two, until it
    /// is known that the deployment accepts dates. `left` is the number of cuts that may still be tried.
    fn choose(&mut self, left: &mut usize, features: &Features) -> Vec<(Piece, usize)> {
        let target = self.target;
        let is_worth = |piece: &Piece| piece.may_be_cut && piece.count > target + target / 4;
        self.pieces.sort_by_key(|piece| (is_worth(piece), piece.count));
        let mut room = MAX_SEGMENTS - self.pieces.len();
        let mut chosen = Vec::new();
        while let Some(piece) = self.pieces.pop_if(|piece| is_worth(piece) && *left > 0 && room > 0) {
            let wanted =
                if features.supports(DATES) == Some(true) { wanted_parts(piece.count, target) } else { 2 };
            let cuts = (wanted - 1).min(*left).min(room);
            (*left, room) = (*left - cuts, room - cuts);
            chosen.push((piece, cuts + 1));
        }
        chosen
    }

    /// Finds out whether the deployment accepts the parameters with which segments are counted, unless that is known.
    /// `newest` is when the newest conversation began, in microseconds. Returns how many requests were made.
    async fn learn(&self, newest: Option<i64>, features: &mut Features) -> Result<u64> {
        let Some(newest) = newest.and_then(|newest| Timestamp::from_microseconds(newest).ok()) else {
            return Ok(0);
        };
        if features.supports(DATES).is_some() && features.supports(SUMMARIES).is_some() {
            return Ok(0);
        }
        // Behind the newest conversation there is little or nothing, unless a time of day is cut off.
        let since = newest.shifted(2 * MARGIN_SECONDS);
        let until = self.query.until.or(newest.shifted(2 * DAY_SECONDS)).max(since);
        let mut probe = Query { since, until, ..self.query.counting(features) };
        let page = self.export.first_page(&mut probe, features, &mut CursorGuard::default(), None).await?;
        let began = self.export.put_aside(page).began;
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

    /// Counts the parts of a piece, the oldest first. Returns them with the times between them: none, if it has no second
    /// to be cut at.
    async fn count_parts(
        &self,
        piece: &Piece,
        parts: usize,
        reads: bool,
        features: &Features,
    ) -> Result<(Vec<Timestamp>, Vec<Part>)> {
        let points = piece.points(parts);
        if points.is_empty() {
            return Ok((points, Vec::new()));
        }
        let segments = piece.segment.cut_at(&points);
        let counted = join_all(segments.into_iter().map(|part| self.count(part, reads, features))).await;
        let (counted, failed): (Vec<_>, Vec<_>) = counted.into_iter().partition(Result::is_ok);
        let counted: Vec<Part> = counted.into_iter().flatten().collect();
        let Some(error) = failed.into_iter().find_map(Result::err) else { return Ok((points, counted)) };
        // What has come has been paid for.
        let firsts = counted.into_iter().filter_map(|part| part.first);
        firsts.for_each(|first| drop(self.export.put_aside(first.page)));
        Err(error)
    }

    /// Counts a part by its first page, or without its conversations.
    async fn count(&self, part: Segment, reads: bool, features: &Features) -> Result<Part> {
        let mut query = part.query(self.query);
        let mut requests = 0;
        if reads {
            let mut guard = CursorGuard::default();
            requests += 1;
            match self.export.page(&query, None, &mut guard, self.known).await {
                // What cannot be read there is found when its list is read.
                Err(error) if error.may_be_local() => {}
                Err(error) => return Err(error),
                Ok(page) => {
                    let is_outside = |element: &Element| query.is_contradicted(element.summary.created_at);
                    let is_contradicted = page.elements.iter().any(is_outside);
                    let count = page.total;
                    let first = (!page.says_nothing()).then_some(FirstPage { page, guard });
                    return Ok(Part { count, is_contradicted, first, requests });
                }
            }
        }
        query = query.counting(features);
        let probe = self.export.probe(&query).await?;
        let is_contradicted = probe.began.iter().any(|began| query.is_contradicted(*began));
        Ok(Part { count: probe.total, is_contradicted, first: None, requests: requests + 1 })
    }

    /// Cuts a piece, or notes that it was not.
    fn cut_at(&mut self, mut piece: Piece, points: &[Timestamp], parts: Vec<Part>, features: &Features) {
        self.requests += parts.iter().map(|part| part.requests).sum::<u64>();
        let is_outside = parts.iter().any(|part| part.is_contradicted);
        self.ignores_dates |= is_outside && !features.lacks(DATES);
        let counts: Option<Vec<u64>> = parts.iter().map(|part| part.count).collect();
        let firsts = parts.into_iter().map(|part| part.first);
        let usable = |counts: &Vec<u64>| !counts.is_empty() && !is_outside && !features.lacks(DATES);
        let Some(counts) = counts.filter(usable) else {
            self.put_aside(firsts.flatten());
            return self.pieces.push(Piece { may_be_cut: false, ..piece });
        };
        let first = piece.first.take();
        let parts = piece.parts(points, counts.into_iter().zip(firsts));
        match piece.cut_into(parts) {
            Cut::Made(pieces, left_over) => {
                self.put_aside(first.into_iter().chain(left_over));
                self.pieces.extend(pieces);
            }
            Cut::Not(piece, left_over) => {
                self.put_aside(left_over);
                self.pieces.push(Piece { first, ..piece });
            }
        }
    }

    /// Archives pages with which no list begins.
    fn put_aside(&mut self, pages: impl IntoIterator<Item = FirstPage>) {
        for FirstPage { mut page, .. } in pages {
            page.elements.retain(|element| {
                let is_read_before = |id: &RecordId| !self.read.insert(id.clone());
                element.summary.is_whole && !element.summary.id.as_ref().is_some_and(is_read_before)
            });
            self.export.put_aside(page);
        }
    }
}

impl Piece {
    /// Returns everything as one piece, or `None` if the first page shows that it is not worth a cut, or has no dates.
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
            reach: half.max(SECOND),
            may_be_cut: true,
        })
    }

    /// Returns the whole seconds at which the piece is cut into so many parts, the oldest first: fewer, if it has no more.
    fn points(&self, parts: usize) -> Vec<Timestamp> {
        let reach = || self.upper.saturating_sub(self.reach.saturating_mul(2));
        let lowest = self.lower.unwrap_or_else(reach).max(Timestamp::EARLIEST.microseconds());
        let (Ok(parts), width) = (i64::try_from(parts), self.upper.saturating_sub(lowest)) else {
            return Vec::new();
        };
        let points = (1..parts).map(|number| (lowest + width / parts * number).div_euclid(SECOND) * SECOND);
        let is_inside = |point: &i64| *point < self.upper && self.lower.is_none_or(|lower| *point > lower);
        let mut points: Vec<_> = points.filter(is_inside).collect();
        points.dedup();
        points.into_iter().filter_map(|point| Timestamp::from_microseconds(point).ok()).collect()
    }

    /// Returns the parts between some times, the oldest first, each with its count and its first page.
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
            (self.may_be_cut, self.reach / i64::try_from(self.count.max(1)).unwrap_or(i64::MAX));
        let part = |((segment, (lower, upper)), (count, first))| Self {
            segment,
            count,
            first,
            lower,
            upper,
            reach: each.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)).max(SECOND),
            may_be_cut,
        };
        segments.zip(counted).map(part).collect()
    }

    /// Cuts a piece into those of its parts that are worth it, each with what lies beside it and is not.
    fn cut_into(mut self, parts: Vec<Self>) -> Cut {
        let most = MAX_OVERLAP * (parts.len() as u64 - 1);
        let enough = MIN_CONVERSATIONS.min(self.count / (2 * parts.len() as u64));
        let is_double = parts.iter().map(|part| part.count).sum::<u64>() > self.count + most;
        let largest = parts.iter().max_by_key(|part| part.count).map(|part| (part.lower, part.upper));
        let (mut pieces, mut left_over) = (Vec::<Self>::new(), Vec::new());
        for part in parts {
            match pieces.pop_if(|before| before.count.min(part.count) < enough) {
                Some(before) => pieces.push(before.joined(part, &mut left_over)),
                None => pieces.push(part),
            }
        }
        if pieces.len() > 1 && !is_double {
            return Cut::Made(pieces, left_over);
        }
        left_over.extend(pieces.into_iter().filter_map(|piece| piece.first));
        // Most is in one part: the next cuts are looked for there.
        if let Some((lower, upper)) = largest {
            (self.lower, self.upper) = (lower, upper);
        }
        if self.lower.is_none() {
            self.reach = self.reach.saturating_mul(4);
        }
        Cut::Not(self, left_over)
    }

    /// Returns two neighbours as one piece, which is cut next where the larger one would be.
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

    fn piece(lower: i64, upper: i64, count: u64) -> Piece {
        let instant = |seconds| at(seconds).microseconds();
        Piece {
            segment: Segment::default(),
            count,
            lower: Some(instant(lower)),
            upper: instant(upper),
            reach: SECOND,
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

    /// Cuts a piece with parts of these counts between some times.
    fn cut(piece: Piece, points: &[i64], counts: &[u64]) -> Cut {
        let points: Vec<_> = points.iter().copied().map(at).collect();
        let parts = piece.parts(&points, counts.iter().map(|count| (*count, None)));
        piece.cut_into(parts)
    }

    #[test]
    fn a_cut_needs_enough_on_both_sides_and_little_between() {
        let whole = || piece(0, 100, 1_000);
        assert!(matches!(cut(whole(), &[50], &[500, 505]), Cut::Made(..)));
        // 400 conversations began in the second of the cut.
        assert!(matches!(cut(whole(), &[50], &[700, 700]), Cut::Not(..)));
        let Cut::Not(next, _) = cut(whole(), &[50], &[990, 10]) else {
            panic!("ten are not worth a segment")
        };
        assert_eq!((next.lower, next.upper), (whole().lower, at(50).microseconds()));
        assert_eq!(next.segment, Segment::default(), "all of it is still read");
    }

    #[test]
    fn a_part_that_is_too_small_stays_with_its_neighbour() {
        let Cut::Made(pieces, _) = cut(piece(0, 100, 1_000), &[20, 40, 60, 80], &[5, 300, 10, 680, 5]) else {
            panic!("two parts have enough");
        };
        let found = |piece: &Piece| (piece.segment, piece.count, piece.lower, piece.upper);
        let micro = |seconds| at(seconds).microseconds();
        let older = Segment { since: None, until: Some(at(60)) };
        let newer = Segment { since: Some(at(60)), until: None };
        // The next cuts are looked for where most is.
        let expected = [(older, 315, Some(micro(20)), micro(40)), (newer, 685, Some(micro(60)), micro(80))];
        assert_eq!(pieces.iter().map(found).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_oldest_part_is_looked_for_further_back_each_time() {
        let open = Piece { lower: None, reach: 10 * SECOND, ..piece(0, 100, 1_000) };
        assert_eq!(open.points(2), [at(90)]);
        assert_eq!(open.points(4), [at(85), at(90), at(95)]);
        let Cut::Not(next, _) = cut(open, &[85, 90, 95], &[995, 1, 2, 2]) else {
            panic!("nearly all is older")
        };
        assert_eq!((next.lower, next.upper, next.points(2)), (None, at(85).microseconds(), vec![at(45)]));
    }

    #[test]
    fn a_piece_that_is_cut_has_two_parts_at_least() {
        assert_eq!([827, 937, 938, 1_600, 5_000].map(|count| wanted_parts(count, 625)), [2, 2, 2, 3, 8]);
    }

    #[test]
    fn a_piece_has_no_more_parts_than_seconds() {
        assert_eq!(piece(0, 1, 1_000).points(2), []);
        assert_eq!(piece(0, 2, 1_000).points(2), [at(1)]);
        assert_eq!(piece(0, 3, 1_000).points(10), [at(1), at(2)]);
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
