//! What a vendor's deployment was found to support, beyond what its documents say.

use std::collections::BTreeMap;

/// What a deployment was found to support or to refuse, by names that its provider chooses.
///
/// What was never tried is not in it. The archive keeps what a pull has found for the next ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features(BTreeMap<String, bool>);

impl Features {
    /// Returns whether a feature is supported, or `None` if that is not known.
    pub fn supports(&self, feature: &str) -> Option<bool> {
        self.0.get(feature).copied()
    }

    /// Returns whether a feature is known not to be supported.
    pub fn lacks(&self, feature: &str) -> bool {
        self.supports(feature) == Some(false)
    }

    /// Notes what was found.
    pub fn set(&mut self, feature: impl Into<String>, is_supported: bool) {
        self.0.insert(feature.into(), is_supported);
    }

    /// Takes over what was found later.
    pub fn add(&mut self, later: &Self) {
        self.0.extend(later.iter().map(|(feature, is_supported)| (feature.to_owned(), is_supported)));
    }

    /// Returns every feature of which something is known, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(feature, is_supported)| (feature.as_str(), *is_supported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_tried_is_not_known() {
        let mut features = Features::default();
        features.set("dates", false);
        assert!(features.lacks("dates") && !features.lacks("summaries"));
        assert_eq!(features.supports("summaries"), None);
        let mut later = Features::default();
        later.set("dates", true);
        features.add(&later);
        assert_eq!(features.iter().collect::<Vec<_>>(), [("dates", true)]);
    }
}
