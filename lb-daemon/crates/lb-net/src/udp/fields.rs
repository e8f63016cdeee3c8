//! Fields of the kernel's structures, one behind another in a byte buffer: reading and writing them needs no `unsafe`.

/// Writes fields. What does not fit is left out, so the buffer has to be large enough.
pub(super) struct Writer<'a> {
    left: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { left: buffer, written: 0 }
    }

    pub(super) fn put<const N: usize>(&mut self, field: [u8; N]) {
        let left = std::mem::take(&mut self.left);
        debug_assert!(left.len() >= N, "the buffer is too small");
        if let Some((place, left)) = left.split_first_chunk_mut() {
            *place = field;
            self.left = left;
            self.written += N;
        }
    }

    /// How many bytes it has written.
    pub(super) fn written(&self) -> usize {
        self.written
    }
}

/// Reads fields; `None` where the bytes end before the field does.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, left) = self.left.split_first_chunk()?;
        self.left = left;
        Some(*field)
    }

    /// The next `length` bytes.
    pub(super) fn take_slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, left) = self.left.split_at_checked(length)?;
        self.left = left;
        Some(bytes)
    }

    /// Goes on behind the next `length` bytes, or at the end if there are not as many.
    pub(super) fn skip(&mut self, length: usize) {
        self.left = self.left.get(length..).unwrap_or_default();
    }
}
