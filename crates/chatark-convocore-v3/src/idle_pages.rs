//! The bound of a walk: how many of its pages may hold nothing new.

/// So many pages may hold nothing new, and in addition a quarter as many as hold something new.
const IDLE_PAGES: u64 = 40;
/// So many pages in a row may be empty because the vendor leaves out all of their conversations.
const SKIPPED_PAGES: u64 = 20_000;

/// The pages of a walk: those that held something new, and those that did not.
#[derive(Debug, Default)]
pub(crate) struct IdlePages {
    useful: u64,
    idle: u64,
    skipped_in_a_row: u64,
}

impl IdlePages {
    /// Counts a page by the number of its conversations, of the new ones, and of those that the vendor scanned. Returns
    /// how many pages held nothing new, if that is more than the bound.
    pub(crate) fn count_page(&mut self, elements: u64, fresh: u64, scanned: u64) -> Option<u64> {
        if fresh > 0 {
            self.skipped_in_a_row = 0;
            self.useful += 1;
        } else if elements == 0 && scanned > 0 {
            self.skipped_in_a_row += 1;
        } else {
            self.idle += 1;
        }
        let is_over = self.idle > IDLE_PAGES + self.useful / 4 || self.skipped_in_a_row > SKIPPED_PAGES;
        is_over.then_some(self.idle.max(self.skipped_in_a_row))
    }

    /// Resets the count of idle pages for another chain of pages, which may repeat what every window holds. The number
    /// of chains has its own bound.
    pub(crate) fn reset(&mut self) {
        self.idle = 0;
    }

    /// Returns whether a page has held something new.
    pub(crate) fn has_useful(&self) -> bool {
        self.useful > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_without_anything_new_are_bounded() {
        let mut idle_pages = IdlePages::default();
        for _ in 0..100 {
            assert_eq!(idle_pages.count_page(50, 1, 50), None);
        }
        for _ in 0..65 {
            assert_eq!(idle_pages.count_page(50, 0, 50), None);
        }
        assert_eq!(idle_pages.count_page(0, 0, 0), Some(66));
    }

    #[test]
    fn another_chain_of_pages_has_a_bound_of_its_own() {
        let mut idle_pages = IdlePages::default();
        for _ in 0..40 {
            assert_eq!(idle_pages.count_page(1, 0, 1), None);
        }
        idle_pages.reset();
        assert_eq!(idle_pages.count_page(1, 0, 1), None);
    }

    #[test]
    fn pages_that_the_vendor_skips_are_progress() {
        let mut idle_pages = IdlePages::default();
        for _ in 0..20_000 {
            assert_eq!(idle_pages.count_page(0, 0, 50), None);
        }
        assert_eq!(idle_pages.count_page(0, 0, 50), Some(20_001));
    }
}
