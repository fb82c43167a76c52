//! A provider that is connected to a vendor simulated by a test.

use chatark_convocore_v3::connect;
use chatark_core::{Provider, Settings};
use chatark_http::{Connector, Policy};

/// Connects to an API root; the source is called `shop` and the agent `agent 1`.
pub(crate) fn provider(base_url: &str, zone: &str) -> Box<dyn Provider> {
    let mut settings = Settings::default();
    settings.set("agent_id", "agent 1");
    settings.set("base_url", base_url);
    settings.set("timezone", zone);
    let connector = Connector {
        policy: Policy { max_attempts: 2, ..Policy::default() },
        ..Connector::new("shop", "vg_key".into())
    };
    connect(&settings, connector).unwrap()
}
