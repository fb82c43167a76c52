//! What a vendor's deployment supports beyond what its documents say, as pulls find out.

use std::collections::BTreeMap;

/// The features that a deployment supports or refuses, by names that its provider chooses.
///
/// A feature that was never tried is not listed. The archive keeps what a pull finds out, for later pulls.
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

    /// Notes whether a feature is supported.
    pub fn set(&mut self, feature: impl Into<String>, is_supported: bool) {
        self.0.insert(feature.into(), is_supported);
    }

    /// Adds features that were tried later; they replace earlier results.
    pub fn add(&mut self, later: &Self) {
        self.0.extend(later.iter().map(|(feature, is_supported)| (feature.to_owned(), is_supported)));
    }

    /// Returns every feature that was tried, by name.
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
