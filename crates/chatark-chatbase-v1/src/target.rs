//! Writes people into Chatbase v1 as contacts. The API takes no history, and no other call is made.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::fields::put;
use chatark_core::{Error, ErrorKind, Result, Settings};
use chatark_http::{Call, Connector, PageGuard};
use chatark_target::{
    Capabilities, DataKind, FieldOutcome, FieldRule, HeldItem, KindLimits, LossReport, MigrationItem,
    OutboundItem, Person, Target, Visitor, array_body,
};
use serde_json::{Map, Value};

use crate::DESCRIPTOR;
use crate::account::ChatbaseV1;
use crate::wire::{Acknowledged, ContactIdsPage};

const CREATE: &str = "create contacts";
const LIST: &str = "list contacts";
/// The most contacts of one request and of one page, by the vendor's documents.
const CONTACTS_LIMIT: usize = 1_000;

const ATTRIBUTE: &str =
    "as a custom attribute of this name, if the agent has one; otherwise the vendor drops it silently";
const NEWEST: &str = "one contact for each person: the newest known value";

const RULES: &[FieldRule] = &[
    ("contact.id", FieldOutcome::Kept, "as external_id; if two people share one, the second gets another"),
    ("contact.name", FieldOutcome::Kept, NEWEST),
    ("contact.email", FieldOutcome::Kept, NEWEST),
    ("contact.phone", FieldOutcome::Kept, NEWEST),
    ("contact.company", FieldOutcome::Approximated, ATTRIBUTE),
    ("contact.address", FieldOutcome::Approximated, ATTRIBUTE),
    ("contact.website", FieldOutcome::Approximated, ATTRIBUTE),
];

/// What the vendor takes, by its documents of autumn 2026.
const CAPABILITIES: Capabilities = Capabilities {
    title: DESCRIPTOR.title,
    kinds: &[KindLimits {
        kind: DataKind::Contacts,
        items_per_request: CONTACTS_LIMIT,
        further_requests: 0,
        items_per_page: CONTACTS_LIMIT as u64,
        unique_email: true,
        text_characters: None,
        field_rules: RULES,
    }],
    rate_limit: None,
    notes: &[
        "Chatbase takes no history: its chat call would answer again, cost credits and use today's date; conversations stay in the archive",
        "Chatbase takes each e-mail address once: contacts that exist already are not changed",
    ],
};

/// Creates the target of one agent.
pub fn connect_target(settings: &Settings, connector: Connector) -> Result<Box<dyn Target>> {
    Ok(Box::new(ChatbaseV1::open(settings, connector)?))
}

#[async_trait]
impl Target for ChatbaseV1 {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn pack(&self, item: MigrationItem<'_>, _: &mut LossReport) -> Result<Option<OutboundItem>> {
        let MigrationItem::Person(person) = item else { return Ok(None) };
        let email = person.contact.email.as_deref().map(|email| email.trim().to_lowercase());
        Ok(Some(OutboundItem {
            idempotency_key: person.key.clone(),
            previous_keys: person.previous_keys.clone(),
            external_id: person.external_id.clone(),
            email,
            origin: None,
            messages: 0,
            create_body: user(person).into(),
            complete_body: Bytes::new(),
        }))
    }

    async fn create(&self, kind: DataKind, items: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        if kind != DataKind::Contacts {
            return Err(Error::new(ErrorKind::Unexpected, CREATE, "only contacts can be created"));
        }
        let call =
            Call::new(CREATE, ["chatbots", &self.agent_id, "contacts"]).create(array_body("users", items));
        let answer: Acknowledged = self.client.json(&call).await?;
        Ok(items.iter().map(|item| answer.id_of(&item.external_id)).collect())
    }

    async fn wait_for_late_effects(&self, ago: Duration) -> Result<()> {
        self.client.wait_for_late_effects(LIST, ago).await
    }

    async fn visit_held(&self, _: DataKind, visitor: Visitor<'_>) -> Result<()> {
        let mut guard = PageGuard::default();
        for page in 1_u64.. {
            let call = Call::new(LIST, ["chatbots", &self.agent_id, "contacts"])
                .query("page", page)
                .query("per_page", CONTACTS_LIMIT);
            let answer: ContactIdsPage = self.client.json(&call).await?;
            let mut listed = Vec::new();
            for contact in &answer.data {
                let (id, external_id, email) = (contact.id(), contact.external_id(), contact.email());
                let held = HeldItem { id, external_id, messages: None, email };
                visitor(&held)?;
                listed.push((held.id, held.external_id));
            }
            if !guard.advance(LIST, &listed, answer.total)? {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the vendor's JSON of a contact.
fn user(person: &Person) -> String {
    let contact = &person.contact;
    let mut attributes = Map::new();
    for (key, value) in
        [("company", &contact.company), ("address", &contact.address), ("website", &contact.website)]
    {
        put(&mut attributes, key, value.as_deref());
    }
    let mut user = Map::new();
    for (key, value) in [
        ("external_id", Some(person.external_id.as_str())),
        ("name", contact.name.as_deref()),
        ("email", contact.email.as_deref()),
        ("phonenumber", contact.phone.as_deref()),
    ] {
        put(&mut user, key, value);
    }
    if !attributes.is_empty() {
        user.insert("custom_attributes".to_owned(), attributes.into());
    }
    Value::Object(user).to_string()
}
