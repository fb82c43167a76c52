//! Finds out which parameters a deployment refuses, after it has refused the first page.

use bytes::Bytes;
use chatark_core::{Error, Features, Result};

use crate::failure::is_refusal;
use crate::list::NumberedList;
use crate::parameters::{CHANNEL_FILTER, DATES, Parameters, began};

/// The parameters that a deployment accepts.
#[derive(Debug)]
pub(crate) struct AcceptedParameters {
    /// The parameters that are left.
    pub(crate) parameters: Parameters,
    /// What was found, for later pulls.
    pub(crate) features: Features,
    /// Whether the agent has any conversation.
    pub(crate) has_rows: bool,
    pub(crate) requests: u64,
}

impl AcceptedParameters {
    /// Returns whether the refusal meant that nothing matches, as it does on a deployment without empty pages.
    pub(crate) fn is_empty(&self) -> bool {
        self.features == Features::default()
    }
}

/// Requests a page with each parameter alone, in a way that would find a conversation. Fails with `error`, with which
/// the first page was refused, if no parameter was the reason.
pub(crate) async fn find_refused_parameters(
    list: &NumberedList<'_>,
    error: Error,
) -> Result<AcceptedParameters> {
    let mut found = AcceptedParameters {
        parameters: list.parameters.clone(),
        features: Features::default(),
        has_rows: false,
        requests: 0,
    };
    let (row, error) = any_row(list, &mut found.requests, error).await?;
    let Some(row) = row else { return Ok(found) };
    found.has_rows = true;
    if list.parameters.has_days() {
        let around = began(&row).map(Parameters::around);
        let is_taken = match around {
            Some(around) => refusal(&list.with(around), &mut found.requests).await?.is_none(),
            None => false,
        };
        if !is_taken {
            found.parameters.days = (None, None);
            found.features.set(DATES, false);
        }
    }
    if list.parameters.sources.is_some() {
        let sources = Parameters { sources: list.parameters.sources.clone(), ..Parameters::default() };
        let refusal = refusal(&list.with(sources), &mut found.requests).await?;
        // The channel may have no conversation, for which some deployments have a status of their own.
        if refusal.is_some_and(|refusal| !matches!(refusal.status(), Some(404 | 410 | 416))) {
            found.parameters.sources = None;
            found.features.set(CHANNEL_FILTER, false);
        }
    }
    if found.is_empty() && has_row(list, &mut found.requests).await? {
        // The parameters are taken, so something else about the page is refused.
        return Err(error);
    }
    Ok(found)
}

/// Returns a conversation of the whole list, or `None` if the list is empty; and hands `error` back. Fails with it if
/// nothing can be read.
async fn any_row(
    list: &NumberedList<'_>,
    requests: &mut u64,
    error: Error,
) -> Result<(Option<Bytes>, Error)> {
    let whole = list.with(Parameters::default());
    // The first row may be one that always fails.
    for number in [1, 2] {
        *requests += 1;
        // A row of the whole list may be outside what was requested.
        let rows = if list.parameters.is_empty() {
            whole.probe_page(1, number).await
        } else {
            whole.walk_page(1, number).await
        };
        match rows {
            Ok(rows) => return Ok((rows.elements.into_iter().next(), error)),
            Err(other) if other.may_be_local() || is_refusal(&other) => {}
            Err(other) => return Err(other),
        }
    }
    Err(error)
}

/// Returns the error of a refused first page if single rows can be read, so that something on the page is the reason.
/// Otherwise fails with that error.
pub(crate) async fn refused_by_a_row(
    list: &NumberedList<'_>,
    requests: &mut u64,
    error: Error,
) -> Result<Error> {
    // These statuses mean that there is no such agent.
    if matches!(error.status(), Some(404 | 410)) {
        return Err(error);
    }
    match any_row(list, requests, error).await? {
        (Some(_), error) => Ok(error),
        (None, error) => Err(error),
    }
}

async fn refusal(list: &NumberedList<'_>, requests: &mut u64) -> Result<Option<Error>> {
    *requests += 1;
    match list.walk_page(1, 1).await {
        Ok(_) => Ok(None),
        Err(error) if is_refusal(&error) => Ok(Some(error)),
        // A row that fails has been found.
        Err(error) if error.may_be_local() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn has_row(list: &NumberedList<'_>, requests: &mut u64) -> Result<bool> {
    *requests += 1;
    match list.probe_page(1, 1).await {
        Ok(rows) => Ok(!rows.is_empty()),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
