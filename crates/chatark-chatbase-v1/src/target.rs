//! Writes people into Chatbase v1 as contacts. History has no way in, and no other call is made.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::fields::put;
use chatark_core::{
    Capabilities, DataKind, Error, ErrorKind, FieldOutcome, Found, KindLimits, LossReport, MigrationItem,
    OutboundItem, Person, Result, Rule, Settings, Target, Visitor, list_under,
};
use chatark_http::{Call, Connector, PageGuard};
use serde_json::{Map, Value};

use crate::DESCRIPTOR;
use crate::source::{ChatbaseV1, open_account};
use crate::wire::{Acknowledged, KnownContacts};

const CREATE: &str = "create contacts";
const LIST: &str = "list contacts";
/// The most contacts of one call and of one page, by the vendor's documents.
const AT_ONCE: usize = 1_000;

const ATTRIBUTE: &str =
    "as a custom attribute of this name, where the agent has one; else the vendor drops it without a word";
const NEWEST: &str = "one contact for each person: the newest value that is known";

const RULES: &[Rule] = &[
    ("contact.id", FieldOutcome::Kept, "as external_id; where two people share one, the second has another"),
    ("contact.name", FieldOutcome::Kept, NEWEST),
    ("contact.email", FieldOutcome::Kept, NEWEST),
    ("contact.phone", FieldOutcome::Kept, NEWEST),
    ("contact.company", FieldOutcome::Approximated, ATTRIBUTE),
    ("contact.address", FieldOutcome::Approximated, ATTRIBUTE),
    ("contact.website", FieldOutcome::Approximated, ATTRIBUTE),
];

/// What the vendor takes, by its documents of autumn 2026.
const TERMS: Capabilities = Capabilities {
    title: DESCRIPTOR.title,
    takings: &[KindLimits {
        cargo: DataKind::Contacts,
        at_once: AT_ONCE,
        requests_each: 0,
        listed_at_once: AT_ONCE as u64,
        unique_email: true,
        text_characters: None,
        rules: RULES,
    }],
    pace: None,
    notes: &[
        "Chatbase takes no history: chat would answer anew, at a cost, with today's date; conversations stay in the archive",
        "an e-mail address can be there once: who has it there already is left as they are",
    ],
};

/// Creates the target of one agent.
pub fn connect_target(settings: &Settings, connector: Connector) -> Result<Box<dyn Target>> {
    Ok(Box::new(open_account(settings, connector)?))
}

#[async_trait]
impl Target for ChatbaseV1 {
    fn terms(&self) -> &'static Capabilities {
        &TERMS
    }

    fn pack(&self, load: MigrationItem<'_>, _: &mut LossReport) -> Result<Option<OutboundItem>> {
        let MigrationItem::Person(person) = load else { return Ok(None) };
        let (mark, sign) = (person.key.clone(), person.external_id.clone());
        let (creation, former_marks) = (user(person).into(), person.former_keys.clone());
        let email = person.contact.email.as_deref().map(|email| email.trim().to_lowercase());
        let completion = Bytes::new();
        Ok(Some(OutboundItem {
            mark,
            former_marks,
            sign,
            email,
            origin: None,
            messages: 0,
            creation,
            completion,
        }))
    }

    async fn create(&self, cargo: DataKind, parcels: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        if cargo != DataKind::Contacts {
            return Err(Error::new(ErrorKind::Unexpected, CREATE, "this is not taken"));
        }
        let call =
            Call::new(CREATE, ["chatbots", &self.agent_id, "contacts"]).adding(list_under("users", parcels));
        let answer: Acknowledged = self.client.json(&call).await?;
        Ok(parcels.iter().map(|parcel| answer.id_of(&parcel.sign)).collect())
    }

    async fn settle(&self, ago: Duration) -> Result<()> {
        self.client.settle(LIST, ago).await
    }

    async fn each_held(&self, _: DataKind, look: Visitor<'_>) -> Result<()> {
        let mut guard = PageGuard::default();
        for page in 1_u64.. {
            let call = Call::new(LIST, ["chatbots", &self.agent_id, "contacts"])
                .query("page", page)
                .query("per_page", AT_ONCE);
            let answer: KnownContacts = self.client.json(&call).await?;
            let mut shown = Vec::new();
            for contact in &answer.data {
                let (id, sign, email) = (contact.id(), contact.external_id(), contact.email());
                let found = Found { id, sign, messages: None, email };
                look(&found)?;
                shown.push((found.id, found.sign));
            }
            if !guard.advance(LIST, &shown, answer.total)? {
                break;
            }
        }
        Ok(())
    }
}

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
