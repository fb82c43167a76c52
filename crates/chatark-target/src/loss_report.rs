//! The loss report: what becomes of each field in a migration, counted over the items that are migrated.

use std::collections::BTreeMap;

use chatark_core::{ArchivedConversation, Author, Part};
use serde::Serialize;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOutcome {
    /// It arrives as it is.
    Kept,
    /// It arrives in part, or in another form.
    Approximated,
    /// It does not arrive.
    Lost,
}

/// One row of a loss report: what becomes of one field, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossRow {
    /// The field, such as `message.created_at` or `part.image`.
    pub field: String,
    /// What becomes of it.
    #[serde(rename = "fate")]
    pub outcome: FieldOutcome,
    /// How often it occurs.
    pub count: u64,
    /// The id of a conversation that has it.
    pub example: String,
    /// In which form it arrives, or why it does not.
    pub why: String,
}

/// Counts of field outcomes.
#[derive(Debug, Default)]
pub struct LossReport(BTreeMap<(String, FieldOutcome, &'static str), (u64, String)>);

/// The name of a field, its outcome, and the reason. A name that ends with `*` matches every field with that prefix.
///
/// [`LossReport::add_fields`] does not count a field whose reason is empty: the target counts it itself.
pub type FieldRule = (&'static str, FieldOutcome, &'static str);

/// Why a field without a rule is lost.
pub const NO_FIELD: &str = "the target has no place for it";

impl FieldOutcome {
    /// Returns its word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Approximated => "approximated",
            Self::Lost => "lost",
        }
    }
}

impl LossRow {
    /// The columns of [`LossRow::cells`].
    pub const COLUMNS: [&'static str; 5] = ["field", "fate", "count", "example", "why"];

    /// Returns the cells of the row in a table.
    pub fn cells(&self) -> [String; 5] {
        [
            self.field.clone(),
            self.outcome.as_str().to_owned(),
            self.count.to_string(),
            self.example.clone(),
            self.why.clone(),
        ]
    }
}

impl LossReport {
    /// Counts occurrences of a field in a conversation.
    pub fn add(
        &mut self,
        field: impl Into<String>,
        outcome: FieldOutcome,
        why: &'static str,
        count: usize,
        archived: &ArchivedConversation,
    ) {
        self.add_with_example(field, outcome, why, count, archived.conversation.id.as_str());
    }

    /// Counts occurrences of a field, with the id of an item that has it.
    pub fn add_with_example(
        &mut self,
        field: impl Into<String>,
        outcome: FieldOutcome,
        why: &'static str,
        count: usize,
        example: &str,
    ) {
        if count > 0 {
            let example = || (0, example.to_owned());
            self.0.entry((field.into(), outcome, why)).or_insert_with(example).0 += count as u64;
        }
    }

    /// Counts a conversation that is left out as a whole, without its fields.
    pub fn add_left_out(&mut self, why: &'static str, archived: &ArchivedConversation) {
        self.add("conversation", FieldOutcome::Lost, why, 1, archived);
    }

    /// Counts every field of a conversation by the rules of a target; a field without a rule is lost.
    pub fn add_fields(&mut self, rules: &[FieldRule], archived: &ArchivedConversation) {
        each_field(archived, |field, count| {
            let rule = rules.iter().find(|(name, ..)| {
                *name == field || name.strip_suffix('*').is_some_and(|start| field.starts_with(start))
            });
            let (outcome, why) = rule.map_or((FieldOutcome::Lost, NO_FIELD), |rule| (rule.1, rule.2));
            if !why.is_empty() {
                self.add(field, outcome, why, count, archived);
            }
        });
    }

    /// Returns the rows, sorted by field.
    pub fn rows(&self) -> Vec<LossRow> {
        let rows = self.0.iter().map(|((field, outcome, why), (count, example))| LossRow {
            field: field.clone(),
            outcome: *outcome,
            count: *count,
            example: example.clone(),
            why: (*why).to_owned(),
        });
        rows.collect()
    }
}

/// Passes every field of a conversation to `take`, with the number of its occurrences, which may be zero.
fn each_field(archived: &ArchivedConversation, mut take: impl FnMut(&str, usize)) {
    let conversation = &archived.conversation;
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
        ("conversation.rating", conversation.rating.is_some()),
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
        take("message.author", usize::from(message.author != Author::default()));
        take("message.internal", usize::from(message.internal));
        take("message.extra", usize::from(!message.extra.is_empty()));
        for part in &message.parts {
            take(part_field(part), 1);
        }
    }
}

fn part_field(part: &Part) -> &'static str {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chatark_core::{Conversation, ConversationId, Message, Origin, Role, SourceName};

    use super::*;

    fn archived() -> ArchivedConversation {
        let origin = Origin {
            source: SourceName::new("shop").unwrap(),
            provider: "chatbase-v2".to_owned(),
            agent_id: "agent1".to_owned(),
        };
        let message = |text| Message { parts: vec![Part::text(text)], ..Message::empty(Role::User) };
        let conversation = Conversation {
            title: Some("Order".to_owned()),
            messages: vec![message("Hello"), message("Where is it?")],
            ..Conversation::empty(ConversationId::new("c1"))
        };
        ArchivedConversation { origin: Arc::new(origin), conversation }
    }

    fn rows(report: &LossReport) -> Vec<String> {
        report.rows().iter().map(|row| row.cells().join("|")).collect()
    }

    #[test]
    fn the_first_matching_rule_decides_and_a_field_without_a_rule_is_lost() {
        let rules: &[FieldRule] = &[
            ("message.role.user", FieldOutcome::Kept, "as human"),
            ("message.*", FieldOutcome::Lost, "never"),
            ("part.text", FieldOutcome::Approximated, ""),
            ("conversation.title", FieldOutcome::Approximated, "as the first line"),
        ];
        let mut report = LossReport::default();
        report.add_fields(rules, &archived());
        let expected = [
            "conversation.id|lost|1|c1|the target has no place for it",
            "conversation.title|approximated|1|c1|as the first line",
            "message.role.user|kept|2|c1|as human",
        ];
        assert_eq!(rows(&report), expected);
    }

    #[test]
    fn occurrences_with_the_same_outcome_are_one_row_with_the_first_example() {
        let mut report = LossReport::default();
        report.add_with_example("question", FieldOutcome::Lost, "too many", 3, "first");
        report.add_with_example("question", FieldOutcome::Lost, "too many", 2, "second");
        report.add_with_example("question", FieldOutcome::Kept, "too many", 0, "none");
        report.add_left_out("it is empty", &archived());
        assert_eq!(rows(&report), ["conversation|lost|1|c1|it is empty", "question|lost|5|first|too many"]);
    }
}
