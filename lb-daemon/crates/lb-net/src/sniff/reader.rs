//! Reads fields in network byte order.

/// The bytes that are left of a message. A read that wants more than there are takes none.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Bytes behind their length, which takes one byte.
    pub(super) fn vector_u8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = self.clone();
        let length = ahead.u8()?;
        let vector = ahead.take(length.into())?;
        *self = ahead;
        Some(vector)
    }

    /// Bytes behind their length, which takes two bytes.
    pub(super) fn vector_u16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = self.clone();
        let length = ahead.u16()?;
        let vector = ahead.take(length.into())?;
        *self = ahead;
        Some(vector)
    }
}
