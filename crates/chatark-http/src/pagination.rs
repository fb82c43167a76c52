//! Guards against endless paging: every page must make progress.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chatark_core::{Error, ErrorKind, Result};

use crate::call::Call;
use crate::client::ApiClient;

/// Rejects a cursor that the vendor has given before in the same list.
///
/// Remembers a hash of each cursor: eight bytes for each page.
#[derive(Debug, Default)]
pub struct CursorGuard(HashSet<u64>);

impl CursorGuard {
    /// Accepts a cursor that is new in this list.
    pub fn advance(&mut self, operation: impl Into<Cow<'static, str>>, cursor: &str) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        cursor.hash(&mut hasher);
        if self.0.insert(hasher.finish()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Malformed,
            operation,
            "the vendor gave a cursor that it had given before, so its pages would never end",
        )
        .hint("run the same command again; if it repeats, report it to the vendor with the request id"))
    }
}

impl ApiClient {
    /// Returns the cursor of the next page, or `None` at the end of the list.
    ///
    /// Without a cursor in the response, the list has ended, even if the vendor reports more pages: a request without a
    /// cursor would begin again. Fails if the vendor gives a cursor that it has given before.
    pub fn next_cursor(
        &self,
        call: &Call,
        has_more: Option<bool>,
        cursor: Option<&str>,
        guard: &mut CursorGuard,
        request_id: Option<&str>,
    ) -> Result<Option<String>> {
        match (has_more, cursor) {
            (Some(false), _) | (_, None | Some("")) => Ok(None),
            (_, Some(cursor)) => {
                guard.advance(call.operation.clone(), cursor).map_err(|error| match request_id {
                    Some(id) => error.with("request_id", self.redactor.clean(id)),
                    None => error,
                })?;
                Ok(Some(cursor.to_owned()))
            }
        }
    }

    /// Like [`ApiClient::next_cursor`], for a list that must be read to its end: also fails if the vendor reports more
    /// pages and gives no cursor.
    pub fn next_cursor_of_whole_list(
        &self,
        call: &Call,
        has_more: Option<bool>,
        cursor: Option<&str>,
        guard: &mut CursorGuard,
    ) -> Result<Option<String>> {
        let next = self.next_cursor(call, has_more, cursor, guard, None)?;
        if next.is_none() && has_more == Some(true) {
            let message = "the vendor reports more pages, but gives no cursor for the next one";
            let error = self.error(call, ErrorKind::Malformed, message, None);
            return Err(error.hint("completed work is saved: run the same command again"));
        }
        Ok(next)
    }
}

/// Counts the items of numbered pages, and rejects a page that repeats the one before it.
#[derive(Debug, Default)]
pub struct PageGuard {
    previous_hash: Option<u64>,
    seen: u64,
}

impl PageGuard {
    /// Takes a page, and returns whether another one follows: none does after an empty page, or once as many items
    /// have been seen as the vendor reports.
    ///
    /// Fails if the vendor repeats a page, or lists fewer items than it reports.
    pub fn advance<T: Hash>(
        &mut self,
        operation: &'static str,
        page: &[T],
        total: Option<u64>,
    ) -> Result<bool> {
        let mut hasher = DefaultHasher::new();
        page.hash(&mut hasher);
        let hash = hasher.finish();
        self.seen += page.len() as u64;
        let incomplete = |message: String| {
            Err(Error::new(ErrorKind::Incomplete, operation, message)
                .hint("run the same command again; if it repeats, the vendor's list is not reliable"))
        };
        if !page.is_empty() && self.previous_hash.replace(hash) == Some(hash) {
            return incomplete("the vendor repeats one page, whichever is requested".to_owned());
        }
        match total {
            Some(total) if page.is_empty() && self.seen < total => {
                incomplete(format!("the vendor reports {total} items and listed {}", self.seen))
            }
            Some(total) => Ok(!page.is_empty() && self.seen < total),
            None => Ok(!page.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_pages_end_at_the_total_or_at_an_empty_page() {
        let mut counted = PageGuard::default();
        assert!(counted.advance("list", &["a", "b"], Some(3)).unwrap());
        assert!(!counted.advance("list", &["c"], Some(3)).unwrap());
        let mut uncounted = PageGuard::default();
        assert!(uncounted.advance("list", &["a"], None).unwrap());
        assert!(uncounted.advance("list", &["b"], None).unwrap());
        assert!(!uncounted.advance("list", &[] as &[&str], None).unwrap());
    }

    #[test]
    fn a_repeated_page_and_a_missing_page_are_errors() {
        let mut repeating = PageGuard::default();
        assert!(repeating.advance("list", &["a", "b"], Some(3)).unwrap());
        assert!(repeating.advance("list", &["a", "b"], Some(3)).is_err());
        let mut short = PageGuard::default();
        assert!(short.advance("list", &["a"], Some(2)).unwrap());
        let error = short.advance("list", &[] as &[&str], Some(2)).unwrap_err();
        assert_eq!(error.message(), "the vendor reports 2 items and listed 1");
    }

    #[test]
    fn a_cursor_is_accepted_once() {
        let mut guard = CursorGuard::default();
        assert!(guard.advance("export", "a").is_ok());
        assert!(guard.advance("export", "b").is_ok());
        assert!(guard.advance("export", "a").is_err());
    }
}
