//! The settings of a `convocore-v3` source.

use chatark_core::{Setting, SettingKind, SettingProblem, Settings, Zone};
use chatark_http::Url;

/// The regions and their API roots, from the vendor's documentation.
const ROOTS: [(&str, &str); 2] =
    [("eu", "https://eu-gcp-api.vg-stuff.com/v3"), ("na", "https://na-gcp-api.vg-stuff.com/v3")];

pub(crate) const SETTINGS: &[Setting] = &[
    Setting::required("agent_id", SettingKind::Text, "the agent's id"),
    Setting::optional("region", SettingKind::Choice(&["eu", "na"]), "the region that the account lives in"),
    Setting::optional("timezone", SettingKind::Zone, "the zone of the times in exported messages, else UTC"),
    Setting::optional(
        "base_url",
        SettingKind::Url,
        "the API root, for white-label hosts; wins over `region`",
    ),
];

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) agent_id: String,
    pub(crate) base: Url,
}

impl Config {
    pub(crate) fn read(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let (key, root) = match (settings.get("base_url"), settings.get("region")) {
            (Some(base_url), _) => ("base_url", base_url),
            (None, Some(region)) => ("region", root(region).ok_or_else(|| problem("region", CHOICES))?),
            (None, None) => return Err(problem("region", MISSING)),
        };
        let base = Url::parse(root).map_err(|_| problem(key, "is not a URL"))?;
        Ok(Self { agent_id: settings.text("agent_id").unwrap_or_default(), base })
    }
}

/// Reads the zone of the times in exported messages, independent of the other settings: mapping needs no URL.
pub(crate) fn zone(settings: &Settings) -> Zone {
    settings.zone("timezone")
}

const CHOICES: &str = "must be one of `eu`, `na`";
const MISSING: &str = "is missing: write `eu` or `na`, or a `base_url`";

fn root(region: &str) -> Option<&'static str> {
    ROOTS.iter().find(|(name, _)| *name == region).map(|(_, root)| *root)
}

fn problem(key: &'static str, message: &str) -> Vec<SettingProblem> {
    vec![SettingProblem { key, message: message.to_owned() }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[(&str, &str)]) -> Settings {
        let mut found = Settings::default();
        for (key, value) in settings {
            found.set(*key, *value);
        }
        found
    }

    fn read(settings: &[(&str, &str)]) -> Result<Config, Vec<SettingProblem>> {
        Config::read(&set(settings))
    }

    #[test]
    fn a_base_url_wins_over_the_region() {
        let base = |settings: &[(&str, &str)]| read(settings).unwrap().base.to_string();
        assert_eq!(base(&[("region", "eu")]), "https://eu-gcp-api.vg-stuff.com/v3");
        assert_eq!(base(&[("region", "na")]), "https://na-gcp-api.vg-stuff.com/v3");
        let white_label = [("region", "na"), ("base_url", "https://chat.example.com/v3")];
        assert_eq!(base(&white_label), "https://chat.example.com/v3");
    }

    #[test]
    fn a_region_or_a_base_url_is_required() {
        let problems = read(&[("agent_id", "a")]).unwrap_err();
        assert_eq!(problems, problem("region", "is missing: write `eu` or `na`, or a `base_url`"));
        assert_eq!(read(&[("region", "moon")]).unwrap_err()[0].key, "region");
        assert_eq!(read(&[("base_url", "https://")]).unwrap_err()[0].key, "base_url");
    }

    #[test]
    fn the_zone_is_utc_unless_set() {
        assert_eq!(zone(&set(&[("region", "eu")])), Zone::UTC);
        assert_eq!(zone(&set(&[("region", "eu"), ("timezone", "Europe/Berlin")])), Zone::Europe__Berlin);
        assert_eq!(zone(&set(&[("timezone", "Europe/Berlin")])), Zone::Europe__Berlin, "no URL is needed");
    }
}
