//! The archive's own numbers: of a source, and of the row of a document that is being written.

/// The archive's own number of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey(pub(crate) i64);

impl SourceKey {
    /// Returns the number.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// The row of a document that is being written, and the version that it is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKey<'a> {
    pub(crate) record_key: i64,
    pub(crate) source: SourceKey,
    pub(crate) id: &'a str,
    /// The version of `raw` that it is made from.
    pub(crate) version: i64,
    /// Whether the bytes could be mapped.
    pub(crate) readable: bool,
    /// Whether there is no row yet.
    pub(crate) is_new: bool,
}
