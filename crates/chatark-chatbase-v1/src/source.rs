//! What Chatbase v1 offers, and which file reads it.

use async_trait::async_trait;
use chatark_core::{
    AgentInfo, Batch, BatchStream, ChangeDetection, Descriptor, Error, ErrorKind, Estimate, Provider,
    ReadRequest, Result, Selection, SettingProblem, Settings, Stream, StreamDescriptor, UnseenRecord,
};
use chatark_http::{Call, Connector};
use futures_util::stream;

use crate::account::{ChatbaseV1, PROVIDER};
use crate::config::{Config, SETTINGS};
use crate::contacts::{ContactWalk, is_contact_list};
use crate::counter::ListCounter;
use crate::failure::is_refusal;
use crate::list::{GET_CONVERSATIONS, NumberedList};
use crate::parameters::Parameters;
use crate::step;
use crate::unseen;
use crate::walk::{PageWalk, requests};
use crate::wire;

/// What this provider is and can do.
pub static DESCRIPTOR: Descriptor = Descriptor {
    name: PROVIDER,
    title: "Chatbase API v1",
    settings: SETTINGS,
    streams: &[
        StreamDescriptor {
            stream: Stream::Conversations,
            parent: None,
            reports_total: false,
            changes: ChangeDetection::LookBack,
        },
        StreamDescriptor {
            stream: Stream::Contacts,
            parent: None,
            reports_total: true,
            changes: ChangeDetection::Unsupported,
        },
        StreamDescriptor {
            stream: Stream::Leads,
            parent: None,
            reports_total: false,
            changes: ChangeDetection::Unsupported,
        },
    ],
    selects_user: false,
    selects_conversations: false,
    full_sweep_days: 7,
    dates_are_zoneless: true,
};

/// Creates the provider of one source.
pub fn connect(settings: &Settings, connector: Connector) -> Result<Box<dyn Provider>> {
    Ok(Box::new(ChatbaseV1::open(settings, connector)?))
}

/// Validates settings beyond their types.
pub fn validate(settings: &Settings) -> Vec<SettingProblem> {
    Config::read(settings).err().unwrap_or_default()
}

#[async_trait]
impl Provider for ChatbaseV1 {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// An unknown agent answers 200 with an empty page, so only an agent with conversations is confirmed.
    async fn check(&self) -> Result<AgentInfo> {
        let call = Call::new(GET_CONVERSATIONS, ["get-conversations"]).query("chatbotId", &self.agent_id);
        let call = call.query("page", 1).query("size", 1);
        let (page, clock_skew_seconds) = self.client.json_with_clock_skew::<wire::Envelope>(&call).await?;
        let confirmed = page.data.is_some_and(|data| !data.is_empty());
        Ok(AgentInfo { name: None, confirmed, clock_skew_seconds })
    }

    async fn estimate(&self, request: &ReadRequest) -> Result<Estimate> {
        let whole = NumberedList::new(self, Stream::Conversations);
        let parameters = Parameters::of(request);
        let is_narrowed = !parameters.is_empty();
        let mut estimate = Estimate::default();
        let mut counter = ListCounter::new(whole.with(parameters));
        let count = match counter.count().await {
            Err(error) if is_narrowed && is_refusal(&error) => {
                estimate.notes.push(
                    "this host refuses dates or `filteredSources`, so all conversations were counted"
                        .to_owned(),
                );
                counter.list = whole;
                counter.count().await?
            }
            count => count?,
        };
        match count {
            Some(count) => {
                estimate.conversations = Some(count);
                estimate.requests = Some(requests(count));
            }
            None => estimate.notes.push(
                "this host sends the same page for every page number, so nothing can be counted".to_owned(),
            ),
        }
        Ok(Estimate { requests_sent: counter.requests, ..estimate })
    }

    fn read(&self, request: ReadRequest) -> BatchStream<'_> {
        if is_contact_list(request.stream) {
            return Box::pin(stream::try_unfold(Some(ContactWalk::new(self, &request)), |walk| async {
                let Some(walk) = walk else { return Ok(None) };
                step::next(walk).await.map(Some)
            }));
        }
        if request.selection != Selection::All {
            let error = Error::new(ErrorKind::Usage, GET_CONVERSATIONS, "API v1 only gives whole agents");
            return Box::pin(stream::once(async { Err(error) }));
        }
        Box::pin(stream::try_unfold(Some(PageWalk::new(self, &request)), |walk| async {
            let Some(walk) = walk else { return Ok(None) };
            step::next(walk).await.map(Some)
        }))
    }

    async fn find_unseen(&self, unseen: &[UnseenRecord]) -> Result<Batch> {
        unseen::find(self, unseen).await
    }
}
