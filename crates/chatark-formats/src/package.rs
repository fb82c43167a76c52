//! `datapackage.json`: what the columns of CSV files mean, for programs, in the form of Frictionless Data.

use serde::Serialize;
use serde_json::{Value, json};

use crate::manifest::CsvDialect;

/// One column of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header.
    pub name: &'static str,
    /// What its cells hold; an empty cell is no value.
    pub kind: Kind,
    /// What it means, in one sentence without a full stop.
    pub description: &'static str,
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number.
    Number,
    /// An instant, RFC 3339 in UTC.
    Time,
    /// `true` or `false`.
    Boolean,
}

/// One CSV file of a package.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// The file in the folder of the package.
    pub file: &'static str,
    /// What a row of it is.
    pub title: &'static str,
    /// Its columns, in order.
    pub columns: &'a [Column],
}

impl Column {
    /// Describes a column.
    pub const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, description }
    }
}

/// Returns the text of `datapackage.json` for files that are written in a dialect.
pub fn package(name: &str, title: &str, resources: &[Resource<'_>], dialect: CsvDialect) -> String {
    let resources: Vec<_> = resources.iter().map(|resource| described(resource, dialect)).collect();
    let package =
        json!({ "name": name, "title": title, "profile": "tabular-data-package", "resources": resources });
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut text);
    // Values that were made here become JSON in memory.
    let _ = package.serialize(&mut serializer);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn described(resource: &Resource<'_>, dialect: CsvDialect) -> Value {
    let fields: Vec<_> = resource.columns.iter().map(field).collect();
    json!({
        "name": resource.file.trim_end_matches(".csv"),
        "title": resource.title,
        "path": resource.file,
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": if dialect.bom { "utf-8-sig" } else { "utf-8" },
        "dialect": { "delimiter": ",", "lineTerminator": "\r\n", "quoteChar": "\"", "doubleQuote": true, "header": true },
        "schema": { "fields": fields, "missingValues": [""] },
    })
}

fn field(column: &Column) -> Value {
    let kind = match column.kind {
        Kind::Text => "string",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Time => "datetime",
        Kind::Boolean => "boolean",
    };
    json!({ "name": column.name, "type": kind, "description": column.description })
}
