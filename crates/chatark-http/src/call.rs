//! One request as data: what it is for, where it goes, and what it does there.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::Bytes;
use reqwest::Method;

/// One request: its purpose, the path after the base URL, the query, and the JSON that it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it is for, as errors name it, such as `export conversations`.
    pub operation: Cow<'static, str>,
    /// The segments of the path, not yet encoded.
    pub path: Vec<String>,
    /// The query, not yet encoded.
    pub query: Vec<(Cow<'static, str>, String)>,
    pub(crate) method: Method,
    pub(crate) effect: Effect,
    pub(crate) body: Option<Bytes>,
    /// The most attempts, if they are fewer than those of the policy.
    pub(crate) max_attempts: Option<u32>,
}

/// What a call does at the vendor, whatever its HTTP method: a search is often a `POST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads and changes nothing.
    Read,
    /// Replaces what is there, so that sending it twice has the effect of sending it once.
    Replace,
    /// Creates something each time it is sent.
    Create,
}

impl Effect {
    /// Returns whether a call may be sent again although it may already have had its effect.
    pub fn is_repeatable(self) -> bool {
        self != Self::Create
    }
}

impl Call {
    /// Creates a `GET` without a query.
    pub fn new<const N: usize>(operation: impl Into<Cow<'static, str>>, path: [&str; N]) -> Self {
        Self {
            operation: operation.into(),
            path: path.map(str::to_owned).to_vec(),
            query: Vec::new(),
            method: Method::GET,
            effect: Effect::Read,
            body: None,
            max_attempts: None,
        }
    }

    /// Sets the method and the JSON body, and declares the effect at the vendor.
    #[must_use]
    pub fn body(self, method: Method, effect: Effect, json: Bytes) -> Self {
        Self { method, effect, body: Some(json), ..self }
    }

    /// Makes it a `POST` that reads, such as a search. It is repeated after any transient failure.
    #[must_use]
    pub fn search(self, json: Bytes) -> Self {
        self.body(Method::POST, Effect::Read, json)
    }

    /// Makes it a `PATCH` that replaces what is there. It is repeated after any transient failure.
    #[must_use]
    pub fn replace(self, json: Bytes) -> Self {
        self.body(Method::PATCH, Effect::Replace, json)
    }

    /// Makes it a `POST` that creates something.
    ///
    /// It is repeated only if the failed attempt certainly had no effect; any other failure is an ambiguous error.
    #[must_use]
    pub fn create(self, json: Bytes) -> Self {
        self.body(Method::POST, Effect::Create, json)
    }

    /// Limits the attempts below those of the policy, for a request that fails more often than not.
    #[must_use]
    pub fn max_attempts(self, max_attempts: Option<u32>) -> Self {
        Self { max_attempts, ..self }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<Cow<'static, str>>, value: impl Display) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds a query parameter if there is a value.
    #[must_use]
    pub fn optional_query(self, name: impl Into<Cow<'static, str>>, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }
}
