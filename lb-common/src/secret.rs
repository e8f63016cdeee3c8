//! The hash that nobody outside can compute: it places flows in the flow table, so that no sender can aim at one
//! line.

/// A key of [`hash_short`](Self::hash_short) and [`hash_long`](Self::hash_long): random words of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Secret {
    words: [u64; 7],
    mixers: [u64; 2],
}

impl Secret {
    /// Random words in a key.
    pub const WORDS: usize = 9;

    /// A key of these random words.
    pub const fn new([a, b, c, d, e, f, g, x, y]: [u64; Self::WORDS]) -> Self {
        // A product with an odd number loses nothing.
        Self { words: [a, b, c, d, e, f, g], mixers: [x | 1, y | 1] }
    }

    /// Of three words.
    ///
    /// A multilinear hash in the half-multiplications form of Lemire and Kaser ("Strongly universal string
    /// hashing is fast", 2014), then two rounds of xorshift-multiply, both under the key. Without the rounds an
    /// unlucky key puts four in ten of sequential addresses into lines that are full. Take the upper bits.
    #[inline(always)]
    pub fn hash_short(&self, a: u32, b: u32, c: u32) -> u64 {
        let [k0, k1, k2, k3, ..] = self.words;
        let sum = k0.wrapping_add(half_product(a, k1, b, k2)).wrapping_add(u64::from(c).wrapping_mul(k3));
        self.mix(sum)
    }

    /// Of two long words and two short ones; otherwise as [`hash_short`](Self::hash_short).
    #[inline(always)]
    pub fn hash_long(&self, [a, b]: [u64; 2], c: u32, d: u32) -> u64 {
        let [k0, k1, k2, k3, k4, k5, k6] = self.words;
        let halves = |word: u64| (crate::bits::u32_at(word, 0), crate::bits::u32_at(word, 32));
        let ((a0, a1), (b0, b1)) = (halves(a), halves(b));
        let sum = k0
            .wrapping_add(half_product(a0, k1, a1, k2))
            .wrapping_add(half_product(b0, k3, b1, k4))
            .wrapping_add(half_product(c, k5, d, k6));
        self.mix(sum)
    }

    #[inline(always)]
    fn mix(&self, sum: u64) -> u64 {
        let [x, y] = self.mixers;
        let sum = (sum ^ sum >> 32).wrapping_mul(x);
        (sum ^ sum >> 29).wrapping_mul(y)
    }
}

#[inline(always)]
fn half_product(a: u32, key_a: u64, b: u32, key_b: u64) -> u64 {
    u64::from(a).wrapping_add(key_a).wrapping_mul(u64::from(b).wrapping_add(key_b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of 4,096 flows in 4,096 lines of four, those that find their line full.
    fn left_over(lines: impl Iterator<Item = u64>) -> usize {
        let mut fill = vec![0usize; 4096];
        for hash in lines {
            fill[usize::try_from(hash >> 52).unwrap()] += 1;
        }
        fill.iter().map(|&n| n.saturating_sub(4)).sum()
    }

    /// Somebody who does not know the key and aims at one line under a key of his own hits all lines alike.
    #[test]
    fn a_flood_aimed_at_one_line_misses() {
        let (own, ours) = (Secret::new([0x1234_5678_9abc_def1; 9]), Secret::new([0x0fed_cba9_8765_4321; 9]));
        let line = |secret: &Secret, client: u32| secret.hash_short(client, 80, 1) >> 56;
        let mut hits = [0_u32; 256];
        let aimed = (0..).filter(|&client| line(&own, client) == 7).take(25_600);
        aimed.for_each(|client| hits[usize::try_from(line(&ours, client)).unwrap()] += 1);
        // 100 on average; a binomial deviates by 10, six of which allow for every one of 256 lines.
        assert!(hits.iter().all(|&n| (40..=160).contains(&n)), "{hits:?}");
    }

    proptest! {
        /// A random hash leaves over 4096 × E[max(0, Poisson(1) − 4)] = 18; a hundred would show a pattern.
        #[test]
        fn sequential_flows_spread_whatever_the_key(words: [u64; 9], base: u32) {
            let secret = Secret::new(words);
            let addresses = (0..4096u32).map(|i| secret.hash_short(base.wrapping_add(i).to_be(), 80, 1));
            prop_assert!(left_over(addresses) < 100);
            let ports = (0..4096u32).map(|i| secret.hash_short(base, i << 8, 1));
            prop_assert!(left_over(ports) < 100);
            let long = (0..4096u64).map(|i| secret.hash_long([base.into(), i.to_be()], 80, 1));
            prop_assert!(left_over(long) < 100);
        }
    }
}
