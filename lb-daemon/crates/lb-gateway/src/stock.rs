//! Values of one kind that are used again: what a request needs is on loan from its worker.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A worker's values that nobody uses now.
#[derive(Debug, Default)]
pub(crate) struct Stock<T>(RefCell<Vec<Box<T>>>);

/// A value on loan; it goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Loan<T: Reuse> {
    /// `None` while it is being dropped only.
    value: Option<Box<T>>,
    stock: Rc<Stock<T>>,
}

/// What can be used again.
pub(crate) trait Reuse: Default {
    /// Forgets all but the memory that it takes: nothing of one user may reach the next.
    fn forget(&mut self);

    /// Bytes of memory that it keeps.
    fn memory(&self) -> usize;
}

impl<T: Reuse> Stock<T> {
    /// A value that remembers nothing.
    pub(crate) fn lend(self: &Rc<Self>) -> Loan<T> {
        let mut value = self.0.borrow_mut().pop().unwrap_or_default();
        value.forget();
        Loan { value: Some(value), stock: Rc::clone(self) }
    }
}

impl<T: Reuse> Deref for Loan<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is taken on drop only")
    }
}

impl<T: Reuse> DerefMut for Loan<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is taken on drop only")
    }
}

impl<T: Reuse> Drop for Loan<T> {
    fn drop(&mut self) {
        /// More than a worker's connections need at once most of the time.
        const MOST: usize = 1024;
        /// More than nearly all need: what one large request took is given back.
        const LARGE: usize = 32 << 10;

        let mut stock = self.stock.0.borrow_mut();
        if stock.len() < MOST {
            stock.extend(self.value.take().filter(|value| value.memory() <= LARGE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Reuse for Vec<u8> {
        fn forget(&mut self) {
            self.clear();
        }

        fn memory(&self) -> usize {
            self.capacity()
        }
    }

    #[test]
    fn a_large_one_is_given_back() {
        let stock = Rc::<Stock<Vec<u8>>>::default();
        stock.lend().reserve(1 << 20);
        assert_eq!(stock.lend().capacity(), 0);
    }

    #[test]
    fn memory_is_used_again_and_nothing_in_it() {
        let stock = Rc::<Stock<Vec<u8>>>::default();
        let mut first = stock.lend();
        first.extend_from_slice(b"secret");
        let memory = first.as_ptr();
        drop(first);
        let second = stock.lend();
        assert_eq!((second.as_ptr(), second.len()), (memory, 0));
    }
}
