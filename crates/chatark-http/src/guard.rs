//! Refuses to walk in circles.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chatark_core::{Error, ErrorKind, Result};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_accepted_once() {
        let mut guard = CursorGuard::default();
        assert!(guard.advance("export", "a").is_ok());
        assert!(guard.advance("export", "b").is_ok());
        assert!(guard.advance("export", "a").is_err());
    }
}
