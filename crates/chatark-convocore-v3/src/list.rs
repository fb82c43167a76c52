//! The list of conversations: thin rows, newest first, which the vendor's documents do not call metered.

use chatark_core::{Error, ErrorKind, Result};
use chatark_http::{Call, CursorGuard};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::ConvocoreV3;
use crate::dialect::embedded_error;
use crate::failure::is_route_refused;
use crate::progress::Progress;
use crate::row::Row;
use crate::span::Seen;
use crate::wire::Envelope;

const LIST: &str = "list conversations";
const ROW: &str = "read a row of the list";
/// The most rows of one page since August 2026, and fewer for a page that fails.
const LIMITS: [u64; 3] = [20, 5, 1];

/// A position in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListPlace {
    /// The vendor's cursor; `None` for the beginning, or where the list has numbered pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// The number of the page, where the list has no cursors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<u64>,
}

/// A page of the list.
#[derive(Debug)]
pub(crate) struct ListPage {
    pub(crate) rows: Vec<Row>,
    /// Where the list goes on; `None` at its end.
    pub(crate) next: Option<ListPlace>,
}

/// Why a list cannot be read on.
#[derive(Debug)]
pub(crate) enum ListProblem {
    /// The deployment does not serve the list, or no longer knows the cursor.
    Refused(Error),
    /// The vendor fails at this page, whatever its size, or repeats itself.
    Broken(Error),
    /// Listing costs units of the quota.
    Metered,
    /// Anything else, such as a budget that is spent.
    Other(Error),
}

/// A walk through the list.
#[derive(Debug)]
pub(crate) struct ListWalk {
    next: Option<ListPlace>,
    guard: CursorGuard,
    /// The first row of the page before, to recognise a server that repeats a page.
    first: Option<Row>,
    quota_left: Option<u64>,
    seen: Seen,
    progress: Progress,
    /// How many requests were answered.
    pub(crate) pages: u64,
}

impl ListWalk {
    /// Begins at a place.
    pub(crate) fn from(place: ListPlace) -> Self {
        let mut guard = CursorGuard::default();
        if let Some(cursor) = &place.cursor {
            guard.advance(LIST, cursor).ok();
        }
        Self {
            next: Some(place),
            guard,
            first: None,
            quota_left: None,
            seen: Seen::default(),
            progress: Progress::default(),
            pages: 0,
        }
    }

    /// Returns where the walk goes on; `None` at the end of the list.
    pub(crate) fn place(&self) -> Option<&ListPlace> {
        self.next.as_ref()
    }

    /// Returns the next page, or `None` at the end of the list.
    pub(crate) async fn next(&mut self, account: &ConvocoreV3) -> Result<Option<ListPage>, ListProblem> {
        let Some(place) = self.next.take() else { return Ok(None) };
        // The number of a page means another place with another limit.
        let limits = if place.page.is_some() { &LIMITS[..1] } else { &LIMITS[..] };
        let mut failed = None;
        for limit in limits {
            match self.page(account, &place, *limit).await {
                Err(ListProblem::Broken(error)) => failed = Some(error),
                // Numbered pages end where the vendor refuses the next number.
                Err(ListProblem::Refused(_)) if place.page.is_some() => return Ok(None),
                // A cursor is refused, not the list: what is behind cannot be seen in this pull.
                Err(ListProblem::Refused(error)) if self.pages > 0 => return Err(ListProblem::Broken(error)),
                answer => return answer,
            }
        }
        self.next = Some(place);
        Err(failed.map_or(ListProblem::Metered, ListProblem::Broken))
    }

    async fn page(
        &mut self,
        account: &ConvocoreV3,
        place: &ListPlace,
        limit: u64,
    ) -> Result<Option<ListPage>, ListProblem> {
        let call = Call::new(LIST, ["agents", &account.agent_id, "convos"])
            .query("limit", limit)
            .optional_query("cursor", place.cursor.as_deref())
            .optional_query("page", place.page);
        let page = account.client.page(&call, "data").await?;
        let answer: Envelope<Value> = page.envelope(&account.client, &call)?;
        if answer.is_error() {
            return Err(account.client.api_error(&call, embedded_error(&answer), page.request_id()).into());
        }
        self.pages += 1;
        self.check_quota(account, &answer)?;
        let rows: Vec<_> = page.elements.into_iter().map(Row::read).collect();
        if place.page.is_some() && self.is_repeated(&rows) {
            return Ok(None);
        }
        self.check_progress(account, &call, &rows)?;
        self.next = self.place_after(place, &answer, rows.len() as u64, limit)?;
        self.first = rows.first().cloned();
        Ok(Some(ListPage { rows, next: self.next.clone() }))
    }

    fn place_after(
        &mut self,
        place: &ListPlace,
        answer: &Envelope<Value>,
        rows: u64,
        limit: u64,
    ) -> Result<Option<ListPlace>, ListProblem> {
        if answer.has_more == Some(false) || rows == 0 && answer.cursor().is_none() {
            return Ok(None);
        }
        if let Some(cursor) = answer.cursor() {
            self.guard.advance(LIST, cursor).map_err(ListProblem::Broken)?;
            return Ok(Some(ListPlace { cursor: Some(cursor.to_owned()), page: None }));
        }
        // The older list has numbered pages and no cursor; it may allow more rows in a page than were asked for.
        let is_numbered = !answer.has_cursor_key() && place.cursor.is_none() && rows >= limit;
        let number = place.page.unwrap_or(1) + 1;
        Ok(is_numbered.then_some(ListPlace { cursor: None, page: Some(number) }))
    }

    /// Fails if too many pages show no row that is new.
    fn check_progress(
        &mut self,
        account: &ConvocoreV3,
        call: &Call,
        rows: &[Row],
    ) -> Result<(), ListProblem> {
        self.seen.begin();
        let ids = rows.iter().filter_map(|row| row.id.as_ref());
        let fresh = ids.filter(|id| self.seen.add_id(id.as_str())).count() as u64;
        let Some(pages) = self.progress.count(rows.len() as u64, fresh, 0) else { return Ok(()) };
        let message = format!("{pages} pages of the list brought nothing new, so it would never end");
        Err(ListProblem::Broken(account.client.error(call, ErrorKind::Malformed, message, None)))
    }

    fn is_repeated(&self, rows: &[Row]) -> bool {
        let first = |row: &Row| row.id.clone();
        rows.first().is_none_or(|row| first(row) == self.first.as_ref().and_then(first))
    }

    /// That listing is free is inferred and not documented, so what the vendor says about it counts.
    fn check_quota(&mut self, account: &ConvocoreV3, answer: &Envelope<Value>) -> Result<(), ListProblem> {
        let Some(usage) = &answer.usage else { return Ok(()) };
        let used = usage.billable_used_this_request.unwrap_or(0);
        account.client.spend_quota(used);
        let left = usage.billable_remaining_this_period;
        let has_shrunk = self.quota_left.zip(left).is_some_and(|(before, left)| left < before);
        self.quota_left = left.or(self.quota_left);
        if used > 0 || has_shrunk { Err(ListProblem::Metered) } else { Ok(()) }
    }
}

impl ConvocoreV3 {
    /// Returns whether the vendor still shows a conversation. Only a clear answer that it does not counts as such.
    pub(crate) async fn shows(&self, id: &str) -> Result<bool> {
        let call = Call::new(ROW, ["agents", &self.agent_id, "convos", id]);
        let answer: Result<Envelope<Value>> = self.client.json(&call).await;
        let refused = match answer {
            Ok(answer) if answer.is_error() => self.client.api_error(&call, embedded_error(&answer), None),
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        match refused.kind() {
            ErrorKind::NotFound => Ok(false),
            ErrorKind::Budget => Err(refused),
            _ => Ok(true),
        }
    }
}

impl From<Error> for ListProblem {
    fn from(error: Error) -> Self {
        if is_route_refused(&error) {
            Self::Refused(error)
        } else if error.may_be_local() {
            Self::Broken(error)
        } else {
            Self::Other(error)
        }
    }
}
