//! Conversations in the form of `OpenAI`'s chat API, one per line: `{"messages": [{"role", "content", …}]}`.
//!
//! A tool call is written only together with its result, because the API refuses one without the other. The last
//! message is an answer of the assistant: a model learns to give it.

use std::collections::HashSet;

use chatark_core::{ArchivedConversation, Message, Part, Result, Role};
use chatark_target::{FieldOutcome, FieldRule, LossReport};
use serde_json::{Map, Value, json};

use super::converter::{Converter, FileItem};

pub(super) struct OpenAi;

/// The maximum length of a function name, according to the vendor's reference.
const MAX_NAME_LENGTH: usize = 64;
const UNPAIRED: &str = "its call or result is missing, or a text stands between the two";
const NO_ROLE: &str = "the format has no such role";
const RULES: &[FieldRule] = &[
    ("message.role.user", FieldOutcome::Kept, "as `user`"),
    ("message.role.assistant", FieldOutcome::Kept, "as `assistant`"),
    (
        "message.role.human_agent",
        FieldOutcome::Approximated,
        "as `assistant`: the format has no role for human agents",
    ),
    ("message.role.system", FieldOutcome::Kept, "as `system`"),
    ("message.role.*", FieldOutcome::Lost, NO_ROLE),
    ("part.text", FieldOutcome::Kept, "as `content`"),
    ("part.tool_call", FieldOutcome::Kept, ""),
    ("part.tool_result", FieldOutcome::Kept, ""),
];

impl Converter for OpenAi {
    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>> {
        let messages = &archived.conversation.messages;
        let paired = paired(messages);
        let mut lines: Vec<Value> = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            lines.extend(chat_messages(at, message, &paired));
        }
        let length = lines.iter().rposition(is_answer).map_or(0, |last| last + 1);
        if length == 0 {
            let why = "it has no answer of the assistant";
            loss_report.add_left_out(why, archived);
            return Ok(Vec::new());
        }
        loss_report.add_fields(RULES, archived);
        loss_report.add(
            "message",
            FieldOutcome::Lost,
            "after the last answer",
            lines.len() - length,
            archived,
        );
        lines.truncate(length);
        for (at, message) in messages.iter().enumerate() {
            for (part_index, part) in message.parts.iter().enumerate() {
                let (field, kept) = match part {
                    Part::ToolCall { .. } => ("part.tool_call", "as `tool_calls`"),
                    Part::ToolResult { .. } => ("part.tool_result", "as a message of the tool"),
                    _ => continue,
                };
                let is_kept = paired.contains(&(at, part_index));
                let (outcome, why) =
                    if is_kept { (FieldOutcome::Kept, kept) } else { (FieldOutcome::Lost, UNPAIRED) };
                loss_report.add(field, outcome, why, 1, archived);
            }
        }
        Ok(vec![FileItem::Line(json!({"messages": lines}))])
    }
}

/// Positions of parts: the index of the message, and the index in the message.
type PartPositions = HashSet<(usize, usize)>;

/// Returns whether a message is an answer in text. A conversation must end with one.
fn is_answer(message: &Value) -> bool {
    message["role"] == "assistant" && message["content"].is_string() && message.get("tool_calls").is_none()
}

/// Returns the positions of tool calls that are followed by their results, and of these results.
fn paired(messages: &[Message]) -> PartPositions {
    let mut paired = PartPositions::new();
    // `pending`: calls since the last result or the start of the message. `awaited`: earlier calls whose results may
    // follow.
    let (mut pending, mut awaited): (Vec<(&str, _)>, Vec<(&str, _)>) = (Vec::new(), Vec::new());
    for (at, message) in messages.iter().enumerate() {
        let is_assistant = message.role == Role::Assistant;
        for (part_index, part) in message.parts.iter().enumerate() {
            match part {
                Part::Text { text } if !text.is_empty() => awaited.clear(),
                Part::ToolCall { id: Some(id), .. } if is_assistant => {
                    awaited.clear();
                    pending.push((id.as_str(), (at, part_index)));
                }
                Part::ToolResult { id: Some(id), .. } if is_assistant => {
                    awaited.append(&mut pending);
                    if let Some(call) = awaited.iter().position(|(called, _)| called == id) {
                        paired.extend([awaited.remove(call).1, (at, part_index)]);
                    }
                }
                _ => {}
            }
        }
        awaited.append(&mut pending);
    }
    paired
}

/// Returns the chat messages for one message: one for its text and tool calls up to each result, and one for each
/// result.
fn chat_messages(at: usize, message: &Message, paired: &PartPositions) -> Vec<Value> {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant | Role::HumanAgent => "assistant",
        Role::System => "system",
        _ => return Vec::new(),
    };
    let (mut lines, mut texts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for (part_index, part) in message.parts.iter().enumerate() {
        match part {
            Part::Text { text } if !text.is_empty() => texts.push(text.as_str()),
            Part::ToolCall { id, name, input } if paired.contains(&(at, part_index)) => calls.push(json!({
                "id": id, "type": "function",
                "function": {
                    "name": function_name(name.as_deref()),
                    "arguments": input.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string),
                },
            })),
            Part::ToolResult { id, status, data, error, .. } if paired.contains(&(at, part_index)) => {
                lines.extend(chat_message(role, &mut texts, &mut calls));
                let content = result_text(status.as_deref(), data.as_ref(), error.as_ref());
                lines.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
            }
            _ => {}
        }
    }
    lines.extend(chat_message(role, &mut texts, &mut calls));
    lines
}

/// Takes the texts and calls collected so far as one chat message; `None` if there are none.
fn chat_message(role: &str, texts: &mut Vec<&str>, calls: &mut Vec<Value>) -> Option<Value> {
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

fn result_text(status: Option<&str>, data: Option<&Value>, error: Option<&Value>) -> String {
    match (data.or(error), status) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
        (None, status) => status.unwrap_or_default().to_owned(),
    }
}

/// Returns a name of letters, digits, `_` and `-` only, as the API requires.
fn function_name(name: Option<&str>) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = name.unwrap_or_default().chars().map(allowed).take(MAX_NAME_LENGTH).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}
