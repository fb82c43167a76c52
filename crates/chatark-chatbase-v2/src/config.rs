//! The settings of a `chatbase-v2` source.

use chatark_core::{RateLimit, Setting, SettingKind, SettingProblem, Settings};
use chatark_http::Url;

/// The name of this provider.
pub(crate) const NAME: &str = "chatbase-v2";
/// The API root, from the vendor's documentation.
const BASE_URL: &str = "https://www.chatbase.co/api/v2";
/// The rate limit of each key, by its newest documents; an older snapshot says 100 requests.
pub(crate) const RATE_LIMIT: RateLimit = RateLimit { requests: 1_000, seconds: 10 };

pub(crate) const SETTINGS: &[Setting] = &[
    Setting::required("agent_id", SettingKind::Text, "the agent's id, the same as v1's chatbot id"),
    Setting::optional("base_url", SettingKind::Url, "the API root, for compatible hosts"),
];

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) agent_id: String,
    pub(crate) base: Url,
}

impl Config {
    pub(crate) fn read(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let base = Url::parse(settings.get("base_url").unwrap_or(BASE_URL))
            .map_err(|_| vec![SettingProblem { key: "base_url", message: "is not a URL".to_owned() }])?;
        Ok(Self { agent_id: settings.text("agent_id").unwrap_or_default(), base })
    }
}
