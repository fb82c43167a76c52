//! What survives a migration: counted field by field, over what the conversations really have.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ArchivedConversation, Part};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOutcome {
    /// It arrives as it is.
    Kept,
    /// Something of it arrives, or it arrives in another form.
    Approximated,
    /// Nothing of it arrives.
    Lost,
}

/// What becomes of one field, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The field, such as `message.created_at` or `part.image`.
    pub field: String,
    /// What becomes of it.
    pub fate: FieldOutcome,
    /// How often it occurs.
    pub count: u64,
    /// A conversation in which it does.
    pub example: String,
    /// In which form it arrives, or why not.
    pub why: String,
}

/// The fates of all fields.
#[derive(Debug, Default)]
pub struct LossReport(BTreeMap<(String, FieldOutcome, &'static str), (u64, String)>);

/// What a target does with the fields of one name. Without a reason, it notes each of them itself.
pub type Rule = (&'static str, FieldOutcome, &'static str);

/// Why a field without a rule is lost.
const NO_PLACE: &str = "the target has no place for it";

impl FieldOutcome {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Approximated => "approximated",
            Self::Lost => "lost",
        }
    }
}

impl Loss {
    /// The names of the columns of [`Loss::cells`].
    pub const COLUMNS: [&'static str; 5] = ["field", "fate", "count", "example", "why"];

    /// Returns the row of a table.
    pub fn cells(&self) -> [String; 5] {
        [
            self.field.clone(),
            self.fate.as_str().to_owned(),
            self.count.to_string(),
            self.example.clone(),
            self.why.clone(),
        ]
    }
}

impl LossReport {
    /// Notes what became of fields of one name.
    pub fn note(
        &mut self,
        field: impl Into<String>,
        fate: FieldOutcome,
        why: &'static str,
        count: usize,
        example: &ArchivedConversation,
    ) {
        self.note_of(field, fate, why, count, example.conversation.id.as_str());
    }

    /// Notes what became of fields of one name, with the id of a conversation that has one.
    pub fn note_of(
        &mut self,
        field: impl Into<String>,
        fate: FieldOutcome,
        why: &'static str,
        count: usize,
        example: &str,
    ) {
        if count > 0 {
            let example = || (0, example.to_owned());
            self.0.entry((field.into(), fate, why)).or_insert_with(example).0 += count as u64;
        }
    }

    /// Notes that a conversation stays behind as a whole; its fields are not counted besides.
    pub fn leave(&mut self, why: &'static str, found: &ArchivedConversation) {
        self.note("conversation", FieldOutcome::Lost, why, 1, found);
    }

    /// Notes every field that a conversation has, by the rules of a target; a field without a rule is lost.
    pub fn apply(&mut self, rules: &[Rule], found: &ArchivedConversation) {
        each_field(found, |field, count| {
            let rule = rules.iter().find(|(name, ..)| {
                *name == field || name.strip_suffix('*').is_some_and(|start| field.starts_with(start))
            });
            let (fate, why) = rule.map_or((FieldOutcome::Lost, NO_PLACE), |(_, fate, why)| (*fate, *why));
            if !why.is_empty() {
                self.note(field, fate, why, count, found);
            }
        });
    }

    /// Returns the rows, sorted by field.
    pub fn rows(&self) -> Vec<Loss> {
        let row = |((field, fate, why), (count, example)): (
            &(String, FieldOutcome, &'static str),
            &(u64, String),
        )| Loss {
            field: field.clone(),
            fate: *fate,
            count: *count,
            example: example.clone(),
            why: (*why).to_owned(),
        };
        self.0.iter().map(row).collect()
    }
}

/// Names every field that a conversation has, and how often.
fn each_field(found: &ArchivedConversation, mut take: impl FnMut(&str, usize)) {
    let conversation = &found.conversation;
    let contact = &conversation.contact;
    for (field, is_there) in [
        ("conversation.id", true),
        ("conversation.title", conversation.title.is_some()),
        ("conversation.channel", conversation.channel.is_some()),
        ("conversation.status", conversation.status.is_some()),
        ("conversation.created_at", conversation.created_at.is_some()),
        ("conversation.updated_at", conversation.updated_at.is_some()),
        ("conversation.tags", !conversation.tags.is_empty()),
        ("conversation.notes", conversation.notes.is_some()),
        ("conversation.feedback", conversation.feedback.is_some()),
        ("conversation.extra", !conversation.extra.is_empty()),
        ("contact.id", contact.id.is_some()),
        ("contact.name", contact.name.is_some()),
        ("contact.email", contact.email.is_some()),
        ("contact.phone", contact.phone.is_some()),
        ("contact.company", contact.company.is_some()),
        ("contact.address", contact.address.is_some()),
        ("contact.website", contact.website.is_some()),
    ] {
        take(field, usize::from(is_there));
    }
    for message in &conversation.messages {
        take(&format!("message.role.{}", message.role.as_str()), 1);
        take("message.id", usize::from(message.id.is_some()));
        take("message.created_at", usize::from(message.created_at.is_some()));
        take("message.feedback", usize::from(message.feedback.is_some()));
        take("message.score", usize::from(message.score.is_some()));
        take("message.extra", usize::from(!message.extra.is_empty()));
        for part in &message.parts {
            take(kind(part), 1);
        }
    }
}

fn kind(part: &Part) -> &'static str {
    match part {
        Part::Text { .. } => "part.text",
        Part::ToolCall { .. } => "part.tool_call",
        Part::ToolResult { .. } => "part.tool_result",
        Part::Choice { .. } => "part.choice",
        Part::Image { .. } => "part.image",
        Part::File { .. } => "part.file",
        Part::Audio { .. } => "part.audio",
        Part::Card(_) => "part.card",
        Part::Form { .. } => "part.form",
        Part::Other { .. } => "part.other",
    }
}
