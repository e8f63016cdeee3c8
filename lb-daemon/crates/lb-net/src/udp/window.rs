//! How many messages to ask for: preparing for more than there are costs, and so does asking the kernel twice.

use std::cell::Cell;

/// As many as there were last; twice as many when there may have been more.
#[derive(Debug)]
pub(super) struct Window {
    size: Cell<u8>,
    least: u8,
}

impl Window {
    /// Asks for `least` messages at first, and never for fewer.
    pub(super) const fn new(least: u8) -> Self {
        Self { size: Cell::new(least), least }
    }

    pub(super) fn get(&self) -> usize {
        usize::from(self.size.get())
    }

    /// So many were there of those that were asked for.
    pub(super) fn adapt(&self, asked: usize, received: usize) {
        let next = if received == asked { 2 * received } else { received };
        self.size.set(u8::try_from(next).unwrap_or(u8::MAX).max(self.least));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_there_is() {
        let window = Window::new(1);
        let mut asked = Vec::new();
        for there_are in [1, 1, 30, 30, 30, 30, 30, 1, 1, 0, 0] {
            let received = there_are.min(window.get());
            asked.push(window.get());
            window.adapt(window.get(), received);
        }
        assert_eq!(asked, [1, 2, 1, 2, 4, 8, 16, 32, 1, 2, 1]);
    }

    #[test]
    fn it_has_bounds() {
        let window = Window::new(4);
        window.adapt(4, 0);
        assert_eq!(window.get(), 4);
        window.adapt(200, 200);
        assert_eq!(window.get(), 255);
    }
}
