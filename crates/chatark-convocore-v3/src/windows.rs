//! Windows of time, to read a deployment that cuts its responses short and gives no cursor.

/// The first and the last second of a window, both included; `None` is an open bound.
pub(crate) type SecondRange = (Option<i64>, Option<i64>);

/// The windows of a walk whose responses are cut short.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// The windows that are still to be read, the next one last.
    pub(crate) pending: Vec<SecondRange>,
    /// How many conversations a response that is cut short holds.
    pub(crate) cap: Option<u64>,
    /// Whether the deployment applies a requested window.
    pub(crate) are_supported: bool,
    /// Whether a note has reported the cap.
    pub(crate) has_reported_cap: bool,
}
