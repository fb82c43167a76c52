//! The error type of all library crates: kind, operation, message, facts and a hint.
//!
//! All public functions return this error, except for parsers whose caller adds what was being read. Context is added
//! with [`Error::with`], not by wrapping the text in a new error. An error never holds a secret or anything that people
//! wrote.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of the fallible functions of the library crates.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in terms that a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command or the config cannot be carried out as written.
    Usage,
    /// The key is unknown to the vendor, or has expired.
    Unauthorized,
    /// The key is valid, but the plan, the scope or the quota does not allow the call.
    Forbidden,
    /// The agent or the conversation is unknown to the vendor.
    NotFound,
    /// The vendor refused the request for another reason; a retry will not help.
    Refused,
    /// The vendor asked for a longer wait than this run allows.
    RateLimited,
    /// The vendor failed (5xx, maintenance) in every attempt.
    Unavailable,
    /// The network failed, or the response was cut short, in every attempt.
    Network,
    /// The response could not be read.
    Malformed,
    /// The response was larger than the limit.
    TooLarge,
    /// The command has used up its budget.
    Budget,
    /// Less data arrived than the vendor reported, or it differs from earlier data.
    Incomplete,
    /// A file or folder could not be read or written.
    Storage,
    /// Another running process holds the archive.
    Locked,
    /// The archive is damaged, or the file is not an archive.
    Damaged,
    /// The user stopped the run.
    Interrupted,
    /// A bug in Chatark.
    Unexpected,
}

/// An error that reads as one line, with a hint for the next step.
///
/// `Display` is the line: `export conversations: the vendor answered 403 … (source=shop, code=…)`.
/// The hint is separate, so that a terminal can show it on its own line.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: Cow<'static, str>,
    message: String,
    facts: Vec<(&'static str, String)>,
    hint: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    is_ambiguous: bool,
    status: Option<u16>,
}

impl Error {
    /// Creates an error: its kind, what was being done, and what happened.
    pub fn new(kind: ErrorKind, operation: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            kind,
            operation: operation.into(),
            message: one_line(&message.to_string()),
            facts: Vec::new(),
            hint: None,
            cause: None,
            is_ambiguous: false,
            status: None,
        }))
    }

    /// Creates the error of work that panicked. The text of the panic stays out of it, because it may contain what
    /// people wrote.
    pub fn panicked(operation: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unexpected, operation, "a part of Chatark panicked").hint("please report this")
    }

    /// Adds one fact, such as the source or the vendor's request id.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.facts.push((name, one_line(&value.to_string())));
        self
    }

    /// Sets the hint: the next step that the user can take.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the error that caused this one, which `--verbose` shows.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Marks the outcome as ambiguous: the request may have taken effect despite this error.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        self.0.is_ambiguous = true;
        self
    }

    /// Keeps the HTTP status that the vendor answered with.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Returns the HTTP status that the vendor answered with, if the error comes from a response.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns whether the request may have taken effect despite this error, as after a lost response.
    pub fn is_ambiguous(&self) -> bool {
        self.0.is_ambiguous
    }

    /// Returns what went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the message without the operation and the facts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the facts in the order in which they were added.
    pub fn facts(&self) -> &[(&'static str, String)] {
        &self.0.facts
    }

    /// Returns the hint, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns whether the same call may succeed later, without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Network)
    }

    /// Returns whether the fault may lie in the requested records alone, so that other records can be read: the vendor
    /// or the network failed in every attempt, or the response cannot be read or is too large.
    pub fn may_be_local(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Unavailable | ErrorKind::Network | ErrorKind::Malformed | ErrorKind::TooLarge
        )
    }

    /// Returns whether the vendor refused what was requested, for example because it no longer knows a cursor.
    pub fn is_refusal(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Refused | ErrorKind::NotFound)
    }

    /// Returns whether the call will fail until somebody changes a key, a plan or an id.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Refused
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.0.operation, self.0.message)?;
        for (at, (name, value)) in self.0.facts.iter().enumerate() {
            let lead = if at == 0 { " (" } else { ", " };
            write!(formatter, "{lead}{name}={value}")?;
        }
        if self.0.facts.is_empty() { Ok(()) } else { formatter.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {self}", self.0.kind)?;
        match &self.0.cause {
            Some(cause) => write!(formatter, " because {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

/// Returns a text on one line, without control characters, which a terminal could obey.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_one_line_with_facts() {
        let error =
            Error::new(ErrorKind::Forbidden, "export conversations", "the vendor\nanswered \u{1b}[31m403")
                .with("source", "shop")
                .with("code", "PLAN")
                .hint("upgrade the plan");
        assert_eq!(
            error.to_string(),
            "export conversations: the vendor answered [31m403 (source=shop, code=PLAN)"
        );
        assert_eq!(error.hint_text(), Some("upgrade the plan"));
        assert!(error.is_permanent() && !error.is_transient());
    }
}
