//! Reproducible draws. The generator is written out here, so that a seed means the same world with any version of any
//! library.

/// A stream of draws that a seed determines.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Creates the stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed ^ 0x5851_F42D_4C95_7F2D);
        random.bits();
        random
    }

    /// Creates an independent stream for one subject, so that a further draw for one subject changes no other.
    pub fn of(seed: u64, subject: &str) -> Self {
        let hash = subject.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ hash)
    }

    /// Returns 64 random bits (the generator is `SplitMix64`).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Returns a number below a bound, or 0 if the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.bits() % bound }
    }

    /// Returns an index of a list of this length, or 0 if it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1).unsigned_abs()).cast_signed()
    }

    /// Returns true in this many of a thousand cases.
    pub fn per_mille(&mut self, thousandths: u64) -> bool {
        self.below(1_000) < thousandths
    }

    /// Returns true in this many of a hundred cases.
    pub fn percent(&mut self, hundredths: u64) -> bool {
        self.per_mille(hundredths * 10)
    }

    /// Returns one of several values, each as likely as the others.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index(values.len())]
    }

    /// Returns one of several values by their weights.
    pub fn weighted<T: Copy>(&mut self, values: &[(u64, T)]) -> T {
        let sum: u64 = values.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(sum);
        for (weight, value) in values {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        values[0].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_subject_determine_the_draws() {
        let draws = |mut random: Random| (0..9).map(|_| random.below(1_000)).collect::<Vec<_>>();
        assert_eq!(draws(Random::of(7, "faults")), draws(Random::of(7, "faults")));
        assert_ne!(draws(Random::of(7, "faults")), draws(Random::of(7, "world")));
        assert_ne!(draws(Random::of(7, "faults")), draws(Random::of(8, "faults")));
    }

    #[test]
    fn bounds_are_kept() {
        let mut random = Random::new(1);
        for _ in 0..1_000 {
            assert!((-3..=4).contains(&random.between(-3, 4)));
            assert_eq!(random.weighted(&[(0, 'a'), (5, 'b')]), 'b');
        }
        assert_eq!(random.below(0), 0);
    }
}
