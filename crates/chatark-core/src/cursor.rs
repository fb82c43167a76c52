//! The saved position of a provider in its sequence of batches.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// A position in a provider's sequence of batches, bound to the provider, a version and the scope.
///
/// Only the provider that sealed a cursor can open it, and only for the same scope. A cursor of another scope or an
/// older version cannot be opened, and the caller starts from the beginning. Nothing is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    provider: String,
    version: u32,
    scope: String,
    state: String,
}

impl Cursor {
    /// Seals a provider's state.
    pub fn seal(provider: &str, version: u32, scope: String, state: &impl Serialize) -> Result<Self> {
        let state = serde_json::to_string(state)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "seal a cursor", error))?;
        Ok(Self { provider: provider.to_owned(), version, scope, state })
    }

    /// Returns the state, or `None` for a cursor of another provider, version or scope.
    pub fn open<T: DeserializeOwned>(&self, provider: &str, version: u32, scope: &str) -> Option<T> {
        let ours = self.provider == provider && self.version == version && self.scope == scope;
        ours.then(|| serde_json::from_str(&self.state).ok())?
    }

    /// Returns the scope that the cursor was sealed with.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_for_its_provider_version_and_scope() {
        let cursor = Cursor::seal("a-1", 1, "all".to_owned(), &("next", 7)).unwrap();
        let stored = serde_json::to_string(&cursor).unwrap();
        let cursor: Cursor = serde_json::from_str(&stored).unwrap();
        assert_eq!(cursor.open("a-1", 1, "all"), Some(("next".to_owned(), 7)));
        assert_eq!(cursor.open::<(String, u32)>("b-1", 1, "all"), None);
        assert_eq!(cursor.open::<(String, u32)>("a-1", 2, "all"), None);
        assert_eq!(cursor.open::<(String, u32)>("a-1", 1, "other"), None);
        assert_eq!(cursor.open::<u32>("a-1", 1, "all"), None);
    }
}
