//! Loopback addresses that no other test uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address of 127.0.0.0/8 that belongs to one test, so that it may use any port that it likes.
///
/// Ports are below the range from which the kernel takes those of clients.
#[derive(Debug, Clone, Copy)]
pub struct Loopback {
    ip: Ipv4Addr,
}

impl Loopback {
    /// The next address of this process. 127.0.0.0 to 127.63.255.255 are left to people and examples.
    #[expect(
        clippy::new_without_default,
        reason = "each call gives another address, which a default would not"
    )]
    pub fn new() -> Self {
        /// Addresses of one process: 127.64.0.0 to 127.191.255.255 have room for 8192 such.
        const EACH: u32 = 1024;

        static NEXT: AtomicU16 = AtomicU16::new(1);
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        assert!(number < EACH, "at most {EACH} addresses in one process");
        let first = Ipv4Addr::new(127, 64, 0, 0).to_bits() + std::process::id() % 8192 * EACH;
        Self { ip: (first + number).into() }
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.ip.into()
    }

    /// Port number `index` of this address, for a listener.
    pub fn port(self, index: u16) -> SocketAddr {
        assert!(index < 1000, "ports of listeners would run into those of backends");
        SocketAddr::new(self.ip(), 20_000 + index)
    }

    /// Where backend number `index` listens.
    pub fn backend(self, index: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), 21_000 + index)
    }

    /// A port of `[::1]` that nobody else in this process gets. There is only one IPv6 loopback address, so here it is
    /// the port that has to differ: each process starts its count elsewhere.
    pub fn v6() -> SocketAddr {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let [_, _, _, low] = std::process::id().to_be_bytes();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < 60, "at most 60 IPv6 ports in one process");
        SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 10_000 + u16::from(low) * 60 + number)
    }
}
