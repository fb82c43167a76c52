//! `contacts-csv`: one row for each person, over all sources.

use chatark_core::{ArchivedConversation, ListedContact, Origin, Result, Stream, Timestamp};
use chatark_target::{FieldOutcome, FieldRule, LossReport, Person};

use super::converter::{Converter, FileItem};
use crate::people::People;

pub(super) const COLUMNS: &[&str] = &[
    "external_id",
    "contact_id",
    "name",
    "email",
    "phone",
    "company",
    "address",
    "website",
    "sources",
    "first_seen",
    "last_seen",
    "conversations",
    "tags",
];

const ONE_ROW: &str = "one row for each person: the newest known value";
const RULES: &[FieldRule] = &[
    ("contact.*", FieldOutcome::Kept, ONE_ROW),
    ("conversation.tags", FieldOutcome::Approximated, "the tags of all conversations of a person"),
    ("conversation.created_at", FieldOutcome::Approximated, "as the first time that a person was seen"),
    ("conversation.updated_at", FieldOutcome::Approximated, "as the last time that a person was seen"),
];

impl Converter for People<'_> {
    fn add_listed(
        &mut self,
        origin: &Origin,
        list: Stream,
        listed: &ListedContact,
        loss_report: &mut LossReport,
    ) -> Result<()> {
        Self::add_listed(self, origin, list, listed, loss_report)
    }

    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>> {
        self.add(RULES, archived, loss_report)?;
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>, _: &mut LossReport) -> Vec<FileItem> {
        (*self).finish().map(|person| FileItem::Row(row(person))).collect()
    }
}

fn row(person: Person) -> Vec<String> {
    let Person { key, contact, sources, tags, first_seen, last_seen, conversations, .. } = person;
    let text = |value: Option<String>| value.unwrap_or_default();
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    vec![
        key,
        text(contact.id),
        text(contact.name),
        text(contact.email),
        text(contact.phone),
        text(contact.company),
        text(contact.address),
        text(contact.website),
        sources.join(";"),
        time(first_seen),
        time(last_seen),
        conversations.to_string(),
        tags.join(";"),
    ]
}
