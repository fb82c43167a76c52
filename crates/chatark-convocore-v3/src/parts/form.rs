//! Forms, inputs and their answers.

use chatark_core::fields::Fields;
use chatark_core::issue::Path;
use chatark_core::{FormField, IssueKind, Issues, Part};
use serde_json::Value;

use super::payload::{Parts, PayloadReader, has_list, has_value};

/// The type of message whose payload is the answers themselves, in an undocumented shape.
pub(crate) const SUBMISSION: &str = "context:form_submission";

/// Keys of a form field that the model has no place for.
const FIELD: &[&str] = &["defaultValue", "options", "placeholder", "required", "validation"];

/// Reads a form with its fields and its answers.
pub(super) fn form(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let path = reader.path;
    let is_readable = has_list(&payload, "fields") || has_list(&payload, "submittedData");
    let mut fields = reader.open(payload, is_readable)?;
    let title = fields.text("title");
    let submitted = fields.flag("isSubmitted");
    let declared = fields.list("fields").unwrap_or_default();
    let mut form = form_fields(reader, declared, &Path::Key(&path, "fields"));
    let answers = fields.list("submittedData").unwrap_or_default();
    fill_in(reader, &mut form, answers, &Path::Key(&path, "submittedData"));
    reader.close(fields, &["description", "onSubmit", "submitButton"]);
    Ok(vec![Part::Form { title, fields: form, submitted }])
}

/// Reads the form with which a customer writes an e-mail.
pub(super) fn email_form(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let has_answer = payload["email"].is_string() || payload["message"].is_string();
    if payload.is_object() && !has_answer {
        return form(reader, payload);
    }
    let mut fields = reader.open(payload, true)?;
    let answers = ["email", "message"].into_iter().filter_map(|key| {
        let value = fields.text(key)?;
        Some(FormField { id: Some(key.to_owned()), value: Some(value.into()), ..FormField::default() })
    });
    let form = Part::Form { title: None, fields: answers.collect(), submitted: None };
    if fields.peek("attachmentLinks").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fields.take("attachmentLinks");
    }
    reader.close(fields, &["attachmentLinks"]);
    Ok(vec![form])
}

/// Reads an input, which is a form with one field.
pub(super) fn input(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    let is_readable =
        payload.get("field").is_some_and(Value::is_object) || has_value(&payload, "submittedValue");
    let mut fields = reader.open(payload, is_readable)?;
    let submitted = fields.flag("isSubmitted");
    let mut field = FormField::default();
    if let Some(declared) = fields.take("field") {
        let read = form_field(declared.clone(), Path::Key(&reader.path, "field"), reader.issues);
        if !matches!(read, Some((_, true))) {
            reader.keep("payload.field", declared);
        }
        field = read.map(|(field, _)| field).unwrap_or_default();
    }
    field.value = fields.take("submittedValue").or(field.value);
    reader.close(fields, &["onSubmit", "submitOnEnter"]);
    Ok(vec![Part::Form { title: None, fields: vec![field], submitted }])
}

/// Reads the answers to a form: in the shape of a form, or as an object with one value per answer.
pub(super) fn submission(reader: &mut PayloadReader<'_>, payload: Value) -> Parts {
    if has_list(&payload, "fields") || has_list(&payload, "submittedData") {
        return form(reader, payload);
    }
    let is_plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let Value::Object(answers) = payload else {
        reader.issues.add(IssueKind::WrongType, &reader.path);
        return Err(payload);
    };
    if !answers.values().any(is_plain) {
        return Err(Value::Object(answers));
    }
    let (plain, nested): (Vec<_>, Vec<_>) =
        answers.into_iter().filter(|(_, value)| !value.is_null()).partition(|(_, value)| is_plain(value));
    reader.keep_fields("payload", nested.into_iter().collect());
    let field = |(id, value)| FormField { id: Some(id), value: Some(value), ..FormField::default() };
    let fields = plain.into_iter().map(field).collect();
    Ok(vec![Part::Form { title: None, fields, submitted: None }])
}

/// Reads the fields of a form. If the model has no place for something in them, the whole list is also kept.
fn form_fields(reader: &mut PayloadReader<'_>, declared: Vec<Value>, path: &Path<'_>) -> Vec<FormField> {
    let whole = declared.clone();
    let read: Vec<_> = declared
        .into_iter()
        .enumerate()
        .filter_map(|(at, field)| form_field(field, Path::Index(path, at), reader.issues))
        .collect();
    if read.len() < whole.len() || read.iter().any(|(_, is_complete)| !is_complete) {
        reader.keep("payload.fields", Value::Array(whole));
    }
    read.into_iter().map(|(field, _)| field).collect()
}

/// Reads one field of a form, and returns whether the model has a place for everything in it.
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

/// Writes answers into the fields of a form; an answer to an undeclared field adds one.
fn fill_in(reader: &mut PayloadReader<'_>, form: &mut Vec<FormField>, answers: Vec<Value>, path: &Path<'_>) {
    let whole = answers.clone();
    let mut is_complete = true;
    for (at, answer) in answers.into_iter().enumerate() {
        let Ok(mut fields) = Fields::open(answer, Path::Index(path, at), reader.issues) else {
            is_complete = false;
            continue;
        };
        fields.take("index");
        let answer = FormField {
            id: fields.id("field_id"),
            label: fields.text("label"),
            kind: fields.text("field_type"),
            value: fields.take("value"),
        };
        is_complete &= fields.finish(&[]).is_empty();
        add_answer(form, answer);
    }
    if !is_complete {
        reader.keep("payload.submittedData", Value::Array(whole));
    }
}

fn add_answer(form: &mut Vec<FormField>, answer: FormField) {
    match form.iter_mut().find(|field| field.id.is_some() && field.id == answer.id) {
        Some(field) => {
            field.value = answer.value.or(field.value.take());
            field.label = field.label.take().or(answer.label);
            field.kind = field.kind.take().or(answer.kind);
        }
        None => form.push(answer),
    }
}
