//! The data paths in userspace: access list → pick and lease → connect → relay → record.
//!
//! A [`Proxy`] is registered with lb-net's workers as the service of a listener for connections, a [`UdpProxy`] as that of
//! a listener for datagrams.
#![forbid(unsafe_code)]

mod proxy;
mod record;
mod tcp;
mod terms;
mod udp;

pub use proxy::Proxy;
pub use udp::UdpProxy;
