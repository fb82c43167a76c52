//! The export cut into windows of time with about as many conversations each, by the vendor's own counts.
//!
//! A list of pages is sequential. So a long one is cut before it is read: a window is counted in two halves, and where
//! both have enough, each becomes a segment with a list of pages of its own. Nothing depends on the order of a list.

use chatark_core::{Features, Result, Timestamp};
use chatark_http::CursorGuard;
use futures_util::future::join_all;

use crate::export::{DATES, EXPORT_LIMIT, Export, ExportPage, MARGIN_SECONDS, Probe, Query, SUMMARIES};

/// The most lists of pages that are read at the same time.
pub(crate) const MAX_LISTS: usize = 16;
/// The most segments: more than lists, since they do not come out alike.
const MAX_SEGMENTS: usize = 2 * MAX_LISTS;
/// The fewest conversations that are worth a segment: each may end with a page that is not full.
const MIN_CONVERSATIONS: u64 = 5 * EXPORT_LIMIT as u64;
/// A cut is tried for each of so many pages: it costs two requests, and a segment may end with a page that is not full.
const PAGES_FOR_EACH_CUT: u64 = 12;
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

/// A segment that may be cut further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    segment: Segment,
    count: u64,
    /// Where the next cut is looked for; `lower` is open at first.
    lower: Option<i64>,
    upper: i64,
    /// How far below `upper` the next cut is tried while `lower` is open, in microseconds.
    reach: i64,
    may_be_cut: bool,
}

/// What the counts of both halves of a piece say.
enum Cut {
    Made(Piece, Piece),
    /// It is tried elsewhere, or not at all.
    Not(Piece),
    /// The deployment counts or sends conversations outside the requested dates.
    IgnoresDates,
}

/// The segments of an export, and what it cost to find them.
pub(crate) struct Segments {
    /// Each with the number of its conversations, by the vendor's count.
    pub(crate) counted: Vec<(Segment, u64)>,
    /// How many requests were made.
    pub(crate) requests: u64,
    /// Whether the deployment ignores dates, so that the export is one segment.
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

    /// Returns whether a page of its query contradicts the requested dates.
    pub(crate) fn is_contradicted(query: &Query, began: Option<Timestamp>) -> bool {
        let Some(began) = began else { return false };
        let earliest = query.since.and_then(|since| since.shifted(-MARGIN_SECONDS));
        let latest = query.until.and_then(|until| until.shifted(MARGIN_SECONDS));
        earliest.is_some_and(|earliest| began < earliest) || latest.is_some_and(|latest| began > latest)
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
    (total / u64::from(EXPORT_LIMIT) / PAGES_FOR_EACH_CUT).clamp(1, MAX_SEGMENTS as u64 - 1)
}

/// Cuts an export that is worth it. Returns one segment if it cannot be cut.
pub(crate) async fn cut(
    export: Export<'_>,
    query: &Query,
    whole: Piece,
    features: &mut Features,
) -> Result<Segments> {
    let mut found =
        Segments { counted: vec![(Segment::default(), whole.count)], requests: 0, ignores_dates: false };
    let total = whole.count;
    found.requests += whole.learn(export, query, features).await?;
    if features.lacks(DATES) {
        return Ok(found);
    }
    let features = &*features;
    let target = (total / MAX_LISTS as u64).max(2 * MIN_CONVERSATIONS);
    let mut pieces = vec![whole];
    let mut left = usize::try_from(cuts(total)).unwrap_or(MAX_SEGMENTS);
    while left > 0 && pieces.len() < MAX_SEGMENTS {
        let most = left.min(MAX_SEGMENTS - pieces.len());
        let chosen = largest(&mut pieces, target, most);
        if chosen.is_empty() {
            break;
        }
        left -= chosen.len();
        found.requests += 2 * chosen.len() as u64;
        let counted = chosen.into_iter().map(|piece| piece.halve(export, query, features));
        // All are waited for, even if one fails: what is in flight has been paid for.
        for cut in join_all(counted).await {
            match cut? {
                Cut::Made(newer, older) => pieces.extend([newer, older]),
                Cut::Not(piece) => pieces.push(piece),
                Cut::IgnoresDates => {
                    found.ignores_dates = true;
                    return Ok(found);
                }
            }
        }
    }
    found.counted = pieces.into_iter().map(|piece| (piece.segment, piece.count)).collect();
    Ok(found)
}

/// Takes the largest pieces out that are worth a cut.
fn largest(pieces: &mut Vec<Piece>, target: u64, most: usize) -> Vec<Piece> {
    let is_worth = |piece: &Piece| piece.may_be_cut && piece.count > target;
    pieces.sort_by_key(|piece| (is_worth(piece), piece.count));
    let number = pieces.iter().filter(|piece| is_worth(piece)).count().min(most);
    pieces.split_off(pieces.len() - number)
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
            lower: query.since.map(Timestamp::microseconds),
            upper: newest,
            reach: half.max(SECOND),
            may_be_cut: true,
        })
    }

    /// Finds out whether the deployment accepts the parameters with which segments are counted, unless that is known.
    /// Returns how many requests were made.
    async fn learn(&self, export: Export<'_>, query: &Query, features: &mut Features) -> Result<u64> {
        if features.supports(DATES).is_some() && features.supports(SUMMARIES).is_some() {
            return Ok(0);
        }
        // Behind the newest conversation there is little or nothing, unless a time of day is cut off.
        let behind =
            |seconds| Timestamp::from_microseconds(self.upper).ok().and_then(|at| at.shifted(seconds));
        let since = behind(2 * MARGIN_SECONDS);
        let until = query.until.or(behind(2 * DAY_SECONDS)).max(since);
        let mut probe = Query { since, until, ..query.counting(features) };
        let page = export.first_page(&mut probe, features, &mut CursorGuard::default(), None).await?;
        let began = export.put_aside(page).began;
        if began.into_iter().any(|began| Segment::is_contradicted(&probe, began)) {
            features.set(DATES, false);
        }
        for feature in [DATES, SUMMARIES] {
            if features.supports(feature).is_none() {
                features.set(feature, true);
            }
        }
        Ok(1)
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

    /// Counts both halves of a piece, and cuts it if both are worth it.
    async fn halve(mut self, export: Export<'_>, query: &Query, features: &Features) -> Result<Cut> {
        let Some(middle) = self.middle() else {
            self.may_be_cut = false;
            return Ok(Cut::Not(self));
        };
        let older = Segment { until: Some(middle), ..self.segment };
        let newer = Segment { since: Some(middle), ..self.segment };
        let queries = [&older, &newer].map(|half| half.query(query).counting(features));
        let counted = join_all(queries.iter().map(|query| export.probe(query))).await;
        let counted = counted.into_iter().collect::<Result<Vec<_>>>()?;
        let is_outside = |(query, page): (&Query, &Probe)| {
            page.began.iter().any(|began| Segment::is_contradicted(query, *began))
        };
        if queries.iter().zip(&counted).any(is_outside) {
            return Ok(Cut::IgnoresDates);
        }
        let (Some(old), Some(new)) = (counted[0].total, counted[1].total) else {
            self.may_be_cut = false;
            return Ok(Cut::Not(self));
        };
        Ok(self.cut_at(middle, old, new))
    }

    fn cut_at(mut self, middle: Timestamp, old: u64, new: u64) -> Cut {
        let enough = MIN_CONVERSATIONS.min(self.count / 4);
        let at = middle.microseconds();
        if old.min(new) >= enough && (old + new).saturating_sub(self.count) <= MAX_OVERLAP {
            let newer = Self {
                segment: Segment { since: Some(middle), ..self.segment },
                count: new,
                lower: Some(at),
                ..self
            };
            let older = Self {
                segment: Segment { until: Some(middle), ..self.segment },
                count: old,
                upper: at,
                ..self
            };
            return Cut::Made(newer, older);
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
        let whole = piece(0, 100, 1_000);
        assert!(matches!(whole.cut_at(at(50), 500, 505), Cut::Made(_, _)));
        // 400 conversations began in the second of the cut.
        assert!(matches!(whole.cut_at(at(50), 700, 700), Cut::Not(_)));
        let Cut::Not(next) = whole.cut_at(at(50), 990, 10) else { panic!("ten are not worth a segment") };
        assert_eq!((next.lower, next.upper), (whole.lower, at(50).microseconds()));
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
