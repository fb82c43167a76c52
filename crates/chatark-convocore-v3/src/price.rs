//! Whether the list is billed: that it costs nothing is inferred, not documented.

use chatark_core::{Batch, ErrorKind, Result};

use crate::list::{ListCursor, ListProblem, ListWalk};
use crate::pull::{LIST, Pull};
use crate::quota::Quota;

impl Pull<'_> {
    /// Returns the quota before the list is read, or `None` if listing is known to cost nothing or the
    /// response shows no quota.
    pub(crate) async fn quota_before_listing(&mut self) -> Result<Option<Quota>> {
        if self.has(LIST) { Ok(None) } else { self.quota().await }
    }

    /// Checks that a page of the list, which has just been read, has cost nothing.
    pub(crate) async fn check_price(&mut self, before: Quota) -> Result<(), ListProblem> {
        let Some((price, quota)) = self.price(before).await? else { return Ok(()) };
        // Another pull of the same account may have been billed: the price must show twice.
        let is_metered = price > 0 && self.is_billed_again(quota).await?;
        self.remember_feature(LIST, !is_metered);
        // Sent at once, so that it is remembered even if a budget ends the pull.
        self.send(Batch::default()).await;
        if is_metered { Err(ListProblem::Metered) } else { Ok(()) }
    }

    /// Returns what a page of the list has cost, and the quota now.
    async fn price(&mut self, before: Quota) -> Result<Option<(u64, Quota)>, ListProblem> {
        let Some(quota) = self.quota().await.map_err(ListProblem::Other)? else { return Ok(None) };
        let price = before.billed_until(quota);
        self.account.client.spend_quota(price);
        Ok(Some((price, quota)))
    }

    /// Returns whether listing is billed a second time. If the budget does not allow another page, the first one
    /// decides: otherwise each pull would spend its budget on this check.
    async fn is_billed_again(&mut self, before: Quota) -> Result<bool, ListProblem> {
        match ListWalk::from(ListCursor::default()).next(self.account).await {
            Err(ListProblem::Other(error)) if error.kind() == ErrorKind::Budget => return Ok(true),
            listed => listed?,
        };
        Ok(self.price(before).await?.is_some_and(|(price, _)| price > 0))
    }
}
