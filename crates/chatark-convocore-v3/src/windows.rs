//! The windows of time in which a deployment is read that cuts its responses short and gives no cursor.

/// A window of whole seconds, both included; open where a bound is missing.
pub(crate) type Seconds = (Option<i64>, Option<i64>);

/// What a walk knows about responses that are cut short.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// Those that are still to be read, the next one last.
    pub(crate) left: Vec<Seconds>,
    /// How many conversations such a response holds.
    pub(crate) cap: Option<u64>,
    /// Whether the deployment regards a window at all.
    pub(crate) are_regarded: bool,
    /// Whether the user was told.
    pub(crate) told_of_cut: bool,
}
