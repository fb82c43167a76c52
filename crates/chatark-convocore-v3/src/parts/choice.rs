//! Buttons.

use chatark_core::fields::Fields;
use chatark_core::issue::Path;
use chatark_core::{ChoiceOption, IssueKind, Issues, Part};
use serde_json::Value;

use super::payload::{Parts, PayloadReader, has_list};

/// Reads a choice: a list of buttons, or an object with one.
pub(super) fn choice(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let path = reader.path;
    if let Value::Array(list) = payload {
        return Ok(vec![Part::Choice { options: buttons(reader, list, &path, "payload") }]);
    }
    let is_readable = has_list(&payload, "buttons");
    let mut fields = reader.open(payload, is_readable)?;
    let list = fields.list("buttons").unwrap_or_default();
    let options = buttons(reader, list, &Path::Key(&path, "buttons"), "payload.buttons");
    reader.close(fields, &[]);
    Ok(vec![Part::Choice { options }])
}

/// Reads a list of buttons. If the model has no place for something in it, the whole list is also kept under `key`.
pub(super) fn buttons(
    reader: &mut PayloadReader<'_>,
    list: Vec<Value>,
    path: &Path<'_>,
    key: &str,
) -> Vec<ChoiceOption> {
    let whole = Value::Array(list.clone());
    let mut is_complete = true;
    let mut options = Vec::with_capacity(list.len());
    for (at, value) in list.into_iter().enumerate() {
        match button(value, Path::Index(path, at), reader.issues) {
            Some((option, is_complete_option)) => {
                options.push(option);
                is_complete &= is_complete_option;
            }
            None => is_complete = false,
        }
    }
    if !is_complete {
        reader.keep(key, whole);
    }
    options
}

/// Reads one button, and returns whether the model has a place for everything in it.
fn button(button: Value, path: Path<'_>, issues: &Issues) -> Option<(ChoiceOption, bool)> {
    if let Value::String(label) = button {
        return Some((ChoiceOption { label: Some(label), ..ChoiceOption::default() }, true));
    }
    let mut fields = Fields::open(button, path, issues).ok()?;
    let label = fields.text("name").or_else(|| fields.text("label"));
    let mut option = ChoiceOption { label, ..ChoiceOption::default() };
    let is_complete = match fields.take("request") {
        Some(action) => request(action, Path::Key(&path, "request"), issues, &mut option),
        None => true,
    };
    Some((option, fields.finish(&[]).is_empty() && is_complete))
}

/// Reads the action of a button, and returns whether the model has a place for everything in it.
fn request(request: Value, path: Path<'_>, issues: &Issues, option: &mut ChoiceOption) -> bool {
    let Ok(mut fields) = Fields::open(request, path, issues) else {
        return false;
    };
    let kind = fields.text("type");
    let (key, target) = match kind.as_deref() {
        Some("text") => ("message", &mut option.value),
        Some("open_url") => ("url", &mut option.url),
        _ => {
            fields.report(IssueKind::UnknownValue, "type");
            return false;
        }
    };
    let is_complete = match fields.take("payload") {
        Some(Value::String(text)) => {
            *target = Some(text);
            true
        }
        Some(payload) => match Fields::open(payload, Path::Key(&path, "payload"), issues) {
            Ok(mut payload) => {
                *target = payload.text(key);
                payload.finish(&[]).is_empty()
            }
            Err(_) => false,
        },
        None => true,
    };
    fields.finish(&[]).is_empty() && is_complete
}
