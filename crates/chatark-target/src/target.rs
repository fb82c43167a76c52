//! The trait of a vendor API that can be written into.
//!
//! A target *packs* what the archive holds, which is pure, and *creates* what was packed. The caller keeps the ledger:
//! what is about to be sent, what was created under which id, and what is complete.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chatark_core::{RateLimit, Result};

use crate::item::{DataKind, MigrationItem, OutboundItem};
use crate::loss_report::{FieldRule, LossReport};

/// One vendor API that can be written into, bound to one agent of one account.
///
/// Files of a format are targets of a migration, too, but not of this trait. No call may reach a customer.
#[async_trait]
pub trait Target: fmt::Debug + Send + Sync {
    /// Returns what the target takes, and its limits.
    fn capabilities(&self) -> &'static Capabilities;

    /// Returns what to send for an item, or `None` if nothing is sent, and counts in the report what is lost.
    ///
    /// Pure: the same item always gives the same result.
    fn pack(&self, item: MigrationItem<'_>, loss_report: &mut LossReport) -> Result<Option<OutboundItem>>;

    /// Creates items of one kind with one request, at most [`KindLimits::items_per_request`] of them, and returns the
    /// vendor's ids in the same order, where the vendor gives them.
    ///
    /// After an ambiguous error, look for the items with [`Target::visit_held`] before sending them again.
    async fn create(&self, kind: DataKind, items: &[OutboundItem]) -> Result<Vec<Option<String>>>;

    /// Brings a created item to its final state. Can be repeated.
    async fn complete(&self, _item: &OutboundItem, _id: &str) -> Result<()> {
        Ok(())
    }

    /// Waits until a request that was sent `ago` and got no response can no longer take effect.
    async fn wait_for_late_effects(&self, ago: Duration) -> Result<()>;

    /// Passes every item of a kind that the agent holds to the visitor.
    ///
    /// Fails if the vendor does not list all of them: an item that is not listed must not be taken for missing. An item
    /// for which the visitor returns [`Visit::NeedsExternalId`] is passed again with its external id, if a migration
    /// has written it.
    async fn visit_held(&self, kind: DataKind, visitor: Visitor<'_>) -> Result<()>;
}

/// Receives what a target holds, item by item.
pub type Visitor<'a> = &'a mut (dyn FnMut(&HeldItem) -> Result<Visit> + Send);

/// What a [`Visitor`] still needs to know about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Nothing more.
    Done,
    /// The external id, which the list does not show.
    NeedsExternalId,
}

/// What a vendor API takes.
#[derive(Debug)]
pub struct Capabilities {
    /// The name for people, such as `Convocore API v3`.
    pub title: &'static str,
    /// The kinds of data that it takes, in the order in which they are migrated.
    pub kinds: &'static [KindLimits],
    /// The documented rate limit.
    pub rate_limit: Option<RateLimit>,
    /// What the user should know before a run, in one sentence each.
    pub notes: &'static [&'static str],
}

/// How a target takes one kind of data, and its limits for it.
#[derive(Debug)]
pub struct KindLimits {
    /// The kind.
    pub kind: DataKind,
    /// The most items in one request.
    pub items_per_request: usize,
    /// How many more requests each item takes after its creation.
    pub further_requests: u64,
    /// How many items the vendor lists on one page.
    pub items_per_page: u64,
    /// Whether the vendor takes each e-mail address only once. A person whose address it already has is not sent.
    pub unique_email: bool,
    /// The most characters of a text; `None` if the target takes no texts.
    pub text_characters: Option<usize>,
    /// For contacts: what becomes of the fields of the conversations from which people are taken. Empty for other
    /// kinds.
    pub field_rules: &'static [FieldRule],
}

/// An item that a target holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldItem {
    /// The vendor's id.
    pub id: Option<String>,
    /// The external id, if a migration has written it and the vendor shows it.
    pub external_id: Option<String>,
    /// The number of messages, if the vendor shows it.
    pub messages: Option<u64>,
    /// The e-mail address of a person in lower case, if the vendor takes each address only once.
    pub email: Option<String>,
}

impl Capabilities {
    /// Returns the limits of a kind, or `None` if the target does not take it.
    pub fn limits(&self, kind: DataKind) -> Option<&'static KindLimits> {
        self.kinds.iter().find(|limits| limits.kind == kind)
    }
}
