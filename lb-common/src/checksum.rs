//! The Internet checksum (RFC 1071): whole, and after a change (RFC 1624).
//!
//! Words are added as they lie in memory: a one's complement sum comes out in the byte order that its terms had.

/// A sum that is not folded yet. It takes 2¹⁶ terms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds two bytes of the data, as they lie in memory.
    #[inline(always)]
    pub const fn add_u16(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds four bytes of the data, as they lie in memory.
    #[inline(always)]
    pub const fn add_u32(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// The checksum: what a header's field has to be for the data and itself to sum up to nothing.
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }

    /// The sum in 16 bits, each carry added at the other end.
    #[inline(always)]
    const fn folded(self) -> u16 {
        let once = (self.0 & 0xffff) + (self.0 >> 16 & 0xffff) + (self.0 >> 32);
        let twice = (once & 0xffff) + (once >> 16);
        crate::bits::u16_at(twice + (twice >> 16), 0)
    }
}

/// The checksum of `data`, which is padded with a zero to an even length.
pub fn of(data: &[u8]) -> u16 {
    let (pairs, rest) = data.as_chunks();
    let last = rest.first().map_or(0, |&byte| u16::from_ne_bytes([byte, 0]));
    pairs
        .iter()
        .fold(Sum::default().add_u16(last), |sum, &pair| sum.add_u16(u16::from_ne_bytes(pair)))
        .checksum()
}

/// The checksum of data in which `old` became `new` (RFC 1624, equation 3), each as it lies in memory.
#[inline(always)]
pub fn updated(checksum: u16, old: u32, new: u32) -> u16 {
    Sum::default().add_u16(!checksum).add_u32(!old).add_u32(new).checksum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1071, section 3: these words sum up to ddf2.
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(of(&data).to_ne_bytes(), [!0xdd, !0xf2]);
        assert_eq!(of(&[]), 0xffff);
    }

    /// By the letter of RFC 791: the one's complement sum of 16-bit words in network order.
    fn by_the_letter(data: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in data.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        !u16::try_from(sum).unwrap()
    }

    proptest! {
        #[test]
        fn any_data(data: Vec<u8>) {
            prop_assert_eq!(u16::from_be(of(&data)), by_the_letter(&data));
        }

        /// A checksum of data that are not all zero is never 0xffff, so the update must not give that either.
        #[test]
        fn an_update_equals_the_whole(
            mut data in proptest::collection::vec(any::<u8>(), 8..64), at: usize, new: u32,
        ) {
            data[0] |= 1;
            let at = 4 + at % (data.len() - 7) / 4 * 4;
            let before = of(&data);
            let old = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
            data[at..at + 4].copy_from_slice(&new.to_ne_bytes());
            prop_assert_eq!(updated(before, old, new), of(&data));
        }
    }
}
