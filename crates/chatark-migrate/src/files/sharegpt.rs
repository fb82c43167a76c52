//! Conversations in the form of `ShareGPT`, one a line: `{"id", "conversations": [{"from", "value"}]}`.
//!
//! Speakers take turns, and the person begins, as those who train on such files expect it.

use chatark_core::{ArchivedConversation, Result, Role};
use serde_json::{Value, json};

use crate::loss::{Fate, Losses, Rule};
use crate::target::{Item, Mapper};

pub(crate) struct ShareGpt;

const RULES: &[Rule] = &[
    ("conversation.id", Fate::Kept, "as `id`, after the name of the source"),
    ("message.role.user", Fate::Kept, "as `human`"),
    ("message.role.assistant", Fate::Kept, "as `gpt`"),
    ("message.role.human_agent", Fate::Approximated, "as `gpt`"),
    ("message.role.system", Fate::Kept, "as `system`"),
    ("part.text", Fate::Kept, "as `value`"),
];

impl Mapper for ShareGpt {
    fn map(&mut self, found: &ArchivedConversation, losses: &mut Losses) -> Result<Vec<Item>> {
        let mut turns: Vec<(&str, String)> = Vec::new();
        let (mut joined, mut greetings) = (0, 0);
        for message in &found.conversation.messages {
            let from = match message.role {
                Role::User => "human",
                Role::Assistant | Role::HumanAgent => "gpt",
                Role::System => "system",
                _ => continue,
            };
            let text = message.text();
            let has_asked = turns.iter().any(|(from, _)| *from == "human");
            match turns.last_mut() {
                _ if text.is_empty() => {}
                _ if from == "gpt" && !has_asked => greetings += 1,
                Some((before, value)) if *before == from => {
                    value.push_str("\n\n");
                    value.push_str(&text);
                    joined += 1;
                }
                _ => turns.push((from, text)),
            }
        }
        if !turns.iter().any(|(from, _)| *from == "gpt") {
            losses.note("conversation", Fate::Lost, "nobody answers in it", 1, found);
            return Ok(Vec::new());
        }
        losses.apply(RULES, found);
        losses.note(
            "message",
            Fate::Approximated,
            "joined with the one before, by the same speaker",
            joined,
            found,
        );
        losses.note("message", Fate::Lost, "an answer before the first question", greetings, found);
        let turns: Vec<Value> =
            turns.into_iter().map(|(from, value)| json!({"from": from, "value": value})).collect();
        let id = format!("{}/{}", found.origin.source, found.conversation.id);
        Ok(vec![Item::Line(json!({"id": id, "conversations": turns}))])
    }

    fn finish(self: Box<Self>) -> Vec<Item> {
        Vec::new()
    }
}
