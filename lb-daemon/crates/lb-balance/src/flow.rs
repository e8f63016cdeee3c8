//! The hash of a flow, which consistent hashing turns into a place in its table.
//!
//! It must not depend on the instance: two nodes with the same seed choose alike, whatever their history. The hash itself is
//! lb-common's, because the XDP program computes it too; here addresses become its words.

use std::net::{IpAddr, SocketAddr};

use lb_common::flow_hash;

/// The hash of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowHash(flow_hash::FlowHash);

/// The transport protocol, by its IANA number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

impl FlowHash {
    /// Hashes the 5-tuple. An IPv4-mapped IPv6 address counts as the IPv4 address that it is.
    pub fn of_tuple(seed: u32, protocol: Protocol, client: SocketAddr, local: SocketAddr) -> Self {
        let transport = flow_hash::transport_word(protocol as u8, client.port(), local.port());
        Self(match (client.ip().to_canonical(), local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => {
                flow_hash::FlowHash::of_tuple_v4(seed, transport, client.to_bits(), local.to_bits())
            }
            (client, local) => {
                flow_hash::FlowHash::of_tuple_v6(seed, transport, halves(client), halves(local))
            }
        })
    }

    /// Hashes the client's address alone, for those who want all flows of a client to go to one place. An IPv4-mapped
    /// IPv6 address counts as the IPv4 address that it is.
    pub fn of_client(seed: u32, client: IpAddr) -> Self {
        Self(match client.to_canonical() {
            IpAddr::V4(client) => flow_hash::FlowHash::of_client_v4(seed, client.to_bits()),
            client @ IpAddr::V6(_) => flow_hash::FlowHash::of_client_v6(seed, halves(client)),
        })
    }

    /// The place among `len` that this flow gets at its `attempt`-th try. Further attempts are as good as independent
    /// hashes.
    pub fn place(self, attempt: u32, len: u32) -> usize {
        self.0.place(attempt, len) as usize
    }
}

fn halves(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    [(bits >> 64) as u64, bits as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(seed: u32, client: &str, local: &str) -> FlowHash {
        FlowHash::of_tuple(seed, Protocol::Tcp, client.parse().unwrap(), local.parse().unwrap())
    }

    #[test]
    fn never_changes_between_releases() {
        // Changing these values moves every flow of every user on upgrade.
        assert_eq!(hash(0, "192.0.2.1:1234", "198.51.100.1:80").0.to_bits(), 0x333c_403c_0df2_8b2e);
        assert_eq!(hash(7, "[2001:db8::1]:1234", "[2001:db8::2]:80").0.to_bits(), 0xc918_82a4_f143_274f);
    }

    #[test]
    fn client_hashes_never_change_between_releases() {
        let hash = |seed, client: &str| FlowHash::of_client(seed, client.parse().unwrap());
        assert_eq!(hash(0, "192.0.2.1").0.to_bits(), 0x712f_d75d_35f9_4755);
        assert_eq!(hash(7, "192.0.2.1").0.to_bits(), 0x5da1_f317_f509_cf68);
        assert_eq!(hash(7, "2001:db8::1").0.to_bits(), 0xec66_0fa3_574f_b64a);
        assert_eq!(hash(0, "::ffff:192.0.2.1"), hash(0, "192.0.2.1"));
        assert_ne!(hash(0, "2001:db8::1"), hash(0, "2001:db8:0:1::1"));
        assert_ne!(hash(0, "2001:db8::1"), hash(0, "2001:db8::2"));
    }

    #[test]
    fn every_part_of_the_tuple_counts() {
        let base = hash(0, "192.0.2.1:1234", "198.51.100.1:80");
        for other in [
            hash(1, "192.0.2.1:1234", "198.51.100.1:80"),
            hash(0, "192.0.2.2:1234", "198.51.100.1:80"),
            hash(0, "192.0.2.1:1235", "198.51.100.1:80"),
            hash(0, "192.0.2.1:1234", "198.51.100.2:80"),
            hash(0, "192.0.2.1:1234", "198.51.100.1:81"),
            FlowHash::of_tuple(
                0,
                Protocol::Udp,
                "192.0.2.1:1234".parse().unwrap(),
                "198.51.100.1:80".parse().unwrap(),
            ),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(base, hash(0, "[::ffff:192.0.2.1]:1234", "[::ffff:198.51.100.1]:80"));
    }

    #[test]
    fn sequential_clients_spread_evenly() {
        let mut counts = [0u32; 256];
        for i in 0..=u16::MAX {
            let [high, low] = i.to_be_bytes();
            counts[FlowHash::of_client(0, IpAddr::from([10, 0, high, low])).place(0, 256)] += 1;
        }
        // As for tuples, below.
        assert!(counts.iter().all(|&n| (176..=336).contains(&n)), "{counts:?}");
    }

    /// Sequential addresses and ports are what real clients have; a weak hash clumps them.
    #[test]
    fn sequential_tuples_spread_evenly() {
        let mut counts = [0u32; 256];
        for i in 0..=u16::MAX {
            let [high, low] = i.to_be_bytes();
            counts[hash(0, &format!("10.0.{high}.{low}:4{low:04}"), "10.9.9.9:80").place(0, 256)] += 1;
        }
        // 256 on average; a binomial deviates by 16, five of which allow for every one of 256 places.
        assert!(counts.iter().all(|&n| (176..=336).contains(&n)), "{counts:?}");
    }
}
