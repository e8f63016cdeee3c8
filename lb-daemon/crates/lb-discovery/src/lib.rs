//! Backends found by asking DNS, re-resolved as their TTLs say.
//!
//! The way of an answer: [`Resolver::run`] resolves a name when it is due; the result goes through what is known
//! of that name, which keeps the last good answer for a while where there is no new one; where that changes the
//! set of [`Endpoint`]s, there is one [`Change`]. [`backends`] makes backends of the endpoints. Data paths are
//! not known here: whoever runs the resolver turns changes into new views.
//!
//! Names are resolved much as `getaddrinfo` does: `/etc/hosts` first (which is read again every `min_ttl`), then
//! DNS. Other than there, every name is first taken as fully qualified, however few dots it has; only where that
//! does not exist are the search domains of `/etc/resolv.conf` tried, and never for a name that ends with a dot.
//! The options of `/etc/resolv.conf` are not used.
//!
//! ```no_run
//! # use lb_discovery::{Resolver, Wanted};
//! # use lb_model::{DiscoveryQuery, DiscoverySettings};
//! # use std::time::Duration;
//! # async fn wire() -> Result<(), Box<dyn std::error::Error>> {
//! let resolver = Resolver::default(); // in an Arc, if others want `answer` and `snapshot`
//! let query = DiscoveryQuery::Addresses { name: "web.example".parse()?, port: Some(80) };
//! let wanted = Wanted { query, settings: DiscoverySettings::DEFAULT };
//! // At start and after each reload: everything that is wanted. What stays, stays undisturbed.
//! resolver.set_wanted(vec![wanted.clone()], &[]);
//! // Once, on the control runtime (all of its drivers enabled). The callback must not block: store and notify.
//! let run = resolver.run(|change| { /* changed.notify_one() */ });
//! // Meanwhile, before the first view is built, which may have to do without some of them:
//! resolver.first_answers(Duration::from_secs(5)).await;
//! let endpoints = resolver.answer(&wanted);
//! # run.await; Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod dns;
mod endpoint;
mod error;
mod expand;
mod hosts;
mod known;
mod message;
#[cfg(test)]
mod name_server;
mod resolver;
mod schedule;

pub use endpoint::Endpoint;
pub use error::{LookupError, NoAnswer};
pub use expand::{Note, Reason, backends};
pub use resolver::Resolver;
pub use schedule::{Change, State, Status, Wanted};
