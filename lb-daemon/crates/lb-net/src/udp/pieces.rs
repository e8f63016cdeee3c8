//! Datagrams on their way out; where the kernel will not cut coalesced ones apart, this does.

use super::Datagram;

/// Datagrams that are still to be sent.
#[derive(Debug, Clone)]
pub(super) struct Pieces<'a, I> {
    datagrams: I,
    /// What is left of one that is being cut.
    rest: Option<Datagram<'a>>,
    /// The largest datagrams of which the kernel takes several at once, in bytes; 0: it takes none.
    pub(super) largest: u16,
}

impl<'a, I: Iterator<Item = Datagram<'a>>> Pieces<'a, I> {
    pub(super) fn new(datagrams: I, largest: u16) -> Self {
        Self { datagrams, rest: None, largest }
    }
}

impl<'a, I: Iterator<Item = Datagram<'a>>> Iterator for Pieces<'a, I> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        let next = self.rest.take().or_else(|| self.datagrams.next())?;
        let Some(segment) = next.segment.filter(|segment| segment.get() > self.largest) else {
            return Some(next);
        };
        let Some((payload, rest)) = next.payload.split_at_checked(usize::from(segment.get())) else {
            return Some(Datagram { segment: None, ..next });
        };
        if !rest.is_empty() {
            self.rest = Some(Datagram { payload: rest, ..next });
        }
        Some(Datagram { payload, segment: None, ..next })
    }
}
