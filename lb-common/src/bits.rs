//! Fields of a word.

/// The 8 bits at `shift`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(crate) const fn u8_at(word: u64, shift: u32) -> u8 {
    (word >> shift) as u8
}

/// The 16 bits at `shift`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(crate) const fn u16_at(word: u64, shift: u32) -> u16 {
    (word >> shift) as u16
}

/// The 32 bits at `shift`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(crate) const fn u32_at(word: u64, shift: u32) -> u32 {
    (word >> shift) as u32
}
