//! Conversations as `OpenAI`'s chat API takes them, one a line: `{"messages": [{"role", "content", …}]}`.
//!
//! A call of a tool goes out only together with its result, since the API refuses the one without the other.

use std::collections::HashSet;

use chatark_core::{ArchivedConversation, Message, Part, Result, Role};
use serde_json::{Map, Value, json};

use crate::loss::{Fate, Losses, Rule};
use crate::target::{Item, Mapper};

pub(crate) struct OpenAi;

/// The longest name of a function, by the vendor's reference.
const NAME_LENGTH: usize = 64;
const NO_ROLE: &str = "the format has no such role";
const RULES: &[Rule] = &[
    ("message.role.user", Fate::Kept, "as `user`"),
    ("message.role.assistant", Fate::Kept, "as `assistant`"),
    (
        "message.role.human_agent",
        Fate::Approximated,
        "as `assistant`: the format knows no people beside the user",
    ),
    ("message.role.system", Fate::Kept, "as `system`"),
    ("message.role.*", Fate::Lost, NO_ROLE),
    ("part.text", Fate::Kept, "as `content`"),
    ("part.tool_call", Fate::Kept, ""),
    ("part.tool_result", Fate::Kept, ""),
];

impl Mapper for OpenAi {
    fn map(&mut self, found: &ArchivedConversation, losses: &mut Losses) -> Result<Vec<Item>> {
        let messages = &found.conversation.messages;
        if !messages.iter().any(|message| message.role == Role::Assistant && !message.text().is_empty()) {
            losses.note(
                "conversation",
                Fate::Lost,
                "it has no answer of the assistant to learn from",
                1,
                found,
            );
            return Ok(Vec::new());
        }
        losses.apply(RULES, found);
        let paired = paired(messages);
        for part in messages.iter().flat_map(|message| &message.parts) {
            let (field, kept) = match part {
                Part::ToolCall { .. } => ("part.tool_call", "as `tool_calls`"),
                Part::ToolResult { .. } => ("part.tool_result", "as a message of the tool"),
                _ => continue,
            };
            let is_lost = is_unpaired(part, &paired);
            let (fate, why) =
                if is_lost { (Fate::Lost, "its other half is not known") } else { (Fate::Kept, kept) };
            losses.note(field, fate, why, 1, found);
        }
        let said: Vec<Value> = messages.iter().flat_map(|message| said(message, &paired)).collect();
        Ok(vec![Item::Line(json!({"messages": said}))])
    }

    fn finish(self: Box<Self>) -> Vec<Item> {
        Vec::new()
    }
}

/// Returns the ids of the calls whose result comes later in the conversation.
fn paired(messages: &[Message]) -> HashSet<&str> {
    let (mut called, mut paired) = (HashSet::new(), HashSet::new());
    for part in
        messages.iter().filter(|message| message.role == Role::Assistant).flat_map(|message| &message.parts)
    {
        match part {
            Part::ToolCall { id: Some(id), .. } => {
                called.insert(id.as_str());
            }
            Part::ToolResult { id: Some(id), .. } if called.contains(id.as_str()) => {
                paired.insert(id.as_str());
            }
            _ => {}
        }
    }
    paired
}

fn is_unpaired(part: &Part, paired: &HashSet<&str>) -> bool {
    match part {
        Part::ToolCall { id, .. } | Part::ToolResult { id, .. } => {
            id.as_deref().is_none_or(|id| !paired.contains(id))
        }
        _ => false,
    }
}

/// Returns what a message becomes: its text and calls up to a result are one message, each result another.
fn said(message: &Message, paired: &HashSet<&str>) -> Vec<Value> {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant | Role::HumanAgent => "assistant",
        Role::System => "system",
        _ => return Vec::new(),
    };
    let (mut said, mut texts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for part in message.parts.iter().filter(|part| !is_unpaired(part, paired)) {
        match part {
            Part::Text { text } => texts.push(text.as_str()),
            Part::ToolCall { id, name, input } => calls.push(json!({
                "id": id, "type": "function",
                "function": {
                    "name": function_name(name.as_deref()),
                    "arguments": input.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string),
                },
            })),
            Part::ToolResult { id, status, data, error, .. } => {
                said.extend(spoken(role, &mut texts, &mut calls));
                said.push(json!({"role": "tool", "tool_call_id": id, "content": outcome(status.as_deref(), data.as_ref(), error.as_ref())}));
            }
            _ => {}
        }
    }
    said.extend(spoken(role, &mut texts, &mut calls));
    said
}

fn spoken(role: &str, texts: &mut Vec<&str>, calls: &mut Vec<Value>) -> Option<Value> {
    if texts.is_empty() && calls.is_empty() {
        return None;
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), role.into());
    let text = std::mem::take(texts).join("\n");
    message.insert("content".to_owned(), if text.is_empty() { Value::Null } else { text.into() });
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(std::mem::take(calls)));
    }
    Some(Value::Object(message))
}

fn outcome(status: Option<&str>, data: Option<&Value>, error: Option<&Value>) -> String {
    match (data.or(error), status) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
        (None, status) => status.unwrap_or_default().to_owned(),
    }
}

/// Returns a name of letters, digits, `_` and `-` alone, as the API demands.
fn function_name(name: Option<&str>) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = name.unwrap_or_default().chars().map(allowed).take(NAME_LENGTH).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}
