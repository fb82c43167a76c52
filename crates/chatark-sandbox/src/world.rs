//! The simulated agents, their keys and the vendors' limits.

use std::time::Duration;

use crate::dataset::Dataset;
use crate::expected::Expected;
use crate::people;
use crate::truth::{Person, Vendor};

/// Everything that the sandbox simulates.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The agents of all accounts.
    pub agents: Vec<Agent>,
    /// The vendors' limits.
    pub limits: Limits,
    /// The minimum latency of every response.
    pub latency: Option<Duration>,
}

/// One chatbot of one account.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The vendor whose API serves it.
    pub vendor: Vendor,
    /// The id that the vendor gave it.
    pub id: String,
    /// The name that the account gave it.
    pub name: String,
    /// The account's key; several agents may share one.
    pub key: String,
    /// The conversations that it holds.
    pub dataset: Dataset,
    /// The generation of Convocore's export.
    pub generation: Generation,
    /// The time zone of Convocore's English times.
    pub zone: Zone,
    /// How Chatbase's second API handles the export's parameters.
    pub deployment: Deployment,
    /// How Convocore handles conversations that a client created.
    pub writes: WriteBehaviour,
    /// The leads that it collected, in any order; only Chatbase API v1 has them.
    pub leads: Vec<Person>,
    /// The contacts of the agent's owner; only Chatbase API v1 has them.
    pub contacts: Vec<Person>,
    /// The names of the custom attributes that written contacts may have.
    pub attributes: Vec<String>,
    /// The shape of leads in Chatbase's first API.
    pub leads_shape: LeadsShape,
}

/// The shape of leads in Chatbase's first API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeadsShape {
    /// An array, with ids such as `lead_123`, as documented.
    Documented,
    /// An object with `data` and numeric ids, as a working client saw it in April 2026.
    #[default]
    Observed,
}

/// How a deployment of Chatbase's second API handles the export's newer parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deployment {
    /// It supports all of them.
    #[default]
    Current,
    /// It ignores `startDate`, `endDate`, `conversationId`, `include` and `source`.
    Old,
    /// It supports `include` and the dates, and ignores `conversationId`.
    IgnoresId,
    /// It refuses a cursor from a request with another `include`.
    StrictCursors,
}

/// How Convocore handles conversations that a client created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteBehaviour {
    /// They can be read and changed.
    #[default]
    Usable,
    /// They are listed but answer 404 under their own id, as published in July and August 2026.
    CreatedAnswers404,
}

/// A generation of Convocore's export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Generation {
    /// All conversations in one array, whatever the parameters say.
    OneArray,
    /// Pages with a cursor, without conversations in which no customer wrote.
    #[default]
    Paged,
}

/// A time zone with a fixed rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// Europe/Berlin by the rule in force since 1996.
    Berlin,
}

/// The vendors' limits per key.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The number of requests in Chatbase's window.
    pub chatbase_requests: usize,
    /// The length of Chatbase's sliding window.
    pub chatbase_window: Duration,
    /// The unit of Chatbase's `X-RateLimit-Reset`.
    pub reset_unit: ResetUnit,
    /// Convocore's exports per hour.
    pub convocore_requests_per_hour: usize,
    /// The sessions that Convocore includes per billing period.
    pub convocore_included_quota: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chatbase_requests: 1_000,
            chatbase_window: Duration::from_secs(10),
            reset_unit: ResetUnit::Milliseconds,
            convocore_requests_per_hour: 1_500,
            convocore_included_quota: 50_000,
        }
    }
}

/// The unit of an epoch time in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetUnit {
    /// Epoch seconds, as the vendor's specification says.
    Seconds,
    /// Epoch milliseconds, as the vendor's prose says.
    Milliseconds,
}

impl World {
    /// The id of the sample agent of Chatbase's first API.
    pub const CHATBASE_V1_AGENT: &'static str = "sandboxShopLegacy01";
    /// The id of the sample agent of Chatbase's second API.
    pub const CHATBASE_V2_AGENT: &'static str = "sandboxShop-DIAbBhx02";
    /// The id of the sample agent of Convocore.
    pub const CONVOCORE_AGENT: &'static str = "sandboxVoice03";
    /// The key of the sample Chatbase account, which holds both Chatbase agents.
    pub const CHATBASE_KEY: &'static str = "sandbox-chatbase-key";
    /// The key of the sample Convocore account.
    pub const CONVOCORE_KEY: &'static str = "sandbox-convocore-key";

    /// Returns a small shop with one agent per vendor and sample conversations; the first agent has people too.
    pub fn sample() -> Self {
        let agent = |vendor, id, name, key| Agent::new(vendor, id, key, Dataset::sample(vendor)).named(name);
        let old_shop = Agent {
            leads: people::leads(),
            contacts: people::contacts(),
            ..agent(Vendor::ChatbaseV1, Self::CHATBASE_V1_AGENT, "Shop (old)", Self::CHATBASE_KEY)
        };
        Self::of(vec![
            old_shop,
            agent(Vendor::ChatbaseV2, Self::CHATBASE_V2_AGENT, "Shop", Self::CHATBASE_KEY),
            agent(Vendor::ConvocoreV3, Self::CONVOCORE_AGENT, "Voice", Self::CONVOCORE_KEY),
        ])
    }

    /// Returns a world of these agents with default limits.
    pub fn of(agents: Vec<Agent>) -> Self {
        Self { agents, ..Self::default() }
    }
}

impl Agent {
    /// Returns an agent with the vendor's current behaviour.
    pub fn new(vendor: Vendor, id: impl Into<String>, key: impl Into<String>, dataset: Dataset) -> Self {
        let id = id.into();
        Self {
            vendor,
            name: id.clone(),
            id,
            key: key.into(),
            dataset,
            generation: Generation::default(),
            zone: Zone::default(),
            deployment: Deployment::default(),
            writes: WriteBehaviour::default(),
            leads: Vec::new(),
            contacts: Vec::new(),
            attributes: Vec::new(),
            leads_shape: LeadsShape::default(),
        }
    }

    /// Returns the agent under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Iterates over what a perfect export of this agent contains, newest first.
    pub fn expected(&self) -> impl Iterator<Item = Expected> + '_ {
        self.dataset
            .iter()
            .filter(|conversation| !self.omits_silent_conversations() || conversation.has_user_message())
            .map(|conversation| conversation.expected_from(self.vendor))
    }

    /// Returns whether the export omits conversations in which no customer wrote.
    pub(crate) fn omits_silent_conversations(&self) -> bool {
        self.vendor == Vendor::ConvocoreV3 && self.generation == Generation::Paged
    }
}
