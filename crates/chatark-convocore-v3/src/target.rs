//! Writes into Convocore: conversations by creating them and then replacing their turns, and people as leads.
//!
//! `POST …/send` and whatever else reaches a customer is never called.

use std::time::Duration;

use async_trait::async_trait;
use chatark_core::{
    Capabilities, DataKind, Error, ErrorKind, FieldOutcome, Found, KindLimits, LossReport, MigrationItem,
    OutboundItem, Result, Settings, Target, Visitor, list_under,
};
use chatark_http::{Call, Connector, CursorGuard, PageGuard};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dialect::refusal_inside;
use crate::source::{ConvocoreV3, open_account};
use crate::wire::{Answer, Created, Leads, Row, Written};
use crate::{DESCRIPTOR, pack};

const CREATE: &str = "create a conversation";
const REPLACE: &str = "write the messages of a conversation";
const LIST: &str = "list conversations";
const READ: &str = "read a conversation";
const CREATE_LEADS: &str = "create leads";
const LIST_LEADS: &str = "list leads";

/// The most conversations of one page of the list, since August 2026.
const PAGE_LIMIT: u64 = 20;
/// How many leads go with one request and come with one page. The vendor documents no limit; this is an assumption.
const LEADS_LIMIT: usize = 50;

/// What the vendor takes: its documents, its public code and published tests up to August 2026.
const TERMS: Capabilities = Capabilities {
    title: DESCRIPTOR.title,
    takings: &[
        KindLimits {
            cargo: DataKind::History,
            at_once: 1,
            requests_each: 1,
            listed_at_once: PAGE_LIMIT,
            unique_email: false,
            text_characters: None,
            rules: &[],
        },
        KindLimits {
            cargo: DataKind::Contacts,
            at_once: LEADS_LIMIT,
            requests_each: 0,
            listed_at_once: LEADS_LIMIT as u64,
            unique_email: false,
            text_characters: None,
            rules: pack::LEAD_RULES,
        },
    ],
    pace: None,
    notes: &[
        "no bot answers and no customer is told: the calls cost no credits",
        "conversations that were created over the API answered 404 in July and August 2026; the first one goes alone, and the run ends there if it does",
        "the vendor documents no rate limit for these calls",
    ],
};

const UNREACHABLE: &str = "the vendor does not find the conversation that it has just created, a defect that was seen in July and August 2026: ask its support, and delete that one empty conversation; people can still go with `--only contacts`";

/// The codes of the vendor's framework that find fault with what was sent.
const FAULTS: [&str; 6] = [
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
    fn terms(&self) -> &'static Capabilities {
        &TERMS
    }

    fn pack(&self, load: MigrationItem<'_>, losses: &mut LossReport) -> Result<Option<OutboundItem>> {
        Ok(match load {
            MigrationItem::Conversation(found) => pack::conversation(found, losses),
            MigrationItem::Person(person) => {
                let parcel = pack::lead(person);
                let is_lost = usize::from(parcel.is_none());
                losses.note_of(
                    "person",
                    FieldOutcome::Lost,
                    "no name, address or number is known",
                    is_lost,
                    &person.key,
                );
                parcel
            }
            MigrationItem::Answer(_) | MigrationItem::Text(_) => None,
        })
    }

    async fn create(&self, cargo: DataKind, parcels: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        match (cargo, parcels) {
            (DataKind::History, [parcel]) => Ok(vec![Some(self.create_conversation(parcel).await?)]),
            (DataKind::Contacts, parcels) => self.create_leads(parcels).await,
            _ => Err(Error::new(ErrorKind::Unexpected, CREATE, "this is not taken in this form")),
        }
    }

    async fn complete(&self, parcel: &OutboundItem, id: &str) -> Result<()> {
        if parcel.completion.is_empty() {
            return Ok(());
        }
        let call = Call::new(REPLACE, ["agents", &self.agent_id, "convos", id, "messages"])
            .replacing(parcel.completion.clone());
        let written: Written = match self.asked(&call).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error.with("conversation", id).hint(UNREACHABLE));
            }
            written => written?,
        };
        match written.messages_num.filter(|number| *number != parcel.messages) {
            None => Ok(()),
            Some(number) => {
                let message = format!("the vendor says that it has {number} messages of {}", parcel.messages);
                Err(self.client.fault(&call, ErrorKind::Incomplete, message, None).with("conversation", id))
            }
        }
    }

    async fn settle(&self, ago: Duration) -> Result<()> {
        self.client.settle(LIST, ago).await
    }

    async fn each_held(&self, cargo: DataKind, look: Visitor<'_>) -> Result<()> {
        match cargo {
            DataKind::History => self.each_conversation(look).await,
            DataKind::Contacts => self.each_lead(look).await,
            DataKind::Knowledge => Ok(()),
        }
    }
}

impl ConvocoreV3 {
    async fn create_conversation(&self, parcel: &OutboundItem) -> Result<String> {
        let call = Call::new(CREATE, ["agents", &self.agent_id, "convos"]).adding(parcel.creation.clone());
        let created: Created = self.asked(&call).await?;
        created.id.ok_or_else(|| {
            let message = "the answer has no id of the new conversation";
            self.client.fault(&call, ErrorKind::Malformed, message, None).doubtful()
        })
    }

    async fn create_leads(&self, parcels: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        let call = Call::new(CREATE_LEADS, ["agents", &self.agent_id, "leads", "bulk"])
            .adding(list_under("leads", parcels));
        let answer: Answer<Value> = self.client.json(&call).await?;
        if answer.says_no() {
            return Err(self.said_no(&call, &answer));
        }
        match answer.count.filter(|count| *count != parcels.len() as u64) {
            None => Ok(vec![None; parcels.len()]),
            Some(count) => {
                let message = format!("the vendor says that it has written {count} of {}", parcels.len());
                Err(self.client.fault(&call, ErrorKind::Incomplete, message, None).doubtful())
            }
        }
    }

    /// Returns a refusal inside a success. Only where its code finds fault with what was sent, nothing was done.
    fn said_no<T>(&self, call: &Call, answer: &Answer<T>) -> Error {
        let error = self.client.refused(call, refusal_inside(answer), None);
        let is_certain =
            error.kind() != ErrorKind::Refused || answer.code().is_some_and(|code| FAULTS.contains(&code));
        if is_certain { error } else { error.doubtful() }
    }

    /// Asks for what stands under `data`.
    async fn asked<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer: Answer<T> = self.client.json(call).await?;
        if answer.says_no() {
            return Err(self.said_no(call, &answer));
        }
        answer.data.ok_or_else(|| {
            let message = "the answer has nothing at `data`";
            self.client.fault(call, ErrorKind::Malformed, message, None).doubtful()
        })
    }

    async fn each_conversation(&self, look: Visitor<'_>) -> Result<()> {
        let list = Call::new(LIST, ["agents", &self.agent_id, "convos"]).query("limit", PAGE_LIMIT);
        let (mut call, mut guard) = (list.clone(), CursorGuard::default());
        loop {
            let answer: Answer<Vec<Row>> = self.client.json(&call).await?;
            if answer.says_no() {
                return Err(self.client.refused(&call, refusal_inside(&answer), None));
            }
            let Some(rows) = &answer.data else {
                let message = "the answer has no array at `data`";
                return Err(self.client.fault(&call, ErrorKind::Malformed, message, None));
            };
            for row in rows {
                self.show(row, look).await?;
            }
            let next = self.client.next_cursor(&call, answer.has_more, answer.cursor(), &mut guard, None)?;
            let Some(cursor) = next else { return Ok(()) };
            call = list.clone().query("cursor", cursor);
        }
    }

    /// Shows a row of the list. The list has no notes, so the sign is asked for where somebody wants to see it.
    async fn show(&self, row: &Row, look: Visitor<'_>) -> Result<()> {
        let found = Found { id: row.id.clone(), sign: row.sign(), messages: row.messages_num, email: None };
        let (true, Some(id)) = (look(&found)? && found.sign.is_none() && row.was_carried(), &row.id) else {
            return Ok(());
        };
        let call = Call::new(READ, ["agents", &self.agent_id, "convos", id]);
        match self.asked::<Row>(&call).await {
            Ok(whole) => look(&Found { sign: whole.sign(), ..found }).map(drop),
            // It is listed and cannot be read: whether it is ours will be seen when it can.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(error.with("conversation", id).hint(UNREACHABLE))
            }
            Err(error) => Err(error),
        }
    }

    async fn each_lead(&self, look: Visitor<'_>) -> Result<()> {
        let mut guard = PageGuard::default();
        for page in 1_u64.. {
            let call = Call::new(LIST_LEADS, ["agents", &self.agent_id, "leads"])
                .query("page", page)
                .query("limit", LEADS_LIMIT);
            let answer: Leads = self.client.json(&call).await?;
            let mut shown = Vec::new();
            for lead in &answer.leads {
                let found = Found { id: lead.id.clone(), sign: lead.sign(), ..Found::default() };
                look(&found)?;
                shown.push((found.id, found.sign));
            }
            if !guard.advance(LIST_LEADS, &shown, answer.total)? {
                break;
            }
        }
        Ok(())
    }
}
