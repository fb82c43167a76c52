//! Texts, and the traces of tools, which are text as well.

use chatark_core::Part;
use serde_json::Value;

use super::payload::{Parts, PayloadReader};

/// Reads a text: a string, or an object with `message`.
pub(super) fn text(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    if let Value::String(text) = payload {
        return Ok(vec![Part::text(text)]);
    }
    let mut fields = reader.open(payload, true)?;
    let text = fields.text("message").map(Part::text);
    reader.close(fields, &[]);
    Ok(text.into_iter().collect())
}

/// Reads the trace of a tool: its name, and its result, which the vendor truncates.
pub(super) fn trace(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let text = payload.as_str().or_else(|| payload.get("message")?.as_str());
    let Some(result) = text.and_then(tool_result) else {
        return Err(payload);
    };
    if let Value::Object(mut around) = payload {
        around.remove("message");
        let fields = reader.open(Value::Object(around), true)?;
        reader.close(fields, &[]);
    }
    Ok(vec![result])
}

/// Reads `Tool ended: NAME result`.
fn tool_result(text: &str) -> Option<Part> {
    let trace = text.trim_start().strip_prefix("Tool ended:")?.trim();
    let (name, result) = trace.split_once(char::is_whitespace).unwrap_or((trace, ""));
    let result = result.trim();
    (!name.is_empty()).then(|| Part::ToolResult {
        id: None,
        name: Some(name.to_owned()),
        status: None,
        data: (!result.is_empty()).then(|| result.into()),
        error: None,
    })
}
