//! How a vendor expects the key, as data.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where the key of an account goes in each request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authentication {
    /// `Authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// A header that holds the key after a prefix, such as `X-Api-Key: KEY` or `Authorization: Token KEY`.
    Header {
        /// The name of the header.
        name: HeaderName,
        /// What comes before the key, its space included; often empty.
        prefix: Cow<'static, str>,
    },
    /// `Authorization: Basic`, with the key as the password.
    Basic {
        /// The user, such as `ann@example.com/token`.
        user: String,
    },
    /// `Authorization: Basic`, with the key as the user.
    BasicUser {
        /// The password; often empty, or `X`.
        password: String,
    },
    /// A query parameter that holds the key.
    Query {
        /// The name of the parameter.
        name: Cow<'static, str>,
    },
}

/// The key of one account in the form in which it is sent. Its `Debug` shows no secret.
#[derive(Debug)]
pub(crate) enum Credentials {
    Header(HeaderName, HeaderValue),
    Query(Cow<'static, str>, SecretString),
}

impl Credentials {
    /// Fails if a header cannot hold the key.
    pub(crate) fn new(
        authentication: &Authentication,
        key: &SecretString,
    ) -> Result<Self, InvalidHeaderValue> {
        let secret = key.expose_secret();
        let (name, text) = match authentication {
            Authentication::Bearer => (&AUTHORIZATION, format!("Bearer {secret}")),
            Authentication::Header { name, prefix } => (name, format!("{prefix}{secret}")),
            Authentication::Basic { user } => (&AUTHORIZATION, basic(user, secret)),
            Authentication::BasicUser { password } => (&AUTHORIZATION, basic(secret, password)),
            Authentication::Query { name } => return Ok(Self::Query(name.clone(), key.clone())),
        };
        let mut value = HeaderValue::try_from(text)?;
        value.set_sensitive(true);
        Ok(Self::Header(name.clone(), value))
    }

    /// Adds the key to a request.
    pub(crate) fn apply(&self, url: &mut Url, headers: &mut HeaderMap) {
        match self {
            Self::Header(name, value) => {
                headers.insert(name, value.clone());
            }
            Self::Query(name, key) => {
                url.query_pairs_mut().append_pair(name, key.expose_secret());
            }
        }
    }

    /// Returns the text that is sent, if it spells the key differently: the base64 of `Basic`, without its padding.
    pub(crate) fn encoded_key(&self) -> Option<SecretString> {
        let Self::Header(_, value) = self else { return None };
        let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
        Some(encoded.trim_end_matches('=').into())
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
