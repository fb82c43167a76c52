//! Where a walk through the export is, and how much it asks for there.

use chatark_core::{Result, ResumeToken};
use serde::{Deserialize, Serialize};

use crate::descriptor::DESCRIPTOR;

/// The version of the cursors that this crate seals.
const CURSOR_VERSION: u32 = 1;
/// The page sizes, from the usual one to a single conversation. On 50 all documents agree.
const LIMITS: [u32; 3] = [50, 10, 1];

/// The position of a walk through the export. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The vendor's cursor of the next page, opaque; `None` for the first page of the window below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// The first second that is asked for, where that is not the beginning of the request's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<i64>,
    /// The last second that is asked for, where that is not the end of the request's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<i64>,
    /// When the latest conversation that was read began, if they come in the order of their beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<i64>,
}

impl Place {
    /// Seals the place for the scope of a request.
    pub(crate) fn seal(&self, scope: &str) -> Result<ResumeToken> {
        ResumeToken::seal(DESCRIPTOR.name, CURSOR_VERSION, scope.to_owned(), self)
    }

    /// Opens a cursor of the same scope.
    pub(crate) fn open(cursor: Option<&ResumeToken>, scope: &str) -> Option<Self> {
        cursor?.open(DESCRIPTOR.name, CURSOR_VERSION, scope)
    }
}

/// How many conversations a walk asks for at once: fewer near a place that fails.
#[derive(Debug, Default)]
pub(crate) struct PageSize {
    level: usize,
    passed: u64,
}

impl PageSize {
    /// Returns the page size.
    pub(crate) fn limit(&self) -> u32 {
        LIMITS[self.level]
    }

    /// Returns the smallest page size.
    pub(crate) fn smallest() -> Self {
        Self { level: LIMITS.len() - 1, passed: 0 }
    }

    /// Takes a smaller one, and returns whether there was one.
    pub(crate) fn narrow(&mut self) -> bool {
        let can = self.level + 1 < LIMITS.len();
        if can {
            self.level += 1;
            self.passed = 0;
        }
        can
    }

    /// Counts conversations that the walk has passed, and widens the page behind the place that failed.
    pub(crate) fn pass(&mut self, conversations: u64) {
        self.passed += conversations;
        if self.level > 0 && self.passed >= u64::from(LIMITS[self.level - 1]) {
            self.level -= 1;
            self.passed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_an_earlier_version_opens() {
        let earlier = serde_json::json!({"cursor": "c1"});
        let place: Place = serde_json::from_value(earlier.clone()).unwrap();
        assert_eq!(place, Place { cursor: Some("c1".to_owned()), ..Place::default() });
        assert_eq!(serde_json::to_value(&place).unwrap(), earlier);
    }

    #[test]
    fn a_page_is_small_near_a_place_that_fails() {
        let mut size = PageSize::default();
        assert_eq!(size.limit(), 50);
        assert!(size.narrow() && size.narrow() && !size.narrow());
        assert_eq!(size.limit(), 1);
        size.pass(9);
        assert_eq!(size.limit(), 1);
        size.pass(1);
        assert_eq!(size.limit(), 10);
        size.pass(50);
        assert_eq!(size.limit(), 50);
        size.pass(1_000);
        assert_eq!(size.limit(), 50);
        assert_eq!(PageSize::smallest().limit(), 1);
    }
}
