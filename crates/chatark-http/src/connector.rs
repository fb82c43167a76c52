//! Creates a client from its account and from what all clients of a command share.

use std::sync::Arc;

use chatark_core::{Clock, Error, ErrorKind, Result};
use reqwest::header::{HeaderMap, HeaderValue, USER_AGENT};
use secrecy::SecretString;
use url::Url;

use crate::authentication::{Authentication, Credentials};
use crate::backoff::Jitter;
use crate::budget::Budget;
use crate::client::ApiClient;
use crate::dialect::Dialect;
use crate::network::{Network, is_loopback};
use crate::observer::{HttpObserver, NoObserver};
use crate::policy::Policy;
use crate::rate_limiter::RateLimiters;
use crate::redact::Redactor;
use crate::transport::Transport;

/// Connects an account to its vendor.
///
/// A command fills in what its run shares; a provider may set `authentication` and `headers`, and calls
/// [`Connector::client`].
#[derive(Debug, Clone)]
pub struct Connector {
    /// The name of the source, for errors.
    pub source: String,
    /// The key of the account.
    pub key: SecretString,
    /// Where the key goes in each request.
    pub authentication: Authentication,
    /// Further headers of each request. Those marked as sensitive are kept out of errors, as the key is.
    pub headers: HeaderMap,
    /// The rate limiters of all accounts.
    pub rate_limiters: Arc<RateLimiters>,
    /// What the command may spend.
    pub budget: Arc<Budget>,
    /// How long and how often to try.
    pub policy: Policy,
    /// Receives the waits before requests, and the responses.
    pub observer: Arc<dyn HttpObserver>,
    /// What carries requests; `None` is the network.
    pub transport: Option<Arc<dyn Transport>>,
    /// The wall clock, with which dates in headers are compared. Waits use the clock of the runtime.
    pub clock: Clock,
    /// The randomness of waits.
    pub jitter: Arc<Jitter>,
}

impl Connector {
    /// Creates a connector with a bearer key, the network, the system's clock, the default policy and no limits.
    pub fn new(source: impl Into<String>, key: SecretString) -> Self {
        Self {
            source: source.into(),
            key,
            authentication: Authentication::default(),
            headers: HeaderMap::new(),
            rate_limiters: Arc::default(),
            budget: Arc::default(),
            policy: Policy::default(),
            observer: Arc::new(NoObserver),
            transport: None,
            clock: Clock::system(),
            jitter: Arc::default(),
        }
    }

    /// Creates the client of one account.
    ///
    /// Plain `http` is accepted only for this machine, since the key would be sent unencrypted.
    pub fn client(self, base: Url, dialect: impl Dialect + 'static) -> Result<ApiClient> {
        if base.scheme() != "https" && !is_loopback(&base) {
            let message = "the base URL is not `https`, so the key would be sent unencrypted";
            return Err(Error::new(ErrorKind::Usage, "connect", message)
                .with("source", &self.source)
                .hint("write `https://` in `base_url`; plain `http` is only for this machine"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            let message = "the base URL contains a user name or a password";
            return Err(Error::new(ErrorKind::Usage, "connect", message)
                .with("source", &self.source)
                .hint("remove the user name and the password with the `@` from `base_url`, and name the key in `api_key`"));
        }
        let credentials = Credentials::new(&self.authentication, &self.key).map_err(|_| {
            let message = "the key contains characters that an HTTP header cannot have";
            Error::new(ErrorKind::Usage, "connect", message)
                .with("source", &self.source)
                .hint("check where the key comes from: it should be one line of printable characters")
        })?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(Network::new(&base, self.policy.timeout).map_err(|error| {
                Error::new(ErrorKind::Unexpected, "set up the HTTP client", error)
                    .with("source", &self.source)
            })?),
        };
        let redactor =
            Redactor::new(credentials.encoded_key().into_iter().chain([self.key.clone()]), &self.headers);
        Ok(ApiClient {
            rate_limiter: self.rate_limiters.of_account(&base, &self.key),
            headers: with_user_agent(self.headers),
            source: self.source,
            base,
            dialect: Box::new(dialect),
            credentials,
            redactor,
            transport,
            budget: self.budget,
            policy: self.policy,
            observer: self.observer,
            clock: self.clock,
            jitter: self.jitter,
            clock_skew_seconds: Arc::default(),
        })
    }
}

fn with_user_agent(mut headers: HeaderMap) -> HeaderMap {
    let ours = HeaderValue::from_static(concat!("chatark/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(ours);
    headers
}
