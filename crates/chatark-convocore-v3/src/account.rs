//! One agent of a Convocore account: the requests that read it, and what their envelopes say.

use chatark_core::{AgentInfo, Error, ErrorKind, PageMetadata, Record, RecordId, Result, Settings, Zone};
use chatark_http::{ApiClient, ArrayEvent, Call, Connector};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::{self, Config};
use crate::dialect::{ConvocoreV3Dialect, embedded_error};
use crate::exported::{Counts, Exported};
use crate::wire::{Agent, Envelope};

/// The first second of the year 2100: no conversation begins then.
pub(crate) const FAR_FUTURE_SECOND: i64 = 4_102_444_800;
/// An id that no conversation has.
pub(crate) const UNKNOWN_ID: &str = "chatark-no-conversation";
/// The page size of probes.
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

/// The response to a probe: a request for a window that cannot contain a conversation, or for an unknown id.
pub(crate) enum ProbeResponse {
    /// The deployment ignores the window or the id, and returns conversations. Holds those that were read.
    Ignored(Vec<Record>),
    /// No conversation, which is free, or only conversations without a date.
    Empty(Box<EmptyResponse>),
}

/// A response that holds no conversation with a date.
pub(crate) struct EmptyResponse {
    pub(crate) envelope: Envelope<Value>,
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
        let envelope: Envelope<Agent> = self.client.decode(&call, document, None)?;
        if envelope.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&envelope), None));
        }
        let agent = match envelope.data {
            Some(agent) => agent,
            None => self.client.decode(&call, document, None)?,
        };
        let confirmed = agent.id.is_some() || agent.title.is_some() || agent.name.is_some();
        Ok(AgentInfo { name: agent.title.or(agent.name), confirmed, clock_skew_seconds })
    }

    /// Requests a window of the export that cannot contain a conversation.
    pub(crate) async fn probe_window(&self) -> Result<ProbeResponse> {
        let call = self.export_call(PROBE_LIMIT);
        self.send_probe(call.query("fromTs", FAR_FUTURE_SECOND).query("toTs", FAR_FUTURE_SECOND)).await
    }

    /// Requests an id from the export that no conversation has.
    pub(crate) async fn probe_unknown_id(&self) -> Result<ProbeResponse> {
        self.send_probe(self.export_call(PROBE_LIMIT).query("convoIds", UNKNOWN_ID)).await
    }

    async fn send_probe(&self, call: Call) -> Result<ProbeResponse> {
        let mut elements = self.client.array(call.clone(), "data");
        let (mut counts, mut undated) = (Counts::default(), Vec::new());
        loop {
            match elements.next().await? {
                ArrayEvent::Restarted => (counts, undated) = (Counts::default(), Vec::new()),
                // A deployment may count conversations without a date to every window.
                ArrayEvent::Element(bytes) => match Exported::read(bytes, self.zone) {
                    item if item.start.is_none() => {
                        counts.add(&item);
                        undated.push(item.record);
                    }
                    // The rest of the response is not read: dropping it closes the connection.
                    item => {
                        undated.push(item.record);
                        return Ok(ProbeResponse::Ignored(undated));
                    }
                },
                ArrayEvent::End => break,
            }
        }
        let envelope: Envelope<Value> = elements.envelope()?;
        if envelope.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&envelope), elements.request_id()));
        }
        self.expect_array(&call, &envelope, elements.request_id())?;
        Ok(ProbeResponse::Empty(Box::new(EmptyResponse { envelope, counts, undated })))
    }

    fn expect_array(&self, call: &Call, envelope: &Envelope<Value>, request_id: Option<&str>) -> Result<()> {
        if envelope.data.as_ref().is_some_and(Value::is_array) {
            return Ok(());
        }
        let message = "the response has no array at `data`";
        Err(self.client.error(call, ErrorKind::Malformed, message, request_id))
    }

    /// Reads one conversation through its own route, and returns it with the envelope.
    pub(crate) async fn single(&self, id: &RecordId) -> Result<(Exported, Envelope<Box<RawValue>>)> {
        let call = Call::new(SINGLE, ["agents", &self.agent_id, "convos", id.as_str(), "export"])
            .query("format", "json");
        let mut envelope: Envelope<Box<RawValue>> = self.client.json(&call).await?;
        if envelope.is_error() {
            return Err(self.client.api_error(&call, embedded_error(&envelope), None));
        }
        let Some(data) = envelope.data.take() else {
            let message = "the response has no conversation at `data`";
            return Err(self.client.error(&call, ErrorKind::Malformed, message, None));
        };
        Ok((Exported::read(Box::<str>::from(data).into_string().into(), self.zone), envelope))
    }

    /// Reads the metadata of one response, and counts its cost against the budget. `most_units` is the most that the
    /// response can have cost, which counts if the vendor does not state the cost.
    pub(crate) fn page_metadata<T>(
        &self,
        envelope: &Envelope<T>,
        elements: u64,
        most_units: u64,
    ) -> PageMetadata {
        let usage = envelope.usage.as_ref();
        let quota_used = usage.and_then(|usage| usage.billable_used_this_request);
        self.client.spend_quota(quota_used.unwrap_or(most_units));
        PageMetadata {
            pages: 1,
            skipped: envelope.scanned_convo_count.map_or(0, |scanned| scanned.saturating_sub(elements)),
            quota_used,
            quota_left: usage.and_then(|usage| usage.billable_remaining_this_period),
            vendor_time: self.client.vendor_time(),
            ..PageMetadata::default()
        }
    }

    /// Explains an export without conversations. Reads the agent itself, because an empty response does not prove that
    /// it exists.
    pub(crate) async fn explain_empty_export(&self) -> Result<String> {
        let info = self.agent().await?;
        Ok(if info.confirmed {
            "the agent exists, and the vendor has no conversation that matches; conversations without a human message are not exported".to_owned()
        } else {
            "the vendor has no conversation that matches; whether the agent exists is not proved, since the vendor does not describe it".to_owned()
        })
    }

    /// Quotes a text of the vendor on one line, without keys and at a readable length.
    pub(crate) fn quote(&self, call: &Call, text: &str) -> String {
        const MAX_CHARACTERS: usize = 200;
        // An error removes the keys and the line breaks from its message.
        let error = self.client.error(call, ErrorKind::Incomplete, text, None);
        error.message().chars().take(MAX_CHARACTERS).collect()
    }
}
