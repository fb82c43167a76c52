//! The bound of a walk: how many of its pages may bring nothing new.

/// So many pages may bring nothing new, and a quarter of those that bring something.
const IDLE_PAGES: u64 = 40;
/// So many pages in a row may hold nothing but conversations that the vendor leaves out.
const SKIPPED_PAGES: u64 = 20_000;

/// The pages of a walk, by what they brought.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    fruitful: u64,
    idle: u64,
    skipped_in_a_row: u64,
}

impl Progress {
    /// Counts a page: how many conversations it held, how many of them were new, and how many the vendor scanned.
    /// Returns how many pages brought nothing, if that is more than the bound.
    pub(crate) fn count(&mut self, elements: u64, fresh: u64, scanned: u64) -> Option<u64> {
        if fresh > 0 {
            self.skipped_in_a_row = 0;
            self.fruitful += 1;
        } else if elements == 0 && scanned > 0 {
            self.skipped_in_a_row += 1;
        } else {
            self.idle += 1;
        }
        let is_over = self.idle > IDLE_PAGES + self.fruitful / 4 || self.skipped_in_a_row > SKIPPED_PAGES;
        is_over.then_some(self.idle.max(self.skipped_in_a_row))
    }

    /// Begins another chain of pages, which may show again what every window holds. How often that happens has a bound of
    /// its own.
    pub(crate) fn begin_again(&mut self) {
        self.idle = 0;
    }

    /// Returns whether a page has brought something.
    pub(crate) fn has_begun(&self) -> bool {
        self.fruitful > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_without_anything_new_are_bounded() {
        let mut progress = Progress::default();
        for _ in 0..100 {
            assert_eq!(progress.count(50, 1, 50), None);
        }
        for _ in 0..65 {
            assert_eq!(progress.count(50, 0, 50), None);
        }
        assert_eq!(progress.count(0, 0, 0), Some(66));
    }

    #[test]
    fn another_chain_of_pages_has_a_bound_of_its_own() {
        let mut progress = Progress::default();
        for _ in 0..40 {
            assert_eq!(progress.count(1, 0, 1), None);
        }
        progress.begin_again();
        assert_eq!(progress.count(1, 0, 1), None);
    }

    #[test]
    fn pages_that_the_vendor_skips_are_progress() {
        let mut progress = Progress::default();
        for _ in 0..20_000 {
            assert_eq!(progress.count(0, 0, 50), None);
        }
        assert_eq!(progress.count(0, 0, 50), Some(20_001));
    }
}
