//! Tests of the codec as a whole.

mod allocations;
mod hyper;
mod proxy;
mod smuggling;
