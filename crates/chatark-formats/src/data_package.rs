//! `datapackage.json`: a description of CSV files for programs, as a Frictionless data package.

use serde::Serialize;
use serde_json::{Value, json};

use crate::manifest::CsvDialect;

/// One column of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header.
    pub name: &'static str,
    /// The type of its cells; an empty cell is a missing value.
    pub kind: ColumnType,
    /// What its cells hold, as a phrase without a full stop.
    pub description: &'static str,
}

/// The type of the cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number.
    Number,
    /// A point in time: RFC 3339 in UTC.
    Time,
    /// `true` or `false`.
    Boolean,
}

/// One CSV file of a data package.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// The name of the file.
    pub file: &'static str,
    /// What a row is.
    pub title: &'static str,
    /// Its columns, in order.
    pub columns: &'a [Column],
}

impl Column {
    /// Returns a column.
    pub const fn new(name: &'static str, kind: ColumnType, description: &'static str) -> Self {
        Self { name, kind, description }
    }
}

/// Returns the text of `datapackage.json`, with a name and a title for all files together.
pub fn data_package(name: &str, title: &str, resources: &[Resource<'_>], dialect: CsvDialect) -> String {
    let resources: Vec<_> = resources.iter().map(|resource| resource_json(resource, dialect)).collect();
    let document =
        json!({ "name": name, "title": title, "profile": "tabular-data-package", "resources": resources });
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut text);
    // Writing JSON values to memory cannot fail.
    let _ = document.serialize(&mut serializer);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn resource_json(resource: &Resource<'_>, dialect: CsvDialect) -> Value {
    let fields: Vec<_> = resource.columns.iter().map(field_json).collect();
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

fn field_json(column: &Column) -> Value {
    let kind = match column.kind {
        ColumnType::Text => "string",
        ColumnType::Integer => "integer",
        ColumnType::Number => "number",
        ColumnType::Time => "datetime",
        ColumnType::Boolean => "boolean",
    };
    json!({ "name": column.name, "type": kind, "description": column.description })
}
