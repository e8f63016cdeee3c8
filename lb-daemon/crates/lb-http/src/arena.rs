//! The text of a head: one buffer that is used again for every message.

/// Text in the order in which it came. Nothing is ever taken out or moved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arena(Vec<u8>);

/// A stretch of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// It would have 4 GiB.
#[derive(Debug)]
pub(crate) struct ArenaFull;

impl Arena {
    /// Adds the parts, one behind the other.
    #[inline]
    pub(crate) fn store(&mut self, parts: &[&[u8]]) -> Result<Span, ArenaFull> {
        let start = u32::try_from(self.0.len()).map_err(|_too_large| ArenaFull)?;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(|_too_large| ArenaFull)?;
        let end = start.checked_add(length).ok_or(ArenaFull)?;
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        Ok(Span { start, end })
    }

    pub(crate) fn text(&self, span: Span) -> &[u8] {
        self.0.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes of memory that it keeps.
    pub(crate) fn memory(&self) -> usize {
        self.0.capacity()
    }
}

impl Span {
    /// Its first bytes, `length` of them at most.
    pub(crate) fn first(self, length: usize) -> Self {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Self { start: self.start, end: self.start.saturating_add(length).min(self.end) }
    }

    /// From its start to the end of `last`.
    pub(crate) fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }
}
