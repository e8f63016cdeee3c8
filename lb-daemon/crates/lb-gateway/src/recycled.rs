//! Futures of one kind whose memory is used again (ADR 14).

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Places for futures of one kind: as many as there were at once.
#[derive(Debug)]
pub(crate) struct Recycled<I, O> {
    spare: RefCell<Vec<Place<I, O>>>,
    new: fn() -> Place<I, O>,
}

impl<I, O> Recycled<I, O> {
    /// None yet; `new` makes an empty place.
    pub(crate) fn new(new: fn() -> Place<I, O>) -> Self {
        Self { spare: RefCell::default(), new }
    }

    /// A future for `input`, in a place that was used before if there is one.
    pub(crate) fn begin(&self, input: I) -> Place<I, O> {
        let spare = self.spare.borrow_mut().pop();
        let mut place = spare.unwrap_or_else(self.new);
        place.0.as_mut().begin(input);
        place
    }

    /// Takes back the place of a future that is done.
    pub(crate) fn end(&self, mut place: Place<I, O>) {
        place.0.as_mut().end();
        self.spare.borrow_mut().push(place);
    }
}

/// Room for one future after the other, each made of an `I` and resolving to an `O`.
pub(crate) struct Place<I, O>(Pin<Box<dyn Hold<I, O>>>);

impl<I, O> Place<I, O> {
    /// An empty place for what `make` makes.
    pub(crate) fn new<F>(make: fn(I) -> F) -> Self
    where
        I: 'static,
        O: 'static,
        F: Future<Output = O> + 'static,
    {
        Self(Box::pin(Held { future: None, make }))
    }

    /// Polls the future; pending for ever if there is none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        self.0.as_mut().poll(cx)
    }
}

impl<I, O> fmt::Debug for Place<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// A place of whatever size.
trait Hold<I, O> {
    fn begin(self: Pin<&mut Self>, input: I);
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O>;
    fn end(self: Pin<&mut Self>);
}

pin_project! {
    struct Held<I, F> {
        #[pin]
        future: Option<F>,
        make: fn(I) -> F,
    }
}

impl<I, O, F: Future<Output = O>> Hold<I, O> for Held<I, F> {
    fn begin(self: Pin<&mut Self>, input: I) {
        let mut this = self.project();
        this.future.set(Some((this.make)(input)));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        self.project().future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
    }

    fn end(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    /// Resolves to what it was made of once nobody else has it.
    async fn alone(shared: Rc<u32>) -> u32 {
        std::future::poll_fn(|_| if Rc::strong_count(&shared) > 1 { Poll::Pending } else { Poll::Ready(()) })
            .await;
        *shared
    }

    #[test]
    fn one_place_serves_one_future_after_the_other() {
        let futures = Recycled::new(|| Place::new(alone));
        let mut cx = Context::from_waker(Waker::noop());
        for number in 0..3 {
            let shared = Rc::new(number);
            let mut place = futures.begin(Rc::clone(&shared));
            assert_eq!(place.poll(&mut cx), Poll::Pending);
            let weak = Rc::downgrade(&shared);
            drop(shared);
            assert_eq!(place.poll(&mut cx), Poll::Ready(number));
            futures.end(place);
            assert_eq!(weak.strong_count(), 0, "nothing is left of it");
            assert_eq!(futures.spare.borrow().len(), 1);
        }
    }

    #[test]
    fn a_future_that_is_dropped_in_its_middle_drops_what_it_has() {
        let futures = Recycled::new(|| Place::new(alone));
        let shared = Rc::new(1);
        let mut place = futures.begin(Rc::clone(&shared));
        assert_eq!(place.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        drop(place);
        assert_eq!(Rc::strong_count(&shared), 1);
    }
}
