//! What a flow is known by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A client's address and the local address that it sends to, in 40 bytes. Without the IPv6 flow label, which a
/// client may change from one datagram to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    client: Ipv6Addr,
    local: Ipv6Addr,
    client_port: u16,
    local_port: u16,
    /// The interface of a link-local client: others may have the same address elsewhere.
    scope: u32,
}

impl FlowKey {
    pub(super) fn new(client: SocketAddr, local: SocketAddr) -> Self {
        Self {
            client: as_v6(client.ip()),
            local: as_v6(local.ip()),
            client_port: client.port(),
            local_port: local.port(),
            scope: match client {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(client) => client.scope_id(),
            },
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn key(client: &str, local: &str) -> FlowKey {
        FlowKey::new(client.parse().unwrap(), local.parse().unwrap())
    }

    #[test]
    fn every_address_and_port_counts() {
        let keys = [
            key("10.0.0.1:1", "10.0.0.2:2"),
            key("10.0.0.2:2", "10.0.0.1:1"),
            key("10.0.0.1:2", "10.0.0.2:1"),
            key("10.0.0.1:1", "10.0.0.3:2"),
            key("10.0.0.9:1", "10.0.0.2:2"),
            key("[::a00:1]:1", "[::a00:2]:2"),
            key("[fe80::1%1]:1", "[fe80::2%1]:2"),
            key("[fe80::1%2]:1", "[fe80::2%2]:2"),
        ];
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(a == b, i == j, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_flow_label_does_not_count() {
        let client = |label| SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, label, 0).into();
        let local = "[::1]:2".parse().unwrap();
        assert_eq!(FlowKey::new(client(1), local), FlowKey::new(client(2), local));
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<FlowKey>(), 40);
    }
}
