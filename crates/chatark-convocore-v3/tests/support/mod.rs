//! A provider without a vendor, and a vendor of a few answers.

use std::sync::Arc;

use chatark_convocore_v3::connect;
use chatark_core::{Provider, Settings};
use chatark_http::{Connector, HttpEvent, HttpObserver, Policy, RateLimiters};

#[derive(Debug)]
struct Silent;

impl HttpObserver for Silent {
    fn notice(&self, _source: &str, _notice: &HttpEvent) {}
}

/// Connects to an API root; the source is called `shop` and the agent `agent 1`.
pub(crate) fn provider(base_url: &str, zone: &str) -> Box<dyn Provider> {
    let mut settings = Settings::default();
    settings.set("agent_id", "agent 1");
    settings.set("base_url", base_url);
    settings.set("timezone", zone);
    let connector = Connector {
        source: "shop".to_owned(),
        key: "vg_key".to_owned().into(),
        gates: Arc::new(RateLimiters::default()),
        budget: Arc::default(),
        policy: Policy { attempts: 2, ..Policy::default() },
        watcher: Arc::new(Silent),
    };
    connect(&settings, connector).unwrap()
}
