//! One agent of a Convocore account: the requests that read it, and what their envelopes say.

use chatark_core::{AgentInfo, Error, ErrorKind, PageMetadata, Record, RecordId, Result, Settings, Zone};
use chatark_http::{ApiClient, ArrayEvent, Call, Connector};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::{self, Config};
use crate::dialect::{ConvocoreV3Dialect, embedded_error};
use crate::export::{Counts, Exported, exported};
use crate::wire::{Agent, Envelope};

/// The first second of the year 2100: no conversation begins then.
pub(crate) const NO_CONVERSATION_YET: i64 = 4_102_444_800;
/// An id that no conversation has.
pub(crate) const NO_CONVERSATION: &str = "chatark-no-conversation";
/// The page size of responses that hold no conversation, or one without a date.
const PROBE_LIMIT: u32 = 1;

pub(crate) const EXPORT: &str = "export conversations";
const SINGLE: &str = "export one conversation";
const AGENT: &str = "read the agent";

/// One Convocore agent, read through API v3.
#[derive(Debug)]
pub struct ConvocoreV3 {
    pub(crate) client: ApiClient,
    pub(crate) agent_id: String,
    /// The zone of times that are written without one.
    pub(crate) zone: Zone,
}

/// What the export returns for a window that cannot contain a conversation.
pub(crate) enum EmptyWindow {
    /// Conversations all the same: this deployment ignores the window. Those of them that were read.
    Ignored(Vec<Record>),
    /// Nothing, which is free, or what has no date at all.
    Empty(Box<EmptyPage>),
}

/// A response without a conversation that has a date.
pub(crate) struct EmptyPage {
    pub(crate) answer: Envelope<Value>,
    pub(crate) counts: Counts,
    /// The conversations without a date. They may have been billed.
    pub(crate) undated: Vec<Record>,
}

pub(crate) fn open_account(settings: &Settings, connector: Connector) -> Result<ConvocoreV3> {
    let config = Config::read(settings)
        .map_err(|_| Error::new(ErrorKind::Usage, "connect", "the settings are not valid"))?;
    let client = connector.client(config.base, ConvocoreV3Dialect)?;
    Ok(ConvocoreV3 { client, agent_id: config.agent_id, zone: config::zone(settings) })
}

impl ConvocoreV3 {
    /// Returns the call of the bulk export, with a page size.
    pub(crate) fn export_call(&self, limit: u32) -> Call {
        Call::new(EXPORT, ["agents", &self.agent_id, "convos", "export"])
            .query("format", "json")
            .query("limit", limit)
    }

    /// Reads the agent itself, which is not metered.
    pub(crate) async fn agent(&self) -> Result<AgentInfo> {
        let call = Call::new(AGENT, ["agents", &self.agent_id]);
        let (document, clock_skew_seconds) = self.client.json_with_clock_skew::<Box<RawValue>>(&call).await?;
        let document = document.get().as_bytes();
        let answer: Envelope<Agent> = self.client.decode(&call, document, None)?;
        if answer.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&answer), None));
        }
        let agent = match answer.data {
            Some(agent) => agent,
            None => self.client.decode(&call, document, None)?,
        };
        let confirmed = agent.id.is_some() || agent.title.is_some() || agent.name.is_some();
        Ok(AgentInfo { name: agent.title.or(agent.name), confirmed, clock_skew_seconds })
    }

    /// Requests a window of the export that cannot contain a conversation.
    pub(crate) async fn empty_window(&self) -> Result<EmptyWindow> {
        let call = self.export_call(PROBE_LIMIT);
        self.nothing(call.query("fromTs", NO_CONVERSATION_YET).query("toTs", NO_CONVERSATION_YET)).await
    }

    /// Requests an id of the export that no conversation has.
    pub(crate) async fn unknown_id(&self) -> Result<EmptyWindow> {
        self.nothing(self.export_call(PROBE_LIMIT).query("convoIds", NO_CONVERSATION)).await
    }

    async fn nothing(&self, call: Call) -> Result<EmptyWindow> {
        let mut elements = self.client.array(call.clone(), "data");
        let (mut counts, mut undated) = (Counts::default(), Vec::new());
        loop {
            match elements.next().await? {
                ArrayEvent::Restarted => (counts, undated) = (Counts::default(), Vec::new()),
                // A deployment may count what has no date to every window.
                ArrayEvent::Element(bytes) => match exported(bytes, self.zone) {
                    item if item.start.is_none() => {
                        counts.add(&item);
                        undated.push(item.record);
                    }
                    // The rest of the response is not read: dropping it closes the connection.
                    item => {
                        undated.push(item.record);
                        return Ok(EmptyWindow::Ignored(undated));
                    }
                },
                ArrayEvent::End => break,
            }
        }
        let answer: Envelope<Value> = elements.envelope()?;
        if answer.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&answer), elements.request_id()));
        }
        self.expect_array(&call, &answer, elements.request_id())?;
        Ok(EmptyWindow::Empty(Box::new(EmptyPage { answer, counts, undated })))
    }

    fn expect_array(&self, call: &Call, answer: &Envelope<Value>, request_id: Option<&str>) -> Result<()> {
        if answer.data.as_ref().is_some_and(Value::is_array) {
            return Ok(());
        }
        let message = "the response has no array at `data`";
        Err(self.client.error(call, ErrorKind::Malformed, message, request_id))
    }

    /// Reads one conversation through its own route, and what the envelope says.
    pub(crate) async fn single(&self, id: &RecordId) -> Result<(Exported, Envelope<Box<RawValue>>)> {
        let call = Call::new(SINGLE, ["agents", &self.agent_id, "convos", id.as_str(), "export"])
            .query("format", "json");
        let mut answer: Envelope<Box<RawValue>> = self.client.json(&call).await?;
        if answer.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&answer), None));
        }
        let Some(data) = answer.data.take() else {
            let message = "the response has no conversation at `data`";
            return Err(self.client.error(&call, ErrorKind::Malformed, message, None));
        };
        Ok((exported(Box::<str>::from(data).into_string().into(), self.zone), answer))
    }

    /// Reads the envelope of one response, and counts its cost against the budget. `most_units` is the most that the
    /// response can have cost, for a vendor that does not say it.
    pub(crate) fn page_metadata<T>(
        &self,
        answer: &Envelope<T>,
        elements: u64,
        most_units: u64,
    ) -> PageMetadata {
        let usage = answer.usage.as_ref();
        let quota_used = usage.and_then(|usage| usage.billable_used_this_request);
        self.client.spend_quota(quota_used.unwrap_or(most_units));
        PageMetadata {
            pages: 1,
            skipped: answer.scanned_convo_count.map_or(0, |scanned| scanned.saturating_sub(elements)),
            quota_used,
            quota_left: usage.and_then(|usage| usage.billable_remaining_this_period),
            ..PageMetadata::default()
        }
    }

    /// Reads the agent itself, because an empty response does not prove that it exists.
    pub(crate) async fn explain_emptiness(&self) -> Result<String> {
        let info = self.agent().await?;
        Ok(if info.confirmed {
            "the agent exists, and the vendor has no conversation that matches; conversations without a human message are not exported".to_owned()
        } else {
            "the vendor has no conversation that matches; whether the agent exists is not proved, since the vendor does not describe it".to_owned()
        })
    }

    /// Quotes a text of the vendor on one line, without keys and at a readable length.
    pub(crate) fn quote(&self, call: &Call, text: &str) -> String {
        const MOST_CHARACTERS: usize = 200;
        // An error removes the keys and the line breaks from its message.
        let error = self.client.error(call, ErrorKind::Incomplete, text, None);
        error.message().chars().take(MOST_CHARACTERS).collect()
    }
}
