//! Which conversations are read, as a condition in Rust and in SQL.

use chatark_core::{Channel, SourceName, Timestamp, Window};

use crate::keys::SourceKey;

/// Which conversations to read. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these sources; all if it is empty.
    pub sources: Vec<SourceName>,
    /// Only conversations that began in this window.
    pub window: Window,
    /// Whether conversations without a date are inside every window.
    pub undated: bool,
    /// Only conversations of this channel.
    pub channel: Option<Channel>,
}

impl Filter {
    /// Returns whether a conversation is inside the window and of the channel.
    pub(crate) fn is_inside(&self, created_at: Option<Timestamp>, channel: Option<Channel>) -> bool {
        let is_in_window = match created_at {
            Some(_) => self.window.contains(created_at),
            None => !self.leaves_out_undated(),
        };
        is_in_window && self.channel.is_none_or(|wanted| channel == Some(wanted))
    }

    /// Returns whether conversations without a date are left out.
    pub(crate) fn leaves_out_undated(&self) -> bool {
        self.window != Window::default() && !self.undated
    }
}

/// The condition of [`Filter::is_inside`] in SQL. A parameter that is `NULL` does not restrict.
pub(crate) const INSIDE_SQL: &str =
    "(created_at IS NULL OR (?2 IS NULL OR created_at >= ?2) AND (?3 IS NULL OR created_at < ?3))
    AND (?5 OR created_at IS NOT NULL) AND (?4 IS NULL OR channel = ?4)";

/// Returns the parameters of [`INSIDE_SQL`].
pub(crate) fn inside_parameters(
    source: SourceKey,
    filter: &Filter,
) -> (i64, Option<i64>, Option<i64>, Option<&'static str>, bool) {
    let bound = |bound: Option<Timestamp>| bound.map(Timestamp::microseconds);
    let Filter { window, channel, .. } = filter;
    let takes_undated = !filter.leaves_out_undated();
    (source.0, bound(window.since), bound(window.until), channel.map(Channel::as_str), takes_undated)
}
