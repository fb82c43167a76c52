//! Reads the payloads of the vendor's 45 types of messages into parts of the model.
//!
//! A payload of an unexpected shape is kept whole as [`Part::Other`]. Fields of a payload that the model has no place
//! for are kept under `payload.<key>` in the message's `extra`.

mod card;
mod choice;
mod form;
mod media;
mod payload;
#[cfg(test)]
mod tests;
mod text;

use chatark_core::issue::Path;
use chatark_core::{Issues, Part};
use serde_json::{Map, Value};

pub(crate) use self::form::SUBMISSION;
use self::payload::{Parts, PayloadReader, other};

/// Known types whose payload is kept as it is: control messages, and types whose payload is not documented.
const OPAQUE: &[&str] = &[
    "Embed",
    "Flowise",
    "GetBrowserData",
    "SetConvoData",
    "SetRuntime",
    "Slider",
    "VFVG_Channel",
    "VGVF_Channel",
    "VG_Response",
    "browser_capture",
    "debug",
    "debug:error",
    "debug:success",
    "end",
    "iFrame",
    "jsx",
    "knowledgeBase",
    "launch",
    "location",
    "no-reply",
    "stealth",
];

/// The shape of a payload.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Choice,
    Visual,
    Card,
    Carousel,
    Audio,
    File,
    Form,
    EmailForm,
    Input,
    Submission,
    Trace,
    Opaque,
}

/// Returns the shape of the payload for a type of message, or `None` for an unknown type.
fn shape(kind: &str) -> Option<Shape> {
    Some(match kind {
        "text" => Shape::Text,
        "choice" | "MultiSelect" | "MultiDropdown" => Shape::Choice,
        "visual" => Shape::Visual,
        "cardV2" => Shape::Card,
        "carousel" => Shape::Carousel,
        "VoiceNote" => Shape::Audio,
        "file" | "FileUpload" | "MultiFileUpload" | "Attachment" => Shape::File,
        "form" | "ui_engine_form" | "GoogleForm" => Shape::Form,
        "EmailForm" => Shape::EmailForm,
        "input" | "ui_engine_input" => Shape::Input,
        SUBMISSION => Shape::Submission,
        "debug:tell" => Shape::Trace,
        _ if kind.starts_with("info:") => Shape::Text,
        _ if OPAQUE.contains(&kind) => Shape::Opaque,
        _ => return None,
    })
}

/// Returns whether the vendor is known to send a type of message.
pub(crate) fn is_known(kind: &str) -> bool {
    shape(kind).is_some()
}

/// Reads the payload of a message: its parts, and the fields that go to the message's `extra`.
pub(crate) fn read(
    kind: &str,
    payload: Option<Value>,
    path: Path<'_>,
    issues: &Issues,
) -> (Vec<Part>, Map<String, Value>) {
    let mut reader = PayloadReader::new(kind, path, issues);
    let parts = match (shape(kind).unwrap_or(Shape::Opaque), payload) {
        (Shape::Text, None) => Vec::new(),
        (shape, payload) => {
            let payload = payload.unwrap_or_default();
            parts(&mut reader, shape, payload).unwrap_or_else(|data| vec![other(kind, data)])
        }
    };
    (parts, reader.into_leftovers())
}

fn parts(reader: &mut PayloadReader<'_>, shape: Shape, payload: Value) -> Parts {
    match shape {
        _ if payload.is_null() => Err(payload),
        Shape::Opaque => Err(payload),
        Shape::Text => text::text(reader, payload),
        Shape::Trace => text::trace(reader, payload),
        Shape::Choice => choice::choice(reader, payload),
        Shape::Visual => media::pictures(reader, payload),
        Shape::Audio => media::audio(reader, payload),
        Shape::File => media::files(reader, payload),
        Shape::Card => card::single(reader, payload),
        Shape::Carousel => card::carousel(reader, payload),
        Shape::Form => form::form(reader, payload),
        Shape::EmailForm => form::email_form(reader, payload),
        Shape::Input => form::input(reader, payload),
        Shape::Submission => form::submission(reader, payload),
    }
}
