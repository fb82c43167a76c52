//! The settings of a provider, as data, so that all mistakes in a config are found in one pass.
//!
//! A provider declares its settings. The reader of the config checks names, types and presence against the
//! declaration, reports each mistake with its line, and passes the values on. The provider checks their meaning.

use std::collections::BTreeMap;

/// One key in the provider's section of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The key, such as `agent_id`.
    pub key: &'static str,
    /// Whether the key is required.
    pub required: bool,
    /// The type of its value.
    pub kind: SettingKind,
    /// Its purpose, in one line.
    pub help: &'static str,
}

/// The type of the value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// Any non-empty text.
    Text,
    /// One of several words.
    Choice(&'static [&'static str]),
    /// An IANA time zone.
    Zone,
    /// An `http` or `https` URL.
    Url,
}

/// The settings of one source, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

/// A mistake in one setting. The reader of the config adds the file and the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key.
    pub key: &'static str,
    /// What is wrong; never the value itself.
    pub message: String,
}

impl Setting {
    /// Declares a required setting.
    pub const fn required(key: &'static str, kind: SettingKind, help: &'static str) -> Self {
        Self { key, required: true, kind, help }
    }

    /// Declares an optional setting.
    pub const fn optional(key: &'static str, kind: SettingKind, help: &'static str) -> Self {
        Self { key, required: false, kind, help }
    }

    /// Checks a value. The error says what is wrong, and never repeats the value.
    pub fn check(&self, value: &str) -> Result<(), String> {
        match self.kind {
            SettingKind::Text if value.trim().is_empty() => Err("must not be empty".to_owned()),
            SettingKind::Text => Ok(()),
            SettingKind::Choice(words) if words.contains(&value) => Ok(()),
            SettingKind::Choice(words) => Err(format!("must be one of `{}`", words.join("`, `"))),
            SettingKind::Zone => value
                .parse::<chrono_tz::Tz>()
                .map(|_| ())
                .map_err(|_| "must be an IANA time zone such as `Europe/Berlin`".to_owned()),
            SettingKind::Url => check_url(value),
        }
    }
}

fn check_url(value: &str) -> Result<(), String> {
    let Some(after) = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://")) else {
        return Err("must be an `https://` or `http://` URL".to_owned());
    };
    // As URL parsers do: further slashes are skipped, and a backslash counts as a slash.
    let after = after.trim_start_matches(['/', '\\', '\t', '\n', '\r']);
    let host = after.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("must not contain a user name or a password: remove them with the `@`, and name the key in `api_key`".to_owned());
    }
    Ok(())
}

impl Settings {
    /// Sets a value that was checked with [`Setting::check`].
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Returns a value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns a value as an owned text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    /// Returns a value as a time zone; UTC if it is not set.
    pub fn zone(&self, key: &str) -> crate::Zone {
        self.get(key).and_then(|name| name.parse().ok()).unwrap_or(crate::Zone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_never_repeat_the_value() {
        let region = Setting::required("region", SettingKind::Choice(&["eu", "na"]), "the region");
        assert_eq!(region.check("eu"), Ok(()));
        assert_eq!(region.check("sk-secret"), Err("must be one of `eu`, `na`".to_owned()));
        let zone = Setting::optional("timezone", SettingKind::Zone, "the zone");
        assert!(zone.check("Europe/Berlin").is_ok() && zone.check("Berlin").is_err());
        let url = Setting::optional("base_url", SettingKind::Url, "the API root");
        assert!(url.check("https://example.com").is_ok() && url.check("ftp://x").is_err());
    }

    #[test]
    fn a_url_with_a_user_or_a_password_is_refused() {
        let url = Setting::optional("base_url", SettingKind::Url, "the API root");
        for bad in [
            "https://ann:sk-secret@example.com/v1",
            "https://sk-secret@example.com",
            "http://:sk-secret@127.0.0.1:9",
            "https:///ann:sk-secret@example.com",
            r"https://\ann:sk-secret@example.com",
            "https://@example.com",
        ] {
            let error = url.check(bad).unwrap_err();
            assert!(
                error.contains("password") && !error.contains("secret") && !error.contains("ann"),
                "{error}"
            );
        }
        for good in ["https://example.com/@me", "https://example.com?user=a@b", "https://example.com#@"] {
            assert_eq!(url.check(good), Ok(()));
        }
    }
}
