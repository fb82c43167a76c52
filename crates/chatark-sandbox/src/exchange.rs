//! Requests and responses, independent of HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::truth::Vendor;

/// A parsed request to one of the vendors.
#[derive(Debug, Clone)]
pub(crate) struct ApiRequest {
    pub(crate) vendor: Vendor,
    /// The decoded segments below the API's root.
    pub(crate) path: Vec<String>,
    /// The decoded pairs, in order.
    pub(crate) query: Vec<(String, String)>,
}

impl ApiRequest {
    /// Returns the first value of a parameter; the vendors ignore the others.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Returns the decoded segments as a slice to match on.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// A response that has not been sent yet.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: ReplyBody,
}

/// The body of a response.
pub(crate) enum ReplyBody {
    /// The whole body.
    Whole(Bytes),
    /// A stream of chunks, for bodies that do not fit into memory.
    Chunks(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl Reply {
    /// Returns a JSON response.
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::bytes(status, body.to_string())
    }

    /// Returns a JSON response from serialized bytes.
    pub(crate) fn bytes(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: ReplyBody::Whole(body.into()),
        }
    }

    /// Returns the body as one chunk.
    pub(crate) fn into_whole(self) -> Self {
        let body = match self.body {
            ReplyBody::Whole(bytes) => bytes,
            ReplyBody::Chunks(chunks) => chunks.flatten().collect(),
        };
        Self { body: ReplyBody::Whole(body), ..self }
    }

    /// Adds the size of the body to a counter while it is sent.
    pub(crate) fn counted(self, sent: &Arc<AtomicU64>) -> Self {
        let count = |sent: &AtomicU64, bytes: &Bytes| sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let body = match self.body {
            ReplyBody::Whole(bytes) => {
                count(sent, &bytes);
                ReplyBody::Whole(bytes)
            }
            ReplyBody::Chunks(chunks) => {
                let sent = Arc::clone(sent);
                ReplyBody::Chunks(Box::new(chunks.inspect(move |bytes| {
                    count(&sent, bytes);
                })))
            }
        };
        Self { body, ..self }
    }

    /// Returns the bytes of a body that is one chunk.
    pub(crate) fn whole_body(&self) -> Bytes {
        match &self.body {
            ReplyBody::Whole(bytes) => bytes.clone(),
            ReplyBody::Chunks(_) => Bytes::new(),
        }
    }
}

/// Appends a value as JSON.
pub(crate) fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("the sandbox's own types become JSON in memory");
}

/// Appends rendered items, separated by commas, between brackets.
pub(crate) fn write_array(
    out: &mut Vec<u8>,
    indices: impl IntoIterator<Item = usize>,
    mut write_item: impl FnMut(&mut Vec<u8>, usize),
) {
    out.push(b'[');
    for (at, index) in indices.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_item(out, index);
    }
    out.push(b']');
}

/// Parses a query, which may be malformed.
pub(crate) fn query_pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(&name.replace('+', " ")), percent_decoded(&value.replace('+', " ")))
        })
        .collect()
}

/// Decodes percent-encoding; malformed sequences stay unchanged.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let pairs = query_pairs("source=Widget%20or%20Iframe,WhatsApp&cursor=a%2Bb%3D%3D&x&a+b=%zz");
        let expected =
            [("source", "Widget or Iframe,WhatsApp"), ("cursor", "a+b=="), ("x", ""), ("a b", "%zz")];
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, expected);
    }
}
