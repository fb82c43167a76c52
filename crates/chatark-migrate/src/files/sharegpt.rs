//! Conversations in the form of `ShareGPT`, one a line: `{"id", "conversations": [{"from", "value"}]}`.
//!
//! Speakers take turns, and the person begins, as those who train on such files expect it.

use chatark_core::{ArchivedConversation, FieldOutcome, LossReport, Result, Role, Rule};
use serde_json::{Value, json};

use crate::target::{Item, Mapper};

pub(crate) struct ShareGpt;

const RULES: &[Rule] = &[
    ("conversation.id", FieldOutcome::Kept, "as `id`, after the name of the source"),
    ("message.role.*", FieldOutcome::Kept, ""),
    ("part.text", FieldOutcome::Kept, ""),
];

impl Mapper for ShareGpt {
    fn map(&mut self, found: &ArchivedConversation, losses: &mut LossReport) -> Result<Vec<Item>> {
        let mut turns: Vec<(&str, String)> = Vec::new();
        let mut fates = Vec::new();
        for message in &found.conversation.messages {
            let text = message.text();
            let texts = message.parts.iter().filter(|part| part.as_text().is_some()).count();
            let has_asked = turns.iter().any(|(from, _)| *from == "human");
            let (from, fate) = match message.role {
                Role::User => ("human", (FieldOutcome::Kept, "as `human`")),
                Role::Assistant => ("gpt", (FieldOutcome::Kept, "as `gpt`")),
                Role::HumanAgent => ("gpt", (FieldOutcome::Approximated, "as `gpt`")),
                Role::System => ("system", (FieldOutcome::Kept, "as `system`")),
                _ => ("", (FieldOutcome::Lost, "the format has no such role")),
            };
            let fate = match turns.last_mut() {
                _ if from.is_empty() => fate,
                _ if text.is_empty() => (FieldOutcome::Lost, "it has no text"),
                _ if from == "gpt" && !has_asked => {
                    (FieldOutcome::Lost, "an answer before the first question")
                }
                Some((before, value)) if *before == from => {
                    value.push_str("\n\n");
                    value.push_str(&text);
                    (FieldOutcome::Approximated, "joined with the one before, by the same speaker")
                }
                _ => {
                    turns.push((from, text));
                    fate
                }
            };
            fates.push((message.role, texts, fate));
        }
        if !turns.iter().any(|(from, _)| *from == "gpt") {
            losses.leave("nobody answers a question in it", found);
            return Ok(Vec::new());
        }
        losses.apply(RULES, found);
        for (role, texts, (fate, why)) in fates {
            losses.note(format!("message.role.{}", role.as_str()), fate, why, 1, found);
            losses.note("part.text", fate, why, texts, found);
        }
        let turns: Vec<Value> =
            turns.into_iter().map(|(from, value)| json!({"from": from, "value": value})).collect();
        let id = format!("{}/{}", found.origin.source, found.conversation.id);
        Ok(vec![Item::Line(json!({"id": id, "conversations": turns}))])
    }

    fn finish(self: Box<Self>, _: &mut LossReport) -> Vec<Item> {
        Vec::new()
    }
}
