//! What was read from a connection and belongs to what comes next there.

/// Bytes in the order in which they came. Takes no memory while there are none: every connection has this.
#[derive(Debug, Default)]
pub(crate) struct Unread(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    taken: usize,
}

impl Unread {
    pub(crate) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// All that there are.
    pub(crate) fn rest(&self) -> &[u8] {
        self.0.as_ref().and_then(|kept| kept.bytes.get(kept.taken..)).unwrap_or_default()
    }

    /// Adds what has come next.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let kept = self.0.get_or_insert_default();
        kept.bytes.drain(..kept.taken);
        kept.taken = 0;
        kept.bytes.extend_from_slice(bytes);
    }

    /// Takes the first `count` away.
    pub(crate) fn take(&mut self, count: usize) {
        let Some(kept) = &mut self.0 else { return };
        kept.taken += count;
        if kept.taken >= kept.bytes.len() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_gone_and_the_rest_stays_in_order() {
        let mut unread = Unread::default();
        unread.append(b"abc");
        unread.take(2);
        unread.append(b"de");
        assert_eq!(unread.rest(), b"cde");
        unread.take(3);
        assert!(unread.is_empty() && unread.0.is_none());
    }
}
