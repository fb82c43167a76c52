//! Pictures, sound recordings and files.

use chatark_core::Part;
use serde_json::{Map, Value};

use super::payload::{Parts, PayloadReader, first_text, has_value};

/// The keys under which a payload may have the URL of a file.
const FILE_URLS: [&str; 4] = ["url", "file", "link", "fileUrl"];
const FILE_NAMES: [&str; 3] = ["name", "fileName", "filename"];
const AUDIO_URLS: [&str; 3] = ["url", "audio", "src"];
const TRANSCRIPTS: [&str; 4] = ["transcription", "transcript", "text", "message"];

/// Reads pictures with an optional text, which becomes the first part.
pub(super) fn pictures(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    if let Value::String(url) = payload {
        return Ok(vec![Part::Image { url: Some(url) }]);
    }
    let is_readable = ["image", "images", "message"].iter().any(|key| has_value(&payload, key));
    let mut fields = reader.open(payload, is_readable)?;
    let mut parts: Vec<_> = fields.text("message").map(Part::text).into_iter().collect();
    let image = fields.text("image");
    let images = fields.texts("images").unwrap_or_default();
    let is_repeated = image.as_ref().is_some_and(|image| images.contains(image));
    let urls = image.into_iter().filter(|_| !is_repeated).chain(images);
    parts.extend(urls.map(|url| Part::Image { url: Some(url) }));
    reader.close(fields, &["imageCount"]);
    Ok(parts)
}

/// Reads a voice note: a URL, or an object that may have a transcript.
pub(super) fn audio(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    if let Value::String(url) = payload {
        return Ok(vec![Part::Audio { url: Some(url), transcript: None }]);
    }
    let is_readable = AUDIO_URLS.iter().chain(&TRANSCRIPTS).any(|key| payload[*key].is_string());
    let mut fields = reader.open(payload, is_readable)?;
    let url = first_text(&mut fields, &AUDIO_URLS);
    let transcript = first_text(&mut fields, &TRANSCRIPTS);
    reader.close(fields, &[AUDIO_URLS.as_slice(), &TRANSCRIPTS].concat());
    Ok(vec![Part::Audio { url, transcript }])
}

/// Reads files: a URL, objects with one, or lists of either.
pub(super) fn files(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let in_list = |value: &Value| match value {
        Value::Array(list) => list.iter().filter_map(file).collect(),
        _ => Vec::new(),
    };
    let mut files = file(&payload).map_or_else(|| in_list(&payload), |file| vec![file]);
    let lists = ["urls", "files"].map(|key| payload.get(key).map(in_list).unwrap_or_default());
    files.extend(lists.into_iter().flatten());
    if files.is_empty() {
        return Err(payload);
    }
    let Value::Object(payload) = payload else {
        if payload.as_array().is_some_and(|list| !list.iter().all(is_complete_file)) {
            reader.keep("payload", payload);
        }
        return Ok(files);
    };
    let mut fields = reader.open(Value::Object(payload), true)?;
    first_text(&mut fields, &FILE_URLS);
    first_text(&mut fields, &FILE_NAMES);
    for key in ["urls", "files"] {
        if let Some(list) = fields.list(key).filter(|list| !list.iter().all(is_complete_file)) {
            reader.keep(&format!("payload.{key}"), Value::Array(list));
        }
    }
    reader.close(fields, &[FILE_URLS.as_slice(), &FILE_NAMES].concat());
    Ok(files)
}

/// Reads a file: a URL, or an object with one.
fn file(value: &Value) -> Option<Part> {
    if let Value::String(url) = value {
        return Some(Part::File { url: Some(url.clone()), name: None });
    }
    let text = |keys: &[&str]| keys.iter().find_map(|key| value.get(key)?.as_str()).map(str::to_owned);
    Some(Part::File { url: Some(text(&FILE_URLS)?), name: text(&FILE_NAMES) })
}

/// Returns whether a file has nothing but a URL and a name.
fn is_complete_file(value: &Value) -> bool {
    let count = |object: &Map<String, Value>, keys: &[&str]| {
        keys.iter().filter(|key| object.contains_key(**key)).count()
    };
    match value {
        Value::String(_) => true,
        Value::Object(object) => {
            let (urls, names) = (count(object, &FILE_URLS), count(object, &FILE_NAMES));
            file(value).is_some() && urls == 1 && names <= 1 && object.len() == urls + names
        }
        _ => false,
    }
}
