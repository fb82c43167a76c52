//! Converts values and errors between SQLite and Rust.

use chatark_core::{Error, ErrorKind, Timestamp};
use rusqlite::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Returns a function that turns an error of SQLite into ours.
pub(crate) fn database_error(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| {
        const DAMAGED: &str = "the file is damaged or is not an archive: keep it, and restore a copy or set `archive` to another path";
        let (kind, hint) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (ErrorKind::Damaged, DAMAGED),
            // Tables are strict: SQLite never writes a value of another type.
            None if is_wrong_type(&error) => (ErrorKind::Damaged, DAMAGED),
            Some(ErrorCode::DiskFull) => (
                ErrorKind::Storage,
                "make room on the disk, then run the same command again: nothing is lost",
            ),
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure,
            ) => (ErrorKind::Storage, "check that the archive and its folder are writable"),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (ErrorKind::Locked, "another process is writing to the archive: wait for it, then try again")
            }
            _ => (ErrorKind::Unexpected, "please report this"),
        };
        Error::new(kind, operation, &error).hint(hint).because(error)
    }
}

fn is_wrong_type(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    )
}

/// Returns the JSON text of a list or object, or `None` if it is empty.
pub(crate) fn to_json<T: Serialize>(value: &T, is_empty: bool) -> Option<String> {
    if is_empty { None } else { serde_json::to_string(value).ok() }
}

/// Reads a JSON text back; `None` gives the empty value.
pub(crate) fn from_json<T: DeserializeOwned + Default>(text: Option<&str>) -> Result<T, Error> {
    let Some(text) = text else { return Ok(T::default()) };
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Damaged, "read the archive", format!("a stored value is not JSON: {error}"))
    })
}

/// Returns the value of a stored word, or an error if Chatark never writes that word.
pub(crate) fn known_word<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| {
        Error::new(ErrorKind::Damaged, "read the archive", "a stored word is not one that Chatark writes")
    })
}

/// Reads a stored time back.
pub(crate) fn read_timestamp(microseconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_microseconds(microseconds?).ok()
}

/// Returns a count as SQLite stores it.
pub(crate) fn stored_count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a stored count back.
pub(crate) fn read_count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
