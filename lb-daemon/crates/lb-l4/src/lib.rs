//! The TCP data path in userspace: access list → pick and lease → connect → relay → access record.
//!
//! [`TcpProxy`] is registered with lb-net's workers as the service of a listener.
#![forbid(unsafe_code)]

mod record;
mod tcp;
mod udp;

pub use tcp::TcpProxy;
