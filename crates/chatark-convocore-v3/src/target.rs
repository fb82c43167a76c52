//! Writes into Convocore: conversations by creating them and then replacing their turns, and people as leads.
//!
//! `POST …/send`, and every other call that reaches a customer, is never used.

use std::time::Duration;

use async_trait::async_trait;
use chatark_core::identifier::masked;
use chatark_core::{Error, ErrorKind, Result, Settings};
use chatark_http::{Call, Connector, CursorGuard, PageGuard};
use chatark_target::{
    Capabilities, DataKind, FieldOutcome, HeldItem, KindLimits, LossReport, MigrationItem, OutboundItem,
    Target, Visit, Visitor, array_body,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::account::{ConvocoreV3, open_account};
use crate::descriptor::DESCRIPTOR;
use crate::dialect::embedded_error;
use crate::pack;
use crate::wire::{CreatedConversation, Envelope, LeadPage, ListedConversation, WrittenTurns};

const CREATE: &str = "create a conversation";
const REPLACE: &str = "write the messages of a conversation";
const LIST: &str = "list conversations";
const READ: &str = "read a conversation";
const CREATE_LEADS: &str = "create leads";
const LIST_LEADS: &str = "list leads";

/// The most conversations of one list page, since August 2026.
const PAGE_LIMIT: u64 = 20;
/// The most leads of one request and of one page. The vendor documents no limit; this is an assumption.
const LEADS_LIMIT: usize = 50;

/// What the vendor takes, by its documents, public code and published tests up to August 2026.
const CAPABILITIES: Capabilities = Capabilities {
    title: DESCRIPTOR.title,
    kinds: &[
        KindLimits {
            kind: DataKind::History,
            items_per_request: 1,
            further_requests: 1,
            items_per_page: PAGE_LIMIT,
            unique_email: false,
            text_characters: None,
            field_rules: &[],
        },
        KindLimits {
            kind: DataKind::Contacts,
            items_per_request: LEADS_LIMIT,
            further_requests: 0,
            items_per_page: LEADS_LIMIT as u64,
            unique_email: false,
            text_characters: None,
            field_rules: pack::LEAD_RULES,
        },
    ],
    rate_limit: None,
    notes: &[
        "no bot answers and no customer is notified: the calls cost no credits",
        "in July and August 2026, conversations created over the API answered 404; the first one is sent alone, and the run stops if that happens",
        "the vendor documents no rate limit for these calls",
    ],
};

const UNREACHABLE: &str = "the vendor does not find a conversation that it has just created, a defect seen in July and August 2026: ask its support, and delete that one empty conversation; people can still be migrated with `--only contacts`";

/// Error codes of the vendor's framework for a request that it has rejected without any effect.
const REJECTIONS: [&str; 6] = [
    "BAD_REQUEST",
    "PARSE_ERROR",
    "CONFLICT",
    "PRECONDITION_FAILED",
    "PAYLOAD_TOO_LARGE",
    "UNPROCESSABLE_CONTENT",
];

/// Creates the target of one agent.
pub fn connect_target(settings: &Settings, connector: Connector) -> Result<Box<dyn Target>> {
    Ok(Box::new(open_account(settings, connector)?))
}

#[async_trait]
impl Target for ConvocoreV3 {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn pack(&self, item: MigrationItem<'_>, loss_report: &mut LossReport) -> Result<Option<OutboundItem>> {
        Ok(match item {
            MigrationItem::Conversation(archived) => pack::conversation(archived, loss_report),
            MigrationItem::Person(person) => {
                let item = pack::lead(person);
                let is_lost = usize::from(item.is_none());
                loss_report.add_with_example(
                    "person",
                    FieldOutcome::Lost,
                    "no name, e-mail address or phone number is known",
                    is_lost,
                    &person.key,
                );
                item
            }
            MigrationItem::QuestionAnswer(_) | MigrationItem::Text(_) => None,
        })
    }

    async fn create(&self, kind: DataKind, items: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        match (kind, items) {
            (DataKind::History, [item]) => Ok(vec![Some(self.create_conversation(item).await?)]),
            (DataKind::Contacts, items) => self.create_leads(items).await,
            _ => Err(Error::new(
                ErrorKind::Unexpected,
                CREATE,
                "only single conversations and leads can be created",
            )),
        }
    }

    async fn complete(&self, item: &OutboundItem, id: &str) -> Result<()> {
        if item.complete_body.is_empty() {
            return Ok(());
        }
        let call = Call::new(REPLACE, ["agents", &self.agent_id, "convos", id, "messages"])
            .replace(item.complete_body.clone());
        let written: WrittenTurns = match self.data(&call).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error.with("conversation", masked(id)).hint(UNREACHABLE));
            }
            written => written?,
        };
        match written.messages_num.filter(|number| *number != item.messages) {
            None => Ok(()),
            Some(number) => {
                let message = format!("the vendor confirms {number} of {} messages", item.messages);
                Err(self
                    .client
                    .error(&call, ErrorKind::Incomplete, message, None)
                    .with("conversation", masked(id)))
            }
        }
    }

    async fn wait_for_late_effects(&self, ago: Duration) -> Result<()> {
        self.client.wait_for_late_effects(LIST, ago).await
    }

    async fn visit_held(&self, kind: DataKind, visitor: Visitor<'_>) -> Result<()> {
        match kind {
            DataKind::History => self.visit_conversations(visitor).await,
            DataKind::Contacts => self.visit_leads(visitor).await,
            DataKind::Knowledge => Ok(()),
        }
    }
}

impl ConvocoreV3 {
    async fn create_conversation(&self, item: &OutboundItem) -> Result<String> {
        let call = Call::new(CREATE, ["agents", &self.agent_id, "convos"]).create(item.create_body.clone());
        let created: CreatedConversation = self.data(&call).await?;
        created.id.ok_or_else(|| {
            let message = "the response has no id of the new conversation";
            self.client.error(&call, ErrorKind::Malformed, message, None).ambiguous()
        })
    }

    async fn create_leads(&self, items: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        let call = Call::new(CREATE_LEADS, ["agents", &self.agent_id, "leads", "bulk"])
            .create(array_body("leads", items));
        let envelope: Envelope<Value> = self.client.json(&call).await?;
        if envelope.is_error() {
            return Err(self.embedded_failure(&call, &envelope));
        }
        match envelope.count.filter(|count| *count != items.len() as u64) {
            None => Ok(vec![None; items.len()]),
            Some(count) => {
                let message = format!("the vendor confirms {count} of {} leads", items.len());
                Err(self.client.error(&call, ErrorKind::Incomplete, message, None).ambiguous())
            }
        }
    }

    /// Returns the error of a response that reports a failure with status 200. It is ambiguous unless its code rules
    /// out any effect.
    fn embedded_failure<T>(&self, call: &Call, envelope: &Envelope<T>) -> Error {
        let error = self.client.api_error(call, embedded_error(envelope), None);
        let is_certain = error.kind() != ErrorKind::Refused
            || envelope.code().is_some_and(|code| REJECTIONS.contains(&code));
        if is_certain { error } else { error.ambiguous() }
    }

    /// Sends a request and returns the `data` of the response.
    async fn data<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let envelope: Envelope<T> = self.client.json(call).await?;
        if envelope.is_error() {
            return Err(self.embedded_failure(call, &envelope));
        }
        envelope.data.ok_or_else(|| {
            let message = "the response has nothing at `data`";
            self.client.error(call, ErrorKind::Malformed, message, None).ambiguous()
        })
    }

    async fn visit_conversations(&self, visitor: Visitor<'_>) -> Result<()> {
        let list = Call::new(LIST, ["agents", &self.agent_id, "convos"]).query("limit", PAGE_LIMIT);
        let (mut call, mut guard) = (list.clone(), CursorGuard::default());
        loop {
            let envelope: Envelope<Vec<ListedConversation>> = self.client.json(&call).await?;
            if envelope.is_error() {
                return Err(self.client.api_error(&call, embedded_error(&envelope), None));
            }
            let Some(rows) = &envelope.data else {
                let message = "the response has no array at `data`";
                return Err(self.client.error(&call, ErrorKind::Malformed, message, None));
            };
            for row in rows {
                self.visit_row(row, visitor).await?;
            }
            let next = self.client.next_cursor_of_whole_list(
                &call,
                envelope.has_more,
                envelope.cursor(),
                &mut guard,
            )?;
            let Some(cursor) = next else { return Ok(()) };
            call = list.clone().query("cursor", cursor);
        }
    }

    /// Passes a row of the list to the visitor. The list has no notes, so the external id needs a separate request.
    async fn visit_row(&self, row: &ListedConversation, visitor: Visitor<'_>) -> Result<()> {
        let held = HeldItem {
            id: row.id.clone(),
            external_id: row.external_id(),
            messages: row.messages_num,
            email: None,
        };
        let needs_external_id = visitor(&held)? == Visit::NeedsExternalId;
        let (true, Some(id)) =
            (needs_external_id && held.external_id.is_none() && row.is_migrated(), &row.id)
        else {
            return Ok(());
        };
        let call = Call::new(READ, ["agents", &self.agent_id, "convos", id]);
        match self.data::<ListedConversation>(&call).await {
            Ok(whole) => visitor(&HeldItem { external_id: whole.external_id(), ..held }).map(drop),
            // It is listed and cannot be read, so its origin is not known.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(error.with("conversation", masked(id)).hint(UNREACHABLE))
            }
            Err(error) => Err(error),
        }
    }

    async fn visit_leads(&self, visitor: Visitor<'_>) -> Result<()> {
        let mut guard = PageGuard::default();
        for page in 1_u64.. {
            let call = Call::new(LIST_LEADS, ["agents", &self.agent_id, "leads"])
                .query("page", page)
                .query("limit", LEADS_LIMIT);
            let leads: LeadPage = self.client.json(&call).await?;
            let mut listed = Vec::new();
            for lead in &leads.leads {
                let held =
                    HeldItem { id: lead.id.clone(), external_id: lead.external_id(), ..HeldItem::default() };
                visitor(&held)?;
                listed.push((held.id, held.external_id));
            }
            if !guard.advance(LIST_LEADS, &listed, leads.total)? {
                break;
            }
        }
        Ok(())
    }
}
