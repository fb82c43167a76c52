//! What a message holds, by the vendor's 45 types of messages: a file of its own, since `map` is long enough.
//!
//! A reader takes the payload and gives parts, or hands a payload of another shape back, which is then kept whole
//! as [`Part::Other`]. What a reader does not take of a payload is kept under `payload.<key>`.

use chatark_core::fields::{Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{Card, ChoiceOption, FormField, IssueKind, Issues, Part};
use serde_json::{Map, Value};

/// The type whose payload is the answers themselves, in a shape that nobody documents.
pub(crate) const SUBMISSION: &str = "context:form_submission";

/// Known types that are kept as they are: control, and what the vendor does not document.
const OTHERS: &[&str] = &[
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

/// Where a file, a sound or a link may stand in a payload.
const FILE_URLS: [&str; 4] = ["url", "file", "link", "fileUrl"];
const FILE_NAMES: [&str; 3] = ["name", "fileName", "filename"];
const AUDIO_URLS: [&str; 3] = ["url", "audio", "src"];
const TRANSCRIPTS: [&str; 4] = ["transcription", "transcript", "text", "message"];

/// What a field of a form says beyond its label, kind and value.
const FIELD: &[&str] = &["defaultValue", "options", "placeholder", "required", "validation"];

/// The parts, or the payload where it has another shape than expected.
type Read = Result<Vec<Part>, Value>;

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
    Other,
}

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
        _ if OTHERS.contains(&kind) => Shape::Other,
        _ => return None,
    })
}

/// Returns whether the vendor is known to send a type of message.
pub(crate) fn is_known(kind: &str) -> bool {
    shape(kind).is_some()
}

/// Reads the payload of a message: its parts, and what belongs under the message's `extra`.
pub(crate) fn read(
    kind: &str,
    payload: Option<Value>,
    path: Path<'_>,
    issues: &Issues,
) -> (Vec<Part>, Map<String, Value>) {
    let mut reader = Reader { kind, path, issues, leftovers: Map::new() };
    let shape = shape(kind).unwrap_or(Shape::Other);
    let parts = match (shape, payload) {
        (Shape::Text, None) => Vec::new(),
        (shape, payload) => {
            reader.parts(shape, payload.unwrap_or_default()).unwrap_or_else(|data| vec![other(kind, data)])
        }
    };
    (parts, reader.leftovers)
}

fn other(kind: &str, data: Value) -> Part {
    Part::Other { kind: kind.to_owned(), data }
}

struct Reader<'a> {
    kind: &'a str,
    path: Path<'a>,
    issues: &'a Issues,
    leftovers: Map<String, Value>,
}

impl<'a> Reader<'a> {
    fn parts(&mut self, shape: Shape, payload: Value) -> Read {
        match shape {
            _ if payload.is_null() => Err(payload),
            Shape::Other => Err(payload),
            Shape::Text => self.text(payload),
            Shape::Choice => self.choice(payload),
            Shape::Visual => self.visual(payload),
            Shape::Card => Ok(vec![self.card(payload, self.path, "payload")?]),
            Shape::Carousel => self.carousel(payload),
            Shape::Audio => self.audio(payload),
            Shape::File => self.files(payload),
            Shape::Form => self.form(payload),
            Shape::EmailForm => self.email_form(payload),
            Shape::Input => self.input(payload),
            Shape::Submission => self.submission(payload),
            Shape::Trace => self.trace(payload),
        }
    }

    /// Opens a payload. An object that lacks what makes it readable is handed back without an issue.
    fn open(&self, payload: Value, is_readable: bool) -> Result<Fields<'a>, Value> {
        if payload.is_object() && !is_readable {
            return Err(payload);
        }
        Fields::open(payload, self.path, self.issues)
    }

    fn close(&mut self, fields: Fields<'_>, unmapped: &[&str]) {
        nest(&mut self.leftovers, "payload", fields.finish(unmapped));
    }

    fn text(&mut self, payload: Value) -> Read {
        if let Value::String(text) = payload {
            return Ok(vec![Part::text(text)]);
        }
        let mut fields = self.open(payload, true)?;
        let text = fields.text("message").map(Part::text);
        self.close(fields, &[]);
        Ok(text.into_iter().collect())
    }

    fn choice(&mut self, payload: Value) -> Read {
        if let Value::Array(buttons) = payload {
            let options = self.options(buttons, &self.path.clone(), "payload");
            return Ok(vec![Part::Choice { options }]);
        }
        let is_readable = holds_list(&payload, "buttons");
        let mut fields = self.open(payload, is_readable)?;
        let buttons = fields.list("buttons").unwrap_or_default();
        let options = self.options(buttons, &Path::Key(fields.path(), "buttons"), "payload.buttons");
        self.close(fields, &[]);
        Ok(vec![Part::Choice { options }])
    }

    /// Reads buttons. Where one says more than the model has a place for, all are kept under `key` as well.
    fn options(&mut self, buttons: Vec<Value>, path: &Path<'_>, key: &str) -> Vec<ChoiceOption> {
        let whole = Value::Array(buttons.clone());
        let count = buttons.len();
        let mut unread = 0;
        let mut options = Vec::with_capacity(count);
        for (at, button) in buttons.into_iter().enumerate() {
            match option(button, Path::Index(path, at), self.issues) {
                Some((option, is_whole)) => {
                    options.push(option);
                    unread += usize::from(!is_whole);
                }
                None => unread += 1,
            }
        }
        if unread > 0 {
            self.leftovers.insert(key.to_owned(), whole);
        }
        options
    }

    /// Reads pictures with a text, which comes first.
    fn visual(&mut self, payload: Value) -> Read {
        if let Value::String(url) = payload {
            return Ok(vec![Part::Image { url: Some(url) }]);
        }
        let is_readable = ["image", "images", "message"].iter().any(|key| is_told(&payload, key));
        let mut fields = self.open(payload, is_readable)?;
        let mut parts: Vec<_> = fields.text("message").map(Part::text).into_iter().collect();
        let image = fields.text("image");
        let images = fields.texts("images").unwrap_or_default();
        let repeated = image.as_ref().is_some_and(|image| images.contains(image));
        let urls = image.into_iter().filter(|_| !repeated).chain(images);
        parts.extend(urls.map(|url| Part::Image { url: Some(url) }));
        self.close(fields, &["imageCount"]);
        Ok(parts)
    }

    fn card(&mut self, card: Value, path: Path<'_>, prefix: &str) -> Result<Part, Value> {
        let mut fields = Fields::open(card, path, self.issues)?;
        let mut card = Card {
            title: fields.text("title"),
            image_url: fields.text("imageUrl"),
            text: None,
            options: Vec::new(),
        };
        match fields.take("description") {
            Some(Value::String(text)) => card.text = Some(text),
            Some(description) => {
                match Fields::open(description, Path::Key(&path, "description"), self.issues) {
                    Ok(mut description) => {
                        card.text = description.text("text");
                        let prefix = format!("{prefix}.description");
                        nest(&mut self.leftovers, &prefix, description.finish(&[]));
                    }
                    Err(description) => fields.keep("description", description),
                }
            }
            None => {}
        }
        if let Some(buttons) = fields.list("buttons") {
            card.options = self.options(buttons, &Path::Key(&path, "buttons"), &format!("{prefix}.buttons"));
        }
        nest(&mut self.leftovers, prefix, fields.finish(&[]));
        Ok(Part::Card(card))
    }

    fn carousel(&mut self, payload: Value) -> Read {
        if let Value::Array(cards) = payload {
            return Ok(self.cards(cards, &self.path.clone(), "payload"));
        }
        let is_readable = holds_list(&payload, "cards");
        let mut fields = self.open(payload, is_readable)?;
        let cards = fields.list("cards").unwrap_or_default();
        let parts = self.cards(cards, &Path::Key(fields.path(), "cards"), "payload.cards");
        self.close(fields, &[]);
        Ok(parts)
    }

    fn cards(&mut self, cards: Vec<Value>, path: &Path<'_>, prefix: &str) -> Vec<Part> {
        let kind = self.kind;
        let read = |(at, card)| {
            let card = self.card(card, Path::Index(path, at), &format!("{prefix}[{at}]"));
            card.unwrap_or_else(|card| other(kind, card))
        };
        cards.into_iter().enumerate().map(read).collect()
    }

    /// Reads a voice note: a bare address, or an object that may tell what is said.
    fn audio(&mut self, payload: Value) -> Read {
        if let Value::String(url) = payload {
            return Ok(vec![Part::Audio { url: Some(url), transcript: None }]);
        }
        let is_readable = AUDIO_URLS.iter().chain(&TRANSCRIPTS).any(|key| payload[*key].is_string());
        let mut fields = self.open(payload, is_readable)?;
        let url = first_text(&mut fields, &AUDIO_URLS);
        let transcript = first_text(&mut fields, &TRANSCRIPTS);
        self.close(fields, &[AUDIO_URLS.as_slice(), &TRANSCRIPTS].concat());
        Ok(vec![Part::Audio { url, transcript }])
    }

    /// Reads files: an address, objects with one, or lists of either.
    fn files(&mut self, payload: Value) -> Read {
        let listed = |value: &Value| match value {
            Value::Array(list) => list.iter().filter_map(file).collect(),
            _ => Vec::new(),
        };
        let mut files = file(&payload).map_or_else(|| listed(&payload), |file| vec![file]);
        let lists = ["urls", "files"].map(|key| payload.get(key).map(listed).unwrap_or_default());
        files.extend(lists.into_iter().flatten());
        if files.is_empty() {
            return Err(payload);
        }
        let Value::Object(payload) = payload else {
            if payload.as_array().is_some_and(|list| !list.iter().all(is_plain_file)) {
                self.leftovers.insert("payload".to_owned(), payload);
            }
            return Ok(files);
        };
        let mut fields = self.open(Value::Object(payload), true)?;
        first_text(&mut fields, &FILE_URLS);
        first_text(&mut fields, &FILE_NAMES);
        for key in ["urls", "files"] {
            if let Some(list) = fields.list(key).filter(|list| !list.iter().all(is_plain_file)) {
                self.leftovers.insert(format!("payload.{key}"), Value::Array(list));
            }
        }
        self.close(fields, &[FILE_URLS.as_slice(), &FILE_NAMES].concat());
        Ok(files)
    }

    fn form(&mut self, payload: Value) -> Read {
        let is_readable = holds_list(&payload, "fields") || holds_list(&payload, "submittedData");
        let mut fields = self.open(payload, is_readable)?;
        let title = fields.text("title");
        let submitted = fields.flag("isSubmitted");
        let declared = fields.list("fields").unwrap_or_default();
        let mut form = self.form_fields(declared, &Path::Key(fields.path(), "fields"));
        let answers = fields.list("submittedData").unwrap_or_default();
        self.answer(&mut form, answers, &Path::Key(fields.path(), "submittedData"));
        self.close(fields, &["description", "onSubmit", "submitButton"]);
        Ok(vec![Part::Form { title, fields: form, submitted }])
    }

    fn form_fields(&mut self, declared: Vec<Value>, path: &Path<'_>) -> Vec<FormField> {
        let whole = declared.clone();
        let read: Vec<_> = declared
            .into_iter()
            .enumerate()
            .filter_map(|(at, field)| form_field(field, Path::Index(path, at), self.issues))
            .collect();
        if read.len() < whole.len() || read.iter().any(|(_, is_whole)| !is_whole) {
            self.leftovers.insert("payload.fields".to_owned(), Value::Array(whole));
        }
        read.into_iter().map(|(field, _)| field).collect()
    }

    /// Writes answers into the fields that they belong to; an answer to an undeclared field makes one.
    fn answer(&mut self, form: &mut Vec<FormField>, answers: Vec<Value>, path: &Path<'_>) {
        let whole = answers.clone();
        let mut is_whole = true;
        for (at, answer) in answers.into_iter().enumerate() {
            let Ok(mut fields) = Fields::open(answer, Path::Index(path, at), self.issues) else {
                is_whole = false;
                continue;
            };
            fields.take("index");
            let (id, label) = (fields.id("field_id"), fields.text("label"));
            let (kind, value) = (fields.text("field_type"), fields.take("value"));
            is_whole &= fields.finish(&[]).is_empty();
            match form.iter_mut().find(|field| field.id.is_some() && field.id == id) {
                Some(field) => {
                    field.value = value.or(field.value.take());
                    field.label = field.label.take().or(label);
                    field.kind = field.kind.take().or(kind);
                }
                None => form.push(FormField { id, label, kind, value }),
            }
        }
        if !is_whole {
            self.leftovers.insert("payload.submittedData".to_owned(), Value::Array(whole));
        }
    }

    /// Reads the form by which a customer writes an e-mail.
    fn email_form(&mut self, payload: Value) -> Read {
        let is_filled = payload["email"].is_string() || payload["message"].is_string();
        if payload.is_object() && !is_filled {
            return self.form(payload);
        }
        let mut fields = self.open(payload, true)?;
        let answers = ["email", "message"].into_iter().filter_map(|key| {
            let value = fields.text(key)?;
            Some(FormField { id: Some(key.to_owned()), value: Some(value.into()), ..FormField::default() })
        });
        let form = Part::Form { title: None, fields: answers.collect(), submitted: None };
        if fields.peek("attachmentLinks").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            fields.take("attachmentLinks");
        }
        self.close(fields, &["attachmentLinks"]);
        Ok(vec![form])
    }

    /// Reads an input, which is a form of one field.
    fn input(&mut self, payload: Value) -> Read {
        let is_readable =
            payload.get("field").is_some_and(Value::is_object) || is_told(&payload, "submittedValue");
        let mut fields = self.open(payload, is_readable)?;
        let submitted = fields.flag("isSubmitted");
        let mut field = FormField::default();
        if let Some(declared) = fields.take("field") {
            let read = form_field(declared.clone(), Path::Key(fields.path(), "field"), self.issues);
            if !matches!(read, Some((_, true))) {
                self.leftovers.insert("payload.field".to_owned(), declared);
            }
            field = read.map(|(field, _)| field).unwrap_or_default();
        }
        field.value = fields.take("submittedValue").or(field.value);
        self.close(fields, &["onSubmit", "submitOnEnter"]);
        Ok(vec![Part::Form { title: None, fields: vec![field], submitted }])
    }

    /// Reads the answers to a form: in the form's own shape, or each plain value by its key.
    fn submission(&mut self, payload: Value) -> Read {
        if holds_list(&payload, "fields") || holds_list(&payload, "submittedData") {
            return self.form(payload);
        }
        let is_plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        let Value::Object(answers) = payload else {
            self.issues.add(IssueKind::WrongType, &self.path);
            return Err(payload);
        };
        if !answers.values().any(is_plain) {
            return Err(Value::Object(answers));
        }
        let (plain, nested): (Vec<_>, Vec<_>) =
            answers.into_iter().filter(|(_, value)| !value.is_null()).partition(|(_, value)| is_plain(value));
        nest(&mut self.leftovers, "payload", nested.into_iter().collect());
        let field = |(id, value)| FormField { id: Some(id), value: Some(value), ..FormField::default() };
        let fields = plain.into_iter().map(field).collect();
        Ok(vec![Part::Form { title: None, fields, submitted: None }])
    }

    /// Reads the trace of a tool: its name, and the result that the vendor cuts off.
    fn trace(&mut self, payload: Value) -> Read {
        let text = payload.as_str().or_else(|| payload.get("message")?.as_str());
        let Some(result) = text.and_then(tool_result) else {
            return Err(payload);
        };
        if let Value::Object(mut around) = payload {
            around.remove("message");
            let fields = self.open(Value::Object(around), true)?;
            self.close(fields, &[]);
        }
        Ok(vec![result])
    }
}

/// Reads one button, and says whether the model has a place for everything in it.
fn option(button: Value, path: Path<'_>, issues: &Issues) -> Option<(ChoiceOption, bool)> {
    if let Value::String(label) = button {
        return Some((ChoiceOption { label: Some(label), ..ChoiceOption::default() }, true));
    }
    let mut fields = Fields::open(button, path, issues).ok()?;
    let label = fields.text("name").or_else(|| fields.text("label"));
    let mut option = ChoiceOption { label, ..ChoiceOption::default() };
    let is_whole = match fields.take("request") {
        Some(wish) => request(wish, Path::Key(&path, "request"), issues, &mut option),
        None => true,
    };
    Some((option, fields.finish(&[]).is_empty() && is_whole))
}

/// Reads what a button does, and returns whether the model has a place for all of it.
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
    let is_whole = match fields.take("payload") {
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
    fields.finish(&[]).is_empty() && is_whole
}

/// Reads one field of a form, and says whether the model has a place for everything in it.
fn form_field(field: Value, path: Path<'_>, issues: &Issues) -> Option<(FormField, bool)> {
    let mut fields = Fields::open(field, path, issues).ok()?;
    let field = FormField {
        id: fields.id("id"),
        label: fields.text("label"),
        kind: fields.text("type"),
        value: fields.take("value"),
    };
    Some((field, fields.finish(FIELD).is_empty()))
}

/// Reads a file: an address, or an object with one.
fn file(value: &Value) -> Option<Part> {
    if let Value::String(url) = value {
        return Some(Part::File { url: Some(url.clone()), name: None });
    }
    let text = |keys: &[&str]| keys.iter().find_map(|key| value.get(key)?.as_str()).map(str::to_owned);
    Some(Part::File { url: Some(text(&FILE_URLS)?), name: text(&FILE_NAMES) })
}

/// Returns whether a file says no more than an address and a name.
fn is_plain_file(value: &Value) -> bool {
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

/// Takes the first text of several keys.
fn first_text(fields: &mut Fields<'_>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| fields.text(key))
}

fn holds_list(payload: &Value, key: &str) -> bool {
    payload.get(key).is_some_and(Value::is_array)
}

fn is_told(payload: &Value, key: &str) -> bool {
    payload.get(key).is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FOUND: &str = "https://cdn.example.com/a";

    fn read_payload(kind: &str, payload: Value) -> (Value, Value, Vec<String>) {
        let issues = Issues::default();
        let payload = Some(payload).filter(|payload| !payload.is_null());
        let (parts, leftovers) = read(kind, payload, Path::Key(&Path::Root, "payload"), &issues);
        let parts = serde_json::to_value(parts).unwrap();
        let issues = issues.into_vec();
        let issues = issues.iter().map(|issue| format!("{} {}", issue.kind.as_str(), issue.path)).collect();
        (parts, Value::Object(leftovers), issues)
    }

    /// Checks a payload of which nothing is left over.
    #[track_caller]
    fn check(kind: &str, payload: Value, expect: Value) {
        assert_eq!(read_payload(kind, payload), (expect, json!({}), vec![]), "{kind}");
    }

    /// Checks what is kept beside the parts, and what is reported.
    #[track_caller]
    fn check_rest(kind: &str, payload: Value, leftovers: Value, issues: &[&str]) {
        let (_, rest, found) = read_payload(kind, payload);
        assert_eq!((rest, found), (leftovers, issues.iter().map(ToString::to_string).collect()), "{kind}");
    }

    /// Checks a payload that is kept whole without an issue.
    #[track_caller]
    fn check_whole(kind: &str, payload: Value) {
        let expect = json!([{"type": "other", "kind": kind, "data": payload}]);
        check(kind, payload, expect);
    }

    #[test]
    fn texts() {
        check("text", json!({"message": "Hi"}), json!([{"type": "text", "text": "Hi"}]));
        check("text", json!("Hi"), json!([{"type": "text", "text": "Hi"}]));
        check("text", json!({"message": ""}), json!([{"type": "text", "text": ""}]));
        check("text", json!({}), json!([]));
        check("text", Value::Null, json!([]));
        for kind in ["info:default", "info:success", "info:danger", "info:primary", "info:new"] {
            check(kind, json!("Sent"), json!([{"type": "text", "text": "Sent"}]));
            check(kind, json!({"message": "Sent"}), json!([{"type": "text", "text": "Sent"}]));
        }
        check_rest(
            "text",
            json!({"message": 1, "tone": "warm"}),
            json!({"payload.message": 1, "payload.tone": "warm"}),
            &["wrong-type payload.message", "unknown-field payload.tone"],
        );
        let (parts, rest, issues) = read_payload("text", json!(["a"]));
        assert_eq!(parts, json!([{"type": "other", "kind": "text", "data": ["a"]}]));
        assert_eq!((rest, issues), (json!({}), vec!["wrong-type payload".to_owned()]));
    }

    #[test]
    fn choices() {
        let buttons = json!([
            {"name": "Prices", "request": {"type": "text", "payload": {"message": "Tell me"}}},
            {"label": "Docs", "request": {"type": "open_url", "payload": {"url": FOUND}}},
            {"name": "Yes", "request": {"type": "text", "payload": "yes"}},
            {"name": "Bare"}, "Plain",
        ]);
        let expect = json!([{"type": "choice", "options": [
            {"label": "Prices", "value": "Tell me", "url": null},
            {"label": "Docs", "value": null, "url": FOUND},
            {"label": "Yes", "value": "yes", "url": null},
            {"label": "Bare", "value": null, "url": null},
            {"label": "Plain", "value": null, "url": null},
        ]}]);
        for kind in ["choice", "MultiSelect", "MultiDropdown"] {
            check(kind, json!({"buttons": buttons}), expect.clone());
            check(kind, buttons.clone(), expect.clone());
            check_whole(kind, json!({"choices": []}));
        }
        let odd = json!([{"name": "Call", "request": {"type": "dial", "payload": {"number": 1}}}, 7]);
        let (parts, rest, issues) = read_payload("choice", json!({"buttons": odd, "max": 2}));
        assert_eq!(parts[0]["options"], json!([{"label": "Call", "value": null, "url": null}]));
        assert_eq!(rest, json!({"payload.buttons": odd, "payload.max": 2}));
        let expect = [
            "unknown-value payload.buttons[0].request.type",
            "wrong-type payload.buttons[1]",
            "unknown-field payload.max",
        ];
        assert_eq!(issues, expect);
        let icon = json!([{"name": "A", "icon": "star"}]);
        check_rest("choice", icon.clone(), json!({"payload": icon}), &["unknown-field payload[0].icon"]);
    }

    #[test]
    fn pictures() {
        let image = |url: &str| json!({"type": "image", "url": url});
        check("visual", json!({"image": FOUND}), json!([image(FOUND)]));
        check("visual", json!(FOUND), json!([image(FOUND)]));
        let text = json!({"type": "text", "text": "Look"});
        check(
            "visual",
            json!({"images": ["a", "b"], "message": "Look"}),
            json!([text, image("a"), image("b")]),
        );
        check("visual", json!({"image": "a", "images": ["a", "b"]}), json!([image("a"), image("b")]));
        check_whole("visual", json!({"video": "a"}));
        check_rest(
            "visual",
            json!({"images": ["a"], "imageCount": 1}),
            json!({"payload.imageCount": 1}),
            &[],
        );
    }

    #[test]
    fn cards() {
        let button = json!({"name": "Buy", "request": {"type": "open_url", "payload": {"url": FOUND}}});
        let sent = json!({
            "title": "Pro", "imageUrl": FOUND, "description": {"text": "All of it"}, "buttons": [button],
        });
        let card = json!({
            "type": "card", "title": "Pro", "text": "All of it", "image_url": FOUND,
            "options": [{"label": "Buy", "value": null, "url": FOUND}],
        });
        let small = json!({"type": "card", "title": "S", "text": "T", "image_url": null, "options": []});
        check("cardV2", sent.clone(), json!([card]));
        check("cardV2", json!({"title": "S", "description": "T"}), json!([small]));
        let two = json!([sent, {"title": "S", "description": "T"}]);
        check("carousel", json!({"cards": two}), json!([card, small]));
        check("carousel", two, json!([card, small]));
        check_whole("carousel", json!({"slides": []}));
        let (parts, rest, issues) =
            read_payload("carousel", json!({"cards": ["x", {"description": {"html": "h"}, "price": 1}]}));
        assert_eq!(parts[0], json!({"type": "other", "kind": "carousel", "data": "x"}));
        assert_eq!(rest, json!({"payload.cards[1].description.html": "h", "payload.cards[1].price": 1}));
        assert_eq!(issues.len(), 3);
    }

    #[test]
    fn sounds_and_files() {
        let audio = |transcript: Value| json!([{"type": "audio", "url": FOUND, "transcript": transcript}]);
        check("VoiceNote", json!(FOUND), audio(Value::Null));
        check("VoiceNote", json!({"url": FOUND, "transcription": "Hello"}), audio(json!("Hello")));
        check("VoiceNote", json!({"audio": FOUND, "text": "Hello"}), audio(json!("Hello")));
        check_whole("VoiceNote", json!({"seconds": 3}));
        let file = |url: &str, name: Value| json!({"type": "file", "url": url, "name": name});
        for kind in ["file", "FileUpload", "MultiFileUpload", "Attachment"] {
            check(kind, json!(FOUND), json!([file(FOUND, Value::Null)]));
            check(kind, json!({"link": FOUND, "fileName": "a.pdf"}), json!([file(FOUND, json!("a.pdf"))]));
            let several = json!([file("a", Value::Null), file("b", json!("b.pdf"))]);
            check(kind, json!({"files": ["a", {"url": "b", "name": "b.pdf"}]}), several.clone());
            check(kind, json!({"urls": ["a", {"fileUrl": "b", "name": "b.pdf"}]}), several.clone());
            check(kind, json!(["a", {"url": "b", "name": "b.pdf"}]), several);
            check_whole(kind, json!({"prompt": "Send a photo"}));
        }
        let sized = json!([{"url": "a", "size": 9}]);
        check_rest(
            "file",
            json!({"files": sized, "page": 1}),
            json!({"payload.files": sized, "payload.page": 1}),
            &["unknown-field payload.page"],
        );
        check_rest("file", sized.clone(), json!({"payload": sized}), &[]);
    }

    #[test]
    fn forms() {
        let payload = json!({
            "title": "Contact",
            "fields": [{"id": "f1", "type": "email", "label": "E-mail"}, {"id": 2, "type": "text", "label": "Name"}],
            "submittedData": [
                {"index": 0, "label": "E-mail", "value": "j@example.com", "field_id": "f1", "field_type": "email"},
                {"index": 1, "label": "Age", "value": 41, "field_id": "f3", "field_type": "number"},
            ],
            "isSubmitted": true,
        });
        let expect = json!([{"type": "form", "title": "Contact", "submitted": true, "fields": [
            {"id": "f1", "label": "E-mail", "kind": "email", "value": "j@example.com"},
            {"id": "2", "label": "Name", "kind": "text", "value": null},
            {"id": "f3", "label": "Age", "kind": "number", "value": 41},
        ]}]);
        for kind in ["form", "ui_engine_form", "GoogleForm", "EmailForm", SUBMISSION] {
            check(kind, payload.clone(), expect.clone());
        }
        check_whole("GoogleForm", json!({"url": FOUND}));
        check_whole("EmailForm", json!({"subject": "Hi"}));
        let fields = json!([{"id": "f1", "label": "Size", "type": "select", "options": ["S", "M"]}]);
        check_rest(
            "form",
            json!({"fields": fields, "description": "d", "onSubmit": {"type": "submit_form"}}),
            json!({"payload.fields": fields, "payload.description": "d", "payload.onSubmit": {"type": "submit_form"}}),
            &[],
        );
        check_rest(
            "form",
            json!({"fields": ["x"], "submittedData": [{"value": 1, "mood": 2}, 3]}),
            json!({"payload.fields": ["x"], "payload.submittedData": [{"value": 1, "mood": 2}, 3]}),
            &[
                "wrong-type payload.fields[0]",
                "unknown-field payload.submittedData[0].mood",
                "wrong-type payload.submittedData[1]",
            ],
        );
    }

    #[test]
    fn small_forms() {
        let field = |id: &str, value: Value| json!({"id": id, "label": null, "kind": null, "value": value});
        let form =
            |fields: Value| json!([{"type": "form", "title": null, "fields": fields, "submitted": null}]);
        let mail = json!({"email": "j@example.com", "message": "Call me", "attachmentLinks": []});
        let fields = json!([field("email", json!("j@example.com")), field("message", json!("Call me"))]);
        check("EmailForm", mail, form(fields));
        let links = json!({"email": "j@example.com", "attachmentLinks": [FOUND]});
        check_rest("EmailForm", links, json!({"payload.attachmentLinks": [FOUND]}), &[]);
        let declared = json!({"id": "f", "label": "Name", "type": "text"});
        let input = json!({"field": declared, "submittedValue": "Jane", "isSubmitted": true});
        let expect = json!([{"type": "form", "title": null, "submitted": true, "fields": [
            {"id": "f", "label": "Name", "kind": "text", "value": "Jane"},
        ]}]);
        check("input", input.clone(), expect.clone());
        check("ui_engine_input", input, expect);
        check_whole("input", json!({"submitOnEnter": true}));
        let answers = json!({"name": "Jane", "age": 41, "news": false, "none": null});
        let fields =
            json!([field("age", json!(41)), field("name", json!("Jane")), field("news", json!(false))]);
        check(SUBMISSION, answers, form(fields));
        check_rest(SUBMISSION, json!({"a": 1, "b": {"c": 2}}), json!({"payload.b": {"c": 2}}), &[]);
        check_whole(SUBMISSION, json!({"b": {"c": 2}}));
        check_rest(SUBMISSION, json!(["a"]), json!({}), &["wrong-type payload"]);
    }

    #[test]
    fn traces_of_tools() {
        let result = |name: &str, data: Value| json!([{"type": "tool_result", "id": null, "name": name, "status": null, "data": data, "error": null}]);
        let trace = json!({"message": "Tool ended: recommend [{\"title\":\"Pr"});
        check("debug:tell", trace, result("recommend", json!("[{\"title\":\"Pr")));
        check("debug:tell", json!({"message": "Tool ended: KB-Search"}), result("KB-Search", Value::Null));
        check("debug:tell", json!("Tool ended:  x   y z "), result("x", json!("y z")));
        check_whole("debug:tell", json!({"message": "Tool ended: "}));
        check_whole("debug:tell", json!({"message": "Searching"}));
        check_whole("debug:tell", json!(["Tool ended: x"]));
        let timed = json!({"message": "Tool ended: x", "ms": 3});
        check_rest("debug:tell", timed, json!({"payload.ms": 3}), &["unknown-field payload.ms"]);
    }

    #[test]
    fn everything_else_is_kept_as_it_is() {
        for kind in OTHERS {
            assert!(is_known(kind));
            check_whole(kind, json!({"a": [1]}));
            check_whole(kind, json!({}));
            check_whole(kind, Value::Null);
        }
        assert!(!is_known("hologram"));
        check_whole("hologram", json!({"shape": 1}));
        for kind in
            ["choice", "visual", "cardV2", "carousel", "VoiceNote", "file", "form", "EmailForm", "input"]
        {
            check_whole(kind, Value::Null);
            check_rest(
                kind,
                json!(true),
                json!({}),
                if kind == "file" { &[] } else { &["wrong-type payload"] },
            );
        }
    }

    /// The 41 types that the vendor's own code accepts, and the four of its live channel.
    #[test]
    fn every_type_of_the_vendor_is_known() {
        let types = "launch text choice MultiSelect cardV2 carousel visual GetBrowserData Embed location iFrame \
            FileUpload MultiFileUpload GoogleForm EmailForm SetConvoData VoiceNote SetRuntime no-reply VGVF_Channel \
            VFVG_Channel VG_Response knowledgeBase jsx Flowise MultiDropdown Slider Attachment info:default \
            info:success info:danger info:primary end debug stealth debug:success debug:error debug:tell \
            context:form_submission file browser_capture form input ui_engine_form ui_engine_input";
        let types: Vec<_> = types.split_whitespace().collect();
        assert_eq!(types.len(), 45);
        for kind in types {
            assert!(is_known(kind), "{kind}");
        }
    }
}
