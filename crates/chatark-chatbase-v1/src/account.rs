//! One Chatbase agent, and the resume tokens that are sealed for it.

use chatark_core::{Error, ErrorKind, Result, ResumeToken, Settings};
use chatark_http::{ApiClient, Connector};

use crate::config::Config;
use crate::dialect::ChatbaseV1Dialect;
use crate::wire;

/// The name of the provider in configs, archives and resume tokens.
pub(crate) const PROVIDER: &str = "chatbase-v1";
/// The version of the resume tokens that this crate seals.
const TOKEN_VERSION: u32 = 1;

/// One Chatbase agent, read through API v1.
#[derive(Debug)]
pub struct ChatbaseV1 {
    pub(crate) client: ApiClient,
    pub(crate) agent_id: String,
}

impl ChatbaseV1 {
    pub(crate) fn open(settings: &Settings, connector: Connector) -> Result<Self> {
        let config = Config::read(settings)
            .map_err(|_| Error::new(ErrorKind::Usage, "connect", "the settings are not valid"))?;
        let client = connector.client(config.base, ChatbaseV1Dialect)?;
        Ok(Self { client, agent_id: config.agent_id })
    }
}

/// Seals the next page of a list, counted from 1.
pub(crate) fn seal(scope: &str, page: u64) -> Result<ResumeToken> {
    ResumeToken::seal(PROVIDER, TOKEN_VERSION, scope.to_owned(), &wire::SavedPage { page })
}

/// Returns the page at which a walk resumes: one before the saved one, because rows that were deleted in the meantime
/// have moved the others forward.
pub(crate) fn resumed_page(token: Option<&ResumeToken>, scope: &str) -> Option<u64> {
    let saved: wire::SavedPage = token?.open(PROVIDER, TOKEN_VERSION, scope)?;
    Some(saved.page.saturating_sub(1).max(1))
}
