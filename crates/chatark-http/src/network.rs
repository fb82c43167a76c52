//! The transport over the network, by `reqwest`.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Client, Request, redirect, retry};
use url::Url;

use crate::transport::{Transport, TransportError, TransportRequest, TransportResponse};

/// Connections to one vendor, kept open between requests. Bodies arrive decompressed.
#[derive(Debug)]
pub(crate) struct Network(Client);

impl Network {
    /// Creates the transport to a base URL. `timeout` is for connecting; the caller limits the wait for a
    /// response.
    pub(crate) fn new(base: &Url, timeout: Duration) -> Result<Self, TransportError> {
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(timeout)
            .referer(false);
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // The sandbox needs no TLS, so it also runs on a machine without CA certificates.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self(builder.build().map_err(|error| transport_error(&error))?))
    }
}

#[async_trait]
impl Transport for Network {
    async fn send(&self, request: TransportRequest) -> Result<TransportResponse, TransportError> {
        let TransportRequest { method, url, headers, body } = request;
        let mut request = Request::new(method, url);
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(Into::into);
        let mut response = self.0.execute(request).await.map_err(|error| transport_error(&error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = response.bytes_stream().map_err(|error| transport_error(&error)).boxed();
        Ok(TransportResponse { status, headers, body })
    }
}

/// Returns whether a base URL is on this machine.
pub(crate) fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns the innermost cause that does not contain a URL.
fn transport_error(error: &reqwest::Error) -> TransportError {
    let mut innermost = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !text.contains("://") {
            innermost = text;
        }
        cause = inner.source();
    }
    if error.is_connect() { TransportError::Connect(innermost) } else { TransportError::Broken(innermost) }
}
