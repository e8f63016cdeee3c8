//! The XDP data path's userspace: loads the program, fills the maps that it reads, sweeps the flows that it
//! leaves.
//!
//! [`Desired`] says what the maps are for, in the names of the configuration; a [`Reconciler`] knows what they
//! say and makes them say that; [`Memory`] is where it writes, be it the kernel's or a test's. [`Counters`]
//! are what was counted there, which [`Reconciler::report`] tells in the names of the configuration.

mod accounts;
mod capacity;
mod check;
mod clock;
mod counters;
mod desired;
mod mapped;
mod memory;
mod numbers;
mod object;
mod program;
mod reconcile;
mod sweep;
mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use capacity::Capacity;
pub use check::ReconcileError;
pub use clock::{Clock, ClockError};
pub use counters::{Counters, CountersError, Counts};
pub use desired::{Desired, DesiredBackend, DesiredListener, DesiredPool, Route, Standing};
pub use mapped::MapError;
pub use memory::Memory;
pub use program::{Balancer, FlowTimeouts, LoadError, Ran, RunError, Settings, Size};
pub use reconcile::{GRACE, Outcome, Reconciler};
pub use sweep::Fill;

#[cfg(test)]
mod tests;
