//! Tries the gaps of earlier pulls again, before anything else is read.

use std::slice;

use chatark_core::{Batch, Error, ErrorKind, Gap, GapBounds, RecordId, Result, Window};

use crate::account::EXPORT;
use crate::failure::is_refusal;
use crate::fetch::IdRoute;
use crate::pull::Pull;
use crate::walk::{ExportWalk, contains};

/// Tries each gap that is due. `covers_rest` says that the walk which follows reads the rest of the list anyway.
pub(crate) async fn retry(pull: &mut Pull<'_>, covers_rest: bool) -> Result<()> {
    let due: Vec<GapBounds> =
        pull.request.gaps.iter().filter(|gap| gap.is_due).map(|gap| gap.bounds.clone()).collect();
    for bounds in due {
        match &bounds {
            GapBounds::Record { id } => retry_record(pull, id).await?,
            GapBounds::Window { .. } => {
                let window = bounds.as_window().unwrap_or_default();
                if !(covers_rest && is_walked_through(pull, &window)) {
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

/// Returns whether the walk that follows begins before a window, and comes through it: what is in it need not be paid for
/// twice.
fn is_walked_through(pull: &Pull<'_>, window: &Window) -> bool {
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

/// Closes a gap in which nothing is left, unless the vendor shows nothing at all.
async fn close_empty(pull: &mut Pull<'_>, bounds: GapBounds) -> Result<Batch> {
    match pull.shows_anything().await {
        Ok(true) => Ok(Batch { closed_gaps: vec![bounds], ..Batch::default() }),
        Ok(false) => Ok(Batch { gaps: vec![unseen(bounds)], ..Batch::default() }),
        Err(error) => still_open(&bounds, error),
    }
}

/// Returns a gap as still open: the vendor showed no conversation at all, so that an empty response proves nothing.
pub(crate) fn unseen(bounds: GapBounds) -> Gap {
    let message =
        "the vendor shows no conversation at all, so nothing is known of those that it could not show";
    Gap::new(bounds, &Error::new(ErrorKind::Unavailable, EXPORT, message))
}

/// Leaves a gap open that was known before, and passes other errors on.
fn still_open(bounds: &GapBounds, error: Error) -> Result<Batch> {
    if !error.may_be_local() && !is_refusal(&error) {
        return Err(error);
    }
    Ok(Batch { gaps: vec![Gap::new(bounds.clone(), &error)], ..Batch::default() })
}
