//! The facts that reports are made of, as tables of their own beside the archive, which is not touched.

use std::fmt;
use std::time::Instant;

use chatark_core::{Channel, Error, ErrorKind, Result, Timestamp, Zone};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};

use crate::open::Archive;
use crate::read::Filter;
use crate::talk;
use crate::values::database;

/// An archive with the facts of a report beside it. They are gone with it.
#[derive(Debug)]
pub struct Views {
    archive: Archive,
}

/// What the rows of a report are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// A day, and source, provider and channel.
    Day,
    /// An ISO week, and source, provider and channel.
    Week,
    /// A month, and source, provider and channel.
    Month,
    /// The source alone.
    Source,
    /// Nothing: everything together.
    All,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A decimal number.
    Real(f64),
    /// A text.
    Text(String),
}

impl Grain {
    /// Returns the columns by which the cells of this grain are grouped.
    fn columns(self) -> &'static str {
        match self {
            Self::Day => "day AS period, name AS source, provider, channel",
            Self::Week => "week AS period, name AS source, provider, channel",
            Self::Month => "month AS period, name AS source, provider, channel",
            Self::Source => "'all' AS period, name AS source, provider, '' AS channel",
            Self::All => "'all' AS period, '' AS source, '' AS provider, '' AS channel",
        }
    }
}

impl Views {
    /// Gathers the facts of the conversations that a filter leaves over, with days and hours of a time zone.
    ///
    /// Reads the archive once; the facts are kept in temporary files, a few hundred bytes for each conversation.
    pub fn gather(archive: Archive, filter: &Filter, zone: Zone) -> Result<Self> {
        let failed = || database("gather the facts of a report");
        let connection = &archive.connection;
        register(&archive, zone)?;
        connection
            .execute_batch(
                "PRAGMA temp.cache_size = -8192;
                 CREATE TEMP TABLE bounds (since INTEGER, until INTEGER, channel TEXT);
                 CREATE TEMP TABLE chosen (source_key INTEGER PRIMARY KEY, name TEXT, provider TEXT);",
            )
            .map_err(failed())?;
        let bound = |bound: Option<Timestamp>| bound.map(Timestamp::microseconds);
        let bounds = params![
            bound(filter.window.since),
            bound(filter.window.until),
            filter.channel.map(Channel::as_str)
        ];
        connection.execute("INSERT INTO temp.bounds VALUES (?1, ?2, ?3)", bounds).map_err(failed())?;
        for (key, origin) in archive.origins(&filter.sources)? {
            let source = params![key, origin.source.as_str(), origin.provider];
            connection.execute("INSERT INTO temp.chosen VALUES (?1, ?2, ?3)", source).map_err(failed())?;
        }
        let began = Instant::now();
        talk::gather(connection, zone)?;
        tracing::debug!(elapsed_ms = began.elapsed().as_millis(), "messages gathered");
        connection.execute_batch(include_str!("views/facts.sql")).map_err(failed())?;
        tracing::debug!(elapsed_ms = began.elapsed().as_millis(), "facts gathered");
        Ok(Self { archive })
    }

    /// Makes the views that metrics read: `conversation_report`, `message_report`, `response_report`, `tool_report`.
    ///
    /// Their rows belong to slots, which are numbers; `slots` says which period, source and channel each one is.
    pub fn group_by(&self, grain: Grain) -> Result<()> {
        let columns = grain.columns();
        let told = "tells_dates, has_status, tells_times, tells_duration, tells_feedback, tells_scores, tells_tools, tells_people";
        let sql = format!(
            "DROP VIEW IF EXISTS temp.conversation_report; DROP VIEW IF EXISTS temp.message_report;
             DROP VIEW IF EXISTS temp.response_report; DROP VIEW IF EXISTS temp.tool_report;
             DROP TABLE IF EXISTS temp.slots; DROP TABLE IF EXISTS temp.cell_slots;
             CREATE TEMP TABLE slots (
                 slot INTEGER PRIMARY KEY, period TEXT, source TEXT, provider TEXT, channel TEXT,
                 UNIQUE (period, source, provider, channel));
             INSERT INTO temp.slots (period, source, provider, channel)
                 SELECT DISTINCT {columns} FROM cells JOIN chosen USING (source_key);
             CREATE TEMP TABLE cell_slots (cell INTEGER PRIMARY KEY, slot INTEGER);
             INSERT INTO temp.cell_slots
                 SELECT cell, slot FROM (SELECT cell, {columns} FROM cells JOIN chosen USING (source_key))
                     JOIN slots USING (period, source, provider, channel);
             CREATE TEMP VIEW conversation_report AS
                 SELECT slot, {told}, status, weekday, hour, duration_seconds, first_response_seconds, messages,
                     user_messages, assistant_messages, positive_messages, negative_messages, scored_messages,
                     low_messages, feedback, is_handed_over, is_unanswered, first_question, last_question, person,
                     is_first_contact, conversations.provider AS vendor
                 FROM conversations JOIN cell_slots USING (cell) JOIN sources USING (source_key);
             CREATE TEMP VIEW message_report AS
                 SELECT slot, messages FROM message_cells JOIN cell_slots USING (cell);
             CREATE TEMP VIEW response_report AS
                 SELECT slot, response_seconds, times FROM responses JOIN cell_slots USING (cell);
             CREATE TEMP VIEW tool_report AS
                 SELECT slot, tool, tool_status FROM tool_calls JOIN cell_slots USING (cell);"
        );
        let began = Instant::now();
        self.archive.connection.execute_batch(&sql).map_err(database("group the facts of a report"))?;
        tracing::debug!(elapsed_ms = began.elapsed().as_millis(), ?grain, "grouped");
        Ok(())
    }

    /// Gives every row of a query over the views to `take`.
    pub fn select(&self, sql: &str, mut take: impl FnMut(&[Cell]) -> Result<()>) -> Result<()> {
        let failed = || database("compute a report");
        let began = Instant::now();
        let mut statement = self.archive.connection.prepare(sql).map_err(failed())?;
        let width = statement.column_count();
        let mut rows = statement.query([]).map_err(failed())?;
        let mut cells = Vec::with_capacity(width);
        while let Some(row) = rows.next().map_err(failed())? {
            cells.clear();
            for at in 0..width {
                cells.push(cell(row, at).map_err(failed())?);
            }
            take(&cells)?;
        }
        let what = sql.lines().find(|line| line.contains("-- ")).unwrap_or_default().trim();
        tracing::debug!(elapsed_ms = began.elapsed().as_millis(), what, "computed");
        Ok(())
    }
}

fn cell(row: &Row<'_>, at: usize) -> rusqlite::Result<Cell> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null | ValueRef::Blob(_) => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
    })
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Integer(number) => number.fmt(formatter),
            Self::Real(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

fn register(archive: &Archive, zone: Zone) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let connection = &archive.connection;
    let local = move |context: &Context<'_>| {
        let instant = context.get::<Option<i64>>(0)?.and_then(|at| Timestamp::from_microseconds(at).ok());
        let format = context.get_raw(1).as_str()?;
        Ok(instant.map(|instant| instant.written(zone, format)))
    };
    let fold_text = |context: &Context<'_>| Ok(context.get_raw(0).as_str_or_null()?.map(fold));
    let phone =
        |context: &Context<'_>| Ok(fold_phone(context.get_raw(0).as_str_or_null()?.unwrap_or_default()));
    connection
        .create_scalar_function("local", 2, flags, local)
        .and_then(|()| connection.create_scalar_function("fold", 1, flags, fold_text))
        .and_then(|()| connection.create_scalar_function("fold_phone", 1, flags, phone))
        .map_err(|error| Error::new(ErrorKind::Unexpected, "gather the facts of a report", error))
}

/// Brings texts that say the same to one form: lower case, letters and digits alone, one space between words.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            folded.push(letter);
        } else if !matches!(letter, '\'' | '’') && !folded.ends_with(' ') && !folded.is_empty() {
            folded.push(' ');
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// Brings telephone numbers to digits with the country's code first; too few digits are no number.
fn fold_phone(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches("00");
    if digits.len() < 6 { String::new() } else { digits.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_say_the_same_fold_to_one() {
        for text in ["Where's my order?", "wheres   my ORDER", "  Where’s my order!!! "] {
            assert_eq!(fold(text), "wheres my order");
        }
        assert_eq!(fold("Wo ist Größe 42?"), "wo ist größe 42");
        assert_eq!((fold("?!"), fold("👍 ok")), (String::new(), "ok".to_owned()));
        for phone in ["+49 151 234-567", "0049151234567", "49151234567"] {
            assert_eq!(fold_phone(phone), "49151234567");
        }
        assert_eq!(fold_phone("12 34"), "");
    }
}
