//! Tries the gaps of earlier pulls again.
//!
//! The positions of a list move when conversations arrive or are deleted, so a gap is the same positions now. What has
//! moved out of them is read by the walk that follows.

use bytes::Bytes;
use chatark_core::{Gap, GapBounds, OpenGap, Result};

use crate::failure::is_refusal;
use crate::list::NumberedList;
use crate::span::{ListEnd, Span, SpanReader};

/// How many failures one gap may take.
const MAX_FAILURES: u32 = 15;
/// After so many failures, no further gap is tried: the walk that follows comes past it.
const MAX_FAILURES_IN_ALL: u32 = 20;

/// The outcome of the gaps that were tried.
#[derive(Debug, Default)]
pub(crate) struct RetriedGaps {
    pub(crate) elements: Vec<Bytes>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) closed: Vec<GapBounds>,
    pub(crate) requests: u64,
    failures: u32,
}

/// Tries the gaps that are due, in their order, until too many requests fail or the vendor does not respond.
pub(crate) async fn retry_gaps(list: &NumberedList<'_>, gaps: &[OpenGap]) -> Result<RetriedGaps> {
    let mut tried = RetriedGaps::default();
    for gap in gaps.iter().filter(|gap| gap.is_due) {
        let is_answered = match &gap.bounds {
            GapBounds::Positions { first, last } if 0 < *first && first <= last => {
                let span = Span { first: *first, last: *last };
                tried.positions(list, span).await?
            }
            GapBounds::Rest { after } => {
                let page = after.as_deref().unwrap_or("0").parse().unwrap_or(0);
                tried.rest(list, page, &gap.bounds).await?
            }
            GapBounds::Positions { .. } | GapBounds::Record { .. } | GapBounds::Window { .. } => true,
        };
        if !is_answered || tried.failures >= MAX_FAILURES_IN_ALL {
            break;
        }
    }
    Ok(tried)
}

impl RetriedGaps {
    /// Reads the positions of a gap again. Returns whether the vendor responds at all.
    ///
    /// Positions that can be read now are not closed here: what was at them may have moved on. The walk that follows
    /// comes past it, and what it does not find again is closed when it has come to its end.
    async fn positions(&mut self, list: &NumberedList<'_>, span: Span) -> Result<bool> {
        let probe = if span.first > 1 { (1, 1) } else { (1, span.last + 1) };
        let again =
            SpanReader::new(list, span, ListEnd::BeforeSpan, probe, MAX_FAILURES).read_again().await?;
        self.requests += again.requests;
        self.failures += again.failures;
        self.elements.extend(again.elements);
        self.gaps.extend(again.gaps);
        Ok(again.is_answered)
    }

    /// Tries the rest of a list again. It is closed once the page after it can be read: the walk reads what follows.
    /// Where that page is refused, the walk finds out why.
    async fn rest(&mut self, list: &NumberedList<'_>, page: u64, bounds: &GapBounds) -> Result<bool> {
        self.requests += 1;
        match list.probe_page(list.largest_page(), page + 1).await {
            Ok(rows) => {
                self.elements.extend(rows.elements);
                self.closed.push(bounds.clone());
            }
            Err(error) if is_refusal(&error) => {}
            Err(error) if error.may_be_local() => self.gaps.push(Gap::new(bounds.clone(), &error)),
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}
