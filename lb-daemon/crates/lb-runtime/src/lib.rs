//! What the data paths share at run time.
//!
//! A *snapshot* is the configuration. A [`View`] is the snapshot plus everything derived from it and from what is observed:
//! which backends are eligible, and each pool's balancer built over them. Exactly one `ArcSwap` publishes it
//! ([`Runtime::view`]); workers only read it. What is observed ([`BackendState`]) lives beside it in atomics and outlives
//! views.
#![forbid(unsafe_code)]

mod backend;
mod passive;
mod queue;
mod runtime;
mod view;

pub use backend::{Backend, BackendState, Lease};
pub use passive::Passive;
pub use queue::{NoPlace, Waiting};
pub use runtime::Runtime;
pub use view::{NoLease, PoolView, Snapshot, Tried, View};
