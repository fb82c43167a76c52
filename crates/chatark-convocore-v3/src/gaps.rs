//! Tries the gaps of earlier pulls again, before anything else is read.

use std::slice;

use chatark_core::{Batch, Error, Gap, GapBounds, RecordId, Result, Window};

use crate::fetch::IdRoute;
use crate::obstacles::unproven_gap;
use crate::pull::Pull;
use crate::walk::{ExportWalk, contains};

/// Tries each gap that is due. `covers_rest` is whether the walk that follows reads the rest of the export anyway.
pub(crate) async fn retry(pull: &mut Pull<'_>, covers_rest: bool) -> Result<()> {
    let due: Vec<GapBounds> =
        pull.request.gaps.iter().filter(|gap| gap.is_due).map(|gap| gap.bounds.clone()).collect();
    for bounds in due {
        match &bounds {
            GapBounds::Record { id } => retry_record(pull, id).await?,
            GapBounds::Window { .. } => {
                let window = bounds.as_window().unwrap_or_default();
                if !(covers_rest && is_covered_by_walk(pull, &window)) {
                    retry_walk(pull, &bounds, window, None).await?;
                }
            }
            GapBounds::Rest { after } if !covers_rest => {
                let window = pull.request.window;
                retry_walk(pull, &bounds, window, after.clone()).await?;
            }
            // Positions are of another vendor.
            GapBounds::Rest { .. } | GapBounds::Positions { .. } => {}
        }
    }
    Ok(())
}

/// Returns whether the walk that follows reads a window anyway, so that it need not be paid for twice.
fn is_covered_by_walk(pull: &Pull<'_>, window: &Window) -> bool {
    let request = pull.request;
    request.resume_from.is_none() && request.recent_since.is_none() && contains(&request.window, window)
}

async fn retry_record(pull: &mut Pull<'_>, id: &RecordId) -> Result<()> {
    let bounds = GapBounds::record(id.clone());
    let batch = match pull.fetch(slice::from_ref(id), IdRoute::Bulk).await {
        Ok(fetched) if fetched.gaps.is_empty() && fetched.found.is_empty() => {
            close_empty(pull, bounds).await?
        }
        Ok(fetched) if fetched.gaps.is_empty() => Batch { closed_gaps: vec![bounds], ..Batch::default() },
        Ok(fetched) => Batch { gaps: fetched.gaps, ..Batch::default() },
        Err(error) => still_open(&bounds, error)?,
    };
    pull.send(batch).await;
    Ok(())
}

async fn retry_walk(
    pull: &mut Pull<'_>,
    bounds: &GapBounds,
    window: Window,
    cursor: Option<String>,
) -> Result<()> {
    let batch = match ExportWalk::of_gap(pull, bounds, window, cursor).run().await {
        Ok((gaps, false)) if gaps.is_empty() => close_empty(pull, bounds.clone()).await?,
        Ok((gaps, _)) => {
            let is_closed = gaps.iter().all(|gap| gap.bounds != *bounds);
            let closed_gaps = is_closed.then(|| bounds.clone()).into_iter().collect();
            Batch { gaps, closed_gaps, ..Batch::default() }
        }
        Err(error) => still_open(bounds, error)?,
    };
    pull.send(batch).await;
    Ok(())
}

/// Closes a gap in which nothing is left, unless the vendor shows no conversation at all.
async fn close_empty(pull: &mut Pull<'_>, bounds: GapBounds) -> Result<Batch> {
    match pull.has_any_conversation().await {
        Ok(true) => Ok(Batch { closed_gaps: vec![bounds], ..Batch::default() }),
        Ok(false) => Ok(Batch { gaps: vec![unproven_gap(bounds)], ..Batch::default() }),
        Err(error) => still_open(&bounds, error),
    }
}

/// Reports a gap as still open if the error may be local or is a refusal; returns other errors.
fn still_open(bounds: &GapBounds, error: Error) -> Result<Batch> {
    if !error.may_be_local() && !error.is_refusal() {
        return Err(error);
    }
    Ok(Batch { gaps: vec![Gap::new(bounds.clone(), &error)], ..Batch::default() })
}
