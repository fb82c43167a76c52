//! The list of conversations: rows without messages, newest first. The vendor's documents do not call it metered.

use chatark_core::{Error, ErrorKind, Result};
use chatark_http::{Call, CursorGuard};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::ConvocoreV3;
use crate::dialect::embedded_error;
use crate::failure::is_route_refused;
use crate::idle_pages::IdlePages;
use crate::row::Row;
use crate::span::Seen;
use crate::wire::Envelope;

pub(crate) const LIST_CONVERSATIONS: &str = "list conversations";
const ROW: &str = "read a row of the list";
/// The most rows of a page since August 2026, and smaller sizes for a page that fails.
const LIMITS: [u64; 3] = [20, 5, 1];

/// Where a page of the list begins: the vendor's cursor, or the number of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListCursor {
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
    pub(crate) next: Option<ListCursor>,
}

/// Why the list cannot be read further.
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
    next: Option<ListCursor>,
    guard: CursorGuard,
    /// The first row of the page before, to recognise a server that repeats a page.
    first: Option<Row>,
    quota_left: Option<u64>,
    seen: Seen,
    idle_pages: IdlePages,
    /// How many requests were answered.
    pub(crate) pages: u64,
}

impl ListWalk {
    /// Begins at a cursor.
    pub(crate) fn from(cursor: ListCursor) -> Self {
        let mut guard = CursorGuard::default();
        if let Some(cursor) = &cursor.cursor {
            guard.advance(LIST_CONVERSATIONS, cursor).ok();
        }
        Self {
            next: Some(cursor),
            guard,
            first: None,
            quota_left: None,
            seen: Seen::default(),
            idle_pages: IdlePages::default(),
            pages: 0,
        }
    }

    /// Returns where the walk goes on; `None` at the end of the list.
    pub(crate) fn next_cursor(&self) -> Option<&ListCursor> {
        self.next.as_ref()
    }

    /// Returns the next page, or `None` at the end of the list.
    pub(crate) async fn next(&mut self, account: &ConvocoreV3) -> Result<Option<ListPage>, ListProblem> {
        let Some(cursor) = self.next.take() else { return Ok(None) };
        // With another limit, the number of a page would mean other rows.
        let limits = if cursor.page.is_some() { &LIMITS[..1] } else { &LIMITS[..] };
        let mut failed = None;
        for limit in limits {
            match self.page(account, &cursor, *limit).await {
                Err(ListProblem::Broken(error)) => failed = Some(error),
                // Numbered pages end where the vendor refuses the next number.
                Err(ListProblem::Refused(_)) if cursor.page.is_some() => return Ok(None),
                // The cursor is refused, not the list: this pull cannot see the rest.
                Err(ListProblem::Refused(error)) if self.pages > 0 => return Err(ListProblem::Broken(error)),
                page => return page,
            }
        }
        self.next = Some(cursor);
        Err(failed.map_or(ListProblem::Metered, ListProblem::Broken))
    }

    async fn page(
        &mut self,
        account: &ConvocoreV3,
        from: &ListCursor,
        limit: u64,
    ) -> Result<Option<ListPage>, ListProblem> {
        let call = Call::new(LIST_CONVERSATIONS, ["agents", &account.agent_id, "convos"])
            .query("limit", limit)
            .optional_query("cursor", from.cursor.as_deref())
            .optional_query("page", from.page);
        let page = account.client.page(&call, "data").await?;
        let envelope: Envelope<Value> = page.envelope(&account.client, &call)?;
        if envelope.is_error() {
            return Err(account.client.api_error(&call, embedded_error(&envelope), page.request_id()).into());
        }
        self.pages += 1;
        self.check_quota(account, &envelope)?;
        let rows: Vec<_> = page.elements.into_iter().map(Row::read).collect();
        if from.page.is_some() && self.is_repeated(&rows) {
            return Ok(None);
        }
        self.check_idle_pages(account, &call, &rows)?;
        self.next = self.cursor_after(from, &envelope, rows.len() as u64, limit)?;
        self.first = rows.first().cloned();
        Ok(Some(ListPage { rows, next: self.next.clone() }))
    }

    fn cursor_after(
        &mut self,
        from: &ListCursor,
        envelope: &Envelope<Value>,
        rows: u64,
        limit: u64,
    ) -> Result<Option<ListCursor>, ListProblem> {
        if envelope.has_more == Some(false) || rows == 0 && envelope.cursor().is_none() {
            return Ok(None);
        }
        if let Some(cursor) = envelope.cursor() {
            self.guard.advance(LIST_CONVERSATIONS, cursor).map_err(ListProblem::Broken)?;
            return Ok(Some(ListCursor { cursor: Some(cursor.to_owned()), page: None }));
        }
        // The older list has numbered pages and no cursor; it may allow more rows in a page than were requested.
        let is_numbered = !envelope.has_cursor_key() && from.cursor.is_none() && rows >= limit;
        let number = from.page.unwrap_or(1) + 1;
        Ok(is_numbered.then_some(ListCursor { cursor: None, page: Some(number) }))
    }

    /// Fails if too many pages hold no new row.
    fn check_idle_pages(
        &mut self,
        account: &ConvocoreV3,
        call: &Call,
        rows: &[Row],
    ) -> Result<(), ListProblem> {
        self.seen.begin();
        let ids = rows.iter().filter_map(|row| row.id.as_ref());
        let fresh = ids.filter(|id| self.seen.add_id(id.as_str())).count() as u64;
        let Some(pages) = self.idle_pages.count_page(rows.len() as u64, fresh, 0) else { return Ok(()) };
        let message = format!("{pages} pages of the list brought nothing new, so it would never end");
        Err(ListProblem::Broken(account.client.error(call, ErrorKind::Malformed, message, None)))
    }

    fn is_repeated(&self, rows: &[Row]) -> bool {
        let first = |row: &Row| row.id.clone();
        rows.first().is_none_or(|row| first(row) == self.first.as_ref().and_then(first))
    }

    /// Fails if the list turns out to be metered: that it is free is inferred, not documented.
    fn check_quota(&mut self, account: &ConvocoreV3, envelope: &Envelope<Value>) -> Result<(), ListProblem> {
        let Some(usage) = &envelope.usage else { return Ok(()) };
        let used = usage.billable_used_this_request.unwrap_or(0);
        account.client.spend_quota(used);
        let left = usage.billable_remaining_this_period;
        let has_shrunk = self.quota_left.zip(left).is_some_and(|(before, left)| left < before);
        self.quota_left = left.or(self.quota_left);
        if used > 0 || has_shrunk { Err(ListProblem::Metered) } else { Ok(()) }
    }
}

impl ConvocoreV3 {
    /// Returns whether the vendor still has a conversation. Only a clear "not found" counts as no.
    pub(crate) async fn has_conversation(&self, id: &str) -> Result<bool> {
        let call = Call::new(ROW, ["agents", &self.agent_id, "convos", id]);
        let envelope: Result<Envelope<Value>> = self.client.json(&call).await;
        let refused = match envelope {
            Ok(envelope) if envelope.is_error() => {
                self.client.api_error(&call, embedded_error(&envelope), None)
            }
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
