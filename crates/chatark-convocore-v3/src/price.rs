//! What a page of the list costs: that it costs nothing is inferred and not documented.

use chatark_core::{Batch, ErrorKind, Result};

use crate::list::{ListPlace, ListProblem, ListWalk};
use crate::pull::{LIST, Pull};
use crate::wire::Usage;

/// What a response says of the quota.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    used: Option<u64>,
    left: Option<u64>,
    /// What the request itself has cost: something where a window holds conversations without a date.
    price: u64,
}

impl Quota {
    /// Reads what an answer says that has cost at most so many units.
    pub(crate) fn of(usage: &Usage, most_units: u64) -> Self {
        Self {
            used: usage.billable_used_this_period,
            left: usage.billable_remaining_this_period,
            price: usage.billable_used_this_request.unwrap_or(most_units),
        }
    }

    /// Returns what was billed between two answers. Where more is used than is included, nothing is left that shrinks.
    fn billed_until(self, later: Self) -> u64 {
        let used = self.used.zip(later.used).map(|(before, after)| after.saturating_sub(before));
        let left = self.left.zip(later.left).map(|(before, after)| before.saturating_sub(after));
        used.or(left).unwrap_or(0).saturating_sub(later.price)
    }
}

impl Pull<'_> {
    /// Returns the quota before the list is read, until it is known that listing costs nothing.
    pub(crate) async fn quota_before_listing(&mut self) -> Result<Option<Quota>> {
        if self.has(LIST) { Ok(None) } else { self.quota().await }
    }

    /// Makes sure, once a page of the list has been read, that it has cost nothing.
    pub(crate) async fn check_price(&mut self, before: Quota) -> Result<(), ListProblem> {
        let Some((price, quota)) = self.price(before).await? else { return Ok(()) };
        // Another pull of the same account may have been billed: the price must show twice.
        let is_metered = price > 0 && self.is_billed_again(quota).await?;
        self.learn(LIST, !is_metered);
        // It stays known if a budget ends the pull before anything else is sent.
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

    /// Returns whether listing is billed a second time. Where the budget does not allow another look, the first one
    /// counts: otherwise each pull would spend its budget on it.
    async fn is_billed_again(&mut self, before: Quota) -> Result<bool, ListProblem> {
        match ListWalk::from(ListPlace::default()).next(self.account).await {
            Err(ListProblem::Other(error)) if error.kind() == ErrorKind::Budget => return Ok(true),
            listed => listed?,
        };
        Ok(self.price(before).await?.is_some_and(|(price, _)| price > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_costs_itself_is_not_the_price_of_the_list() {
        let quota = |used, left, price| Quota { used, left, price };
        for (before, after, expect) in [
            (quota(Some(10), Some(50), 1), quota(Some(11), Some(49), 1), 0),
            (quota(Some(10), Some(50), 0), quota(Some(30), Some(30), 0), 20),
            (quota(None, Some(50), 0), quota(None, Some(29), 1), 20),
            (quota(Some(70), Some(0), 0), quota(Some(90), Some(0), 0), 20),
            (quota(Some(90), Some(0), 0), quota(Some(0), Some(60), 0), 0),
            (quota(None, None, 0), quota(None, None, 0), 0),
        ] {
            assert_eq!(before.billed_until(after), expect, "{before:?}, {after:?}");
        }
    }
}
