//! Cards, alone and in carousels.

use chatark_core::fields::Fields;
use chatark_core::issue::Path;
use chatark_core::{Card, Part};
use serde_json::Value;

use super::choice::buttons;
use super::payload::{Parts, PayloadReader, has_list, other};

/// Reads a payload that is a card.
pub(super) fn single(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let path = reader.path;
    Ok(vec![card(reader, payload, path, "payload")?])
}

/// Reads a carousel: a list of cards, or an object with one.
pub(super) fn carousel(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let path = reader.path;
    if let Value::Array(list) = payload {
        return Ok(cards(reader, list, &path, "payload"));
    }
    let is_readable = has_list(&payload, "cards");
    let mut fields = reader.open(payload, is_readable)?;
    let list = fields.list("cards").unwrap_or_default();
    let parts = cards(reader, list, &Path::Key(&path, "cards"), "payload.cards");
    reader.close(fields, &[]);
    Ok(parts)
}

fn cards(reader: &mut PayloadReader<'_>, list: Vec<Value>, path: &Path<'_>, prefix: &str) -> Vec<Part> {
    let read = |(at, value)| {
        let kind = reader.kind;
        let card = card(reader, value, Path::Index(path, at), &format!("{prefix}[{at}]"));
        card.unwrap_or_else(|value| other(kind, value))
    };
    list.into_iter().enumerate().map(read).collect()
}

/// Reads a card. Fields that the model has no place for are kept under `prefix.<key>`.
fn card(reader: &mut PayloadReader<'_>, value: Value, path: Path<'_>, prefix: &str) -> Result<Part, Value> {
    let mut fields = Fields::open(value, path, reader.issues)?;
    let mut card = Card {
        title: fields.text("title"),
        image_url: fields.text("imageUrl"),
        text: description(reader, &mut fields, path, prefix),
        options: Vec::new(),
    };
    if let Some(list) = fields.list("buttons") {
        card.options = buttons(reader, list, &Path::Key(&path, "buttons"), &format!("{prefix}.buttons"));
    }
    reader.keep_fields(prefix, fields.finish(&[]));
    Ok(Part::Card(card))
}

/// Reads the text of a card: a string, or an object with `text`.
fn description(
    reader: &mut PayloadReader<'_>,
    fields: &mut Fields<'_>,
    path: Path<'_>,
    prefix: &str,
) -> Option<String> {
    let description = match fields.take("description")? {
        Value::String(text) => return Some(text),
        other => other,
    };
    match Fields::open(description, Path::Key(&path, "description"), reader.issues) {
        Ok(mut description) => {
            let text = description.text("text");
            reader.keep_fields(&format!("{prefix}.description"), description.finish(&[]));
            text
        }
        Err(description) => {
            fields.keep("description", description);
            None
        }
    }
}
