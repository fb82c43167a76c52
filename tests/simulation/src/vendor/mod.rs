//! What a vendor does with a request, and what the walk of its conversations may therefore promise.

pub mod chatbase_v1;
pub mod chatbase_v2;
pub mod convocore_v3;

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use chatark_core::{Mapper, Provider, Result, Settings};
use chatark_http::Connector;

use crate::population::{Change, Population, Profile};
use crate::random::Random;
use crate::time::{Instant, Span};

/// The agent of every world.
pub const AGENT: &str = "_agent-1/Ü";

/// The key of every world. It must be in no error and in no note.
pub const KEY: &str = "sk-sim/K+ey=\"7%";

/// A request as the vendor reads it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// The decoded segments of the path after the API root.
    pub path: Vec<String>,
    /// The decoded query, in its order.
    pub query: Vec<(String, String)>,
}

/// A response, and what it means.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// The conversations in it, with the number of their state, that came with their messages.
    pub delivered: Vec<(usize, usize)>,
    /// The conversations in it that came without.
    pub listed: Vec<usize>,
    /// Units of a metered quota that it costs.
    pub billed: u64,
}

/// A kind of request, at which faults are drawn and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// The first page of conversations with their messages.
    FirstPage,
    /// A later page of these.
    LaterPage,
    /// A page of a list without messages.
    List,
    /// One conversation, or a few, by id.
    Single,
    /// Anything else.
    Other,
}

impl RequestKind {
    /// All kinds for which faults are drawn.
    pub const ALL: [Self; 4] = [Self::FirstPage, Self::LaterPage, Self::List, Self::Single];
}

/// How the vendor goes on from one page to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// After a certain row: nothing is repeated and a deletion harms nothing.
    Keyset,
    /// After so many rows: insertions repeat rows and deletions skip some.
    Offset,
    /// Through a list that the first request fixed.
    Snapshot,
    /// Everything comes at once.
    Whole,
}

/// Properties of a deployment, for the predicates only: the walker does not know them.
#[derive(Debug, Clone, Copy)]
pub struct Properties {
    /// How many conversations a page holds at most.
    pub page_size: usize,
    /// How it pages.
    pub paging: Paging,
    /// Whether rows move when something happens to them.
    pub sorts_by_activity: bool,
    /// Whether rows of the same second change places from request to request.
    pub is_unstable: bool,
    /// Whether it gives any count of conversations, right or wrong.
    pub sends_count: bool,
    /// Whether a count, where one is sent, may be more than there is.
    pub overcounts: bool,
    /// Whether a list without messages shows what changed.
    pub has_summaries: bool,
    /// Whether changes can only be found by a list that is apart from the export, or by looking back.
    pub finds_changes_by_list: bool,
    /// Whether the deployment knows a conversation by its id, or a window, so that a page can be narrowed.
    pub can_narrow: bool,
    /// Whether a page can be narrowed by windows of time and by nothing else.
    pub narrows_by_time_alone: bool,
    /// Whether time leads around a conversation that cannot be shown, in whatever order the list is.
    pub narrows_by_time: bool,
    /// Whether a part can be read by itself: what changed, or what began lately.
    pub can_read_less: bool,
    /// Whether the deployment does in everything what the newest documents say.
    pub is_documented: bool,
    /// Whether pages hold less than they could, now and then.
    pub has_short_pages: bool,
    /// The most conversations that the vendor shows at all; `None` if it shows all.
    pub shows_at_most: Option<usize>,
    /// Whether what is beyond that looks like the end, so that nobody can tell.
    pub hides_the_rest: bool,
    /// Whether conversations in which no customer wrote are left out.
    pub skips_silent: bool,
    /// How late the vendor shows what happened.
    pub lag: Span,
    /// The metered quota of a month.
    pub quota: Option<u64>,
    /// Whether a client can know what time the vendor means in its headers.
    pub has_readable_clock: bool,
    /// Whether a conversation can be looked for by its day.
    pub searches_by_day: bool,
    /// Whether a single conversation can be asked for, by its id or its day; a second may hold nearly all of them.
    pub finds_one: bool,
    /// How far a time that is shown can be from the true one, and a window from its bounds.
    pub margin: Span,
    /// The page of a list without messages that is apart from the export, if it is served.
    pub list_page: Option<usize>,
    /// Whether each window of time holds the conversations that do not say when they began.
    pub windows_hold_undated: bool,
    /// Whether that list costs units of the quota, and its answers show it.
    pub list_is_billed: bool,
}

/// A vendor as a deployment that was drawn from a seed.
pub trait Vendor: Debug + Send {
    /// Answers a request at an instant. Never fails by itself for another reason than what the documents say.
    fn response(&mut self, request: &Request, population: &Population, now: Instant) -> Response;

    /// Answers that there were too many requests.
    fn rate_limited(&mut self, now: Instant) -> Response;

    /// Returns an error in the vendor's form.
    fn error(&self, status: u16, cause: ErrorCause) -> Response;

    /// Returns the kind of a request.
    fn request_kind(&self, request: &Request) -> RequestKind;

    /// Returns the bytes of a conversation in one of its states.
    fn record(&mut self, population: &Population, index: usize, version: usize) -> Bytes;

    /// Returns whether a list that is apart from the export shows that something happened to a conversation.
    fn list_shows(&self, _place: usize, _change: Change) -> bool {
        false
    }

    /// Returns whether such a list shows nothing but that a conversation exists.
    fn list_shows_nothing(&self, _place: usize) -> bool {
        false
    }

    /// Returns what is true of the deployment.
    fn properties(&self) -> Properties;
}

/// What an error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCause {
    /// The vendor failed.
    Failed,
    /// The vendor refuses a cursor.
    Cursor,
    /// The key is not valid any more.
    Key,
    /// The vendor cannot show a certain record.
    Record,
}

/// A vendor API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VendorApi {
    /// Chatbase API v2.
    ChatbaseV2,
    /// Convocore API v3.
    ConvocoreV3,
    /// Chatbase API v1.
    ChatbaseV1,
}

impl VendorApi {
    /// All vendor APIs.
    pub const ALL: [Self; 3] = [Self::ChatbaseV2, Self::ConvocoreV3, Self::ChatbaseV1];

    /// Returns its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatbaseV2 => "chatbase-v2",
            Self::ConvocoreV3 => "convocore-v3",
            Self::ChatbaseV1 => "chatbase-v1",
        }
    }

    /// Returns the kinds of request for which faults are drawn.
    pub fn request_kinds(self) -> &'static [RequestKind] {
        if self == Self::ChatbaseV1 {
            &[RequestKind::FirstPage, RequestKind::LaterPage]
        } else {
            &RequestKind::ALL
        }
    }

    /// Returns whether it has cursors, which can be refused.
    pub fn has_cursors(self) -> bool {
        self != Self::ChatbaseV1
    }

    /// Returns whether reading it is metered.
    pub fn is_metered(self) -> bool {
        self == Self::ConvocoreV3
    }

    /// Returns what its conversations are like.
    pub fn profile(self) -> &'static Profile {
        match self {
            Self::ChatbaseV2 => &chatbase_v2::PROFILE,
            Self::ConvocoreV3 => &convocore_v3::PROFILE,
            Self::ChatbaseV1 => &chatbase_v1::PROFILE,
        }
    }

    /// Draws a deployment.
    pub fn draw(self, random: &mut Random) -> Box<dyn Vendor> {
        match self {
            Self::ChatbaseV2 => Box::new(chatbase_v2::ChatbaseV2::draw(random)),
            Self::ConvocoreV3 => Box::new(convocore_v3::ConvocoreV3::draw(random)),
            Self::ChatbaseV1 => Box::new(chatbase_v1::ChatbaseV1::draw(random)),
        }
    }

    /// Returns the settings of its source.
    pub fn settings(self) -> Settings {
        let mut settings = Settings::default();
        settings.set("agent_id", AGENT);
        settings.set("base_url", "https://vendor.example/api");
        if self == Self::ConvocoreV3 {
            settings.set("region", "eu");
            settings.set("timezone", "UTC");
        }
        settings
    }

    /// Connects the product to it.
    pub fn connect(self, connector: Connector) -> Result<Box<dyn Provider>> {
        match self {
            Self::ChatbaseV2 => chatark_chatbase_v2::connect(&self.settings(), connector),
            Self::ConvocoreV3 => chatark_convocore_v3::connect(&self.settings(), connector),
            Self::ChatbaseV1 => chatark_chatbase_v1::connect(&self.settings(), connector),
        }
    }

    /// Returns what maps its records.
    pub fn mapper(self) -> Arc<dyn Mapper> {
        match self {
            Self::ChatbaseV2 => chatark_chatbase_v2::mapper(&self.settings()),
            Self::ConvocoreV3 => chatark_convocore_v3::mapper(&self.settings()),
            Self::ChatbaseV1 => chatark_chatbase_v1::mapper(&self.settings()),
        }
    }
}

impl FromStr for VendorApi {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|api| api.name() == name)
            .ok_or_else(|| format!("no vendor is called {name}"))
    }
}

impl Request {
    /// Returns the value of a parameter: the first one, as the vendors' frameworks do.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Writes the request for a report.
    pub fn describe(&self) -> String {
        let query: Vec<_> = self.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} /{}?{}", self.method, self.path.join("/"), query.join("&"))
    }
}

impl Response {
    /// Creates an answer in JSON.
    pub fn json(status: u16, body: String) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: Bytes::from(body), ..Self::default() }
    }
}
