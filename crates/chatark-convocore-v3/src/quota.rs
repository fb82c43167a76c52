//! What responses say about the quota, and what was billed between two of them.

use crate::wire::Usage;

/// What a response says about the quota, in units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    used: Option<u64>,
    left: Option<u64>,
    /// What the request itself has cost. A probe costs something if the window holds conversations without a date.
    price: u64,
}

impl Quota {
    /// Reads the quota from a response that has cost at most `most_units`.
    pub(crate) fn of(usage: &Usage, most_units: u64) -> Self {
        Self {
            used: usage.billable_used_this_period,
            left: usage.billable_remaining_this_period,
            price: usage.billable_used_this_request.unwrap_or(most_units),
        }
    }

    /// Returns what was billed between two responses. What is left is compared only if what is used is not shown: once
    /// the quota is exceeded, nothing is left that could shrink.
    pub(crate) fn billed_until(self, later: Self) -> u64 {
        let used = self.used.zip(later.used).map(|(before, after)| after.saturating_sub(before));
        let left = self.left.zip(later.left).map(|(before, after)| before.saturating_sub(after));
        used.or(left).unwrap_or(0).saturating_sub(later.price)
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
