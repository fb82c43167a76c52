//! Spans of time in which records began.

use crate::time::Timestamp;
use crate::{Error, ErrorKind, Result};

/// A span of time: from `since`, inclusive, to `until`, exclusive; open if a bound is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// The first instant inside.
    pub since: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

impl Window {
    /// Returns whether an instant lies inside. An unknown instant counts as inside.
    pub fn contains(&self, at: Option<Timestamp>) -> bool {
        let Some(at) = at else { return true };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// Returns a window, or an error if it is empty or reversed.
    pub fn new(since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Self> {
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Error::new(
                ErrorKind::Usage,
                "read the dates",
                format!("--since {since} is not before --until {until}"),
            )
            .hint("`--since` is inclusive, `--until` exclusive"));
        }
        Ok(Self { since, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_includes_its_start_but_not_its_end() {
        let at = |seconds| Timestamp::from_epoch(seconds).ok();
        let window = Window::new(at(1_000_000_000), at(1_000_000_010)).unwrap();
        assert!(window.contains(at(1_000_000_000)) && !window.contains(at(1_000_000_010)));
        assert!(window.contains(None) && !window.contains(at(999_999_999)));
        assert!(Window::new(at(1_000_000_000), at(1_000_000_000)).is_err());
    }
}
