//! One row for each person, whichever sources they wrote to.

use chatark_core::{ArchivedConversation, ListedContact, Origin, Result, Stream, Timestamp};
use chatark_target::{FieldOutcome, FieldRule, LossReport, Person};

use crate::people::People;
use crate::target::{Item, Mapper};

pub(crate) const COLUMNS: &[&str] = &[
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

const ONE_ROW: &str = "one row for each person: the newest value that is known";
const RULES: &[FieldRule] = &[
    ("contact.*", FieldOutcome::Kept, ONE_ROW),
    ("conversation.tags", FieldOutcome::Approximated, "those of all conversations of a person together"),
    ("conversation.created_at", FieldOutcome::Approximated, "as the first time that a person was seen"),
    ("conversation.updated_at", FieldOutcome::Approximated, "as the last time that a person was seen"),
];

impl Mapper for People {
    fn meet(&mut self, origin: &Origin, list: Stream, entry: &ListedContact, loss_report: &mut LossReport) {
        Self::meet(self, origin, list, entry, loss_report);
    }

    fn map(&mut self, archived: &ArchivedConversation, loss_report: &mut LossReport) -> Result<Vec<Item>> {
        self.gather(RULES, archived, loss_report);
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>, _: &mut LossReport) -> Vec<Item> {
        (*self).finish().map(|person| Item::Row(row(person))).collect()
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
