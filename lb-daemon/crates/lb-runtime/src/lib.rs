//! What the data paths share at run time.
//!
//! A *snapshot* is the configuration. A [`View`] is the snapshot plus everything derived from it and from what is observed:
//! which backends are eligible, and each pool's balancer built over them. Exactly one `ArcSwap` publishes it
//! ([`Runtime::view`]); workers only read it. What is observed ([`BackendState`]) lives beside it in atomics and outlives
//! views.
#![forbid(unsafe_code)]

mod backend;
mod membership;
mod overrides;
mod passive;
mod plan;
mod queue;
mod runtime;
mod view;

pub use backend::{Backend, BackendState, IdlePlace, Lease, Measure};
pub use overrides::{Drain, InvalidOverride, Override, OverrideChange, OverrideTarget, Overrides, Set};
pub use passive::{Passive, Room};
pub use plan::{Change, ChangeKind, Plan, PoolChange};
pub use queue::{NoPlace, Waiting};
pub use runtime::{Discovered, Runtime, UnknownTarget};
pub use view::{BackendView, ListenerSlot, NoLease, PoolView, SLOW_START_STEPS, Snapshot, Tried, View};
