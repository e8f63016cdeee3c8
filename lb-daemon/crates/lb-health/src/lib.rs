//! Active health checks: a pure rise/fall machine, probes, and the scheduler that runs them on the control runtime.
//!
//! The way of a result: [`Scheduler::run`] starts a probe when it is due; its result goes through the probe's
//! [`Machine`]; where that changes the verdict, every target that shares the probe gets one [`Event`]. Data paths are
//! not known here: whoever runs the scheduler turns events into new views.
//!
//! A result that is this host's own trouble (no descriptors, an unreadable CA file, a command that cannot be started)
//! says nothing about the backend and leaves its verdict alone: see [`ProbeError::is_local`].
//!
//! ```no_run
//! # use lb_health::{Scheduler, Target, TargetKey};
//! # use lb_model::{Health, HealthCheck, Probe};
//! # async fn wire() -> Result<(), Box<dyn std::error::Error>> {
//! let scheduler = Scheduler::new(256); // in an Arc, if others want `snapshot`
//! // At start and after each reload or resolver answer: everything that is to be checked. What stays, stays undisturbed.
//! scheduler.set_targets(vec![Target {
//!     key: TargetKey { pool: "web".parse()?, backend: "web-1".parse()? },
//!     address: "10.0.0.11:8080".parse()?,
//!     check: HealthCheck::new(Probe::Tcp),
//!     first: b"",
//! }]);
//! // Once, on the control runtime (all of its drivers enabled). The callback must not block: store and notify.
//! scheduler.run(|event| match event.to {
//!     Health::Unhealthy => { /* state(&event.target).set_eligible(false), changed.notify_one() */ }
//!     Health::Unknown | Health::Healthy => { /* the same with true */ }
//! }).await;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod error;
mod machine;
mod probe;
mod schedule;
mod scheduler;

pub use error::{LastLine, ProbeError, Step};
pub use machine::{Machine, Outcome, Transition};
pub use schedule::{Event, LastResult, Status, Target, TargetKey};
pub use scheduler::Scheduler;
