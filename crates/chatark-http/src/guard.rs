//! Refuses to walk in circles.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chatark_core::{Error, ErrorKind, Result};

use crate::client::{ApiClient, Call};

/// Remembers every cursor of one walk and refuses one that comes again.
///
/// Holds eight bytes a page.
#[derive(Debug, Default)]
pub struct CursorGuard(HashSet<u64>);

impl CursorGuard {
    /// Accepts a cursor that is new in this walk.
    pub fn advance(&mut self, operation: &'static str, cursor: &str) -> Result<()> {
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
    /// Fails where the vendor says that more follows and gives no cursor, or one that it has given before.
    pub fn next_cursor(
        &self,
        call: &Call,
        has_more: Option<bool>,
        cursor: Option<&str>,
        guard: &mut CursorGuard,
        request_id: Option<&str>,
    ) -> Result<Option<String>> {
        match (has_more, cursor) {
            (Some(false), _) | (None, None) => Ok(None),
            (_, Some(cursor)) => {
                guard.advance(call.operation, cursor)?;
                Ok(Some(cursor.to_owned()))
            }
            (Some(true), None) => {
                let message = "the vendor says that more follows, but gives no cursor to go on with";
                let error = self.fault(call, ErrorKind::Malformed, message, request_id);
                Err(error.hint("what was fetched is safe: run the same command again"))
            }
        }
    }
}

/// Counts what numbered pages bring, and refuses a page that is the one before it.
#[derive(Debug, Default)]
pub struct PageGuard {
    before: Option<u64>,
    seen: u64,
}

impl PageGuard {
    /// Takes a page, and returns whether another one follows: none does after an empty one, nor where all that the
    /// vendor counts have been seen.
    ///
    /// Fails where the vendor sends the same page again, and where it sends fewer than it counts.
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
        let short = |message: String| {
            Err(Error::new(ErrorKind::Incomplete, operation, message)
                .hint("run the same command again; if it repeats, the vendor's list cannot be relied upon"))
        };
        if !page.is_empty() && self.before.replace(hash) == Some(hash) {
            return short("the vendor sends the same page whatever is asked for".to_owned());
        }
        match total {
            Some(total) if page.is_empty() && self.seen < total => {
                short(format!("the vendor counts {total} and shows {}", self.seen))
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
    fn numbered_pages_end_where_all_were_seen_or_none_follows() {
        let mut counted = PageGuard::default();
        assert!(counted.advance("list", &["a", "b"], Some(3)).unwrap());
        assert!(!counted.advance("list", &["c"], Some(3)).unwrap());
        let mut uncounted = PageGuard::default();
        assert!(uncounted.advance("list", &["a"], None).unwrap());
        assert!(uncounted.advance("list", &["b"], None).unwrap());
        assert!(!uncounted.advance("list", &[] as &[&str], None).unwrap());
    }

    #[test]
    fn a_page_that_comes_again_and_one_that_is_missing_prove_nothing() {
        let mut ignorant = PageGuard::default();
        assert!(ignorant.advance("list", &["a", "b"], Some(3)).unwrap());
        assert!(ignorant.advance("list", &["a", "b"], Some(3)).is_err());
        let mut short = PageGuard::default();
        assert!(short.advance("list", &["a"], Some(2)).unwrap());
        let error = short.advance("list", &[] as &[&str], Some(2)).unwrap_err();
        assert_eq!(error.message(), "the vendor counts 2 and shows 1");
    }

    #[test]
    fn a_cursor_is_accepted_once() {
        let mut guard = CursorGuard::default();
        assert!(guard.advance("export", "a").is_ok());
        assert!(guard.advance("export", "b").is_ok());
        assert!(guard.advance("export", "a").is_err());
    }
}
