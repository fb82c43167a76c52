//! Resume tokens: where a provider goes on reading.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// The state from which a provider goes on reading, opaque to everyone else.
///
/// A vendor's cursor names a page of one list; a resume token may hold such a cursor, and whatever else the provider
/// has to remember. Only the provider that sealed a token can open it, and only for the same scope and version: for any
/// other token it reads from the beginning. Nothing is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeToken {
    provider: String,
    version: u32,
    scope: String,
    state: String,
}

impl ResumeToken {
    /// Seals a provider's state.
    pub fn seal(provider: &str, version: u32, scope: String, state: &impl Serialize) -> Result<Self> {
        let state = serde_json::to_string(state)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "seal a resume token", error))?;
        Ok(Self { provider: provider.to_owned(), version, scope, state })
    }

    /// Returns the state, or `None` for a token of another provider, version or scope.
    pub fn open<T: DeserializeOwned>(&self, provider: &str, version: u32, scope: &str) -> Option<T> {
        let ours = self.provider == provider && self.version == version && self.scope == scope;
        ours.then(|| serde_json::from_str(&self.state).ok())?
    }

    /// Returns the scope for which the token was sealed.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_for_its_provider_version_and_scope() {
        let token = ResumeToken::seal("a-1", 1, "all".to_owned(), &("next", 7)).unwrap();
        let stored = serde_json::to_string(&token).unwrap();
        let token: ResumeToken = serde_json::from_str(&stored).unwrap();
        assert_eq!(token.open("a-1", 1, "all"), Some(("next".to_owned(), 7)));
        assert_eq!(token.open::<(String, u32)>("b-1", 1, "all"), None);
        assert_eq!(token.open::<(String, u32)>("a-1", 2, "all"), None);
        assert_eq!(token.open::<(String, u32)>("a-1", 1, "other"), None);
        assert_eq!(token.open::<u32>("a-1", 1, "all"), None);
    }
}
