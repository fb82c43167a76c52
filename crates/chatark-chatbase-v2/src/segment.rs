//! The export cut into windows of time with about as many conversations each, by the vendor's own counts.
//!
//! A list of pages is sequential. So a long one is cut before it is read: a window is counted in two halves, and where
//! both have enough, each becomes a segment with a list of pages of its own. Nothing depends on the order of a list.
//!
//! Halves that will hardly be cut again are counted by their first page, with which their lists begin.

use std::collections::HashSet;

use chatark_core::{ErrorKind, Features, Known, RecordId, Result, Timestamp};
use chatark_http::CursorGuard;
use futures_util::future::{join, join_all};

use crate::export::{
    DATES, EXPORT_LIMIT, Element, Export, ExportPage, MARGIN_SECONDS, Query, SUMMARIES, is_of_one_place,
};

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
    /// How far below `upper` the next cut is tried while `lower` is open, in microseconds.
    reach: i64,
    may_be_cut: bool,
}

/// What the vendor says of one half of a piece.
struct Half {
    count: Option<u64>,
    /// Whether something in it began outside of it.
    is_contradicted: bool,
    first: Option<FirstPage>,
    requests: u64,
}

/// What becomes of a piece whose halves were counted.
enum Cut {
    Made(Piece, Piece),
    /// It is tried elsewhere, or not at all.
    Not(Piece),
}

/// An export that is being cut.
pub(crate) struct Cutter<'a> {
    export: Export<'a>,
    query: &'a Query,
    known: Option<&'a dyn Known>,
    /// Whether pages are small enough to be kept until their lists begin.
    holds_pages: bool,
    /// Whole conversations that have come already: those before, and those on pages with which no list begins.
    pub(crate) read: HashSet<RecordId>,
    /// Pieces with more conversations are cut.
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

impl Segment {
    /// Returns whether a conversation belongs to this segment alone. One without a date belongs to any.
    pub(crate) fn owns(&self, began: Option<Timestamp>) -> bool {
        let Some(began) = began else { return true };
        self.since.is_none_or(|since| began >= since) && self.until.is_none_or(|until| began < until)
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

/// Takes the largest pieces out that are worth a cut.
fn largest(pieces: &mut Vec<Piece>, target: u64, most: usize) -> Vec<Piece> {
    let is_worth = |piece: &Piece| piece.may_be_cut && piece.count > target;
    pieces.sort_by_key(|piece| (is_worth(piece), piece.count));
    let number = pieces.iter().filter(|piece| is_worth(piece)).count().min(most);
    pieces.split_off(pieces.len() - number)
}

impl<'a> Cutter<'a> {
    /// Prepares to cut an export of which a first page was read, with the size of that page in bytes and the conversations
    /// on it.
    pub(crate) fn new(
        export: Export<'a>,
        query: &'a Query,
        known: Option<&'a dyn Known>,
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
        // If it fails, the pages so far are given up: the next run reads their conversations with their list.
        self.run(features).await?;
        if self.ignores_dates {
            let pieces = std::mem::take(&mut self.pieces);
            self.put_aside(pieces.into_iter().filter_map(|piece| piece.first));
        }
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
            let most = left.min(MAX_SEGMENTS - self.pieces.len());
            let chosen = largest(&mut self.pieces, self.target, most);
            if chosen.is_empty() {
                break;
            }
            left -= chosen.len();
            let asked_with = features.clone();
            let halves = chosen.iter().map(|piece| self.count_halves(piece, left == 0, &asked_with));
            // All are waited for, even if one fails: what is in flight has been paid for.
            let (halves, learned) = join(join_all(halves), self.learn(&chosen, features)).await;
            self.requests += learned?;
            let is_refused = |feature| features.lacks(feature) && !asked_with.lacks(feature);
            let may_refuse = [DATES, SUMMARIES].into_iter().any(is_refused);
            for (piece, halves) in chosen.into_iter().zip(halves) {
                match halves {
                    Ok(None) => self.pieces.push(Piece { may_be_cut: false, ..piece }),
                    Ok(Some((middle, halves))) => self.cut_at(piece, middle, halves, features),
                    // It is asked again without what is refused.
                    Err(error) if may_refuse && error.kind() == ErrorKind::Refused => self.pieces.push(piece),
                    Err(error) => return Err(error),
                }
            }
            if self.ignores_dates {
                break;
            }
        }
        Ok(())
    }

    /// Finds out whether the deployment accepts the parameters with which segments are counted, unless that is known.
    /// Returns how many requests were made.
    async fn learn(&self, chosen: &[Piece], features: &mut Features) -> Result<u64> {
        let newest = chosen.iter().map(|piece| piece.upper).max();
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

    /// Counts both halves of a piece: the older one and the newer one. `None` if it has no second to be cut at.
    async fn count_halves(
        &self,
        piece: &Piece,
        is_last: bool,
        features: &Features,
    ) -> Result<Option<(Timestamp, [Half; 2])>> {
        let Some(middle) = piece.middle() else { return Ok(None) };
        let reads = self.holds_pages && (is_last || piece.count <= 2 * self.target);
        let [older, newer] = piece.halves(middle).map(|half| self.count(half, reads, features));
        match join(older, newer).await {
            (Ok(older), Ok(newer)) => Ok(Some((middle, [older, newer]))),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Counts a half by its first page, or without its conversations.
    async fn count(&self, half: Segment, reads: bool, features: &Features) -> Result<Half> {
        let mut query = half.query(self.query);
        let mut requests = 0;
        if reads {
            let mut guard = CursorGuard::default();
            requests += 1;
            match self.export.page(&query, None, &mut guard, self.known).await {
                // What cannot be read there is found when its list is read.
                Err(error) if is_of_one_place(&error) => {}
                Err(error) => return Err(error),
                Ok(page) => {
                    let is_outside = |element: &Element| query.is_contradicted(element.summary.created_at);
                    let is_contradicted = page.elements.iter().any(is_outside);
                    let count = page.total;
                    let first = (!page.says_nothing()).then_some(FirstPage { page, guard });
                    return Ok(Half { count, is_contradicted, first, requests });
                }
            }
        }
        query = query.counting(features);
        let probe = self.export.probe(&query).await?;
        let is_contradicted = probe.began.iter().any(|began| query.is_contradicted(*began));
        Ok(Half { count: probe.total, is_contradicted, first: None, requests: requests + 1 })
    }

    /// Cuts a piece, or notes that it was not.
    fn cut_at(&mut self, mut piece: Piece, middle: Timestamp, halves: [Half; 2], features: &Features) {
        self.requests += halves.iter().map(|half| half.requests).sum::<u64>();
        let is_outside = halves.iter().any(|half| half.is_contradicted);
        self.ignores_dates |= is_outside && !features.lacks(DATES);
        let [older, newer] = halves;
        let counts = older.count.zip(newer.count).filter(|_| !is_outside && !features.lacks(DATES));
        let Some((old, new)) = counts else {
            self.put_aside([older.first, newer.first].into_iter().flatten());
            return self.pieces.push(Piece { may_be_cut: false, ..piece });
        };
        let first = piece.first.take();
        match piece.cut_at(middle, old, new) {
            Cut::Made(made_older, made_newer) => {
                self.put_aside(first);
                self.pieces.push(Piece { first: newer.first, ..made_newer });
                self.pieces.push(Piece { first: older.first, ..made_older });
            }
            Cut::Not(piece) => {
                self.put_aside([older.first, newer.first].into_iter().flatten());
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

    /// Returns the whole second at which a cut is tried, or `None` if no second is left.
    fn middle(&self) -> Option<Timestamp> {
        let middle = match self.lower {
            Some(lower) => lower + (self.upper - lower) / 2,
            None => self.upper.saturating_sub(self.reach).max(Timestamp::EARLIEST.microseconds()),
        };
        let middle = middle.div_euclid(SECOND) * SECOND;
        let is_inside = middle < self.upper && self.lower.is_none_or(|lower| middle > lower);
        Timestamp::from_microseconds(middle).ok().filter(|_| is_inside)
    }

    /// Returns the older and the newer half.
    fn halves(&self, middle: Timestamp) -> [Segment; 2] {
        [Segment { until: Some(middle), ..self.segment }, Segment { since: Some(middle), ..self.segment }]
    }

    /// Cuts a piece, if both halves are worth it, into the older and the newer one.
    fn cut_at(mut self, middle: Timestamp, old: u64, new: u64) -> Cut {
        let enough = MIN_CONVERSATIONS.min(self.count / 4);
        let at = middle.microseconds();
        if old.min(new) >= enough && (old + new).saturating_sub(self.count) <= MAX_OVERLAP {
            let [older, newer] = self.halves(middle);
            let Self { lower, upper, reach, may_be_cut, .. } = self;
            let piece = |segment, count, lower, upper| Self {
                segment,
                count,
                first: None,
                lower,
                upper,
                reach,
                may_be_cut,
            };
            return Cut::Made(piece(older, old, lower, at), piece(newer, new, Some(at), upper));
        }
        // Most is in one half: the next cut is looked for there.
        if old > new {
            self.upper = at;
            self.reach = self.reach.saturating_mul(4);
        } else {
            self.lower = Some(at);
        }
        Cut::Not(self)
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

    #[test]
    fn a_cut_needs_enough_on_both_sides_and_little_between() {
        let whole = || piece(0, 100, 1_000);
        assert!(matches!(whole().cut_at(at(50), 500, 505), Cut::Made(_, _)));
        // 400 conversations began in the second of the cut.
        assert!(matches!(whole().cut_at(at(50), 700, 700), Cut::Not(_)));
        let Cut::Not(next) = whole().cut_at(at(50), 990, 10) else { panic!("ten are not worth a segment") };
        assert_eq!((next.lower, next.upper), (whole().lower, at(50).microseconds()));
        assert_eq!(next.segment, Segment::default(), "all of it is still read");
        // Where no second is left, nothing is cut.
        assert_eq!(piece(0, 1, 1_000).middle(), None);
        assert_eq!(piece(0, 2, 1_000).middle(), Some(at(1)));
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
