//! What carries requests: the network, or a simulation in this process.
//!
//! A transport sends one request and brings one response. It never retries, follows a redirect or waits for a rate
//! limit, and it knows neither the vendor nor the account: the client does all that, for every transport.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use url::Url;

/// Carries requests to a vendor and responses back.
///
/// Dropping the future of [`Transport::send`], or the body of a response, abandons the request.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request, and returns once the headers of the response have arrived.
    async fn send(&self, request: TransportRequest) -> Result<TransportResponse, TransportError>;
}

/// A request as it is sent, with the key in it. Its `Debug` shows neither headers, query nor body.
#[derive(Clone)]
pub struct TransportRequest {
    /// The HTTP method.
    pub method: Method,
    /// The URL with its query, encoded.
    pub url: Url,
    /// The headers; those that hold secrets are marked as sensitive.
    pub headers: HeaderMap,
    /// The body, if there is one.
    pub body: Option<Bytes>,
}

impl fmt::Debug for TransportRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body.as_ref().map(Bytes::len);
        let host = self.url.host_str();
        formatter
            .debug_struct("TransportRequest")
            .field("method", &self.method)
            .field("host", &host)
            .field("body_bytes", &body)
            .finish_non_exhaustive()
    }
}

/// A response whose body is still arriving.
pub struct TransportResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body in chunks of any size, already decompressed. An error ends it.
    pub body: BoxStream<'static, Result<Bytes, TransportError>>,
}

impl fmt::Debug for TransportResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TransportResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why a transport failed. The texts name only the cause, without a URL, since a URL may contain a key or name people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// There was no connection, so the vendor has not seen the request.
    Connect(String),
    /// The connection broke after the vendor may have seen the request.
    Broken(String),
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Self::Connect(why) => ("cannot connect", why),
            Self::Broken(why) => ("the connection broke", why),
        };
        if why.is_empty() { formatter.write_str(what) } else { write!(formatter, "{what}: {why}") }
    }
}

impl std::error::Error for TransportError {}
