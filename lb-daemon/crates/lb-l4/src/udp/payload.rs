//! How much was received.

use std::num::NonZeroU16;

/// The size of what one receive has brought: a datagram, or several of one flow that the kernel has joined (GRO),
/// all of the same size but for the last, which may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    bytes: usize,
    segment: Option<NonZeroU16>,
}

impl Payload {
    /// One datagram of `bytes`, perhaps none.
    pub(crate) const fn datagram(bytes: usize) -> Self {
        Self { bytes, segment: None }
    }

    /// Datagrams of `segment` bytes each, `bytes` in all.
    pub(crate) const fn joined(bytes: usize, segment: NonZeroU16) -> Self {
        Self { bytes, segment: Some(segment) }
    }

    /// All bytes.
    pub(crate) const fn bytes(self) -> usize {
        self.bytes
    }

    /// How many datagrams they are: at least one.
    pub(crate) fn datagrams(self) -> u32 {
        let segments = self.segment.map_or(1, |segment| self.bytes.div_ceil(segment.get().into()));
        u32::try_from(segments).unwrap_or(u32::MAX).max(1)
    }

    /// The first `datagrams` of them, or all if there are no more.
    pub(crate) fn first(self, datagrams: u32) -> Self {
        let Some(segment) = self.segment else { return self };
        let bytes = usize::from(segment.get()).saturating_mul(datagrams as usize).min(self.bytes);
        Self { bytes, ..self }
    }
}

/// What has gone one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    /// In datagrams, as they were on the wire.
    pub(crate) datagrams: u64,
    /// In bytes, headers not included.
    pub(crate) bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, payload: Payload) {
        self.datagrams += u64::from(payload.datagrams());
        self.bytes += payload.bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(bytes: usize) -> Payload {
        Payload::joined(bytes, NonZeroU16::new(100).unwrap())
    }

    #[test]
    fn counts_what_was_on_the_wire() {
        assert_eq!(Payload::datagram(0).datagrams(), 1);
        assert_eq!(Payload::datagram(65_507).datagrams(), 1);
        assert_eq!([0, 1, 100, 101, 300].map(|bytes| joined(bytes).datagrams()), [1, 1, 1, 2, 3]);
    }

    #[test]
    fn takes_whole_datagrams_off_the_front() {
        assert_eq!(joined(250).first(2), joined(200));
        assert_eq!((joined(250).bytes(), joined(200).bytes()), (250, 200));
        assert_eq!(joined(250).first(3), joined(250));
        assert_eq!(joined(250).first(u32::MAX), joined(250));
        assert_eq!(Payload::datagram(250).first(1), Payload::datagram(250));
    }
}
