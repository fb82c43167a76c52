//! The row of a document that is being written.

use crate::run_log::SourceKey;

/// Identifies the row of a document, and the version that it is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKey<'a> {
    pub(crate) record_key: i64,
    pub(crate) source: SourceKey,
    pub(crate) id: &'a str,
    /// The version of `raw` that it is made from.
    pub(crate) version: i64,
    /// Whether the bytes could be read.
    pub(crate) readable: bool,
    /// Whether there is no row yet.
    pub(crate) is_new: bool,
}
