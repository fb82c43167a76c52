//! Conversations in the form of `ShareGPT`, one per line: `{"id", "conversations": [{"from", "value"}]}`.
//!
//! Speakers alternate, and the human speaks first, as training on these files requires.

use chatark_core::{ArchivedConversation, Result, Role};
use chatark_target::{FieldOutcome, FieldRule, LossReport};
use serde_json::{Value, json};

use super::converter::{Converter, FileItem};

pub(super) struct ShareGpt;

const RULES: &[FieldRule] = &[
    ("conversation.id", FieldOutcome::Kept, "as `id`, after the name of the source"),
    ("message.role.*", FieldOutcome::Kept, ""),
    ("part.text", FieldOutcome::Kept, ""),
];

impl Converter for ShareGpt {
    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>> {
        let mut turns: Vec<(&str, String)> = Vec::new();
        let mut outcomes = Vec::new();
        for message in &archived.conversation.messages {
            let text = message.text();
            let texts = message.parts.iter().filter(|part| part.as_text().is_some()).count();
            let has_question = turns.iter().any(|(from, _)| *from == "human");
            let (from, outcome) = match message.role {
                Role::User => ("human", (FieldOutcome::Kept, "as `human`")),
                Role::Assistant => ("gpt", (FieldOutcome::Kept, "as `gpt`")),
                Role::HumanAgent => ("gpt", (FieldOutcome::Approximated, "as `gpt`")),
                Role::System => ("system", (FieldOutcome::Kept, "as `system`")),
                _ => ("", (FieldOutcome::Lost, "the format has no such role")),
            };
            let outcome = match turns.last_mut() {
                _ if from.is_empty() => outcome,
                _ if text.is_empty() => (FieldOutcome::Lost, "it has no text"),
                _ if from == "gpt" && !has_question => {
                    (FieldOutcome::Lost, "an answer before the first question")
                }
                Some((before, value)) if *before == from => {
                    value.push_str("\n\n");
                    value.push_str(&text);
                    (FieldOutcome::Approximated, "joined with the message before, by the same speaker")
                }
                _ => {
                    turns.push((from, text));
                    outcome
                }
            };
            outcomes.push((message.role, texts, outcome));
        }
        if !turns.iter().any(|(from, _)| *from == "gpt") {
            loss_report.add_left_out("it has no answered question", archived);
            return Ok(Vec::new());
        }
        loss_report.add_fields(RULES, archived);
        for (role, texts, (outcome, why)) in outcomes {
            loss_report.add(format!("message.role.{}", role.as_str()), outcome, why, 1, archived);
            loss_report.add("part.text", outcome, why, texts, archived);
        }
        let turns: Vec<Value> =
            turns.into_iter().map(|(from, value)| json!({"from": from, "value": value})).collect();
        let id = format!("{}/{}", archived.origin.source, archived.conversation.id);
        Ok(vec![FileItem::Line(json!({"id": id, "conversations": turns}))])
    }
}
