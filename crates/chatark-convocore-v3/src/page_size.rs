//! How many conversations a walk requests at once: fewer near a place that fails.

/// The page sizes, from the usual one to a single conversation. All of the vendor's documents allow 50.
const LIMITS: [u32; 3] = [50, 10, 1];

/// How many conversations a walk requests at once.
#[derive(Debug, Default)]
pub(crate) struct PageSize {
    level: usize,
    read_since_change: u64,
}

impl PageSize {
    /// Returns the page size.
    pub(crate) fn limit(&self) -> u32 {
        LIMITS[self.level]
    }

    /// Returns the smallest page size.
    pub(crate) fn smallest() -> Self {
        Self { level: LIMITS.len() - 1, read_since_change: 0 }
    }

    /// Switches to the next smaller size, and returns whether there is one.
    pub(crate) fn shrink(&mut self) -> bool {
        let can = self.level + 1 < LIMITS.len();
        if can {
            self.level += 1;
            self.read_since_change = 0;
        }
        can
    }

    /// Counts conversations that were read, and returns to a larger size after the place that failed.
    pub(crate) fn count_read(&mut self, conversations: u64) {
        self.read_since_change += conversations;
        if self.level > 0 && self.read_since_change >= u64::from(LIMITS[self.level - 1]) {
            self.level -= 1;
            self.read_since_change = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_small_near_a_place_that_fails() {
        let mut size = PageSize::default();
        assert_eq!(size.limit(), 50);
        assert!(size.shrink() && size.shrink() && !size.shrink());
        assert_eq!(size.limit(), 1);
        size.count_read(9);
        assert_eq!(size.limit(), 1);
        size.count_read(1);
        assert_eq!(size.limit(), 10);
        size.count_read(50);
        assert_eq!(size.limit(), 50);
        size.count_read(1_000);
        assert_eq!(size.limit(), 50);
        assert_eq!(PageSize::smallest().limit(), 1);
    }
}
